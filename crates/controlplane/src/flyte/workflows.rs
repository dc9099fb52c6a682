//! Registered workflows that a program starts, as runs of their own or as actions of its run. Such a run has the workflow as its root, such an
//! action has it as its only node; both are given what the program gave: everything within is labelled, placed and recorded as within any other
//! run.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::event::RunLabelled;
use flyte::wire::{TaskId, TaskSpec};
use flyte::{Call, Reach};
use journal::{ActionFilter, ActionRow, ChildRow, RunRow};
use model::graph::Port;
use model::{ActionKey, ActionNo, AttemptKey, AttemptNo, Graph, Label, Node, NodeKind, Template};
use policy::Work;
use serde_json::{Map, Value, json};
use workflow::labels::CONTROL;

use crate::governing::may_not_be_told;
use crate::learning::node_at;
use crate::{ControlPlane, Fault, FaultKind, inputs};

/// The only node of a workflow that is an action of a program.
pub(crate) const ASKED_NODE: &str = "workflow";
/// Its only input: what the action was given.
const CALL: &str = "flyte";

/// The kind of resource that a registered workflow is.
const KIND: &str = "workflow";

/// The name of a workflow within its project.
pub(super) fn name_in<'n>(project: &str, name: &'n str) -> &'n str {
    name.strip_prefix(project).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// What the root is given: every input by itself, so that each carries what it does.
pub(super) fn given(graph: &Graph) -> Template {
    given_by("call.flyte", graph)
}

/// The same of a workflow that finds the call under this name among the inputs.
fn given_by(call: &str, graph: &Graph) -> Template {
    let read = |name: &str| Value::String(format!("${{ inputs.{call}.given['{name}'] }}"));
    let fields: Map<String, Value> = graph.inputs.iter().map(|port| (port.name.clone(), read(&port.name))).collect();
    Template { dynamic: !fields.is_empty(), json: Value::Object(fields) }
}

/// The graph of a workflow that is an action of a program of a project.
fn asked(project: &str, graph: Arc<Graph>) -> Graph {
    let node = Node {
        id: ASKED_NODE.into(),
        input: given_by(CALL, &graph),
        kind: NodeKind::Workflow { graph: graph.clone() },
        ..Node::default()
    };
    Graph {
        workflow: format!("{project}/{}", name_in(project, &graph.workflow)),
        inputs: vec![Port { name: CALL.into(), schema: json!({}), default: None }],
        nodes: vec![node],
        outputs: Template { json: Value::String(format!("${{ nodes.{ASKED_NODE} }}")), dynamic: true },
        ..Graph::default()
    }
}

/// A workflow that a running action asks for.
#[derive(Clone, Debug)]
pub struct AskedWorkflow {
    /// The node that runs it.
    pub node: Node,
    /// What it is given, with its defaults filled in.
    pub given: Value,
    /// What its nodes can read and give, as far as anything carries anything.
    pub inside: Option<Box<RunLabelled>>,
    /// Why the rules refuse it, when they do.
    pub refused: Option<String>,
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
        let (graph, given) = self.workflow_and_given(id, values)?;
        Ok((Node { id: super::ROOT.into(), kind: NodeKind::Workflow { graph }, ..Node::default() }, given))
    }

    fn workflow_and_given(&self, id: &TaskId, values: &[u8]) -> Result<(Arc<Graph>, Value), Fault> {
        let found = self.workflow_as_task(id)?;
        let (found, _) =
            found.ok_or_else(|| Fault::not_found("workflow", &id.name).hint("register it with `tutti apply -f FILE`"))?;
        let (graph, _) = self.workflow(&found.name, Some(found.version))?;
        let unreadable =
            || Fault::new(FaultKind::InvalidInputs, "the inputs of the workflow hold something that is no value of JSON");
        let values = flyte::interface::outputs(values).ok_or_else(unreadable)?;
        let given = inputs::check(&graph, values.as_object().cloned().unwrap_or_default())?;
        Ok((graph, given))
    }

    /// A workflow that a running action asks for, as an action of its run: certified with what comes to it, as a run of its own would be. What it
    /// is given carries what the data of whoever asks do, and what `entered`. Blocks.
    pub fn workflow_for_action(
        &self,
        id: &TaskId,
        values: &[u8],
        (run, parent): (&RunRow, &ActionRow),
        (call, entered): (&Call, &BTreeMap<String, String>),
    ) -> Result<AskedWorkflow, Fault> {
        let (graph, given) = self.workflow_and_given(id, values)?;
        let graph = asked(&run.project, graph);
        let attempt = AttemptKey { run: run.id, action: ActionNo(parent.no), attempt: AttemptNo(parent.attempt) };
        // What comes to whoever asks in the meantime is joined where it is opened.
        let own = self.flyte_reach(attempt)?.map(|reach| reach.label.clone()).unwrap_or_default();
        let carried = own.clone().joined(&Label::of(entered.keys().cloned()));
        // It is run because of what whoever asks could read, also where it reads nothing.
        let carried = BTreeMap::from([(CALL.to_owned(), carried), (CONTROL.to_owned(), own.clone())]);
        let inside = self.label_asked(&graph, (&run.project, &run.domain), carried)?;
        let (inside, mut refused) = match inside {
            Ok(inside) => (inside, None),
            Err(why) => (None, Some(why)),
        };
        if let Some(inside) = &inside {
            let told = inside.gives.get("").map(|given| given.of(None)).unwrap_or_default();
            refused = self.not_told(run, parent, &own.joined(&told))?;
            self.keep_within(run, &call.name, inside)?;
        }
        let node = Node { id: id.name.clone(), kind: NodeKind::Workflow { graph: Arc::new(graph) }, ..Node::default() };
        Ok(AskedWorkflow { node, given, inside, refused })
    }

    /// Why whoever asks may not be told, where it is, what carries this beside its own data.
    fn not_told(&self, run: &RunRow, parent: &ActionRow, told: &Label) -> Result<Option<String>, Fault> {
        let Some(site) = parent.site.as_deref() else { return Ok(None) };
        let work = match self.reader().child(run.id, parent.no).map_err(Fault::internal)? {
            Some(child) => child.work,
            None => {
                let graph = self.reader().graph(&run.graph).map_err(Fault::internal)?;
                let node = graph.as_ref().and_then(|graph| node_at(graph, &engine::without_items(&parent.path)));
                node.map(|node| node.kind.work()).unwrap_or_default()
            }
        };
        let work = Work { project: run.project.clone(), workflow: run.workflow.clone(), domain: run.domain.clone(), work };
        let (rules, fleet) = (self.rules(), self.policy_fleet()?);
        let mut cache = self.governance().cache();
        Ok(may_not_be_told((&*rules, &fleet, &mut *cache), &work, told, site))
    }

    /// Keeps what everything within a workflow can read, so that its values are shown to those alone who may see all of it.
    fn keep_within(&self, run: &RunRow, name: &str, inside: &RunLabelled) -> Result<(), Fault> {
        let mut label = Label::empty();
        inside.reads.values().for_each(|read| label.join(read));
        inside.gives.values().for_each(|given| label.join(&given.of(None)));
        let reach = Reach { base: super::base_of(&run.project, &run.domain, &run.name), label, ..Reach::default() };
        self.flyte().note_label(&reach, &super::labels::within(name)).map_err(Fault::internal)
    }

    /// Where the output of a workflow lies that a running action asked for and that has ended well, as a task would have written it. Blocks.
    pub fn output_of_asked(&self, run: &RunRow, child: &ChildRow, output: &Value) -> Result<String, Fault> {
        let base = super::base_of(&run.project, &run.domain, &run.name);
        let call = Call { base, name: child.action.path.clone(), ..Call::default() };
        let uri = call.outputs(1);
        let key = flyte::key(&format!("{uri}/outputs.pb")).unwrap_or_default().to_owned();
        if self.flyte().objects().head(&key).is_ok() {
            return Ok(uri);
        }
        let above = ActionFilter { from: child.parent, limit: 1, phase: None };
        let above = self.reader().actions(run.id, &above).map_err(Fault::internal)?.pop();
        let attempt = above.map_or(0, |row| row.attempt);
        let parent = ActionKey::new(run.id, ActionNo(child.parent));
        let attempt = AttemptKey { run: parent.run, action: parent.action, attempt: AttemptNo(attempt) };
        // Whoever asked carries what it is told before it is told; one that has ended is not told any more.
        if let Some(reach) = self.flyte_reach(attempt)? {
            let reach = Reach { base: call.base, label: reach.label.clone(), ..Reach::default() };
            self.flyte().note_label(&reach, &call.name).map_err(Fault::internal)?;
            self.flyte().objects().put(&key, &flyte::workflows::outputs(output)).map_err(Fault::internal)?;
        }
        Ok(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_given_every_input_by_itself() {
        assert_eq!((name_in("p", "p/loan"), name_in("default", "loan"), name_in("p", "px/loan")), ("loan", "loan", "px/loan"));
        let port = Port { name: "x".into(), schema: json!({}), default: None };
        let graph = Graph { inputs: vec![port], ..Graph::default() };
        let template = given(&graph);
        assert_eq!(template.json, serde_json::json!({ "x": "${ inputs.call.flyte.given['x'] }" }));
        assert!(template.dynamic && !given(&Graph::default()).dynamic);
        let asked = asked("p", Arc::new(Graph { workflow: "p/loan".into(), ..graph }));
        assert_eq!(asked.workflow, "p/loan");
        assert_eq!(asked.nodes[0].input.json, json!({ "x": "${ inputs.flyte.given['x'] }" }));
    }
}
