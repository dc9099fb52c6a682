//! Pages of programs in frames: the address works once, and what is sent from there may do nothing.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::runs::HELLO;
use super::support::Up;

const PAGE: &str = "<h1 style=\"color: red\">report</h1><script>parent.hit = 1</script>";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_shown_once_from_an_address_that_lets_it_do_nothing() {
    let up = Up::start().await;
    let artifact = up.call(Method::PUT, "/api/v1/artifacts?name=report.html", &[], PAGE.into()).await.json();
    let digest = artifact["$artifact"]["digest"].as_str().unwrap().to_owned();
    let given = up.post(&format!("/api/v1/artifacts/{digest}/frame"), json!({})).await;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text());
    let address = given.json()["address"].as_str().unwrap().to_owned();
    // Without any token: the address is the permission, which was asked for a moment ago.
    let page = up.get(&address).await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(page.text().starts_with(PAGE), "{}", page.text());
    let policy = page.header("content-security-policy");
    let parts: Vec<&str> = policy.split(';').map(str::trim).collect();
    assert!(
        parts.contains(&"sandbox") && parts.contains(&"default-src 'none'") && parts.contains(&"frame-ancestors 'self'"),
        "{policy}"
    );
    assert!(
        parts.contains(&"style-src 'unsafe-inline'") && !policy.contains("script-src") && !policy.contains("allow-"),
        "{policy}"
    );
    assert_eq!((page.header("cache-control"), page.header("x-content-type-options")), ("no-store", "nosniff"));
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    up.get(&address).await.is_problem(404, "E0002");
    up.get("/api/v1/frames/0000").await.is_problem(404, "E0002");
    let nothing = "sha256:".to_owned() + &"0".repeat(64);
    let unknown = up.post(&format!("/api/v1/artifacts/{nothing}/frame"), json!({})).await;
    assert!(matches!(unknown.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST), "{}", unknown.text());
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_of_a_program_has_no_report() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let run = up.run("t/hello", json!({})).await;
    let name = run["name"].as_str().unwrap();
    up.post(&format!("/api/v1/runs/{name}/report?path=greet"), json!({})).await.is_problem(404, "E0002");
    up.post(&format!("/api/v1/runs/{name}/report?path=nobody"), json!({})).await.is_problem(404, "E0002");
    up.down().await;
}
