//! The language at the door: what somebody could send as a workflow, and what evaluating could take.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::runs::HELLO;
use super::support::Up;

/// The codes of the findings of a file, which is not accepted.
async fn refused(up: &Up, text: String) -> Vec<String> {
    let answer = up.post("/api/v1/check", json!({"documents": [{"path": "w.workflow.yaml", "text": text}]})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let found = answer.json()["diagnostics"].as_array().unwrap_or(&Vec::new()).clone();
    let codes = found.iter().map(|finding| finding["finding"]["code"].as_str().unwrap().to_owned()).collect();
    let applied = up.post("/api/v1/apply", json!({"documents": [{"path": "w.workflow.yaml", "text": text}]})).await;
    assert_eq!(applied.status, StatusCode::BAD_REQUEST, "{}", applied.text());
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_written_as_json_are_read_like_others() {
    let up = Up::start().await;
    let graph = |nodes: Value| json!({"workflow": "t/json", "nodes": nodes}).to_string();
    up.apply(&graph(json!({"a": {"use": "core/noop", "with": {"x": [1, {"y": "${ run.name }"}]}}}))).await;
    let run = up.run("t/json", json!({})).await;
    assert_eq!(run["phase"], "succeeded");
    // Deep, in values and in expressions; many; over every limit.
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for inner in [deep("[", "]"), deep("{\"a\":", "}")] {
        let text = format!(
            "{{\"workflow\": \"t/json\", \"nodes\": {{\"a\": {{\"use\": \"core/noop\", \"with\": {{\"x\": {inner}}}}}}}}}"
        );
        // The limit of the language, or one of the reader of YAML.
        let found = refused(&up, text).await;
        assert!(matches!(found.as_slice(), [code] if code == "W0005" || code == "W0002"), "{found:?}");
    }
    let expression = |source: String| graph(json!({"a": {"use": "core/noop", "with": {"x": format!("${{ {source} }}")}}}));
    for source in [
        "(".repeat(1_000) + "1" + &")".repeat(1_000),
        "!".repeat(4_000) + "true",
        "[".repeat(40) + &"]".repeat(40),
        "1+".repeat(2_000) + "1",
    ] {
        assert_eq!(refused(&up, expression(source)).await, ["W0304"]);
    }
    let many: serde_json::Map<String, Value> =
        (0..50_000).map(|index| (format!("n{index}"), json!({"use": "core/noop"}))).collect();
    assert_eq!(refused(&up, graph(Value::Object(many))).await, ["W0001"]);
    assert_eq!(refused(&up, "x".repeat(5 << 20)).await, ["W0001"]);
    // And the server is as it was.
    up.apply(HELLO).await;
    assert_eq!(up.run("t/hello", json!({})).await["phase"], "succeeded");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_would_make_gigabytes_fails_its_node() {
    let up = Up::start().await;
    up.apply(
        "workflow: t/large\ninputs: {text: string, items: {type: array, items: {type: integer}, maxItems: 10000}}\nnodes:\n  \
         big: {use: core/noop, with: {all: \"${ inputs.items.map(i, inputs.text + 'x') }\"}}\noutputs: {n: \"${ nodes.big.all.size() }\"}\n",
    )
    .await;
    let inputs = json!({"text": "x".repeat(900 << 10), "items": vec![0; 10_000]});
    let run = up.run("t/large", inputs).await;
    assert_eq!(run["phase"], "failed");
    let failure = run["failure"].to_string();
    assert!(failure.contains("expression") && failure.contains("W0304"), "{failure}");
    // A small one of the same workflow goes through.
    assert_eq!(up.run("t/large", json!({"text": "x", "items": [1, 2]})).await["outputs"], json!({"n": 2}));
    up.down().await;
}
