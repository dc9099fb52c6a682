//! Values from the command line: `k=v` with the type that is asked for, and files of inputs.

use std::path::Path;

use anyhow::Context as _;
use controlplane::FaultKind;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::failure::CommandError;

/// The pairs as values. `schema` gives what is known of the type of a key; `@file` uploads a file.
pub(crate) async fn from_pairs(
    pairs: &[String],
    schema: impl Fn(&str) -> Option<Value>,
    client: &Client,
    site: Option<&str>,
) -> Result<Map<String, Value>, CommandError> {
    let mut values = Map::new();
    for pair in pairs {
        let (key, text) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| CommandError::usage(format!("`{pair}` is not an input")).hint("give NAME=VALUE"))?;
        let is_text = schema(key).is_some_and(|schema| schema["type"] == "string");
        let value = match text.strip_prefix('@') {
            Some(path) if !is_text => client.upload(Path::new(path), site).await?,
            _ if is_text => text.into(),
            _ => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        values.insert(key.to_owned(), value);
    }
    Ok(values)
}

/// A file with an object of inputs: JSON, or YAML as workflows are written.
pub(crate) fn from_file(path: &Path) -> Result<Map<String, Value>, CommandError> {
    let text = std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let wrong = |why: String| CommandError::of(FaultKind::File, format!("`{}` {why}", path.display()));
    let value = if crate::sources::is_document(path) {
        crate::yaml::read(&text, &path.display().to_string())?
    } else {
        serde_json::from_str(&text).map_err(|error| wrong(format!("is not JSON: {error}")))?
    };
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(wrong("is not a map of inputs".into())),
    }
}
