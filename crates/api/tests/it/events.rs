//! The stream of facts.

use serde_json::{Value, json};

use super::runs::HELLO;
use super::support::Up;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_resumed_without_loss_or_repetition() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    up.run("t/hello", json!({})).await;
    let mut whole = up.events("/api/v1/events?after=0", &[]).await;
    let mut ids = Vec::new();
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "run_finished") {
        let (id, name, _) = whole.event().await.unwrap();
        ids.push(id);
        names.push(name);
    }
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "dense, in order");
    // Taken up anywhere, the rest follows.
    let cut = ids.len() / 2;
    let last = ids[cut - 1].to_string();
    let mut rest = up.events("/api/v1/events", &[("last-event-id", &last)]).await;
    for (id, name) in ids.iter().zip(&names).skip(cut) {
        let (found, called, _) = rest.event().await.unwrap();
        assert_eq!((found, &called), (*id, name));
    }
    // And what comes later comes there.
    let run = up.run("t/hello", json!({})).await;
    let (id, name, data) = rest.event().await.unwrap();
    assert_eq!((id, name.as_str(), &data["run"]), (ids.len() as u64 + 1, "run_submitted", &run["number"]));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_shows_that_it_is_alive() {
    let up = Up::start().await;
    let mut stream = up.events("/api/v1/events?heartbeat=1", &[]).await;
    while !stream.next().await.unwrap().starts_with(':') {}
    up.get("/api/v1/events?heartbeat=0").await.is_problem(400, "E0001");
    drop(stream);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_listed_page_by_page_and_those_of_a_run_alone() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let run = up.run("t/hello", json!({"who": "Ada of the north"})).await;
    let mut listed: Vec<Value> = Vec::new();
    let mut address = "/api/v1/facts?limit=3".to_owned();
    loop {
        let page = up.get(&address).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        listed.extend(items.iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        address = format!("/api/v1/facts?limit=3&cursor={next}");
    }
    let positions: Vec<u64> = listed.iter().map(|fact| fact["seq"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    let own = up.get(&format!("/api/v1/facts?run={}", run["name"].as_str().unwrap())).await.json();
    let own = own["items"].as_array().unwrap();
    assert_eq!((&own[0]["event"], &own[0]["data"]["principal"]), (&json!("run_submitted"), &json!("local")));
    assert_eq!(own.last().unwrap()["event"], "run_finished");
    // What has a number has a name beside it, in the list of all too.
    assert!(own.iter().all(|fact| fact["run"] == run["name"]), "{own:?}");
    let finished = |fact: &&Value| fact["event"] == "attempt_finished";
    let ended = own.iter().find(finished).unwrap();
    assert_eq!(ended["actions"], json!(["greet"]));
    assert!(listed.contains(ended));
    assert_eq!(listed.iter().find(|fact| fact["event"] == "epoch_began").unwrap().get("run"), None);
    // What a run was given and gave is not among its facts.
    assert!(!json!(listed).to_string().contains("Ada of"), "{listed:?}");
    up.get("/api/v1/facts?run=none").await.is_problem(404, "E0002");
    up.down().await;
}
