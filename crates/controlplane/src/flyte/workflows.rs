//! Registered workflows that a program starts. Such a run has the workflow as its root, which is given what the program gave: everything
//! within it is labelled, placed and recorded as within any other run.

use flyte::wire::{TaskId, TaskSpec};
use model::{Graph, Node, NodeKind, Template};
use serde_json::{Map, Value};

use crate::{ControlPlane, Fault, FaultKind, inputs};

/// The kind of resource that a registered workflow is.
const KIND: &str = "workflow";

/// The name of a workflow within its project.
pub(super) fn name_in<'n>(project: &str, name: &'n str) -> &'n str {
    name.strip_prefix(project).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// What the root is given: every input by itself, so that each carries what it does.
pub(super) fn given(graph: &Graph) -> Template {
    let read = |name: &str| Value::String(format!("${{ inputs.call.flyte.given['{name}'] }}"));
    let fields: Map<String, Value> = graph.inputs.iter().map(|port| (port.name.clone(), read(&port.name))).collect();
    Template { dynamic: !fields.is_empty(), json: Value::Object(fields) }
}

/// A registered workflow, as the client knows it.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its identifier: its version is the number of the registration.
    pub id: TaskId,
    /// When it was registered.
    pub at: model::Timestamp,
    name: String,
    version: u64,
}

impl ControlPlane {
    /// The workflows of a project by the name that they have in it; all of them when none is given. The latest version of each. Blocks.
    pub fn workflows_as_tasks(&self, project: &str, domain: &str, wanted: Option<&str>) -> Result<Vec<Registered>, Fault> {
        // The rules are asked about PROJECT/NAME: what is called otherwise would be started under a name that is not its own.
        let wanted = wanted.map(|name| format!("{project}/{name}"));
        let rows = self.reader().resources(KIND, wanted.as_deref(), None).map_err(Fault::internal)?;
        let registered = rows.into_iter().filter_map(|row| {
            let id = TaskId {
                org: String::new(),
                project: project.to_owned(),
                domain: domain.to_owned(),
                name: row.name.strip_prefix(project)?.strip_prefix('/')?.to_owned(),
                version: row.version.to_string(),
            };
            Some(Registered { id, at: row.at, name: row.name, version: row.version })
        });
        Ok(registered.collect())
    }

    /// A workflow as a task: of the version asked for, or of the latest when that is empty. None when there is no such workflow. Blocks.
    pub fn workflow_as_task(&self, id: &TaskId) -> Result<Option<(Registered, TaskSpec)>, Fault> {
        let Some(mut found) = self.workflows_as_tasks(&id.project, &id.domain, Some(&id.name))?.pop() else { return Ok(None) };
        if !id.version.is_empty() {
            let Ok(version) = id.version.parse() else { return Ok(None) };
            let row = self.reader().resources(KIND, Some(&found.name), Some(version)).map_err(Fault::internal)?.pop();
            let Some(row) = row else { return Ok(None) };
            found.id.version.clone_from(&id.version);
            (found.at, found.version) = (row.at, version);
        }
        let (graph, _) = self.workflow(&found.name, Some(found.version))?;
        let spec = flyte::workflows::spec(&found.id, &graph.inputs, &graph.description);
        let spec = spec.map_err(|untyped| Fault::new(FaultKind::Malformed, untyped.to_string()))?;
        Ok(Some((found, spec)))
    }

    /// The node that runs a workflow, and what it is given with its defaults filled in. Blocks.
    pub fn workflow_for_program(&self, id: &TaskId, values: &[u8]) -> Result<(Node, Value), Fault> {
        let found = self.workflow_as_task(id)?;
        let (found, _) =
            found.ok_or_else(|| Fault::not_found("workflow", &id.name).hint("register it with `tutti apply -f FILE`"))?;
        let (graph, _) = self.workflow(&found.name, Some(found.version))?;
        let unreadable =
            || Fault::new(FaultKind::InvalidInputs, "the inputs of the workflow hold something that is no value of JSON");
        let values = flyte::interface::outputs(values).ok_or_else(unreadable)?;
        let given = inputs::check(&graph, values.as_object().cloned().unwrap_or_default())?;
        Ok((Node { id: super::ROOT.into(), kind: NodeKind::Workflow { graph }, ..Node::default() }, given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_given_every_input_by_itself() {
        assert_eq!((name_in("p", "p/loan"), name_in("default", "loan"), name_in("p", "px/loan")), ("loan", "loan", "px/loan"));
        let port = model::graph::Port { name: "x".into(), schema: serde_json::json!({}), default: None };
        let graph = Graph { inputs: vec![port], ..Graph::default() };
        let template = given(&graph);
        assert_eq!(template.json, serde_json::json!({ "x": "${ inputs.call.flyte.given['x'] }" }));
        assert!(template.dynamic && !given(&Graph::default()).dynamic);
    }
}
