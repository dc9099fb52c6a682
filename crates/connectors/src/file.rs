//! `core/file`: the site's shared folder.

use std::path::{Path, PathBuf};

use artifacts::StoreError;
use model::value::ArtifactKind;
use model::{ArtifactRef, Failure, FailureClass};
use serde_json::{Value, json};

use crate::{Given, Place};

pub(crate) fn run(input: &Value, place: &Place<'_>) -> Result<Given, Failure> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    match (text("read"), text("write")) {
        (Some(path), None) => read(path, place),
        (None, Some(path)) => write(path, input, place),
        _ => Err(user("give either `read` or `write`")),
    }
}

fn user(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::User, message)
}

fn storage(error: &StoreError) -> Failure {
    let class = if matches!(error, StoreError::DiskFull) { FailureClass::DiskFull } else { FailureClass::User };
    Failure::new(class, error.to_string())
}

/// A path below the shared folder whose existing part has no link that leads out of it.
fn inside(root: &Path, path: &str) -> Result<PathBuf, Failure> {
    let outside = || user(format!("`{path}` leads out of the site's shared folder"));
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(outside());
    }
    let root = root.canonicalize().map_err(|error| user(format!("the site has no shared folder: {error}")))?;
    let whole = root.join(path);
    let existing = whole.ancestors().find(|part| part.symlink_metadata().is_ok()).unwrap_or(&root);
    let real = existing.canonicalize().map_err(|_| outside())?;
    if real.starts_with(&root) { Ok(whole) } else { Err(outside()) }
}

fn read(path: &str, place: &Place<'_>) -> Result<Given, Failure> {
    let file = inside(place.files, path)?;
    let folder = file.is_dir();
    let put = if folder { place.store.put_directory(&file) } else { place.store.put_file(&file) };
    let put = put.map_err(|error| storage(&error))?;
    let kind = if folder { ArtifactKind::Directory } else { ArtifactKind::File };
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let artifact = ArtifactRef { digest: put.digest, size: put.size, kind, name };
    Ok(Given { output: json!({"file": artifact.to_value(), "path": path}), stored: vec![(put.digest, put.size)] })
}

fn write(path: &str, input: &Value, place: &Place<'_>) -> Result<Given, Failure> {
    let file = inside(place.files, path)?;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => Failure::new(FailureClass::DiskFull, "the disk of the shared folder is full"),
        _ => user(format!("`{path}`: {error}")),
    };
    let folder = file.parent().unwrap_or(place.files);
    std::fs::create_dir_all(folder).map_err(failed)?;
    // Written beside and renamed: a reader sees the old file or the new one, and a second attempt does no harm.
    let beside = folder.join(format!(".{}.tutti", file.file_name().unwrap_or_default().to_string_lossy()));
    let _ = std::fs::remove_file(&beside);
    match (input.get("artifact").and_then(ArtifactRef::from_value), input.get("text").and_then(Value::as_str)) {
        (Some(artifact), None) if artifact.kind != ArtifactKind::Directory => {
            place.store.copy_out(&artifact.digest, &beside, false).map_err(|error| storage(&error))?;
        }
        (None, Some(text)) => std::fs::write(&beside, text).map_err(failed)?,
        _ => return Err(user("give either `artifact` (a file) or `text` to write")),
    }
    std::fs::rename(&beside, &file).map_err(failed)?;
    Ok(Given { output: json!({ "path": path }), ..Given::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::Store;

    #[test]
    fn files_go_in_and_out_and_never_outside() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let place = Place { store: &store, files: &files, idempotency_key: "k" };
        run(&json!({"write": "a/b.txt", "text": "hello"}), &place).unwrap();
        let given = run(&json!({"read": "a/b.txt"}), &place).unwrap();
        run(&json!({"write": "c.txt", "artifact": given.output["file"]}), &place).unwrap();
        assert_eq!(std::fs::read_to_string(files.join("c.txt")).unwrap(), "hello");
        std::os::unix::fs::symlink("/etc", files.join("out")).unwrap();
        for bad in ["../x", "/etc/passwd", "out/passwd", "a/../../x", ""] {
            assert!(run(&json!({"read": bad}), &place).is_err(), "{bad}");
            assert!(run(&json!({"write": bad, "text": ""}), &place).is_err(), "{bad}");
        }
    }
}
