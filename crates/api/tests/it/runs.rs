//! Submitting, waiting, reading, ordering.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::Up;

pub(crate) const HELLO: &str = r#"
workflow: t/hello
inputs:
  who: {type: string, default: world}
nodes:
  greet:
    use: core/noop
    with: {who: "${ inputs.who }"}
  after:
    use: core/noop
    with: {again: "${ nodes.greet.who }"}
outputs: {greeting: "${ nodes.greet.who }"}
"#;

/// A run that goes on until it is told to end.
pub(crate) const WAITS: &str = r#"
workflow: t/waits
nodes:
  hold: {wait: {signal: go}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_submission_to_its_outputs() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let run = up.run("t/hello", json!({"who": "Ada"})).await;
    assert_eq!((&run["phase"], &run["outputs"]), (&json!("succeeded"), &json!({"greeting": "Ada"})));
    let name = run["name"].as_str().unwrap();
    let whole = up.get(&format!("/api/v1/runs/{name}")).await.json();
    assert_eq!(whole["inputs"], json!({"who": "Ada"}));
    let paths: Vec<&Value> = whole["actions"].as_array().unwrap().iter().map(|action| &action["path"]).collect();
    assert_eq!(paths, [&json!("greet"), &json!("after")]);
    let action = up.get(&format!("/api/v1/runs/{name}/action?path=greet")).await.json();
    assert_eq!((&action["input"], &action["output"]), (&json!({"who": "Ada"}), &json!({"who": "Ada"})));
    let by_number = up.get(&format!("/api/v1/runs/{}", run["number"])).await.json();
    assert_eq!(by_number["name"], run["name"]);
    let why = up.get(&format!("/api/v1/runs/{name}/explain?path=greet")).await.json();
    let why = &why[0];
    assert_eq!((&why["path"], &why["site"]), (&json!("greet"), &json!("local")));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_run_and_another_request_under_it_is_refused() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let body = json!({"workflow": "t/hello", "inputs": {"who": "Ada"}});
    let send = |body: Value| {
        up.call(
            Method::POST,
            "/api/v1/runs?wait=30",
            &[("content-type", "application/json"), ("idempotency-key", "k1")],
            body.to_string().into(),
        )
    };
    let first = send(body.clone()).await;
    let again = send(body.clone()).await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.json()["number"], again.json()["number"]);
    assert_eq!(again.json()["outputs"], json!({"greeting": "Ada"}));
    send(json!({"workflow": "t/hello", "inputs": {"who": "Bob"}})).await.is_problem(409, "E0018");
    send(json!({"workflow": "t/hello"})).await.is_problem(409, "E0018");
    let mut in_body = body.clone();
    in_body["idempotency_key"] = "k1".into();
    assert_eq!(up.post("/api/v1/runs", in_body).await.json()["number"], first.json()["number"]);
    // Both ways at once, saying different things.
    let mut other = body;
    other["idempotency_key"] = "k2".into();
    send(other).await.is_problem(400, "E0001");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_in_one_request() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let mut runs: Vec<Value> = (0..200).map(|n| json!({"workflow": "t/hello", "inputs": {"who": format!("n{n}")}})).collect();
    runs.push(json!({"workflow": "t/unknown"}));
    let answer = up.post("/api/v1/runs:batch?wait=30", json!({"runs": runs})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let results = answer.json();
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), 201);
    assert_eq!(results[200]["error"]["code"], "E0002");
    for (index, result) in results[..200].iter().enumerate() {
        let run = up.get(&format!("/api/v1/runs/{}", result["number"])).await.json();
        assert_eq!((&run["phase"], &run["outputs"]["greeting"]), (&json!("succeeded"), &json!(format!("n{index}"))));
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_runs_are_complete_and_bounded() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let runs: Vec<Value> = (0..23).map(|_| json!({"workflow": "t/hello"})).collect();
    up.post("/api/v1/runs:batch?wait=30", json!({"runs": runs})).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = up.get(&format!("/api/v1/runs?limit=5{cursor}")).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 5);
        seen.extend(items.iter().map(|run| run["number"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (23, &sorted));
    up.get("/api/v1/runs?limit=100000").await.is_problem(400, "E0001");
    up.get("/api/v1/runs?limit=0").await.is_problem(400, "E0001");
    up.get("/api/v1/runs?phase=dancing").await.is_problem(400, "E0001");
    up.get("/api/v1/runs?fase=failed").await.is_problem(400, "E0001");
    assert_eq!(up.get("/api/v1/runs?phase=failed").await.json()["items"], json!([]));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_count_every_run_of_the_hours_that_are_asked_for() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    assert_eq!(up.get("/api/v1/runs:totals").await.json()["runs"], 0);
    let runs: Vec<Value> = (0..123).map(|_| json!({"workflow": "t/hello"})).collect();
    up.post("/api/v1/runs:batch?wait=30", json!({"runs": runs})).await;
    // More than a page of the list holds. What was counted a moment ago may be shown again, so another span is asked for.
    let totals = up.get("/api/v1/runs:totals?hours=23").await.json();
    assert_eq!((&totals["runs"], &totals["open"]), (&json!(123), &json!(0)));
    assert_eq!(totals["phases"], json!({"succeeded": 123}));
    // The last moment holds none of them: they were submitted before it began.
    assert_eq!(up.get("/api/v1/runs:totals?hours=0").await.json()["runs"], 0);
    up.get("/api/v1/runs:totals?hours=-1").await.is_problem(400, "E0001");
    up.get("/api/v1/runs:totals?hours=1e9").await.is_problem(400, "E0001");
    up.get("/api/v1/runs:totals?days=1").await.is_problem(400, "E0001");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_to_a_run() {
    let up = Up::start().await;
    up.apply(WAITS).await;
    let run = up.post("/api/v1/runs", json!({"workflow": "t/waits", "name": "one"})).await;
    assert_eq!(run.status, StatusCode::CREATED);
    up.post("/api/v1/runs", json!({"workflow": "t/waits", "name": "one"})).await.is_problem(409, "E0003");
    assert_eq!(up.post("/api/v1/runs/one/pause", json!({})).await.json()["phase"], "paused");
    assert_eq!(up.post("/api/v1/runs/one/resume", json!({})).await.status, StatusCode::OK);
    let signalled = up.post("/api/v1/runs/one/signal", json!({"name": "go", "payload": {"x": 1}})).await;
    assert_eq!(signalled.status, StatusCode::OK, "{}", signalled.text());
    assert_eq!(up.get("/api/v1/runs/one?wait=30").await.json()["phase"], "succeeded");
    up.post("/api/v1/runs/one/cancel", json!({})).await.is_problem(409, "E0004");
    up.post("/api/v1/runs", json!({"workflow": "t/waits", "name": "two"})).await;
    up.post("/api/v1/runs/two/cancel", json!({"reason": "enough"})).await;
    assert_eq!(up.get("/api/v1/runs/two?wait=30").await.json()["phase"], "aborted");
    let again = up.post("/api/v1/runs/two/rerun", json!({})).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text());
    up.down().await;
}

pub(crate) const WIDE: &str = r#"
workflow: t/wide
inputs:
  items: {type: array, items: {type: integer}}
nodes:
  all:
    each:
      items: "${ inputs.items }"
      do: {use: core/noop, with: {n: "${ item }"}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_many_actions_is_drawn_from_few_tiles() {
    let up = Up::start().await;
    up.apply(WIDE).await;
    let run = up.run("t/wide", json!({"items": (0..500).collect::<Vec<_>>()})).await;
    assert_eq!(run["phase"], "succeeded");
    let address = format!("/api/v1/runs/{}/tiles", run["name"].as_str().unwrap());
    let whole = up.get(&format!("{address}?tiles=40")).await.json();
    let tiles = whole["tiles"].as_array().unwrap();
    assert!(tiles.len() <= 40, "{}", tiles.len());
    let count = |tiles: &[Value]| tiles.iter().map(|tile| tile["phases"]["succeeded"].as_u64().unwrap_or(0)).sum::<u64>();
    assert_eq!((whole["total"].as_u64(), count(tiles)), (Some(501), 501));
    // Looking closer at one of them gives its actions one by one.
    let (from, to) = (tiles[3]["from"].as_u64().unwrap(), tiles[3]["to"].as_u64().unwrap());
    let closer = up.get(&format!("{address}?from={from}&to={to}")).await.json();
    let closer = closer["tiles"].as_array().unwrap();
    assert_eq!((closer.len() as u64, count(closer)), (to - from, to - from));
    assert!(closer.iter().all(|tile| tile["first"] == tile["last"]));
    // Before it began there was nothing.
    let before = up.get(&format!("{address}?at=2020-01-01T00:00:00Z")).await.json();
    assert_eq!(before["tiles"], json!([]));
    up.get(&format!("{address}?at=yesterday")).await.is_problem(400, "E0001");
    up.get(&format!("{address}?tiles=0")).await.is_problem(400, "E0001");
    up.down().await;
}
