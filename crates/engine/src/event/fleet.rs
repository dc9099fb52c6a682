//! Facts about the fleet: sites, resources, triggers, retention.

use minicbor::{Decode, Encode};
use model::{Digest, Duration, Epoch, Payload, RunId, SiteSpec, Timestamp};

/// See [`super::Event::EpochBegan`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct EpochBegan {
    /// The epoch.
    #[n(0)]
    pub epoch: Epoch,
    /// The version of the server.
    #[n(1)]
    pub version: String,
    /// The public half of the key that signs the tickets of this incarnation: Ed25519, in hexadecimal digits. Old entries have none.
    #[n(2)]
    pub ticket_key: Option<Digest>,
}

/// See [`super::Event::SiteRegistered`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SiteRegistered {
    /// The site.
    #[n(0)]
    pub site: SiteSpec,
    /// Who registered it.
    #[n(1)]
    pub principal: String,
}

/// Somebody did something to a site.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SiteNamed {
    /// The site.
    #[n(0)]
    pub site: String,
    /// Who.
    #[n(1)]
    pub principal: String,
}

/// See [`super::Event::SiteHealthChanged`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SiteHealthChanged {
    /// The site.
    #[n(0)]
    pub site: String,
    /// Whether it takes work.
    #[n(1)]
    pub healthy: bool,
    /// What the probe said.
    #[n(2)]
    pub reason: String,
}

/// See [`super::Event::ResourceApplied`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ResourceApplied {
    /// workflow, trigger, connector, connection, token, …
    #[n(0)]
    pub kind: String,
    /// Its name, unique within the kind.
    #[n(1)]
    pub name: String,
    /// The version, dense from 1 within the name.
    #[n(2)]
    pub version: u64,
    /// Its body.
    #[n(3)]
    pub body: Payload,
    /// Who applied it.
    #[n(4)]
    pub principal: String,
}

/// See [`super::Event::ResourceDeleted`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ResourceDeleted {
    /// The kind.
    #[n(0)]
    pub kind: String,
    /// The name.
    #[n(1)]
    pub name: String,
    /// Who deleted it.
    #[n(2)]
    pub principal: String,
}

/// See [`super::Event::TriggerFired`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TriggerFired {
    /// The trigger.
    #[n(0)]
    pub trigger: String,
    /// When it was due.
    #[n(1)]
    pub due: Timestamp,
    /// The run it started; none when the firing was left out.
    #[n(2)]
    pub run: Option<RunId>,
    /// Firings before this one that were left out by the catch-up policy.
    #[n(3)]
    pub missed: u32,
    /// Why it started no run; of old entries it is not known.
    #[n(4)]
    pub left_out: Option<LeftOut>,
}

/// Why a firing started no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LeftOut {
    /// A run of an earlier firing still runs, and the trigger skips then.
    #[n(0)]
    StillRuns,
    /// As many runs of earlier firings wait as may.
    #[n(1)]
    QueueFull,
    /// The run was not accepted: what the trigger starts, or its inputs, do not fit any more.
    #[n(2)]
    Refused,
}

impl LeftOut {
    /// Its name in surfaces.
    pub fn as_str(self) -> &'static str {
        match self {
            LeftOut::StillRuns => "still_runs",
            LeftOut::QueueFull => "queue_full",
            LeftOut::Refused => "refused",
        }
    }
}

/// See [`super::Event::BodiesPruned`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct BodiesPruned {
    /// Bodies of runs that ended before this time were destroyed.
    #[n(0)]
    pub before: Timestamp,
    /// How many runs.
    #[n(1)]
    pub runs: u64,
    /// Who asked.
    #[n(2)]
    pub principal: String,
}

/// See [`super::Event::DataErased`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct DataErased {
    /// The runs, which have all ended.
    #[n(0)]
    pub runs: Vec<RunId>,
    /// Whether they were chosen because they are about one subject. Its name stands nowhere.
    #[n(1)]
    pub by_subject: bool,
    /// Who asked.
    #[n(2)]
    pub principal: String,
}

/// See [`super::Event::PoolSized`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PoolSized {
    /// The site.
    #[n(0)]
    pub site: String,
    /// How many pieces are kept from now on: places that are started and without work.
    #[n(1)]
    pub pieces: u32,
    /// How many actions are expected to begin there in an hour.
    #[n(2)]
    pub an_hour: u32,
    /// How long a piece takes to start.
    #[n(3)]
    pub boot: Duration,
    /// Why so many, as a sentence.
    #[n(4)]
    pub why: String,
}
