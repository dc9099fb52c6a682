//! Labels: the set of tags that a value carries. They only ever grow here; taking a tag off is the business of a sanitizer.

use std::collections::BTreeSet;
use std::fmt;

/// The set of tags of a value. Two labels join by union.
#[derive(
    Clone,
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
#[serde(transparent)]
#[cbor(transparent)]
pub struct Label(#[n(0)] pub BTreeSet<String>);

impl Label {
    /// The label with no tags.
    pub fn empty() -> Label {
        Label::default()
    }

    /// Adds the tags of `other`.
    pub fn join(&mut self, other: &Label) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether no tag is carried.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<&str> = self.0.iter().map(String::as_str).collect();
        write!(f, "[{}]", tags.join(", "))
    }
}
