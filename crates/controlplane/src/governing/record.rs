//! What happened to the rules, as the journal has it.

use engine::Event;
use model::govern::{Approval, PolicySpec, SanitizerSpec};
use model::{Digest, Seq, Timestamp};

use super::{KINDS, Registered};
use crate::{ControlPlane, Fault};

/// Entries read at a time.
const BATCH: usize = 500;

/// A change of the rules.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its position in the journal: the policy epoch that began with it.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What was done.
    pub what: What,
    /// tag, policy, sanitizer.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The version of what was applied, or the version that was approved.
    pub version: Option<u64>,
    /// What names exactly this: of a policy or a sanitizer.
    pub digest: Option<Digest>,
    /// Why, in their words.
    pub reason: String,
    /// What names all rules in force after it.
    pub rules: Digest,
}

/// What was done to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was applied.
    Applied,
    /// It was deleted.
    Deleted,
    /// Somebody vouched for it.
    Approved,
    /// Somebody took that back.
    Revoked,
}

impl What {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Applied => "applied",
            What::Deleted => "deleted",
            What::Approved => "approved",
            What::Revoked => "revoked",
        }
    }
}

/// The changes up to a position.
#[derive(Debug, Default)]
pub(crate) struct Record {
    upto: Seq,
    registered: Registered,
    changes: Vec<Change>,
}

impl Record {
    fn note(&mut self, seq: Seq, at: Timestamp, event: &Event) {
        self.upto = seq;
        if !self.registered.note(event) {
            return;
        }
        let rules = self.registered.sources().digest();
        // Secrets have a record of their own.
        let kind = match event {
            Event::ResourceApplied(e) => &e.kind,
            Event::ResourceDeleted(e) => &e.kind,
            _ => return,
        };
        if !KINDS.contains(&kind.as_str()) {
            return;
        }
        let change = match event {
            Event::ResourceApplied(e) if e.kind == "approval" => {
                let Ok(approval) = serde_json::from_value::<Approval>(e.body.value().clone()) else { return };
                Change {
                    seq,
                    at,
                    by: approval.by,
                    what: if approval.revoked { What::Revoked } else { What::Approved },
                    kind: approval.kind,
                    name: approval.name,
                    version: approval.version,
                    digest: Some(approval.digest),
                    reason: approval.reason,
                    rules,
                }
            }
            Event::ResourceApplied(e) => Change {
                seq,
                at,
                by: e.principal.clone(),
                what: What::Applied,
                kind: e.kind.clone(),
                name: e.name.clone(),
                version: Some(e.version),
                digest: digest_of(&e.kind, e.body.value()),
                reason: String::new(),
                rules,
            },
            Event::ResourceDeleted(e) => Change {
                seq,
                at,
                by: e.principal.clone(),
                what: What::Deleted,
                kind: e.kind.clone(),
                name: e.name.clone(),
                version: None,
                digest: None,
                reason: String::new(),
                rules,
            },
            _ => return,
        };
        self.changes.push(change);
    }
}

fn digest_of(kind: &str, body: &serde_json::Value) -> Option<Digest> {
    debug_assert!(KINDS.contains(&kind));
    match kind {
        "policy" => serde_json::from_value::<PolicySpec>(body.clone()).ok().map(|policy| policy.digest()),
        "sanitizer" => serde_json::from_value::<SanitizerSpec>(body.clone()).ok().map(|sanitizer| sanitizer.digest()),
        _ => None,
    }
}

impl ControlPlane {
    /// What happened to the rules, oldest first.
    pub fn rule_changes(&self) -> Result<Vec<Change>, Fault> {
        let mut record = self.governance().record.lock();
        loop {
            let events = self.reader().resource_events(record.upto, BATCH).map_err(Fault::internal)?;
            let last = events.len() < BATCH;
            for (seq, at, event) in &events {
                record.note(*seq, *at, event);
            }
            if last {
                return Ok(record.changes.clone());
            }
        }
    }
}
