//! What is registered of rules: the latest of everything, and of policies every version, since one may wait for its approvals.

use std::collections::{BTreeMap, BTreeSet};

use engine::Event;
use journal::Reader;
use model::Label;
use model::govern::{Approval, PolicySpec};
use policy::{Sources, Stand, Version};
use serde_json::Value;

use super::KINDS;
use crate::secrets::KIND as SECRET;

/// What is registered of rules.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// By kind and name, policies left out.
    latest: BTreeMap<(String, String), Value>,
    policies: BTreeMap<String, Vec<Version>>,
    /// The tags of secrets that have any.
    secrets: BTreeMap<String, Label>,
}

/// A policy with its versions and how they stand.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// The versions that are kept, oldest first.
    pub versions: Vec<Version>,
    /// How they stand.
    pub stand: Stand,
}

fn read<T: serde::de::DeserializeOwned>(kind: &str, name: &str, body: &Value) -> Option<T> {
    match serde_json::from_value(body.clone()) {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::error!(kind, name, %error, "a rule cannot be read");
            None
        }
    }
}

impl Registered {
    /// What is registered in a journal.
    pub(crate) fn read(reader: &Reader) -> Result<Registered, journal::JournalError> {
        let mut all = Registered::default();
        for kind in KINDS.into_iter().filter(|kind| *kind != "policy") {
            for row in reader.resources(kind, None, None)? {
                all.latest.insert((kind.to_owned(), row.name), row.body);
            }
        }
        for row in reader.resources(SECRET, None, None)? {
            all.secret(&row.name, &row.body);
        }
        for row in reader.versions("policy")? {
            all.add(&row.name, row.version, &row.principal, &row.body);
        }
        Ok(all)
    }

    /// A policy as it was applied.
    pub(crate) fn add(&mut self, name: &str, number: u64, author: &str, body: &Value) {
        if let Some(spec) = read::<PolicySpec>("policy", name, body) {
            let version = Version { number, spec, author: author.to_owned() };
            self.policies.entry(name.to_owned()).or_default().push(version);
        }
    }

    /// Takes the tags of a secret. True when they are others than before.
    fn secret(&mut self, name: &str, body: &Value) -> bool {
        let tags = body.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let tags = Label::of(tags);
        let before = match tags.is_empty() {
            true => self.secrets.remove(name),
            false => self.secrets.insert(name.to_owned(), tags.clone()),
        };
        before.unwrap_or_default() != tags
    }

    /// Puts something in as it would be. A policy is a version after all others.
    pub(crate) fn put(&mut self, kind: &str, name: &str, author: &str, body: Value) {
        if kind == "policy" {
            let number = self.next(name);
            self.add(name, number, author, &body);
        } else {
            self.latest.insert((kind.to_owned(), name.to_owned()), body);
        }
    }

    /// Takes something away.
    pub(crate) fn remove(&mut self, kind: &str, name: &str) {
        if kind == "policy" {
            self.policies.remove(name);
        } else {
            self.latest.remove(&(kind.to_owned(), name.to_owned()));
        }
    }

    /// The number of the next version of a policy.
    fn next(&self, name: &str) -> u64 {
        self.policies.get(name).and_then(|versions| versions.last()).map_or(1, |version| version.number + 1)
    }

    /// Takes what happened. True when it was about rules.
    pub(crate) fn note(&mut self, event: &Event) -> bool {
        match event {
            Event::ResourceApplied(e) if e.kind == "policy" => self.add(&e.name, e.version, &e.principal, e.body.value()),
            Event::ResourceApplied(e) if KINDS.contains(&e.kind.as_str()) => {
                self.latest.insert((e.kind.clone(), e.name.clone()), e.body.value().clone());
            }
            Event::ResourceApplied(e) if e.kind == SECRET => return self.secret(&e.name, e.body.value()),
            Event::ResourceDeleted(e) if e.kind == SECRET => return self.secrets.remove(&e.name).is_some(),
            Event::ResourceDeleted(e) if KINDS.contains(&e.kind.as_str()) => self.remove(&e.kind, &e.name),
            _ => return false,
        }
        true
    }

    /// The body of the latest of something that is no policy.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.latest.get(&(kind.to_owned(), name.to_owned()))
    }

    fn all<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let of_kind = self.latest.iter().filter(|((own, _), _)| own == kind);
        of_kind.filter_map(|((_, name), body)| read(kind, name, body)).collect()
    }

    /// The approvals of everything.
    pub fn approvals(&self) -> Vec<Approval> {
        self.all("approval")
    }

    /// Every policy with its versions and how they stand.
    pub fn policies(&self) -> BTreeMap<String, Vouched> {
        let approvals = self.approvals();
        let vouched = |(name, versions): (&String, &Vec<Version>)| {
            (name.clone(), Vouched { stand: policy::stand(versions, &approvals), versions: versions.clone() })
        };
        self.policies.iter().map(vouched).collect()
    }

    /// What rules are made of: of each policy the version that counts. What was registered was checked; what cannot be read any more is
    /// left out and said.
    pub fn sources(&self) -> Sources {
        self.made_of(|_, stand, _| stand.in_force)
    }

    /// The same as if every version had its approvals.
    pub(crate) fn wanted(&self) -> Sources {
        self.made_of(|_, _, versions| versions.len().checked_sub(1))
    }

    /// What is in force, but of these policies the latest version, as if it had its approvals.
    pub(crate) fn sources_with(&self, approved: &BTreeSet<String>) -> Sources {
        self.made_of(|name, stand, versions| match approved.contains(name) {
            true => versions.len().checked_sub(1),
            false => stand.in_force,
        })
    }

    /// Whether there is a policy of that name.
    pub(crate) fn has_policy(&self, name: &str) -> bool {
        self.policies.contains_key(name)
    }

    fn made_of(&self, choose: impl Fn(&str, &Stand, &[Version]) -> Option<usize>) -> Sources {
        let approvals = self.approvals();
        let chosen = |(name, versions): (&String, &Vec<Version>)| {
            let at = choose(name, &policy::stand(versions, &approvals), versions)?;
            versions.get(at).map(|version| version.spec.clone())
        };
        let policies = self.policies.iter().filter_map(chosen).collect();
        let secrets = self.secrets.clone();
        Sources { tags: self.all("tag"), policies, sanitizers: self.all("sanitizer"), approvals, secrets }
    }
}
