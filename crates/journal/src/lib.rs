//! L2: the durable, ordered facts and the projections made from them.
//!
//! One SQLite file a shard. A single writer thread takes everything queued into one transaction (group commit without a timer): journal
//! rows with a dense sequence, bodies beside them, the Merkle edge, projections. Callers hear of it after the commit. A write that fails
//! stops the writer for good: what the disk holds is then the truth, and the process has to start again from it.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod backup;
mod bodies;
mod history;
mod leaves;
mod load;
mod merge;
mod past;
mod projection;
mod reader;
mod rebuild;
mod retention;
mod rows;
mod schema;
mod tiles;
mod verify;
mod writer;

pub use backup::{backup, restore};
pub use history::{CostRow, HistoryFilter, HistoryRow, RunTotals, WorkRow};
pub use leaves::Leaves;
pub use load::Span;
pub use past::{Past, Until};
pub use reader::{ActionFilter, Lowered, Reader, RefusedAt, RefusedFilter, RunFilter, Stats, Told, WaitingRow};
pub use rebuild::{differences, rebuild};
pub use retention::Pruned;
pub use rows::{
    ActionRow, ApprovalRow, AttemptRow, ChildRow, EntryRow, FiringRow, OriginRow, ProjectRow, RecallRow, ResourceRow, RunRow,
    SiteRow, SkippedRow,
};
pub use schema::Durability;
pub use tiles::{Tile, TileFilter, Tiles};
pub use verify::{Problem, Report, verify};
pub use writer::{Appended, Batch, Closed, Entry, Keeper, Tree, Writer};

use std::path::PathBuf;
use std::sync::Arc;

use keyring::Keyring;
use rusqlite::ErrorCode;

/// How to open a journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; made when it is not there.
    pub path: PathBuf,
    /// The number of the shard.
    pub shard: u16,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// What the values of runs are sealed under; without keys they lie open.
    pub keys: Option<Keyring>,
}

/// An open journal: one writer, any number of readers.
pub struct Opened {
    /// The writer. There is one.
    pub writer: Writer,
    /// The reader. Cheap to clone.
    pub reader: Reader,
}

/// What goes wrong with a journal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// SQLite said no.
    #[error("the journal: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// There is no room for what is to be written.
    #[error("the disk that holds the journal is full")]
    DiskFull,
    /// A file could not be made or read.
    #[error("the journal: `{path}`: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Arc<std::io::Error>,
    },
    /// The file is not a journal of this program, or of a later version of it.
    #[error("the journal: {0}")]
    Foreign(String),
    /// What is stored contradicts itself.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// The keys of values cannot be used.
    #[error("the journal: {0}")]
    Keys(String),
    /// The writer stopped after an error.
    #[error("the journal's writer has stopped: {0}")]
    Stopped(String),
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        match (error.sqlite_error_code(), &error) {
            (Some(ErrorCode::DiskFull), _) => JournalError::DiskFull,
            (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _)
            | (_, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)) => {
                JournalError::Damaged(error.to_string())
            }
            _ => JournalError::Sqlite(Arc::new(error)),
        }
    }
}

impl JournalError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> JournalError {
        let path = path.into();
        move |error| JournalError::Io { path, error: Arc::new(error) }
    }
}

/// A step that a test may let fail.
pub(crate) fn step(point: failpoint::Point) -> Result<(), JournalError> {
    match failpoint::hit(point) {
        true => Err(JournalError::io("the journal")(std::io::Error::other("a test lets it fail"))),
        false => Ok(()),
    }
}

/// Opens the journal in a directory.
pub fn open(options: Options) -> Result<Opened, JournalError> {
    std::fs::create_dir_all(&options.path).map_err(JournalError::io(&options.path))?;
    let file = options.path.join(schema::FILE);
    let connection = schema::open_to_write(&file, options.durability)?;
    // A file that is synced in a directory that is not is lost with it.
    for folder in options.path.canonicalize().map_err(JournalError::io(&options.path))?.ancestors().take(3) {
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        match synced {
            // Whoever may not read a directory above did not make it.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => break,
            other => other.map_err(JournalError::io(folder))?,
        }
    }
    let writer = Writer::start(connection, options.shard, options.keys.clone())?;
    Ok(Opened { reader: Reader::new(file, options.keys), writer })
}
