//! Waiting at a site where more work is about to come: what decides whether work stays at home or bursts.
//!
//! What runs and what is queued says when there will be room now. What comes meanwhile takes a part of that room: work of projects that hold
//! less than their share, and work that is more urgent, goes before. So the wait is stretched by what the forecast expects, and its spread
//! grows with how far the forecast may be off; lateness is priced from both, and where the deadline is near, another site becomes cheaper.

use crate::objective::Odds;

/// The part of what comes that goes before work that waits already, where nothing else is set. Nothing can go before all of it: within a
/// project who came first is first. Nobody knows which part it is, and by the back-tests this one is least far from the best, whichever it is.
pub const BEFORE: f64 = 0.75;
/// The largest load that counts.
const LOAD_MAX: f64 = 1.5;
/// The largest part of a site that others take before what waits: a wait grows to ten times its length and no further.
const BUSY_MAX: f64 = 0.9;
/// Standard deviations from the median to where 5 of 100 lie above.
const TO_HIGH: f64 = 1.645;

/// How much work is expected at a site, as the part of it that it takes: 1 is all of it, all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coming {
    /// What is expected.
    pub mid: f64,
    /// Above it lie 5 of 100.
    pub high: f64,
}

/// How many times as long a wait becomes, when such a part of the work to come goes before.
fn stretch(load: f64, before: f64) -> f64 {
    let load = if load.is_finite() { load.clamp(0.0, LOAD_MAX) } else { LOAD_MAX };
    1.0 / (1.0 - (before.clamp(0.0, 1.0) * load).min(BUSY_MAX))
}

/// How long work waits, that would wait for so long if nothing else came. `deviation` is how far that strays by itself, `before` the part of
/// what comes that goes before it.
pub fn wait(seconds: f64, deviation: f64, coming: Option<Coming>, before: f64) -> Odds {
    let Some(coming) = coming.filter(|_| seconds > 0.0) else { return Odds { mid: seconds, mean: seconds, deviation } };
    let mid = seconds * stretch(coming.mid, before);
    let off = (seconds * stretch(coming.high.max(coming.mid), before) - mid) / TO_HIGH;
    Odds { mid, mean: mid, deviation: (deviation.powi(2) + off.powi(2)).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_with_what_comes_and_spreads_with_what_may() {
        let none = wait(100.0, 10.0, None, BEFORE);
        let some = wait(100.0, 10.0, Some(Coming { mid: 0.5, high: 0.5 }), BEFORE);
        let unsure = wait(100.0, 10.0, Some(Coming { mid: 0.5, high: 1.0 }), BEFORE);
        let deaf = wait(100.0, 10.0, Some(Coming { mid: 0.5, high: 1.0 }), 0.0);
        assert_eq!(deaf, none, "a forecast that counts for nothing");
        assert_eq!((none.mid, none.deviation), (100.0, 10.0));
        assert!(some.mid > 130.0 && some.deviation == 10.0, "{some:?}");
        assert!(unsure.mid == some.mid && unsure.deviation > 2.0 * some.deviation, "{unsure:?}");
        assert_eq!(wait(0.0, 0.0, Some(Coming { mid: 9.0, high: 9.0 }), 1.0).mid, 0.0, "where there is room nobody waits");
        for wild in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            for (before, most) in [(0.5, 400.0), (BEFORE, 1_000.1), (1.0, 1_000.1), (9.0, 1_000.1), (-1.0, 100.0)] {
                let wait = wait(100.0, 1.0, Some(Coming { mid: wild, high: wild }), before);
                assert!(wait.mid.is_finite() && wait.mid <= most && wait.deviation.is_finite(), "{wild}, {before}: {wait:?}");
            }
        }
    }
}
