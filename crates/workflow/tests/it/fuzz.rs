//! Mutated files, expressions and edits: never a panic, always findings that point into the text, never more steps than a budget.
//!
//! Everything comes from a seed, so that what failed fails again: `TUTTI_FUZZ_SEED=7`. `TUTTI_FUZZ_ROUNDS=1000000` goes on for longer than
//! the tests of every day.

use std::collections::BTreeMap;

use model::limits::{EVALUATION_BYTES_MAX, EVALUATION_STEPS_MAX, FINDINGS_MAX};
use serde_json::{Value, json};
use workflow::check::{Environment, check};
use workflow::edit::{Edit, apply};
use workflow::expression::{Evaluator, Meter, Names, parts};
use workflow::source::{Data, Tree, decode, parse};
use workflow::types::Type;
use workflow::{documents, semantic};

use crate::Shelf;
use crate::pages::{beside, read, right, whole};

const SEED: u64 = 20_261_126;

#[expect(clippy::disallowed_methods, reason = "who looks for longer says so in the environment")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A generator of numbers that gives the same ones for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// Says what was tried when a test dies of it. `TUTTI_FUZZ_ROUND=17` runs that round alone and says it beforehand: a stack that overflows
/// tells nothing afterwards.
struct Case {
    seed: u64,
    round: u64,
    text: String,
}

impl Case {
    fn is(&mut self, text: String) {
        if setting("TUTTI_FUZZ_ROUND").is_some() {
            eprintln!("{text}");
        }
        self.text = text;
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, round {}:\n{}", self.seed, self.round, self.text);
        }
    }
}

/// Runs a case for every round, each from a seed of its own.
fn rounds(count: u64, mut case: impl FnMut(&mut Random, &mut Case)) {
    let (seed, count) = (setting("TUTTI_FUZZ_SEED").unwrap_or(SEED), setting("TUTTI_FUZZ_ROUNDS").unwrap_or(count));
    eprintln!("seed {seed}, {count} rounds");
    let only = setting("TUTTI_FUZZ_ROUND");
    for round in only.unwrap_or(0)..only.map_or(count, |only| only + 1) {
        let mut random = Random(seed ^ round.wrapping_mul(0xd6e8_feb8_6659_fd93));
        case(&mut random, &mut Case { seed, round, text: String::new() });
    }
}

const YAML: [&str; 44] = [
    ":",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "- ",
    "\n",
    "\n  ",
    "\r\n",
    "\r",
    "\t",
    " ",
    "#",
    " # x",
    "'",
    "\"",
    "|",
    ">",
    "|-\n  a",
    "&a ",
    "*a",
    "!x ",
    "!!str ",
    "<<: ",
    "? ",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "~",
    "null",
    "0x1f",
    "1e999",
    "-0",
    "é",
    "\u{feff}",
    "\u{0}",
    "\u{2028}",
    "😀",
    "${",
    "$${ ",
    "}}",
    "\\",
];
const CEL: [&str; 46] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "?",
    ":",
    "'",
    "\"",
    "'''",
    "r'",
    "b'x'",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "&&",
    "||",
    "==",
    "!=",
    "<",
    ">=",
    " in ",
    "inputs",
    "nodes.a",
    "nodes['a']",
    "item",
    ".map(x, x)",
    ".filter(x, x > 0)",
    ".all(x, ",
    "size(",
    "string(",
    "has(",
    "null",
    "true",
    "1",
    "9223372036854775807",
    "1u",
    "1.5e300",
    "\u{0}",
    "é",
];

fn mutated(random: &mut Random, seeds: &[String], tokens: &[&str], changes: usize) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone().into_bytes();
    for _ in 0..random.below(changes + 1) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            3 => {
                let other = random.pick(seeds).as_bytes();
                let from = random.below(other.len());
                let upto = (from + random.below(60)).min(other.len());
                bytes.splice(at..end, other[from..upto].iter().copied());
            }
            4 => {
                let token = random.pick(tokens).repeat(random.below(200));
                bytes.splice(at..at, token.into_bytes());
            }
            5 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, random.pick(tokens).bytes())),
        }
    }
    bytes
}

fn corpus() -> Vec<String> {
    let mut all: Vec<String> = right().iter().map(whole).collect();
    all.push(include_str!("../examples/hospital.workflow.yaml").into());
    all.push(read("examples/bank/fraud-model.workflow.yaml"));
    all
}

#[test]
fn mutated_files() {
    let (seeds, beside) = (corpus(), beside());
    let (mut taken, evaluator) = (0u64, Evaluator::default());
    rounds(3_000, |random, case| {
        let bytes = mutated(random, &seeds, &YAML, 7);
        case.is(String::from_utf8_lossy(&bytes).into_owned());
        let Ok(text) = decode(&bytes) else { return };
        let found = documents::read(text, &beside, &Shelf);
        assert!(found.diagnostics.len() <= FINDINGS_MAX + 10);
        for finding in &found.diagnostics {
            assert!(finding.span.start <= finding.span.end && text.get(finding.span.clone()).is_some(), "{finding:?}");
            finding.render("t", text);
        }
        for document in &found.documents {
            let documents::Document::Workflow(graph) = document else { continue };
            taken += 1;
            let stored = serde_json::to_string(&**graph).unwrap();
            let again: model::Graph = serde_json::from_str(&stored).unwrap();
            assert_eq!(semantic::hash(&again), semantic::hash(graph));
            assert_eq!(semantic::diff(graph, &again), []);
            let nothing = json!({});
            for node in &graph.nodes {
                drop(evaluator.render(&node.input, &Names { inputs: Some(&nothing), ..Names::default() }));
            }
        }
    });
    assert!(taken > 50, "{taken} mutated workflows were still right: too few to say anything");
}

fn expressions() -> Vec<String> {
    fn collect(tree: &Tree, into: &mut Vec<String>) {
        match &tree.data {
            Data::Scalar(Value::String(text)) => {
                for part in parts(text).unwrap_or_default() {
                    if let workflow::expression::Part::Expression(source, _) = part {
                        into.push(source);
                    }
                }
            }
            Data::Scalar(_) => {}
            Data::List(items) => items.iter().for_each(|item| collect(item, into)),
            Data::Map(fields) => fields.iter().for_each(|(_, value)| collect(value, into)),
        }
    }
    let mut all = vec![
        "inputs.list.map(x, inputs.list.filter(y, y == x).size()).exists(z, z > 1)".to_owned(),
        "inputs.o.all(k, k != 'b') ? inputs.list[0] + inputs.n : -inputs.n % 3".to_owned(),
        "timestamp(inputs.at) + duration('1h') > timestamp('2026-01-01T00:00:00Z')".to_owned(),
        "{'a': [1, 2.5, 'x', null], 'b': {1: true}}['b'][1]".to_owned(),
        "inputs.s.matches('^[a-z]+$') && inputs.s.contains('a') || size(inputs.s) in [1, 2, 3]".to_owned(),
        "has(nodes.a.b) ? nodes.a.b.c : max(inputs.list) + min(1, 2.0)".to_owned(),
        "string(inputs.n) + string(inputs.f) + 'é😀' + r'\\d'".to_owned(),
    ];
    for text in corpus() {
        parse(&text).0.iter().for_each(|tree| collect(tree, &mut all));
    }
    all
}

#[test]
fn mutated_expressions() {
    let seeds = expressions();
    let inputs =
        json!({"n": 3, "f": 1.5, "s": "abc", "at": "2026-03-01T10:20:30Z", "list": [1, 2, 2, 5], "o": {"a": 1, "b": [null]}});
    let (a, none) = (json!({"b": {"c": 7}, "d": "text"}), Value::Null);
    let names = Names { inputs: Some(&inputs), nodes: vec![("a", &a), ("b", &none)], item: Some((&a, 3)), run: None };
    let nodes = Type::object([("a".to_owned(), Type::of_value(&a)), ("b".to_owned(), Type::Any)], false);
    let environment = Environment {
        names: BTreeMap::from([
            ("inputs".to_owned(), Type::of_value(&inputs)),
            ("nodes".to_owned(), nodes),
            ("item".to_owned(), Type::of_value(&a)),
            ("index".to_owned(), Type::Integer),
        ]),
    };
    let evaluator = Evaluator::default();
    let (mut right, mut valued) = (0u64, 0u64);
    rounds(4_000, |random, case| {
        let seeds = if random.below(2) == 0 { &seeds[..7] } else { &seeds[..] };
        let bytes = mutated(random, seeds, &CEL, 3);
        let source = String::from_utf8_lossy(&bytes).into_owned();
        case.is(source.clone());
        let mut meter = Meter::default();
        let value = evaluator.value_within(&source, &names, &mut meter);
        assert!(meter.steps() <= EVALUATION_STEPS_MAX + EVALUATION_BYTES_MAX / 64 && meter.bytes() <= 2 * EVALUATION_BYTES_MAX);
        valued += u64::from(value.is_ok());
        if let Ok(checked) = check(&source, &environment) {
            right += 1;
            // What is known of the lists is exact here: the count of the checker holds for what really happens.
            let bound = 8 * checked.cost.steps + 4_000;
            assert!(meter.steps() <= bound, "{} steps, and the checker said {}", meter.steps(), checked.cost.steps);
        }
    });
    assert!(right > 100 && valued > 100, "{right} right, {valued} with a value: too few to say anything");
}

/// Paths of a document, and some that are not there.
fn path(random: &mut Random, tree: &Tree) -> String {
    let (mut at, mut path) = (tree, String::new());
    for _ in 0..random.below(5) {
        match &at.data {
            Data::Map(fields) if !fields.is_empty() => {
                let (key, value) = random.pick(fields);
                path += &format!("/{}", key.text.replace('~', "~0").replace('/', "~1"));
                at = value;
            }
            Data::List(items) if !items.is_empty() => {
                let place = random.below(items.len());
                path += &format!("/{place}");
                at = &items[place];
            }
            _ => break,
        }
    }
    match random.below(4) {
        0 => {
            let step: &&str = random.pick(&["x", "-", "0", "99", "a b", "é", "", "~", "true", "nodes"]);
            format!("{path}/{step}")
        }
        _ => path,
    }
}

#[test]
fn edits_of_mutated_files() {
    let seeds = corpus();
    let values = [
        json!(null),
        json!("x"),
        json!("a: b # c"),
        json!("line\nline\n"),
        json!("${ inputs.n }"),
        json!([1, {"a": []}]),
        json!({"use": "core/noop"}),
        json!({}),
        json!(-0.5),
        json!("\u{0}\u{feff}é"),
        json!({"a b": {"": "true"}}),
        json!("0x10"),
        json!(" x "),
        json!("'\""),
    ];
    let (mut made, mut refused) = (0u64, 0u64);
    rounds(1_500, |random, case| {
        let bytes =
            if random.below(3) == 0 { mutated(random, &seeds, &YAML, 7) } else { random.pick(&seeds).clone().into_bytes() };
        let Ok(text) = decode(&bytes) else { return };
        let (trees, _) = parse(text);
        let empty = Tree { span: 0..0, style: workflow::source::Style::Plain, data: Data::Scalar(Value::Null) };
        let tree = trees.first().unwrap_or(&empty);
        let ids: Vec<String> = match tree.get("nodes").map(|nodes| &nodes.data) {
            Some(Data::Map(nodes)) => nodes.iter().map(|(key, _)| key.text.clone()).chain(["other".into()]).collect(),
            _ => vec!["a".into()],
        };
        let edits: Vec<Edit> = (0..=random.below(3))
            .map(|_| {
                let (node, value) = (random.pick(&ids).clone(), random.pick(&values).clone());
                let edit = match random.below(8) {
                    0 => json!({"op": "add", "node": if random.below(2) == 0 { "new" } else { &node }, "value": value, "below": ids.first()}),
                    1 | 2 => json!({"op": "set", "path": path(random, tree), "value": value}),
                    3 => json!({"op": "unset", "path": path(random, tree)}),
                    4 => json!({"op": "rename", "node": node, "to": random.pick(&["renamed", "a-b", "a", "1x"])}),
                    5 => json!({"op": "remove", "node": node}),
                    6 => json!({"op": "note", "node": node, "text": random.pick(&["", "a note", "two\nlines", "# x", "é\r\n"])}),
                    _ => json!({"op": "pin", "node": node, "at": [random.below(900), -1.5]}),
                };
                serde_json::from_value(edit).unwrap_or(Edit::Unpin { node: "a".into() })
            })
            .collect();
        case.is(format!("{}\n---\n{text}", serde_json::to_string(&edits).unwrap()));
        match apply(text, &edits) {
            Ok(edited) => {
                made += 1;
                let mut replayed = text.to_owned();
                for splice in &edited.splices {
                    replayed.replace_range(splice.range.clone(), &splice.text);
                }
                assert_eq!(replayed, edited.text);
                let (_, findings) = parse(&edited.text);
                assert!(findings.is_empty(), "{findings:?}\n{}", edited.text);
            }
            Err(error) => {
                refused += 1;
                assert!(error.code.starts_with('W') && !error.message.is_empty() && error.edit <= edits.len());
            }
        }
    });
    assert!(made > 100 && refused > 100, "{made} made, {refused} refused: too few to say anything");
}
