//! Effects as functions of the state: the same order is given in passing and again after a restart.

use std::sync::Arc;

use model::{ActionKey, ActionNo, AttemptKey, Epoch};

use crate::State;
use crate::action::ActionState;
use crate::effect::{Dispatch, Effect, Transfer};
use crate::event::Role;
use crate::run::Run;

/// The order to run an action where it is placed.
pub(crate) fn dispatch_of(run: &Run, number: ActionNo, epoch: Epoch) -> Option<Effect> {
    let action = run.action(number)?;
    let names = &run.names;
    Some(Effect::Dispatch(Box::new(Dispatch {
        key: AttemptKey { run: names.run, action: number, attempt: action.attempt },
        epoch,
        site: action.site.as_deref()?.to_owned(),
        names: names.clone(),
        path: action.path.to_string(),
        node: Arc::clone(&action.unit.node),
        input: action.input.clone(),
        label: action.label.clone(),
        idempotency_key: format!("{}/{}/{}", names.project, names.run, action.path),
        timeout: action.unit.node.timeout,
    })))
}

/// The order to move an artifact.
pub(crate) fn transfer_of(run: &Run, number: ActionNo, epoch: Epoch) -> Option<Effect> {
    let action = run.action(number)?;
    let Role::Transfer { artifact, size, from, to, .. } = &action.role else { return None };
    Some(Effect::Transfer(Box::new(Transfer {
        key: AttemptKey { run: run.names.run, action: number, attempt: action.attempt },
        epoch,
        artifact: *artifact,
        size: *size,
        from: from.clone(),
        to: to.clone(),
    })))
}

impl State {
    /// Everything asked of the shell and not answered yet: after a restart, this is what to do.
    pub fn outstanding(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, run) in &self.runs {
            for (index, action) in run.actions.iter().enumerate() {
                let number = ActionNo(index as u32);
                match &action.state {
                    ActionState::Running => effects.extend(match action.role {
                        Role::Transfer { .. } => transfer_of(run, number, self.fleet.epoch),
                        _ => dispatch_of(run, number, self.fleet.epoch),
                    }),
                    ActionState::Stopping(_) => effects.push(Effect::Cancel {
                        attempt: AttemptKey { run: *id, action: number, attempt: action.attempt },
                        site: action.site.as_deref().unwrap_or_default().to_owned(),
                    }),
                    ActionState::Recalling => effects.extend(action.recall.clone().map(|key| Effect::Recall {
                        action: ActionKey::new(*id, number),
                        project: run.names.project.clone(),
                        key,
                    })),
                    _ => {}
                }
            }
        }
        effects
    }
}
