//! What is known of triggers, in the order in which they are due: what a look costs is what is due, not how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Timestamp;
use workflow::documents::{TriggerKind, TriggerSpec};

use super::times::{catch_up, missed_firings, next_firing};

/// A trigger as it was applied.
#[derive(Clone, Debug)]
struct Known {
    trigger: Arc<TriggerSpec>,
    /// When it was applied.
    applied: Timestamp,
    /// What was due until then was fired, or left out for good.
    since: Timestamp,
    /// When it is looked at next.
    next: Option<Timestamp>,
}

/// A trigger that is due.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Due {
    pub(super) trigger: Arc<TriggerSpec>,
    /// What is to be fired, in order, each with how many before it are left out.
    pub(super) times: Vec<(Timestamp, u32)>,
}

/// Every trigger.
#[derive(Default)]
pub(super) struct Schedule {
    known: BTreeMap<String, Known>,
    by_due: BTreeSet<(Timestamp, String)>,
    by_event: BTreeMap<String, BTreeSet<String>>,
}

impl Schedule {
    /// A trigger was applied, or is looked at anew: all that was due until `since` was fired. It is not looked at before `not_before`.
    pub(super) fn set(&mut self, trigger: TriggerSpec, applied: Timestamp, since: Timestamp, not_before: Timestamp) {
        self.remove(&trigger.name);
        let next = if trigger.paused { None } else { next_firing(&trigger.on, applied, since) };
        let next = next.map(|next| next.max(not_before));
        if let Some(next) = next {
            self.by_due.insert((next, trigger.name.clone()));
        }
        if let (TriggerKind::Event { name, .. }, false) = (&trigger.on, trigger.paused) {
            self.by_event.entry(name.clone()).or_default().insert(trigger.name.clone());
        }
        self.known.insert(trigger.name.clone(), Known { trigger: Arc::new(trigger), applied, since, next });
    }

    /// A trigger is there no more.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(known) = self.known.remove(name) else { return };
        if let Some(next) = known.next {
            self.by_due.remove(&(next, name.to_owned()));
        }
        if let TriggerKind::Event { name: event, .. } = &known.trigger.on
            && let Some(names) = self.by_event.get_mut(event)
        {
            names.remove(name);
            if names.is_empty() {
                self.by_event.remove(event);
            }
        }
    }

    /// The trigger of a name.
    pub(super) fn get(&self, name: &str) -> Option<Arc<TriggerSpec>> {
        self.known.get(name).map(|known| known.trigger.clone())
    }

    /// When a trigger is due next; none of one that waits for something else than time.
    pub(super) fn next_of(&self, name: &str) -> Option<Timestamp> {
        self.known.get(name)?.next
    }

    /// The triggers that fire on an event of this name.
    pub(super) fn on_event(&self, event: &str) -> Vec<Arc<TriggerSpec>> {
        self.by_event.get(event).into_iter().flatten().filter_map(|name| self.get(name)).collect()
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(at, _)| *at)
    }

    /// Takes triggers that are due, so many at most, the longest due first. Each is looked at again when it is due again.
    pub(super) fn take_due(&mut self, now: Timestamp, most: usize) -> Vec<Due> {
        let mut due = Vec::new();
        while due.len() < most && self.next().is_some_and(|at| at <= now) {
            let Some((_, name)) = self.by_due.pop_first() else { break };
            let Some(known) = self.known.get_mut(&name) else { continue };
            let (missed, upcoming) = missed_firings(&known.trigger, known.applied, known.since, now);
            known.since = missed.last().copied().unwrap_or(known.since);
            known.next = upcoming;
            let times = catch_up(&known.trigger, &missed, now);
            if !times.is_empty() {
                due.push(Due { trigger: known.trigger.clone(), times });
            }
            if let Some(next) = upcoming {
                self.by_due.insert((next, name));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use model::Duration;
    use workflow::documents::{CatchUp, Overlap};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn trigger(name: &str, on: TriggerKind) -> TriggerSpec {
        TriggerSpec {
            name: name.into(),
            workflow: "a/b".into(),
            domain: None,
            inputs: Default::default(),
            on,
            catch_up: CatchUp::All,
            overlap: Overlap::Allow,
            paused: false,
        }
    }

    fn every(name: &str, seconds: u64) -> TriggerSpec {
        trigger(name, TriggerKind::Every(Duration::from_secs(seconds)))
    }

    fn on_event(name: &str, event: &str) -> TriggerSpec {
        trigger(name, TriggerKind::Event { name: event.into(), matching: serde_json::json!({}) })
    }

    fn taken(schedule: &mut Schedule, now: u64, most: usize) -> Vec<(String, Vec<u64>)> {
        let due = schedule.take_due(Timestamp(now), most);
        due.iter().map(|due| (due.trigger.name.clone(), due.times.iter().map(|(at, _)| at.0 / SECOND).collect())).collect()
    }

    fn set(schedule: &mut Schedule, trigger: TriggerSpec) {
        schedule.set(trigger, Timestamp(0), Timestamp(0), Timestamp(0));
    }

    #[test]
    fn each_time_is_taken_once_and_the_longest_due_comes_first() {
        let mut schedule = Schedule::default();
        set(&mut schedule, every("a", 3));
        set(&mut schedule, every("b", 2));
        assert_eq!(taken(&mut schedule, SECOND, 9), []);
        assert_eq!(schedule.next(), Some(Timestamp(2 * SECOND)));
        assert_eq!(taken(&mut schedule, 3 * SECOND, 1), [("b".to_owned(), vec![2])]);
        assert_eq!(taken(&mut schedule, 3 * SECOND, 9), [("a".to_owned(), vec![3])]);
        assert_eq!(taken(&mut schedule, 3 * SECOND, 9), []);
        assert_eq!(taken(&mut schedule, 7 * SECOND, 9), [("b".to_owned(), vec![4, 6]), ("a".to_owned(), vec![6])]);
    }

    #[test]
    fn what_was_changed_held_or_removed_is_known_at_once() {
        let mut schedule = Schedule::default();
        set(&mut schedule, every("a", 1));
        set(&mut schedule, on_event("e", "seen"));
        set(&mut schedule, on_event("f", "seen"));
        let names =
            |schedule: &Schedule, event: &str| schedule.on_event(event).iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&schedule, "seen"), ["e", "f"]);
        set(&mut schedule, on_event("e", "other"));
        assert_eq!((names(&schedule, "seen"), names(&schedule, "other")), (vec!["f".to_owned()], vec!["e".to_owned()]));
        set(&mut schedule, TriggerSpec { paused: true, ..on_event("f", "seen") });
        assert_eq!(names(&schedule, "seen"), Vec::<String>::new());
        set(&mut schedule, TriggerSpec { paused: true, ..every("a", 1) });
        assert_eq!((taken(&mut schedule, 9 * SECOND, 9), schedule.next()), (vec![], None));
        schedule.remove("a");
        schedule.remove("e");
        assert!(schedule.get("a").is_none() && schedule.by_due.is_empty() && schedule.by_event.is_empty());
    }

    #[test]
    fn one_that_could_not_be_fired_is_tried_again_later_and_loses_nothing() {
        let mut schedule = Schedule::default();
        set(&mut schedule, every("a", 2));
        assert_eq!(taken(&mut schedule, 4 * SECOND, 9), [("a".to_owned(), vec![2, 4])]);
        // Of the two only the first was recorded.
        schedule.set(every("a", 2), Timestamp(0), Timestamp(2 * SECOND), Timestamp(5 * SECOND));
        assert_eq!(taken(&mut schedule, 4 * SECOND, 9), []);
        assert_eq!(taken(&mut schedule, 5 * SECOND, 9), [("a".to_owned(), vec![4])]);
    }

    /// What a look costs is what is due: of many triggers none is touched that is not.
    #[test]
    fn many_triggers_that_are_not_due_are_not_looked_at() {
        let mut schedule = Schedule::default();
        for number in 0..10_000 {
            set(&mut schedule, every(&format!("t{number}"), 3_600 + number));
        }
        set(&mut schedule, every("now", 1));
        // Were one of them looked at, what is known of it would be missed here.
        for (_, known) in schedule.known.iter_mut().filter(|(name, _)| *name != "now") {
            known.trigger = Arc::new(every("touched", 0));
        }
        for second in 1..=100 {
            assert_eq!(taken(&mut schedule, second * SECOND, 9), [("now".to_owned(), vec![second])]);
        }
        assert_eq!(schedule.next(), Some(Timestamp(101 * SECOND)));
    }
}
