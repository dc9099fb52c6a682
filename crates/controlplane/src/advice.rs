//! Advice on a workflow, from what it did: each piece with what it would gain, what that rests on, and the edits that make it so. Nothing is
//! changed by itself.

mod data;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use engine::event::ActionKind;
use engine::without_items;
use journal::{ActionFilter, HistoryFilter, HistoryRow, RunFilter, SiteRow};
use model::site::Prices;
use model::{Graph, Money, Node, Phase, Resources};
use placement::{Demand, Input, Verdict};
use prediction::Family;
use serde_json::{Value, json};

use crate::governing::Ahead;
use crate::learning::node_at;
use crate::placer::outlook;
use crate::{ControlPlane, Fault};

/// Actions that advice is drawn from.
const ACTIONS_MAX: usize = 20_000;
/// Runs whose inputs are compared for caching.
const RUNS_MAX: usize = 20;
/// Ends of a task from which on its resources are spoken of.
const ENOUGH: usize = 8;
/// The largest part of attempts that may be called back where spot capacity is advised.
const LOST_MAX: f64 = 0.2;
/// Requests are rounded up to this.
const STEP_BYTES: u64 = 64 << 20;

/// A piece of advice.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// right_size, more_memory, cache, parallel, move, bring, copy_ahead, spot, merge, split.
    pub kind: &'static str,
    /// The node.
    pub node: String,
    /// What to do, as a sentence.
    pub what: String,
    /// What it would save a run, on average; 0 where it is time or safety.
    pub saves: Money,
    /// Seconds that a run would end earlier.
    pub saves_s: f64,
    /// What that rests on.
    pub evidence: String,
    /// The edits that make it so, as the editor takes them.
    pub patch: Vec<Value>,
}

/// What advice is drawn from.
struct Ground<'a> {
    graph: &'a Graph,
    by_path: &'a BTreeMap<String, Vec<&'a HistoryRow>>,
    /// Nodes that gave the same for the same input every time.
    same: &'a BTreeSet<String>,
    runs: usize,
    sites: &'a [SiteRow],
    ahead: &'a Ahead,
}

impl Ground<'_> {
    /// Where most of what a node reads is made.
    fn comes_from(&self, node: &Node) -> Option<String> {
        let before = node.refs.iter().filter_map(|on| self.graph.nodes.get(*on as usize));
        let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
        for row in before.filter_map(|node| self.by_path.get(&node.id)).flatten() {
            *bytes.entry(&row.site).or_default() += row.usage.bytes_out;
        }
        bytes.into_iter().filter(|(_, bytes)| *bytes > 0).max_by_key(|(_, bytes)| *bytes).map(|(site, _)| site.to_owned())
    }

    /// What actions would have cost less, a run, had each held so much less.
    fn saved(&self, less: &Resources, rows: &[&HistoryRow]) -> Money {
        let prices: BTreeMap<&str, &Prices> =
            self.sites.iter().map(|site| (site.spec.name.as_str(), &site.spec.prices)).collect();
        let of = |row: &&HistoryRow| Some(prices.get(row.site.as_str())?.of_use(less, row.usage.wall_us));
        let all: Money = rows.iter().filter_map(of).sum();
        Money(all.0 / self.runs as i64)
    }
}

impl ControlPlane {
    /// Advice on a registered workflow, what gains most first.
    pub fn advise(&self, workflow: &str) -> Result<Vec<Advice>, Fault> {
        let (graph, _) = self.workflow(workflow, None)?;
        let filter = HistoryFilter { workflow: Some(workflow.to_owned()), limit: ACTIONS_MAX, ..HistoryFilter::default() };
        let rows = self.reader().history(&filter).map_err(Fault::internal)?;
        let mut by_path: BTreeMap<String, Vec<&HistoryRow>> = BTreeMap::new();
        // Moving data is no step of a workflow: it is looked at for itself.
        let is_step = |row: &&HistoryRow| row.usage.wall_us > 0 && row.kind != ActionKind::Transfer;
        for row in rows.iter().filter(is_step) {
            by_path.entry(without_items(&row.path)).or_default().push(row);
        }
        let runs = rows.iter().map(|row| row.run).collect::<BTreeSet<_>>().len().max(1);
        let mut advice = self.caching(workflow, &graph)?;
        let same: BTreeSet<String> = advice.iter().map(|one| one.node.clone()).collect();
        let sites = self.reader().sites().map_err(Fault::internal)?;
        let specs: Vec<model::SiteSpec> = sites.iter().map(|row| row.spec.clone()).collect();
        let ahead = self.ahead_with(&graph, crate::runs::DOMAIN, &specs, &[])?;
        let ground = Ground { graph: &graph, by_path: &by_path, same: &same, runs, sites: &sites, ahead: &ahead };
        for (path, rows) in &by_path {
            let Some(node) = node_at(&graph, path) else { continue };
            if rows.len() >= ENOUGH {
                advice.extend(self.memory(&ground, path, node, rows));
                advice.extend(processor(&ground, path, node, rows));
            }
            advice.extend(self.elsewhere(&ground, path, node, rows));
            advice.extend(steps::split(&graph, path, node, rows, runs));
        }
        advice.extend(self.bringing(&ground)?);
        advice.extend(parallel(&graph, &by_path));
        advice.extend(steps::merge(&graph, &by_path));
        advice.sort_by(|a, b| (b.saves, b.saves_s.total_cmp(&a.saves_s)).cmp(&(a.saves, std::cmp::Ordering::Equal)));
        Ok(advice)
    }

    /// Memory that is asked for and never held, or held and never asked for.
    fn memory(&self, ground: &Ground<'_>, path: &str, node: &Node, rows: &[&HistoryRow]) -> Option<Advice> {
        let asked = node.needs.resources.memory_bytes;
        let work = node.kind.work();
        let family = Family { workflow: &ground.graph.workflow, path, work: &work };
        let killed = if asked > 0 { rows.iter().filter(|row| self.was_killed(row, asked)).count() } else { 0 };
        let bytes_in = rows.iter().map(|row| row.usage.bytes_in).max().unwrap_or_default();
        let estimates = self.learned().read();
        let said = estimates.memory_to_ask(&family, bytes_in as f64, (killed > 0 && asked > 0).then_some(asked as f64))?;
        drop(estimates);
        let rounded = (said.bytes as u64).div_ceil(STEP_BYTES) * STEP_BYTES;
        let mib = rounded >> 20;
        let held = rows.iter().map(|row| row.usage.memory_peak_bytes).max().unwrap_or_default() >> 20;
        let pointer = format!("{}/needs/memory", pointer(path)?);
        let patch = vec![json!({"op": "set", "path": pointer, "value": format!("{mib}Mi")})];
        if killed > 0 && rounded > asked {
            let what = format!("ask for {mib} MiB instead of {}: it was killed for holding more", asked >> 20);
            let evidence =
                format!("{killed} of {} actions ended so, or were repeated with more; they held up to {held} MiB", rows.len());
            let (kind, node) = ("more_memory", path.to_owned());
            return Some(Advice { kind, node, what, saves: Money(0), saves_s: 0.0, evidence, patch });
        }
        if killed > 0 || asked < 2 * rounded {
            return None;
        }
        let less = Resources { memory_bytes: asked - rounded, ..Resources::default() };
        Some(Advice {
            kind: "right_size",
            node: path.to_owned(),
            what: format!("ask for {mib} MiB of memory instead of {}", asked >> 20),
            saves: ground.saved(&less, rows),
            saves_s: 0.0,
            evidence: format!(
                "{} attempts held at most {held} MiB; {:?} at its {} would have wasted least",
                said.samples, said.model, said.quantile
            ),
            patch,
        })
    }

    /// Whether an action was killed for its memory, at its end or before it was repeated and held more than the file asks for.
    fn was_killed(&self, row: &HistoryRow, asked: u64) -> bool {
        if row.failure.as_deref() == Some("oom") {
            return true;
        }
        if row.attempt < 2 || row.usage.memory_peak_bytes <= asked {
            return false;
        }
        let attempts =
            self.reader().action(row.run, &row.path).ok().flatten().map(|action| self.reader().attempts(row.run, action.no));
        let class = |failure: &Value| failure.get("class").and_then(Value::as_str) == Some("oom");
        attempts.and_then(Result::ok).is_some_and(|all| all.iter().any(|one| one.failure.as_ref().is_some_and(class)))
    }

    /// A site that is cheaper and that attributes keep it from: bringing what it reads counts, and rules are asked.
    fn elsewhere(&self, ground: &Ground<'_>, path: &str, node: &Node, rows: &[&HistoryRow]) -> Option<Advice> {
        if node.needs.site.is_empty() || rows.is_empty() {
            return None;
        }
        let sites: Vec<placement::SiteView> = ground.sites.iter().map(crate::planning::idle).collect();
        let work = node.kind.work();
        let family = Family { workflow: &ground.graph.workflow, path, work: &work };
        let estimates = self.learned().read();
        let outlooks: Vec<_> = sites.iter().map(|site| outlook(&estimates, &family, site)).collect();
        drop(estimates);
        let reads = rows.iter().map(|row| row.usage.bytes_in).sum::<u64>() / rows.len() as u64;
        let from = ground.comes_from(node);
        let best = |free: bool| {
            let inputs = from.iter().filter(|_| reads > 0).map(|site| Input { size: reads, sites: vec![site.clone()] });
            let mut demand = Demand::new(node.needs.clone(), 1, inputs.collect());
            if free {
                demand.needs.site.clear();
            }
            demand.outlooks = outlooks.clone();
            demand.permitted = ground.ahead.permitted(path, &work, &|_| from.clone());
            let plan = placement::plan(&sites, &demand);
            plan.explanation.sites.into_iter().find(|site| site.verdict == Verdict::Chosen)
        };
        let (pinned, free) = (best(false)?, best(true)?);
        let a_run = |money: Money| Money(money.0.saturating_mul(rows.len() as i64) / ground.runs as i64);
        let saves = a_run(Money(pinned.expected.0 - free.expected.0));
        if free.site == pinned.site || saves.0 <= 0 || saves.0 * 5 < a_run(pinned.expected).0 {
            return None;
        }
        let pointer = pointer(path)?;
        let wanted: Vec<String> = node.needs.site.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let mut evidence = format!("{} there and {} here for one, from {} attempts", free.expected, pinned.expected, rows.len());
        if pinned.egress.0 > free.egress.0 {
            let said = from.as_deref().unwrap_or_default();
            evidence += &format!("; {} of that is for {} MB that come from `{said}`", pinned.egress, reads / 1_000_000);
        }
        let target = sites.iter().find(|site| site.name == free.site)?;
        let lost = target.prices.terms.map_or(0.0, |terms| f64::from(terms.preemptions_per_1000h) / 1000.0);
        if lost <= 0.0 {
            let what = format!(
                "without `{}` it could run at `{}` instead of `{}`; only if nothing but habit asks for it",
                wanted.join(", "),
                free.site,
                pinned.site
            );
            let patch = vec![json!({"op": "unset", "path": format!("{pointer}/needs/site")})];
            return Some(Advice { kind: "move", node: path.to_owned(), what, saves, saves_s: 0.0, evidence, patch });
        }
        // Capacity that is called back: only for what may be done twice, and is short beside that.
        let mean_h = rows.iter().map(|row| row.usage.wall_us as f64 / 3.6e9).sum::<f64>() / rows.len() as f64;
        let p_lost = 1.0 - (-lost * mean_h).exp();
        let repeats_itself = node.cache.is_some() || node.once.is_some() || ground.same.contains(path);
        if !repeats_itself || p_lost > LOST_MAX {
            return None;
        }
        let why = if ground.same.contains(path) {
            "it gave the same for the same input every time"
        } else {
            "it says that it may be repeated"
        };
        evidence +=
            &format!("; {:.1} of 100 would be called back and begin again, which is in that price; {why}", 100.0 * p_lost);
        let key = |(key, _): (&String, &String)| {
            let path = format!("{pointer}/needs/site/{key}");
            match target.attributes.get(key) {
                Some(value) => json!({"op": "set", "path": path, "value": value}),
                None => json!({"op": "unset", "path": path}),
            }
        };
        let what = format!("let it run on the spot capacity of `{}` instead of `{}`", free.site, pinned.site);
        let patch = node.needs.site.iter().map(key).collect();
        Some(Advice { kind: "spot", node: path.to_owned(), what, saves, saves_s: 0.0, evidence, patch })
    }

    /// Nodes that did the same again for the same input.
    fn caching(&self, workflow: &str, graph: &Graph) -> Result<Vec<Advice>, Fault> {
        let filter = RunFilter {
            workflow: Some(workflow.to_owned()),
            phase: Some(Phase::Succeeded),
            limit: RUNS_MAX,
            ..RunFilter::default()
        };
        // By node and input: what came of it, and what that cost.
        type Seen = Vec<(Value, Money, u64)>;
        let mut seen: BTreeMap<(String, String), Seen> = BTreeMap::new();
        let runs = self.reader().runs(&filter).map_err(Fault::internal)?;
        for run in &runs {
            let filter = ActionFilter { from: 0, limit: 500, phase: Some(Phase::Succeeded) };
            for action in self.reader().actions(run.id, &filter).map_err(Fault::internal)? {
                let Some(node) = graph.nodes.iter().find(|node| node.id == action.path) else { continue };
                if node.cache.is_some() || node.once.is_some() || action.reused || action.usage.wall_us < 100_000 {
                    continue;
                }
                let (Some((seq, n)), Some(output)) = (action.input, action.output_seq) else { continue };
                let input = self.reader().body(seq, n).map_err(Fault::internal)?;
                let output = self.reader().body(output, 0).map_err(Fault::internal)?;
                if let (Some(input), Some(output)) = (input, output) {
                    let key = (action.path.clone(), input.to_string());
                    seen.entry(key).or_default().push((output, action.cost, action.usage.wall_us));
                }
            }
        }
        let mut repeats: BTreeMap<&str, (u64, Money, f64, bool)> = BTreeMap::new();
        for ((path, _), ends) in &seen {
            let entry = repeats.entry(path).or_insert((0, Money(0), 0.0, true));
            let Some((first, ..)) = ends.first() else { continue };
            entry.3 &= ends.iter().all(|(output, ..)| output == first);
            for (_, cost, wall_us) in ends.iter().skip(1) {
                *entry = (entry.0 + 1, entry.1 + *cost, entry.2 + *wall_us as f64 / 1e6, entry.3);
            }
        }
        let advice = repeats.into_iter().filter(|(_, (count, _, _, same))| *count >= 2 && *same).map(
            |(path, (count, cost, seconds, _))| {
                let runs = runs.len().max(1);
                Advice {
                    kind: "cache",
                    node: path.to_owned(),
                    what: "reuse what it gave for the same input: it gave the same every time".into(),
                    saves: Money(cost.0 / runs as i64),
                    saves_s: seconds / runs as f64,
                    evidence: format!(
                        "{count} of its actions in the last {runs} runs repeated an earlier one, with equal outputs"
                    ),
                    patch: vec![json!({"op": "set", "path": format!("/nodes/{path}/cache"), "value": {"ttl": "30d"}})],
                }
            },
        );
        Ok(advice.collect())
    }
}

/// Cores that are asked for and never used.
fn processor(ground: &Ground<'_>, path: &str, node: &Node, rows: &[&HistoryRow]) -> Option<Advice> {
    let asked = node.needs.resources.cpu_millis;
    let mut used: Vec<f64> = rows.iter().map(|row| row.usage.cpu_us as f64 / row.usage.wall_us.max(1) as f64).collect();
    used.sort_by(f64::total_cmp);
    let most = used.get((used.len() - 1) * 95 / 100).copied()?;
    let enough = ((most * 1.25 * 4.0).ceil() / 4.0).max(0.25);
    if asked < 500 || most <= 0.0 || enough * 1000.0 * 2.0 > f64::from(asked) {
        return None;
    }
    let less = Resources { cpu_millis: asked - (enough * 1_000.0) as u32, ..Resources::default() };
    Some(Advice {
        kind: "right_size",
        node: path.to_owned(),
        what: format!("ask for {enough} cores instead of {}", f64::from(asked) / 1000.0),
        saves: ground.saved(&less, rows),
        saves_s: 0.0,
        evidence: format!("19 of 20 of {} attempts kept at most {most:.2} cores busy", rows.len()),
        patch: vec![json!({"op": "set", "path": format!("{}/needs/cpu", pointer(path)?), "value": enough})],
    })
}

/// Nodes that wait for one another although neither reads what the other gives.
fn parallel(graph: &Graph, by_path: &BTreeMap<String, Vec<&HistoryRow>>) -> Vec<Advice> {
    let mean = |id: &str| {
        let rows = by_path.get(id)?;
        Some(rows.iter().map(|row| row.usage.wall_us as f64 / 1e6).sum::<f64>() / rows.len() as f64)
    };
    let mut advice = Vec::new();
    for node in graph.nodes.iter().filter(|node| node.kind.is_placed() && !node.after.is_empty()) {
        for on in &node.after {
            let Some(before) = graph.nodes.get(*on as usize).filter(|before| before.kind.is_placed()) else { continue };
            // A connector may have written what this one reads, outside of what the graph can see; a command too. It is for a person to say.
            let (Some(own), Some(first)) = (mean(&node.id), mean(&before.id)) else { continue };
            let saves_s = own.min(first);
            if node.refs.contains(on) || saves_s < 0.1 {
                continue;
            }
            let left: Vec<&str> = node
                .after
                .iter()
                .filter(|other| *other != on)
                .filter_map(|other| graph.nodes.get(*other as usize))
                .map(|node| node.id.as_str())
                .collect();
            let path = format!("/nodes/{}/after", node.id);
            let patch = if left.is_empty() {
                json!({"op": "unset", "path": path})
            } else {
                json!({"op": "set", "path": path, "value": left})
            };
            advice.push(Advice {
                kind: "parallel",
                node: node.id.clone(),
                what: format!(
                    "it waits for `{}` and reads nothing of it; let both run at once, if nothing outside says otherwise",
                    before.id
                ),
                saves: Money(0),
                saves_s,
                evidence: format!("they take {own:.1} s and {first:.1} s, one after the other"),
                patch: vec![patch],
            });
        }
    }
    advice
}

/// The pointer to a node of the file itself; none inside of a sub-workflow, which is another file.
fn pointer(path: &str) -> Option<String> {
    if path.contains('/') {
        return None;
    }
    let id = path.split('[').next()?;
    let depth = path.matches("[]").count();
    Some(format!("/nodes/{id}{}", "/each/do".repeat(depth)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_to_nodes_of_the_file() {
        assert_eq!(pointer("train").as_deref(), Some("/nodes/train"));
        assert_eq!(pointer("sub/train"), None);
    }
}
