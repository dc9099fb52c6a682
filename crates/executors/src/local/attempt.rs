//! The folder of an attempt: what a process finds when it starts, and what it leaves. The contract is described for users in
//! `docs/reference/run-nodes.md`.

use std::io;
use std::path::{Component, Path, PathBuf};

use artifacts::{Store, StoreError};
use model::limits::{ATTEMPT_FILE_BYTES_MAX, ATTEMPT_PROCESSES_MAX, EGRESS_GRANTS_MAX};
use model::site::SandboxMode;
use model::{ArtifactRef, Digest, Failure, FailureClass, Ticket};
use serde_json::{Value, json};

use super::{SiteFolder, folders};
use crate::machine::disk_is_nearly_full;
use crate::sandbox::cover::{Cover, LACKING, LOUD, keeps_signals_in};
use crate::sandbox::{Attempt, Layers, PROXY_PORT, Site, Walls};
use crate::shim::{self, HostSpec, ShimSpec};
use crate::{AttemptSpec, Host, secrets};

/// Microseconds between the polite request to stop and force, at a deadline.
const GRACE_US: u64 = 10_000_000;
/// The variable whose value no other attempt has.
pub(super) const MARK: &str = "TUTTI_OUTPUT";

fn broken(class: FailureClass, message: impl Into<String>) -> Failure {
    Failure::new(class, message)
}

pub(super) fn of_io(what: &str) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => broken(FailureClass::DiskFull, "the site's disk is full"),
        _ => broken(FailureClass::Environment, format!("{what}: {error}")),
    }
}

pub(super) fn of_store(error: StoreError) -> Failure {
    match error {
        StoreError::DiskFull => broken(FailureClass::DiskFull, "the site's disk is full"),
        StoreError::BadPath(_) | StoreError::TooManyFiles | StoreError::TooDeep(_) | StoreError::ForgedListing => {
            broken(FailureClass::Output, error.to_string())
        }
        StoreError::Missing(_) | StoreError::Damaged { .. } | StoreError::Tampered(_) | StoreError::Erased(_) => {
            broken(FailureClass::Transfer, error.to_string())
        }
        other => broken(FailureClass::Environment, other.to_string()),
    }
}

/// What only the processes of this attempt have in their environment, unless they took it out.
pub(super) fn mark(folder: &Path) -> (&'static str, PathBuf) {
    (MARK, folder.join("work/output.json"))
}

/// Clears away what a killed server left half made. False when a wrapper has it after all.
pub(super) fn clear_half_made(folder: &Path) -> io::Result<bool> {
    match shim::claim(folder) {
        Ok(true) => {}
        Ok(false) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    }
    // Aside first: the earlier server's wrapper may be looking at it.
    let aside = folders::aside(folder);
    let _ = std::fs::remove_dir_all(&aside);
    std::fs::rename(folder, &aside)?;
    std::fs::remove_dir_all(&aside).map(|()| true)
}

/// Lays everything out in a folder that is not there yet. `home` is that of the process that will serve it, when it has one.
pub(super) fn prepare(
    site: &SiteFolder,
    store: &Store,
    folder: &Path,
    spec: &AttemptSpec,
    ticket: &Ticket,
    home: Option<&Path>,
) -> Result<(), Failure> {
    if disk_is_nearly_full(&site.folder) {
        return Err(broken(FailureClass::DiskFull, "the site's disk is full"));
    }
    let walls = walls(site, folder, spec, ticket)?;
    let work = folder.join("work");
    for needed in [folder, &work, &work.join("in"), &work.join("out")] {
        std::fs::create_dir(needed).map_err(of_io("the attempt's folder"))?;
    }
    if let model::NodeKind::Run { code, .. } = &spec.kind {
        for file in code {
            lay_out_code(store, &work, &file.path, &file.digest)?;
        }
    }
    let mut laid = Laid { store, work: &work, count: 0, bytes: 0 };
    // A program reads descriptions from `input.json`; on the command line and in the environment an artifact is a bare path.
    let given = laid.out(spec.input.get("with").unwrap_or(&json!({})), true)?;
    let bare = |key: &str, laid: &mut Laid<'_>| spec.input.get(key).map(|value| laid.out(value, false)).transpose();
    std::fs::write(work.join("input.json"), given.to_string()).map_err(of_io("input.json"))?;
    let variables = bare("env", &mut laid)?;
    let command = command(&spec.input, bare("command", &mut laid)?, &work)?;
    let memory_asked = spec.resources.memory_bytes > 0;
    // Asked again, since the site may have been told otherwise meanwhile: whoever is to serve it then starts the command.
    let host = host(site, spec, ticket);
    let (cover, lacking) = match walls {
        Some(_) => (None, Vec::new()),
        None => cover(site, folder, spec),
    };
    let shim_spec = ShimSpec {
        attempt: spec.key,
        epoch: spec.epoch,
        command,
        environment: environment(site, spec, variables.as_ref(), folder, walls.as_ref()),
        work: "work".into(),
        memory_bytes: if memory_asked { spec.resources.memory_bytes } else { site.capacity().memory_bytes },
        memory_asked,
        processes_max: ATTEMPT_PROCESSES_MAX,
        file_bytes_max: ATTEMPT_FILE_BYTES_MAX,
        timeout_us: spec.timeout.map_or(0, |span| span.0),
        grace_us: GRACE_US,
        bytes_in: laid.bytes,
        ports: spec.outputs.clone(),
        walls,
        cover,
        lacking,
        host: host.map(|host| HostSpec {
            arguments: host.arguments.clone(),
            keep: home.is_some(),
            home: home.map(|home| home.to_string_lossy().into_owned()).unwrap_or_default(),
        }),
    };
    let bytes = serde_json::to_vec(&shim_spec).map_err(|error| broken(FailureClass::Unknown, error.to_string()))?;
    if bytes.len() as u64 > shim::NOTE_BYTES_MAX {
        return Err(broken(FailureClass::Environment, "its command line and environment are too large"));
    }
    if let Some((variable, _)) = shim_spec.environment.iter().find(|(_, value)| secrets::value_of(value, &spec.secrets).is_none())
    {
        return Err(broken(FailureClass::Environment, format!("the secret that `{variable}` names was not released to it")));
    }
    secrets::put(folder, &spec.secrets).map_err(of_io("the secrets"))?;
    shim::make_control(folder).map_err(of_io("the control pipe"))?;
    std::fs::write(folder.join(shim::SPEC), bytes).map_err(of_io("shim.json"))
}

fn lay_out_code(store: &Store, work: &Path, path: &str, digest: &Digest) -> Result<(), Failure> {
    let file =
        inside(work, path).ok_or_else(|| broken(FailureClass::Environment, format!("`{path}` leads out of the work folder")))?;
    std::fs::create_dir_all(file.parent().unwrap_or(work)).map_err(of_io(path))?;
    store.copy_out(digest, &file, true).map_err(of_store)
}

/// Artifacts that are laid out for an attempt.
struct Laid<'l> {
    store: &'l Store,
    work: &'l Path,
    count: u32,
    bytes: u64,
}

impl Laid<'_> {
    /// A value with every artifact laid out: as `{"path", …}` where a program reads it, as its bare path elsewhere.
    fn out(&mut self, value: &Value, described: bool) -> Result<Value, Failure> {
        if let Some(artifact) = ArtifactRef::from_value(value) {
            let path = self.work.join("in").join(format!("{}-{}", self.count, file_name(&artifact.name)));
            self.count += 1;
            self.bytes += artifact.size;
            self.store.lay_out(&artifact, &path).map_err(of_store)?;
            return Ok(if described {
                json!({"path": path, "name": artifact.name, "kind": artifact.kind, "size": artifact.size, "digest": artifact.digest})
            } else {
                json!(path)
            });
        }
        Ok(match value {
            Value::Array(items) => Value::Array(items.iter().map(|item| self.out(item, described)).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let laid = fields.iter().map(|(key, field)| Ok((key.clone(), self.out(field, described)?)));
                Value::Object(laid.collect::<Result<_, Failure>>()?)
            }
            other => other.clone(),
        })
    }
}

/// The last part of an artifact's name, when it can be that of a file.
fn file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let mut short: String = last.chars().filter(|c| !c.is_control()).collect();
    while short.len() > 200 {
        short.pop();
    }
    if short.is_empty() || short == "." || short == ".." { "file".into() } else { short }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The command line: as given, or an interpreter and the script it runs.
fn command(input: &Value, command: Option<Value>, work: &Path) -> Result<Vec<String>, Failure> {
    match command {
        Some(Value::Array(parts)) => return Ok(parts.iter().map(text_of).collect()),
        None | Some(Value::Null) => {}
        Some(_) => return Err(broken(FailureClass::Environment, "`command` is not a list")),
    }
    let Some(script) = input.get("script").and_then(Value::as_str) else {
        return Err(broken(FailureClass::Environment, "there is neither `command` nor `script`"));
    };
    std::fs::write(work.join(".script"), script).map_err(of_io("the script"))?;
    let interpreter = input.get("interpreter").and_then(Value::as_array).filter(|parts| !parts.is_empty());
    let mut command: Vec<String> = match interpreter {
        Some(parts) => parts.iter().map(text_of).collect(),
        None => vec!["/bin/sh".into(), "-eu".into()],
    };
    command.push(work.join(".script").to_string_lossy().into_owned());
    Ok(command)
}

/// The process that may stand in for starting the command. None where walls are required, or data is labelled: it has loaded what is installed in its
/// environment before there were any. And none for what was given secrets: those go to nothing that was there before it or stays after it. The first
/// time it is found out what the machine can do: blocks.
pub(super) fn host(site: &SiteFolder, spec: &AttemptSpec, ticket: &Ticket) -> Option<Host> {
    let settings = site.sandbox.lock().settings.clone();
    let mut host = spec.host.clone().filter(|_| spec.secrets.is_empty())?;
    match settings.mode {
        SandboxMode::Off => return Some(host),
        SandboxMode::Require => return None,
        SandboxMode::Prefer if !ticket.label.is_empty() => return None,
        SandboxMode::Prefer => {}
    }
    if !is_to_be_within_walls(settings.mode, spec, ticket) {
        return Some(host);
    }
    let layers = settings.machine.isolation().layers;
    // One that stays has the walls that it went into: they lead where they led then.
    if let Some(reuse) = &mut host.reuse {
        for grant in &ticket.egress {
            reuse.key.push_str(&format!(" {grant} {}", grant.bytes_max));
        }
    }
    // It goes into walls by their namespaces. Where there are none, others are put on from the beginning or not at all.
    (layers.namespaces || layers == Layers::default()).then_some(host)
}

fn is_to_be_within_walls(mode: SandboxMode, spec: &AttemptSpec, ticket: &Ticket) -> bool {
    match mode {
        SandboxMode::Off => false,
        // Whoever may go without walls may not take labelled data along.
        SandboxMode::Prefer => !spec.unboxed || !ticket.label.is_empty(),
        SandboxMode::Require => true,
    }
}

/// The walls around an attempt; none where there are to be none.
fn walls(site: &SiteFolder, folder: &Path, spec: &AttemptSpec, ticket: &Ticket) -> Result<Option<Walls>, Failure> {
    let kept = site.sandbox.lock().clone();
    let settings = &kept.settings;
    if let Some(why) = settings.unfit() {
        return Err(Failure { code: Some("E0035".into()), ..broken(FailureClass::Refused, why) });
    }
    if !is_to_be_within_walls(settings.mode, spec, ticket) || settings.machine.isolation().layers == Layers::default() {
        return Ok(None);
    }
    if ticket.egress.len() > EGRESS_GRANTS_MAX {
        return Err(broken(
            FailureClass::Quota,
            format!("more than {EGRESS_GRANTS_MAX} places in the network were granted to it"),
        ));
    }
    let isolation = settings.machine.isolation();
    let mut runtime = kept.runtime.with(&spec.shown);
    runtime.forget_hidden(&settings.hidden, &spec.shown);
    let runtime = if isolation.layers.namespaces { runtime } else { runtime.without(&settings.hidden) };
    let mut writable = vec![site.folder.join("files")];
    writable.extend(settings.writable.iter().cloned());
    writable.extend(spec.writable.iter().cloned());
    let mut walls = Walls {
        site: Site {
            layers: isolation.layers,
            attempts: folder.parent().unwrap_or(folder).to_owned(),
            runtime,
            hidden: settings.hidden.clone(),
            writable,
            accelerators: spec.resources.gpus > 0,
        },
        attempt: Attempt {
            folder: folder.to_owned(),
            work: folder.join("work"),
            egress: ticket.egress.iter().cloned().collect(),
            shared_memory_bytes: spec.resources.memory_bytes,
            processes_max: ATTEMPT_PROCESSES_MAX,
        },
        lacking: isolation.lacking.clone(),
    };
    if walls.network_is_open() {
        walls.lacking.push("what was granted of the network cannot be given alone here: all of it is open".into());
    }
    Ok(Some(walls))
}

/// What an attempt without walls is not shown, where the site wants some for what can have them; and what of that this machine cannot do.
fn cover(site: &SiteFolder, folder: &Path, spec: &AttemptSpec) -> (Option<Cover>, Vec<String>) {
    let kept = site.sandbox.lock().clone();
    let settings = &kept.settings;
    if settings.mode == SandboxMode::Off || settings.hidden.is_empty() {
        return (None, Vec::new());
    }
    if !settings.machine.isolation().layers.namespaces {
        return (None, vec![LACKING.into()]);
    }
    // By their own paths, as what is hidden.
    let own = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let written = [site.folder.join("files")].iter().chain(&spec.writable).map(|path| own(path)).collect();
    let shown = spec.shown.iter().map(|path| own(path)).collect();
    let mut hidden = settings.hidden.clone();
    // Whoever answers there does what it is asked for outside of all this.
    hidden.push(format!("/run/user/{}", rustix::process::geteuid().as_raw()).into());
    let lacking = if keeps_signals_in() { Vec::new() } else { vec![LOUD.into()] };
    (Some(Cover { hidden, shown, written, work: own(&folder.join("work")), is_outer: false }), lacking)
}

/// The same for the process that others of a program come from. What it loads is the program's, and its wrappers find their attempts there.
pub(super) fn cover_of_nursery(site: &SiteFolder, spec: &AttemptSpec) -> Option<Cover> {
    let (cover, _) = cover(site, Path::new("/"), &AttemptSpec { writable: Vec::new(), ..spec.clone() });
    let folders = ["attempts", "files", "homes"].map(|name| site.folder.join(name));
    let written = folders.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect();
    Some(Cover { written, work: "/".into(), is_outer: true, ..cover? })
}

fn environment(
    site: &SiteFolder,
    spec: &AttemptSpec,
    given: Option<&Value>,
    folder: &Path,
    walls: Option<&Walls>,
) -> Vec<(String, String)> {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let work = folder.join("work");
    let mut environment: Vec<(String, String)> = vec![
        ("PATH".into(), site.path.clone()),
        ("HOME".into(), path(work.clone())),
        ("LANG".into(), "C.UTF-8".into()),
        ("TZ".into(), "UTC".into()),
        ("PYTHONUNBUFFERED".into(), "1".into()),
        ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
    ];
    // Where a program asks for what was granted. Its own words in `env` win.
    if walls.is_some_and(|walls| walls.site.layers.network && !walls.attempt.egress.is_empty()) {
        let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            environment.push((name.into(), proxy.clone()));
        }
        for name in ["no_proxy", "NO_PROXY"] {
            environment.push((name.into(), "localhost,127.0.0.0/8,127.0.0.1,::1".into()));
        }
    }
    for (key, value) in given.and_then(Value::as_object).into_iter().flatten() {
        environment.push((key.clone(), text_of(value)));
    }
    environment.extend(spec.environment.iter().cloned());
    environment.push(("TUTTI_SITE".into(), site.name.clone()));
    environment.push(("TUTTI_SITE_FILES".into(), path(site.folder.join("files"))));
    environment.push(("TUTTI_IDEMPOTENCY_KEY".into(), spec.idempotency_key.clone()));
    environment.push(("TUTTI_INPUT".into(), path(work.join("input.json"))));
    environment.push((MARK.into(), path(mark(folder).1)));
    environment.push(("TUTTI_OUT_DIR".into(), path(work.join("out"))));
    environment
}

/// A path below a folder, when it stays there by its own words.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.is_empty()).then(|| folder.join(relative))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Label, Resources};
    use parking_lot::Mutex;

    use super::*;
    use crate::contract;
    use crate::local::Kept;
    use crate::sandbox::Settings;

    fn site(mode: SandboxMode) -> SiteFolder {
        let settings = Settings { mode, ..Settings::off((PathBuf::from("none"), Vec::new())) };
        SiteFolder {
            name: "here".into(),
            folder: PathBuf::from("/nowhere"),
            path: String::new(),
            registered: Mutex::new(Resources::default()),
            sandbox: Mutex::new(Arc::new(Kept { settings, runtime: crate::sandbox::runtime::Runtime::default() })),
        }
    }

    fn ticket(spec: &AttemptSpec, label: Label) -> Ticket {
        Ticket { label, ..contract::ticket(spec).ticket }
    }

    #[test]
    fn a_process_that_was_there_before_gets_neither_what_walls_are_required_for_nor_secrets() {
        let host = Host { program: vec!["nursery".into()], arguments: Vec::new(), reuse: None };
        let plain = contract::script(contract::fresh_key(), 1, Path::new("/"), "true");
        let spec = AttemptSpec { host: Some(host), ..plain };
        let (open, labelled) = (ticket(&spec, Label::empty()), ticket(&spec, Label::of(["internal"])));
        let unboxed = AttemptSpec { unboxed: true, ..spec.clone() };
        let secret = AttemptSpec { secrets: vec![keyring::Secret::new("token", "a long value")], ..spec.clone() };
        let is_hosted = |mode, spec: &AttemptSpec, ticket| super::host(&site(mode), spec, ticket).is_some();
        for (mode, [plain, tagged]) in
            [(SandboxMode::Off, [true, true]), (SandboxMode::Prefer, [true, false]), (SandboxMode::Require, [false, false])]
        {
            for spec in [&spec, &unboxed] {
                assert_eq!(is_hosted(mode, spec, &open), plain, "{mode:?}");
                assert_eq!(is_hosted(mode, spec, &labelled), tagged, "{mode:?}, labelled data");
            }
            assert!(!is_hosted(mode, &secret, &open), "{mode:?}, with a secret");
        }
        assert_ne!(open.task, ticket(&AttemptSpec { host: None, ..spec.clone() }, Label::empty()).task);
        assert_ne!(open.task, ticket(&unboxed, Label::empty()).task);
    }

    #[test]
    fn a_process_that_stays_serves_what_may_reach_the_same() {
        let reuse = crate::Reuse { key: "kind".into(), keep: 1, idle: model::Duration(1) };
        let host = Host { program: vec!["nursery".into()], arguments: Vec::new(), reuse: Some(reuse) };
        let plain = contract::script(contract::fresh_key(), 1, Path::new("/"), "true");
        let spec = AttemptSpec { host: Some(host), ..plain };
        let key = |mode, grants: &[&str]| {
            let egress = grants.iter().map(|grant| grant.parse().unwrap()).collect();
            let ticket = Ticket { egress, ..ticket(&spec, Label::empty()) };
            super::host(&site(mode), &spec, &ticket).and_then(|host| host.reuse).unwrap().key
        };
        assert_eq!(key(SandboxMode::Prefer, &["a.example"]), key(SandboxMode::Prefer, &["a.example"]));
        assert_ne!(key(SandboxMode::Prefer, &["a.example"]), key(SandboxMode::Prefer, &["a.example", "b.example"]));
        assert_ne!(key(SandboxMode::Prefer, &["a.example"]), key(SandboxMode::Prefer, &[]));
        assert_eq!(key(SandboxMode::Off, &["a.example"]), key(SandboxMode::Off, &[]));
    }
}
