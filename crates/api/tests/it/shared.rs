//! Answers that many wait for: nobody is given an older one than they may rely on, and what is sent is the same however it is sent.

use std::io::Read as _;

use bytes::Bytes;
use futures::future::join_all;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::runs::{WAITS, WIDE};
use super::support::Up;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_a_run_sees_that_at_once_however_many_look_at_it() {
    let up = Up::start().await;
    up.apply(WAITS).await;
    assert_eq!(up.post("/api/v1/runs", json!({"workflow": "t/waits", "name": "r"})).await.status, StatusCode::CREATED);
    let watch = async || {
        loop {
            for path in ["/api/v1/runs/r", "/api/v1/runs/r/tiles", "/api/v1/runs/r/outlook"] {
                assert_eq!(up.get(path).await.status, StatusCode::OK);
            }
        }
    };
    let change = async {
        for _ in 0..10 {
            for (order, phase) in [("pause", "paused"), ("resume", "running")] {
                assert_eq!(up.post(&format!("/api/v1/runs/r/{order}"), json!({})).await.status, StatusCode::OK);
                assert_eq!(up.get("/api/v1/runs/r").await.json()["phase"], phase);
            }
        }
    };
    tokio::select! {
        _ = join_all((0..20).map(|_| watch())) => unreachable!("they look for as long as they are let"),
        () = change => {}
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_is_sent_compressed_to_those_who_take_that_and_is_the_same() {
    let up = Up::start().await;
    up.apply(WIDE).await;
    let run = up.run("t/wide", json!({"items": (0..500).collect::<Vec<_>>()})).await;
    let address = format!("/api/v1/runs/{}", run["name"].as_str().unwrap());
    for path in [address.clone(), format!("{address}/tiles")] {
        let plain = up.get(&path).await;
        let packed = up.call(Method::GET, &path, &[("accept-encoding", "br, gzip")], Bytes::new()).await;
        assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"), "{path}");
        assert_eq!((packed.header("vary"), packed.header("content-type")), ("accept-encoding", "application/json"));
        assert!(packed.body.len() * 3 < plain.body.len(), "{path}: {} of {}", packed.body.len(), plain.body.len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.json(), "{path}");
    }
    up.down().await;
}

/// What was read before a stream began is compared with where it begins.
#[tokio::test(flavor = "multi_thread")]
async fn answers_and_streams_say_where_in_the_journal_they_are() {
    let up = Up::start().await;
    up.apply(WAITS).await;
    let position = |text: &str| text.parse::<u64>().unwrap();
    let before = position(up.get("/api/v1/runs").await.header("tutti-position"));
    let entries = up.get("/api/v1/audit/status").await.json()["entries"].as_u64();
    assert_eq!(Some(before), entries);
    up.post("/api/v1/runs", json!({"workflow": "t/waits", "name": "r"})).await;
    let after = position(up.get("/api/v1/runs/r").await.header("tutti-position"));
    assert!(after > before, "{after} after {before}");
    let begins = async |path: &str, headers: &[(&str, &str)]| {
        let stream = up.open(Method::GET, path, headers, super::support::empty()).await;
        position(stream.headers()["tutti-position"].to_str().unwrap())
    };
    assert_eq!(begins("/api/v1/events", &[]).await, after);
    assert_eq!(begins("/api/v1/events?after=1", &[]).await, 1);
    assert_eq!(begins("/api/v1/events?after=1", &[("last-event-id", "2")]).await, 2);
    up.down().await;
}
