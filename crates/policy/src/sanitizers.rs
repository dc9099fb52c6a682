//! Sanitizers: what may take tags off, and who has vouched for it.

use std::collections::{BTreeMap, BTreeSet};

use model::govern::{Approval, SanitizerSpec, TagSpec};
use model::{Digest, Lowering, Timestamp};

use crate::rules::{Problem, Rules};

/// How a sanitizer stands with the owners of one of its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tag.
    pub tag: String,
    /// Owners who approved it as it is now, with approvals that are still good.
    pub approved_by: Vec<String>,
    /// How many there have to be.
    pub needed: u32,
    /// Who may approve.
    pub owners: Vec<String>,
    /// Whether there were approvals that have ended or were taken back.
    pub lapsed: bool,
}

impl Standing {
    /// Whether enough owners have approved.
    pub fn is_good(&self) -> bool {
        self.approved_by.len() >= self.needed.max(1) as usize
    }

    /// How it stands, in words.
    pub fn sentence(&self) -> String {
        let (have, need, tag) = (self.approved_by.len(), self.needed.max(1), &self.tag);
        match (self.is_good(), self.owners.is_empty()) {
            (true, _) => format!("`{tag}`: approved by {}", self.approved_by.join(", ")),
            (false, true) => format!("`{tag}` has no owners, so that nobody can approve taking it off"),
            (false, false) => {
                let lapsed = if self.lapsed { "; earlier approvals have ended or were of another version" } else { "" };
                format!("{have} of {need} owners of `{tag}` ({}) have approved it{lapsed}", self.owners.join(", "))
            }
        }
    }
}

/// Whether somebody owns a tag, in person or by a group.
fn owns(tag: &TagSpec, approval: &Approval) -> bool {
    tag.owners.iter().any(|owner| *owner == approval.by || approval.groups.contains(owner))
}

impl Rules {
    /// How a sanitizer stands, tag by tag.
    pub fn standing(&self, sanitizer: &SanitizerSpec, now: Timestamp) -> Vec<Standing> {
        let approvers = self.approvers("sanitizer", &sanitizer.name, &sanitizer.digest(), now, sanitizer.expires.0);
        let ever = self.approvals.iter().filter(|a| a.kind == "sanitizer" && a.name == sanitizer.name).count();
        let of_tag = |tag: &String| {
            let spec = self.tags.get(tag).cloned().unwrap_or_default();
            let good = approvers.iter().filter(|approval| approval.by != sanitizer.author && owns(&spec, approval));
            let approved_by: Vec<String> = good.map(|approval| approval.by.clone()).collect();
            let lapsed = ever > approvers.len();
            Standing { tag: tag.clone(), approved_by, needed: spec.approvals, owners: spec.owners, lapsed }
        };
        sanitizer.strips.keys().map(of_tag).collect()
    }

    /// The sanitizers by name.
    pub fn sanitizers(&self) -> &BTreeMap<String, SanitizerSpec> {
        &self.sanitizers
    }

    /// What becomes of a label when a node takes tags off, or why it may not. `identity` is what the node is, see
    /// [`model::Node::identity`]; `wanted` is its `lowers`.
    pub fn lowering(
        &self,
        identity: Option<&Digest>,
        wanted: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Lowering, String> {
        let list = || wanted.keys().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", ");
        let Some(identity) = identity else {
            return Err(format!("it may not take {} off: what it runs is not fixed", list()));
        };
        let mut why = format!("it may not take {} off: no sanitizer is registered that is exactly this code", list());
        for sanitizer in self.sanitizers.values().filter(|sanitizer| sanitizer.identity == *identity) {
            let other = wanted.iter().find(|(tag, becomes)| sanitizer.strips.get(*tag) != Some(*becomes));
            if let Some((tag, becomes)) = other {
                why = format!("the sanitizer `{}` does not make `{becomes}` of `{tag}`", sanitizer.name);
                continue;
            }
            let standing = self.standing(sanitizer, now);
            let missing = standing.iter().find(|standing| wanted.contains_key(&standing.tag) && !standing.is_good());
            match missing {
                Some(missing) => why = format!("the sanitizer `{}` is not approved: {}", sanitizer.name, missing.sentence()),
                None => return Ok(self.lowered(sanitizer, wanted)),
            }
        }
        Err(why)
    }

    fn lowered(&self, sanitizer: &SanitizerSpec, wanted: &BTreeMap<String, String>) -> Lowering {
        let mut strips: BTreeSet<String> = wanted.keys().cloned().collect();
        // What is below a tag goes with it: it would bring the tag back.
        let below =
            |tag: &&String| self.closed(&model::Label::of([(*tag).clone()])).0.iter().any(|above| wanted.contains_key(above));
        strips.extend(self.tags.keys().filter(below).cloned());
        let adds = wanted.values().filter(|becomes| !becomes.is_empty()).cloned().collect();
        Lowering { sanitizer: sanitizer.name.clone(), strips, adds }
    }

    pub(crate) fn check_sanitizers(&self, problems: &mut Vec<Problem>) {
        for sanitizer in self.sanitizers.values() {
            let named = sanitizer.strips.iter().flat_map(|(tag, becomes)| [tag, becomes]);
            for tag in named.filter(|tag| !tag.is_empty() && !self.tags.contains_key(*tag)) {
                problems.push(Problem {
                    document: ("sanitizer", sanitizer.name.clone()),
                    span: 0..0,
                    message: format!("there is no tag `{tag}`"),
                    hint: Some("declare it: `kind: tag`".into()),
                    warning: false,
                });
            }
        }
    }
}
