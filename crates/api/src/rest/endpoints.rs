//! What each endpoint needs. One table says it; what is not in it cannot be reached.

use axum::http::Method;

use self::Subject::{App, Artifact, List, Resource, Run, Secret, Server, Site};

/// What an endpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: everybody who can connect may call it.
    Nothing,
    /// That the rules permit this operation to the caller, on this.
    Operation(&'static str, Subject),
    /// That the rules permit one of these operations for what the body names, or for what is listed: the endpoint asks again when it has
    /// read it.
    Within(&'static [&'static str]),
}

/// What an endpoint acts on. It is said where the endpoint is declared, and nothing in a request is another subject than that: a query that
/// the endpoint does not look at says nothing to the rules either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The whole server: whoever may in one project alone may not.
    Server,
    /// A list that holds things of one project alone where `?project=` names it, and things of all projects otherwise.
    List,
    /// The run that the path names.
    Run,
    /// The artifact that the path names.
    Artifact,
    /// The site that the path names.
    Site,
    /// The document that the path names by kind and name.
    Resource,
    /// The app that the path names by project, domain and name.
    App,
    /// The secret that the path names by project and name, of the domain of the query.
    Secret,
}

impl Subject {
    /// The parts of the path that name it.
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            Server | List => &[],
            Run => &["run"],
            Artifact => &["digest"],
            Site => &["site"],
            Resource => &["kind", "name"],
            App => &["project", "domain", "name"],
            Secret => &["project", "name"],
        }
    }
}

impl Needs {
    /// The same operation, on something else.
    const fn on(self, subject: Subject) -> Needs {
        match self {
            Needs::Operation(operation, _) => Needs::Operation(operation, subject),
            other => other,
        }
    }

    /// The operations, one of which has to be permitted.
    pub fn operations(&self) -> &[&'static str] {
        match self {
            Needs::Nothing => &[],
            Needs::Operation(operation, _) => std::slice::from_ref(operation),
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

const READ: Needs = Needs::Operation("read", Server);
/// What may not be read is left out of the answer.
const WITHIN_READ: Needs = Needs::Within(&["read"]);
const VIEW: Needs = Needs::Operation("view", Server);
const AUDIT: Needs = Needs::Operation("audit", Server);
const SUBMIT: Needs = Needs::Operation("submit", Server);
const WITHIN_SUBMIT: Needs = Needs::Within(&["submit"]);
/// What is brought is of no project until a run takes it: whoever may start one anywhere may bring a file for it.
const BRING: Needs = Needs::Within(&["submit"]);
/// Whoever may read anything is told who they are.
const SELF: Needs = Needs::Within(&["read"]);
const STEER: Needs = Needs::Operation("steer", Server);
const DECIDE: Needs = Needs::Operation("decide", Server);
const VOUCH: Needs = Needs::Within(&["approve"]);
const OPERATE: Needs = Needs::Operation("operate", Server);
const WORK: Needs = Needs::Operation("work", Server);
const SECRETS: Needs = Needs::Operation("secrets", Server);
const ADMINISTER: Needs = Needs::Operation("administer", Server);
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
    ("GET", "/api/v1/runs", READ.on(List)),
    ("POST", "/api/v1/runs", WITHIN_SUBMIT),
    ("POST", "/api/v1/runs:batch", WITHIN_SUBMIT),
    ("GET", "/api/v1/runs:totals", READ),
    ("GET", "/api/v1/runs:latest", READ),
    ("GET", "/api/v1/runs/{run}", READ.on(Run)),
    ("POST", "/api/v1/runs/{run}/cancel", STEER.on(Run)),
    ("POST", "/api/v1/runs/{run}/pause", STEER.on(Run)),
    ("POST", "/api/v1/runs/{run}/resume", STEER.on(Run)),
    ("POST", "/api/v1/runs/{run}/signal", STEER.on(Run)),
    ("POST", "/api/v1/runs/{run}/rerun", SUBMIT.on(Run)),
    ("POST", "/api/v1/runs/{run}/rerun/plan", SUBMIT.on(Run)),
    ("GET", "/api/v1/runs/{run}/actions", READ.on(Run)),
    ("GET", "/api/v1/runs/{run}/tiles", READ.on(Run)),
    ("GET", "/api/v1/runs/{run}/graph", READ.on(Run)),
    ("GET", "/api/v1/runs/{run}/action", READ.on(Run)),
    ("GET", "/api/v1/runs/{run}/explain", READ.on(Run)),
    ("GET", "/api/v1/runs/{run}/logs", VIEW.on(Run)),
    ("GET", "/api/v1/runs/{run}/connections", VIEW.on(Run)),
    ("POST", "/api/v1/runs/{run}/decision", DECIDE.on(Run)),
    ("POST", "/api/v1/runs/{run}/delegate", DECIDE.on(Run)),
    ("POST", "/api/v1/runs/{run}/seen", READ.on(Run)),
    ("GET", "/api/v1/me", SELF),
    ("POST", "/api/v1/test-step", WITHIN_SUBMIT),
    ("GET", "/api/v1/storage", ADMINISTER),
    ("GET", "/api/v1/storage/projects", READ),
    ("GET", "/api/v1/approvals", READ),
    ("GET", "/api/v1/approvals:count", READ),
    ("GET", "/api/v1/findings", READ.on(List)),
    ("GET", "/api/v1/apps", WITHIN_READ),
    ("POST", "/api/v1/apps/{project}/{domain}/{name}/{order}", STEER.on(App)),
    ("GET", "/api/v1/sites", READ),
    ("GET", "/api/v1/sites/load", READ),
    ("GET", "/api/v1/sites/queues", READ),
    ("GET", "/api/v1/sites/{site}/actions", READ.on(Site)),
    ("POST", "/api/v1/sites/{site}/{order}", OPERATE.on(Site)),
    ("POST", "/api/v1/apply", WRITE),
    ("POST", "/api/v1/check", READ),
    ("GET", "/api/v1/resources/{kind}", READ),
    ("GET", "/api/v1/resources/{kind}/{*name}", READ.on(Resource)),
    ("DELETE", "/api/v1/resources/{kind}/{*name}", WRITE),
    ("GET", "/api/v1/workflows", READ),
    ("GET", "/api/v1/tasks", READ),
    ("PUT", "/api/v1/artifacts", BRING),
    ("GET", "/api/v1/artifacts", READ),
    ("GET", "/api/v1/artifacts/{digest}/lineage", READ.on(Artifact)),
    ("GET", "/api/v1/artifacts/{digest}/versions", READ.on(Artifact)),
    ("GET", "/api/v1/artifacts/{digest}", VIEW.on(Artifact)),
    ("POST", "/api/v1/artifacts/{digest}/frame", VIEW.on(Artifact)),
    ("POST", "/api/v1/runs/{run}/report", VIEW.on(Run)),
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
    ("GET", "/api/v1/costs", READ.on(List)),
    ("GET", "/api/v1/costs/projects", READ),
    ("GET", "/api/v1/runs/{run}/outlook", READ.on(Run)),
    ("POST", "/api/v1/runs/{run}/whatif", READ.on(Run)),
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
    ("GET", "/api/v1/secrets", SECRETS.on(List)),
    ("PUT", "/api/v1/secrets/{project}/{name}", SECRETS.on(Secret)),
    ("DELETE", "/api/v1/secrets/{project}/{name}", SECRETS.on(Secret)),
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
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_acts_on_is_what_its_path_names() {
        for (method, route, needs) in TABLE {
            let Needs::Operation(_, subject) = needs else { continue };
            let parts: Vec<&str> = route
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .map(|part| part.trim_start_matches('*'))
                .collect();
            for part in subject.parts() {
                assert!(parts.contains(part), "{method} {route} names no {part}");
            }
            let names = |part: &str| parts.contains(&part);
            let of = ["run", "digest", "site", "project"].iter().any(|part| names(part));
            assert!(!of || !subject.parts().is_empty(), "{method} {route} acts on what it names");
        }
    }
}
