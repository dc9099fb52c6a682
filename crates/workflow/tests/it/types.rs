//! Types: names, references, and what is wrong with them.

use model::NodeKind;
use model::limits::{SCHEMA_DEPTH_MAX, SCHEMA_VALUES_MAX};
use serde_json::{Value, json};

use crate::{Shelf, codes, files, graph};

fn with(types: &str, input: &str, beside: &[(&str, &str)]) -> Result<Value, Vec<String>> {
    let text = format!("workflow: t/w\n{types}inputs: {{x: {input}}}\nnodes: {{a: {{use: core/noop}}}}\n");
    let compiled = workflow::compile(&text, &files(beside), &Shelf);
    let told = compiled.diagnostics.iter().map(|finding| format!("{} {}", finding.code, finding.message)).collect();
    assert!(compiled.diagnostics.iter().all(|finding| finding.span.end <= text.len()), "{told:?}");
    compiled.graph.map(|graph| graph.inputs[0].schema.clone()).ok_or(told)
}

fn refused(types: &str, input: &str, beside: &[(&str, &str)], told: &str) {
    let found = with(types, input, beside);
    assert!(found.as_ref().is_err_and(|all| all.iter().any(|one| one.contains(told))), "{input}: {found:?}, not `{told}`");
}

#[test]
fn references_are_followed() {
    let person = r##"{"$schema": "x", "$defs": {"Name": {"type": "string", "maxLength": 9}},
        "type": "object", "properties": {"name": {"$ref": "#/$defs/Name"}, "home": {"$ref": "place.yaml#/at/0"}}}"##;
    let beside = [("types/person.json", person), ("types/place.yaml", "at: [{type: string, title: Where}]"), ("up.json", "true")];
    let whole = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "home": {"type": "string", "title": "Where"}}});
    assert_eq!(with("", "{$ref: ./types/person.json}", &beside), Ok(whole));
    assert_eq!(with("", "{$ref: \"types/person.json#/$defs/Name\"}", &beside), Ok(json!({"type": "string", "maxLength": 9})));
    let one = [("a/b.json", r#"{"$ref": "../up.json"}"#), beside[2]];
    assert_eq!(with("", "{$ref: a/b.json}", &one), Ok(json!(true)), "a file may refer to others of the folder");
    let types = "types:\n  Pair: {type: array, items: {type: One}, maxItems: 2}\n  One: {$ref: \"#/types/Base\", labels: [deid], required: [b]}\n  Base: {type: object, properties: {a: string}, labels: [phi], required: [a]}\n";
    let one =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "labels": ["phi", "deid"], "required": ["a", "b"]});
    assert_eq!(with(types, "Pair", &[]), Ok(json!({"type": "array", "items": one, "maxItems": 2})), "in any order");
    assert_eq!(with(types, "{$ref: \"#/types/Base/properties/a\"}", &[]), Ok(json!({"type": "string"})));
    let described = json!({"type": "string", "maxLength": 9, "description": "Who"});
    assert_eq!(with("", "{$ref: \"types/person.json#/$defs/Name\", description: Who}", &beside), Ok(described));
    assert_eq!(
        with("", "{anyOf: [string, {items: integer, prefixItems: [any]}]}", &[]).unwrap()["anyOf"][1]["items"],
        json!({"type": "integer"})
    );
}

#[test]
fn references_that_cannot_be_followed_are_told() {
    let loops = [
        ("a.json", r#"{"items": {"$ref": "b.json"}}"#),
        ("b.json", r#"{"not": {"$ref": "a.json"}}"#),
        ("c.json", "{\"a\": "),
        ("d.json", "[1]"),
    ];
    refused("", "{$ref: a.json}", &loops, "W0207 in `b.json`: `a.json#` refers to itself: a.json# → b.json# → a.json#");
    refused("", "{$ref: c.json}", &loops, "W0207 `c.json` cannot be read: this is not YAML");
    refused("", "{$ref: d.json}", &loops, "W0103 in `d.json`: a type has to be a schema");
    refused("", "{$ref: nope.json}", &loops, "W0205");
    refused("", "{$ref: \"a.json#/nope\"}", &loops, "W0207 there is no `#/nope`");
    refused("", "{$ref: \"a.json#nope\"}", &loops, "W0207 there is no `#nope`");
    refused("", "{$ref: ../up.json}", &loops, "W0207 `../up.json` does not stay");
    refused("", "{$ref: /etc/passwd}", &loops, "W0207");
    refused("", "{$ref: \"https://example.com/x.json\"}", &loops, "W0207");
    refused("", "{$ref: \"#/nodes/a\"}", &loops, "W0207 `#/nodes/a` is no type");
    refused("", "{$ref: \"#/types/Nope\"}", &loops, "W0104 there is no type `Nope`");
    refused("", "{$ref: [1]}", &loops, "W0207");
    refused("types: {A: {items: B}, B: {items: A}}\n", "any", &[], "W0207 `#/types/A` refers to itself");
    refused("types: {A: {type: A}}\n", "any", &[], "W0207");
    refused("types: {\"a b\": string}\n", "any", &[], "W0105");
    let chain: String = (0..=SCHEMA_DEPTH_MAX).map(|i| format!("  T{i}: {{items: T{}}}\n", i + 1)).collect();
    refused(&format!("types:\n{chain}  T{}: any\n", SCHEMA_DEPTH_MAX + 1), "any", &[], "W0207 types refer to each other deeper");
}

#[test]
fn references_cannot_grow_without_bound() {
    // Twice what the one before is, thirty times.
    let doubling: String = (1..30).map(|i| format!("  T{i}: {{properties: {{a: T{0}, b: T{0}}}}}\n", i - 1)).collect();
    refused(
        &format!("types:\n  T0: string\n{doubling}"),
        "any",
        &[],
        &format!("W0207 the type comes to more than {SCHEMA_VALUES_MAX} values"),
    );
    let file = r##"{"$defs": {"z": {"properties": {"a": {"$ref": "#/$defs/y"}, "b": {"$ref": "#/$defs/y"}}}, "y": {"enum": [1]}}, "items": {"$ref": "#/$defs/z"}}"##;
    assert!(with("", "{$ref: a.json}", &[("a.json", file)]).is_ok());
}

#[test]
fn words_of_schemas_are_checked() {
    for (schema, told) in [
        ("{type: strin}", "W0104"),
        ("{type: 1}", "W0103"),
        ("{type: [string, strin]}", "W0104"),
        ("{type: array, items: 3}", "W0103"),
        ("{type: array, maxItems: many}", "W0103 `maxItems` of a type has to be a whole number"),
        ("{type: object, properties: [a]}", "W0103"),
        ("{type: object, properties: {a: {type: nope}}}", "W0104"),
        ("{anyOf: string}", "W0103"),
        ("{oneOf: [{type: nope}]}", "W0104"),
        ("{required: a}", "W0103"),
        ("{labels: phi}", "W0103"),
        ("{enum: a}", "W0103"),
        ("{pattern: \"(\"}", "W0104"),
        ("{minimum: low}", "W0103"),
        ("{uniqueItems: 1}", "W0103"),
        ("{$dynamicRef: \"#x\"}", "W0207"),
        ("[string]", "W0103"),
    ] {
        refused("", schema, &[], told);
    }
    let text = "workflow: t/w\ninputs: {x: {type: object, requird: [a]}}\nnodes: {a: {use: core/noop}}\n";
    assert_eq!(codes(text), ["W0101"], "a warning");
    assert!(workflow::compile(text, &files(&[]), &Shelf).graph.is_some());
}

#[test]
fn a_type_keeps_what_stands_beside_its_name() {
    let graph = graph(
        "workflow: t/w\ntypes: {N: {type: integer}}\ninputs: {x: {type: N, default: 3, labels: [a]}}\nnodes: {a: {human: {title: x, form: {type: object, properties: {n: N}}}}}\n",
    );
    assert_eq!(graph.inputs[0].default, Some(json!(3)));
    assert_eq!(graph.inputs[0].schema, json!({"type": "integer", "labels": ["a"]}));
    assert_eq!(graph.nodes[0].kind, NodeKind::Human);
    assert_eq!(graph.nodes[0].input.json["form"]["properties"]["n"], json!({"type": "integer"}));
}

#[test]
fn fields_that_say_nothing_are_refused() {
    let sub = ("s.yaml", "workflow: t/s\nnodes: {a: {use: core/noop}}\n");
    for (node, fields) in [
        ("workflow: ./s.yaml", &["retry: 1", "needs: {cpu: 1}", "lowers: {a: b}", "outputs: {x: string}"][..]),
        (
            "human: {title: x}",
            &["with: {x: 1}", "retry: 1", "cache: true", "needs: {cpu: 1}", "lowers: {a: b}", "outputs: {x: any}"],
        ),
        ("wait: {for: 1s}", &["with: {x: 1}", "retry: 1", "cache: true", "needs: {cpu: 1}", "lowers: {a: b}"]),
        (
            "each: {items: [1], do: {use: core/noop}}",
            &["with: {x: 1}", "retry: 1", "cache: true", "needs: {cpu: 1}", "lowers: {a: b}", "outputs: {x: any}"],
        ),
        (
            "decide: [{otherwise: b}]",
            &[
                "with: {x: 1}",
                "retry: 1",
                "cache: true",
                "needs: {}",
                "lowers: {a: b}",
                "outputs: {x: any}",
                "timeout: 1s",
                "once: x",
                "undo: {use: core/noop}",
            ],
        ),
    ] {
        let codes = |fields: &str| -> Vec<&'static str> {
            let text = format!(
                "workflow: t/w\nnodes:\n  b: {{use: core/noop}}\n  c: {{use: core/noop}}\n  a: {{{node}, if: true, description: x{fields}}}\n"
            );
            workflow::compile(&text, &files(&[sub]), &Shelf).diagnostics.iter().map(|finding| finding.code).collect()
        };
        assert!(codes(", after: c").is_empty(), "{node}: {:?}", codes(", after: c"));
        for field in fields {
            assert_eq!(codes(&format!(", {field}")), ["W0107"], "{node} with {field}");
        }
    }
    let inside = "workflow: t/w\nnodes:\n  b: {use: core/noop}\n  a: {each: {items: [1], do: {use: core/noop, after: b}}}\n";
    assert_eq!(codes(inside), ["W0107"]);
    assert_eq!(codes("workflow: t/w\nnodes:\n  a: {wait: {signal: x, match: {a: 1}}}\n"), ["W0107"]);
    assert_eq!(codes("workflow: t/w\nnodes:\n  a: {wait: {until: tomorrow}}\n"), ["W0104"]);
    assert_eq!(codes("workflow: t/w\nnodes:\n  a: {wait: {until: 2030-01-01T08:00:00Z}}\n"), [""; 0]);
}
