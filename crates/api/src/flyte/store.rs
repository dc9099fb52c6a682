//! Objects over S3, as far as the SDK's store client asks, and links that are signed for one object.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use controlplane::random_bytes;
use flyte::objects::Meta;
use flyte::reach::Access;
use flyte::{Objects, Reach};
use model::limits::FLYTE_OBJECT_PUT_BYTES_MAX;
use model::{AttemptKey, Digest};

use super::questions;
use crate::rest::App;
use crate::rest::artifacts::pieces;

/// Where links lead.
pub(super) const LINK_PREFIX: &str = "/flyte/objects";
/// An object by a link.
pub(super) const LINKS: &str = "/flyte/objects/{*key}";
/// All objects.
pub(super) const BUCKET: &str = "/s3/{bucket}";
/// An object.
pub(super) const OBJECTS: &str = "/s3/{bucket}/{*key}";

/// The largest number of a part of an upload.
const PARTS_MAX: u32 = 10_000;
/// Objects of one page of a list, at most.
const PAGE_MAX: usize = 1_000;

type Fields = BTreeMap<String, String>;

/// An error as S3 says it.
pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{}</Message></Error>",
        escape(message)
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

fn failed(error: &std::io::Error) -> Response {
    if let Some(away) = flyte::away(error) {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &away.to_string());
    }
    match error.kind() {
        std::io::ErrorKind::NotFound => refuse(StatusCode::NOT_FOUND, "NoSuchKey", "there is no such object"),
        std::io::ErrorKind::InvalidInput => refuse(StatusCode::BAD_REQUEST, "InvalidArgument", "not a key"),
        std::io::ErrorKind::AlreadyExists => {
            refuse(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "the object is there already")
        }
        std::io::ErrorKind::StorageFull => refuse(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", "the disk is full"),
        _ => {
            tracing::error!(%error, "an object could not be read or written");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the object could not be read or written")
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn xml(body: String) -> Response {
    let whole = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    ([(header::CONTENT_TYPE, "application/xml")], whole).into_response()
}

/// The attempt that signed a request.
#[derive(Clone, Debug)]
struct Signer {
    attempt: AttemptKey,
    reach: Arc<Reach>,
}

/// Refuses what is not signed with the secret that this server gave to an attempt, or by one that is over.
fn check(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Signer, Response> {
    let text =
        |(name, value): (&header::HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    let request = flyte::sign::Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers.iter().filter_map(text).collect(),
    };
    let checked = flyte::sign::check(&request, app.control.flyte().secret(), controlplane::wall().0 / 1_000_000);
    let access = checked.map_err(|refused| {
        let code = match refused {
            flyte::sign::Refused::Unsigned | flyte::sign::Refused::Expired => "AccessDenied",
            flyte::sign::Refused::Mismatch => "SignatureDoesNotMatch",
            flyte::sign::Refused::Skewed => "RequestTimeTooSkewed",
        };
        refuse(StatusCode::FORBIDDEN, code, &refused.to_string())
    })?;
    let over = || refuse(StatusCode::FORBIDDEN, "InvalidAccessKeyId", "the attempt that this key was made for is over");
    let attempt: AttemptKey = access.parse().map_err(|_| over())?;
    let reach = tokio::task::block_in_place(|| app.control.flyte_reach(attempt))
        .map_err(|fault| failed(&std::io::Error::other(fault.detail)))?;
    Ok(Signer { attempt, reach: reach.ok_or_else(over)? })
}

fn beyond(key: &str) -> Response {
    let message = format!(
        "`{key}` is not what this attempt may touch: an attempt writes below its own outputs, and reads what is of its project and carries no tag that its own data do not"
    );
    refuse(StatusCode::FORBIDDEN, "AccessDenied", &message)
}

impl Signer {
    /// Refuses to write or remove what is not this attempt's. What it writes for others carries what its own data do.
    fn writes(&self, app: &App, key: &str) -> Result<(), Response> {
        if !self.reach.may_write(key) {
            return Err(beyond(key));
        }
        match self.reach.written_for(key).filter(|_| !self.reach.label.is_empty()) {
            Some(action) => tokio::task::block_in_place(|| app.control.flyte().note_label(&self.reach, action))
                .map_err(|error| failed(&error)),
            None => Ok(()),
        }
    }

    /// The objects as this attempt writes them.
    fn objects(&self, app: &App) -> Objects {
        app.control.flyte().objects().of_site(&self.reach.site)
    }

    /// Does what asks for an object, and notes whether the store of its site could be used.
    async fn blocking(&self, app: &App, work: impl FnOnce() -> std::io::Result<Meta> + Send + 'static) -> Result<Meta, Response> {
        let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let away = done.as_ref().err().and_then(flyte::away);
        if away.is_some() || done.as_ref().is_ok_and(|meta| meta.is_elsewhere) {
            app.control.flyte().note_store(self.attempt, away);
        }
        done.map_err(|error| failed(&error))
    }

    /// Refuses to read or list what is not for this attempt.
    fn reads(&self, app: &App, key: &str) -> Result<(), Response> {
        let may = match self.reach.reading(key) {
            Access::Granted => true,
            Access::Refused => false,
            Access::OfAction(..) | Access::OfRun(_) => {
                let may = tokio::task::block_in_place(|| app.control.flyte().may_read(&self.reach, key));
                may.map_err(|error| failed(&error))?
            }
        };
        if may { Ok(()) } else { Err(beyond(key)) }
    }
}

/// The body, when it is what was signed.
async fn body_of(headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    let signed = headers.get("x-amz-content-sha256").and_then(|digest| digest.to_str().ok()).unwrap_or_default();
    if signed.starts_with("STREAMING-AWS4") {
        let message = "bodies that are signed chunk by chunk are not known here: sign the whole, or nothing of it";
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message));
    }
    let bytes = axum::body::to_bytes(body, FLYTE_OBJECT_PUT_BYTES_MAX).await.map_err(|_| {
        refuse(StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge", "the object is too large for one request: upload it in parts")
    })?;
    if signed.starts_with("STREAMING-") {
        let said = headers.get("x-amz-decoded-content-length").and_then(|size| size.to_str().ok()?.parse::<usize>().ok());
        let whole = flyte::chunks::join(&bytes).filter(|whole| said.is_none_or(|said| said == whole.len()));
        let broken = || refuse(StatusCode::BAD_REQUEST, "IncompleteBody", "the chunks of the body are broken");
        return whole.map(Bytes::from).ok_or_else(broken);
    }
    if signed.len() == 64 && Digest::of(&bytes).hex() != signed.to_ascii_lowercase() {
        return Err(refuse(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch", "the body is not what was signed"));
    }
    Ok(bytes)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Response> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| failed(&error))
}

fn described(mut response: Response, meta: &Meta) -> Response {
    let headers = response.headers_mut();
    let modified = chrono::DateTime::from_timestamp(meta.modified as i64, 0).unwrap_or_default();
    let modified = modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (name, value) in [(header::ETAG, format!("\"{}\"", meta.etag)), (header::LAST_MODIFIED, modified)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// The first byte and the one after the last of what a request wants; none when there is no such part.
fn range(headers: &HeaderMap, size: u64) -> Option<Option<(u64, u64)>> {
    let Some(text) = headers.get(header::RANGE) else { return Some(None) };
    let (from, to) = text.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from, to) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (from, "") => (from.parse().ok()?, size),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    (from < to).then_some(Some((from, to)))
}

async fn serve(
    app: &App,
    signer: Option<&Signer>,
    (method, headers): (&Method, &HeaderMap),
    key: String,
) -> Result<Response, Response> {
    let objects = app.control.flyte().objects().clone();
    let wanted = key.clone();
    let meta = blocking(move || objects.head(&wanted)).await?;
    let Some(part) = range(headers, meta.size) else {
        return Err(refuse(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "the object has no such part"));
    };
    let (from, to) = part.unwrap_or((0, meta.size));
    let mut response = if *method == Method::HEAD {
        Response::new(Body::empty())
    } else {
        let objects = app.control.flyte().objects().clone();
        let opened = tokio::task::spawn_blocking(move || objects.open_at(&key, from)).await;
        let opened = opened.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if let Some(signer) = signer.filter(|_| meta.is_elsewhere) {
            app.control.flyte().note_store(signer.attempt, opened.as_ref().err().and_then(flyte::away));
        }
        Response::new(Body::from_stream(pieces(opened.map_err(|error| failed(&error))?, from, to - from)))
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let shown = format!("bytes {from}-{}/{}", to - 1, meta.size);
        response.headers_mut().extend(HeaderValue::from_str(&shown).map(|value| (header::CONTENT_RANGE, value)));
    }
    Ok(described(response, &meta))
}

fn either(result: Result<Response, Response>) -> Response {
    result.unwrap_or_else(|refused| refused)
}

/// Reads an object by a link.
pub(super) async fn follow_link(
    State(app): State<App>,
    Path(key): Path<String>,
    Query(query): Query<Fields>,
    headers: HeaderMap,
    method: Method,
) -> Response {
    if !is_good(&app, "GET", &key, &query) {
        return refuse(StatusCode::FORBIDDEN, "AccessDenied", "the link is not good, or not any more");
    }
    let report = key.ends_with(".html");
    let mut response = either(serve(&app, None, (&method, &headers), key).await);
    if report {
        // A report is a page of a program: it gets no rights of this server's pages.
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox allow-scripts"));
    }
    response
}

/// Writes an object by a link.
pub(super) async fn upload(
    State(app): State<App>,
    Path(key): Path<String>,
    Query(query): Query<Fields>,
    request: Request,
) -> Response {
    if !is_good(&app, "PUT", &key, &query) {
        return refuse(StatusCode::FORBIDDEN, "AccessDenied", "the link is not good, or not any more");
    }
    let (parts, body) = request.into_parts();
    let written = async {
        let bytes = body_of(&parts.headers, body).await?;
        let objects = app.control.flyte().objects().clone();
        let meta = blocking(move || objects.put(&key, &bytes)).await?;
        Ok(described(StatusCode::OK.into_response(), &meta))
    };
    either(written.await)
}

fn is_good(app: &App, method: &str, key: &str, query: &Fields) -> bool {
    let until = query.get("until").and_then(|until| until.parse().ok()).unwrap_or(0);
    let signature = query.get("signature").map(String::as_str).unwrap_or_default();
    flyte::sign::is_good(app.control.flyte().secret(), method, key, until, signature, controlplane::wall().0 / 1_000_000)
}

/// Lists objects.
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<Fields>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    let (prefix, delimiter) = (field("prefix"), query.get("delimiter").is_some_and(|delimiter| delimiter == "/"));
    if let Err(refused) = check(&app, &method, &uri, &headers).and_then(|signer| signer.reads(&app, &prefix)) {
        return refused;
    }
    let limit = query.get("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let token = field("continuation-token");
    let after = if token.is_empty() { field("start-after") } else { token };
    let objects = app.control.flyte().objects().clone();
    let wanted = prefix.clone();
    let page = match blocking(move || objects.list(&wanted, delimiter, &after, limit)).await {
        Ok(page) => page,
        Err(refused) => return refused,
    };
    let mut body = format!("<ListBucketResult><Name>{}</Name><Prefix>{}</Prefix>", flyte::BUCKET, escape(&prefix));
    body.push_str(&format!("<KeyCount>{}</KeyCount><MaxKeys>{limit}</MaxKeys>", page.objects.len() + page.prefixes.len()));
    body.push_str(&format!("<IsTruncated>{}</IsTruncated>", page.next.is_some()));
    if let Some(next) = &page.next {
        body.push_str(&format!("<NextContinuationToken>{}</NextContinuationToken>", escape(next)));
    }
    for meta in &page.objects {
        let modified = chrono::DateTime::from_timestamp(meta.modified as i64, 0).unwrap_or_default();
        body.push_str(&format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>",
            escape(&meta.key),
            modified.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            meta.etag,
            meta.size
        ));
    }
    for prefix in &page.prefixes {
        body.push_str(&format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(prefix)));
    }
    body.push_str("</ListBucketResult>");
    xml(body)
}

/// Reads an object, or what is known of it.
pub(super) async fn get(
    State(app): State<App>,
    Path((_, key)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let read = async {
        let signer = check(&app, &method, &uri, &headers)?;
        signer.reads(&app, &key)?;
        match serve(&app, Some(&signer), (&method, &headers), key.clone()).await {
            // It may be the answer to a question, which is written when somebody looks for it.
            Err(refused) if refused.status() == StatusCode::NOT_FOUND && signer.reach.may_write(&key) => {
                match questions::answer(&app, signer.attempt, &key).await? {
                    true => serve(&app, Some(&signer), (&method, &headers), key).await,
                    false => Err(refused),
                }
            }
            served => served,
        }
    };
    either(read.await)
}

/// Writes an object, or a part of an upload.
pub(super) async fn put(
    State(app): State<App>,
    Path((_, key)): Path<(String, String)>,
    Query(query): Query<Fields>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let written = async {
        let signer = check(&app, &parts.method, &parts.uri, &parts.headers)?;
        // The body first: an answer before it closes the connection, and the client hears of that alone.
        let bytes = body_of(&parts.headers, body).await?;
        signer.writes(&app, &key)?;
        let objects = signer.objects(&app);
        if let Some(name) = query.get("uploadId").cloned() {
            let number = part_number(query.get("partNumber").map_or("", String::as_str))?;
            let etag = blocking(move || objects.put_part(&key, &name, number, &mut &bytes[..])).await?;
            return Ok((StatusCode::OK, [(header::ETAG, format!("\"{etag}\""))]).into_response());
        }
        if let Some(source) = parts.headers.get("x-amz-copy-source").and_then(|source| source.to_str().ok()) {
            let source = source.trim_start_matches('/').strip_prefix(flyte::BUCKET).unwrap_or(source);
            let source = source.trim_start_matches('/').to_owned();
            signer.reads(&app, &source)?;
            let meta = signer.blocking(&app, move || objects.put_from(&key, &mut objects.open_at(&source, 0)?)).await?;
            return Ok(xml(format!("<CopyObjectResult><ETag>&quot;{}&quot;</ETag></CopyObjectResult>", meta.etag)));
        }
        let exclusive = parts.headers.get("if-none-match").is_some_and(|value| value == "*");
        let (stored, content) = (key.clone(), bytes.clone());
        let put = move || {
            if exclusive && objects.head(&stored).is_ok() {
                return Err(std::io::ErrorKind::AlreadyExists.into());
            }
            objects.put(&stored, &content)
        };
        let meta = signer.blocking(&app, put).await?;
        let asked = questions::ask(&app, signer.attempt, &key, &bytes).await;
        asked.map_err(|refusal| refuse(StatusCode::CONFLICT, "OperationAborted", &refusal.message))?;
        Ok(described(StatusCode::OK.into_response(), &meta))
    };
    either(written.await)
}

/// The texts of all elements of a name in the body of a request. The bodies that clients of S3 send hold no attributes, comments or sections
/// within those.
fn texts_of(body: &str, element: &str) -> Vec<String> {
    let plain = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let open = format!("<{element}>");
    // What stands before the first is no text of it.
    body.split(&open).skip(1).filter_map(|rest| Some(plain(rest.split_once("</")?.0))).collect()
}

/// The number of a part of an upload.
fn part_number(text: &str) -> Result<u32, Response> {
    let number = text.trim().parse().ok().filter(|number| (1..=PARTS_MAX).contains(number));
    let wrong = || refuse(StatusCode::BAD_REQUEST, "InvalidPart", &format!("a part has a number of 1 to {PARTS_MAX}"));
    number.ok_or_else(wrong)
}

/// Begins an upload in parts, or ends it.
pub(super) async fn post(
    State(app): State<App>,
    Path((_, key)): Path<(String, String)>,
    Query(query): Query<Fields>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let done = async {
        let signer = check(&app, &parts.method, &parts.uri, &parts.headers)?;
        signer.writes(&app, &key)?;
        let objects = signer.objects(&app);
        let shown = escape(&key);
        if query.contains_key("uploads") {
            let name = Digest(random_bytes()).hex();
            let made = name.clone();
            blocking(move || objects.begin_upload(&key, &made)).await?;
            let bucket = flyte::BUCKET;
            return Ok(xml(format!(
                "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{shown}</Key><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            )));
        }
        let Some(name) = query.get("uploadId").cloned() else {
            return Err(refuse(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "this request is not known here"));
        };
        let body = body_of(&parts.headers, body).await?;
        let numbers = texts_of(&String::from_utf8_lossy(&body), "PartNumber");
        let numbers: Vec<u32> = numbers.iter().map(|number| part_number(number)).collect::<Result<_, _>>()?;
        if numbers.is_empty() {
            return Err(refuse(StatusCode::BAD_REQUEST, "MalformedXML", "the upload names no parts"));
        }
        let meta = signer.blocking(&app, move || objects.finish_upload(&key, &name, &numbers)).await?;
        Ok(xml(format!(
            "<CompleteMultipartUploadResult><Key>{shown}</Key><ETag>&quot;{}&quot;</ETag></CompleteMultipartUploadResult>",
            meta.etag
        )))
    };
    either(done.await)
}

/// Removes an object, or gives an upload up.
pub(super) async fn delete(
    State(app): State<App>,
    Path((_, key)): Path<(String, String)>,
    Query(query): Query<Fields>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let done = async {
        check(&app, &method, &uri, &headers)?.writes(&app, &key)?;
        let objects = app.control.flyte().objects().clone();
        match query.get("uploadId").cloned() {
            Some(name) => blocking(move || objects.abandon_upload(&key, &name)).await?,
            None => blocking(move || objects.delete(&key)).await?,
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    either(done.await)
}

/// Removes several objects.
pub(super) async fn bucket(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let done = async {
        let signer = check(&app, &parts.method, &parts.uri, &parts.headers)?;
        if parts.method == Method::HEAD {
            return Ok(StatusCode::OK.into_response());
        }
        let body = body_of(&parts.headers, body).await?;
        let mut deleted = String::new();
        let keys = texts_of(&String::from_utf8_lossy(&body), "Key");
        keys.iter().try_for_each(|key| signer.writes(&app, key))?;
        for key in keys {
            let (objects, shown) = (app.control.flyte().objects().clone(), escape(&key));
            blocking(move || objects.delete(&key)).await?;
            deleted.push_str(&format!("<Deleted><Key>{shown}</Key></Deleted>"));
        }
        Ok(xml(format!("<DeleteResult>{deleted}</DeleteResult>")))
    };
    either(done.await)
}
