//! What can be run, as lists for people: who began it, what the rules say of it, how its last runs went.

use bytes::Bytes;
use engine::Command;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::access::{token, token_with_role};
use super::runs::HELLO;
use super::support::PATIENCE;
use super::support::Up;

/// Personal data is for production alone.
const RULES: &str = "kind: tag
name: pii
owners: [officers]
---
kind: policy
name: eyes
cedar: |
  @id(\"production-only\")
  @reason(\"names are for production\")
  forbid (principal, action in Action::\"place\", resource)
  when { context.data in Tag::\"pii\" && context.domain != \"production\" };
";

const NAMES: &str = "workflow: t/names
inputs: {who: {type: string, labels: [pii]}}
nodes:
  look: {use: core/noop, with: {who: '${ inputs.who }'}}
";

async fn workflow(up: &Up, name: &str) -> Value {
    let rows = up.get("/api/v1/workflows").await.json();
    rows.as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_workflows_says_who_began_them_and_where_the_rules_let_them_run() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let row = workflow(&up, "t/hello").await;
    assert_eq!((&row["version"], &row["owner"], &row["certificate"]["governed"]), (&json!(1), &row["by"], &json!(false)));
    up.apply(RULES).await;
    up.apply(NAMES).await;
    let certificate = |row: Value| row["certificate"].clone();
    let of_names = certificate(workflow(&up, "t/names").await);
    assert_eq!(of_names["domains"], json!(["production"]));
    let why = of_names["refused"].as_str().unwrap();
    assert!(why.contains("names are for production"), "{why}");
    let all = json!({"governed": true, "domains": ["development", "staging", "production"]});
    assert_eq!(certificate(workflow(&up, "t/hello").await), all);
    // Page by page it is the same list.
    let first = up.get("/api/v1/workflows?limit=1").await;
    assert_eq!(first.json().as_array().unwrap().len(), 1);
    let next = first.header("link").to_owned();
    assert!(next.contains("cursor=t%2Fhello"), "{next}");
    let rest = up.get("/api/v1/workflows?limit=1&cursor=t%2Fhello").await.json();
    assert_eq!(rest[0]["name"], "t/names");
    up.get("/api/v1/workflows?limit=0").await.is_problem(400, "E0001");
    up.get("/api/v1/workflows?color=red").await.is_problem(400, "E0001");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_whoever_applied_the_first_version() {
    let up = Up::start().await;
    for (who, text) in [("ada", HELLO.to_owned()), ("ben", HELLO.replace("world", "there"))] {
        let body = json!({"documents": [{"path": "hello.workflow.yaml", "text": text}]}).to_string();
        let headers = [("content-type", "application/json"), ("x-tutti-user", who)];
        up.call(Method::POST, "/api/v1/apply", &headers, body.into()).await;
    }
    let row = workflow(&up, "t/hello").await;
    assert_eq!((&row["version"], &row["owner"], &row["by"]), (&json!(2), &json!("ada"), &json!("ben")));
    up.down().await;
}

async fn deploy(up: &Up, version: &str, who: &str) {
    let body = json!({
        "project": "p", "domain": "development", "name": "env.greet", "version": version, "environment": "env",
        "inputs": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "outputs": {"type": "object", "properties": {"o0": {"type": "string"}}},
    });
    let (kind, name) = (controlplane::FLYTE_TASKS.to_owned(), format!("p/development/env.greet@{version}"));
    up.control.inbox().ask(Command::ApplyResource { kind, name, body, principal: who.into() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deployed_tasks_stand_once_with_their_interface_however_many_versions_there_are() {
    let up = Up::start().await;
    assert_eq!(up.get("/api/v1/tasks").await.json(), json!([]));
    deploy(&up, "9", "ada").await;
    deploy(&up, "10", "ben").await;
    let rows = up.get("/api/v1/tasks").await.json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    let row = &rows[0];
    assert_eq!((&row["name"], &row["version"], &row["versions"]), (&json!("env.greet"), &json!("10"), &json!(2)));
    assert_eq!((&row["owner"], &row["by"], &row["environment"]), (&json!("ada"), &json!("ben"), &json!("env")));
    assert_eq!(row["inputs"]["required"], json!(["name"]));
    assert_eq!(row["outputs"]["properties"]["o0"]["type"], "string");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_runs_of_each_are_its_own_however_many_others_came_after() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    up.apply(&HELLO.replace("t/hello", "t/busy")).await;
    up.run("t/hello", json!({})).await;
    for _ in 0..3 {
        up.run("t/busy", json!({})).await;
    }
    let rows = up.get("/api/v1/runs:latest?limit=2").await.json();
    let of = |name: &str| rows.as_array().unwrap().iter().find(|row| row["workflow"] == name).unwrap()["runs"].clone();
    assert_eq!(of("t/busy").as_array().unwrap().len(), 2);
    assert_eq!(of("t/busy")[0]["name"], "busy-4");
    assert_eq!((&of("t/hello")[0]["name"], &of("t/hello")[0]["phase"]), (&json!("hello-1"), &json!("succeeded")));
    // The page after a name begins with the next one.
    let rest = up.get("/api/v1/runs:latest?cursor=t%2Fbusy").await.json();
    assert_eq!(rest.as_array().unwrap().iter().map(|row| &row["workflow"]).collect::<Vec<_>>(), ["t/hello"]);
    up.get("/api/v1/runs:latest?limit=51").await.is_problem(400, "E0001");
    up.down().await;
}

/// A step that nobody does here: it is placed, and waits for its worker.
const HELD: &str = "kind: connector
name: t/slow
version: 1
---
workflow: t/held
nodes: {slow: {use: t/slow}}
";

/// Starts a run that holds the site `local`: what is told of that, and the lease of its worker.
async fn hold(up: &Up) -> (Value, Value) {
    up.post("/api/v1/runs", json!({"workflow": "t/held", "name": "held"})).await;
    let begun = std::time::Instant::now();
    // A worker takes it: from then on it runs, at the site where it was placed.
    let body = json!({"worker": "w", "connectors": ["t/slow@1"], "slots": 1});
    let leased = up.post("/api/v1/workers/lease", body).await;
    assert!(leased.status.is_success(), "{}", leased.text());
    loop {
        let held = up.get("/api/v1/sites/local/actions").await.json();
        if held != json!([]) {
            break (held, leased.json()["leases"][0].clone());
        }
        assert!(begun.elapsed() < PATIENCE, "it never held anything");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_site_is_listed_there_until_it_is_over() {
    let up = Up::start().await;
    up.apply(HELD).await;
    assert_eq!(up.get("/api/v1/sites/local/actions").await.json(), json!([]));
    up.get("/api/v1/sites/nowhere/actions").await.is_problem(404, "E0002");
    let (held, lease) = hold(&up).await;
    assert_eq!((&held[0]["run"], &held[0]["path"], &held[0]["kind"]), (&json!("held"), &json!("slow"), &json!("use")));
    let begun = std::time::Instant::now();
    let report = json!({"worker": "w", "reports": [{"attempt": lease["attempt"], "epoch": lease["epoch"], "output": {}}]});
    up.post("/api/v1/workers/report", report).await;
    while up.get("/api/v1/sites/local/actions").await.json() != json!([]) {
        assert!(begun.elapsed() < PATIENCE, "it holds the site for ever");
        tokio::task::yield_now().await;
    }
    up.down().await;
}

/// Everybody may read sites, and clerks the runs of one project.
const CLERKS: &str = "kind: policy
name: clerks
cedar: |
  @id(\"sites\")
  permit (principal, action == Action::\"read\", resource) when { resource.kind == \"site\" };
  @id(\"clerk\")
  permit (principal in Role::\"clerk\", action == Action::\"read\", resource in Project::\"t\");
";

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_site_is_told_to_those_who_may_read_its_run() {
    let up = Up::start().await;
    up.apply(HELD).await;
    hold(&up).await;
    up.apply(CLERKS).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let clerk = token_with_role(&up, "clerk", "clerk", &admin).await;
    let other = token_with_role(&up, "other", "somebody", &admin).await;
    for (token, runs) in [(&admin, vec!["held"]), (&clerk, vec!["held"]), (&other, vec![])] {
        let headers = [("authorization", token.as_str())];
        let answer = up.call(Method::GET, "/api/v1/sites/local/actions", &headers, Bytes::new()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let told = answer.json();
        assert_eq!(told.as_array().unwrap().iter().map(|row| row["run"].as_str().unwrap()).collect::<Vec<_>>(), runs);
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_save_over_the_same_version_one_is_told_that_the_other_was_faster() {
    let up = Up::start().await;
    let save = async |text: &str, version: u64| {
        let document = json!({"path": "w.yaml", "text": format!("workflow: t/w\nnodes:\n  one: {{use: core/noop, with: {{by: {text}}}}}\n")});
        up.post("/api/v1/apply", json!({"documents": [document], "expects": {"workflow t/w": version}})).await
    };
    assert_eq!(save("ada", 0).await.json()["applied"][0]["version"], 1);
    save("ben", 0).await.is_problem(409, "E0004");
    // Both begin with the first version, and save at once.
    let (ada, ben) = tokio::join!(save("ada-again", 1), save("ben", 1));
    let codes = [ada.status.as_u16(), ben.status.as_u16()];
    assert!(codes == [200, 409] || codes == [409, 200], "{codes:?}");
    assert_eq!(up.get("/api/v1/resources/workflow/t/w").await.json()["version"], 2);
    up.post("/api/v1/apply", json!({"documents": [], "expects": {"workflow t/w": 2}})).await.is_problem(400, "E0001");
    up.down().await;
}
