//! What every endpoint asks for, written down once more: the table of the server is looked at from here, and not the other way round.

use api::rest::access::{Needs, TABLE};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

use super::access::{address, token, token_with_role};
use super::support::{Up, empty};

/// An endpoint: method, route, the operations one of which is needed, and what they are asked about.
pub(crate) type Row = (&'static str, &'static str, &'static str, &'static str);

/// Every endpoint. Whoever adds one decides here what it is about: `the server` is refused to whoever has a role in a project alone.
pub(crate) const ENDPOINTS: &[Row] = &[
    ("GET", "/healthz", "", "nobody asks"),
    ("GET", "/docs/errors/{code}", "", "nobody asks"),
    ("GET", "/api/v1/openapi.json", "", "nobody asks"),
    ("GET", "/api/v1/schemas/workflow", "", "nobody asks"),
    ("POST", "/hooks/{trigger}", "", "nobody asks"),
    ("GET", "/metrics", "read", "the server"),
    ("GET", "/api/v1/runs", "read", "a list"),
    ("POST", "/api/v1/runs", "submit", "the body"),
    ("POST", "/api/v1/runs:batch", "submit", "the body"),
    ("GET", "/api/v1/runs:totals", "read", "the server"),
    ("GET", "/api/v1/runs:latest", "read", "the server"),
    ("GET", "/api/v1/runs/{run}", "read", "run"),
    ("POST", "/api/v1/runs/{run}/cancel", "steer", "run"),
    ("POST", "/api/v1/runs/{run}/pause", "steer", "run"),
    ("POST", "/api/v1/runs/{run}/resume", "steer", "run"),
    ("POST", "/api/v1/runs/{run}/signal", "steer", "run"),
    ("POST", "/api/v1/runs/{run}/rerun", "submit", "run"),
    ("POST", "/api/v1/runs/{run}/rerun/plan", "submit", "run"),
    ("GET", "/api/v1/runs/{run}/actions", "read", "run"),
    ("GET", "/api/v1/runs/{run}/tiles", "read", "run"),
    ("GET", "/api/v1/runs/{run}/graph", "read", "run"),
    ("GET", "/api/v1/runs/{run}/action", "read", "run"),
    ("GET", "/api/v1/runs/{run}/explain", "read", "run"),
    ("GET", "/api/v1/runs/{run}/logs", "view", "run"),
    ("GET", "/api/v1/runs/{run}/connections", "view", "run"),
    ("POST", "/api/v1/runs/{run}/decision", "decide", "run"),
    ("POST", "/api/v1/runs/{run}/delegate", "decide", "run"),
    ("POST", "/api/v1/runs/{run}/seen", "read", "run"),
    ("GET", "/api/v1/me", "read", "the body"),
    ("POST", "/api/v1/test-step", "submit", "the body"),
    ("GET", "/api/v1/storage", "administer", "the server"),
    ("GET", "/api/v1/storage/projects", "read", "the server"),
    ("GET", "/api/v1/approvals", "read", "the server"),
    ("GET", "/api/v1/approvals:count", "read", "the server"),
    ("GET", "/api/v1/findings", "read", "a list"),
    ("GET", "/api/v1/apps", "read", "the body"),
    ("POST", "/api/v1/apps/{project}/{domain}/{name}/{order}", "steer", "app"),
    ("GET", "/api/v1/sites", "read", "the server"),
    ("GET", "/api/v1/sites/load", "read", "the server"),
    ("GET", "/api/v1/sites/queues", "read", "the server"),
    ("GET", "/api/v1/sites/{site}/actions", "read", "site"),
    ("POST", "/api/v1/sites/{site}/{order}", "operate", "site"),
    ("POST", "/api/v1/apply", "author operate govern", "the body"),
    ("POST", "/api/v1/check", "read", "the server"),
    ("GET", "/api/v1/resources/{kind}", "read", "the server"),
    ("GET", "/api/v1/resources/{kind}/{*name}", "read", "resource"),
    ("DELETE", "/api/v1/resources/{kind}/{*name}", "author operate govern", "the body"),
    ("GET", "/api/v1/workflows", "read", "the server"),
    ("GET", "/api/v1/tasks", "read", "the server"),
    ("PUT", "/api/v1/artifacts", "submit", "the body"),
    ("GET", "/api/v1/artifacts", "read", "the server"),
    ("GET", "/api/v1/artifacts/{digest}/lineage", "read", "artifact"),
    ("GET", "/api/v1/artifacts/{digest}/versions", "read", "artifact"),
    ("GET", "/api/v1/artifacts/{digest}", "view", "artifact"),
    ("POST", "/api/v1/artifacts/{digest}/frame", "view", "artifact"),
    ("POST", "/api/v1/runs/{run}/report", "view", "run"),
    ("GET", "/api/v1/frames/{ticket}", "", "nobody asks"),
    ("POST", "/api/v1/edit", "read", "the server"),
    ("POST", "/api/v1/expressions/scope", "read", "the server"),
    ("POST", "/api/v1/expressions/evaluate", "read", "the server"),
    ("GET", "/api/v1/connectors", "read", "the server"),
    ("GET", "/api/v1/triggers", "read", "the server"),
    ("GET", "/api/v1/triggers/{trigger}", "read", "the server"),
    ("GET", "/api/v1/events", "read", "the server"),
    ("GET", "/api/v1/facts", "read", "the server"),
    ("POST", "/api/v1/events", "submit", "the server"),
    ("GET", "/api/v1/tokens", "administer", "the server"),
    ("POST", "/api/v1/tokens", "administer", "the server"),
    ("DELETE", "/api/v1/tokens/{name}", "administer", "the server"),
    ("POST", "/api/v1/workers/lease", "work", "the server"),
    ("POST", "/api/v1/workers/report", "work", "the server"),
    ("POST", "/api/v1/workers/heartbeat", "work", "the server"),
    ("POST", "/api/v1/workers/stream", "work", "the server"),
    ("GET", "/api/v1/audit/verify", "audit", "the server"),
    ("GET", "/api/v1/audit/export", "audit", "the server"),
    ("GET", "/api/v1/audit/proof", "audit", "the server"),
    ("GET", "/api/v1/audit/tlog-proof", "audit", "the server"),
    ("GET", "/api/v1/audit/consistency", "audit", "the server"),
    ("GET", "/api/v1/audit/leaves", "audit", "the server"),
    ("GET", "/api/v1/audit/checkpoint", "audit", "the server"),
    ("GET", "/api/v1/audit/status", "audit", "the server"),
    ("POST", "/api/v1/audit/accept", "administer", "the server"),
    ("GET", "/api/v1/costs", "read", "a list"),
    ("GET", "/api/v1/costs/projects", "read", "the server"),
    ("GET", "/api/v1/runs/{run}/outlook", "read", "run"),
    ("POST", "/api/v1/runs/{run}/whatif", "read", "run"),
    ("GET", "/api/v1/forecast", "read", "the server"),
    ("POST", "/api/v1/whatif", "read", "the server"),
    ("GET", "/api/v1/advice", "read", "the server"),
    ("GET", "/api/v1/policy", "read", "the server"),
    ("GET", "/api/v1/policy/history", "read", "the server"),
    ("GET", "/api/v1/policy/certificate", "read", "the server"),
    ("POST", "/api/v1/policy/ask", "read", "the server"),
    ("POST", "/api/v1/policy/test", "read", "the server"),
    ("POST", "/api/v1/policy/simulate", "read", "the server"),
    ("POST", "/api/v1/policy/wires", "read", "the server"),
    ("POST", "/api/v1/policy/approve", "approve", "the body"),
    ("POST", "/api/v1/policy/revoke", "approve", "the body"),
    ("POST", "/api/v1/plan", "read", "the server"),
    ("POST", "/api/v1/diff", "read", "the server"),
    ("GET", "/api/v1/keys", "secrets", "the server"),
    ("POST", "/api/v1/keys/rotate", "secrets", "the server"),
    ("GET", "/api/v1/secrets", "secrets", "a list"),
    ("PUT", "/api/v1/secrets/{project}/{name}", "secrets", "secret"),
    ("DELETE", "/api/v1/secrets/{project}/{name}", "secrets", "secret"),
    ("POST", "/api/v1/erase", "administer", "the server"),
    ("POST", "/api/v1/backup", "administer", "the server"),
    ("POST", "/api/v1/prune", "administer", "the server"),
    ("POST", "/api/v1/sweep", "administer", "the server"),
];

fn about(needs: Needs) -> String {
    match needs {
        Needs::Nothing => "nobody asks".into(),
        Needs::Within(_) => "the body".into(),
        Needs::Operation(_, subject) => match format!("{subject:?}").to_lowercase().as_str() {
            "server" => "the server".into(),
            "list" => "a list".into(),
            other => other.to_owned(),
        },
    }
}

#[test]
fn every_endpoint_asks_for_what_is_written_down() {
    let table: Vec<(String, String, String, String)> = TABLE
        .iter()
        .map(|(method, route, needs)| ((*method).into(), (*route).into(), needs.operations().join(" "), about(*needs)))
        .collect();
    let written: Vec<(String, String, String, String)> = ENDPOINTS
        .iter()
        .map(|(method, route, operations, about)| ((*method).into(), (*route).into(), (*operations).into(), (*about).into()))
        .collect();
    for row in table.iter().chain(&written) {
        assert!(table.contains(row) && written.contains(row), "{row:?}");
    }
}

const LEAD: &str = "kind: policy
name: leads
cedar: |
  @id(\"lead\")
  permit (principal in Role::\"lead\", action in Action::\"operation\", resource in Project::\"mine\");
";

/// A role of one project does everything there, and nothing of the server: a word in the query is no key to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_one_project_takes_nothing_of_the_server() {
    let up = Up::start().await;
    up.apply(LEAD).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let lead = token_with_role(&up, "lead", "lead", &admin).await;
    let headers = [("content-type", "application/json"), ("authorization", lead.as_str())];
    for (method, route, _, about) in ENDPOINTS {
        for query in ["", "?project=mine", "?project=mine&project=mine", "?run=1&project=mine&site=mine&name=mine&kind=workflow"]
        {
            let path = address(&route.replace("{digest}", &model::Digest::of(b"nobody").to_string()));
            let sent = up.open(method.parse().unwrap(), &format!("{path}{query}"), &headers, empty()).await;
            let may = match *about {
                "nobody asks" | "the body" => continue,
                "a list" => !query.is_empty(),
                _ => false,
            };
            assert_eq!(sent.status() != StatusCode::FORBIDDEN, may, "{method} {route}{query}: {}", sent.status());
        }
    }
    // What the takeover would look like.
    let wanted = Bytes::from(json!({"name": "x", "scopes": ["admin"]}).to_string());
    let made = up.call("POST".parse().unwrap(), "/api/v1/tokens?project=mine", &headers, wanted).await;
    made.is_problem(403, "E0005");
    assert_eq!(made.json()["diagnostics"]["resource"], json!({"kind": "server"}), "{}", made.text());
    // The lists are those of the project, and what is asked of a body is asked of what it names.
    for list in ["runs", "findings", "costs", "secrets"] {
        let path = format!("/api/v1/{list}?project=mine");
        let listed = up.call("GET".parse().unwrap(), &path, &headers, Bytes::new()).await;
        assert_eq!(listed.status, StatusCode::OK, "{list}: {}", listed.text());
        let others = up.call("GET".parse().unwrap(), &format!("/api/v1/{list}?project=bank"), &headers, Bytes::new()).await;
        others.is_problem(403, "E0005");
    }
    let me = up.call("GET".parse().unwrap(), "/api/v1/me", &headers, Bytes::new()).await;
    assert_eq!((me.status, &me.json()["name"]), (StatusCode::OK, &json!("lead")));
    let brought = up.call("PUT".parse().unwrap(), "/api/v1/artifacts", &headers, Bytes::from_static(b"rows")).await;
    assert_eq!(brought.status, StatusCode::OK, "{}", brought.text());
    up.down().await;
}
