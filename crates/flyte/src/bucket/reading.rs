//! Reading what lies in a bucket from any place: parts of it are asked for, larger ones as long as one follows another. Connections that break off
//! are made anew where they broke off.

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest as _, Sha256};

use super::Bucket;
use crate::call::to_hex;

/// Bytes of the first part that is asked for, and of the largest.
const PART_BYTES: (u64, u64) = (256 << 10, 16 << 20);
/// Bytes that are kept of what was read last.
const BLOCK_BYTES: usize = 64 << 10;
/// How often a part is asked for that breaks off before its first byte.
const TRIES: u32 = 4;

/// An answer that is being read.
struct Part {
    body: Box<dyn Read + Send>,
    /// Where its next byte lies, and where it ends.
    at: u64,
    end: u64,
}

/// What lies in a bucket, as something that is read.
pub(crate) struct Reading {
    bucket: Bucket,
    name: String,
    size: u64,
    /// What it has to be, when all of it is read in order.
    digest: String,
    at: u64,
    /// What was read last, and where it lies.
    block: (Vec<u8>, u64),
    part: Option<Part>,
    /// How much is asked for next.
    wanted: u64,
    /// What was read so far, in order from the beginning, and how much that is.
    seen: (Sha256, u64),
}

impl Reading {
    /// What has this name, this size and this digest. Nothing is asked yet.
    pub(crate) fn new(bucket: Bucket, name: &str, size: u64, digest: &str) -> Reading {
        Reading {
            bucket,
            name: name.to_owned(),
            size,
            digest: digest.to_owned(),
            at: 0,
            block: (Vec::new(), 0),
            part: None,
            wanted: PART_BYTES.0,
            seen: (Sha256::new(), 0),
        }
    }

    /// Has the bytes at a place at hand: what cannot be read is known now.
    pub(crate) fn prepare(&mut self, at: u64) -> io::Result<()> {
        self.at = at;
        if self.at < self.size && self.known().is_empty() { self.fetch() } else { Ok(()) }
    }

    /// What is at hand from where it is read next.
    fn known(&self) -> &[u8] {
        let from = self.at.checked_sub(self.block.1).and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.block.0.get(from..)).unwrap_or_default()
    }

    /// Reads the block at `at`.
    fn fetch(&mut self) -> io::Result<()> {
        let mut tried = 0;
        loop {
            match self.fetch_once() {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.part = None;
                    tried += 1;
                    // What the bucket itself says is final was asked for more than once already.
                    if super::away(&error).is_some() {
                        return Err(error);
                    }
                    if tried == TRIES {
                        return Err(self.bucket.is_away(format!("what it gives breaks off: {error}")));
                    }
                }
            }
        }
    }

    fn fetch_once(&mut self) -> io::Result<()> {
        if !self.part.as_ref().is_some_and(|part| part.at == self.at && part.at < part.end) {
            // Where one part follows another more of them will.
            let follows = self.part.take().is_some_and(|part| part.at == self.at);
            self.wanted = if follows { (self.wanted * 2).min(PART_BYTES.1) } else { PART_BYTES.0 };
            let end = self.size.min(self.at.saturating_add(self.wanted));
            let body = self.bucket.get(&self.name, (self.at, end), self.size)?;
            self.part = Some(Part { body, at: self.at, end });
        }
        let Some(part) = &mut self.part else { return Ok(()) };
        let most = usize::try_from(part.end - part.at).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        let mut block = vec![0; most];
        part.body.read_exact(&mut block)?;
        part.at += most as u64;
        self.block = (block, self.at);
        Ok(())
    }
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || self.at >= self.size {
            return Ok(0);
        }
        if self.known().is_empty() {
            self.fetch()?;
        }
        let known = self.known();
        let count = known.len().min(into.len());
        into.iter_mut().zip(known).for_each(|(to, from)| *to = *from);
        if self.seen.1 == self.at {
            self.seen.0.update(into.get(..count).unwrap_or_default());
            self.seen.1 += count as u64;
            // Before the last of it is given: whoever reads it all is told by an error that it is something else.
            if self.seen.1 == self.size && to_hex(&self.seen.0.clone().finalize()) != self.digest {
                let message = "an object is damaged: it is not what was written to the store of its site";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reading {
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
