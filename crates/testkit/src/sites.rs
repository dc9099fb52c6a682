//! Sites for tests.

use std::collections::BTreeMap;

use model::site::{ExecutorKind, Prices};
use model::{Money, Resources, SiteSpec};

/// Builds a site.
#[derive(Clone, Debug)]
pub struct SiteBuilder(SiteSpec);

/// A site with 4 cores, 8 GiB of memory and no price.
pub fn site(name: &str) -> SiteBuilder {
    SiteBuilder(SiteSpec {
        name: name.into(),
        executor: ExecutorKind::Local,
        capacity: Resources { cpu_millis: 4_000, memory_bytes: 8 << 30, gpus: 0, disk_bytes: 100 << 30 },
        attributes: BTreeMap::new(),
        prices: Prices::default(),
        simulates: None,
        sandbox: None,
        store: None,
    })
}

impl SiteBuilder {
    /// How many cores it has.
    pub fn cores(mut self, cores: u32) -> Self {
        self.0.capacity.cpu_millis = cores * 1_000;
        self
    }

    /// How much memory it has, in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.0.capacity.memory_bytes = bytes;
        self
    }

    /// What an hour of a core and a gigabyte that leaves cost.
    pub fn prices(mut self, cpu_hour: f64, egress_gb: f64) -> Self {
        self.0.prices.cpu_hour = Money::from_units(cpu_hour);
        self.0.prices.egress_gb = Money::from_units(egress_gb);
        self
    }

    /// A fact about it.
    pub fn attribute(mut self, key: &str, value: &str) -> Self {
        self.0.attributes.insert(key.into(), value.into());
        self
    }

    /// The site.
    pub fn spec(self) -> SiteSpec {
        self.0
    }
}
