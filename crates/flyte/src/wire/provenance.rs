//! What a specification of a run says of where the run comes from.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use prost::Message;

use super::RunId;

/// The same bytes as [`super::RunSpec`], read for other fields.
#[derive(Clone, PartialEq, Message)]
pub struct Provenance {
    #[prost(message, optional, tag = "18")]
    pub relation: Option<Relation>,
    #[prost(message, optional, tag = "19")]
    pub recover: Option<Recover>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Relation {
    #[prost(message, optional, tag = "1")]
    pub related_to: Option<RunId>,
    /// 1 for a rerun, 2 for a recovery, 3 for a run that another started.
    #[prost(int32, tag = "2")]
    pub kind: i32,
}

impl Relation {
    /// What succeeded in the other run is taken from it.
    pub const RECOVER: i32 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub struct Recover {
    #[prost(string, repeated, tag = "1")]
    pub force_rerun_actions: Vec<String>,
}
