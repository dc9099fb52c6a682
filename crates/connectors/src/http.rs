//! `core/http`: one request, with limits.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use model::limits::VALUE_BYTES_MAX;
use model::{Duration, Failure, FailureClass};
use serde_json::{Map, Value, json};

/// How long a request may take when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);

fn user(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::User, message)
}

pub(crate) async fn run(input: &Value, idempotency_key: &str) -> Result<Value, Failure> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    let timeout = match text("timeout") {
        Some(text) => text.parse().map_err(|error| user(format!("`timeout`: {error}")))?,
        None => TIMEOUT,
    };
    let url = text("url").ok_or_else(|| user("`url` is missing"))?;
    let answer = tokio::time::timeout(timeout.to_std(), send(input, url, idempotency_key)).await;
    let answer =
        answer.map_err(|_| Failure::new(FailureClass::Timeout, format!("`{url}` did not answer within {timeout}")))??;
    let status = answer["status"].as_u64().unwrap_or_default();
    let accepted = input.get("accept").and_then(Value::as_array).is_some_and(|codes| codes.contains(&json!(status)));
    if status >= 400 && !accepted {
        let body: String = answer["body"].as_str().unwrap_or_default().chars().take(200).collect();
        return Err(user(format!("`{url}` answered {status}: {body}")));
    }
    Ok(answer)
}

async fn send(input: &Value, url: &str, idempotency_key: &str) -> Result<Value, Failure> {
    let unreachable = |error: &dyn std::fmt::Display| user(format!("`{url}` cannot be reached: {error}"));
    let uri: hyper::Uri = url.parse().map_err(|error| user(format!("`{url}` is not a URL: {error}")))?;
    if uri.scheme_str() != Some("http") {
        return Err(user(format!("`{url}`: only http:// is spoken here; send https through a proxy on the site")));
    }
    let host = uri.host().ok_or_else(|| user(format!("`{url}` names no host")))?;
    let stream =
        tokio::net::TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request(input, &uri, idempotency_key)?).await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into()))
        .collect();
    // Half of what a value may be: headers and escapes need room too.
    let body = Limited::new(response.into_body(), VALUE_BYTES_MAX / 2).collect().await;
    connection.abort();
    let body = body.map_err(|error| user(format!("the answer of `{url}` could not be read: {error}")))?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut answer = json!({"status": status, "headers": headers});
    if let Ok(json) = serde_json::from_str::<Value>(&text) {
        answer["json"] = json;
    } else {
        answer["body"] = text.into();
    }
    Ok(answer)
}

fn request(input: &Value, uri: &hyper::Uri, idempotency_key: &str) -> Result<Request<Full<Bytes>>, Failure> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let mut request = Request::builder()
        .method(text("method").unwrap_or("GET"))
        .uri(path)
        .header("host", host)
        .header("user-agent", "tutti")
        .header("idempotency-key", idempotency_key);
    for (name, value) in input.get("headers").and_then(Value::as_object).into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    let body = match (input.get("json"), text("body")) {
        (Some(json), None) => {
            request = request.header("content-type", "application/json");
            json.to_string()
        }
        (None, body) => body.unwrap_or_default().to_owned(),
        (Some(_), Some(_)) => return Err(user("give `json` or `body`, not both")),
    };
    request.body(Full::new(body.into())).map_err(|error| user(format!("not a request: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn server(answer: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(String::from_utf8_lossy(&buffer[..count]).to_lowercase().contains("idempotency-key: k1"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        format!("http://{address}/x?y=1")
    }

    #[tokio::test]
    async fn answers_are_read() {
        let url = server("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}").await;
        let answer = run(&json!({"url": url, "method": "POST", "json": {"b": 2}}), "k1").await.unwrap();
        assert_eq!((&answer["status"], &answer["json"]), (&json!(200), &json!({"a": 1})));
    }

    #[tokio::test]
    async fn refusals_are_failures_unless_accepted() {
        let url = server("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").await;
        assert!(run(&json!({"url": url}), "k1").await.unwrap_err().message.contains("404: no"));
        let url = server("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").await;
        assert_eq!(run(&json!({"url": url, "accept": [404]}), "k1").await.unwrap()["status"], 404);
        assert!(run(&json!({"url": "https://x"}), "k1").await.unwrap_err().message.contains("only http://"));
        assert!(run(&json!({"url": "http://127.0.0.1:1/"}), "k1").await.unwrap_err().message.contains("cannot be reached"));
    }
}
