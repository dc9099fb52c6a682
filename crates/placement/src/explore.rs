//! Trying a site of which little is known, where it may be cheaper than it seems: within an allowance, and recorded like every decision.
//!
//! An estimate is never wrong in its favour for long: a site that is thought to be slow is never asked again, and nobody finds out. So one action goes
//! there now and then, if all of this holds: little is known of the task there, it would cost least if it ran as quickly as its interval
//! says that it may (optimism in the face of uncertainty), and what it is expected to cost more than the best place fits into the
//! allowance. The allowance is a share of what was spent on decisions, so that trying can never cost more than that share
//! ([`SHARE`]). There is no chance in it: the same question has the same answer.

use model::Money;

/// The share of the expected cost of all decisions that may be spent on trying, where nothing else is set.
pub const SHARE: f64 = 0.005;
/// Attempts of a task at a site from which on enough is known of it there, where nothing else is set.
pub const ENOUGH: u64 = 4;

/// What was spent on decisions, and what of it on trying.
#[derive(Clone, Copy, Debug)]
pub struct Purse {
    share: f64,
    spent: f64,
    tried: f64,
}

impl Default for Purse {
    fn default() -> Self {
        Purse::of(SHARE)
    }
}

impl Purse {
    /// An empty one, of which such a share may be spent on trying.
    pub fn of(share: f64) -> Purse {
        Purse { share: if share.is_finite() { share.clamp(0.0, 1.0) } else { SHARE }, spent: 0.0, tried: 0.0 }
    }

    /// What may be spent on the next try.
    pub fn allowance(&self) -> Money {
        crate::objective::money((self.spent * self.share - self.tried).max(0.0))
    }

    /// A decision is expected to cost so much, of which so much more than the best for trying.
    pub fn note(&mut self, expected: Money, tried: Option<Money>) {
        self.spent += expected.units().max(0.0);
        self.tried += tried.map_or(0.0, |tried| tried.units().max(0.0));
    }
}

/// A site as it is looked at for trying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// What it is expected to cost.
    pub(crate) expected: f64,
    /// What it would cost if the task ran there as quickly as it may.
    pub(crate) optimistic: f64,
    /// Attempts of the task that were seen there.
    pub(crate) known: u64,
}

/// The number of the site that is worth a try, with what that costs more than the best, the first. From `enough` attempts on a site is known.
pub(crate) fn worth_a_try(sites: &[Trial], allowance: Money, enough: u64) -> Option<(usize, Money)> {
    let best = sites.first()?;
    let worth = |(_, site): &(usize, &Trial)| {
        let more = site.expected - best.expected;
        site.known < enough && site.optimistic < best.expected && more <= allowance.units() && allowance.0 > 0
    };
    let found = sites.iter().enumerate().skip(1).filter(worth).min_by(|a, b| a.1.optimistic.total_cmp(&b.1.optimistic))?;
    Some((found.0, crate::objective::money((found.1.expected - best.expected).max(0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Random;

    /// Decides so often between a site that is known and one that is thought to cost `thought` and really costs `really`, and gives all that it came to.
    fn play(thought: f64, really: f64, explores: bool) -> f64 {
        let (mut purse, mut random, mut known, mut sum) = (Purse::default(), Random(3), Vec::new(), 0.0);
        for _ in 0..2_000 {
            let here = Trial { expected: 1.0, optimistic: 0.9, known: 100 };
            // What was seen there counts beside what was thought, as if that had been seen twice.
            let seen: f64 = known.iter().sum();
            let expected = (2.0 * thought + seen) / (2.0 + known.len() as f64);
            let there = Trial { expected, optimistic: expected / 3.0, known: known.len() as u64 };
            let cheaper = there.expected < here.expected;
            let sites = if cheaper { [there, here] } else { [here, there] };
            let tried = worth_a_try(&sites, if explores { purse.allowance() } else { Money(0) }, ENOUGH);
            let goes_there = cheaper == tried.is_none();
            purse.note(crate::objective::money(sites[0].expected), tried.map(|(_, more)| more));
            let noise = (0.1 * random.normal()).exp();
            if goes_there {
                known.push(really * noise);
                sum += really * noise;
            } else {
                sum += noise;
            }
        }
        sum
    }

    #[test]
    fn what_is_cheaper_than_thought_is_found_and_what_is_not_costs_a_share() {
        let (blind, curious) = (play(1.6, 0.5, false), play(1.6, 0.5, true));
        assert!(curious < 0.6 * blind, "{curious} and {blind}");
        let (blind, curious) = (play(1.6, 2.0, false), play(1.6, 2.0, true));
        assert!(curious <= (1.0 + SHARE) * blind + 1e-9, "{curious} and {blind}");
    }

    #[test]
    fn nothing_is_tried_without_an_allowance_or_hope() {
        let best = Trial { expected: 1.0, optimistic: 1.0, known: 50 };
        let other = Trial { expected: 1.2, optimistic: 0.5, known: 0 };
        let money = Money::from_units;
        assert_eq!(worth_a_try(&[best, other], money(0.3), ENOUGH), Some((1, money(0.2))));
        assert_eq!(worth_a_try(&[best, other], money(0.1), ENOUGH), None, "too dear");
        assert_eq!(worth_a_try(&[best, other], money(0.0), ENOUGH), None);
        assert_eq!(
            worth_a_try(&[best, Trial { optimistic: 1.1, ..other }], money(9.0), ENOUGH),
            None,
            "it would lose at its best"
        );
        assert_eq!(worth_a_try(&[best, Trial { known: ENOUGH, ..other }], money(9.0), ENOUGH), None, "it is known");
    }
}
