//! Attempts whose process was there before them: it goes into the walls by itself, and what holds of others holds of it.

use std::path::Path;

use executors::contract::{Incarnation, Rig, fresh_key, script, until};
use executors::{AttemptSpec, Host, Reuse, Stream};
use model::{AttemptKey, FailureClass};

use crate::boxed::{Boxed, has_walls};

/// An order that a process carries out which was there before, and which nothing else can carry out.
pub(crate) fn hosted(key: AttemptKey, rig: &Boxed, command: &[&str], stays: bool) -> AttemptSpec {
    let mut order = script(key, 1, rig.shared(), "echo 'it was started from nothing'; exit 1");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| here.join(path).to_string_lossy().into_owned();
    order.host = Some(Host {
        program: vec!["python3".into(), text("tests/it/nursery.py"), text("../flyte/src/host.py")],
        arguments: command.iter().map(|&part| part.to_owned()).collect(),
        reuse: stays.then(|| Reuse { key: "kind".into(), keep: 4, idle: model::Duration::from_secs(60) }),
    });
    order
}

fn shell(key: AttemptKey, rig: &Boxed, text: &str, stays: bool) -> AttemptSpec {
    let marks = format!("mark() {{ echo $$ >> \"$SHARED/{key}.$1\"; }}\n{text}");
    hosted(key, rig, &["/bin/sh", "-c", &marks], stays)
}

fn said(control: &Incarnation, key: AttemptKey) -> String {
    [Stream::Stdout, Stream::Stderr]
        .map(|stream| String::from_utf8_lossy(&control.log(key, stream, 0).bytes).into_owned())
        .concat()
}

/// The output of a command, which succeeds.
fn run(control: &mut Incarnation, rig: &Boxed, text: &str, stays: bool) -> String {
    let order = shell(fresh_key(), rig, text, stays);
    let key = order.key;
    control.submit(order).unwrap();
    let end = control.end_of(key);
    assert!(matches!(end.outcome, engine::Outcome::Succeeded(_)), "{:?}\n{}", end.outcome, said(control, key));
    said(control, key)
}

#[test]
fn each_is_within_walls_of_its_own() {
    if !has_walls() {
        return;
    }
    for rig in [Boxed::new(), Boxed::elsewhere()] {
        let mut control = Incarnation::start(&rig, 1);
        let look = "pwd; echo x > /tmp/mark; ls -A /tmp; readlink /proc/self/ns/net";
        let outside = std::fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy().into_owned();
        let (first, second) = (run(&mut control, &rig, look, false), run(&mut control, &rig, look, false));
        for text in [&first, &second] {
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[0].ends_with("/work") && lines.contains(&"mark"), "{text}");
            assert!(!text.contains(&outside), "{text}");
        }
        assert_ne!(first.lines().next(), second.lines().next());
    }
}

#[test]
fn one_that_stays_has_the_walls_of_its_home() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    let look = "pwd; echo $PPID; readlink /proc/self/ns/net
        if grep -l sleep /proc/[0-9]*/comm | grep -q .; then echo 'the last one left something running'; fi
        (setsid sleep 600 < /dev/null > /dev/null 2>&1 &)";
    let (first, second) = (run(&mut control, &rig, look, true), run(&mut control, &rig, look, true));
    assert_eq!(first, second);
    assert!(first.lines().next().unwrap().contains("/homes/"), "{first}");
}

#[test]
fn it_ends_as_others_do() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    for stays in [false, true] {
        let order = shell(fresh_key(), &rig, "exit 7", stays);
        let key = order.key;
        control.submit(order).unwrap();
        let end = control.end_of(key);
        let failure = end.failure();
        assert_eq!(failure.exit_code, Some(7), "{failure:?}");
        // It is asked to stop, and does.
        let order = shell(fresh_key(), &rig, "trap 'mark asked; exit 3' TERM; mark ran; while :; do sleep 0.05; done", stays);
        let key = order.key;
        control.submit(order).unwrap();
        control.until_marked(key, "ran");
        control.ask(control.executor().cancel(key, model::Duration::from_secs(20)));
        assert!(matches!(control.end_of(key).outcome, engine::Outcome::Aborted));
        control.until_marked(key, "asked");
        // It has more processes than it may. (So many and no more: where no control group counts them, what has no end of its own gets thousands
        // before it is found.)
        let many = "i=0; while [ $i -lt 1500 ]; do sleep 600 & i=$((i + 1)); done; wait";
        let order = shell(fresh_key(), &rig, many, stays);
        let key = order.key;
        control.submit(order).unwrap();
        assert_eq!(control.end_of(key).failure().class, FailureClass::Quota);
        let mut order = shell(fresh_key(), &rig, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}; sleep 100", stays);
        order.resources.memory_bytes = 64 << 20;
        let key = order.key;
        control.submit(order).unwrap();
        assert_eq!(control.end_of(key).failure().class, FailureClass::Oom);
    }
}

#[test]
fn what_it_used_is_counted() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    let work = "python3 -c 'import time
x = bytearray(60_000_000)
while time.process_time() < 0.3: pass'";
    let orphaned = format!(
        "rm -f done; cat > orphan <<'END'\n{work}\ntouch done\nEND\n{work}; (setsid sh orphan &); while [ ! -e done ]; do sleep 0.05; done"
    );
    for (text, least) in [(work, 300_000), (orphaned.as_str(), 500_000)] {
        for stays in [false, true] {
            let order = shell(fresh_key(), &rig, text, stays);
            let key = order.key;
            control.submit(order).unwrap();
            let used = control.end_of(key).usage;
            assert!(used.cpu_us >= least || stays, "{stays} {used:?}");
            assert!(used.memory_peak_bytes > 60_000_000, "{stays} {used:?}");
        }
    }
}

/// When its wrapper is killed, nothing of an attempt is left, whatever it did to hide.
#[test]
fn nothing_survives_its_wrapper() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::new();
    let mut control = Incarnation::start(&rig, 1);
    let order = shell(fresh_key(), &rig, "setsid sh -c 'env -i sleep 4712' & mark ran; while :; do sleep 0.05 || :; done", false);
    let key = order.key;
    control.submit(order).unwrap();
    control.until_marked(key, "ran");
    until("it hides", || is_there(b"sleep\x004712\0"));
    let owner = std::fs::read_to_string(rig.rig.site().join(format!("attempts/{key}/shim.pid"))).unwrap();
    let wrapper = owner.split(' ').next().unwrap().to_owned();
    assert!(std::process::Command::new("kill").args(["-9", &wrapper]).status().unwrap().success());
    assert_eq!(control.end_of(key).failure().class, FailureClass::NodeLost);
    until("it is gone", || !is_there(b"sleep\x004712\0"));
}

fn is_there(wanted: &[u8]) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.into_iter().any(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted))
}

#[test]
fn one_that_does_not_go_in_is_not_begun() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    let mut order = shell(fresh_key(), &rig, "echo it ran", false);
    let host = order.host.as_mut().unwrap();
    // It says that it went in, and did not.
    host.program.insert(1, "-c".into());
    host.program[2] = format!(
        "import os, struct, sys\nsys.argv = ['nursery.py', *sys.argv[1:]]\ntext = open({:?}).read().replace('host.nursery(', '''
def stays(walls, descriptors, channel):
    child = os.fork()
    if child:
        channel.sendall(struct.pack('>I', child))
        os._exit(0)
    os.setsid()
host.become_one_within = stays
host.nursery(''')\nexec(text)",
        host.program[2]
    );
    let key = order.key;
    control.submit(order).unwrap();
    let failure = control.end_of(key).failure().clone();
    assert_eq!(failure.code.as_deref(), Some("E0034"), "{failure:?}");
    assert!(failure.message.contains("it is in another user namespace"), "{failure:?}");
    assert!(!said(&control, key).contains("it ran"));
}

#[test]
fn it_reaches_what_was_granted_and_nothing_else() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    let listeners = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    for listener in listeners {
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let _ = std::io::Write::write_all(&mut client, b"hello");
            }
        });
    }
    let ask = ports.map(|port| format!("import socket; print(socket.create_connection(('127.0.0.1', {port})).recv(5))"));
    for stays in [false, true, true] {
        let text = format!("python3 -c \"{}\"; python3 -c \"{}\" 2>&1 | tail -1; echo $http_proxy", ask[0], ask[1]);
        let order = shell(fresh_key(), &rig, &text, stays);
        let key = order.key;
        let mut ticket = executors::contract::ticket(&order).ticket;
        ticket.egress.insert(format!("127.0.0.1:{}", ports[0]).parse().unwrap());
        control.ask(control.executor().submit(order, executors::contract::authority().sign(ticket))).unwrap();
        control.end_of(key);
        assert_eq!(
            said(&control, key),
            "b'hello'\nConnectionRefusedError: [Errno 111] Connection refused\nhttp://127.0.0.1:3128\n",
            "{stays}"
        );
        let record = std::fs::read_to_string(rig.rig.site().join(format!("attempts/{key}/egress.jsonl"))).unwrap();
        assert_eq!(record.lines().count(), 1, "{record}");
        assert!(record.contains(r#""received":5"#), "{record}");
    }
}
