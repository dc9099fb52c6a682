//! Keeping a site free for an action that has waited too long: smaller work that comes later does not take the room away again and again
//! that would once have been enough. What will have ended before the room is there may pass (backfilling, Lifka 1995).
//!
//! Keeping is bounded. An action that still has no place when a site was kept for [`KEEP_S`] waits beside something that runs for very
//! long; nothing is kept for it for as long again, so that a site does not stand idle for days.

use std::collections::BTreeMap;

use model::ActionKey;

use crate::shares::PATIENCE_OF_ORDER_S;

/// The longest that a site is kept for one action, in seconds, and after that the shortest until it is kept again, where nothing else is set.
pub const KEEP_S: f64 = 3_600.0;

/// What a site is kept for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Keep {
    of: ActionKey,
    since_s: f64,
    /// When there is expected to be room.
    room_at_s: f64,
}

/// Sites that are kept. Times are in seconds of any clock that all questions use.
#[derive(Clone, Debug)]
pub struct Kept {
    patience_s: f64,
    keep_s: f64,
    by_site: BTreeMap<String, Keep>,
}

impl Default for Kept {
    fn default() -> Self {
        Kept::after(PATIENCE_OF_ORDER_S, KEEP_S)
    }
}

impl Kept {
    /// Sites are kept for what has waited for so many seconds, for so many seconds.
    pub fn after(patience_s: f64, keep_s: f64) -> Kept {
        Kept { patience_s, keep_s, by_site: BTreeMap::new() }
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_site.is_empty()
    }

    /// Drops what is kept for actions that wait no longer.
    pub fn tidy(&mut self, waits: impl Fn(ActionKey) -> bool) {
        self.by_site.retain(|_, keep| waits(keep.of));
    }

    /// Keeps a site for an action that found no room there, when it has waited for long enough. At most half of the sites, and at least one,
    /// are kept; each for one action, and each action has one.
    pub fn keep(&mut self, site: &str, sites: usize, of: ActionKey, waited_s: f64, now_s: f64, room_in_s: f64) {
        if waited_s < self.patience_s {
            return;
        }
        let room_at_s = now_s + if room_in_s.is_finite() { room_in_s.max(0.0) } else { 0.0 };
        if let Some((_, keep)) = self.by_site.iter_mut().find(|(_, keep)| keep.of == of) {
            // What passed and took longer than it was expected to moves nothing: else one that passes lets the next one pass, for ever.
            keep.room_at_s = keep.room_at_s.min(room_at_s);
            // A clock that went back does not make an hour of three.
            if now_s < keep.since_s || now_s - keep.since_s >= 2.0 * self.keep_s {
                (keep.since_s, keep.room_at_s) = (now_s, room_at_s);
            }
            return;
        }
        if self.by_site.len() < (sites / 2).max(1) && !self.by_site.contains_key(site) {
            self.by_site.insert(site.to_owned(), Keep { of, since_s: now_s, room_at_s });
        }
    }

    /// Why a site is closed to other work that would end so many seconds from now; none when it is not.
    pub fn closes(&self, site: &str, asks: &[ActionKey], now_s: f64, ends_in_s: f64) -> Option<String> {
        let keep = self.by_site.get(site)?;
        let over = !(0.0..self.keep_s).contains(&(now_s - keep.since_s));
        if over || asks.first() == Some(&keep.of) || now_s + ends_in_s <= keep.room_at_s {
            return None;
        }
        Some(format!("it is kept free for an action that has waited for more than {} minutes", self.patience_s / 60.0))
    }
}

#[cfg(test)]
mod tests {
    use model::{ActionNo, RunId};

    use super::*;

    fn key(no: u32) -> ActionKey {
        ActionKey::new(RunId(1), ActionNo(no))
    }

    #[test]
    fn what_ends_in_time_may_pass_and_nothing_else() {
        let mut kept = Kept::default();
        kept.keep("a", 3, key(1), PATIENCE_OF_ORDER_S - 1.0, 0.0, 60.0);
        assert!(kept.is_empty(), "it has not waited for long enough");
        kept.keep("a", 3, key(1), PATIENCE_OF_ORDER_S, 0.0, 60.0);
        assert!(kept.closes("a", &[key(2)], 0.0, 61.0).is_some());
        assert_eq!(kept.closes("a", &[key(2)], 0.0, 60.0), None, "it ends before there is room");
        assert_eq!(kept.closes("a", &[key(1)], 0.0, 1e9), None, "it is kept for this one");
        assert_eq!(kept.closes("b", &[key(2)], 0.0, 1e9), None);
        kept.keep("b", 3, key(3), 1e9, 0.0, 60.0);
        assert_eq!(kept.closes("b", &[key(2)], 0.0, 1e9), None, "one of three sites is kept, not two");
        kept.tidy(|of| of != key(1));
        assert!(kept.is_empty());
    }

    #[test]
    fn what_passes_and_takes_longer_lets_nothing_else_pass() {
        let mut kept = Kept::default();
        kept.keep("a", 1, key(1), 1e4, 0.0, 600.0);
        assert_eq!(kept.closes("a", &[key(2)], 0.0, 500.0), None, "it ends before there is room");
        // It is still there after ten minutes, and nobody knows for how long.
        kept.keep("a", 1, key(1), 1e4, 700.0, 900.0);
        assert!(kept.closes("a", &[key(3)], 700.0, 60.0).is_some(), "what was promised for the tenth minute is not put off");
        kept.keep("a", 1, key(1), 1e4, 750.0, -100.0);
        assert!(kept.closes("a", &[key(3)], 750.0, 60.0).is_some());
    }

    #[test]
    fn a_clock_that_goes_back_keeps_nothing_for_longer() {
        let mut kept = Kept::default();
        kept.keep("a", 1, key(1), 1e4, 10.0 * KEEP_S, 1e6);
        assert!(kept.closes("a", &[key(2)], 10.5 * KEEP_S, 1e9).is_some());
        assert_eq!(kept.closes("a", &[key(2)], 2.0 * KEEP_S, 1e9), None, "it went back by eight hours");
        kept.keep("a", 1, key(1), 1e4, 2.0 * KEEP_S, 10.0);
        assert!(kept.closes("a", &[key(2)], 2.5 * KEEP_S, 1e9).is_some());
        assert_eq!(kept.closes("a", &[key(2)], 3.0 * KEEP_S, 1e9), None, "an hour by the clock as it is now");
    }

    #[test]
    fn keeping_is_bounded() {
        let mut kept = Kept::default();
        kept.keep("a", 1, key(1), 1e4, 0.0, 1e6);
        assert!(kept.closes("a", &[key(2)], KEEP_S - 1.0, 1e9).is_some());
        kept.keep("a", 1, key(1), 1e4, KEEP_S, 1e6);
        assert_eq!(kept.closes("a", &[key(2)], KEEP_S, 1e9), None, "for an hour it was kept in vain");
        kept.keep("a", 1, key(1), 2e4, 2.0 * KEEP_S, 10.0);
        assert!(kept.closes("a", &[key(2)], 2.0 * KEEP_S, 1e9).is_some(), "and after another it is again");
    }
}
