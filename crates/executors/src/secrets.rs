//! How secrets come to a process: the server leaves them in a file that its owner alone may read, the wrapper takes it away before the
//! process starts, puts them into the environment, and takes them out of what the process prints.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyring::{Secret, referenced};
use zeroize::Zeroizing;

use crate::record;

/// The file, in the attempt's folder. It is gone when the process starts.
const FILE: &str = "secrets.json";

/// Leaves secrets for the wrapper. Nothing is left when there are none.
pub(crate) fn put(folder: &Path, secrets: &[Secret]) -> io::Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    let values: BTreeMap<&str, &str> = secrets.iter().map(|secret| (secret.name.as_str(), secret.expose())).collect();
    let bytes = Zeroizing::new(serde_json::to_vec(&values)?);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(FILE))?.write_all(&bytes)
}

/// Takes what was left, and removes it.
pub(crate) fn take(folder: &Path) -> Vec<Secret> {
    let Ok(bytes) = record::read_note(folder, FILE).map(Zeroizing::new) else { return Vec::new() };
    let _ = std::fs::remove_file(folder.join(FILE));
    let values: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
    values.into_iter().map(|(name, value)| Secret::new(name, value)).collect()
}

/// The value of a variable: the secret that it names, or what it says. None when it names one that is not there.
pub(crate) fn value_of<'v>(text: &'v str, secrets: &'v [Secret]) -> Option<&'v str> {
    match referenced(text) {
        None => Some(text),
        Some(name) => secrets.iter().find(|secret| secret.name == name).map(Secret::expose),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_left_for_their_owner_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &[Secret::new("token", "a long value")]).unwrap();
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let taken = take(folder.path());
        assert_eq!(value_of("secret://token", &taken), Some("a long value"));
        assert_eq!((value_of("secret://other", &taken), value_of("plain", &taken)), (None, Some("plain")));
        assert!(take(folder.path()).is_empty() && std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
