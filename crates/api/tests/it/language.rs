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

const WRITTEN: &str = "workflow: t/written
inputs: {bar: {type: number, default: 0.5, labels: [internal]}}
nodes:
  count:
    run: [\"true\"]
    outputs: {rows: integer, parts: {type: array, items: {type: string}}}
  all: {each: {items: \"${ nodes.count.parts }\", do: {use: core/noop, with: {x: \"${ item }\"}}}}
  broken: {use: no/such}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_is_told_what_expressions_see() {
    let up = Up::start().await;
    let scope = |node: Value| up.post("/api/v1/expressions/scope", json!({"text": WRITTEN, "node": node}));
    let found = scope(Value::Null).await.json();
    assert_eq!(found["names"]["nodes"]["fields"]["count"]["fields"]["rows"]["name"], "a whole number");
    assert_eq!(found["names"]["inputs"]["fields"]["bar"]["labels"], json!(["internal"]));
    assert_eq!(found["names"]["nodes"]["fields"]["count"]["fields"]["parts"]["item"]["name"], "a text");
    assert!(found["functions"].as_array().unwrap().contains(&json!("size")));
    assert_eq!(found["names"]["item"], Value::Null);
    assert_eq!(scope("all".into()).await.json()["names"]["item"]["name"], "a text");
    // What cannot be read has no names, and is no error: findings say what is wrong with it.
    assert_eq!(up.post("/api/v1/expressions/scope", json!({"text": "a: ["})).await.json()["names"], json!({}));
    up.post("/api/v1/expressions/scope", json!({"text": "", "files": {"a": "no base64!"}})).await.is_problem(400, "E0001");
    up.post("/api/v1/expressions/scope", json!({"text": "", "workflow": "t/nobody"})).await.is_problem(404, "E0002");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_are_tried_with_given_values_within_the_bounds_of_a_run() {
    let up = Up::start().await;
    let values = json!({"inputs": {"bar": 0.5}, "nodes": {"count": {"rows": 42, "parts": ["a"]}}, "item": "a", "index": 3});
    let asked = ["nodes.count.rows > inputs.bar", "nodes.count.parts + 1", "nodes.nobody", "index + 1", "nodes.all[0]"];
    let body = json!({"expressions": asked, "text": WRITTEN, "node": "all", "values": values});
    let found = up.post("/api/v1/expressions/evaluate", body).await.json();
    assert_eq!((&found[0]["type"], &found[0]["value"]), (&json!("a boolean"), &json!(true)));
    assert_eq!((&found[0]["labels"], &found[0]["nodes"]), (&json!(["internal"]), &json!(["count"])));
    assert_eq!((&found[1]["problem"]["code"], &found[1]["value"]), (&json!("W0303"), &Value::Null));
    assert_eq!(found[2]["problem"]["code"], "W0201");
    assert_eq!(found[3]["value"], 4);
    // It is right, and there is no value for it.
    assert!(found[4]["failed"].is_string() && found[4]["problem"].is_null(), "{found}");
    // Many large ones share the bound of one.
    let large =
        json!({"expressions": vec!["inputs.text + inputs.text"; 200], "values": {"inputs": {"text": "x".repeat(900 << 10)}}});
    let found = up.post("/api/v1/expressions/evaluate", large).await.json();
    assert!(found[0]["value"].is_string() && found[199]["failed"].is_string());
    up.post("/api/v1/expressions/evaluate", json!({"expressions": vec!["1"; 201]})).await.is_problem(413, "E0007");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_may_refer_to_files_that_are_sent_with_it() {
    let up = Up::start().await;
    let text = "workflow: t/files\nnodes:\n  a: {run: {command: [python, a.py], files: [a.py]}}\n  b: {human: {title: x, form: {$ref: ./f.json}}}\n";
    let bare = up.post("/api/v1/edit", json!({"text": text})).await.json();
    assert_eq!(bare["findings"].as_array().unwrap().len(), 2, "{bare}");
    let form = r#"{"type": "object", "properties": {"why": {"type": "string"}}}"#;
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let files = json!({"a.py": encode("print(1)"), "f.json": encode(form)});
    let with = up.post("/api/v1/edit", json!({"text": text, "files": files, "graph": false})).await.json();
    assert_eq!((&with["findings"], &with["graph"]), (&json!([]), &Value::Null));
    let scope = up.post("/api/v1/expressions/scope", json!({"text": text, "files": files})).await.json();
    assert_eq!(scope["names"]["nodes"]["fields"]["b"]["fields"]["why"]["name"], "a text");
    assert_eq!(up.post("/api/v1/policy/wires", json!({"text": text, "files": files})).await.json()["checked"], true);
    up.down().await;
}
