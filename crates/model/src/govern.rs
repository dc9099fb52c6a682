//! What governs: tags, policies, and sanitizers with their approvals, as `tutti apply` registers them.

use std::collections::BTreeMap;

use crate::{Digest, Duration, Timestamp};

/// The tag of data about which nobody has said anything. Once it is declared, such data stays where it came from.
pub const UNLABELED: &str = "unlabeled";

/// A tag: a word that data can carry, and who answers for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagSpec {
    /// Its name: `pii`, `pii.ssn`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Groups and users who may let a sanitizer take it off.
    #[serde(default)]
    pub owners: Vec<String>,
    /// The tag that it is a kind of: what holds for that one holds for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What kind of promise it stands for.
    #[serde(default)]
    pub kind: TagKind,
    /// How long such data may be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
    /// How many owners have to approve a sanitizer of it.
    #[serde(default = "two")]
    pub approvals: u32,
    /// What becomes of attempts that a changed rule denies.
    #[serde(default)]
    pub on_revoke: OnRevoke,
    /// Where it comes to data by itself, since no program says what it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enters: Vec<Entrance>,
}

/// Where a tag comes to data by itself: tasks of which all that is said here holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entrance {
    /// The project of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The domain of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The task: its name, or the beginning of it and `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What an address among its inputs begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// What the run says of itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub run_labels: BTreeMap<String, String>,
}

fn two() -> u32 {
    2
}

/// What kind of promise a tag stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagKind {
    /// It must not be seen by everybody.
    #[default]
    Secrecy,
    /// It is not to be trusted.
    Integrity,
    /// It has to stay somewhere.
    Residency,
}

/// What becomes of attempts that a changed rule denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRevoke {
    /// They are stopped, and wait for a place that is permitted.
    #[default]
    Stop,
    /// They may end; nothing new begins.
    Finish,
}

/// A policy: a text of Cedar under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The policies, in Cedar.
    pub cedar: String,
    /// Whether everything that no policy permits is refused: the built-in permission for work to run anywhere is taken away.
    #[serde(default)]
    pub closed: bool,
    /// How many people beside its author have to approve a change of it before it counts.
    #[serde(default)]
    pub approvals: u32,
}

/// A sanitizer: the only thing that takes tags off.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SanitizerSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// What it is: the digest of the command with its files, or of the connector's action, see [`crate::Node::identity`].
    pub identity: Digest,
    /// The same for people: `python steps/pseudonymise.py`.
    pub runs: String,
    /// The tags that it takes off, and what each becomes: another tag, or an empty text for nothing.
    pub strips: BTreeMap<String, String>,
    /// What is looked at in its output before a tag comes off.
    #[serde(default, skip_serializing_if = "Checks::is_empty")]
    pub checks: Checks,
    /// How long an approval is good.
    pub expires: Duration,
    /// Who registered it: never one of those who approve.
    #[serde(default)]
    pub author: String,
}

/// What is looked at in a sanitizer's output.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    /// The values and files of the output together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// Fields that the output may have; any when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Detectors that must find nothing in its values: `email`, `iban`, `ssn`, `card`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

impl Checks {
    /// Whether nothing is looked at.
    pub fn is_empty(&self) -> bool {
        *self == Checks::default()
    }
}

/// A person's word for a sanitizer or for a version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Approval {
    /// `sanitizer` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Exactly what was approved: the identity of the sanitizer with what it strips, or the text of the policy.
    pub digest: Digest,
    /// The version of the policy; none of a sanitizer, whose digest is all that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Who approved.
    pub by: String,
    /// The groups they belonged to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// When, in microseconds since 1970.
    pub at: Timestamp,
    /// How long it is good at most: as long as the sanitizer said when it was given. One of an earlier version does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_for: Option<Duration>,
    /// Whether it was taken back.
    #[serde(default)]
    pub revoked: bool,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

impl SanitizerSpec {
    /// What an approval is about: what runs, what it takes off, and what is looked at. A change of any of them asks for new approvals.
    pub fn digest(&self) -> Digest {
        let strips = serde_json::to_string(&self.strips).unwrap_or_default();
        let checks = serde_json::to_string(&self.checks).unwrap_or_default();
        Digest::of_parts(&[
            b"sanitizer\0",
            self.identity.to_string().as_bytes(),
            b"\0",
            strips.as_bytes(),
            b"\0",
            checks.as_bytes(),
        ])
    }
}

impl PolicySpec {
    /// What names a version of a policy: its text and what else counts.
    pub fn digest(&self) -> Digest {
        let rest = format!("{} {}", self.closed, self.approvals);
        Digest::of_parts(&[b"policy\0", self.name.as_bytes(), b"\0", self.cedar.as_bytes(), b"\0", rest.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_counts_is_in_what_is_approved() {
        let sanitizer = SanitizerSpec {
            name: "s".into(),
            description: String::new(),
            identity: Digest::of(b"code"),
            runs: "python s.py".into(),
            strips: BTreeMap::from([("pii".into(), String::new())]),
            checks: Checks::default(),
            expires: Duration::from_secs(60),
            author: "ada".into(),
        };
        let digest = sanitizer.digest();
        let changed = |change: &dyn Fn(&mut SanitizerSpec)| {
            let mut other = sanitizer.clone();
            change(&mut other);
            other.digest() != digest
        };
        assert!(changed(&|s| s.identity = Digest::of(b"other code")));
        assert!(changed(&|s| drop(s.strips.insert("phi".into(), String::new()))));
        assert!(changed(&|s| s.checks.bytes_max = Some(1)));
        assert!(!changed(&|s| s.description = "new words".into()));
    }
}
