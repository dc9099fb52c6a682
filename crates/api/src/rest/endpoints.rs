//! What each endpoint needs. One table says it; what is not in it cannot be reached.

use axum::http::Method;

/// What an endpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: everybody who can connect may call it.
    Nothing,
    /// That the rules permit this operation to the caller, for what the address names.
    Operation(&'static str),
    /// That the rules permit one of these operations for what the body names, or for what is listed: the endpoint asks again when it has
    /// read it.
    Within(&'static [&'static str]),
}

impl Needs {
    /// The operations, one of which has to be permitted.
    pub fn operations(&self) -> &[&'static str] {
        match self {
            Needs::Nothing => &[],
            Needs::Operation(operation) => std::slice::from_ref(operation),
            Needs::Within(operations) => operations,
        }
    }

    /// The scope of a token that is enough for it.
    pub fn scope(&self) -> Option<&'static str> {
        self.operations().first().map(|operation| scope_of(operation))
    }
}

/// The scope that includes an operation; `admin` includes all.
pub(crate) fn scope_of(operation: &str) -> &'static str {
    match operation {
        "read" | "view" | "audit" => "read",
        "submit" | "steer" => "run",
        "decide" | "approve" => "approve",
        "work" => "worker",
        _ => "admin",
    }
}

const READ: Needs = Needs::Operation("read");
/// What may not be read is left out of the answer.
const WITHIN_READ: Needs = Needs::Within(&["read"]);
const VIEW: Needs = Needs::Operation("view");
const AUDIT: Needs = Needs::Operation("audit");
const SUBMIT: Needs = Needs::Operation("submit");
const WITHIN_SUBMIT: Needs = Needs::Within(&["submit"]);
const STEER: Needs = Needs::Operation("steer");
const DECIDE: Needs = Needs::Operation("decide");
const VOUCH: Needs = Needs::Within(&["approve"]);
const OPERATE: Needs = Needs::Operation("operate");
const WORK: Needs = Needs::Operation("work");
const SECRETS: Needs = Needs::Operation("secrets");
const ADMINISTER: Needs = Needs::Operation("administer");
/// Workflows are written by authors, sites by operators, rules by policy administrators.
const WRITE: Needs = Needs::Within(&["author", "operate", "govern"]);

/// Every endpoint, and what it needs.
pub const TABLE: &[(&str, &str, Needs)] = &[
    ("GET", "/healthz", Needs::Nothing),
    ("GET", "/docs/errors/{code}", Needs::Nothing),
    ("GET", "/api/v1/openapi.json", Needs::Nothing),
    // Editors read it, and it says nothing of this server.
    ("GET", "/api/v1/schemas/workflow", Needs::Nothing),
    // Its signature says who calls.
    ("POST", "/hooks/{trigger}", Needs::Nothing),
    ("GET", "/metrics", READ),
    ("GET", "/api/v1/runs", READ),
    ("POST", "/api/v1/runs", WITHIN_SUBMIT),
    ("POST", "/api/v1/runs:batch", WITHIN_SUBMIT),
    ("GET", "/api/v1/runs:totals", READ),
    ("GET", "/api/v1/runs:latest", READ),
    ("GET", "/api/v1/runs/{run}", READ),
    ("POST", "/api/v1/runs/{run}/cancel", STEER),
    ("POST", "/api/v1/runs/{run}/pause", STEER),
    ("POST", "/api/v1/runs/{run}/resume", STEER),
    ("POST", "/api/v1/runs/{run}/signal", STEER),
    ("POST", "/api/v1/runs/{run}/rerun", SUBMIT),
    ("POST", "/api/v1/runs/{run}/rerun/plan", SUBMIT),
    ("GET", "/api/v1/runs/{run}/actions", READ),
    ("GET", "/api/v1/runs/{run}/tiles", READ),
    ("GET", "/api/v1/runs/{run}/graph", READ),
    ("GET", "/api/v1/runs/{run}/action", READ),
    ("GET", "/api/v1/runs/{run}/explain", READ),
    ("GET", "/api/v1/runs/{run}/logs", VIEW),
    ("GET", "/api/v1/runs/{run}/connections", VIEW),
    ("POST", "/api/v1/runs/{run}/decision", DECIDE),
    ("POST", "/api/v1/runs/{run}/delegate", DECIDE),
    ("POST", "/api/v1/runs/{run}/seen", READ),
    ("GET", "/api/v1/me", READ),
    ("POST", "/api/v1/test-step", WITHIN_SUBMIT),
    ("GET", "/api/v1/storage", ADMINISTER),
    ("GET", "/api/v1/storage/projects", READ),
    ("GET", "/api/v1/approvals", READ),
    ("GET", "/api/v1/approvals:count", READ),
    ("GET", "/api/v1/findings", READ),
    ("GET", "/api/v1/apps", WITHIN_READ),
    ("POST", "/api/v1/apps/{project}/{domain}/{name}/{order}", STEER),
    ("GET", "/api/v1/sites", READ),
    ("GET", "/api/v1/sites/load", READ),
    ("GET", "/api/v1/sites/queues", READ),
    ("GET", "/api/v1/sites/{site}/actions", READ),
    ("POST", "/api/v1/sites/{site}/{order}", OPERATE),
    ("POST", "/api/v1/apply", WRITE),
    ("POST", "/api/v1/check", READ),
    ("GET", "/api/v1/resources/{kind}", READ),
    ("GET", "/api/v1/resources/{kind}/{*name}", READ),
    ("DELETE", "/api/v1/resources/{kind}/{*name}", WRITE),
    ("GET", "/api/v1/workflows", READ),
    ("GET", "/api/v1/tasks", READ),
    ("PUT", "/api/v1/artifacts", SUBMIT),
    ("GET", "/api/v1/artifacts", READ),
    ("GET", "/api/v1/artifacts/{digest}/lineage", READ),
    ("GET", "/api/v1/artifacts/{digest}/versions", READ),
    ("GET", "/api/v1/artifacts/{digest}", VIEW),
    ("POST", "/api/v1/artifacts/{digest}/frame", VIEW),
    ("POST", "/api/v1/runs/{run}/report", VIEW),
    // Whoever has the address was permitted to see what is behind it, a moment ago and once.
    ("GET", "/api/v1/frames/{ticket}", Needs::Nothing),
    ("POST", "/api/v1/edit", READ),
    ("POST", "/api/v1/expressions/scope", READ),
    ("POST", "/api/v1/expressions/evaluate", READ),
    ("GET", "/api/v1/connectors", READ),
    ("GET", "/api/v1/triggers", READ),
    ("GET", "/api/v1/triggers/{trigger}", READ),
    ("GET", "/api/v1/events", READ),
    ("GET", "/api/v1/facts", READ),
    ("POST", "/api/v1/events", SUBMIT),
    ("GET", "/api/v1/tokens", ADMINISTER),
    ("POST", "/api/v1/tokens", ADMINISTER),
    ("DELETE", "/api/v1/tokens/{name}", ADMINISTER),
    ("POST", "/api/v1/workers/lease", WORK),
    ("POST", "/api/v1/workers/report", WORK),
    ("POST", "/api/v1/workers/heartbeat", WORK),
    ("POST", "/api/v1/workers/stream", WORK),
    ("GET", "/api/v1/audit/verify", AUDIT),
    ("GET", "/api/v1/audit/export", AUDIT),
    ("GET", "/api/v1/audit/proof", AUDIT),
    ("GET", "/api/v1/audit/tlog-proof", AUDIT),
    ("GET", "/api/v1/audit/consistency", AUDIT),
    ("GET", "/api/v1/audit/leaves", AUDIT),
    ("GET", "/api/v1/audit/checkpoint", AUDIT),
    ("GET", "/api/v1/audit/status", AUDIT),
    ("POST", "/api/v1/audit/accept", ADMINISTER),
    ("GET", "/api/v1/costs", READ),
    ("GET", "/api/v1/costs/projects", READ),
    ("GET", "/api/v1/runs/{run}/outlook", READ),
    ("POST", "/api/v1/runs/{run}/whatif", READ),
    ("GET", "/api/v1/forecast", READ),
    ("POST", "/api/v1/whatif", READ),
    ("GET", "/api/v1/advice", READ),
    ("GET", "/api/v1/policy", READ),
    ("GET", "/api/v1/policy/history", READ),
    ("GET", "/api/v1/policy/certificate", READ),
    ("POST", "/api/v1/policy/ask", READ),
    ("POST", "/api/v1/policy/test", READ),
    ("POST", "/api/v1/policy/simulate", READ),
    ("POST", "/api/v1/policy/wires", READ),
    ("POST", "/api/v1/policy/approve", VOUCH),
    ("POST", "/api/v1/policy/revoke", VOUCH),
    ("POST", "/api/v1/plan", READ),
    ("POST", "/api/v1/diff", READ),
    ("GET", "/api/v1/keys", SECRETS),
    ("POST", "/api/v1/keys/rotate", SECRETS),
    ("GET", "/api/v1/secrets", SECRETS),
    ("PUT", "/api/v1/secrets/{project}/{name}", SECRETS),
    ("DELETE", "/api/v1/secrets/{project}/{name}", SECRETS),
    ("POST", "/api/v1/erase", ADMINISTER),
    ("POST", "/api/v1/backup", ADMINISTER),
    ("POST", "/api/v1/prune", ADMINISTER),
    ("POST", "/api/v1/sweep", ADMINISTER),
];

/// What an endpoint needs; none when there is no such endpoint.
pub(crate) fn needs(method: &Method, route: &str) -> Option<Needs> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    TABLE.iter().find(|(known, at, _)| *known == method && *at == route).map(|(_, _, needs)| *needs)
}
