//! Rotation: a new version of the service's key, a new root key, and every data key and secret wrapped anew. What they sealed stays as it
//! is. It goes on in steps; when it is interrupted, both root keys are there, and the next rotation finishes it.

use rusqlite::params;

use crate::keyring::{Inner, Keyring, about, add_root};
use crate::{KeyError, Result};

/// Keys wrapped anew in one commit. Between two of them others come to their turn.
const STEP: usize = 10_000;

/// What a rotation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rotated {
    /// Keys of runs.
    pub run_keys: u64,
    /// Keys of files.
    pub file_keys: u64,
    /// Secrets.
    pub secrets: u64,
}

impl Keyring {
    /// Rotates: see above. One at a time: what ends one takes away what another still needs.
    pub fn rotate(&self) -> Result<Rotated> {
        let _turn = self.turn().ok_or(KeyError::Rotating)?;
        self.service().renew()?;
        let newest = {
            let mut inner = self.lock();
            let name = inner.name.clone();
            let transaction = inner.db.transaction()?;
            let (root, key) = add_root(&transaction, &name, self.service())?;
            transaction.commit()?;
            inner.roots.insert(root, key.clone());
            inner.newest = (root, key);
            root
        };
        let mut rotated = Rotated::default();
        while let count @ 1.. = self.lock().rewrap_runs(newest)? {
            rotated.run_keys += count;
        }
        while let count @ 1.. = self.lock().rewrap_files(newest)? {
            rotated.file_keys += count;
        }
        rotated.secrets = self.lock().rewrap_secrets(newest)?;
        {
            let mut inner = self.lock();
            inner.db.execute("DELETE FROM roots WHERE root < ?1", params![newest])?;
            inner.roots.retain(|root, _| *root >= newest);
            inner.empty_log()?;
        }
        self.service().retire()?;
        Ok(rotated)
    }
}

impl Inner {
    fn rewrap_runs(&mut self, newest: i64) -> Result<u64> {
        let rows: Vec<(u64, i64, Vec<u8>)> = {
            let mut rows = self.db.prepare_cached("SELECT run, root, wrapped FROM run_keys WHERE root < ?1 LIMIT ?2")?;
            let rows = rows.query_map(params![newest, STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let wrapped = rows.iter().map(|(run, root, wrapped)| {
            let about = about::run(*run);
            let key = self.root(*root)?.open(&about, wrapped, &format!("the key of run {run}"))?;
            Ok((*run, self.root(newest)?.seal(&about, &key)?))
        });
        let wrapped: Vec<(u64, Vec<u8>)> = wrapped.collect::<Result<_>>()?;
        let transaction = self.db.transaction()?;
        {
            let mut update = transaction.prepare_cached("UPDATE run_keys SET root = ?2, wrapped = ?3 WHERE run = ?1")?;
            for (run, wrapped) in &wrapped {
                update.execute(params![run, newest, wrapped])?;
            }
        }
        transaction.commit()?;
        Ok(wrapped.len() as u64)
    }

    fn rewrap_files(&mut self, newest: i64) -> Result<u64> {
        let rows: Vec<([u8; 16], i64, Vec<u8>)> = {
            let mut rows = self.db.prepare_cached("SELECT number, root, wrapped FROM file_keys WHERE root < ?1 LIMIT ?2")?;
            let rows = rows.query_map(params![newest, STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let wrapped = rows.iter().map(|(number, root, wrapped)| {
            let about = about::file(number);
            let key = self.root(*root)?.open(&about, wrapped, "the key of a file")?;
            Ok((*number, self.root(newest)?.seal(&about, &key)?))
        });
        let wrapped: Vec<([u8; 16], Vec<u8>)> = wrapped.collect::<Result<_>>()?;
        let transaction = self.db.transaction()?;
        {
            let mut update = transaction.prepare_cached("UPDATE file_keys SET root = ?2, wrapped = ?3 WHERE number = ?1")?;
            for (number, wrapped) in &wrapped {
                update.execute(params![number, newest, wrapped])?;
            }
        }
        transaction.commit()?;
        Ok(wrapped.len() as u64)
    }

    fn rewrap_secrets(&mut self, newest: i64) -> Result<u64> {
        type Row = (String, String, u64, i64, Vec<u8>);
        let rows: Vec<Row> = {
            let mut rows = self.db.prepare_cached("SELECT project, name, version, root, sealed FROM secrets WHERE root < ?1")?;
            let rows =
                rows.query_map(params![newest], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let key = self.root(newest)?;
        let mut sealed = Vec::with_capacity(rows.len());
        for (project, name, version, root, old) in rows {
            let about = about::secret(&project, &name, version);
            let value = self.root(root)?.open(&about, &old, &format!("the secret `{project}/{name}`"))?;
            sealed.push((project, name, key.seal(&about, &value)?));
        }
        let transaction = self.db.transaction()?;
        for (project, name, sealed) in &sealed {
            let update = "UPDATE secrets SET root = ?3, sealed = ?4 WHERE project = ?1 AND name = ?2";
            if transaction.execute(update, params![project, name, newest, sealed])? != 1 {
                return Err(KeyError::Tampered(format!("the secret `{project}/{name}`")));
            }
        }
        transaction.commit()?;
        Ok(sealed.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[test]
    fn a_rotation_waits_for_no_other_and_comes_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::File(folder.path().join("key"));
        let keys = Keyring::open(&folder.path().join("keys"), &source, None, None).unwrap();
        let turn = keys.turn();
        let before = std::fs::read(folder.path().join("key")).unwrap();
        assert!(matches!(keys.clone().rotate(), Err(KeyError::Rotating)));
        assert_eq!(std::fs::read(folder.path().join("key")).unwrap(), before, "it has begun nothing");
        drop(turn);
        assert!(keys.rotate().is_ok());
    }
}
