//! What the REST API says, as types: the stable JSON that scripts, the CLI and the web app read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::foresight_views::WaitView;

/// A run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its name, unique within project and domain.
    pub name: String,
    /// Its number, unique on the server.
    pub number: u64,
    /// queued, running, succeeded, failed, aborted, timed_out or paused.
    pub phase: String,
    /// The workflow.
    pub workflow: String,
    /// The project.
    pub project: String,
    /// development, staging or production.
    pub domain: String,
    /// Who submitted it.
    pub principal: String,
    /// Where it came from: `submitted`, `trigger:NAME` or `rerun:RUN`.
    pub origin: String,
    /// When it was accepted (RFC 3339).
    pub submitted_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Seconds from acceptance to its end, or to now.
    pub seconds: f64,
    /// What its attempts have cost so far, in the catalogue's currency.
    pub cost: f64,
    /// Actions opened so far.
    pub actions_total: u64,
    /// Actions that have ended.
    pub actions_done: u64,
    /// Human actions that wait for a decision.
    pub waiting_for_human: u64,
    /// What whoever started it put on it to find it again. It says nothing of data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub run_labels: BTreeMap<String, String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// The code that says that its values were erased; only where one run is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<String>,
    /// What it was given; only where one run is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Value>,
    /// What it gave back; only where one run is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
    /// Its actions; only where one run is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionView>,
    /// Its values are left out: whoever asks may not see what they carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
    /// As of when all of this is; only where it was asked for as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<MomentView>,
}

/// A run at a moment that has passed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MomentView {
    /// Its last entry in the journal until then.
    pub position: u64,
    /// When that was (RFC 3339).
    pub at: String,
    /// How many actions were in each phase.
    pub phases: BTreeMap<String, u64>,
    /// The actions that ran; maps and sub-workflows run as long as something in them does, and are not counted.
    pub running: u64,
    /// What open actions waited for, the largest group first.
    pub waits: Vec<WaitView>,
    /// The sites that actions were at.
    pub sites: Vec<String>,
}

/// A failure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// user, oom, timeout, preempted, node_lost, …
    pub class: String,
    /// What happened. Of a failure whose text the caller may not see it says just that.
    pub message: String,
    /// The exit code of the process, or 128 + the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What the work itself calls the error, such as the name of an exception's class, or the code of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the text carries: all that the attempt could read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<String>,
    /// Whether the text is kept from the caller, who may not see what it may hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// An action of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ActionView {
    /// Its path within the run: `train`, `score[3]`, `sub/clean`.
    pub path: String,
    /// Its number within the run; none for a node that was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// use, run, task, workflow, human, wait, each, decide or transfer.
    pub kind: String,
    /// The phase.
    pub phase: String,
    /// The site of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The place that the site stands for, when it is simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulates: Option<String>,
    /// When it was opened (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<String>,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Seconds of its last attempt's process.
    pub seconds: f64,
    /// What its attempts cost.
    pub cost: f64,
    /// What its last attempt was measured to use; of processes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageView>,
    /// Whether an earlier output was taken instead of running it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// What it waits for, where that can be named: `a worker that serves shop/price@1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// What it waits for, whatever that is; where one action is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitView>,
    /// Why it failed, or why its last attempt did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// When it is tried again, while it waits for that (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
    /// What it was given; where one action is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What it gave back; where one action is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Its values are left out: whoever asks may not see what they carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
    /// What it can read carries this, as it was found when the run was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<String>,
    /// The attempts that others followed, the first of them first; where one action is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<AttemptView>,
}

/// An attempt that another one followed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Its number; the first is 1.
    pub attempt: u32,
    /// Where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How it ended.
    pub phase: String,
    /// When (RFC 3339).
    pub finished_at: String,
    /// Seconds of its process.
    pub seconds: f64,
    /// What it cost.
    pub cost: f64,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// What an attempt used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// Seconds of processor time, user and system.
    pub cpu_seconds: f64,
    /// The largest resident memory of its processes together, in bytes.
    pub memory_peak_bytes: u64,
}

/// Why an action is where it is, or nowhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ExplanationView {
    /// The action's path.
    pub path: String,
    /// Its phase.
    pub phase: String,
    /// One sentence.
    pub summary: String,
    /// The site chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Every site with its terms and verdict, as recorded with the decision.
    #[serde(default)]
    pub placement: Value,
}

/// That there is something which the caller may not see.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct WithheldView {
    /// What it carries.
    pub label: Vec<String>,
    /// Why it is not shown.
    pub why: String,
    /// The roles that would be enough.
    pub roles: Vec<String>,
}

/// Who calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MeView {
    /// Their name.
    pub name: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their roles, those of their token's scopes among them.
    pub roles: Vec<String>,
}

/// A site.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// What drives attempts there.
    pub executor: String,
    /// open, cordoned, drained or unhealthy.
    pub state: String,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The place it stands for, when it is simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulates: Option<String>,
    /// What is enforced around the processes there.
    #[serde(default)]
    pub sandbox: SandboxView,
    /// Facts that `needs.site` refers to.
    pub attributes: BTreeMap<String, String>,
    /// What it can hold.
    pub capacity: ResourcesView,
    /// What attempts hold now.
    pub used: ResourcesView,
    /// Actions that hold it.
    pub running: u64,
    /// What is kept started for work that is expected; none where nothing was decided yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolView>,
    /// Price of one core for one hour.
    pub cpu_hour: f64,
    /// Price of one GiB of memory for one hour.
    pub memory_gib_hour: f64,
    /// Price of one GB that leaves the site.
    pub egress_gb: f64,
}

/// What a site keeps started, by the forecast of what will begin there.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    /// Places that are kept started and without work.
    pub pieces: u32,
    /// Places that are started and without work now, those among them that earlier work has left.
    pub idle: u64,
    /// How many actions are expected to begin there in an hour.
    pub an_hour: u32,
    /// Seconds that a place takes to start.
    pub boot_s: f64,
    /// Why so many are kept.
    pub why: String,
}

/// What is enforced around the processes of a site.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SandboxView {
    /// What is wanted: require, prefer or off.
    pub mode: String,
    /// What there is: sandbox (every wall), partial, or none. It is also the attribute `isolation`.
    pub isolation: String,
    /// The walls: namespaces, network, landlock, seccomp, memory, processes.
    #[serde(default)]
    pub enforced: Vec<String>,
    /// What is not enforced, and why.
    #[serde(default)]
    pub lacking: Vec<String>,
    /// Places in the network that processes may reach.
    #[serde(default)]
    pub egress: Vec<String>,
    /// Folders that are shown beside the system's and those of the search path.
    #[serde(default)]
    pub runtime: Vec<String>,
}

/// Amounts of capacity.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ResourcesView {
    /// Cores.
    pub cpu: f64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Accelerators.
    pub gpus: u32,
}

/// Where a frame finds a page.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct FrameView {
    /// The address, on this server. It works once, within a minute.
    pub address: String,
}

/// A registered workflow, trigger, connector or connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ResourceView {
    /// The kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The version, dense from 1.
    pub version: u64,
    /// When this version was applied (RFC 3339).
    pub applied_at: String,
    /// Who applied it.
    pub principal: String,
    /// Its body, where one is asked for.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
}

/// A list with a cursor for what follows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A request for a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The registered workflow.
    pub workflow: String,
    /// Its version; the latest when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The inputs by name.
    #[serde(default)]
    pub inputs: serde_json::Map<String, Value>,
    /// Whom it is about, such as the number of a patient: all runs about one can be erased together. It is sealed, and stands in no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The name of the run; the server makes one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The project; taken from the workflow's name when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// development (the default), staging or production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Larger is placed first.
    #[serde(default)]
    pub priority: i32,
    /// Seconds from now in which it should be done; as the workflow says when there is none. Nothing is stopped when that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// The key of this submission: sent again, it gives the same run. The header `Idempotency-Key` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Many runs in one request.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitManyRequest {
    /// The runs.
    pub runs: Vec<SubmitRequest>,
}

/// What came of one submission of many.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SubmitResult {
    /// The run's name, when the request gave one; the number finds it as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// A request to apply files.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The documents: `*.yaml` files with sites, workflows, triggers, connectors.
    pub documents: Vec<SourceFile>,
    /// The files that they refer to (`run.files`, `$ref`), by path from where the documents' paths begin: a document sees those in its own
    /// folder and below. Contents in base64.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// A registered workflow whose files the documents may refer to as well: an editor has only the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// Check only; register nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The version of a document that is expected to be there, by its kind and its name (`workflow bank/score`); 0 where there is to be none. When
    /// somebody else was faster, nothing is registered, and the answer is 409.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expects: BTreeMap<String, u64>,
}

/// A text file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its path, as findings name it.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What came of an apply or a check.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ApplyResult {
    /// What was registered (or would be).
    pub applied: Vec<Applied>,
    /// Findings: errors and warnings with code, span and hint.
    pub diagnostics: Vec<Value>,
    /// The findings as text with the source beside them.
    pub rendered: String,
}

/// One resource that was applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// created, changed or unchanged.
    pub change: String,
    /// The version now.
    pub version: u64,
}

/// A reason for an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A signal to a run, or an event to whoever waits for it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// Its name.
    pub name: String,
    /// What comes with it.
    #[serde(default)]
    pub payload: Value,
}

/// A request to repeat a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunRequest {
    /// Repeat from these nodes on. The path of an action within a node means the node. Beside them runs what reads an input that is another,
    /// what did not succeed, and everything behind; the outputs of the rest are taken over.
    #[serde(default)]
    pub from: Vec<String>,
    /// Inputs to change.
    #[serde(default)]
    pub inputs: serde_json::Map<String, Value>,
}

/// What a repetition would do.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RerunPlanView {
    /// Nodes whose outputs are taken over from the run.
    pub reused: Vec<String>,
    /// Nodes that run, with why.
    pub again: Vec<RerunNodeView>,
    /// Of maps that run: how many outputs of items are kept for items that are given the same, which do not run again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, u64>,
}

/// A node that is repeated.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RerunNodeView {
    /// The node.
    pub node: String,
    /// Why it runs again.
    pub why: String,
}

/// RFC 9457 problem details.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The page of the error.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of error it is.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request: `urn:tutti:request:ID`, with the id of `X-Request-Id` and of the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Findings of the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Value>,
}

/// A token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// The name.
    pub name: String,
    /// Who uses it.
    pub user: String,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// What it allows.
    pub scopes: Vec<String>,
    /// Roles of the user.
    #[serde(default)]
    pub roles: Vec<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it is worth nothing any more (RFC 3339); never, for one of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The token itself; only in the answer that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
