//! Actions that are functions of their input, such as `core/noop`: they are computed in the turn that placed them. They never leave the
//! process, so that nothing is gained by making the order durable before the result; both are, in one commit.

use std::collections::BTreeSet;

use engine::event::Usage;
use engine::{Dispatch, Effect, Outcome, Report};
use model::limits::BATCH_COMMANDS_MAX;
use model::{AttemptKey, NodeKind};
use serde_json::Value;

/// The report of an attempt at such an action; none when it is not one.
pub(crate) fn compute(dispatch: &Dispatch) -> Option<Report> {
    let NodeKind::Use { connector, .. } = &dispatch.node.kind else { return None };
    // What a sanitizer gives is looked at, which takes a while.
    if !dispatch.node.lowers.is_empty() {
        return None;
    }
    let null = Value::Null;
    let input = dispatch.input.as_ref().map_or(&null, |input| input.value());
    let outcome = connectors::run_instant(connector, input, dispatch.key.attempt.0)?;
    let outcome = outcome.map_or_else(Outcome::Failed, Outcome::Succeeded);
    Some(Report { attempt: dispatch.key, epoch: dispatch.epoch, outcome, usage: Usage::default(), locations: Vec::new() })
}

/// What one turn computed. A turn computes no more than it takes commands, so that a run of nothing but such actions does not hold up
/// the others; the rest goes the way of every order.
pub(crate) struct Instants {
    settled: BTreeSet<AttemptKey>,
    left: usize,
}

impl Default for Instants {
    fn default() -> Self {
        Instants { settled: BTreeSet::new(), left: BATCH_COMMANDS_MAX }
    }
}

impl Instants {
    /// Computes what can be, and puts the other effects into `rest`. What would stop or tidy up a computed attempt is of no use.
    pub(crate) fn take(&mut self, effects: Vec<Effect>, rest: &mut Vec<Effect>) -> Vec<Report> {
        let mut reports = Vec::new();
        for effect in effects {
            match &effect {
                Effect::Dispatch(dispatch) if self.left > 0 => {
                    if let Some(report) = compute(dispatch) {
                        self.left -= 1;
                        self.settled.insert(report.attempt);
                        reports.push(report);
                        continue;
                    }
                }
                Effect::Cancel { attempt, .. } | Effect::Release { attempt, .. } if self.settled.contains(attempt) => continue,
                _ => {}
            }
            rest.push(effect);
        }
        reports
    }
}
