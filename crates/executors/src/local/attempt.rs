//! The folder of an attempt: what a process finds when it starts, and what it leaves. The contract is described for users in
//! `docs/reference/run-nodes.md`.

use std::io;
use std::path::{Component, Path, PathBuf};

use artifacts::{Store, StoreError};
use model::graph::Port;
use model::limits::VALUE_BYTES_MAX;
use model::value::ArtifactKind;
use model::{ArtifactRef, Digest, Failure, FailureClass};
use serde_json::{Value, json};

use super::Options;
use crate::AttemptSpec;
use crate::shim::{self, ShimSpec};

/// Processes and threads that an attempt may have at once.
const PROCESSES_MAX: u32 = 512;
/// Bytes of one file that a process may write.
const FILE_BYTES_MAX: u64 = 64 << 30;
/// Microseconds between the polite request to stop and force, at a deadline.
const GRACE_US: u64 = 10_000_000;
/// The declared outputs, for collecting after a restart.
const PORTS: &str = "outputs.json";

fn broken(class: FailureClass, message: impl Into<String>) -> Failure {
    Failure::new(class, message)
}

fn of_io(what: &str) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => broken(FailureClass::DiskFull, "the site's disk is full"),
        _ => broken(FailureClass::Environment, format!("{what}: {error}")),
    }
}

fn of_store(error: StoreError) -> Failure {
    match error {
        StoreError::DiskFull => broken(FailureClass::DiskFull, "the site's disk is full"),
        StoreError::BadPath(_) | StoreError::TooManyFiles => broken(FailureClass::Output, error.to_string()),
        StoreError::Missing(_) => broken(FailureClass::Transfer, error.to_string()),
        other => broken(FailureClass::Environment, other.to_string()),
    }
}

/// Makes the folder anew and lays everything out. A folder without a wrapper is what a killed server left half made.
pub(super) fn prepare(options: &Options, store: &Store, folder: &Path, spec: &AttemptSpec) -> Result<(), Failure> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(of_io("the attempt's folder"))?;
    }
    let work = folder.join("work");
    for needed in [work.join("in"), work.join("out")] {
        std::fs::create_dir_all(needed).map_err(of_io("the attempt's folder"))?;
    }
    let work = work.canonicalize().map_err(of_io("the attempt's folder"))?;
    if let model::NodeKind::Run { code, .. } = &spec.kind {
        for file in code {
            lay_out_code(store, &work, &file.path, &file.digest)?;
        }
    }
    let mut laid = 0;
    // The command line is laid out for itself: an artifact in it is a bare path.
    let mut described = spec.input.clone();
    described.as_object_mut().map(|fields| fields.remove("command"));
    let input = localize(&described, store, &work, &mut laid, true)?;
    let given = input.get("with").cloned().unwrap_or_else(|| json!({}));
    std::fs::write(work.join("input.json"), given.to_string()).map_err(of_io("input.json"))?;
    let ports = serde_json::to_vec(&spec.outputs).map_err(|error| broken(FailureClass::Unknown, error.to_string()))?;
    std::fs::write(folder.join(PORTS), ports).map_err(of_io("outputs.json"))?;
    let shim_spec = ShimSpec {
        attempt: spec.key,
        epoch: spec.epoch,
        command: command(&spec.input, &input, store, &work, &mut laid)?,
        environment: environment(options, spec, &input, &work),
        work: "work".into(),
        memory_bytes: spec.resources.memory_bytes,
        processes_max: PROCESSES_MAX,
        file_bytes_max: FILE_BYTES_MAX,
        timeout_us: spec.timeout.map_or(0, |span| span.0),
        grace_us: GRACE_US,
    };
    let bytes = serde_json::to_vec(&shim_spec).map_err(|error| broken(FailureClass::Unknown, error.to_string()))?;
    shim::make_control(folder).map_err(of_io("the control pipe"))?;
    std::fs::write(folder.join(shim::SPEC), bytes).map_err(of_io("shim.json"))
}

fn lay_out_code(store: &Store, work: &Path, path: &str, digest: &Digest) -> Result<(), Failure> {
    let file =
        inside(work, path).ok_or_else(|| broken(FailureClass::Environment, format!("`{path}` leads out of the work folder")))?;
    std::fs::create_dir_all(file.parent().unwrap_or(work)).map_err(of_io(path))?;
    store.copy_out(digest, &file, true).map_err(of_store)
}

/// A value with every artifact laid out: as `{"path", …}` where a program reads it, as its bare path in a command line.
fn localize(value: &Value, store: &Store, work: &Path, laid: &mut u32, described: bool) -> Result<Value, Failure> {
    if let Some(artifact) = ArtifactRef::from_value(value) {
        let name =
            artifact.name.rsplit('/').next().filter(|name| !name.is_empty() && *name != "." && *name != "..").unwrap_or("file");
        let path = work.join("in").join(format!("{laid}-{name}"));
        *laid += 1;
        store.lay_out(&artifact, &path).map_err(of_store)?;
        return Ok(if described {
            json!({"path": path, "name": artifact.name, "kind": artifact.kind, "size": artifact.size, "digest": artifact.digest})
        } else {
            json!(path)
        });
    }
    Ok(match value {
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| localize(item, store, work, laid, described)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let mut out = serde_json::Map::new();
            for (key, field) in fields {
                out.insert(key.clone(), localize(field, store, work, laid, described)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The command line: artifacts in it become their paths.
fn command(raw: &Value, input: &Value, store: &Store, work: &Path, laid: &mut u32) -> Result<Vec<String>, Failure> {
    if let Some(command) = raw.get("command").filter(|command| !command.is_null()) {
        let Value::Array(parts) = localize(command, store, work, laid, false)? else {
            return Err(broken(FailureClass::Environment, "`command` is not a list"));
        };
        return Ok(parts.iter().map(text_of).collect());
    }
    let Some(script) = input.get("script").and_then(Value::as_str) else {
        return Err(broken(FailureClass::Environment, "there is neither `command` nor `script`"));
    };
    std::fs::write(work.join(".script"), script).map_err(of_io("the script"))?;
    let interpreter = input.get("interpreter").and_then(Value::as_array).filter(|parts| !parts.is_empty());
    let mut command: Vec<String> = match interpreter {
        Some(parts) => parts.iter().map(text_of).collect(),
        None => vec!["/bin/sh".into(), "-eu".into()],
    };
    command.push(work.join(".script").to_string_lossy().into_owned());
    Ok(command)
}

fn environment(options: &Options, spec: &AttemptSpec, input: &Value, work: &Path) -> Vec<(String, String)> {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut environment: Vec<(String, String)> = vec![
        ("PATH".into(), options.path.clone()),
        ("HOME".into(), path(work.to_owned())),
        ("LANG".into(), "C.UTF-8".into()),
        ("TZ".into(), "UTC".into()),
        ("PYTHONUNBUFFERED".into(), "1".into()),
        ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
    ];
    for (key, value) in input.get("env").and_then(Value::as_object).into_iter().flatten() {
        environment.push((key.clone(), text_of(value)));
    }
    environment.extend(spec.environment.iter().cloned());
    environment.push(("TUTTI_SITE".into(), options.site.clone()));
    environment.push(("TUTTI_SITE_FILES".into(), path(options.folder.join("files"))));
    environment.push(("TUTTI_IDEMPOTENCY_KEY".into(), spec.idempotency_key.clone()));
    environment.push(("TUTTI_INPUT".into(), path(work.join("input.json"))));
    environment.push(("TUTTI_OUTPUT".into(), path(work.join("output.json"))));
    environment.push(("TUTTI_OUT_DIR".into(), path(work.join("out"))));
    environment
}

/// A path below a folder, when it stays there by its own words.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.is_empty()).then(|| folder.join(relative))
}

type Outputs = (Value, Vec<(Digest, u64)>);

/// Reads what a process left and takes its files into the store.
pub(super) fn outputs(store: &Store, folder: &Path) -> Result<Outputs, Failure> {
    let work = folder.join("work");
    let file = work.join("output.json");
    let wrong = |message: String| broken(FailureClass::Output, message);
    let value: Value = match std::fs::symlink_metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => json!({}),
        Err(error) => return Err(of_io("output.json")(error)),
        Ok(found) if !found.is_file() => return Err(wrong("output.json is not a file".into())),
        Ok(found) if found.len() > VALUE_BYTES_MAX as u64 => {
            let message = format!(
                "output.json is {} bytes; at most {VALUE_BYTES_MAX} may pass: write a file to TUTTI_OUT_DIR",
                found.len()
            );
            return Err(wrong(message));
        }
        Ok(_) => {
            let bytes = std::fs::read(&file).map_err(of_io("output.json"))?;
            serde_json::from_slice(&bytes).map_err(|error| wrong(format!("output.json is not JSON: {error}")))?
        }
    };
    let ports: Vec<Port> =
        std::fs::read(folder.join(PORTS)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut stored = Vec::new();
    let value = take_files(&value, store, &work.join("out"), None, &mut stored)?;
    let value = kinds_of_ports(value, &ports);
    check(&value, &ports).map_err(wrong)?;
    Ok((value, stored))
}

/// A value with every `{"$file": path}` taken into the store.
fn take_files(
    value: &Value,
    store: &Store,
    out: &Path,
    name: Option<&str>,
    stored: &mut Vec<(Digest, u64)>,
) -> Result<Value, Failure> {
    if let Some(path) = value.get("$file").and_then(Value::as_str) {
        let refused = || broken(FailureClass::Output, format!("`{path}` is not a file below TUTTI_OUT_DIR"));
        let file = inside(out, path).ok_or_else(refused)?;
        // A link on the way could lead anywhere.
        let root = out.canonicalize().map_err(of_io("TUTTI_OUT_DIR"))?;
        let real = file.canonicalize().map_err(|_| refused())?;
        if real != root.join(path) {
            return Err(refused());
        }
        let folder = real.is_dir();
        let put = if folder { store.put_directory(&real) } else { store.put_file(&real) }.map_err(of_store)?;
        stored.push((put.digest, put.size));
        let kind = if folder { ArtifactKind::Directory } else { ArtifactKind::File };
        let name = path.rsplit('/').next().or(name).unwrap_or("file").to_owned();
        return Ok(ArtifactRef { digest: put.digest, size: put.size, kind, name }.to_value());
    }
    Ok(match value {
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| take_files(item, store, out, name, stored)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let mut taken = serde_json::Map::new();
            for (key, field) in fields {
                taken.insert(key.clone(), take_files(field, store, out, Some(key), stored)?);
            }
            Value::Object(taken)
        }
        other => other.clone(),
    })
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
