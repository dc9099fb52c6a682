//! Small files that are replaced whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A folder that others cannot look into.
pub(super) fn make_folder(folder: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Puts these bytes in place of a file: whoever reads it finds the old ones or the new. When `synced`, the new ones survive a power cut
/// once the name does.
pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8], synced: bool) -> std::io::Result<()> {
    write(folder, name, bytes, 0o644, synced)
}

/// The same for what only the owner may read; name and bytes survive a power cut.
pub(super) fn replace_secret(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    write(folder, name, bytes, 0o600, true)?;
    File::open(folder)?.sync_all()
}

fn write(folder: &Path, name: &str, bytes: &[u8], mode: u32, synced: bool) -> std::io::Result<()> {
    let partial = folder.join(format!(".{name}.partial"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
    file.write_all(bytes)?;
    if synced {
        file.sync_data()?;
    }
    std::fs::rename(&partial, folder.join(name))
}

/// Gives a file another name.
pub(super) fn set_aside(folder: &Path, name: &str, other: &str) -> std::io::Result<()> {
    match std::fs::rename(folder.join(name), folder.join(other)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => File::open(folder)?.sync_all(),
    }
}

/// Takes a file away.
pub(super) fn remove(folder: &Path, name: &str) -> std::io::Result<()> {
    match std::fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => File::open(folder)?.sync_all(),
    }
}
