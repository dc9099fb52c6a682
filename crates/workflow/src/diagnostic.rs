//! Findings: what is wrong, where, and what to do about it.

use std::ops::Range;

use serde::Serialize;

/// Letters of a line that are shown.
const SHOWN_MAX: usize = 160;
/// Letters of a line before the place of a finding from which on its beginning is left out.
const SHOWN_BEFORE_MAX: usize = 120;

/// Bytes of a message or a hint: what a file says in a name of megabytes is not told back.
const TEXT_BYTES_MAX: usize = 600;

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
        Diagnostic { code, severity: Severity::Error, message: short(message.into()), span, hint: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// The same with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(short(hint.into()));
        self
    }

    /// The same with a place that is in the text, from one letter to another.
    pub(crate) fn inside(mut self, text: &str) -> Diagnostic {
        let start = floor(text, self.span.start);
        let mut end = self.span.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        self.span = start..end;
        self
    }

    /// The same with no more text than a person reads.
    pub(crate) fn short(mut self) -> Diagnostic {
        self.message = short(self.message);
        self.hint = self.hint.map(short);
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
        // Of a long line only the part around the place is shown.
        let source = text.lines().nth(line - 1).unwrap_or_default();
        let left_out = if column > SHOWN_BEFORE_MAX { column - SHOWN_BEFORE_MAX / 2 } else { 0 };
        let shown: String = source.chars().skip(left_out).take(SHOWN_MAX).collect();
        let (lead, indent) = if left_out > 0 { ("…", column - left_out) } else { ("", column - 1) };
        let end = floor(text, self.span.end.max(self.span.start));
        let marked = text[floor(text, self.span.start)..end].lines().next().unwrap_or_default().chars().count();
        let width = marked.clamp(1, (shown.chars().count() + lead.chars().count()).saturating_sub(indent).max(1));
        let gutter = line.to_string().len();
        let mut out = format!("{severity}[{}]: {}\n", self.code, self.message);
        out += &format!("{:gutter$}--> {path}:{line}:{column}\n{:gutter$} |\n{line} | {lead}{shown}\n", "", "");
        out += &format!("{:gutter$} | {:indent$}{}\n", "", "", "^".repeat(width));
        if let Some(hint) = &self.hint {
            out += &format!("{:gutter$} = hint: {hint}\n", "");
        }
        out
    }
}

/// A text cut to what a person reads.
pub(crate) fn short(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(floor(&text, TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// The nearest boundary of a character at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_far_in_a_line_is_shown() {
        let text = format!("{}wrong{}\n", "x".repeat(100_000), "y".repeat(100_000));
        let shown = Diagnostic::error("W0101", 100_000..100_005, "no").render("f", &text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1], " --> f:1:100001");
        let place = lines[4].find('^').unwrap() - 4;
        assert_eq!(lines[3].chars().skip(4).skip(place).take(5).collect::<String>(), "wrong", "{shown}");
        assert!(lines.iter().all(|line| line.len() < 300) && lines[4].ends_with(" ^^^^^"), "{shown}");
        Diagnostic::error("W0101", 200_005..200_007, "at the end").render("f", &text);
        Diagnostic::error("W0101", Range { start: 7, end: 3 }, "turned around").render("f", "ä");
    }
}
