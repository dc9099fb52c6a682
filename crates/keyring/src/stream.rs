//! Sealing what is large: in chunks, each sealed under its number and whether it is the last (the STREAM construction). Nothing larger than
//! a chunk is in memory, any chunk can be read by itself, and a chunk that is changed, moved, dropped or cut off is found out.
//!
//! A sealed file is a head of 32 bytes (what it is, the number of its key, the beginning of its nonces) and then the chunks, each of
//! 64 KiB, the last one shorter, each followed by its tag. The head is part of what every tag says; so is what the file is, where it was sealed as
//! something: then it opens as that alone, and one file cannot be put in the place of another.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use ring::aead::NONCE_LEN;

use crate::seal::{TAG_BYTES, random};
use crate::{DataKey, KeyError, Result};

/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Bytes before the first chunk.
pub const HEAD_BYTES: usize = 32;
/// What a sealed file begins with.
const MAGIC: &[u8; 8] = b"\x01TUTTI1\n";
/// What one begins with that was sealed as something.
const MAGIC_AS: &[u8; 8] = b"\x01TUTTI2\n";
/// Bytes of the beginning that all nonces of a file have in common.
const PREFIX_BYTES: usize = 7;
const SEALED_CHUNK: u64 = (CHUNK_BYTES + TAG_BYTES) as u64;

/// The number of the key of a sealed file, from its head; none when it is no sealed file.
pub fn sealed_head(head: &[u8]) -> Option<[u8; 16]> {
    let head = head.get(..HEAD_BYTES)?;
    let rest = head.strip_prefix(MAGIC).or_else(|| head.strip_prefix(MAGIC_AS))?;
    rest.get(..16)?.try_into().ok()
}

/// What every tag of a file says beside its chunk.
fn said(head: &[u8; HEAD_BYTES], what: &[u8]) -> Vec<u8> {
    match head.starts_with(MAGIC_AS) {
        true => [&head[..], what].concat(),
        false => head.to_vec(),
    }
}

/// Bytes of what a sealed file of a size holds; none when none has that size.
pub fn plain_size(sealed: u64) -> Option<u64> {
    let body = sealed.checked_sub(HEAD_BYTES as u64)?;
    let chunks = body.div_ceil(SEALED_CHUNK);
    let size = body.checked_sub(chunks * TAG_BYTES as u64)?;
    // An empty file is one empty chunk; any other has something in its last.
    let last = body.checked_sub(chunks.checked_sub(1)? * SEALED_CHUNK)?;
    (last > TAG_BYTES as u64 || (chunks == 1 && last == TAG_BYTES as u64)).then_some(size)
}

/// Bytes of the sealed file of something with a size.
pub fn sealed_size(plain: u64) -> u64 {
    HEAD_BYTES as u64 + plain + plain.div_ceil(CHUNK_BYTES as u64).max(1) * TAG_BYTES as u64
}

fn nonce(head: &[u8; HEAD_BYTES], chunk: u32, last: bool) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let number = chunk.to_be_bytes();
    let parts = head[24..24 + PREFIX_BYTES].iter().chain(&number).copied().chain([u8::from(last)]);
    nonce.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    nonce
}

/// Seals what is written to it.
pub struct SealedWriter<W> {
    inner: W,
    key: Arc<DataKey>,
    head: [u8; HEAD_BYTES],
    said: Vec<u8>,
    chunk: u32,
    /// Not yet sealed: whether it is the last is known when more comes or when it ends.
    pending: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins a file under a key with a number.
    pub fn new(inner: W, number: [u8; 16], key: Arc<DataKey>) -> io::Result<SealedWriter<W>> {
        SealedWriter::begin(inner, (MAGIC, &[]), number, key)
    }

    /// Begins one that opens as `what` alone.
    pub fn of(inner: W, what: &[u8], number: [u8; 16], key: Arc<DataKey>) -> io::Result<SealedWriter<W>> {
        SealedWriter::begin(inner, (MAGIC_AS, what), number, key)
    }

    fn begin(mut inner: W, (magic, what): (&[u8; 8], &[u8]), number: [u8; 16], key: Arc<DataKey>) -> io::Result<SealedWriter<W>> {
        let prefix: [u8; PREFIX_BYTES] = random().map_err(io::Error::other)?;
        let mut head = [0; HEAD_BYTES];
        let parts = magic.iter().chain(&number).chain(&prefix);
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        inner.write_all(&head)?;
        let said = said(&head, what);
        Ok(SealedWriter { inner, key, head, said, chunk: 0, pending: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) })
    }

    fn flush_chunk(&mut self, last: bool) -> io::Result<()> {
        let nonce = nonce(&self.head, self.chunk, last);
        let tag = self.key.seal_in_place(nonce, &self.said, &mut self.pending).map_err(io::Error::other)?;
        self.pending.extend_from_slice(&tag);
        self.inner.write_all(&self.pending)?;
        self.pending.clear();
        self.chunk = match self.chunk.checked_add(1) {
            Some(next) => next,
            None if last => self.chunk,
            None => return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be sealed")),
        };
        Ok(())
    }

    /// Seals what is left. Without it the file is not one.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_chunk(true)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.pending.len() == CHUNK_BYTES {
            self.flush_chunk(false)?;
        }
        let count = bytes.len().min(CHUNK_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads what a sealed file holds, from any place.
pub struct SealedReader<R> {
    inner: R,
    key: Arc<DataKey>,
    head: [u8; HEAD_BYTES],
    said: Vec<u8>,
    chunks: u64,
    size: u64,
    /// Where the next byte that is read lies.
    at: u64,
    /// The chunk that is open, and its bytes.
    open: Option<u64>,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> SealedReader<R> {
    /// Opens a sealed file, whose key its head names. What is damaged is found when it is read.
    pub fn new(inner: R, key: Arc<DataKey>) -> Result<SealedReader<R>> {
        SealedReader::of(inner, &[], key)
    }

    /// Opens one that is `what`. One that was sealed as something else is damaged; one that was sealed as nothing in particular opens too.
    pub fn of(mut inner: R, what: &[u8], key: Arc<DataKey>) -> Result<SealedReader<R>> {
        let tampered = |_| KeyError::Tampered("a sealed file".into());
        let length = inner.seek(SeekFrom::End(0)).map_err(tampered)?;
        inner.seek(SeekFrom::Start(0)).map_err(tampered)?;
        let mut head = [0; HEAD_BYTES];
        inner.read_exact(&mut head).map_err(tampered)?;
        let size = plain_size(length).filter(|_| sealed_head(&head).is_some());
        let size = size.ok_or_else(|| KeyError::Tampered("a sealed file".into()))?;
        let chunks = (length - HEAD_BYTES as u64).div_ceil(SEALED_CHUNK);
        let said = said(&head, what);
        Ok(SealedReader { inner, key, head, said, chunks, size, at: 0, open: None, buffer: Vec::new() })
    }

    /// Bytes of what it holds.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn open_chunk(&mut self, chunk: u64) -> io::Result<()> {
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, KeyError::Tampered(format!("chunk {chunk} of a sealed file")));
        self.open = None;
        let number = u32::try_from(chunk).map_err(|_| damaged())?;
        self.inner.seek(SeekFrom::Start(HEAD_BYTES as u64 + chunk * SEALED_CHUNK))?;
        self.buffer.clear();
        (&mut self.inner).take(SEALED_CHUNK).read_to_end(&mut self.buffer)?;
        let nonce = nonce(&self.head, number, chunk + 1 == self.chunks);
        let length = self.key.open_in_place(nonce, &self.said, &mut self.buffer).ok_or_else(damaged)?;
        self.buffer.truncate(length);
        self.open = Some(chunk);
        Ok(())
    }
}

impl<R: Read + Seek> Read for SealedReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The one chunk of an empty file is looked at too.
        let is_empty = self.size == 0 && self.open.is_none();
        if into.is_empty() || (self.at >= self.size && !is_empty) {
            return Ok(0);
        }
        let chunk = self.at / CHUNK_BYTES as u64;
        if self.open != Some(chunk) {
            self.open_chunk(chunk)?;
        }
        let from = (self.at % CHUNK_BYTES as u64) as usize;
        let found = self.buffer.get(from..).unwrap_or_default();
        let count = found.len().min(into.len());
        into[..count].copy_from_slice(&found[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for SealedReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = place.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sealed(text: &[u8], key: &Arc<DataKey>) -> Vec<u8> {
        let mut writer = SealedWriter::new(Vec::new(), [7; 16], key.clone()).unwrap();
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn opened(sealed: &[u8], key: &Arc<DataKey>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let reader = SealedReader::new(Cursor::new(sealed), key.clone());
        reader.map_err(io::Error::other)?.read_to_end(&mut text)?;
        Ok(text)
    }

    fn text(size: usize) -> Vec<u8> {
        (0..size).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn what_is_sealed_as_something_opens_as_that_alone() {
        let key = Arc::new(DataKey::random().unwrap());
        let mut writer = SealedWriter::of(Vec::new(), b"this", [7; 16], key.clone()).unwrap();
        writer.write_all(b"value").unwrap();
        let file = writer.finish().unwrap();
        assert_eq!((sealed_head(&file), file.len() as u64), (Some([7; 16]), sealed_size(5)));
        let read = |file: &[u8], what: &[u8]| {
            let mut text = Vec::new();
            SealedReader::of(Cursor::new(file), what, key.clone()).unwrap().read_to_end(&mut text).map(|_| text)
        };
        assert_eq!(read(&file, b"this").unwrap(), b"value");
        assert!(read(&file, b"that").is_err() && read(&file, b"").is_err());
        // Taking away that it says so does not help.
        let mut changed = file.clone();
        changed[..8].copy_from_slice(MAGIC);
        assert!(read(&changed, b"this").is_err() && read(&changed, b"").is_err());
        assert_eq!(read(&sealed(b"earlier", &key), b"this").unwrap(), b"earlier");
    }

    #[test]
    fn files_of_every_size_come_back() {
        let key = Arc::new(DataKey::random().unwrap());
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
            let text = text(size);
            let sealed = sealed(&text, &key);
            assert_eq!(sealed_head(&sealed), Some([7; 16]));
            assert_eq!((sealed.len() as u64, plain_size(sealed.len() as u64)), (sealed_size(size as u64), Some(size as u64)));
            assert_eq!(opened(&sealed, &key).unwrap(), text, "{size}");
            if size > 16 {
                assert!(!sealed.windows(16).any(|part| part == &text[..16]), "nothing of it lies open");
            }
        }
    }

    #[test]
    fn any_place_can_be_read_alone() {
        let key = Arc::new(DataKey::random().unwrap());
        let text = text(2 * CHUNK_BYTES + 100);
        let mut reader = SealedReader::new(Cursor::new(sealed(&text, &key)), key).unwrap();
        for at in [0, 5, CHUNK_BYTES - 3, CHUNK_BYTES, 2 * CHUNK_BYTES + 90] {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut piece = vec![0; 10];
            reader.read_exact(&mut piece).unwrap();
            assert_eq!(piece, &text[at..at + 10]);
        }
        reader.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1);
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn what_is_changed_moved_dropped_or_cut_is_found_out() {
        let key = Arc::new(DataKey::random().unwrap());
        let whole = sealed(&text(3 * CHUNK_BYTES + 9), &key);
        let chunk = |number: usize| HEAD_BYTES + number * SEALED_CHUNK as usize;
        let refused = |changed: &[u8], what: &str| assert!(opened(changed, &key).is_err(), "{what}");
        for place in [0, 8, 24, 31, chunk(0), chunk(1) - 1, chunk(2), whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            refused(&changed, &format!("byte {place}"));
        }
        // Two chunks in each other's place.
        let mut swapped = whole.clone();
        swapped[chunk(0)..chunk(1)].copy_from_slice(&whole[chunk(1)..chunk(2)]);
        swapped[chunk(1)..chunk(2)].copy_from_slice(&whole[chunk(0)..chunk(1)]);
        refused(&swapped, "swapped");
        // One dropped in the middle, the end cut off at a chunk and within one, and something put behind.
        refused(&[&whole[..chunk(1)], &whole[chunk(2)..]].concat(), "dropped");
        for end in [0, 3, HEAD_BYTES, chunk(1), chunk(3), chunk(3) + 3, whole.len() - 1] {
            refused(&whole[..end], &format!("cut at {end}"));
        }
        refused(&[&whole[..], &[0]].concat(), "longer");
        refused(&[&whole[..], &whole[chunk(3)..]].concat(), "longer by a chunk");
        // The chunk of another file under the same key.
        let mut mixed = whole.clone();
        mixed[chunk(1)..chunk(2)].copy_from_slice(&sealed(&text(3 * CHUNK_BYTES), &key)[chunk(1)..chunk(2)]);
        refused(&mixed, "of another file");
        let other = Arc::new(DataKey::random().unwrap());
        assert!(opened(&whole, &other).is_err(), "another key");
    }

    #[test]
    fn what_is_no_sealed_file_is_not_taken_for_one() {
        assert_eq!(sealed_head(b"{\"format\":\"tutti-directory-1\",\"entries\":[]}"), None);
        assert_eq!(sealed_head(MAGIC), None);
        for size in [0, 31, 32, 47, HEAD_BYTES as u64 + SEALED_CHUNK + 16] {
            assert_eq!(plain_size(size), None, "{size}");
        }
        assert_eq!(plain_size(48), Some(0));
    }
}
