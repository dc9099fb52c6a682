//! `core/file`: the site's shared folder.

use std::io::Write as _;
use std::path::PathBuf;

use artifacts::{Store, StoreError, Taking, replace_beneath};
use model::value::ArtifactKind;
use model::{ArtifactRef, Digest, EgressGrant, Failure, FailureClass};
use serde_json::{Value, json};

use crate::{Given, Place};

/// Where files are taken from and put.
struct Folder {
    store: Store,
    files: PathBuf,
    idempotency_key: String,
}

/// Writing is a way out: nothing is known of who reads there. What is read is noted too.
pub(crate) async fn go(input: &Value, place: &Place<'_>) -> Result<Given, Failure> {
    let folder = EgressGrant::shared_folder();
    let mut way = match input.get("write") {
        Some(_) => place.ways.ask(&folder.host, folder.port)?.0,
        None => place.ways.inwards(&folder.host, folder.port),
    };
    let folder =
        Folder { store: place.store.clone(), files: place.files.to_owned(), idempotency_key: place.idempotency_key.to_owned() };
    let input = input.clone();
    let ran = tokio::task::spawn_blocking(move || run(&input, &folder)).await;
    let ran = ran.unwrap_or_else(|error| Err(Failure::new(FailureClass::Unknown, format!("it broke off: {error}"))));
    match ran {
        Ok((given, bytes)) => {
            let read = given.stored.iter().map(|(_, size)| size).sum();
            way.carried(bytes, read);
            way.ended("closed", "");
            Ok(given)
        }
        Err(failure) => {
            way.ended("failed", failure.class.as_str());
            Err(failure)
        }
    }
}

/// Gives the bytes that were written, too.
fn run(input: &Value, place: &Folder) -> Result<(Given, u64), Failure> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    match (text("read"), text("write")) {
        (Some(path), None) => Ok((read(path, place)?, 0)),
        (None, Some(path)) => write(path, input, place),
        _ => Err(user("give either `read` or `write`")),
    }
}

fn user(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::User, message)
}

fn storage(error: &StoreError) -> Failure {
    match error {
        StoreError::DiskFull => Failure::new(FailureClass::DiskFull, error.to_string()),
        StoreError::Missing(_) | StoreError::Damaged { .. } | StoreError::Tampered(_) | StoreError::Erased(_) => {
            Failure::new(FailureClass::Transfer, error.to_string())
        }
        StoreError::BadPath(path) => user(format!(
            "`{path}` is not a file inside the site's shared folder (links, special files and paths that lead out are not taken)"
        )),
        other => user(other.to_string()),
    }
}

fn read(path: &str, place: &Folder) -> Result<Given, Failure> {
    let (put, kind) = place.store.take(&place.files, path, Taking::Copy).map_err(|error| storage(&error))?;
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let artifact = ArtifactRef { digest: put.digest, size: put.size, kind, name };
    Ok(Given { output: json!({"file": artifact.to_value(), "path": path}), stored: vec![(put.digest, put.size)] })
}

fn write(path: &str, input: &Value, place: &Folder) -> Result<(Given, u64), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => Failure::new(FailureClass::DiskFull, "the disk of the shared folder is full"),
        _ => user(format!("`{path}`: {error}")),
    };
    // Two actions that write the same file at the same time do not share what is beside it; two attempts of one do.
    let tag = Digest::of_parts(&[place.idempotency_key.as_bytes(), b"/", path.as_bytes()]).hex();
    let artifact = input.get("artifact").map(|value| (ArtifactRef::from_value(value), value));
    let mut written = 0;
    match (artifact, input.get("text").and_then(Value::as_str)) {
        (Some((Some(artifact), _)), None) if artifact.kind != ArtifactKind::Directory => {
            let mut source = place.store.open_verified(&artifact.digest).map_err(|error| storage(&error))?;
            let copy = |file: &mut std::fs::File| std::io::copy(&mut source, file).map(|bytes| written = bytes);
            replace_beneath(&place.files, path, &tag, copy).map_err(failed)?;
        }
        (None, Some(text)) => {
            written = text.len() as u64;
            replace_beneath(&place.files, path, &tag, |file| file.write_all(text.as_bytes())).map_err(failed)?;
        }
        (Some((Some(_), _)), None) => return Err(user("`artifact` is a directory: only files are written")),
        (Some((None, value)), None) => return Err(user(format!("`artifact` is {value}, not an artifact"))),
        _ => return Err(user("give either `artifact` (a file) or `text` to write")),
    }
    Ok((Given { output: json!({ "path": path }), ..Given::default() }, written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ways;
    use model::Connection;
    use std::sync::Mutex;

    #[test]
    fn files_go_in_and_out_and_never_outside() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let place = Folder { store, files: files.clone(), idempotency_key: "k".into() };
        let run = |input: &Value, place: &Folder| run(input, place).map(|(given, _)| given);
        run(&json!({"write": "a/b.txt", "text": "hello"}), &place).unwrap();
        let given = run(&json!({"read": "a/b.txt"}), &place).unwrap();
        run(&json!({"write": "c.txt", "artifact": given.output["file"]}), &place).unwrap();
        assert_eq!(std::fs::read_to_string(files.join("c.txt")).unwrap(), "hello");
        std::os::unix::fs::symlink("/etc", files.join("out")).unwrap();
        for bad in ["../x", "/etc/passwd", "out/passwd", "a/../../x", ""] {
            assert!(run(&json!({"read": bad}), &place).is_err(), "{bad}");
            assert!(run(&json!({"write": bad, "text": ""}), &place).is_err(), "{bad}");
        }
        for bad in
            [json!({}), json!({"read": "a/b.txt", "write": "x"}), json!({"write": "x"}), json!({"write": "x", "artifact": 1})]
        {
            assert_eq!(run(&bad, &place).unwrap_err().class, FailureClass::User, "{bad}");
        }
        let folder = run(&json!({"read": "a"}), &place).unwrap();
        assert_eq!(folder.output["file"]["$artifact"]["kind"], "directory");
        let missing = ArtifactRef { digest: Digest::of(b"?"), size: 1, kind: ArtifactKind::File, name: "m".into() };
        let failure = run(&json!({"write": "m", "artifact": missing.to_value()}), &place).unwrap_err();
        assert_eq!(failure.class, FailureClass::Transfer);
        assert!(!files.join("m").exists());
    }

    #[tokio::test]
    async fn writing_needs_a_way_and_both_are_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let noted = Mutex::new(Vec::new());
        let note = |connection: &Connection| noted.lock().unwrap().push(connection.clone());
        let (none, granted) = ([].into(), [EgressGrant::shared_folder()].into());
        let place = |granted| Place {
            store: &store,
            files: folder.path(),
            idempotency_key: "k",
            traceparent: None,
            secrets: &[],
            ways: Ways { granted, note: &note },
        };
        let write = json!({"write": "a.txt", "text": "hello"});
        let refused = go(&write, &place(&none)).await.unwrap_err();
        assert_eq!((refused.class, refused.code.as_deref()), (FailureClass::Refused, Some("E0036")));
        assert!(!folder.path().join("a.txt").exists());
        go(&write, &place(&granted)).await.unwrap();
        go(&json!({"read": "a.txt"}), &place(&none)).await.unwrap();
        go(&json!({"read": "b.txt"}), &place(&none)).await.unwrap_err();
        let noted = noted.lock().unwrap();
        let seen: Vec<_> = noted.iter().map(|one| (one.outcome.as_str(), one.sent, one.received)).collect();
        assert_eq!(seen, [("refused", 0, 0), ("closed", 5, 0), ("closed", 0, 5), ("failed", 0, 0)]);
    }
}
