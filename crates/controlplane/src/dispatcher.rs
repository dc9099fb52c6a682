//! Carrying out effects: attempts to executors, artifacts between stores, questions to the store. What is observed comes back as
//! commands. Every order may be given twice; executors know attempts by their token.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use artifacts::StoreError;
use engine::event::{Located, TicketIssued, Usage};
use engine::{Command, Dispatch, Effect, Outcome, Recall, Report, Transfer};
use executors::local::LocalExecutor;
use executors::tickets::Authority;
use executors::{AttemptSpec, Executor as _, Observed, SubmitError};
use failpoint::Point;
use flyte::interface::Placed;
use journal::Reader;
use keyring::Holder;
use model::graph::CodeFile;
use model::{AttemptKey, Duration, Epoch, Failure, FailureClass, NodeKind};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::wall;
use crate::core_loop::Release;
use crate::flyte::Prepared;
use crate::governing::Governance;
use crate::handing::{Cancelled, Handing};
use crate::reaching::Reaching;
use crate::sanitizing::Sanitizing;
use crate::secrets::Secrets;
use crate::tickets::Allowed;
use crate::trace::RunTrace;
use crate::{Flyte, Inbox, Sites, Workers, instants, tickets};

/// What a process gets between the polite request to stop and force.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Transfers that move bytes at once. More would only take each other's share of the disk.
const TRANSFERS_MAX: usize = 8;

/// Carries out effects.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    inbox: Inbox,
    sites: Sites,
    reader: Reader,
    workers: Workers,
    flyte: Flyte,
    /// Signs orders.
    authority: Arc<Authority>,
    secrets: Secrets,
    governance: Governance,
    /// Decides what attempts may reach.
    reaching: Reaching,
    /// Looks at what sanitizers give.
    sanitizing: Sanitizing,
    transfers: Arc<Semaphore>,
    /// Transfers that are under way or wait for their turn, and whether they are to stop.
    moving: Arc<Mutex<BTreeMap<AttemptKey, Arc<AtomicBool>>>>,
    /// Attempts that nobody has yet who carries them out.
    handing: Handing,
    /// Attempts that were offered to workers: they leave nothing at a site.
    offered: Arc<Mutex<HashSet<AttemptKey>>>,
}

impl Dispatcher {
    pub(crate) fn new(
        inbox: Inbox,
        sites: Sites,
        reader: Reader,
        workers: Workers,
        flyte: Flyte,
        authority: Arc<Authority>,
        secrets: Secrets,
    ) -> Dispatcher {
        let (governance, sanitizing) = (secrets.governance().clone(), workers.sanitizing().clone());
        let reaching = Reaching::new(sites.clone(), governance.clone(), inbox.clone());
        let transfers = Arc::new(Semaphore::new(TRANSFERS_MAX));
        let (moving, handing, offered) = (Arc::default(), Handing::default(), Arc::default());
        Dispatcher {
            inbox,
            sites,
            reader,
            workers,
            flyte,
            authority,
            secrets,
            governance,
            reaching,
            sanitizing,
            transfers,
            moving,
            handing,
            offered,
        }
    }

    /// What looks at attempts that have ended.
    pub(crate) fn endings(&self) -> Endings {
        Endings {
            inbox: self.inbox.clone(),
            sites: self.sites.clone(),
            reader: self.reader.clone(),
            flyte: self.flyte.clone(),
            secrets: self.secrets.clone(),
            reaching: self.reaching.clone(),
            sanitizing: self.sanitizing.clone(),
        }
    }

    /// Carries out what is released, until the loop that releases is gone.
    pub(crate) async fn run(self, mut releases: UnboundedReceiver<Release>) {
        while let Some(release) = releases.recv().await {
            match release {
                Release::Site(site) => {
                    if let Err(error) = self.sites.open(&site) {
                        let (site, reason) = (site.name, error.to_string());
                        self.inbox.report(Command::SiteHealth { site, healthy: false, reason });
                    }
                }
                Release::SiteRemoved(name) => self.sites.close(&name),
                // Whoever waited may have gone away.
                Release::Reached(waiting) => drop(waiting.send(())),
                Release::Effect(effect) => {
                    failpoint::hit(Point::EffectBefore);
                    self.carry_out(effect).await;
                    failpoint::hit(Point::EffectAfter);
                }
            }
        }
    }

    async fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Dispatch(dispatch) => self.dispatch(*dispatch).await,
            Effect::Transfer(transfer) => {
                let this = self.clone();
                // Known from now on, so that one that waits for its turn can be stopped as well.
                let stop = Arc::<AtomicBool>::default();
                self.moving.lock().insert(transfer.key, stop.clone());
                tokio::spawn(async move {
                    // Never closed.
                    let Ok(_turn) = this.transfers.clone().acquire_owned().await else { return };
                    let _ = tokio::task::spawn_blocking(move || this.transfer(&transfer, &stop)).await;
                });
            }
            Effect::Cancel { attempt, site } => self.cancel(attempt, &site).await,
            Effect::Recall { action, project, key } => {
                let this = self.clone();
                tokio::task::spawn_blocking(move || {
                    let answer = match this.reader.recall(&project, &key, wall()) {
                        Ok(Some(found)) => {
                            Recall::Output { value: found.output, locations: found.locations, carried: found.carried }
                        }
                        Ok(None) => Recall::Unknown,
                        Err(error) => {
                            tracing::error!(%error, "a key could not be looked up; the action runs");
                            Recall::Unknown
                        }
                    };
                    this.inbox.report(Command::Recalled { action, answer });
                });
            }
            Effect::Release { attempt, site } => {
                self.workers.release(attempt);
                self.flyte.forget(attempt);
                self.reaching.forget(attempt);
                if self.offered.lock().remove(&attempt) {
                    return;
                }
                if let Some(executor) = self.sites.executor(&site) {
                    tokio::spawn(async move { executor.release(attempt).await });
                }
            }
        }
    }

    fn fail(&self, key: AttemptKey, epoch: Epoch, class: FailureClass, message: impl Into<String>) {
        self.answer(key, epoch, Outcome::Failed(Failure::new(class, message)));
    }

    fn answer(&self, key: AttemptKey, epoch: Epoch, outcome: Outcome) {
        if self.handing.is_given_up(key) {
            return self.give_up(key);
        }
        let _ = self.handing.leave(key);
        self.inbox.report(Command::Report(Box::new(Report {
            attempt: key,
            epoch,
            outcome,
            usage: Usage::default(),
            locations: Vec::new(),
        })));
    }

    async fn dispatch(&self, dispatch: Dispatch) {
        let (key, epoch) = (dispatch.key, dispatch.epoch);
        // What a turn had no time for. It has no process to find again: running it twice is running it once.
        if let Some(report) = instants::compute(&dispatch) {
            self.inbox.report(Command::Report(Box::new(report)));
            return;
        }
        self.handing.expect(key);
        let looking = || self.sanitizing.expect(&dispatch, &self.reader, &self.governance.rules());
        if !dispatch.node.lowers.is_empty()
            && let Err(failure) = tokio::task::block_in_place(looking)
        {
            return self.answer(key, epoch, Outcome::Failed(failure));
        }
        let input = dispatch.input.as_ref().map_or(Value::Null, |input| input.value().clone());
        let Some(executor) = self.sites.executor(&dispatch.site) else {
            self.fail(key, epoch, FailureClass::SiteDown, format!("the site `{}` is not open", dispatch.site));
            return;
        };
        let given = crate::flyte::artifacts_given(&dispatch, &input);
        if given.is_empty() {
            return self.begin(dispatch, input, Placed::new(), executor).await;
        }
        // Nobody else waits for the files of one.
        let this = self.clone();
        tokio::spawn(async move {
            let (flyte, store) = (this.flyte.clone(), executor.store().clone());
            let placing = tokio::task::spawn_blocking(move || (flyte.place(&dispatch, &given, &store), dispatch));
            match placing.await {
                Ok((Ok(placed), dispatch)) => this.begin(dispatch, input, placed, executor).await,
                Ok((Err(failure), _)) => this.answer(key, epoch, Outcome::Failed(failure)),
                Err(error) => this.fail(key, epoch, FailureClass::Unknown, error.to_string()),
            }
        });
    }

    /// Has an attempt carried out whose artifacts are where it looks for them.
    async fn begin(&self, dispatch: Dispatch, input: Value, placed: Placed, executor: LocalExecutor) {
        let (key, epoch) = (dispatch.key, dispatch.epoch);
        if self.handing.is_given_up(key) {
            return self.give_up(key);
        }
        let secrets = crate::secrets::named(&dispatch.node, &input);
        let spec = spec_of(&dispatch, input, self.sites.simulates(&dispatch.site));
        let rules = self.governance.rules();
        let (spec, secrets, installs) = match &spec.kind {
            NodeKind::Task { .. } => match self.flyte.process(&dispatch, spec, &placed, (&self.reader, rules.governed())) {
                Ok(Prepared { mut order, secrets, installs }) => {
                    // Results may bring tags to a process that begins without them: it is not given to others then.
                    if rules.tags_tasks() {
                        order.host.iter_mut().for_each(|host| host.reuse = None);
                    }
                    // What a policy was told of a site holds for whatever runs there, from its first instruction on.
                    if rules.ask_for_walls() {
                        (order.unboxed, order.host) = (false, None);
                    }
                    (order, secrets, installs)
                }
                Err(failure) => return self.answer(key, epoch, Outcome::Failed(failure)),
            },
            _ => (spec, secrets, false),
        };
        if let NodeKind::Use { connector, version } = &spec.kind
            && connectors::find(connector, *version).is_none()
        {
            if !self.handing.begins(key) {
                return self.give_up(key);
            }
            self.offered.lock().insert(key);
            self.workers.offer(spec, dispatch.site.clone(), executor.registered());
            return self.handed_over(key, &executor).await;
        }
        let (site, label) = (dispatch.site.clone(), dispatch.label.clone());
        let mut egress = match self.reaching.decide(&dispatch, &spec, installs) {
            Ok(egress) => egress,
            Err(failure) => return self.answer(key, epoch, Outcome::Failed(failure)),
        };
        egress.extend(self.flyte.ways(&dispatch, &self.reader));
        let allowed = Allowed { label, egress, ..Allowed::default() };
        let missing = match &spec.kind {
            NodeKind::Run { code, .. } => code.iter().filter(|file| !executor.store().has(&file.digest)).cloned().collect(),
            _ => Vec::new(),
        };
        if missing.is_empty() && secrets.is_empty() {
            return self.order(&executor, &site, spec, allowed).await;
        }
        // Nobody else waits for the files and the secrets of one.
        let this = self.clone();
        tokio::spawn(async move {
            let (mut spec, mut allowed) = (spec, allowed);
            let released = this.secrets.release(&dispatch, secrets, &this.inbox).await;
            let brought = match released {
                Ok(secrets) => {
                    allowed.secrets = secrets.iter().map(|secret| secret.name.clone()).collect();
                    spec.secrets = secrets;
                    this.bring(&executor, missing).await
                }
                Err(Failure { class, message, .. }) => Err((class, message)),
            };
            match brought {
                Ok(()) => this.order(&executor, &site, spec, allowed).await,
                Err((class, message)) => this.fail(key, epoch, class, message),
            }
        });
    }

    /// Brings files of a workflow to a site.
    async fn bring(&self, executor: &LocalExecutor, files: Vec<CodeFile>) -> Result<(), (FailureClass, String)> {
        let (from, to) = (self.sites.code().clone(), executor.store().held_by(Holder::Kept));
        let brought = tokio::task::spawn_blocking(move || {
            files.iter().try_for_each(|file| artifacts::transfer(&from, &to, &file.digest, &mut artifacts::to_the_end).map(drop))
        });
        let brought = brought.await.map_err(|error| (FailureClass::Unknown, error.to_string()))?;
        brought.map_err(|error| {
            let class = if matches!(error, StoreError::DiskFull) { FailureClass::DiskFull } else { FailureClass::Environment };
            (class, format!("the files of the workflow could not be brought: {error}"))
        })
    }

    /// Gives an order to a site. Whatever is not taken is answered: an action must not wait for what nobody does.
    async fn order(&self, executor: &LocalExecutor, site: &str, spec: AttemptSpec, allowed: Allowed) {
        let (key, epoch) = (spec.key, spec.epoch);
        failpoint::hit(Point::OrderBefore);
        if !self.handing.begins(key) {
            return self.give_up(key);
        }
        let ticket = tickets::issue(&self.authority, site, &spec, allowed);
        // It says nothing that was not decided and recorded before, so that the order does not wait for it. What a crash loses is signed anew.
        let issued = TicketIssued { run: key.run, ticket: ticket.clone() };
        self.inbox.report(Command::RecordTicket(Box::new(issued)));
        match executor.submit(spec, ticket).await {
            Ok(()) => self.handed_over(key, executor).await,
            Err(SubmitError::Ticket(error)) => {
                tracing::error!(attempt = %key, site, code = error.code(), %error, "a site refused a ticket");
                let message = format!("the site refused the ticket: {error}");
                let failure = Failure { code: Some(error.code().into()), ..Failure::new(FailureClass::Refused, message) };
                self.answer(key, epoch, Outcome::Failed(failure));
            }
            // Another control plane is in charge, and gives its own orders.
            Err(error @ SubmitError::Stale { .. }) => {
                tracing::warn!(attempt = %key, %error, "an order was refused");
                self.handed_over(key, executor).await;
            }
            Err(error @ SubmitError::Rejected(_)) => self.fail(key, epoch, FailureClass::Environment, error.to_string()),
            // Repeated by the platform, here or elsewhere. An attempt that was taken all the same is stopped as one that nobody knows.
            Err(error @ (SubmitError::Capacity(_) | SubmitError::Ambiguous(_))) => {
                executor.cancel(key, STOP_GRACE).await;
                self.fail(key, epoch, FailureClass::SiteDown, error.to_string());
            }
        }
    }

    /// Somebody has an attempt now, who is told what came meanwhile.
    async fn handed_over(&self, key: AttemptKey, executor: &LocalExecutor) {
        if self.handing.leave(key) && !self.workers.cancel(key) {
            executor.cancel(key, STOP_GRACE).await;
        }
    }

    /// An attempt was cancelled before anybody had it, which was told then: nothing is left of it.
    fn give_up(&self, key: AttemptKey) {
        let _ = self.handing.leave(key);
        self.flyte.forget(key);
        self.reaching.forget(key);
        self.sanitizing.forget(key);
    }

    async fn cancel(&self, attempt: AttemptKey, site: &str) {
        match self.handing.cancel(attempt) {
            Cancelled::Here => return self.aborted(attempt),
            Cancelled::Later => return,
            Cancelled::Elsewhere => {}
        }
        if self.workers.cancel(attempt) {
            return;
        }
        // It says itself how it ended, when it has let go.
        if let Some(stop) = self.moving.lock().get(&attempt) {
            return stop.store(true, Ordering::Relaxed);
        }
        match self.sites.executor(site) {
            Some(executor) => executor.cancel(attempt, STOP_GRACE).await,
            None => self.aborted(attempt),
        }
    }

    fn aborted(&self, attempt: AttemptKey) {
        let (epoch, outcome, usage) = (Epoch(0), Outcome::Aborted, Usage::default());
        self.inbox.report(Command::Report(Box::new(Report { attempt, epoch, outcome, usage, locations: Vec::new() })));
    }

    fn transfer(&self, order: &Transfer, stop: &AtomicBool) {
        self.move_file(order, stop);
        self.moving.lock().remove(&order.key);
    }

    fn move_file(&self, order: &Transfer, stop: &AtomicBool) {
        let began = std::time::Instant::now();
        let (Some(from), Some(to)) = (self.sites.store(&order.from), self.sites.store(&order.to)) else {
            let message = format!("`{}` or `{}` is not open", order.from, order.to);
            self.fail(order.key, order.epoch, FailureClass::SiteDown, message);
            return;
        };
        let to = to.held_by(Holder::Run(order.key.run.0));
        let mut go_on = |_| {
            failpoint::hit(Point::TransferPiece);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if go_on(0).is_break() {
            return self.aborted(order.key);
        }
        match artifacts::transfer(&from, &to, &order.artifact, &mut go_on) {
            Ok(moved) => {
                let wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                let located = Located { artifact: order.artifact, size: order.size, site: order.to.clone() };
                self.inbox.report(Command::Report(Box::new(Report {
                    attempt: order.key,
                    epoch: order.epoch,
                    outcome: Outcome::Succeeded(serde_json::json!({ "bytes": moved })),
                    usage: Usage { wall_us, bytes_in: moved, ..Usage::default() },
                    locations: vec![located],
                })));
            }
            Err(StoreError::Stopped) => self.aborted(order.key),
            Err(error) => {
                let (class, message) = match &error {
                    StoreError::DiskFull => (FailureClass::DiskFull, format!("the disk of `{}` is full", order.to)),
                    // Asking again will not bring it back.
                    StoreError::Missing(_) | StoreError::Damaged { .. } | StoreError::Tampered(_) | StoreError::Erased(_) => {
                        (FailureClass::Transfer, format!("`{}` lost it: {error}", order.from))
                    }
                    _ => (FailureClass::SiteDown, error.to_string()),
                };
                self.fail(order.key, order.epoch, class, message);
            }
        }
    }
}

/// The order as an executor takes it.
fn spec_of(dispatch: &Dispatch, input: Value, simulates: Option<String>) -> AttemptSpec {
    let names = &dispatch.names;
    let mut environment = vec![
        ("TUTTI_RUN", names.name.clone()),
        ("TUTTI_ACTION", dispatch.path.clone()),
        ("TUTTI_ATTEMPT", dispatch.key.attempt.to_string()),
        ("TUTTI_PROJECT", names.project.clone()),
        ("TUTTI_DOMAIN", names.domain.clone()),
        ("TUTTI_WORKFLOW", names.workflow.clone()),
    ];
    environment.push(("TRACEPARENT", RunTrace::of(names).attempt(dispatch.key.action, dispatch.key.attempt)));
    environment.extend(simulates.map(|place| ("TUTTI_SITE_SIMULATES", place)));
    AttemptSpec {
        key: dispatch.key,
        epoch: dispatch.epoch,
        kind: dispatch.node.kind.clone(),
        input,
        outputs: dispatch.node.outputs.clone(),
        resources: dispatch.node.needs.resources,
        timeout: dispatch.timeout,
        environment: environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        idempotency_key: dispatch.idempotency_key.clone(),
        shown: Vec::new(),
        writable: Vec::new(),
        unboxed: false,
        secrets: Vec::new(),
        host: None,
    }
}

/// What looks at an attempt that has ended, before its end is told.
#[derive(Clone)]
pub(crate) struct Endings {
    inbox: Inbox,
    sites: Sites,
    reader: Reader,
    flyte: Flyte,
    secrets: Secrets,
    reaching: Reaching,
    sanitizing: Sanitizing,
}

impl Endings {
    /// No message of a failure holds a secret. Blocks.
    fn redacted(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(failure) => {
                let message = self.secrets.redacted(&failure.message());
                Outcome::Failed(Failure { message, text: None, ..failure })
            }
            other => other,
        }
    }

    /// Tells of an end that has to be looked at first.
    async fn tell(self, mut report: Report, produces: bool, is_called: bool) {
        let key = report.attempt;
        if is_called {
            let this = self.clone();
            let values = tokio::task::spawn_blocking(move || {
                let (outcome, locations) = this.flyte.values(key, &this.sites);
                (this.redacted(outcome), locations)
            });
            let Ok((outcome, locations)) = values.await else { return };
            report.outcome = outcome;
            report.locations.extend(locations);
        }
        // What failed after all has produced nothing. A server that stops in between finds the success again, and what it produced.
        let produces = produces && matches!(report.outcome, Outcome::Succeeded(_));
        if produces && !self.flyte.register_produced(key, &self.inbox, &self.reader).await {
            return;
        }
        let _ = tokio::task::spawn_blocking(move || {
            self.reaching.record(key);
            report.outcome = self.sanitizing.judge(key, report.outcome, &report.locations);
            self.inbox.report(Command::Report(Box::new(report)));
        })
        .await;
    }
}

/// Turns what executors see into commands, until none is left. What ends of the attempts that nobody asks for any more is released.
pub(crate) async fn forward(mut observed: UnboundedReceiver<Observed>, mut orphans: Orphans, endings: Endings) {
    let inbox = endings.inbox.clone();
    while let Some(observed) = observed.recv().await {
        let command = match observed {
            Observed::Started { key, .. } | Observed::Finished { key, .. } if orphans.contains_key(&key) => {
                if matches!(observed, Observed::Finished { .. })
                    && let Some(executor) = orphans.remove(&key)
                {
                    executor.release(key).await;
                }
                continue;
            }
            Observed::Started { key, host } => Command::Started { attempt: key, host },
            Observed::Finished { key, epoch, outcome, usage, locations } => {
                let mut judged = endings.flyte.judge(key, outcome);
                endings.flyte.explain_network(key, &mut judged, &endings.sites);
                let outcome = match judged {
                    Outcome::Failed(_) => tokio::task::block_in_place(|| endings.redacted(judged)),
                    other => other,
                };
                let produces = endings.flyte.produces(key, &outcome);
                let is_called = matches!(outcome, Outcome::Succeeded(_)) && endings.flyte.is_called(key);
                let report = Report { attempt: key, epoch, outcome, usage, locations };
                if produces || is_called || endings.sanitizing.expects(key) || endings.reaching.was_given(key) {
                    // It may read files: nobody else waits for that.
                    tokio::spawn(endings.clone().tell(report, produces, is_called));
                    continue;
                }
                Command::Report(Box::new(report))
            }
        };
        inbox.report(command);
    }
}

/// Attempts that sites hold and nobody asks for any more, and where they are.
pub(crate) type Orphans = BTreeMap<AttemptKey, LocalExecutor>;

/// Finds what sites hold besides what is `wanted`, and ends it: an earlier server stopped between an outcome and its release, or lost what
/// it knew in a restored backup.
pub(crate) async fn end_orphans(sites: &Sites, wanted: &BTreeSet<AttemptKey>) -> Orphans {
    let mut orphans = Orphans::new();
    for site in sites.names() {
        let Some(executor) = sites.executor(&site) else { continue };
        let owned = match executor.list_owned().await {
            Ok(owned) => owned,
            Err(error) => {
                tracing::warn!(%site, %error, "what the site holds could not be listed");
                continue;
            }
        };
        for key in owned.into_iter().map(|owned| owned.key).filter(|key| !wanted.contains(key)) {
            tracing::info!(%site, attempt = %key, "an attempt that nobody asks for is ended");
            orphans.insert(key, executor.clone());
        }
    }
    for (key, executor) in &orphans {
        executor.cancel(*key, STOP_GRACE).await;
    }
    orphans
}
