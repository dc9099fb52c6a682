//! Placing: what the placer may choose from, and carrying out what it chose.

use std::collections::{BTreeMap, VecDeque};

use model::{ActionKey, ActionNo, ArtifactRef, AttemptNo, Digest, Failure, FailureClass, NodeKind, Phase, RunId, TransferPath};

use crate::action::{Action, ActionState};
use crate::event::{ActionsOpened, ActionsParked, ActionsPlaced, Opened, Placed, Role};
use crate::evolve::demand_of;
use crate::fleet::Demand;
use crate::run::Run;
use crate::state::without_items;
use crate::{AskedBy, Candidate, Event, InputArtifact, Placement, State};

use super::Stepper;

/// How many more actions of runs may begin.
type Room = BTreeMap<RunId, usize>;

/// How many parked actions of one demand are looked at again at a time.
const PARKED_HEADS_MAX: usize = 32;

impl State {
    /// Queued actions for the placer: everything not looked at yet (at most `limit` actions) and, when something was released
    /// since, the first of each parked demand. Answer with [`crate::Command::Place`] for every candidate; call until it is empty.
    ///
    /// Of a run that says how many of its actions may be at work, no more are given than may begin. What is looked at first may have no place,
    /// and does not stand before what has one: the others are given with the next call.
    pub fn take_candidates(&mut self, limit: usize) -> Vec<Candidate> {
        // What a run may begin is counted once for all that are looked at.
        let (mut room, mut may) = (Room::default(), Room::default());
        let mut heads = std::mem::take(&mut self.passing.heads);
        let mut may_begin = |run| *may.entry(run).or_insert_with(|| self.may_begin(run)) > 0;
        if self.passing.room {
            heads = self.fleet.queue.heads(PARKED_HEADS_MAX, &mut may_begin);
        }
        let mut later = VecDeque::new();
        let fresh = self.fleet.queue.fresh.iter().map(|(_, _, key)| *key);
        let mut keys: Vec<ActionKey> = fresh.filter(|key| self.takes(&mut room, key.run)).take(limit).collect();
        for key in heads.into_iter().filter(|key| self.fleet.queue.is_parked(*key)) {
            if self.takes(&mut room, key.run) {
                keys.push(key);
            } else if may_begin(key.run) {
                later.push_back(key);
            }
        }
        (self.passing.room, self.passing.heads) = (false, later);
        self.group(keys)
    }

    /// How many actions of a run may begin now: all, where it does not say how many may be at work.
    fn may_begin(&self, run: RunId) -> usize {
        self.runs.get(&run).filter(|run| run.may_place()).map_or(0, Run::may_begin)
    }

    /// Takes the place of one action of a run, when there is one left.
    fn takes(&self, left: &mut Room, run: RunId) -> bool {
        let left = left.entry(run).or_insert_with(|| self.may_begin(run));
        let takes = *left > 0;
        *left = left.saturating_sub(1);
        takes
    }

    /// Puts actions of a run together that are alike.
    fn group(&self, keys: Vec<ActionKey>) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        // What is known of a task is of one node; where there is no choice, nothing needs to be known.
        let apart = self.fleet.sites.len() > 1;
        let mut places: BTreeMap<_, usize> = BTreeMap::new();
        for key in keys {
            let Some(run) = self.runs.get(&key.run) else { continue };
            let Some(action) = run.action(key.action) else { continue };
            let Some(demand) = demand_of(self, key) else { continue };
            let inputs = inputs_of(run, action);
            let node = apart.then_some((action.scope, action.node));
            let asked_by = asked_by(run, action);
            let place = *places.entry((key.run, demand.clone(), inputs.clone(), node, asked_by.clone())).or_insert_with(|| {
                let Demand { needs, label, work, .. } = demand;
                let path = without_items(&action.path);
                let planned = run.plan.get(path.as_str()).map(|(site, rest)| (site.to_string(), *rest));
                candidates.push(Candidate {
                    run: key.run,
                    actions: Vec::new(),
                    needs,
                    label,
                    work,
                    uses: matches!(action.unit.node.kind, NodeKind::Use { .. }),
                    inputs,
                    names: run.names.clone(),
                    path,
                    queued_at: action.queued_at,
                    priority: run.priority,
                    goal: run.goal,
                    planned,
                    asked_by,
                });
                candidates.len() - 1
            });
            if let Some(candidate) = candidates.get_mut(place) {
                candidate.actions.push(key);
            }
        }
        candidates
    }
}

/// What is wrong with an input, when something is: no site has a copy of it, or it carries more than what the action may read, so that it was
/// named and never given.
fn unfit_input(run: &Run, action: &Action) -> Option<Failure> {
    let input = action.input.as_ref()?;
    let has_copy =
        |artifact: &ArtifactRef| run.locations.get(&artifact.digest).is_some_and(|location| !location.sites.is_empty());
    let artifacts = ArtifactRef::all_in(input.value());
    if let Some(lost) = artifacts.iter().find(|artifact| !has_copy(artifact)) {
        let message = format!("its input `{}` ({}) is lost: no site has a copy of it any more", lost.name, lost.digest);
        return Some(Failure::new(FailureClass::Transfer, message));
    }
    let beyond = |artifact: &ArtifactRef| run.locations.get(&artifact.digest)?.beyond(&action.label).cloned();
    let (named, label) = artifacts.iter().find_map(|artifact| Some((artifact, beyond(artifact)?)))?;
    let message = format!("its input `{}` carries {label}, and nothing that it was given by does: it only names it", named.name);
    Some(Failure::new(FailureClass::Refused, message))
}

/// The running action that asked for another one.
fn asked_by(run: &Run, action: &Action) -> Option<AskedBy> {
    let Role::Child { parent } = action.role else { return None };
    let parent = run.action(parent)?;
    Some(AskedBy { work: parent.unit.work(), site: parent.site.clone(), label: parent.label.clone() })
}

fn inputs_of(run: &Run, action: &Action) -> Vec<InputArtifact> {
    let Some(input) = &action.input else { return Vec::new() };
    let describe = |artifact: ArtifactRef| {
        let location = run.locations.get(&artifact.digest);
        let sites = location.map(|location| location.sites.iter().map(|site| site.to_string()).collect()).unwrap_or_default();
        InputArtifact { digest: artifact.digest, size: artifact.size, sites }
    };
    ArtifactRef::all_in(input.value()).into_iter().map(describe).collect()
}

impl Stepper<'_, '_> {
    /// Carries out what the placer chose, checking again that it is still possible.
    pub(super) fn place(&mut self, placements: Vec<Placement>) {
        for placement in placements {
            let mut by_run: BTreeMap<RunId, Vec<ActionNo>> = BTreeMap::new();
            for key in &placement.actions {
                let queued = self.action(*key).is_some_and(|action| action.state == ActionState::Queued);
                if queued && self.run(key.run).is_some_and(Run::may_place) {
                    by_run.entry(key.run).or_default().push(key.action);
                }
            }
            for (run, actions) in by_run {
                let actions = self.without_lost(run, actions);
                match (&placement.site, &placement.refused) {
                    (Some(site), _) => self.place_at(run, actions, site, &placement),
                    (None, None) => self.park(run, actions, &placement.explanation),
                    (None, Some(why)) => self.refuse(run, actions, &placement.explanation, why),
                }
            }
        }
    }

    /// Fails the actions of which an input is lost or not theirs, and gives the others: no site could ever begin them.
    fn without_lost(&mut self, id: RunId, actions: Vec<ActionNo>) -> Vec<ActionNo> {
        let Some(run) = self.run(id) else { return Vec::new() };
        let lost = |number: &ActionNo| Some((*number, unfit_input(run, run.action(*number)?)?));
        let lost: Vec<(ActionNo, Failure)> = actions.iter().filter_map(lost).collect();
        let left = actions.into_iter().filter(|number| lost.iter().all(|(lost, _)| lost != number)).collect();
        for (number, failure) in lost {
            self.finish(ActionKey::new(id, number), Phase::Failed, None, Some(failure));
        }
        left
    }

    fn place_at(&mut self, id: RunId, actions: Vec<ActionNo>, site_name: &str, placement: &Placement) {
        let explanation: &str = &placement.explanation;
        let Some(run) = self.run(id) else { return };
        let Some(site) = self.state.fleet.sites.get(site_name) else { return };
        let mut free = if site.is_open() { site.free() } else { Default::default() };
        let (mut placed, mut left, mut worker) = (Vec::new(), Vec::new(), None);
        for number in actions {
            let Some(action) = run.action(number) else { continue };
            let needs = &action.unit.node.needs.resources;
            if !site.is_open() || !free.covers(needs) {
                left.push(number);
                continue;
            }
            if placement.by_worker {
                worker.get_or_insert_with(|| action.unit.work());
            } else {
                free = free.minus(needs);
            }
            let awaits = inputs_of(run, action).into_iter().map(|input| input.digest);
            let awaits = awaits.filter(|digest| !run.has_copy(digest, site_name)).collect();
            placed.push(Placed { action: number, attempt: AttemptNo(action.attempt.0 + 1), awaits });
        }
        let wanted: Vec<(ActionNo, Digest)> =
            placed.iter().flat_map(|placed| placed.awaits.iter().map(|digest| (placed.action, *digest))).collect();
        if !placed.is_empty() {
            let epoch = self.state.fleet.epoch;
            let (site, explanation) = (site_name.to_owned(), explanation.to_owned());
            self.emit(Event::ActionsPlaced(ActionsPlaced { run: id, site, epoch, actions: placed, explanation, worker }));
        }
        self.bring(id, &wanted, site_name);
        self.park(id, left, explanation);
    }

    /// Opens the transfers that bring what is missing, one for each artifact.
    fn bring(&mut self, id: RunId, wanted: &[(ActionNo, Digest)], to: &str) {
        for (number, artifact) in wanted {
            let Some(run) = self.run(id) else { return };
            let arriving = run.arriving.get(&(*artifact, to.into()));
            if arriving.is_some_and(|arriving| arriving.transfer.is_some()) {
                continue;
            }
            let Some(action) = run.action(*number) else { continue };
            let location = run.locations.get(artifact).cloned().unwrap_or_default();
            let from = location.sites.first().map(|site| site.to_string()).unwrap_or_default();
            let opened = Opened {
                action: ActionNo(run.actions.len() as u32),
                scope: action.scope,
                node: action.node,
                input: None,
                label: action.label.clone(),
                recall: None,
                path: TransferPath::of(&action.path, artifact, to, action.attempt),
                kind: crate::event::ActionKind::Transfer,
                instant: false,
                role: Role::Transfer { wanted_by: *number, artifact: *artifact, size: location.size, from, to: to.to_owned() },
            };
            self.emit(Event::ActionsOpened(ActionsOpened { run: id, actions: vec![opened] }));
        }
    }

    /// Fails what a running action asked for and the rules let run nowhere: whoever asked is told, and goes on as it likes. The decision is
    /// recorded with its reasons as any other.
    fn refuse(&mut self, id: RunId, actions: Vec<ActionNo>, explanation: &str, why: &str) {
        self.park(id, actions.clone(), explanation);
        for number in actions {
            self.finish(ActionKey::new(id, number), Phase::Failed, None, Some(super::children::refusal(why)));
        }
    }

    fn park(&mut self, id: RunId, actions: Vec<ActionNo>, explanation: &str) {
        let queue = &self.state.fleet.queue;
        let fresh: Vec<ActionNo> = actions.into_iter().filter(|number| !queue.is_parked(ActionKey::new(id, *number))).collect();
        if !fresh.is_empty() {
            self.emit(Event::ActionsParked(ActionsParked { run: id, actions: fresh, explanation: explanation.to_owned() }));
        }
    }
}
