//! Editing the text of a workflow: the language makes every edit and every check, so that whoever draws, fills in or types gets the same
//! answers. Nothing is stored here; saving is applying.

use std::collections::BTreeMap;
use std::sync::Arc;

use artifacts::Store;
use model::{Digest, Graph};
use serde_json::Value;
use workflow::Diagnostic;
use workflow::documents::ConnectorSpec;
use workflow::edit::{Edit, Notice};

use crate::catalogue::Registered;
use crate::{ControlPlane, Fault, FaultKind};

/// A text after edits: what is wrong with it and what it says.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Sheet {
    /// The text.
    pub text: String,
    /// What to know about the edits.
    pub notices: Vec<Notice>,
    /// Errors and warnings.
    pub findings: Vec<Diagnostic>,
    /// The document as plain data, also while it has errors; null when it is no YAML.
    pub document: Value,
    /// The checked graph, when there are no errors.
    pub graph: Option<Arc<Graph>>,
    /// The comment above each node.
    pub notes: BTreeMap<String, String>,
}

/// The files that a text may refer to.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Those that were applied with this registered workflow.
    pub workflow: Option<String>,
    /// Those sent with the text, by path: they go before.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

/// Files that were applied with a workflow, out of the store of code, and files that were sent.
struct Companions<'s> {
    sent: &'s BTreeMap<String, Arc<[u8]>>,
    digests: BTreeMap<String, Digest>,
    store: Store,
}

impl workflow::Files for Companions<'_> {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        if let Some(sent) = self.sent.get(path) {
            return Some(sent.clone());
        }
        let mut file = self.store.open(self.digests.get(path)?).ok()?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).ok()?;
        Some(bytes.into())
    }

    fn paths(&self) -> Vec<String> {
        self.sent.keys().chain(self.digests.keys().filter(|path| !self.sent.contains_key(*path))).cloned().collect()
    }
}

impl ControlPlane {
    /// Makes edits on a text and reads the result. Blocks: call it where that is allowed.
    pub fn edit(&self, text: &str, edits: &[Edit], beside: &Beside) -> Result<Sheet, Fault> {
        let edited = workflow::edit::apply(text, edits).map_err(|error| {
            let mut fault = Fault::new(FaultKind::InvalidWorkflow, error.message.clone());
            fault.hint = error.hint.clone();
            fault.diagnostics = serde_json::to_value(&error).ok();
            fault
        })?;
        let compiled = workflow::compile(&edited.text, &self.beside(beside)?, &Registered::new(self.reader()));
        let (trees, _) = workflow::source::parse(&edited.text);
        Ok(Sheet {
            notices: edited.notices,
            findings: compiled.diagnostics,
            document: trees.first().map(workflow::source::Tree::to_value).unwrap_or_default(),
            graph: compiled.graph,
            notes: workflow::edit::notes(&edited.text),
            text: edited.text,
        })
    }

    /// What expressions of a text see, with their types; with `within`, those in what an `each` does. Blocks: call it where that is allowed.
    pub fn scope(&self, text: &str, beside: &Beside, within: Option<&str>) -> Result<workflow::check::Environment, Fault> {
        Ok(workflow::scope(text, &self.beside(beside)?, &Registered::new(self.reader()), within))
    }

    /// The files that were applied with a workflow, whole, by their path from its folder.
    pub fn files_beside(&self, workflow: &str) -> Result<BTreeMap<String, Arc<[u8]>>, Fault> {
        let beside = Beside { workflow: Some(workflow.to_owned()), ..Beside::default() };
        let files = self.beside(&beside)?;
        let missing = |path: &str| Fault::internal(format!("the file `{path}` of `{workflow}` is missing"));
        let read = |path: &String| Ok((path.clone(), workflow::Files::read(&files, path).ok_or_else(|| missing(path))?));
        files.digests.keys().map(read).collect()
    }

    fn beside<'s>(&self, beside: &'s Beside) -> Result<Companions<'s>, Fault> {
        let digests = self.companions(beside.workflow.as_deref())?;
        Ok(Companions { sent: &beside.files, digests, store: self.sites().code().clone() })
    }

    fn companions(&self, workflow: Option<&str>) -> Result<BTreeMap<String, Digest>, Fault> {
        let Some(name) = workflow else { return Ok(BTreeMap::new()) };
        let row = self.reader().resources("workflow", Some(name), None).map_err(Fault::internal)?.pop();
        let row = row.ok_or_else(|| Fault::not_found("workflow", name))?;
        // What was applied before files were kept has none.
        let files = row.body.get("files").cloned().unwrap_or_default();
        Ok(serde_json::from_value(files).unwrap_or_default())
    }
}

impl ControlPlane {
    /// Every connector that a workflow can use: those built in, then those applied.
    pub fn all_connectors(&self) -> Result<Vec<ConnectorSpec>, Fault> {
        let built_in = connectors::built_in().iter().map(|manifest| ConnectorSpec {
            name: manifest.name.to_owned(),
            version: manifest.version,
            description: manifest.description.to_owned(),
            inputs: manifest.inputs.clone(),
            outputs: manifest.outputs.clone(),
        });
        let rows = self.reader().resources("connector", None, None).map_err(Fault::internal)?;
        let applied = rows.into_iter().filter_map(|row| serde_json::from_value(row.body).ok());
        Ok(built_in.chain(applied).collect())
    }
}
