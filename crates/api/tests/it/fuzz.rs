//! Requests made from the description and then broken, and lines of workers that are none: never a 5xx, every refusal a problem with a code
//! that has a page, and a server that is alive after. `TUTTI_FUZZ_SEED` gives another world, `TUTTI_FUZZ_REQUESTS` a larger one.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::runs::HELLO;
use super::support::{PATIENCE, Up};

/// xorshift64*: the same seed gives the same requests.
struct Rng(u64);

impl Rng {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.bits() >> 33) as usize % bound.max(1)
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

const TEXTS: [&str; 24] = [
    "",
    "a",
    "t/hello",
    "hello-1",
    "1",
    "0",
    "-1",
    "99999999999999999999",
    "1e309",
    "NaN",
    "true",
    "null",
    "workflow",
    "local",
    "../../etc/passwd",
    "\u{0}",
    "ü☃\u{202e}",
    "' OR 1=1 --",
    "${ 1 }",
    "{{7*7}}",
    "sha256:00",
    "tutti-1-1-1",
    "a/b/c",
    "\r\nx: y",
];

fn text(rng: &mut Rng) -> String {
    match rng.below(12) {
        0 => "x".repeat(rng.below(5_000)),
        1 => (0..rng.below(40)).map(|_| char::from_u32(rng.below(0x11_0000) as u32).unwrap_or('?')).collect(),
        _ => (*rng.pick(&TEXTS)).to_owned(),
    }
}

fn anything(rng: &mut Rng, depth: usize) -> Value {
    match rng.below(if depth > 4 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => rng.one_in(2).into(),
        2 => json!(rng.bits() as i64),
        3 => json!(f64::from_bits(rng.bits())),
        4 | 5 => text(rng).into(),
        6 => (0..rng.below(4)).map(|_| anything(rng, depth + 1)).collect(),
        _ => (0..rng.below(4)).map(|_| (text(rng), anything(rng, depth + 1))).collect::<Map<_, _>>().into(),
    }
}

/// A value of a schema, now and then broken.
fn of_schema(rng: &mut Rng, api: &Value, schema: &Value, depth: usize) -> Value {
    if rng.one_in(12) || depth > 6 {
        return anything(rng, depth);
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return of_schema(rng, api, &api["components"]["schemas"][name], depth + 1);
    }
    for choices in ["oneOf", "anyOf", "allOf"] {
        if let Some(choice) = schema[choices].as_array().filter(|choices| !choices.is_empty()) {
            let choice = rng.pick(choice).clone();
            return of_schema(rng, api, &choice, depth + 1);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) if !kinds.is_empty() => rng.pick(kinds).as_str().unwrap_or_default().to_owned(),
        kind => kind.as_str().unwrap_or_default().to_owned(),
    };
    match kind.as_str() {
        "object" => {
            let mut fields = Map::new();
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if !rng.one_in(3) {
                    fields.insert(name.clone(), of_schema(rng, api, schema, depth + 1));
                }
            }
            if rng.one_in(6) {
                fields.insert(text(rng), anything(rng, depth + 1));
            }
            fields.into()
        }
        "array" => (0..rng.below(4)).map(|_| of_schema(rng, api, &schema["items"], depth + 1)).collect(),
        "string" => text(rng).into(),
        "integer" => json!(*rng.pick(&[0i64, 1, 2, 7, -1, i64::MAX, i64::MIN, 1 << 40])),
        "number" => json!(*rng.pick(&[0.0, 1.5, -1.0, 1e300, 1e-300])),
        "boolean" => rng.one_in(2).into(),
        _ => anything(rng, depth + 1),
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

struct Request {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// What would wait, end the experiment, or touch something besides the server. These are sent broken bodies only.
const NOT_WHOLE: [&str; 4] = ["backUp", "createToken", "leaseActions", "streamActions"];

fn request(rng: &mut Rng, api: &Value) -> Request {
    let paths = api["paths"].as_object().unwrap();
    let (path, item) = paths.iter().nth(rng.below(paths.len())).unwrap();
    let methods: Vec<&String> =
        item.as_object().unwrap().keys().filter(|key| item[key.as_str()]["operationId"].is_string()).collect();
    let operation = &item[rng.pick(&methods).as_str()];
    let method =
        if rng.one_in(20) { *rng.pick(&["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"]) } else { "" };
    let known = methods[0].to_uppercase();
    let method: Method = if method.is_empty() { known.parse().unwrap() } else { method.parse().unwrap() };
    let mut target = String::new();
    for part in path.split('/').skip(1) {
        let part = if part.starts_with('{') { escaped(&text(rng)) } else { part.to_owned() };
        target.push_str(&format!("/{part}"));
    }
    let (mut query, mut headers) = (Vec::new(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        // Waiting is tested elsewhere.
        if rng.one_in(2) || matches!(name, "wait" | "follow") {
            continue;
        }
        let value = match of_schema(rng, api, &parameter["schema"], 0) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match parameter["in"].as_str() {
            Some("query") => query.push(format!("{name}={}", escaped(&value))),
            Some("header") => headers.push((name.to_owned(), value.chars().filter(|c| matches!(c, ' '..='~')).collect())),
            _ => {}
        }
    }
    if rng.one_in(8) {
        query.push(format!("{}={}", escaped(&text(rng)), escaped(&text(rng))));
    }
    if !query.is_empty() {
        target.push_str(&format!("?{}", query.join("&")));
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let whole = !NOT_WHOLE.contains(&operation["operationId"].as_str().unwrap());
    let mut body = if schema.is_object() && whole { of_schema(rng, api, schema, 0).to_string().into_bytes() } else { Vec::new() };
    if !whole || rng.one_in(10) {
        let at = rng.below(body.len());
        body.truncate(at);
        body.extend((0..rng.below(20)).map(|_| rng.bits() as u8));
        body.push(b'{');
    }
    if !rng.one_in(15) {
        headers.push(("content-type".into(), "application/json".into()));
    }
    Request { method, target, headers, body: body.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_answered_with_an_error_of_the_server() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    up.run("t/hello", json!({})).await;
    let api = serde_json::to_value(api::rest::description()).unwrap();
    let seed = number("TUTTI_FUZZ_SEED", 7);
    let mut rng = Rng(seed.max(1));
    let mut seen = std::collections::BTreeMap::<u16, usize>::new();
    for round in 0..number("TUTTI_FUZZ_REQUESTS", 1_500) {
        let request = request(&mut rng, &api);
        let at = format!(
            "seed {seed}, request {round}: {} {} {}",
            request.method,
            request.target,
            String::from_utf8_lossy(&request.body)
        );
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let head = request.method == Method::HEAD;
        let body = Full::new(request.body).map_err(|never| match never {}).boxed();
        let answer = up.open(request.method, &request.target, &headers, body).await;
        let status = answer.status();
        *seen.entry(status.as_u16()).or_default() += 1;
        assert!(!status.is_server_error() || status == StatusCode::NOT_IMPLEMENTED, "{at}: {status}");
        if status.as_u16() < 400 || head {
            continue;
        }
        assert_eq!(
            answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()),
            Some("application/problem+json"),
            "{at}"
        );
        let body =
            tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.expect("a problem ends").unwrap().to_bytes();
        let problem: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(problem["status"], status.as_u16(), "{at}");
        let page = problem["type"].as_str().unwrap();
        assert_eq!(up.get(page).await.status, StatusCode::OK, "{at}: {page}");
    }
    // It went deep enough to mean something: many were taken, many were refused for more than one reason.
    assert!(seen.get(&200).is_some_and(|count| *count > 50) && seen.len() >= 5, "{seen:?}");
    assert_eq!(up.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(up.run("t/hello", json!({})).await["phase"], "succeeded");
    up.down().await;
}

fn line(rng: &mut Rng, api: &Value) -> Vec<u8> {
    let epoch = rng.below(4);
    let attempt = format!("tutti-{}-{}-{}", rng.below(3), rng.below(3), rng.below(3));
    let value = match rng.below(7) {
        0 => {
            json!({"hello": {"worker": text(rng), "connectors": ["t/double@1"], "slots": rng.below(5), "holding": [{"attempt": attempt, "epoch": epoch}]}})
        }
        1 => json!({"hello": {"worker": "w", "connectors": [text(rng)], "slots": 1}}),
        2 => json!({"reports": [{"attempt": attempt, "epoch": epoch, "output": anything(rng, 0)}]}),
        3 => {
            json!({"reports": [{"attempt": text(rng), "epoch": epoch, "error": text(rng), "class": "oom", "wall_us": u64::MAX}]})
        }
        4 => json!({}),
        5 => of_schema(rng, api, &json!({"$ref": "#/components/schemas/WorkerLine"}), 0),
        _ => anything(rng, 0),
    };
    let mut bytes = value.to_string().into_bytes();
    if rng.one_in(6) {
        let at = rng.below(bytes.len());
        bytes.truncate(at);
    }
    if rng.one_in(6) {
        bytes.extend((0..rng.below(30)).map(|_| rng.bits() as u8));
    }
    if !rng.one_in(10) {
        bytes.push(b'\n');
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_worker_breaks_more_than_its_stream() {
    let up = Up::start().await;
    up.apply(HELLO).await;
    let api = serde_json::to_value(api::rest::description()).unwrap();
    let seed = number("TUTTI_FUZZ_SEED", 7);
    let mut rng = Rng(seed.max(1));
    for round in 0..number("TUTTI_FUZZ_REQUESTS", 1_500) / 10 {
        let (say, mut hear) = up.worker_stream(&[]).await;
        for _ in 0..1 + rng.below(6) {
            // It may have been cut off by then.
            let _ = say.send(line(&mut rng, &api).into()).await;
        }
        drop(say);
        while let Some(text) = hear.next().await {
            if !text.trim().is_empty() {
                let said: Value =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("seed {seed}, {round}: {error}: {text}"));
                let code = said["error"]["code"].as_str();
                assert!(code.is_none_or(|code| matches!(code, "E0001" | "E0007")), "seed {seed}, {round}: {said}");
            }
        }
    }
    assert_eq!(up.run("t/hello", json!({})).await["phase"], "succeeded");
    up.down().await;
}
