//! Pages that programs made, such as reports, shown within the web app without becoming a part of it.
//!
//! A frame cannot send the caller's token, so that whoever may see the bytes asks for an address first: it works once, for a minute, and for
//! nothing else. What is sent from there runs no script, asks nobody for anything and has an origin of its own, by its own content security
//! policy; inline styles and embedded pictures are all that it needs to look as it was made.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use artifacts::StoreError;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controlplane::{ControlPlane, Fault, FaultKind};
use model::Digest;
use model::limits::FRAME_BYTES_MAX;
use parking_lot::Mutex;
use serde::Deserialize;
use std::io::Read as _;

use super::App;
use super::extract::{Json, Path, Query};
use super::problem::{ApiResult, blocking};
use super::views::FrameView;

/// How long an address is good for: as long as a browser needs to open it.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// Addresses that are open at once.
const OPEN_MAX: usize = 10_000;

/// No script, no form, no window, no network, an origin of its own; shown by pages of this server only.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Reports of Flyte programs show one of their tabs, chosen by a script of theirs. Without it all stand below each other.
const ALL_TABS: &str = "<style>#flyte-frame-tabs li{cursor:default}\
     #flyte-frame-container>div{display:block!important;padding:1rem 2rem;border-top:1px solid #ddd}</style>";

/// What is shown in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    /// An artifact.
    Artifact(Digest),
    /// The report of a Flyte task, by the key of its object.
    Report(String),
}

/// Addresses that were given out and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    open: Mutex<BTreeMap<String, (Instant, Page)>>,
}

impl Frames {
    /// Gives out an address.
    fn open(&self, page: Page, now: Instant) -> FrameView {
        let ticket: String = flyte::call::to_hex(&controlplane::random_bytes::<32>());
        let mut open = self.open.lock();
        open.retain(|_, (until, _)| *until > now);
        if open.len() >= OPEN_MAX {
            // The next to end goes first.
            let first = open.iter().min_by_key(|(_, (until, _))| *until).map(|(ticket, _)| ticket.clone());
            first.map(|ticket| open.remove(&ticket));
        }
        let address = format!("/api/v1/frames/{ticket}");
        open.insert(ticket, (now + GOOD_FOR, page));
        FrameView { address }
    }

    /// What an address stands for; it does so once.
    fn take(&self, ticket: &str, now: Instant) -> Option<Page> {
        self.open.lock().remove(ticket).filter(|(until, _)| *until > now).map(|(_, page)| page)
    }
}

/// Gives an address where a frame finds an artifact that is a page. It works once, within a minute.
#[utoipa::path(post, path = "/api/v1/artifacts/{digest}/frame", operation_id = "frameArtifact", tag = "artifacts",
    params(("digest" = String, Path, description = "The artifact's digest.")),
    responses((status = 200, description = "The address.", body = FrameView)))]
pub(crate) async fn of_artifact(State(app): State<App>, Path(digest): Path<String>) -> ApiResult<Json<FrameView>> {
    let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
    let control = app.control.clone();
    let has = blocking(move || Ok(!control.sites().with_copy(&parsed).is_empty())).await?;
    if !has {
        return Err(Fault::new(FaultKind::NotFound, format!("no site has the artifact {parsed}")).into());
    }
    Ok(Json(app.frames.open(Page::Artifact(parsed), Instant::now())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportQuery {
    /// The action's path.
    path: String,
}

/// Gives an address where a frame finds the report that a Flyte task wrote in its last attempt. It works once, within a minute.
#[utoipa::path(post, path = "/api/v1/runs/{run}/report", operation_id = "frameReport", tag = "runs", params(ReportQuery),
    responses((status = 200, description = "The address.", body = FrameView)))]
pub(crate) async fn of_report(
    State(app): State<App>,
    Path(run): Path<String>,
    Query(query): Query<ReportQuery>,
) -> ApiResult<Json<FrameView>> {
    let control = app.control.clone();
    let path = query.path.clone();
    let key = blocking(move || {
        let row = super::actions::find(&control, &run, &path)?;
        crate::flyte::report_of(&control, &row)
    });
    let none = || Fault::new(FaultKind::NotFound, format!("`{}` wrote no report", query.path));
    Ok(Json(app.frames.open(Page::Report(key.await?.ok_or_else(none)?), Instant::now())))
}

/// A page that was asked for a moment ago, for a frame. It runs nothing and reaches nothing.
#[utoipa::path(get, path = "/api/v1/frames/{ticket}", operation_id = "getFrame", tag = "artifacts",
    params(("ticket" = String, Path, description = "As it was given out.")),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")))]
pub(crate) async fn show(State(app): State<App>, Path(ticket): Path<String>) -> ApiResult<Response> {
    let gone = || Fault::new(FaultKind::NotFound, "the address of a frame works once, and not for long").hint("show it again");
    let page = app.frames.take(&ticket, Instant::now()).ok_or_else(gone)?;
    let control = app.control.clone();
    let mut bytes = blocking(move || read(&control, &page)).await?;
    bytes.extend_from_slice(ALL_TABS.as_bytes());
    let mut answer = (StatusCode::OK, bytes).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

/// All of a page, when it is not too large to be shown.
fn read(control: &ControlPlane, page: &Page) -> Result<Vec<u8>, Fault> {
    let unknown = || Fault::new(FaultKind::NotFound, "the page is not kept any more");
    let mut bytes = Vec::new();
    let longest = FRAME_BYTES_MAX + 1;
    match page {
        Page::Artifact(digest) => {
            let site = control.sites().with_copy(digest).into_iter().next();
            let store = site.and_then(|site| control.sites().store(&site)).ok_or_else(unknown)?;
            let content = store.open(digest).map_err(|error| match error {
                StoreError::Missing(_) => unknown(),
                StoreError::Erased(_) => Fault::new(FaultKind::Erased, error.to_string()),
                other => Fault::internal(other),
            })?;
            content.take(longest).read_to_end(&mut bytes).map_err(Fault::internal)?;
        }
        Page::Report(key) => {
            let trouble = |error: std::io::Error| match flyte::away(&error) {
                Some(away) => Fault::new(FaultKind::StoreAway, away.to_string()),
                None if error.kind() == std::io::ErrorKind::NotFound => unknown(),
                None => Fault::internal(error),
            };
            let file = control.flyte().objects().open_at(key, 0).map_err(trouble)?;
            file.take(longest).read_to_end(&mut bytes).map_err(trouble)?;
        }
    }
    match bytes.len() as u64 > FRAME_BYTES_MAX {
        true => Err(Fault::new(FaultKind::TooLarge, format!("it has more than {FRAME_BYTES_MAX} bytes")).hint("download it")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_works_once_and_not_for_long() {
        let (frames, now) = (Frames::default(), Instant::now());
        let page = || Page::Artifact(Digest([7; 32]));
        let ticket = |view: FrameView| view.address.rsplit('/').next().unwrap().to_owned();
        let one = ticket(frames.open(page(), now));
        assert_eq!(one.len(), 64);
        assert_eq!(frames.take(&one, now), Some(page()));
        assert_eq!(frames.take(&one, now), None);
        let late = ticket(frames.open(page(), now));
        assert_eq!(frames.take(&late, now + GOOD_FOR), None);
        assert_eq!(frames.take("", now), None);
        // However many are asked for, few are kept; the newest work.
        let many: Vec<String> = (0..OPEN_MAX + 5).map(|_| ticket(frames.open(page(), now))).collect();
        assert!(frames.open.lock().len() <= OPEN_MAX);
        assert!(frames.take(many.last().unwrap(), now).is_some());
    }

    #[test]
    fn nothing_runs_and_nothing_is_fetched_in_a_frame() {
        assert!(POLICY.starts_with("sandbox;") && POLICY.contains("default-src 'none'"));
        assert!(!POLICY.contains("allow-") && !POLICY.contains("script-src") && !POLICY.contains("http"));
    }
}
