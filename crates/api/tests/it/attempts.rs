//! Attempts of actions, one by one.

use serde_json::json;

use super::support::{PATIENCE, Up};

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_told_with_where_it_was_and_why_it_came_to_nothing() {
    let up = Up::start().await;
    up.apply("kind: site\nname: here\ncapacity: {cpu: 2, memory: 1Gi}\n").await;
    // No process starts here: each attempt comes to nothing.
    up.apply("workflow: t/tries\nnodes:\n  try: {run: {command: [a]}, retry: {max: 2, backoff: 1ms..1ms}}\n").await;
    up.post("/api/v1/runs", json!({"workflow": "t/tries", "name": "tries"})).await;
    let look = async || up.get("/api/v1/runs/tries/action?path=try").await.json();
    let several = async {
        loop {
            let action = look().await;
            if action["earlier"].as_array().is_some_and(|earlier| !earlier.is_empty()) {
                break action;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let action = tokio::time::timeout(PATIENCE, several).await.unwrap();
    let earlier = action["earlier"].as_array().unwrap();
    assert!(action["attempts"].as_u64().unwrap() >= earlier.len() as u64, "{action}");
    for (at, attempt) in earlier.iter().enumerate() {
        assert_eq!((&attempt["attempt"], &attempt["site"]), (&json!(at + 1), &json!("here")));
        assert!(attempt["failure"]["message"].as_str().is_some_and(|said| !said.is_empty()), "{attempt}");
    }
    // An attempt that there never was has no log, and no site to look for it.
    up.get("/api/v1/runs/tries/logs?path=try&attempt=99").await.is_problem(404, "E0002");
    up.down().await;
}
