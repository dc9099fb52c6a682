//! What is remembered of a run while its entries pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::RunLabelled;
use model::{ActionNo, AttemptNo, Carried, EgressGrant, Graph, Label, Payload, Phase, Seq, Timestamp};
use policy::Work;
use serde_json::Value;

use super::files::Files;

/// A run that is open.
pub(super) struct Run {
    pub(super) project: String,
    pub(super) workflow: String,
    pub(super) domain: String,
    /// The label that all its actions carry.
    pub(super) label: Label,
    pub(super) graph: Option<Arc<Graph>>,
    /// Its inputs, when they are at hand.
    pub(super) inputs: Option<Value>,
    /// Where and when it was submitted, until it is known whether its labels are recorded.
    pub(super) unlabelled: Option<(Seq, Timestamp)>,
    pub(super) labels: RunLabelled,
    /// By the path of a workflow that a running action asked for: what all of it carries beside what was counted.
    pub(super) beyond: BTreeMap<String, Label>,
    /// What each step runs, by its path.
    pub(super) works: BTreeMap<String, String>,
    pub(super) actions: BTreeMap<ActionNo, Action>,
    /// Secrets that were released, by the attempt.
    pub(super) released: BTreeMap<(ActionNo, AttemptNo), BTreeSet<String>>,
    /// What may be reached, by the attempt.
    pub(super) reach: BTreeMap<(ActionNo, AttemptNo), BTreeSet<EgressGrant>>,
    /// What its files were brought under.
    pub(super) files: Files,
    /// Outputs of an earlier run that stand for nodes, by their paths.
    pub(super) reused: Vec<(String, Payload)>,
    /// An output that has to be followed by the labels of its artifacts.
    pub(super) gave: Option<Gave>,
}

/// An action of it.
#[derive(Clone)]
pub(super) struct Action {
    pub(super) path: String,
    pub(super) label: Label,
    /// What it was given.
    pub(super) input: Option<Payload>,
    /// What it runs; none when it takes no place by the rules.
    pub(super) work: Option<String>,
    /// Who asked for it, when it was a running action.
    pub(super) asked_by: Option<ActionNo>,
    /// Whether it is a workflow within the run.
    pub(super) is_workflow: bool,
    /// Whether it is one that began, and did not end where it was opened.
    pub(super) is_begun_workflow: bool,
    /// The tags that came with the results of what it asked for.
    pub(super) grown: Label,
    /// Whether it has ended.
    pub(super) has_ended: bool,
    /// Of a file on its way: for which action it is brought, from where, to where.
    pub(super) moves: Option<(ActionNo, String, String)>,
    /// Where it is placed.
    pub(super) at: Option<String>,
    /// Where each of its attempts was placed.
    pub(super) placed: BTreeMap<AttemptNo, String>,
}

/// What an attempt gave.
pub(super) struct Gave {
    pub(super) seq: Seq,
    pub(super) action: ActionNo,
    pub(super) carried: Carried,
    pub(super) output: Option<Payload>,
}

impl Run {
    /// What the last attempt of an action may reach.
    pub(super) fn last_reach(&self, action: ActionNo) -> Option<&BTreeSet<EgressGrant>> {
        let attempts = self.reach.range((action, AttemptNo(0))..=(action, AttemptNo(u32::MAX)));
        attempts.last().map(|(_, ways)| ways)
    }

    /// What its work is, as policies see it.
    pub(super) fn work(&self, action: &Action) -> Option<Work> {
        Some(Work {
            project: self.project.clone(),
            workflow: self.workflow.clone(),
            domain: self.domain.clone(),
            work: action.work.clone()?,
        })
    }

    /// What the action at a path can read.
    pub(super) fn reads(&self, path: &str) -> Label {
        let mut label = self.label.clone();
        self.labels.reads.get(&engine::without_items(path)).into_iter().for_each(|read| label.join(read));
        self.beyond_at(path).into_iter().for_each(|beyond| label.join(beyond));
        label
    }

    fn beyond_at(&self, path: &str) -> Option<&Label> {
        self.beyond.get(path.split('/').next().unwrap_or(path))
    }

    /// What an action gives back carries.
    pub(super) fn gives(&self, action: &Action) -> Carried {
        if action.asked_by.is_some() && !action.is_workflow {
            return Carried { all: action.label.clone(), fields: BTreeMap::new() };
        }
        let mut carried = self.labels.gives.get(&engine::without_items(&action.path)).cloned().unwrap_or_default();
        carried.all.join(&action.grown);
        self.beyond_at(&action.path).into_iter().for_each(|beyond| carried.all.join(beyond));
        carried
    }

    /// Somebody is told what an action came to that they asked for: from now on they carry what it does, and what follows a node does too. Of a
    /// workflow that failed they are told nothing that they do not carry.
    pub(super) fn told(&mut self, ended: ActionNo, phase: Phase) {
        let Some(action) = self.actions.get(&ended) else { return };
        let Some(parent) = action.asked_by else { return };
        let label = match action.is_workflow {
            true if phase == Phase::Succeeded => self.gives(action).of(None).joined(&self.label),
            true => return,
            false => action.label.clone(),
        };
        let Some(parent) = self.actions.get_mut(&parent).filter(|parent| !parent.has_ended) else { return };
        let new = Label(label.0.difference(&parent.label.0).cloned().collect());
        parent.label.join(&new);
        parent.grown.join(&new);
        if parent.asked_by.is_none() {
            self.label.join(&new);
        }
    }
}
