//! The pages of the built-in connectors, `docs/connectors/*.md`, made from the manifests. `UPDATE_GOLDEN=1` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::{Manifest, built_in};

/// What a schema takes, in a word or two.
fn kind(schema: &Value) -> String {
    let word = schema["type"].as_str().unwrap_or("any");
    let bounds = match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(from), Some(to)) => format!(", {from} to {to}"),
        (Some(from), None) => format!(", from {from}"),
        _ => String::new(),
    };
    let choice: Vec<String> =
        schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
    let of = schema["items"]["type"].as_str().or(schema["additionalProperties"]["type"].as_str());
    let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
    if choice.is_empty() { format!("{word}{of}{bounds}") } else { choice.join(", ") }
}

fn fields(schema: &Value) -> String {
    let Some(properties) = schema["properties"].as_object() else { return "Any fields.\n".into() };
    let needed = |name: &str| schema["required"].as_array().is_some_and(|needed| needed.iter().any(|one| one == name));
    let mut table = "| field | type | | what it is |\n|---|---|---|---|\n".to_owned();
    for (name, property) in properties {
        let about = property["description"].as_str().unwrap_or_else(|| panic!("`{name}` is not described"));
        let _ = writeln!(table, "| `{name}` | {} | {} | {about} |", kind(property), if needed(name) { "always" } else { "" });
    }
    table
}

fn file_of(manifest: &Manifest) -> String {
    format!("docs/connectors/{}.md", manifest.name.replace('/', "-"))
}

fn page(manifest: &Manifest) -> String {
    let Manifest { name, version, description, inputs, outputs, instant, example } = manifest;
    let computed = match instant {
        true => "It is a function of its input: the server computes it in the step that places it, and no process is started.",
        false => {
            "It runs in the executor of the site it is placed at, and counts against the timeout and the retries of its node."
        }
    };
    format!(
        "# `{name}`\n\n<!-- Made from the manifest: UPDATE_GOLDEN=1 and the tests of `connectors`. -->\n\n{description} Written `use: {name}` or \
         `use: {name}@{version}`.\n\n{computed}\n\n## Takes (`with`)\n\n{}\n## Gives\n\n{}\n## An example\n\n```yaml\n{example}```\n",
        fields(inputs),
        fields(outputs),
    )
}

#[test]
fn every_connector_has_a_page_that_says_what_its_manifest_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let summary = std::fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
    for manifest in built_in() {
        let (file, made) = (file_of(manifest), page(manifest));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(root.join(&file), &made).unwrap();
        }
        let found = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        assert_eq!(found, made, "`{file}` is stale: run this test with UPDATE_GOLDEN=1");
        let linked = format!("({})", file.trim_start_matches("docs/"));
        assert!(summary.contains(&linked), "{linked} is not in docs/SUMMARY.md");
    }
}
