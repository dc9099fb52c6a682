//! Workflow files as people write them: every way of indenting, quoting, commenting and spacing.

use proptest::prelude::*;
use serde_json::Value;

/// How a file is written as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    unit: usize,
    crlf: bool,
    last_break: bool,
    mark: bool,
    /// `true`: lists stand at the column of their key.
    flat_lists: bool,
}

/// A value as written.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// On one line, as it stands.
    Line(String),
    /// Below a header, line by line.
    Text(&'static str, Vec<&'static str>),
    /// A map by lines.
    Map(Vec<Entry<String>>),
    /// A list by lines.
    List(Vec<Entry<()>>),
}

/// An entry with what stands around it.
#[derive(Clone, Debug)]
pub(crate) struct Entry<K> {
    above: Vec<&'static str>,
    key: K,
    behind: &'static str,
    value: Written,
}

/// A file.
#[derive(Clone)]
pub(crate) struct File {
    manner: Manner,
    top: Vec<Entry<String>>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl File {
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        map(&self.top, 0, &self.manner, &mut lines);
        let mut text = lines.join(if self.manner.crlf { "\r\n" } else { "\n" });
        if self.manner.last_break {
            text.push_str(if self.manner.crlf { "\r\n" } else { "\n" });
        }
        if self.manner.mark { format!("\u{feff}{text}") } else { text }
    }
}

fn above(comments: &[&str], indent: usize, lines: &mut Vec<String>) {
    for comment in comments {
        lines.push(if comment.is_empty() { String::new() } else { format!("{:indent$}{comment}", "") });
    }
}

fn map(entries: &[Entry<String>], indent: usize, manner: &Manner, lines: &mut Vec<String>) {
    for entry in entries {
        above(&entry.above, indent, lines);
        let head = format!("{:indent$}{}:", "", entry.key);
        value(head, entry.behind, &entry.value, indent, manner, lines);
    }
}

fn value(head: String, behind: &str, written: &Written, indent: usize, manner: &Manner, lines: &mut Vec<String>) {
    let inner = indent + manner.unit;
    match written {
        Written::Line(text) => {
            let blank = if text.is_empty() { "" } else { " " };
            lines.push(format!("{head}{blank}{text}{behind}"));
        }
        Written::Text(header, body) => {
            lines.push(format!("{head} {header}{behind}"));
            let line = |line: &&str| if line.is_empty() { String::new() } else { format!("{:inner$}{line}", "") };
            lines.extend(body.iter().map(line));
        }
        Written::Map(entries) => {
            lines.push(format!("{head}{behind}"));
            map(entries, inner, manner, lines);
        }
        Written::List(items) => {
            lines.push(format!("{head}{behind}"));
            let at = if manner.flat_lists { indent } else { inner };
            for item in items {
                above(&item.above, at, lines);
                let dash = format!("{:at$}-", "");
                match &item.value {
                    // A map begins on the line of its dash.
                    Written::Map(entries) => {
                        let first = lines.len();
                        map(entries, at + 2, manner, lines);
                        // Comments above its first entry would stand between the dash and the entry.
                        match lines.get_mut(first) {
                            Some(line) if !line.trim_start().starts_with('#') && !line.is_empty() => {
                                *line = format!("{dash} {}", line.trim_start());
                            }
                            _ => lines.insert(first, dash),
                        }
                    }
                    other => value(dash, item.behind, other, at, manner, lines),
                }
            }
        }
    }
}

fn pick<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(of)
}

fn comments() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(pick(&["# note", "# ünï ${ nodes.a }", "#", "", "# - a: [1", "# a: b"]), 0..3)
}

fn behind() -> impl Strategy<Value = &'static str> {
    pick(&["", "", "", "  # behind: it", " #", "\t# tab", "   "])
}

fn line() -> impl Strategy<Value = String> {
    pick(&[
        "1",
        "x",
        "true",
        "-2.5",
        "\"q \\\" é # no\"",
        "'it''s'",
        "\"${ nodes.a.x + 'nodes.a' }\"",
        "'${ nodes[\"b\"].y } nodes.b'",
        "~",
        "",
        "http://x#y",
        "a b, c",
        "\"\\u0024{ nodes.c }\"",
        "[1, 'b', {c: d}]",
        "{k: v, \"l\": [x, ], m: }",
        "[]",
        "{}",
        "{ a: 1 }",
        "\"on\"",
        "日本",
    ])
    .prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    pick(&["k", "with", "\"quoted key\"", "'s'", "ümlaut", "x-y", "url", "n "]).prop_map(str::to_owned)
}

fn entries(value: BoxedStrategy<Written>) -> impl Strategy<Value = Vec<Entry<String>>> {
    let entry = (comments(), key(), behind(), value).prop_map(|(above, key, behind, value)| Entry { above, key, behind, value });
    prop::collection::vec(entry, 1..4).prop_map(unique)
}

/// Entries without a second one of the same key.
fn unique(mut entries: Vec<Entry<String>>) -> Vec<Entry<String>> {
    let mut seen = Vec::new();
    entries.retain(|entry| {
        let fresh = !seen.contains(&entry.key);
        seen.push(entry.key.clone());
        fresh
    });
    entries
}

const BODIES: [&[&str]; 3] = [&["one", "# two", "", "  three"], &["${ nodes.a } é"], &["a", "", ""]];

fn written() -> BoxedStrategy<Written> {
    let text = (pick(&["|", "|-", ">", ">-", "|+"]), pick(&BODIES));
    let leaf = prop_oneof![
        4 => line().prop_map(Written::Line),
        1 => text.prop_map(|(header, body)| Written::Text(header, body.to_vec())),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let item =
            (comments(), behind(), inner.clone()).prop_map(|(above, behind, value)| Entry { above, key: (), behind, value });
        prop_oneof![entries(inner.boxed()).prop_map(Written::Map), prop::collection::vec(item, 1..4).prop_map(Written::List)]
    })
    .boxed()
}

fn node() -> BoxedStrategy<Written> {
    let after = pick(&["a", "[a, b]", "[ 'c' ]", "[\"a\"]"]);
    let with_after = (entries(written()), after).prop_map(|(mut entries, after)| {
        entries.push(Entry { above: vec![], key: "after".into(), behind: "", value: Written::Line(after.into()) });
        Written::Map(entries)
    });
    let flow = pick(&["{use: core/noop}", "{ use: x, with: {a: \"${ nodes.a }\"}, after: [b] }", "{}"]);
    prop_oneof![3 => entries(written()).prop_map(Written::Map), 2 => with_after, 1 => flow.prop_map(|text| Written::Line(text.into()))].boxed()
}

fn manner() -> impl Strategy<Value = Manner> {
    (1..5usize, any::<bool>(), any::<bool>(), prop::bool::weighted(0.1), any::<bool>())
        .prop_map(|(unit, crlf, last_break, mark, flat_lists)| Manner { unit, crlf, last_break, mark, flat_lists })
}

/// Files that can be read, whatever they mean.
pub(crate) fn file() -> impl Strategy<Value = File> {
    let plain = |key: &str, value: &str| Entry { above: vec![], key: key.into(), behind: "", value: Written::Line(value.into()) };
    let nodes = prop::collection::vec((comments(), pick(&["a", "b", "c", "d-e"]), behind(), node()), 1..4);
    let nodes = nodes.prop_map(|nodes| {
        let entry = |(above, key, behind, value): (Vec<_>, &str, _, _)| Entry { above, key: key.to_owned(), behind, value };
        unique(nodes.into_iter().map(entry).collect())
    });
    let rest = prop::collection::vec((comments(), pick(&["inputs", "outputs", "description"]), behind(), written()), 0..3);
    (manner(), nodes, rest, comments(), behind(), pick(&[None, Some("{a: [1, 2]}"), Some("{ }")])).prop_map(
        move |(manner, nodes, rest, head, behind, layout)| {
            let mut top = vec![Entry { above: head, ..plain("workflow", "t/w") }];
            top.push(Entry { behind, value: Written::Map(nodes), ..plain("nodes", "") });
            top.extend(rest.into_iter().map(|(above, key, behind, value)| Entry { above, key: key.to_owned(), behind, value }));
            top.extend(layout.map(|layout| plain("layout", layout)));
            File { manner, top: unique(top) }
        },
    )
}

/// Values to set.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-9.5..9.5f64).prop_map(Value::from),
        pick(&[
            "x",
            "",
            "a: b",
            "${ nodes.a }",
            "l1\nl2\n",
            "l1\n\n l2",
            " lead",
            "é\u{2028}\u{7}",
            "- x",
            "#",
            "1",
            "true",
            "'\"\\"
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(pick(&["k", "with", "a b", "é", "1", "url"]), inner, 0..3)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}
