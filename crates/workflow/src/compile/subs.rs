//! Sub-workflows: files beside this one, each compiled once, and how deep workflows may call each other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use model::limits::SUBWORKFLOW_DEPTH_MAX;
use model::{Graph, NodeKind};

use crate::source::{Tree, decode, parse};
use crate::{Diagnostic, Severity};

use super::Compiler;

/// What is known of a file.
#[derive(Clone)]
enum Sub {
    /// It is being compiled: whoever needs it now is called by it.
    Open,
    /// It was compiled, or why not.
    Done(Result<Arc<Graph>, String>),
}

/// The files that were read so far.
#[derive(Default)]
pub(crate) struct Subs {
    /// Those of sub-workflows.
    workflows: RefCell<BTreeMap<String, Sub>>,
    /// Those of types, as trees, or why not.
    types: RefCell<BTreeMap<String, Result<Rc<Tree>, String>>>,
}

impl Compiler<'_> {
    /// A sub-workflow from a file beside this one. What is wrong with it is said here, in one finding.
    pub(crate) fn sub_file(&self, path: &str, tree: &Tree) -> Option<Arc<Graph>> {
        let bytes = self.file(path, tree)?;
        let path = path.strip_prefix("./").unwrap_or(path);
        let known = self.subs.workflows.borrow().get(path).cloned();
        let found = match known {
            Some(Sub::Done(found)) => found,
            Some(Sub::Open) => Err("it calls itself, by way of this file".to_owned()),
            None => {
                let open = self.subs.workflows.borrow().values().filter(|sub| matches!(sub, Sub::Open)).count();
                if open >= SUBWORKFLOW_DEPTH_MAX {
                    Err(format!("files call each other deeper than {SUBWORKFLOW_DEPTH_MAX}"))
                } else {
                    self.subs.workflows.borrow_mut().insert(path.to_owned(), Sub::Open);
                    let found = self.compile_file(&bytes);
                    self.subs.workflows.borrow_mut().insert(path.to_owned(), Sub::Done(found.clone()));
                    found
                }
            }
        };
        match found {
            Ok(graph) => Some(graph),
            Err(why) => {
                let finding = Diagnostic::error("W0204", tree.span.clone(), format!("`{path}` is not accepted: {why}"));
                self.findings.push(finding.hint(format!("`tutti check {path}` says more")));
                None
            }
        }
    }

    /// A file with a type, from beside this one; why not, when it cannot be read.
    pub(crate) fn type_file(&self, path: &str) -> Result<Rc<Tree>, String> {
        if let Some(known) = self.subs.types.borrow().get(path) {
            return known.clone();
        }
        let read = || {
            let bytes = self.files.read(path).ok_or("there is no such file beside the workflow")?;
            let text = decode(&bytes).map_err(|finding| finding.message)?;
            let (mut trees, problems) = parse(text);
            match (trees.len(), problems.into_iter().next()) {
                (_, Some(problem)) => Err(problem.message),
                (1, None) => trees.pop().map(Rc::new).ok_or_else(String::new),
                (count, None) => Err(format!("it has {count} documents")),
            }
        };
        let found = read();
        self.subs.types.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }

    fn compile_file(&self, bytes: &[u8]) -> Result<Arc<Graph>, String> {
        let text = decode(bytes).map_err(|finding| finding.message)?;
        let (trees, findings) = parse(text);
        if let Some(finding) = findings.first() {
            return Err(finding.message.clone());
        }
        let [document] = trees.as_slice() else { return Err(format!("it has {} documents", trees.len())) };
        let compiled = super::compile_within(document, text, self.files, self.catalogue, self.subs);
        let first = compiled.diagnostics.iter().find(|finding| finding.severity == Severity::Error);
        compiled.graph.ok_or_else(|| first.map_or("it has errors".to_owned(), |finding| finding.message.clone()))
    }

    /// Refuses workflows that call each other too deeply.
    pub(crate) fn check_depth(&self, graph: &Graph, tree: &Tree) {
        if depth(graph, 0) >= SUBWORKFLOW_DEPTH_MAX {
            let message = format!("sub-workflows call each other deeper than {SUBWORKFLOW_DEPTH_MAX}");
            self.findings.error("W0204", &tree.span, message);
        }
    }
}

/// Levels of sub-workflows below a workflow.
fn depth(graph: &Graph, above: usize) -> usize {
    if above > SUBWORKFLOW_DEPTH_MAX {
        return above;
    }
    let below = |kind: &NodeKind| match kind {
        NodeKind::Workflow { graph } => 1 + depth(graph, above + 1),
        NodeKind::Each { body, .. } => match &body.kind {
            NodeKind::Workflow { graph } => 1 + depth(graph, above + 1),
            _ => 0,
        },
        _ => 0,
    };
    graph.nodes.iter().map(|node| below(&node.kind)).max().unwrap_or(0)
}
