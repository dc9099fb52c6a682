//! A simulated disk with a journal on it: frames that are written, and those of them that are synced. A power loss
//! keeps what was synced and drops the rest, or keeps some of it, or tears the last; the death of the process alone loses nothing, and makes
//! nothing durable. Simulated: no file is touched.

use std::sync::Arc;

use engine::{Event, codec};
use model::{Digest, Graph, Timestamp};
use serde_json::Value;

use crate::rng::Rng;

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) entries: Vec<Stored>,
    pub(crate) graphs: Vec<(Digest, Arc<Graph>)>,
    /// The checksum does not fit: only a part of it reached the disk.
    torn: bool,
}

/// An entry: the bytes of the event, and what lies beside them.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) bytes: Vec<u8>,
    bodies: Vec<Option<Arc<Value>>>,
    salt: Option<[u8; 32]>,
}

impl Stored {
    pub(crate) fn new(seq: u64, at: Timestamp, event: &Event) -> Stored {
        let mut event = event.clone();
        let salt = match &event {
            Event::RunSubmitted(submitted) => Some(submitted.salt),
            _ => None,
        };
        let bytes = codec::encode(&event);
        let mut bodies = Vec::new();
        event.each_payload(&mut |payload| bodies.push(payload.body.take()));
        Stored { seq, at, bytes, bodies, salt }
    }

    /// The leaf of the journal's tree.
    pub(crate) fn leaf(&self) -> audit::Hash {
        audit::entry_hash(self.at.0, &self.bytes)
    }

    /// Reads the event back from its bytes, with bodies and salt in place.
    pub(crate) fn event(&self) -> Result<Event, codec::DecodeError> {
        let mut event = codec::decode(&self.bytes)?;
        if let (Event::RunSubmitted(submitted), Some(salt)) = (&mut event, self.salt) {
            submitted.salt = salt;
        }
        let mut bodies = self.bodies.iter();
        event.each_payload(&mut |payload| payload.body = bodies.next().cloned().flatten());
        Ok(event)
    }
}

/// The disk is full.
#[derive(Debug)]
pub(crate) struct Full;

/// A disk with a journal.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) frames: Vec<Frame>,
    durable: usize,
    /// The power went since the journal was last read: what is left lies on the disk.
    cut: bool,
    pub(crate) full: bool,
}

impl Disk {
    pub(crate) fn append(&mut self, entries: Vec<Stored>, graphs: Vec<(Digest, Arc<Graph>)>) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        self.frames.push(Frame { entries, graphs, torn: false });
        Ok(())
    }

    /// How many frames were written.
    pub(crate) fn written(&self) -> usize {
        self.frames.len()
    }

    /// How many frames are durable.
    pub(crate) fn durable(&self) -> usize {
        self.durable
    }

    /// Makes the first `frames` durable.
    pub(crate) fn sync(&mut self, frames: usize) {
        self.durable = self.durable.max(frames.min(self.frames.len()));
    }

    /// The sequence of the last entry that is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        last_seq(&self.frames[..self.durable])
    }

    /// The sequence of the last entry that was written.
    pub(crate) fn written_seq(&self) -> u64 {
        last_seq(&self.frames)
    }

    /// The power goes: of what was not synced a part may have reached the disk, the last of it torn.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> &'static str {
        self.cut = true;
        let unsynced = self.frames.len() - self.durable;
        if unsynced == 0 {
            return "nothing was unsynced";
        }
        let kept = self.durable + rng.below(unsynced as u64 + 1) as usize;
        let tears = kept < self.frames.len() && rng.chance(500);
        self.frames.truncate(kept + usize::from(tears));
        if tears && let Some(frame) = self.frames.last_mut() {
            frame.torn = true;
            let half = frame.entries.len() / 2;
            frame.entries.truncate(half);
            return "the tail was torn";
        }
        if kept == self.durable { "the tail was dropped" } else { "a part of the tail was kept" }
    }

    /// Reads the journal at a start: frames whose checksum does not fit, and all behind them, are none. What a
    /// process had written before it died is read, and no more durable than before.
    pub(crate) fn recover(&mut self, trusts_torn: bool) {
        if !trusts_torn && let Some(torn) = self.frames.iter().position(|frame| frame.torn) {
            self.frames.truncate(torn);
        }
        if std::mem::take(&mut self.cut) {
            self.durable = self.frames.len();
        }
    }

    /// Changes the time of an entry of long ago, within what its neighbours allow.
    pub(crate) fn rewrite(&mut self) {
        let mut entries = self.frames.iter_mut().flat_map(|frame| &mut frame.entries);
        if let Some(first) = entries.next() {
            first.at = Timestamp(first.at.0.saturating_sub(1));
        }
    }

    /// All entries that can be read.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Stored> {
        self.frames.iter().flat_map(|frame| &frame.entries)
    }

    /// All graphs that lie beside them.
    pub(crate) fn graphs(&self) -> impl Iterator<Item = &(Digest, Arc<Graph>)> {
        self.frames.iter().flat_map(|frame| &frame.graphs)
    }
}

fn last_seq(frames: &[Frame]) -> u64 {
    frames.iter().rev().find_map(|frame| frame.entries.last()).map_or(0, |entry| entry.seq)
}
