//! Pages that are made from the code, and the check that they are fresh.

mod documents;
mod error_index;
mod limits;
mod schema;

use std::path::Path;

use anyhow::Context as _;

use crate::finding::Finding;
use crate::tree::Tree;

/// A file of which some or all is made from the code.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    /// Where it stands.
    path: &'static str,
    /// Makes it from the tree.
    make: fn(&Tree) -> anyhow::Result<String>,
}

/// The limits.
pub(crate) const LIMITS: Page = Page { path: "docs/reference/limits.md", make: limits::page };

/// Everything.
pub(crate) const ALL: &[Page] = &[
    LIMITS,
    Page { path: "docs/reference/workflow.schema.json", make: schema::page },
    Page { path: "docs/reference/documents.md", make: documents::page },
    Page { path: "docs/errors/README.md", make: error_index::page },
    Page { path: "docs/SUMMARY.md", make: error_index::contents },
];

/// Writes these pages where they are not fresh.
pub(crate) fn write(root: &Path, pages: &[Page]) -> anyhow::Result<bool> {
    let tree = Tree::read(root)?;
    for page in pages {
        let made = (page.make)(&tree)?;
        if tree.text(page.path) != Some(made.as_str()) {
            let file = root.join(page.path);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).with_context(|| format!("`{}`", folder.display()))?;
            }
            std::fs::write(&file, made).with_context(|| format!("`{}`", page.path))?;
            eprintln!("wrote {}", page.path);
        }
    }
    Ok(true)
}

/// Pages that differ from what the code says.
pub(crate) fn stale(tree: &Tree) -> Vec<Finding> {
    let stale = |page: &Page| match (page.make)(tree) {
        Ok(made) if tree.text(page.path) == Some(made.as_str()) => None,
        Ok(_) => Some(Finding::error("generated", page.path, "is not what the code says: run `cargo xtask generate`")),
        Err(error) => Some(Finding::error("generated", page.path, format!("cannot be made: {error:#}"))),
    };
    ALL.iter().filter_map(stale).collect()
}
