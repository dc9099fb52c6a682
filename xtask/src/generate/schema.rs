//! docs/reference/workflow.schema.json: the schema of the language as the language has it.

use anyhow::Context as _;

use crate::tree::Tree;

const SOURCE: &str = "crates/workflow/src/schema.json";

/// The file.
pub(crate) fn page(tree: &Tree) -> anyhow::Result<String> {
    let source = tree.text(SOURCE).with_context(|| format!("there is no {SOURCE}"))?;
    serde_json::from_str::<serde_json::Value>(source).with_context(|| format!("{SOURCE} is not JSON"))?;
    Ok(source.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_differs_is_found() {
        let source = (SOURCE, "{\"type\": \"object\"}\n");
        let found = |page: &str| {
            let tree = Tree::of(&[source, ("docs/reference/workflow.schema.json", page)]);
            crate::generate::stale(&tree).iter().any(|finding| finding.path == "docs/reference/workflow.schema.json")
        };
        assert!(!found(source.1));
        assert!(found("{}\n"));
        assert!(page(&Tree::of(&[(SOURCE, "{")])).is_err());
    }
}
