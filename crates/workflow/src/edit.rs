//! Lossless edits: what a picture or a form changes, as operations on the text.
//!
//! An edit finds the bytes it concerns on the tree of [`crate::source`], computes new bytes for them, and splices. All other bytes are
//! copied. The result is read again, and an edit whose result does not mean what was asked is refused: nothing is ever half done.

mod containers;
mod lines;
mod notes;
mod pointer;
mod references;
mod replace;
mod sheet;
mod write;

use std::ops::Range;

use model::limits::{EDITS_MAX, WORKFLOW_DEPTH_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Diagnostic;

pub use notes::notes;
pub use pointer::Pointer;
use sheet::Sheet;

/// An edit of a workflow file. Paths are JSON Pointers from the top of the document: `/nodes/train/with/rows`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Adds a node.
    Add {
        /// Its id.
        node: String,
        /// What would stand below its id.
        value: Value,
        /// The node below which it is written; at the end when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        below: Option<String>,
    },
    /// Sets the value at a path. What is missing on the way is made; in a list, `-` stands for the place after the last item. Of a map
    /// or a list that is there already only what differs is written.
    Set {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Takes away what is at a path.
    Unset {
        /// Where.
        path: Pointer,
    },
    /// Renames a node, and every reference to it.
    Rename {
        /// Its id.
        node: String,
        /// Its new id.
        to: String,
    },
    /// Removes a node with its note and its pin, and takes it out of every `after`. Other references stay, and are told.
    Remove {
        /// Its id.
        node: String,
    },
    /// Writes the note of a node: the comment above it. An empty text takes it away.
    Note {
        /// Its id.
        node: String,
        /// The text, of one line or several.
        text: String,
    },
    /// Pins a node to a place of the picture.
    Pin {
        /// Its id.
        node: String,
        /// Right and down.
        at: [f64; 2],
    },
    /// Gives the place of a node back to the automatic layout.
    Unpin {
        /// Its id.
        node: String,
    },
}

/// A change of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Splice {
    /// The bytes taken out, in the text after all splices before this one.
    pub range: Range<usize>,
    /// What is written in their place.
    pub text: String,
}

/// What a person should know about an edit that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about.
    pub path: Pointer,
    /// What to know.
    pub message: String,
}

/// A text after its edits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// Every change of bytes, in order.
    pub splices: Vec<Splice>,
    /// What to know about it.
    pub notices: Vec<Notice>,
}

/// An edit that cannot be made. None of its list was.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct EditError {
    /// Which of the edits, from 0.
    pub edit: usize,
    /// The code; it has a page.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Why an edit cannot be made, before it is known which one it was.
#[derive(Debug)]
pub(crate) struct Problem {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

pub(crate) type Done = Result<(), Problem>;

fn problem(code: &'static str, message: impl Into<String>) -> Problem {
    Problem { code, message: crate::diagnostic::short(message.into()), hint: None }
}

impl Problem {
    fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Diagnostic> for Problem {
    fn from(finding: Diagnostic) -> Problem {
        Problem { code: "W0501", message: format!("the text cannot be read: {}", finding.message), hint: finding.hint }
    }
}

/// Makes edits, one after the other: all of them, or none. Edits work on any text that can be read, also when the workflow has errors.
pub fn apply(text: &str, edits: &[Edit]) -> Result<Edited, EditError> {
    let failed =
        |edit: usize, problem: Problem| EditError { edit, code: problem.code, message: problem.message, hint: problem.hint };
    if edits.len() > EDITS_MAX {
        let message = format!("{} edits at once; at most {EDITS_MAX} are made", edits.len());
        return Err(failed(EDITS_MAX, problem("W0504", message)));
    }
    let mut sheet = Sheet::open(text).map_err(|problem| failed(0, problem))?;
    for (index, edit) in edits.iter().enumerate() {
        sheet.make(edit).map_err(|problem| failed(index, problem))?;
    }
    Ok(Edited { text: sheet.text, splices: sheet.splices, notices: sheet.notices })
}

impl Sheet {
    fn make(&mut self, edit: &Edit) -> Done {
        match edit {
            Edit::Add { node, value, below } => self.add(node, value, below.as_deref()),
            Edit::Set { path, .. } | Edit::Unset { path } if path.0.len() > WORKFLOW_DEPTH_MAX => {
                Err(problem("W0504", format!("the path has {} steps; at most {WORKFLOW_DEPTH_MAX} are gone", path.0.len())))
            }
            Edit::Set { path, value } => self.set(&path.0, value),
            Edit::Unset { path } => self.unset(&path.0),
            Edit::Rename { node, to } => self.rename(node, to),
            Edit::Remove { node } => self.remove(node),
            Edit::Note { node, text } => self.note(node, text),
            Edit::Pin { node, at } => self.pin(node, *at),
            Edit::Unpin { node } => self.unpin(node),
        }
    }

    fn add(&mut self, node: &str, value: &Value, below: Option<&str>) -> Done {
        if !crate::is_name(node) {
            return Err(problem("W0105", format!("`{node}` is not a name")).hint(NAME_HINT));
        }
        if self.node(node).is_some() {
            return Err(problem("W0503", format!("there is a node `{node}` already")).hint("choose another id"));
        }
        let below = match below {
            Some(id) => Some(self.node_position(id)?),
            None => None,
        };
        let nodes = ["nodes".to_owned()];
        if self.root().get("nodes").is_none() {
            return self.insert(&[], "nodes", &serde_json::json!({ node: value }), None, 2);
        }
        self.insert(&nodes, node, value, below, 1)
    }

    /// The place of a node among the nodes.
    fn node_position(&self, id: &str) -> Result<usize, Problem> {
        self.nodes().iter().position(|(key, _)| key.text == id).ok_or_else(|| self.no_node(id))
    }

    fn no_node(&self, id: &str) -> Problem {
        let mut found = problem("W0201", format!("there is no node `{id}`"));
        found.hint = crate::suggest::nearest(id, self.nodes().iter().map(|(key, _)| key.text.as_str()))
            .map(|near| format!("did you mean `{near}`?"));
        found
    }

    fn pin(&mut self, node: &str, at: [f64; 2]) -> Done {
        self.node_position(node)?;
        let mut place = Vec::new();
        for number in at {
            let whole = number.round();
            let exact = if whole == number && number.abs() < 1e9 {
                Some((whole as i64).into())
            } else {
                serde_json::Number::from_f64(number)
            };
            place.push(Value::Number(exact.ok_or_else(|| problem("W0104", "a pin is two numbers"))?));
        }
        self.set(&["layout".to_owned(), node.to_owned()], &Value::Array(place))
    }

    /// Takes a pin away, and with the last one the whole of `layout`.
    fn unpin(&mut self, node: &str) -> Done {
        let pins = self.root().get("layout").map_or(0, |layout| sheet::fields(layout).len());
        let pinned = self.root().get("layout").and_then(|layout| layout.get(node)).is_some();
        match (pinned, pins) {
            (false, _) => Ok(()),
            (true, 1) => self.unset(&["layout".to_owned()]),
            (true, _) => self.unset(&["layout".to_owned(), node.to_owned()]),
        }
    }

    fn remove(&mut self, node: &str) -> Done {
        self.node_position(node)?;
        self.unpin(node)?;
        self.forget(node)?;
        self.note(node, "").or_else(|problem| if problem.code == "W0504" { Ok(()) } else { Err(problem) })?;
        self.unset(&["nodes".to_owned(), node.to_owned()])?;
        self.tell_dangling(node);
        Ok(())
    }
}

const NAME_HINT: &str = "letters, digits, `-` and `_`, beginning with a letter, at most 63";
