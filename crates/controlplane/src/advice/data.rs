//! Advice on bringing data to work: files that are moved in run after run. What makes them may run where they are read; and where something
//! else is waited for meanwhile, a copy may be brought ahead.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::ActionKind;
use engine::without_items;
use journal::{ActionFilter, ActionRow, RunFilter, RunRow};
use model::site::is_near;
use model::{ArtifactRef, Graph, Money, Node, Phase, RunId, Timestamp, TransferPath};
use placement::{Candidate, Demand, Input, Permitted, SiteView, Verdict};
use prediction::Family;
use serde_json::{Value, json};

use super::{Advice, Ground, pointer};
use crate::learning::node_at;
use crate::placer::outlook;
use crate::{ControlPlane, Fault};

/// Runs that are looked at.
const RUNS_MAX: usize = 30;
/// Actions of each that are.
const ACTIONS_MAX: usize = 2_000;
/// Runs from which on something that was moved in half of them recurs.
const RUNS_LEAST: usize = 3;
/// Seconds from which on a copy that comes ahead is worth a step.
const AHEAD_LEAST_S: f64 = 1.0;
/// Digits by which the path of a transfer names what it moves.
const SHORT: usize = 12;

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// An output of a node: its path, and the name of the output when it is the file itself.
    Node(String, Option<String>),
    /// An input of the run.
    Input(String),
}

/// A way that files were moved, in all runs together.
#[derive(Debug, Default)]
struct Way {
    runs: BTreeSet<RunId>,
    bytes: u64,
    cost: Money,
    /// Seconds that it took.
    seconds: f64,
    /// Seconds from when the file was there to when the first that reads it was opened.
    early_s: f64,
    /// The nodes that read it there.
    readers: BTreeSet<String>,
}

/// By source and where from and to: what was moved.
type Ways = BTreeMap<(Source, String, String), Way>;

impl ControlPlane {
    /// Advice on what is moved again and again.
    pub(super) fn bringing(&self, ground: &Ground<'_>) -> Result<Vec<Advice>, Fault> {
        let filter = RunFilter {
            workflow: Some(ground.graph.workflow.clone()),
            phase: Some(Phase::Succeeded),
            limit: RUNS_MAX,
            ..RunFilter::default()
        };
        let runs = self.reader().runs(&filter).map_err(Fault::internal)?;
        let mut ways = Ways::new();
        for run in &runs {
            self.ways_of(run, &mut ways)?;
        }
        ways.retain(|_, way| way.runs.len() >= RUNS_LEAST && 2 * way.runs.len() >= runs.len());
        let sites: Vec<SiteView> = ground.sites.iter().map(crate::planning::idle).collect();
        let mut advice: Vec<Advice> = Vec::new();
        for ((source, from, to), way) in &ways {
            let made = match source {
                Source::Node(path, _) => self.make_there(ground, &sites, (path, from, to), &ways, runs.len()),
                Source::Input(_) => None,
            };
            // One proposal for each maker and site, and a copy ahead only of what stays where it is made.
            match made {
                Some(made) if advice.iter().any(|one| one.kind == made.kind && one.patch == made.patch) => {}
                Some(made) => advice.push(made),
                None => advice.extend(copy_ahead(ground.graph, &sites, (source, from, to), way, runs.len())),
            }
        }
        Ok(advice)
    }

    /// Adds what a run moved.
    fn ways_of(&self, run: &RunRow, ways: &mut Ways) -> Result<(), Fault> {
        let filter = ActionFilter { from: 0, limit: ACTIONS_MAX, phase: Some(Phase::Succeeded) };
        let actions = self.reader().actions(run.id, &filter).map_err(Fault::internal)?;
        let moved: Vec<(&ActionRow, &str, &str)> =
            actions.iter().filter(|action| action.kind == ActionKind::Transfer).filter_map(parts).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let known = self.files_of(run, &actions)?;
        for (action, reader, short) in moved {
            let (Some((source, there)), Some(from), Some(to)) = (known.get(short), &action.host, &action.site) else { continue };
            // A copy that lay there already is found, not moved.
            if action.usage.bytes_in == 0 {
                continue;
            }
            let way = ways.entry((source.clone(), from.clone(), to.clone())).or_default();
            way.runs.insert(run.id);
            way.bytes += action.usage.bytes_in;
            way.cost += action.cost;
            way.seconds += action.usage.wall_us as f64 / 1e6;
            way.early_s += action.opened_at.since(*there).as_secs_f64();
            way.readers.insert(without_items(reader));
        }
        Ok(())
    }

    /// By the first digits of its digest: what a file of a run comes from, and when it was there.
    fn files_of(&self, run: &RunRow, actions: &[ActionRow]) -> Result<BTreeMap<String, (Source, Timestamp)>, Fault> {
        let mut known = BTreeMap::new();
        let mut note = |value: &Value, source: &dyn Fn(Option<&str>) -> Source, at: Timestamp| {
            let Some(fields) = value.as_object() else { return };
            for (name, field) in fields {
                let whole = ArtifactRef::from_value(field).is_some();
                for artifact in ArtifactRef::all_in(field) {
                    let short: String = artifact.digest.hex().chars().take(SHORT).collect();
                    known.entry(short).or_insert_with(|| (source(whole.then_some(name.as_str())), at));
                }
            }
        };
        if let Some(inputs) = self.reader().body(run.first_seq, 0).map_err(Fault::internal)? {
            for (name, input) in inputs.as_object().into_iter().flatten() {
                let one = Value::Object([(name.clone(), input.clone())].into_iter().collect());
                note(&one, &|_| Source::Input(name.clone()), run.submitted_at);
            }
        }
        for action in actions.iter().filter(|action| !matches!(action.kind, ActionKind::Transfer)) {
            let (Some(seq), Some(at)) = (action.output_seq, action.finished_at) else { continue };
            let Some(output) = self.reader().body(seq, 0).map_err(Fault::internal)? else { continue };
            let path = without_items(&action.path);
            note(&output, &|name| Source::Node(path.clone(), name.map(str::to_owned)), at);
        }
        Ok(known)
    }

    /// That a node should run where what it makes is read.
    fn make_there(
        &self,
        ground: &Ground<'_>,
        sites: &[SiteView],
        (path, from, to): (&str, &str, &str),
        ways: &Ways,
        runs: usize,
    ) -> Option<Advice> {
        let node = node_at(ground.graph, path).filter(|node| node.kind.is_placed())?;
        let rows = ground.by_path.get(path)?;
        let reads = rows.iter().map(|row| row.usage.bytes_in).sum::<u64>() / rows.len() as u64;
        let comes_from = ground.comes_from(node);
        let (here, there) = (
            self.at_site(ground, sites, (path, node), from, (reads, comes_from.as_deref()))?,
            self.at_site(ground, sites, (path, node), to, (reads, comes_from.as_deref()))?,
        );
        let of_maker = |source: &Source| matches!(source, Source::Node(maker, _) if maker == path);
        let to_there: Vec<&Way> =
            ways.iter().filter(|((source, _, site), _)| of_maker(source) && site == to).map(|(_, way)| way).collect();
        let a_run = |units: f64| units / runs as f64;
        let saved = a_run(to_there.iter().map(|way| way.cost.units()).sum());
        let times = rows.len() as f64 / ground.runs as f64;
        let dearer = (there.expected.units() - here.expected.units()) * times;
        let back = back(ground, sites, node, path, to)?;
        let gain = saved - dearer - back;
        if gain <= 0.0 || gain * 5.0 < saved {
            return None;
        }
        let (first, seen) = (to_there.first()?, to_there.iter().map(|way| way.runs.len()).max().unwrap_or_default());
        let bytes = to_there.iter().map(|way| way.bytes).sum::<u64>() / runs as u64;
        let readers: BTreeSet<&str> = to_there.iter().flat_map(|way| way.readers.iter().map(String::as_str)).collect();
        let readers: Vec<String> = readers.into_iter().map(|reader| format!("`{reader}`")).collect();
        let money = placement::objective::money;
        let mut evidence = format!(
            "in {seen} of {runs} runs what it makes was brought from `{from}`, {} MB and {} a run; to run there costs {} more",
            bytes.div_ceil(1_000_000),
            money(saved),
            money(dearer)
        );
        if back > 0.0 {
            evidence += &format!(", and {} is for what is read elsewhere", money(back));
        }
        Some(Advice {
            kind: "bring",
            node: path.to_owned(),
            what: format!("let it run at `{to}`, where {} reads what it makes", readers.join(", ")),
            saves: money(gain),
            saves_s: first.seconds / first.runs.len().max(1) as f64,
            evidence,
            patch: pinned(node, &pointer(path)?, sites, from, to)?,
        })
    }

    /// A node at one site, by the objective; none where it may not or cannot run.
    fn at_site(
        &self,
        ground: &Ground<'_>,
        sites: &[SiteView],
        (path, node): (&str, &Node),
        site: &str,
        (reads, comes_from): (u64, Option<&str>),
    ) -> Option<Candidate> {
        let work = node.kind.work();
        let family = Family { workflow: &ground.graph.workflow, path, work: &work };
        let gate = ground.ahead.permitted(path, &work, &|_| comes_from.map(str::to_owned));
        if gate.refusal(site).is_some() {
            return None;
        }
        let inputs = comes_from.iter().filter(|_| reads > 0).map(|from| Input { size: reads, sites: vec![(*from).to_owned()] });
        let mut demand = Demand::new(node.needs.clone(), 1, inputs.collect());
        // Attributes are what the advice changes.
        demand.needs.site.clear();
        let estimates = self.learned().read();
        demand.outlooks = sites.iter().map(|site| outlook(&estimates, &family, site)).collect();
        drop(estimates);
        demand.permitted = Permitted::only([site.to_owned()]);
        let plan = placement::plan(sites, &demand);
        plan.explanation.sites.into_iter().find(|judged| judged.site == site && judged.verdict == Verdict::Chosen)
    }
}

/// The node that a transfer was for, and the first digits of what it moved.
fn parts(action: &ActionRow) -> Option<(&ActionRow, &str, &str)> {
    let TransferPath { reader, digest } = TransferPath::parse(&action.path)?;
    Some((action, reader, digest))
}

/// What it costs a run to bring what a node makes from a site to those that read it elsewhere.
fn back(ground: &Ground<'_>, sites: &[SiteView], node: &Node, path: &str, to: &str) -> Option<f64> {
    let view = |name: &str| sites.iter().find(|site| site.name == name);
    let rows = ground.by_path.get(path)?;
    let bytes = rows.iter().map(|row| row.usage.bytes_out).sum::<u64>() / ground.runs as u64;
    let index = ground.graph.nodes.iter().position(|other| other.id == node.id)? as u32;
    let readers = ground.graph.nodes.iter().filter(|other| other.refs.contains(&index));
    let mut elsewhere: BTreeSet<&str> = BTreeSet::new();
    for reader in readers {
        let ran = ground.by_path.iter().filter(|(path, _)| path.split(['[', '/']).next() == Some(reader.id.as_str()));
        elsewhere.extend(ran.flat_map(|(_, rows)| rows.iter().map(|row| row.site.as_str())).filter(|site| *site != to));
    }
    let source = view(to)?;
    let price = |site: &&str| {
        let near = view(site).is_some_and(|there| is_near(&source.attributes, &there.attributes));
        source.prices.of_transfer(source.sent_bytes, bytes, near).units()
    };
    Some(elsewhere.iter().map(price).sum())
}

/// The attributes that lead from one site to another: those that a node asks for already and that are otherwise there, and one that tells the two
/// apart, of several the one that fewest sites share. None where nothing tells them apart.
fn apart(sites: &[SiteView], from: &str, to: &str) -> Option<(String, String)> {
    let view = |name: &str| sites.iter().find(|site| site.name == name);
    let (here, there) = (view(from)?, view(to)?);
    let shared = |key: &String, value: &String| sites.iter().filter(|site| site.attributes.get(key) == Some(value)).count();
    let differs = there.attributes.iter().filter(|(key, value)| here.attributes.get(*key) != Some(*value));
    let least = differs.min_by_key(|(key, value)| shared(key, value))?;
    Some((least.0.clone(), least.1.clone()))
}

/// The edits that let a node run at a site.
fn pinned(node: &Node, pointer: &str, sites: &[SiteView], from: &str, to: &str) -> Option<Vec<Value>> {
    let there = sites.iter().find(|site| site.name == to)?;
    let (key, value) = apart(sites, from, to)?;
    let mut patch = Vec::new();
    for (asked, wanted) in node.needs.site.iter().filter(|(asked, _)| **asked != key) {
        let path = format!("{pointer}/needs/site/{asked}");
        match there.attributes.get(asked) {
            Some(has) if has == wanted => {}
            Some(has) => patch.push(json!({"op": "set", "path": path, "value": has})),
            None => patch.push(json!({"op": "unset", "path": path})),
        }
    }
    patch.push(json!({"op": "set", "path": format!("{pointer}/needs/site/{key}"), "value": value}));
    Some(patch)
}

/// That a copy should be brought while something else is waited for.
fn copy_ahead(
    graph: &Graph,
    sites: &[SiteView],
    (source, from, to): (&Source, &str, &str),
    way: &Way,
    runs: usize,
) -> Option<Advice> {
    let (said, name, expression) = match source {
        Source::Node(path, Some(output)) if graph.nodes.iter().any(|node| node.id == *path) => {
            (format!("`{output}` of `{path}`"), path.clone(), format!("${{ nodes.{path}.{output} }}"))
        }
        Source::Input(name) => (format!("the input `{name}`"), name.clone(), format!("${{ inputs.{name} }}")),
        Source::Node(..) => return None,
    };
    let seen = way.runs.len() as f64;
    let saves_s = (way.seconds / seen).min(way.early_s / seen);
    if saves_s < AHEAD_LEAST_S {
        return None;
    }
    let (key, value) = apart(sites, from, to)?;
    let id = (1..)
        .map(|number| if number == 1 { format!("copy-{name}") } else { format!("copy-{name}-{number}") })
        .find(|id| graph.nodes.iter().all(|node| node.id != *id))?;
    let readers: Vec<String> = way.readers.iter().map(|reader| format!("`{reader}`")).collect();
    let step = json!({"run": {"command": ["true", expression]}, "needs": {"cpu": 0.1, "memory": "16Mi", "site": BTreeMap::from([(key, value)])}});
    Some(Advice {
        kind: "copy_ahead",
        node: way.readers.first()?.clone(),
        what: format!("keep a copy of {said} at `{to}` before {} asks for it: it waits for others meanwhile", readers.join(", ")),
        saves: Money(0),
        saves_s,
        evidence: format!(
            "in {} of {runs} runs {} MB were brought from `{from}` in {:.1} s, {:.1} s after they were there",
            way.runs.len(),
            (way.bytes / way.runs.len() as u64).div_ceil(1_000_000),
            way.seconds / seen,
            way.early_s / seen
        ),
        patch: vec![json!({"op": "add", "node": id, "value": step})],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Vec<SiteView> {
        let site = |name: &str, zone: &str, country: &str| SiteView {
            name: name.into(),
            attributes: BTreeMap::from([("zone".into(), zone.into()), ("country".into(), country.into())]),
            ..SiteView::default()
        };
        vec![site("own", "premises", "DE"), site("near", "cloud", "DE"), site("far", "cloud", "US")]
    }

    const TEXT: &str = "workflow: t/w\ninputs:\n  table: {type: file}\nnodes:\n  first: {run: [\"true\"], outputs: {out: {type: file}}}\n  \
                        long: {run: [\"true\"]}\n  last:\n    run: [cat, \"${ nodes.first.out }\", \"${ inputs.table }\"]\n    after: [long]\n";

    fn graph() -> Graph {
        let read = workflow::compile(TEXT, &BTreeMap::<String, std::sync::Arc<[u8]>>::new(), &workflow::Nothing);
        read.graph.unwrap().as_ref().clone()
    }

    fn way(seconds: f64, early_s: f64) -> Way {
        Way {
            runs: [RunId(1), RunId(2), RunId(3)].into(),
            bytes: 3_000_000_000,
            cost: Money(1),
            seconds: 3.0 * seconds,
            early_s: 3.0 * early_s,
            readers: BTreeSet::from(["last".to_owned()]),
        }
    }

    #[test]
    fn a_copy_comes_ahead_where_something_else_is_waited_for_meanwhile_and_its_edit_is_a_workflow() {
        let (graph, sites) = (graph(), sites());
        let made = Source::Node("first".into(), Some("out".into()));
        let ask = |source: &Source, way: &Way| copy_ahead(&graph, &sites, (source, "own", "far"), way, 4);
        assert!(ask(&made, &way(60.0, 0.2)).is_none(), "it is asked for as soon as it is there");
        assert!(ask(&made, &way(0.5, 60.0)).is_none(), "it comes quickly anyway");
        assert!(ask(&Source::Node("first".into(), None), &way(60.0, 60.0)).is_none(), "it is a part of an output");
        for (source, id) in [(&made, "copy-first"), (&Source::Input("table".into()), "copy-table")] {
            let advice = ask(source, &way(60.0, 40.0)).unwrap();
            assert_eq!((advice.kind, advice.node.as_str(), advice.saves_s), ("copy_ahead", "last", 40.0));
            assert!(
                advice.evidence.contains("in 3 of 4 runs 1000 MB were brought from `own` in 60.0 s, 40.0 s after"),
                "{advice:?}"
            );
            let edits: Vec<workflow::edit::Edit> = serde_json::from_value(advice.patch.into()).unwrap();
            let text = workflow::edit::apply(TEXT, &edits).unwrap().text;
            let edited =
                workflow::compile(&text, &BTreeMap::<String, std::sync::Arc<[u8]>>::new(), &workflow::Nothing).graph.unwrap();
            let copy = edited.nodes.iter().find(|node| node.id == id).unwrap();
            assert_eq!(
                copy.needs.site,
                BTreeMap::from([("country".to_owned(), "US".to_owned())]),
                "what tells it from all others"
            );
            assert_eq!(edited.nodes.len(), graph.nodes.len() + 1);
        }
    }

    #[test]
    fn a_pin_says_what_tells_two_sites_apart_and_mends_what_stands_in_the_way() {
        let sites = sites();
        assert_eq!(apart(&sites, "own", "near"), Some(("zone".into(), "cloud".into())));
        assert_eq!(apart(&sites, "near", "far"), Some(("country".into(), "US".into())));
        assert_eq!(apart(&sites, "near", "near"), None);
        let mut node = graph().nodes[0].clone();
        node.needs.site = BTreeMap::from([("zone".into(), "premises".into()), ("rack".into(), "7".into())]);
        let patch = pinned(&node, "/nodes/first", &sites, "own", "far").unwrap();
        let said: Vec<String> = patch.iter().map(|edit| format!("{} {} {}", edit["op"], edit["path"], edit["value"])).collect();
        assert_eq!(
            said,
            [
                "\"unset\" \"/nodes/first/needs/site/rack\" null",
                "\"set\" \"/nodes/first/needs/site/zone\" \"cloud\"",
                "\"set\" \"/nodes/first/needs/site/country\" \"US\"",
            ]
        );
    }
}
