//! Rules as if documents were applied: for whoever asks what would be, before anything is.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::{Rules, Sources};

use super::{KINDS, Registered};
use crate::applying::{Sourced, body_of};
use crate::{ControlPlane, Fault, FaultKind};

impl Registered {
    /// What rules are made of when these documents count and these policies are not there: see [`ControlPlane::rules_with`].
    pub(crate) fn supposing(&self, documents: &[Sourced], without: &[String]) -> Result<Sources, Fault> {
        let (mut all, mut given) = (self.clone(), BTreeSet::new());
        for name in without {
            if !all.has_policy(name) {
                return Err(Fault::not_found("policy", name));
            }
            all.remove("policy", name);
        }
        for sourced in documents {
            let (kind, name) = (sourced.document.kind(), sourced.document.name());
            if !KINDS.contains(&kind) {
                continue;
            }
            if kind == "policy" {
                given.insert(name.to_owned());
            }
            all.put(kind, name, "", body_of(sourced, "")?);
        }
        Ok(all.sources_with(&given))
    }
}

impl ControlPlane {
    /// The rules as if these documents were applied and these policies were not there. That has one meaning, whoever asks:
    ///
    /// - a policy among the documents takes the place of the one of its name and counts as approved, whatever approvals it would wait for;
    /// - of every other policy the version in force counts: one that waits for its approvals waits on;
    /// - a tag or a sanitizer takes the place of the one of its name; a sanitizer still needs its approvals, and approvals among the documents
    ///   count, also for a policy that waits;
    /// - documents of other kinds are passed over, and what does not check is a fault.
    pub(crate) fn rules_with(&self, documents: &[Sourced], without: &[String]) -> Result<Arc<Rules>, Fault> {
        if without.is_empty() && !documents.iter().any(|sourced| KINDS.contains(&sourced.document.kind())) {
            return Ok(self.rules());
        }
        let (rules, problems) = Rules::new(self.registered_rules()?.supposing(documents, without)?);
        match problems.iter().find(|problem| !problem.warning) {
            Some(problem) => {
                let (kind, name) = &problem.document;
                Err(Fault::new(FaultKind::InvalidWorkflow, format!("the {kind} `{name}`: {}", problem.message)))
            }
            None => Ok(Arc::new(rules)),
        }
    }
}
