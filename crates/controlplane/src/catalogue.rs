//! What workflows may refer to: built-in connectors, connectors and workflows that were applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use journal::Reader;
use model::{Digest, Graph};
use parking_lot::Mutex;
use serde_json::Value;
use workflow::documents::{ConnectorSpec, PriceList};
use workflow::{Catalogue, ConnectorType, TaskType};

/// Workflows a moment ago.
const LATEST_MAX: usize = 1_024;

/// The graphs of workflows by name and version, for as long as no resource is applied: many runs of one workflow are started.
#[derive(Default)]
pub(crate) struct Latest {
    known: Mutex<(u64, HashMap<(String, Option<u64>), (Arc<Graph>, Digest)>)>,
}

impl Latest {
    /// What was kept under this count of changes of resources.
    pub(crate) fn get(&self, resources: u64, name: &str, version: Option<u64>) -> Option<(Arc<Graph>, Digest)> {
        let known = self.known.lock();
        if known.0 != resources {
            return None;
        }
        known.1.get(&(name.to_owned(), version)).cloned()
    }

    /// Keeps what was read while the count of changes was this one.
    pub(crate) fn keep(&self, resources: u64, name: &str, version: Option<u64>, found: (Arc<Graph>, Digest)) {
        let mut known = self.known.lock();
        if known.0 != resources || known.1.len() >= LATEST_MAX {
            known.1.clear();
            known.0 = resources;
        }
        known.1.insert((name.to_owned(), version), found);
    }
}

/// The catalogue as the journal knows it, and what is applied together with it.
pub(crate) struct Registered<'r> {
    pub(crate) reader: &'r Reader,
    /// Applied in the same request, before what refers to it.
    pub(crate) connectors: BTreeMap<String, ConnectorSpec>,
    pub(crate) workflows: BTreeMap<String, Arc<Graph>>,
    pub(crate) prices: BTreeMap<String, PriceList>,
}

impl<'r> Registered<'r> {
    pub(crate) fn new(reader: &'r Reader) -> Registered<'r> {
        Registered { reader, connectors: BTreeMap::new(), workflows: BTreeMap::new(), prices: BTreeMap::new() }
    }

    fn applied(&self, kind: &str, name: Option<&str>) -> Vec<journal::ResourceRow> {
        // A store that cannot be read is found by the command that follows; here nothing is found.
        self.reader.resources(kind, name, None).unwrap_or_default()
    }
}

/// The graph that a registered workflow's body names.
pub(crate) fn graph_of(reader: &Reader, body: &Value) -> Option<Arc<Graph>> {
    let digest: Digest = body.get("graph")?.as_str()?.parse().ok()?;
    reader.graph(&digest).ok()?
}

impl Catalogue for Registered<'_> {
    fn connector(&self, name: &str, version: u32) -> Option<ConnectorType> {
        if let Some(manifest) = connectors::find(name, version) {
            return Some(ConnectorType { inputs: manifest.inputs.clone(), outputs: manifest.outputs.clone() });
        }
        let found = self.connectors.get(name).cloned();
        let found = found.or_else(|| serde_json::from_value(self.applied("connector", Some(name)).first()?.body.clone()).ok())?;
        (found.version == version).then_some(ConnectorType { inputs: found.inputs, outputs: found.outputs })
    }

    fn connectors(&self) -> Vec<String> {
        let built_in = connectors::built_in().iter().map(|manifest| manifest.name.to_owned());
        let applied = self.applied("connector", None).into_iter().map(|row| row.name);
        built_in.chain(self.connectors.keys().cloned()).chain(applied).collect()
    }

    fn workflow(&self, name: &str) -> Option<Arc<Graph>> {
        if let Some(graph) = self.workflows.get(name) {
            return Some(graph.clone());
        }
        graph_of(self.reader, &self.applied("workflow", Some(name)).first()?.body)
    }

    fn task(&self, name: &str) -> Option<TaskType> {
        let (wanted, version) = name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
        let rows = self.applied(crate::flyte::TASKS, None);
        let text = |row: &journal::ResourceRow, key: &str| row.body.get(key).and_then(Value::as_str).map(str::to_owned);
        let is_it = |row: &&journal::ResourceRow| {
            text(row, "name").as_deref() == Some(wanted) && (version.is_none() || text(row, "version").as_deref() == version)
        };
        let row = rows.iter().filter(is_it).max_by_key(|row| row.at)?;
        let part = |key: &str| row.body.get(key).cloned().unwrap_or_default();
        Some(TaskType {
            name: format!("{wanted}@{}", text(row, "version")?),
            types: ConnectorType { inputs: part("inputs"), outputs: part("outputs") },
            resources: serde_json::from_value(part("resources")).unwrap_or_default(),
        })
    }

    fn knows_tasks(&self) -> bool {
        true
    }

    fn prices(&self, provider: &str) -> Option<PriceList> {
        let applied = || serde_json::from_value(self.applied("prices", Some(provider)).first()?.body.clone()).ok();
        self.prices.get(provider).cloned().or_else(applied)
    }
}
