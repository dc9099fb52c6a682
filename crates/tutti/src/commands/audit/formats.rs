//! Other forms of the account, made from its entries: OCSF for collectors of security events, OpenLineage for catalogues, in-toto statements with
//! SLSA provenance for what was produced. Each says which entry it is from, so that it can be proved.

use std::collections::BTreeMap;

use api::rest::rfc3339;
use engine::Event;
use engine::event::{Located, Role};
use model::{ActionNo, Digest, Phase, RunId, Timestamp};
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
    label: Vec<String>,
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
}

/// Makes another form of entries that are taken in order.
pub(super) struct Translator {
    kind: Kind,
    origin: String,
    runs: BTreeMap<RunId, Run>,
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
        Translator { kind, origin: origin.to_owned(), runs: BTreeMap::new() }
    }

    /// What an entry is in the other form; nothing for most.
    pub(super) fn take(&mut self, place: Place, event: &Event) -> Option<Value> {
        self.note(place, event);
        let made = match self.kind {
            Kind::Entries => None,
            Kind::Ocsf => self.ocsf(place, event),
            Kind::Openlineage => self.openlineage(place, event),
            Kind::InToto => self.in_toto(place, event),
        };
        if let Event::RunFinished(_) = event {
            self.runs.remove(&place.run);
        }
        made
    }

    fn note(&mut self, place: Place, event: &Event) {
        if let Event::RunSubmitted(e) = event {
            let run = Run {
                name: e.name.clone(),
                project: e.project.clone(),
                workflow: e.workflow.clone(),
                graph: e.graph,
                label: e.label.0.iter().cloned().collect(),
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
            Event::AttemptFinished(e) if e.phase == Phase::Succeeded => {
                for located in &e.locations {
                    if run.outputs.iter().all(|known| known.artifact != located.artifact) {
                        run.outputs.push(located.clone());
                    }
                }
            }
            _ => {}
        }
    }

    fn ocsf(&self, place: Place, event: &Event) -> Option<Value> {
        // The operation, who asked for it, on what, and whether it went well.
        let (operation, who, what, activity, well) = match event {
            Event::RunSubmitted(e) => ("run.submit", e.principal.as_str(), e.name.clone(), 1, true),
            Event::RunCancelRequested(e) => ("run.cancel", e.principal.as_str(), self.name(place.run), 3, true),
            Event::RunPaused(e) => ("run.pause", e.principal.as_str(), self.name(place.run), 3, true),
            Event::RunResumed(e) => ("run.resume", e.principal.as_str(), self.name(place.run), 3, true),
            Event::SignalReceived(e) => ("run.signal", e.principal.as_str(), self.name(place.run), 3, true),
            Event::HumanDecided(e) => {
                let what = format!("{}/{}", self.name(place.run), self.path(place.run, e.action));
                ("action.decide", e.principal.as_str(), what, 3, e.decision != "reject")
            }
            Event::RunFinished(e) => ("run.finish", "system", self.name(place.run), 99, e.phase == Phase::Succeeded),
            Event::SiteRegistered(e) => ("site.register", e.principal.as_str(), e.site.name.clone(), 1, true),
            Event::SiteRemoved(e) => ("site.remove", e.principal.as_str(), e.site.clone(), 4, true),
            Event::SiteCordoned(e) => ("site.cordon", e.principal.as_str(), e.site.clone(), 3, true),
            Event::SiteUncordoned(e) => ("site.uncordon", e.principal.as_str(), e.site.clone(), 3, true),
            Event::SiteDrained(e) => ("site.drain", e.principal.as_str(), e.site.clone(), 3, true),
            Event::ResourceApplied(e) => {
                ("resource.apply", e.principal.as_str(), format!("{}/{}@{}", e.kind, e.name, e.version), 1, true)
            }
            Event::ResourceDeleted(e) => ("resource.delete", e.principal.as_str(), format!("{}/{}", e.kind, e.name), 4, true),
            Event::BodiesPruned(e) => ("values.prune", e.principal.as_str(), format!("{} runs", e.runs), 4, true),
            Event::DataErased(e) => ("data.erase", e.principal.as_str(), format!("{} runs", e.runs.len()), 4, true),
            Event::SecretsReleased(e) => {
                let names: Vec<String> = e.secrets.iter().map(|(name, version)| format!("{name}@{version}")).collect();
                ("secrets.release", "system", format!("{} for {}", names.join(", "), self.name(place.run)), 99, true)
            }
            Event::NetworkUsed(e) => {
                let ways: Vec<String> = e.ways.iter().map(|(way, used)| format!("{way} ({} bytes out)", used.sent)).collect();
                let what = format!("{} from {}, {} refused", ways.join(", "), e.site, e.refused);
                ("network.use", "system", format!("{what}, for {}", self.name(place.run)), 99, e.refused == 0)
            }
            _ => return None,
        };
        Some(json!({
            "metadata": {"version": "1.5.0", "product": {"name": "Tutti", "vendor_name": "Tutti"}, "uid": place.seq.to_string(), "log_name": self.origin},
            "category_uid": 6, "class_uid": 6003, "activity_id": activity, "type_uid": 600_300 + activity,
            "time": place.at.as_millis(), "severity_id": 1, "status_id": if well { 1 } else { 2 },
            "actor": {"user": {"name": who}},
            "api": {"operation": operation},
            "resources": [{"name": what}],
            "unmapped": {"run": place.run.0, "seq": place.seq},
        }))
    }

    fn name(&self, run: RunId) -> String {
        self.runs.get(&run).map_or_else(|| format!("run {run}"), |run| run.name.clone())
    }

    fn path(&self, run: RunId, action: ActionNo) -> String {
        let known = self.runs.get(&run).and_then(|run| run.actions.get(&action));
        known.map_or_else(|| format!("{action:?}"), |action| action.path.clone())
    }

    fn openlineage(&self, place: Place, event: &Event) -> Option<Value> {
        let kind = match event {
            Event::RunSubmitted(_) => "START",
            Event::RunFinished(e) => match e.phase {
                Phase::Succeeded => "COMPLETE",
                Phase::Aborted => "ABORT",
                _ => "FAIL",
            },
            _ => return None,
        };
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
                "tutti_label": facet(json!({"tags": run.label})),
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
        let read = run.inputs.iter().map(|input| input.artifact).chain(action.brought.iter().copied());
        materials.extend(read.map(|artifact| json!({"digest": {"sha256": artifact.hex()}})));
        Some(json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": format!("{PRODUCER}/workflow/v1"),
                    "externalParameters": {"workflow": run.workflow, "run": run.name, "action": action.path},
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
