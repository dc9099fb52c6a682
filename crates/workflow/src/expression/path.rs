//! Plain paths such as `nodes.a.b[0]`: looked up where they lie, without an interpreter and without a copy.

use model::value::ARTIFACT_KEY;
use serde_json::Value;

use super::Names;

/// A step of a plain path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    Index(usize),
}

/// What a path leads to.
pub(super) enum Found<'a> {
    Value(&'a Value),
    /// The number of the item, which is no JSON value anywhere.
    Index(u32),
}

/// The steps of an expression that is a plain path from one of our names.
pub(super) fn path(source: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for segment in source.split('.') {
        let (name, mut rest) = match segment.find('[') {
            Some(at) => segment.split_at(at),
            None => (segment, ""),
        };
        let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !word {
            return None;
        }
        steps.push(Step::Field(name.to_owned()));
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    matches!(steps.first(), Some(Step::Field(root)) if ["inputs", "nodes", "item", "index", "run"].contains(&root.as_str()))
        .then_some(steps)
}

/// A field of a value. What is said of an artifact stands inside its mark.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| value.get(ARTIFACT_KEY)?.get(name))
}

/// The output of a node.
pub(super) fn node<'a>(id: &str, names: &Names<'a>) -> Result<&'a Value, String> {
    let found = names.nodes.iter().find(|(known, _)| *known == id);
    found.map(|(_, value)| *value).ok_or_else(|| format!("there is no node `{id}` to see here"))
}

/// One of our own names, `nodes` excepted.
pub(super) fn name<'a>(name: &str, names: &Names<'a>) -> Result<Found<'a>, String> {
    match name {
        "inputs" => names.inputs.map(Found::Value).ok_or_else(|| "there are no inputs".into()),
        "run" => names.run.map(Found::Value).ok_or_else(|| "there is no run".into()),
        "item" => names.item.map(|(item, _)| Found::Value(item)).ok_or_else(|| "`item` exists inside `each` only".into()),
        "index" => names.item.map(|(_, index)| Found::Index(index)).ok_or_else(|| "`index` exists inside `each` only".into()),
        "nodes" => Err("`nodes` alone is not a value: name one of them".into()),
        other => Err(format!("there is no `{other}` here")),
    }
}

/// Goes the steps of a path.
pub(super) fn follow<'a>(steps: &[Step], names: &Names<'a>) -> Result<Found<'a>, String> {
    let mut rest = steps.iter();
    let Some(Step::Field(first)) = rest.next() else { return Err("nothing to look up".into()) };
    let mut walked = first.clone();
    let mut value = if first == "nodes" {
        let Some(Step::Field(id)) = rest.next() else { return Err("`nodes` alone is not a value: name one of them".into()) };
        walked = format!("nodes.{id}");
        node(id, names)?
    } else {
        match name(first, names)? {
            Found::Value(value) => value,
            Found::Index(index) if steps.len() == 1 => return Ok(Found::Index(index)),
            Found::Index(_) => return Err("`index` is a number: it has no fields and no elements".into()),
        }
    };
    for step in rest {
        let next = match step {
            Step::Field(name) => field(value, name),
            Step::Index(index) => value.get(index),
        };
        match (next, step) {
            (Some(next), Step::Field(name)) => {
                walked = format!("{walked}.{name}");
                value = next;
            }
            (Some(next), Step::Index(index)) => {
                walked = format!("{walked}[{index}]");
                value = next;
            }
            // What was skipped has no fields, and whoever asks for one gets nothing.
            (None, _) if value.is_null() => return Ok(Found::Value(&Value::Null)),
            (None, Step::Field(name)) => return Err(format!("`{walked}` has no field `{name}`")),
            (None, Step::Index(index)) => return Err(format!("`{walked}` has no element {index}")),
        }
    }
    Ok(Found::Value(value))
}
