//! `core/http`: one request, with limits. Redirects are followed to the same server only, and only where nothing is changed there.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use keyring::{Secret, referenced};
use model::limits::VALUE_BYTES_MAX;
use model::{Duration, EgressGrant, Failure, FailureClass};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::{Place, Ways, tls};

/// How long a request may take when nothing is said, redirects included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// Headers that say how the body is sent, which is not the caller's to say.
const FRAMING: [&str; 4] = ["connection", "content-length", "transfer-encoding", "upgrade"];

fn user(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::User, message)
}

/// Neither the work nor the platform is to blame: another server is. It counts as a repeat of the node's own.
fn far_side(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Outside, message)
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

pub(crate) async fn run(input: &Value, place: &Place<'_>) -> Result<Value, Failure> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    let timeout = match text("timeout") {
        Some(text) => text.parse().map_err(|error| user(format!("`timeout`: {error}")))?,
        None => TIMEOUT,
    };
    let url = text("url").ok_or_else(|| user("`url` is missing"))?;
    let order = Order::read(input, place)?;
    let answer = tokio::time::timeout(timeout.to_std(), follow(&order, url, &place.ways)).await;
    let answer =
        answer.map_err(|_| Failure::new(FailureClass::Timeout, format!("`{url}` did not answer within {timeout}")))??;
    let accepted = input.get("accept").and_then(Value::as_array).is_some_and(|codes| codes.contains(&json!(answer.status)));
    if answer.status >= 400 && !accepted {
        let body: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
        let message = format!("`{url}` answered {}: {body}", answer.status);
        // "Try later" and "I am broken" are not the fault of who asked.
        return Err(if answer.status >= 500 || matches!(answer.status, 408 | 429) { far_side(message) } else { user(message) });
    }
    Ok(value_of(&answer))
}

fn value_of(answer: &Answer) -> Value {
    let headers: Map<String, Value> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into()))
        .collect();
    let mut value = json!({"status": answer.status, "headers": headers});
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(json) => value["json"] = json,
        Err(_) => value["body"] = String::from_utf8_lossy(&answer.body).into_owned().into(),
    }
    value
}

/// What is sent, wherever it goes.
struct Order {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Order {
    fn read(input: &Value, place: &Place<'_>) -> Result<Order, Failure> {
        let text = |key: &str| input.get(key).and_then(Value::as_str);
        let method = text("method").unwrap_or("GET");
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| user(format!("`{method}` is not a method of HTTP")))?;
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static("tutti"));
        if let Ok(key) = HeaderValue::from_str(place.idempotency_key) {
            headers.insert("idempotency-key", key);
        }
        if let Some(Ok(context)) = place.traceparent.map(HeaderValue::from_str) {
            headers.insert("traceparent", context);
        }
        let body = match (input.get("json"), text("body")) {
            (Some(json), None) => {
                headers.insert("content-type", HeaderValue::from_static("application/json"));
                json.to_string()
            }
            (None, body) => body.unwrap_or_default().to_owned(),
            (Some(_), Some(_)) => return Err(user("give `json` or `body`, not both")),
        };
        for (name, value) in input.get("headers").and_then(Value::as_object).into_iter().flatten() {
            if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(user(format!("the header `{name}` is not for you to set")));
            }
            let wrong = || user(format!("the header `{name}` is not right: a name and a text of visible characters are wanted"));
            let text = value.as_str().ok_or_else(wrong)?;
            let (text, is_secret) = with_secrets(text, place.secrets)
                .map_err(|secret| user(format!("the secret `{secret}` of the header `{name}` was not released to it")))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(&text).map_err(|_| wrong())?;
            value.set_sensitive(is_secret);
            headers.insert(name, value);
        }
        Ok(Order { method, headers, body: body.into() })
    }
}

/// A header's text with the secrets that its words name, such as `Bearer secret://token`, and whether there is one. An error is the name of
/// one that is not there.
fn with_secrets(text: &str, secrets: &[Secret]) -> Result<(Zeroizing<String>, bool), String> {
    let (mut filled, mut found) = (Zeroizing::new(String::new()), false);
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            filled.push(' ');
        }
        match referenced(word) {
            None => filled.push_str(word),
            Some(name) => {
                let secret = secrets.iter().find(|secret| secret.name == name).ok_or_else(|| name.to_owned())?;
                filled.push_str(secret.expose());
                found = true;
            }
        }
    }
    Ok((filled, found))
}

async fn follow(order: &Order, url: &str, ways: &Ways<'_>) -> Result<Answer, Failure> {
    let mut uri = address(url)?;
    for _ in 0..=REDIRECTS_MAX {
        let answer = send(order, &uri, ways).await?;
        match redirect(order, &uri, &answer) {
            Some(next) => uri = next,
            None => return Ok(answer),
        }
    }
    Err(far_side(format!("`{url}` redirects more than {REDIRECTS_MAX} times")))
}

/// Where an answer sends us, when we go there: to the same server, with nothing but a question.
fn redirect(order: &Order, from: &Uri, answer: &Answer) -> Option<Uri> {
    let asks = matches!(order.method, Method::GET | Method::HEAD);
    if !asks || !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers.get("location")?.to_str().ok()?;
    let whole = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
    } else {
        location.to_owned()
    };
    let next = address(&whole).ok()?;
    (next.authority() == from.authority() && next.scheme() == from.scheme()).then_some(next)
}

fn address(url: &str) -> Result<Uri, Failure> {
    let uri: Uri = url.parse().map_err(|error| user(format!("`{url}` is not a URL: {error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(user(format!("`{url}`: only http:// and https:// are spoken here")));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(user("`url` holds a name or a password: send it as the header `authorization`"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(user(format!("`{url}` names no host")));
    }
    Ok(uri)
}

/// Where a request goes, when its input says that: the first server, and by the rule of redirects the only one.
pub(crate) fn destination(input: &Value) -> Option<EgressGrant> {
    let uri = input.get("url").and_then(Value::as_str).and_then(|url| address(url).ok())?;
    let (host, port) = host_of(&uri);
    Some(EgressGrant::place(host, port))
}

fn is_secured(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn host_of(uri: &Uri) -> (&str, u16) {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let usual = if is_secured(uri) { 443 } else { 80 };
    (host, uri.port_u16().unwrap_or(usual))
}

async fn send(order: &Order, uri: &Uri, ways: &Ways<'_>) -> Result<Answer, Failure> {
    let (host, port) = host_of(uri);
    let (mut way, granted) = ways.ask(host, port)?;
    let stream = way.connect(granted).await.map_err(|error| unreachable(uri, &error))?;
    let answer = match is_secured(uri) {
        true => match tls::secure(host, stream).await {
            Ok(stream) => exchange(order, uri, stream).await,
            Err(error) => Err(unreachable(uri, &error)),
        },
        false => exchange(order, uri, stream).await,
    };
    match &answer {
        Ok(_) => way.ended("closed", ""),
        Err(failure) => way.ended("failed", &failure.message),
    }
    answer
}

fn unreachable(uri: &Uri, error: &dyn std::fmt::Display) -> Failure {
    far_side(format!("`{uri}` cannot be reached: {error}"))
}

async fn exchange<S>(order: &Order, uri: &Uri, stream: S) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(uri, &error))?;
    let connection = Connection(tokio::spawn(connection));
    let response = sender.send_request(request(order, uri)?).await.map_err(|error| unreachable(uri, &error))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // Half of what a value may be: headers and escapes need room too.
    let body = Limited::new(response.into_body(), VALUE_BYTES_MAX / 2).collect().await;
    drop(connection);
    let body = body.map_err(|error| far_side(format!("the answer of `{uri}` could not be read: {error}")))?.to_bytes();
    Ok(Answer { status, headers, body })
}

/// The task that moves the bytes of a connection. It ends with the request, however that ends.
struct Connection<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(order: &Order, uri: &Uri) -> Result<Request<Full<Bytes>>, Failure> {
    let wrong = |error: hyper::http::Error| user(format!("not a request: {error}"));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let request = Request::builder().method(order.method.clone()).uri(path).header("host", host);
    let mut request = request.body(Full::new(order.body.clone())).map_err(wrong)?;
    for (name, value) in &order.headers {
        request.headers_mut().insert(name, value.clone());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    /// A server that gives these answers, one a connection, and says what it was asked.
    async fn server(answers: Vec<String>) -> (String, UnboundedReceiver<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, questions) = unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                asked.send(String::from_utf8_lossy(&buffer[..count]).to_lowercase()).unwrap();
                // Whoever has enough may hang up.
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
            }
        });
        (format!("http://{address}"), questions)
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    /// A request as an attempt sends it.
    async fn run(input: &Value, key: &str, traceparent: Option<&str>) -> Result<Value, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let store = artifacts::Store::open_at(folder.path().join("store")).unwrap();
        let secrets = [Secret::new("token", "tok-4711-x")];
        let granted = destination(input).into_iter().collect();
        let ways = Ways { granted: &granted, note: &|_| {} };
        let place = Place { store: &store, files: folder.path(), idempotency_key: key, traceparent, secrets: &secrets, ways };
        super::run(input, &place).await
    }

    #[tokio::test]
    async fn only_what_is_granted_is_reached_and_every_connection_is_written_down() {
        let (url, mut asked) = server(vec![answer("200 OK", "hello"), String::new()]).await;
        let folder = tempfile::tempdir().unwrap();
        let store = artifacts::Store::open_at(folder.path().join("store")).unwrap();
        let noted = std::sync::Mutex::new(Vec::<model::Connection>::new());
        let note = |connection: &model::Connection| noted.lock().unwrap().push(connection.clone());
        let go = async |input: Value, granted: &[EgressGrant]| {
            let granted = granted.iter().cloned().collect();
            let ways = Ways { granted: &granted, note: &note };
            let place =
                Place { store: &store, files: folder.path(), idempotency_key: "k", traceparent: None, secrets: &[], ways };
            super::run(&input, &place).await
        };
        let input = json!({"url": url});
        let own = destination(&input).unwrap();
        let refused = go(input.clone(), &[EgressGrant { port: own.port ^ 1, ..own.clone() }]).await.unwrap_err();
        assert_eq!((refused.class, refused.code.as_deref()), (FailureClass::Refused, Some("E0036")));
        assert!(asked.try_recv().is_err(), "nothing came to the server");
        go(input.clone(), std::slice::from_ref(&own)).await.unwrap();
        // More than the grant lets through, and a server that never answers.
        let small = EgressGrant { bytes_max: 10, ..own.clone() };
        go(input.clone(), &[small]).await.unwrap_err();
        let noted = noted.lock().unwrap();
        assert_eq!(noted.iter().map(|one| one.outcome.as_str()).collect::<Vec<_>>(), ["refused", "closed", "failed"]);
        assert!(noted[1].sent > 50 && noted[1].received > 20 && noted[1].address.as_deref() == Some("127.0.0.1"), "{noted:?}");
        assert!(noted[0].address.is_none() && noted[2].sent <= 10, "{noted:?}");
    }

    #[test]
    fn where_a_request_goes_is_known_before() {
        let at = |url: &str| destination(&json!({"url": url})).map(|way| way.to_string());
        assert_eq!(at("http://API.example.com./x").as_deref(), Some("api.example.com:80"));
        assert_eq!(at("http://[::1]:7200/").as_deref(), Some("[::1]:7200"));
        assert_eq!(at("https://x/").as_deref(), Some("x:443"));
        assert_eq!((at("ftp://x/"), at("nothing"), at("http://u@x/")), (None, None, None));
    }

    #[tokio::test]
    async fn secrets_are_sent_in_headers_and_nowhere_else() {
        let (url, mut asked) = server(vec![answer("200 OK", "{}")]).await;
        let headers = json!({"Authorization": "Bearer secret://token", "X-Plain": "no secret here"});
        run(&json!({"url": url, "method": "POST", "body": "secret://token", "headers": headers}), "k", None).await.unwrap();
        let asked = asked.recv().await.unwrap();
        assert!(asked.contains("authorization: bearer tok-4711-x\r\n"), "{asked}");
        assert!(asked.contains("x-plain: no secret here") && asked.ends_with("secret://token"), "{asked}");
        let unknown = json!({"url": url, "headers": {"X": "secret://other"}});
        let failure = refused(unknown).await;
        assert!(failure.message.contains("`other`") && failure.class == FailureClass::User, "{failure}");
    }

    async fn refused(input: Value) -> Failure {
        run(&input, "k1", None).await.unwrap_err()
    }

    #[tokio::test]
    async fn answers_are_read_and_the_key_is_sent() {
        let (url, mut asked) = server(vec![answer("200 OK", "{\"a\":1}")]).await;
        let url = format!("{url}/x?y=1");
        let given =
            run(&json!({"url": url, "method": "POST", "json": {"b": 2}, "headers": {"X-A": "b"}}), "k1", Some("00-a-b-01"))
                .await
                .unwrap();
        assert_eq!((&given["status"], &given["json"]), (&json!(200), &json!({"a": 1})));
        let asked = asked.recv().await.unwrap();
        for part in [
            "post /x?y=1 http",
            "idempotency-key: k1",
            "content-type: application/json",
            "x-a: b",
            "traceparent: 00-a-b-01",
            "{\"b\":2}",
        ] {
            assert!(asked.contains(part), "{part} in {asked}");
        }
    }

    #[tokio::test]
    async fn refusals_are_failures_unless_accepted() {
        let not_found = || answer("404 Not Found", "no");
        let (url, _asked) = server(vec![not_found(), not_found(), answer("503 Later", "")]).await;
        let failure = refused(json!({"url": url})).await;
        assert!(failure.message.contains("404: no") && failure.class == FailureClass::User, "{failure}");
        assert_eq!(run(&json!({"url": url, "accept": [404]}), "k1", None).await.unwrap()["status"], 404);
        assert_eq!(refused(json!({"url": url})).await.class, FailureClass::Outside);
        assert!(refused(json!({"url": "ftp://x"})).await.message.contains("only http:// and https://"));
        let unreachable = refused(json!({"url": "http://127.0.0.1:1/"})).await;
        assert!(unreachable.message.contains("cannot be reached") && unreachable.class == FailureClass::Outside, "{unreachable}");
        assert!(refused(json!({"url": "http://me:secret@x/"})).await.message.contains("authorization"));
        assert!(refused(json!({"url": "http:///x"})).await.class == FailureClass::User);
        let framed = json!({"url": url, "headers": {"Content-Length": "7"}});
        assert!(refused(framed).await.message.contains("not for you to set"));
    }

    #[tokio::test]
    async fn redirects_stay_on_the_server() {
        let away = "307 X\r\nlocation: http://127.0.0.1:1/".to_owned();
        let home = "302 X\r\nlocation: /there".to_owned();
        let (url, mut asked) =
            server(vec![answer(&home, ""), answer("200 OK", "here"), answer(&away, ""), answer(&home, "")]).await;
        assert_eq!(run(&json!({"url": url}), "k", None).await.unwrap()["body"], "here");
        assert!(asked.recv().await.unwrap().starts_with("get / ") && asked.recv().await.unwrap().starts_with("get /there "));
        let given = run(&json!({"url": url}), "k", None).await.unwrap();
        assert_eq!((&given["status"], &given["headers"]["location"]), (&json!(307), &json!("http://127.0.0.1:1/")));
        assert_eq!(run(&json!({"url": url, "method": "POST"}), "k", None).await.unwrap()["status"], 302);
        let (url, _asked) = server(vec![answer(&home, ""); REDIRECTS_MAX + 1]).await;
        assert!(refused(json!({"url": url})).await.message.contains("more than 5 times"));
    }

    #[tokio::test]
    async fn silence_garbage_and_too_much_end() {
        let (url, _asked) = server(vec![String::new()]).await;
        assert_eq!(refused(json!({"url": url, "timeout": "50ms"})).await.class, FailureClass::Timeout);
        let (url, _asked) = server(vec!["?!\r\n\r\n".into(), answer("200 OK", &"x".repeat(VALUE_BYTES_MAX))]).await;
        assert!(refused(json!({"url": url})).await.message.contains("cannot be reached"));
        assert!(refused(json!({"url": url})).await.message.contains("could not be read"));
    }
}
