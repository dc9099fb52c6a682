//! What the engine asked for and has not been answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::{Effect, Event};
use model::{ActionKey, AttemptKey};

use crate::script::Answer;

/// What the engine asked for and has not been answered. The last thing asked about an action replaces what was asked before.
#[derive(Default)]
pub(super) struct Asked {
    open: BTreeMap<ActionKey, Effect>,
    fresh: VecDeque<ActionKey>,
    deaf: BTreeSet<AttemptKey>,
}

/// Who an effect is about; none for one that needs no answer.
fn about(effect: &Effect) -> Option<ActionKey> {
    match effect {
        Effect::Dispatch(dispatch) => Some(dispatch.key.action_key()),
        Effect::Transfer(transfer) => Some(transfer.key.action_key()),
        Effect::Cancel { attempt, .. } => Some(attempt.action_key()),
        Effect::Recall { action, .. } => Some(*action),
        Effect::Release { .. } => None,
    }
}

/// Effects as sorted names, to compare them.
pub(super) fn names<'e>(effects: impl Iterator<Item = &'e Effect>) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::Dispatch(order) => format!("dispatch {} at {}", order.key, order.site),
        Effect::Transfer(order) => format!("transfer {} from {} to {}", order.key, order.from, order.to),
        Effect::Cancel { attempt, site } => format!("cancel {attempt} at {site}"),
        Effect::Recall { action, key, .. } => format!("recall {action} {}", key.key),
        Effect::Release { attempt, .. } => format!("release {attempt}"),
    };
    let mut names: Vec<String> = effects.map(name).collect();
    names.sort();
    names
}

impl Asked {
    /// Takes out what was answered and adds what was asked in a step.
    pub(super) fn note(&mut self, events: &[Event], effects: Vec<Effect>) {
        let mut ended: BTreeSet<ActionKey> = BTreeSet::new();
        for event in events {
            match event {
                Event::AttemptFinished(e) => {
                    self.open.remove(&ActionKey::new(e.run, e.action));
                    if e.retry_at.is_none() {
                        ended.insert(ActionKey::new(e.run, e.action));
                    }
                }
                Event::ActionFinished(e) => drop(ended.insert(ActionKey::new(e.run, e.action))),
                Event::RecallMissed(e) => drop(self.open.remove(&(*e).into())),
                Event::CancelRequested(e) => ended.extend(e.ended.iter().map(|action| ActionKey::new(e.run, *action))),
                _ => {}
            }
        }
        for effect in effects {
            if let Some(key) = about(&effect) {
                self.open.insert(key, effect);
                self.fresh.push_back(key);
            }
        }
        for key in ended {
            self.open.remove(&key);
        }
    }

    /// The next that the fleet has not looked at.
    pub(super) fn next(&mut self) -> Option<Effect> {
        while let Some(key) = self.fresh.pop_front() {
            if let Some(effect) = self.open.get(&key) {
                return Some(effect.clone());
            }
        }
        None
    }

    /// Notes whether an attempt will hear the order to stop.
    pub(super) fn expect(&mut self, attempt: AttemptKey, answer: &Answer) {
        if matches!(answer, Answer::Deaf) {
            self.deaf.insert(attempt);
        }
    }

    /// Forgets what was asked, as a server that starts again does. What was deaf stays deaf.
    pub(super) fn forget_orders(&mut self) {
        self.open.clear();
        self.fresh.clear();
    }

    pub(super) fn hears(&self, attempt: AttemptKey) -> bool {
        !self.deaf.contains(&attempt)
    }

    pub(super) fn names(&self) -> Vec<String> {
        names(self.open.values())
    }
}
