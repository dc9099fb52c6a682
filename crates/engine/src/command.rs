//! Commands: requests to the engine. One may be rejected; what comes of it is events.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    ActionKey, AttemptKey, AttemptNo, Carried, Digest, Epoch, Failure, Graph, Label, Node, NodeIx, Phase, RunId, SiteSpec,
    Timestamp,
};

use crate::event::{
    EgressDecided, Located, NetworkUsed, Origin, RecallKey, RunLabelled, RunPlanned, SecretsReleased, TicketIssued, Usage,
};

/// A request.
#[derive(Clone, Debug)]
pub enum Command {
    /// Accept a run.
    Submit(Box<Submit>),
    /// An executor reports that an attempt's process began.
    Started {
        /// The attempt.
        attempt: AttemptKey,
        /// Where exactly, for people.
        host: String,
    },
    /// An executor reports how an attempt ended. The first terminal report wins.
    Report(Box<Report>),
    /// The placer's decisions for queued actions.
    Place(Vec<Placement>),
    /// The answer to [`crate::Effect::Recall`].
    Recalled {
        /// Who asked.
        action: ActionKey,
        /// What was found.
        answer: Recall,
    },
    /// Time passed: fire what is due.
    Tick,
    /// Stop a run.
    Cancel {
        /// The run.
        run: RunId,
        /// Who asks.
        principal: String,
        /// Why.
        reason: String,
    },
    /// A running action asks for another one. Asked again under the same path, it is the same one.
    Spawn(Box<Spawn>),
    /// Let go of the process of an action that waits for people alone: it begins again when something of what it asked for has ended.
    Suspend {
        /// The action.
        action: ActionKey,
        /// The attempt that was looked at.
        attempt: AttemptNo,
        /// Since when it has done nothing. One that asked for something since, or was told something, goes on.
        since: Timestamp,
    },
    /// Stop a single action that another one asked for; the run goes on.
    StopAction {
        /// The action.
        action: ActionKey,
        /// Who asks.
        principal: String,
        /// Why.
        reason: String,
    },
    /// Open and place nothing more of a run for now.
    Pause {
        /// The run.
        run: RunId,
        /// Who asks.
        principal: String,
    },
    /// Go on with a paused run.
    Resume {
        /// The run.
        run: RunId,
        /// Who asks.
        principal: String,
    },
    /// A person decides a human action.
    Decide {
        /// The action.
        action: ActionKey,
        /// Who decides.
        principal: String,
        /// The groups they belong to.
        groups: Vec<String>,
        /// approve, reject or amend.
        decision: String,
        /// The form's fields.
        form: serde_json::Value,
        /// Why, in their words; empty when they say nothing.
        reason: String,
    },
    /// A person who is asked hands the question to others.
    Delegate {
        /// The action.
        action: ActionKey,
        /// Who hands it on.
        principal: String,
        /// The groups they belong to.
        groups: Vec<String>,
        /// The users who are asked instead.
        to_users: Vec<String>,
        /// The groups that are asked instead.
        to_groups: Vec<String>,
        /// Why.
        reason: String,
    },
    /// A person was shown a question with its evidence.
    See {
        /// The action.
        action: ActionKey,
        /// Who.
        principal: String,
    },
    /// Send a signal to a run.
    Signal {
        /// The run.
        run: RunId,
        /// Its name.
        name: String,
        /// What comes with it.
        payload: serde_json::Value,
        /// Who sends it.
        principal: String,
    },
    /// Something happened outside; every run that waits for an event of this name that matches gets it.
    Event {
        /// The event's name.
        name: String,
        /// What comes with it.
        payload: serde_json::Value,
        /// Who reported it.
        principal: String,
    },
    /// Keep a plan for a run that is open.
    PlanRun(Box<RunPlanned>),
    /// Begin a new incarnation: the first command after a start.
    BeginEpoch {
        /// The version of the server.
        version: String,
        /// The public half of the key that signs its tickets; none where none are signed.
        ticket_key: Option<Digest>,
    },
    /// Register or change a site.
    RegisterSite {
        /// The site.
        site: SiteSpec,
        /// Who asks.
        principal: String,
    },
    /// Attempts that the rules deny where they are: each is stopped, and waits for a place that is permitted.
    Revoke {
        /// The actions.
        actions: Vec<ActionKey>,
    },
    /// Change what may happen at a site.
    SiteOrder {
        /// The site.
        site: String,
        /// What.
        order: SiteOrder,
        /// Who asks.
        principal: String,
    },
    /// A probe of a site found its health changed.
    SiteHealth {
        /// The site.
        site: String,
        /// Whether it takes work.
        healthy: bool,
        /// What the probe said.
        reason: String,
    },
    /// Keep so much of a site started for work that is expected.
    SizePool(crate::event::PoolSized),
    /// Apply a resource (workflow, trigger, connector, token, …).
    ApplyResource {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Its body.
        body: serde_json::Value,
        /// Who asks.
        principal: String,
    },
    /// Apply a resource if the version that there is is still this one.
    ReplaceResource {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The version; 0 when there is to be none.
        version: u64,
        /// Its body.
        body: serde_json::Value,
        /// Who asks.
        principal: String,
    },
    /// Delete a resource.
    DeleteResource {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Who asks.
        principal: String,
    },
    /// A trigger fired. With a submission the run is accepted in the same step.
    FireTrigger {
        /// The trigger.
        trigger: String,
        /// When it was due.
        due: Timestamp,
        /// The run to start; none when there is nothing that could be started.
        submit: Option<Box<Submit>>,
        /// Firings before this one that were left out.
        missed: u32,
        /// What becomes of it while a run of an earlier firing is open.
        overlap: Overlap,
    },
    /// Bodies were destroyed by retention.
    RecordPruning {
        /// Bodies of runs that ended before this time.
        before: Timestamp,
        /// How many runs.
        runs: u64,
        /// Who asked.
        principal: String,
    },
    /// The keys and values of runs are to be destroyed.
    RecordErasure {
        /// The runs.
        runs: Vec<RunId>,
        /// Whether they were chosen because they are about one subject.
        by_subject: bool,
        /// Who asked.
        principal: String,
    },
    /// Secrets are about to be released to an attempt.
    RecordRelease(Box<SecretsReleased>),
    /// It was decided what an attempt may reach.
    RecordEgress(Box<EgressDecided>),
    /// An attempt that is about to be reported as ended went over the network.
    RecordNetwork(Box<NetworkUsed>),
    /// A ticket goes to the site of an attempt.
    RecordTicket(Box<TicketIssued>),
}

/// What becomes of a firing while a run of an earlier firing of the same trigger is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Its run begins beside the other.
    #[default]
    Allow,
    /// It is left out.
    Skip,
    /// Its run begins once no earlier one is open.
    Queue,
    /// The others are cancelled, and its run begins once they have ended.
    Replace,
}

/// A submission.
#[derive(Clone, Debug, Default)]
pub struct Submit {
    /// Whom the run is about, so that all runs about somebody can be erased together.
    pub subject: Option<String>,
    /// The name wanted; the engine makes one from the run's number when there is none.
    pub name: Option<String>,
    /// The project.
    pub project: String,
    /// The domain.
    pub domain: String,
    /// The graph.
    pub graph: Arc<Graph>,
    /// Its digest.
    pub graph_digest: Digest,
    /// The inputs, checked against the graph's ports, defaults filled in.
    pub inputs: serde_json::Value,
    /// Where input artifacts lie.
    pub locations: Vec<Located>,
    /// Who submits.
    pub principal: String,
    /// The client's key: a second submission with the same key gives the same run.
    pub idempotency_key: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// Outputs of an earlier run that stand for nodes of this one.
    pub reused: Vec<(NodeIx, serde_json::Value)>,
    /// Outputs of items of an earlier run that stand for items of this one which are given the same.
    pub reused_items: Vec<KnownItem>,
    /// Larger is placed first.
    pub priority: i32,
    /// The label of the inputs.
    pub label: Label,
    /// What the nodes can read and give, when anything carries a tag.
    pub labels: Option<Box<RunLabelled>>,
    /// 32 random bytes, the salt of the run's commitments.
    pub salt: [u8; 32],
    /// When it should be done and where its actions should go; the run's number is filled in.
    pub plan: Option<Box<RunPlanned>>,
    /// The trace that the submitter is in, as a W3C `traceparent`.
    pub traceparent: Option<String>,
    /// What whoever starts it put on it to find it again: values by key.
    pub run_labels: BTreeMap<String, String>,
    /// How many of its actions may be at work at once; none for as many as find a place.
    pub concurrency: Option<u32>,
    /// What the store already knows of this submission.
    pub known: Known,
}

/// What an item of a map was given in an earlier run, and gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownItem {
    /// The map.
    pub node: NodeIx,
    /// Where it stood in the list.
    pub index: u32,
    /// What it was given, null when that was nothing, as the new run commits to it.
    pub input: Digest,
    /// What it gave.
    pub output: serde_json::Value,
    /// Where the artifacts of that lie.
    pub locations: Vec<Located>,
}

/// What a running action asks for.
#[derive(Clone, Debug, Default)]
pub struct Spawn {
    /// Who asks.
    pub parent: ActionKey,
    /// The path of the new action, unique within the run.
    pub path: String,
    /// What it runs. Its templates are not rendered: the input comes with the request.
    pub node: Arc<Node>,
    /// Its input.
    pub input: Option<serde_json::Value>,
    /// The key under which its output may be known already.
    pub recall: Option<RecallKey>,
    /// How it ended, when the parent did it by itself and only says so.
    pub done: Option<Outcome>,
    /// The output of the same action in an earlier run, which is taken instead of running this one.
    pub reused: Option<serde_json::Value>,
    /// The tags that it carries beside those of its parent, and by what each came.
    pub entered: BTreeMap<String, String>,
    /// Of a workflow: what its nodes can read and give, as far as anything of it carries anything. See [`crate::event::ChildOpened`].
    pub inside: Option<Box<RunLabelled>>,
    /// Why it is not begun, when the rules refuse it as a whole: it fails at once.
    pub refused: Option<String>,
}

/// Runs that the store knows, which may have closed long ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The run with this idempotency key.
    pub by_key: Option<RunId>,
    /// The run with this name.
    pub by_name: Option<RunId>,
}

/// How an attempt ended, as its executor says.
#[derive(Clone, Debug)]
pub struct Report {
    /// The attempt.
    pub attempt: AttemptKey,
    /// The epoch of the order that the executor carried out; 0 when it is the shell that speaks, of what it found out by itself.
    pub epoch: Epoch,
    /// Succeeded with an output, or not.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// Where the artifacts of the output lie (the site of the attempt) with their sizes.
    pub locations: Vec<Located>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Well, with this output.
    Succeeded(serde_json::Value),
    /// Not well.
    Failed(Failure),
    /// Stopped because the engine asked.
    Aborted,
}

impl Outcome {
    /// The phase it means.
    pub fn phase(&self) -> Phase {
        match self {
            Outcome::Succeeded(_) => Phase::Succeeded,
            Outcome::Failed(_) => Phase::Failed,
            Outcome::Aborted => Phase::Aborted,
        }
    }
}

/// A decision of the placer about some queued actions of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The actions.
    pub actions: Vec<ActionKey>,
    /// Where; none means nowhere for now.
    pub site: Option<String>,
    /// Every candidate with its terms and verdict, as JSON.
    pub explanation: Arc<str>,
    /// Whether a worker has to take them there: until one has, they wait, and hold nothing of the site.
    pub by_worker: bool,
    /// Why they may run nowhere by the rules, when nobody waits for that to change: what a running action asked for fails with this.
    pub refused: Option<String>,
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub enum Recall {
    /// Nothing: the action has to run.
    Unknown,
    /// This output.
    Output {
        /// The output.
        value: serde_json::Value,
        /// Where its artifacts lie.
        locations: Vec<Located>,
        /// What it carries, as it was counted when it was made.
        carried: Carried,
    },
}

/// What may be ordered of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteOrder {
    /// No new work.
    Cordon,
    /// Work again.
    Uncordon,
    /// No new work, and what runs there moves.
    Drain,
    /// Forget it; refused while work runs there.
    Remove,
}

/// Why a command was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing of that name or number.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A run of that name exists already.
    #[error("a run named `{name}` exists already")]
    NameTaken {
        /// The name.
        name: String,
        /// The run that has it.
        run: RunId,
    },
    /// The thing is in a state in which this makes no sense.
    #[error("{0}")]
    Conflict(String),
    /// The principal may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// What was sent is not right.
    #[error("{0}")]
    Invalid(String),
    /// A stated limit.
    #[error("{0}")]
    Limit(String),
}

impl Rejection {
    /// Somebody else was faster: another version is there than whoever asks knew.
    pub fn other_version(kind: &str, name: &str, there: u64, expected: u64) -> Rejection {
        let there = if there == 0 { "there is none".to_owned() } else { format!("version {there} is there") };
        let expected = if expected == 0 { "none was expected".to_owned() } else { format!("version {expected} was expected") };
        Rejection::Conflict(format!("the {kind} `{name}` was saved meanwhile: {there}, and {expected}"))
    }
}
