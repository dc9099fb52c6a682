//! Findings: what is wrong, where, and what to do about it.

use std::ops::Range;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is not accepted.
    Error,
    /// It is accepted, and probably not what was meant.
    Warning,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    /// The stable code; each has a page.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with the user's words in backticks.
    pub message: String,
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code, severity: Severity::Error, message: message.into(), span, hint: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// The same with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// The line and column of its beginning, both from 1.
    pub fn position(&self, text: &str) -> (usize, usize) {
        let start = floor(text, self.span.start);
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        (line, column)
    }

    /// The finding as text, with the line it is about.
    pub fn render(&self, path: &str, text: &str) -> String {
        let (line, column) = self.position(text);
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        let source = text.lines().nth(line - 1).unwrap_or_default();
        let shown: String = source.chars().take(160).collect();
        let end = floor(text, self.span.end.max(self.span.start));
        let marked = text[floor(text, self.span.start)..end].lines().next().unwrap_or_default().chars().count();
        let width = marked.clamp(1, shown.chars().count().saturating_sub(column - 1).max(1));
        let gutter = line.to_string().len();
        let mut out = format!("{severity}[{}]: {}\n", self.code, self.message);
        out += &format!("{:gutter$}--> {path}:{line}:{column}\n{:gutter$} |\n{line} | {shown}\n", "", "");
        out += &format!("{:gutter$} | {:indent$}{}\n", "", "", "^".repeat(width), indent = column - 1);
        if let Some(hint) = &self.hint {
            out += &format!("{:gutter$} = hint: {hint}\n", "");
        }
        out
    }
}

/// The nearest boundary of a character at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}
