//! What other rules would have changed: what ran, and what travelled, is decided again by them.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::Event;
use engine::event::Role;
use journal::{RunFilter, RunRow};
use model::limits::{SIMULATED_ENTRIES_MAX, SIMULATED_RUNS_MAX};
use model::{Label, Seq, Timestamp};
use policy::{Cache, Fleet, Rules, Work};

use super::certify;
use crate::applying::read_all;
use crate::{ControlPlane, Fault, SourceFile};

/// Runs read at a time.
const PAGE: usize = 200;
/// Entries read at a time.
const ENTRIES: usize = 2_000;

/// What other rules would have changed.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// Runs that were looked at.
    pub runs: usize,
    /// Actions that were placed, and files that were moved.
    pub decisions: usize,
    /// Whether there were more than are looked at.
    pub more: bool,
    /// What would be another answer, the most frequent first.
    pub changes: Vec<Changed>,
    /// Registered workflows of which a step would have no place any more, and why.
    pub refused: BTreeMap<String, String>,
    /// Registered workflows that are refused by the rules in force and would not be.
    pub freed: Vec<String>,
}

/// An answer that would be another one.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What runs.
    pub work: Work,
    /// What its data carries.
    pub label: Label,
    /// Where it ran, or where its data went.
    pub site: String,
    /// Where its data came from, when it is about moving.
    pub from: Option<String>,
    /// Whether it would be permitted now.
    pub allowed: bool,
    /// Why not, by the rules that refuse it: the other ones, or those in force.
    pub why: String,
    /// How often.
    pub times: usize,
    /// The latest of them: run and action.
    pub latest: (String, String),
}

/// A question that was answered when something was placed or moved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    work: Work,
    label: Label,
    site: String,
    from: Option<String>,
}

impl ControlPlane {
    /// Decides again, by the rules as they would be with these documents, what was placed and moved since a time. Nothing is registered.
    pub fn simulate_rules(
        &self,
        documents: &[SourceFile],
        files: &BTreeMap<String, Arc<[u8]>>,
        since: Timestamp,
    ) -> Result<Simulated, Fault> {
        let (read, outcome) = read_all(self.reader(), documents, files);
        if outcome.failed() {
            return Err(outcome.into());
        }
        let then = self.rules_with(&read, &[])?;
        let (now, fleet) = (self.rules(), self.policy_fleet()?);
        let mut found = Simulated::default();
        let asked = self.asked_since(since, &mut found)?;
        let (mut before, mut after) = (Cache::default(), Cache::default());
        for (question, (times, latest)) in asked {
            found.decisions += times;
            let was = answer(&now, &mut before, &fleet, &question);
            let is = answer(&then, &mut after, &fleet, &question);
            if was.0 != is.0 {
                let Question { work, label, site, from } = question;
                let why = if is.0 { was.1 } else { is.1 };
                found.changes.push(Changed { work, label, site, from, allowed: is.0, why, times, latest });
            }
        }
        found.changes.sort_by_key(|change| (change.allowed, std::cmp::Reverse(change.times)));
        self.recertify(&now, &then, &fleet, &mut found)?;
        Ok(found)
    }

    /// The questions that were answered since a time, how often each was, and the latest of them.
    #[expect(clippy::type_complexity, reason = "it is read once, right above")]
    fn asked_since(
        &self,
        since: Timestamp,
        found: &mut Simulated,
    ) -> Result<BTreeMap<Question, (usize, (String, String))>, Fault> {
        let mut asked = BTreeMap::new();
        let (mut before, mut left) = (None, SIMULATED_ENTRIES_MAX);
        loop {
            let filter = RunFilter { before, limit: PAGE, ..RunFilter::default() };
            let runs = self.reader().runs(&filter).map_err(Fault::internal)?;
            let last = runs.len() < PAGE;
            for run in runs {
                before = Some(run.id);
                if run.submitted_at < since {
                    continue;
                }
                if found.runs >= SIMULATED_RUNS_MAX || left == 0 {
                    found.more = true;
                    return Ok(asked);
                }
                found.runs += 1;
                self.asked_by(&run, &mut left, &mut asked)?;
            }
            if last {
                return Ok(asked);
            }
        }
    }

    /// What was placed and brought for a run, as its entries say.
    fn asked_by(
        &self,
        run: &RunRow,
        left: &mut usize,
        asked: &mut BTreeMap<Question, (usize, (String, String))>,
    ) -> Result<(), Fault> {
        let graph = self.reader().graph(&run.graph).map_err(Fault::internal)?;
        let mut works = graph.map(|graph| super::works_of(&graph, "")).unwrap_or_default();
        let mut opened: BTreeMap<u32, (String, Label, String)> = BTreeMap::new();
        let mut after = Seq(0);
        loop {
            let events = self.reader().events(after, Some(run.id), ENTRIES.min(*left)).map_err(Fault::internal)?;
            if events.is_empty() {
                return Ok(());
            }
            *left = left.saturating_sub(events.len());
            for (seq, _, _, event) in events {
                after = seq;
                let mut ask = |path: &str, label: &Label, work: String, site: &str, from: Option<String>| {
                    let (project, workflow, domain) = (run.project.clone(), run.workflow.clone(), run.domain.clone());
                    let work = Work { project, workflow, domain, work };
                    let question = Question { work, label: label.clone(), site: site.to_owned(), from };
                    let latest = (run.name.clone(), path.to_owned());
                    asked.entry(question).or_insert((0, latest)).0 += 1;
                };
                match &event {
                    Event::ActionsOpened(e) => {
                        for one in &e.actions {
                            let work = works.get(&engine::without_items(&one.path)).cloned();
                            if let Role::Transfer { wanted_by, from, to, .. } = &one.role {
                                let of = opened.get(&wanted_by.0).map_or_else(|| "run".into(), |(_, _, work)| work.clone());
                                ask(&one.path, &one.label, of, to, Some(from.clone()));
                            } else if let Some(work) = work {
                                opened.insert(one.action.0, (one.path.clone(), one.label.clone(), work));
                            }
                        }
                    }
                    Event::ChildOpened(e) => {
                        let one = &e.opened;
                        if let Some(graph) = super::asked_graph(&e.definition) {
                            works.extend(super::works_of(&graph, &format!("{}/", one.path)));
                        }
                        opened.insert(one.action.0, (one.path.clone(), one.label.clone(), "run".into()));
                    }
                    Event::ActionsPlaced(e) => {
                        for (path, label, work) in e.actions.iter().filter_map(|placed| opened.get(&placed.action.0)) {
                            ask(path, label, work.clone(), &e.site, None);
                        }
                    }
                    _ => {}
                }
            }
            if *left == 0 {
                return Ok(());
            }
        }
    }

    /// Which registered workflows would be refused, and which would not be any more.
    fn recertify(&self, now: &Rules, then: &Rules, fleet: &Fleet, found: &mut Simulated) -> Result<(), Fault> {
        let (mut before, mut after) = (Cache::default(), Cache::default());
        for row in self.reader().resources("workflow", None, None).map_err(Fault::internal)? {
            let (graph, _) = self.workflow(&row.name, None)?;
            let at = crate::clock::wall();
            let was = !now.governed() || certify(now, &graph, fleet, &mut before, at).is_ok();
            match certify(then, &graph, fleet, &mut after, at) {
                Err(fault) if was => drop(found.refused.insert(row.name, fault.detail)),
                Ok(_) if !was => found.freed.push(row.name),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether it is permitted, and why not.
fn answer(rules: &Rules, cache: &mut Cache, fleet: &Fleet, question: &Question) -> (bool, String) {
    let verdict = match &question.from {
        None => cache.places(rules, fleet, &question.work, &question.label).get(&question.site).cloned(),
        Some(from) if fleet.names().any(|name| name == question.site) => {
            Some(rules.may_move(&question.work, &question.label, fleet, from, &question.site))
        }
        Some(_) => None,
    };
    // A site that is gone is nobody's refusal.
    verdict
        .map_or((true, String::new()), |verdict| (verdict.allowed, if verdict.allowed { String::new() } else { verdict.why() }))
}
