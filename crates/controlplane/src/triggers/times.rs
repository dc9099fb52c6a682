//! When triggers are due, and what is made up for.

use chrono::{DateTime, Utc};
use model::limits::CATCH_UP_FIRINGS_MAX;
use model::{Duration, Timestamp};
use workflow::documents::{CatchUp, TriggerKind, TriggerSpec};

/// Whether a cron expression and a time zone are understood.
pub(crate) fn check_cron(expression: &str, timezone: &str) -> Result<(), String> {
    let zone: Result<chrono_tz::Tz, _> = timezone.parse();
    zone.map_err(|_| format!("`{timezone}` is not a time zone: use a name such as `Europe/Berlin`"))?;
    let cron = expression.parse::<croner::Cron>();
    cron.map(drop).map_err(|error| format!("`{expression}` is not a cron expression (minute hour day month weekday): {error}"))
}

/// When a trigger is due next, after a point in time. None for webhooks and events, and when there is no next time.
pub fn next_firing(on: &TriggerKind, applied: Timestamp, after: Timestamp) -> Option<Timestamp> {
    match on {
        TriggerKind::Every(every) => {
            let passed = after.since(applied).0 / every.0.max(1);
            Some(applied.after(Duration((passed + 1).saturating_mul(every.0))))
        }
        TriggerKind::EveryFrom { from, .. } if after < *from => Some(*from),
        TriggerKind::EveryFrom { every, from } => next_firing(&TriggerKind::Every(*every), *from, after),
        TriggerKind::Cron { expression, timezone } => {
            let zone: chrono_tz::Tz = timezone.parse().ok()?;
            let cron = expression.parse::<croner::Cron>().ok()?;
            let after: DateTime<Utc> = DateTime::from_timestamp_micros(i64::try_from(after.0).ok()?)?;
            let next = cron.find_next_occurrence(&after.with_timezone(&zone), false).ok()?;
            u64::try_from(next.timestamp_micros()).ok().map(Timestamp)
        }
        TriggerKind::Demand | TriggerKind::Webhook { .. } | TriggerKind::Event { .. } => None,
    }
}

/// How far back missed firings of a cron expression are looked for.
const LOOK_BACK: Duration = Duration::from_secs(366 * 24 * 3_600);

/// The firings between the last one and now, the latest last and no more than are ever made up for; and the one to come.
pub(super) fn missed_firings(
    trigger: &TriggerSpec,
    applied: Timestamp,
    since: Timestamp,
    now: Timestamp,
) -> (Vec<Timestamp>, Option<Timestamp>) {
    let mut missed = std::collections::VecDeque::new();
    // Nothing older than what is made up for is looked at one by one: an interval is reckoned, of a cron the last year counts.
    let mut at = match &trigger.on {
        TriggerKind::Every(every) | TriggerKind::EveryFrom { every, .. } => {
            let kept = every.0.max(1).saturating_mul(u64::from(CATCH_UP_FIRINGS_MAX) + 1);
            since.max(Timestamp(now.0.saturating_sub(kept)))
        }
        _ => since.max(Timestamp(now.0.saturating_sub(LOOK_BACK.0))),
    };
    loop {
        match next_firing(&trigger.on, applied, at) {
            Some(next) if next <= now => {
                missed.push_back(next);
                if missed.len() > CATCH_UP_FIRINGS_MAX as usize {
                    missed.pop_front();
                }
                at = next;
            }
            upcoming => return (missed.into(), upcoming),
        }
    }
}

/// A firing that is this late was missed; before that it is merely being fired.
const LATE: Duration = Duration::from_secs(60);

/// What is fired of what was missed, by the trigger's policy, each with how many before it are left out.
pub(super) fn catch_up(trigger: &TriggerSpec, missed: &[Timestamp], now: Timestamp) -> Vec<(Timestamp, u32)> {
    let Some((last, before)) = missed.split_last() else { return Vec::new() };
    match trigger.catch_up {
        CatchUp::All => missed.iter().map(|at| (*at, 0)).collect(),
        CatchUp::Last => vec![(*last, before.len() as u32)],
        CatchUp::Skip if now.since(*last) <= LATE => vec![(*last, before.len() as u32)],
        CatchUp::Skip => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use workflow::documents::Overlap;

    use super::*;

    fn micros(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros() as u64)
    }

    #[test]
    fn an_interval_may_be_counted_from_a_point_in_time() {
        let from = micros("2026-01-10T10:00:00Z");
        let on = TriggerKind::EveryFrom { every: Duration::from_secs(3_600), from };
        // It was applied at another time, which says nothing.
        let next = |after: &str| next_firing(&on, micros("2026-01-01T00:07:00Z"), micros(after)).unwrap();
        assert_eq!(next("2026-01-09T00:00:00Z"), from);
        assert_eq!(next("2026-01-10T10:00:00Z"), micros("2026-01-10T11:00:00Z"));
        assert_eq!(next("2026-01-12T23:59:59Z"), micros("2026-01-13T00:00:00Z"));
    }

    #[test]
    fn cron_knows_time_zones_and_summer() {
        let on = TriggerKind::Cron { expression: "30 2 * * *".into(), timezone: "Europe/Berlin".into() };
        let next = |after: &str| next_firing(&on, Timestamp(0), micros(after)).unwrap();
        assert_eq!(next("2026-01-10T00:00:00Z"), micros("2026-01-10T01:30:00Z"));
        assert_eq!(next("2026-07-10T00:00:00Z"), micros("2026-07-10T00:30:00Z"));
        assert!(check_cron("* * * *", "UTC").is_err() && check_cron("* * * * *", "Mars/Base").is_err());
    }

    #[test]
    fn intervals_keep_their_beat() {
        let on = TriggerKind::Every(Duration::from_secs(10));
        let applied = Timestamp(5_000_000);
        assert_eq!(next_firing(&on, applied, Timestamp(5_000_000)), Some(Timestamp(15_000_000)));
        assert_eq!(next_firing(&on, applied, Timestamp(26_000_000)), Some(Timestamp(35_000_000)));
    }

    fn cron(expression: &str) -> TriggerKind {
        TriggerKind::Cron { expression: expression.into(), timezone: "Europe/Berlin".into() }
    }

    /// The next firings after a time.
    fn firings(on: &TriggerKind, after: &str, count: usize) -> Vec<Timestamp> {
        let next = |at: &Timestamp| next_firing(on, Timestamp(0), *at);
        std::iter::successors(Some(micros(after)), next).skip(1).take(count).collect()
    }

    /// Nights on which clocks are put forward and back: `docs/concepts/triggers.md` says what is tested here.
    #[test]
    fn an_hour_that_is_left_out_and_an_hour_that_comes_twice() {
        let forward = firings(&cron("30 2 * * *"), "2026-03-28T12:00:00Z", 2);
        let at_the_end_of_the_gap = [micros("2026-03-29T01:00:00Z"), micros("2026-03-30T00:30:00Z")];
        assert_eq!(forward, at_the_end_of_the_gap, "{forward:?}");
        let back = firings(&cron("30 2 * * *"), "2026-10-24T12:00:00Z", 2);
        assert_eq!(back, [micros("2026-10-25T00:30:00Z"), micros("2026-10-26T01:30:00Z")], "once, the first time: {back:?}");
        // What runs every half hour goes on every half hour of real time.
        let often = firings(&cron("*/30 * * * *"), "2026-10-25T00:00:00Z", 5);
        assert!(often.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(1_800)), "{often:?}");
        let often = firings(&cron("*/30 * * * *"), "2026-03-29T00:00:00Z", 5);
        assert!(often.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(1_800)), "{often:?}");
    }

    fn every(span: Duration, catch_up: CatchUp) -> TriggerSpec {
        TriggerSpec {
            name: "t".into(),
            workflow: "a/b".into(),
            domain: None,
            inputs: Default::default(),
            on: TriggerKind::Every(span),
            catch_up,
            overlap: Overlap::Allow,
            paused: false,
        }
    }

    #[test]
    fn missed_firings_follow_the_policy() {
        let now = Timestamp(35_000_000);
        let due = |policy, now: Timestamp| {
            let trigger = every(Duration::from_secs(10), policy);
            let (missed, next) = missed_firings(&trigger, Timestamp(0), Timestamp(0), now);
            let due: Vec<(u64, u32)> = catch_up(&trigger, &missed, now).iter().map(|(at, left)| (at.0, *left)).collect();
            (due, next)
        };
        let next = Some(Timestamp(40_000_000));
        assert_eq!(due(CatchUp::All, now), (vec![(10_000_000, 0), (20_000_000, 0), (30_000_000, 0)], next));
        assert_eq!(due(CatchUp::Last, now), (vec![(30_000_000, 2)], next));
        // It is being fired, not made up for: it was due five seconds ago.
        assert_eq!(due(CatchUp::Skip, now), (vec![(30_000_000, 2)], next));
        let trigger = every(Duration::from_secs(3_600), CatchUp::Skip);
        let late = Timestamp(3_600_000_000 + 61_000_000);
        let (missed, _) = missed_firings(&trigger, Timestamp(0), Timestamp(0), late);
        assert_eq!((missed.len(), catch_up(&trigger, &missed, late).len()), (1, 0));
    }

    #[test]
    fn an_outage_of_any_length_costs_no_more_than_what_is_made_up_for() {
        // A microsecond, a year: a count that nobody waits for, were they counted one by one.
        let now = Timestamp(366 * 24 * 3_600_000_000);
        let trigger = every(Duration(1), CatchUp::All);
        let (missed, next) = missed_firings(&trigger, Timestamp(0), Timestamp(0), now);
        assert_eq!((missed.len(), missed.last(), next), (CATCH_UP_FIRINGS_MAX as usize, Some(&now), Some(Timestamp(now.0 + 1))));
        // A clock that was set back is no reason to fire.
        assert_eq!(missed_firings(&trigger, Timestamp(0), now, Timestamp(5)).0, []);
    }
}
