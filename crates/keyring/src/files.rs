//! Keys of stored files: each file has one of its own, kept under the digest of what the file holds. Who holds that digest is noted beside:
//! when the last holder is erased, the keys go.

use std::sync::Arc;

use model::Digest;
use rusqlite::{OptionalExtension as _, params};

use crate::keyring::{CACHED_MAX, Keyring, about, now};
use crate::seal::random;
use crate::{DataKey, KeyError, Result};

/// On whose behalf a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody's in particular: it stays.
    Kept,
    /// It was brought, and no run has taken it yet.
    Unclaimed,
    /// The run with this number.
    Run(u64),
}

impl Holder {
    fn number(self) -> i64 {
        match self {
            Holder::Kept => -1,
            Holder::Unclaimed => 0,
            Holder::Run(run) => i64::try_from(run).unwrap_or(i64::MAX),
        }
    }
}

/// The key of a file in the making.
#[derive(Clone, Debug)]
pub struct FileKey {
    /// Its number, as it stands in the head of the file.
    pub number: [u8; 16],
    /// The key.
    pub key: Arc<DataKey>,
}

impl FileKey {
    /// A new key. It is nowhere yet.
    pub fn new() -> Result<FileKey> {
        Ok(FileKey { number: random()?, key: Arc::new(DataKey::random()?) })
    }
}

impl Keyring {
    /// Makes keys of files durable, before the files have their names.
    pub fn keep_files(&self, files: &[(FileKey, Digest)], holder: Holder) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        let (root, key) = inner.newest();
        let transaction = inner.db.transaction()?;
        {
            let mut keep = transaction.prepare_cached("INSERT INTO file_keys VALUES (?1, ?2, ?3, ?4)")?;
            let mut hold = transaction.prepare_cached("INSERT OR IGNORE INTO holds VALUES (?1, ?2)")?;
            let mut is_back = transaction.prepare_cached("DELETE FROM erased WHERE digest = ?1")?;
            for (file, digest) in files {
                is_back.execute(params![digest.0])?;
                let wrapped = key.seal(&about::file(&file.number), file.key.bytes())?;
                keep.execute(params![file.number, digest.0, root, wrapped])?;
                hold.execute(params![digest.0, holder.number()])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The key of a file with a number, and what the file holds.
    pub fn file_key(&self, number: &[u8; 16]) -> Result<(Arc<DataKey>, Digest)> {
        let mut inner = self.lock();
        if let Some(found) = inner.files.get(number) {
            return Ok(found.clone());
        }
        let sql = "SELECT digest, root, wrapped FROM file_keys WHERE number = ?1";
        let found: Option<([u8; 32], i64, Vec<u8>)> = inner
            .db
            .prepare_cached(sql)?
            .query_row(params![number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (digest, root, wrapped) = found.ok_or_else(|| KeyError::Erased("the file".into()))?;
        let bytes = inner.root(root)?.open(&about::file(number), &wrapped, "the key of a file")?;
        let found = (Arc::new(DataKey::of(&bytes, "the key of a file")?), Digest(digest));
        if inner.files.len() >= CACHED_MAX {
            inner.files.clear();
        }
        inner.files.insert(*number, found.clone());
        Ok(found)
    }

    /// Whether the keys of this content were destroyed, and nobody brought it again since.
    pub fn was_erased(&self, digest: &Digest) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM erased WHERE digest = ?1)";
        Ok(self.lock().db.prepare_cached(sql)?.query_row(params![digest.0], |row| row.get(0))?)
    }

    /// Notes that somebody holds these contents.
    pub fn hold(&self, digests: &[Digest], holder: Holder) -> Result<()> {
        if digests.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        let transaction = inner.db.transaction()?;
        {
            let mut hold = transaction.prepare_cached("INSERT OR IGNORE INTO holds VALUES (?1, ?2)")?;
            for digest in digests {
                hold.execute(params![digest.0, holder.number()])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// A run takes what was brought for it: from then on it is the run's and nobody else's.
    pub fn claim(&self, digests: &[Digest], run: u64) -> Result<()> {
        if digests.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        let transaction = inner.db.transaction()?;
        {
            let mut hold = transaction.prepare_cached("INSERT OR IGNORE INTO holds VALUES (?1, ?2)")?;
            let mut leave = transaction.prepare_cached("DELETE FROM holds WHERE digest = ?1 AND holder = ?2")?;
            for digest in digests {
                hold.execute(params![digest.0, Holder::Run(run).number()])?;
                leave.execute(params![digest.0, Holder::Unclaimed.number()])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Destroys the keys of runs, and those of files that nobody else holds. Gives the contents of those files. What was destroyed before
    /// is no error.
    pub fn destroy_runs(&self, runs: &[u64]) -> Result<Vec<Digest>> {
        let mut inner = self.lock();
        let mut gone = Vec::new();
        let transaction = inner.db.transaction()?;
        {
            let mut held = transaction.prepare_cached("SELECT digest FROM holds WHERE holder = ?1")?;
            let mut leave = transaction.prepare_cached("DELETE FROM holds WHERE holder = ?1")?;
            let mut is_held = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM holds WHERE digest = ?1)")?;
            let mut destroy = transaction.prepare_cached("DELETE FROM file_keys WHERE digest = ?1")?;
            let mut note = transaction.prepare_cached("INSERT OR REPLACE INTO erased VALUES (?1, ?2)")?;
            let mut destroy_run = transaction.prepare_cached("DELETE FROM run_keys WHERE run = ?1")?;
            for run in runs {
                let holder = Holder::Run(*run).number();
                let digests: Vec<[u8; 32]> =
                    held.query_map(params![holder], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
                leave.execute(params![holder])?;
                for digest in digests {
                    if !is_held.query_row(params![digest], |row| row.get::<_, bool>(0))? {
                        destroy.execute(params![digest])?;
                        note.execute(params![digest, now()])?;
                        gone.push(Digest(digest));
                    }
                }
                destroy_run.execute(params![holder])?;
            }
        }
        transaction.commit()?;
        inner.forget();
        inner.empty_log()?;
        Ok(gone)
    }
}
