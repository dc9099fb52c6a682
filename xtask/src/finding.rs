//! What tidy finds, and the short list of findings that are tolerated for now.

use std::fmt;

use crate::tree::Tree;

/// Where the tolerated findings stand.
pub(crate) const EXCEPTIONS: &str = "xtask/exceptions.txt";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The tree is not accepted.
    Error,
    /// Worth a hard look.
    Warning,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The rule: the name that an exception gives.
    pub(crate) rule: &'static str,
    pub(crate) path: String,
    /// From 1; none when it is about the whole file.
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn error(rule: &'static str, path: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, rule, path: path.into(), line: None, message: message.into() }
    }

    pub(crate) fn warning(rule: &'static str, path: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(rule, path, message) }
    }

    pub(crate) fn at(mut self, line: usize) -> Finding {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{severity}[{}] {}", self.rule, self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Takes out what the list of exceptions tolerates. A line of the list that tolerates nothing is a finding itself, so that the list
/// can only shrink.
pub(crate) fn without_exceptions(findings: Vec<Finding>, tree: &Tree) -> Vec<Finding> {
    let list = tree.text(EXCEPTIONS).unwrap_or_default();
    let mut kept = findings;
    for (index, line) in list.lines().enumerate() {
        let rule_and_path = line.split('#').next().unwrap_or_default();
        let mut words = rule_and_path.split_whitespace();
        let (Some(rule), Some(path)) = (words.next(), words.next()) else { continue };
        let before = kept.len();
        kept.retain(|finding| finding.rule != rule || finding.path != path || finding.severity == Severity::Warning);
        let complaint = match () {
            () if kept.len() == before => "tolerates nothing any more: remove it",
            () if !line.contains('#') => "does not say why (`# reason`)",
            () => continue,
        };
        kept.push(Finding::error("exceptions", EXCEPTIONS, format!("`{}` {complaint}", rule_and_path.trim())).at(index + 1));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_takes_out_its_finding_and_an_idle_one_is_a_finding() {
        let list = "# a comment\nsizes a.rs # the tables are long\nsizes b.rs # gone\nwords c.rs\n";
        let tree = Tree::of(&[(EXCEPTIONS, list)]);
        let found = vec![
            Finding::error("sizes", "a.rs", "long"),
            Finding::error("sizes", "d.rs", "long"),
            Finding::error("words", "c.rs", "word").at(3),
        ];
        let left: Vec<String> = without_exceptions(found, &tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            left,
            [
                "error[sizes] d.rs: long",
                "error[exceptions] xtask/exceptions.txt:3: `sizes b.rs` tolerates nothing any more: remove it",
                "error[exceptions] xtask/exceptions.txt:4: `words c.rs` does not say why (`# reason`)",
            ]
        );
    }
}
