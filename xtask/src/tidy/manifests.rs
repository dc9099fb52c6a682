//! Manifests: versions stand once, in the root; lints are inherited; everything is locked and comes from the registry.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::tidy::layers;
use crate::tree::Tree;

const RULE: &str = "manifests";

/// Checks the manifests and the lock file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let declared = declared(tree, &mut findings);
    let mut used = BTreeSet::new();
    for (path, text) in tree.ending("Cargo.toml").filter(|(path, _)| is_member(path)) {
        for (line, section, name, value) in entries(text) {
            let is_dependency = section.ends_with("dependencies");
            if is_dependency && !value.contains("workspace = true") && !(name.ends_with(".workspace") && value == "true") {
                let message = format!("`{name}` does not take its version from the root: write `{name}.workspace = true`");
                findings.push(Finding::error(RULE, path, message).at(line));
            } else if is_dependency {
                used.insert(name.trim_end_matches(".workspace").to_owned());
            }
        }
        let inherits = |section: &str, name: &str| entries(text).any(|(_, s, n, v)| s == section && n == name && v == "true");
        if !inherits("lints", "workspace") {
            findings.push(Finding::error(
                RULE,
                path,
                "does not inherit the lints of the workspace: `[lints]`, `workspace = true`",
            ));
        }
        if !inherits("package", "publish.workspace") {
            findings.push(Finding::error(RULE, path, "does not inherit `publish` of the workspace"));
        }
    }
    for (name, line) in &declared {
        if !used.contains(name) && layers::find(name).is_none() {
            let message = format!("`{name}` is declared and no crate uses it");
            findings.push(Finding::error(RULE, "Cargo.toml", message).at(*line));
        }
    }
    findings.extend(lock(tree));
    findings
}

fn is_member(path: &str) -> bool {
    path == "xtask/Cargo.toml" || (path.starts_with("crates/") && path.matches('/').count() == 2)
}

/// The dependencies that the root declares, each once, each from the registry or from a folder of the house.
fn declared(tree: &Tree, findings: &mut Vec<Finding>) -> BTreeMap<String, usize> {
    let mut declared = BTreeMap::new();
    for (line, section, name, value) in entries(tree.text("Cargo.toml").unwrap_or_default()) {
        if section != "workspace.dependencies" {
            continue;
        }
        if declared.insert(name.clone(), line).is_some() {
            findings.push(Finding::error(RULE, "Cargo.toml", format!("`{name}` is declared twice")).at(line));
        }
        if value.contains("git = ") {
            findings.push(
                Finding::error(RULE, "Cargo.toml", format!("`{name}` comes from git: only the registry is locked for good"))
                    .at(line),
            );
        }
    }
    declared
}

fn lock(tree: &Tree) -> Vec<Finding> {
    let path = "Cargo.lock";
    let Some(text) = tree.text(path) else {
        return vec![Finding::error(RULE, path, "is missing: builds have to be the same everywhere")];
    };
    let locked: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let mut findings = Vec::new();
    for (manifest, text) in tree.ending("Cargo.toml").filter(|(path, _)| is_member(path)) {
        let name = entries(text).find(|(_, section, name, _)| section == "package" && name == "name").map(|(.., value)| value);
        let name = name.unwrap_or_default();
        if !locked.contains(name.trim_matches('"')) {
            findings.push(Finding::error(RULE, path, format!("does not know {name} of {manifest}: run `cargo check`")));
        }
    }
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("source = ") && !line.contains("registry+") {
            findings.push(Finding::error(RULE, path, "holds a package that is not from the registry").at(index + 1));
        }
    }
    findings
}

/// The entries `name = value` of a manifest as (line, section, name, value). Our manifests are plain: one entry a line, or an array
/// that goes on over lines, of which the first is enough here.
fn entries(text: &str) -> impl Iterator<Item = (usize, String, String, String)> {
    let mut section = String::new();
    text.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
            return None;
        }
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        Some((index + 1, section.clone(), name.trim().to_owned(), value.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str =
        "[package]\nname = \"a\"\npublish.workspace = true\n[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";
    const ROOT: &str = "[workspace.dependencies]\nserde = \"1\"\n";
    const LOCK: &str = "[[package]]\nname = \"a\"\n[[package]]\nname = \"serde\"\nsource = \"registry+https://x\"\n";

    fn messages(root: &str, member: &str, lock: &str) -> Vec<String> {
        let tree = Tree::of(&[("Cargo.toml", root), ("crates/a/Cargo.toml", member), ("Cargo.lock", lock)]);
        check(&tree).iter().map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn a_plain_workspace_passes() {
        assert_eq!(messages(ROOT, MEMBER, LOCK), Vec::<String>::new());
        let spelled_out = MEMBER.replace("serde.workspace = true", "serde = { workspace = true, optional = true }");
        assert_eq!(messages(ROOT, &spelled_out, LOCK), Vec::<String>::new());
    }

    #[test]
    fn versions_outside_of_the_root_are_found() {
        let found = messages(ROOT, &MEMBER.replace("serde.workspace = true", "serde = \"1\""), LOCK);
        assert!(found[0].contains("does not take its version from the root"), "{found:?}");
        let found = messages(&format!("{ROOT}serde = \"1\"\n"), MEMBER, LOCK);
        assert!(found[0].contains("declared twice"), "{found:?}");
        let found = messages(&format!("{ROOT}tar = \"1\"\n"), MEMBER, LOCK);
        assert!(found[0].contains("no crate uses it"), "{found:?}");
        let found = messages(&ROOT.replace("\"1\"", "{ git = \"https://x\" }"), MEMBER, LOCK);
        assert!(found[0].contains("comes from git"), "{found:?}");
    }

    #[test]
    fn lints_that_are_not_inherited_and_a_bad_lock_are_found() {
        let found = messages(ROOT, &MEMBER.replace("[lints]\nworkspace = true\n", ""), LOCK);
        assert!(found[0].contains("lints of the workspace"), "{found:?}");
        let found = messages(ROOT, MEMBER, &LOCK.replace("\"a\"", "\"b\""));
        assert!(found[0].contains("does not know"), "{found:?}");
        let found = messages(ROOT, MEMBER, &LOCK.replace("registry+", "git+"));
        assert!(found[0].contains("not from the registry"), "{found:?}");
        let tree = Tree::of(&[("Cargo.toml", ROOT)]);
        assert!(check(&tree).iter().any(|finding| finding.path == "Cargo.lock"));
    }
}
