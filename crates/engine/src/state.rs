//! The state of a shard: its open runs, its fleet, what is due, and what the shell has to do.

use std::sync::Arc;

use model::{Digest, Graph, Needs, RunId, Timestamp};

use crate::{Command, Effect, Evaluate, Event, Rejection};

/// What a step may know beyond the state: everything that is not a function of the past comes in here.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time of the command.
    pub now: Timestamp,
    /// Random bits of the command; jitter is made from them and recorded in the event.
    pub entropy: u64,
    /// Evaluates expressions.
    pub evaluator: &'a dyn Evaluate,
}

/// The outcome of a command.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What happened, in order, already folded into the state.
    pub events: Vec<Event>,
    /// The run concerned, when there is one: for a submission the new or the already known run.
    pub run: Option<RunId>,
}

/// The state of a shard.
#[derive(Default)]
pub struct State {}

/// Queued actions that are alike for the placer: same needs, same label, same artifacts at the same places.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The run.
    pub run: RunId,
    /// The actions, first come first.
    pub actions: Vec<model::ActionKey>,
    /// What each needs.
    pub needs: Needs,
    /// Their label.
    pub label: model::Label,
    /// `use`, `run` or `task`, with the connector or task name.
    pub work: String,
    /// The artifacts each reads, with their sizes and the sites that have a copy.
    pub inputs: Vec<InputArtifact>,
}

/// An artifact that a candidate reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputArtifact {
    /// The artifact.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Sites with a copy.
    pub sites: Vec<String>,
}

impl State {
    /// Decides a command and folds what comes of it into the state. A rejection leaves the state as it was.
    pub fn step(&mut self, _command: Command, _context: &Context<'_>) -> Result<Step, Rejection> {
        Ok(Step::default())
    }

    /// Folds a fact into the state: the only way the state ever changes. `at` is the time the fact was recorded with.
    pub fn evolve(&mut self, _event: &Event, _at: Timestamp) {}

    /// What the facts folded since the last call ask the shell to do.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        Vec::new()
    }

    /// Everything asked of the shell and not answered yet: after a restart, this is what to do.
    pub fn outstanding(&self) -> Vec<Effect> {
        Vec::new()
    }

    /// When the next timer is due; send [`Command::Tick`] then.
    pub fn next_due(&self) -> Option<Timestamp> {
        None
    }

    /// Queued actions for the placer, at most `limit` candidates, best first, at most one per class unless it just got room.
    pub fn candidates(&self, _limit: usize) -> Vec<Candidate> {
        Vec::new()
    }

    /// Makes a graph known. Graphs are content-addressed and lie beside the journal; those of open runs must be known before
    /// their events are folded.
    pub fn add_graph(&mut self, _digest: Digest, _graph: Arc<Graph>) {}
}
