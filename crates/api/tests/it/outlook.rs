//! What a run waits for, what it would come to if something were different, and how busy sites were.

use api::rest::foresight_views::WaitView;
use controlplane::WaitsFor;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::support::Up;

/// Work that no worker serves, at sites of which the second is cheaper. The machine itself has no `tier`, and takes none of it.
const FLEET: &str = r#"
kind: site
name: own
capacity: {cpu: 4, memory: 8Gi}
attributes: {tier: paid, zone: home}
prices: {cpu_hour: 0.06}
---
kind: site
name: rented
capacity: {cpu: 8, memory: 16Gi}
attributes: {tier: paid, zone: cloud}
prices: {cpu_hour: 0.04}
---
kind: connector
name: t/double
version: 1
---
workflow: t/plan
nodes:
  a: {use: t/double, needs: {cpu: 1, site: {tier: paid}}}
  b: {use: t/double, after: [a], needs: {cpu: 1, site: {tier: paid}}}
"#;

async fn start(up: &Up, workflow: &str, name: &str) {
    let run = up.post("/api/v1/runs", json!({"workflow": workflow, "name": name})).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text());
}

/// Asks until something holds.
async fn until(up: &Up, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let answer = up.get(path).await.json();
        if holds(&answer) {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{path} never came to be as it should")
}

const WAITING: &str = r#"
workflow: t/waiting
nodes:
  ask: {human: {title: "Is it right?"}}
  go: {wait: {signal: secret-name}}
  later: {wait: {for: 1h}}
  mars: {run: ["true"], needs: {site: {zone: mars}}}
  huge: {run: ["true"], needs: {cpu: 4000}}
"#;

fn kinds(outlook: &Value) -> Vec<&str> {
    outlook["waits"].as_array().into_iter().flatten().filter_map(|wait| wait["kind"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_what_it_waits_for() {
    let up = Up::start().await;
    up.apply(FLEET).await;
    up.apply(WAITING).await;
    start(&up, "t/waiting", "w").await;
    let outlook = until(&up, "/api/v1/runs/w/outlook", |outlook| kinds(outlook).len() == 5).await;
    let of = |kind: &str| outlook["waits"].as_array().unwrap().iter().find(|wait| wait["kind"] == kind).unwrap().clone();
    assert_eq!((&of("person")["first"], &of("person")["actions"]), (&json!("ask"), &json!(1)));
    assert_eq!(of("signal")["words"], "the signal secret-name");
    assert!(of("time")["until"].is_string(), "{outlook}");
    let fits: Vec<Value> = outlook["waits"].as_array().unwrap().iter().filter(|wait| wait["kind"] == "fit").cloned().collect();
    let words: Vec<&str> = fits.iter().filter_map(|wait| wait["words"].as_str()).collect();
    assert!(words.iter().any(|words| words.contains("`zone` to be `mars`")), "{words:?}");
    assert!(words.iter().any(|words| words.contains("4000 cores")), "{words:?}");
    assert_eq!(outlook["running"], 0, "{outlook}");
    // One action says the same.
    let action = up.get("/api/v1/runs/w/action?path=mars").await.json();
    assert_eq!(action["wait"]["kind"], "fit", "{action}");
    // A run that somebody holds waits for that first.
    up.post("/api/v1/runs/w/pause", json!({})).await;
    let held = until(&up, "/api/v1/runs/w/outlook", |outlook| kinds(outlook).first() == Some(&"resume")).await;
    assert_eq!(held["waits"][0]["actions"], 0, "{held}");
    up.post("/api/v1/runs/w/resume", json!({})).await;
    // What waits for a worker says for which.
    start(&up, "t/plan", "p").await;
    let outlook = until(&up, "/api/v1/runs/p/outlook", |outlook| kinds(outlook) == ["worker"]).await;
    assert_eq!(outlook["waits"][0]["words"], "a worker that serves t/double@1");
    // The sites that its actions are or were at; none for those that have no place.
    assert_eq!(outlook["sites"], json!([{"name": "rented"}]), "{outlook}");
    assert_eq!(up.get("/api/v1/runs/w/outlook").await.json().get("sites"), None);
    assert!(outlook["to_come"]["ends_in_s"][1].as_f64().unwrap() > 0.0, "{outlook}");
    up.post("/api/v1/runs/w/cancel", json!({})).await;
    let over = until(&up, "/api/v1/runs/w/outlook", |outlook| outlook["run"]["phase"] == "aborted").await;
    assert!(over.get("waits").is_none() && over.get("to_come").is_none(), "{over}");
    up.down().await;
}

#[test]
fn the_description_names_every_kind_of_wait() {
    let api = serde_json::to_value(api::rest::description()).unwrap();
    let said = api["components"]["schemas"]["WaitView"]["properties"]["kind"]["description"].as_str().unwrap().to_owned();
    let said: Vec<&str> = said.trim_end_matches('.').split(", ").flat_map(|part| part.split(" or ")).collect();
    assert_eq!(said, WaitsFor::ALL.map(WaitsFor::as_str));
    let _: WaitView = serde_json::from_value(json!({"kind": "turn", "words": "", "actions": 1, "since": ""})).unwrap();
}

/// How many entries the log has.
async fn entries(up: &Up) -> Value {
    up.get("/api/v1/audit/status").await.json()["entries"].clone()
}

const NOT_RENTED: &str = "kind: policy\nname: not-rented\ncedar: |\n  @id(\"stays\")\n  @reason(\"nothing is rented\")\n  \
     forbid (principal, action in Action::\"place\", resource) when { resource.zone == \"cloud\" };\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_if_shows_another_plan_and_touches_nothing() {
    let up = Up::start().await;
    up.apply(FLEET).await;
    start(&up, "t/plan", "w").await;
    until(&up, "/api/v1/runs/w/outlook", |outlook| kinds(outlook) == ["worker"]).await;
    let ask = async |body: Value| {
        let answer = up.post("/api/v1/runs/w/whatif", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    // With nothing changed both sides are the same.
    let same = ask(json!({"action": "a"})).await;
    assert_eq!((&same["before"], &same["moved"]), (&same["after"], &json!([])), "{same}");
    assert_eq!(same["before"]["places"], json!({"a": "rented", "b": "rented"}));
    assert_eq!(same["after"]["placement"]["sites"][0]["site"], "rented");

    let dearer = ask(json!({"action": "a", "sites": [{"site": "rented", "cpu_hour": 1.0}]})).await;
    assert_eq!(dearer["moved"][0], json!({"path": "a", "from": "rented", "to": "own"}), "{dearer}");
    assert_eq!(dearer["after"]["placement"]["sites"][0]["site"], "own", "{dearer}");
    let cost = |side: &Value| side["to_come"]["cost"][1].as_f64().unwrap();
    assert!(cost(&dearer["after"]) > cost(&dearer["before"]), "{dearer}");

    let gone = ask(json!({"sites": [{"site": "rented", "gone": true}]})).await;
    assert_eq!(gone["after"]["places"], json!({"a": "own", "b": "own"}));

    // A rule that would forbid it says so; without any site left the run would wait, and says for what.
    let documents = json!([{"path": "rules.yaml", "text": NOT_RENTED}]);
    let ruled = ask(json!({"action": "a", "documents": documents})).await;
    assert_eq!(ruled["after"]["places"]["a"], "own", "{ruled}");
    let refused = ruled["after"]["placement"]["sites"].as_array().unwrap().iter().find(|site| site["site"] == "rented").unwrap();
    assert_eq!(refused["verdict"], "refused", "{ruled}");
    let none = ask(json!({"documents": documents, "sites": [{"site": "own", "gone": true}]})).await;
    assert!(none["after"]["nowhere"]["a"].as_str().unwrap().contains("nothing is rented"), "{none}");
    assert!(none["after"].get("to_come").is_none(), "{none}");
    // What stands behind it keeps its place.
    up.apply("workflow: t/behind\nnodes:\n  a: {use: t/double, needs: {cpu: 1, site: {zone: cloud}}}\n  b: {use: t/double, after: [a], needs: {cpu: 1, site: {zone: home}}}\n").await;
    start(&up, "t/behind", "behind").await;
    let behind = up.post("/api/v1/runs/behind/whatif", json!({"sites": [{"site": "rented", "gone": true}]})).await.json();
    assert_eq!(behind["moved"].as_array().map(Vec::len), Some(1), "{behind}");
    assert_eq!((&behind["moved"][0]["path"], &behind["after"]["places"]["b"]), (&json!("a"), &json!("own")), "{behind}");

    // A policy in force can be thought away.
    up.apply(NOT_RENTED).await;
    let without = ask(json!({"without": ["not-rented"]})).await;
    assert_eq!((&without["before"]["places"]["a"], &without["after"]["places"]["a"]), (&json!("own"), &json!("rented")));
    let applied = entries(&up).await;

    let late = ask(json!({"deadline_s": 0.0})).await;
    assert!(late["before"]["to_come"].get("p_late").is_none() && late["after"]["to_come"]["p_late"] == 1.0, "{late}");
    assert!(late["after"]["deadline"].is_string(), "{late}");

    up.post("/api/v1/runs/w/whatif", json!({"sites": [{"site": "nowhere", "cpu_hour": 1.0}]})).await.is_problem(404, "E0002");
    up.post("/api/v1/runs/w/whatif", json!({"sites": [{"site": "own", "cpu_hour": -1.0}]})).await.is_problem(400, "E0001");
    up.post("/api/v1/runs/w/whatif", json!({"without": ["nobody"]})).await.is_problem(404, "E0002");
    up.post("/api/v1/runs/w/whatif", json!({"action": "nobody"})).await.is_problem(404, "E0002");
    up.post("/api/v1/runs/none/whatif", json!({})).await.is_problem(404, "E0002");
    let site = json!([{"path": "a.yaml", "text": FLEET}]);
    up.post("/api/v1/runs/w/whatif", json!({"documents": site})).await.is_problem(400, "E0001");
    assert_eq!(applied, entries(&up).await);
    let run = up.get("/api/v1/runs/w").await.json();
    assert_eq!((&run["phase"], run["actions"].as_array().map(Vec::len)), (&json!("running"), Some(1)), "{run}");
    up.down().await;
}

const PARTS: &str = r#"
workflow: t/parts
inputs:
  n: {type: integer, default: 1}
  m: {type: integer, default: 1}
nodes:
  a: {use: core/noop, with: {n: "${ inputs.n }"}}
  b: {use: core/noop, with: {m: "${ inputs.m }"}}
  c: {use: core/noop, with: {b: "${ nodes.b.m }"}}
  d: {use: core/noop, with: {a: "${ nodes.a.n }", c: "${ nodes.c.b }"}}
  each:
    each: {items: [1, 2], do: {use: core/noop, with: {m: "${ inputs.m }", item: "${ item }"}}}
outputs: {a: "${ nodes.a.n }", c: "${ nodes.c.b }"}
"#;

fn again(plan: &Value) -> Vec<&str> {
    plan["again"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_takes_over_what_read_the_same_and_says_what() {
    let up = Up::start().await;
    up.apply(PARTS).await;
    let first =
        up.post("/api/v1/runs?wait=30", json!({"workflow": "t/parts", "name": "one", "inputs": {"n": 1, "m": 1}})).await.json();
    assert_eq!(first["phase"], "succeeded", "{first}");
    let plan = async |body: Value| up.post("/api/v1/runs/one/rerun/plan", body).await.json();
    let nothing = plan(json!({})).await;
    assert_eq!((again(&nothing), nothing["reused"].as_array().map(Vec::len)), (vec![], Some(5)), "{nothing}");
    // The same value is no change.
    assert_eq!(again(&plan(json!({"inputs": {"n": 1}})).await), Vec::<&str>::new());
    let other = plan(json!({"inputs": {"n": 7}})).await;
    assert_eq!((again(&other), &other["reused"]), (vec!["a", "d"], &json!(["b", "c", "each"])), "{other}");
    assert_eq!(other["again"][0]["why"], "it reads the input `n`, which is another");
    assert_eq!(other["again"][1]["why"], "it stands behind `a`");
    // From a node on, with an input that another one reads: both.
    let from = plan(json!({"from": ["c"], "inputs": {"n": 7}})).await;
    assert_eq!((again(&from), &from["reused"]), (vec!["a", "c", "d"], &json!(["b", "each"])), "{from}");
    // An item of a map means the map.
    assert_eq!(again(&plan(json!({"from": ["each[1]"]})).await), ["each"]);
    up.post("/api/v1/runs/one/rerun/plan", json!({"from": ["x"]})).await.is_problem(404, "E0002");
    up.post("/api/v1/runs/one/rerun/plan", json!({"inputs": {"n": "x"}})).await.is_problem(400, "E0009");

    let request = json!({"from": ["c"], "inputs": {"n": 7}});
    let made = up.post("/api/v1/runs/one/rerun", request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let run = up.get(&format!("/api/v1/runs/{}?wait=30", made.json()["number"])).await.json();
    assert_eq!((&run["phase"], &run["outputs"]), (&json!("succeeded"), &json!({"a": 7, "c": 1})), "{run}");
    let reused: Vec<&str> = run["actions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|action| action["reused"] == true)
        .filter_map(|one| one["path"].as_str())
        .collect();
    assert_eq!(reused, ["b", "each"], "{run}");
    // The journal says so: with the acceptance of the run, by the nodes that were taken over.
    let facts = up.get(&format!("/api/v1/facts?run={}", run["number"])).await.json();
    let facts = facts["items"].as_array().unwrap();
    let accepted = &facts.iter().find(|fact| fact["event"] == "run_submitted").unwrap()["data"];
    assert_eq!((&accepted["repeats"], &accepted["reused"]), (&first["number"], &json!([1, 4])), "{accepted}");
    assert_eq!(facts.iter().filter(|fact| fact["event"] == "action_finished" && fact["data"]["reused"] == true).count(), 2);
    up.down().await;
}

const ITEMS: &str = r#"workflow: t/items
inputs:
  list: {type: array, items: {type: integer}}
  by: {type: integer, default: 2}
nodes:
  before: {use: core/noop, with: {by: "${ inputs.by }"}}
  free:
    each: {items: "${ inputs.list }", do: {use: core/noop, with: {x: "${ item }"}}}
  by:
    each: {items: "${ inputs.list }", do: {use: core/noop, with: {x: "${ item * inputs.by }"}}}
  behind:
    after: [before]
    each: {items: "${ inputs.list }", do: {use: core/noop, with: {x: "${ item }"}}}
outputs: {free: "${ nodes.free }", by: "${ nodes.by }"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_map_that_are_given_the_same_again_are_taken_over() {
    let up = Up::start().await;
    up.apply(ITEMS).await;
    let request = json!({"workflow": "t/items", "name": "one", "inputs": {"list": [1, 2, 3]}});
    assert_eq!(up.post("/api/v1/runs?wait=30", request).await.json()["phase"], "succeeded");
    let again = async |of: &str, body: Value| {
        let made = up.post(&format!("/api/v1/runs/{of}/rerun"), body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        up.get(&format!("/api/v1/runs/{}?wait=30", made.json()["number"])).await.json()
    };
    let reused = |run: &Value| -> Vec<String> {
        let actions = run["actions"].as_array().unwrap();
        actions.iter().filter(|one| one["reused"] == true).map(|one| one["path"].as_str().unwrap().to_owned()).collect()
    };
    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    // Another list: what is in both is taken over, wherever it stands; a map that also reads another input computes only what comes out as another.
    let plan = up.post("/api/v1/runs/one/rerun/plan", json!({"inputs": {"list": [4, 3, 2], "by": 3}})).await.json();
    assert_eq!(plan["items"], json!({"free": 3, "by": 3}), "{plan}");
    let other = again("one", json!({"inputs": {"list": [4, 3, 2], "by": 3}})).await;
    assert_eq!(other["outputs"]["free"], json!([{"x": 4}, {"x": 3}, {"x": 2}]), "{other}");
    assert_eq!(other["outputs"]["by"], json!([{"x": 12}, {"x": 9}, {"x": 6}]), "{other}");
    // 2 * 3 was 3 * 2: the third item of the first run gave it. What stands behind `before` waits for what that does, and runs as a whole.
    assert_eq!(sorted(reused(&other)), ["by[2]", "free[1]", "free[2]"], "{other}");
    // What was taken over is taken over again.
    let third = again(other["name"].as_str().unwrap(), json!({"inputs": {"list": [2, 9]}})).await;
    let taken = reused(&third);
    assert!(["free[0]", "by[0]"].iter().all(|path| taken.contains(&(*path).to_owned())), "{taken:?}");
    assert!(!taken.iter().any(|path| path.ends_with("[1]")), "{taken:?}");
    // Chosen, a map runs with all of its items; with an item of it, that one and what is given the same.
    assert_eq!(reused(&again("one", json!({"from": ["free"]})).await).iter().filter(|path| path.starts_with("free[")).count(), 0);
    let one = reused(&again("one", json!({"from": ["free[1]"]})).await);
    assert_eq!(sorted(one.into_iter().filter(|path| path.starts_with("free[")).collect()), ["free[0]", "free[2]"]);
    let facts = up.get(&format!("/api/v1/facts?run={}", other["number"])).await.json();
    let facts = facts["items"].as_array().unwrap();
    assert_eq!(facts.iter().find(|fact| fact["event"] == "run_submitted").unwrap()["data"]["reused_items"], 6);
    assert_eq!(up.get("/api/v1/audit/verify").await.json()["holds"], true);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_paused_and_cancelled_like_any_run() {
    let up = Up::start().await;
    up.apply(super::runs::WAITS).await;
    start(&up, "t/waits", "one").await;
    up.post("/api/v1/runs/one/cancel", json!({})).await;
    assert_eq!(up.get("/api/v1/runs/one?wait=30").await.json()["phase"], "aborted");
    let made = up.post("/api/v1/runs/one/rerun", json!({"from": ["hold"]})).await.json();
    let at = format!("/api/v1/runs/{}", made["number"]);
    assert_eq!(up.post(&format!("{at}/pause"), json!({})).await.json()["phase"], "paused");
    assert_eq!(up.post(&format!("{at}/resume"), json!({})).await.status, StatusCode::OK);
    up.post(&format!("{at}/cancel"), json!({})).await;
    assert_eq!(up.get(&format!("{at}?wait=30")).await.json()["phase"], "aborted");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_sites_is_told_in_steps() {
    let up = Up::start().await;
    up.apply(FLEET).await;
    start(&up, "t/plan", "w").await;
    until(&up, "/api/v1/runs/w/outlook", |outlook| kinds(outlook) == ["worker"]).await;
    let waited = |load: &Value| {
        let sites = load["sites"].as_array().unwrap().clone();
        let rented = sites.into_iter().find(|site| site["site"] == "rented")?;
        let sum = |name: &str| rented[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).sum::<f64>();
        Some((sum("waiting"), sum("running"), rented["capacity_cores"].as_f64().unwrap()))
    };
    // It has no worker: it waits there, and nothing runs.
    let load =
        until(&up, "/api/v1/sites/load?hours=0.01&steps=6", |load| waited(load).is_some_and(|(waiting, ..)| waiting > 0.0)).await;
    assert_eq!(load["sites"][0]["running"].as_array().map(Vec::len), Some(6), "{load}");
    assert_eq!(waited(&load).map(|(_, running, cores)| (running, cores)), Some((0.0, 8.0)), "{load}");
    up.get("/api/v1/sites/load?hours=0").await.is_problem(400, "E0001");
    up.get("/api/v1/sites/load?steps=100000").await.is_problem(400, "E0001");
    up.down().await;
}
