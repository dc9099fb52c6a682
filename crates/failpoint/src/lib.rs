//! Named points in the code at which a test lets the process die, fail or wait. They are there in debug builds alone; a release build has
//! nothing of them, and no variable of the environment can bring them back.
//!
//! `TUTTI_FAILPOINTS=journal-after-commit=kill@3,effect=delay:20` says what happens where: `kill` is a `kill -9` of the own process, `error`
//! lets the step fail, `delay:N` waits for N milliseconds; `@N` means the N-th time only, otherwise every time. What happened is appended to
//! the file that `TUTTI_FAILPOINT_LOG` names, so that a test can show that it did.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// The variables that say what happens where.
pub const VARIABLES: [&str; 2] = ["TUTTI_FAILPOINTS", "TUTTI_FAILPOINT_LOG"];

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place in the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point { $($(#[$doc])* $point,)* }

        impl Point {
            /// Every point.
            pub const ALL: &[Point] = &[$(Point::$point,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Point::$point => $name,)* }
            }
        }
    };
}

points! {
    /// A transaction is about to begin.
    JournalBeforeWrite = "journal-before-write",
    /// All is written and not committed.
    JournalBeforeCommit = "journal-before-commit",
    /// It is durable, and nobody has been told.
    JournalAfterCommit = "journal-after-commit",
    /// The log is about to be merged into the file.
    JournalBeforeMerge = "journal-before-merge",
    /// A step of a sweep has destroyed bodies and is not committed.
    PruneStep = "prune-step",
    /// The pruning is recorded, and nothing is destroyed.
    PruneRecorded = "prune-recorded",
    /// The journal of a backup is copied, and nothing else.
    BackupJournal = "backup-journal",
    /// The run loop has decided, and the batch is not handed over.
    LoopDecided = "loop-decided",
    /// An effect is about to be carried out.
    EffectBefore = "effect-before",
    /// An effect was carried out.
    EffectAfter = "effect-after",
    /// An attempt has all that it needs, and its site was not told of it.
    OrderBefore = "order-before",
    /// A piece of a file was brought to another site.
    TransferPiece = "transfer-piece",
    /// An attempt's folder is about to be prepared.
    ExecutorBeforePrepare = "executor-before-prepare",
    /// It is prepared, and no wrapper has it.
    ExecutorPrepared = "executor-prepared",
    /// The outcome was read and is not reported.
    ExecutorCollected = "executor-collected",
    /// The wrapper has the attempt, and the process does not run.
    WrapperClaimed = "wrapper-claimed",
    /// The process has ended, and there is no record.
    WrapperBeforeRecord = "wrapper-before-record",
    /// The record is there, and nobody was told.
    WrapperAfterRecord = "wrapper-after-record",
    /// A trigger fires, and nothing is asked for.
    TriggerDue = "trigger-due",
    /// Its firing is recorded with its run, and the trigger's task was not told.
    TriggerFired = "trigger-fired",
    /// The journal is open, and nothing is read.
    StartOpened = "start-opened",
    /// The state is restored, and no epoch begun.
    StartRestored = "start-restored",
    /// The epoch has begun, and nothing outstanding was ordered.
    StartEpoch = "start-epoch",
}

/// Dies or waits here, when that is what was asked for. True when the step is to fail.
#[inline]
pub fn hit(point: Point) -> bool {
    #[cfg(debug_assertions)]
    {
        armed::hit(point)
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = point;
        false
    }
}

/// As [`hit`], for a step whose failure is the file system's: it fails as on a full disk.
#[inline]
pub fn check(point: Point) -> std::io::Result<()> {
    match hit(point) {
        true => Err(std::io::Error::new(std::io::ErrorKind::StorageFull, "a test lets it fail")),
        false => Ok(()),
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Point, VARIABLES};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Action {
        Kill,
        Error,
        Delay(u64),
    }

    #[derive(Debug)]
    pub(super) struct Armed {
        pub(super) action: Action,
        /// The only time it happens; every time when there is none.
        pub(super) nth: Option<u64>,
        hits: AtomicU64,
    }

    /// What the variable says. What is not understood is left out: a test that counts on it fails by its log.
    pub(super) fn parse(text: &str) -> BTreeMap<String, Armed> {
        let one = |part: &str| {
            let (name, what) = part.split_once('=')?;
            let (what, nth) = match what.split_once('@') {
                Some((what, nth)) => (what, Some(nth.parse().ok()?)),
                None => (what, None),
            };
            let action = match what.split_once(':') {
                None if what == "kill" => Action::Kill,
                None if what == "error" => Action::Error,
                Some(("delay", span)) => Action::Delay(span.parse().ok()?),
                _ => return None,
            };
            Some((name.trim().to_owned(), Armed { action, nth, hits: AtomicU64::new(0) }))
        };
        text.split(',').filter_map(one).collect()
    }

    pub(super) fn hit(point: Point) -> bool {
        static ARMED: OnceLock<BTreeMap<String, Armed>> = OnceLock::new();
        let armed = ARMED.get_or_init(|| std::env::var(VARIABLES[0]).map(|text| parse(&text)).unwrap_or_default());
        if armed.is_empty() {
            return false;
        }
        let Some(armed) = armed.get(point.name()) else { return false };
        let hits = armed.hits.fetch_add(1, Ordering::Relaxed) + 1;
        if armed.nth.is_some_and(|nth| nth != hits) {
            return false;
        }
        note(&format!("{} {:?}\n", point.name(), armed.action));
        match armed.action {
            Action::Error => return true,
            Action::Delay(span) => delay(span),
            Action::Kill => {
                // As from outside: nothing is flushed, nothing is dropped.
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                loop {
                    std::thread::park();
                }
            }
        }
        false
    }

    #[expect(clippy::disallowed_methods, reason = "to hold up whoever comes by is what was asked for")]
    fn delay(span: u64) {
        std::thread::sleep(std::time::Duration::from_millis(span));
    }

    fn note(line: &str) {
        let Ok(path) = std::env::var(VARIABLES[1]) else { return };
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        if let Ok(mut file) = file {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::{Action, parse};
    use super::*;

    #[test]
    fn names_are_unique_and_nothing_happens_unasked() {
        let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
        assert!(Point::ALL.iter().all(|point| !hit(*point)));
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let armed = parse("a=kill@3, b=delay:20,c=error,d=dance,e=kill@x");
        let found: Vec<_> = armed.iter().map(|(name, armed)| (name.as_str(), armed.action, armed.nth)).collect();
        assert_eq!(found, [("a", Action::Kill, Some(3)), ("b", Action::Delay(20), None), ("c", Action::Error, None)]);
    }
}
