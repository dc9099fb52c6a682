//! Letting go of processes that wait for people alone. A program that asks somebody may wait for days, and its process does nothing meanwhile. The
//! names of what it asks for are the same each time it runs, so that another process, begun when somebody has answered, is told all that the first
//! was, and finds the answer. What stands before the question and is no action of its own is done again: only what may be repeated is let go.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Command;
use executors::shim::Activity;
use journal::ActionRow;
use model::{ActionNo, AttemptKey, AttemptNo, Timestamp};

use super::Flyte;
use crate::clock::wall;
use crate::{ControlPlane, Fault};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Processor time that a process which waits may use: for each second, and beside that. Connections are kept alive, and answers looked for.
const IDLE_US: (u64, u64) = (150_000, 500_000);

/// Since when an attempt has done nothing, and what it had done by then.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    since: Timestamp,
    then: Activity,
}

impl Quiet {
    /// Whether nothing was done since: nothing printed, and no more computed than waiting takes.
    fn lasts(&self, now: Timestamp, seen: Activity) -> bool {
        let seconds = now.since(self.since).as_secs_f64();
        let used = seen.cpu_us.saturating_sub(self.then.cpu_us) as f64;
        // What ended and was waited for by nobody takes its time along: then something was done.
        seen.log_bytes == self.then.log_bytes
            && seen.cpu_us >= self.then.cpu_us
            && used <= IDLE_US.0 as f64 * seconds + IDLE_US.1 as f64
    }
}

impl Flyte {
    /// How long an attempt waits for people before its process is let go; none when it keeps it, or is not under way.
    fn suspends_after(&self, key: AttemptKey) -> Option<model::Duration> {
        self.inner.attempts.lock().get(&key)?.suspends_after
    }
}

impl ControlPlane {
    /// Lets go of processes that wait for people, for as long as the server lives.
    pub(super) async fn let_go_of_waiting(self) {
        let mut quiet = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let due = this.quiet_long_enough(&mut quiet);
                (quiet, due)
            });
            let (still, due) = looked.await.unwrap_or_else(|error| (BTreeMap::new(), Err(Fault::internal(error))));
            quiet = still;
            match due {
                Ok(due) => {
                    for (attempt, since) in due {
                        // Asked or told something a moment ago, it goes on; it is looked at from then on.
                        quiet.remove(&attempt);
                        let (action, attempt) = (attempt.action_key(), attempt.attempt);
                        let _ = self.inbox().ask(Command::Suspend { action, attempt, since }).await;
                    }
                }
                Err(fault) => tracing::warn!(%fault, "which processes wait for people cannot be read"),
            }
        }
    }

    /// The attempts that have waited for people and done nothing for long enough, and since when. Blocks.
    fn quiet_long_enough(&self, quiet: &mut BTreeMap<AttemptKey, Quiet>) -> Result<Vec<(AttemptKey, Timestamp)>, Fault> {
        let (now, mut still, mut due) = (wall(), BTreeMap::new(), Vec::new());
        if !self.flyte().inner.attempts.lock().values().any(|open| open.suspends_after.is_some()) {
            quiet.clear();
            return Ok(due);
        }
        for row in self.reader().asking().map_err(Fault::internal)? {
            let key = AttemptKey { run: row.run, action: ActionNo(row.no), attempt: AttemptNo(row.attempt) };
            let Some(span) = self.flyte().suspends_after(key) else { continue };
            let Some(seen) = self.activity(key, &row) else { continue };
            let known = quiet.get(&key).filter(|quiet| quiet.lasts(now, seen)).copied();
            let since = known.unwrap_or(Quiet { since: now, then: seen });
            if known.is_some() && now.since(since.since) >= span {
                due.push((key, since.since));
            }
            still.insert(key, since);
        }
        *quiet = still;
        Ok(due)
    }

    fn activity(&self, key: AttemptKey, row: &ActionRow) -> Option<Activity> {
        self.sites().executor(row.site.as_deref()?)?.activity(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_prints_or_computes_is_not_quiet() {
        let then = Activity { log_bytes: 10, cpu_us: 1_000_000 };
        let quiet = Quiet { since: Timestamp(0), then };
        let after = |seconds: u64, log_bytes, cpu_us| quiet.lasts(Timestamp(seconds * 1_000_000), Activity { log_bytes, cpu_us });
        assert!(after(300, 10, 1_000_000) && after(300, 10, 40_000_000));
        assert!(!after(300, 11, 1_000_000), "it printed something");
        assert!(!after(300, 10, 60_000_000), "it computes");
        assert!(!after(300, 10, 900_000), "something of it has ended");
        assert!(after(1, 10, 1_500_000) && !after(1, 10, 2_000_000));
    }
}
