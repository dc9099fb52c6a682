//! Actions that are functions of their input: computed in the turn that placed them, as the run loop of the control plane does it, a few a
//! turn; the rest goes the way of every order.

use std::collections::BTreeSet;

use engine::event::Usage;
use engine::{Dispatch, Effect, Outcome, Report};
use model::{AttemptKey, Failure, FailureClass, NodeKind};
use serde_json::{Value, json};

use crate::tags;

/// How many a turn computes: few, so that both ways are taken.
const A_TURN_MAX: usize = 3;

/// The report of an attempt at such an action; none when it is not one. What it comes to is a function of its key.
pub(super) fn compute(order: &Dispatch) -> Option<Report> {
    let AttemptKey { run, action, attempt } = order.key;
    if !matches!(order.node.kind, NodeKind::Use { .. }) || action.0 % 4 != 1 {
        return None;
    }
    let drawn = run.0.wrapping_mul(31) + u64::from(action.0) * 7 + u64::from(attempt.0) * 3;
    let outcome = match drawn % 8 {
        0 => Outcome::Failed(Failure::new(FailureClass::User, "no such number")),
        n => {
            let input = order.input.as_ref().map_or(Value::Null, |input| input.value().clone());
            Outcome::Succeeded(json!({ "n": n, "read": tags::read_by(&input, &order.node) }))
        }
    };
    Some(Report { attempt: order.key, epoch: order.epoch, outcome, usage: Usage::default(), locations: Vec::new() })
}

/// What one turn computed.
pub(super) struct Instants {
    settled: BTreeSet<AttemptKey>,
    left: usize,
}

impl Default for Instants {
    fn default() -> Self {
        Instants { settled: BTreeSet::new(), left: A_TURN_MAX }
    }
}

impl Instants {
    /// Computes what can be, and takes its orders out of the effects, with what would stop or tidy it up.
    pub(super) fn take(&mut self, effects: &mut Vec<Effect>) -> Vec<Report> {
        let mut reports = Vec::new();
        effects.retain(|effect| match effect {
            Effect::Dispatch(order) if self.left > 0 => {
                let Some(report) = compute(order) else { return true };
                self.left -= 1;
                self.settled.insert(report.attempt);
                reports.push(report);
                false
            }
            Effect::Cancel { attempt, .. } | Effect::Release { attempt, .. } => !self.settled.contains(attempt),
            _ => true,
        });
        reports
    }
}
