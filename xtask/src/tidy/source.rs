//! Sizes and names: no file that does everything, no attic.

use crate::finding::Finding;
use crate::tree::Tree;

const RULE: &str = "sizes";
const NAMES: &str = "names";
/// Lines of code of a source file, tests apart, from which on it deserves a hard look.
const LINES_SOFT: usize = 600;
/// Lines of code of a source file, tests apart, that none passes.
const LINES_HARD: usize = 1_000;
/// Lines of a main.rs.
const MAIN_LINES: usize = 50;
/// Bytes of any file of the project.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Names that say nothing about what is inside.
const ATTICS: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// Checks lengths and names.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in &tree.files {
        if file.size > FILE_BYTES_MAX {
            findings.push(Finding::error(RULE, path, format!("has {} bytes; {FILE_BYTES_MAX} are the limit", file.size)));
        }
        let attic = path.split('/').find(|part| ATTICS.contains(&part.split('.').next().unwrap_or(part)));
        if let Some(part) = attic {
            findings.push(Finding::error(NAMES, path, format!("`{part}` says nothing about what is inside")));
        }
    }
    for (path, text) in tree.ending(".rs") {
        let lines = lines_of_code(text);
        if path.ends_with("/main.rs") && path.contains("/src/") && lines >= MAIN_LINES {
            findings.push(Finding::error(RULE, path, format!("has {lines} lines; a main.rs has fewer than {MAIN_LINES}")));
        }
        if is_test(path) {
            continue;
        }
        if lines > LINES_HARD {
            findings.push(Finding::error(RULE, path, format!("has {lines} lines without its tests; {LINES_HARD} are the limit")));
        } else if lines > LINES_SOFT {
            findings.push(Finding::warning(RULE, path, format!("has {lines} lines without its tests; look for the second room")));
        }
    }
    findings
}

/// Whether a file holds nothing but tests or benches.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
}

/// The lines before the module of tests, which stands last.
fn lines_of_code(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests =
        lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'));
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, lines: usize) -> Vec<String> {
        check(&Tree::of(&[(path, "x\n".repeat(lines).as_str())])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn long_files_are_found_and_tests_are_not_counted() {
        assert_eq!(found("crates/a/src/b.rs", 600), Vec::<String>::new());
        assert!(found("crates/a/src/b.rs", 601)[0].starts_with("warning[sizes]"));
        assert!(found("crates/a/src/b.rs", 1_001)[0].starts_with("error[sizes]"));
        assert_eq!(found("crates/a/tests/it/b.rs", 1_001), Vec::<String>::new());
        let text = format!("x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(2_000));
        assert_eq!(check(&Tree::of(&[("crates/a/src/b.rs", &text)])), []);
    }

    #[test]
    fn a_main_that_does_more_than_start_is_found() {
        assert_eq!(found("crates/tutti/src/main.rs", 49), Vec::<String>::new());
        assert_eq!(found("crates/tutti/src/main.rs", 50).len(), 1);
        assert_eq!(found("crates/a/tests/it/main.rs", 80), Vec::<String>::new());
    }

    #[test]
    fn attics_are_found() {
        for path in ["crates/a/src/utils.rs", "crates/a/src/common/mod.rs", "python/helpers.py"] {
            assert!(found(path, 1)[0].contains("says nothing"), "{path}");
        }
        assert_eq!(found("crates/a/src/commons.rs", 1), Vec::<String>::new());
    }

    #[test]
    fn a_huge_file_is_found() {
        let mut tree = Tree::of(&[("data/x.bin", "")]);
        tree.files.get_mut("data/x.bin").unwrap().size = FILE_BYTES_MAX + 1;
        assert_eq!(check(&tree).len(), 1);
    }
}
