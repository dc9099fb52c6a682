//! The interface of a task as JSON has it: schemas of what it takes and gives, and the values between the two.

use std::collections::BTreeMap;

use model::value::ArtifactKind;
use model::{ArtifactRef, Digest};
use serde_json::{Map, Value, json};

use crate::msgpack;
use crate::wire::{
    Binary, Blob, BlobMeta, BlobType, Collection, Empty, Interface, Literal, LiteralEntry, LiteralMap, NamedLiteral, Primitive,
    Scalar, Table, TableFormat, TableMeta, TaskSpec, Time, Type, Union, Values, Variable,
};
use prost::Message as _;

pub(crate) const INTEGER: i32 = 1;
pub(crate) const FLOAT: i32 = 2;
pub(crate) const STRING: i32 = 3;
pub(crate) const BOOLEAN: i32 = 4;
const DATETIME: i32 = 5;
const DURATION: i32 = 6;
pub(crate) const STRUCT: i32 = 9;
/// The name of the packing that the SDK reads.
const MSGPACK: &str = "msgpack";

/// Why a value is not one for a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Nothing was given, and there is nothing to take instead.
    #[error("the task needs `{0}`")]
    Missing(String),
    /// It takes no such input.
    #[error("the task has no input `{0}`")]
    Unknown(String),
    /// It is of another type.
    #[error("`{0}` is {1}, and the task takes {2}")]
    Type(String, &'static str, &'static str),
    /// It cannot be given from outside of a program.
    #[error("`{0}` is {1}, which only a program of the SDK can give")]
    Foreign(String, &'static str),
}

fn interface(spec: &TaskSpec) -> Interface {
    let bytes = spec.task_template.as_ref().map(|template| template.interface.as_slice()).unwrap_or_default();
    Interface::decode(bytes).unwrap_or_default()
}

fn variables(side: Option<crate::wire::Variables>) -> Vec<(String, Type)> {
    let named = |variable: Variable| (variable.key, variable.value.and_then(|value| value.of).unwrap_or_default());
    side.unwrap_or_default().variables.into_iter().map(named).collect()
}

/// JSON Schema of what a task takes.
pub fn inputs_schema(spec: &TaskSpec) -> Value {
    let variables = variables(interface(spec).inputs);
    let has_default = |name: &str| spec.default_inputs.iter().any(|default| default.name == name);
    let required: Vec<&String> = variables.iter().map(|(name, _)| name).filter(|name| !has_default(name)).collect();
    let properties: Map<String, Value> = variables.iter().map(|(name, of)| (name.clone(), schema(of))).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// JSON Schema of what a task gives.
pub fn outputs_schema(spec: &TaskSpec) -> Value {
    let variables = variables(interface(spec).outputs);
    let properties: Map<String, Value> = variables.iter().map(|(name, of)| (name.clone(), schema(of))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn schema(of: &Type) -> Value {
    if let Some(items) = &of.items {
        return json!({ "type": "array", "items": schema(items) });
    }
    if let Some(values) = &of.values {
        return json!({ "type": "object", "additionalProperties": schema(values) });
    }
    if let Some(choice) = &of.choice {
        return json!({ "type": "string", "enum": choice.values });
    }
    if let Some(kind) = kind_of_type(of) {
        return json!({ "type": kind });
    }
    match of.simple {
        Some(INTEGER) => json!({ "type": "integer" }),
        Some(FLOAT | DURATION) => json!({ "type": "number" }),
        Some(STRING | DATETIME) => json!({ "type": "string" }),
        Some(BOOLEAN) => json!({ "type": "boolean" }),
        Some(STRUCT) => json!({ "type": "object" }),
        // Unions, and what has no word in JSON.
        _ => json!({}),
    }
}

/// What lies elsewhere than in its value: a file, a folder or a table; none for other types.
fn kind_of_type(of: &Type) -> Option<ArtifactKind> {
    if of.table.is_some() {
        return Some(ArtifactKind::Table);
    }
    of.blob.as_ref().map(|blob| kind_of_blob(blob))
}

/// The dimensionality of a folder.
const MULTIPART: i32 = 1;

fn kind_of_blob(of: &[u8]) -> ArtifactKind {
    match BlobType::decode(of).unwrap_or_default().dimensionality {
        MULTIPART => ArtifactKind::Directory,
        _ => ArtifactKind::File,
    }
}

/// Where artifacts lie that a task is given: addresses by digest.
pub type Placed = BTreeMap<Digest, String>;

/// An artifact as a value of a type: the file, the folder or the table at its address.
fn artifact(name: &str, value: &Value, of: &Type, placed: &Placed) -> Result<Literal, Wrong> {
    let wanted = match kind_of_type(of) {
        Some(ArtifactKind::Table) => "a table",
        Some(ArtifactKind::Directory) => "a folder",
        _ => "a file",
    };
    let wrong = |found| Wrong::Type(name.to_owned(), found, wanted);
    let Some(given) = ArtifactRef::from_value(value) else { return Err(wrong(kind_of(value))) };
    match (
        given.kind == ArtifactKind::Directory,
        of.blob.as_ref().map(|blob| kind_of_blob(blob)) == Some(ArtifactKind::Directory),
    ) {
        (true, false) => return Err(wrong("a folder")),
        (false, true) => return Err(wrong("a file")),
        _ => {}
    }
    let uri = placed.get(&given.digest).cloned().ok_or_else(|| Wrong::Foreign(name.to_owned(), wanted))?;
    if let Some(blob) = &of.blob {
        let blob = Blob { metadata: Some(BlobMeta { of: blob.clone() }), uri };
        return Ok(of_scalar(Scalar { blob: Some(blob), ..Scalar::default() }));
    }
    // Fields that are joined to a message take the place of earlier ones.
    let mut said = of.table.clone().unwrap_or_default();
    let format = if uri.ends_with(".csv") { "csv" } else { "parquet" };
    TableFormat { format: format.into() }.encode(&mut said).unwrap_or_default();
    let table = Table { uri, metadata: Some(TableMeta { of: said }) };
    Ok(of_scalar(Scalar { table: Some(table), ..Scalar::default() }))
}

/// The inputs of a task, from the fields of an object. Artifacts among them lie where `placed` says.
pub fn inputs(spec: &TaskSpec, given: &Value, placed: &Placed) -> Result<Vec<u8>, Wrong> {
    let empty = Map::new();
    let given = given.as_object().unwrap_or(&empty);
    let variables = variables(interface(spec).inputs);
    if let Some(unknown) = given.keys().find(|key| variables.iter().all(|(name, _)| name != *key)) {
        return Err(Wrong::Unknown(unknown.clone()));
    }
    let mut literals = Vec::new();
    for (name, of) in variables {
        let default = || {
            let found = spec.default_inputs.iter().find(|default| default.name == name);
            found.and_then(|found| found.parameter.clone()?.default)
        };
        let value = match given.get(&name) {
            Some(value) => literal(&name, value, &of, placed)?,
            None => default().ok_or_else(|| Wrong::Missing(name.clone()))?,
        };
        literals.push(NamedLiteral { name, value: Some(value) });
    }
    Ok(Values { literals }.encode_to_vec())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn of_scalar(scalar: Scalar) -> Literal {
    Literal { scalar: Some(scalar), ..Literal::default() }
}

fn of_primitive(primitive: Primitive) -> Literal {
    of_scalar(Scalar { primitive: Some(primitive), ..Scalar::default() })
}

/// A value of JSON as one of a type.
pub(crate) fn literal(name: &str, value: &Value, of: &Type, placed: &Placed) -> Result<Literal, Wrong> {
    let wrong = |wanted| Err(Wrong::Type(name.to_owned(), kind_of(value), wanted));
    if let Some(union) = &of.union {
        return union_of(name, value, &union.variants, placed);
    }
    if let Some(items) = &of.items {
        let Value::Array(given) = value else { return wrong("a list") };
        let literals = given.iter().enumerate().map(|(at, item)| literal(&format!("{name}[{at}]"), item, items, placed));
        let collection = Some(Collection { literals: literals.collect::<Result<_, _>>()? });
        return Ok(Literal { collection, ..Literal::default() });
    }
    if let Some(values) = &of.values {
        let Value::Object(given) = value else { return wrong("an object") };
        let entry = |(key, value): (&String, &Value)| {
            Ok(LiteralEntry { key: key.clone(), value: Some(literal(&format!("{name}.{key}"), value, values, placed)?) })
        };
        let map = Some(LiteralMap { literals: given.iter().map(entry).collect::<Result<_, Wrong>>()? });
        return Ok(Literal { map, ..Literal::default() });
    }
    if kind_of_type(of).is_some() {
        return artifact(name, value, of, placed);
    }
    if let Some(choice) = &of.choice {
        return match value.as_str().filter(|text| choice.values.iter().any(|known| known == text)) {
            Some(text) => Ok(of_primitive(Primitive { string_value: Some(text.to_owned()), ..Primitive::default() })),
            None => wrong("one of a few texts"),
        };
    }
    simple(name, value, of.simple)
}

fn simple(name: &str, value: &Value, of: Option<i32>) -> Result<Literal, Wrong> {
    let wrong = |wanted| Err(Wrong::Type(name.to_owned(), kind_of(value), wanted));
    let primitive = match (of, value) {
        (Some(0) | None, Value::Null) => {
            return Ok(of_scalar(Scalar { none: Some(Empty {}), ..Scalar::default() }));
        }
        (Some(INTEGER), _) => match whole(value) {
            Some(integer) => Primitive { integer: Some(integer), ..Primitive::default() },
            None => return wrong("a whole number"),
        },
        (Some(FLOAT), _) if value.is_number() => Primitive { float_value: value.as_f64(), ..Primitive::default() },
        (Some(STRING), Value::String(text)) => Primitive { string_value: Some(text.clone()), ..Primitive::default() },
        (Some(BOOLEAN), Value::Bool(boolean)) => Primitive { boolean: Some(*boolean), ..Primitive::default() },
        (Some(DATETIME), Value::String(text)) => match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(at) => {
                let datetime = Time { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() };
                Primitive { datetime: Some(datetime), ..Primitive::default() }
            }
            Err(_) => return wrong("a time as RFC 3339 writes it"),
        },
        (Some(DURATION), Value::Number(seconds)) => {
            let seconds = seconds.as_f64().unwrap_or_default();
            let duration = Time { seconds: seconds.trunc() as i64, nanos: (seconds.fract() * 1e9) as i32 };
            Primitive { duration: Some(duration), ..Primitive::default() }
        }
        (Some(STRUCT), Value::Object(_)) => {
            let mut packed = Vec::new();
            msgpack::pack(value, &mut packed);
            let binary = Some(Binary { value: packed, tag: MSGPACK.into() });
            return Ok(of_scalar(Scalar { binary, ..Scalar::default() }));
        }
        (Some(FLOAT), _) => return wrong("a number"),
        (Some(STRING), _) => return wrong("a text"),
        (Some(BOOLEAN), _) => return wrong("a boolean"),
        (Some(DATETIME), _) => return wrong("a time as RFC 3339 writes it"),
        (Some(DURATION), _) => return wrong("a number of seconds"),
        (Some(STRUCT), _) => return wrong("an object"),
        _ => return Err(Wrong::Foreign(name.to_owned(), "of a type of its own")),
    };
    Ok(of_primitive(primitive))
}

/// A whole number, however it is written: expressions make `2.0` of what was `2`.
fn whole(value: &Value) -> Option<i64> {
    let exact = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(exact))
}

fn union_of(name: &str, value: &Value, variants: &[Type], placed: &Placed) -> Result<Literal, Wrong> {
    // The first that takes it, as it is written: a whole number is no float when both may be.
    let exact = |of: &&Type| !(of.simple == Some(FLOAT) && value.is_i64() || of.simple == Some(INTEGER) && value.is_f64());
    let fits = |of: &Type| Some((literal(name, value, of, placed).ok()?, of.clone()));
    let found = variants.iter().filter(exact).find_map(fits).or_else(|| variants.iter().find_map(fits));
    let (value, of) = found.ok_or_else(|| Wrong::Type(name.to_owned(), kind_of(value), "something else"))?;
    let union = Some(Box::new(Union { value: Some(value), of: Some(of) }));
    Ok(of_scalar(Scalar { union, ..Scalar::default() }))
}

/// The outputs of a task as an object, files and tables by their addresses; none when they cannot be read.
pub fn outputs(bytes: &[u8]) -> Option<Value> {
    outputs_with(bytes, &mut |uri, _| Some(json!({ "uri": uri })))
}

/// What becomes of what lies elsewhere: its address and its kind. None when nothing can.
pub type Take<'t> = dyn FnMut(&str, ArtifactKind) -> Option<Value> + 't;

/// The outputs of a task as an object, in which `take` says what stands for files and tables; none when they cannot be read or taken.
pub fn outputs_with(bytes: &[u8], take: &mut Take<'_>) -> Option<Value> {
    let Values { literals } = Values::decode(bytes).ok()?;
    let mut object = Map::new();
    for NamedLiteral { name, value } in literals {
        object.insert(name, value_of(&value.unwrap_or_default(), take)?);
    }
    Some(Value::Object(object))
}

fn value_of(literal: &Literal, take: &mut Take<'_>) -> Option<Value> {
    if let Some(Collection { literals }) = &literal.collection {
        return literals.iter().map(|item| value_of(item, take)).collect::<Option<Vec<Value>>>().map(Value::Array);
    }
    if let Some(LiteralMap { literals }) = &literal.map {
        let mut entry =
            |entry: &LiteralEntry| Some((entry.key.clone(), value_of(&entry.value.clone().unwrap_or_default(), take)?));
        return literals.iter().map(&mut entry).collect::<Option<Map<_, _>>>().map(Value::Object);
    }
    let Some(scalar) = &literal.scalar else { return Some(Value::Null) };
    if let Some(union) = &scalar.union {
        return value_of(union.value.as_ref()?, take);
    }
    if let Some(binary) = &scalar.binary {
        return if binary.tag == MSGPACK { msgpack::unpack(&binary.value) } else { None };
    }
    if let Some(blob) = &scalar.blob {
        let kind = blob.metadata.as_ref().map_or(ArtifactKind::File, |meta| kind_of_blob(&meta.of));
        return take(&blob.uri, kind);
    }
    if let Some(table) = &scalar.table {
        return take(&table.uri, ArtifactKind::Table);
    }
    let Some(primitive) = &scalar.primitive else { return Some(Value::Null) };
    let seconds = |time: &Time| time.seconds as f64 + f64::from(time.nanos) / 1e9;
    let float = |value: f64| serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number);
    let datetime = |time: &Time| {
        let at = chrono::DateTime::from_timestamp(time.seconds, time.nanos.unsigned_abs())?;
        Some(Value::from(at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)))
    };
    let value = primitive.integer.map(Value::from).or(primitive.boolean.map(Value::from));
    let value = value.or(primitive.float_value.map(float)).or(primitive.string_value.clone().map(Value::from));
    value.or(primitive.datetime.as_ref().and_then(datetime)).or(primitive.duration.as_ref().map(|time| float(seconds(time))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Choice, TaskTemplate, VariableType, Variables, Variants};

    fn simple(of: i32) -> Type {
        Type { simple: Some(of), ..Type::default() }
    }

    fn spec(inputs: Vec<(&str, Type)>) -> TaskSpec {
        let variable = |(key, of): (&str, Type)| {
            let value = Some(VariableType { of: Some(of), ..VariableType::default() });
            Variable { key: key.into(), value }
        };
        let inputs = Some(Variables { variables: inputs.into_iter().map(variable).collect() });
        let interface = Interface { inputs, outputs: None }.encode_to_vec();
        let template = TaskTemplate { interface, ..TaskTemplate::default() };
        TaskSpec { task_template: Some(template), ..TaskSpec::default() }
    }

    fn rich() -> TaskSpec {
        let optional = Type { union: Some(Variants { variants: vec![simple(STRING), simple(0)] }), ..Type::default() };
        spec(vec![
            ("n", simple(INTEGER)),
            ("x", simple(FLOAT)),
            ("when", simple(DATETIME)),
            ("wait", simple(DURATION)),
            ("point", simple(STRUCT)),
            ("list", Type { items: Some(Box::new(simple(INTEGER))), ..Type::default() }),
            ("map", Type { values: Some(Box::new(simple(STRING))), ..Type::default() }),
            ("color", Type { choice: Some(Choice { values: vec!["red".into()] }), ..Type::default() }),
            ("note", optional),
        ])
    }

    #[test]
    fn values_come_back_as_they_went() {
        let given = json!({
            "n": 3, "x": 1.5, "when": "2026-01-31T10:00:00Z", "wait": 2.5, "point": {"x": 1, "y": [1.5, null, "a"]},
            "list": [1, 2], "map": {"a": "b"}, "color": "red", "note": null,
        });
        let bytes = inputs(&rich(), &given, &Placed::new()).unwrap();
        assert_eq!(outputs(&bytes), Some(given));
        assert_eq!(outputs(b"\xff"), None);
    }

    #[test]
    fn what_does_not_fit_says_where() {
        let wrong = |spec: TaskSpec, given: Value| inputs(&spec, &given, &Placed::new()).unwrap_err().to_string();
        assert_eq!(wrong(spec(vec![("n", simple(INTEGER))]), json!({})), "the task needs `n`");
        assert_eq!(wrong(spec(vec![]), json!({"n": 1})), "the task has no input `n`");
        let list = Type { items: Some(Box::new(simple(INTEGER))), ..Type::default() };
        let said = wrong(spec(vec![("l", list)]), json!({"l": [1, "two"]}));
        assert_eq!(said, "`l[1]` is a text, and the task takes a whole number");
        let file = Type { blob: Some(Vec::new()), ..Type::default() };
        assert_eq!(wrong(spec(vec![("f", file.clone())]), json!({"f": "x"})), "`f` is a text, and the task takes a file");
        let lost = ArtifactRef { digest: Digest::of(b"x"), size: 1, kind: ArtifactKind::File, name: "x".into() };
        assert!(wrong(spec(vec![("f", file)]), json!({"f": lost.to_value()})).contains("only a program"));
    }

    #[test]
    fn files_folders_and_tables_are_given_by_where_they_lie() {
        let folder = BlobType { dimensionality: MULTIPART, ..BlobType::default() }.encode_to_vec();
        let of = |blob: Option<Vec<u8>>, table: Option<Vec<u8>>| Type { blob, table, ..Type::default() };
        let spec =
            spec(vec![("f", of(Some(Vec::new()), None)), ("d", of(Some(folder), None)), ("t", of(None, Some(Vec::new())))]);
        let kinds = ["f", "d", "t"].map(|name| inputs_schema(&spec)["properties"][name]["type"].clone());
        assert_eq!(kinds, ["file", "directory", "table"]);
        let artifact = |text: &str, kind| ArtifactRef { digest: Digest::of(text.as_bytes()), size: 1, kind, name: text.into() };
        let (file, folder, table) =
            (artifact("a", ArtifactKind::File), artifact("b", ArtifactKind::Directory), artifact("c.csv", ArtifactKind::Table));
        let placed: Placed = [&file, &folder, &table].map(|one| (one.digest, format!("s3://tutti/{}", one.name))).into();
        let given = |f: &ArtifactRef, d: &ArtifactRef, t: &ArtifactRef| json!({ "f": f.to_value(), "d": d.to_value(), "t": t.to_value() });
        let bytes = inputs(&spec, &given(&file, &folder, &table), &placed).unwrap();
        let mut taken = Vec::new();
        outputs_with(&bytes, &mut |uri, kind| {
            taken.push((uri.to_owned(), kind));
            Some(Value::Null)
        });
        let expected = [("a", ArtifactKind::File), ("b", ArtifactKind::Directory), ("c.csv", ArtifactKind::Table)];
        assert_eq!(taken, expected.map(|(name, kind)| (format!("s3://tutti/{name}"), kind)));
        let formats: Vec<String> = Values::decode(bytes.as_slice())
            .unwrap()
            .literals
            .into_iter()
            .filter_map(|literal| {
                let table = literal.value?.scalar?.table?;
                Some(TableFormat::decode(table.metadata?.of.as_slice()).ok()?.format)
            })
            .collect();
        assert_eq!(formats, ["csv"]);
        for (given, said) in [
            (given(&folder, &folder, &table), "`f` is a folder, and the task takes a file"),
            (given(&file, &file, &table), "`d` is a file, and the task takes a folder"),
            (given(&file, &folder, &folder), "`t` is a folder, and the task takes a table"),
        ] {
            assert_eq!(inputs(&spec, &given, &placed).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn the_schema_says_what_is_needed() {
        let mut spec = rich();
        spec.default_inputs.push(crate::wire::NamedParameter { name: "n".into(), ..Default::default() });
        let schema = inputs_schema(&spec);
        assert_eq!(schema["properties"]["list"], json!({"type": "array", "items": {"type": "integer"}}));
        assert!(!schema["required"].as_array().unwrap().contains(&json!("n")) && schema["required"][0] == "x");
    }
}
