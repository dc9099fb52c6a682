//! The keys of a data directory: root keys wrapped by a key service, data keys wrapped by the newest root key, in a database of their own.
//!
//! Keys of runs are made ahead, many in one commit, so that a run that begins waits for no disk: its number says which key is its own.
//! A number below the highest that was made, without a key, is that of a run that was erased.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use model::Digest;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::error::at;
use crate::seal::random;
use crate::service::{KeyService, Source};
use crate::{DataKey, KeyError, Result};

/// The name of the database in its folder.
const FILE: &str = "keys.db";
/// "Tutk" in ASCII: a file of ours.
const APPLICATION_ID: i64 = 0x5475_746b;
/// The version of the tables.
const VERSION: i64 = 1;
/// Keys of runs that are made in one commit.
pub const RUNS_AHEAD: u64 = 1_024;
/// Keys at hand, of runs and of files each.
pub(crate) const CACHED_MAX: usize = 4_096;

const TABLES: &str = "
-- What this keyring is called: data that is sealed remembers it.
CREATE TABLE keyring (id INTEGER PRIMARY KEY CHECK (id = 0), name BLOB NOT NULL, runs INTEGER NOT NULL);
-- Root keys, wrapped by the key service.
CREATE TABLE roots (root INTEGER PRIMARY KEY AUTOINCREMENT, wrapped BLOB NOT NULL, service TEXT NOT NULL, made_at INTEGER NOT NULL);
-- Keys of runs and of files, wrapped by a root key.
CREATE TABLE run_keys (run INTEGER PRIMARY KEY, root INTEGER NOT NULL, wrapped BLOB NOT NULL);
CREATE TABLE file_keys (number BLOB PRIMARY KEY, digest BLOB NOT NULL, root INTEGER NOT NULL, wrapped BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX file_keys_digest ON file_keys(digest);
-- Who holds which content: a run, 0 for what no run has taken yet, -1 for what stays, -2 for what triggers give to their runs.
CREATE TABLE holds (digest BLOB NOT NULL, holder INTEGER NOT NULL, PRIMARY KEY (digest, holder)) WITHOUT ROWID;
CREATE INDEX holds_holder ON holds(holder);
-- Contents whose keys were destroyed, so that who asks for one can be told.
CREATE TABLE erased (digest BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
-- Secrets, sealed by a root key: the last version of each.
CREATE TABLE secrets (project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, tags TEXT NOT NULL, root INTEGER NOT NULL,
  sealed BLOB NOT NULL, set_at INTEGER NOT NULL, set_by TEXT NOT NULL, PRIMARY KEY (project, name)) WITHOUT ROWID;
";

/// What a key is about: it opens under the same words alone, so that one cannot be put in the place of another.
pub(crate) mod about {
    pub(crate) fn root(keyring: &[u8], root: i64) -> Vec<u8> {
        [b"root", keyring, &root.to_be_bytes()[..]].concat()
    }

    pub(crate) fn run(run: u64) -> Vec<u8> {
        [&b"run"[..], &run.to_be_bytes()].concat()
    }

    pub(crate) fn file(number: &[u8; 16]) -> Vec<u8> {
        [&b"file"[..], number].concat()
    }

    pub(crate) fn secret(project: &str, name: &str, version: u64) -> Vec<u8> {
        format!("secret\0{project}\0{name}\0{version}").into_bytes()
    }
}

/// The keys of a data directory. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    folder: Arc<PathBuf>,
    service: Arc<dyn KeyService>,
    inner: Arc<Mutex<Inner>>,
    /// Held while the keys are rotated.
    rotating: Arc<Mutex<()>>,
    /// Held by whoever erases alone, and by those who store beside one another.
    erasing: Arc<RwLock<()>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("folder", &self.folder).finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) db: Connection,
    pub(crate) name: Vec<u8>,
    pub(crate) roots: BTreeMap<i64, Arc<DataKey>>,
    pub(crate) newest: (i64, Arc<DataKey>),
    runs: HashMap<u64, Arc<DataKey>>,
    pub(crate) files: HashMap<[u8; 16], (Arc<DataKey>, Digest)>,
}

/// How a keyring stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Its name.
    pub keyring: String,
    /// What wraps its root keys.
    pub service: String,
    /// When the newest root key was made, in microseconds since 1970.
    pub root_made_at: u64,
    /// Root keys: more than one while a rotation has not come to its end.
    pub roots: u64,
    /// Keys of runs that have one, among them those made ahead.
    pub run_keys: u64,
    /// Keys of files.
    pub file_keys: u64,
    /// Secrets.
    pub secrets: u64,
}

pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Keyring {
    /// Opens the keys in a folder. They are made when they are not there, unless data is sealed that `remembers` a keyring; nothing is
    /// overwritten then. What an earlier key service wrapped is wrapped anew by this one.
    pub fn open(folder: &Path, source: &Source, earlier: Option<&Source>, remembers: Option<&str>) -> Result<Keyring> {
        let file = folder.join(FILE);
        let fresh = !file.exists();
        if fresh && remembers.is_some() {
            return Err(KeyError::NoKeys(folder.to_owned()));
        }
        if fresh {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        }
        // Before anything is made: without a key nothing could be wrapped.
        let service = source.open(fresh)?;
        let mut db = connect(&file)?;
        let name = prepare(&mut db, &*service)?;
        if remembers.is_some_and(|wanted| wanted != hex(&name)) {
            return Err(KeyError::ForeignKeys(folder.to_owned()));
        }
        let earlier = earlier.map(|source| source.open(false)).transpose()?;
        let roots = unwrap_roots(&mut db, &name, &*service, earlier.as_deref())?;
        let newest = roots.last_key_value().map(|(root, key)| (*root, key.clone()));
        let newest = newest.ok_or_else(|| KeyError::Tampered("the database of keys".into()))?;
        let inner = Inner { db, name, roots, newest, runs: HashMap::new(), files: HashMap::new() };
        let (inner, rotating, erasing) = (Arc::new(Mutex::new(inner)), Arc::default(), Arc::default());
        Ok(Keyring { folder: Arc::new(folder.to_owned()), service: service.into(), inner, rotating, erasing })
    }

    /// For as long as it is kept nobody stores what may be erased: from when it is asked who holds what until the last file is removed. What is stored
    /// before is held by whoever stored it, and what is stored afterwards is new.
    pub fn erasing(&self) -> RwLockWriteGuard<'_, ()> {
        self.erasing.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// For as long as it is kept nothing is erased: from a look at what is there until it is held.
    pub fn storing(&self) -> RwLockReadGuard<'_, ()> {
        self.erasing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of a rotation, unless another one is under way.
    pub(crate) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.rotating.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn service(&self) -> &dyn KeyService {
        &*self.service
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is called. Data that is sealed remembers it.
    pub fn name(&self) -> String {
        hex(&self.lock().name)
    }

    /// The key of a run. It is made when no run with such a number had one yet.
    pub fn run_key(&self, run: u64) -> Result<Arc<DataKey>> {
        let mut inner = self.lock();
        if let Some(key) = inner.runs.get(&run) {
            return Ok(key.clone());
        }
        let made: u64 = inner.db.prepare_cached("SELECT runs FROM keyring")?.query_row([], |row| row.get(0))?;
        if run > made {
            inner.make_ahead(made, run)?;
        }
        let sql = "SELECT root, wrapped FROM run_keys WHERE run = ?1";
        let found: Option<(i64, Vec<u8>)> =
            inner.db.prepare_cached(sql)?.query_row(params![run], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (root, wrapped) = found.ok_or_else(|| KeyError::Erased(format!("run {run}")))?;
        let bytes = inner.root(root)?.open(&about::run(run), &wrapped, &format!("the key of run {run}"))?;
        let key = Arc::new(DataKey::of(&bytes, "the key of a run")?);
        if inner.runs.len() >= CACHED_MAX {
            inner.runs.clear();
        }
        inner.runs.insert(run, key.clone());
        Ok(key)
    }

    /// How it stands.
    pub fn status(&self) -> Result<Status> {
        let inner = self.lock();
        let count = |sql: &str| inner.db.query_row(sql, [], |row| row.get::<_, u64>(0));
        let newest = "SELECT made_at FROM roots ORDER BY root DESC LIMIT 1";
        Ok(Status {
            keyring: hex(&inner.name),
            service: self.service.name(),
            root_made_at: count(newest)?,
            roots: count("SELECT count(*) FROM roots")?,
            run_keys: count("SELECT count(*) FROM run_keys")?,
            file_keys: count("SELECT count(*) FROM file_keys")?,
            secrets: count("SELECT count(*) FROM secrets")?,
        })
    }

    /// Copies the keys, as they are wrapped, to a folder.
    pub fn copy_to(&self, folder: &Path) -> Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let file = folder.join(FILE);
        self.lock().db.execute("VACUUM INTO ?1", params![file.to_string_lossy()])?;
        std::fs::File::open(&file).and_then(|file| file.sync_all()).map_err(at(&file))
    }
}

impl Inner {
    /// The newest root key and its number.
    pub(crate) fn newest(&self) -> (i64, Arc<DataKey>) {
        (self.newest.0, self.newest.1.clone())
    }

    pub(crate) fn root(&self, number: i64) -> Result<Arc<DataKey>> {
        self.roots.get(&number).cloned().ok_or_else(|| KeyError::Tampered("the number of a root key".into()))
    }

    /// Makes keys of runs up to one, and some ahead.
    fn make_ahead(&mut self, made: u64, run: u64) -> Result<()> {
        let (root, key) = self.newest();
        let last = run.saturating_add(RUNS_AHEAD);
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut make = transaction.prepare_cached("INSERT OR IGNORE INTO run_keys VALUES (?1, ?2, ?3)")?;
            // From the first on: runs of a journal that was there before its keys may still be going on.
            for run in made + 1..=last {
                make.execute(params![run, root, key.seal(&about::run(run), &random::<32>()?)?])?;
            }
        }
        transaction.execute("UPDATE keyring SET runs = ?1", params![last])?;
        transaction.commit()?;
        Ok(())
    }

    /// Keys were destroyed: none of them stays at hand or in the log.
    pub(crate) fn leave_no_trace(&mut self) -> Result<()> {
        self.forget();
        self.empty_log()
    }

    /// Forgets the keys that are at hand.
    pub(crate) fn forget(&mut self) {
        self.runs.clear();
        self.files.clear();
    }

    /// Empties the log, which still holds pages as they were before.
    pub(crate) fn empty_log(&self) -> Result<()> {
        Ok(self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn connect(file: &Path) -> Result<Connection> {
    let db = Connection::open(file)?;
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // What is destroyed is overwritten, so that no free page keeps a key.
    db.pragma_update(None, "secure_delete", true)?;
    let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if synchronous != 2 {
        return Err(KeyError::Setting(format!("the database of keys says synchronous={synchronous}, and 2 was asked for")));
    }
    db.set_prepared_statement_cache_capacity(32);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(file, mode).map_err(at(file))?;
    Ok(db)
}

/// Makes the tables and the first root key of a new database, in one commit; gives what the keyring is called.
fn prepare(db: &mut Connection, service: &dyn KeyService) -> Result<Vec<u8>> {
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application == 0 && version == 0 {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        let name: [u8; 16] = random()?;
        transaction.execute("INSERT INTO keyring VALUES (0, ?1, 0)", params![name])?;
        add_root(&transaction, &name, service)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    } else if application != APPLICATION_ID || version > VERSION {
        return Err(KeyError::Setting("`keys.db` is another program's database, or of a later version of this one".into()));
    }
    Ok(db.query_row("SELECT name FROM keyring", [], |row| row.get(0))?)
}

/// Makes a root key and wraps it.
pub(crate) fn add_root(db: &Connection, name: &[u8], service: &dyn KeyService) -> Result<(i64, Arc<DataKey>)> {
    let key = Arc::new(DataKey::random()?);
    let add = "INSERT INTO roots (wrapped, service, made_at) VALUES (x'', ?1, ?2)";
    db.execute(add, params![service.name(), now()])?;
    let root = db.last_insert_rowid();
    let wrapped = service.wrap(key.bytes(), &about::root(name, root))?;
    db.execute("UPDATE roots SET wrapped = ?2 WHERE root = ?1", params![root, wrapped])?;
    Ok((root, key))
}

/// The root keys, unwrapped by the service or by the one that was there before it.
fn unwrap_roots(
    db: &mut Connection,
    name: &[u8],
    service: &dyn KeyService,
    earlier: Option<&dyn KeyService>,
) -> Result<BTreeMap<i64, Arc<DataKey>>> {
    let rows: Vec<(i64, Vec<u8>)> = {
        let mut statement = db.prepare("SELECT root, wrapped FROM roots ORDER BY root")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let mut roots = BTreeMap::new();
    for (root, wrapped) in rows {
        let about = about::root(name, root);
        let bytes = match (service.unwrap(&wrapped, &about), earlier) {
            (Err(KeyError::WrongKey(_)), Some(earlier)) => {
                let bytes = earlier.unwrap(&wrapped, &about)?;
                let wrapped = service.wrap(&bytes, &about)?;
                db.execute(
                    "UPDATE roots SET wrapped = ?2, service = ?3 WHERE root = ?1",
                    params![root, wrapped, service.name()],
                )?;
                bytes
            }
            (other, _) => other?,
        };
        roots.insert(root, Arc::new(DataKey::new(bytes)?));
    }
    Ok(roots)
}
