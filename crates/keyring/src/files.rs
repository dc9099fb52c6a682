//! Keys of stored files: each file has one of its own, kept under the digest of what the file holds. Who holds that digest is noted beside:
//! when the last holder is erased, the keys go.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Digest;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::keyring::{CACHED_MAX, Keyring, about, now};
use crate::seal::random;
use crate::{DataKey, KeyError, Result};

/// On whose behalf a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody's in particular: it stays.
    Kept,
    /// It stands somewhere: triggers give it to the runs that they start, or workflows name it.
    Standing,
    /// It was brought, and no run has taken it yet.
    Unclaimed,
    /// The run with this number.
    Run(u64),
}

impl Holder {
    fn number(self) -> i64 {
        match self {
            Holder::Kept => -1,
            Holder::Standing => -2,
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

    /// Whether a holder holds any of these contents.
    pub fn holds_any(&self, digests: &[Digest], holder: Holder) -> Result<bool> {
        let inner = self.lock();
        let mut holds = inner.db.prepare_cached("SELECT EXISTS (SELECT 1 FROM holds WHERE digest = ?1 AND holder = ?2)")?;
        for digest in digests {
            if holds.query_row(params![digest.0, holder.number()], |row| row.get(0))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many contents runs hold that nobody else holds but somebody who brought them, for a run that has not taken them.
    pub fn held_as_brought(&self, runs: &[u64]) -> Result<u64> {
        let inner = self.lock();
        let sql = "SELECT own.digest FROM holds own JOIN holds brought ON brought.digest = own.digest AND brought.holder = 0
                   WHERE own.holder = ?1";
        let mut brought = inner.db.prepare_cached(sql)?;
        let mut holders = inner.db.prepare_cached("SELECT holder FROM holds WHERE digest = ?1 AND holder != 0")?;
        let runs: BTreeSet<i64> = runs.iter().map(|run| Holder::Run(*run).number()).collect();
        let mut found = BTreeSet::new();
        for run in &runs {
            let digests: Vec<[u8; 32]> = brought.query_map(params![run], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            for digest in digests {
                let others: Vec<i64> = holders.query_map(params![digest], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
                if others.iter().all(|holder| runs.contains(holder)) {
                    found.insert(digest);
                }
            }
        }
        Ok(found.len() as u64)
    }

    /// The runs that hold a content, the first of them.
    pub fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<u64>> {
        let inner = self.lock();
        let mut runs = inner.db.prepare_cached("SELECT holder FROM holds WHERE digest = ?1 AND holder > 0 LIMIT ?2")?;
        let runs = runs.query_map(params![digest.0, limit as i64], |row| row.get(0))?;
        Ok(runs.collect::<rusqlite::Result<_>>()?)
    }

    /// A holder lets contents go that it holds. The keys of those go that nobody else holds; gives which.
    pub fn let_go(&self, digests: &[Digest], holder: Holder) -> Result<Vec<Digest>> {
        let mut inner = self.lock();
        let transaction = inner.db.transaction()?;
        let mut gone = Vec::new();
        {
            let mut leave = transaction.prepare_cached("DELETE FROM holds WHERE digest = ?1 AND holder = ?2")?;
            for digest in digests {
                if leave.execute(params![digest.0, holder.number()])? > 0 && destroy_unheld(&transaction, digest)? {
                    gone.push(*digest);
                }
            }
        }
        transaction.commit()?;
        if !gone.is_empty() {
            inner.leave_no_trace()?;
        }
        Ok(gone)
    }

    /// Whether a holder holds anything.
    pub fn is_holder(&self, holder: Holder) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM holds WHERE holder = ?1)";
        Ok(self.lock().db.prepare_cached(sql)?.query_row(params![holder.number()], |row| row.get(0))?)
    }

    /// A holder holds these contents and no others. The keys of those go that it let go and that nobody else holds; gives which.
    pub fn hold_only(&self, digests: &[Digest], holder: Holder) -> Result<Vec<Digest>> {
        let mut inner = self.lock();
        let wanted: BTreeSet<&Digest> = digests.iter().collect();
        let transaction = inner.db.transaction()?;
        let mut gone = Vec::new();
        {
            let mut held = transaction.prepare_cached("SELECT digest FROM holds WHERE holder = ?1")?;
            let held = held.query_map(params![holder.number()], |row| Ok(Digest(row.get(0)?)))?;
            let held: BTreeSet<Digest> = held.collect::<rusqlite::Result<_>>()?;
            let mut hold = transaction.prepare_cached("INSERT OR IGNORE INTO holds VALUES (?1, ?2)")?;
            for digest in wanted.iter().filter(|digest| !held.contains(**digest)) {
                hold.execute(params![digest.0, holder.number()])?;
            }
            let mut leave = transaction.prepare_cached("DELETE FROM holds WHERE digest = ?1 AND holder = ?2")?;
            for digest in held.iter().filter(|digest| !wanted.contains(digest)) {
                leave.execute(params![digest.0, holder.number()])?;
                if destroy_unheld(&transaction, digest)? {
                    gone.push(*digest);
                }
            }
        }
        transaction.commit()?;
        if !gone.is_empty() {
            inner.leave_no_trace()?;
        }
        Ok(gone)
    }

    /// A run takes what was brought for it: from then on it is the run's and nobody else's.
    pub fn claim(&self, digests: &[Digest], run: u64) -> Result<()> {
        self.claim_all(&[(run, digests.to_vec())])
    }

    /// Runs take what was brought for them, all in one commit.
    pub fn claim_all(&self, claims: &[(u64, Vec<Digest>)]) -> Result<()> {
        if claims.iter().all(|(_, digests)| digests.is_empty()) {
            return Ok(());
        }
        let mut inner = self.lock();
        let transaction = inner.db.transaction()?;
        {
            let mut hold = transaction.prepare_cached("INSERT OR IGNORE INTO holds VALUES (?1, ?2)")?;
            let mut leave = transaction.prepare_cached("DELETE FROM holds WHERE digest = ?1 AND holder = ?2")?;
            for (run, digests) in claims {
                for digest in digests {
                    hold.execute(params![digest.0, Holder::Run(*run).number()])?;
                    leave.execute(params![digest.0, Holder::Unclaimed.number()])?;
                }
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
            let mut destroy_run = transaction.prepare_cached("DELETE FROM run_keys WHERE run = ?1")?;
            for run in runs {
                let holder = Holder::Run(*run).number();
                let digests: Vec<Digest> =
                    held.query_map(params![holder], |row| Ok(Digest(row.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
                leave.execute(params![holder])?;
                for digest in digests {
                    if destroy_unheld(&transaction, &digest)? {
                        gone.push(digest);
                    }
                }
                destroy_run.execute(params![holder])?;
            }
        }
        transaction.commit()?;
        inner.leave_no_trace()?;
        Ok(gone)
    }
}

/// Destroys the keys of a content that nobody holds. False when somebody does.
fn destroy_unheld(transaction: &Transaction<'_>, digest: &Digest) -> rusqlite::Result<bool> {
    let mut is_held = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM holds WHERE digest = ?1)")?;
    if is_held.query_row(params![digest.0], |row| row.get::<_, bool>(0))? {
        return Ok(false);
    }
    transaction.prepare_cached("DELETE FROM file_keys WHERE digest = ?1")?.execute(params![digest.0])?;
    transaction.prepare_cached("INSERT OR REPLACE INTO erased VALUES (?1, ?2)")?.execute(params![digest.0, now()])?;
    Ok(true)
}
