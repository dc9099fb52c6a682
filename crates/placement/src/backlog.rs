//! When a full site will have room: the expected ends of what it runs, kept sorted as work comes and goes. Nothing replays a queue.

use std::collections::BTreeMap;

use model::{ActionKey, Resources};

/// Ends that are looked at for one answer; beyond, the last of them is the answer.
const LOOK_MAX: usize = 256;

/// What is at work at one site, by when it is expected to end.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    ends: BTreeMap<(u64, ActionKey), Resources>,
    of: BTreeMap<ActionKey, u64>,
}

impl Backlog {
    /// An action begins that is expected to end at a time (microseconds of any clock that the questions use too).
    pub fn begin(&mut self, key: ActionKey, ends_at_us: u64, holds: Resources) {
        self.end(key);
        self.of.insert(key, ends_at_us);
        self.ends.insert((ends_at_us, key), holds);
    }

    /// An action has ended. False when it was not known here.
    pub fn end(&mut self, key: ActionKey) -> bool {
        self.of.remove(&key).and_then(|at| self.ends.remove(&(at, key))).is_some()
    }

    /// Seconds from `now_us` until `needs` will fit beside what is free. What should have ended already ends soon: an overdue action is
    /// expected to take as long again as it is late.
    pub fn wait_s(&self, now_us: u64, free: &Resources, needs: &Resources) -> f64 {
        let mut free = *free;
        let mut wait = 0.0;
        for ((at, _), holds) in self.ends.iter().take(LOOK_MAX) {
            if free.covers(needs) {
                return wait;
            }
            free = free.plus(holds);
            let left = at.abs_diff(now_us) as f64 / 1e6;
            wait = left.clamp(0.1, 3.2e7).max(wait);
        }
        wait
    }

    /// How many actions are at work.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use model::{ActionNo, RunId};

    use super::*;

    fn key(no: u32) -> ActionKey {
        ActionKey::new(RunId(1), ActionNo(no))
    }

    fn cores(cores: u32) -> Resources {
        Resources { cpu_millis: cores * 1000, ..Resources::default() }
    }

    #[test]
    fn room_comes_with_the_ends_in_their_order() {
        let mut backlog = Backlog::default();
        backlog.begin(key(1), 10_000_000, cores(1));
        backlog.begin(key(2), 30_000_000, cores(2));
        backlog.begin(key(3), 20_000_000, cores(1));
        assert_eq!(backlog.wait_s(0, &cores(1), &cores(1)), 0.0);
        assert_eq!(backlog.wait_s(0, &cores(0), &cores(1)), 10.0);
        assert_eq!(backlog.wait_s(0, &cores(0), &cores(2)), 20.0);
        assert_eq!(backlog.wait_s(0, &cores(0), &cores(4)), 30.0);
        assert!(backlog.end(key(1)) && !backlog.end(key(1)));
        assert_eq!(backlog.wait_s(0, &cores(0), &cores(1)), 20.0);
        assert_eq!(backlog.wait_s(25_000_000, &cores(0), &cores(1)), 5.0, "overdue by 5 s");
    }
}
