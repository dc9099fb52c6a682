//! The OpenAPI description says what is there, and no more.

use std::collections::BTreeSet;

use api::rest::access::TABLE;
use serde_json::Value;

fn description() -> Value {
    serde_json::to_value(api::rest::description()).unwrap()
}

fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let methods = ["get", "put", "post", "delete", "patch"];
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in methods {
            if item[method].is_object() {
                all.push((method.to_uppercase(), path.clone(), item[method].clone()));
            }
        }
    }
    all
}

#[test]
fn every_endpoint_is_described_and_every_description_is_an_endpoint() {
    let api = description();
    let described: BTreeSet<(String, String)> = operations(&api).into_iter().map(|(method, path, _)| (method, path)).collect();
    // What is not in the table cannot be reached: the table is what there is.
    let there: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), path.replace("{*", "{"))).collect();
    assert_eq!(described, there);
}

#[test]
fn operations_are_complete() {
    let api = description();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&api) {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: the id is taken");
        assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{at}");
        assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object(), "{at}");
        assert!(operation["security"].is_array(), "{at}");
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let found =
                operation["parameters"].as_array().is_some_and(|list| list.iter().any(|parameter| parameter["name"] == part));
            assert!(found, "{at}: `{part}` is not described");
        }
    }
    // Whatever is referred to is there.
    let text = api.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(api["components"]["schemas"][name].is_object(), "`{name}` is referred to and not there");
    }
}

/// `docs/reference/openapi.json` is what people read and programs are made from. `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_copy_in_the_docs_is_fresh() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let fresh = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &fresh).unwrap();
    }
    assert!(std::fs::read_to_string(file).unwrap() == fresh, "docs/reference/openapi.json is stale: run with UPDATE_GOLDEN=1");
}
