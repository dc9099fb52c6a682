//! L1: the workflow language, from text to a checked graph and back to text.
//!
//! [`compile`] reads a `*.workflow.yaml`, checks it and gives a [`model::Graph`]; [`expression`] evaluates `${ … }`; [`edit`] changes the
//! text without touching a byte that the change does not concern; [`semantic`] hashes and compares meanings; [`documents`] reads the other
//! files that `tutti apply` takes. No I/O: companion files come in through [`Files`], what else is registered through [`Catalogue`].

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod check;
mod compile;
pub mod diagnostic;
pub mod documents;
pub mod edit;
pub mod expression;
mod fields;
pub mod functions;
pub mod labels;
pub mod reads;
pub mod schema;
pub mod semantic;
pub mod source;
mod suggest;
pub mod types;

pub use compile::{Compiled, compile, compile_document, scope};
pub use diagnostic::{Diagnostic, Severity};
pub use schema::schema;
pub use suggest::nearest;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Graph;
use serde_json::Value;

/// Files beside a workflow: `$ref`, `run.files`, sub-workflows by path.
pub trait Files {
    /// The content of a file, by its path relative to the workflow's.
    fn read(&self, path: &str) -> Option<Arc<[u8]>>;

    /// The paths of all files.
    fn paths(&self) -> Vec<String>;
}

impl Files for BTreeMap<String, Arc<[u8]>> {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        self.get(path).cloned()
    }

    fn paths(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// What else is registered.
pub trait Catalogue {
    /// A connector's action.
    fn connector(&self, name: &str, version: u32) -> Option<ConnectorType>;
    /// The names of all connectors, for suggestions.
    fn connectors(&self) -> Vec<String>;
    /// A registered workflow.
    fn workflow(&self, name: &str) -> Option<Arc<Graph>>;
    /// A deployed Flyte task, by its name, with or without `@` and its version.
    fn task(&self, name: &str) -> Option<TaskType>;
    /// Whether tasks that are not found are not there: where there is no server, that cannot be known.
    fn knows_tasks(&self) -> bool {
        false
    }
    /// A price list that was applied, by its provider. The lists that come with the program are known anyway.
    fn prices(&self, _provider: &str) -> Option<documents::PriceList> {
        None
    }
}

/// A catalogue without anything in it.
pub struct Nothing;

impl Catalogue for Nothing {
    fn connector(&self, _name: &str, _version: u32) -> Option<ConnectorType> {
        None
    }

    fn connectors(&self) -> Vec<String> {
        Vec::new()
    }

    fn workflow(&self, _name: &str) -> Option<Arc<Graph>> {
        None
    }

    fn task(&self, _name: &str) -> Option<TaskType> {
        None
    }
}

/// A deployed Flyte task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskType {
    /// Its name, with `@` and its version: what a workflow calls stays the same until it is applied again.
    pub name: String,
    /// What it takes and gives.
    pub types: ConnectorType,
    /// What it needs.
    pub resources: model::Resources,
}

/// The types of a connector's action.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectorType {
    /// JSON Schema of its `with`.
    pub inputs: Value,
    /// JSON Schema of its output.
    pub outputs: Value,
}

/// Whether a text is a name: letters, digits, `-` and `_`, beginning with a letter, at most 63 bytes.
pub fn is_name(text: &str) -> bool {
    text.len() <= model::limits::NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Whether a path stays inside the folder of the workflow.
pub fn is_relative_path(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
