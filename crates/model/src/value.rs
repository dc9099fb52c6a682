//! Values that travel between nodes: small JSON documents (payloads) and artifacts (files, directories, tables, models).

use std::sync::Arc;

use crate::Digest;

/// A small JSON document. The journal holds its commitment and size only; the body lies beside the journal and can be
/// destroyed (retention, erasure) without breaking the journal's hashes.
#[derive(Clone, Debug, minicbor::Encode, minicbor::Decode)]
pub struct Payload {
    /// SHA-256 over the run's salt and the bytes of the body.
    #[n(0)]
    pub commitment: Digest,
    /// Bytes of the body.
    #[n(1)]
    pub size: u32,
    /// The body, when it is at hand. Never part of the journal.
    #[cbor(skip)]
    pub body: Option<Arc<serde_json::Value>>,
}

impl Payload {
    /// Wraps `value`, committing to it under `salt`.
    pub fn new(salt: &[u8; 32], value: serde_json::Value) -> Payload {
        let bytes = value.to_string();
        Payload {
            commitment: Digest::of_parts(&[salt, bytes.as_bytes()]),
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            body: Some(Arc::new(value)),
        }
    }

    /// The body, or null when it is not at hand.
    pub fn value(&self) -> &serde_json::Value {
        static NULL: serde_json::Value = serde_json::Value::Null;
        self.body.as_deref().unwrap_or(&NULL)
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.commitment == other.commitment && self.size == other.size
    }
}

impl Eq for Payload {}

/// What kind of thing an artifact is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// One file.
    #[default]
    File,
    /// A directory: the digest is that of its listing.
    Directory,
    /// A table (CSV, Parquet): a file with rows.
    Table,
    /// A trained model: a file.
    Model,
}

/// A reference to an artifact, as it stands inside a value: `{"$artifact": {"digest": …, "size": …, …}}`. Where copies are
/// is not part of it: the engine knows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ArtifactRef {
    /// SHA-256 of the content; of the listing for a directory.
    pub digest: Digest,
    /// Bytes of the content; of all files for a directory.
    pub size: u64,
    /// The kind of thing.
    #[serde(default)]
    pub kind: ArtifactKind,
    /// The file name it was made under, for people and for the place where it is laid out.
    #[serde(default)]
    pub name: String,
}

/// The key that marks an artifact inside a value.
pub const ARTIFACT_KEY: &str = "$artifact";

impl ArtifactRef {
    /// The reference as a value.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::json!({
            ARTIFACT_KEY: { "digest": self.digest.to_string(), "size": self.size, "kind": self.kind, "name": self.name }
        })
    }

    /// The artifact that `value` is, when it is one.
    pub fn from_value(value: &serde_json::Value) -> Option<ArtifactRef> {
        let object = value.as_object()?;
        if object.len() != 1 {
            return None;
        }
        serde_json::from_value(object.get(ARTIFACT_KEY)?.clone()).ok()
    }

    /// Every artifact inside `value`, in document order, without repeats.
    pub fn all_in(value: &serde_json::Value) -> Vec<ArtifactRef> {
        fn walk(value: &serde_json::Value, found: &mut Vec<ArtifactRef>) {
            if let Some(artifact) = ArtifactRef::from_value(value) {
                if !found.iter().any(|known| known.digest == artifact.digest) {
                    found.push(artifact);
                }
                return;
            }
            match value {
                serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
                serde_json::Value::Object(fields) => fields.values().for_each(|field| walk(field, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        walk(value, &mut found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn artifacts_are_found_wherever_they_are() {
        let artifact = ArtifactRef { digest: Digest::of(b"x"), size: 1, kind: ArtifactKind::Table, name: "t.csv".into() };
        let value = json!({"a": [artifact.to_value(), {"b": artifact.to_value()}], "c": 1});
        assert_eq!(ArtifactRef::all_in(&value), vec![artifact]);
    }

    #[test]
    fn equal_bodies_under_other_salts_have_other_commitments() {
        let value = json!({"name": "x"});
        assert_eq!(Payload::new(&[1; 32], value.clone()), Payload::new(&[1; 32], value.clone()));
        assert_ne!(Payload::new(&[1; 32], value.clone()), Payload::new(&[2; 32], value));
    }
}
