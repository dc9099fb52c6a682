//! Orders to runs and to the fleet.

use model::limits::RUN_SIGNALS_MAX;
use model::{ActionKey, Epoch, Failure, FailureClass, Money, Payload, Phase, RunId};
use serde_json::Value;

use crate::action::ActionState;
use crate::event::{
    BodiesPruned, ByWhom, CancelReason, CancelRequested, DataErased, EpochBegan, ResourceApplied, ResourceDeleted, Role,
    RunCancelRequested, SignalReceived, SiteHealthChanged, SiteNamed, SiteRegistered, Usage,
};
use crate::run::{Run, RunStatus};
use crate::{Command, Event, Rejection, SiteOrder, wait};

use super::Stepper;

impl Stepper<'_, '_> {
    fn open_run(&self, id: RunId) -> Result<&Run, Rejection> {
        self.run(id).ok_or(Rejection::NotFound { kind: "open run", name: id.to_string() })
    }

    pub(super) fn cancel(&mut self, id: RunId, principal: String, reason: String) -> Result<(), Rejection> {
        match self.open_run(id)?.status {
            // Asked twice is asked once.
            RunStatus::Cancelling { .. } => Ok(()),
            RunStatus::Compensating { .. } => Err(Rejection::Conflict("the run is already undoing what it did".into())),
            _ => {
                self.emit(Event::RunCancelRequested(RunCancelRequested { run: id, principal, reason }));
                Ok(())
            }
        }
    }

    pub(super) fn pause(&mut self, id: RunId, principal: String) -> Result<(), Rejection> {
        if !self.open_run(id)?.paused {
            self.emit(Event::RunPaused(ByWhom { run: id, principal }));
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, id: RunId, principal: String) -> Result<(), Rejection> {
        if self.open_run(id)?.paused {
            self.emit(Event::RunResumed(ByWhom { run: id, principal }));
        }
        Ok(())
    }

    pub(super) fn signal(&mut self, id: RunId, name: String, payload: Value, principal: String) -> Result<(), Rejection> {
        let kept = self.open_run(id)?.signals_kept;
        if kept >= RUN_SIGNALS_MAX {
            return Err(Rejection::Limit(format!("{kept} signals wait in the run already, and nobody takes them")));
        }
        let payload = self.payload(id, payload);
        self.emit(Event::SignalReceived(SignalReceived { run: id, name, payload, principal }));
        Ok(())
    }

    /// Something happened outside: every wait that asks for it ends.
    pub(super) fn outside_event(&mut self, name: &str, brought: &Value) {
        let waiting: Vec<ActionKey> = self.state.event_waits.get(name).into_iter().flatten().copied().collect();
        for key in waiting {
            let Some(action) = self.action(key) else { continue };
            if self.run(key.run).is_some_and(|run| run.status == RunStatus::Active)
                && wait::matches(action.input.as_ref(), brought)
            {
                let output = self.payload(key.run, brought.clone());
                self.finish(key, Phase::Succeeded, Some(output), None);
            }
        }
    }

    pub(super) fn fleet_order(&mut self, command: Command) -> Result<(), Rejection> {
        match command {
            Command::BeginEpoch { version, ticket_key } => {
                let epoch = Epoch(self.state.fleet.epoch.0 + 1);
                self.emit(Event::EpochBegan(EpochBegan { epoch, version, ticket_key }));
                // What an earlier incarnation asked for and has not heard of is asked for again, under this one's epoch.
                let outstanding = self.state.outstanding();
                self.state.passing.effects.extend(outstanding);
            }
            Command::RegisterSite { site, principal } => {
                self.emit(Event::SiteRegistered(Box::new(SiteRegistered { site, principal })));
            }
            Command::Revoke { actions } => self.revoke(actions),
            Command::SiteOrder { site, order, principal } => self.site_order(site, order, principal)?,
            Command::SiteHealth { site, healthy, reason } => {
                let known = self.state.fleet.sites.get(&site).ok_or(Rejection::NotFound { kind: "site", name: site.clone() })?;
                if known.healthy != healthy {
                    self.emit(Event::SiteHealthChanged(SiteHealthChanged { site, healthy, reason }));
                }
            }
            Command::SizePool(pool) => {
                let name = pool.site.clone();
                let known = self.state.fleet.sites.get(&name).ok_or(Rejection::NotFound { kind: "site", name })?;
                // What is expected changes all the time; a fact is only what is done about it.
                if known.pool.as_ref().map_or(0, |known| known.pieces) != pool.pieces {
                    self.emit(Event::PoolSized(Box::new(pool)));
                }
            }
            Command::ApplyResource { kind, name, body, principal } => {
                let version = self.state.fleet.version(&kind, &name) + 1;
                let body = Payload::new(&[0; 32], body);
                self.emit(Event::ResourceApplied(Box::new(ResourceApplied { kind, name, version, body, principal })));
            }
            Command::ReplaceResource { kind, name, version, body, principal } => {
                let there = self.state.fleet.version(&kind, &name);
                if there != version {
                    return Err(Rejection::other_version(&kind, &name, there, version));
                }
                let body = Payload::new(&[0; 32], body);
                let version = there + 1;
                self.emit(Event::ResourceApplied(Box::new(ResourceApplied { kind, name, version, body, principal })));
            }
            Command::DeleteResource { kind, name, principal } => {
                if !self.state.fleet.resources.contains_key(&(kind.clone(), name.clone())) {
                    return Err(Rejection::NotFound { kind: "resource", name: format!("{kind}/{name}") });
                }
                self.emit(Event::ResourceDeleted(ResourceDeleted { kind, name, principal }));
            }
            Command::RecordPruning { before, runs, principal } => {
                self.emit(Event::BodiesPruned(BodiesPruned { before, runs, principal }));
            }
            Command::RecordErasure { runs, by_subject, principal } => {
                if let Some(open) = runs.iter().find(|run| self.state.runs.contains_key(run)) {
                    return Err(Rejection::Conflict(format!("run {open} has not ended: cancel it first, or wait for its end")));
                }
                self.emit(Event::DataErased(DataErased { runs, by_subject, principal }));
            }
            // Of a run that has ended meanwhile nothing begins any more.
            Command::RecordTicket(issued) if self.run(issued.run).is_some() => self.emit(Event::TicketIssued(issued)),
            Command::RecordNetwork(used) if self.run(used.run).is_some() => self.emit(Event::NetworkUsed(used)),
            Command::RecordEgress(decided) if self.run(decided.run).is_some() => self.emit(Event::EgressDecided(decided)),
            Command::RecordRelease(released) => self.emit(Event::SecretsReleased(released)),
            _ => {}
        }
        Ok(())
    }

    fn site_order(&mut self, site: String, order: SiteOrder, principal: String) -> Result<(), Rejection> {
        let known = self.state.fleet.sites.get(&site).ok_or(Rejection::NotFound { kind: "site", name: site.clone() })?;
        if order == SiteOrder::Remove && !known.running.is_empty() {
            let count = known.running.len();
            return Err(Rejection::Conflict(format!("{count} actions run at `{site}`: drain it first")));
        }
        let named = SiteNamed { site: site.clone(), principal };
        self.emit(match order {
            SiteOrder::Cordon => Event::SiteCordoned(named),
            SiteOrder::Uncordon => Event::SiteUncordoned(named),
            SiteOrder::Drain => Event::SiteDrained(named),
            SiteOrder::Remove => Event::SiteRemoved(named),
        });
        if order == SiteOrder::Drain {
            self.move_away(&site);
        }
        Ok(())
    }

    /// Stops what runs at a site, to be repeated elsewhere. A run that is winding up is left alone: it stops anyway.
    fn move_away(&mut self, site: &str) {
        let running: Vec<ActionKey> =
            self.state.fleet.sites.get(site).map(|site| site.running.iter().copied().collect()).unwrap_or_default();
        self.evict(running, CancelReason::Drained, "its site is being drained");
    }

    /// Stops attempts that the rules deny where they are, and files on their way to where they may not go. What is denied everywhere waits.
    fn revoke(&mut self, actions: Vec<ActionKey>) {
        self.evict(actions, CancelReason::Denied, "a policy does not permit it there any more");
    }

    fn evict(&mut self, actions: Vec<ActionKey>, why: CancelReason, said: &str) {
        for key in actions {
            let Some(action) = self.action(key) else { continue };
            match action.state {
                // It pauses before it is tried again: that will not be.
                ActionState::Backoff if matches!(action.role, Role::Transfer { .. }) => {
                    self.emit(Event::CancelRequested(CancelRequested {
                        run: key.run,
                        actions: Vec::new(),
                        why,
                        ended: vec![key.action],
                    }));
                }
                ActionState::Running => self.emit(Event::CancelRequested(CancelRequested {
                    run: key.run,
                    actions: vec![key.action],
                    why,
                    ended: Vec::new(),
                })),
                ActionState::Staging(_) => {
                    let attempt = model::AttemptKey { run: key.run, action: key.action, attempt: action.attempt };
                    let failure = Failure::new(FailureClass::Preempted, said);
                    self.end_attempt(attempt, Phase::Aborted, None, Some(failure), Usage::default(), Money(0), Vec::new());
                }
                _ => {}
            }
        }
    }
}
