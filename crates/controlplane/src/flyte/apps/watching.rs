//! Looking whether apps answer, and starting those again that do not.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use engine::Submit;
use executors::Executor as _;
use model::{ActionNo, AttemptKey, AttemptNo, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{DeployedApp, Seen};
use crate::{ControlPlane, Fault};

/// How often it is looked whether apps answer: those that are coming up, and the others.
const LOOK: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// How long an answer may take, and how long an app may take to come up.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Looks without an answer after which it is started again.
const SILENT_MAX: u32 = 3;
/// What a process gets between the polite request to stop and force.
const GRACE: model::Duration = model::Duration::from_secs(5);

impl ControlPlane {
    /// Looks whether apps answer, and has those that do not started again, for as long as the process lives.
    pub(crate) async fn watch_apps(self) {
        loop {
            let control = self.clone();
            let apps = tokio::task::spawn_blocking(move || control.apps()).await;
            let apps = match apps {
                Ok(Ok(apps)) => apps,
                Ok(Err(fault)) => {
                    tracing::warn!(%fault, "apps cannot be read");
                    Vec::new()
                }
                Err(_) => return,
            };
            let running: Vec<DeployedApp> = apps.into_iter().filter(|app| !app.run.is_empty()).collect();
            // At once: one that does not answer is waited for, and the others do not wait with it.
            let mut looks = tokio::task::JoinSet::new();
            for app in running.clone() {
                let control = self.clone();
                looks.spawn(async move {
                    if let Err(fault) = control.look_at(&app).await {
                        tracing::warn!(app = app.name(), %fault, "an app cannot be looked at");
                    }
                });
            }
            looks.join_all().await;
            let seen = &self.flyte().inner.apps;
            seen.seen.lock().retain(|name, _| running.iter().any(|app| app.name() == *name));
            seen.refused.lock().retain(|run, _| running.iter().any(|app| app.run == *run));
            if running.is_empty() {
                self.flyte().inner.apps.change.notified().await;
            } else {
                let _ = tokio::time::timeout(LOOK.0, self.flyte().inner.apps.change.notified()).await;
            }
        }
    }

    /// Submits the run of an app that is not there; what refuses it is what is told of the app, until it is tried again.
    async fn submit_again(&self, app: &DeployedApp, submit: Result<Submit, Fault>) -> Result<(), Fault> {
        let submitted = match submit {
            Ok(submit) => self.submit_looked_at(submit).await.map(drop),
            Err(fault) => Err(fault),
        };
        let mut refused = self.flyte().inner.apps.refused.lock();
        match submitted {
            Ok(()) => drop(refused.remove(&app.run)),
            Err(fault) => {
                let why = format!("it cannot be started: {}", fault.detail);
                let (told, at) = refused.entry(app.run.clone()).or_insert_with(|| (String::new(), Instant::now()));
                if *told != why {
                    tracing::warn!(app = app.name(), %fault, "the run of an app is refused");
                }
                (*told, *at) = (why, Instant::now());
            }
        }
        Ok(())
    }

    async fn look_at(&self, app: &DeployedApp) -> Result<(), Fault> {
        let (control, of) = (self.clone(), app.clone());
        let found = tokio::task::spawn_blocking(move || {
            let Some((run, action)) = control.serving(&of)? else {
                // The server died between the app and its run: the same run, by its key.
                if control.flyte().inner.apps.refused.lock().get(&of.run).is_some_and(|(_, at)| at.elapsed() < LOOK.1) {
                    return Ok((None, None));
                }
                let submit = of.read().and_then(|read| control.program_of(&of, &read, of.by.clone()));
                return Ok((None, Some(submit.and_then(|program| control.program_to_submit(program)))));
            };
            let attempt = AttemptKey { run, action: ActionNo(action.no), attempt: AttemptNo(action.attempt) };
            let port = control.flyte().inner.apps.known(attempt).filter(|_| action.phase == Phase::Running);
            Ok::<_, Fault>((port.map(|port| (attempt, port, action.site)), None))
        });
        let (found, lost) = found.await.map_err(Fault::internal)??;
        if let Some(submit) = lost {
            return self.submit_again(app, submit).await;
        }
        let Some((attempt, port, site)) = found else { return Ok(()) };
        let fresh = Seen { attempt, answers: false, since: Instant::now(), silent: 0, looked: Instant::now() - LOOK.1 };
        let mut seen = {
            let all = self.flyte().inner.apps.seen.lock();
            all.get(&app.name()).copied().filter(|seen| seen.attempt == attempt).unwrap_or(fresh)
        };
        if seen.answers && seen.looked.elapsed() < LOOK.1 {
            return Ok(());
        }
        let answers = answers(port).await;
        seen.looked = Instant::now();
        seen.silent = if answers { 0 } else { seen.silent + 1 };
        seen.answers |= answers;
        self.flyte().inner.apps.seen.lock().insert(app.name(), seen);
        let too_late = !seen.answers && seen.since.elapsed() > PATIENCE.1;
        if too_late || (seen.answers && seen.silent >= SILENT_MAX) {
            tracing::warn!(app = app.name(), %attempt, "an app does not answer: it is started again");
            self.flyte().inner.apps.seen.lock().remove(&app.name());
            if let Some(executor) = site.as_deref().and_then(|site| self.sites().executor(site)) {
                executor.cancel(attempt, GRACE).await;
            }
        }
        Ok(())
    }
}

/// Whether something that speaks HTTP answers at a port of this machine, whatever it answers.
async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: tutti-health\r\nconnection: close\r\n\r\n").await?;
        let mut head = [0; 5];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head == *b"HTTP/")
    };
    matches!(tokio::time::timeout(PATIENCE.0, ask).await, Ok(Ok(true)))
}
