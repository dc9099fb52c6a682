//! The text under edit: read, changed, and read again after every change.

use std::ops::Range;

use serde_json::Value;

use crate::Severity;
use crate::source::{Data, Key, Style, Tree, parse};

use super::lines::column;
use super::write::Manner;
use super::{Done, Notice, Problem, Splice, problem};

/// New bytes for some bytes of one text.
pub(crate) type Change = (Range<usize>, String);

/// A text under edit.
pub(crate) struct Sheet {
    pub(crate) text: String,
    pub(crate) splices: Vec<Splice>,
    pub(crate) notices: Vec<Notice>,
    trees: Vec<Tree>,
    /// Which of the documents is the workflow.
    document: usize,
}

impl Sheet {
    /// Reads a text that has one workflow, perhaps among other documents.
    pub(crate) fn open(text: &str) -> Result<Sheet, Problem> {
        let trees = read(text)?;
        let is_workflow = |tree: &Tree| matches!(tree.data, Data::Map(_)) && tree.get("kind").is_none();
        let found: Vec<usize> = trees.iter().enumerate().filter(|(_, tree)| is_workflow(tree)).map(|(index, _)| index).collect();
        let [document] = found.as_slice() else {
            let message = format!("the file has {} workflows, and one is edited at a time", found.len());
            return Err(problem("W0501", message).hint("put each into a file of its own"));
        };
        let document = *document;
        Ok(Sheet { text: text.to_owned(), splices: Vec::new(), notices: Vec::new(), trees, document })
    }

    /// The workflow.
    pub(crate) fn root(&self) -> &Tree {
        static NOTHING: Tree = Tree { span: 0..0, style: Style::Plain, data: Data::Scalar(Value::Null) };
        self.trees.get(self.document).unwrap_or(&NOTHING)
    }

    /// The nodes, in the order written.
    pub(crate) fn nodes(&self) -> &[(Key, Tree)] {
        self.root().get("nodes").map_or(&[], fields)
    }

    /// A node.
    pub(crate) fn node(&self, id: &str) -> Option<&(Key, Tree)> {
        self.nodes().iter().find(|(key, _)| key.text == id)
    }

    /// Makes the first of several ways to change the text whose result means what is expected.
    pub(crate) fn change(&mut self, ways: Vec<Vec<Change>>, expected: &Value) -> Done {
        let mut why = None;
        for way in ways {
            match self.attempt(way, expected) {
                Ok(()) => return Ok(()),
                Err(problem) => why = Some(problem),
            }
        }
        Err(why.unwrap_or_else(|| problem("W0504", "this cannot be edited here")))
    }

    fn attempt(&mut self, mut way: Vec<Change>, expected: &Value) -> Done {
        way.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = String::with_capacity(self.text.len() + 64);
        let mut splices = Vec::new();
        let mut at = 0;
        for (range, new) in way {
            let (Some(kept), Some(_)) = (self.text.get(at..range.start), self.text.get(range.clone())) else {
                return Err(problem("W0504", "this cannot be edited here: two changes concern the same bytes"));
            };
            text.push_str(kept);
            splices.push(Splice { range: text.len()..text.len() + range.len(), text: new.clone() });
            text.push_str(&new);
            at = range.end;
        }
        text.push_str(self.text.get(at..).unwrap_or_default());
        let refused = || {
            problem("W0504", "the text is written in a way that this edit cannot keep")
                .hint("edit the text itself, or write the surrounding lines plainly")
        };
        let trees = read(&text).map_err(|problem| Problem { code: "W0504", ..problem })?;
        let others_same = trees.len() == self.trees.len()
            && trees.iter().zip(&self.trees).enumerate().all(|(index, (new, old))| index == self.document || same(new, old));
        let root = trees.get(self.document).ok_or_else(refused)?;
        if !others_same || root.to_value() != *expected {
            return Err(refused());
        }
        self.splices.extend(splices.into_iter().filter(|splice| !splice.range.is_empty() || !splice.text.is_empty()));
        (self.text, self.trees) = (text, trees);
        Ok(())
    }

    /// Whether the place at a path is within brackets or braces, where nothing has lines of its own.
    pub(crate) fn in_flow(&self, path: &[String]) -> bool {
        let mut tree = self.root();
        for step in path {
            if tree.style == Style::Flow {
                return true;
            }
            match child(tree, step) {
                Some(next) => tree = next,
                None => return false,
            }
        }
        tree.style == Style::Flow
    }

    /// How this document is indented.
    pub(crate) fn manner(&self, by_lines: usize) -> Manner {
        let own = fields(self.root()).iter().filter(|(_, value)| value.style == Style::Block).find_map(|(key, value)| {
            let first = fields(value).first().map(|(key, _)| key.span.start)?;
            column(&self.text, first).checked_sub(column(&self.text, key.span.start)).filter(|unit| *unit > 0)
        });
        Manner { unit: own.unwrap_or(2), by_lines }
    }
}

fn read(text: &str) -> Result<Vec<Tree>, Problem> {
    let (trees, findings) = parse(text);
    match findings.into_iter().find(|finding| finding.severity == Severity::Error) {
        Some(finding) => Err(finding.into()),
        None => Ok(trees),
    }
}

fn same(new: &Tree, old: &Tree) -> bool {
    new.to_value() == old.to_value()
}

/// The fields of a map; of anything else none.
pub(crate) fn fields(tree: &Tree) -> &[(Key, Tree)] {
    match &tree.data {
        Data::Map(fields) => fields,
        _ => &[],
    }
}

/// A value within another, by a key or by the number of an item.
pub(crate) fn child<'t>(tree: &'t Tree, step: &str) -> Option<&'t Tree> {
    match &tree.data {
        Data::Map(_) => tree.get(step),
        Data::List(items) => items.get(index(step)?),
        Data::Scalar(_) => None,
    }
}

/// The number of an item.
pub(crate) fn index(step: &str) -> Option<usize> {
    let digits = !step.is_empty() && step.len() <= 9 && step.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (step == "0" || !step.starts_with('0'))).then(|| step.parse().ok()).flatten()
}

/// The value at a path.
pub(crate) fn at<'t>(tree: &'t Tree, path: &[String]) -> Option<&'t Tree> {
    path.iter().try_fold(tree, |tree, step| child(tree, step))
}

/// The place of a value in a document without spans.
pub(crate) fn value_at<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => items.get_mut(index(step)?),
        _ => None,
    })
}
