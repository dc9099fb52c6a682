//! Relative links of Markdown files lead somewhere, and every page of the book is in its table of contents.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::Tree;

const RULE: &str = "links";
/// The table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Checks every Markdown file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut contents = BTreeSet::new();
    for (path, text) in tree.ending(".md") {
        for (line, target) in links(text) {
            let (file, fragment) = target.split_once('#').map_or((target, None), |(file, fragment)| (file, Some(fragment)));
            let resolved = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
            let complaint = match resolved {
                None => Some(format!("`{target}` leads out of the project")),
                Some(resolved) if !tree.has(&resolved) => Some(format!("`{target}` leads to `{resolved}`, which is not there")),
                Some(resolved) => {
                    let broken = fragment.filter(|fragment| lacks_heading(tree, &resolved, fragment));
                    let complaint = broken.map(|fragment| format!("`{resolved}` has no heading `#{fragment}`"));
                    if path == SUMMARY {
                        contents.insert(resolved);
                    }
                    complaint
                }
            };
            findings.extend(complaint.map(|message| Finding::error(RULE, path, message).at(line)));
        }
    }
    if tree.has(SUMMARY) {
        let pages = tree.ending(".md").map(|(path, _)| path).filter(|path| path.starts_with("docs/") && *path != SUMMARY);
        for page in pages.filter(|page| !contents.contains(*page)) {
            findings.push(Finding::error(RULE, page, format!("is not in {SUMMARY} (error pages: run `cargo xtask generate`)")));
        }
    }
    findings
}

/// Targets of links that are not addresses, outside of code, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let inside_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            let is_address = target.contains("://") || target.starts_with("mailto:");
            if !is_address && !target.is_empty() && !inside_code {
                links.push((index + 1, target));
            }
        }
    }
    links
}

/// The path that a link of `from` leads to; none when it leaves the project.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            "" => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn lacks_heading(tree: &Tree, path: &str, fragment: &str) -> bool {
    let Some(text) = tree.text(path).filter(|_| path.ends_with(".md")) else { return false };
    !text.lines().filter_map(|line| line.strip_prefix('#')).any(|line| slug(line.trim_start_matches('#')) == fragment)
}

/// The name that mdBook and code hosts give a heading.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let readme = "[a](docs/a.md) [b](docs/) [c](https://x.org/y.md) [d](#the-house) `[e](nowhere)`\n# The house\n```\n[f](nowhere)\n```\n";
        let a = "[up](../README.md#the-house) [beside](./b.md)";
        assert_eq!(found(&[("README.md", readme), ("docs/a.md", a), ("docs/b.md", "")]), Vec::<String>::new());
    }

    #[test]
    fn broken_links_are_found() {
        assert!(found(&[("README.md", "x\n[a](docs/a.md)")])[0].starts_with("error[links] README.md:2"));
        assert!(found(&[("README.md", "[a](../a.md)")])[0].contains("out of the project"));
        assert!(found(&[("README.md", "[a](/a.md)")])[0].contains("out of the project"));
        assert!(found(&[("README.md", "[a](#nothing)\n# Some thing")])[0].contains("no heading"));
    }

    #[test]
    fn a_page_outside_of_the_contents_is_found() {
        let files = [("docs/SUMMARY.md", "[a](a.md)"), ("docs/a.md", ""), ("docs/b.md", "")];
        assert_eq!(
            found(&files),
            ["error[links] docs/b.md: is not in docs/SUMMARY.md (error pages: run `cargo xtask generate`)"]
        );
    }
}
