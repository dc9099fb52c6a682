//! The writer: one thread, one connection, one transaction for all that is queued.

#[cfg(test)]
mod steps;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use audit::Frontier;
use crossbeam_channel::{Receiver, Sender};
use engine::Event;
use failpoint::Point;
use keyring::Keyring;
use model::{Digest, Graph, RunId, Seq, Timestamp};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::bodies::{SALT, SUBJECT, seal, walk};
use crate::merge::Merging;
use crate::projection::Projection;
use crate::{JournalError, Pruned, retention};

/// Batches that may wait before callers have to.
const QUEUE_MAX: usize = 1_024;
/// Entries taken into one transaction.
const ENTRIES_MAX: usize = 50_000;

/// A fact with its time, to be appended.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The run; [`RunId::FLEET`] for none.
    pub run: RunId,
    /// When it was recorded.
    pub at: Timestamp,
    /// The fact.
    pub event: Event,
}

/// Facts that become durable together, and what to do then.
pub struct Batch {
    /// The facts, in order.
    pub entries: Vec<Entry>,
    /// Graphs that these facts refer to.
    pub graphs: Vec<(Digest, Arc<Graph>)>,
    /// Called after the commit, in the order of the batches, on the writer's thread.
    pub durable: Box<dyn FnOnce(Result<Appended, JournalError>) + Send>,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its first entry; for an empty batch the next one.
    pub first: Seq,
    /// Its last entry; for an empty batch the last one there was.
    pub last: Seq,
}

/// The writer has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal's writer has stopped")]
pub struct Closed;

enum Job {
    Append(Batch),
    Work(Box<dyn FnOnce(&mut Worker) + Send>),
    Stop,
}

/// The handle of the writer's thread.
pub struct Writer {
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
    tree: Tree,
}

/// The edge of the tree over what is durable, as the writer knows it: no file is asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {
    edge: Arc<Mutex<Frontier>>,
}

impl Tree {
    /// The edge as of the last commit.
    pub fn edge(&self) -> Frontier {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, edge: &Frontier) {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner).clone_from(edge);
    }
}

impl Writer {
    pub(crate) fn start(mut connection: Connection, shard: u16, keys: Option<Keyring>) -> Result<Writer, JournalError> {
        let frontier = read_edge(&connection, shard)?;
        let merging = Merging::start(&mut connection)?;
        let (jobs, queue) = crossbeam_channel::bounded(QUEUE_MAX);
        let tree = Tree { edge: Arc::new(Mutex::new(frontier.clone())) };
        let worker = Worker { connection, frontier, shard, keys, merging, failed: None, tree: tree.clone() };
        let thread = std::thread::Builder::new().name("tutti-journal".into()).spawn(move || worker.run(&queue));
        let thread = thread.map_err(JournalError::io("thread"))?;
        Ok(Writer { jobs, thread: Some(thread), tree })
    }

    /// Queues a batch. It blocks while the queue is full.
    pub fn append(&self, batch: Batch) -> Result<(), Closed> {
        self.jobs.send(Job::Append(batch)).map_err(|_| Closed)
    }

    /// The edge of the tree, as it grows.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// A handle for work that goes on beside appending.
    pub fn keeper(&self) -> Keeper {
        Keeper { jobs: self.jobs.clone() }
    }

    /// Writes what is queued and stops.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread may have ended by itself.
            let _ = self.jobs.send(Job::Stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.join();
    }
}

/// Keeps house between two commits, from any thread. Cheap to clone; it does not keep the writer alive.
#[derive(Clone)]
pub struct Keeper {
    jobs: Sender<Job>,
}

impl Keeper {
    /// Destroys the bodies of runs that an entry of the journal says are pruned. Entries and hashes stay. It goes on in small steps, so that
    /// what is appended meanwhile waits for one of them at most; when it is interrupted, the next call finishes it.
    pub fn sweep(&self) -> Result<Pruned, JournalError> {
        let Some(mut sweep) = self.between(|worker| retention::Sweep::begin(&worker.connection))?? else {
            return Ok(Pruned::default());
        };
        while !sweep.is_done() {
            sweep = self.between(move |worker| {
                let step = sweep.step(&mut worker.connection);
                // Half a step is rolled back, but the disk is no longer to be trusted.
                step.inspect_err(|error| worker.fail(error))
            })??;
        }
        // The log still holds the pages as they were before.
        self.between(|worker| worker.merging.empty_soon())?;
        Ok(sweep.pruned())
    }

    /// Runs something between two commits and waits for it.
    fn between<T: Send + 'static>(&self, work: impl FnOnce(&mut Worker) -> T + Send + 'static) -> Result<T, JournalError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let job = Job::Work(Box::new(move |worker| {
            // The caller waits below; if it is gone the result is not wanted.
            let _ = sender.send(match &worker.failed {
                Some(reason) => Err(JournalError::Stopped(reason.clone())),
                None => Ok(work(worker)),
            });
        }));
        self.jobs.send(job).map_err(|_| JournalError::Stopped("it was stopped".into()))?;
        receiver.recv().map_err(|_| JournalError::Stopped("it was stopped".into()))?
    }
}

/// The edge of the tree, which says where the journal ends; the entries have to agree.
fn read_edge(connection: &Connection, shard: u16) -> Result<Frontier, JournalError> {
    let (size, edge): (u64, Vec<u8>) =
        connection.query_row("SELECT size, edge FROM tree WHERE id = 0", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let frontier = Frontier::from_bytes(&edge).map_err(|error| JournalError::Damaged(error.to_string()))?;
    let last: Option<(u64, u16)> = connection
        .query_row("SELECT seq, shard FROM journal ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (last, of_shard) = last.unwrap_or((0, shard));
    if frontier.size() != last || size != last {
        let leaves = frontier.size();
        return Err(JournalError::Damaged(format!("the last entry is number {last}, and the tree has {leaves} leaves")));
    }
    if of_shard != shard {
        return Err(JournalError::Foreign(format!("it is the journal of shard {of_shard}, not of {shard}")));
    }
    Ok(frontier)
}

pub(crate) struct Worker {
    connection: Connection,
    frontier: Frontier,
    shard: u16,
    keys: Option<Keyring>,
    merging: Merging,
    failed: Option<String>,
    tree: Tree,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut batches: Vec<Batch> = Vec::new();
        while let Ok(job) = queue.recv() {
            let mut next = Some(job);
            let mut entries = 0;
            // Group commit: everything that is there, without waiting for more.
            while let Some(Job::Append(batch)) = next {
                entries += batch.entries.len();
                batches.push(batch);
                next = if entries < ENTRIES_MAX { queue.try_recv().ok() } else { None };
            }
            self.commit(std::mem::take(&mut batches));
            self.merge();
            match next {
                Some(Job::Work(work)) => work(&mut self),
                Some(Job::Stop) => break,
                _ => {}
            }
        }
        if self.failed.is_none() {
            // A log that is merged into the file makes the next start quicker; it is not needed.
            let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    /// Merges the log into the file when it is time. Whoever waited for the commit has been told before.
    fn merge(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.merging.merge_when_due(&self.connection)
        {
            self.fail(&error);
        }
    }

    /// Stops for good: what the disk holds is not known until it is read again, so nothing is tried again and nothing merged on the way out.
    fn fail(&mut self, error: &JournalError) {
        tracing::error!(%error, "the journal cannot be written");
        self.failed = Some(error.to_string());
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    fn commit(&mut self, mut batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        if let Some(reason) = &self.failed {
            batches.into_iter().for_each(|batch| (batch.durable)(Err(JournalError::Stopped(reason.clone()))));
            return;
        }
        match self.write(&mut batches) {
            Ok(places) => batches.into_iter().zip(places).for_each(|(batch, place)| (batch.durable)(Ok(place))),
            Err(error) => {
                self.fail(&error);
                batches.into_iter().for_each(|batch| (batch.durable)(Err(error.clone())));
            }
        }
    }

    fn write(&mut self, batches: &mut [Batch]) -> Result<Vec<Appended>, JournalError> {
        let mut last = self.frontier.size();
        let mut places = Vec::with_capacity(batches.len());
        if batches.iter().all(|batch| batch.entries.is_empty() && batch.graphs.is_empty()) {
            return Ok(batches.iter().map(|_| Appended { first: Seq(last + 1), last: Seq(last) }).collect());
        }
        let mut frontier = self.frontier.clone();
        crate::step(Point::JournalBeforeWrite)?;
        let transaction = self.connection.transaction()?;
        let mut projection = Projection::default();
        {
            let mut row = transaction.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
            let mut body = transaction.prepare_cached("INSERT INTO bodies VALUES (?1, ?2, ?3)")?;
            for batch in batches.iter_mut() {
                for (digest, graph) in &batch.graphs {
                    let json = serde_json::to_string(&**graph).map_err(|error| JournalError::Damaged(error.to_string()))?;
                    transaction
                        .prepare_cached("INSERT OR IGNORE INTO graphs VALUES (?1, ?2)")?
                        .execute(params![digest.0, json])?;
                }
                let first = Seq(last + 1);
                for entry in &mut batch.entries {
                    last += 1;
                    let bytes = engine::codec::encode(&entry.event);
                    let leaf = audit::entry_hash(entry.at.0, &bytes);
                    frontier.append(leaf);
                    let kind = engine::codec::kind(&bytes);
                    row.execute(params![last, self.shard, entry.run.0, entry.at.0, kind, bytes, leaf])?;
                    write_bodies(&mut body, self.keys.as_ref(), last, entry)?;
                    projection.note(last, entry);
                }
                places.push(Appended { first, last: Seq(last) });
            }
            projection.write(&transaction)?;
            transaction
                .prepare_cached("UPDATE tree SET size = ?1, edge = ?2 WHERE id = 0")?
                .execute(params![frontier.size(), frontier.to_bytes()])?;
        }
        crate::step(Point::JournalBeforeCommit)?;
        transaction.commit()?;
        failpoint::hit(Point::JournalAfterCommit);
        self.frontier = frontier;
        self.tree.set(&self.frontier);
        Ok(places)
    }
}

fn write_bodies(
    insert: &mut rusqlite::CachedStatement<'_>,
    keys: Option<&Keyring>,
    seq: u64,
    entry: &mut Entry,
) -> Result<(), JournalError> {
    let run = entry.run;
    let mut write = |n: i64, bytes: &[u8]| -> Result<(), JournalError> {
        insert.execute(params![seq, n, seal(keys, run, seq, n, bytes)?])?;
        Ok(())
    };
    if let Event::RunSubmitted(submitted) = &entry.event {
        write(SALT, &submitted.salt)?;
        if let Some(subject) = &submitted.subject {
            write(SUBJECT, subject.as_bytes())?;
        }
    }
    let (mut n, mut failure) = (0i64, None);
    walk(&mut entry.event, &mut |payload| {
        if let (Some(value), None) = (&payload.body, &failure) {
            failure = write(n, value.to_string().as_bytes()).err();
        }
        n += 1;
    });
    failure.map_or(Ok(()), Err)
}
