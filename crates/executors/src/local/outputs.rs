//! What a process leaves: its `output.json`, and the files that names. All of it is a stranger's: nothing here follows a link, waits for
//! the other end of a pipe, or reads without a limit.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use artifacts::{Store, StoreError, Taking, open_beneath};
use model::graph::Port;
use model::limits::{ATTEMPT_ARTIFACTS_MAX, VALUE_BYTES_MAX};
use model::value::ArtifactKind;
use model::{ArtifactRef, Digest, Failure, FailureClass};
use serde_json::{Value, json};

use super::attempt::{of_io, of_store};
use crate::record;
use crate::shim::{self, ShimSpec};

type Outputs = (Value, Vec<(Digest, u64)>);

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Output, message)
}

/// Reads what a process left in the folder of its attempt and takes its files into the store.
pub(super) fn collect(store: &Store, folder: &Path) -> Result<Outputs, Failure> {
    let spec: Option<ShimSpec> = record::read_note(folder, shim::SPEC).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // Without them the types of the outputs could not be checked.
    let spec = spec.ok_or_else(|| wrong("it changed the files of its attempt"))?;
    let mut taking = TakingFiles { store, folder, known: BTreeMap::new() };
    let value = taking.take(&read(folder)?)?;
    let value = kinds_of_ports(value, &spec.ports);
    check(&value, &spec.ports).map_err(wrong)?;
    let stored: BTreeMap<Digest, u64> = taking.known.into_values().map(|artifact| (artifact.digest, artifact.size)).collect();
    Ok((value, stored.into_iter().collect()))
}

/// The value of `output.json`; an empty object when there is none.
fn read(folder: &Path) -> Result<Value, Failure> {
    let file = match open_beneath(folder, "work/output.json") {
        Ok(file) if file.metadata().is_ok_and(|file| file.is_file()) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(json!({})),
        Err(error) if is_of_disk(&error) => return Err(of_io("output.json")(error)),
        _ => return Err(wrong("output.json is not a file")),
    };
    let mut bytes = Vec::new();
    file.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(of_io("output.json"))?;
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(wrong(format!(
            "output.json is larger than the {VALUE_BYTES_MAX} bytes that may pass: write a file to TUTTI_OUT_DIR"
        )));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(format!("output.json is not JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(wrong("output.json is not an object")) }
}

fn is_of_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

struct TakingFiles<'t> {
    store: &'t Store,
    folder: &'t Path,
    /// What was taken, by path: a file that is named twice is taken once.
    known: BTreeMap<String, ArtifactRef>,
}

impl TakingFiles<'_> {
    /// A value with every `{"$file": path}` taken into the store.
    fn take(&mut self, value: &Value) -> Result<Value, Failure> {
        if let Some(path) = value.get("$file").and_then(Value::as_str) {
            return Ok(self.take_file(path)?.to_value());
        }
        Ok(match value {
            Value::Array(items) => Value::Array(items.iter().map(|item| self.take(item)).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let taken = fields.iter().map(|(key, field)| Ok((key.clone(), self.take(field)?)));
                Value::Object(taken.collect::<Result<_, Failure>>()?)
            }
            other => other.clone(),
        })
    }

    fn take_file(&mut self, path: &str) -> Result<ArtifactRef, Failure> {
        if let Some(artifact) = self.known.get(path) {
            return Ok(artifact.clone());
        }
        if self.known.len() >= ATTEMPT_ARTIFACTS_MAX {
            return Err(wrong(format!("output.json names more than {ATTEMPT_ARTIFACTS_MAX} files: give a folder of them")));
        }
        let refused = || wrong(format!("`{path}` is not a file or folder below TUTTI_OUT_DIR"));
        let below = format!("work/out/{path}");
        // From the attempt's own folder on: the process may have put links in the place of any folder below it.
        let (put, kind) = self.store.take(self.folder, &below, Taking::Link).map_err(|error| match error {
            StoreError::BadPath(bad) if bad == below => refused(),
            StoreError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => refused(),
            StoreError::Io { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                wrong(format!("`{}`: {error}", path.display()))
            }
            other => of_store(other),
        })?;
        let name = path.rsplit('/').next().unwrap_or("file").to_owned();
        let artifact = ArtifactRef { digest: put.digest, size: put.size, kind, name };
        self.known.insert(path.to_owned(), artifact.clone());
        Ok(artifact)
    }
}

fn port_type(port: &Port) -> &str {
    port.schema.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Files at ports declared as tables or models are tables and models.
fn kinds_of_ports(mut value: Value, ports: &[Port]) -> Value {
    for port in ports {
        let kind = match port_type(port) {
            "table" => ArtifactKind::Table,
            "model" => ArtifactKind::Model,
            _ => continue,
        };
        if let Some(place) = value.get_mut(&port.name)
            && let Some(mut artifact) = ArtifactRef::from_value(place)
        {
            artifact.kind = kind;
            *place = artifact.to_value();
        }
    }
    value
}

/// Whether the declared outputs are there and of their types.
fn check(value: &Value, ports: &[Port]) -> Result<(), String> {
    for port in ports {
        let Some(found) = value.get(&port.name).filter(|found| !found.is_null()) else {
            return Err(format!("the output `{}` is declared and missing", port.name));
        };
        let is_artifact = ArtifactRef::from_value(found);
        let fits = match port_type(port) {
            "string" => found.is_string(),
            "number" => found.is_number(),
            "integer" => found.is_i64() || found.is_u64(),
            "boolean" => found.is_boolean(),
            "array" => found.is_array(),
            "object" => found.is_object() && is_artifact.is_none(),
            "artifact" => is_artifact.is_some(),
            "file" | "table" | "model" => is_artifact.is_some_and(|artifact| artifact.kind != ArtifactKind::Directory),
            "directory" => is_artifact.is_some_and(|artifact| artifact.kind == ArtifactKind::Directory),
            _ => true,
        };
        if !fits {
            let text: String = found.to_string().chars().take(60).collect();
            return Err(format!("the output `{}` is declared as {} and is {text}", port.name, port_type(port)));
        }
    }
    Ok(())
}
