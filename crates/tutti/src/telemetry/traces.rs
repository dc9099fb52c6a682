//! Sending traces to a collector, when one is configured. A task follows the journal and sends what ended; the journal is its queue, so that
//! a collector that is away costs no memory and loses nothing: the task waits, and goes on from where it was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use controlplane::{ControlPlane, FaultKind};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use journal::{JournalError, Reader};
use model::Seq;
use tokio::sync::watch;

use super::follow::Follower;
use super::otlp::{KeyValue, Span, attribute, export};
use crate::failure::CommandError;
use crate::settings;
use crate::transport::{NoConnection, Target};

/// Facts read at a time.
const BATCH: usize = 500;
/// Spans of one request, about: what one batch of facts gives more is sent with it.
const SPANS: usize = 500;
/// Spans that ended are sent together after this.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before a collector that is away is asked again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 << 10;
/// Where in the data directory the position is kept.
const CURSOR: &str = "traces.cursor";

/// A collector and how it is spoken to.
pub(crate) struct Collector {
    target: Target,
    path: String,
    headers: HeaderMap,
    resource: Vec<KeyValue>,
}

/// What became of an export.
enum Sent {
    Taken,
    /// Asking again may help.
    Later(String),
    /// It will not.
    Refused(String),
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

impl Collector {
    /// The collector that the environment (as OpenTelemetry names it) or the configuration file says; none when neither does.
    pub(crate) fn configured(traces: &settings::Traces) -> Result<Option<Collector>, CommandError> {
        let off = |name: &str, value: &str| variable(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(value));
        if off("OTEL_SDK_DISABLED", "true") || off("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        // One for traces alone is taken as it stands; one for everything gets the usual path.
        let base = || variable("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| traces.endpoint.clone());
        let endpoint = match variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            Some(endpoint) => endpoint,
            None => match base() {
                Some(base) => format!("{}/v1/traces", base.trim_end_matches('/')),
                None => return Ok(None),
            },
        };
        let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
            let message = format!("traces are sent as `http/protobuf`, and not as `{other}`");
            return Err(CommandError::of(FaultKind::Configuration, message)
                .hint("collectors take it at port 4318; unset OTEL_EXPORTER_OTLP_PROTOCOL"));
        }
        let authorities = variable("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from);
        let target = Target::parse(&endpoint, authorities.as_deref())?;
        let path = if target.path.is_empty() { "/".to_owned() } else { target.path.clone() };
        let given = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| variable("OTEL_EXPORTER_OTLP_HEADERS"));
        let headers = headers(given.as_deref().unwrap_or_default())?;
        Ok(Some(Collector { target, path, headers, resource: resource(traces) }))
    }

    async fn send(&self, spans: Vec<Span>) -> Sent {
        let body = export(&self.resource, spans);
        match tokio::time::timeout(PATIENCE, self.ask(body.into())).await {
            Ok(Ok((status, _))) if status.is_success() => Sent::Taken,
            Ok(Ok((StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE, text)))
            | Ok(Ok((StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT, text))) => Sent::Later(text),
            Ok(Ok((status, text))) => Sent::Refused(format!("{status}: {text}")),
            Ok(Err(error)) => Sent::Later(format!("{error:#}")),
            Err(_) => Sent::Later(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn ask(&self, body: Bytes) -> anyhow::Result<(StatusCode, String)> {
        let stream = self.target.connect().await.map_err(|error| match error {
            NoConnection::Io(error) => anyhow!(error),
            NoConnection::Untrusted(message, _) => anyhow!(message),
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(Method::POST).uri(&self.path).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert("host", HeaderValue::from_str(&self.target.authority)?);
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let text = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.map(|body| body.to_bytes());
        connection.abort();
        Ok((status, String::from_utf8_lossy(&text.unwrap_or_default()).chars().take(200).collect()))
    }

    /// Sends until the spans are taken or refused for good.
    async fn deliver(&self, spans: Vec<Span>) {
        let (mut pause, longest) = PAUSE;
        let mut away = false;
        loop {
            match self.send(spans.clone()).await {
                Sent::Taken => {
                    if away {
                        tracing::info!(collector = self.target.url, "the collector of traces takes them again");
                    }
                    return;
                }
                Sent::Refused(why) => {
                    tracing::warn!(collector = self.target.url, why, spans = spans.len(), "the collector refused spans");
                    return;
                }
                Sent::Later(why) => {
                    // Said once, not once a try.
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(
                            collector = self.target.url,
                            why,
                            "the collector of traces is away; they wait in the journal"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }
}

/// `key=value,key=value`, as OpenTelemetry writes headers and attributes.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.trim().to_owned(), unescaped(value.trim())))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let ahead = rest.clone().take(2).collect::<Vec<u8>>();
        let code = std::str::from_utf8(&ahead).ok().filter(|digits| digits.len() == 2);
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(code) => {
                bytes.push(code);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn headers(text: &str) -> Result<HeaderMap, CommandError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text) {
        // The value may be a secret and is not shown.
        let wrong = || CommandError::usage(format!("the header `{name}` of OTEL_EXPORTER_OTLP_HEADERS is not one of HTTP"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn resource(traces: &settings::Traces) -> Vec<KeyValue> {
    let given: Vec<(String, String)> = pairs(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()).collect();
    let named = given.iter().find(|(key, _)| key == "service.name").map(|(_, name)| name.clone());
    let service = variable("OTEL_SERVICE_NAME").or(named).or_else(|| traces.service_name.clone());
    let mut resource = vec![
        attribute("service.name", service.unwrap_or_else(|| "tutti".into())),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
    ];
    resource.extend(given.into_iter().filter(|(key, _)| key != "service.name").map(|(key, value)| attribute(&key, value)));
    resource
}

/// Follows the journal, and sends the spans of what ended, until it is told to stop and has sent what there is.
pub(crate) async fn follow(control: ControlPlane, collector: Collector, mut stop: watch::Receiver<bool>) {
    let cursor = control.data().join(CURSOR);
    let reader = control.reader().clone();
    let mut seen = control.notices().watch();
    let Ok(mut after) = tokio::task::block_in_place(|| position(&reader, &cursor)) else { return };
    // What comes from now on is sent some time, whatever becomes of this process.
    keep(&cursor, after);
    let mut follower = Follower::default();
    loop {
        let last = *stop.borrow();
        let gathered = tokio::task::block_in_place(|| gather(&reader, &mut follower, &mut after));
        match gathered {
            Ok((spans, more)) => {
                if !spans.is_empty() {
                    collector.deliver(spans).await;
                }
                keep(&cursor, after);
                if more {
                    continue;
                }
            }
            Err(error) => tracing::error!(%error, "the journal cannot be read for traces"),
        }
        if last {
            return;
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => continue,
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        seen.mark_unchanged();
    }
}

/// Spans of the next facts, and whether there are more facts.
fn gather(reader: &Reader, follower: &mut Follower, after: &mut Seq) -> Result<(Vec<Span>, bool), JournalError> {
    let mut spans = Vec::new();
    loop {
        let events = reader.events(*after, None, BATCH)?;
        let full = events.len() == BATCH;
        for (seq, at, _, event) in &events {
            spans.extend(follower.take(reader, *seq, *at, event)?);
            *after = *seq;
        }
        if !full || spans.len() >= SPANS {
            return Ok((spans, full));
        }
    }
}

/// Where the last process stopped; the end of the journal when there is nothing to go on with.
fn position(reader: &Reader, cursor: &Path) -> Result<Seq, JournalError> {
    let (_, last, _) = reader.last().inspect_err(|error| tracing::error!(%error, "the journal cannot be read for traces"))?;
    let kept = std::fs::read_to_string(cursor).ok().and_then(|text| text.trim().parse().ok()).map(Seq);
    Ok(kept.filter(|kept| *kept <= last).unwrap_or(last))
}

/// Not synced: after a power cut some spans are sent twice under the same ids.
fn keep(cursor: &Path, after: Seq) {
    let fresh = cursor.with_extension("new");
    let kept = std::fs::write(&fresh, format!("{after}\n")).and_then(|()| std::fs::rename(&fresh, cursor));
    if let Err(error) = kept.with_context(|| format!("`{}`", cursor.display())) {
        tracing::warn!(error = format!("{error:#}"), "the position of traces could not be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let read = headers("authorization=Bearer%20x%3D1, x-tenant = a ,broken").unwrap();
        assert!(read["authorization"] == "Bearer x=1" && read["x-tenant"] == "a" && read.len() == 2, "{read:?}");
        assert!(headers("a b=c").is_err() && headers("a=%0A").is_err());
        assert_eq!(unescaped("100%"), "100%");
        assert_eq!(unescaped("%zz%41"), "%zzA");
    }
}
