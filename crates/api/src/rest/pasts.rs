//! Runs as they were: at a moment or after an entry. Whoever moves along the time of a run asks again and again, so that what was folded
//! is kept for a while and moved on; going back begins anew where nothing is kept from before that moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane::{Fault, FaultKind, wall};
use journal::{Past, Reader, Until};
use model::{RunId, Seq, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::problem::{ApiError, ApiResult};

/// How long a run as it was is kept after somebody looked at it.
const KEPT: Duration = Duration::from_secs(60);
/// Runs as they were that are kept at most, of one run or of several: each holds its actions in memory.
const PASTS_MAX: usize = 6;
/// How many look at the past at once.
const LOOKING_MAX: usize = 2;
/// How many wait for their turn to: who comes after them is told to come again.
const WAITING_MAX: usize = 64;

/// A run as it was when somebody looked.
struct Kept {
    run: RunId,
    used: Instant,
    past: Past,
}

/// Runs as they were when somebody looked a moment ago.
pub(crate) struct Pasts {
    kept: Mutex<Vec<Kept>>,
    turns: Arc<Semaphore>,
    /// A permit for each that looks or waits.
    room: Arc<Semaphore>,
}

impl Default for Pasts {
    fn default() -> Pasts {
        let room = Arc::new(Semaphore::new(LOOKING_MAX + WAITING_MAX));
        Pasts { kept: Mutex::default(), turns: Arc::new(Semaphore::new(LOOKING_MAX)), room }
    }
}

impl Pasts {
    /// What is kept of a run from before a moment, the latest; it is nobody else's meanwhile.
    fn take(&self, run: RunId, until: Until) -> Option<Past> {
        let mut kept = self.kept.lock();
        let fits = kept.iter().enumerate().filter(|(_, one)| one.run == run && !one.past.is_beyond(until));
        let (at, _) = fits.max_by_key(|(_, one)| one.past.position().0)?;
        Some(kept.remove(at).past)
    }

    /// Keeps what was looked at, and lets go of what nobody has looked at for the longest where that is too much.
    fn keep(self: &Arc<Self>, run: RunId, past: Past) {
        let gone = {
            let mut kept = self.kept.lock();
            kept.push(Kept { run, used: Instant::now(), past });
            let oldest = kept.iter().enumerate().min_by_key(|(_, one)| one.used).map(|(at, _)| at);
            oldest.filter(|_| kept.len() > PASTS_MAX).map(|at| kept.remove(at))
        };
        // It takes a while, and nobody has to wait for it.
        drop(gone);
        let pasts = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let Some(pasts) = pasts.upgrade() {
                let mut kept = pasts.kept.lock();
                kept.retain(|one| one.used.elapsed() < KEPT);
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

/// The turn of somebody who looks at the past; of those who look at the present none is asked for.
pub(crate) struct Turn(
    #[expect(dead_code, reason = "it is held, and let go")] Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
);

/// Waits for the turn to look: folding a run again is work, and many who want it must not take the threads of everybody. Whoever goes away meanwhile has no turn.
pub(crate) async fn turn(app: &App, until: Option<Until>) -> ApiResult<Turn> {
    if until.is_none() {
        return Ok(Turn(None));
    }
    let busy =
        || ApiError(Fault::new(FaultKind::Busy, "too many look at the past of runs at the moment").hint("ask again in a moment"));
    let room = app.pasts.room.clone().try_acquire_owned().map_err(|_| busy())?;
    let turn = app.pasts.turns.clone().acquire_owned().await.map_err(|_| busy())?;
    Ok(Turn(Some((room, turn))))
}

/// Reads a run as it was, or as it is where nothing is said. `read` is told after which entry that is, and when. Whoever looks at the past has its
/// [`turn`]. Blocks.
pub(crate) fn read<T>(
    app: &App,
    run: RunId,
    until: Option<Until>,
    read: impl FnOnce(&Reader, Option<(Seq, Timestamp)>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let Some(until) = until else { return read(app.control.reader(), None) };
    let mut past = match app.pasts.take(run, until) {
        Some(past) => past,
        None => app.control.reader().past(run).map_err(Fault::internal)?,
    };
    past.advance(until).map_err(Fault::internal)?;
    let (position, made) = past.position();
    // What was under way then had been for as long as until that time.
    let at = match until {
        Until::Time(at) => at.min(wall()).max(made),
        Until::Position(_) => made,
    };
    let found = read(past.reader(), Some((position, at)));
    app.pasts.keep(run, past);
    found
}

/// What is said where a run had not begun.
pub(crate) fn not_yet(run: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("the run `{run}` had not begun at that moment"))
}
