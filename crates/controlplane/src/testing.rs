//! Testing a step: one node of a text runs, and what it reads of other nodes is given. The run is a run like any other: gated, placed,
//! recorded. Nothing of the workflow is registered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::Origin;
use engine::{Command, Known, Submit};
use model::{Graph, Label, Node, NodeIx, NodeKind, Read, Template};
use serde_json::{Map, Value};
use workflow::labels;

use crate::clock::random_bytes;
use crate::editing::Beside;
use crate::governing::{may_lower, project_of};
use crate::{ControlPlane, Fault, FaultKind, Submitted, inputs};

/// Bytes of a run's name after the node's.
const NAME_RANDOM_BYTES: usize = 4;
/// Characters of a node's id in the name of its test.
const NAME_ID_MAX: usize = 40;

/// A request to test a step.
#[derive(Clone, Debug, Default)]
pub struct StepTest {
    /// The text of the workflow.
    pub text: String,
    /// The registered workflow whose files the text may refer to.
    pub beside: Option<String>,
    /// The node.
    pub node: String,
    /// The inputs of the workflow that it reads.
    pub inputs: Map<String, Value>,
    /// What the nodes that it reads give, by their ids.
    pub outputs: BTreeMap<String, Value>,
    /// Who asks.
    pub principal: String,
}

impl ControlPlane {
    /// The workflow of a text: what a door asks the rules about before a step of it is tested.
    pub fn workflow_of(&self, text: &str, beside: Option<&str>) -> Result<Arc<Graph>, Fault> {
        let beside = Beside { workflow: beside.map(str::to_owned), ..Beside::default() };
        let sheet = self.edit(text, &[], &beside)?;
        sheet.graph.ok_or_else(|| {
            Fault::new(FaultKind::InvalidWorkflow, "the text has errors, so that none of its steps can run")
                .hint("see `tutti check`")
        })
    }

    /// Runs one node of a text with given values.
    pub async fn test_step(&self, request: StepTest) -> Result<Submitted, Fault> {
        let submit = tokio::task::block_in_place(|| self.prepare_test(request))?;
        let answer = self.inbox().ask(Command::Submit(Box::new(submit))).await?;
        let run = answer.run.ok_or_else(|| Fault::internal("a test made no run"))?;
        Ok(Submitted { run, fresh: answer.fresh })
    }

    fn prepare_test(&self, request: StepTest) -> Result<Submit, Fault> {
        crate::flyte::check_inputs(&request.inputs)?;
        let whole = self.workflow_of(&request.text, request.beside.as_deref())?;
        let (graph, given) = self.alone(&whole, &request)?;
        let graph = Arc::new(graph);
        let project = project_of(&graph.workflow).to_owned();
        let domain = "development".to_owned();
        let inputs = inputs::check(&graph, request.inputs)?;
        let mut locations = inputs::locate(self.sites(), &inputs)?;
        for (_, output) in &given {
            locations.extend(inputs::locate(self.sites(), output)?);
        }
        let labels = self.label_run(&graph, &project, &domain, &inputs)?;
        let random: [u8; NAME_RANDOM_BYTES] = random_bytes();
        let id: String = request.node.chars().take(NAME_ID_MAX).collect();
        let name = format!("test-{id}-{:08x}", u32::from_le_bytes(random));
        Ok(Submit {
            labels,
            subject: None,
            name: Some(name),
            project,
            domain,
            graph_digest: graph.digest(),
            graph,
            inputs,
            locations,
            principal: request.principal,
            idempotency_key: None,
            origin: Origin::Submitted,
            reused: given,
            reused_items: Vec::new(),
            priority: 0,
            label: Label::empty(),
            salt: random_bytes(),
            traceparent: None,
            plan: None,
            run_labels: BTreeMap::new(),
            concurrency: None,
            known: Known::default(),
        })
    }

    /// The graph of one node and of those it reads, whose outputs are given and carry what they would carry.
    fn alone(&self, whole: &Graph, request: &StepTest) -> Result<(Graph, Vec<(NodeIx, Value)>), Fault> {
        let index = whole.find(&request.node).ok_or_else(|| Fault::not_found("node", &request.node))?;
        let node = whole.nodes.get(index as usize).ok_or_else(|| Fault::not_found("node", &request.node))?;
        if matches!(node.kind, NodeKind::Decide { .. }) {
            return Err(Fault::new(FaultKind::Malformed, "a decision has nothing to run without the nodes that it leads to"));
        }
        let rules = self.rules();
        let table = labels::pass(whole, &labels::declared(whole), &may_lower(&rules, crate::clock::wall()));
        let reads: BTreeSet<NodeIx> = node.refs.iter().copied().collect();
        let (mut nodes, mut given, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for read in &reads {
            let Some(source) = whole.nodes.get(*read as usize) else { continue };
            let Some(output) = request.outputs.get(&source.id) else {
                missing.push(format!("`{}`", source.id));
                continue;
            };
            let carries = table.steps.iter().find(|step| step.path == source.id).map(|step| step.output.clone());
            let carries = carries.map(|carried| {
                let fields = carried.fields.into_iter().map(|(field, label)| (field, label.0));
                std::iter::once((String::new(), carried.all.0)).chain(fields).collect()
            });
            given.push((nodes.len() as NodeIx, output.clone()));
            nodes.push(Node { id: source.id.clone(), carries: carries.unwrap_or_default(), ..Node::default() });
        }
        if !missing.is_empty() {
            let fault = Fault::new(
                FaultKind::Malformed,
                format!("`{}` reads {}: what they give is missing", node.id, missing.join(", ")),
            );
            return Err(fault.hint("give a value for each, from an earlier run or of your own"));
        }
        let alone = Node {
            refs: (0..nodes.len() as NodeIx).collect(),
            after: Vec::new(),
            chosen_by: Vec::new(),
            condition: None,
            undo: None,
            // A test is to run, and leaves nothing behind that a run would take for its own.
            once: None,
            cache: None,
            ..node.clone()
        };
        let read = labels::reads_of(&alone);
        nodes.push(alone);
        let everything = read.contains(&Read::Input(None));
        let inputs = whole.inputs.iter().filter(|port| everything || read.contains(&Read::Input(Some(port.name.clone()))));
        let graph = Graph {
            inputs: inputs.cloned().collect(),
            nodes,
            outputs: Template::new(serde_json::json!({ "output": format!("${{ nodes.{} }}", node.id) })),
            ..whole.clone()
        };
        Ok((graph, given))
    }
}
