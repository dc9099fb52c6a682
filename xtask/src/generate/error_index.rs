//! The index of error pages, and their place in the table of contents.

use anyhow::Context as _;

use crate::tidy::error_pages::{PAGES, code_of_page};
use crate::tree::Tree;

const SUMMARY: &str = "docs/SUMMARY.md";
/// The part of the contents that is made; it is the last.
const PART: &str = "\n# Errors\n";

/// Codes with their titles.
fn pages(tree: &Tree) -> Vec<(&str, &str)> {
    let title = |code: &str, text| str::lines(text).next().and_then(|line| line.strip_prefix("# ")?.strip_prefix(code));
    let page = |(path, text)| {
        let code = code_of_page(path)?;
        Some((code, title(code, text).unwrap_or_default().trim_start_matches([':', ' ', '-', '—'])))
    };
    tree.ending(".md").filter(|(path, _)| path.starts_with(PAGES)).filter_map(page).collect()
}

/// docs/errors/README.md.
pub(crate) fn page(tree: &Tree) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Errors\n\n\
         Every error that Tutti gives carries a code, and every code has a page that says what it means and what to do. `E` codes come from\n\
         the server and the command line, `W` codes from reading workflow files and other documents.\n\n\
         | code | what |\n|---|---|\n",
    );
    for (code, title) in pages(tree) {
        page += &format!("| [{code}]({code}.md) | {title} |\n");
    }
    Ok(page)
}

/// docs/SUMMARY.md with the error pages as its last part.
pub(crate) fn contents(tree: &Tree) -> anyhow::Result<String> {
    let text = tree.text(SUMMARY).with_context(|| format!("there is no {SUMMARY}"))?;
    let (before, _) = text.split_once(PART).with_context(|| format!("{SUMMARY} has no part `# Errors`"))?;
    let lines: String = pages(tree).iter().map(|(code, title)| format!("  - [{code}: {title}](errors/{code}.md)\n")).collect();
    Ok(format!("{before}{PART}\n- [All codes](errors/README.md)\n{lines}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_and_the_contents_name_every_page() {
        let summary = format!("# S\n\n- [a](a.md)\n{PART}\nold\n");
        let tree =
            Tree::of(&[(SUMMARY, &summary), ("docs/errors/E0001.md", "# E0001: not found\n"), ("docs/errors/README.md", "")]);
        assert!(page(&tree).unwrap().ends_with("| [E0001](E0001.md) | not found |\n"));
        let made = contents(&tree).unwrap();
        let part = "# Errors\n\n- [All codes](errors/README.md)\n  - [E0001: not found](errors/E0001.md)\n";
        assert_eq!(made, format!("# S\n\n- [a](a.md)\n\n{part}"));
        assert!(contents(&Tree::of(&[(SUMMARY, "# S\n")])).is_err());
    }
}
