//! Facts about labels: what the nodes of a run can read, and which artifacts carry tags.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use model::{ActionNo, AttemptNo, Carried, Digest, EgressGrant, Label, RunId, SignedTicket};

/// See [`super::Event::RunLabelled`]. Paths are those of nodes, without the numbers of items: `train`, `score[]`, `sub/clean`. What is not
/// named carries nothing.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct RunLabelled {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The rules by which tags were counted and taken off.
    #[n(1)]
    pub rules: Option<Digest>,
    /// What each input carries.
    #[n(2)]
    pub inputs: BTreeMap<String, Label>,
    /// What each node can read.
    #[n(3)]
    pub reads: BTreeMap<String, Label>,
    /// What each node gives.
    #[n(4)]
    pub gives: BTreeMap<String, Carried>,
    /// By which sanitizer a node takes tags off.
    #[n(5)]
    pub lowered: BTreeMap<String, String>,
    /// What was approved of each of these sanitizers: their code, what they take off and what is looked at, as one digest. Entries of earlier
    /// versions do not say it.
    #[n(6)]
    pub vouched: Option<BTreeMap<String, Digest>>,
}

/// See [`super::Event::ArtifactsLabelled`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ArtifactsLabelled {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action that made them; none for those that the run was given.
    #[n(1)]
    pub action: Option<ActionNo>,
    /// What each carries.
    #[n(2)]
    pub labels: BTreeMap<Digest, Label>,
}

/// See [`super::Event::SecretsReleased`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SecretsReleased {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt.
    #[n(2)]
    pub attempt: AttemptNo,
    /// The site.
    #[n(3)]
    pub site: String,
    /// Which secrets, and which version of each.
    #[n(4)]
    pub secrets: BTreeMap<String, u64>,
}

/// See [`super::Event::TicketIssued`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TicketIssued {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The ticket with its signature, as the site got it.
    #[n(1)]
    pub ticket: SignedTicket,
}

/// See [`super::Event::EgressDecided`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct EgressDecided {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt.
    #[n(2)]
    pub attempt: AttemptNo,
    /// The site, which grants all of these.
    #[n(3)]
    pub site: String,
    /// What it may reach.
    #[n(4)]
    pub permitted: BTreeSet<EgressGrant>,
    /// What it may not reach, and why.
    #[n(5)]
    pub refused: BTreeMap<String, String>,
}

/// See [`super::Event::NetworkUsed`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NetworkUsed {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt.
    #[n(2)]
    pub attempt: AttemptNo,
    /// The site.
    #[n(3)]
    pub site: String,
    /// What went over each way that it was given.
    #[n(4)]
    pub ways: BTreeMap<String, WayUsed>,
    /// Connections that were refused. What was asked for stays at the site: a process chooses the words of that.
    #[n(5)]
    pub refused: u64,
}

/// What went over a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WayUsed {
    /// Connections, failed ones among them.
    #[n(0)]
    pub connections: u64,
    /// Those that failed.
    #[n(1)]
    pub failed: u64,
    /// Those that were cut off since the bytes of the grant were used up.
    #[n(2)]
    pub cut: u64,
    /// Bytes that went out.
    #[n(3)]
    pub sent: u64,
    /// Bytes that came in.
    #[n(4)]
    pub received: u64,
}
