//! Attempts between an order of the engine and whoever carries it out: their files are placed, their secrets released. A cancel that comes in
//! between finds no process and no offer; it is noted here, and whoever hands the attempt over asks first and looks again afterwards. So one that
//! was cancelled is either never handed over, or cancelled where it went.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::AttemptKey;
use parking_lot::Mutex;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Something is done for it first.
    Prepared,
    /// It was cancelled before anybody had it.
    GivenUp,
    /// It is being handed over.
    Handed,
    /// It was cancelled while it was being handed over.
    TooLate,
}

/// What a cancel comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// Nobody will have it: it has ended.
    Here,
    /// Whoever hands it over cancels it there.
    Later,
    /// It is not on its way: whoever carries it out has it, or nobody knows it.
    Elsewhere,
}

/// The attempts that are on their way. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Handing {
    stages: Arc<Mutex<BTreeMap<AttemptKey, Stage>>>,
}

impl Handing {
    /// An order came for it. Ordered again, it is as if it had not been before.
    pub(crate) fn expect(&self, key: AttemptKey) {
        self.stages.lock().insert(key, Stage::Prepared);
    }

    /// Somebody wants it to end.
    pub(crate) fn cancel(&self, key: AttemptKey) -> Cancelled {
        let mut stages = self.stages.lock();
        let Some(stage) = stages.get_mut(&key) else { return Cancelled::Elsewhere };
        match *stage {
            Stage::Prepared => {
                *stage = Stage::GivenUp;
                Cancelled::Here
            }
            Stage::GivenUp => Cancelled::Here,
            Stage::Handed | Stage::TooLate => {
                *stage = Stage::TooLate;
                Cancelled::Later
            }
        }
    }

    /// It is about to be handed over; false when it was given up before.
    pub(crate) fn begins(&self, key: AttemptKey) -> bool {
        match self.stages.lock().get_mut(&key) {
            Some(stage @ Stage::Prepared) => {
                *stage = Stage::Handed;
                true
            }
            Some(Stage::Handed | Stage::TooLate) => true,
            Some(Stage::GivenUp) | None => false,
        }
    }

    /// It is on its way no more; gives whether it was cancelled since it began to be handed over, and has to be where it is now.
    #[must_use]
    pub(crate) fn leave(&self, key: AttemptKey) -> bool {
        self.stages.lock().remove(&key) == Some(Stage::TooLate)
    }

    /// Whether it was cancelled before anybody had it.
    pub(crate) fn is_given_up(&self, key: AttemptKey) -> bool {
        self.stages.lock().get(&key) == Some(&Stage::GivenUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AttemptKey {
        "tutti-1-2-1".parse().unwrap()
    }

    #[test]
    fn one_that_is_cancelled_on_its_way_is_never_handed_over() {
        let handing = Handing::default();
        handing.expect(key());
        assert_eq!(handing.cancel(key()), Cancelled::Here);
        assert_eq!(handing.cancel(key()), Cancelled::Here, "asked twice is asked once");
        assert!(handing.is_given_up(key()) && !handing.begins(key()));
        assert!(!handing.leave(key()), "nobody has it who would have to be told");
        assert_eq!(handing.cancel(key()), Cancelled::Elsewhere);
    }

    #[test]
    fn one_that_is_cancelled_while_it_is_handed_over_is_cancelled_there() {
        let handing = Handing::default();
        handing.expect(key());
        assert!(handing.begins(key()) && !handing.is_given_up(key()));
        assert_eq!(handing.cancel(key()), Cancelled::Later);
        assert!(handing.leave(key()));
        assert!(!handing.leave(key()), "once");
        assert_eq!(handing.cancel(key()), Cancelled::Elsewhere);
    }

    #[test]
    fn one_that_nobody_cancels_is_handed_over() {
        let handing = Handing::default();
        handing.expect(key());
        assert!(handing.begins(key()));
        assert!(!handing.leave(key()));
    }
}
