//! What the pages and the examples show is what the language takes: every block of YAML is compiled, every wrong one gives the code that its
//! page is about, and what a person then sees is kept as a golden text.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use workflow::source::parse;
use workflow::{Diagnostic, Severity};

use crate::{Shelf, files};

/// A block of YAML in a page.
pub(crate) struct Block {
    pub(crate) page: String,
    pub(crate) heading: String,
    pub(crate) line: usize,
    pub(crate) text: String,
}

#[expect(clippy::disallowed_methods, reason = "a test reads the pages and examples of the project")]
pub(crate) fn read(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "a test reads the pages and examples of the project")]
fn list(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(format!("{}/../../{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let names = entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let (mut found, mut heading, mut open) = (Vec::new(), String::new(), None::<Block>);
    for (line, written) in text.lines().enumerate() {
        let bare = written.trim_start();
        match &mut open {
            Some(_) if bare.starts_with("```") => found.extend(open.take()),
            Some(block) => block.text += &format!("{written}\n"),
            None if bare == "```yaml" => {
                open = Some(Block { page: page.into(), heading: heading.clone(), line: line + 2, text: String::new() })
            }
            None if written.starts_with('#') => heading = written.trim_start_matches(['#', ' ']).to_owned(),
            None => {}
        }
    }
    found
}

/// Files that the blocks refer to.
pub(crate) fn beside() -> BTreeMap<String, Arc<[u8]>> {
    files(&[
        ("train.py", "pass\n"),
        ("pseudonymise.py", "pass\n"),
        ("lib/a.py", "pass\n"),
        ("program", "x"),
        ("quality.workflow.yaml", "workflow: demo/quality\ninputs: {table: artifact}\nnodes: {a: {use: core/noop}}\n"),
        ("order.json", r#"{"type": "object", "$defs": {"Line": {"type": "string"}}}"#),
    ])
}

const PLACE: &str = "workflow: demo/nodes
inputs:
  n: {type: integer, default: 1}
  name: {type: string, default: x}
  names: {type: array, items: {type: string}, maxItems: 100, default: []}
  data: artifact
nodes:
";

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") }).collect()
}

const MODIFIERS: [&str; 11] = ["if", "with", "after", "needs", "retry", "timeout", "cache", "undo", "once", "lowers", "outputs"];
const KINDS: [&str; 7] = ["use", "run", "task", "human", "wait", "each", "decide"];

/// What a block begins with.
fn first_key(block: &Block) -> &str {
    let mut lines = block.text.lines();
    let first = lines.find(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()).unwrap_or_default();
    first.split(':').next().unwrap_or_default()
}

/// Whether a block is of our language: guides show files of other programs too. The reference of the language shows nothing else.
fn is_ours(block: &Block) -> bool {
    let key = first_key(block);
    block.page == "docs/reference/language.md"
        || ["workflow", "kind", "nodes"].contains(&key)
        || MODIFIERS.contains(&key)
        || KINDS.contains(&key)
}

/// A block as a whole file: pages show nodes, and parts of nodes, too.
pub(crate) fn whole(block: &Block) -> String {
    let key = first_key(block);
    match key {
        "workflow" | "kind" => block.text.clone(),
        "nodes" => format!("{}{}", PLACE.trim_end_matches("nodes:\n"), block.text),
        key if MODIFIERS.contains(&key) => format!("{PLACE}  x:\n    use: core/noop\n{}", indented(&block.text, "    ")),
        key if KINDS.contains(&key) => format!("{PLACE}  x:\n{}", indented(&block.text, "    ")),
        _ => format!("{PLACE}{}", indented(&block.text, "  ")),
    }
}

fn findings(text: &str) -> Vec<Diagnostic> {
    workflow::documents::read(text, &beside(), &Shelf).diagnostics
}

fn told(block: &Block, text: &str, findings: &[Diagnostic]) -> String {
    let told = findings.iter().map(|finding| finding.render(&format!("{}:{}", block.page, block.line), text));
    format!("{}\n{text}", told.collect::<String>())
}

/// The documents of a text, for the schema.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let (trees, findings) = parse(text);
    assert!(findings.is_empty(), "{findings:?}");
    trees.iter().map(workflow::source::Tree::to_value).collect()
}

/// Blocks that have to be right, whole.
pub(crate) fn right() -> Vec<Block> {
    let mut pages = vec!["README.md".to_owned(), "docs/reference/language.md".into(), "docs/reference/run-nodes.md".into()];
    pages.push("docs/reference/worker-protocol.md".into());
    pages.extend(
        ["docs/concepts", "docs/connectors", "docs/guide", "docs/operations"].iter().flat_map(|folder| list(folder, ".md")),
    );
    let mut all: Vec<Block> = pages.iter().flat_map(|page| blocks(page)).filter(is_ours).collect();
    all.extend(list("docs/errors", ".md").iter().flat_map(|page| blocks(page)).filter(|block| block.heading == "What to do"));
    all
}

#[test]
fn what_the_pages_show_compiles() {
    let all = right();
    assert!(all.len() > 40, "{} blocks found", all.len());
    for block in all {
        let text = whole(&block);
        let found: Vec<Diagnostic> = findings(&text).into_iter().filter(|finding| !shown_in_part(&block, finding)).collect();
        assert!(found.is_empty(), "{}", told(&block, &text, &found));
    }
}

/// A block that shows some nodes may refer to others.
fn shown_in_part(block: &Block, finding: &Diagnostic) -> bool {
    let part = block.page != "docs/reference/language.md" && !block.text.contains("workflow:");
    part && matches!(finding.code, "W0201")
}

#[test]
fn what_error_pages_warn_of_is_found() {
    let mut golden = String::new();
    let mut covered: Vec<String> = Vec::new();
    for page in list("docs/errors", ".md") {
        let code = page.rsplit('/').next().unwrap().trim_end_matches(".md").to_owned();
        for block in blocks(&page).iter().filter(|block| block.heading == "An example") {
            let found = findings(&block.text);
            assert!(found.iter().any(|finding| finding.code == code), "{}", told(block, &block.text, &found));
            assert!(
                found.iter().all(|finding| finding.severity == Severity::Warning || finding.code == code),
                "only that\n{}",
                told(block, &block.text, &found)
            );
            golden += &format!("# {code}\n");
            golden.extend(found.iter().map(|finding| finding.render("demo.workflow.yaml", &block.text)));
            covered.push(code.clone());
        }
    }
    for (code, shown) in without_a_block() {
        golden += &format!("# {code}\n{shown}");
        covered.push(code.to_owned());
    }
    let all =
        list("docs/errors", ".md").into_iter().filter_map(|page| page.rsplit('/').next()?.strip_suffix(".md").map(str::to_owned));
    // W0206 and W0208 are told by the server, which knows what a trigger starts and its own environment, and W0601 and W0602 by what reads Cedar; W0701 is told by who has the secrets.
    let missing: Vec<String> = all
        .filter(|code| {
            code.starts_with('W')
                && !["W0206", "W0208", "W0601", "W0602", "W0701"].contains(&code.as_str())
                && !covered.contains(code)
        })
        .collect();
    assert!(missing.is_empty(), "codes without an example that is shown: {missing:?}");
    same_as("crates/workflow/tests/golden/findings.txt", &golden);
}

/// Findings of what does not fit on a page.
fn without_a_block() -> Vec<(&'static str, String)> {
    let rendered = |code: &'static str, text: &str, found: Vec<Diagnostic>| {
        assert!(found.iter().any(|finding| finding.code == code), "{code}: {found:?}");
        (code, found.iter().map(|finding| finding.render("demo.workflow.yaml", text)).collect())
    };
    let long = "#".repeat(model::limits::WORKFLOW_BYTES_MAX + 1);
    let many: String = (0..10_001).map(|index| format!("  n{index}: {{use: core/noop}}\n")).collect();
    let many = format!("workflow: demo/w\nnodes:\n{many}");
    let deep = format!("workflow: demo/w\nnodes: {}1{}", "[".repeat(70), "]".repeat(70));
    let bytes = b"workflow: demo/w\n# caf\xe9\n";
    let mut all = vec![
        rendered("W0001", "", findings(&long)),
        rendered("W0001", &many, findings(&many)),
        rendered("W0002", "", vec![workflow::source::decode(bytes).unwrap_err()]),
        rendered("W0005", &deep, findings(&deep)),
    ];
    let text = "workflow: demo/w\nnodes:\n  a: {use: core/noop}\n";
    for (code, edits) in [
        ("W0501", vec![]),
        ("W0502", vec![serde_json::json!({"op": "unset", "path": "/nodes/a/retry"})]),
        ("W0503", vec![serde_json::json!({"op": "add", "node": "a", "value": {"use": "core/noop"}})]),
        ("W0504", vec![serde_json::json!({"op": "note", "node": "a", "text": "x"})]),
    ] {
        let text = match code {
            "W0501" => "workflow: [",
            "W0504" => "workflow: demo/w\nnodes: {a: {use: core/noop}}\n",
            _ => text,
        };
        let edits: Vec<workflow::edit::Edit> = edits.into_iter().map(|edit| serde_json::from_value(edit).unwrap()).collect();
        let failed = workflow::edit::apply(text, &edits).expect_err(code);
        let hint = failed.hint.as_ref().map_or(String::new(), |hint| format!(" = hint: {hint}\n"));
        assert_eq!(failed.code, code, "{failed:?}");
        all.push((code, format!("error[{}]: {}\n{hint}", failed.code, failed.message)));
    }
    all
}

/// Compares with a file of the project; with `UPDATE_GOLDEN=1` it is written anew.
#[expect(clippy::disallowed_methods, reason = "a test compares with a file of the project")]
fn same_as(path: &str, text: &str) {
    let file = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let line = kept.lines().zip(text.lines()).find(|(kept, made)| kept != made);
    assert!(kept == text, "{path} is stale; UPDATE_GOLDEN=1 with this test writes it. First difference: {line:?}");
}
