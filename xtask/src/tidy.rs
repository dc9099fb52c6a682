//! The rules of the house. Each rule is a function from what is there to findings, so that a test can plant a violation.

pub(crate) mod error_pages;
mod layers;
mod links;
mod manifests;
mod purity;
mod source;
mod words;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::finding::{Finding, Severity, without_exceptions};
use crate::generate;
use crate::tree::Tree;

/// Checks the tree and prints what is found. True when nothing is wrong.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let tree = Tree::read(root)?;
    let metadata = cargo_metadata(root)?;
    let findings = check(&tree, &metadata);
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    eprintln!("tidy: {} files, {errors} errors, {} warnings", tree.files.len(), findings.len() - errors);
    Ok(errors == 0)
}

fn check(tree: &Tree, metadata: &Value) -> Vec<Finding> {
    let mut findings = layers::check(metadata);
    findings.extend(manifests::check(tree));
    findings.extend(purity::check(tree));
    findings.extend(source::check(tree));
    findings.extend(words::check(tree));
    findings.extend(error_pages::check(tree));
    findings.extend(links::check(tree));
    findings.extend(generate::stale(tree));
    let mut findings = without_exceptions(findings, tree);
    findings.sort_by(|a, b| (a.severity, a.rule, &a.path, a.line).cmp(&(b.severity, b.rule, &b.path, b.line)));
    findings
}

/// The workspace as cargo sees it, without what it depends on.
fn cargo_metadata(root: &Path) -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}
