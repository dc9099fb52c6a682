//! YAML as workflows are written: one document, no anchors, no tags, with positions for what is wrong.

use serde_json::Value;

use crate::failure::CommandError;

/// A document as a value.
pub(crate) fn read(text: &str, path: &str) -> Result<Value, CommandError> {
    let (trees, findings) = workflow::source::parse(text);
    let rendered: String = findings.iter().map(|finding| finding.render(path, text)).collect();
    match trees.as_slice() {
        [tree] if findings.is_empty() => Ok(tree.to_value()),
        [] if findings.is_empty() => Ok(Value::Object(serde_json::Map::new())),
        _ if findings.is_empty() => Err(CommandError::usage(format!("`{path}` holds several documents"))),
        _ => Err(CommandError::usage(format!("`{path}` is not YAML as it is read here\n{rendered}"))),
    }
}
