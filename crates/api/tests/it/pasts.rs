//! A run as it was, its graph, and what waits for sites.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::access::{token, token_with_role};
use super::support::Up;

const STEPS: &str = r#"
kind: site
name: own
capacity: {cpu: 1, memory: 1Gi}
attributes: {tier: paid}
---
kind: connector
name: t/work
version: 1
---
workflow: t/steps
nodes:
  first: {use: core/noop}
  all:
    after: [first]
    each: {items: [1, 2, 3], do: {use: core/noop, with: {item: "${ item }"}}}
  hold: {wait: {signal: go}, after: [all]}
  last: {use: core/noop, after: [hold]}
outputs: {said: "${ nodes.hold.said }"}
---
workflow: t/queue
nodes:
  big: {use: t/work, needs: {cpu: 1, site: {tier: paid}}}
"#;

/// Starts a run that has come to its signal, and gives the position then.
async fn held(up: &Up) -> u64 {
    up.apply(STEPS).await;
    let run = up.post("/api/v1/runs", json!({"workflow": "t/steps", "name": "s"})).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text());
    for _ in 0..600 {
        let answer = up.get("/api/v1/runs/s/outlook").await;
        if answer.json()["waits"][0]["kind"] == "signal" {
            return position(up).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it never came to its signal")
}

async fn position(up: &Up) -> u64 {
    up.get("/api/v1/runs/s").await.header("tutti-position").parse().unwrap()
}

fn phases(run: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    run["actions"].as_array().unwrap().iter().map(|one| (text(&one["path"]), text(&one["phase"]))).collect()
}

/// The nodes of a graph with how each stands and what is below it.
fn stands(graph: &Value) -> Vec<(Value, Value, Value)> {
    let node = |node: &Value| (node["id"].clone(), node["action"]["phase"].clone(), node["below"].clone());
    graph["nodes"].as_array().unwrap().iter().map(node).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_as_it_was_at_every_door_of_it() {
    let up = Up::start().await;
    let before = up.get("/api/v1/runs").await.header("tutti-position").parse::<u64>().unwrap();
    let then = held(&up).await;
    let shown = up.get("/api/v1/runs/s").await.json();
    let tiles = up.get("/api/v1/runs/s/tiles").await.json();
    let graph = up.get("/api/v1/runs/s/graph").await.json();
    up.post("/api/v1/runs/s/signal", json!({"name": "go", "payload": {"said": "yes"}})).await;
    let end = up.get("/api/v1/runs/s?wait=30").await.json();
    assert_eq!((&end["phase"], &end["outputs"]), (&json!("succeeded"), &json!({"said": "yes"})));

    let past = up.get(&format!("/api/v1/runs/s?position={then}")).await.json();
    for field in ["phase", "cost", "actions_total", "actions_done", "inputs", "submitted_at"] {
        assert_eq!(past[field], shown[field], "{field}");
    }
    assert_eq!(phases(&past), phases(&shown));
    assert!(past.get("outputs").is_none() && past.get("finished_at").is_none(), "{past}");
    let moment = &past["moment"];
    assert!(moment["position"].as_u64().unwrap() <= then, "{moment}");
    assert_eq!((&moment["phases"], &moment["running"]), (&json!({"running": 1, "succeeded": 5}), &json!(0)), "{moment}");
    assert_eq!(moment["waits"][0]["words"], "the signal go");
    assert_eq!(up.get(&format!("/api/v1/runs/s/tiles?position={then}")).await.json(), tiles);
    assert_eq!(stands(&up.get(&format!("/api/v1/runs/s/graph?position={then}")).await.json()), stands(&graph));
    let found = up.get(&format!("/api/v1/runs/s/actions?position={then}&find=FIR")).await.json();
    let paths: Vec<_> = found["items"].as_array().unwrap().iter().map(|action| action["path"].clone()).collect();
    assert_eq!(paths, ["first"]);
    let actions = up.get(&format!("/api/v1/runs/s/actions?position={then}")).await.json();
    assert_eq!(actions["items"].as_array().unwrap().len(), 6);
    let hold = up.get(&format!("/api/v1/runs/s/action?path=hold&position={then}")).await.json();
    assert_eq!((&hold["phase"], hold.get("output")), (&json!("running"), None), "{hold}");
    // In time as well; going back and forth makes no difference.
    for _ in 0..2 {
        let late = up.get("/api/v1/runs/s?at=2999-01-01T00:00:00Z").await.json();
        assert_eq!((&late["phase"], &late["outputs"]), (&json!("succeeded"), &json!({"said": "yes"})), "{late}");
        assert_eq!(phases(&up.get(&format!("/api/v1/runs/s?position={then}")).await.json()), phases(&shown));
    }
    up.get(&format!("/api/v1/runs/s/action?path=last&position={then}")).await.is_problem(404, "E0002");
    up.get(&format!("/api/v1/runs/s?position={before}")).await.is_problem(404, "E0002");
    up.get("/api/v1/runs/s?at=soon").await.is_problem(400, "E0001");
    up.get("/api/v1/runs/s/tiles?at=2999-01-01T00:00:00Z&position=4").await.is_problem(400, "E0001");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_of_a_run_is_the_one_that_it_runs_and_counts_what_is_below_a_node() {
    let up = Up::start().await;
    held(&up).await;
    // Another version with other nodes changes nothing for the run.
    up.apply("workflow: t/steps\nnodes:\n  other: {use: core/noop}\n").await;
    let graph = up.get("/api/v1/runs/s/graph").await.json();
    let nodes = graph["nodes"].as_array().unwrap();
    let ids: Vec<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["first", "all", "hold", "last"]);
    assert_eq!(graph["inputs"], json!([]));
    assert_eq!(
        (&nodes[1]["kind"], &nodes[1]["after"], &nodes[1]["below"]),
        (&json!("each"), &json!([0]), &json!({"succeeded": 3}))
    );
    assert_eq!((&nodes[2]["action"]["phase"], nodes[3].get("action")), (&json!("running"), None), "{graph}");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_site_stands_in_its_queue_with_why() {
    let up = Up::start().await;
    up.apply(STEPS).await;
    let queue = async || {
        let queues = up.get("/api/v1/sites/queues?site=own").await.json();
        queues[0].clone()
    };
    assert_eq!((&queue().await["waiting"], &queue().await["items"]), (&json!(0), &json!([])));
    // The first is placed and waits for its worker; then the site takes no more.
    up.post("/api/v1/runs", json!({"workflow": "t/queue", "name": "one"})).await;
    for _ in 0..600 {
        if queue().await["waiting"] == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    up.post("/api/v1/sites/own/cordon", json!({})).await;
    up.post("/api/v1/runs", json!({"workflow": "t/queue", "name": "two"})).await;
    let mut found = queue().await;
    for _ in 0..600 {
        if found["waiting"] == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        found = queue().await;
    }
    let items = found["items"].as_array().unwrap();
    let of = |run: &str| items.iter().find(|item| item["run"] == run).unwrap()["why"].as_str().unwrap();
    assert_eq!(of("one"), "a worker that serves t/work@1", "{found}");
    assert!(of("two").starts_with("it to take work: "), "{found}");
    assert!(found["since"].is_string() && items.iter().all(|item| item["path"] == "big" && item["actions"] == 1), "{found}");
    let others = up.get("/api/v1/sites/queues").await.json();
    let waiting: u64 = others.as_array().unwrap().iter().map(|queue| queue["waiting"].as_u64().unwrap()).sum();
    assert_eq!(waiting, 2, "{others}");
    up.get("/api/v1/sites/queues?site=nowhere").await.is_problem(404, "E0002");
    up.down().await;
}

/// A workflow that hands on the file that it is given.
const FILES: &str = r#"
workflow: t/files
inputs: {file: {type: artifact}}
nodes:
  keep: {use: core/noop, with: {file: "${ inputs.file }"}}
outputs: {file: "${ nodes.keep.file }"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_has_versions_from_run_to_run_each_with_where_it_lies() {
    let up = Up::start().await;
    up.apply(FILES).await;
    let mut digests = Vec::new();
    // The third run has the content of the first again.
    for (name, content) in [("table.csv", "a"), ("table.csv", "b"), ("table.csv", "a"), ("other.csv", "c")] {
        let file = up.call(Method::PUT, &format!("/api/v1/artifacts?name={name}"), &[], content.into()).await.json();
        digests.push(file["$artifact"]["digest"].as_str().unwrap().to_owned());
        let run = up.run("t/files", json!({"file": file})).await;
        assert_eq!(run["phase"], "succeeded", "{run}");
    }
    let found = up.get(&format!("/api/v1/artifacts/{}/versions", digests[0])).await.json();
    assert_eq!((&found["name"], &found["workflow"], &found["more"]), (&json!("table.csv"), &json!("t/files"), &json!(false)));
    let versions: Vec<(u64, &str)> = found["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["version"].as_u64().unwrap(), one["digest"].as_str().unwrap()))
        .collect();
    assert_eq!(versions, [(2, digests[1].as_str()), (1, digests[0].as_str())], "{found}");
    assert_eq!(found["versions"][0]["sites"], json!(["local"]), "{found}");
    assert_eq!(up.get(&format!("/api/v1/artifacts/{}/versions", digests[1])).await.json()["versions"], found["versions"]);
    let list = up.get("/api/v1/artifacts").await.json();
    assert!(list.as_array().unwrap().iter().all(|one| one["sites"] == json!(["local"])), "{list}");
    let nothing = format!("sha256:{}", "0".repeat(64));
    up.get(&format!("/api/v1/artifacts/{nothing}/versions")).await.is_problem(404, "E0002");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_values_sees_none_of_the_past_either() {
    let up = Up::start().await;
    let then = held(&up).await;
    up.post("/api/v1/runs/s/signal", json!({"name": "go", "payload": {"said": "the secret word"}})).await;
    assert_eq!(up.get("/api/v1/runs/s?wait=30").await.json()["phase"], "succeeded");
    let end = position(&up).await;
    let boss =
        up.post("/api/v1/tokens", json!({"name": "boss", "roles": ["admin"]})).await.json()["token"].as_str().unwrap().to_owned();
    let boss = format!("Bearer {boss}");
    let headers = [("authorization", boss.as_str()), ("content-type", "application/json")];
    let made = up
        .call(Method::POST, "/api/v1/tokens", &headers, json!({"name": "audrey", "roles": ["auditor"]}).to_string().into())
        .await;
    let audrey = format!("Bearer {}", made.json()["token"].as_str().unwrap());
    let ask = async |who: &str, path: String| up.call(Method::GET, &path, &[("authorization", who)], Default::default()).await;
    for position in [then, end] {
        for path in ["", "/action?path=hold&", "/graph?", "/actions?"] {
            let path = if path.is_empty() {
                format!("/api/v1/runs/s?position={position}")
            } else {
                format!("/api/v1/runs/s{path}position={position}")
            };
            let (seen, told) = (ask(&boss, path.clone()).await, ask(&audrey, path.clone()).await);
            assert_eq!((seen.status, told.status), (StatusCode::OK, StatusCode::OK), "{path}");
            assert!(!told.text().contains("the secret word"), "{path}: {}", told.text());
        }
        let run = ask(&audrey, format!("/api/v1/runs/s?position={position}")).await.json();
        assert!(run["withheld"].is_object() && run.get("inputs").is_none() && run.get("outputs").is_none(), "{run}");
        let action = ask(&audrey, format!("/api/v1/runs/s/action?path=hold&position={position}")).await.json();
        assert!(action["withheld"].is_object() && action.get("output").is_none(), "{action}");
    }
    assert!(ask(&boss, format!("/api/v1/runs/s?position={end}")).await.text().contains("the secret word"));
    assert_eq!(ask("Bearer nobody.00", format!("/api/v1/runs/s/graph?position={end}")).await.status, StatusCode::UNAUTHORIZED);
    up.down().await;
}

/// Nobody reads what is of the project `secret` but its own people.
const SECRET: &str = "kind: policy
name: secret
cedar: |
  @id(\"own-people\")
  @reason(\"it is nobody else's\")
  forbid (principal, action == Action::\"read\", resource in Project::\"secret\") unless { principal in Role::\"admin\" };
";

async fn as_(up: &Up, who: &str, path: &str) -> Value {
    let answer = up.call(Method::GET, path, &[("authorization", who)], bytes::Bytes::new()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_counts_what_is_of_a_project_that_one_may_not_read_and_does_not_name_it() {
    let up = Up::start().await;
    up.apply(STEPS).await;
    up.apply("workflow: secret/queue\nnodes:\n  big: {use: t/work, needs: {cpu: 1, site: {tier: paid}}}\n").await;
    up.apply(SECRET).await;
    up.post("/api/v1/sites/own/cordon", json!({})).await;
    for (workflow, name) in [("secret/queue", "hidden"), ("t/queue", "open")] {
        up.post("/api/v1/runs", json!({"workflow": workflow, "name": name})).await;
    }
    let admin = token(&up, "root", &["admin"], "").await;
    let viewer = token_with_role(&up, "eve", "viewer", &admin).await;
    let address = "/api/v1/sites/queues?site=own";
    let mut all = as_(&up, &admin, address).await;
    for _ in 0..600 {
        if all[0]["waiting"] == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        all = as_(&up, &admin, address).await;
    }
    let named =
        |queues: &Value| queues[0]["items"].as_array().unwrap().iter().map(|item| item["run"].clone()).collect::<Vec<_>>();
    assert_eq!(named(&all), ["hidden", "open"], "{all}");
    // One after the other, and at once: what is read for one is not handed to the other.
    for _ in 0..3 {
        let (some, all) = tokio::join!(as_(&up, &viewer, address), as_(&up, &admin, address));
        assert_eq!((named(&some), &some[0]["waiting"]), (vec![json!("open")], &json!(2)), "{some}");
        assert_eq!(named(&all), ["hidden", "open"], "{all}");
        assert!(!some.to_string().contains("hidden"), "{some}");
    }
    up.down().await;
}

/// Names are for administrators.
const EYES: &str = "kind: tag
name: pii
owners: [officers]
---
kind: policy
name: eyes
cedar: |
  @id(\"eyes\")
  @reason(\"names are for officers\")
  forbid (principal, action == Action::\"view\", resource) when { context.data in Tag::\"pii\" } unless { principal in Role::\"admin\" };
";

const NAMED: &str = "workflow: t/named
inputs: {who: {type: string, labels: [pii]}}
nodes:
  look: {use: core/noop, with: {who: '${ inputs.who }'}}
outputs: {who: '${ nodes.look.who }'}
";

#[tokio::test(flavor = "multi_thread")]
async fn looking_back_shows_no_value_that_may_not_be_seen_by_now_or_is_destroyed() {
    let up = Up::start().await;
    up.apply("kind: tag\nname: pii\nowners: [officers]\n").await;
    up.apply(NAMED).await;
    up.post("/api/v1/runs?wait=30", json!({"workflow": "t/named", "name": "n", "inputs": {"who": "Ada Lovelace"}})).await;
    let then = position(&up).await;
    let admin = token(&up, "root", &["admin"], "").await;
    let viewer = token_with_role(&up, "eve", "viewer", &admin).await;
    let doors = [
        format!("/api/v1/runs/n?position={then}"),
        format!("/api/v1/runs/n/action?path=look&position={then}"),
        format!("/api/v1/runs/n/graph?position={then}"),
    ];
    assert!(as_(&up, &viewer, &doors[0]).await.to_string().contains("Lovelace"));
    assert!(as_(&up, &viewer, &doors[1]).await.to_string().contains("Lovelace"));
    // A rule of today holds for what was then, too.
    let headers = [("authorization", admin.as_str()), ("content-type", "application/json")];
    let applied = json!({"documents": [{"path": "rules.yaml", "text": EYES}]}).to_string();
    assert_eq!(up.call(Method::POST, "/api/v1/apply", &headers, applied.into()).await.status, StatusCode::OK);
    for door in &doors {
        let seen = as_(&up, &viewer, door).await;
        assert!(!seen.to_string().contains("Lovelace"), "{door}: {seen}");
        assert_eq!(as_(&up, &admin, door).await.to_string().contains("Lovelace"), !door.contains("graph"), "{door}");
    }
    let withheld = as_(&up, &viewer, &doors[0]).await["withheld"].clone();
    assert_eq!(withheld["label"], json!(["pii"]), "{withheld}");
    // What is erased was, and is no more: nobody looks back at it.
    let erased = up.call(Method::POST, "/api/v1/erase", &headers, json!({"runs": ["n"]}).to_string().into()).await;
    assert_eq!(erased.status, StatusCode::OK, "{}", erased.text());
    for door in &doors {
        let seen = as_(&up, &admin, door).await;
        assert!(!seen.to_string().contains("Lovelace"), "{door}: {seen}");
    }
    assert_eq!(as_(&up, &admin, &doors[0]).await["phase"], "succeeded");
    up.down().await;
}
