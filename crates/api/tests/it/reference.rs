//! `docs/reference/rest.md`: what stands above the first endpoint is written by hand, the rest is made from the description.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Where the part that is made begins.
const MARK: &str =
    "<!-- What follows is made from the description of the API: `UPDATE_GOLDEN=1` with the tests of `api` writes it anew. -->\n";

/// A text as a cell of a table, or as one paragraph.
fn line(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|")
}

fn anchor(name: &str) -> String {
    name.to_lowercase()
}

/// What a schema is, in a few words.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("[{name}](#{})", anchor(name));
    }
    for choices in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[choices].as_array() {
            let of: Vec<String> = choices.iter().map(type_of).filter(|choice| choice != "null" && !choice.is_empty()).collect();
            return of.join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{}`", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ");
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or ")
        }
        kind => kind.as_str().unwrap_or("any value").to_owned(),
    };
    match kinds.as_str() {
        "array" => format!("list of {}", type_of(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => format!("map to {}", type_of(&schema["additionalProperties"])),
        _ => kinds,
    }
}

/// A value that a schema takes, with what is required and no more.
fn example(api: &Value, schema: &Value, depth: usize) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return if depth > 4 { json!({}) } else { example(api, &api["components"]["schemas"][name], depth + 1) };
    }
    if let Some(choices) =
        schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()).or_else(|| schema["allOf"].as_array())
    {
        return choices
            .iter()
            .find(|choice| choice["type"] != "null")
            .map_or(Value::Null, |choice| example(api, choice, depth + 1));
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
    match kind {
        "object" => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let wanted = properties.iter().filter(|(name, _)| required.contains(&name.as_str()));
            wanted.map(|(name, schema)| (name.clone(), named(api, name, schema, depth))).collect::<Map<_, _>>().into()
        }
        "array" => json!([example(api, &schema["items"], depth + 1)]),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        "string" => json!("…"),
        _ => json!({}),
    }
}

/// The example of a field: words that mean something where the name says what they are.
fn named(api: &Value, name: &str, schema: &Value, depth: usize) -> Value {
    match name {
        "workflow" => json!("bank/fraud-model"),
        "decision" => json!("approve"),
        "attempt" => json!("tutti-7-3-1"),
        "worker" => json!("scorer-1"),
        "connectors" => json!(["bank/score@1"]),
        "scopes" => json!(["read"]),
        "to" => json!("/backups/monday"),
        "older_than" => json!("30d"),
        "text" => json!("workflow: demo/hello\nnodes:\n  a: {use: core/noop}\n"),
        "path" => json!("hello.workflow.yaml"),
        "name" if schema["type"] == "string" => json!("arrived"),
        _ => example(api, schema, depth + 1),
    }
}

fn operation(api: &Value, page: &mut String, method: &str, path: &str, operation: &Value) {
    let _ = writeln!(page, "\n### `{method} {path}`\n");
    let _ = writeln!(page, "{}", line(&operation["summary"]));
    let scope = operation["security"][0]["bearer"][0].as_str();
    let description = operation["description"].as_str().unwrap_or_default();
    let more: Vec<&str> =
        description.split("\n\n").filter(|part| !part.is_empty() && !part.starts_with("Needs the scope")).collect();
    for part in more {
        let _ = writeln!(page, "\n{}", part.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let said = description.split("\n\n").find(|part| part.starts_with("Needs the scope"));
    let needs = said.filter(|_| scope.is_some()).unwrap_or("Everybody may call it.");
    let _ = writeln!(page, "\n{needs}");
    if let Some(parameters) = operation["parameters"].as_array().filter(|parameters| !parameters.is_empty()) {
        let _ = writeln!(page, "\n| parameter | in | type | what |\n|---|---|---|---|");
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap_or_default();
            let needed = if parameter["required"] == true { ", required" } else { "" };
            let place = parameter["in"].as_str().unwrap_or_default();
            let (kind, what) = (type_of(&parameter["schema"]), line(&parameter["description"]));
            let _ = writeln!(page, "| `{name}` | {place}{needed} | {kind} | {what} |");
        }
    }
    for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let what = line(&operation["requestBody"]["description"]);
        let text = format!("Body: `{kind}`, {}. {what}", type_of(&content["schema"]));
        let _ = writeln!(page, "\n{}", text.trim_end());
    }
    let _ = writeln!(page, "\n| status | type | what |\n|---|---|---|");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let content = answer["content"].as_object().and_then(|content| content.iter().next());
        let kind = content.map_or(String::new(), |(kind, content)| match kind.as_str() {
            "application/json" | "application/problem+json" => type_of(&content["schema"]),
            other => format!("`{other}`"),
        });
        let status = if status == "default" { "any other" } else { status };
        let _ = writeln!(page, "| {status} | {kind} | {} |", line(&answer["description"]));
    }
    let _ = writeln!(page, "\n```console\n{}\n```", call(api, method, path, operation));
}

/// The call as people make it.
fn call(api: &Value, method: &str, path: &str, operation: &Value) -> String {
    let mut target = String::new();
    for part in path.split('/').skip(1) {
        let _ = write!(
            target,
            "/{}",
            part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).map_or(part.to_owned(), str::to_uppercase)
        );
    }
    let required = |parameter: &&Value| parameter["in"] == "query" && parameter["required"] == true;
    let query: Vec<String> = (operation["parameters"].as_array().into_iter().flatten().filter(required))
        .map(|parameter| parameter["name"].as_str().unwrap_or_default())
        .map(|name| format!("{name}={}", name.to_uppercase()))
        .collect();
    if !query.is_empty() {
        let _ = write!(target, "?{}", query.join("&"));
    }
    let mut text = String::from("$ curl");
    if method != "GET" {
        let _ = write!(text, " -X {method}");
    }
    if operation["security"][0].is_object() {
        text.push_str(" -H \"Authorization: Bearer $TUTTI_TOKEN\"");
    }
    let _ = write!(text, " \"$TUTTI_SERVER{target}\"");
    for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        if kind == "application/json" {
            let body = example(api, &content["schema"], 0);
            let _ = write!(text, " \\\n    -H 'Content-Type: application/json' -d '{body}'");
        } else {
            let _ = write!(text, " \\\n    -H 'Content-Type: {kind}' --data-binary @FILE");
        }
    }
    text
}

fn made(api: &Value) -> String {
    let mut page = String::from(MARK);
    for tag in api["tags"].as_array().unwrap() {
        let name = tag["name"].as_str().unwrap();
        let _ = write!(page, "\n## {}{}\n\n{}\n", name[..1].to_uppercase(), &name[1..], line(&tag["description"]));
        for (path, item) in api["paths"].as_object().unwrap() {
            for method in ["get", "put", "post", "delete"] {
                if item[method]["tags"][0] == *name {
                    operation(api, &mut page, &method.to_uppercase(), path, &item[method]);
                }
            }
        }
    }
    page.push_str("\n## Types\n");
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        let _ = write!(page, "\n### {name}\n\n{}\n", line(&schema["description"]));
        let Some(fields) = schema["properties"].as_object().filter(|fields| !fields.is_empty()) else { continue };
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        page.push_str("\n| field | type | what |\n|---|---|---|\n");
        for (field, schema) in fields {
            let needed = if required.contains(&field.as_str()) { "" } else { " (optional)" };
            let _ = writeln!(page, "| `{field}` | {}{needed} | {} |", type_of(schema), line(&schema["description"]));
        }
    }
    page
}

#[test]
fn the_page_says_what_the_description_says() {
    let api = serde_json::to_value(api::rest::description()).unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/rest.md");
    let kept = std::fs::read_to_string(file).unwrap();
    let by_hand = kept.split_once(MARK).map_or(kept.as_str(), |(by_hand, _)| by_hand);
    let fresh = format!("{by_hand}{}", made(&api));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &fresh).unwrap();
    }
    assert!(std::fs::read_to_string(file).unwrap() == fresh, "docs/reference/rest.md is stale: run with UPDATE_GOLDEN=1");
}
