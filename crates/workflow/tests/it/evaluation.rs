//! What evaluating may take, and that our walk gives what the interpreter of CEL gives.

use std::collections::BTreeMap;

use cel::{Context, Program, Value as Cel};
use model::Template;
use model::limits::{EVALUATION_BYTES_MAX, EVALUATION_STEPS_MAX};
use proptest::prelude::*;
use serde_json::{Value, json};
use workflow::expression::{Budget, Evaluator, Meter, Names};

fn value(source: &str, inputs: &Value) -> Result<Value, String> {
    let names = Names { inputs: Some(inputs), ..Names::default() };
    Evaluator::default().value(source, &names).map_err(|error| error.to_string())
}

#[test]
fn a_map_over_many_large_texts_is_refused_before_it_is_made() {
    let inputs = json!({ "text": "x".repeat(1 << 20), "items": vec![0; 10_000] });
    let names = Names { inputs: Some(&inputs), ..Names::default() };
    let evaluator = Evaluator::default();
    for source in [
        // Made one by one.
        "inputs.items.map(i, inputs.text + 'x')",
        // The same text ten thousand times: small until it is given back.
        "inputs.items.map(i, inputs.text)",
        "inputs.items.map(i, inputs)",
        "inputs.items.map(i, [inputs.text, inputs.text])",
        "inputs.items.map(i, {'a': inputs.text})",
        "inputs.items.exists(i, (inputs.text + string(i)).size() < 0)",
        "inputs.items.all(i, string(bytes(inputs.text)) != '')",
    ] {
        let mut meter = Meter::default();
        let error = evaluator.value_within(source, &names, &mut meter).unwrap_err();
        assert!(error.message.contains("(W0304)"), "{source}: {error}");
        // What was counted is what was made: one text more than allowed at most.
        assert!(meter.bytes() <= EVALUATION_BYTES_MAX + (3 << 20), "{source}: {} bytes", meter.bytes());
    }
    // Looking at a text makes nothing.
    assert_eq!(value("inputs.items.filter(i, inputs.text.startsWith('y')).size()", &inputs), Ok(json!(0)));
}

#[test]
fn what_takes_too_many_steps_is_refused() {
    let inputs = json!({ "text": "x".repeat(1 << 20), "items": vec![0; 10_000], "many": vec![0; 400_000] });
    for source in [
        "inputs.items.all(a, inputs.items.all(b, a == b))",
        "inputs.many.map(a, a + 1).map(a, a + 1).size()",
        "inputs.items.exists(a, inputs.text.contains('y'))",
        "inputs.items.exists(a, inputs.text != inputs.text)",
        "inputs.items.exists(a, inputs.many != inputs.many)",
        "inputs.items.exists(a, 1 in inputs.many)",
        "inputs.text.matches('(x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?)*y') || inputs.items.exists(a, inputs.text.matches('x*x*x*y'))",
        "inputs.items.map(a, string(inputs.text.size()) + string(a)).exists(a, ''.matches(a)) || inputs.text.matches(inputs.text)",
        "inputs.items.map(a, inputs.items.map(b, inputs.items))",
    ] {
        let found = value(source, &inputs);
        assert!(found.as_ref().is_err_and(|error| error.contains("W0304")), "{source}: {found:.80?}");
    }
}

#[test]
fn nothing_gets_over_a_spent_budget() {
    let inputs = json!({ "items": vec![0; 10_000] });
    let long = "inputs.items.all(a, inputs.items.all(b, a == b))";
    for source in [format!("{long} || true"), format!("true && {long}"), format!("[1].exists(x, {long} || x == 1)")] {
        assert!(value(&source, &inputs).unwrap_err().contains("W0304"), "{source}");
    }
}

#[test]
fn the_expressions_of_a_node_share_one_budget() {
    let inputs = json!({ "text": "x".repeat(1 << 20) });
    let names = Names { inputs: Some(&inputs), ..Names::default() };
    let template = |count: usize| Template::new(json!(vec!["${ inputs.text }"; count]));
    assert!(Evaluator::default().render(&template(16), &names).is_ok());
    let error = Evaluator::default().render(&template(64), &names).unwrap_err();
    assert!(error.message.contains("33554432 bytes"), "{error}");
    let within = Template::new(json!("${ inputs.text }, ".repeat(64)));
    assert!(Evaluator::default().render(&within, &names).unwrap_err().message.contains("W0304"));
    let small = Evaluator::new(Budget { steps: 4, bytes: 1_000 });
    assert!(small.value("1 + 1", &names).is_ok());
    assert!(small.value("1 + 1 + 1", &names).unwrap_err().message.contains("4 steps"));
    assert_eq!(Budget::default(), Budget { steps: EVALUATION_STEPS_MAX, bytes: EVALUATION_BYTES_MAX });
}

#[test]
fn what_was_never_checked_is_refused_too() {
    for source in [
        "1".to_owned() + &"+1".repeat(100_000),
        "!".repeat(4_000) + "true",
        "(".repeat(2_000) + "1" + &")".repeat(2_000),
        "[".repeat(1_000) + &"]".repeat(1_000),
        "inputs".to_owned() + &"[0]".repeat(4_000) + " + 1",
        "f(".repeat(1_000) + &")".repeat(1_000),
        "optional.of(1)".into(),
        "{?'a': 1}".into(),
        "[?1]".into(),
        "inputs.?a".into(),
        "a.b.C{x: 1}".into(),
    ] {
        assert!(value(&source, &json!({})).is_err(), "{source:.60}");
    }
}

#[test]
fn the_deepest_that_is_read_does_not_use_up_the_stack() {
    use model::limits::{EXPRESSION_BRACKETS_MAX, EXPRESSION_DEPTH_MAX};
    for bracket in
        [("(", ")"), ("[", "]"), ("{'a': ", "}"), ("size(", ")"), ("[1].map(x, ", ")"), ("!(", ")"), ("(1 + ", ")"), ("a[", "]")]
    {
        for count in [EXPRESSION_BRACKETS_MAX - 1, EXPRESSION_BRACKETS_MAX] {
            for chain in [
                "inputs".to_owned() + &".a".repeat(EXPRESSION_DEPTH_MAX - 2 * count - 2),
                "1".to_owned() + &" + 1".repeat(EXPRESSION_DEPTH_MAX - 3 * count),
            ] {
                drop(value(&format!("{}{chain}{}", bracket.0.repeat(count), bracket.1.repeat(count)), &json!({})));
                drop(value(&format!("{}{chain}", bracket.0.repeat(count)), &json!({})));
            }
        }
    }
    for chain in [
        "1".to_owned() + &" ? 1 : 1".repeat(60),
        "-".repeat(120) + "1",
        "!".repeat(120) + "true",
        "1".to_owned() + &" == 1".repeat(60),
    ] {
        drop(value(&chain, &json!({})));
    }
}

#[test]
fn numbers_mix_and_functions_are_there() {
    let inputs = json!({"n": 2, "f": 1.5, "big": u64::MAX, "at": "2026-03-01T10:20:30Z", "text": "äöü", "none": null});
    for (source, wanted) in [
        ("inputs.n * inputs.f", json!(3.0)),
        ("inputs.n / 4", json!(0)),
        ("inputs.n / 4.0", json!(0.5)),
        ("inputs.big > inputs.n && inputs.big != inputs.f", json!(true)),
        ("max(inputs.n, inputs.f, 7)", json!(7)),
        ("min([3, 1.5, 2])", json!(1.5)),
        ("size(inputs.text) + inputs.text.size()", json!(6)),
        ("timestamp(inputs.at).getFullYear()", json!(2026)),
        ("timestamp(inputs.at) + duration('1h') > timestamp(inputs.at)", json!(true)),
        ("timestamp(inputs.at).getDayOfWeek()", json!(0)),
        ("duration('90s').getMinutes()", json!(1)),
        ("string(inputs.f) + string(inputs.n) + string(true)", json!("1.52true")),
        ("int('42') + int(1.9)", json!(43)),
        ("double('1.5')", json!(1.5)),
        ("bool('true')", json!(true)),
        ("string(bytes('abc'))", json!("abc")),
        ("type(1) == type(2) && type(1) != type('x')", json!(true)),
        ("inputs.text.matches('^.{3}$')", json!(true)),
        ("[1, 2] + [3]", json!([1, 2, 3])),
        ("[1, 2, 2].exists_one(x, x == 2)", json!(false)),
        ("{1: 'a', 'b': true}[1]", json!("a")),
        ("{'b': 1, 2: 3}", json!({"2": 3, "b": 1})),
        ("'b' in {'b': 1} && !(2 in [1])", json!(true)),
        ("inputs.none.x.y == null && !has(inputs.none.x)", json!(true)),
        ("{'a': 1}.map(k, k)", json!(["a"])),
        ("-inputs.n", json!(-2)),
        ("{'b': 1, 'a': 2, 'c': 3}.map(k, k)", json!(["a", "b", "c"])),
    ] {
        assert_eq!(value(source, &inputs), Ok(wanted), "{source}");
    }
    for source in ["inputs.n / 0", "9223372036854775807 + 1", "1.5 % 2.0", "'a' < 1", "[1][3]", "min('a', 1)", "-'x'", "size(1)"]
    {
        assert!(value(source, &inputs).is_err(), "{source}");
    }
}

/// Expressions that are mostly sound, over the names `n`, `f`, `s`, `l` and, within macros, `x`.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("inputs.n".to_owned()),
        Just("inputs.f".to_owned()),
        Just("inputs.s".to_owned()),
        Just("inputs.l".to_owned()),
        Just("inputs.o".to_owned()),
        Just("inputs.o.a".to_owned()),
        Just("x".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        (-3i64..4).prop_map(|n| n.to_string()),
        (0u32..8).prop_map(|n| format!("{}.5", n)),
        "[ab]{0,3}".prop_map(|text| format!("'{text}'")),
    ];
    leaf.prop_recursive(4, 40, 3, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in"]);
        let macros = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        let function = prop::sample::select(vec!["size", "string", "int", "double", "bool"]);
        let member = prop::sample::select(vec!["contains", "startsWith", "endsWith", "matches"]);
        prop_oneof![
            4 => (inner.clone(), operator, inner.clone()).prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            2 => (inner.clone(), macros, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}(x, {b})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            1 => (function, inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            1 => (inner.clone(), member, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}({b})")),
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            // One key: with more the interpreter has no fixed order.
            1 => inner.clone().prop_map(|a| format!("{{'a': {a}}}")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.prop_map(|a| format!("has({a}.a)")),
        ]
    })
}

fn to_json(value: &Cel) -> Option<Value> {
    Some(match value {
        Cel::Null => Value::Null,
        Cel::Bool(value) => json!(value),
        Cel::Int(value) => json!(value),
        Cel::UInt(value) => json!(value),
        Cel::Float(value) => json!(value),
        Cel::String(text) => json!(**text),
        Cel::List(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        Cel::Map(map) => {
            let mut fields: Vec<_> =
                map.map.iter().map(|(key, value)| Some((key.to_string(), to_json(value)?))).collect::<Option<_>>()?;
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        _ => return None,
    })
}

fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Number(number) if number.is_f64() => Cel::Float(number.as_f64().unwrap()),
        Value::Number(number) => Cel::Int(number.as_i64().unwrap()),
        Value::String(text) => Cel::from(text.as_str()),
        Value::Array(items) => Cel::from(items.iter().map(to_cel).collect::<Vec<_>>()),
        Value::Object(fields) => {
            let fields: BTreeMap<String, Cel> = fields.iter().map(|(key, field)| (key.clone(), to_cel(field))).collect();
            Cel::Map(cel::objects::Map {
                map: std::sync::Arc::new(fields.into_iter().map(|(key, value)| (key.into(), value)).collect()),
            })
        }
        Value::Bool(value) => Cel::Bool(*value),
        Value::Null => Cel::Null,
    }
}

/// `docs/reference/language.md` lists these, as what differs from CEL.
#[test]
fn where_this_is_not_cel() {
    let inputs = json!({"o": {"b": 1, "a": 2}, "nothing": null});
    assert_eq!(value("2 * 1.5", &inputs), Ok(json!(3.0)));
    assert_eq!(value("inputs.nothing.a.b", &inputs), Ok(json!(null)));
    assert_eq!(value("has(inputs.nothing.a)", &inputs), Ok(json!(false)));
    assert_eq!(value("inputs.o.map(k, k)", &inputs), Ok(json!(["a", "b"])));
    for source in ["[1] + {'a': 2}", "1 < [1] + {'a': 2} && 2 < [1] + {'a': 2}", "1 < [1] + {'a': 2} || 2 < [1] + {'a': 2}"] {
        assert!(value(source, &inputs).is_err(), "{source}: {:?}", value(source, &inputs));
    }
    // One side that decides is enough, as CEL has it.
    assert_eq!(value("false && 1 < [1] + {'a': 2}", &inputs), Ok(json!(false)));
    assert_eq!(value("1 < [1] + {'a': 2} || true", &inputs), Ok(json!(true)));
}

proptest! {
    // A fixed seed: what differs is found by looking for it, not by chance in a build. One such case is known: an error on both sides of
    // `&&`, where CEL's interpreter compares a number with the sum of a list and a map and says false.
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Where CEL's own interpreter has a value, ours has the same. It has none where ours is more lenient: numbers of different kinds,
    /// fields of nothing.
    #[test]
    fn the_walk_gives_what_the_interpreter_gives(source in expression()) {
        let inputs = json!({"n": 2, "f": 2.5, "s": "ab", "l": [1, 2, 3], "o": {"a": ["a", null]}});
        let Ok(program) = Program::compile(&source) else { return Ok(()) };
        let mut context = Context::default();
        context.add_variable_from_value("inputs", to_cel(&inputs));
        let Ok(theirs) = program.execute(&context) else { return Ok(()) };
        let Some(theirs) = to_json(&theirs) else { return Ok(()) };
        let ours = value(&source, &inputs);
        // The interpreter adds the keys of an object to a list; here that is a mistake.
        if ours.as_ref().is_err_and(|message| message.contains("a list and an object")) { return Ok(()) }
        prop_assert_eq!(ours, Ok(theirs), "{}", source);
    }
}
