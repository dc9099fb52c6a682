//! What was granted of the network is there, is counted, and is written down; nothing else is.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use executors::contract::{Incarnation, Rig, authority, fresh_key, script, ticket, until};
use executors::local::{LocalExecutor, Options};
use executors::sandbox::Connection;
use executors::{AttemptSpec, Executor as _};
use model::EgressGrant;
use model::site::SandboxMode;
use serde_json::json;

use crate::boxed::{Boxed, has_walls};

/// Not a test but the client of the others, within the walls: it goes through a list of things to do and tells what came of each.
#[test]
fn client() {
    let Some(todo) = std::env::var_os("EGRESS_TODO") else { return };
    let todo: Vec<(String, String)> = serde_json::from_str(todo.to_str().unwrap()).unwrap();
    let told: Vec<String> =
        todo.iter().map(|(at, say)| exchange(at, say).unwrap_or_else(|error| format!("error: {error}"))).collect();
    std::fs::write(std::env::var_os("TUTTI_OUTPUT").unwrap(), json!({ "told": told }).to_string()).unwrap();
}

/// Connects, says something, and hears everything.
fn exchange(at: &str, say: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(say.as_bytes())?;
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

/// A server that says back what it hears, in brackets.
fn echo(at: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((at, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            std::thread::spawn(move || {
                let mut heard = Vec::new();
                let _ = client.read_to_end(&mut heard);
                let _ = client.write_all(&[b"[".as_slice(), &heard, b"]"].concat());
            });
        }
    });
    address
}

/// An address of this machine that is not the loopback one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel says from where it would be.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

struct Site {
    rig: Boxed,
    runtime: tokio::runtime::Runtime,
    executor: LocalExecutor,
    seen: tokio::sync::mpsc::UnboundedReceiver<executors::Observed>,
}

impl Site {
    fn new() -> Site {
        let rig = Boxed::elsewhere();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (sender, seen) = tokio::sync::mpsc::unbounded_channel();
        let options = Options { sandbox: rig.settings(SandboxMode::Require), ..rig.rig.options() };
        let _inside = runtime.enter();
        let executor = LocalExecutor::open(options, sender).unwrap();
        drop(_inside);
        Site { rig, runtime, executor, seen }
    }

    /// Runs the client with grants; gives what it was told and what was written down.
    fn run(&mut self, grants: &[EgressGrant], todo: &[(String, String)]) -> (Vec<String>, Vec<Connection>) {
        let spec = client_of(&self.rig, todo);
        let mut granted = ticket(&spec).ticket;
        granted.egress = grants.iter().cloned().collect();
        let key = spec.key;
        self.runtime.block_on(self.executor.submit(spec, authority().sign(granted))).unwrap();
        let output = loop {
            match self.runtime.block_on(self.seen.recv()).unwrap() {
                executors::Observed::Finished { key: ended, outcome: engine::Outcome::Succeeded(output), .. } if ended == key => {
                    break output;
                }
                executors::Observed::Finished { outcome, .. } => panic!("{outcome:?}"),
                executors::Observed::Started { .. } => {}
            }
        };
        let told = serde_json::from_value(output["told"].clone()).unwrap();
        let before = self.executor.connections(key);
        self.runtime.block_on(self.executor.release(key));
        assert_eq!(self.executor.connections(key), before, "it is kept with the logs");
        (told, before)
    }
}

fn client_of(rig: &Boxed, todo: &[(String, String)]) -> AttemptSpec {
    let program = std::env::current_exe().unwrap();
    let mut spec = script(fresh_key(), 1, rig.shared(), "");
    spec.input = json!({
        "command": [program, "--exact", "egress::client", "--nocapture"],
        "env": {"EGRESS_TODO": serde_json::to_string(todo).unwrap()},
    });
    spec.shown = vec![program.parent().unwrap().to_owned()];
    spec
}

fn say(at: impl ToString, text: &str) -> (String, String) {
    (at.to_string(), text.to_owned())
}

#[test]
fn the_machine_is_reached_where_that_was_granted() {
    if !has_walls() {
        return;
    }
    let (granted, other) = (echo([127, 0, 0, 1].into()), echo([127, 0, 0, 1].into()));
    let mut site = Site::new();
    let proxied = format!("CONNECT {other} HTTP/1.1\r\n\r\n");
    let todo = [say(granted, "hello"), say(other, "hello"), say("127.0.0.1:3128", &proxied)];
    let (told, written) = site.run(&[granted.to_string().parse().unwrap()], &todo);
    assert_eq!(told[0], "[hello]");
    assert!(told[1].starts_with("error:"), "{told:?}");
    assert!(told[2].starts_with("HTTP/1.1 403") && told[2].contains("E0036"), "{told:?}");
    let mut outcomes: Vec<(&str, u16, u64, u64)> =
        written.iter().map(|c| (c.outcome.as_str(), c.port, c.sent, c.received)).collect();
    // Each is written down when it ends.
    outcomes.sort_unstable();
    assert_eq!(outcomes, [("closed", granted.port(), 5, 7), ("refused", other.port(), 0, 0)]);
    // Without a grant there is not even the proxy.
    let (told, written) = site.run(&[], &todo);
    assert!(told.iter().all(|told| told.starts_with("error:")), "{told:?}");
    assert!(written.is_empty());
}

#[test]
fn the_proxy_connects_to_what_was_granted_and_counts() {
    let Some(own) = own_address().filter(|_| has_walls()) else {
        eprintln!("skipped: this machine has no address but the loopback one, or no walls");
        return;
    };
    let server = echo(own);
    let mut site = Site::new();
    let mut grant: EgressGrant = server.to_string().parse().unwrap();
    grant.bytes_max = 1_000;
    let tunnel = format!("CONNECT {server} HTTP/1.1\r\nHost: x\r\n\r\n");
    let request = format!("POST http://{server}/a HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 2\r\n\r\nhi");
    let evil = "CONNECT example.com:443 HTTP/1.1\r\n\r\n".to_owned();
    let large = format!("{tunnel}{}", "x".repeat(2_000));
    let proxy = "127.0.0.1:3128";
    let todo = [
        say(proxy, &format!("{tunnel}hello")),
        say(proxy, &request),
        say(proxy, &evil),
        say(proxy, "hello\r\n\r\n"),
        say(proxy, &large),
    ];
    let (told, written) = site.run(&[grant], &todo);
    assert_eq!(told[0], "HTTP/1.1 200 Connection established\r\n\r\n[hello]");
    assert_eq!(told[1], format!("[POST /a HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi]"));
    assert!(told[2].starts_with("HTTP/1.1 403") && told[3].starts_with("HTTP/1.1 400"), "{told:?}");
    assert!(!told[4].contains("[x"), "{told:?}");
    let mut written = written;
    written.sort_by_key(|connection| connection.at);
    let outcomes: Vec<&str> = written.iter().map(|connection| connection.outcome.as_str()).collect();
    assert_eq!(outcomes, ["closed", "closed", "refused", "cut"]);
    assert_eq!((written[0].address.as_deref(), written[0].sent), (Some(own.to_string().as_str()), 5));
    assert_eq!(written[2].host, "example.com");
}

#[test]
fn what_is_open_when_an_attempt_ends_is_written_down() {
    if !has_walls() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    let mut spec = client_of(&rig, &[say(at, "hello")]);
    spec.timeout = Some(model::Duration::from_millis(1_500));
    let mut granted = ticket(&spec).ticket;
    granted.egress.insert(at.to_string().parse().unwrap());
    let key = spec.key;
    control.ask(control.executor().submit(spec, authority().sign(granted))).unwrap();
    // It is never answered, and waits until its time has passed.
    let (mut held, _) = listener.accept().unwrap();
    let mut heard = [0; 5];
    held.read_exact(&mut heard).unwrap();
    assert_eq!(control.end_of(key).failure().class, model::FailureClass::Timeout);
    let record = rig.rig.site().join(format!("attempts/{key}/egress.jsonl"));
    until("it is written down", || std::fs::read_to_string(&record).is_ok_and(|text| text.contains("\"ended\"")));
    // The other end notices.
    assert_eq!(held.read(&mut heard).unwrap_or(0), 0);
}
