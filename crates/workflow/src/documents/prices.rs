//! Price lists: what the machines of a provider cost, so that a site can name one instead of repeating its figures.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use model::money::CURRENCY;
use model::site::{Prices, Terms, Tier};
use model::{Money, Resources};
use serde::{Deserialize, Serialize};

use super::sites::{EGRESS, price, terms};
use super::{Document, read};
use crate::Nothing;
use crate::fields::{Fields, Findings};
use crate::source::{Data, Tree};

/// The lists that come with the program.
const BUILT_IN: &str = include_str!("prices.yaml");

/// What the machines of a provider cost in one of its regions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceList {
    /// The provider: what stands before the `/` of an `instance`.
    pub name: String,
    /// The region whose prices these are.
    pub region: String,
    /// The day on which they were looked up.
    pub as_of: String,
    /// Where.
    pub source: String,
    /// The currency, three letters.
    pub currency: String,
    /// What that is worth in the currency that everything is counted in; none where it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// What a core and a GiB of memory cost an hour when they are had apart. Prices of whole machines are divided in this proportion; the
    /// accelerators of a machine cost what is left.
    pub core_hour: Money,
    /// See `core_hour`.
    pub memory_gib_hour: Money,
    /// A GB that leaves the provider.
    pub egress_gb: Money,
    /// The tiers of egress, and what it costs within the provider.
    pub terms: Terms,
    /// The machines by name.
    pub instances: BTreeMap<String, Instance>,
}

/// What a currency is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Units of [`model::money::CURRENCY`] for one of the other, in millionths.
    pub usd: Money,
    /// The day of the rate.
    pub as_of: String,
    /// Where it was looked up.
    pub source: String,
}

impl Exchange {
    /// An amount of the other currency in the one that everything is counted in.
    fn of(&self, amount: Money) -> Money {
        Money::from_units(amount.units() * self.usd.units())
    }

    /// The same for all that a site costs.
    fn of_prices(&self, prices: Prices) -> Prices {
        let of_terms = |terms: Terms| Terms {
            egress_tiers: terms.egress_tiers.map(|tier| Tier { gb: self.of(tier.gb), ..tier }),
            egress_near_gb: terms.egress_near_gb.map(|gb| self.of(gb)),
            ..terms
        };
        Prices {
            cpu_hour: self.of(prices.cpu_hour),
            memory_gib_hour: self.of(prices.memory_gib_hour),
            gpu_hour: self.of(prices.gpu_hour),
            egress_gb: self.of(prices.egress_gb),
            terms: prices.terms.map(of_terms),
        }
    }
}

/// A machine that a provider lets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// What it holds.
    pub capacity: Resources,
    /// An hour on demand.
    pub hour: Money,
    /// An hour of it as spot capacity, when there is such a price.
    #[serde(default)]
    pub spot_hour: Option<Money>,
}

impl PriceList {
    /// The prices of a site that is made of such machines; none when it is asked for as spot capacity and has no such price.
    ///
    /// In the currency that everything is counted in, at the rate of the list. The parts of a machine that is used whole cost together what the machine costs, to a millionth for each.
    pub fn prices(&self, instance: &Instance, spot: bool) -> Option<Prices> {
        let hour = if spot { instance.spot_hour? } else { instance.hour };
        let cores = f64::from(instance.capacity.cpu_millis) / 1000.0;
        let gib = instance.capacity.memory_bytes as f64 / f64::from(1u32 << 30);
        let general = self.core_hour.units() * cores + self.memory_gib_hour.units() * gib;
        // A machine with accelerators that costs less than its cores would elsewhere has them for nothing.
        let (share, gpus) = match instance.capacity.gpus {
            0 => (hour.units() / general, 0.0),
            gpus => {
                let share = (hour.units() / instance.hour.units()).min(hour.units() / general);
                (share, (hour.units() - general * share).max(0.0) / f64::from(gpus))
            }
        };
        let sound = |units: f64| if units.is_finite() { Money::from_units(units) } else { Money::default() };
        let prices = Prices {
            cpu_hour: sound(self.core_hour.units() * share),
            memory_gib_hour: sound(self.memory_gib_hour.units() * share),
            gpu_hour: sound(gpus),
            egress_gb: self.egress_gb,
            terms: Some(self.terms).filter(|terms| *terms != Terms::default()),
        };
        Some(self.exchange.as_ref().map_or(prices, |exchange| exchange.of_prices(prices)))
    }
}

/// The list of a provider that comes with the program.
pub(super) fn built_in(provider: &str) -> Option<PriceList> {
    all().iter().find(|list| list.name == provider).cloned()
}

/// All lists that come with the program.
pub fn all() -> &'static [PriceList] {
    static LISTS: OnceLock<Vec<PriceList>> = OnceLock::new();
    LISTS.get_or_init(|| {
        let found = read(BUILT_IN, &BTreeMap::new(), &Nothing).documents;
        found.into_iter().filter_map(|document| if let Document::Prices(list) = document { Some(list) } else { None }).collect()
    })
}

/// A document of `kind: prices`.
pub(super) fn list(tree: &Tree, findings: &Findings) -> Option<PriceList> {
    let known = [
        &["kind", "name", "region", "as_of", "source", "currency", "exchange", "core_hour", "memory_gib_hour", "instances"][..],
        &EGRESS,
    ]
    .concat();
    let fields = Fields::of(tree, "a price list", &known, findings)?;
    let name = fields.needed_name("name", "a price list")?;
    let needed = |key: &str| {
        let found = price(&fields, key, findings);
        if found.is_none() && fields.get(key).is_none() {
            findings.error("W0102", &(tree.span.start..tree.span.start + 1), format!("a price list needs `{key}`"));
        }
        found.filter(|price| price.0 > 0)
    };
    let (core_hour, memory_gib_hour) = (needed("core_hour")?, needed("memory_gib_hour")?);
    let currency = fields.text("currency").unwrap_or_else(|| "USD".to_owned());
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let span = fields.get("currency").map_or(tree.span.clone(), |tree| tree.span.clone());
        findings.error("W0104", &span, "`currency` has to be three capital letters such as `EUR`");
    }
    let exchange = exchange(&fields, &currency, findings);
    Some(PriceList {
        name,
        region: fields.text("region").unwrap_or_default(),
        as_of: fields.needed_text("as_of", "a price list")?,
        source: fields.needed_text("source", "a price list")?,
        currency,
        exchange,
        core_hour,
        memory_gib_hour,
        egress_gb: price(&fields, "egress_gb", findings).unwrap_or_default(),
        terms: terms(&fields, Terms::default(), findings),
        instances: instances(&fields, findings),
    })
}

/// The rate of a list in another currency than the one that everything is counted in.
fn exchange(fields: &Fields<'_>, currency: &str, findings: &Findings) -> Option<Exchange> {
    let Some(tree) = fields.get("exchange") else {
        if currency != CURRENCY {
            let span = fields.get("currency").map_or(0..0, |tree| tree.span.clone());
            let message = format!("a price list in `{currency}` needs `exchange`: everything is counted in {CURRENCY}");
            findings.error("W0102", &span, message);
        }
        return None;
    };
    let inner = Fields::of(tree, "`exchange`", &["usd", "as_of", "source"], findings)?;
    let usd = price(&inner, "usd", findings).filter(|usd| usd.0 > 0);
    if usd.is_none() {
        findings.error("W0102", &tree.span, format!("`exchange` needs `usd`: how many {CURRENCY} one `{currency}` is worth"));
    }
    Some(Exchange {
        usd: usd?,
        as_of: inner.needed_text("as_of", "`exchange`")?,
        source: inner.needed_text("source", "`exchange`")?,
    })
}

fn instances(fields: &Fields<'_>, findings: &Findings) -> BTreeMap<String, Instance> {
    let Some(tree) = fields.get("instances") else {
        findings.error("W0102", &(fields.tree.span.start..fields.tree.span.start + 1), "a price list needs `instances`");
        return BTreeMap::new();
    };
    let Data::Map(entries) = &tree.data else {
        findings.error("W0103", &tree.span, format!("`instances` has to be a map, and this is {}", tree.kind()));
        return BTreeMap::new();
    };
    let mut instances = BTreeMap::new();
    for (key, tree) in entries {
        let Some(fields) = Fields::of(tree, "a machine", &["cpu", "memory", "gpu", "hour", "spot_hour"], findings) else {
            continue;
        };
        let capacity = Resources {
            cpu_millis: fields.cpu("cpu").unwrap_or(0),
            memory_bytes: fields.bytes("memory").unwrap_or(0),
            gpus: fields.count("gpu").unwrap_or(0) as u32,
            ..Resources::default()
        };
        let Some(hour) = price(&fields, "hour", findings) else {
            findings.error("W0102", &tree.span, "a machine needs `hour`, its price");
            continue;
        };
        if capacity.cpu_millis == 0 && capacity.memory_bytes == 0 {
            findings.error("W0102", &tree.span, "a machine needs `cpu` and `memory`: its price is divided between them");
            continue;
        }
        instances.insert(key.text.clone(), Instance { capacity, hour, spot_hour: price(&fields, "spot_hour", findings) });
    }
    instances
}
