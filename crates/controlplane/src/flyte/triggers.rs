//! Triggers of Flyte tasks. They are triggers like any other, whose runs are programs instead of registered workflows.

use engine::event::Origin;
use engine::{Command, Submit};
use flyte::Call;
use model::{Digest, Timestamp};
use serde_json::{Value, json};
use workflow::documents::{TriggerKind, TriggerSpec};

use super::calls::CALL;
use super::{Program, ROOT};
use crate::{ControlPlane, Fault, FaultKind, random_bytes};

/// The kind of resource that a trigger is.
const KIND: &str = "trigger";
/// The field of a trigger's body that holds what the client said of it.
pub const SAID: &str = "flyte";

/// The inputs of a trigger that starts a program.
pub fn inputs_of_trigger(call: &Call) -> serde_json::Map<String, Value> {
    [(CALL.to_owned(), call.input())].into_iter().collect()
}

/// The program that a trigger starts; none when it starts a workflow.
pub(crate) fn call_of(trigger: &TriggerSpec) -> Option<Call> {
    trigger.inputs.get(CALL).and_then(Call::of)
}

/// The same name for the same firing, so that what was not recorded before a crash is the same run after it.
fn name_of(firing: &str) -> String {
    format!("r{}", &Digest::of(firing.as_bytes()).hex()[..19])
}

impl ControlPlane {
    /// The submission of a firing. Blocks.
    pub(crate) fn submit_of_program(
        &self,
        trigger: &TriggerSpec,
        mut call: Call,
        due: Timestamp,
        asked: Option<(&Value, &str)>,
    ) -> Result<Submit, Fault> {
        let key = crate::triggers::firing_key(&trigger.name, due, asked.map(|(_, call)| call));
        if let Some((payload, _)) = asked {
            self.bind_artifact(&mut call, payload, &key)?;
        }
        let bytes = self.flyte().spec(&call.spec)?;
        let unfit = |error: flyte::task::Unfit| Fault::new(FaultKind::Malformed, error.to_string());
        let mut node = flyte::task::node(ROOT, &flyte::task::read(&bytes).map_err(unfit)?).map_err(unfit)?;
        self.send_to_queue(&mut node, &call.queue)?;
        let spec = super::spec_of(&call).unwrap_or_default();
        let [_, project, domain, ..] = call.task.clone();
        // The program may ask when it was to start.
        call.start = chrono::DateTime::from_timestamp_micros(i64::try_from(due.0).unwrap_or(i64::MAX))
            .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
            .unwrap_or_default();
        let name = name_of(&key);
        let program = Program {
            name,
            project,
            domain: trigger.domain.clone().unwrap_or(domain),
            node,
            call,
            principal: format!("trigger:{}", trigger.name),
            idempotency_key: Some(key),
            run_labels: spec.labels.unwrap_or_default().values,
            subject: None,
            reused: None,
        };
        let submit = self.program_to_submit(program)?;
        Ok(Submit { origin: Origin::Trigger { trigger: trigger.name.clone(), due }, ..submit })
    }

    /// Refuses a trigger that can never fire.
    pub fn check_program_trigger(&self, trigger: &TriggerSpec) -> Result<(), Fault> {
        match &trigger.on {
            TriggerKind::Cron { expression, timezone } => {
                crate::triggers::check_cron(expression, timezone).map_err(|why| Fault::new(FaultKind::Malformed, why))
            }
            _ => Ok(()),
        }
    }

    /// Sets the trigger of a program; `said` is kept beside it. Another of the name is replaced.
    pub async fn set_program_trigger(&self, trigger: TriggerSpec, said: Value, principal: &str) -> Result<(), Fault> {
        self.check_program_trigger(&trigger)?;
        let mut body = serde_json::to_value(&trigger).map_err(Fault::internal)?;
        body[SAID] = said;
        let name = trigger.name.clone();
        let command = Command::ApplyResource { kind: KIND.into(), name, body, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        tokio::task::block_in_place(|| self.trigger_changed(&trigger.name))
    }

    /// Whether a trigger gives the inputs of a key to what it starts. Blocks.
    pub(crate) fn is_of_trigger(&self, key: &str) -> Result<bool, Fault> {
        let rows = self.reader().resources(KIND, None, None).map_err(Fault::internal)?;
        Ok(rows.iter().any(|row| row.body.get("inputs").and_then(super::inputs_given).as_deref() == Some(key)))
    }

    /// Removes the trigger of a program.
    pub async fn remove_program_trigger(&self, name: &str, principal: &str) -> Result<(), Fault> {
        let command = Command::DeleteResource { kind: KIND.into(), name: name.to_owned(), principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        tokio::task::block_in_place(|| self.trigger_changed(name))
    }

    /// A program as the engine takes it. One whose root may run nowhere by the rules is refused. Blocks.
    pub(super) fn program_to_submit(&self, mut program: Program) -> Result<Submit, Fault> {
        let concurrency = self.settle(&mut program)?;
        let mut call = program.call.clone();
        // Beside what an artifact brought along.
        let entered = self.entering_of_program(&program.project, &program.domain, &call)?;
        call.entered.extend(entered);
        let graph = super::graph_of(&program.project, program.node.clone());
        let inputs = json!({ CALL: call.input() });
        let labels = self.label_run(&graph, &program.project, &program.domain, &inputs)?;
        self.flyte().expect_end(&program)?;
        let Program { name, project, domain, principal, idempotency_key, run_labels, subject, reused, .. } = program;
        crate::runs::check_subject(subject.as_deref())?;
        let known = self.reader().find_run(&project, &domain, Some(&name), idempotency_key.as_deref());
        Ok(Submit {
            labels,
            reused: reused.map(|output| (0, output)).into_iter().collect(),
            name: Some(name),
            project,
            domain,
            graph_digest: graph.digest(),
            graph,
            inputs,
            principal,
            idempotency_key,
            salt: random_bytes(),
            known: known.map_err(Fault::internal)?,
            run_labels,
            subject,
            concurrency,
            ..Submit::default()
        })
    }
}
