//! Other forms of the account, made from its entries: OCSF for collectors of security events, OpenLineage for catalogues, in-toto statements with
//! SLSA provenance for what was produced. Each says which entry it is from, so that it can be proved.

mod ocsf;

use std::collections::{BTreeMap, BTreeSet};

use api::rest::rfc3339;
use engine::Event;
use engine::event::{Located, Role, RunLabelled};
use model::{ActionNo, Digest, Graph, Label, Phase, RunId, Timestamp};
use serde_json::{Value, json};

/// A form of the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// The entries as they are hashed: what `tutti audit verify` and `tutti-verify` check.
    #[default]
    Entries,
    /// OCSF, class API Activity (6003): what people and programs asked for, and how runs ended.
    Ocsf,
    /// OpenLineage run events, with the label and the entry as facets.
    Openlineage,
    /// in-toto statements with SLSA provenance, one for each attempt that produced artifacts.
    InToto,
}

/// What is known of a run.
#[derive(Default)]
struct Run {
    name: String,
    project: String,
    workflow: String,
    graph: Digest,
    /// The nodes that each node refers to, by their ids; empty where the graph is not at hand.
    refers: Refers,
    /// What its inputs carry, and what any of its steps could read.
    label: (Label, Label),
    inputs: Vec<Located>,
    outputs: Vec<Located>,
    actions: BTreeMap<ActionNo, Action>,
}

#[derive(Default)]
struct Action {
    path: String,
    site: String,
    placed_at: Timestamp,
    /// Artifacts that were brought for it.
    brought: Vec<Digest>,
    /// Artifacts that it gave.
    gave: Vec<Digest>,
}

/// What inputs carry, and what any step could read.
pub(super) fn labels_of(labelled: &RunLabelled) -> (Label, Label) {
    let mut inputs = Label::empty();
    labelled.inputs.values().for_each(|label| inputs.join(label));
    let mut read = inputs.clone();
    labelled.reads.values().for_each(|label| read.join(label));
    (inputs, read)
}

/// The node at the top of a run to which a path belongs: `score` of `score[3]`, `sub` of `sub/clean`.
fn node_of(path: &str) -> &str {
    path.split(['/', '[', '!', '<']).next().unwrap_or_default()
}

/// Makes another form of entries that are taken in order.
pub(super) struct Translator {
    kind: Kind,
    origin: String,
    runs: BTreeMap<RunId, Run>,
    /// Runs of which the beginning is not told yet: what they carry is said by the next entry.
    begins: BTreeMap<RunId, Place>,
    /// Which nodes refer to which, of the graphs so far: each stands beside the first run that has it.
    graphs: BTreeMap<Digest, Refers>,
}

/// The nodes that each node refers to, by their ids.
type Refers = BTreeMap<String, BTreeSet<String>>;

fn refers(graph: &Graph) -> Refers {
    let id = |index: &u32| graph.nodes.get(*index as usize).map(|node| node.id.clone());
    graph.nodes.iter().map(|node| (node.id.clone(), node.refs.iter().filter_map(id).collect())).collect()
}

/// Where an entry stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) run: RunId,
    pub(super) at: Timestamp,
}

impl Translator {
    pub(super) fn new(kind: Kind, origin: &str) -> Translator {
        Translator { kind, origin: origin.to_owned(), runs: BTreeMap::new(), begins: BTreeMap::new(), graphs: BTreeMap::new() }
    }

    /// What an entry is in the other form, with the number of the entry that is told of; nothing for most. `document` is what stands beside it.
    pub(super) fn take(&mut self, place: Place, event: &Event, document: Option<&Value>) -> Vec<(u64, Value)> {
        self.note(place, event, document);
        let mut made = Vec::new();
        let mut tell = |place: Place, told: Option<Value>| made.extend(told.map(|told| (place.seq, told)));
        match self.kind {
            Kind::Entries => {}
            Kind::Ocsf => tell(place, self.ocsf(place, event)),
            Kind::Openlineage => {
                if let Event::RunSubmitted(_) = event {
                    self.begins.insert(place.run, place);
                } else if let Some(begin) = self.begins.remove(&place.run) {
                    tell(begin, self.openlineage(begin, "START"));
                }
                if let Event::RunFinished(e) = event {
                    tell(place, self.openlineage(place, ended(e.phase)));
                }
            }
            Kind::InToto => tell(place, self.in_toto(place, event)),
        }
        if let Event::RunFinished(_) = event {
            self.runs.remove(&place.run);
        }
        made
    }

    /// What is left to tell when there are no more entries.
    pub(super) fn finish(self) -> Vec<(u64, Value)> {
        self.begins.values().filter_map(|begin| Some((begin.seq, self.openlineage(*begin, "START")?))).collect()
    }

    fn note(&mut self, place: Place, event: &Event, document: Option<&Value>) {
        if let Event::RunSubmitted(e) = event {
            let graph = document.and_then(|document| serde_json::from_value::<Graph>(document.clone()).ok());
            if let Some(graph) = graph {
                self.graphs.insert(e.graph, refers(&graph));
            }
            let run = Run {
                name: e.name.clone(),
                project: e.project.clone(),
                workflow: e.workflow.clone(),
                graph: e.graph,
                refers: self.graphs.get(&e.graph).cloned().unwrap_or_default(),
                inputs: e.locations.clone(),
                ..Run::default()
            };
            self.runs.insert(place.run, run);
            return;
        }
        let Some(run) = self.runs.get_mut(&place.run) else { return };
        match event {
            Event::ActionsOpened(e) => {
                for opened in &e.actions {
                    run.actions.insert(opened.action, Action { path: opened.path.clone(), ..Action::default() });
                    if let Role::Transfer { wanted_by, artifact, .. } = &opened.role
                        && let Some(action) = run.actions.get_mut(wanted_by)
                    {
                        action.brought.push(*artifact);
                    }
                }
            }
            Event::ActionsPlaced(e) => {
                for placed in &e.actions {
                    let action = run.actions.entry(placed.action).or_default();
                    (action.site, action.placed_at) = (e.site.clone(), place.at);
                }
            }
            Event::RunLabelled(e) => run.label = labels_of(e),
            Event::AttemptFinished(e) if e.phase == Phase::Succeeded => {
                let gave = run.actions.entry(e.action).or_default();
                gave.gave = e.locations.iter().map(|located| located.artifact).collect();
                for located in &e.locations {
                    if run.outputs.iter().all(|known| known.artifact != located.artifact) {
                        run.outputs.push(located.clone());
                    }
                }
            }
            _ => {}
        }
    }

    fn name(&self, run: RunId) -> String {
        self.runs.get(&run).map_or_else(|| format!("run {run}"), |run| run.name.clone())
    }

    fn path(&self, run: RunId, action: ActionNo) -> String {
        let known = self.runs.get(&run).and_then(|run| run.actions.get(&action));
        known.map_or_else(|| format!("{action:?}"), |action| action.path.clone())
    }

    fn openlineage(&self, place: Place, kind: &str) -> Option<Value> {
        let run = self.runs.get(&place.run)?;
        let facet = |fields: Value| {
            let mut facet = json!({"_producer": PRODUCER, "_schemaURL": format!("{PRODUCER}/facets")});
            if let (Some(facet), Value::Object(fields)) = (facet.as_object_mut(), fields) {
                facet.extend(fields);
            }
            facet
        };
        let set = |artifacts: &[Located]| -> Vec<Value> {
            artifacts.iter().map(|found| json!({"namespace": format!("{}/sites/{}", self.origin, found.site), "name": found.artifact.to_string()})).collect()
        };
        Some(json!({
            "eventType": kind,
            "eventTime": rfc3339(place.at),
            "producer": PRODUCER,
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": uuid_of(&self.origin, place.run), "facets": {
                "tutti_label": facet(json!({"tags": run.label.0, "readable": run.label.1})),
                "tutti_entry": facet(json!({"log": self.origin, "seq": place.seq, "run": run.name})),
            }},
            "job": {"namespace": format!("{}/{}", self.origin, run.project), "name": run.workflow},
            "inputs": set(&run.inputs),
            "outputs": set(&run.outputs),
        }))
    }

    fn in_toto(&self, place: Place, event: &Event) -> Option<Value> {
        let Event::AttemptFinished(e) = event else { return None };
        if e.phase != Phase::Succeeded || e.locations.is_empty() {
            return None;
        }
        let run = self.runs.get(&place.run)?;
        let action = run.actions.get(&e.action)?;
        let subjects: Vec<Value> = e
            .locations
            .iter()
            .map(|made| json!({"name": format!("{}/{}", run.name, action.path), "digest": {"sha256": made.artifact.hex()}}))
            .collect();
        let mut materials = vec![json!({"name": "graph", "digest": {"sha256": run.graph.hex()}})];
        let named = |(artifact, from): (Digest, String)| json!({"name": from, "digest": {"sha256": artifact.hex()}});
        materials.extend(run.could_read(e.action).into_iter().map(named));
        Some(json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": format!("{PRODUCER}/workflow/v1"),
                    "externalParameters": {"workflow": run.workflow, "run": run.name, "action": action.path},
                    "internalParameters": {"dependencies": MATERIALS},
                    "resolvedDependencies": materials,
                },
                "runDetails": {
                    "builder": {"id": format!("{}/sites/{}", self.origin, action.site)},
                    "metadata": {
                        "invocationId": format!("tutti-{}-{}-{}", place.run, e.action, e.attempt),
                        "startedOn": rfc3339(action.placed_at),
                        "finishedOn": rfc3339(place.at),
                    },
                    "byproducts": [{"name": "audit entry", "annotations": {"log": self.origin, "seq": place.seq}}],
                },
            },
        }))
    }
}

impl Run {
    /// What an action could read: the inputs of the run, what the steps gave that it refers to and those of its own node before it, and what was
    /// brought to its site, with where each is from.
    fn could_read(&self, action: ActionNo) -> BTreeMap<Digest, String> {
        let mut found: BTreeMap<Digest, String> =
            self.inputs.iter().map(|input| (input.artifact, "input of the run".into())).collect();
        let Some(own) = self.actions.get(&action) else { return found };
        let node = node_of(&own.path);
        let refers = self.refers.get(node);
        for (number, other) in self.actions.iter().filter(|(_, other)| !other.gave.is_empty()) {
            let of = node_of(&other.path);
            // Of a node with actions of its own the graph at hand does not say which of them read which.
            let within = of == node && *number < action && other.path.contains('/');
            if within || refers.is_some_and(|refers| refers.contains(of)) {
                found.extend(other.gave.iter().map(|artifact| (*artifact, format!("output of {}", other.path))));
            }
        }
        for artifact in &own.brought {
            found.entry(*artifact).or_insert_with(|| "brought to the site".into());
        }
        found
    }
}

/// What a statement says of its dependencies.
const MATERIALS: &str = "what the step could read: inputs of the run, outputs of the steps that it refers to, and what was brought to its site; it may have \
                         read less, and what a process of its own accord fetched from elsewhere is not among them";

/// How a run ended, in the words of OpenLineage.
fn ended(phase: Phase) -> &'static str {
    match phase {
        Phase::Succeeded => "COMPLETE",
        Phase::Aborted => "ABORT",
        _ => "FAIL",
    }
}

/// Who makes these documents.
const PRODUCER: &str = "urn:tutti";

/// The run as a UUID, which is what OpenLineage wants: version 8, of the hash of the log's name and the run's number.
fn uuid_of(origin: &str, run: RunId) -> String {
    let mut bytes = Digest::of(format!("{origin}/runs/{run}").as_bytes()).0;
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = Digest(bytes).hex();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}
