//! Sites: places with capacity, attributes, prices and an artifact store of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Duration, EgressGrant, Money, Resources};

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
    /// How its processes are kept in; none for what is usual.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxSpec>,
    /// Where large objects lie that its tasks write; none for the server's own folder.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
}

/// A bucket of a store that speaks S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// `https://HOST/BUCKET` or `https://HOST:PORT/BUCKET/FOLDER`; `http://` for this machine alone.
    #[n(0)]
    pub url: String,
    /// The region that requests are signed for.
    #[n(1)]
    pub region: String,
    /// The name of the key that they are signed with. It is no secret.
    #[n(2)]
    pub access_key: String,
    /// The secret that they are signed with: `secret://PROJECT/NAME`.
    #[n(3)]
    pub secret_key: String,
}

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlace {
    /// Whether it is asked over TLS.
    pub is_tls: bool,
    /// As it stands in requests: the host, and the port where one is named.
    pub authority: String,
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before every name: `/BUCKET`, and the folder in it.
    pub path: String,
}

impl StoreSpec {
    /// The project and the name of the secret; none when it names none.
    pub fn secret(&self) -> Option<(&str, &str)> {
        let (project, name) = self.secret_key.strip_prefix("secret://")?.split_once('/')?;
        let fits = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !text.is_empty() && text.len() <= crate::limits::NAME_BYTES_MAX && text.bytes().all(plain)
        };
        (fits(project) && fits(name)).then_some((project, name))
    }

    /// Where it is; none when the address is not one that may be asked.
    pub fn place(&self) -> Option<StorePlace> {
        let (is_tls, rest) = match self.url.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        let path = path.trim_end_matches('/');
        let is_path = path.bytes().all(plain) && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']);
        let is_host = !host.is_empty() && host.bytes().all(|byte| plain(byte) && byte != b'/' || byte == b':');
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "::1");
        (is_path && is_host && (is_tls || is_here)).then(|| StorePlace {
            is_tls,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            path: format!("/{path}"),
        })
    }
}

/// How the processes of a site are kept in.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxSpec {
    /// Whether there are walls around them.
    #[n(0)]
    pub mode: SandboxMode,
    /// Places in the network that they may reach: `HOST`, `HOST:PORT`, `*.DOMAIN`. Nothing otherwise.
    #[n(1)]
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub egress: BTreeSet<String>,
    /// Folders that they may read and execute, beside the programs of the system and of the search path.
    #[n(2)]
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub runtime: BTreeSet<String>,
    /// Places in the network that builds of images get packages from, as those of `egress`; the public index when none is named.
    #[n(3)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<BTreeSet<String>>,
}

/// Where packages come from when a site says nothing of it.
const PACKAGES: [&str; 2] = ["pypi.org", "files.pythonhosted.org"];

impl SandboxSpec {
    /// The places in the network that are granted.
    pub fn granted(&self) -> impl Iterator<Item = EgressGrant> {
        self.egress.iter().filter_map(|text| text.parse().ok())
    }

    /// The places in the network that builds of images are granted beside those.
    pub fn granted_to_builds(&self) -> impl Iterator<Item = EgressGrant> {
        let named = self.packages.iter().flatten().map(String::as_str);
        let usual = PACKAGES.into_iter().filter(|_| self.packages.is_none());
        named.chain(usual).filter_map(|text| text.parse().ok())
    }

    /// Whether connectors that run within the server may use a way out from this site, as far as the site is concerned. Where it says what
    /// its processes may reach, that holds for connectors too; where it says nothing and asks for no walls, the rules alone decide.
    pub fn lets_connectors_use(&self, way: &EgressGrant) -> bool {
        if way.is_shared_folder() {
            return true;
        }
        match self.egress.is_empty() && self.mode != SandboxMode::Require {
            true => !way.is_for_the_named(),
            false => self.granted().any(|granted| granted.covers(&way.host, way.port)),
        }
    }
}

/// Whether there are walls around the processes of a site.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SandboxMode {
    /// As many as the machine can build; what is missing is said.
    #[default]
    #[n(0)]
    Prefer,
    /// All of them, or nothing runs there.
    #[n(1)]
    Require,
    /// None: they may do whatever the server's user may.
    #[n(2)]
    Off,
}

impl SandboxMode {
    /// The mode as users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            SandboxMode::Prefer => "prefer",
            SandboxMode::Require => "require",
            SandboxMode::Off => "off",
        }
    }

    /// The mode of a word.
    pub fn parse(word: &str) -> Option<SandboxMode> {
        [SandboxMode::Prefer, SandboxMode::Require, SandboxMode::Off].into_iter().find(|mode| mode.as_str() == word)
    }
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
    /// What comes with the prices; none for capacity that is owned and always there.
    #[n(4)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
}

/// The terms on which capacity is had.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode,
)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// Cheaper prices of egress, each from so many GB a calendar month on; a tier of 0 GB is none.
    #[n(0)]
    pub egress_tiers: [Tier; 3],
    /// One GB to a site of the same `provider`; none when that costs as much as any other way.
    #[n(1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_near_gb: Option<Money>,
    /// Megabits a second that one transfer to or from the site reaches; 0 when nobody knows.
    #[n(2)]
    pub bandwidth_mbps: u32,
    /// How long new capacity takes to be there. Capacity with a boot or an idle time is rented piece by piece.
    #[n(3)]
    pub boot: Duration,
    /// How long a rented piece is kept, and paid, before it is given back.
    #[n(4)]
    pub idle: Duration,
    /// How often spot capacity is called back in a thousand hours.
    #[n(5)]
    pub preemptions_per_1000h: u32,
}

/// A price of egress from a volume on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode,
)]
#[serde(deny_unknown_fields, default)]
pub struct Tier {
    /// GB of a calendar month from which on it holds.
    #[n(0)]
    pub from_gb: u32,
    /// One GB.
    #[n(1)]
    pub gb: Money,
}

impl Prices {
    /// The price of holding `resources` for `duration_us` microseconds.
    pub fn of_use(&self, resources: &Resources, duration_us: u64) -> Money {
        let hours = duration_us as f64 / 3.6e9;
        Money((self.per_hour(resources) * hours).round() as i64)
    }

    /// Millionths an hour of holding `resources`.
    pub fn per_hour(&self, resources: &Resources) -> f64 {
        self.cpu_hour.0 as f64 * f64::from(resources.cpu_millis) / 1000.0
            + self.memory_gib_hour.0 as f64 * resources.memory_bytes as f64 / f64::from(1u32 << 30)
            + self.gpu_hour.0 as f64 * f64::from(resources.gpus)
    }

    /// The price of sending `bytes` away from the site, at the first tier.
    pub fn of_egress(&self, bytes: u64) -> Money {
        Money((self.egress_gb.0 as f64 * bytes as f64 / 1e9).round() as i64)
    }

    /// The price of sending `bytes` when `before` bytes have left in this month already. `near` says that the receiver is of the same
    /// provider. Prices of parts add up: the bill of a month is what its transfers cost together.
    pub fn of_transfer(&self, before: u64, bytes: u64, near: bool) -> Money {
        let terms = self.terms.unwrap_or_default();
        if let (true, Some(gb)) = (near, terms.egress_near_gb) {
            return Money((gb.0 as f64 * bytes as f64 / 1e9).round() as i64);
        }
        let up_to = |bytes: u64| (self.volume(&terms, bytes)).round() as i64;
        Money(up_to(before.saturating_add(bytes)).saturating_sub(up_to(before)))
    }

    /// Millionths for `bytes` from the first of the month on.
    fn volume(&self, terms: &Terms, bytes: u64) -> f64 {
        let gigabytes = bytes as f64 / 1e9;
        let (mut price, mut from, mut sum) = (self.egress_gb.0 as f64, 0.0, 0.0);
        for tier in terms.egress_tiers.iter().filter(|tier| tier.from_gb > 0) {
            let until = f64::from(tier.from_gb);
            if gigabytes <= until {
                break;
            }
            sum += (until - from).max(0.0) * price;
            (price, from) = (tier.gb.0 as f64, until);
        }
        sum + (gigabytes - from).max(0.0) * price
    }
}

/// Whether two places are of the same provider, by their attributes.
pub fn is_near(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    one.get("provider").is_some_and(|provider| other.get("provider") == Some(provider))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn tiered() -> Prices {
        let tier = |from_gb, gb| Tier { from_gb, gb: Money::from_units(gb) };
        let egress_tiers = [tier(10_000, 0.085), tier(50_000, 0.07), tier(150_000, 0.05)];
        let terms = Terms { egress_tiers, egress_near_gb: Some(Money::from_units(0.01)), ..Terms::default() };
        Prices { egress_gb: Money::from_units(0.09), terms: Some(terms), ..Prices::default() }
    }

    #[test]
    fn the_address_of_a_bucket_says_where_it_is_and_leads_nowhere_else() {
        let at = |url: &str| StoreSpec { url: url.into(), ..StoreSpec::default() }.place();
        let place = at("https://store.example/b/deep/er/").unwrap();
        assert_eq!((place.authority.as_str(), place.port, place.path.as_str()), ("store.example", 443, "/b/deep/er"));
        let place = at("http://127.0.0.1:9000/b").unwrap();
        assert_eq!((place.authority.as_str(), place.host.as_str(), place.port), ("127.0.0.1:9000", "127.0.0.1", 9000));
        assert_eq!(at("http://[::1]:9000/b").map(|place| (place.host, place.port)), Some(("::1".into(), 9000)));
        for wrong in [
            "",
            "b",
            "s3://b",
            "https://h",
            "https://h/",
            "https://h:x/b",
            "https:///b",
            "https://u@h/b",
            "https://h/b//c",
            "https://h/b/../c",
            "https://h/b?x",
            "https://h\r\nx: y/b",
            "http://store.example/b",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
        let secret = |key: &str| StoreSpec { secret_key: key.into(), ..StoreSpec::default() };
        assert_eq!(secret("secret://ops/s3").secret(), Some(("ops", "s3")));
        for wrong in ["", "s3", "secret://s3", "secret:///s3", "secret://ops/", "secret://ops/a/b", "secret://ops/a b"] {
            assert_eq!(secret(wrong).secret(), None, "{wrong}");
        }
    }

    #[test]
    fn tiers_apply_to_the_part_that_lies_in_them() {
        let prices = tiered();
        assert_eq!(prices.of_transfer(0, 10_000 * GB, false), Money::from_units(900.0));
        assert_eq!(prices.of_transfer(9_000 * GB, 2_000 * GB, false), Money::from_units(90.0 + 85.0));
        assert_eq!(prices.of_transfer(200_000 * GB, GB, false), Money::from_units(0.05));
        assert_eq!(prices.of_transfer(0, 100 * GB, true), Money::from_units(1.0));
    }

    #[test]
    fn the_parts_of_a_month_add_up_to_its_bill() {
        let prices = tiered();
        let (mut sent, mut sum) = (0, Money(0));
        for part in [3, 999_999_999, 7_123 * GB + 1, 12_345_678_901, 55_555 * GB + 77, 1] {
            sum += prices.of_transfer(sent, part, false);
            sent += part;
        }
        assert_eq!(sum, prices.of_transfer(0, sent, false));
    }
}
