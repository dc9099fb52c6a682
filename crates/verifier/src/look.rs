//! The look at what is given: a file, or the folder of a pack.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use audit::evidence::{self, Verdict};

use crate::arguments::Asked;

/// Looks at it.
pub(crate) fn look(asked: &Asked) -> Result<Verdict, String> {
    let say = |error: &dyn std::fmt::Display| format!("`{}`: {error}", asked.file.display());
    if asked.file.is_dir() {
        let mut files = BTreeMap::new();
        take_folder(&asked.file, "", &mut files).map_err(|error| say(&error))?;
        let lent = files.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())).collect();
        return Ok(evidence::check_files(&lent, &asked.trust));
    }
    let file = File::open(&asked.file).map_err(|error| say(&error))?;
    evidence::check(BufReader::with_capacity(1 << 18, file), asked.trust.clone()).map_err(|error| say(&error))
}

/// The files of a pack that was unpacked, by their names in it.
fn take_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => take_folder(&entry.path(), &format!("{name}/"), files)?,
            false => drop(files.insert(name, std::fs::read(entry.path())?)),
        }
    }
    Ok(())
}
