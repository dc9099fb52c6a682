//! The completion record: what decides how a process ended. It is created once; whoever comes second finds it there.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use model::{AttemptKey, Epoch, Failure};

/// What the wrapper of a process leaves behind.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CompletionRecord {
    pub(crate) attempt: AttemptKey,
    pub(crate) epoch: Epoch,
    /// None when it ended well.
    pub(crate) failure: Option<Failure>,
    /// Whether it was stopped on request.
    pub(crate) stopped: bool,
    pub(crate) usage: engine::event::Usage,
    /// Limits that could not be enforced here.
    pub(crate) unenforced: Vec<String>,
}

pub(crate) const FILE: &str = "result.json";

impl CompletionRecord {
    /// Writes the record unless there is one. True when this one is it.
    pub(crate) fn create(&self, folder: &Path) -> std::io::Result<bool> {
        let beside = folder.join(format!(".{FILE}.{}", std::process::id()));
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        // Linking fails when the name is taken: created once, by one.
        let linked = std::fs::hard_link(&beside, folder.join(FILE));
        std::fs::remove_file(&beside)?;
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => File::open(folder)?.sync_all().map(|()| true),
        }
    }

    /// The record, when there is one.
    pub(crate) fn read(folder: &Path) -> Option<CompletionRecord> {
        serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()
    }
}
