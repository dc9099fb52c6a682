//! What is wrong with what ran, and what is proposed against it.

use axum::extract::{Extension, State};
use controlplane::{Fault, FaultKind, Finding, FindingFilter};
use journal::RefusedAt;
use model::{RunId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::access::Caller;
use super::extract::{Json, Query, page_size};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::{action_view, rfc3339};
use super::sight::Sight;
use super::views::{FailureView, Page};

/// Rows of a page when nothing is said.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;

/// A problem that was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// What kind of problem: `refused` when work failed since the rules permit it nowhere, or refuse it what it was given.
    pub kind: String,
    /// When (RFC 3339).
    pub at: String,
    /// The project of the run.
    pub project: String,
    /// The domain of the run.
    pub domain: String,
    /// The run.
    pub run: String,
    /// The action's path.
    pub action: String,
    /// What it says, and what that carries.
    pub failure: FailureView,
    /// What is proposed against it, the first to be done first.
    pub remedies: Vec<RemedyView>,
}

/// A command that is proposed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RemedyView {
    /// What it is good for.
    pub what: String,
    /// The command.
    pub command: String,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Of this run only.
    run: Option<String>,
    /// Of runs of this project only.
    project: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 100 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists what is wrong with what ran, the newest first.
#[utoipa::path(get, path = "/api/v1/findings", operation_id = "listFindings", tag = "runs", params(ListQuery),
    responses((status = 200, description = "A page of findings.", body = Page<FindingView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<FindingView>>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let before = match query.cursor.as_deref().map(place) {
        Some(None) => return Err(ApiError(Fault::new(FaultKind::Malformed, "`cursor` is not one that a page gave"))),
        before => before.flatten(),
    };
    let page = blocking(move || {
        let filter = FindingFilter { run: query.run, project: query.project, before, limit };
        let found = app.control.findings(filter)?;
        let next = found.last().filter(|_| found.len() == limit).map(|last| {
            let RefusedAt { at, run, no } = last.place();
            format!("{}.{run}.{no}", at.0)
        });
        let items = found.into_iter().map(|finding| view(&app, &caller, finding)).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    });
    Ok(Json(page.await?))
}

/// The place that a page gave as its `next`.
fn place(cursor: &str) -> Option<RefusedAt> {
    let mut parts = cursor.split('.');
    let mut part = || parts.next()?.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    let (at, run, no) = (part()?, part()?, part()?);
    let place = RefusedAt { at: Timestamp(at), run: RunId(run), no: u32::try_from(no).ok()? };
    parts.next().is_none().then_some(place)
}

/// A finding as a caller may see it: what it says may hold what the action could read.
fn view(app: &App, caller: &Caller, finding: Finding) -> Result<FindingView, Fault> {
    let action = Sight::of(app, caller, &finding.run)?.action(action_view(&finding.action, &[], controlplane::wall()));
    let remedy = |one: controlplane::Proposed| RemedyView { what: one.what.to_owned(), command: one.command };
    Ok(FindingView {
        kind: finding.kind.to_owned(),
        at: finding.action.finished_at.map(rfc3339).unwrap_or_default(),
        project: finding.run.project,
        domain: finding.run.domain,
        run: finding.run.name,
        action: action.path,
        failure: action.failure.unwrap_or_default(),
        remedies: finding.remedies.into_iter().map(remedy).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_one_that_a_page_gave() {
        assert_eq!(place("5.7.0"), Some(RefusedAt { at: Timestamp(5), run: RunId(7), no: 0 }));
        for other in ["", "5", "5.7", "5.7.0.1", "5.7.x", "-1.7.0", "5.7.4294967296", "18446744073709551615.7.0"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
