//! The policy of who has to have signed a checkpoint (c2sp.org/tlog-policy): logs, witnesses, groups of them, and a quorum.

use std::collections::{BTreeMap, BTreeSet};

use crate::keys::{KeyKind, PublicKey};
use crate::note::Note;
use crate::{Checkpoint, CheckpointError};

/// Logs, witnesses and groups of a policy.
const NAMES_MAX: usize = 256;
/// Bytes of a policy that is read.
pub const POLICY_BYTES_MAX: usize = 64 << 10;

/// A witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What the policy calls it.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// Where it takes checkpoints.
    pub url: Option<String>,
}

/// Who has to have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group { least: usize, members: Vec<String> },
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PublicKey>,
    witnesses: Vec<Witness>,
    members: BTreeMap<String, Member>,
    /// None when no witness is asked for.
    quorum: Option<String>,
}

/// What is wrong with a policy, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadPolicy {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Who signed a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// The witnesses whose signatures are right, by the names of the policy, with the time at which they signed, in seconds since 1970.
    pub witnesses: BTreeMap<String, u64>,
    /// Whether they are a quorum.
    pub quorum: bool,
}

impl Policy {
    /// The policy of a text.
    pub fn parse(text: &str) -> Result<Policy, BadPolicy> {
        let (mut policy, mut quorum) = (Policy::default(), None);
        let mut used: BTreeSet<String> = BTreeSet::new();
        if text.len() > POLICY_BYTES_MAX {
            return Err(BadPolicy { line: 1, what: "the policy is too long".into() });
        }
        for (line, content) in (1..).zip(text.lines()) {
            let wrong = |what: String| BadPolicy { line, what };
            if content.chars().any(|c| c.is_control() && c != '\t') {
                return Err(wrong("it holds control characters".into()));
            }
            let words: Vec<&str> = content.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["log", key] | ["log", key, _] => policy.log(key).map_err(wrong)?,
                ["witness", name, key] => policy.witness(name, key, None).map_err(wrong)?,
                ["witness", name, key, url] => policy.witness(name, key, Some(url)).map_err(wrong)?,
                ["group", name, least, members @ ..] => policy.group(name, least, members, &mut used).map_err(wrong)?,
                ["quorum", _] if quorum.is_some() => return Err(wrong("there is a quorum already".into())),
                ["quorum", "none"] => quorum = Some(None),
                ["quorum", name] if policy.members.contains_key(*name) => quorum = Some(Some((*name).to_owned())),
                ["quorum", name] => return Err(wrong(format!("`{name}` is not defined above"))),
                [first, ..] => return Err(wrong(format!("`{first}` and what follows it is not a line of a policy"))),
            }
            if policy.logs.len() + policy.members.len() > NAMES_MAX {
                return Err(wrong(format!("more than {NAMES_MAX} logs, witnesses and groups")));
            }
        }
        let missing = || BadPolicy { line: text.lines().count().max(1), what: "there is no `quorum` line".into() };
        policy.quorum = quorum.ok_or_else(missing)?;
        Ok(policy)
    }

    fn log(&mut self, key: &str) -> Result<(), String> {
        let key: PublicKey = key.parse().map_err(|error| format!("`{key}`: {error}"))?;
        if key.kind() != KeyKind::Log {
            return Err(format!("`{key}` is not the key of a log"));
        }
        if self.logs.iter().any(|known| known.bytes() == key.bytes()) {
            return Err("the key of this log stands above already".into());
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key: PublicKey = key.parse().map_err(|error| format!("`{key}`: {error}"))?;
        if key.kind() != KeyKind::Witness {
            return Err(format!("`{key}` is not the key of a witness"));
        }
        if self.witnesses.iter().any(|known| known.key.bytes() == key.bytes()) {
            return Err("the key of this witness stands above already".into());
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, least: &str, members: &[&str], used: &mut BTreeSet<String>) -> Result<(), String> {
        let least = match least {
            "any" => 1,
            "all" => members.len(),
            count => count.parse().map_err(|_| format!("`{count}` is neither `any`, `all` nor a number"))?,
        };
        if members.is_empty() || least == 0 || least > members.len() {
            return Err(format!("{least} of {} cannot be asked for", members.len()));
        }
        for member in members {
            if !self.members.contains_key(*member) {
                return Err(format!("`{member}` is not defined above"));
            }
            if !used.insert((*member).to_owned()) {
                return Err(format!("`{member}` is in a group already"));
            }
        }
        self.define(name, Member::Group { least, members: members.iter().map(|name| (*name).to_owned()).collect() })
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" {
            return Err("`none` is no name".into());
        }
        match self.members.insert(name.to_owned(), member) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is defined above already")),
        }
    }

    /// The logs that are accepted.
    pub fn logs(&self) -> &[PublicKey] {
        &self.logs
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// The keys of the witnesses.
    pub fn witness_keys(&self) -> Vec<PublicKey> {
        self.witnesses.iter().map(|witness| witness.key.clone()).collect()
    }

    /// Who signed a note. A wrong signature is none.
    pub fn signers(&self, note: &Note) -> Signers {
        let mut signed = BTreeMap::new();
        for witness in &self.witnesses {
            if let Ok(Some(time)) = note.verify(&witness.key) {
                signed.insert(witness.name.clone(), time);
            }
        }
        let quorum = self.quorum.as_ref().is_none_or(|name| self.has(name, &signed));
        Signers { witnesses: signed, quorum }
    }

    fn has(&self, name: &str, signed: &BTreeMap<String, u64>) -> bool {
        match self.members.get(name) {
            Some(Member::Witness(_)) => signed.contains_key(name),
            // Members are defined above the group, so that this ends.
            Some(Member::Group { least, members }) => members.iter().filter(|member| self.has(member, signed)).count() >= *least,
            None => false,
        }
    }

    /// The checkpoint of a note that one of the logs signed, and by whom else it is signed.
    pub fn open(&self, note: &Note) -> Result<(Checkpoint, Signers), CheckpointError> {
        let mut last = Err(CheckpointError::Form("the policy names no log"));
        for log in &self.logs {
            match Checkpoint::open(note, log) {
                Ok(checkpoint) => return Ok((checkpoint, self.signers(note))),
                Err(error) => last = Err(error),
            }
        }
        last
    }
}
