//! Sites: places with capacity, attributes, prices and an artifact store of their own.

use std::collections::BTreeMap;

use crate::{Money, Resources};

/// The name of a site, unique in the fleet.
pub type SiteName = String;

/// What a site is, as `tutti apply` registers it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
#[serde(deny_unknown_fields)]
pub struct SiteSpec {
    /// Its name.
    #[n(0)]
    pub name: SiteName,
    /// What drives attempts there.
    #[n(1)]
    #[serde(default)]
    pub executor: ExecutorKind,
    /// What it can hold at once.
    #[n(2)]
    pub capacity: Resources,
    /// Facts that policies and `needs.site` refer to, for example `zone: on-premise`, `country: DE`.
    #[n(3)]
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What its use costs.
    #[n(4)]
    #[serde(default)]
    pub prices: Prices,
    /// The real place that this one stands for, when it stands for one. Shown as "simulated" wherever the site shows.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulates: Option<String>,
}

/// What drives attempts on a site.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum ExecutorKind {
    /// Processes of the machine the server runs on.
    #[default]
    #[n(0)]
    Local,
}

/// What the use of a site costs, in the catalogue's currency.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode,
)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// One core for one hour.
    #[n(0)]
    pub cpu_hour: Money,
    /// One GiB of memory for one hour.
    #[n(1)]
    pub memory_gib_hour: Money,
    /// One accelerator for one hour.
    #[n(2)]
    pub gpu_hour: Money,
    /// One GB (10⁹ bytes) that leaves the site.
    #[n(3)]
    pub egress_gb: Money,
}

impl Prices {
    /// The price of holding `resources` for `duration_us` microseconds.
    pub fn of_use(&self, resources: &Resources, duration_us: u64) -> Money {
        let hours = duration_us as f64 / 3.6e9;
        let per_hour = self.cpu_hour.0 as f64 * f64::from(resources.cpu_millis) / 1000.0
            + self.memory_gib_hour.0 as f64 * resources.memory_bytes as f64 / f64::from(1u32 << 30)
            + self.gpu_hour.0 as f64 * f64::from(resources.gpus);
        Money((per_hour * hours).round() as i64)
    }

    /// The price of sending `bytes` away from the site.
    pub fn of_egress(&self, bytes: u64) -> Money {
        Money((self.egress_gb.0 as f64 * bytes as f64 / 1e9).round() as i64)
    }
}
