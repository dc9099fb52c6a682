//! Merging the log into the file (SQLite calls it a checkpoint). SQLite would do it by itself after a commit, but it keeps to itself when a
//! sync fails there: the log would then be overwritten although the file never got its pages. So the writer does it, after it has told
//! everybody of the commit, and an error is what every error of the writer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::JournalError;
use crate::schema::BUSY_WAIT;

/// Pages of the log after which they are merged.
const PAGES: usize = 4_000;
/// Pages of the log after which readers are waited for, so that it can begin anew.
const PAGES_MAX: usize = 80_000;
/// How long they are waited for at most, at each try.
const READERS_WAIT: Duration = Duration::from_millis(100);

/// When to merge.
pub(crate) struct Merging {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicUsize>,
    /// Pages at which to try again.
    next: usize,
    /// Whether the log is to be emptied, for what it holds is to be gone.
    empty: bool,
}

/// What came of a try.
struct Merged {
    /// Somebody still reads from the log.
    busy: bool,
    /// Pages in the log.
    pages: usize,
    /// Of those, how many are in the file.
    merged: usize,
}

impl Merging {
    /// Begins to count the pages of the log.
    pub(crate) fn start(connection: &mut Connection) -> Result<Merging, JournalError> {
        let pages = Arc::new(AtomicUsize::new(0));
        let counted = pages.clone();
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            counted.store(usize::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Merging { pages, next: PAGES, empty: false })
    }

    /// Empties the log at the next occasion.
    pub(crate) fn empty_soon(&mut self) {
        self.empty = true;
    }

    /// Merges when there is enough, or when the log is to be emptied.
    pub(crate) fn merge_when_due(&mut self, connection: &Connection) -> Result<(), JournalError> {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.empty {
            let merged = checkpoint(connection, "TRUNCATE")?;
            self.empty = merged.busy;
            self.after(&merged);
        } else if pages >= self.next {
            let merged = checkpoint(connection, if pages >= PAGES_MAX { "RESTART" } else { "PASSIVE" })?;
            self.after(&merged);
        }
        Ok(())
    }

    /// A log that is merged as a whole begins anew with the next commit; one that somebody reads grows on, and is looked at again later.
    fn after(&mut self, merged: &Merged) {
        self.next = if merged.merged >= merged.pages { PAGES } else { merged.pages + PAGES };
        if merged.pages == 0 {
            self.pages.store(0, Ordering::Relaxed);
        }
    }
}

fn checkpoint(connection: &Connection, how: &str) -> Result<Merged, JournalError> {
    crate::step(failpoint::Point::JournalBeforeMerge)?;
    connection.busy_timeout(READERS_WAIT)?;
    let result = connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
        let count = |index: usize| Ok::<_, rusqlite::Error>(usize::try_from(row.get::<_, i64>(index)?).unwrap_or_default());
        Ok(Merged { busy: row.get(0)?, pages: count(1)?, merged: count(2)? })
    });
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(result?)
}
