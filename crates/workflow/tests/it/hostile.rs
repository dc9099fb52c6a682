//! What somebody could send: every file ends in findings, never in a panic, and never takes what its size does not justify.

use std::sync::Arc;

use model::limits::{FINDINGS_MAX, WORKFLOW_BYTES_MAX, WORKFLOW_DEPTH_MAX, WORKFLOW_NODES_MAX, WORKFLOW_VALUES_MAX};
use serde_json::{Value, json};
use workflow::edit::{Edit, apply};
use workflow::source::{decode, parse};
use workflow::{Diagnostic, documents};

use crate::{Shelf, codes, compile, files};

fn nodes(nodes: &str) -> String {
    format!("workflow: t/w\nnodes:\n{nodes}")
}

/// The findings of a file as it lies on a disk.
fn of_bytes(bytes: &[u8]) -> Vec<Diagnostic> {
    match decode(bytes) {
        Ok(text) => {
            let found = documents::read(text, &files(&[]), &Shelf).diagnostics;
            for finding in &found {
                assert!(finding.span.start <= finding.span.end && finding.span.end <= text.len(), "{finding:?}");
                finding.render("t", text);
            }
            found
        }
        Err(finding) => vec![finding],
    }
}

fn first(bytes: &[u8]) -> String {
    let found = of_bytes(bytes);
    assert!(found.len() <= FINDINGS_MAX);
    found.first().map(|finding| format!("{} {}", finding.code, finding.message)).unwrap_or_default()
}

#[test]
fn files_that_are_too_large_are_not_read() {
    for filling in ["x", "a: b\n", "[", "{\"a\": ", "- ", "# note\n", "\n", "${", "é"] {
        let text = filling.repeat((50 << 20) / filling.len());
        assert!(first(text.as_bytes()).starts_with("W0001 the file is 5"), "{filling}");
    }
    assert!(first(&vec![0xff; 50 << 20]).starts_with("W0001"));
    let brim = "#".repeat(WORKFLOW_BYTES_MAX - 40) + "\nworkflow: t/w\nnodes: {}\n";
    assert_eq!(first(brim.as_bytes()), "", "a file may be as large as the limit says");
}

#[test]
fn too_many_nodes_and_values_are_refused() {
    let many = |count: usize| nodes(&(0..count).map(|index| format!("  n{index}: {{use: core/noop}}\n")).collect::<String>());
    assert_eq!(codes(&many(WORKFLOW_NODES_MAX)), [""; 0]);
    assert!(first(many(WORKFLOW_NODES_MAX + 1).as_bytes()).starts_with("W0001 the workflow has 10001 nodes"));
    assert!(first(many(100_000).as_bytes()).starts_with("W0001 the workflow has 100000 nodes"));
    let values = nodes(&format!("  a: {{use: core/noop, with: {{x: [{}]}}}}\n", "1,".repeat(WORKFLOW_VALUES_MAX)));
    assert!(first(values.as_bytes()).starts_with("W0005"));
    // As many wrong nodes as there may be: as many findings as help.
    let wrong: String = (0..WORKFLOW_NODES_MAX).map(|index| format!("  n{index}: {{uze: x, after: nobody{index}}}\n")).collect();
    assert_eq!(of_bytes(nodes(&wrong).as_bytes()).len(), FINDINGS_MAX);
}

#[test]
fn deep_nesting_is_refused() {
    let open = WORKFLOW_BYTES_MAX / 8;
    for text in [
        "[".repeat(open),
        "{a: ".repeat(open),
        "{\"a\": ".repeat(open),
        "[{a: ".repeat(open),
        "- ".repeat(open),
        "? ".repeat(open),
        (0..1_500).map(|level| format!("{}a:\n", " ".repeat(level))).collect(),
        "a: ".repeat(open),
        "[".repeat(open) + &"]".repeat(open),
        format!(
            "{{\"workflow\": \"t/w\", \"nodes\": {{\"a\": {{\"use\": \"core/noop\", \"with\": {}1{}}}}}}}",
            "{\"a\":".repeat(200),
            "}".repeat(200)
        ),
    ] {
        let told = first(text.as_bytes());
        assert!(told.starts_with("W000"), "{:.20}: {told}", text);
    }
    let fits = format!("{}1{}", "[".repeat(WORKFLOW_DEPTH_MAX - 4), "]".repeat(WORKFLOW_DEPTH_MAX - 4));
    assert_eq!(codes(&nodes(&format!("  a: {{use: core/noop, with: {{x: {fits}}}}}\n"))), [""; 0]);
}

#[test]
fn circles_are_told_with_their_way() {
    let count = WORKFLOW_NODES_MAX;
    let circle: String = (0..count).map(|i| format!("  n{i}: {{use: core/noop, after: n{}}}\n", (i + 1) % count)).collect();
    let found = of_bytes(nodes(&circle).as_bytes());
    assert_eq!(found.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["W0202"]);
    assert!(found[0].message.len() < 1_000, "the way of {} letters", found[0].message.len());
    let chain: String =
        (0..count - 1).map(|i| format!("  n{i}: {{use: core/noop, with: {{x: \"${{ nodes.n{} }}\"}}}}\n", i + 1)).collect();
    assert_eq!(codes(&nodes(&format!("{chain}  n{}: {{use: core/noop}}\n", count - 1))), [""; 0], "a chain is no circle");
    // Each waits for all before it: half a million edges.
    let ids = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>().join(", ");
    let dense: String = (0..900).map(|i| format!("  n{i}: {{use: core/noop, after: [{}]}}\n", ids(i))).collect();
    assert_eq!(codes(&nodes(&dense)), [""; 0]);
}

#[test]
fn what_is_not_in_the_language_is_refused() {
    let laughs: String =
        (1..30).map(|i| format!("l{i}: &l{i} [*l{0}, *l{0}, *l{0}, *l{0}, *l{0}, *l{0}, *l{0}, *l{0}]\n", i - 1)).collect();
    for (text, told) in [
        (format!("l0: &l0 lol\n{laughs}"), "W0003 anchors"),
        ("a: *a\n".into(), "W000"),
        ("workflow: !!python/object/apply:os.system [ls]\n".into(), "W0003 tags"),
        ("workflow: !<tag:yaml.org,2002:str> x\n".into(), "W0003 tags"),
        ("%TAG ! tag:example.com,2000:\n---\nworkflow: !a x\n".into(), "W000"),
        ("a: {<<: {b: 1}}\n".into(), "W0003 merge keys"),
        ("<<: [{a: 1}]\n".into(), "W0003 merge keys"),
        ("? {a: 1}\n: b\n".into(), "W0"),
        ("[1, 2]: b\n".into(), "W0"),
        ("a: 1\na: 2\n".into(), "W0004"),
        ("workflow: t/w\nnodes: {a: {use: core/noop, use: core/fib}}\n".into(), "W0004"),
        ("a: 1\n\"a\": 2\n".into(), "W0004"),
        ("1: a\n\"1\": b\n".into(), "W0004"),
        ("workflow: t/w\rnodes: {}\r".into(), "W0003"),
        ("a:\tb\n\t- c\n".into(), "W000"),
        ("\u{0}".into(), "W0"),
        ("workflow: \"\\u0000\"\nnodes: {}\n".into(), "W0105"),
        ("workflow: t/w\nnodez: {}\n".into(), "W010"),
    ] {
        let found = of_bytes(text.as_bytes());
        let shown: Vec<String> = found.iter().map(|finding| format!("{} {}", finding.code, finding.message)).collect();
        assert!(shown.iter().any(|one| one.starts_with(told)), "{text:?}: {shown:?}");
        let read = documents::read(&text, &files(&[]), &Shelf);
        assert!(read.documents.is_empty(), "{text:?}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_told_with_its_line() {
    for (bytes, line) in
        [(&b"\xff\xfe\x00"[..], 1), (b"a: 1\nb: \xc3\x28\n", 2), (b"a: 1\nb: \xed\xa0\x80\n", 2), (b"\n\n\xf0\x9f", 3)]
    {
        assert_eq!(first(bytes), format!("W0002 the file is not UTF-8, from line {line} on"));
    }
    let wide: Vec<u8> = "workflow: t/w\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(first(&wide).starts_with("W000"), "UTF-16 is not read as something else: {}", first(&wide));
}

#[test]
fn huge_scalars_stay_what_they_are() {
    let long = "x".repeat(3 << 20);
    let graph = crate::graph(&nodes(&format!("  a: {{use: core/noop, with: {{text: \"{long}\"}}}}\n")));
    assert_eq!(graph.nodes[0].input.json["text"].as_str().map(str::len), Some(3 << 20));
    for (scalar, told) in [
        (format!("timeout: {}s", "9".repeat(100_000)), "W0104"),
        (format!("timeout: {long}"), "W0104"),
        (format!("retry: {}", "9".repeat(400)), "W0103"),
        ("retry: 1e999".into(), "W0103"),
        ("needs: {memory: 1e308}".into(), "W0104"),
        (format!("needs: {{memory: {}Ti}}", "9".repeat(300)), "W0104"),
        ("needs: {gpu: -1}".into(), "W0103"),
        (format!("if: \"{}\"", "(".repeat(100_000)), "W0304"),
        (format!("if: \"{}\"", "a.".repeat(100_000)), "W0304"),
        (format!("with: {{x: \"{}\"}}", "${".repeat(100_000)), "W0301"),
        (format!("with: {{x: \"{}\"}}", "${{".repeat(100_000)), "W0301"),
        (format!("after: {long}"), "W0201"),
        (format!("\"{long}\": 1"), "W0101"),
    ] {
        let text = nodes(&format!("  a: {{use: core/noop, {scalar}}}\n"));
        let found = of_bytes(text.as_bytes());
        assert!(
            found.iter().any(|finding| finding.code == told),
            "{scalar:.40}: {:?}",
            found.first().map(|finding| finding.code)
        );
        let told: usize = found.iter().map(|finding| finding.message.len() + finding.hint.as_ref().map_or(0, String::len)).sum();
        assert!(told < 20_000, "{scalar:.40}: findings of {told} bytes");
    }
}

/// Files that claim to be everywhere, as large as they like.
struct Everywhere(Arc<[u8]>);

impl workflow::Files for Everywhere {
    fn read(&self, _path: &str) -> Option<Arc<[u8]>> {
        Some(self.0.clone())
    }

    fn paths(&self) -> Vec<String> {
        (0..1_000).map(|index| format!("{}{index}.py", "a".repeat(200))).collect()
    }
}

#[test]
fn files_beside_the_workflow_are_bounded_too() {
    let whole = |bytes: &[u8], text: &str| workflow::compile(text, &Everywhere(bytes.into()), &Shelf);
    let types = "workflow: t/w\ninputs: {x: {$ref: x.json}}\nnodes: {a: {workflow: ./b.yaml}}\n";
    for bytes in [
        vec![b'['; 50 << 20],
        vec![0xff; 100],
        b"{\"$ref\": \"x.json\"}".to_vec(),
        b"[[[[".repeat(10_000),
        types.as_bytes().to_vec(),
    ] {
        let compiled = whole(&bytes, types);
        assert!(compiled.graph.is_none() && compiled.diagnostics.len() <= 4, "{:?}", compiled.diagnostics);
    }
    // Patterns that could be tried in every way.
    let stars = nodes(&format!("  a: {{run: {{script: x, files: [\"{}b\"]}}}}\n", "*a".repeat(100)));
    assert!(whole(b"", &stars).diagnostics.iter().any(|finding| finding.code == "W0205"));
}

#[test]
fn edits_are_bounded() {
    let text = "workflow: t/w\nnodes:\n  a: {use: core/noop}\n";
    let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    let set = |value: Value| vec![Edit::Set { path: "/nodes/a/with".parse().unwrap(), value }];
    assert_eq!(apply(text, &set(deep)).map(|edited| edited.text).map_err(|error| error.code), Err("W0504"));
    let long = vec![Edit::Unpin { node: "a".into() }; model::limits::EDITS_MAX + 1];
    assert_eq!(apply(text, &long).map(|edited| edited.text).map_err(|error| error.code), Err("W0504"));
    let path = format!("/nodes{}", "/a".repeat(100_000));
    assert!(apply(text, &[Edit::Set { path: path.parse().unwrap(), value: json!(1) }]).is_err());
    assert!(apply(&"[".repeat(1 << 20), &set(json!(1))).is_err());
    let large = json!("x".repeat(WORKFLOW_BYTES_MAX));
    assert!(apply(text, &set(large)).is_err(), "the text would be larger than a file may be");
}

#[test]
fn parsing_says_where_it_stopped() {
    let (trees, found) = parse("a: [1, 2\nb: 3\n");
    assert!(trees.iter().all(|tree| tree.span.end <= 13));
    assert_eq!((found.len(), found[0].code), (1, "W0002"));
    assert!(compile("workflow: t/w\nnodes: {a: {use: core/noop}\n").graph.is_none());
}
