//! Logs: each stream in segments named by the offset of their first byte, so that offsets stay true after old segments are dropped.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::JoinHandle;

use model::limits::LOG_BYTES_MAX;

use crate::{LogChunk, Stream};

/// Bytes of one segment.
const SEGMENT_BYTES: u64 = 1 << 20;
/// Segments kept of one stream: half of what an attempt may keep.
const SEGMENTS_MAX: u64 = LOG_BYTES_MAX / 2 / SEGMENT_BYTES;

fn segment(folder: &Path, stream: &str, offset: u64) -> PathBuf {
    folder.join(format!("{stream}.{offset:016}"))
}

/// Starts a thread for each stream of a process.
pub(crate) fn pump(folder: &Path, child: &mut Child) -> io::Result<Vec<JoinHandle<()>>> {
    let mut pumps = Vec::new();
    let streams: [(Stream, Option<Box<dyn Read + Send>>); 2] = [
        (Stream::Stdout, child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        (Stream::Stderr, child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    ];
    for (stream, pipe) in streams {
        let Some(pipe) = pipe else { continue };
        let folder = folder.to_owned();
        pumps.push(std::thread::Builder::new().stack_size(128 << 10).spawn(move || copy(&folder, stream.as_str(), pipe))?);
    }
    Ok(pumps)
}

/// Copies a pipe into segments. When the disk is full the rest is read and dropped: a process must not hang for its log.
fn copy(folder: &Path, stream: &str, mut pipe: Box<dyn Read + Send>) {
    let (mut buffer, mut offset, mut file) = (vec![0u8; 32 << 10], 0u64, None::<(File, u64)>);
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if file.as_ref().is_none_or(|(_, first)| offset - first >= SEGMENT_BYTES) {
            file = File::create(segment(folder, stream, offset)).ok().map(|file| (file, offset));
            drop_old(folder, stream);
        }
        if let Some((file, _)) = &mut file {
            let _ = file.write_all(&buffer[..count]);
        }
        offset += count as u64;
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

fn drop_old(folder: &Path, stream: &str) {
    let offsets = segments(folder, stream);
    let too_many = offsets.len().saturating_sub(SEGMENTS_MAX as usize);
    for offset in offsets.into_iter().take(too_many) {
        let _ = std::fs::remove_file(segment(folder, stream, offset));
    }
}

/// A piece of a stream from an offset on; from the oldest byte that is kept when that is later.
pub(crate) fn read(folder: &Path, stream: Stream, offset: u64, limit: usize) -> io::Result<LogChunk> {
    let offsets = segments(folder, stream.as_str());
    let Some(first) = offsets.first().copied() else { return Ok(LogChunk { offset, ..LogChunk::default() }) };
    let offset = offset.max(first);
    let mut chunk = LogChunk { offset, ..LogChunk::default() };
    for start in offsets.iter().skip(offsets.partition_point(|start| *start <= offset) - 1) {
        let at = offset + chunk.bytes.len() as u64;
        let mut file = File::open(segment(folder, stream.as_str(), *start))?;
        file.seek(SeekFrom::Start(at.saturating_sub(*start)))?;
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

    #[test]
    fn offsets_stay_true_when_old_parts_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let total = (SEGMENTS_MAX + 3) * SEGMENT_BYTES;
        let text: Vec<u8> = (0..total).map(|index| (index % 251) as u8).collect();
        copy(folder.path(), "stdout", Box::new(io::Cursor::new(text.clone())));
        let chunk = read(folder.path(), Stream::Stdout, 0, 100).unwrap();
        assert!(chunk.offset > 0 && total - chunk.offset <= SEGMENTS_MAX * SEGMENT_BYTES);
        assert_eq!(chunk.bytes, text[chunk.offset as usize..][..100]);
        let across = chunk.offset + SEGMENT_BYTES - 10;
        let chunk = read(folder.path(), Stream::Stdout, across, 50).unwrap();
        assert_eq!(chunk.bytes, text[across as usize..][..50]);
        assert!(read(folder.path(), Stream::Stderr, 7, 50).unwrap().bytes.is_empty());
    }
}
