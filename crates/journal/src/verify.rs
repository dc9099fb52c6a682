//! Verification: every hash is computed again from what lies on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use audit::Frontier;
use engine::{Event, codec};
use keyring::Keyring;
use model::{Digest, Graph, Payload, RunId, Seq, Timestamp};
use rusqlite::{Connection, params};

use crate::bodies::{Kept, SALT, SUBJECT, open, walk};
use crate::{JournalError, Reader};

/// Problems that are reported; the rest is only counted.
const PROBLEMS_MAX: usize = 100;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The entry; none when it concerns none alone.
    pub seq: Option<Seq>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "entry {seq}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Entries looked at.
    pub entries: u64,
    /// Bodies looked at.
    pub bodies: u64,
    /// Bodies that were pruned: an entry of the journal says so, and their commitments are still there.
    pub pruned: u64,
    /// Bodies that were erased: an entry says so, and the key is destroyed.
    pub erased: u64,
    /// Bodies that are sealed and were not looked at: there were no keys.
    pub sealed: u64,
    /// The root of the tree, in hexadecimal digits.
    pub root: String,
    /// Whether nothing is wrong.
    pub holds: bool,
    /// How many things are wrong.
    pub problems_total: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// Computes every hash again and compares: entries with their leaves, leaves with the tree, bodies with their commitments, graphs with their
/// digests. What is appended meanwhile is not part of it.
pub fn verify(reader: &Reader) -> Result<Report, JournalError> {
    reader.with(|db| {
        // One view of all tables.
        let transaction = db.unchecked_transaction()?;
        let mut check = Check::new(&transaction, reader.keys());
        check.graphs()?;
        check.entries()?;
        check.finish()
    })
}

struct Check<'d> {
    db: &'d Connection,
    keys: Option<&'d Keyring>,
    report: Report,
    frontier: Frontier,
    /// Salts of runs that have not ended yet at the entry looked at.
    salts: BTreeMap<RunId, [u8; 32]>,
    /// Runs of which bodies are gone: the first entry, and how many.
    gone: BTreeMap<RunId, (Seq, u64)>,
    /// When runs of which bodies are gone ended, and the entry that says so.
    ended: BTreeMap<RunId, (Seq, Timestamp)>,
    /// Entries that say that bodies of runs that ended before a time were pruned.
    prunings: Vec<(Seq, Timestamp)>,
    /// Runs that entries say are erased.
    erased: BTreeSet<RunId>,
    /// Runs of which something is sealed, when there are no keys.
    unopened: BTreeSet<RunId>,
    graphs: BTreeSet<Digest>,
}

impl<'d> Check<'d> {
    fn new(db: &'d Connection, keys: Option<&'d Keyring>) -> Check<'d> {
        Check {
            db,
            keys,
            report: Report::default(),
            frontier: Frontier::new(),
            salts: BTreeMap::new(),
            gone: BTreeMap::new(),
            ended: BTreeMap::new(),
            prunings: Vec::new(),
            erased: BTreeSet::new(),
            unopened: BTreeSet::new(),
            graphs: BTreeSet::new(),
        }
    }

    fn problem(&mut self, seq: Option<Seq>, what: impl Into<String>) {
        self.report.problems_total += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(Problem { seq, what: what.into() });
        }
    }

    fn graphs(&mut self) -> Result<(), JournalError> {
        let mut statement = self.db.prepare("SELECT digest, json FROM graphs")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let digest = Digest(row.get(0)?);
            let graph: Option<Graph> = row.get_ref(1)?.as_str().ok().and_then(|json| serde_json::from_str(json).ok());
            if graph.is_none_or(|graph| graph.digest() != digest) {
                self.problem(None, format!("the graph {digest} is not what its digest says"));
            }
            self.graphs.insert(digest);
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<(), JournalError> {
        let mut statement = self.db.prepare("SELECT seq, shard, run, at, kind, bytes, leaf FROM journal ORDER BY seq")?;
        let mut rows = statement.query([])?;
        let (mut last, mut last_at, mut shard) = (Seq(0), Timestamp(0), None);
        while let Some(row) = rows.next()? {
            let (seq, run, at) = (Seq(row.get(0)?), RunId(row.get(2)?), Timestamp(row.get(3)?));
            let (bytes, leaf) = (row.get_ref(5)?.as_bytes().unwrap_or_default(), row.get_ref(6)?.as_bytes().unwrap_or_default());
            if seq.0 != last.0 + 1 {
                self.problem(Some(seq), format!("it comes after entry {last}"));
            }
            if at < last_at {
                self.problem(Some(seq), "it is older than the one before it");
            }
            if *shard.get_or_insert(row.get::<_, i64>(1)?) != row.get::<_, i64>(1)? {
                self.problem(Some(seq), "it is of another shard");
            }
            (last, last_at) = (seq, at);
            self.report.entries += 1;
            let computed = audit::entry_hash(at.0, bytes);
            if computed != leaf {
                self.problem(Some(seq), "its time or its bytes are not what was hashed");
            }
            self.frontier.append(leaf.try_into().unwrap_or(computed));
            if i64::from(codec::kind(bytes)) != row.get::<_, i64>(4)? {
                self.problem(Some(seq), "its kind is not that of its bytes");
            }
            match codec::decode(bytes) {
                Ok(mut event) => self.event(seq, run, at, &mut event)?,
                Err(error) => self.problem(Some(seq), error.to_string()),
            }
        }
        Ok(())
    }

    /// The bodies of an entry, and what is remembered of it.
    fn event(&mut self, seq: Seq, run: RunId, at: Timestamp, event: &mut Event) -> Result<(), JournalError> {
        if event.run().unwrap_or(RunId::FLEET) != run {
            self.problem(Some(seq), "its run is not that of its bytes");
        }
        let mut payloads: Vec<Payload> = Vec::new();
        walk(event, &mut |payload| payloads.push(payload.clone()));
        let mut stored = if payloads.is_empty() { BTreeMap::new() } else { self.stored(run, seq)? };
        if let Event::RunSubmitted(submitted) = event {
            match stored.remove(&SALT).map(<[u8; 32]>::try_from) {
                Some(Ok(salt)) => drop(self.salts.insert(run, salt)),
                Some(Err(_)) => self.problem(Some(seq), "the salt of the run is not one"),
                None => self.missing(run, seq),
            }
            // It is committed to by nothing: only that it was sealed for this place is known.
            stored.remove(&SUBJECT);
            if !self.graphs.contains(&submitted.graph) {
                self.problem(Some(seq), format!("the graph {} is missing", submitted.graph));
            }
        }
        for (n, payload) in (0..).zip(payloads) {
            let salt = if run == RunId::FLEET { Some([0; 32]) } else { self.salts.get(&run).copied() };
            match (stored.remove(&n), salt) {
                (Some(bytes), Some(salt)) => {
                    self.report.bodies += 1;
                    if Digest::of_parts(&[&salt, &bytes]) != payload.commitment || bytes.len() as u64 != u64::from(payload.size) {
                        self.problem(Some(seq), format!("its value {n} is not what was committed to"));
                    }
                }
                // Without its salt a value proves nothing; it is about to be swept, or the salt is missing, which is said of the run.
                (Some(_), None) => self.report.bodies += 1,
                (None, _) if run == RunId::FLEET => self.problem(Some(seq), format!("its value {n} is missing")),
                (None, _) => self.missing(run, seq),
            }
        }
        if let Some((n, _)) = stored.first_key_value() {
            self.problem(Some(seq), format!("a value {n} lies beside it that is none of it"));
        }
        match event {
            Event::RunFinished(_) => {
                self.salts.remove(&run);
                if self.gone.contains_key(&run) {
                    self.ended.insert(run, (seq, at));
                }
            }
            Event::BodiesPruned(pruned) => self.prunings.push((seq, pruned.before)),
            Event::DataErased(entry) => self.erased.extend(&entry.runs),
            _ => {}
        }
        Ok(())
    }

    /// The values beside an entry, opened. What cannot be opened is not among them.
    fn stored(&mut self, run: RunId, seq: Seq) -> Result<BTreeMap<i64, Vec<u8>>, JournalError> {
        let mut opened = BTreeMap::new();
        for (n, kept) in self.kept(seq)? {
            match open(self.keys, seq.0, n, kept)? {
                Kept::Bytes(bytes) => drop(opened.insert(n, bytes)),
                Kept::Erased => {}
                Kept::Sealed => drop(self.unopened.insert(run)),
                Kept::Tampered => self.problem(Some(seq), format!("its value {n} is not what was sealed")),
            }
        }
        Ok(opened)
    }

    fn kept(&self, seq: Seq) -> Result<BTreeMap<i64, Vec<u8>>, JournalError> {
        let mut statement = self.db.prepare_cached("SELECT n, bytes FROM bodies WHERE seq = ?1")?;
        let bytes = |row: &rusqlite::Row<'_>| Ok::<_, rusqlite::Error>(row.get_ref(1)?.as_bytes().unwrap_or_default().to_vec());
        let rows = statement.query_map(params![seq.0], |row| Ok((row.get(0)?, bytes(row)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn missing(&mut self, run: RunId, seq: Seq) {
        self.gone.entry(run).or_insert((seq, 0)).1 += 1;
    }

    fn finish(mut self) -> Result<Report, JournalError> {
        for (run, (seq, count)) in std::mem::take(&mut self.gone) {
            let ended = self.ended.get(&run).copied();
            if self.unopened.contains(&run) {
                self.report.sealed += count;
                continue;
            }
            if self.erased.contains(&run) {
                self.report.erased += count;
                continue;
            }
            let said = ended.is_some_and(|(end, at)| self.prunings.iter().any(|(said, before)| *said > end && at < *before));
            match said {
                true => self.report.pruned += count,
                false => {
                    self.problem(Some(seq), format!("a value of run {run} is missing, and no entry says that it was pruned"))
                }
            }
        }
        let beyond = "SELECT min(seq) FROM bodies WHERE NOT EXISTS (SELECT 1 FROM journal j WHERE j.seq = bodies.seq)";
        if let Some(seq) = self.db.query_row(beyond, [], |row| row.get::<_, Option<u64>>(0))? {
            self.problem(Some(Seq(seq)), "a value lies beside it that is none of it");
        }
        let (size, edge): (u64, Vec<u8>) =
            self.db.query_row("SELECT size, edge FROM tree WHERE id = 0", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        match Frontier::from_bytes(&edge) {
            Ok(edge) if edge == self.frontier && size == edge.size() => {}
            Ok(edge) if edge.size() != self.frontier.size() || size != edge.size() => {
                let entries = self.frontier.size();
                self.problem(None, format!("there are {entries} entries, and the stored tree has {} leaves", edge.size()));
            }
            Ok(_) => self.problem(None, "the tree over the entries is not the one that was stored"),
            Err(error) => self.problem(None, format!("the stored edge of the tree is {error}")),
        }
        self.report.root = Digest(self.frontier.root()).hex();
        self.report.holds = self.report.problems_total == 0;
        Ok(self.report)
    }
}
