//! Answers, with their reasons.

use serde::{Deserialize, Serialize};

/// The answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it is permitted.
    pub allowed: bool,
    /// The policies that decided, by id; empty when none permitted it.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// Policies that could not be evaluated: with any, the answer is no.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// `document/policy`.
    pub policy: String,
    /// What its `@reason` says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
    /// What it looked at, with what was found: `zone is cloud`, `data carries pii`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looked_at: Vec<String>,
}

impl Verdict {
    /// No, since nothing could be evaluated.
    pub(crate) fn broken(error: impl std::fmt::Display) -> Verdict {
        Verdict { allowed: false, reasons: Vec::new(), errors: vec![error.to_string()] }
    }

    /// Why not, in one sentence.
    pub fn why(&self) -> String {
        if self.allowed {
            return "permitted".into();
        }
        let mut parts: Vec<String> = self.reasons.iter().map(Reason::sentence).collect();
        parts.extend(self.errors.iter().map(|error| format!("a policy could not be evaluated, which is a refusal: {error}")));
        if parts.is_empty() {
            parts.push("no policy permits it".into());
        }
        parts.join("; ")
    }
}

impl Reason {
    /// The policy, why it is there and what it looked at.
    pub fn sentence(&self) -> String {
        let mut text = format!("policy `{}`", self.policy);
        if !self.because.is_empty() {
            text.push_str(&format!(": {}", self.because));
        }
        if !self.looked_at.is_empty() {
            text.push_str(&format!(" ({})", self.looked_at.join(", ")));
        }
        text
    }
}
