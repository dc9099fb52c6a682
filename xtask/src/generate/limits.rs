//! docs/reference/limits.md, from the constants of the model and their comments.

use anyhow::{Context as _, bail};

use crate::tree::Tree;

const SOURCE: &str = "crates/model/src/limits.rs";

/// A limit as the source states it.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    meaning: String,
    value: u64,
}

/// The page.
pub(crate) fn page(tree: &Tree) -> anyhow::Result<String> {
    let source = tree.text(SOURCE).with_context(|| format!("there is no {SOURCE}"))?;
    let limits = parse(source)?;
    if limits.is_empty() {
        bail!("{SOURCE} states no limit");
    }
    let mut page = String::from(
        "# Limits\n\n\
         Everything has a limit, and what passes one gets an error that names it. This page is made from `crates/model/src/limits.rs` by\n\
         `cargo xtask limits`; `cargo xtask tidy` fails when the two differ.\n\n\
         | limit | at most | name in the code |\n|---|---:|---|\n",
    );
    for limit in limits {
        page += &format!("| {} | {} | `{}` |\n", limit.meaning.trim_end_matches('.'), readable(&limit), limit.name);
    }
    Ok(page)
}

fn parse(source: &str) -> anyhow::Result<Vec<Limit>> {
    let mut limits = Vec::new();
    let mut meaning: Vec<&str> = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            meaning.push(comment.trim());
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let (name, rest) = constant.split_once(':').with_context(|| format!("`{line}`: no type"))?;
            let (_, value) = rest.split_once('=').with_context(|| format!("`{line}`: no value"))?;
            let value = evaluate(value.trim().trim_end_matches(';')).with_context(|| format!("`{line}`"))?;
            limits.push(Limit { name: name.trim().to_owned(), meaning: meaning.join(" "), value });
            meaning.clear();
        } else {
            meaning.clear();
        }
    }
    Ok(limits)
}

/// A number, or two with `<<` or `*` between them.
fn evaluate(text: &str) -> anyhow::Result<u64> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().with_context(|| format!("`{text}` is not a number"));
    match (text.split_once("<<"), text.split_once('*')) {
        (Some((left, right)), _) => Ok(number(left)? << number(right)?),
        (_, Some((left, right))) => Ok(number(left)? * number(right)?),
        _ => number(text),
    }
}

fn readable(limit: &Limit) -> String {
    let value = limit.value;
    if limit.name.contains("_BYTES_") {
        for (bits, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if value >= 1 << bits && value.is_multiple_of(1 << bits) {
                return format!("{} {unit}", value >> bits);
            }
        }
        return format!("{} bytes", grouped(value));
    }
    grouped(value)
}

/// 1234567 as 1,234,567.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_become_rows() {
        let source = "//! Limits.\n\n/// A file,\n/// in bytes.\npub const FILE_BYTES_MAX: usize = 4 << 20;\n/// Items.\npub const ITEMS_MAX: u32 = 10_000;\n";
        let page = page(&Tree::of(&[(SOURCE, source)])).unwrap();
        assert!(page.contains("| A file, in bytes | 4 MiB | `FILE_BYTES_MAX` |\n"), "{page}");
        assert!(page.contains("| Items | 10,000 | `ITEMS_MAX` |\n"), "{page}");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for source in ["", "pub const A: u32 = B + 1;\n"] {
            assert!(page(&Tree::of(&[(SOURCE, source)])).is_err(), "{source}");
        }
        assert!(page(&Tree::default()).is_err());
    }

    #[test]
    fn a_stale_page_is_found() {
        let source = (SOURCE, "/// Items.\npub const ITEMS_MAX: u32 = 10;\n");
        let fresh = page(&Tree::of(&[source])).unwrap();
        let found = |page: &str| {
            let tree = Tree::of(&[source, ("docs/reference/limits.md", page)]);
            crate::generate::stale(&tree).iter().any(|finding| finding.path == "docs/reference/limits.md")
        };
        assert!(!found(&fresh));
        assert!(found(&fresh.replace("10", "11")));
    }
}
