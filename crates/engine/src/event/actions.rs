//! Facts about actions: how they come into being, what they remember, how they end.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use model::{ActionKey, ActionNo, Digest, Duration, Failure, Label, NodeIx, Payload, Phase, RunId};

use super::{Located, RunLabelled, ScopeNo};

/// See [`super::Event::ActionsOpened`]. Many at once: a map opens its window in one event.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionsOpened {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The actions, numbered from the run's next number on.
    #[n(1)]
    pub actions: Vec<Opened>,
}

/// One action that came into being.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Opened {
    /// Its number.
    #[n(0)]
    pub action: ActionNo,
    /// What it stands for.
    #[n(1)]
    pub role: Role,
    /// The scope of its node.
    #[n(2)]
    pub scope: ScopeNo,
    /// Its node.
    #[n(3)]
    pub node: NodeIx,
    /// Its rendered input; none when there is nothing in it.
    #[n(4)]
    pub input: Option<Payload>,
    /// Its label.
    #[n(5)]
    pub label: Label,
    /// The once key or the cache key, hashed with project and node.
    #[n(6)]
    pub recall: Option<RecallKey>,
    /// Its path within the run: `train`, `score[3]`, `sub/clean`, `report!undo`, `train<-sha256:1f2e…`. Unique within the run.
    #[n(7)]
    pub path: String,
    /// What kind of action it is, for people and projections.
    #[n(8)]
    pub kind: ActionKind,
    /// Whether it ends in the same step without running: a branch, a reused output, an expression that failed.
    #[n(9)]
    pub instant: bool,
}

/// What kind of action it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum ActionKind {
    /// A connector's action.
    #[n(0)]
    Use,
    /// A command or script.
    #[n(1)]
    Run,
    /// A registered task.
    #[n(2)]
    Task,
    /// A sub-workflow.
    #[n(3)]
    Workflow,
    /// A person's decision.
    #[n(4)]
    Human,
    /// A wait.
    #[n(5)]
    Wait,
    /// A map.
    #[n(6)]
    Each,
    /// A branch.
    #[n(7)]
    Decide,
    /// A transfer of an artifact between sites.
    #[n(8)]
    Transfer,
    /// A step that a running action took by itself, as it says.
    #[n(9)]
    Trace,
}

/// What an action stands for.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Role {
    /// A node of a graph.
    #[n(0)]
    Node,
    /// One item of a map.
    #[n(1)]
    Item {
        /// The map.
        #[n(0)]
        each: ActionNo,
        /// The item's index.
        #[n(1)]
        index: u32,
    },
    /// The undoing of an action that succeeded.
    #[n(2)]
    Undo {
        /// The action undone.
        #[n(0)]
        of: ActionNo,
    },
    /// The transfer of an artifact to the site of the action that needs it.
    #[n(3)]
    Transfer {
        /// Who needs it.
        #[n(0)]
        wanted_by: ActionNo,
        /// What moves.
        #[n(1)]
        artifact: Digest,
        /// Bytes that move.
        #[n(2)]
        size: u64,
        /// From where.
        #[n(3)]
        from: String,
        /// To where.
        #[n(4)]
        to: String,
    },
    /// Work that a running action asked for.
    #[n(4)]
    Child {
        /// Who asked.
        #[n(0)]
        parent: ActionNo,
    },
}

/// A key under which outputs are remembered across runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct RecallKey {
    /// Which memory.
    #[n(0)]
    pub kind: RecallKind,
    /// The key, hashed.
    #[n(1)]
    pub key: Digest,
    /// How old an output may be.
    #[n(2)]
    pub max_age: Option<Duration>,
}

/// Which memory of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum RecallKind {
    /// `cache`: reuse saves work; running twice is harmless.
    #[n(0)]
    Cache,
    /// `once`: the same key never runs twice to success; a second action waits for the first.
    #[n(1)]
    Once,
}

/// An action of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ActionRef {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
}

impl From<ActionRef> for ActionKey {
    fn from(action: ActionRef) -> ActionKey {
        ActionKey { run: action.run, action: action.action }
    }
}

/// See [`super::Event::ChildOpened`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ChildOpened {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action, in the scope and at the node of its parent.
    #[n(1)]
    pub opened: Opened,
    /// What it runs: a [`model::Node`] as JSON. It stands in no graph.
    #[n(2)]
    pub definition: String,
    /// The tags that it carries beside those of its parent, and by what each came; none when it carries no others.
    #[n(3)]
    pub entered: Option<BTreeMap<String, String>>,
    /// Of a workflow: what its inputs carry, and what its nodes can read and give, by their paths within it; the empty path is the workflow as a
    /// whole. None where nothing of it carries anything.
    #[n(4)]
    pub inside: Option<Box<RunLabelled>>,
}

/// See [`super::Event::ActionStopRequested`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionStopRequested {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// Who asked.
    #[n(2)]
    pub principal: String,
    /// Why, in their words.
    #[n(3)]
    pub reason: String,
}

/// See [`super::Event::ActionFinished`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionFinished {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// How it ended.
    #[n(2)]
    pub phase: Phase,
    /// What it gave back.
    #[n(3)]
    pub output: Option<Payload>,
    /// Why it failed.
    #[n(4)]
    pub failure: Option<Failure>,
    /// Whether the output of an earlier action was taken instead of running this one.
    #[n(5)]
    pub reused: bool,
    /// Where the artifacts of a reused output lie.
    #[n(6)]
    pub locations: Vec<Located>,
}

/// See [`super::Event::HumanDecided`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HumanDecided {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// Who decided.
    #[n(2)]
    pub principal: String,
    /// The form, with `decision`.
    #[n(3)]
    pub form: Payload,
    /// The decision: approve, reject or amend.
    #[n(4)]
    pub decision: String,
    /// Why, in their words: a text. None when they gave none, or the form has a place for it.
    #[n(5)]
    pub reason: Option<Payload>,
}

/// See [`super::Event::HumanDelegated`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HumanDelegated {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// Who handed it on.
    #[n(2)]
    pub principal: String,
    /// The users who are asked from now on.
    #[n(3)]
    pub users: Vec<String>,
    /// The groups that are asked from now on.
    #[n(4)]
    pub groups: Vec<String>,
    /// Why, in their words: a text.
    #[n(5)]
    pub reason: Payload,
}

/// See [`super::Event::HumanSeen`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HumanSeen {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// Who.
    #[n(2)]
    pub principal: String,
    /// What they were shown: the commitment to the question with its evidence, as it stands where the action was opened.
    #[n(3)]
    pub shown: Digest,
}

/// See [`super::Event::HumanEscalated`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HumanEscalated {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The step of `assign.then` it is offered to, from 0.
    #[n(2)]
    pub step: u32,
}

/// See [`super::Event::RecallAsked`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RecallAsked {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The key.
    #[n(2)]
    pub key: RecallKey,
}

/// See [`super::Event::OutputKept`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct OutputKept {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The key.
    #[n(2)]
    pub key: RecallKey,
    /// The output.
    #[n(3)]
    pub output: Payload,
    /// Where its artifacts lie.
    #[n(4)]
    pub locations: Vec<Located>,
}
