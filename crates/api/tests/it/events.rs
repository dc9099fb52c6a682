//! The stream of facts.

use serde_json::json;

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
