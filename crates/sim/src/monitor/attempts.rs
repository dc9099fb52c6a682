//! Rules about attempts: where they may go, and that each ends once.

use engine::event::{ActionsPlaced, AttemptFinished, AttemptStarted, CancelReason, CancelRequested, Role};
use engine::{Dispatch, Effect, Transfer};
use model::{ActionKey, ActionNo, AttemptKey, FailureClass, Node, Phase, Resources, RunId, Timestamp};

use super::{At, Checked, Doing, Monitor, SiteFacts, broken};

impl Monitor {
    pub(super) fn placed(&mut self, e: &ActionsPlaced, at: Timestamp) -> Checked {
        if e.epoch != self.epoch {
            return broken("I6 epochs", format!("placed under epoch {}, and it is {}", e.epoch, self.epoch));
        }
        let Some(site) = self.sites.get_mut(&e.site) else { return broken("I4 placement", format!("`{}` is no site", e.site)) };
        let Some(run) = self.runs.get_mut(&e.run) else { return broken("I4 placement", format!("{} is no run", e.run)) };
        if site.cordoned || !site.healthy {
            return broken("I4 placement", format!("`{}` takes no new work", e.site));
        }
        if run.paused || !matches!(run.doing, Doing::Active | Doing::Undoing) {
            return broken("I4 placement", format!("run {} places while it is {:?}, paused: {}", e.run, run.doing, run.paused));
        }
        for placed in &e.actions {
            let key = ActionKey::new(e.run, placed.action);
            let Some(action) = run.actions.get_mut(placed.action.0 as usize) else {
                return broken("I4 placement", format!("{key} is no action"));
            };
            if action.phase != At::Open || placed.attempt.0 != action.attempt + 1 {
                let what =
                    format!("`{}` ({:?}) gets attempt {} after {}", action.path, action.phase, placed.attempt, action.attempt);
                return broken("I2 one end", what);
            }
            let needs = &action.node.needs;
            if let Some((attribute, wanted)) =
                needs.site.iter().find(|(attribute, wanted)| site.spec.attributes.get(*attribute) != Some(*wanted))
            {
                return broken("I4 placement", format!("`{}` needs {attribute}={wanted}", action.path));
            }
            Monitor::check_place(&self.rules, &e.site, &action.read.all, &format!("`{}` of run {}", action.path, e.run))?;
            let used = site.holds.values().fold(Resources::default(), |sum, held| sum.plus(held));
            if !site.spec.capacity.minus(&used).covers(&needs.resources) {
                return broken("I9 capacity", format!("`{}` holds {used:?} of {:?}", e.site, site.spec.capacity));
            }
            // What waits for a worker holds nothing yet.
            site.holds.insert(key, if e.worker.is_some() { Resources::default() } else { needs.resources });
            (action.phase, action.attempt, action.placed_at) = (At::Placed, placed.attempt.0, at);
            action.site = Some(e.site.clone());
            let attempt = AttemptKey { run: e.run, action: placed.action, attempt: placed.attempt };
            self.placed.insert(attempt, (e.site.clone(), e.epoch));
        }
        Ok(())
    }

    pub(super) fn attempt_finished(&mut self, e: &AttemptFinished, at: Timestamp) -> Checked {
        let key = ActionKey::new(e.run, e.action);
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        let Some(action) = run.actions.get_mut(e.action.0 as usize) else {
            return broken("I2 one end", format!("{key} was never opened"));
        };
        if !matches!(action.phase, At::Placed | At::Stopping) || e.attempt.0 != action.attempt {
            let what =
                format!("attempt {} of `{}` ends while {:?} in attempt {}", e.attempt, action.path, action.phase, action.attempt);
            return broken("I2 one end", what);
        }
        if let Some(site) = action.site.take().and_then(|site| self.sites.get_mut(&site)) {
            site.holds.remove(&key);
        }
        match e.retry_at {
            None => {
                action.output = e.output.clone();
                run.end(e.action, e.phase, false)?;
                self.note_made(e);
                if e.phase == Phase::Succeeded { self.note_once(key) } else { Ok(()) }
            }
            Some(due) => {
                let wanted = matches!(run.doing, Doing::Active) || matches!(action.role, Role::Undo { .. });
                if e.phase == Phase::Succeeded || !wanted {
                    return broken("retries", format!("`{}` is repeated after it {}", action.path, e.phase));
                }
                let transfer = matches!(action.role, Role::Transfer { .. });
                action.phase = match (due <= at, transfer) {
                    (true, true) => At::Placed,
                    (true, false) => At::Open,
                    (false, _) => At::Backoff(due),
                };
                action.attempt += u32::from(due <= at && transfer);
                if let Some(bytes) = e.memory_bytes {
                    let asked = action.node.needs.resources.memory_bytes;
                    if e.failure.as_ref().is_none_or(|failure| failure.class != FailureClass::Oom) || asked == 0 || bytes <= asked
                    {
                        return broken(
                            "retries",
                            format!("`{}` is given {bytes} bytes after it had asked for {asked}", action.path),
                        );
                    }
                    let mut node = Node::clone(&action.node);
                    node.needs.resources.memory_bytes = bytes;
                    action.node = node.into();
                }
                Ok(())
            }
        }
    }

    pub(super) fn started(&mut self, e: &AttemptStarted) -> Checked {
        let Some(action) = self.action(ActionKey::new(e.run, e.action)) else { return Ok(()) };
        if action.phase != At::Placed || action.attempt != e.attempt.0 {
            return broken("I2 one end", format!("attempt {} of `{}` starts out of turn", e.attempt, action.path));
        }
        let (site, needs) = (action.site.clone(), action.node.needs.resources);
        if let Some(held) = site.and_then(|site| self.sites.get_mut(&site)?.holds.get_mut(&ActionKey::new(e.run, e.action))) {
            *held = needs;
        }
        Ok(())
    }

    pub(super) fn retry_due(&mut self, run: RunId, number: ActionNo, at: Timestamp) -> Checked {
        let Some(action) = self.action_mut(run, number) else { return Ok(()) };
        match action.phase {
            At::Backoff(due) if due <= at => {
                let transfer = matches!(action.role, Role::Transfer { .. });
                action.phase = if transfer { At::Placed } else { At::Open };
                action.attempt += u32::from(transfer);
                Ok(())
            }
            other => broken("I7 timers", format!("`{}` is due at {} while it is {other:?}", action.path, at.0)),
        }
    }

    pub(super) fn cancel_requested(&mut self, e: &CancelRequested, at: Timestamp) -> Checked {
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        for number in &e.ended {
            let key = ActionKey::new(e.run, *number);
            if let Some(action) = run.actions.get_mut(number.0 as usize)
                && let Some(site) = action.site.take().and_then(|site| self.sites.get_mut(&site))
            {
                site.holds.remove(&key);
            }
            run.end(*number, Phase::Aborted, false)?;
        }
        for number in &e.actions {
            let Some(action) = run.actions.get_mut(number.0 as usize) else { continue };
            if !matches!(action.phase, At::Placed | At::Stopping) {
                return broken("I2 one end", format!("`{}` is stopped while it is {:?}", action.path, action.phase));
            }
            if e.why == CancelReason::Timeout && action.node.timeout.is_none_or(|span| at < action.placed_at.after(span)) {
                return broken("I7 timers", format!("`{}` times out before its time", action.path));
            }
            action.phase = At::Stopping;
        }
        Ok(())
    }

    /// Whether an order may leave the process: everything behind it is in the journal, and it says what that says.
    pub(crate) fn check_effect(&self, effect: &Effect) -> Checked {
        match effect {
            Effect::Dispatch(order) => self.check_dispatch(order),
            Effect::Transfer(order) => self.check_transfer(order),
            Effect::Cancel { attempt, .. } => match self.action(attempt.action_key()) {
                Some(action) if action.attempt >= attempt.attempt.0 => Ok(()),
                _ => broken("I4 placement", format!("{attempt} is stopped and was never begun")),
            },
            Effect::Recall { action, .. } => match self.action(*action) {
                Some(_) => Ok(()),
                None => broken("I4 placement", format!("{action} asks and does not exist")),
            },
            Effect::Release { .. } => Ok(()),
        }
    }

    fn check_dispatch(&self, order: &Dispatch) -> Checked {
        match self.placed.get(&order.key) {
            None => broken("I4 placement", format!("{} is ordered and was never placed", order.key)),
            Some((site, _)) if *site != order.site => {
                broken("I4 placement", format!("{} is ordered at `{}`, and was placed at `{site}`", order.key, order.site))
            }
            Some(_) if order.epoch != self.epoch => {
                broken("I6 epochs", format!("{} is ordered under epoch {}, and it is {}", order.key, order.epoch, self.epoch))
            }
            Some((_, epoch)) if order.epoch < *epoch => {
                broken("I6 epochs", format!("{} is ordered under epoch {}, placed under {epoch}", order.key, order.epoch))
            }
            Some(_) => Ok(()),
        }
    }

    fn check_transfer(&self, order: &Transfer) -> Checked {
        let action = self.action(order.key.action_key());
        let right = action.is_some_and(|action| {
            matches!(&action.role, Role::Transfer { to, artifact, .. } if *to == order.to && *artifact == order.artifact)
        });
        if right { Ok(()) } else { broken("I4 placement", format!("{} moves what nobody wants", order.key)) }
    }

    /// Whether a site holds nothing.
    pub(crate) fn is_idle(site: &SiteFacts) -> bool {
        site.holds.is_empty()
    }
}
