//! Attempts that mean harm, or do it without meaning to: each ends in a clear failure of its own, and nothing else suffers.

use std::path::{Path, PathBuf};

use engine::Outcome;
use executors::contract::{End, GRACE, Incarnation, Rig, fresh_key, script, until};
use executors::local::{LocalExecutor, Options};
use executors::{Executor, Observed, Stream};
use model::{ArtifactRef, AttemptKey, FailureClass, NodeKind, Resources};
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use crate::local::LocalRig;

/// Without control groups: what limits there are, the wrapper keeps by watching.
struct WatchOnly(LocalRig);

impl Rig for WatchOnly {
    fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor> {
        let options = self.0.options();
        let shim = (options.shim.0, vec!["--watch-only".to_owned()]);
        Box::new(LocalExecutor::open(Options { shim, ..options }, observed).unwrap())
    }

    fn shared(&self) -> &Path {
        self.0.shared()
    }
}

/// Whether a process is there and not merely waiting to be reaped.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn attempt_folder(rig: &LocalRig, key: AttemptKey) -> PathBuf {
    rig.site().join("attempts").join(key.to_string())
}

fn with_memory(control: &mut Incarnation, rig: &dyn Rig, mib: u64, text: &str) -> End {
    let key = fresh_key();
    let mut order = script(key, 1, rig.shared(), text);
    order.resources = Resources { memory_bytes: mib << 20, ..Resources::default() };
    control.submit(order).unwrap();
    control.end_of(key)
}

/// A failure of the output, in words that say what was wrong.
#[track_caller]
fn assert_output(end: &End, words: &str) {
    let failure = end.failure();
    assert!(failure.class == FailureClass::Output && failure.message.contains(words), "`{words}` in {failure}");
}

/// After whatever happened, the site does as it did before.
fn assert_well(control: &mut Incarnation) {
    let key = control.run("echo '{\"well\": true}' > output.json");
    assert_eq!(control.end_of(key).output()["well"], true);
}

#[test]
fn processes_without_end_are_bounded() {
    for rig in [&LocalRig::new() as &dyn Rig, &WatchOnly(LocalRig::new())] {
        let mut control = Incarnation::start(rig, 1);
        let neighbour = fresh_key();
        control.order(neighbour, &executors::contract::gated(neighbour));
        control.until_marked(neighbour, "ran");
        // Each in a session of its own, deaf to the polite signal.
        let bomb = control.run("trap '' TERM; while :; do setsid sleep 1000 & done");
        assert_eq!(control.end_of(bomb).failure().class, FailureClass::Quota);
        control.open_gate(neighbour);
        assert_eq!(control.end_of(neighbour).output()["n"], 42);
        assert_well(&mut control);
    }
}

#[test]
fn a_bomb_of_forks_is_bounded() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let bomb = control.run("bomb() { bomb | bomb & }; bomb; while :; do sleep 1 || :; done");
    // It cannot get more, and does not stop trying.
    let end = control.end_of(bomb);
    assert_eq!(end.failure().class, FailureClass::Quota, "{end:?}");
    assert_well(&mut control);
}

#[test]
fn nothing_escapes_from_its_attempt() {
    for rig in [&LocalRig::new() as &dyn Rig, &WatchOnly(LocalRig::new())] {
        let mut control = Incarnation::start(rig, 1);
        let escape = "for how in one two; do
            (setsid sh -c 'trap \"\" TERM HUP; echo $$ >> \"$SHARED/'$0'.escaped\"; exec sleep 1000' >/dev/null 2>&1 &)
            (env -i setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >> \"$SHARED/$0.escaped\")
        done";
        let key = fresh_key();
        let text = format!(
            "{}\nuntil [ $(wc -l < \"$SHARED/{key}.escaped\") -ge 4 ]; do sleep 0.01; done",
            escape.replace("$0", &key.to_string()).replace("''", "")
        );
        control.order(key, &text);
        let end = control.end_of(key);
        assert!(matches!(end.outcome, Outcome::Succeeded(_)), "{end:?}");
        let escaped = control.marks(key, "escaped");
        assert!(escaped.len() >= 4, "{escaped:?}");
        assert!(escaped.iter().all(|pid| !lives(*pid)), "{escaped:?}");
        // Those that run on when the order to stop comes.
        let key = control.run("(setsid sh -c 'trap \"\" TERM; exec sleep 1000' & echo $! > left.pid); cp left.pid \"$SHARED/pid\"; mark ran; sleep 1000");
        control.until_marked(key, "ran");
        control.ask(control.executor().cancel(key, GRACE));
        assert_eq!(control.end_of(key).outcome, Outcome::Aborted);
        let left: u32 = std::fs::read_to_string(rig.shared().join("pid")).unwrap().trim().parse().unwrap();
        assert!(!lives(left));
    }
}

#[test]
fn memory_without_end_is_taken_back() {
    for rig in [&LocalRig::new() as &dyn Rig, &WatchOnly(LocalRig::new())] {
        let mut control = Incarnation::start(rig, 1);
        // Doubles what it holds, one process of many.
        let end = with_memory(&mut control, rig, 64, "(x=xxxxxxxx; while :; do x=$x$x; done) & sleep 1000");
        assert_eq!(end.failure().class, FailureClass::Oom, "{end:?}");
        assert!(end.failure().message.contains("64 MiB"), "{end:?}");
        // What asks for enough may have it, and what is shared is not counted twice.
        let shares = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); for i in 1 2 3 4 5 6 7 8; do (sleep 0.3; :) & done; wait";
        let end = with_memory(&mut control, rig, 128, shares);
        assert!(matches!(end.outcome, Outcome::Succeeded(_)), "{end:?}");
        assert_well(&mut control);
    }
}

#[test]
fn logs_without_end_stay_small() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let key = control.run("head -c 60000000 /dev/zero | tr '\\0' a; head -c 20000000 /dev/zero | tr '\\0' b >&2; printf end");
    let end = control.end_of(key);
    assert!(matches!(end.outcome, Outcome::Succeeded(_)), "{end:?}");
    let first = control.log(key, Stream::Stdout, 0);
    assert!(first.offset >= 60_000_003 - (8 << 20) && first.bytes.iter().all(|byte| *byte == b'a'));
    assert_eq!(control.log(key, Stream::Stdout, 60_000_000).bytes, b"end");
    let size: u64 =
        std::fs::read_dir(attempt_folder(&rig, key)).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 18 << 20, "{size}");
    let endless = control.run("mark ran; exec yes");
    control.until_marked(endless, "ran");
    control.ask(control.executor().cancel(endless, GRACE));
    assert_eq!(control.end_of(endless).outcome, Outcome::Aborted);
}

#[test]
fn outputs_that_are_none_are_refused() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let cases = [
        ("truncate -s 3000000000 output.json", "larger than"),
        ("head -c 2000000 /dev/zero | tr '\\0' ' ' > output.json", "larger than"),
        ("mkfifo output.json", "not a file"),
        ("mkdir output.json", "not a file"),
        ("ln -s /etc/passwd output.json", "not a file"),
        ("echo '{}' > real.json; ln -s real.json output.json", "not a file"),
        ("echo '{\"a\": ' > output.json", "not JSON"),
        ("printf '{\"a\": \"\\377\"}' > output.json", "not JSON"),
        ("head -c 200 /dev/zero | tr '\\0' '[' > output.json", "not JSON"),
        (": > output.json", "not JSON"),
        ("echo '[1]' > output.json", "not an object"),
        ("echo 3 > output.json", "not an object"),
        ("rm -r out; ln -s /etc out; echo '{\"f\": {\"$file\": \"passwd\"}}' > output.json", "not a file or folder below"),
        ("cd ..; rm -r work; ln -s /etc work", "not a file"),
        ("rm ../shim.json; echo '{}' > output.json", "changed the files"),
        ("rm ../shim.json; mkfifo ../shim.json; echo '{}' > output.json", "changed the files"),
    ];
    for (text, words) in cases {
        let key = control.run(text);
        assert_output(&control.end_of(key), words);
    }
    assert_well(&mut control);
}

#[test]
fn artifacts_that_are_none_are_refused() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let below = "not a file or folder below";
    let named = |name: &str| format!("echo '{{\"f\": {{\"$file\": \"{name}\"}}}}' > output.json");
    let cases = [
        (named("../input.json"), below),
        (named("/etc/passwd"), below),
        (named("a/../../input.json"), below),
        (named(""), below),
        (named("."), below),
        (named("missing"), below),
        (named("nul\\u0000"), below),
        (format!("ln -s /etc/passwd out/x; {}", named("x")), below),
        (format!("ln -s /etc out/d; {}", named("d/passwd")), below),
        (format!("mkfifo out/x; {}", named("x")), below),
        (format!("mkdir out/d; ln -s /etc/passwd out/d/x; {}", named("d")), "links and special files"),
        (format!("mkdir out/d; mkfifo out/d/x; {}", named("d")), "links and special files"),
        (format!("mkdir out/d; touch \"out/d/$(printf 'a\\377b')\"; {}", named("d")), "links and special files"),
        (format!("d=out/d; for i in $(seq 70); do d=$d/d; done; mkdir -p $d; touch $d/x; {}", named("d")), "levels of folders"),
        (
            format!("mkdir out/d; cd out/d; seq 100001 | xargs touch; cd ../..; {}", named("d")),
            "more than 100000 files",
        ),
        (
            "seq 5000 | sed 's/.*/{\"$file\": \"&\"}/' | paste -sd, | sed 's/.*/{\"f\": [&]}/' > output.json; cd out; seq 5000 | xargs touch"
                .to_owned(),
            "more than 4096 files",
        ),
        (
            format!("echo '{{\"format\":\"tutti-directory-1\",\"entries\":[]}}' > out/x; {}", named("x")),
            "listing of a directory",
        ),
    ];
    for (text, words) in cases {
        let key = control.run(&text);
        assert_output(&control.end_of(key), words);
    }
    // A file that is named many times is taken once, and a hard link is a file like any other.
    let many = "echo x > out/x; ln out/x out/y
        yes '{\"$file\": \"x\"}' | head -n 10000 | paste -sd, | sed 's/.*/{\"f\": [&], \"y\": {\"$file\": \"y\"}}/' > output.json";
    let key = control.run(many);
    let end = control.end_of(key);
    assert_eq!(end.output()["f"].as_array().unwrap().len(), 10_000);
    assert_eq!(end.usage.bytes_out, 2);
    assert_well(&mut control);
}

#[test]
fn folders_that_vanish_harm_only_their_attempt() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let key = control.run("rm -rf \"$PWD\"");
    assert_eq!(control.end_of(key).output(), &json!({}));
    let key = control.run("rm -rf \"$(dirname \"$PWD\")\"");
    assert_eq!(control.end_of(key).failure().class, FailureClass::NodeLost);
    control.ask(control.executor().release(key));
    assert_eq!(control.owned(key), None);
    // A record in the place of the wrapper's, which is none.
    let key = control.run("mkfifo ../result.json");
    assert_eq!(control.end_of(key).failure().class, FailureClass::NodeLost);
    // Orders to stop are not written into whatever lies in the place of the pipe.
    let target = rig.shared().join("target");
    std::fs::write(&target, "untouched").unwrap();
    let key = control
        .run("rm ../control; ln -s \"$SHARED/target\" ../control; mark ran; while [ ! -e \"$SHARED/go\" ]; do sleep 0.02; done");
    control.until_marked(key, "ran");
    control.ask(control.executor().cancel(key, GRACE));
    std::fs::write(rig.shared().join("go"), "").unwrap();
    control.end_of(key);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched");
    assert_well(&mut control);
}

#[test]
fn killing_the_wrapper_is_losing_the_node() {
    for rig in [&LocalRig::new() as &dyn Rig, &WatchOnly(LocalRig::new())] {
        let mut control = Incarnation::start(rig, 1);
        let key = fresh_key();
        let text = format!(
            "(setsid sh -c 'trap \"\" TERM; echo $$ >> \"$SHARED/{key}.left\"; exec sleep 1000' &)
             until [ -s \"$SHARED/{key}.left\" ]; do sleep 0.01; done; echo $$ >> \"$SHARED/{key}.left\"; kill -9 $PPID; sleep 1000"
        );
        control.order(key, &text);
        let end = control.end_of(key);
        assert_eq!(end.failure().class, FailureClass::NodeLost, "{end:?}");
        let left = control.marks(key, "left");
        assert!(left.len() == 2 && left.iter().all(|pid| !lives(*pid)), "{left:?}");
        assert_well(&mut control);
    }
}

#[test]
fn files_larger_than_allowed_end_the_attempt() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let key = control.run("exec truncate -s 100G out/x");
    let failure = control.end_of(key).failure().clone();
    assert_eq!(failure.class, FailureClass::User, "{failure}");
    assert_well(&mut control);
}

/// The most memory this process ever held, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

const ALONE: &str = "EXECUTORS_TEST_ALONE";

/// Runs the test below in a process of its own: what is measured is the memory of all of it.
#[test]
fn large_artifacts_are_never_held_in_memory() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "hostile::large_artifacts_alone", "--nocapture"]).env(ALONE, "1");
    let ended = alone.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn large_artifacts_alone() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    assert_well(&mut control);
    let before = peak_memory();
    let key = control.run("truncate -s 2G out/large; echo '{\"f\": {\"$file\": \"large\"}}' > output.json");
    let end = control.end_of(key);
    let artifact = ArtifactRef::from_value(&end.output()["f"]).unwrap();
    assert_eq!(artifact.size, 2 << 30);
    // In again: it is laid out, not copied.
    let key = fresh_key();
    let mut order = script(key, 1, rig.shared(), "echo \"{\\\"size\\\": $(stat -c %s in/0-large)}\" > output.json");
    order.input["with"] = json!({"f": artifact.to_value()});
    control.submit(order).unwrap();
    let end = control.end_of(key);
    assert_eq!((&end.output()["size"], end.usage.bytes_in), (&json!(2u64 << 30), 2 << 30));
    let grown = peak_memory() - before;
    assert!(grown < 16 << 20, "{grown} bytes more at the peak");
}

mod full_disk {
    use super::*;

    const DISK: &str = "EXECUTORS_TEST_DISK";

    /// Makes a small disk in a mount namespace of its own, and runs the test below on it.
    #[test]
    fn a_full_disk_is_the_sites_failure() {
        let folder = tempfile::tempdir().unwrap();
        let inner = "mount -t tmpfs -o size=24m tutti-test \"$1\" && EXECUTORS_TEST_DISK=\"$1\" exec \"$2\" --exact hostile::full_disk::inside --nocapture";
        let ran = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", inner, "sh"])
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .output();
        let Some(ran) = ran.ok().filter(|ran| !String::from_utf8_lossy(&ran.stderr).contains("unshare:")) else {
            eprintln!("skipped: this machine gives no mount namespaces");
            return;
        };
        assert!(ran.status.success(), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    }

    struct Small(LocalRig, PathBuf);

    impl Rig for Small {
        fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor> {
            Box::new(LocalExecutor::open(Options { folder: self.1.join("site"), ..self.0.options() }, observed).unwrap())
        }

        fn shared(&self) -> &Path {
            self.0.shared()
        }
    }

    #[test]
    fn inside() {
        let Some(disk) = std::env::var_os(DISK) else { return };
        let (small, other) = (Small(LocalRig::new(), disk.into()), LocalRig::new());
        let (mut control, mut elsewhere) = (Incarnation::start(&small, 1), Incarnation::start(&other, 1));
        assert_well(&mut control);
        for text in [
            // It notices, or does not: its wrapper does.
            "head -c 100000000 /dev/zero > big",
            "head -c 100000000 /dev/zero > big || :; echo '{}' > output.json; sleep 1000",
            // What it leaves has no place in the store.
            "for i in 1 2 3 4; do head -c 3900000 /dev/urandom > out/$i; done; echo '{\"f\": {\"$file\": \"1\"}, \"g\": {\"$file\": \"2\"}, \"h\": {\"$file\": \"3\"}}' > output.json",
        ] {
            let key = control.run(text);
            let end = control.end_of(key);
            assert_eq!(end.failure().class, FailureClass::DiskFull, "{text}: {end:?}");
            assert!(end.failure().class.is_system());
            control.ask(control.executor().release(key));
        }
        assert_well(&mut control);
        // Full by somebody else's doing: the site says so and takes nothing.
        std::fs::write(small.1.join("filler"), vec![1; 24 << 20]).unwrap_err();
        assert!(!control.ask(control.executor().probe()).healthy);
        let key = control.run("true");
        assert_eq!(control.end_of(key).failure().class, FailureClass::DiskFull);
        assert_well(&mut elsewhere);
        std::fs::remove_file(small.1.join("filler")).unwrap();
        assert!(control.ask(control.executor().probe()).healthy);
        assert_well(&mut control);
    }
}

#[test]
fn images_are_not_run_without_their_containers() {
    let rig = LocalRig::new();
    let control = Incarnation::start(&rig, 1);
    let mut order = script(fresh_key(), 1, rig.shared(), "true");
    order.kind = NodeKind::Run { image: Some("debian:12".into()), code: Vec::new() };
    control.submit(order).unwrap_err();
    until("nothing is there", || control.ask(control.executor().list_owned()).unwrap().is_empty());
}
