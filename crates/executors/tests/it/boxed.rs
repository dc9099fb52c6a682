//! Attempts within walls: what held without them holds with them.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use executors::contract::{Incarnation, Rig, fresh_key, script};
use executors::local::{LocalExecutor, Options};
use executors::sandbox::{Layers, Machine, Settings};
use executors::{Executor, Observed, contract_suite};
use model::site::SandboxMode;
use tokio::sync::mpsc::UnboundedSender;

use crate::local::{LocalRig, shim};

/// What this machine can build, found out once.
static MACHINE: LazyLock<Arc<Machine>> = LazyLock::new(|| Machine::new(shim()));

/// Whether every wall can be built here. Where not, says so.
pub(crate) fn has_walls() -> bool {
    let isolation = MACHINE.isolation();
    if isolation.layers == Layers::ALL {
        return true;
    }
    eprintln!("skipped: this machine cannot build the walls: {}", isolation.lacking.join("; "));
    false
}

/// A site whose processes are kept in.
pub(crate) struct Boxed {
    pub(crate) rig: LocalRig,
}

impl Boxed {
    pub(crate) fn new() -> Boxed {
        Boxed { rig: LocalRig::new() }
    }

    /// In a folder that is not below that of temporary files, of which those within have one of their own.
    pub(crate) fn elsewhere() -> Boxed {
        Boxed { rig: LocalRig::within(Path::new(env!("CARGO_TARGET_TMPDIR"))) }
    }

    pub(crate) fn settings(&self, mode: SandboxMode) -> Settings {
        Settings {
            mode,
            machine: MACHINE.clone(),
            runtime: Vec::new(),
            writable: vec![self.rig.shared().to_owned()],
            hidden: vec![self.rig.site()],
        }
    }
}

impl Rig for Boxed {
    fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor> {
        // On a machine that cannot build them all, the contract holds with those it can.
        let options = Options { sandbox: self.settings(SandboxMode::Prefer), ..self.rig.options() };
        Box::new(LocalExecutor::open(options, observed).unwrap())
    }

    fn shared(&self) -> &Path {
        self.rig.shared()
    }
}

mod contract {
    use super::*;

    contract_suite!(Boxed::new());
}

#[test]
fn an_order_says_what_is_shown_beside_the_rest_and_what_may_be_written() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    // Below `/tmp` too, over which each attempt has its own.
    for above in ["/tmp", env!("CARGO_TARGET_TMPDIR")] {
        let place = tempfile::tempdir_in(above).unwrap();
        let (shown, own) = (place.path().join("shown"), place.path().join("shown/own"));
        for folder in [&own, &place.path().join("hidden")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(shown.join("note"), "hello").unwrap();
        let key = fresh_key();
        let text = r#"cat "$PLACE/shown/note"; echo mine > "$PLACE/shown/own/made"
            if (echo x > "$PLACE/shown/beside") 2> /dev/null; then echo "it wrote beside its folder" >&2; exit 1; fi
            if ls "$PLACE/hidden" 2> /dev/null; then echo "it saw what is not shown" >&2; exit 1; fi"#;
        let mut order = script(key, 1, rig.shared(), text);
        order.input["env"]["PLACE"] = serde_json::json!(place.path());
        (order.shown, order.writable) = (vec![shown.clone()], vec![own.clone()]);
        control.submit(order).unwrap();
        let end = control.end_of(key);
        let said = |stream| String::from_utf8_lossy(&control.log(key, stream, 0).bytes).into_owned();
        assert!(matches!(end.outcome, engine::Outcome::Succeeded(_)), "{above}: {}", said(executors::Stream::Stderr));
        assert_eq!(said(executors::Stream::Stdout), "hello", "{above}");
        assert_eq!(std::fs::read_to_string(own.join("made")).unwrap(), "mine\n", "{above}");
        assert!(!shown.join("beside").exists(), "{above}");
    }
}

/// A site with settings of its own.
struct With {
    boxed: Boxed,
    settings: Settings,
}

impl Rig for With {
    fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor> {
        let options = Options { sandbox: self.settings.clone(), ..self.boxed.rig.options() };
        Box::new(LocalExecutor::open(options, observed).unwrap())
    }

    fn shared(&self) -> &Path {
        self.boxed.rig.shared()
    }
}

#[test]
fn what_is_hidden_is_not_seen_through_a_link_to_a_folder_above_it() {
    if !has_walls() {
        return;
    }
    let boxed = Boxed::elsewhere();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (above, data) = (place.path().join("above"), place.path().join("above/data"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("key"), "secret").unwrap();
    std::fs::write(above.join("note"), "hello").unwrap();
    let (link, into) = (place.path().join("link"), place.path().join("into"));
    std::os::unix::fs::symlink(&above, &link).unwrap();
    std::os::unix::fs::symlink(&data, &into).unwrap();
    let mut settings = boxed.settings(SandboxMode::Require);
    settings.hidden.push(data.canonicalize().unwrap());
    settings.runtime = vec![link.clone(), into.clone()];
    assert!(settings.hides(&into) && !settings.hides(&link));
    let rig = With { boxed, settings };
    let mut control = Incarnation::start(&rig, 1);
    let key = fresh_key();
    let text = r#"cat "$PLACE/link/note"; cat "$PLACE"/*/data/key "$PLACE"/link/*/key "$PLACE"/into/key 2> /dev/null || true"#;
    let mut order = script(key, 1, rig.shared(), text);
    order.input["env"]["PLACE"] = serde_json::json!(place.path());
    control.submit(order).unwrap();
    let end = control.end_of(key);
    let said = |stream| String::from_utf8_lossy(&control.log(key, stream, 0).bytes).into_owned();
    assert!(matches!(end.outcome, engine::Outcome::Succeeded(_)), "{}", said(executors::Stream::Stderr));
    assert_eq!(said(executors::Stream::Stdout), "hello");
}

#[test]
fn what_is_excused_from_walls_does_not_see_what_is_hidden() {
    if !has_walls() {
        return;
    }
    for boxed in [Boxed::new(), Boxed::elsewhere()] {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (data, shown, made) = (place.path().join("data"), place.path().join("data/shown"), place.path().join("data/made"));
        for folder in [&shown, &made] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(data.join("key"), "secret").unwrap();
        std::fs::write(shown.join("note"), "hello\n").unwrap();
        let mut settings = boxed.settings(SandboxMode::Prefer);
        settings.hidden.push(data.canonicalize().unwrap());
        let site = boxed.rig.site();
        let rig = With { boxed, settings };
        let mut control = Incarnation::start(&rig, 1);
        let key = fresh_key();
        let text = r#"cat "$PLACE/data/shown/note"; pwd; echo made > "$PLACE/beside"; echo made > "$PLACE/data/made/made"
            echo x > "$TUTTI_SITE_FILES/x"; cat "$PLACE/data/key" 2> /dev/null || true; ls "$SITE" ../.. "$SITE/attempts"
            for y in "$PLACE/data/y" "$PLACE/data/shown/y"; do
                if (echo x > "$y") 2> /dev/null; then echo "it wrote $y"; fi
            done
            if umount -l "$PLACE/data" 2> /dev/null; then echo "it took the cover off"; fi
            if [ "$QUIET" = true ] && kill -0 "$WRAPPER" 2> /dev/null; then echo "it reaches other processes"; fi
            if cat "/proc/$WRAPPER/environ" > /dev/null 2>&1; then echo "it looks into other processes"; fi"#;
        let mut order = script(key, 1, rig.shared(), text);
        order.input["env"]["PLACE"] = serde_json::json!(place.path());
        order.input["env"]["SITE"] = serde_json::json!(site);
        order.input["env"]["QUIET"] = executors::sandbox::keeps_signals_in().to_string().into();
        order.input["env"]["WRAPPER"] = serde_json::json!(std::process::id().to_string());
        (order.shown, order.writable, order.unboxed) = (vec![shown], vec![made.clone()], true);
        control.submit(order).unwrap();
        let end = control.end_of(key);
        let said = |stream| String::from_utf8_lossy(&control.log(key, stream, 0).bytes).into_owned();
        assert!(matches!(end.outcome, engine::Outcome::Succeeded(_)), "{}", said(executors::Stream::Stderr));
        let (site, work) = (site.canonicalize().unwrap(), format!("attempts/{key}/work"));
        let wanted = format!(
            "hello\n{}\n../..:\n{key}\n\n{}:\nattempts\nfiles\n\n{}:\n{key}\n",
            site.join(&work).display(),
            site.display(),
            site.join("attempts").display()
        );
        assert_eq!(said(executors::Stream::Stdout), wanted);
        assert_eq!(std::fs::read_to_string(place.path().join("beside")).unwrap(), "made\n", "the machine is there");
        assert!(made.join("made").exists() && site.join("files/x").exists());
    }
}

#[test]
fn a_process_finds_what_it_needs() {
    let rig = Boxed::new();
    let mut control = Incarnation::start(&rig, 1);
    // A home and a folder for temporary files, itself among the users, pipes, devices, its own processes.
    let key = control.run(
        r#"cd; pwd; echo x > /tmp/x; mktemp > made; cat "$(cat made)"; echo lost > /dev/null; head -c 3 /dev/urandom > r
        id -un > /dev/null; echo a | cat > b; cat /proc/self/stat > c; echo err >&2; sh -c 'exit 3' || echo "$?" > code
        echo "{\"code\": $(cat code), \"f\": {\"\$file\": \"f\"}}" > "$TUTTI_OUTPUT"; echo out > "$TUTTI_OUT_DIR/f""#,
    );
    let end = control.end_of(key);
    let errors = String::from_utf8(control.log(key, executors::Stream::Stderr, 0).bytes).unwrap();
    assert_eq!(end.output()["code"], 3, "{errors}");
    assert_eq!(errors, "err\n");
}

#[test]
fn a_site_that_requires_walls_takes_nothing_without_them() {
    let rig = Boxed::new();
    // A wrapper that cannot say what it can build.
    let machine = Machine::new(("/bin/false".into(), Vec::new()));
    let without = Settings { machine, ..rig.settings(SandboxMode::Require) };
    let open = |sandbox: Settings| {
        let (sender, _seen) = tokio::sync::mpsc::unbounded_channel();
        LocalExecutor::open(Options { sandbox, ..rig.rig.options() }, sender).unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let health = runtime.block_on(open(without).probe());
    assert!(!health.healthy && health.reason.contains("requires a sandbox"), "{health:?}");
    if has_walls() {
        let health = runtime.block_on(open(rig.settings(SandboxMode::Require)).probe());
        assert!(health.healthy, "{health:?}");
    }
}

/// Processes that have the walls of an attempt of this site around them, as they see their mounts.
fn walled(rig: &Boxed) -> Vec<u32> {
    let site = rig.rig.site().canonicalize().unwrap();
    let of_the_site = |pid: &u32| {
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        mounts.lines().any(|line| line.contains(" /.kept/attempts ") && line.contains(site.to_str().unwrap()))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_the_site).collect()
}

#[test]
fn the_next_attempt_finds_nothing_of_the_last() {
    if !has_walls() {
        return;
    }
    let rig = Boxed::elsewhere();
    let mut control = Incarnation::start(&rig, 1);
    let first = "echo x > /tmp/mark; echo x > /dev/shm/mark; echo x > left; (setsid sleep 600 < /dev/null > /dev/null 2>&1 &)
        python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget(7, 4096, 0o1666))'
        echo \"{\\\"work\\\": \\\"$PWD\\\"}\" > \"$TUTTI_OUTPUT\"";
    let key = control.run(first);
    let work = control.end_of(key).output()["work"].as_str().unwrap().to_owned();
    let look = format!(
        "ls -A /tmp /dev/shm | grep mark && exit 1; ls -A '{work}' 2> /dev/null && exit 2; ls -A /.kept 2> /dev/null | grep . && exit 3
        python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).shmget(7, 4096, 0) >= 0)' || exit 4
        grep -l sleep /proc/[0-9]*/comm && exit 5; echo '{{}}' > \"$TUTTI_OUTPUT\""
    );
    // The wrapper has built the walls of the next attempt meanwhile: the third finds them broken.
    for is_broken in [false, true] {
        executors::contract::until("walls are built ahead", || !walled(&rig).is_empty());
        for pid in walled(&rig).into_iter().filter(|_| is_broken) {
            let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
            assert!(killed.success());
            // Until then it looks as if it waited for its order.
            executors::contract::until("it is gone", || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                status.is_empty() || status.contains("State:\tZ")
            });
        }
        let key = control.run(&look);
        assert!(control.end_of(key).output().is_object());
    }
}
