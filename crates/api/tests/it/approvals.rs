//! Decisions of people.

use hyper::StatusCode;
use serde_json::json;

use super::support::Up;

const ASKS: &str = r#"
workflow: t/asks
nodes:
  sign:
    human:
      title: "Sign it"
      assign: {users: [ada]}
      form: {type: object, properties: {note: {type: string}}, required: [note]}
outputs: {decision: "${ nodes.sign.decision }"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_and_answers() {
    let up = Up::start().await;
    up.apply(ASKS).await;
    let run = up.post("/api/v1/runs", json!({"workflow": "t/asks", "name": "ask"})).await;
    assert_eq!(run.status, StatusCode::CREATED);
    assert_eq!(up.get("/api/v1/approvals:count").await.json(), json!({"waiting": 1}));
    assert_eq!(up.get("/api/v1/runs").await.json()["items"][0]["waiting_for_human"], 1);
    let waiting = up.get("/api/v1/approvals").await.json();
    let items = waiting.as_array().unwrap();
    assert_eq!((items.len(), &items[0]["title"], &items[0]["run"]), (1, &json!("Sign it"), &json!("ask")));
    let decide = async |user: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("x-tutti-user", user)];
        up.call(hyper::Method::POST, "/api/v1/runs/ask/decision", &headers, body.to_string().into()).await
    };
    decide("ada", json!({"decision": "approve"})).await.is_problem(400, "E0009");
    decide("bob", json!({"decision": "approve", "form": {"note": "n"}})).await.is_problem(403, "E0005");
    decide("ada", json!({"decision": "perhaps", "form": {"note": "n"}})).await.is_problem(400, "E0001");
    let decided = decide("ada", json!({"decision": "approve", "form": {"note": "fine"}})).await;
    assert_eq!(decided.status, StatusCode::OK, "{}", decided.text());
    let run = up.get("/api/v1/runs/ask?wait=30").await.json();
    assert_eq!(run["outputs"], json!({"decision": "approve"}));
    decide("ada", json!({"decision": "approve", "form": {"note": "fine"}})).await.is_problem(404, "E0002");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_no_may_say_why_and_those_who_ask_later_read_it() {
    let up = Up::start().await;
    let text =
        "workflow: t/two\nnodes:\n  sign: {human: {title: Sign it, second: true}}\n  on: {use: core/noop, after: [sign]}\n";
    up.apply(text).await;
    up.post("/api/v1/runs", json!({"workflow": "t/two", "name": "two"})).await;
    let decide = async |user: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("x-tutti-user", user)];
        up.call(hyper::Method::POST, "/api/v1/runs/two/decision", &headers, body.to_string().into()).await
    };
    let approved = decide("ada", json!({"decision": "approve", "reason": "the figures are right"})).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text());
    let waiting = up.get("/api/v1/approvals").await.json();
    let [person] = waiting[0]["people"].as_array().unwrap().as_slice() else { panic!("{waiting}") };
    assert_eq!(
        (&person["by"], &person["did"], &person["reason"]),
        (&json!("ada"), &json!("approve"), &json!("the figures are right"))
    );
    decide("bob", json!({"decision": "reject", "reason": "x".repeat(5_000)})).await.is_problem(400, "E0001");
    let rejected = decide("bob", json!({"decision": "reject", "reason": "not this quarter"})).await;
    assert_eq!(rejected.status, StatusCode::OK, "{}", rejected.text());
    up.down().await;
}
