//! What the server says about each request: an id, a line in the log, figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use controlplane::{Histogram, SECONDS, random_bytes};
use parking_lot::Mutex;

use super::App;
use super::access::Principal;
use super::listen::Remote;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The position of the journal when the request came: what an answer says holds everything up to it. A stream says where it begins.
pub(super) const POSITION: HeaderName = HeaderName::from_static("tutti-position");
/// Bytes of an id that a client gives.
const ID_BYTES_MAX: usize = 64;

tokio::task_local! {
    static REQUEST: String;
}

/// The id of the request that is being answered.
pub(crate) fn request_id() -> Option<String> {
    REQUEST.try_with(Clone::clone).ok()
}

/// Requests so far.
#[derive(Debug, Default)]
pub(crate) struct HttpMeters {
    counts: Mutex<BTreeMap<(String, String, u16), u64>>,
    seconds: Mutex<BTreeMap<String, Histogram>>,
}

impl HttpMeters {
    fn count(&self, method: &str, route: &str, status: u16, took: Duration) {
        // Routes and the statuses of each are few; what matches none is one.
        *self.counts.lock().entry((method.to_owned(), route.to_owned(), status)).or_default() += 1;
        let mut seconds = self.seconds.lock();
        if !seconds.contains_key(route) {
            seconds.insert(route.to_owned(), Histogram::new(SECONDS));
        }
        if let Some(histogram) = seconds.get(route) {
            histogram.observe_span(took);
        }
    }

    /// Calls `each` with method, route, status and how many there were.
    pub(crate) fn counts(&self, mut each: impl FnMut(&str, &str, u16, u64)) {
        self.counts.lock().iter().for_each(|((method, route, status), count)| each(method, route, *status, *count));
    }

    /// Calls `each` with each route and how long its answers took to begin.
    pub(crate) fn seconds(&self, mut each: impl FnMut(&str, &Histogram)) {
        self.seconds.lock().iter().for_each(|(route, histogram)| each(route, histogram));
    }
}

/// The id that the client gave, when it is fit to be written down, or a new one.
fn id_of(request: &Request) -> String {
    let given = request.headers().get(HEADER).and_then(|id| id.to_str().ok());
    let fit = |id: &&str| {
        !id.is_empty()
            && id.len() <= ID_BYTES_MAX
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    given.filter(fit).map_or_else(|| format!("{:016x}", u64::from_le_bytes(random_bytes())), str::to_owned)
}

/// Around everything: gives the request an id, answers, writes a line.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = id_of(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = match request.method().as_str() {
        method @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS") => method.to_owned(),
        _ => "other".to_owned(),
    };
    // A token in an address is not for the log.
    let path = match request.uri().path() {
        path if path.starts_with("/flyte/as/") => format!("/flyte/as/…/{}", path.rsplit('/').next().unwrap_or_default()),
        path => path.to_owned(),
    };
    let remote = request.extensions().get::<Remote>().map(|remote| remote.0.to_string()).unwrap_or_default();
    let position = app.control.notices().position();
    let mut response = REQUEST.scope(id.clone(), next.run(request)).await;
    let (took, status) = (began.elapsed(), response.status().as_u16());
    app.http.count(&method, &route, status, took);
    let principal = response.extensions().get::<Principal>().map_or("", |principal| principal.0.as_str());
    let micros = took.as_micros() as u64;
    // What is asked for all the time is not worth a line each.
    if matches!(route.as_str(), "/healthz" | "/metrics") {
        tracing::debug!(target: "tutti::access", request = id, method, path, route, status, micros, remote, principal);
    } else {
        tracing::info!(target: "tutti::access", request = id, method, path, route, status, micros, remote, principal);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    // How much happens here is not for those of whom nobody knows who they are: those who may not enter, and those whom nobody asks.
    let is_known = response.extensions().get::<Principal>().is_some();
    if route.starts_with("/api/") && is_known && response.status() != StatusCode::UNAUTHORIZED {
        response.headers_mut().entry(POSITION).or_insert(position.0.into());
    }
    response
}
