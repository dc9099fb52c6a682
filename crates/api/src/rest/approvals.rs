//! Decisions of people.

use axum::extract::{Extension, State};
use controlplane::{ControlPlane, Fault, FaultKind};
use engine::{Command, Event};
use journal::{ApprovalRow, RunRow};
use model::{ActionKey, ActionNo, RunId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Caller;
use super::approval_views::{ApprovalView, DecisionRequest, DelegateRequest, PersonView, WaitingView};
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;
use super::views::{MeView, RunView};
use super::{App, permission};

/// Rows of a page when nothing is said.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Of this run only.
    run: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 100 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What people did about one question that is told.
const PEOPLE_MAX: usize = 200;

/// A question as a caller may see it: whoever may decide sees the evidence, others only when they may see what it carries.
fn view(app: &App, caller: &Caller, row: ApprovalRow) -> Result<ApprovalView, Fault> {
    let people = people(&app.control, row.run.id, row.action.no)?;
    let mut withheld = super::sight::withheld(app, caller, &row.run, Some(&row.action.path))?;
    let target = permission::run_target(&row.run);
    let decides = || {
        permission::permits(app, caller, "decide", &target, &model::Label::empty())
            && may_answer(app, caller, &row.run, &row.input).is_ok()
    };
    if withheld.is_some() && decides() {
        withheld = None;
    }
    let mut view = shown(row);
    if withheld.is_some() {
        // Expressions of a title may hold what must not be seen either.
        (view.title, view.show, view.first_form) = (String::new(), Value::Null, Value::Null);
    }
    // Handed on, it is asked of others than the workflow says.
    if let Some(delegated) = people.iter().rev().find(|person| person.did == "delegated") {
        let then = view.assign.get("then").cloned().unwrap_or_else(|| json!([]));
        let (users, groups) =
            app.control.reader().delegated(model::Seq(delegated.entry)).map_err(Fault::internal)?.unwrap_or_default();
        view.assign = json!({ "users": users, "groups": groups, "then": then });
    }
    Ok(ApprovalView { people, withheld, ..view })
}

/// What people did about a question.
fn people(control: &ControlPlane, run: RunId, no: u32) -> Result<Vec<PersonView>, Fault> {
    let reader = control.reader();
    let mut people = Vec::new();
    for seq in reader.people(run, no, PEOPLE_MAX).map_err(Fault::internal)? {
        let found = reader.events(model::Seq(seq.0.saturating_sub(1)), Some(run), 1).map_err(Fault::internal)?.pop();
        let Some((_, at, _, event)) = found else { continue };
        let person = PersonView { entry: seq.0, at: rfc3339(at), ..PersonView::default() };
        people.push(match event {
            Event::HumanSeen(e) => PersonView { by: e.principal, did: "saw".into(), shown: e.shown.to_string(), ..person },
            Event::HumanDelegated(e) => PersonView {
                by: e.principal.clone(),
                did: "delegated".into(),
                to: e.users.iter().chain(&e.groups).cloned().collect(),
                reason: e.reason.value().as_str().unwrap_or_default().to_owned(),
                ..person
            },
            Event::HumanDecided(e) => {
                let reason = e.reason.as_ref().and_then(|reason| reason.value().as_str()).unwrap_or_default().to_owned();
                PersonView { by: e.principal, did: e.decision, reason, ..person }
            }
            _ => continue,
        });
    }
    Ok(people)
}

fn shown(row: ApprovalRow) -> ApprovalView {
    let part = |key: &str| row.input.get(key).cloned().unwrap_or(Value::Null);
    ApprovalView {
        title: part("title").as_str().unwrap_or_default().to_owned(),
        assign: part("assign"),
        show: part("show"),
        form: part("form"),
        second: part("second").as_bool().unwrap_or(false),
        run: row.run.name,
        action: row.action.path,
        first_by: row.action.first_by,
        first_form: row.first_form.unwrap_or_default(),
        since: rfc3339(row.action.opened_at),
        escalated: row.action.escalated,
        ..ApprovalView::default()
    }
}

/// Lists the human actions that wait, the oldest first.
#[utoipa::path(get, path = "/api/v1/approvals", operation_id = "listApprovals", tag = "approvals", params(ListQuery),
    responses((status = 200, description = "A page of what waits.", body = Vec<ApprovalView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Listed<ApprovalView>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let after = query.cursor.as_deref().map(|cursor| {
        let (run, no) = cursor.split_once('.')?;
        Some((RunId(run.parse().ok()?), no.parse().ok()?))
    });
    let after = match after {
        Some(None) => return Err(ApiError(Fault::new(FaultKind::Malformed, "`cursor` is not one that a page gave"))),
        after => after.flatten(),
    };
    let control = app.control.clone();
    let page = blocking(move || {
        let run = query.run.as_deref().map(|name| control.find_run(name)).transpose()?.map(|row| row.id);
        let rows = control.reader().approvals(run, after, limit).map_err(Fault::internal)?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| format!("{}.{}", row.run.id, row.action.no));
        let items = rows.into_iter().map(|row| view(&app, &caller, row)).collect::<Result<_, Fault>>()?;
        Ok(Listed { items, next, limit })
    });
    page.await
}

/// Counts the human actions that wait, whoever is asked: what a page says that does not show them.
#[utoipa::path(get, path = "/api/v1/approvals:count", operation_id = "countApprovals", tag = "approvals",
    responses((status = 200, description = "How many there are.", body = WaitingView)))]
pub(crate) async fn count(State(app): State<App>) -> ApiResult<Json<WaitingView>> {
    let reader = app.control.reader().clone();
    let waiting = blocking(move || reader.approvals_waiting().map_err(Fault::internal)).await?;
    Ok(Json(WaitingView { waiting }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathQuery {
    /// The action's path; not needed when one waits.
    path: Option<String>,
}

/// Decides a human action.
#[utoipa::path(post, path = "/api/v1/runs/{run}/decision", operation_id = "decideAction", tag = "approvals", params(PathQuery),
    request_body = DecisionRequest, responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn decide(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<PathQuery>,
    Json(request): Json<DecisionRequest>,
) -> ApiResult<Json<RunView>> {
    let (server, asker) = (app.clone(), caller.clone());
    let (name, form, rejects) = (run.clone(), request.form.clone(), request.decision == "reject");
    let action = blocking(move || {
        let (action, input) = waiting(&server.control, &name, query.path.as_deref())?;
        may_answer(&server, &asker, &server.control.find_run(&name)?, &input)?;
        // Whoever says no to a question of a program has no value to give.
        let empty = form.is_null() || form.as_object().is_some_and(serde_json::Map::is_empty);
        if !(rejects && empty && question(&input).is_some()) {
            check_form(&input, &form)?;
        }
        Ok(action)
    })
    .await?;
    let Caller { principal, groups, .. } = caller.clone();
    let DecisionRequest { decision, form, reason } = request;
    let command = Command::Decide { action, principal, groups, decision, form, reason };
    app.control.inbox().ask(command).await?;
    let control = app.control.clone();
    let view = blocking(move || control.find_run(&run).and_then(|row| super::sight::seen_run(&app, &caller, &row)));
    Ok(Json(view.await?))
}

/// Hands a question on, with a reason: from then on those are asked to whom it was handed. Whoever may decide may hand it on.
#[utoipa::path(post, path = "/api/v1/runs/{run}/delegate", operation_id = "delegateAction", tag = "approvals", params(PathQuery),
    request_body = DelegateRequest, responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn delegate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<PathQuery>,
    Json(request): Json<DelegateRequest>,
) -> ApiResult<Json<RunView>> {
    let (server, asker, name) = (app.clone(), caller.clone(), run.clone());
    let action = blocking(move || {
        let (action, input) = waiting(&server.control, &name, query.path.as_deref())?;
        may_answer(&server, &asker, &server.control.find_run(&name)?, &input)?;
        Ok(action)
    })
    .await?;
    let Caller { principal, groups, .. } = caller.clone();
    let DelegateRequest { users: to_users, groups: to_groups, reason } = request;
    app.control.inbox().ask(Command::Delegate { action, principal, groups, to_users, to_groups, reason }).await?;
    let control = app.control.clone();
    let view = blocking(move || control.find_run(&run).and_then(|row| super::sight::seen_run(&app, &caller, &row)));
    Ok(Json(view.await?))
}

/// Records that the caller was shown a question with its evidence, once each: the audit log says who saw what.
#[utoipa::path(post, path = "/api/v1/runs/{run}/seen", operation_id = "seeAction", tag = "approvals", params(PathQuery),
    responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn seen(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<PathQuery>,
) -> ApiResult<Json<RunView>> {
    let (control, name) = (app.control.clone(), run.clone());
    let (action, _) = blocking(move || waiting(&control, &name, query.path.as_deref())).await?;
    app.control.inbox().ask(Command::See { action, principal: caller.principal.clone() }).await?;
    let control = app.control.clone();
    let view = blocking(move || control.find_run(&run).and_then(|row| super::sight::seen_run(&app, &caller, &row)));
    Ok(Json(view.await?))
}

/// Who calls, as the rules know them.
#[utoipa::path(get, path = "/api/v1/me", operation_id = "getMe", tag = "system",
    responses((status = 200, description = "The caller.", body = MeView)))]
pub(crate) async fn me(Extension(caller): Extension<Caller>) -> Json<MeView> {
    let who = caller.as_policy();
    Json(MeView { name: who.name, groups: who.groups, roles: who.roles })
}

/// The action that is decided on: the one of the path, or the only one that waits.
fn waiting(control: &ControlPlane, run: &str, path: Option<&str>) -> Result<(ActionKey, Value), Fault> {
    let row = control.find_run(run)?;
    let mine = control.reader().approvals(Some(row.id), None, 10_000).map_err(Fault::internal)?;
    let chosen = match path {
        Some(path) => mine.iter().find(|approval| approval.action.path == path),
        None if mine.len() == 1 => mine.first(),
        None => None,
    };
    let chosen = chosen.ok_or_else(|| {
        let paths: Vec<&str> = mine.iter().take(20).map(|approval| approval.action.path.as_str()).collect();
        let fault = Fault::new(FaultKind::NotFound, format!("the run `{run}` waits for no such decision"));
        fault.hint(if paths.is_empty() {
            "nothing of it waits for a person".into()
        } else {
            format!("these wait: {}", paths.join(", "))
        })
    })?;
    Ok((ActionKey::new(row.id, ActionNo(chosen.action.no)), chosen.input.clone()))
}

/// Refuses whoever may decide in a run, and by the rules not about this question of its program.
pub(crate) fn may_answer(app: &App, caller: &Caller, run: &RunRow, input: &Value) -> Result<(), Fault> {
    let Some(name) = question(input) else { return Ok(()) };
    let target = policy::Target { kind: "condition".into(), name, ..permission::run_target(run) };
    permission::may(app, caller, "decide", &target, &model::Label::empty()).map_err(|error| error.0)
}

/// What a program asks, for the rules: the name of its task, and that of the condition. None for a question of a workflow.
fn question(input: &Value) -> Option<String> {
    let task = flyte::Call::of(input)?.task[3].clone();
    let condition = input.get("show")?.get("condition")?.as_str()?;
    Some(format!("{task}/{condition}"))
}

/// Refuses a form that is not what is asked for.
pub(crate) fn check_form(input: &Value, form: &Value) -> Result<(), Fault> {
    let Some(schema) = input.get("form").filter(|schema| !schema.is_null()) else { return Ok(()) };
    let given = if form.is_null() { Value::Object(Default::default()) } else { form.clone() };
    controlplane::check_value(schema, &given).map_err(|why| Fault::new(FaultKind::InvalidInputs, format!("the form: {why}")))
}
