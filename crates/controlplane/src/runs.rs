//! Starting runs, and repeating them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::{Origin, RunFinished};
use engine::{Command, Known, Submit};
use journal::RunRow;
use model::limits::{IDEMPOTENCY_KEY_BYTES_MAX, SUBJECT_BYTES_MAX};
use model::{Digest, Graph, Label, NodeIx, RunId};
use serde_json::{Map, Value};

use crate::catalogue::graph_of;
use crate::clock::random_bytes;
use crate::core_loop::{Answer, Answered, Ended};
use crate::governing::DOMAINS;
use crate::repeating::{Repeated, RerunPlan};
use crate::{ControlPlane, Fault, FaultKind, Refusal, admission, inputs, trace};

/// A request for a run.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// The registered workflow.
    pub workflow: String,
    /// Its version; the latest when there is none.
    pub version: Option<u64>,
    /// The inputs.
    pub inputs: Map<String, Value>,
    /// Whom it is about: all runs about somebody can be erased together.
    pub subject: Option<String>,
    /// The name wanted.
    pub name: Option<String>,
    /// The project; from the workflow's name when there is none.
    pub project: Option<String>,
    /// The domain; development when there is none.
    pub domain: Option<String>,
    /// Larger is placed first.
    pub priority: i32,
    /// The client's key.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub principal: String,
    /// Where it came from.
    pub origin: Origin,
    /// When it should be done, from now on; as its workflow says when there is none.
    pub deadline: Option<model::Duration>,
    /// The trace that the caller is in, as a W3C `traceparent`. What is none of that is left out.
    pub traceparent: Option<String>,
}

/// A run that was accepted.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Its number.
    pub run: RunId,
    /// Whether it is new: the same key sent again gives the same run.
    pub fresh: bool,
}

/// A submission that was sent, by somebody who waits for the end of the run.
#[derive(Debug)]
pub struct Awaited {
    answer: Answered,
    end: Ended,
    sent: Sent,
}

/// What is remembered of a submission until it is accepted.
#[derive(Debug)]
struct Sent {
    claim: Option<Claim>,
    /// Artifacts that its run holds from then on.
    artifacts: Vec<Digest>,
}

impl Awaited {
    /// Waits for the end of the run that this makes; none when it makes none, or when the end does not come in time. Whether the submission
    /// was accepted is answered by [`ControlPlane::accept`]; nobody is woken for it in between.
    pub async fn end(&mut self, patience: std::time::Duration) -> Option<Arc<RunFinished>> {
        tokio::time::timeout(patience, &mut self.end).await.ok()?.ok()
    }
}

/// A request to repeat a run.
#[derive(Clone, Debug, Default)]
pub struct Rerun {
    /// Repeat from these nodes on, and what reads an input that is another or did not succeed; the rest is taken over.
    pub from: Vec<String>,
    /// Inputs to change.
    pub inputs: Map<String, Value>,
    /// Who asks.
    pub principal: String,
    /// The trace that the caller is in, as a W3C `traceparent`.
    pub traceparent: Option<String>,
    /// Whoever asks may not see the values of the run: what they give counts as another, whatever it is.
    pub blind: bool,
    /// What whoever asks may, which a program goes no further than.
    pub by: flyte::Rights,
}

/// What a keyed submission asks for.
#[derive(Debug)]
struct Claim {
    key: String,
    workflow: String,
    version: Option<u64>,
    inputs: Map<String, Value>,
    name: Option<String>,
    domain: Option<String>,
}

/// The domain of runs that say none.
pub(crate) const DOMAIN: &str = "development";

impl ControlPlane {
    /// The latest (or a given) version of a registered workflow.
    pub fn workflow(&self, name: &str, version: Option<u64>) -> Result<(Arc<Graph>, Digest), Fault> {
        let resources = self.notices().resources();
        if let Some(found) = self.latest().get(resources, name, version) {
            return Ok(found);
        }
        tokio::task::block_in_place(|| self.read_workflow(name, version, resources))
    }

    fn read_workflow(&self, name: &str, version: Option<u64>, resources: u64) -> Result<(Arc<Graph>, Digest), Fault> {
        let row = self.reader().resources("workflow", Some(name), version).map_err(Fault::internal)?.pop();
        let row = row.ok_or_else(|| Fault::not_found("workflow", name).hint("register it with `tutti apply -f FILE`"))?;
        let digest: Option<Digest> = row.body.get("graph").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let digest = digest.ok_or_else(|| Fault::internal(format!("the workflow `{name}` has no graph")))?;
        let known = self.known_graphs().lock().get(&digest).cloned();
        let graph = match known {
            Some(graph) => graph,
            None => {
                let graph = graph_of(self.reader(), &row.body);
                let graph = graph.ok_or_else(|| Fault::internal(format!("the graph of `{name}` is missing")))?;
                self.known_graphs().lock().insert(digest, graph.clone());
                graph
            }
        };
        self.latest().keep(resources, name, version, (graph.clone(), digest));
        Ok((graph, digest))
    }

    /// Prepares a submission: everything that can be wrong with it is found here.
    pub(crate) fn prepare(&self, request: Submission) -> Result<Submit, Fault> {
        crate::flyte::check_inputs(&request.inputs)?;
        let (graph, graph_digest) = self.workflow(&request.workflow, request.version)?;
        let inputs = inputs::check(&graph, request.inputs)?;
        let project = request.project.unwrap_or_else(|| crate::governing::project_of(&graph.workflow).to_owned());
        let domain = request.domain.unwrap_or_else(|| DOMAIN.into());
        if !DOMAINS.contains(&domain.as_str()) {
            return Err(Fault::new(FaultKind::Malformed, format!("`{domain}` is not a domain: use {}", DOMAINS.join(", "))));
        }
        if let Some(name) = request.name.as_deref().filter(|name| !workflow::is_name(name)) {
            let fault = Fault::new(FaultKind::Malformed, format!("`{name}` is not a name"));
            return Err(fault.hint("letters, digits, `-` and `_`, beginning with a letter, at most 63"));
        }
        if let Some(key) =
            request.idempotency_key.as_deref().filter(|key| key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX)
        {
            let message = format!("the idempotency key has {} bytes, not 1 to {IDEMPOTENCY_KEY_BYTES_MAX}", key.len());
            return Err(Fault::new(FaultKind::Malformed, message));
        }
        check_subject(request.subject.as_deref())?;
        // Without a name or a key nothing can be there already, and nothing needs to be looked up.
        let known = if request.name.is_some() || request.idempotency_key.is_some() {
            let (name, key) = (request.name.as_deref(), request.idempotency_key.as_deref());
            tokio::task::block_in_place(|| self.reader().find_run(&project, &domain, name, key)).map_err(Fault::internal)?
        } else {
            Known::default()
        };
        let locations = inputs::locate(self.sites(), &inputs)?;
        let goal = admission::goal(&graph, request.deadline, crate::clock::wall());
        let label = || self.label_run(&graph, &project, &domain, &inputs);
        let labels = if self.rules().governed() { tokio::task::block_in_place(label)? } else { label()? };
        let carried = labels.as_ref().map(|labels| &labels.inputs);
        let plan = self.plan_admission((&graph, graph_digest), (&project, &domain), carried, &locations, goal);
        Ok(Submit {
            labels,
            subject: request.subject,
            name: request.name,
            project,
            domain,
            plan,
            graph_digest,
            locations,
            inputs,
            graph,
            principal: request.principal,
            idempotency_key: request.idempotency_key,
            origin: request.origin,
            reused: Vec::new(),
            reused_items: Vec::new(),
            priority: request.priority,
            label: Label::empty(),
            salt: random_bytes(),
            traceparent: request.traceparent.as_deref().and_then(trace::normalized),
            run_labels: BTreeMap::new(),
            concurrency: None,
            known,
        })
    }

    /// Starts a run.
    pub async fn submit(&self, request: Submission) -> Result<Submitted, Fault> {
        let (submit, sent) = self.prepare_with_claim(request)?;
        let answer = self.inbox().ask(Command::Submit(Box::new(submit))).await?;
        self.accepted(answer, sent)
    }

    /// Starts a run whose end is waited for.
    pub fn submit_and_await(&self, request: Submission) -> Result<Awaited, Fault> {
        let (submit, sent) = self.prepare_with_claim(request)?;
        let (answer, end) = self.inbox().post_and_watch(Command::Submit(Box::new(submit)))?;
        Ok(Awaited { answer, end, sent })
    }

    /// What came of a submission whose end was waited for, or is not waited for any longer.
    pub async fn accept(&self, awaited: Awaited) -> Result<Submitted, Fault> {
        let answer = awaited.answer.await.map_err(|_| Refusal::Stopping)??;
        drop(awaited.end);
        if let Some(run) = answer.run {
            self.notices().tidy(run);
        }
        self.accepted(answer, awaited.sent)
    }

    /// Starts many runs: all are sent before the first is waited for, so that they share commits.
    pub async fn submit_many(&self, requests: Vec<Submission>) -> Vec<Result<Submitted, Fault>> {
        let post = |request| {
            let (submit, sent) = self.prepare_with_claim(request)?;
            Ok((self.inbox().post(Command::Submit(Box::new(submit)))?, sent))
        };
        let sent: Vec<Result<_, Fault>> = tokio::task::block_in_place(|| requests.into_iter().map(post).collect());
        let mut results = Vec::with_capacity(sent.len());
        for sent in sent {
            results.push(match sent {
                Ok((receiver, sent)) => match receiver.await {
                    Ok(Ok(answer)) => self.accepted(answer, sent),
                    Ok(Err(refusal)) => Err(refusal.into()),
                    Err(_) => Err(Refusal::Stopping.into()),
                },
                Err(fault) => Err(fault),
            });
        }
        results
    }

    /// Starts many runs whose ends are waited for: all are sent before the first is.
    pub fn submit_and_await_many(&self, requests: Vec<Submission>) -> Vec<Result<Awaited, Fault>> {
        tokio::task::block_in_place(|| requests.into_iter().map(|request| self.submit_and_await(request)).collect())
    }

    /// A submission, and what was asked for, to be compared if its key is known already.
    fn prepare_with_claim(&self, request: Submission) -> Result<(Submit, Sent), Fault> {
        let claim = request.idempotency_key.as_ref().map(|key| Claim {
            key: key.clone(),
            workflow: request.workflow.clone(),
            version: request.version,
            inputs: request.inputs.clone(),
            name: request.name.clone(),
            domain: request.domain.clone(),
        });
        let submit = self.prepare(request)?;
        let artifacts = artifacts_of(&submit);
        Ok((submit, Sent { claim, artifacts }))
    }

    /// The run of an answer. One that the key gave is given back only to whoever asks for the same.
    fn accepted(&self, answer: Answer, sent: Sent) -> Result<Submitted, Fault> {
        let run = answer.run.ok_or_else(|| Fault::internal("a submission made no run"))?;
        if let Some(claim) = sent.claim.filter(|_| !answer.fresh) {
            tokio::task::block_in_place(|| self.check_claim(run, &claim))?;
        }
        if answer.fresh && !sent.artifacts.is_empty() {
            tokio::task::block_in_place(|| self.take_artifacts(run, &sent.artifacts))?;
        }
        Ok(Submitted { run, fresh: answer.fresh })
    }

    /// Refuses a claim to a run that was made by another request.
    fn check_claim(&self, run: RunId, claim: &Claim) -> Result<(), Fault> {
        let row = self.reader().run(run).map_err(Fault::internal)?;
        let row = row.ok_or_else(|| Fault::internal(format!("run {run} is missing")))?;
        let Some(what) = self.differs(&row, claim)? else { return Ok(()) };
        let message = format!("the idempotency key `{}` belongs to the run `{}`, which has {what}", claim.key, row.name);
        Err(Fault::new(FaultKind::KeyReused, message).hint("use a new key for a new request"))
    }

    /// What an earlier run has that is not what is asked for now.
    fn differs(&self, row: &RunRow, claim: &Claim) -> Result<Option<&'static str>, Fault> {
        if row.workflow != claim.workflow {
            return Ok(Some("another workflow"));
        }
        if claim.name.as_ref().is_some_and(|name| *name != row.name) {
            return Ok(Some("another name"));
        }
        if row.domain != claim.domain.as_deref().unwrap_or(DOMAIN) {
            return Ok(Some("another domain"));
        }
        // Without a version the latest was meant, whatever it was: a new one in between does not make it another request.
        if claim.version.is_some() && self.workflow(&claim.workflow, claim.version)?.1 != row.graph {
            return Ok(Some("another version of the workflow"));
        }
        // Values that were pruned cannot be compared any more; the rest was the same.
        let Some(recorded) = self.reader().body(row.first_seq, 0).map_err(Fault::internal)? else { return Ok(None) };
        let graph = self.reader().graph(&row.graph).map_err(Fault::internal)?;
        let graph = graph.ok_or_else(|| Fault::internal(format!("the graph of `{}` is missing", row.name)))?;
        let same = inputs::check(&graph, claim.inputs.clone()).is_ok_and(|given| given == recorded);
        Ok(if same { None } else { Some("other inputs") })
    }

    /// Waits for the end of a run; none when it does not come in time. One that has ended already is answered at once.
    pub async fn end_of(&self, run: RunId, patience: std::time::Duration) -> Result<Option<Arc<RunFinished>>, Fault> {
        let end = self.notices().end_of(run);
        let row = self.reader().run(run).map_err(Fault::internal)?;
        if let Some(row) = row.filter(|row| row.finished_at.is_some()) {
            return self.finished(&row).map(Some);
        }
        let ended = tokio::time::timeout(patience, end).await;
        if ended.is_err() {
            self.notices().tidy(run);
        }
        Ok(ended.ok().and_then(Result::ok))
    }

    /// The end of a run that has ended, as the journal has it.
    pub fn finished(&self, row: &RunRow) -> Result<Arc<RunFinished>, Fault> {
        let salt = [0; 32];
        let outputs = row.outputs_seq.map(|seq| self.reader().body(seq, 0)).transpose().map_err(Fault::internal)?.flatten();
        let failure = row.failure.as_ref().and_then(|failure| serde_json::from_value(failure.clone()).ok());
        Ok(Arc::new(RunFinished {
            run: row.id,
            phase: row.phase,
            outputs: outputs.map(|outputs| model::Payload::new(&salt, outputs)),
            failure,
            cost: row.cost,
        }))
    }

    /// A run by its name, or by its number.
    pub fn find_run(&self, name: &str) -> Result<RunRow, Fault> {
        let mut found = self.reader().run_named(name).map_err(Fault::internal)?;
        if found.is_none()
            && let Ok(number) = name.parse()
        {
            found = self.reader().run(RunId(number)).map_err(Fault::internal)?;
        }
        found.ok_or_else(|| Fault::not_found("run", name))
    }

    /// Repeats a run as a new one, reusing what is upstream of where it begins.
    pub async fn rerun(&self, name: &str, request: Rerun) -> Result<Submitted, Fault> {
        let submit = tokio::task::block_in_place(|| self.prepare_rerun(name, request))?;
        let sent = Sent { claim: None, artifacts: artifacts_of(&submit) };
        let answer = self.inbox().ask(Command::Submit(Box::new(submit))).await?;
        self.accepted(answer, sent)
    }

    /// What a repetition would take over and what it would run, and why.
    pub fn plan_rerun(&self, name: &str, request: &Rerun) -> Result<RerunPlan, Fault> {
        Ok(self.prepared(name, request)?.1.plan)
    }

    /// The run with its graph, what is repeated of it, and the inputs that it is repeated with.
    fn prepared(&self, name: &str, request: &Rerun) -> Result<((RunRow, Arc<Graph>), Repeated, Value), Fault> {
        crate::flyte::check_inputs(&request.inputs)?;
        let row = self.find_run(name)?;
        let graph = self.reader().graph(&row.graph).map_err(Fault::internal)?;
        let graph = graph.ok_or_else(|| Fault::internal(format!("the graph of `{name}` is missing")))?;
        let gone =
            || Fault::new(FaultKind::Conflict, format!("the values of `{name}` were pruned or erased; it cannot be repeated"));
        let Some(Value::Object(before)) = self.reader().body(row.first_seq, 0).map_err(Fault::internal)? else {
            return Err(gone());
        };
        let mut given = before.clone();
        given.extend(request.inputs.clone());
        let inputs = inputs::check(&graph, given)?;
        // Otherwise the answer would tell whether a guess is right.
        let is_guess = |name: &String| request.blind && request.inputs.contains_key(name);
        let is_other = |name: &&String| is_guess(name) || before.get(*name) != inputs.get(name.as_str());
        let names: BTreeSet<&String> =
            before.keys().chain(inputs.as_object().into_iter().flat_map(|inputs| inputs.keys())).collect();
        let changed = names.into_iter().filter(is_other).cloned().collect();
        let mut repeated = self.repeated(&row, &graph, &request.from, &changed)?;
        if request.blind && !request.inputs.is_empty() {
            // An item that is taken over would tell that it was among what the run was given.
            repeated.forget_items();
        }
        Ok(((row, graph), repeated, inputs))
    }

    fn prepare_rerun(&self, name: &str, request: Rerun) -> Result<Submit, Fault> {
        let ((row, graph), repeated, inputs) = self.prepared(name, &request)?;
        let Repeated { reused, locations: of_reused, items, .. } = repeated;
        let inputs = crate::flyte::started_by(inputs, request.by);
        let mut locations = inputs::locate(self.sites(), &inputs)?;
        locations.extend(of_reused);
        let labels = self.label_run(&graph, &row.project, &row.domain, &inputs)?;
        let concurrency = self.concurrency_of(&inputs, &row.project, &row.domain)?;
        // What items gave is taken where it carries nothing that is not known of what they give here: otherwise it would lose its tags.
        let counted = self.counted_labels(&row)?;
        let within = |node: NodeIx| {
            let Some(node) = graph.nodes.get(node as usize) else { return false };
            let path = format!("{}[]", node.id);
            let now = labels.as_ref().and_then(|labels| labels.gives.get(&path)).cloned().unwrap_or_default();
            counted.gives.get(&path).is_none_or(|before| before.is_within(&now))
        };
        let salt = random_bytes();
        let reused_items = self.known_items(items, &salt, within)?;
        Ok(Submit {
            labels,
            concurrency,
            reused_items,
            // What is repeated is about the same.
            subject: self.reader().subject(row.id).map_err(Fault::internal)?,
            name: None,
            project: row.project,
            domain: row.domain,
            graph_digest: row.graph,
            graph,
            inputs,
            locations,
            principal: request.principal,
            idempotency_key: None,
            origin: Origin::Rerun { of: row.id },
            reused,
            priority: 0,
            label: Label::empty(),
            salt,
            traceparent: request.traceparent.as_deref().and_then(trace::normalized),
            plan: None,
            run_labels: row.run_labels,
            known: Known::default(),
        })
    }
}

/// Refuses a subject that is none.
pub(crate) fn check_subject(subject: Option<&str>) -> Result<(), Fault> {
    match subject.is_some_and(|subject| subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX) {
        true => Err(Fault::new(FaultKind::Malformed, format!("the subject has 0 or more than {SUBJECT_BYTES_MAX} bytes"))),
        false => Ok(()),
    }
}

/// What a submission names that its run is to hold: artifacts, and the inputs of a program.
fn artifacts_of(submit: &Submit) -> Vec<Digest> {
    let mut artifacts: BTreeSet<Digest> = submit.locations.iter().map(|located| located.artifact).collect();
    artifacts.extend(submit.reused_items.iter().flat_map(|item| &item.locations).map(|located| located.artifact));
    artifacts.extend(crate::flyte::inputs_given(&submit.inputs).map(|key| flyte::objects::digest_of_inputs(&key)));
    artifacts.into_iter().collect()
}
