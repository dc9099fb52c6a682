//! The published schema takes what the language takes, and knows every field that the language knows.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};
use workflow::schema::schema;

use crate::pages::{blocks, documents, read, right, whole};
use crate::{codes, compile};

fn validator() -> Validator {
    jsonschema::draft202012::options().build(&schema()).unwrap()
}

fn problems(validator: &Validator, document: &Value) -> String {
    validator.iter_errors(document).map(|error| format!("{}: {error}\n", error.instance_path())).collect()
}

#[test]
fn the_schema_is_a_schema() {
    assert_eq!(schema()["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
    jsonschema::meta::validate(&schema()).unwrap();
}

#[test]
fn what_the_language_takes_the_schema_takes() {
    let validator = validator();
    let mut texts: Vec<(String, String)> =
        right().iter().map(|block| (format!("{}:{}", block.page, block.line), whole(block))).collect();
    for file in [
        "examples/bank/fraud-model.workflow.yaml",
        "examples/bank/sites.yaml",
        "crates/workflow/tests/examples/hospital.workflow.yaml",
    ] {
        texts.push((file.into(), read(file)));
    }
    for (place, text) in texts {
        for document in documents(&text) {
            assert_eq!(problems(&validator, &document), "", "{place}\n{text}");
        }
    }
}

#[test]
fn what_is_wrong_in_shape_the_schema_refuses() {
    let validator = validator();
    for code in ["W0101", "W0103", "W0104", "W0105", "W0106", "W0107", "W0207"] {
        let wrong = blocks(&format!("docs/errors/{code}.md")).into_iter().find(|block| block.heading == "An example").unwrap();
        for document in documents(&wrong.text) {
            assert!(!validator.is_valid(&document), "{code}\n{}", wrong.text);
        }
    }
    for wrong in WRONG {
        let text = if wrong.starts_with("kind") || wrong.starts_with('-') || wrong.starts_with("workflow") || wrong.is_empty() {
            (*wrong).to_owned()
        } else {
            format!("workflow: t/w\nnodes:\n  b: {{use: core/noop}}\n  a: {{{wrong}}}\n")
        };
        let refused = documents(&text).iter().all(|document| !validator.is_valid(document));
        assert!(refused, "the schema takes\n{text}");
        let found = workflow::documents::read(&text, &crate::files(&[]), &crate::Shelf);
        assert!(found.documents.is_empty(), "the language takes\n{text}");
    }
}

/// Nodes and documents that are wrong in shape.
const WRONG: &[&str] = &[
    "use: core/noop, uze: 1",
    "use: core/noop, run: [x]",
    "description: nothing",
    "use: core/noop@one",
    "use: 3",
    "use: core/noop, timeout: soon",
    "use: core/noop, timeout: 1m1h",
    "use: core/noop, retry: 1000",
    "use: core/noop, retry: {max: -1}",
    "use: core/noop, retry: {maxx: 1}",
    "use: core/noop, retry: {max: 1, backoff: soon}",
    "use: core/noop, needs: {memory: lots}",
    "use: core/noop, needs: {cpu: two}",
    "use: core/noop, needs: {gpu: 0.5}",
    "use: core/noop, cache: {ttl: 3}",
    "use: core/noop, after: {a: b}",
    "use: core/noop, outputs: {x: {type: [strin]}}",
    "use: core/noop, outputs: {x: {type: array, maxItems: many}}",
    "use: core/noop, undo: {with: {a: 1}}",
    "use: core/noop, undo: {use: core/noop, run: [x]}",
    "use: core/noop, lowers: [a]",
    "use: core/noop, if: 3",
    "run: []",
    "run: {command: make}",
    "run: {command: [make], script: make}",
    "run: {script: make, environment: {}}",
    "run: {files: [a]}",
    "human: {assign: {groups: [x]}}",
    "human: {title: x, assign: {group: x}}",
    "human: {title: x, assign: {then: [{groups: [x]}]}}",
    "human: {title: x}, retry: 1",
    "wait: {}",
    "wait: {for: 1s, signal: x}",
    "wait: {signal: x, match: {a: 1}}",
    "wait: {for: soon}",
    "each: {items: [1]}",
    "each: {items: [1], do: {wait: {for: 1s}}}",
    "each: {items: [1], do: {use: core/noop, after: b}}",
    "each: {items: [1], do: {use: core/noop}, on_failure: never}",
    "each: {items: [1], do: {use: core/noop}}, cache: true",
    "decide: {when: true}",
    "decide: [{when: true}]",
    "decide: [{when: true, then: b, otherwise: b}]",
    "decide: [{otherwise: b}], timeout: 1s",
    "workflow: t/w",
    "workflow: t/w\nnodes: []",
    "workflow: a b\nnodes: {}",
    "workflow: t/w\nnodes: {1a: {use: core/noop}}",
    "workflow: t/w\nnodes: {}\non_failure: never",
    "workflow: t/w\nnodes: {}\ninputs: [a]",
    "workflow: t/w\nnodes: {}\nlayout: {a: [1]}",
    "workflow: t/w\nnodes: {a: {use: core/noop}}\noutputs: [1]",
    "kind: sight\nname: x",
    "kind: site\nname: x",
    "kind: site\nname: x\ncapacity: {cpus: 1}",
    "kind: site\nname: x\ncapacity: {cpu: 1}\nprices: {cpu_hour: -1}",
    "kind: site\nname: x\ncapacity: {cpu: 1}\nexecutor: cloudy",
    "kind: site\nname: x\ncapacity: {cpu: 1}\nprices: {instance: 3}",
    "kind: prices\nname: x\nas_of: today\nsource: x\ninstances: {}",
    "kind: prices\nname: x\nas_of: today\nsource: x\ncore_hour: 1\nmemory_gib_hour: 1\ninstances: {a: {cpu: 1, memory: 1Gi, hour: -1}}",
    "kind: prices\nname: x\nas_of: today\nsource: x\ncore_hour: 1\nmemory_gib_hour: 1\ninstances: {a: {cpu: 1, memory: 1Gi}}",
    "kind: project\nname: x\nbudget: 5",
    "kind: project\nname: x\nbudget: {year: 5}",
    "kind: project\nname: x\nquota: {gpu: -1}",
    "kind: project\nname: x\nshare: 0",
    "kind: trigger\nname: x\nworkflow: a/b",
    "kind: trigger\nname: x\nworkflow: a/b\nevery: 1m\nevent: {name: x}",
    "kind: trigger\nname: x\nworkflow: a/b\nevery: 1m\ncatch_up: some",
    "kind: trigger\nname: x\nworkflow: a/b\nschedule: {timezone: UTC}",
    "kind: connector\nname: core/x",
    "kind: connector\nname: x",
    "kind: connector\nname: a/b\nruntime: magic",
    "- 1",
];

/// The fields that the language has at a place: it says them when it is asked for one that no word is near.
fn known(text: &str) -> Vec<String> {
    let found = workflow::documents::read(text, &crate::files(&[]), &crate::Shelf);
    let finding = found.diagnostics.iter().find(|finding| finding.code == "W0101").unwrap_or_else(|| panic!("{text}: {found:?}"));
    let hint = finding.hint.as_deref().unwrap_or_default();
    let mut fields: Vec<String> =
        hint.strip_prefix("it has ").unwrap_or_else(|| panic!("{hint}")).split(", ").map(str::to_owned).collect();
    fields.sort();
    fields
}

#[test]
fn the_schema_knows_the_fields_of_the_language() {
    let whole = schema();
    let node = |inner: &str| format!("workflow: t/w\nnodes:\n  b: {{use: core/noop}}\n  a: {{{inner}}}\n");
    let odd = "qqqqqqqqqqqqqqqqqqqqqqqq: 1";
    for (text, place) in [
        (format!("workflow: t/w\nnodes: {{}}\n{odd}\n"), "/$defs/workflow"),
        (node(&format!("use: core/noop, {odd}")), "/$defs/node"),
        (node(&format!("use: core/noop, needs: {{{odd}}}")), "/$defs/needs"),
        (node(&format!("use: core/noop, retry: {{{odd}}}")), "/$defs/retry/anyOf/1"),
        (node(&format!("use: core/noop, cache: {{{odd}}}")), "/$defs/cache/anyOf/1"),
        (node(&format!("use: core/noop, undo: {{use: core/noop, {odd}}}")), "/$defs/undo"),
        (node(&format!("run: {{script: x, {odd}}}")), "/$defs/run/anyOf/1"),
        (node(&format!("human: {{title: x, {odd}}}")), "/$defs/human"),
        (node(&format!("human: {{title: x, assign: {{{odd}}}}}")), "/$defs/assign"),
        (node(&format!("human: {{title: x, assign: {{then: [{{after: 1s, {odd}}}]}}}}")), "/$defs/assign/properties/then/items"),
        (node(&format!("wait: {{for: 1s, {odd}}}")), "/$defs/wait"),
        (node(&format!("each: {{items: [1], do: {{use: core/noop}}, {odd}}}")), "/$defs/each"),
        (node(&format!("decide: [{{otherwise: b, {odd}}}]")), "/$defs/decide/items"),
        (format!("kind: site\nname: x\ncapacity: {{}}\n{odd}\n"), "/$defs/site"),
        (format!("kind: site\nname: x\ncapacity: {{{odd}}}\n"), "/$defs/site/properties/capacity"),
        (format!("kind: site\nname: x\ncapacity: {{}}\nprices: {{{odd}}}\n"), "/$defs/site/properties/prices"),
        (format!("kind: trigger\nname: x\nworkflow: y\nevery: 1s\n{odd}\n"), "/$defs/trigger"),
        (format!("kind: connector\nname: x/y\n{odd}\n"), "/$defs/connector"),
    ] {
        let properties = whole.pointer(place).and_then(|place| place["properties"].as_object());
        let properties = properties.unwrap_or_else(|| panic!("there is nothing at {place}"));
        let mut fields: Vec<String> = properties.keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, known(&text), "{place}");
        for (name, field) in properties {
            let told = field.get("description").is_some() || field.get("const").is_some() || field.get("$ref").is_some();
            assert!(told, "{place}/{name} has no description");
        }
    }
}

#[test]
fn the_schema_has_the_limits_of_the_language() {
    let whole = schema();
    let at = |place: &str| whole.pointer(place).and_then(Value::as_u64);
    assert_eq!(at("/$defs/workflow/properties/nodes/maxProperties"), Some(model::limits::WORKFLOW_NODES_MAX as u64));
    assert_eq!(at("/$defs/retry/anyOf/0/maximum"), Some(u64::from(model::limits::RETRY_ATTEMPTS_MAX)));
    assert_eq!(at("/$defs/each/properties/items/anyOf/0/maxItems"), Some(model::limits::EACH_ITEMS_MAX as u64));
    let name = "a".repeat(model::limits::NAME_BYTES_MAX);
    let validator = validator();
    for (name, right) in [(name.clone(), true), (name + "a", false)] {
        let document = json!({"workflow": name, "nodes": {}});
        assert_eq!(validator.is_valid(&document), right);
        assert_eq!(codes(&format!("workflow: {name}\nnodes: {{}}\n")).is_empty(), right);
    }
    assert!(compile("workflow: a\nnodes: {}\n").graph.is_some());
}

#[test]
fn every_field_of_the_language_has_an_example() {
    fn keys(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, field)| {
                into.insert(key.clone());
                keys(field, into);
            }),
            Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
            _ => {}
        }
    }
    fn fields(schema: &Value, into: &mut BTreeSet<String>) {
        match schema {
            Value::Object(words) => words.iter().for_each(|(word, inner)| match inner {
                // `false` stands where a field may not be.
                Value::Object(names) if word == "properties" => {
                    into.extend(names.iter().filter(|(_, field)| field.is_object()).map(|(name, _)| name.clone()));
                    names.values().for_each(|field| fields(field, into));
                }
                _ => fields(inner, into),
            }),
            Value::Array(items) => items.iter().for_each(|item| fields(item, into)),
            _ => {}
        }
    }
    let mut shown = BTreeSet::new();
    for block in right().iter().filter(|block| block.page == "docs/reference/language.md") {
        documents(&whole(block)).iter().for_each(|document| keys(document, &mut shown));
    }
    let mut whole = schema();
    let defs = whole["$defs"].as_object_mut().unwrap();
    // Words of JSON Schema are explained by JSON Schema; sites, triggers and connectors have pages of their own.
    for elsewhere in
        ["schema", "site", "prices", "project", "queue", "trigger", "connector", "tag", "policy", "sanitizer", "policy_test"]
    {
        defs.remove(elsewhere);
    }
    let mut wanted = BTreeSet::new();
    fields(&whole["$defs"], &mut wanted);
    let missing: Vec<&String> = wanted.difference(&shown).collect();
    assert!(wanted.len() > 50 && missing.is_empty(), "fields without an example in docs/reference/language.md: {missing:?}");
}
