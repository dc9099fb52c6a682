//! The reference worker in Python against the server.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::support::Up;

const DOUBLE: &str = r#"
kind: connector
name: demo/double
version: 1
inputs: {type: object, properties: {n: {type: integer}}, required: [n]}
outputs: {type: object, properties: {n: {type: integer}}}
---
workflow: t/twice
inputs: {n: {type: integer}}
nodes:
  a: {use: demo/double, with: {n: "${ inputs.n }"}}
  b: {use: demo/double, with: {n: "${ nodes.a.n }"}}
outputs: {n: "${ nodes.b.n }"}
"#;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_worker_works() {
    let up = Up::start().await;
    up.apply(DOUBLE).await;
    let worker = Command::new("python3")
        .args(["-m", "tutti_worker", &format!("http://{}", up.address)])
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../../python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .spawn();
    let _worker = Running(worker.expect("python3 is there"));
    let run = up.run("t/twice", json!({"n": 5})).await;
    assert_eq!((&run["phase"], &run["outputs"]), (&json!("succeeded"), &json!({"n": 20})), "{run}");
    let runs: Vec<_> = (0..100).map(|n| json!({"workflow": "t/twice", "inputs": {"n": n}})).collect();
    let many = up.post("/api/v1/runs:batch?wait=30", json!({"runs": runs})).await.json();
    for (n, result) in many.as_array().unwrap().iter().enumerate() {
        let run = up.get(&format!("/api/v1/runs/{}?wait=30", result["number"])).await.json();
        assert_eq!(run["outputs"], json!({"n": 4 * n}), "{run}");
    }
    let failed = up.run("t/twice", json!({"n": -1})).await;
    let whole = up.get(&format!("/api/v1/runs/{}", failed["number"])).await.json();
    let failure = &whole["actions"][0]["failure"];
    assert_eq!((&whole["phase"], &failure["class"]), (&json!("failed"), &json!("quota")), "{whole}");
    up.down().await;
}
