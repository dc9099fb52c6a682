//! Sites: what they hold, what is said of them, and what they cost.

use model::site::{ExecutorKind, Prices, StoreSpec, Terms, Tier};
use model::{Money, QueueSpec, Resources, SiteSpec};

use super::prices::built_in;
use crate::fields::{Fields, Findings};
use crate::source::{Data, Tree};
use crate::suggest::nearest;
use crate::{Catalogue, Diagnostic};

pub(super) fn site(tree: &Tree, catalogue: &dyn Catalogue, findings: &Findings) -> Option<SiteSpec> {
    let known = ["kind", "name", "executor", "capacity", "attributes", "prices", "simulates", "sandbox", "store"];
    let fields = Fields::of(tree, "a site", &known, findings)?;
    let name = fields.needed_name("name", "a site")?;
    if let Some(executor) = fields.text("executor").filter(|executor| executor != "local") {
        let span = fields.get("executor").map_or(0..0, |tree| tree.span.clone());
        findings.error("W0104", &span, format!("there is no executor `{executor}`: this version has `local`"));
    }
    let mut capacity = Resources::default();
    match fields.get("capacity") {
        Some(tree) => {
            let fields = Fields::of(tree, "`capacity`", &["cpu", "memory", "gpu", "disk"], findings)?;
            capacity.cpu_millis = fields.cpu("cpu").unwrap_or(0);
            capacity.memory_bytes = fields.bytes("memory").unwrap_or(0);
            capacity.gpus = fields.count("gpu").unwrap_or(0) as u32;
            capacity.disk_bytes = fields.bytes("disk").unwrap_or(0);
        }
        None => findings.error("W0102", &(tree.span.start..tree.span.start + 1), "a site needs `capacity`"),
    }
    Some(SiteSpec {
        name,
        executor: ExecutorKind::Local,
        capacity,
        attributes: super::texts(fields.get("attributes"), "attributes", findings),
        prices: prices(fields.get("prices"), catalogue, findings),
        simulates: fields.text("simulates"),
        sandbox: fields.get("sandbox").and_then(|tree| super::sandbox::sandbox(tree, findings)),
        store: fields.get("store").and_then(|tree| store(tree, findings)),
    })
}

/// The bucket for large objects of tasks.
fn store(tree: &Tree, findings: &Findings) -> Option<StoreSpec> {
    let fields = Fields::of(tree, "`store`", &["url", "region", "access_key", "secret_key"], findings)?;
    let needed = |key: &str| {
        if fields.get(key).is_none() {
            findings.error("W0102", &(tree.span.start..tree.span.start + 1), format!("`store` needs `{key}`"));
        }
        fields.text(key).unwrap_or_default()
    };
    let spec = StoreSpec {
        url: needed("url").trim_end_matches('/').to_owned(),
        region: fields.text("region").unwrap_or_else(|| "us-east-1".into()),
        access_key: needed("access_key"),
        secret_key: needed("secret_key"),
    };
    let wrong = |key: &str, is_wrong: bool, message: &str| {
        if let Some(tree) = fields.get(key).filter(|_| is_wrong) {
            findings.error("W0104", &tree.span, message);
        }
    };
    let plain =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b',' | b'='));
    let url = "`url` is `https://HOST/BUCKET` or `https://HOST:PORT/BUCKET/FOLDER`; `http://` is for this machine alone";
    wrong("url", spec.place().is_none(), url);
    wrong("region", !plain(&spec.region), "`region` is a word such as `eu-central-1`");
    wrong("access_key", !plain(&spec.access_key), "`access_key` is the name of a key, which is no secret: letters and digits");
    wrong("secret_key", spec.secret().is_none(), "`secret_key` names a secret of a project: `secret://PROJECT/NAME`");
    Some(spec)
}

/// A document of `kind: queue`.
pub(super) fn queue(tree: &Tree, findings: &Findings) -> Option<QueueSpec> {
    let fields = Fields::of(tree, "a queue", &["kind", "name", "description", "site"], findings)?;
    let name = fields.needed_name("name", "a queue")?;
    if fields.get("site").is_none() {
        findings.error(
            "W0102",
            &(tree.span.start..tree.span.start + 1),
            "a queue needs `site`: attributes of the sites that it means",
        );
    }
    let description = fields.text("description").unwrap_or_default();
    Some(QueueSpec { name, description, site: super::texts(fields.get("site"), "site", findings) })
}

/// The fields of `egress` of a list and of `prices` of a site that say the same.
pub(super) const EGRESS: [&str; 3] = ["egress_gb", "egress_near_gb", "egress_tiers"];

fn prices(tree: Option<&Tree>, catalogue: &dyn Catalogue, findings: &Findings) -> Prices {
    let known = [
        &[
            "instance",
            "spot",
            "cpu_hour",
            "memory_gib_hour",
            "gpu_hour",
            "bandwidth_mbps",
            "boot",
            "idle",
            "preemptions_per_1000h",
        ][..],
        &EGRESS,
    ]
    .concat();
    let Some(fields) = tree.and_then(|tree| Fields::of(tree, "`prices`", &known, findings)) else { return Prices::default() };
    let base = listed(&fields, catalogue, findings).unwrap_or_default();
    let price = |key: &str, listed: Money| price(&fields, key, findings).unwrap_or(listed);
    Prices {
        cpu_hour: price("cpu_hour", base.cpu_hour),
        memory_gib_hour: price("memory_gib_hour", base.memory_gib_hour),
        gpu_hour: price("gpu_hour", base.gpu_hour),
        egress_gb: price("egress_gb", base.egress_gb),
        terms: Some(terms(&fields, base.terms.unwrap_or_default(), findings)).filter(|terms| *terms != Terms::default()),
    }
}

/// What a list says of the `instance`.
fn listed(fields: &Fields<'_>, catalogue: &dyn Catalogue, findings: &Findings) -> Option<Prices> {
    let spot = fields.flag("spot").unwrap_or(false);
    let Some(tree) = fields.get("instance") else {
        if let (true, Some(tree)) = (spot, fields.get("spot")) {
            findings.error("W0107", &tree.span, "`spot` says which price of an `instance` holds, and there is none");
        }
        return None;
    };
    let name = fields.text("instance")?;
    let unknown = |message: String, names: Vec<String>| {
        let mut finding = Diagnostic::error("W0204", tree.span.clone(), message);
        finding.hint = nearest(&name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        findings.push(finding);
        None
    };
    let Some((provider, machine)) = name.split_once('/') else {
        return unknown(format!("`{name}` is not `provider/machine`, such as `aws/m5.xlarge`"), Vec::new());
    };
    let Some(list) = catalogue.prices(provider).or_else(|| built_in(provider)) else {
        return unknown(format!("there is no price list `{provider}`: apply one, or see `tutti prices`"), Vec::new());
    };
    let Some(instance) = list.instances.get(machine) else {
        let names = list.instances.keys().map(|machine| format!("{provider}/{machine}")).collect();
        return unknown(format!("the price list `{provider}` of {} has no machine `{machine}`", list.as_of), names);
    };
    match list.prices(instance, spot) {
        Some(prices) => Some(prices),
        None => unknown(format!("the price list `{provider}` has no spot price of `{machine}`"), Vec::new()),
    }
}

pub(super) fn price(fields: &Fields<'_>, key: &str, findings: &Findings) -> Option<Money> {
    let tree = fields.get(key)?;
    let amount = tree.to_value().as_f64().filter(|price| (0.0..1e9).contains(price));
    if amount.is_none() {
        findings.error("W0104", &tree.span, format!("`{key}` has to be an amount of money such as 0.031"));
    }
    amount.map(Money::from_units)
}

/// What comes with the prices of a site, or with those of a list: what is not said is as in `base`.
pub(super) fn terms(fields: &Fields<'_>, base: Terms, findings: &Findings) -> Terms {
    let count = |key: &str, base: u32| fields.count(key).map_or(base, |count| u32::try_from(count).unwrap_or(u32::MAX));
    let mut terms = Terms {
        egress_near_gb: price(fields, "egress_near_gb", findings).or(base.egress_near_gb),
        bandwidth_mbps: count("bandwidth_mbps", base.bandwidth_mbps),
        boot: fields.duration("boot").unwrap_or(base.boot),
        idle: fields.duration("idle").unwrap_or(base.idle),
        preemptions_per_1000h: count("preemptions_per_1000h", base.preemptions_per_1000h),
        egress_tiers: base.egress_tiers,
    };
    let Some(tree) = fields.get("egress_tiers") else { return terms };
    terms.egress_tiers = <[Tier; 3]>::default();
    let Data::List(items) = &tree.data else {
        findings.error("W0103", &tree.span, format!("`egress_tiers` has to be a list, and this is {}", tree.kind()));
        return terms;
    };
    let mut before = 0;
    if items.len() > terms.egress_tiers.len() {
        findings.error("W0104", &tree.span, format!("`egress_tiers` has at most {} tiers", terms.egress_tiers.len()));
    }
    for (item, tier) in items.iter().zip(&mut terms.egress_tiers) {
        let Some(inner) = Fields::of(item, "a tier", &["from_gb", "gb"], findings) else { continue };
        let from_gb = u32::try_from(inner.count("from_gb").unwrap_or_default()).unwrap_or(u32::MAX);
        match price(&inner, "gb", findings) {
            Some(gb) if from_gb > before => *tier = Tier { from_gb, gb },
            Some(_) => findings.error("W0104", &item.span, "a tier needs `from_gb`, and more than the one before"),
            None => findings.error("W0102", &item.span, "a tier needs `gb`, the price of one GB"),
        }
        before = from_gb;
    }
    terms
}
