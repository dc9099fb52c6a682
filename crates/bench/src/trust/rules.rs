//! Decisions of rules: from the cache, cold, of a request to the API, and a flow certificate. It is the code that the server decides with.

use std::collections::BTreeMap;
use std::time::Instant;

use model::govern::{PolicySpec, TagSpec};
use model::{Label, SiteSpec};
use policy::{Cache, Caller, Fleet, Flow, Rules, Sources, Step, Target, Work};

use crate::report::Report;
use crate::sample::{Sample, quantile};

const SITES: usize = 50;
const TAGS: usize = 64;
const POLICIES: usize = 1_000;
/// Policies of one document.
const IN_A_DOCUMENT: usize = 50;
const NODES: usize = 1_000;
const ZONES: [&str; 4] = ["on-premise", "cloud", "edge", "air-gapped"];

/// Measures all of them.
pub(super) fn measure(rounds: u32, report: &mut Report) {
    let (many, few, fleet) = (rules_of(POLICIES), rules_of(20), fleet());
    for _ in 0..rounds {
        let label = Label::of(["t1", "t7", "t30"]);
        let mut cache = Cache::default();
        std::hint::black_box(cache.places(&many, &fleet, &work(0), &label).len());
        let hit = times(100_000, |_| cache.places(&many, &fleet, &work(0), &label).len());
        report.add("rules cached look-up", quantiles(&hit, "p50_us", "p99_us", 1e6));
        let cold = times(200, |number| many.places(&work(number), &label, &fleet).len());
        report.add("rules cold enumeration", quantiles(&cold, "p50_ms", "p99_ms", 1e3).with("policies", many.count() as f64));
        let (caller, target) = (caller(), Target { kind: "run".into(), project: "p3".into(), ..Target::default() });
        let one = times(1_000, |_| usize::from(many.may(&caller, "submit", &target, &Label::empty()).allowed));
        report.add("rules request to the API", quantiles(&one, "p50_us", "p99_us", 1e6).with("policies", many.count() as f64));
        for (name, rules) in [("rules certificate", &few), ("rules certificate, 1,000 policies", &many)] {
            let flow = flow();
            let begun = Instant::now();
            let certified = rules.certify(&flow, &["development"], &fleet, &mut Cache::default());
            let steps = certified.map_or(0, |certificate| certificate.steps.len());
            report.add(name, Sample::one("ms", begun.elapsed().as_secs_f64() * 1e3).with("steps", steps as f64));
        }
    }
}

/// Seconds of each of so many questions, sorted. Answers are used, so that they are really given.
fn times(count: usize, mut ask: impl FnMut(usize) -> usize) -> Vec<f64> {
    let mut taken = Vec::with_capacity(count);
    for number in 0..count {
        let begun = Instant::now();
        std::hint::black_box(ask(number));
        taken.push(begun.elapsed().as_secs_f64());
    }
    taken.sort_by(f64::total_cmp);
    taken
}

fn quantiles(taken: &[f64], p50: &'static str, p99: &'static str, unit: f64) -> Sample {
    Sample::one(p50, quantile(taken, 0.5) * unit).with(p99, quantile(taken, 0.99) * unit)
}

fn work(number: usize) -> Work {
    Work { project: "p3".into(), workflow: format!("p3/w{number}"), domain: "production".into(), work: "run".into() }
}

fn caller() -> Caller {
    Caller { name: "ada".into(), groups: vec!["desk".into()], roles: vec!["runner".into()] }
}

fn fleet() -> Fleet {
    let site = |number: usize| SiteSpec {
        name: format!("s{number}"),
        executor: Default::default(),
        capacity: Default::default(),
        attributes: [("zone", ZONES[number % 4]), ("jurisdiction", if number.is_multiple_of(3) { "eu" } else { "us" })]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        prices: Default::default(),
        simulates: None,
        sandbox: None,
        store: None,
    };
    let sites: Vec<SiteSpec> = (0..SITES).map(site).collect();
    Fleet::new(&sites)
}

/// Rules of several shapes: most forbid, some are about requests to the API, a few about single workflows.
fn rules_of(count: usize) -> Rules {
    let tags = (0..TAGS).map(|number| TagSpec {
        name: format!("t{number}"),
        owners: vec!["officers".into()],
        parent: (number >= 32).then(|| format!("t{}", number - 32)),
        ..TagSpec::default()
    });
    let policy = |number: usize| {
        let (tag, zone) = (number % TAGS, ZONES[number % 3 + 1]);
        match number % 5 {
            0 | 1 => format!(
                "forbid (principal, action == Action::\"run\", resource) when {{ context.data in Tag::\"t{tag}\" && resource.zone == \"{zone}\" }};"
            ),
            2 => format!(
                "forbid (principal, action in Action::\"place\", resource) when {{ context.data in Tag::\"t{tag}\" }} unless {{ resource.zone != \"{zone}\" || resource.jurisdiction == \"eu\" }};"
            ),
            3 => format!(
                "permit (principal in Group::\"g{number}\", action == Action::\"submit\", resource in Project::\"p{number}\");"
            ),
            _ => format!(
                "forbid (principal, action == Action::\"run\", resource) when {{ principal.workflow == \"x/w{number}\" && resource.simulated }};"
            ),
        }
    };
    let texts: Vec<String> = (0..count).map(policy).collect();
    let documents = texts.chunks(IN_A_DOCUMENT).enumerate();
    let policies = documents.map(|(number, texts)| PolicySpec {
        name: format!("d{number}"),
        cedar: texts.join("\n"),
        ..PolicySpec::default()
    });
    let (rules, problems) = Rules::new(Sources { tags: tags.collect(), policies: policies.collect(), ..Sources::default() });
    assert!(problems.iter().all(|problem| problem.warning), "the rules of the measurement are not right: {problems:?}");
    rules
}

/// A chain of a thousand steps along which all tags come together: as many labels as there are tags.
fn flow() -> Flow {
    let step = |number: usize| Step {
        path: format!("n{number}"),
        work: Some("run".into()),
        label: Label::of((0..=number * TAGS / NODES).map(|tag| format!("t{tag}"))),
        site: BTreeMap::new(),
        takes: number.checked_sub(1).into_iter().collect(),
        trails: BTreeMap::new(),
        notes: Vec::new(),
    };
    Flow { workflow: "p3/w".into(), project: "p3".into(), graph: None, steps: (0..NODES).map(step).collect() }
}
