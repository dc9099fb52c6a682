//! The escape suite: a process within walls tries what an attacker would try. Each attempt that comes to something is a failure of the
//! suite. The count of what was blocked is printed.

mod attempts;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::process::{Command, Stdio};

use executors::AttemptSpec;
use executors::contract::{Incarnation, Rig as _, fresh_key, script, until};
use model::{AttemptKey, FailureClass};
use serde_json::json;

use crate::boxed::{Boxed, has_walls};
use crate::hosted::hosted;

/// What is on the other side of the walls, for those within to find.
struct Outside {
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
    _abstract: UnixListener,
    victim: std::process::Child,
    folder: tempfile::TempDir,
}

const SECRET: &str = "the treasure of the other site";

impl Outside {
    fn new(rig: &Boxed) -> Outside {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let other = folder.path().join("other-site");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("treasure"), SECRET).unwrap();
        // In the site's own folder, of which only the files are shown.
        std::fs::write(rig.rig.site().join("store/treasure"), SECRET).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
        let name = format!("tutti-escape-{}", std::process::id());
        let named = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name).unwrap()).unwrap();
        let victim = Command::new("sleep").arg("1000").env("TREASURE", SECRET).stdout(Stdio::null()).spawn().unwrap();
        Outside { tcp, udp, _unix: unix, _abstract: named, victim, folder }
    }

    fn described(&self, rig: &Boxed) -> serde_json::Value {
        json!({
            "treasures": [self.folder.path().join("other-site/treasure"), rig.rig.site().join("store/treasure")],
            "site": rig.rig.site(),
            "tcp": self.tcp.local_addr().unwrap().port(),
            "udp": self.udp.local_addr().unwrap().port(),
            "socket": self.folder.path().join("socket"),
            "abstract": format!("tutti-escape-{}", std::process::id()),
            "victim": self.victim.id(),
            "secret": SECRET,
        })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// Not a test but the attacker of the next one: it runs within the walls, and tells what came of it.
#[test]
fn attacker() {
    let Some(outside) = std::env::var_os("ESCAPE_OUTSIDE") else { return };
    let outside = serde_json::from_str(outside.to_str().unwrap()).unwrap();
    let told = attempts::all(&outside);
    let told: BTreeMap<&str, String> = told.into_iter().map(|(name, out)| (name, out.err().unwrap_or_default())).collect();
    println!("{TOLD}{}", json!(told));
}

/// What stands before what it tells, on its output.
const TOLD: &str = "it is told: ";

#[test]
fn nothing_gets_out() {
    if has_walls() {
        let rig = Boxed::elsewhere();
        let mut control = Incarnation::start(&rig, 1);
        nothing_gets_out_of(&rig, &mut control, "started", |key, command| {
            let mut order = script(key, 1, rig.shared(), "");
            order.input["command"] = json!(command);
            order
        });
    }
}

#[test]
fn nothing_gets_out_by_a_process_that_was_there_before() {
    if has_walls() {
        let rig = Boxed::elsewhere();
        let mut control = Incarnation::start(&rig, 1);
        // The second of those that stay goes on with the process of the first.
        for (how, stays) in [("forked", false), ("kept", true), ("kept", true)] {
            nothing_gets_out_of(&rig, &mut control, how, |key, command| hosted(key, &rig, command, stays));
        }
    }
}

fn nothing_gets_out_of(
    rig: &Boxed,
    control: &mut Incarnation,
    how: &str,
    order: impl FnOnce(AttemptKey, &[&str]) -> AttemptSpec,
) {
    let mut outside = Outside::new(rig);
    let key = fresh_key();
    let program = std::env::current_exe().unwrap();
    let command = [program.to_str().unwrap(), "--exact", "escape::attacker", "--nocapture"];
    let mut order = order(key, &command);
    order.input["env"]["ESCAPE_OUTSIDE"] = outside.described(rig).to_string().into();
    order.shown = vec![program.parent().unwrap().to_owned()];
    control.submit(order).unwrap();
    let end = control.end_of(key);
    let text = |stream| String::from_utf8_lossy(&control.log(key, stream, 0).bytes).into_owned();
    let (output, errors) = (text(executors::Stream::Stdout), text(executors::Stream::Stderr));
    let told = output.lines().find_map(|line| line.split_once(TOLD));
    let Some((_, told)) = told.filter(|_| matches!(end.outcome, engine::Outcome::Succeeded(_))) else {
        panic!("{how}: {:?}\n{output}{errors}", end.outcome);
    };
    let told: BTreeMap<String, String> = serde_json::from_str(told).unwrap();
    // What only those outside can see.
    let mut got_out: Vec<String> =
        told.iter().filter(|(_, out)| !out.is_empty()).map(|(name, out)| format!("{name}: {out}")).collect();
    if outside.tcp.accept().is_ok() {
        got_out.push("a connection arrived".into());
    }
    let mut datagram = [0; 64];
    if outside.udp.recv(&mut datagram).is_ok() {
        got_out.push("a datagram arrived".into());
    }
    if outside.victim.try_wait().unwrap().is_some() {
        got_out.push("a process outside was ended".into());
    }
    let (tried, blocked) = (told.len() + 3, told.len() + 3 - got_out.len());
    eprintln!("escape suite, {how}: {blocked} of {tried} blocked");
    assert!(got_out.is_empty(), "{how}: {got_out:#?}");
    assert!(tried >= 60, "{tried}");
}

/// What limits hold without walls hold with them, and the machine outside does as before.
#[test]
fn greed_is_bounded() {
    let rig = Boxed::new();
    let mut control = Incarnation::start(&rig, 1);
    let neighbour = fresh_key();
    control.order(neighbour, &executors::contract::gated(neighbour));
    control.until_marked(neighbour, "ran");
    let bomb = control.run("bomb() { bomb | bomb & }; bomb; while :; do sleep 1 || :; done");
    assert_eq!(control.end_of(bomb).failure().class, FailureClass::Quota);
    let mut order = script(fresh_key(), 1, rig.shared(), "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}; sleep 100");
    order.resources.memory_bytes = 64 << 20;
    let hungry = order.key;
    control.submit(order).unwrap();
    assert_eq!(control.end_of(hungry).failure().class, FailureClass::Oom);
    // Shared memory counts, and has an end of its own.
    let mut order = script(fresh_key(), 1, rig.shared(), "head -c 300000000 /dev/zero > /dev/shm/x && sleep 100");
    order.resources.memory_bytes = 64 << 20;
    let sharing = order.key;
    control.submit(order).unwrap();
    control.end_of(sharing).failure();
    control.open_gate(neighbour);
    assert_eq!(control.end_of(neighbour).output()["n"], 42);
}

/// When its wrapper is killed, nothing of an attempt is left, whatever it did to hide.
#[test]
fn nothing_survives_its_wrapper() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::new();
    let mut control = Incarnation::start(&rig, 1);
    let key = control.run("setsid sh -c 'env -i sleep 4711' & mark ran; while :; do sleep 0.05 || :; done");
    control.until_marked(key, "ran");
    let is_there = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let mut line = Vec::new();
            let _ = std::fs::File::open(entry.path().join("cmdline")).and_then(|mut file| file.read_to_end(&mut line));
            line == b"sleep\x004711\0"
        })
    };
    until("it hides", is_there);
    let owner = std::fs::read_to_string(rig.rig.site().join(format!("attempts/{key}/shim.pid"))).unwrap();
    let wrapper = owner.split(' ').next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &wrapper]).status().unwrap().success());
    assert_eq!(control.end_of(key).failure().class, FailureClass::NodeLost);
    until("it is gone", || !is_there());
}
