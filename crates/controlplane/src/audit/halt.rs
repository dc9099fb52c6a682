//! The stop of dispatch: what the audit log says does not fit, so that nothing new is placed until a person says to go on. It outlives the
//! process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::files;
use crate::Fault;
use crate::start::unusable;

/// The file that says why.
const FILE: &str = "halted";

/// Whether dispatch is stopped. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Halt {
    folder: Arc<PathBuf>,
    on: Arc<AtomicBool>,
    reason: Arc<Mutex<Option<String>>>,
}

impl Halt {
    /// As an earlier server left it.
    pub(super) fn read(folder: &Path) -> Result<Halt, Fault> {
        let reason = match std::fs::read_to_string(folder.join(FILE)) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(format!("`{}`: {error}", folder.join(FILE).display()))),
        };
        let on = Arc::new(AtomicBool::new(reason.is_some()));
        Ok(Halt { folder: Arc::new(folder.to_owned()), on, reason: Arc::new(Mutex::new(reason)) })
    }

    /// Whether nothing is to be placed. The run loop asks it in every turn.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Why.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// Stops dispatch. The first reason stays.
    pub(crate) fn stop(&self, why: &str) -> std::io::Result<()> {
        let mut reason = self.reason.lock();
        if reason.is_some() {
            return Ok(());
        }
        tracing::error!(why, "nothing is dispatched until a person accepts what happened: `tutti audit accept`");
        *reason = Some(why.to_owned());
        self.on.store(true, Ordering::Release);
        files::replace(&self.folder, FILE, format!("{why}\n").as_bytes(), true)
    }

    /// Lets dispatch go on.
    pub(super) fn lift(&self) -> std::io::Result<()> {
        let mut reason = self.reason.lock();
        files::remove(&self.folder, FILE)?;
        *reason = None;
        self.on.store(false, Ordering::Release);
        Ok(())
    }
}
