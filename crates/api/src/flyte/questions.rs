//! Questions of the SDK's plugin for people (`flyteplugins-hitl`). A program writes a request as a file and looks for another with the answer. Here
//! the request becomes a question in the inbox, like a condition, and the answer is the file as soon as somebody decided. The plugin's own
//! service is not run: whoever it leads to is led to the inbox.

use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use controlplane::{Fault, FaultKind};
use engine::Command;
use engine::event::ActionKind;
use flyte::wire::{ConditionAction, RunId};
use flyte::{Call, Message as _, conditions};
use model::{ActionKey, ActionNo, AttemptKey, Label};
use serde::Deserialize;
use serde_json::{Value, json};

use super::connect::{Answer, Refusal};
use super::store::refuse;
use super::view::{self, blocking, broken};
use super::{actions, auth};
use crate::rest::access::Caller;
use crate::rest::problem::{ApiError, ApiResult};
use crate::rest::{App, approvals, extract, permission};

/// Where people are led to, and answers are sent.
pub(super) const HOME: &str = "/flyte/questions";
/// The form of a request.
pub(super) const FORM: &str = "/flyte/questions/form/{request}";
/// Where programs send answers.
pub(super) const SUBMIT: &str = "/flyte/questions/submit/json";

/// Asks people what an attempt wrote as a request; nothing happens for other objects. Written again, it is the same question.
pub(super) async fn ask(app: &App, attempt: AttemptKey, key: &str, bytes: &[u8]) -> Answer<()> {
    let Some(request) = conditions::request_of(key) else { return Ok(()) };
    let Some(condition) = conditions::read_request(request, bytes) else { return Ok(()) };
    let (control, key, request) = (app.control.clone(), key.to_owned(), request.to_owned());
    let spawn = blocking(move || {
        let reader = control.reader();
        let filter = journal::ActionFilter { from: attempt.action.0, limit: 1, phase: None };
        let row = reader.actions(attempt.run, &filter).map_err(broken)?.pop().filter(|row| row.no == attempt.action.0);
        let row = row.ok_or_else(|| Refusal::not_found("action", &attempt.to_string()))?;
        let above = view::call_of(reader, &row)?;
        let name = control.flyte().name_question(&key, &request, &condition).map_err(broken)?;
        let call = Call { base: above.base, name, task: above.task, start: above.start, ..Call::default() };
        Ok(actions::of_condition(ActionKey::new(attempt.run, attempt.action), call, &condition))
    });
    app.control.inbox().ask(Command::Spawn(Box::new(spawn.await?))).await?;
    Ok(())
}

/// Writes the answer that an attempt looks for, when there is one; whether it did. One that nobody will give is refused, so that the program
/// hears of that.
pub(super) async fn answer(app: &App, attempt: AttemptKey, key: &str) -> Result<bool, Response> {
    let Some(request) = conditions::response_of(key) else { return Ok(false) };
    let (control, key, request) = (app.control.clone(), key.to_owned(), request.to_owned());
    let found = blocking(move || {
        let reader = control.reader();
        let name = control.flyte().question_named(&key, &request).map_err(broken)?;
        let row = reader.action(attempt.run, &name).map_err(broken)?;
        let Some(row) = row.filter(|row| row.finished_at.is_some() && row.kind == ActionKind::Human) else {
            return Ok(Ok(false));
        };
        // The answer is for who asked, and carries what that carries.
        let child = reader.child(attempt.run, row.no).map_err(broken)?;
        if child.is_none_or(|child| child.parent != attempt.action.0) {
            return Ok(Ok(false));
        }
        let condition = condition_of(&view::call_of(reader, &row)?);
        let (_, output) = view::outputs_of(reader, &row)?;
        match view::decided(&row, &condition, &output) {
            view::Decided::Value(value) => {
                let response = conditions::response(&request, &condition, &value);
                control.flyte().objects().put(&key, &response).map_err(broken)?;
                Ok(Ok(true))
            }
            view::Decided::Rejected(by) => Ok(Err(format!("`{}` was rejected by {by}", condition.name))),
            view::Decided::Unanswered => Ok(Err(format!("nobody will answer `{}` any more", condition.name))),
        }
    });
    match found.await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(why)) => Err(refuse(StatusCode::FORBIDDEN, "AccessDenied", &why)),
        Err(refusal) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &refusal.message)),
    }
}

/// The condition that a call holds.
pub(super) fn condition_of(call: &Call) -> ConditionAction {
    let bytes = flyte::call::from_hex(&call.other).unwrap_or_default();
    ConditionAction::decode(bytes.as_slice()).unwrap_or_default()
}

/// What stands in the address of a form.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    request_path: String,
}

/// Leads a person to the inbox.
pub(super) async fn home() -> Redirect {
    Redirect::to("/inbox")
}

/// Leads a person to the question in the inbox.
pub(super) async fn form(State(app): State<App>, Path(request): Path<String>, Query(asked): Query<Asked>) -> Redirect {
    let path = flyte::key(&asked.request_path).unwrap_or_default().to_owned();
    let run = conditions::run_of(&path).map_or("", |[.., name]| name);
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    match plain(run) && !run.is_empty() {
        true => {
            let (run, control) = (run.to_owned(), app.control.clone());
            let action = blocking(move || control.flyte().question_named(&path, &request).map_err(broken));
            let action = action.await.map(|action| format!("&action={action}")).unwrap_or_default();
            Redirect::to(&format!("/inbox?run={run}{action}"))
        }
        false => Redirect::to("/inbox"),
    }
}

/// What a program says in the place of a person.
#[derive(Deserialize)]
pub(super) struct Given {
    request_id: String,
    value: Value,
    #[serde(default)]
    response_path: String,
}

/// A value as a form of this type has it: the plugin sends texts.
fn fitting(value: Value, kind: &str) -> Value {
    let Value::String(text) = &value else { return value };
    match kind {
        "integer" => text.parse::<i64>().map_or(value, Value::from),
        "number" => text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or(value, Value::Number),
        "boolean" => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Value::Bool(true),
            "false" | "0" | "no" => Value::Bool(false),
            _ => value,
        },
        _ => value,
    }
}

/// Answers a question, in the name of whoever calls.
pub(super) async fn submit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    extract::Json(given): extract::Json<Given>,
) -> ApiResult<Response> {
    let unknown = || ApiError(Fault::not_found("question", &given.request_id));
    let [project, domain, name] =
        flyte::key(&given.response_path).and_then(conditions::run_of).ok_or_else(unknown)?.map(str::to_owned);
    let id = RunId { org: String::new(), project, domain, name };
    let (control, request) = (app.control.clone(), given.request_id.clone());
    let path = flyte::key(&given.response_path).unwrap_or_default().to_owned();
    let (run, row, input) = blocking(move || {
        let reader = control.reader();
        let action = control.flyte().question_named(&path, &request).map_err(broken)?;
        let run = view::run_of(reader, Some(&id))?;
        let row = reader.action(run.id, &action).map_err(broken)?.ok_or_else(|| Refusal::not_found("question", &action))?;
        let input = row.input.map(|(seq, n)| reader.body(seq, n)).transpose().map_err(broken)?.flatten();
        Ok((run, row, input.unwrap_or_default()))
    })
    .await
    .map_err(|_| unknown())?;
    auth::own(&caller, &run).map_err(|refusal| ApiError(Fault::new(FaultKind::Forbidden, refusal.message)))?;
    let target = permission::run_target(&run);
    permission::may(&app, &caller, "decide", &target, &Label::empty())?;
    approvals::may_answer(&app, &caller, &run, &input).map_err(ApiError)?;
    let kind = conditions::type_of(&condition_of(&Call::of(&input).unwrap_or_default()));
    let value = fitting(given.value, kind);
    let form = json!({ "value": value });
    approvals::check_form(&input, &form).map_err(ApiError)?;
    let Caller { principal, groups, .. } = caller;
    let action = ActionKey::new(run.id, ActionNo(row.no));
    let command = Command::Decide { action, principal, groups, decision: "approve".into(), form, reason: String::new() };
    app.control.inbox().ask(command).await?;
    let said = json!({ "status": "submitted", "request_id": given.request_id, "value": value, "message": "the program goes on" });
    Ok(extract::Json(said).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_as_what_is_asked_for() {
        for (given, kind, taken) in [
            (json!("42"), "integer", json!(42)),
            (json!("4.5"), "number", json!(4.5)),
            (json!("Yes"), "boolean", json!(true)),
            (json!("no"), "boolean", json!(false)),
            (json!("maybe"), "boolean", json!("maybe")),
            (json!("42"), "string", json!("42")),
            (json!(7), "integer", json!(7)),
        ] {
            assert_eq!(fitting(given, kind), taken);
        }
    }
}
