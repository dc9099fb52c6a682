//! What the disk and SQLite allow, in the same rounds: no engine, no HTTP, no worker. Nothing that promises as much can be quicker.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rusqlite::{Connection, params};

use crate::sample::{Sample, quantile};
use crate::server::CHAIN;

/// Syncs of a probe.
const SYNCS: usize = 200;
/// Bytes of each.
const PAGE: usize = 4096;

fn micros(mut work: impl FnMut(usize) -> anyhow::Result<()>, times: usize) -> anyhow::Result<Vec<f64>> {
    let mut taken = Vec::with_capacity(times);
    for index in 0..times {
        let began = Instant::now();
        work(index)?;
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

fn quantiles(taken: &[f64]) -> Sample {
    Sample::one("p50_us", quantile(taken, 0.5)).with("p99_us", quantile(taken, 0.99))
}

/// Appends a page and syncs, again and again.
pub(crate) fn append(folder: &Path) -> anyhow::Result<Sample> {
    let mut file = File::create(folder.join("append"))?;
    let taken = micros(
        |_| {
            file.write_all(&[7; PAGE])?;
            Ok(file.sync_data()?)
        },
        SYNCS,
    )?;
    Ok(quantiles(&taken))
}

/// Overwrites a page of a file that keeps its size and syncs, again and again: what a log that is not truncated costs.
pub(crate) fn overwrite(folder: &Path) -> anyhow::Result<Sample> {
    let path = folder.join("overwrite");
    std::fs::write(&path, vec![1; PAGE * SYNCS])?;
    let mut file = OpenOptions::new().write(true).open(&path)?;
    file.sync_all()?;
    let taken = micros(
        |index| {
            file.seek(SeekFrom::Start((index * PAGE) as u64))?;
            file.write_all(&[7; PAGE])?;
            Ok(file.sync_data()?)
        },
        SYNCS,
    )?;
    Ok(quantiles(&taken))
}

/// A store with group commit, and nothing else.
pub(crate) struct Store {
    connection: Connection,
    steps: i64,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Store> {
        let connection = Connection::open(folder.join("floor.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS steps (id INTEGER PRIMARY KEY, run INTEGER, output TEXT);
             CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, body BLOB);",
        )?;
        Ok(Store { connection, steps: 0 })
    }

    /// Commits so many steps at once: a row and an event each.
    fn commit(&mut self, steps: usize) -> anyhow::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut step = transaction.prepare_cached("INSERT INTO steps (run, output) VALUES (?1, ?2)")?;
            let mut event = transaction.prepare_cached("INSERT INTO events (body) VALUES (?1)")?;
            for _ in 0..steps {
                self.steps += 1;
                step.execute(params![self.steps, "{\"value\":55}"])?;
                event.execute(params![[7u8; 64]])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// As many commits as W1 has steps, one after another.
    pub(crate) fn chain(&mut self) -> anyhow::Result<Sample> {
        let began = Instant::now();
        let taken = micros(|_| self.commit(1), CHAIN)?;
        Ok(quantiles(&taken).with("ms", began.elapsed().as_secs_f64() * 1e3))
    }

    /// A thousand steps in four commits, as W2 would be.
    pub(crate) fn fan(&mut self) -> anyhow::Result<Sample> {
        let began = Instant::now();
        micros(|_| self.commit(250), 4)?;
        Ok(Sample::one("ms", began.elapsed().as_secs_f64() * 1e3))
    }
}

/// Starts `true` and waits for it, again and again: what a process costs without us.
pub(crate) fn spawn() -> anyhow::Result<Sample> {
    let taken = micros(
        |_| {
            Command::new("true").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            Ok(())
        },
        50,
    )?;
    Ok(quantiles(&taken))
}

/// The same within the walls that the program builds around processes, and nothing else of it: for the time it takes from the making of
/// the walls to their end. Nothing where this machine cannot build them.
pub(crate) fn walls(tutti: &Path) -> anyhow::Result<Sample> {
    let told = Command::new(tutti).args(["shim", "--starts"]).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let mut taken: Vec<f64> = serde_json::from_slice(&told.stdout).unwrap_or_default();
    if taken.is_empty() {
        return Ok(Sample::default());
    }
    taken.sort_by(f64::total_cmp);
    Ok(quantiles(&taken))
}
