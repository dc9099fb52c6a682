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
async fn a_call_of_a_webhook_names_no_artifact() {
    let up = Up::start().await;
    up.apply(TRIGGERS).await;
    let put = up.call(Method::PUT, "/api/v1/artifacts?name=a", &[], Bytes::from_static(b"of somebody")).await.json();
    let (now, body) = ((controlplane::wall().0 / 1_000_000).to_string(), json!({ "deep": [put] }).to_string());
    let signature = sign(&now, &body);
    let headers = [("x-tutti-timestamp", now.as_str()), ("x-tutti-signature", signature.as_str())];
    up.call(Method::POST, "/hooks/hook", &headers, Bytes::from(body)).await.is_problem(403, "E0005");
    assert_eq!(up.get("/api/v1/runs").await.json()["items"], json!([]));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_could_start_nothing_says_why() {
    let up = Up::start().await;
    let hook = "workflow: t/hook\ninputs: {event: {type: object}}\nnodes:\n  a: {use: core/noop, with: {got: '${ inputs.event }'}}\n---\nkind: trigger\nname: hook\nworkflow: t/hook\nwebhook: {secret_env: TUTTI_TEST_NO_SUCH_SECRET}\n---\nkind: trigger\nname: daily\nworkflow: t/ask\nevery: 1d\n---\nworkflow: t/ask\nnodes:\n  a: {human: {title: Go on?}}\n";
    let applied = up.post("/api/v1/apply", json!({"documents": [{"path": "t.yaml", "text": hook}]})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text());
    let applied = applied.json();
    let finding = &applied["diagnostics"][0]["finding"];
    assert_eq!((&finding["code"], &finding["severity"]), (&json!("W0208"), &json!("warning")), "{applied}");
    // Where it stands: at the webhook, and the trigger is named.
    let rendered = applied["rendered"].as_str().unwrap();
    assert!(rendered.contains("t.yaml:9:") && rendered.contains("the trigger `hook`"), "{rendered}");
    let trouble = up.get("/api/v1/triggers/hook").await.json()["trouble"].clone();
    assert!(trouble.as_str().unwrap().contains("`TUTTI_TEST_NO_SUCH_SECRET`"), "{trouble}");
    assert!(up.get("/api/v1/triggers/daily").await.json().get("trouble").is_none());
    // What a trigger starts is not deleted by mistake.
    let refused = up.call(Method::DELETE, "/api/v1/resources/workflow/t/ask", &[], Bytes::new()).await;
    let text = refused.text();
    assert!(text.contains("the trigger `daily` starts it") && text.contains("--force"), "{text}");
    refused.is_problem(409, "E0004");
    let forced = up.call(Method::DELETE, "/api/v1/resources/workflow/t/ask?force=true", &[], Bytes::new()).await;
    assert_eq!(forced.status, StatusCode::OK, "{}", forced.text());
    let trouble = up.get("/api/v1/triggers/daily").await.json()["trouble"].clone();
    assert!(trouble.as_str().unwrap().contains("`t/ask`, which is not there"), "{trouble}");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_another_runs_is_not_deleted_and_findings_stand_at_the_trigger() {
    let up = Up::start().await;
    up.apply("workflow: t/inner\nnodes:\n  a: {use: core/noop, with: {}}\n---\nworkflow: t/outer\nnodes:\n  each:\n    each: {items: '${ [1, 2] }', do: {workflow: t/inner}}\n").await;
    let refused = up.call(Method::DELETE, "/api/v1/resources/workflow/t/inner", &[], Bytes::new()).await;
    assert!(refused.text().contains("the workflow `t/outer` runs it"), "{}", refused.text());
    assert_eq!(up.call(Method::DELETE, "/api/v1/resources/workflow/t/outer", &[], Bytes::new()).await.status, StatusCode::OK);
    assert_eq!(up.call(Method::DELETE, "/api/v1/resources/workflow/t/inner", &[], Bytes::new()).await.status, StatusCode::OK);
    let wrong = "# A comment\nkind: trigger\nname: first\nworkflow: t/none\nevery: 1d\n---\nkind: trigger\nname: second\nworkflow: t/none\nschedule: {cron: nonsense}\n";
    let checked = up.post("/api/v1/check", json!({"documents": [{"path": "t.yaml", "text": wrong}]})).await.json();
    let rendered = checked["rendered"].as_str().unwrap();
    for wanted in ["t.yaml:4:", "t.yaml:9:", "t.yaml:10:", "the trigger `first`", "the trigger `second`"] {
        assert!(rendered.contains(wanted), "{wanted}: {rendered}");
    }
    up.down().await;
}
