//! Levels 3 and 4 of a verification: every decision of the rules is made again, and every label and ticket computed again, from the entries
//! alone. What is recorded has to be what comes out.
//!
//! The rules, the sites and the key of tickets are those that the entries before say. Beside the entries only the bodies of the rules and the
//! graphs are needed, both of which are named by their digests in the entries. Values of users are not: where they are at hand, labels that
//! hang on them are computed exactly, and otherwise compared with the bounds that the workflow gives.

mod decisions;
mod files;
mod labels;
mod run;
mod tickets;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use audit::export::{PROBLEMS_MAX, Problem};
use engine::Event;
use model::{Digest, Duration, Epoch, Graph, Label, RunId, Seq, SiteSpec, Timestamp};
use policy::{Cache, Fleet, Rules};
use serde::Serialize;

use crate::governing::{Registered, is_of_rules};
use run::Run;

/// Whether work is that of a connector, which has its version behind its name. So has a task that a node of a workflow calls; but the names of
/// connectors are of two parts.
fn is_connector(work: &str) -> bool {
    work.split_once('@').is_some_and(|(name, _)| name.contains('/'))
}

/// Rules that were in force so long before an entry may have been those of an answer that was under way.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// Rules that are kept for that.
const KEPT_MAX: usize = 64;

/// Graphs by their digests. What it gives is compared with the digest.
pub type Graphs<'g> = &'g mut dyn FnMut(&Digest) -> Option<Arc<Graph>>;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rederived {
    /// Changes of the rules that were followed.
    pub rules: u64,
    /// Level 3: decisions that were made again, by what they were about.
    pub decisions: BTreeMap<String, u64>,
    /// Level 4: labels and tickets that were computed again, by what they are of.
    pub labels: BTreeMap<String, u64>,
    /// What could not be looked at, and why.
    pub left_out: BTreeMap<String, u64>,
    /// How many things are wrong.
    pub problems_total: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

impl Rederived {
    /// Whether everything is as it was recorded.
    pub fn holds(&self) -> bool {
        self.problems_total == 0
    }
}

/// Rules that were in force, and until when.
struct Past {
    until: Timestamp,
    rules: Arc<Rules>,
}

/// A verification under way: it is given every entry, in order.
pub struct Rederive<'g> {
    graphs: Graphs<'g>,
    registered: Registered,
    rules: Arc<Rules>,
    past: VecDeque<Past>,
    sites: BTreeMap<String, SiteSpec>,
    fleet: Fleet,
    cache: Cache,
    epoch: Epoch,
    ticket_key: Option<Digest>,
    runs: BTreeMap<RunId, Run>,
    /// What each artifact carries, by all that was recorded of it.
    stored: BTreeMap<Digest, Label>,
    found: Rederived,
}

impl<'g> Rederive<'g> {
    /// Before the first entry.
    pub fn new(graphs: Graphs<'g>) -> Rederive<'g> {
        Rederive {
            graphs,
            registered: Registered::default(),
            rules: Arc::default(),
            past: VecDeque::new(),
            sites: BTreeMap::new(),
            fleet: Fleet::default(),
            cache: Cache::default(),
            epoch: Epoch(0),
            ticket_key: None,
            runs: BTreeMap::new(),
            stored: BTreeMap::new(),
            found: Rederived::default(),
        }
    }

    /// Takes the next entry. Of documents that rules are made of the bodies have to be in place.
    pub fn take(&mut self, seq: Seq, at: Timestamp, event: &Event) {
        if let Some(run) = event.run() {
            self.of_run(run, seq, at, event);
        } else {
            self.of_fleet(seq, at, event);
        }
    }

    /// An entry that a later version wrote stands here: nothing is known of it.
    pub fn unread(&mut self) {
        self.left_out("entries of a kind that this version does not know");
    }

    /// What came of it.
    pub fn finish(mut self) -> Rederived {
        let waiting: Vec<RunId> = self.runs.iter().filter(|(_, run)| run.unlabelled.is_some()).map(|(id, _)| *id).collect();
        for run in waiting {
            self.without_labels(run);
        }
        self.found
    }

    fn problem(&mut self, level: u8, seq: Seq, what: impl Into<String>) {
        self.found.problems_total += 1;
        if self.found.problems.len() < PROBLEMS_MAX {
            self.found.problems.push(Problem { level, seq: Some(seq.0), what: what.into() });
        }
    }

    fn decided(&mut self, about: &str) {
        *self.found.decisions.entry(about.to_owned()).or_default() += 1;
    }

    fn computed(&mut self, of: &str) {
        *self.found.labels.entry(of.to_owned()).or_default() += 1;
    }

    fn left_out(&mut self, why: &str) {
        *self.found.left_out.entry(why.to_owned()).or_default() += 1;
    }

    fn of_fleet(&mut self, seq: Seq, at: Timestamp, event: &Event) {
        match event {
            Event::EpochBegan(e) => {
                if e.epoch <= self.epoch {
                    self.problem(4, seq, format!("incarnation {} begins after incarnation {}", e.epoch, self.epoch));
                }
                (self.epoch, self.ticket_key) = (e.epoch, e.ticket_key);
            }
            Event::SiteRegistered(e) => {
                self.sites.insert(e.site.name.clone(), e.site.clone());
                self.fleet = Fleet::new(self.sites.values());
            }
            Event::SiteRemoved(e) => {
                self.sites.remove(&e.site);
                self.fleet = Fleet::new(self.sites.values());
            }
            Event::ResourceApplied(e) if is_of_rules(&e.kind) => {
                // Documents lie open: their commitments have no salt.
                let committed = model::Payload::new(&[0; 32], e.body.value().clone()) == e.body;
                if e.body.body.is_none() {
                    self.problem(
                        3,
                        seq,
                        format!("the {} `{}` is not at hand: nothing after it can be decided again", e.kind, e.name),
                    );
                } else if !committed {
                    self.problem(3, seq, format!("the {} `{}` is not what was committed to", e.kind, e.name));
                }
                self.rules_changed(at, event);
            }
            Event::ResourceDeleted(_) => self.rules_changed(at, event),
            _ => {}
        }
    }

    fn rules_changed(&mut self, at: Timestamp, event: &Event) {
        if !self.registered.note(event) {
            return;
        }
        self.found.rules += 1;
        let rules = Arc::new(Rules::new(self.registered.sources()).0);
        self.past.push_back(Past { until: at, rules: std::mem::replace(&mut self.rules, rules) });
        if self.past.len() > KEPT_MAX {
            self.past.pop_front();
        }
    }

    /// The rules by which an answer may have been given that is recorded at a time: those in force, and those that were a moment before.
    fn rules_at(&self, at: Timestamp) -> Vec<Arc<Rules>> {
        let recent = self.past.iter().rev().take_while(|past| at.since(past.until) <= UNDER_WAY);
        std::iter::once(self.rules.clone()).chain(recent.map(|past| past.rules.clone())).collect()
    }

    fn of_run(&mut self, id: RunId, seq: Seq, at: Timestamp, event: &Event) {
        if let Event::RunSubmitted(submitted) = event {
            return self.submitted(seq, at, submitted);
        }
        if !self.runs.contains_key(&id) {
            return self.left_out("entries of runs whose beginning is not among the entries");
        }
        if !matches!(event, Event::RunLabelled(_)) && self.runs.get(&id).is_some_and(|run| run.unlabelled.is_some()) {
            self.without_labels(id);
        }
        if !matches!(event, Event::ArtifactsLabelled(_)) {
            self.without_artifacts(id);
        }
        match event {
            Event::AttemptFinished(e) => self.stored(id, e.action, e.output.as_ref(), &e.locations),
            Event::ActionFinished(e) => self.stored(id, e.action, e.output.as_ref(), &e.locations),
            Event::ActionsPlaced(e) => self.reads_its_own(seq, e),
            _ => {}
        }
        match event {
            Event::RunLabelled(e) => self.run_labelled(seq, at, e),
            Event::ActionsOpened(e) => e.actions.iter().for_each(|one| self.opened(id, seq, one, None)),
            Event::ChildOpened(e) => {
                self.entered(id, seq, at, e);
                self.inside(id, seq, at, e);
                self.opened(id, seq, &e.opened, Some(e));
            }
            Event::ActionsPlaced(e) => self.placed(seq, e),
            Event::ActionsParked(e) => self.parked(seq, e),
            Event::CancelRequested(e) => {
                if e.why == engine::event::CancelReason::Denied {
                    self.stopped(seq, e);
                }
                e.ended.iter().for_each(|action| self.ended(id, *action, model::Phase::Aborted, false));
            }
            Event::SecretsReleased(e) => self.released(seq, at, e),
            Event::EgressDecided(e) => self.reached(seq, at, e),
            Event::NetworkUsed(e) => self.used(seq, e),
            Event::TicketIssued(e) => self.ticket(seq, at, e),
            Event::AttemptFinished(e) => {
                if e.phase == model::Phase::Succeeded {
                    self.gave(id, seq, e);
                }
                if e.retry_at.is_none() {
                    self.ended(id, e.action, e.phase, false);
                }
            }
            Event::ActionFinished(e) => self.ended(id, e.action, e.phase, e.reused),
            Event::ArtifactsLabelled(e) => self.artifacts(seq, e),
            Event::RunFinished(_) => drop(self.runs.remove(&id)),
            _ => {}
        }
    }
}

/// Entries read at a time, and bytes of them.
const ENTRIES: usize = 2_000;
const BYTES: usize = 16 << 20;

impl crate::ControlPlane {
    /// Levels 3 and 4 of the journal up to its present end. Blocks.
    pub fn rederive(&self) -> Result<Rederived, crate::Fault> {
        rederive(self.reader()).map_err(crate::Fault::internal)
    }
}

fn rederive(reader: &journal::Reader) -> Result<Rederived, journal::JournalError> {
    let mut known: BTreeMap<Digest, Option<Arc<Graph>>> = BTreeMap::new();
    let mut graphs = |digest: &Digest| known.entry(*digest).or_insert_with(|| reader.graph(digest).ok().flatten()).clone();
    let mut check = Rederive::new(&mut graphs);
    let (_, last, _) = reader.last()?;
    let mut after = Seq(0);
    while after < last {
        let events = reader.events_within(after, None, ENTRIES, BYTES)?;
        let before = after;
        for (seq, at, _, event) in events.iter().take_while(|(seq, ..)| *seq <= last) {
            check.take(*seq, *at, event);
            after = *seq;
        }
        // What cannot be read is said by the levels below.
        if after == before {
            break;
        }
    }
    Ok(check.finish())
}
