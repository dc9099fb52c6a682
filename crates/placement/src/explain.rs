//! Why work went where it went: what is recorded with every decision, so that a later rule never has to guess what an earlier one thought.

use model::Money;
use serde::{Deserialize, Serialize};

/// Why work went where it went, or nowhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The rule that chose.
    pub rule: String,
    /// Every site, best first.
    pub sites: Vec<Candidate>,
    /// What the run's plan had named, when it had and something else was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// What is paid for trying a site of which little is known, when one action goes there for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Money>,
    /// What bounds the project's work: its budget and its quota, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<String>,
}

/// A site with its terms and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The site.
    pub site: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub why: String,
    /// What is in the way when it was refused, but for the work there itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// One hour of the work there.
    pub compute_per_hour: Money,
    /// What bringing the inputs costs once.
    pub egress: Money,
    /// Bytes to bring.
    pub bytes_to_bring: u64,
    /// Whether it stands for another place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// What one action is expected to cost there, lateness included.
    #[serde(default)]
    pub expected: Money,
    /// Of that: holding what it needs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compute: Money,
    /// Of that: starting capacity, and what of it stands idle.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub boot: Money,
    /// Why no capacity has to be started there, where it is rented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Of that: work lost when capacity is called back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub preemption: Money,
    /// Of that: attempts that fail.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: Money,
    /// Of that: expected lateness of the run, and the fee times its probability.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: Money,
    /// The probability that the run misses its deadline from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_late: Option<f64>,
    /// Seconds that it runs: 5 of 100 below, the median, 5 of 100 above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_s: Option<[f64; 3]>,
    /// Seconds that it waits for a place.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub wait_s: f64,
    /// Seconds that bringing the inputs takes.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub transfer_s: f64,
    /// What the length rests on, and how many attempts that is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<(String, u64)>,
    /// The term that it lost on, beside the site that was chosen, and by how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_on: Option<(String, Money)>,
    /// What would have to change for it to be chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<String>,
}

fn is_zero(money: &Money) -> bool {
    money.0 == 0
}

fn is_nothing(seconds: &f64) -> bool {
    *seconds == 0.0
}

/// What is in the way of a site, when it is not the work there itself that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// An input may not be moved there from this site.
    MovingFrom(String),
    /// What it comes to may not be told at this site, where it was asked for.
    TellingAt(String),
}

/// What became of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes the work, or some of it.
    Chosen,
    /// It could, and others were better.
    Possible,
    /// It has no room at the moment, and is worth waiting for.
    Awaited,
    /// It has no room at the moment.
    Full,
    /// It takes no new work.
    Closed,
    /// It would cost more than the project may still spend.
    OverBudget,
    /// It can never take this work: attributes or size.
    Unfit,
    /// The gate does not let this work go there.
    Refused,
}
