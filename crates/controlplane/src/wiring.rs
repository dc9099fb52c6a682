//! Wires and what the rules say about them, for whoever draws a workflow: what each wire carries, which step would be refused, and from one
//! node, which wires would be refused before they are drawn, with what could be done instead. Nothing is stored here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::govern::SanitizerSpec;
use model::limits::WIRES_TRIED_MAX;
use model::{Graph, Label, Node, NodeIx, NodeKind};
use policy::{Certified, Fleet, Refused, Rules, Work};
use serde_json::Value;
use workflow::Severity;
use workflow::edit::Edit;
use workflow::labels::{self, Table, Wire};
use workflow::source::{Data, Key, Tree};

use crate::editing::{Beside, Sheet};
use crate::governing::{DOMAINS, flow, may_lower, project_of};
use crate::{ControlPlane, Fault};

/// How often what has errors is left out of a text before it is given up.
const LEFT_OUT_ROUNDS: usize = 8;

/// What the rules say about a text.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// Whether all of the text could be read.
    pub checked: bool,
    /// Nodes that have errors, or read one that has: nothing is said of them, and of the others only as far as they read each other.
    pub left_out: Vec<String>,
    /// What goes along its wires.
    pub wires: Vec<Wire>,
    /// Its steps with what they read, and where each may be.
    pub steps: Vec<Certified>,
    /// Steps that may run nowhere.
    pub refused: Vec<Refused>,
    /// What the node that was asked about gives: by field, and the whole under no name.
    pub gives: Vec<(Option<String>, Label)>,
    /// Wires from that node that would be refused.
    pub forbidden: Vec<Forbidden>,
}

/// A wire that would be refused.
#[derive(Clone, Debug)]
pub struct Forbidden {
    /// The field of the node that was asked about; the whole when there is none.
    pub field: Option<String>,
    /// The node that would read it.
    pub to: String,
    /// The step that would be refused: that node, or one behind it.
    pub refused: Refused,
    /// Where the rules would let that step read this.
    pub allowed_at: Vec<String>,
    /// What could be done instead.
    pub remedies: Vec<Remedy>,
}

/// A way to take the tags off first.
#[derive(Clone, Debug)]
pub struct Remedy {
    /// The sanitizer that does it, as its owners have approved it.
    pub sanitizer: String,
    /// What its output carries.
    pub label: Label,
    /// A node of the text that takes them off already: its output is read instead.
    pub existing: Option<String>,
    /// A node to put in between, as it would stand in the file.
    pub insert: Option<Value>,
    /// The field of its output to read; the whole when there is none.
    pub field: Option<String>,
}

/// What is looked at while wires are tried.
struct Look<'a> {
    control: &'a ControlPlane,
    rules: &'a Rules,
    fleet: &'a Fleet,
    sites: &'a BTreeMap<String, BTreeMap<String, String>>,
    graph: &'a Graph,
    table: &'a Table,
    document: &'a Value,
    project: &'a str,
    from: NodeIx,
}

impl ControlPlane {
    /// Makes edits on a text, and says what the rules make of the wires of the result; with `from`, a node, of those that could begin there.
    /// Blocks: call it where that is allowed.
    pub fn wiring(&self, text: &str, edits: &[Edit], beside: &Beside, from: Option<&str>) -> Result<Wiring, Fault> {
        let (sheet, checked, left_out) = self.readable(text, edits, beside)?;
        let Some(graph) = sheet.graph else { return Ok(Wiring { left_out, ..Wiring::default() }) };
        let (rules, rows) = (self.rules(), self.reader().sites().map_err(Fault::internal)?);
        let fleet = Fleet::new(rows.iter().map(|row| &row.spec));
        let (table, certified) = self.wired(&rules, &fleet, &graph);
        let mut wiring = Wiring { checked, left_out, wires: labels::wires(&graph, &table), ..Wiring::default() };
        match certified {
            Ok(steps) => wiring.steps = steps,
            Err(refused) => {
                let bare =
                    |step: &labels::Step| Certified { path: step.path.clone(), label: step.label.clone(), sites: Vec::new() };
                wiring.steps = table.steps.iter().map(bare).collect();
                wiring.refused = refused;
            }
        }
        let Some(from) = from else { return Ok(wiring) };
        if wiring.left_out.iter().any(|id| id == from) {
            return Ok(wiring);
        }
        let index = graph.nodes.iter().position(|node| node.id == from).ok_or_else(|| Fault::not_found("node", from))?;
        wiring.gives = gives(&graph, &table, from);
        let sites = rows.into_iter().map(|row| (row.spec.name, row.spec.attributes)).collect();
        let look = Look {
            control: self,
            rules: &rules,
            fleet: &fleet,
            sites: &sites,
            graph: &graph,
            table: &table,
            document: &sheet.document,
            project: project_of(&graph.workflow),
            from: index as NodeIx,
        };
        look.try_wires(&mut wiring)?;
        Ok(wiring)
    }

    /// A text after edits or, while it has errors, as much of it as has none: a file that is being drawn has some most of the time. With the
    /// nodes that were left out for that, and whether all of it had none.
    fn readable(&self, text: &str, edits: &[Edit], beside: &Beside) -> Result<(Sheet, bool, Vec<String>), Fault> {
        let mut sheet = self.edit(text, edits, beside)?;
        let (whole, mut left_out) = (sheet.graph.is_some(), Vec::new());
        // What reads a node that is left out is wrong after that: there are at most as many rounds as nodes stand in a row.
        for _ in 0..LEFT_OUT_ROUNDS {
            if sheet.graph.is_some() {
                break;
            }
            let found = with_errors(&sheet);
            let mut without: Vec<Edit> = found.iter().map(|node| Edit::Remove { node: node.clone() }).collect();
            // What the workflow gives back is read by none of its steps.
            if let Some(path) = sheet.document.get("outputs").and_then(|_| serde_json::from_value("/outputs".into()).ok()) {
                without.push(Edit::Unset { path });
            }
            if without.is_empty() {
                break;
            }
            left_out.extend(found);
            // What cannot be taken out of the text stays, and with it the error.
            let Ok(rest) = self.edit(&sheet.text, &without, beside) else { break };
            sheet = rest;
        }
        Ok((sheet, whole, left_out))
    }

    fn wired(&self, rules: &Rules, fleet: &Fleet, graph: &Graph) -> (Table, Result<Vec<Certified>, Vec<Refused>>) {
        let now = crate::clock::wall();
        let table = labels::pass(graph, &labels::declared(graph), &may_lower(rules, now));
        let flow = flow(graph, project_of(&graph.workflow), &table);
        let certified = rules.certify(&flow, &DOMAINS, fleet, &mut self.governance().cache());
        (table, certified.map(|certificate| certificate.steps))
    }
}

/// The nodes that an error lies in.
fn with_errors(sheet: &Sheet) -> Vec<String> {
    let (trees, _) = workflow::source::parse(&sheet.text);
    let Some(Data::Map(nodes)) = trees.first().and_then(|tree| tree.get("nodes")).map(|nodes| &nodes.data) else {
        return Vec::new();
    };
    let wrong = |from: usize, to: usize| {
        let errors = sheet.findings.iter().filter(|finding| finding.severity == Severity::Error);
        errors.into_iter().any(|finding| finding.span.start < to && from <= finding.span.start)
    };
    let of_it = |(key, node): &&(Key, Tree)| wrong(key.span.start, node.span.end.max(key.span.end));
    nodes.iter().filter(of_it).map(|(key, _)| key.text.clone()).collect()
}

/// What a node gives, field by field.
fn gives(graph: &Graph, table: &Table, id: &str) -> Vec<(Option<String>, Label)> {
    let Some(step) = table.steps.iter().find(|step| step.path == id) else { return Vec::new() };
    let declared =
        graph.nodes.iter().filter(|node| node.id == id).flat_map(|node| node.outputs.iter().map(|port| port.name.clone()));
    let fields: BTreeSet<String> = declared.chain(step.output.fields.keys().cloned()).collect();
    let whole = std::iter::once((None, step.output.of(None)));
    whole.chain(fields.into_iter().map(|field| (Some(field.clone()), step.output.of(Some(&field))))).collect()
}

impl Look<'_> {
    fn try_wires(&self, wiring: &mut Wiring) -> Result<(), Fault> {
        if !self.rules.governed() {
            return Ok(());
        }
        let before: BTreeMap<&str, &Refused> = wiring.refused.iter().map(|refused| (refused.path.as_str(), refused)).collect();
        // What carries the same is decided in the same way.
        let mut kinds: BTreeMap<&Label, Vec<&Option<String>>> = BTreeMap::new();
        for (field, label) in wiring.gives.iter().filter(|(_, label)| !label.is_empty()) {
            kinds.entry(label).or_default().push(field);
        }
        let (above, mut tried) = (self.above(), 0);
        let mut tries = self.graph.clone();
        let mut forbidden = Vec::new();
        for (to, node) in self.graph.nodes.iter().enumerate() {
            if above.contains(&(to as NodeIx)) {
                continue;
            }
            let known = self.table.steps.iter().find(|step| step.path == node.id).map(|step| &step.label);
            for (label, fields) in &kinds {
                let Some(first) = fields.first() else { continue };
                if known.is_some_and(|known| label.0.is_subset(&known.0)) {
                    continue;
                }
                tried += 1;
                if tried > WIRES_TRIED_MAX {
                    break;
                }
                let added = labels::add_wire(&mut tries, self.from, first.as_deref(), to as NodeIx);
                let verdict = if added { self.control.wired(self.rules, self.fleet, &tries).1 } else { Ok(Vec::new()) };
                if let Some(slot) = tries.nodes.get_mut(to) {
                    slot.clone_from(node);
                }
                let Err(refused) = verdict else { continue };
                let new = |refused: &Refused| before.get(refused.path.as_str()).is_none_or(|was| was.label != refused.label);
                let Some(refused) = refused.into_iter().find(new) else { continue };
                let allowed_at = self.allowed_at(&refused.path, &refused.label);
                let remedies = self.remedies(label, &refused)?;
                for field in fields {
                    let (field, to) = ((*field).clone(), node.id.clone());
                    let (refused, allowed_at, remedies) = (refused.clone(), allowed_at.clone(), remedies.clone());
                    forbidden.push(Forbidden { field, to, refused, allowed_at, remedies });
                }
            }
        }
        wiring.forbidden = forbidden;
        Ok(())
    }

    /// The node itself and all that it waits for: a wire to one of these would go in a circle.
    fn above(&self) -> BTreeSet<NodeIx> {
        let (mut found, mut todo) = (BTreeSet::new(), vec![self.from]);
        while let Some(index) = todo.pop() {
            if found.insert(index)
                && let Some(node) = self.graph.nodes.get(index as usize)
            {
                todo.extend(node.refs.iter().chain(&node.after).chain(&node.chosen_by));
            }
        }
        found
    }

    fn work(&self, path: &str) -> Option<Work> {
        let step = self.table.steps.iter().find(|step| step.path == path)?;
        Some(Work {
            project: self.project.to_owned(),
            workflow: self.graph.workflow.clone(),
            domain: DOMAINS.first().copied().unwrap_or_default().to_owned(),
            work: step.work.clone()?,
        })
    }

    /// Where the rules let a step read this, whatever it asks of its site.
    fn allowed_at(&self, path: &str, label: &Label) -> Vec<String> {
        let Some(work) = self.work(path) else { return Vec::new() };
        let places = self.rules.places(&work, label, self.fleet);
        places.into_iter().filter(|(_, verdict)| verdict.allowed).map(|(site, _)| site).collect()
    }

    /// Approved sanitizers that take enough off what is read, so that the step that is refused has a place.
    fn remedies(&self, label: &Label, refused: &Refused) -> Result<Vec<Remedy>, Fault> {
        let now = crate::clock::wall();
        let Some(step) = self.table.steps.iter().find(|step| step.path == refused.path) else { return Ok(Vec::new()) };
        let mut remedies = Vec::new();
        for sanitizer in self.rules.sanitizers().values() {
            let wanted: BTreeMap<String, String> = sanitizer
                .strips
                .iter()
                .filter(|(tag, _)| label.0.contains(*tag))
                .map(|(tag, to)| (tag.clone(), to.clone()))
                .collect();
            let lowering = self.rules.lowering(Some(&sanitizer.identity), &wanted, now);
            let (false, Ok(lowering)) = (wanted.is_empty(), lowering) else { continue };
            let given = lowering.of(label);
            let mut reads = step.label.clone();
            reads.join(&given);
            let fits = |site: &String| {
                let attributes = self.sites.get(site);
                step.site.iter().all(|(name, wanted)| attributes.and_then(|all| all.get(name)) == Some(wanted))
            };
            if self.allowed_at(&refused.path, &reads).iter().any(fits) {
                remedies.extend(self.ways(sanitizer, &given)?);
            }
        }
        Ok(remedies)
    }

    /// How a sanitizer comes between: by a node that is there, or by one more.
    fn ways(&self, sanitizer: &SanitizerSpec, given: &Label) -> Result<Vec<Remedy>, Fault> {
        let remedy =
            Remedy { sanitizer: sanitizer.name.clone(), label: given.clone(), existing: None, insert: None, field: None };
        let is_it = |node: &&Node| node.identity() == Some(sanitizer.identity) && !node.lowers.is_empty();
        let mut ways = Vec::new();
        for node in self.graph.nodes.iter().filter(is_it).filter(|node| node.refs.contains(&self.from)) {
            ways.push(Remedy { existing: Some(node.id.clone()), field: first_artifact(node), ..remedy.clone() });
        }
        let here = self.graph.nodes.iter().find(is_it).map(|node| (node.clone(), self.document.clone()));
        let pattern = match here {
            Some(found) => Some(found),
            None => self.control.a_node_that_is(sanitizer)?,
        };
        let insert = match pattern {
            Some((node, document)) => between(&document, &node).map(|value| (value, first_artifact(&node))),
            None => None,
        };
        if let Some((insert, field)) = insert {
            ways.push(Remedy { insert: Some(insert), field, ..remedy });
        }
        Ok(ways)
    }
}

impl ControlPlane {
    /// A node of a registered workflow that is exactly a sanitizer, with the document that it stands in.
    fn a_node_that_is(&self, sanitizer: &SanitizerSpec) -> Result<Option<(Node, Value)>, Fault> {
        for row in self.reader().resources("workflow", None, None).map_err(Fault::internal)? {
            let Some(graph) =
                row.body.get("definition").and_then(|graph| serde_json::from_value::<Arc<Graph>>(graph.clone()).ok())
            else {
                continue;
            };
            let Some(node) = graph.nodes.iter().find(|node| node.identity() == Some(sanitizer.identity)) else { continue };
            let Some(text) = row.body.get("source").and_then(Value::as_str) else { continue };
            if let Some(tree) = workflow::source::parse(text).0.first() {
                return Ok(Some((node.clone(), tree.to_value())));
            }
        }
        Ok(None)
    }
}

/// The field of an output that holds a file or a table: what a sanitizer gives. The first one of any type otherwise.
fn first_artifact(node: &Node) -> Option<String> {
    let is_file = |schema: &Value| {
        schema.get("type").and_then(Value::as_str).is_some_and(|kind| workflow::types::ARTIFACT_TYPES.contains(&kind))
    };
    let file = node.outputs.iter().find(|port| is_file(&port.schema));
    file.or(node.outputs.first()).map(|port| port.name.clone())
}

/// Where a node to be put in between reads what is wired to it.
pub const WIRED: &str = "${ wired }";

/// A node as it is written, with its one input to be wired anew. None when it reads several nodes: which of them is meant is not known.
fn between(document: &Value, node: &Node) -> Option<Value> {
    if !matches!(node.kind, NodeKind::Run { .. } | NodeKind::Use { .. } | NodeKind::Task { .. }) {
        return None;
    }
    let mut value = document.get("nodes")?.get(&node.id)?.clone();
    let fields = value.as_object_mut()?;
    for other in ["after", "if", "undo"] {
        fields.shift_remove(other);
    }
    let given = fields.get_mut("with")?.as_object_mut()?;
    let reads = |value: &Value| value.to_string().contains("nodes.") || value.to_string().contains("inputs.");
    let mut reading: Vec<&mut Value> = given.values_mut().filter(|value| reads(value)).collect();
    match (reading.len(), reading.pop()) {
        (1, Some(input)) => *input = Value::String(WIRED.into()),
        _ => return None,
    }
    Some(value)
}
