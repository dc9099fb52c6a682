//! Reading a map field by field, with findings for what is missing, unknown or of the wrong type.

use std::cell::RefCell;
use std::ops::Range;

use model::Duration;
use model::limits::FINDINGS_MAX;
use model::resources::{parse_bytes, parse_cpu};
use serde_json::Value;

use crate::source::{Data, Tree};
use crate::suggest::nearest;
use crate::{Diagnostic, is_name};

/// Collects findings.
#[derive(Default)]
pub(crate) struct Findings(RefCell<Vec<Diagnostic>>);

impl Findings {
    pub(crate) fn push(&self, finding: Diagnostic) {
        self.0.borrow_mut().push(finding.short());
    }

    pub(crate) fn error(&self, code: &'static str, span: &Range<usize>, message: impl Into<String>) {
        self.push(Diagnostic::error(code, span.clone(), message));
    }

    /// Whether there are as many errors as will be told: what is looked at further is looked at for nothing.
    pub(crate) fn full(&self) -> bool {
        self.0.borrow().len() > FINDINGS_MAX
    }

    pub(crate) fn into_inner(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|finding| finding.severity == crate::Severity::Error)
    }
}

/// A map that is read field by field.
pub(crate) struct Fields<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) findings: &'t Findings,
}

impl<'t> Fields<'t> {
    /// Reads a map whose keys are among `known`. Anything else than a map is a finding.
    pub(crate) fn of(tree: &'t Tree, what: &str, known: &[&str], findings: &'t Findings) -> Option<Fields<'t>> {
        let Data::Map(fields) = &tree.data else {
            findings.error("W0103", &tree.span, format!("{what} has to be a map, and this is {}", tree.kind()));
            return None;
        };
        for (key, _) in fields {
            if !known.contains(&key.text.as_str()) {
                let mut finding = Diagnostic::error("W0101", key.span.clone(), format!("{what} has no field `{}`", key.text));
                finding.hint = Some(match nearest(&key.text, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has {}", known.join(", ")),
                });
                findings.push(finding);
            }
        }
        Some(Fields { tree, findings })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Tree> {
        self.tree.get(key)
    }

    fn wrong(&self, key: &str, tree: &Tree, wanted: &str) {
        self.findings.error("W0103", &tree.span, format!("`{key}` has to be {wanted}, and this is {}", tree.kind()));
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let tree = self.get(key)?;
        if tree.as_str().is_none() {
            self.wrong(key, tree, "a text");
        }
        tree.as_str().map(str::to_owned)
    }

    /// A text that has to be there.
    pub(crate) fn needed_text(&self, key: &str, what: &str) -> Option<String> {
        if self.get(key).is_none() {
            let start = self.tree.span.start;
            self.findings.error("W0102", &(start..start + 1), format!("{what} needs `{key}`"));
        }
        self.text(key)
    }

    /// A name that has to be there.
    pub(crate) fn needed_name(&self, key: &str, what: &str) -> Option<String> {
        let name = self.needed_text(key, what)?;
        if !name.split('/').all(is_name) {
            let span = self.get(key).map_or(0..0, |tree| tree.span.clone());
            let message = format!("`{name}` is not a name: letters, digits, `-` and `_`, beginning with a letter, at most 63");
            self.findings.error("W0105", &span, message);
        }
        Some(name)
    }

    /// A whole number from 0.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        let tree = self.get(key)?;
        let number = match &tree.data {
            Data::Scalar(Value::Number(number)) => number.as_u64(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(key, tree, "a whole number");
        }
        number
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        let tree = self.get(key)?;
        match &tree.data {
            Data::Scalar(Value::Bool(flag)) => Some(*flag),
            _ => {
                self.wrong(key, tree, "true or false");
                None
            }
        }
    }

    /// A duration such as `30s`.
    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        let tree = self.get(key)?;
        let parsed = tree.as_str().map(str::parse::<Duration>);
        match parsed {
            Some(Ok(span)) => Some(span),
            Some(Err(error)) => {
                self.findings.error("W0104", &tree.span, error.to_string());
                None
            }
            None => {
                self.wrong(key, tree, "a duration such as `30s`");
                None
            }
        }
    }

    /// An amount of bytes such as `8Gi`.
    pub(crate) fn bytes(&self, key: &str) -> Option<u64> {
        self.amount(key, "an amount of bytes such as `8Gi`", parse_bytes)
    }

    /// An amount of processor such as `2` or `500m`, in thousandths.
    pub(crate) fn cpu(&self, key: &str) -> Option<u32> {
        self.amount(key, "cores such as `2`, `0.5` or `500m`", parse_cpu)
    }

    fn amount<T>(&self, key: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let tree = self.get(key)?;
        let text = match &tree.data {
            Data::Scalar(Value::String(text)) => text.clone(),
            Data::Scalar(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let amount = parse(&text);
        if amount.is_none() {
            self.findings.error("W0104", &tree.span, format!("`{key}` has to be {wanted}"));
        }
        amount
    }

    /// A text, or a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Vec<(String, Range<usize>)> {
        let Some(tree) = self.get(key) else { return Vec::new() };
        let items: Vec<&Tree> = match &tree.data {
            Data::List(items) => items.iter().collect(),
            _ => vec![tree],
        };
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) => texts.push((text.to_owned(), item.span.clone())),
                None => self.wrong(key, item, "a text or a list of texts"),
            }
        }
        texts
    }
}
