//! Typed identifiers. A run is a number inside the core and a name outside; an action is a number within its run; an attempt
//! is a number within its action. Together they make the attempt token, which names the attempt on every engine.

use std::fmt;
use std::str::FromStr;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode,
        )]
        #[serde(transparent)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A run, dense within a shard. `RunId(0)` is no run: it is the stream of the fleet (sites, triggers, resources).
    RunId(u64)
}
number_id! {
    /// An action within its run, dense from 0 in order of opening.
    ActionNo(u32)
}
number_id! {
    /// An attempt within its action, from 1. A later attempt always has a higher number: it fences the earlier ones.
    AttemptNo(u32)
}
number_id! {
    /// The incarnation of the control plane that gave an order. Executors refuse orders of an older epoch.
    Epoch(u64)
}
number_id! {
    /// The position of an entry in the journal, dense from 1 within a shard.
    Seq(u64)
}

impl RunId {
    /// The stream of facts that belong to no run.
    pub const FLEET: RunId = RunId(0);
}

/// An action of a run.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
pub struct ActionKey {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action within it.
    #[n(1)]
    pub action: ActionNo,
}

impl ActionKey {
    /// The action `action` of the run `run`.
    pub fn new(run: RunId, action: ActionNo) -> Self {
        Self { run, action }
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.action)
    }
}

/// An attempt at an action. Its text form, the attempt token, is at most 63 characters of `a-z0-9-`, so that it is a legal
/// job name on every engine.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
pub struct AttemptKey {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action within it.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt at it.
    #[n(2)]
    pub attempt: AttemptNo,
}

impl AttemptKey {
    /// The action this is an attempt at.
    pub fn action_key(&self) -> ActionKey {
        ActionKey { run: self.run, action: self.action }
    }
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tutti-{}-{}-{}", self.run, self.action, self.attempt)
    }
}

/// A text that is not an attempt token.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is not an attempt token (tutti-RUN-ACTION-ATTEMPT)")]
pub struct NotAnAttemptToken(pub String);

impl FromStr for AttemptKey {
    type Err = NotAnAttemptToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || NotAnAttemptToken(text.chars().take(80).collect());
        let mut parts = text.strip_prefix("tutti-").ok_or_else(bad)?.splitn(3, '-');
        let mut next = || parts.next().ok_or_else(bad);
        let run = next()?.parse().map_err(|_| bad())?;
        let action = next()?.parse().map_err(|_| bad())?;
        let attempt = next()?.parse().map_err(|_| bad())?;
        Ok(AttemptKey { run: RunId(run), action: ActionNo(action), attempt: AttemptNo(attempt) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_token_reads_back() {
        let key = AttemptKey { run: RunId(7), action: ActionNo(12), attempt: AttemptNo(3) };
        assert_eq!(key.to_string(), "tutti-7-12-3");
        assert_eq!("tutti-7-12-3".parse::<AttemptKey>().unwrap(), key);
        for bad in ["", "tutti-7-12", "tutti-7-12-x", "7-12-3", "tutti-7-12-3-4"] {
            assert!(bad.parse::<AttemptKey>().is_err(), "{bad}");
        }
    }
}
