//! The server about itself.

use hyper::StatusCode;
use serde_json::json;

use super::runs::HELLO;
use super::support::Up;

#[tokio::test(flavor = "multi_thread")]
async fn figures_for_prometheus() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    up.run("t/hello", json!({})).await;
    let answer = up.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    let text = answer.text();
    for line in [
        "tutti_runs_total 1",
        "tutti_runs_open 0",
        "tutti_runs_ended_total{phase=\"succeeded\"} 1",
        "tutti_attempts_ended_total{phase=\"succeeded\"} 2",
        "tutti_inbox_commands 0",
        "tutti_site_open{site=\"local\"} 1",
        "tutti_http_requests_total{method=\"POST\",route=\"/api/v1/runs\",status=\"201\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
    }
    // Every sample belongs to a metric that was introduced, and buckets add up.
    let mut known = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            known.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(known.iter().any(|known| known == name || known == base), "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_the_language_for_editors() {
    let up = Up::start().await;
    let answer = up.get("/api/v1/schemas/workflow").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/schema+json"));
    assert_eq!(answer.json()["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
    assert_eq!(answer.json()["$defs"]["node"]["properties"].as_object().map(|fields| fields.len()), Some(20));
    assert!(up.get("/docs/errors/W0207").await.text().starts_with("# W0207"));
    up.get("/api/v1/schemas/nothing").await.is_problem(404, "E0002");
    up.down().await;
}
