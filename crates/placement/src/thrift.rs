//! A budget as a price, before it is a stop: how much less lateness counts for a project whose money goes faster than it lasts.
//!
//! What is not worth its price waits then, while there is money left for what is; without, everything that is in a hurry is paid for until the
//! money is gone, and nothing is done from then on until the next period begins.

/// The most that lateness is divided by, where nothing else is set.
pub const THRIFT_MAX: f64 = 4.0;
/// The power of the pace, where nothing else is set.
pub const THRIFT_POWER: f64 = 1.0;
/// The shortest part of a period that is measured by: what was spent in the first minutes says nothing of the month.
const PART_MIN: f64 = 0.1;

/// How many times as fast money goes as it lasts, when `spent` of `cap` is gone in a part of the period (0 to 1).
pub fn pace(spent: f64, cap: f64, part: f64) -> f64 {
    if cap.is_nan() || cap <= 0.0 || !spent.is_finite() {
        return 0.0;
    }
    let part = if part.is_finite() { part.clamp(PART_MIN, 1.0) } else { 1.0 };
    (spent / cap / part).max(0.0)
}

/// What lateness is divided by at such a pace: a power of it, at most `most`.
pub fn thrift(pace: f64, power: f64, most: f64) -> f64 {
    let by = pace.max(1.0).powf(power);
    if by.is_finite() { by.clamp(1.0, most.max(1.0)) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_that_lasts_changes_nothing_and_money_that_does_not_counts_lateness_less() {
        assert_eq!(thrift(pace(5.0, 10.0, 0.5), THRIFT_POWER, THRIFT_MAX), 1.0);
        assert_eq!(thrift(pace(1.0, 10.0, 0.5), THRIFT_POWER, THRIFT_MAX), 1.0);
        assert_eq!(thrift(pace(10.0, 10.0, 0.5), THRIFT_POWER, THRIFT_MAX), 2.0);
        assert_eq!(thrift(pace(100.0, 10.0, 0.5), THRIFT_POWER, THRIFT_MAX), THRIFT_MAX);
        assert_eq!(thrift(pace(0.5, 10.0, 0.0001), THRIFT_POWER, THRIFT_MAX), 1.0, "the first minutes say nothing");
        for wild in [f64::NAN, f64::INFINITY, -1.0] {
            assert!((1.0..=THRIFT_MAX).contains(&thrift(pace(wild, 1.0, 0.5), THRIFT_POWER, THRIFT_MAX)));
            assert!((1.0..=THRIFT_MAX).contains(&thrift(pace(1.0, wild, 0.5), THRIFT_POWER, THRIFT_MAX)));
            assert!((1.0..=THRIFT_MAX).contains(&thrift(pace(1.0, 1.0, wild), THRIFT_POWER, THRIFT_MAX)));
        }
    }
}
