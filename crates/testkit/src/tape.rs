//! A journal in memory: the real codec, bodies beside the entries, and a replay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{Event, State, codec};
use model::{Digest, Graph, RunId, Timestamp};
use serde_json::Value;

/// A journal in memory.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    records: Vec<Record>,
    graphs: BTreeMap<Digest, Arc<Graph>>,
}

/// An entry as it is stored: the bytes, and beside them what is no part of them.
#[derive(Clone, Debug)]
struct Record {
    at: Timestamp,
    bytes: Vec<u8>,
    bodies: Vec<Option<Arc<Value>>>,
    salt: Option<[u8; 32]>,
}

impl Tape {
    /// Appends an entry.
    pub fn append(&mut self, event: &Event, at: Timestamp) {
        let mut event = event.clone();
        let salt = match &event {
            Event::RunSubmitted(submitted) => Some(submitted.salt),
            _ => None,
        };
        let bytes = codec::encode(&event);
        let mut bodies = Vec::new();
        event.each_payload(&mut |payload| bodies.push(payload.body.take()));
        self.records.push(Record { at, bytes, bodies, salt });
    }

    /// Keeps a graph beside the entries.
    pub fn keep_graph(&mut self, digest: Digest, graph: &Arc<Graph>) {
        self.graphs.entry(digest).or_insert_with(|| graph.clone());
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Drops what stands behind the first `len` entries.
    pub fn truncate(&mut self, len: usize) {
        self.records.truncate(len);
    }

    /// The bytes of the entry at an index.
    pub fn bytes(&self, index: usize) -> &[u8] {
        &self.records[index].bytes
    }

    /// The entries, read back: decoded from their bytes, with bodies and salts in place.
    pub fn entries(&self) -> impl Iterator<Item = (Event, Timestamp)> + '_ {
        self.records.iter().map(|record| (record.event(), record.at))
    }

    /// The state that a fold of all entries gives.
    pub fn replay(&self) -> State {
        let mut state = self.empty(0);
        for (event, at) in self.entries() {
            state.evolve(&event, at);
        }
        state.replayed();
        state
    }

    /// The state as a server restores it: from the entries of the fleet and of open runs only.
    pub fn restore(&self) -> State {
        let entries: Vec<(Event, Timestamp)> = self.entries().collect();
        let closed: BTreeSet<RunId> = entries
            .iter()
            .filter_map(|(event, _)| match event {
                Event::RunFinished(finished) => Some(finished.run),
                _ => None,
            })
            .collect();
        let submitted = entries.iter().filter_map(|(event, _)| match event {
            Event::RunSubmitted(submitted) => Some(submitted.run.0),
            _ => None,
        });
        let mut state = self.empty(submitted.max().unwrap_or(0));
        for (event, at) in &entries {
            if event.run().is_none_or(|run| !closed.contains(&run)) {
                state.evolve(event, *at);
            }
        }
        state.replayed();
        state
    }

    fn empty(&self, last_run: u64) -> State {
        let mut state = State::new(last_run);
        for (digest, graph) in &self.graphs {
            state.add_graph(*digest, graph);
        }
        state
    }
}

impl Record {
    fn event(&self) -> Event {
        let mut event = match codec::decode(&self.bytes) {
            Ok(event) => event,
            Err(error) => panic!("an entry that was written cannot be read: {error}"),
        };
        if let (Event::RunSubmitted(submitted), Some(salt)) = (&mut event, self.salt) {
            submitted.salt = salt;
        }
        let mut bodies = self.bodies.iter();
        event.each_payload(&mut |payload| payload.body = bodies.next().cloned().flatten());
        event
    }
}
