//! The objective: everything in money.
//!
//! For an action at a site, with `d` the seconds it runs, `p` the price of an hour of what it holds, `h` the preemptions an hour, `f` the
//! share of attempts that fail:
//!
//! ```text
//! run        = E[d] (1 + h E[d] / 2)           a place that is called back loses half of what it did, on average
//! compute    = p E[d]
//! boot       = p (boot + idle share)           only where capacity is rented piece by piece and none is warm
//! preemption = p (run - E[d])
//! repeats    = p run f / (1 - f)
//! egress     = price of the bytes that are not there yet, from the cheapest copy, at the tier of the month
//! late       = r * E[(start + run + rest - D')+] / 3600       and fee * P(start + run + rest > D')
//! ```
//!
//! `start` is the larger of the wait for a place and the transfer, plus boot; `rest` the critical path behind the action; `D'` the deadline
//! drawn in: `D' = now + margin (D - now)`. The excess of a normal variable has the closed form `s phi(z) + m Phi(z)`. A margin
//! below 1 buys safety for what no quantile of one action knows, the queue of the next. Its default was chosen on tuning seeds and
//! confirmed on seeds that nothing was tuned on (see the reference page).

use model::site::Prices;
use model::{Money, Resources};

/// What is known of a length of time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// The median.
    pub mid: f64,
    /// The mean.
    pub mean: f64,
    /// How far it strays, as the standard deviation of a normal variable.
    pub deviation: f64,
}

impl Odds {
    /// A length that is certain.
    pub const fn certain(seconds: f64) -> Odds {
        Odds { mid: seconds, mean: seconds, deviation: 0.0 }
    }

    /// The same with numbers that cannot be cut to what can: nothing below 0, nothing beyond a year.
    pub fn sane(self) -> Odds {
        let sane = |value: f64| if value.is_finite() { value.clamp(0.0, 3.2e7) } else { 3.2e7 };
        Odds { mid: sane(self.mid), mean: sane(self.mean), deviation: sane(self.deviation) }
    }
}

/// What lateness costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Late {
    /// Seconds from now to the deadline; below 0 when it has passed.
    pub deadline_s: f64,
    /// Money an hour, in units of currency.
    pub per_hour: f64,
    /// Money once, for being late at all.
    pub fee: f64,
}

/// How the rule is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The share of the time to the deadline that is planned with.
    pub margin: f64,
    /// What expected lateness is multiplied with.
    pub risk: f64,
    /// Whether bytes that will have to follow to heavy or pinned neighbours are priced.
    pub lookahead: bool,
    /// The part of the work that a forecast expects which goes before work that waits already, and stretches its wait; 0 where forecasts
    /// count for nothing. See [`crate::burst`].
    pub before: f64,
    /// A plan is left when another place is cheaper by this share of the plan's price.
    pub deviate: f64,
    /// Seconds after which an action takes any permitted site with room: waiting for a cheaper place is bounded.
    pub patience_s: f64,
    /// Attempts of a task at a site from which on enough is known of it there: see [`crate::explore`].
    pub enough: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            margin: 1.0,
            risk: 1.0,
            lookahead: true,
            before: crate::burst::BEFORE,
            deviate: 1.0,
            patience_s: crate::PATIENCE_S,
            enough: crate::explore::ENOUGH,
        }
    }
}

/// What is asked of the objective.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What each action holds.
    pub needs: &'a Resources,
    /// How long it runs.
    pub run: Odds,
    /// The share of attempts that fail.
    pub failure_rate: f64,
    /// How long it waits for a place.
    pub wait: Odds,
    /// Seconds that bringing the inputs takes.
    pub transfer_s: f64,
    /// What bringing them costs.
    pub egress: f64,
    /// Seconds until new capacity is there; 0 where some is warm or owned.
    pub boot_s: f64,
    /// Seconds that new capacity will stand idle before it is given back; 0 where none has to be started.
    pub idle_s: f64,
    /// Preemptions an hour.
    pub hazard: f64,
    /// Seconds of the critical path behind the action.
    pub rest_s: f64,
    /// What lateness costs, when there is a deadline.
    pub late: Option<Late>,
}

/// What an action costs at a site, term by term, in units of currency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Holding what it needs while it runs.
    pub compute: f64,
    /// Starting capacity, and what of it stands idle.
    pub boot: f64,
    /// Moving its inputs.
    pub egress: f64,
    /// Work lost when the place is called back.
    pub preemption: f64,
    /// Attempts that fail.
    pub repeats: f64,
    /// Expected lateness, and the fee times its probability.
    pub late: f64,
    /// The probability of being late, against the deadline itself.
    pub p_late: f64,
    /// Seconds from now to the expected end.
    pub ends_in_s: f64,
}

impl Terms {
    /// All together.
    pub fn total(&self) -> f64 {
        self.money() + self.late
    }

    /// What will be on the bill.
    pub fn money(&self) -> f64 {
        self.compute + self.boot + self.egress + self.preemption + self.repeats
    }
}

/// Prices an action at a site.
pub fn price(prices: &Prices, ask: &Ask<'_>, settings: &Settings) -> Terms {
    let second = prices.per_hour(ask.needs) / 1e6 / 3600.0;
    let (run, wait) = (ask.run.sane(), ask.wait.sane());
    // Beyond one loss a run the linear form says too little and the true one explodes: such a place is priced out either way.
    let lost_share = (0.5 * ask.hazard.max(0.0) * run.mean / 3600.0).min(10.0);
    let length = run.mean * (1.0 + lost_share);
    let failing = ask.failure_rate.clamp(0.0, 0.9);
    let start = wait.mid.max(ask.transfer_s.max(0.0)) + ask.boot_s.max(0.0);
    let ends_in_s = start + run.mid * (1.0 + lost_share);
    let mut terms = Terms {
        compute: second * run.mean,
        boot: second * (ask.boot_s + ask.idle_s).max(0.0),
        egress: ask.egress.max(0.0),
        preemption: second * run.mean * lost_share,
        repeats: second * length * failing / (1.0 - failing),
        ends_in_s,
        ..Terms::default()
    };
    if let Some(late) = ask.late {
        let deviation = (run.deviation.powi(2) + wait.deviation.powi(2) + (0.15 * ask.rest_s).powi(2)).sqrt();
        let drawn_in = if late.deadline_s > 0.0 { late.deadline_s * settings.margin } else { late.deadline_s };
        let over = ends_in_s + ask.rest_s - drawn_in;
        let (excess, likely) = excess(over, deviation);
        terms.late = settings.risk * (excess / 3600.0 * late.per_hour + likely * late.fee);
        terms.p_late = self::excess(ends_in_s + ask.rest_s - late.deadline_s, deviation).1;
    }
    terms
}

/// E[max(X, 0)] and P(X > 0) of a normal variable.
pub fn excess(mean: f64, deviation: f64) -> (f64, f64) {
    if deviation <= 1e-9 {
        return (mean.max(0.0), if mean > 0.0 { 1.0 } else { 0.0 });
    }
    let z = mean / deviation;
    if z > 8.0 {
        return (mean, 1.0);
    }
    if z < -8.0 {
        return (0.0, 0.0);
    }
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let below = normal_below(z, density);
    ((deviation * density + mean * below).max(0.0), below)
}

/// Abramowitz and Stegun 26.2.17; the absolute error is below 7.5e-8.
fn normal_below(z: f64, density: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    if z >= 0.0 { 1.0 - density * poly } else { density * poly }
}

/// An amount in units of currency as money; what is beyond any bill stays at its end.
pub fn money(units: f64) -> Money {
    if units.is_finite() { Money::from_units(units.clamp(-9e12, 9e12)) } else { Money(i64::MAX / 4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(needs: &Resources) -> Ask<'_> {
        Ask {
            needs,
            run: Odds { mid: 3600.0, mean: 3600.0, deviation: 600.0 },
            failure_rate: 0.0,
            wait: Odds::certain(0.0),
            transfer_s: 0.0,
            egress: 0.0,
            boot_s: 0.0,
            idle_s: 0.0,
            hazard: 0.0,
            rest_s: 0.0,
            late: None,
        }
    }

    const NEEDS: Resources = Resources { cpu_millis: 1000, memory_bytes: 0, gpus: 0, disk_bytes: 0 };

    fn prices(cpu: f64) -> Prices {
        Prices { cpu_hour: Money::from_units(cpu), ..Prices::default() }
    }

    #[test]
    fn an_hour_costs_its_price_and_every_term_adds() {
        let settings = Settings::default();
        let plain = price(&prices(0.05), &ask(&NEEDS), &settings);
        assert!((plain.total() - 0.05).abs() < 1e-12);
        let all = Ask { failure_rate: 0.5, boot_s: 60.0, idle_s: 540.0, hazard: 0.1, egress: 0.2, ..ask(&NEEDS) };
        let terms = price(&prices(0.05), &all, &settings);
        assert!((terms.preemption - 0.05 * 0.05).abs() < 1e-9);
        assert!((terms.repeats - 0.05 * 1.05).abs() < 1e-9);
        assert!((terms.boot - 0.05 / 6.0).abs() < 1e-9);
        assert!(terms.total() > plain.total() + 0.2);
    }

    #[test]
    fn lateness_grows_with_the_wait_and_the_margin_draws_it_in() {
        let late = Late { deadline_s: 7200.0, per_hour: 10.0, fee: 5.0 };
        let settings = Settings { margin: 1.0, ..Settings::default() };
        let at = |wait: f64, settings: &Settings| {
            price(&prices(0.05), &Ask { late: Some(late), wait: Odds::certain(wait), ..ask(&NEEDS) }, settings)
        };
        assert!(at(0.0, &settings).late < 0.01);
        assert!(at(3600.0, &settings).late > 1.0);
        assert!(at(7200.0, &settings).late > 14.0);
        let drawn_in = at(0.0, &Settings { margin: 0.35, ..Settings::default() });
        assert!(drawn_in.late > at(0.0, &settings).late);
        assert!(drawn_in.p_late < 0.001, "the probability is against the deadline itself");
    }

    #[test]
    fn what_cannot_be_gives_a_number_still() {
        for wild in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let run = Odds { mid: wild, mean: wild, deviation: wild };
            let late = Some(Late { deadline_s: 60.0, per_hour: 1.0, fee: 0.0 });
            let terms = price(&prices(0.05), &Ask { run, wait: run, hazard: 1e9, late, ..ask(&NEEDS) }, &Settings::default());
            assert!(terms.total().is_finite() && terms.total() >= 0.0, "{wild}: {terms:?}");
        }
    }
}
