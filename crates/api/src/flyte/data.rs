//! Where values go and come from: places to upload to, inputs, outputs, links, logs.

use axum::http::HeaderMap;
use controlplane::{ControlPlane, Fault, random_bytes};
use engine::event::ActionKind;
use executors::{Executor as _, Stream as LogStream};
use flyte::sign::Link;
use flyte::wire::{
    AttemptId, CreateDownloadLinkRequest, CreateDownloadLinkResponse, CreateUploadLocationRequest, CreateUploadLocationResponse,
    GetActionDataResponse, LogLine, Logs, OfAction, Offloaded, PreSigned, TailLogsRequest, TailLogsResponse, UploadInputsRequest,
    UploadInputsResponse,
};
use futures::Stream;
use journal::ActionRow;
use model::{ActionNo, AttemptKey, AttemptNo, Digest, Phase};

use super::connect::{Answer, Refusal};
use super::view::{self, blocking, broken};
use super::{auth, naming, store, tasks};
use crate::rest::App;
use crate::rest::access::Caller;

/// Bytes of a digest of MD5.
const MD5_BYTES: usize = 16;
/// How long a link is good.
const LINK_SECONDS: u64 = 3_600;
/// Bytes of a log read at a time.
const LOG_CHUNK: usize = 64 << 10;
/// The pause before a log that has nothing new is looked at again.
const LOG_PAUSE: std::time::Duration = std::time::Duration::from_millis(150);

fn now() -> u64 {
    controlplane::wall().0 / 1_000_000
}

/// This server as the client reached it.
pub(super) fn origin(headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let scheme = headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()).unwrap_or("http");
    format!("{scheme}://{host}")
}

/// A link that is good for a while.
fn signed(control: &ControlPlane, headers: &HeaderMap, link: Link<'_>) -> String {
    let link = Link { until: now() + LINK_SECONDS, ..link };
    let signature = link.signature(control.flyte().secret());
    let Link { key, until, md5, by, .. } = link;
    let mut address = format!("{}{}/{key}?until={until}&signature={signature}", origin(headers), store::LINK_PREFIX);
    for (name, value) in [("md5", md5), ("by", by)].into_iter().filter(|(_, value)| !value.is_empty()) {
        address.push_str(&format!("&{name}={value}"));
    }
    address
}

/// A part of a key: what a client calls a file leads nowhere else.
pub(super) fn plain(text: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let text: String = text.chars().map(|c| if good(c) { c } else { '_' }).take(200).collect();
    if text.trim_matches('.').is_empty() { "file".into() } else { text }
}

/// Where a client may upload a file to. What a program uploads carries what its data do, and lies apart.
pub(super) async fn upload_location(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    request: CreateUploadLocationRequest,
) -> Answer<CreateUploadLocationResponse> {
    if !matches!(request.content_md5.len(), 0 | MD5_BYTES) {
        return Err(Refusal::new("invalid_argument", format!("a digest of MD5 has {MD5_BYTES} bytes")));
    }
    let md5 = flyte::call::to_hex(&request.content_md5);
    let root = match (request.filename_root.is_empty(), md5.is_empty()) {
        (false, _) => plain(&request.filename_root),
        (true, false) => md5.clone(),
        (true, true) => Digest(random_bytes()).hex()[..32].to_owned(),
    };
    let (project, domain) = (plain(&request.project), plain(&request.domain));
    let (control, asking, place) = (app.control.clone(), caller.clone(), (project.clone(), domain.clone()));
    let folder = blocking(move || match naming::reach_of(&control, &asking)? {
        Some(reach) => control.flyte().upload_folder(&reach, &place.0, &place.1).map_err(broken),
        None => Ok(None),
    });
    let folder = folder.await?.map(|folder| format!("{folder}/")).unwrap_or_default();
    let key = format!("uploads/{project}/{domain}/{folder}{root}/{}", plain(&request.filename));
    let by = caller.attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
    let signed_url = signed(&app.control, headers, Link { method: "PUT", key: &key, md5: &md5, by: &by, ..Link::default() });
    let expires_at = Some(flyte::wire::Time { seconds: (now() + LINK_SECONDS) as i64, nanos: 0 });
    Ok(CreateUploadLocationResponse { signed_url, native_url: flyte::uri(&key), expires_at, headers: Default::default() })
}

/// Keeps inputs that somebody sends for a run of a project and domain; gives their address.
pub(super) fn keep_inputs(
    control: &ControlPlane,
    caller: &Caller,
    (project, domain): (&str, &str),
    bytes: &[u8],
) -> Answer<String> {
    let number = naming::number_for(control, caller, &Digest(random_bytes()).hex()[..32]);
    let key = flyte::objects::inputs_key(&plain(project), &plain(domain), &number);
    control.flyte().objects().put(&key, bytes).map_err(broken)?;
    Ok(flyte::uri(&key))
}

/// FNV-1a, which names inputs in keys of caches.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What stands for inputs in keys of caches.
pub(super) fn hash_of_inputs(inputs: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE.encode(fnv(inputs).to_be_bytes())
}

/// Keeps the inputs of a run that is to be.
pub(super) async fn upload_inputs(app: &App, caller: &Caller, request: UploadInputsRequest) -> Answer<UploadInputsResponse> {
    let (control, caller) = (app.control.clone(), caller.clone());
    blocking(move || {
        let inputs_hash = hash_of_inputs(&request.inputs);
        let (project, domain) = match (request.run_id, request.project_id) {
            (Some(id), _) => (id.project, id.domain),
            (None, id) => id.map(|id| (id.name, id.domain)).unwrap_or_default(),
        };
        let uri = keep_inputs(&control, &caller, (&project, &domain), &request.inputs)?;
        Ok(UploadInputsResponse { offloaded_input_data: Some(Offloaded { uri, inputs_hash }) })
    })
    .await
}

/// The key of the code of a task, as its command line says. That is written by whoever deploys the task, and could name anything: whoever asks for the
/// code has to be able to read what lies there.
fn bundle_of(app: &App, caller: &Caller, place: (&str, &str), spec: &[u8]) -> Answer<Option<String>> {
    let template = flyte::task::read(spec).ok().and_then(|spec| spec.task_template);
    let args = template.and_then(|template| template.container).unwrap_or_default().args;
    let named = args.iter().position(|arg| arg == "--tgz" || arg == "--pkl").and_then(|at| args.get(at + 1));
    naming::check(app, caller, place, named.map(String::as_str))?;
    Ok(named.and_then(|address| flyte::key(address)).map(str::to_owned))
}

/// The key of the report that the last attempt of an action wrote; none when it wrote none, or is no task of a Flyte program.
pub(crate) fn report_of(control: &ControlPlane, action: &ActionRow) -> Result<Option<String>, Fault> {
    let call = view::call_of(control.reader(), action).map_err(|refusal| Fault::internal(refusal.message))?;
    let key = flyte::key(&format!("{}/report.html", call.outputs(action.attempt))).map(str::to_owned);
    Ok(key.filter(|key| control.flyte().objects().head(key).is_ok()))
}

/// A link to the report of an attempt or to the code of a task.
pub(super) async fn download_link(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    request: CreateDownloadLinkRequest,
) -> Answer<CreateDownloadLinkResponse> {
    let (shared, caller) = (app.clone(), caller.clone());
    let key = blocking(move || {
        let control = &shared.control;
        let AttemptId { action_id, attempt } = request.action_attempt_id.unwrap_or_default();
        let key = match (request.task_id, request.artifact_type) {
            (Some(id), _) => {
                let (id, spec) = tasks::find(control, &id)?;
                bundle_of(&shared, &caller, (&id.project, &id.domain), &spec)?
            }
            (None, kind) => {
                let (run, action) = view::action_of(control.reader(), action_id.as_ref())?;
                auth::sees(&shared, &caller, &run, &action)?;
                let call = view::call_of(control.reader(), &action)?;
                match kind {
                    2 => bundle_of(&shared, &caller, (&run.project, &run.domain), &control.flyte().spec(&call.spec)?)?,
                    _ => {
                        let attempt = if attempt == 0 { action.attempt } else { attempt };
                        flyte::key(&format!("{}/report.html", call.outputs(attempt))).map(str::to_owned)
                    }
                }
            }
        };
        let key = key.filter(|key| control.flyte().objects().head(key).is_ok());
        key.ok_or_else(|| Refusal::new("not_found", "there is no such file"))
    })
    .await?;
    let expires_at = Some(flyte::wire::Time { seconds: (now() + LINK_SECONDS) as i64, nanos: 0 });
    let signed_url = vec![signed(&app.control, headers, Link { method: "GET", key: &key, ..Link::default() })];
    Ok(CreateDownloadLinkResponse { pre_signed_urls: Some(PreSigned { signed_url, expires_at }) })
}

/// Inputs and outputs of an action.
pub(super) async fn action_data(app: &App, caller: &Caller, request: OfAction) -> Answer<GetActionDataResponse> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let control = &app.control;
        let reader = control.reader();
        let (run, action) = view::action_of(reader, request.action_id.as_ref())?;
        auth::sees(&app, &caller, &run, &action)?;
        let call = view::call_of(reader, &action)?;
        let (outputs, given) = view::outputs_of(reader, &action)?;
        let of_workflow = action.kind == ActionKind::Workflow && action.phase == Phase::Succeeded;
        let outputs_uri = match (outputs.is_empty(), outputs.ends_with(".pb")) {
            (true, _) => String::new(),
            (false, true) => outputs,
            (false, false) => format!("{outputs}/outputs.pb"),
        };
        let read = |uri: &str| {
            let key = flyte::key(uri).filter(|_| !uri.is_empty());
            match naming::is_of(&app, &caller, (&run, &action), uri)? {
                true => Ok(key.and_then(|key| control.flyte().objects().get(key).ok())),
                false => Ok::<_, Refusal>(None),
            }
        };
        Ok(GetActionDataResponse {
            inputs: Some(read(&call.inputs)?.unwrap_or_default()),
            outputs: if of_workflow { Some(flyte::workflows::outputs(&given)) } else { read(&outputs_uri)? },
            inputs_uri: call.inputs,
            outputs_uri,
        })
    })
    .await
}

struct Tail {
    app: App,
    executor: executors::local::LocalExecutor,
    key: AttemptKey,
    offsets: [u64; 2],
    rest: [Vec<u8>; 2],
    /// Whether what was there already was told.
    is_live: bool,
}

/// What a task prints, from its beginning to the end of the attempt.
pub(super) async fn logs(
    app: &App,
    caller: &Caller,
    request: TailLogsRequest,
) -> Answer<impl Stream<Item = Answer<TailLogsResponse>> + Send + use<>> {
    let (shared, caller) = (app.clone(), caller.clone());
    let (key, site) = blocking(move || {
        let reader = shared.control.reader();
        let (run, action) = view::action_of(reader, request.action_id.as_ref())?;
        auth::sees(&shared, &caller, &run, &action)?;
        let attempt = AttemptNo(if request.attempt == 0 { action.attempt } else { request.attempt });
        // Each attempt has its log where it was, wherever the action went on.
        let earlier =
            reader.attempts(run.id, action.no).map_err(broken)?.into_iter().find(|earlier| earlier.attempt == attempt.0);
        let site = earlier.and_then(|earlier| earlier.site).or(action.site.filter(|_| attempt.0 == action.attempt));
        Ok((AttemptKey { run: run.id, action: ActionNo(action.no), attempt }, site))
    })
    .await?;
    let none = || Refusal::new("not_found", "the attempt has no log yet");
    let executor = site.as_deref().and_then(|site| app.control.sites().executor(site)).ok_or_else(none)?;
    let tail = Tail { app: app.clone(), executor, key, offsets: [0; 2], rest: Default::default(), is_live: false };
    Ok(futures::stream::unfold(Some(tail), |tail| async move {
        let mut tail = tail?;
        loop {
            let (lines, open) = match more(&mut tail).await {
                Ok(read) => read,
                Err(error) => return Some((Err(broken(error)), None)),
            };
            if !lines.is_empty() {
                let message = TailLogsResponse { logs: vec![Logs { lines }] };
                return Some((Ok(message), Some(tail)));
            }
            if *tail.app.stopped.borrow() {
                return None;
            }
            // Between its placement and its process nothing is open, and it has not ended.
            let over = match open {
                true => Ok(false),
                false => is_over(tail.app.control.clone(), tail.key).await,
            };
            match over {
                Ok(true) => return None,
                Ok(false) => tokio::time::sleep(LOG_PAUSE).await,
                Err(refusal) => return Some((Err(refusal), None)),
            }
            tail.is_live = true;
        }
    }))
}

/// Whether an attempt has ended.
async fn is_over(control: ControlPlane, key: AttemptKey) -> Answer<bool> {
    blocking(move || {
        let filter = journal::ActionFilter { from: key.action.0, limit: 1, phase: None };
        let row = control.reader().actions(key.run, &filter).map_err(broken)?.pop();
        Ok(row.is_none_or(|row| row.no != key.action.0 || row.finished_at.is_some() || row.attempt > key.attempt.0))
    })
    .await
}

/// The lines that came since, and whether more may come.
async fn more(tail: &mut Tail) -> std::io::Result<(Vec<LogLine>, bool)> {
    let (mut lines, mut any_open, mut read) = (Vec::new(), false, false);
    // When lines were written is kept nowhere. Those that come while somebody looks are of now.
    let timestamp = tail.is_live.then(|| view::time(controlplane::wall()));
    for (index, stream) in [LogStream::Stdout, LogStream::Stderr].into_iter().enumerate() {
        let chunk = match tail.executor.logs(tail.key, stream, tail.offsets[index], LOG_CHUNK).await {
            Ok(chunk) => chunk,
            // It has not begun to write.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        any_open |= chunk.open;
        read |= !chunk.bytes.is_empty();
        tail.offsets[index] = chunk.offset + chunk.bytes.len() as u64;
        let rest = &mut tail.rest[index];
        rest.extend_from_slice(&chunk.bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let message = String::from_utf8_lossy(&line).trim_end().to_owned();
            let originator = if message.contains("[flyte]") { 2 } else { 1 };
            lines.push(LogLine { timestamp, message, originator });
        }
        if !chunk.open && chunk.bytes.is_empty() && !rest.is_empty() {
            let message = String::from_utf8_lossy(&std::mem::take(rest)).into_owned();
            lines.push(LogLine { timestamp, message, originator: 1 });
        }
    }
    Ok((lines, any_open || read))
}
