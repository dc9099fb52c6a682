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

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_shows_when_it_is_due_and_what_became_of_its_firings() {
    let up = Up::start().await;
    up.apply(
        "workflow: t/ask\nnodes:\n  a: {human: {title: Go on?}}\n---\nkind: trigger\nname: asks\nworkflow: t/ask\nevent: {name: seen}\noverlap: skip\n---\nkind: trigger\nname: daily\nworkflow: t/ask\nevery: 1d\n",
    )
    .await;
    for _ in 0..2 {
        assert_eq!(up.post("/api/v1/events", json!({"name": "seen"})).await.status, StatusCode::OK);
    }
    let seen = up.get("/api/v1/triggers/asks").await.json();
    assert_eq!((&seen["starts"], &seen["overlap"], &seen["next_due"]), (&json!("event seen"), &json!("skip"), &json!(null)));
    let firings = seen["firings"].as_array().unwrap();
    assert_eq!((&firings[0]["left_out"], &firings[0]["run"]), (&json!("still_runs"), &json!(null)));
    assert_eq!((&firings[1]["left_out"], &firings[1]["phase"]), (&json!(null), &json!("running")));
    let daily = up.get("/api/v1/triggers/daily").await.json();
    assert!(daily["next_due"].is_string() && daily["definition"]["workflow"] == "t/ask", "{daily}");
    let first = up.get("/api/v1/triggers?limit=1").await.json();
    assert_eq!((first.as_array().unwrap().len(), &first[0]["name"]), (1, &json!("asks")));
    assert_eq!(first[0]["firings"].as_array().unwrap().len(), 1);
    assert_eq!(up.get("/api/v1/triggers?cursor=asks").await.json()[0]["name"], "daily");
    up.get("/api/v1/triggers/none").await.is_problem(404, "E0002");
    up.down().await;
}
