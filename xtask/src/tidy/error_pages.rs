//! Every code that an error or a finding carries has a page in docs/errors, and every page belongs to a code.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::tree::Tree;

const RULE: &str = "error_pages";
/// The folder of the pages.
pub(crate) const PAGES: &str = "docs/errors/";

/// Compares codes in the sources with pages.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut used: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| path.starts_with("crates/") && path.contains("/src/")) {
        for (index, line) in text.lines().enumerate() {
            for code in codes(line) {
                used.entry(code).or_insert((path, index + 1));
            }
        }
    }
    let pages: BTreeSet<&str> = tree.ending(".md").filter_map(|(path, _)| code_of_page(path)).collect();
    let mut findings = Vec::new();
    for (code, (path, line)) in &used {
        if !pages.contains(code) {
            findings.push(Finding::error(RULE, *path, format!("`{code}` has no page {PAGES}{code}.md")).at(*line));
        }
    }
    for code in pages {
        let path = format!("{PAGES}{code}.md");
        if !used.contains_key(code) {
            findings.push(Finding::error(
                RULE,
                &path,
                format!("nothing gives `{code}`: a code that is no longer given keeps its number and loses its page"),
            ));
        }
        let first = tree.text(&path).and_then(|text| text.lines().next()).unwrap_or_default();
        if !first.starts_with(&format!("# {code}")) {
            findings.push(Finding::error(RULE, &path, format!("begins with `{first}`, not with `# {code}: …`")).at(1));
        }
    }
    findings
}

/// The code that a page is about.
pub(crate) fn code_of_page(path: &str) -> Option<&str> {
    path.strip_prefix(PAGES)?.strip_suffix(".md").filter(|name| is_code(name))
}

fn is_code(text: &str) -> bool {
    text.len() == 5 && text.starts_with(['E', 'W']) && text[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// The codes that stand alone in quotes.
fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('"')
        .filter_map(|(at, _)| line.get(at + 1..at + 6).filter(|code| is_code(code) && line[at + 6..].starts_with('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_pages_belong_together() {
        let source = ("crates/a/src/b.rs", "x(\"E0001\", \"W0102\");");
        let tree = Tree::of(&[source, ("docs/errors/E0001.md", "# E0001: no\n"), ("docs/errors/W0102.md", "# W0102: no\n")]);
        assert_eq!(check(&tree), []);
        let findings = check(&Tree::of(&[source, ("docs/errors/E0001.md", "# E0001: no\n")]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("`W0102` has no page"), "{findings:?}");
        let findings = check(&Tree::of(&[("docs/errors/E0009.md", "# E0009: no\n")]));
        assert!(findings[0].message.contains("nothing gives `E0009`"), "{findings:?}");
        let findings =
            check(&Tree::of(&[source, ("docs/errors/E0001.md", "# Other\n"), ("docs/errors/W0102.md", "# W0102: no\n")]));
        assert!(findings[0].message.contains("begins with"), "{findings:?}");
    }

    #[test]
    fn only_codes_are_codes() {
        assert_eq!(codes(r#"f("E0001") + "E00011" + "F0001" + "W12""#).collect::<Vec<_>>(), ["E0001"]);
    }
}
