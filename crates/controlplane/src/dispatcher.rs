//! Carrying out effects: attempts to executors, artifacts between stores, questions to the store. What is observed comes back as
//! commands. Every order may be given twice; executors know attempts by their token.

use std::collections::HashSet;
use std::sync::Arc;

use engine::event::Usage;
use engine::{Command, Dispatch, Effect, Outcome, Recall, Report, Transfer};
use executors::{AttemptSpec, Executor as _, Observed};
use failpoint::Point;
use journal::Reader;
use model::{AttemptKey, Duration, Epoch, Failure, FailureClass, NodeKind};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::wall;
use crate::core_loop::Release;
use crate::{Inbox, Sites, Workers, instants};

/// What a process gets between the polite request to stop and force.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Carries out effects.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    pub(crate) inbox: Inbox,
    pub(crate) sites: Sites,
    pub(crate) reader: Reader,
    pub(crate) workers: Workers,
    /// Attempts that were offered to workers: they leave nothing at a site.
    pub(crate) offered: Arc<Mutex<HashSet<AttemptKey>>>,
}

impl Dispatcher {
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
                tokio::task::spawn_blocking(move || this.transfer(&transfer));
            }
            Effect::Cancel { attempt, site } => self.cancel(attempt, &site).await,
            Effect::Recall { action, project, key } => {
                let this = self.clone();
                tokio::task::spawn_blocking(move || {
                    let answer = match this.reader.recall(&project, &key, wall()) {
                        Ok(Some(found)) => Recall::Output { value: found.output, locations: found.locations },
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
        let outcome = Outcome::Failed(Failure::new(class, message));
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
        let input = dispatch.input.as_ref().map_or(Value::Null, |input| input.value().clone());
        let Some(executor) = self.sites.executor(&dispatch.site) else {
            self.fail(key, epoch, FailureClass::SiteDown, format!("the site `{}` is not open", dispatch.site));
            return;
        };
        let spec = spec_of(&dispatch, input, self.sites.simulates(&dispatch.site));
        if let NodeKind::Use { connector, version } = &spec.kind
            && connectors::find(connector, *version).is_none()
        {
            self.offered.lock().insert(key);
            self.workers.offer(spec, dispatch.site.clone());
            return;
        }
        if let NodeKind::Run { code, .. } = &spec.kind
            && !code.is_empty()
        {
            let (from, to, code) = (self.sites.code().clone(), executor.store().clone(), code.clone());
            let brought = tokio::task::spawn_blocking(move || {
                code.iter().try_for_each(|file| artifacts::transfer(&from, &to, &file.digest, &mut |_| {}).map(drop))
            });
            if let Ok(Err(error)) = brought.await {
                self.fail(
                    key,
                    epoch,
                    FailureClass::Environment,
                    format!("the files of the workflow could not be brought: {error}"),
                );
                return;
            }
        }
        if let Err(error) = executor.submit(spec).await {
            tracing::warn!(attempt = %key, %error, "an order was refused");
        }
    }

    async fn cancel(&self, attempt: AttemptKey, site: &str) {
        if self.workers.cancel(attempt) {
            return;
        }
        match self.sites.executor(site) {
            Some(executor) => executor.cancel(attempt, STOP_GRACE).await,
            None => self.inbox.report(Command::Report(Box::new(Report {
                attempt,
                epoch: Epoch(0),
                outcome: Outcome::Aborted,
                usage: Usage::default(),
                locations: Vec::new(),
            }))),
        }
    }

    fn transfer(&self, order: &Transfer) {
        let began = std::time::Instant::now();
        let (Some(from), Some(to)) = (self.sites.store(&order.from), self.sites.store(&order.to)) else {
            let message = format!("`{}` or `{}` is not open", order.from, order.to);
            self.fail(order.key, order.epoch, FailureClass::SiteDown, message);
            return;
        };
        match artifacts::transfer(&from, &to, &order.artifact, &mut |_| {}) {
            Ok(moved) => {
                let usage = Usage { wall_us: began.elapsed().as_micros() as u64, bytes_in: moved, ..Usage::default() };
                let located = engine::event::Located { artifact: order.artifact, size: order.size, site: order.to.clone() };
                self.inbox.report(Command::Report(Box::new(Report {
                    attempt: order.key,
                    epoch: order.epoch,
                    outcome: Outcome::Succeeded(serde_json::json!({ "bytes": moved })),
                    usage,
                    locations: vec![located],
                })));
            }
            Err(error) => {
                let class = match &error {
                    artifacts::StoreError::DiskFull => FailureClass::DiskFull,
                    _ => FailureClass::Transfer,
                };
                self.fail(order.key, order.epoch, class, error.to_string());
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
    }
}

/// Turns what executors see into commands, until none is left.
pub(crate) async fn forward(mut observed: UnboundedReceiver<Observed>, inbox: Inbox) {
    while let Some(observed) = observed.recv().await {
        inbox.report(match observed {
            Observed::Started { key, host } => Command::Started { attempt: key, host },
            Observed::Finished { key, epoch, outcome, usage, locations } => {
                Command::Report(Box::new(Report { attempt: key, epoch, outcome, usage, locations }))
            }
        });
    }
}
