//! What is believed before the first value, and how fast values change it.

/// The constants within the estimates. The defaults are held by back-tests: `docs/reference/placement.md` has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beliefs {
    /// Values of a series that are looked back on.
    pub window: usize,
    /// From so many values on the order of what was seen is believed; below, a distribution with wide tails is.
    pub order_from: usize,
    /// How far values of a new series lie apart, as a standard deviation of logarithms.
    pub spread: f64,
    /// How many values that is worth.
    pub spread_worth: f64,
    /// How fast the interval widens after a miss (adaptive conformal inference, Gibbs and Candès 2021).
    pub step: f64,
    /// Values from which on a series speaks for itself.
    pub enough: u64,
    /// Values that "this site is as fast as the others" is worth.
    pub same_speed: f64,
    /// What intervals are widened by that rest on the task elsewhere, on other tasks of its kind, and on everything.
    pub widen: [f64; 3],
    /// Attempts that the belief about failures is worth.
    pub attempts: f64,
    /// How many of them fail.
    pub failures: f64,
    /// Hours of observation that what a site says of its preemptions is worth.
    pub hazard_hours: f64,
    /// Attempts that are looked back on for how much memory to ask for.
    pub sizes: usize,
    /// How much of the waste of a way to ask for memory still counts after every attempt.
    pub waste_kept: f64,
}

impl Default for Beliefs {
    fn default() -> Self {
        Beliefs {
            window: 96,
            order_from: 24,
            spread: 0.5,
            spread_worth: 2.0,
            step: 0.01,
            enough: 4,
            same_speed: 4.0,
            widen: [1.2, 2.0, 4.0],
            attempts: 5.0,
            failures: 0.1,
            hazard_hours: 10.0,
            sizes: 128,
            waste_kept: 0.995,
        }
    }
}
