//! Telling of the end of runs and of conditions that wait, as their programs asked. What is told is a run of its own, of one `core/http` node: it is repeated when the far side
//! is not there, its way out is decided by the rules, and it is in the journal like any other work. Which runs are to be told of stands in
//! a file each from before they are submitted until what tells of them is accepted, so that no end is missed by a server that was down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Command, Submit};
use flyte::notifications::{Ended, are_asked_for, requests};
use flyte::wire::RunSpec;
use flyte::{Call, Message as _};
use journal::RunRow;
use model::graph::{Port, Retry};
use model::{Digest, Graph, Label, Node, NodeKind, Phase, Template};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Flyte, Program, ROOT, run_key};
use crate::clock::random_bytes;
use crate::{ControlPlane, Fault};

/// How long a run that a file speaks of may take to be there: its submission is under way, or never came.
const NEVER_CAME: Duration = Duration::from_secs(600);
/// How often what cannot be done now is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// The longest wait for an end before it is looked for again.
const LOOK: Duration = Duration::from_secs(3_600);
/// Phases on the wire.
const PHASES: [(Phase, i32); 4] = [(Phase::Succeeded, 5), (Phase::Failed, 6), (Phase::Aborted, 7), (Phase::TimedOut, 8)];

/// Runs whose end somebody is to be told.
pub(super) struct Told {
    folder: PathBuf,
    change: Notify,
}

/// A run whose end somebody is to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Awaited {
    project: String,
    domain: String,
    run: String,
}

impl Awaited {
    fn file(&self) -> String {
        let parts = [&self.project, "\0", &self.domain, "\0", &self.run].map(str::as_bytes);
        Digest::of_parts(&parts).hex()
    }
}

impl Told {
    pub(super) fn open(root: &Path) -> std::io::Result<Told> {
        let folder = root.join("notifications");
        std::fs::create_dir_all(&folder)?;
        Ok(Told { folder, change: Notify::new() })
    }

    fn expect(&self, awaited: &Awaited) -> std::io::Result<()> {
        let (file, new) = (self.folder.join(awaited.file()), self.folder.join(format!("{}.new", awaited.file())));
        std::fs::write(&new, serde_json::to_vec(awaited)?)?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, file)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }

    fn all(&self) -> std::io::Result<Vec<Awaited>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // What was being written when the server died was never submitted.
            if path.extension().is_none() {
                match serde_json::from_slice(&std::fs::read(&path)?) {
                    Ok(awaited) => all.push(awaited),
                    Err(error) => tracing::warn!(path = %path.display(), %error, "whom to tell of a run cannot be read"),
                }
            }
        }
        Ok(all)
    }

    /// Whether it was written down so long ago that its submission failed.
    fn is_stale(&self, awaited: &Awaited) -> bool {
        let written = std::fs::metadata(self.folder.join(awaited.file())).and_then(|file| file.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > NEVER_CAME))
    }

    fn forget(&self, awaited: &Awaited) {
        if let Err(error) = std::fs::remove_file(self.folder.join(awaited.file())) {
            tracing::warn!(run = awaited.run, %error, "that the end of a run was told cannot be noted: it may be told again");
        }
    }
}

impl Flyte {
    /// Notes before the submission of a program that somebody is to be told of its end. Blocks.
    pub(super) fn expect_end(&self, program: &Program) -> Result<(), Fault> {
        if !spec_of(&program.call).as_ref().is_some_and(are_asked_for) {
            return Ok(());
        }
        let awaited = Awaited { project: program.project.clone(), domain: program.domain.clone(), run: program.name.clone() };
        self.inner.told.expect(&awaited).map_err(Fault::internal)
    }

    /// A program was submitted: its end may be waited for.
    pub(crate) fn submitted(&self) {
        self.inner.told.change.notify_one();
    }
}

/// The specification of the run that a call is the root of.
pub(super) fn spec_of(call: &Call) -> Option<RunSpec> {
    RunSpec::decode(flyte::call::from_hex(&call.run_spec)?.as_slice()).ok()
}

impl ControlPlane {
    /// Tells of the ends of runs, for as long as the process lives.
    pub(crate) async fn tell_of_ends(self) {
        let (mut under_way, mut watching) = (BTreeSet::new(), JoinSet::new());
        loop {
            let flyte = self.flyte().clone();
            match tokio::task::spawn_blocking(move || flyte.inner.told.all()).await {
                Ok(Ok(all)) => {
                    for awaited in all.into_iter().filter(|awaited| under_way.insert(awaited.clone())).collect::<Vec<_>>() {
                        watching.spawn(self.clone().tell_of(awaited));
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "whom to tell of the ends of runs cannot be read"),
                Err(_) => return,
            }
            tokio::select! {
                () = self.flyte().inner.told.change.notified() => {}
                Some(done) = watching.join_next() => {
                    if let Ok(awaited) = done {
                        under_way.remove(&awaited);
                    }
                }
            }
        }
    }

    async fn tell_of(self, awaited: Awaited) -> Awaited {
        loop {
            match self.try_to_tell(&awaited).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(fault) => tracing::warn!(run = awaited.run, %fault, "the end of a run cannot be told; it is tried again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
        let (flyte, done) = (self.flyte().clone(), awaited.clone());
        let _ = tokio::task::spawn_blocking(move || flyte.inner.told.forget(&done)).await;
        awaited
    }

    /// Waits for the end of a run and tells of it. True when there is nothing more to do.
    async fn try_to_tell(&self, awaited: &Awaited) -> Result<bool, Fault> {
        let (control, wanted) = (self.clone(), awaited.clone());
        let found = tokio::task::spawn_blocking(move || {
            control.reader().find_run(&wanted.project, &wanted.domain, Some(&wanted.run), None).map_err(Fault::internal)
        });
        let Some(run) = found.await.map_err(Fault::internal)??.by_name else {
            return Ok(self.flyte().inner.told.is_stale(awaited));
        };
        if self.end_of(run, LOOK).await?.is_none() {
            return Ok(false);
        }
        let control = self.clone();
        let submits = tokio::task::spawn_blocking(move || control.notifications_of(run)).await.map_err(Fault::internal)??;
        for submit in submits {
            self.inbox().ask(Command::Submit(Box::new(submit))).await?;
        }
        Ok(true)
    }

    /// The runs that tell of the end of one. Blocks.
    fn notifications_of(&self, run: model::RunId) -> Result<Vec<Submit>, Fault> {
        let Some(row) = self.reader().run(run).map_err(Fault::internal)? else { return Ok(Vec::new()) };
        let Some(root) = self.reader().action(run, ROOT).map_err(Fault::internal)? else { return Ok(Vec::new()) };
        let input = root.input.map(|(seq, n)| self.reader().body(seq, n)).transpose().map_err(Fault::internal)?.flatten();
        // Erased in the meantime: then nobody may be told anything.
        let Some(spec) = input.as_ref().and_then(Call::of).as_ref().and_then(spec_of) else { return Ok(Vec::new()) };
        let phase = if row.phase == Phase::Aborted { row.phase } else { root.phase };
        let failure = row.failure.as_ref().or(root.failure.as_ref());
        let ended = Ended {
            project: row.project.clone(),
            domain: row.domain.clone(),
            name: row.name.clone(),
            phase: phase.as_str().to_owned(),
            error: failure.and_then(|failure| failure.get("message")?.as_str()).unwrap_or_default().to_owned(),
        };
        let number = PHASES.iter().find(|(known, _)| *known == phase).map_or(0, |(_, number)| *number);
        let label = self.flyte().label_of_run(&run_key(&row.project, &row.domain, &row.name));
        let graph = graph_of(&row.project, &label.map_err(Fault::internal)?);
        let mut submits = Vec::new();
        for (number, request) in requests(&spec, number, &ended).into_iter().enumerate() {
            let key = format!("notification/{}/{number}", row.id);
            match self.notification(&row, &graph, key, request) {
                Ok(submit) => submits.push(submit),
                // The rules say so, and will tomorrow.
                Err(fault) if fault.kind.status() < 500 => {
                    tracing::warn!(run = row.name, %fault, "the end of a run may not be told");
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(submits)
    }

    /// Tells somebody that a condition of a program waits, once, with what the data of the run carry.
    pub async fn tell_of_condition(&self, run: &RunRow, action: &str, request: Value) -> Result<(), Fault> {
        let (control, row, key) = (self.clone(), run.clone(), format!("condition/{}/{action}", run.id));
        let submit = tokio::task::spawn_blocking(move || {
            let label = control.flyte().label_of_run(&run_key(&row.project, &row.domain, &row.name)).map_err(Fault::internal)?;
            control.notification(&row, &graph_of(&row.project, &label), key, request)
        });
        match submit.await.map_err(Fault::internal)? {
            Ok(submit) => {
                self.inbox().ask(Command::Submit(Box::new(submit))).await?;
                Ok(())
            }
            // The rules say so, and will tomorrow: whoever looks into the inbox finds the question.
            Err(fault) if fault.kind.status() < 500 => {
                tracing::warn!(run = run.name, action, %fault, "that a condition waits may not be told");
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    fn notification(&self, row: &RunRow, graph: &Arc<Graph>, key: String, request: Value) -> Result<Submit, Fault> {
        let known = self.reader().find_run(&row.project, &row.domain, None, Some(&key)).map_err(Fault::internal)?;
        let inputs = json!({ "request": request });
        Ok(Submit {
            labels: self.label_run(graph, &row.project, &row.domain, &inputs)?,
            project: row.project.clone(),
            domain: row.domain.clone(),
            graph_digest: graph.digest(),
            graph: graph.clone(),
            inputs,
            principal: row.principal.clone(),
            idempotency_key: Some(key),
            salt: random_bytes(),
            known,
            ..Submit::default()
        })
    }
}

/// The graph of what tells: one request, with what the run carries.
fn graph_of(project: &str, label: &Label) -> Arc<Graph> {
    let schema = if label.is_empty() { json!({}) } else { json!({ "labels": label.0 }) };
    let node = Node {
        id: "tell".into(),
        kind: NodeKind::Use { connector: "core/http".into(), version: 1 },
        input: Template { json: Value::String("${ inputs.request }".into()), dynamic: true },
        retry: Retry { max: 8, ..Retry::default() },
        ..Node::default()
    };
    Arc::new(Graph {
        workflow: format!("{project}/notification"),
        description: "Tells somebody of a Flyte program's run.".into(),
        inputs: vec![Port { name: "request".into(), schema, default: None }],
        nodes: vec![node],
        ..Graph::default()
    })
}
