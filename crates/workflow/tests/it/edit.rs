//! Edits: what changes, and above all what does not.

use serde_json::{Value, json};
use workflow::edit::{Edit, EditError, Edited, apply, notes};

fn edits(edits: Value) -> Vec<Edit> {
    serde_json::from_value(edits).unwrap()
}

fn edited(text: &str, list: Value) -> Edited {
    apply(text, &edits(list)).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

fn refused(text: &str, list: Value) -> EditError {
    apply(text, &edits(list)).unwrap_err()
}

/// The text after an edit, which its splices have to give too.
fn after(text: &str, list: Value) -> String {
    let edited = edited(text, list);
    let mut replayed = text.to_owned();
    for splice in &edited.splices {
        replayed.replace_range(splice.range.clone(), &splice.text);
    }
    assert_eq!(replayed, edited.text);
    edited.text
}

const TEXT: &str = r#"# Head
workflow: demo/w   # the name
inputs: {n: integer}

nodes:
  # Gets the rows.
  # All of them.
  fetch:   # first
    use: core/http@1
    with:
      url: "http://x"    # where
      headers: {a: b}

  train:
    run:
      script: |
        echo a
        # not a note
    with: {rows: "${ nodes.fetch.rows }", it's: 'nodes.fetch ''${ nodes["fetch"].n }'''}
    if: nodes.fetch.ok
    after: [fetch]
  # Last.
  report: {use: core/noop, with: {x: [1, 2, 3]}, after: train} # done
outputs: {r: "${ nodes.train.r }"}
# Tail
"#;

/// The lines that differ, with `-` and `+`.
fn changed(text: &str, list: Value) -> String {
    let new = after(text, list);
    let (old, new): (Vec<&str>, Vec<&str>) = (text.split('\n').collect(), new.split('\n').collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let lines = |sign: &str, lines: &[&str]| lines.iter().map(|line| format!("{sign}{line}\n")).collect::<String>();
    lines("-", &old[start..old.len() - end]) + &lines("+", &new[start..new.len() - end])
}

#[test]
fn values_are_set_in_place() {
    let set = |path: &str, value: Value| changed(TEXT, json!([{"op": "set", "path": path, "value": value}]));
    assert_eq!(
        set("/nodes/fetch/with/url", json!("http://y")),
        "-      url: \"http://x\"    # where\n+      url: \"http://y\"    # where\n"
    );
    assert_eq!(set("/nodes/fetch/with/headers/a", json!(2)), "-      headers: {a: b}\n+      headers: {a: 2}\n");
    assert_eq!(set("/nodes/fetch/with/method", json!("GET")), "+      method: GET\n");
    assert_eq!(set("/nodes/fetch/timeout", json!("30s")), "+    timeout: 30s\n");
    assert_eq!(
        set("/nodes/report/with/x/1", json!("${ nodes.train }")),
        "-  report: {use: core/noop, with: {x: [1, 2, 3]}, after: train} # done\n+  report: {use: core/noop, with: {x: [1, \"${ nodes.train }\", 3]}, after: train} # done\n"
    );
    assert_eq!(
        set("/nodes/report/retry/max", json!(3)),
        "-  report: {use: core/noop, with: {x: [1, 2, 3]}, after: train} # done\n+  report: {use: core/noop, with: {x: [1, 2, 3]}, after: train, retry: {max: 3}} # done\n"
    );
    assert_eq!(set("/nodes/train/after/-", json!("report")), "-    after: [fetch]\n+    after: [fetch, report]\n");
    assert_eq!(set("/description", json!("What\nit is")), "+description: |-\n+  What\n+  it is\n");
    assert_eq!(
        set("/nodes/train/run/script", json!("one line")),
        "-      script: |\n-        echo a\n-        # not a note\n+      script: \"one line\"\n"
    );
    assert_eq!(
        set("/nodes/fetch/with", json!({"url": "http://x", "headers": {"a": "b", "c": "d"}})),
        "-      headers: {a: b}\n+      headers: {a: b, c: d}\n"
    );
    assert_eq!(
        set("/nodes/fetch/with", json!({})),
        "-    with:\n-      url: \"http://x\"    # where\n-      headers: {a: b}\n+    with: {}\n"
    );
    assert_eq!(set("/nodes/fetch/with/url", json!("http://x")), "");
}

#[test]
fn nodes_are_added_removed_and_noted() {
    let node = json!({"run": ["make"], "with": {"a": "${ nodes.train }"}});
    assert_eq!(
        changed(TEXT, json!([{"op": "add", "node": "new", "value": node}])),
        "+  new:\n+    run: [make]\n+    with: {a: \"${ nodes.train }\"}\n"
    );
    let below = after(TEXT, json!([{"op": "add", "node": "new", "value": node, "below": "fetch"}]));
    assert!(
        below.contains("headers: {a: b}\n  new:\n    run: [make]\n    with: {a: \"${ nodes.train }\"}\n\n  train:"),
        "{below}"
    );
    let gone = edited(TEXT, json!([{"op": "remove", "node": "fetch"}]));
    assert!(gone.text.contains("\nnodes:\n\n  train:\n") && !gone.text.contains("after: [fetch]"), "{}", gone.text);
    let told: Vec<String> = gone.notices.iter().map(|notice| notice.path.to_string()).collect();
    assert_eq!(told, ["/nodes/train/if", "/nodes/train/with/rows", "/nodes/train/with/it's"]);
    assert_eq!(
        changed(TEXT, json!([{"op": "note", "node": "train", "text": "Learns\n\nslowly"}])),
        "+  # Learns\n+  #\n+  # slowly\n"
    );
    assert_eq!(changed(TEXT, json!([{"op": "note", "node": "report", "text": ""}])), "-  # Last.\n");
    assert_eq!(notes(TEXT)["fetch"], "Gets the rows.\nAll of them.");
    assert_eq!(notes(TEXT).keys().collect::<Vec<_>>(), ["fetch", "report"]);
    assert_eq!(changed(TEXT, json!([{"op": "pin", "node": "train", "at": [10, 20.5]}])), "+layout:\n+  train: [10, 20.5]\n");
    let both = json!([{"op": "pin", "node": "train", "at": [1, 2]}, {"op": "pin", "node": "fetch", "at": [3, 4]},
        {"op": "set", "path": "/timeout", "value": "1h"}, {"op": "unpin", "node": "train"}]);
    assert_eq!(changed(TEXT, both), "+timeout: 1h\n+layout:\n+  fetch: [3, 4]\n");
}

#[test]
fn renaming_follows_every_reference_and_nothing_else() {
    let new = after(TEXT, json!([{"op": "pin", "node": "fetch", "at": [0, 0]}, {"op": "rename", "node": "fetch", "to": "get"}]));
    let wanted = TEXT
        .replace("  fetch:   #", "  get:   #")
        .replace("${ nodes.fetch.rows }", "${ nodes.get.rows }")
        .replace("nodes[\"fetch\"]", "nodes[\"get\"]")
        .replace("if: nodes.fetch.ok", "if: nodes.get.ok")
        .replace("[fetch]", "[get]")
        .replace("# Tail", "layout:\n  get: [0, 0]\n# Tail");
    assert_eq!(new, wanted);
    assert!(new.contains("'nodes.fetch ''"), "a text outside of an expression stays");
    let dashed = after(TEXT, json!([{"op": "rename", "node": "fetch", "to": "get-it"}]));
    assert!(dashed.contains("\"${ nodes['get-it'].rows }\"") && dashed.contains("if: \"nodes['get-it'].ok\""), "{dashed}");
    let back = after(&dashed, json!([{"op": "rename", "node": "get-it", "to": "fetch"}]));
    assert!(back.contains("nodes['fetch'].rows"));
    let text = "workflow: a/b\nnodes:\n  d: {decide: [{when: true, then: [x, y]}, {otherwise: z, name: z}]}\n  x: {use: core/noop}\n  y: {use: core/noop}\n  z: {use: core/noop}\n";
    let edited = edited(text, json!([{"op": "rename", "node": "x", "to": "w"}, {"op": "rename", "node": "z", "to": "v"}]));
    assert!(edited.text.contains("then: [w, y]}, {otherwise: v, name: z}"), "{}", edited.text);
    assert_eq!(edited.notices.len(), 1);
    assert!(edited.notices[0].message.contains("was called `x`"));
}

#[test]
fn what_cannot_be_edited_says_why() {
    for (list, code) in [
        (json!([{"op": "set", "path": "/nodes/fetch/use/x", "value": 1}]), "W0502"),
        (json!([{"op": "set", "path": "", "value": 1}]), "W0502"),
        (json!([{"op": "set", "path": "/nodes/report/with/x/7", "value": 1}]), "W0502"),
        (json!([{"op": "unset", "path": "/nodes/fetch/nothing"}]), "W0502"),
        (json!([{"op": "add", "node": "fetch", "value": {}}]), "W0503"),
        (json!([{"op": "add", "node": "1", "value": {}}]), "W0105"),
        (json!([{"op": "add", "node": "x", "value": {}, "below": "y"}]), "W0201"),
        (json!([{"op": "rename", "node": "fetch", "to": "train"}]), "W0503"),
        (json!([{"op": "rename", "node": "fetch", "to": "no name"}]), "W0105"),
        (json!([{"op": "remove", "node": "fetsh"}]), "W0201"),
        (json!([{"op": "note", "node": "fetch", "text": "a\u{7}"}]), "W0104"),
    ] {
        assert_eq!(refused(TEXT, list.clone()).code, code, "{list}");
    }
    assert_eq!(refused(TEXT, json!([{"op": "remove", "node": "fetsh"}])).hint.unwrap(), "did you mean `fetch`?");
    assert_eq!(refused("a: [1", json!([{"op": "unpin", "node": "a"}])).code, "W0501");
    assert_eq!(refused("workflow: a\n---\nworkflow: b\n", json!([{"op": "unpin", "node": "a"}])).code, "W0501");
    let flow = "workflow: a\nnodes: {a: {use: core/noop}}\n";
    assert_eq!(refused(flow, json!([{"op": "note", "node": "a", "text": "x"}])).code, "W0504");
    let error = refused(TEXT, json!([{"op": "unset", "path": "/inputs"}, {"op": "remove", "node": "x"}]));
    assert_eq!((error.edit, error.code), (1, "W0201"));
    assert!(serde_json::from_value::<Edit>(json!({"op": "set", "path": "a", "value": 1})).is_err());
    assert!(serde_json::from_value::<Edit>(json!({"op": "pin", "node": "a", "at": [1, 2], "x": 1})).is_err());
}

#[test]
fn other_documents_of_the_file_are_left_alone() {
    let text = "kind: site\nname: x\ncapacity: {cpu: 1}\n---\nworkflow: a/b\nnodes: {}\n---\nkind: trigger\nname: t\nworkflow: a/b\nevery: 1h\n";
    let new = after(text, json!([{"op": "add", "node": "a", "value": {"run": ["x"]}}, {"op": "pin", "node": "a", "at": [1, 1]}]));
    assert_eq!(new, text.replace("nodes: {}\n", "nodes:\n  a:\n    run: [x]\nlayout:\n  a: [1, 1]\n"));
}

#[test]
fn lists_within_lists_are_edited() {
    let text = "workflow: t/w\nnodes:\n b:\n  k:\n   -\n    -\n     - { a: 1 }\n   - - x\n     # c\n     - y\n";
    let set = |path: &str| after(text, json!([{"op": "set", "path": path, "value": 2}]));
    assert_eq!(set("/nodes/b/k/0/0/0/b"), text.replace("{ a: 1 }", "{ a: 1, b: 2 }"));
    assert_eq!(set("/nodes/b/k/1/1"), text.replace("- y", "- 2"));
    assert_eq!(set("/nodes/b/k/1/-"), text.replace("- y\n", "- y\n     - 2\n"));
    let unset = |path: &str| after(text, json!([{"op": "unset", "path": path}]));
    assert_eq!(unset("/nodes/b/k/1/0"), text.replace("- - x\n     # c\n     - y", "- # c\n     - y"));
    assert_eq!(unset("/nodes/b/k/1"), text.replace("   - - x\n     # c\n     - y\n", ""));
}
