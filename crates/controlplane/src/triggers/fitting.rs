//! Whether a trigger and what it starts fit each other: when it is applied, when it is looked at, and when what it starts is to go away.

use std::ops::Range;

use model::Graph;
use model::graph::{Node, NodeKind};
use workflow::documents::{TriggerKind, TriggerSpec};
use workflow::source::{Tree, parse};
use workflow::{Catalogue, Diagnostic};

use super::check_cron;
use crate::{ControlPlane, Fault, FaultKind};

/// The input that gets what came with a call or an event.
const EVENT: &str = "event";
/// Users of a workflow that are named when it cannot be deleted.
const NAMED_MAX: usize = 5;

/// What is wrong with a trigger, with where in its document that stands.
struct Misfit {
    /// The field of the document.
    field: &'static str,
    message: String,
}

/// What is wrong between a trigger and its workflow.
fn misfit(trigger: &TriggerSpec, graph: Option<&Graph>) -> Option<Misfit> {
    if let Err(fault) = crate::flyte::check_inputs(&trigger.inputs) {
        return Some(Misfit { field: "inputs", message: format!("the trigger `{}`: {}", trigger.name, fault.detail) });
    }
    let Some(graph) = graph else {
        let message = format!("the trigger `{}` starts `{}`, which is not there", trigger.name, trigger.workflow);
        return Some(Misfit { field: "workflow", message });
    };
    let mut graph = graph.clone();
    if matches!(trigger.on, TriggerKind::Webhook { .. } | TriggerKind::Event { .. }) && !trigger.inputs.contains_key(EVENT) {
        // It comes with the call.
        graph.inputs.retain(|port| port.name != EVENT);
    }
    let fault = crate::inputs::check(&graph, trigger.inputs.clone()).err()?;
    let field = if trigger.inputs.is_empty() { "workflow" } else { "inputs" };
    Some(Misfit { field, message: format!("the trigger `{}`: {}", trigger.name, fault.detail) })
}

/// What is said of a webhook without a secret; none of other triggers, or when there is one.
pub(super) fn without_secret(trigger: &TriggerSpec) -> Option<String> {
    let TriggerKind::Webhook { secret_env } = &trigger.on else { return None };
    let set = std::env::var_os(secret_env).is_some_and(|secret| !secret.is_empty());
    (!set).then(|| format!("the variable `{secret_env}` with its secret is not set where the server runs: every call is refused"))
}

/// Findings about a trigger of a file, which can be made only beside everything else.
pub(crate) fn findings(trigger: &TriggerSpec, catalogue: &dyn Catalogue, text: &str) -> Vec<Diagnostic> {
    let (trees, _) = parse(text);
    let is_it = |tree: &&Tree| {
        let text = |key| tree.get(key).and_then(Tree::as_str);
        text("kind") == Some("trigger") && text("name") == Some(trigger.name.as_str())
    };
    let tree = trees.iter().find(is_it);
    let at = |field: &str| -> Range<usize> {
        let name = || tree.and_then(|tree| tree.get("name"));
        tree.and_then(|tree| tree.get(field)).or_else(name).map_or(0..0, |tree| tree.span.clone())
    };
    let mut found = Vec::new();
    if let Some(misfit) = misfit(trigger, catalogue.workflow(&trigger.workflow).as_deref()) {
        found.push(Diagnostic::error("W0206", at(misfit.field), misfit.message));
    }
    if let TriggerKind::Cron { expression, timezone } = &trigger.on
        && let Err(why) = check_cron(expression, timezone)
    {
        found.push(Diagnostic::error("W0206", at("schedule"), format!("the trigger `{}`: {why}", trigger.name)));
    }
    if let Some(why) = without_secret(trigger) {
        let finding = Diagnostic::warning("W0208", at("webhook"), format!("the trigger `{}`: {why}", trigger.name));
        found.push(finding.hint("set it in the environment of `tutti up`, and start that again"));
    }
    found
}

impl ControlPlane {
    /// Why a trigger could start nothing now; none when it could.
    pub fn trouble_of(&self, trigger: &TriggerSpec) -> Option<String> {
        if let Some(why) = without_secret(trigger) {
            return Some(why);
        }
        // What starts a program has no workflow that is registered.
        if crate::flyte::call_of(trigger).is_some() {
            return None;
        }
        let graph = self.workflow(&trigger.workflow, None).ok();
        misfit(trigger, graph.as_ref().map(|(graph, _)| &**graph)).map(|misfit| misfit.message)
    }

    /// Refuses to take away a workflow that a trigger starts or that another workflow runs.
    pub(crate) fn check_unused(&self, workflow: &str) -> Result<(), Fault> {
        let mut users = Vec::new();
        for row in self.reader().resources("trigger", None, None).map_err(Fault::internal)? {
            if row.body["workflow"] == workflow {
                users.push(format!("the trigger `{}` starts it", row.name));
            }
        }
        for row in self.reader().resources("workflow", None, None).map_err(Fault::internal)? {
            if row.name != workflow && self.workflow(&row.name, None).is_ok_and(|(graph, _)| runs(&graph.nodes, workflow)) {
                users.push(format!("the workflow `{}` runs it", row.name));
            }
        }
        if users.is_empty() {
            return Ok(());
        }
        let more = users.len().saturating_sub(NAMED_MAX);
        users.truncate(NAMED_MAX);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let message = format!("the workflow `{workflow}` is used: {}{more}", users.join(", "));
        let hint = "delete or change what uses it first; with `--force` it goes all the same, and its triggers start nothing";
        Err(Fault::new(FaultKind::Conflict, message).hint(hint))
    }
}

/// Whether one of the nodes, or one below, runs a workflow of this name.
fn runs(nodes: &[Node], workflow: &str) -> bool {
    nodes.iter().any(|node| match &node.kind {
        NodeKind::Workflow { graph } => graph.workflow == workflow,
        NodeKind::Each { body, .. } => runs(std::slice::from_ref(body), workflow),
        _ => false,
    })
}
