//! Artifacts that are named in what runs are given: whoever names one has to be somebody who may see it, or who brought it.

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::access::{token, token_with_role};
use super::support::{Answer, Up};

const RULES: &str = "kind: tag
name: pii
owners: [officers]
---
kind: policy
name: people
cedar: |
  @id(\"starter\")
  permit (principal in Role::\"starter\", action in [Action::\"read\", Action::\"submit\", Action::\"author\"], resource);
  @id(\"keeper\")
  permit (principal in Role::\"keeper\", action in [Action::\"read\", Action::\"submit\"], resource);
  @id(\"keeper-sees\")
  permit (principal in Role::\"keeper\", action == Action::\"view\", resource in Project::\"mine\");
  @id(\"names\")
  forbid (principal in Role::\"keeper\", action == Action::\"view\", resource) when { context.data in Tag::\"pii\" };
---
workflow: mine/w
inputs:
  file: {type: file}
nodes:
  a: {use: core/noop, with: {n: 1}}
---
workflow: mine/tagged
inputs:
  file: {type: file, labels: [pii]}
nodes:
  a: {use: core/noop, with: {n: 1}}
---
workflow: bank/w
inputs:
  file: {type: file}
nodes:
  a: {use: core/noop, with: {n: 1}}
";

async fn put(up: &Up, token: &str, bytes: &'static [u8]) -> Value {
    let put = up.call(Method::PUT, "/api/v1/artifacts?name=a", &[("authorization", token)], Bytes::from_static(bytes)).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text());
    put.json()
}

async fn post(up: &Up, token: &str, path: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json"), ("authorization", token)];
    up.call(Method::POST, path, &headers, body.to_string().into()).await
}

async fn start(up: &Up, token: &str, workflow: &str, file: &Value) -> Answer {
    post(up, token, "/api/v1/runs", json!({ "workflow": workflow, "inputs": { "file": file } })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_an_artifact_for_a_run_may_see_it_or_brought_it() {
    let up = Up::start().await;
    up.apply(RULES).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let starter = token_with_role(&up, "starter", "starter", &admin).await;
    let keeper = token_with_role(&up, "keeper", "keeper", &admin).await;
    let mut of = Vec::new();
    for (name, workflow, bytes) in
        [("one", "mine/w", b"of mine"), ("two", "mine/tagged", b"tagged."), ("three", "bank/w", b"of bank")]
    {
        let file = put(&up, &admin, bytes).await;
        let run = json!({ "workflow": workflow, "name": name, "inputs": { "file": file } });
        assert_eq!(post(&up, &admin, "/api/v1/runs", run).await.status, StatusCode::CREATED);
        of.push(file);
    }
    let [mine, tagged, bank] = of.try_into().unwrap();
    let brought = put(&up, &admin, b"of nobody").await;
    let runs = || up.control.reader().runs(&journal::RunFilter { limit: 100, ..Default::default() }).unwrap().len();
    let before = runs();
    for (token, file) in
        [(&starter, &mine), (&starter, &bank), (&starter, &brought), (&keeper, &tagged), (&keeper, &bank), (&keeper, &brought)]
    {
        let refused = start(&up, token, "mine/w", file).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        let many = json!({ "runs": [{ "workflow": "mine/w", "inputs": { "file": { "a": [file] } } }] });
        assert_eq!(post(&up, token, "/api/v1/runs:batch", many).await.status, StatusCode::FORBIDDEN);
        let event = json!({ "name": "seen", "payload": { "file": file } });
        assert_eq!(post(&up, token, "/api/v1/events", event).await.status, StatusCode::FORBIDDEN);
    }
    let trigger = |file: &Value| {
        let text = format!(
            "kind: trigger\nname: t\nworkflow: mine/w\nschedule: {{cron: \"0 0 1 1 *\"}}\ninputs: {}\n---\n{}",
            json!({ "file": file }),
            "workflow: mine/other\nnodes: {a: {use: core/noop}}\n"
        );
        json!({ "documents": [{ "path": "t.yaml", "text": text }] })
    };
    post(&up, &starter, "/api/v1/apply", trigger(&mine)).await.is_problem(403, "E0005");
    let default =
        format!("workflow: mine/d\ninputs:\n  file: {{type: file, default: {mine}}}\nnodes: {{a: {{use: core/noop}}}}\n");
    let default = json!({ "documents": [{ "path": "t.yaml", "text": default }] });
    post(&up, &starter, "/api/v1/apply", default).await.is_problem(403, "E0005");
    assert_eq!(runs(), before, "what is refused begins nothing");

    assert_eq!(start(&up, &keeper, "mine/w", &mine).await.status, StatusCode::CREATED);
    assert_eq!(start(&up, &admin, "mine/w", &bank).await.status, StatusCode::CREATED);
    // A repetition gives no right to name what somebody else gave.
    let repeated = post(&up, &starter, "/api/v1/runs/one/rerun", json!({})).await;
    assert_eq!(repeated.status, StatusCode::CREATED, "{}", repeated.text());
    start(&up, &starter, "mine/w", &mine).await.is_problem(403, "E0005");
    // Nor does a list that somebody wrote as that of a directory; and what is not there is refused in the same words.
    let digest = tagged["$artifact"]["digest"].as_str().unwrap();
    let listing =
        format!("{{\"format\":\"tutti-directory-1\",\"entries\":[{{\"path\":\"x\",\"digest\":\"{digest}\",\"size\":7}}]}}");
    let headers = [("authorization", keeper.as_str())];
    up.call(Method::PUT, "/api/v1/artifacts?name=a", &headers, listing.into()).await.is_problem(400, "E0001");
    let nowhere = json!({ "$artifact": { "digest": model::Digest::of(b"nowhere"), "size": 1, "kind": "file", "name": "a" } });
    let said = async |file: &Value| start(&up, &keeper, "mine/w", file).await.json()["detail"].as_str().unwrap().to_owned();
    let without = |said: String, file: &Value| said.replace(file["$artifact"]["digest"].as_str().unwrap(), "D");
    assert_eq!(without(said(&nowhere).await, &nowhere), without(said(&tagged).await, &tagged));
    // Whoever has the content may give it to a run, and may do so again.
    assert_eq!(put(&up, &starter, b"of bank").await, bank);
    assert_eq!(start(&up, &starter, "mine/w", &bank).await.status, StatusCode::CREATED);
    let applied = post(&up, &starter, "/api/v1/apply", trigger(&bank)).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text());
    up.down().await;
}
