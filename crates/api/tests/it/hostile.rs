//! Clients that say nothing, say it slowly, never end or never read: they are cut off or wait, and nobody else notices.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::runs::HELLO;
use super::support::{PATIENCE, Up};

/// What the server says until it hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is a way to hang up.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the server hangs up");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_those_that_ask() {
    let up = Up::with_room(50).await;
    up.apply(HELLO).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(up.address).await.unwrap());
    }
    // However many say nothing, whoever asks is answered; and who was answered keeps the connection as long as there is room.
    for _ in 0..20 {
        assert_eq!(up.run("t/hello", json!({})).await["phase"], "succeeded");
    }
    // The first to come was the first to go.
    assert_eq!(rest(&mut idle[0]).await, "");
    // One that works at an answer is never closed for another.
    let mut stream = up.events("/api/v1/events?after=0", &[]).await;
    stream.event().await.unwrap();
    for _ in 0..300 {
        idle.push(TcpStream::connect(up.address).await.unwrap());
    }
    let run = up.run("t/hello", json!({})).await;
    while stream.event().await.unwrap().2["run"] != run["number"] {}
    drop(idle);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_come_one_byte_at_a_time_hold_up_nobody() {
    let up = Up::start().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(TcpStream::connect(up.address).await.unwrap());
    }
    for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" {
        for stream in &mut slow {
            stream.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(up.get("/healthz").await.status, StatusCode::OK);
    }
    // It was a request after all.
    for stream in &mut slow {
        stream.write_all(b"connection: close\r\n\r\n").await.unwrap();
        assert!(rest(stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    // Headers without end are refused once they are too many, and garbage at once.
    let mut endless = TcpStream::connect(up.address).await.unwrap();
    let line = format!("x-more: {}\r\n", "x".repeat(1_000));
    let mut text = b"GET /healthz HTTP/1.1\r\n".to_vec();
    (0..1_000).for_each(|_| text.extend_from_slice(line.as_bytes()));
    let _ = endless.write_all(&text).await;
    assert!(!rest(&mut endless).await.starts_with("HTTP/1.1 200"));
    for garbage in
        [&b"\x16\x03\x01\x00\xa5"[..], b"\0\0\0\0\r\n\r\n", b"GET  HTTP/9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(up.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(up.get("/healthz").await.status, StatusCode::OK);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_too_large_some_time() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    for path in ["/api/v1/runs", "/api/v1/apply", "/api/v1/events", "/hooks/nobody", "/api/v1/workers/stream"] {
        let mut stream = TcpStream::connect(up.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut chunk = b"10000\r\n".to_vec();
        chunk.resize(chunk.len() + 0x10000, b' ');
        chunk.extend_from_slice(b"\r\n");
        let mut sent = 0;
        // It stops listening after what it takes at most, and what the sockets between hold. Whether the refusal arrives is the network's to say.
        let told = tokio::time::timeout(PATIENCE, async {
            while stream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
                assert!(sent < 64 << 20, "{path} takes {sent} bytes and more");
            }
        });
        told.await.unwrap_or_else(|_| panic!("{path} neither reads nor hangs up after {sent} bytes"));
    }
    assert_eq!(up.run("t/hello", json!({})).await["phase"], "succeeded");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_are_dropped() {
    let up = Up::impatient().await;
    up.apply(HELLO).await;
    // More than the sockets hold.
    let bytes = Bytes::from(vec![7; 24 << 20]);
    let stored = up.call(Method::PUT, "/api/v1/artifacts", &[], bytes).await;
    assert_eq!(stored.status, StatusCode::OK, "{}", stored.text());
    let text = stored.text();
    let digest = text.split('"').find(|part| part.starts_with("sha256:")).expect("a digest");
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(up.address).await.unwrap();
        let request = format!("GET /api/v1/artifacts/{digest} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    assert_eq!(up.run("t/hello", json!({})).await["phase"], "succeeded");
    // After a moment without a byte taken their connections are gone.
    up.alone().await;
    drop(deaf);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_reads_are_not_read_ahead_and_their_streams_end() {
    let up = Up::impatient().await;
    let many = "workflow: t/many\ninputs: {items: {type: array, items: integer}}\nnodes:\n  m: {each: {items: \"${ inputs.items }\", do: {use: core/noop}}}\n";
    up.apply(many).await;
    // More facts than the sockets hold.
    let items: Vec<u32> = (0..10_000).collect();
    for _ in 0..3 {
        assert_eq!(up.run("t/many", json!({ "items": items })).await["phase"], "succeeded");
    }
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut stream = socket.connect(up.address).await.unwrap();
        stream.write_all(b"GET /api/v1/events?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        deaf.push(stream);
    }
    // Somebody who reads gets everything, to the newest fact.
    let mut reads = up.events("/api/v1/events?after=0", &[]).await;
    let run = up.run("t/many", json!({ "items": [1] })).await;
    while reads.event().await.unwrap().2["run"] != run["number"] {}
    drop(reads);
    up.alone().await;
    drop(deaf);
    up.down().await;
}
