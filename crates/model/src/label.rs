//! Labels: the set of tags that a value carries. They only ever grow here; taking a tag off is the business of a sanitizer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::{ArtifactRef, Digest};

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

/// Levels of a schema that are searched for tags.
const SCHEMA_DEPTH_MAX: usize = 64;

impl Label {
    /// The label with no tags.
    pub fn empty() -> Label {
        Label::default()
    }

    /// The label with these tags.
    pub fn of<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Label {
        Label(tags.into_iter().map(Into::into).collect())
    }

    /// Every tag that a schema of the language names, on itself or on any part of it.
    pub fn of_schema(schema: &Value) -> Label {
        fn walk(schema: &Value, depth: usize, found: &mut BTreeSet<String>) {
            if depth > SCHEMA_DEPTH_MAX {
                return;
            }
            match schema {
                Value::Object(fields) => {
                    for (key, value) in fields {
                        match (key.as_str(), value) {
                            ("labels", Value::Array(tags)) => {
                                found.extend(tags.iter().filter_map(Value::as_str).map(str::to_owned))
                            }
                            ("default" | "const" | "enum" | "examples", _) => {}
                            _ => walk(value, depth + 1, found),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, depth + 1, found)),
                _ => {}
            }
        }
        let mut found = BTreeSet::new();
        walk(schema, 0, &mut found);
        Label(found)
    }

    /// Adds the tags of `other`.
    pub fn join(&mut self, other: &Label) {
        if !other.0.is_subset(&self.0) {
            self.0.extend(other.0.iter().cloned());
        }
    }

    /// This label and `other` together.
    pub fn joined(mut self, other: &Label) -> Label {
        self.join(other);
        self
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

/// The label of an output: what all of it carries, and what single fields carry beside that.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
pub struct Carried {
    /// What every part carries.
    #[n(0)]
    pub all: Label,
    /// What a field carries beside that.
    #[n(1)]
    pub fields: BTreeMap<String, Label>,
}

impl Carried {
    /// Whether nothing of it carries a tag.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.fields.values().all(Label::is_empty)
    }

    /// Whether all that this carries is known of another: whoever reads this under the other's name reads nothing that was not said.
    pub fn is_within(&self, other: &Carried) -> bool {
        self.all.0.is_subset(&other.all.0)
            && self.fields.keys().all(|field| self.of(Some(field)).0.is_subset(&other.of(Some(field)).0))
    }

    /// What a field carries; the whole when none is named.
    pub fn of(&self, field: Option<&str>) -> Label {
        let mut label = self.all.clone();
        match field {
            Some(field) => self.fields.get(field).into_iter().for_each(|own| label.join(own)),
            None => self.fields.values().for_each(|own| label.join(own)),
        }
        label
    }

    /// What the artifacts of an output carry, as far as they carry anything.
    pub fn of_artifacts(&self, output: &Value) -> BTreeMap<Digest, Label> {
        let mut labels: BTreeMap<Digest, Label> = BTreeMap::new();
        if self.is_empty() {
            return labels;
        }
        let mut note = |value: &Value, label: &Label| {
            for artifact in ArtifactRef::all_in(value) {
                labels.entry(artifact.digest).or_default().join(label);
            }
        };
        match output {
            Value::Object(fields) if ArtifactRef::from_value(output).is_none() => {
                fields.iter().for_each(|(name, value)| note(value, &self.of(Some(name))));
            }
            other => note(other, &self.of(None)),
        }
        labels.retain(|_, label| !label.is_empty());
        labels
    }

    /// What a node declares of its output: `labels:` of its outputs by name, or of the whole under an empty name.
    pub fn declared(tags: &BTreeMap<String, BTreeSet<String>>) -> Carried {
        let all = tags.get("").map(|tags| Label(tags.clone())).unwrap_or_default();
        let fields = tags.iter().filter(|(name, _)| !name.is_empty());
        Carried { all, fields: fields.map(|(name, tags)| (name.clone(), Label(tags.clone()))).collect() }
    }

    /// This and `other` together.
    pub fn join(&mut self, other: &Carried) {
        self.all.join(&other.all);
        for (field, label) in &other.fields {
            self.fields.entry(field.clone()).or_default().join(label);
        }
    }
}

/// What an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// An input of the workflow; every one when none is named.
    Input(Option<String>),
    /// The output of a node, or a field of it.
    Node(String, Option<String>),
    /// The item of a map.
    Item,
}

/// What a sanitizer makes of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
pub struct Lowering {
    /// The sanitizer's name.
    #[n(0)]
    pub sanitizer: String,
    /// Tags that come off, with those below them.
    #[n(1)]
    pub strips: BTreeSet<String>,
    /// Tags that come on instead.
    #[n(2)]
    pub adds: BTreeSet<String>,
}

impl Lowering {
    /// What is left of a label.
    pub fn of(&self, label: &Label) -> Label {
        let mut left: BTreeSet<String> = label.0.difference(&self.strips).cloned().collect();
        left.extend(self.adds.iter().cloned());
        Label(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tags_are_found_on_any_part_of_a_schema() {
        let schema = json!({"type": "object", "labels": ["a"], "properties": {
            "x": {"type": "array", "items": {"type": "string", "labels": ["b"]}},
            "y": {"const": {"labels": ["not one"]}, "default": {"labels": ["nor this"]}}}});
        assert_eq!(Label::of_schema(&schema), Label::of(["a", "b"]));
        assert!(Label::of_schema(&json!(true)).is_empty());
    }

    #[test]
    fn a_field_carries_what_the_whole_does() {
        let carried = Carried { all: Label::of(["a"]), fields: BTreeMap::from([("x".into(), Label::of(["b"]))]) };
        assert_eq!(carried.of(Some("x")), Label::of(["a", "b"]));
        assert_eq!(carried.of(Some("other")), Label::of(["a"]));
        assert_eq!(carried.of(None), Label::of(["a", "b"]));
    }
}
