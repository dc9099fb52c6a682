//! Runs as they were: at a moment or after an entry. Whoever moves along the time of a run asks again and again, so that what was folded
//! is kept for a while and moved on; going back begins anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane::{Fault, FaultKind, wall};
use journal::{Past, Reader, Until};
use model::{RunId, Seq, Timestamp};
use parking_lot::Mutex;

use super::App;
use super::problem::{ApiError, ApiResult};

/// How long a run as it was is kept after somebody looked at it.
const KEPT: Duration = Duration::from_secs(60);
/// Runs that are kept at most: each holds its actions in memory.
const PASTS_MAX: usize = 6;

/// Held by the one that reads; with when somebody looked last.
type Slot = Arc<Mutex<Option<(Instant, Past)>>>;

/// Runs as they were when somebody looked a moment ago.
#[derive(Default)]
pub(crate) struct Pasts {
    known: Mutex<BTreeMap<RunId, Slot>>,
}

impl Pasts {
    fn slot(&self, run: RunId) -> Slot {
        let mut known = self.known.lock();
        if known.len() >= PASTS_MAX && !known.contains_key(&run) {
            // That at which nobody has looked for the longest, and nobody looks.
            let age = |slot: &Slot| slot.try_lock().map(|past| past.as_ref().map(|(used, _)| *used));
            let oldest = known.iter().filter_map(|(run, slot)| Some((age(slot)?, *run))).min();
            if let Some((_, run)) = oldest {
                known.remove(&run);
            }
        }
        known.entry(run).or_default().clone()
    }

    /// Lets a run go at which nobody has looked for a while.
    fn forget(self: &Arc<Self>, run: RunId, slot: Slot) {
        let pasts = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            // Whoever reads it now comes by here too.
            let Some(mut past) = slot.try_lock() else { return };
            if past.as_ref().is_some_and(|(used, _)| used.elapsed() >= KEPT) {
                *past = None;
                pasts.known.lock().remove(&run);
            }
        });
    }
}

/// When a run is looked at, as a query says it: in time, or by its entry; none of both means now.
pub(crate) fn until(at: Option<&str>, position: Option<u64>) -> ApiResult<Option<Until>> {
    match (at, position) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(Until::Time(moment(text)?))),
        (None, Some(position)) => Ok(Some(Until::Position(Seq(position)))),
        (Some(_), Some(_)) => {
            let message = "`at` and `position` both say when: give one of them";
            Err(ApiError(Fault::new(FaultKind::Malformed, message)))
        }
    }
}

/// A point in time as people and programs write it.
fn moment(text: &str) -> ApiResult<Timestamp> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text).ok().and_then(|at| u64::try_from(at.timestamp_micros()).ok());
    let wrong =
        || ApiError(Fault::new(FaultKind::Malformed, format!("`{text}` is not a point in time")).hint("2026-03-01T09:30:00Z"));
    parsed.map(Timestamp).ok_or_else(wrong)
}

/// Reads a run as it was, or as it is where nothing is said. `read` is told after which entry that is, and when. Blocks.
pub(crate) fn read<T>(
    app: &App,
    run: RunId,
    until: Option<Until>,
    read: impl FnOnce(&Reader, Option<(Seq, Timestamp)>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let Some(until) = until else { return read(app.control.reader(), None) };
    let slot = app.pasts.slot(run);
    let mut kept = slot.lock();
    let mut past = match kept.take() {
        Some((_, past)) if !past.is_beyond(until) => past,
        _ => app.control.reader().past(run).map_err(Fault::internal)?,
    };
    past.advance(until).map_err(Fault::internal)?;
    let (position, made) = past.position();
    // What was under way then had been for as long as until that time.
    let at = match until {
        Until::Time(at) => at.min(wall()).max(made),
        Until::Position(_) => made,
    };
    let found = read(past.reader(), Some((position, at)));
    *kept = Some((Instant::now(), past));
    drop(kept);
    app.pasts.forget(run, slot);
    found
}

/// What is said where a run had not begun.
pub(crate) fn not_yet(run: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("the run `{run}` had not begun at that moment"))
}
