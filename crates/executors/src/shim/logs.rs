//! Logs: each stream in segments named by the offset of their first byte, so that offsets stay true after old segments are dropped.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use keyring::{Redactor, Secret};
use model::limits::LOG_BYTES_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{LogChunk, Stream};

/// Bytes of one segment.
const SEGMENT_BYTES: u64 = 1 << 20;
/// Segments kept of one stream: half of what an attempt may keep.
const SEGMENTS_MAX: u64 = LOG_BYTES_MAX / 2 / SEGMENT_BYTES;
/// Bytes read at a time. A loop that serves other things too takes one such piece a turn.
const PIECE_BYTES: usize = 64 << 10;

fn segment(folder: &Path, stream: &str, offset: u64) -> PathBuf {
    folder.join(format!("{stream}.{offset:016}"))
}

/// Copies a stream of a process into segments.
pub(super) struct Pump {
    pipe: Option<File>,
    segments: Segments,
    redactor: Redactor,
}

impl Pump {
    pub(super) fn new(folder: &Path, stream: Stream, pipe: Option<OwnedFd>, secrets: &[Secret]) -> io::Result<Pump> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let segments = Segments { folder: folder.to_owned(), stream: stream.as_str(), offset: 0, open: None };
        Ok(Pump { pipe: pipe.map(File::from), segments, redactor: Redactor::new(secrets) })
    }

    /// The reading end while it is open.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(File::as_fd)
    }

    /// Copies what is there, up to a piece. False when there was nothing.
    pub(super) fn copy_some(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut buffer = [0; PIECE_BYTES];
        match pipe.read(&mut buffer) {
            Ok(0) => self.close(),
            Ok(count) => {
                let shown = self.redactor.push(&buffer[..count]);
                self.segments.append(&shown);
                return true;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => self.close(),
        }
        false
    }

    /// Nothing more comes: what looked like the beginning of a secret was none.
    fn close(&mut self) {
        self.pipe = None;
        let rest = self.redactor.finish();
        if !rest.is_empty() {
            self.segments.append(&rest);
        }
    }

    /// Copies what is left, for no longer than `until`: something out of reach may hold the other end.
    pub(super) fn drain(&mut self, until: Instant) {
        while self.pipe.is_some() {
            if self.copy_some() {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            let Some(pipe) = self.pipe().filter(|_| !left.is_zero()) else { return self.close() };
            let pause = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let _ = poll(&mut [PollFd::from_borrowed_fd(pipe, PollFlags::IN)], Some(&pause));
        }
    }
}

/// The segments of a stream as they are written.
struct Segments {
    folder: PathBuf,
    stream: &'static str,
    offset: u64,
    /// The segment that grows, and the offset of its first byte.
    open: Option<(File, u64)>,
}

impl Segments {
    /// When the disk is full, bytes are dropped: a process must not hang for its log.
    fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = self.offset + bytes.len() as u64;
        if self.open.as_ref().is_none_or(|(_, first)| end - first > SEGMENT_BYTES) {
            self.open = File::create(segment(&self.folder, self.stream, self.offset)).ok().map(|file| (file, self.offset));
            self.drop_old();
        }
        if let Some((file, first)) = &mut self.open
            && file.write_all(bytes).is_err()
        {
            // What comes next begins at an offset of its own, so that offsets stay true over the gap.
            let _ = file.set_len(self.offset - *first);
            self.open = None;
        }
        self.offset = end;
    }

    fn drop_old(&self) {
        let offsets = segments(&self.folder, self.stream);
        let too_many = offsets.len().saturating_sub(SEGMENTS_MAX as usize);
        for offset in offsets.into_iter().take(too_many) {
            let _ = std::fs::remove_file(segment(&self.folder, self.stream, offset));
        }
    }
}

/// The first offsets of the segments of a stream, in order.
fn segments(folder: &Path, stream: &str) -> Vec<u64> {
    let prefix = format!("{stream}.");
    let names = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut offsets: Vec<u64> = names.filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect();
    offsets.sort_unstable();
    offsets
}

/// Whether nothing was ever printed.
pub(crate) fn are_empty(folder: &Path) -> bool {
    [Stream::Stdout, Stream::Stderr].iter().all(|stream| segments(folder, stream.as_str()).is_empty())
}

/// How many bytes a stream has had so far.
pub(super) fn end(folder: &Path, stream: Stream) -> u64 {
    let last = segments(folder, stream.as_str()).pop();
    let length = |first| std::fs::symlink_metadata(segment(folder, stream.as_str(), first)).map_or(0, |data| data.len());
    last.map_or(0, |first| first + length(first))
}

/// A piece of a stream from an offset on; from the next byte that is kept when it is not.
pub(crate) fn read(folder: &Path, stream: Stream, offset: u64, limit: usize) -> io::Result<LogChunk> {
    let mut chunk = LogChunk { offset, ..LogChunk::default() };
    for first in segments(folder, stream.as_str()) {
        let mut file = match crate::record::open_plain(&segment(folder, stream.as_str(), first)) {
            Ok(file) => file,
            // Dropped since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let end = first + file.metadata()?.len();
        let at = chunk.offset + chunk.bytes.len() as u64;
        if end <= at {
            continue;
        }
        if first > at {
            if !chunk.bytes.is_empty() {
                // A gap: the next piece begins after it.
                break;
            }
            chunk.offset = first;
        }
        file.seek(SeekFrom::Start(at.saturating_sub(first)))?;
        let room = limit.saturating_sub(chunk.bytes.len()) as u64;
        file.take(room).read_to_end(&mut chunk.bytes)?;
        if chunk.bytes.len() >= limit {
            break;
        }
    }
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, text: &[u8]) -> Segments {
        let mut segments = Segments { folder: folder.to_owned(), stream: "stdout", offset: 0, open: None };
        text.chunks(PIECE_BYTES).for_each(|piece| segments.append(piece));
        segments
    }

    #[test]
    fn offsets_stay_true_when_old_parts_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let total = (SEGMENTS_MAX + 3) * SEGMENT_BYTES;
        let text: Vec<u8> = (0..total).map(|index| (index % 251) as u8).collect();
        written(folder.path(), &text);
        let chunk = read(folder.path(), Stream::Stdout, 0, 100).unwrap();
        assert!(chunk.offset > 0 && total - chunk.offset <= SEGMENTS_MAX * SEGMENT_BYTES);
        assert_eq!(chunk.bytes, text[chunk.offset as usize..][..100]);
        let across = chunk.offset + SEGMENT_BYTES - 10;
        let chunk = read(folder.path(), Stream::Stdout, across, 50).unwrap();
        assert_eq!(chunk.bytes, text[across as usize..][..50]);
        assert!(read(folder.path(), Stream::Stderr, 7, 50).unwrap().bytes.is_empty());
        let end = read(folder.path(), Stream::Stdout, total, 50).unwrap();
        assert_eq!((end.offset, end.bytes.len()), (total, 0));
    }

    #[test]
    fn the_end_of_a_stream_is_known_when_its_beginning_was_dropped() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(end(folder.path(), Stream::Stdout), 0);
        for (first, text) in [(0, "abc"), (3, "defgh")] {
            std::fs::write(segment(folder.path(), "stdout", first), text).unwrap();
        }
        assert_eq!(end(folder.path(), Stream::Stdout), 8);
        std::fs::remove_file(segment(folder.path(), "stdout", 0)).unwrap();
        assert_eq!((end(folder.path(), Stream::Stdout), end(folder.path(), Stream::Stderr)), (8, 0));
    }

    #[test]
    fn a_gap_is_not_papered_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut segments = written(folder.path(), b"before");
        // What a full disk does: bytes are counted and not kept.
        segments.open = None;
        segments.offset += 10;
        segments.append(b"after");
        let chunk = read(folder.path(), Stream::Stdout, 0, 100).unwrap();
        assert_eq!((chunk.offset, chunk.bytes.as_slice()), (0, &b"before"[..]));
        let chunk = read(folder.path(), Stream::Stdout, 6, 100).unwrap();
        assert_eq!((chunk.offset, chunk.bytes.as_slice()), (16, &b"after"[..]));
    }
}
