//! The pure layers: each crate of L0 and L1 bans clocks, environment, files, threads, network and random state in its own clippy.toml,
//! and unsafe code, missing documentation and panics in its lib.rs.

use crate::finding::Finding;
use crate::tidy::layers::ROOMS;
use crate::tree::Tree;

const RULE: &str = "purity";

/// What a pure crate's clippy.toml has to name. A crate-level file replaces the one of the workspace, so that each repeats them all.
const BANNED: &[&str] = &[
    "std::time::SystemTime",
    "std::time::Instant",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::hash::RandomState",
    "std::fs::File",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process::Command",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::env::var",
    "std::fs::read",
    "std::fs::write",
    "std::io::stdin",
];

/// Lints that a pure crate's lib.rs denies outside of tests.
const PANIC_LINTS: &[&str] = &["clippy::unwrap_used", "clippy::expect_used", "clippy::panic", "clippy::indexing_slicing"];

/// Checks every pure crate.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut first: Option<(String, &str)> = None;
    for room in ROOMS.iter().filter(|room| room.is_pure()) {
        let name = room.name;
        let lib = format!("crates/{name}/src/lib.rs");
        let Some(text) = tree.text(&lib) else { continue };
        findings.extend(head(&lib, text));
        let config = format!("crates/{name}/clippy.toml");
        let Some(text) = tree.text(&config) else {
            findings.push(Finding::error(
                RULE,
                config,
                format!("is missing: `{name}` is pure, and clippy has to hold it to that"),
            ));
            continue;
        };
        findings.extend(bans(&config, text));
        match &first {
            Some((other, same)) if *same != text => findings.push(Finding::error(RULE, config, format!("differs from {other}"))),
            Some(_) => {}
            None => first = Some((config, text)),
        }
    }
    findings
}

fn head(path: &str, text: &str) -> Vec<Finding> {
    let attributes: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("#![")).collect();
    let mut missing: Vec<String> = Vec::new();
    for wanted in ["#![forbid(unsafe_code)]", "#![deny(missing_docs)]"] {
        if !attributes.contains(&wanted) {
            missing.push(wanted.to_owned());
        }
    }
    let denied = attributes.iter().find(|line| line.starts_with("#![cfg_attr(not(test), deny(")).copied().unwrap_or_default();
    let absent: Vec<&str> = PANIC_LINTS.iter().filter(|lint| !denied.contains(**lint)).copied().collect();
    if !absent.is_empty() {
        missing.push(format!("#![cfg_attr(not(test), deny({}))]", absent.join(", ")));
    }
    missing.iter().map(|line| Finding::error(RULE, path, format!("is pure and lacks `{line}`"))).collect()
}

fn bans(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for banned in BANNED {
        if !text.lines().any(|line| line.contains(&format!("\"{banned}\"")) && !line.trim_start().starts_with('#')) {
            findings.push(Finding::error(RULE, path, format!("does not ban `{banned}`")));
        }
    }
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("{ path") && !line.contains("reason = ") {
            findings.push(Finding::error(RULE, path, "bans something without a reason").at(index + 1));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "//! L1.\n#![forbid(unsafe_code)]\n#![deny(missing_docs)]\n#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]\n";

    fn config() -> String {
        BANNED.iter().map(|path| format!("    {{ path = \"{path}\", reason = \"pure\" }},\n")).collect()
    }

    fn messages(lib: &str, config: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/engine/src/lib.rs", lib), ("crates/engine/clippy.toml", config)]);
        check(&tree).iter().map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn a_pure_crate_passes() {
        assert_eq!(messages(HEAD, &config()), Vec::<String>::new());
    }

    #[test]
    fn what_a_pure_crate_lacks_is_found() {
        let found = messages(&HEAD.replace("#![forbid(unsafe_code)]\n", ""), &config());
        assert_eq!(found, ["is pure and lacks `#![forbid(unsafe_code)]`"]);
        let found = messages(&HEAD.replace(", clippy::panic", ""), &config());
        assert_eq!(found, ["is pure and lacks `#![cfg_attr(not(test), deny(clippy::panic))]`"]);
        let found = messages(HEAD, &config().replace("    { path = \"std::fs::write\", reason = \"pure\" },\n", ""));
        assert_eq!(found, ["does not ban `std::fs::write`"]);
        let found = messages(HEAD, &format!("{}    {{ path = \"std::fs::copy\" }},\n", config()));
        assert_eq!(found, ["bans something without a reason"]);
    }

    #[test]
    fn configs_that_differ_are_found() {
        let config = config();
        let other = format!("# more\n{config}");
        let files = [
            ("crates/model/src/lib.rs", HEAD),
            ("crates/model/clippy.toml", &config),
            ("crates/engine/src/lib.rs", HEAD),
            ("crates/engine/clippy.toml", &other),
        ];
        let found: Vec<String> = check(&Tree::of(&files)).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["error[purity] crates/engine/clippy.toml: differs from crates/model/clippy.toml"]);
    }

    #[test]
    fn a_missing_config_is_found() {
        let findings = check(&Tree::of(&[("crates/engine/src/lib.rs", HEAD), ("crates/journal/src/lib.rs", "")]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "crates/engine/clippy.toml");
    }
}
