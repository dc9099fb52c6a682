//! Types: JSON Schemas as written, with the names of types and every `$ref` put in their place. What comes out refers to nothing.

use std::cell::Cell;
use std::ops::Range;

use model::limits::{SCHEMA_DEPTH_MAX, SCHEMA_VALUES_MAX};
use serde_json::{Map, Value, json};

use crate::Diagnostic;
use crate::fields::Fields;
use crate::source::{Data, Tree};
use crate::suggest::nearest;
use crate::types::ARTIFACT_TYPES;

use super::Compiler;

/// Types that a schema may name.
const PLAIN_TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
/// Words whose value is a schema.
const ONE: [&str; 12] = [
    "items",
    "additionalProperties",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "additionalItems",
];
/// Words whose value is a list of schemas.
const SEVERAL: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Words whose value is a map of schemas.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
/// Words that say how to find schemas: nothing is left to be found.
const PLACES: [&str; 6] = ["$defs", "definitions", "$id", "$schema", "$anchor", "$comment"];
/// Words for texts, numbers, counts, flags, lists.
const TEXTS: [&str; 6] = ["title", "description", "format", "pattern", "contentEncoding", "contentMediaType"];
const NUMBERS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const COUNTS: [&str; 8] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"];
const FLAGS: [&str; 4] = ["uniqueItems", "deprecated", "readOnly", "writeOnly"];
const LISTS: [&str; 2] = ["enum", "examples"];
const LISTS_OF_TEXTS: [&str; 2] = ["required", "labels"];
const ANYTHING: [&str; 3] = ["const", "default", "dependentRequired"];

/// Where a schema is read from.
#[derive(Clone)]
struct Origin {
    /// The file beside the workflow; none is the workflow itself.
    file: Option<String>,
    /// Where the workflow refers to that file: what is wrong with it is said there.
    span: Option<Range<usize>>,
    /// The references that led here.
    way: Vec<String>,
}

impl<'c> Compiler<'c> {
    /// Reads `types:`. They may refer to each other, in any order.
    pub(crate) fn read_types(&mut self, fields: &Fields<'c>) {
        let Some(tree) = fields.get("types") else { return };
        let Data::Map(types) = &tree.data else {
            self.findings.error("W0103", &tree.span, format!("`types` has to be a map, and this is {}", tree.kind()));
            return;
        };
        self.written = types.iter().map(|(key, value)| (key.text.as_str(), value)).collect();
        for (key, value) in types {
            if !crate::is_name(&key.text) {
                let message =
                    format!("`{}` is not a name: letters, digits, `-` and `_`, beginning with a letter, at most 63", key.text);
                self.findings.error("W0105", &key.span, message);
            }
            let origin = Origin { file: None, span: None, way: vec![format!("#/types/{}", key.text)] };
            let schema = self.read_schema(value, &origin, &Cell::new(SCHEMA_VALUES_MAX));
            self.types.insert(key.text.clone(), schema);
        }
    }

    /// A JSON Schema: written out, as the name of a type, or as a reference to a file or to `types:`.
    pub(crate) fn schema(&self, tree: &Tree) -> Value {
        let origin = Origin { file: None, span: None, way: Vec::new() };
        self.read_schema(tree, &origin, &Cell::new(SCHEMA_VALUES_MAX))
    }

    fn wrong(&self, code: &'static str, tree: &Tree, origin: &Origin, message: String, hint: Option<String>) {
        let (span, message) = match (&origin.span, &origin.file) {
            (Some(span), Some(file)) => (span.clone(), format!("in `{file}`: {message}")),
            _ => (tree.span.clone(), message),
        };
        let mut finding = Diagnostic::error(code, span, message);
        finding.hint = hint;
        self.findings.push(finding);
    }

    fn read_schema(&self, tree: &Tree, origin: &Origin, left: &Cell<usize>) -> Value {
        if !self.spend(1, tree, origin, left) {
            return json!({});
        }
        match &tree.data {
            Data::Scalar(Value::String(name)) => self.named_type(name, tree, origin, left),
            Data::Scalar(Value::Null) => json!({}),
            Data::Scalar(Value::Bool(any)) => Value::Bool(*any),
            Data::Map(fields) => {
                let mut schema = match self.base(tree, origin, left) {
                    Value::Object(base) => base,
                    other if fields.len() == 1 => return other,
                    _ => Map::new(),
                };
                for (key, value) in fields {
                    if let Some(read) = self.word(&key.text, &key.span, value, origin, left) {
                        add(&mut schema, &key.text, read);
                    }
                }
                Value::Object(schema)
            }
            _ => {
                let message = format!("a type has to be a schema or the name of one, and this is {}", tree.kind());
                self.wrong("W0103", tree, origin, message, None);
                json!({})
            }
        }
    }

    /// Counts what a type comes to with everything it refers to: references within references would be without bound.
    fn spend(&self, values: usize, tree: &Tree, origin: &Origin, left: &Cell<usize>) -> bool {
        let before = left.get();
        left.set(before.saturating_sub(values));
        if before < values && before > 0 {
            let message = format!("the type comes to more than {SCHEMA_VALUES_MAX} values with what it refers to");
            self.wrong("W0207", tree, origin, message, Some("describe less of it: `object` alone takes any object".into()));
            left.set(0);
        }
        before >= values
    }

    /// What a schema builds on: a type by its name, or what it refers to.
    fn base(&self, tree: &Tree, origin: &Origin, left: &Cell<usize>) -> Value {
        if let Some(reference) = tree.get("$ref") {
            return self.reference(reference, origin, left);
        }
        match tree.get("type").map(|found| (found, &found.data)) {
            Some((found, Data::Scalar(Value::String(name)))) => self.named_type(name, found, origin, left),
            Some((found, Data::List(names))) => {
                for name in names {
                    if !name.as_str().is_some_and(|name| PLAIN_TYPES.contains(&name)) {
                        let message = format!("a list of types has {}", PLAIN_TYPES.join(", "));
                        self.wrong("W0104", name, origin, message, None);
                    }
                }
                json!({ "type": found.to_value() })
            }
            Some((found, _)) => {
                let message = format!("`type` has to be the name of a type, and this is {}", found.kind());
                self.wrong("W0103", found, origin, message, None);
                json!({})
            }
            None => json!({}),
        }
    }

    /// A word of a schema; none for one that was read already.
    fn word(&self, word: &str, key: &Range<usize>, value: &Tree, origin: &Origin, left: &Cell<usize>) -> Option<Value> {
        let all = |items: &[Tree]| Value::Array(items.iter().map(|item| self.read_schema(item, origin, left)).collect());
        let fits = match (word, &value.data) {
            ("type" | "$ref", _) => return None,
            (word, _) if PLACES.contains(&word) => return None,
            ("$dynamicRef" | "$recursiveRef", _) => {
                self.wrong("W0207", value, origin, format!("`{word}` is not followed"), Some("use `$ref`".into()));
                return None;
            }
            (word, _) if ONE.contains(&word) => return Some(self.read_schema(value, origin, left)),
            (word, Data::List(items)) if SEVERAL.contains(&word) => return Some(all(items)),
            (word, Data::Map(fields)) if NAMED.contains(&word) => {
                let read = fields.iter().map(|(name, field)| (name.text.clone(), self.read_schema(field, origin, left)));
                return Some(Value::Object(read.collect()));
            }
            (word, _) if SEVERAL.contains(&word) => Err("a list of types"),
            (word, _) if NAMED.contains(&word) => Err("a map of types"),
            (word, data) if TEXTS.contains(&word) => matches!(data, Data::Scalar(Value::String(_))).then_some(()).ok_or("a text"),
            (word, data) if NUMBERS.contains(&word) => {
                matches!(data, Data::Scalar(Value::Number(_))).then_some(()).ok_or("a number")
            }
            (word, data) if COUNTS.contains(&word) => {
                let count = matches!(data, Data::Scalar(Value::Number(number)) if number.as_u64().is_some());
                count.then_some(()).ok_or("a whole number")
            }
            (word, data) if FLAGS.contains(&word) => {
                matches!(data, Data::Scalar(Value::Bool(_))).then_some(()).ok_or("true or false")
            }
            (word, data) if LISTS.contains(&word) => matches!(data, Data::List(_)).then_some(()).ok_or("a list"),
            (word, data) if LISTS_OF_TEXTS.contains(&word) => {
                let texts = matches!(data, Data::List(items) if items.iter().all(|item| item.as_str().is_some()));
                texts.then_some(()).ok_or("a list of texts")
            }
            (word, _) => {
                if !ANYTHING.contains(&word) {
                    self.unknown(word, key, origin);
                }
                Ok(())
            }
        };
        if let Err(wanted) = fits {
            let message = format!("`{word}` of a type has to be {wanted}, and this is {}", value.kind());
            self.wrong("W0103", value, origin, message, None);
        } else if word == "pattern"
            && let Some(Err(error)) = value.as_str().map(regex::Regex::new)
        {
            // They are right elsewhere: whoever wrote them is not told that they are wrong.
            let why = error.to_string();
            let (message, hint) = if why.contains("look-around") || why.contains("backreferences") {
                let hint = "patterns are matched in time that grows with the text alone: say it without";
                ("look-ahead, look-behind and back-references in a `pattern` are not supported", Some(hint.to_owned()))
            } else {
                ("`pattern` is not a regular expression", None)
            };
            self.wrong("W0104", value, origin, message.into(), hint);
        }
        Some(value.to_value())
    }

    /// JSON Schema lets anything stand; what is nearly a word of it is probably meant to be one.
    fn unknown(&self, word: &str, key: &Range<usize>, origin: &Origin) {
        let known =
            [&ONE[..], &SEVERAL, &NAMED, &TEXTS, &NUMBERS, &COUNTS, &FLAGS, &LISTS, &LISTS_OF_TEXTS, &ANYTHING, &["type"]];
        if let Some(near) = nearest(word, known.into_iter().flatten().copied()) {
            let span = origin.span.clone().unwrap_or_else(|| key.clone());
            let finding = Diagnostic::warning("W0101", span, format!("`{word}` is no word of JSON Schema"));
            self.findings.push(finding.hint(format!("did you mean `{near}`?")));
        }
    }

    fn named_type(&self, name: &str, tree: &Tree, origin: &Origin, left: &Cell<usize>) -> Value {
        // Types of the workflow are not known to the files beside it.
        if origin.file.is_none() {
            if let Some(schema) = self.types.get(name) {
                return if self.spend(values(schema), tree, origin, left) { schema.clone() } else { json!({}) };
            }
            if let Some(written) = self.written.get(name) {
                return self.enter(format!("#/types/{name}"), tree, origin, |origin| self.read_schema(written, origin, left));
            }
        }
        if PLAIN_TYPES.contains(&name) || ARTIFACT_TYPES.contains(&name) {
            return json!({ "type": name });
        }
        if name == "any" {
            return json!({});
        }
        let known = PLAIN_TYPES.iter().chain(&ARTIFACT_TYPES).copied().chain(self.written.keys().copied());
        let hint = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        self.wrong("W0104", tree, origin, format!("there is no type `{name}`"), hint);
        json!({})
    }

    /// Goes on at another place, unless the way to here has been there.
    fn enter(&self, step: String, tree: &Tree, origin: &Origin, read: impl FnOnce(&Origin) -> Value) -> Value {
        let hint = Some("a type that contains itself has no end: say `object` or `any` where it would".to_owned());
        if origin.way.contains(&step) {
            let message = format!("`{step}` refers to itself: {} → {step}", origin.way.join(" → "));
            self.wrong("W0207", tree, origin, message, hint);
            return json!({});
        }
        if origin.way.len() >= SCHEMA_DEPTH_MAX {
            let message = format!("types refer to each other deeper than {SCHEMA_DEPTH_MAX}");
            self.wrong("W0207", tree, origin, message, hint);
            return json!({});
        }
        let mut inner = origin.clone();
        inner.way.push(step);
        read(&inner)
    }

    /// `$ref`: `#/types/Name`, a JSON or YAML file beside the workflow, or a place in one.
    fn reference(&self, tree: &Tree, origin: &Origin, left: &Cell<usize>) -> Value {
        let refuse = |message: String, hint: &str| {
            self.wrong("W0207", tree, origin, message, Some(hint.to_owned()));
            json!({})
        };
        let Some(text) = tree.as_str() else {
            return refuse("`$ref` has to be a text".into(), "write `#/types/Name`, or the path of a file beside the workflow");
        };
        let (path, pointer) = text.split_once('#').unwrap_or((text, ""));
        if path.contains(':') || path.starts_with('/') {
            return refuse(
                format!("`{text}` is not beside the workflow"),
                "put a copy of it there: what a workflow means does not change with the network",
            );
        }
        let path = match (path, &origin.file) {
            ("", None) => return self.own_reference(pointer, tree, origin, left),
            ("", Some(file)) => file.clone(),
            (path, file) => match beside(file.as_deref(), path) {
                Some(path) => path,
                None => {
                    return refuse(
                        format!("`{text}` does not stay in the folder of the workflow"),
                        "put the file beside the workflow",
                    );
                }
            },
        };
        let root = match self.type_file(&path) {
            Ok(root) => root,
            Err(why) => {
                let paths = self.files.paths();
                let near = nearest(&path, paths.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
                let missing = self.files.read(&path).is_none();
                self.wrong(
                    if missing { "W0205" } else { "W0207" },
                    tree,
                    origin,
                    format!("`{path}` cannot be read: {why}"),
                    near,
                );
                return json!({});
            }
        };
        let Some(found) = lookup(&root, pointer) else {
            return refuse(format!("there is no `#{pointer}` in `{path}`"), "the part after `#` is a path such as `/$defs/Name`");
        };
        self.enter(format!("{path}#{pointer}"), tree, origin, |origin| {
            let span = origin.span.clone().unwrap_or_else(|| tree.span.clone());
            let inner = Origin { file: Some(path.clone()), span: Some(span), way: origin.way.clone() };
            self.read_schema(found, &inner, left)
        })
    }

    /// `#/…` in the workflow itself: its types, and what is within them.
    fn own_reference(&self, pointer: &str, tree: &Tree, origin: &Origin, left: &Cell<usize>) -> Value {
        let Some((name, within)) = pointer.strip_prefix("/types/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
            let hint = "within a workflow `#/types/Name` refers to a type of it";
            self.wrong("W0207", tree, origin, format!("`#{pointer}` is no type"), Some(hint.into()));
            return json!({});
        };
        let whole = self.named_type(&name.replace("~1", "/").replace("~0", "~"), tree, origin, left);
        if within.is_empty() {
            return whole;
        }
        whole.pointer(&format!("/{within}")).cloned().unwrap_or_else(|| {
            self.wrong("W0207", tree, origin, format!("there is no `{within}` in the type `{name}`"), None);
            json!({})
        })
    }
}

/// Adds a word to what a schema builds on. Both hold: tags and what is required add up, fields are there beside each other.
fn add(schema: &mut Map<String, Value>, word: &str, value: Value) {
    match (word, schema.get_mut(word), value) {
        ("labels" | "required", Some(Value::Array(known)), Value::Array(more)) => {
            for item in more {
                if !known.contains(&item) {
                    known.push(item);
                }
            }
        }
        ("properties", Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
        (word, _, value) => drop(schema.insert(word.to_owned(), value)),
    }
}

/// The path of a file from the folder of another; none when it leaves the folder of the workflow.
fn beside(file: Option<&str>, path: &str) -> Option<String> {
    let folder = file.and_then(|file| file.rsplit_once('/')).map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    crate::is_relative_path(&path).then_some(path)
}

/// The place that a JSON pointer names.
fn lookup<'t>(root: &'t Tree, pointer: &str) -> Option<&'t Tree> {
    let mut at = root;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        at = match &at.data {
            Data::List(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => at.get(&step)?,
        };
    }
    (pointer.is_empty() || pointer.starts_with('/')).then_some(at)
}

fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(values).sum::<usize>(),
        _ => 1,
    }
}
