//! Clients that ask for streams and read nothing of them: what the server holds for them is bounded, and nobody else waits.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::home::{Home, Server};

/// Clients of each kind.
const CLIENTS: usize = 20;
/// What all of them together may cost the server. What it has read for each and not sent is less than a megabyte; what the sockets hold is the
/// kernel's.
const BYTES_MAX: u64 = 96 << 20;

const NOISE: &str = r#"workflow: demo/noise
inputs: {items: {type: array, items: {type: integer}}}
nodes:
  talk: {run: {script: "head -c 9000000 /dev/zero | tr '\\0' x"}}
  many: {each: {items: "${ inputs.items }", do: {use: core/noop, with: {n: "${ item }"}}}}
"#;

/// Bytes of memory that a process has.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Asks for a stream, and waits for its first byte.
fn ask(server: &Server, path: &str) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

#[test]
fn those_who_never_read_cost_little_and_hold_up_nobody() {
    let home = Home::new();
    home.write("noise.workflow.yaml", NOISE);
    let items: Vec<String> = (0..5_000).map(|item: u32| item.to_string()).collect();
    home.write("items.json", &format!("{{\"items\": [{}]}}", items.join(",")));
    let run = ["run", "demo/noise", "-w", "--inputs", "items.json"];
    let server = home.up();
    home.ok(&["apply", "-f", "noise.workflow.yaml"]);
    for _ in 0..3 {
        home.ok(&run);
    }
    let before = memory(&server);
    let mut deaf = Vec::new();
    for _ in 0..CLIENTS {
        deaf.push(ask(&server, "/api/v1/events?after=0"));
        deaf.push(ask(&server, "/api/v1/runs/noise-1/logs?path=talk&follow=true"));
    }
    // Others work, follow and read to the end meanwhile.
    for _ in 0..3 {
        home.ok(&run);
    }
    let log = home.ok(&["logs", "noise-4", "talk"]).stdout;
    assert!(log.len() > 1_000_000 && log.ends_with('x'), "{}", log.len());
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < BYTES_MAX, "{} deaf clients cost {grown} bytes", deaf.len());
    println!("{} deaf clients cost {} KiB", deaf.len(), grown >> 10);
}
