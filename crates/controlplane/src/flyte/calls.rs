//! Which actions were called by a program, or are one: what such a call says of addresses is the server's own word, or was checked at the door that took
//! it. A value that only looks like one, in an input of a workflow, says nothing.

use engine::Dispatch;
use flyte::interface::Placed;
use flyte::{Call, Reach};
use journal::{ActionRow, RunRow};
use model::graph::Cache;
use model::{Failure, FailureClass, Node, NodeKind, Template};
use serde_json::{Map, Value};

use super::files::Called;
use super::{Flyte, ROOT, TAKES_FILES, TASKS, base_of};
use crate::{ControlPlane, Fault, FaultKind};

/// The input of a program.
pub(super) const CALL: &str = "call";
/// How the root of a program is given its call.
pub(super) const GIVEN: &str = "${ inputs.call }";
/// Where it stands what the result of a program is remembered under.
const REMEMBERED: &str = "${ inputs.call.flyte.cache }";

/// How the result of the root of a run is found that was given under what it is remembered.
pub fn cache_of_root() -> Cache {
    let given = Some(Template { json: Value::String(REMEMBERED.into()), dynamic: true });
    Cache { given, ..Cache::default() }
}

/// Whether an action is a program or was asked for by one. What a program asks for has no template: its input comes with the request.
pub(super) fn comes_from_a_program(node: &Node, path: &str) -> bool {
    let template = &node.input.json;
    template.is_null() || (path == ROOT && template == GIVEN)
}

/// Refuses inputs of a workflow that a call of a program is among: only the doors of the SDK make one, when they have asked who may read what it names.
pub(crate) fn check_inputs(inputs: &Map<String, Value>) -> Result<(), Fault> {
    if inputs.get(CALL).and_then(Call::of).is_none() {
        return Ok(());
    }
    let fault = Fault::new(FaultKind::InvalidInputs, format!("the input `{CALL}` holds a call of a Flyte program"));
    Err(fault.hint("programs are started with the Flyte SDK; give the input another name, or a value without the field `flyte`"))
}

/// The inputs of a run that somebody else repeats: what its program may is what they may.
pub(crate) fn started_by(mut inputs: Value, by: flyte::Rights) -> Value {
    if let Some(call) = inputs.get(CALL).and_then(Call::of) {
        inputs[CALL] = Call { by: Some(by), ..call }.input();
    }
    inputs
}

/// The key of the inputs that a program was sent, by the inputs of its run.
pub(crate) fn inputs_given(inputs: &Value) -> Option<String> {
    let call = inputs.get(CALL).and_then(Call::of)?;
    flyte::key(&call.inputs).filter(|key| flyte::objects::inputs_of(key).is_some()).map(str::to_owned)
}

/// Where the values of a task lie that a node of a workflow calls.
pub(super) fn node_call(project: &str, domain: &str, run: &str, path: &str) -> Call {
    let base = base_of(project, domain, run);
    Call { inputs: format!("{base}/{path}/inputs.pb"), base, name: path.to_owned(), ..Call::default() }
}

impl Flyte {
    /// Notes what the data of an action carry before anything of it can be read.
    pub(super) fn note_given(&self, dispatch: &Dispatch) -> Result<(), Failure> {
        let names = &dispatch.names;
        let base = base_of(&names.project, &names.domain, &names.name);
        let reach = Reach { base, label: dispatch.label.clone(), ..Reach::default() };
        let unnoted =
            |error: std::io::Error| Failure::new(FailureClass::Environment, format!("its tags cannot be noted: {error}"));
        self.note_label(&reach, &dispatch.path).map_err(unnoted)
    }

    /// The call of a deployed task by a node of a workflow: its inputs become what a program would have given.
    pub(super) fn call_of_node(
        &self,
        dispatch: &Dispatch,
        given: &Value,
        placed: &Placed,
        reader: &journal::Reader,
    ) -> Result<(Call, Called), Failure> {
        let unusable = |error: String| Failure::new(FailureClass::Environment, error);
        let NodeKind::Task { name } = &dispatch.node.kind else { return Err(unusable("this is no task".into())) };
        let names = &dispatch.names;
        let (task, version) = name.split_once('@').unwrap_or((name, ""));
        let registered = format!("{}/{}/{name}", names.project, names.domain);
        let row = reader.resources(TASKS, Some(&registered), None).map_err(|error| unusable(error.to_string()))?.pop();
        let Some(row) = row else {
            let message = format!(
                "the task `{task}` of version `{version}` is not deployed in the project `{}` and its domain `{}`",
                names.project, names.domain
            );
            return Err(Failure { code: Some("TaskNotDeployed".into()), permanent: true, ..unusable(message) });
        };
        let spec = row.body.get("spec").and_then(Value::as_str).unwrap_or_default().to_owned();
        let bytes = self.spec(&spec).map_err(|fault| unusable(fault.detail))?;
        let read = flyte::task::read(&bytes).map_err(|unfit| unusable(unfit.to_string()))?;
        let inputs = flyte::interface::inputs(&read, given, placed).map_err(|wrong| Failure {
            code: Some("InputsInvalid".into()),
            permanent: true,
            ..Failure::new(FailureClass::User, wrong.to_string())
        })?;
        let call = node_call(&names.project, &names.domain, &names.name, &dispatch.path);
        self.note_given(dispatch)?;
        let key = flyte::key(&call.inputs).unwrap_or_default();
        self.inner.objects.put(key, &inputs).map_err(|error| unusable(error.to_string()))?;
        let org = row.body.get("org").and_then(Value::as_str).unwrap_or_default().to_owned();
        let start = chrono::DateTime::from_timestamp_micros(i64::try_from(names.submitted_at.0).unwrap_or_default());
        let call = Call {
            spec,
            task: [org, names.project.clone(), names.domain.clone(), task.to_owned(), version.to_owned()],
            start: start.unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            ..call
        };
        let takes_files = row.body.get(TAKES_FILES).and_then(Value::as_bool).unwrap_or(false);
        Ok((call, Called { site: dispatch.site.clone(), takes_files }))
    }
}

impl ControlPlane {
    /// What an action of a program was given; none when it is a node of a workflow. Blocks.
    pub(super) fn call_of_row(&self, run: &RunRow, row: &ActionRow) -> Result<Option<Call>, Fault> {
        let body = |seq, n| self.reader().body(seq, n).map_err(Fault::internal);
        if row.path == ROOT {
            return Ok(body(run.first_seq, 0)?.and_then(|inputs| inputs.get(CALL).and_then(Call::of)));
        }
        if self.reader().child(row.run, row.no).map_err(Fault::internal)?.is_none() {
            return Ok(None);
        }
        let input = row.input.map(|(seq, n)| body(seq, n)).transpose()?.flatten();
        Ok(input.as_ref().and_then(Call::of))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_of_a_workflow_is_no_program_whatever_it_is_given() {
        let with = |json: Value| Node { input: Template { json, dynamic: true }, ..Node::default() };
        assert!(comes_from_a_program(&Node::default(), "child") && comes_from_a_program(&with(json!(GIVEN)), ROOT));
        for (json, path) in [
            (json!({ "flyte": "${ inputs.x }" }), ROOT),
            (json!("${ inputs.x }"), ROOT),
            (json!(GIVEN), "sub/a0"),
            (json!(GIVEN), "a"),
            (json!({}), "a"),
        ] {
            assert!(!comes_from_a_program(&with(json.clone()), path), "{json} at {path}");
        }
    }

    #[test]
    fn a_call_is_no_input_of_a_workflow() {
        let call = Call { inputs: flyte::uri("inputs/p/d/1/inputs.pb"), ..Call::default() };
        let inputs = json!({ "call": call.input(), "x": 1 });
        assert!(check_inputs(inputs.as_object().unwrap()).is_err());
        assert!(check_inputs(json!({ "call": { "x": 1 }, "y": call.input() }).as_object().unwrap()).is_ok());
        assert_eq!(inputs_given(&inputs).as_deref(), Some("inputs/p/d/1/inputs.pb"));
        let elsewhere = Call { inputs: flyte::uri("runs/p/d/r/a0/1/outputs.pb"), ..Call::default() };
        assert_eq!(inputs_given(&json!({ "call": elsewhere.input() })), None);
    }
}
