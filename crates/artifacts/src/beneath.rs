//! Opening what lies below a folder, and nothing else: a link on the way is refused, at any step and at any time.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::directory::is_inside;

/// What may be opened to be read. Never waits: a pipe without a writer does not hold anybody up.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn refusal() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it leads out of its folder, or is a link or a special file")
}

/// Opens a folder by its whole path; links on the way to it are followed, since it was not a stranger who named it.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens one thing in a folder when it is a file or a folder.
pub(crate) fn open_child(folder: &OwnedFd, name: &str) -> io::Result<(OwnedFd, FileType)> {
    let kind = |mode| FileType::from_raw_mode(mode);
    // Looked at before it is opened: opening some devices does something.
    if !matches!(kind(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode), FileType::RegularFile | FileType::Directory) {
        return Err(refusal());
    }
    let opened = openat(folder, name, READ, Mode::empty()).map_err(|error| match error {
        // It became a link in between.
        Errno::LOOP => refusal(),
        other => other.into(),
    })?;
    let kind = kind(rustix::fs::fstat(&opened)?.st_mode);
    if matches!(kind, FileType::RegularFile | FileType::Directory) { Ok((opened, kind)) } else { Err(refusal()) }
}

/// Opens a file or folder below `root` by its relative, `/`-separated path. A path that leads out, a link anywhere on the way, a device,
/// a socket or a pipe give an error of the kind [`io::ErrorKind::InvalidInput`].
pub fn open_beneath(root: &Path, path: &str) -> io::Result<File> {
    if !is_inside(path) {
        return Err(refusal());
    }
    let mut opened = open_root(root)?;
    for name in path.split('/') {
        opened = open_child(&opened, name)?.0;
    }
    Ok(opened.into())
}

/// Puts a file at a relative path below `root`, whole or not at all: written beside and renamed, so that a reader sees the old file or the
/// new one. Missing folders are made; a link on the way is refused. `tag` keeps two who write at the same time apart, and lets the second
/// try of one clear away the first.
pub fn replace_beneath(root: &Path, path: &str, tag: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if !is_inside(path) || !is_inside(tag) || tag.contains('/') {
        return Err(refusal());
    }
    let mut folder = open_root(root)?;
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        match mkdirat(&folder, part, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let (opened, kind) = open_child(&folder, part)?;
        if kind != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        folder = opened;
    }
    let beside = format!(".{tag}.tutti");
    let _ = unlinkat(&folder, beside.as_str(), AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let mut file = File::from(openat(&folder, beside.as_str(), flags, mode)?);
    let written = write(&mut file).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| Ok(renameat(&folder, beside.as_str(), &folder, name)?));
    if renamed.is_err() {
        let _ = unlinkat(&folder, beside.as_str(), AtFlags::empty());
    }
    renamed.and_then(|()| File::from(folder).sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c"), "c").unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("a", root.join("same")).unwrap();
        rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(open_beneath(&root, "a/b/c").unwrap().metadata().unwrap().is_file());
        assert!(open_beneath(&root, "a/b").unwrap().metadata().unwrap().is_dir());
        for bad in ["", ".", "..", "../secret", "up/secret", "same/b/c", "/etc/passwd", "a/../a", "pipe", "a//b"] {
            let error = open_beneath(&root, bad).expect_err(bad);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}: {error}");
        }
        assert_eq!(open_beneath(&root, "a/x").unwrap_err().kind(), io::ErrorKind::NotFound);
        for bad in ["../new", "up/new", "same/new", "/new", "a/../new", "pipe/new"] {
            replace_beneath(&root, bad, "t", |_| Ok(())).expect_err(bad);
        }
        assert_eq!(open_beneath(&root, "a/b/c/d").unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn files_are_replaced_whole_or_not_at_all() {
        use io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| replace_beneath(folder.path(), path, "t", |file| file.write_all(text.as_bytes()));
        put("a/b/c", "one").unwrap();
        put("a/b/c", "two").unwrap();
        let broken = replace_beneath(folder.path(), "a/b/c", "t", |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("no"))
        });
        broken.unwrap_err();
        assert_eq!(std::fs::read_to_string(folder.path().join("a/b/c")).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1, "nothing is left beside");
        // A link in the place of the file is replaced, not followed.
        std::os::unix::fs::symlink("c", folder.path().join("a/b/l")).unwrap();
        put("a/b/l", "three").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a/b/c")).unwrap(), "two");
    }
}
