//! Traces, as a collector receives them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::home::{Home, PATIENT, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// Takes what is sent to it, for as long as the test goes on.
struct Collector {
    address: SocketAddr,
    bodies: Receiver<(String, Vec<u8>)>,
    spans: Vec<Span>,
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    start: u64,
    end: u64,
    status: u64,
    attributes: BTreeMap<String, String>,
    events: usize,
}

/// A field of a message of protobuf: a number, or bytes.
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// The fields of a message. Written anew from the specification: what is read here is not what wrote it.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            wire @ (1 | 5) => {
                let (number, rest) = bytes.split_at(if wire == 1 { 8 } else { 4 });
                bytes = rest;
                Field::Number(number.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (part, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(part)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn all<'b>(bytes: &'b [u8], tag: u64) -> Vec<&'b [u8]> {
    let of = |(found, field): (u64, Field<'b>)| match field {
        Field::Bytes(bytes) if found == tag => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(of).collect()
}

fn number(bytes: &[u8], tag: u64) -> u64 {
    let of = |(found, field): (u64, Field<'_>)| match field {
        Field::Number(number) if found == tag => Some(number),
        _ => None,
    };
    fields(bytes).into_iter().find_map(of).unwrap_or_default()
}

fn text(bytes: &[u8], tag: u64) -> String {
    all(bytes, tag).first().map(|text| String::from_utf8(text.to_vec()).unwrap()).unwrap_or_default()
}

fn hex(bytes: &[u8], tag: u64) -> String {
    all(bytes, tag).first().map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}

fn attributes(bytes: &[u8], tag: u64) -> BTreeMap<String, String> {
    let value = |pair: &[u8]| {
        let value = all(pair, 2).first().copied().unwrap_or_default().to_vec();
        match fields(&value).first() {
            Some((1, Field::Bytes(text))) => String::from_utf8_lossy(text).into_owned(),
            Some((4, Field::Number(bits))) => f64::from_bits(*bits).to_string(),
            Some((_, Field::Number(number))) => number.to_string(),
            _ => String::new(),
        }
    };
    all(bytes, tag).into_iter().map(|pair| (text(pair, 1), value(pair))).collect()
}

fn spans(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in all(body, 1) {
        let resource = all(resource_spans, 1)[0];
        assert_eq!(attributes(resource, 1)["service.name"], "tutti-test");
        for scope_spans in all(resource_spans, 2) {
            assert_eq!(text(all(scope_spans, 1)[0], 1), "tutti");
            spans.extend(all(scope_spans, 2).into_iter().map(|span| Span {
                trace: hex(span, 1),
                id: hex(span, 2),
                parent: hex(span, 4),
                name: text(span, 5),
                start: number(span, 7),
                end: number(span, 8),
                attributes: attributes(span, 9),
                events: all(span, 11).len(),
                status: all(span, 15).first().map_or(0, |status| number(status, 3)),
            }));
        }
    }
    spans
}

fn serve(mut stream: TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = given.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    Ok((head, body))
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, bodies) = channel();
        // It ends when somebody connects after the test has gone.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(sent) = stream.and_then(serve) else { continue };
                if sender.send(sent).is_err() {
                    return;
                }
            }
        });
        Collector { address, bodies, spans: Vec::new() }
    }

    /// Waits for a span.
    fn span(&mut self, name: &str) -> Span {
        loop {
            if let Some(span) = self.spans.iter().find(|span| span.name == name) {
                return span.clone();
            }
            let (head, body) =
                self.bodies.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no span `{name}`: {:?}", self.spans));
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces http") && head.contains("content-type: application/x-protobuf"), "{head}");
            assert!(head.contains("x-key: a b"), "{head}");
            self.spans.extend(spans(&body));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let (_, nobody) = channel();
        self.bodies = nobody;
        let _ = TcpStream::connect(self.address);
    }
}

fn settings(address: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b".into()),
        ("OTEL_SERVICE_NAME", "tutti-test".into()),
    ]
}

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const STORY: &str = r#"workflow: demo/story
nodes:
  one:
    run: {script: "printf '{\"context\": \"%s\"}' \"$TRACEPARENT\" > \"$TUTTI_OUTPUT\""}
    outputs: {context: {type: string}}
  many: {each: {items: "${ [1, 2] }", do: {use: core/noop, with: {n: "${ item }"}}}, after: [one]}
  bad: {use: core/fail, with: {message: out of luck}, after: [many]}
outputs: {context: "${ nodes.one.context }"}
"#;

/// Milliseconds of the day of a time as the API writes it.
fn of_day(time: &Value) -> u64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time}"));
    let clock = text.split_once('T').unwrap().1.trim_end_matches('Z').replace(['.', ':'], " ");
    let parts: Vec<u64> = clock.split(' ').map(|part| part.parse().unwrap()).collect();
    ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1_000 + parts[3]
}

/// The same of a span.
fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000 % 86_400_000
}

#[test]
fn a_run_and_all_of_it_arrives_in_the_trace_of_its_caller() {
    let home = Home::new();
    let mut collector = Collector::start();
    let _server = home.up_as(&[], &settings(collector.address));
    home.write("s.workflow.yaml", STORY);
    home.ok(&["apply", "-f", "s.workflow.yaml"]);
    let mut command = home.command(&["run", "demo/story", "--name", "traced", "--wait"]);
    command.env("TRACEPARENT", CALLER);
    assert_eq!(crate::home::end_of(command).code, 1, "it fails, as it should");

    let run = collector.span("run demo/story");
    assert_eq!((run.trace.as_str(), run.parent.as_str(), run.status), (&CALLER[3..35], &CALLER[36..52], 2));
    assert_eq!(run.attributes["tutti.run"], "traced");
    let shown = home.json(&["get", "run", "traced"]);
    assert_eq!(millis(run.start), of_day(&shown["submitted_at"]));
    assert_eq!(millis(run.end), of_day(&shown["finished_at"]));
    for (name, parent, status) in [
        ("one", "run demo/story", 1),
        ("one #1", "one", 1),
        ("many", "run demo/story", 1),
        ("many[0]", "many", 1),
        ("many[1]", "many", 1),
        ("many[1] #1", "many[1]", 1),
        ("bad", "run demo/story", 2),
        ("bad #1", "bad", 2),
    ] {
        let (span, parent) = (collector.span(name), collector.span(parent));
        assert_eq!((&span.trace, &span.parent, span.status), (&run.trace, &parent.id, status), "{name}: {span:?}");
        assert!(span.start >= parent.start && span.end <= parent.end && span.start <= span.end, "{span:?} in {parent:?}");
    }
    let attempt = collector.span("one #1");
    assert_eq!((attempt.attributes["tutti.site"].as_str(), attempt.events), ("local", 1));
    assert_eq!(collector.span("bad").attributes["error.type"], "user");
    // The task was told which span it is in.
    let told = home.json(&["describe", "action", "traced", "one"]);
    let told = told["output"]["context"].as_str().unwrap_or_else(|| panic!("{told}"));
    assert_eq!(told, format!("00-{}-{}-01", run.trace, attempt.id));
    let ids: std::collections::BTreeSet<&str> = collector.spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), collector.spans.len(), "each span has an id of its own, and comes once");
}

#[test]
fn a_collector_that_is_away_harms_nothing_and_gets_all_of_it_later() {
    let home = Home::new();
    home.write("p.workflow.yaml", PATIENT);
    // Nobody listens there: the port was given back.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = home.up_as(&[], &settings(nobody));
    home.ok(&["apply", "-f", "p.workflow.yaml"]);
    home.ok(&["run", "demo/patient", "--name", "held"]);
    until("the run waits", || home.json(&["get", "run", "held"])["actions_done"].as_u64().filter(|done| *done == 1));
    until("it is said that the collector is away", || home.log().contains("the collector of traces is away").then_some(()));
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0), "{}", home.log());
    drop(server);

    // Killed in the middle of the run: the trace goes on where it was.
    let mut collector = Collector::start();
    let server = home.up_as(&[], &settings(collector.address));
    let first = collector.span("first");
    until("the position is kept", || {
        let kept = std::fs::read_to_string(home.path().join("data/traces.cursor")).ok()?.trim().parse::<u64>().ok()?;
        (kept > 5).then_some(())
    });
    drop(server);
    let _server = home.up_as(&[], &settings(collector.address));
    home.ok(&["signal", "held", "go", "--payload", "{\"n\": 7}"]);
    let run = collector.span("run demo/patient");
    let shown = home.json(&["get", "run", "held"]);
    assert_eq!(millis(run.start), of_day(&shown["submitted_at"]));
    assert_eq!((&first.trace, &first.parent, run.parent.as_str(), run.status), (&run.trace, &run.id, "", 1));
    let hold = collector.span("hold");
    assert!(hold.parent == run.id && hold.start <= first.end, "{hold:?} began before the server was started again");
}
