//! Webhooks and events from outside.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::{Method, StatusCode};
use serde_json::json;
use sha2::Sha256;

use super::support::Up;

/// The secret is read from the environment; this variable is there in every one.
const TRIGGERS: &str = r#"
workflow: t/hook
inputs: {event: {type: object, default: {}}}
nodes:
  a: {use: core/noop, with: {got: "${ inputs.event }"}}
outputs: {got: "${ nodes.a.got }"}
---
kind: trigger
name: hook
workflow: t/hook
webhook: {secret_env: PATH}
---
kind: trigger
name: arrived
workflow: t/hook
event: {name: arrived, match: {kind: parcel}}
"#;

fn sign(timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(std::env::var("PATH").unwrap().as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_fires_once_however_often_it_is_played() {
    let up = Up::start().await;
    up.apply(TRIGGERS).await;
    let now = controlplane::wall().0 / 1_000_000;
    let call = async |timestamp: u64, body: &str, signature: &str| {
        let timestamp = timestamp.to_string();
        let headers = [("x-tutti-timestamp", timestamp.as_str()), ("x-tutti-signature", signature)];
        up.call(Method::POST, "/hooks/hook", &headers, Bytes::from(body.to_owned())).await
    };
    let body = r#"{"n": 1}"#;
    let signature = sign(&now.to_string(), body);
    let first = call(now, body, &signature).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let again = call(now, body, &signature).await;
    assert_eq!(again.json()["run"], first.json()["run"], "played again, it is the same run");
    let other = call(now, r#"{"n": 2}"#, &sign(&now.to_string(), r#"{"n": 2}"#)).await;
    assert_ne!(other.json()["run"], first.json()["run"]);
    call(now, r#"{"n": 3}"#, &signature).await.is_problem(401, "E0006");
    call(now, body, "").await.is_problem(401, "E0006");
    let old = now - 3_600;
    call(old, body, &sign(&old.to_string(), body)).await.is_problem(401, "E0006");
    let name = first.json()["run"].as_str().unwrap().to_owned();
    let run = up.get(&format!("/api/v1/runs/{name}?wait=30")).await.json();
    assert_eq!((&run["outputs"], &run["origin"]), (&json!({"got": {"n": 1}}), &json!("trigger:hook")));
    assert_eq!(up.get("/api/v1/runs").await.json()["items"].as_array().unwrap().len(), 2);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_fires_the_triggers_that_match() {
    let up = Up::start().await;
    up.apply(TRIGGERS).await;
    let missed = up.post("/api/v1/events", json!({"name": "arrived", "payload": {"kind": "letter"}})).await;
    assert_eq!(missed.json(), json!({"runs": []}));
    let fired = up.post("/api/v1/events", json!({"name": "arrived", "payload": {"kind": "parcel", "id": 7}})).await.json();
    let run = up.get(&format!("/api/v1/runs/{}?wait=30", fired["runs"][0])).await.json();
    assert_eq!(run["outputs"], json!({"got": {"kind": "parcel", "id": 7}}));
    up.down().await;
}
