//! What holds of every edit of every file: outside of what it concerns no byte changes, and what it says is what the file then means.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use workflow::edit::{Edit, Edited, Pointer, apply, notes};
use workflow::source::{Data, Tree, parse};

use crate::documents_of_all_kinds::{file, json};

fn root(text: &str) -> Tree {
    let (trees, findings) = parse(text);
    assert!(findings.is_empty(), "{findings:?}\n{text}");
    trees.into_iter().next().unwrap()
}

/// Every path of a document, with the bytes of its lines.
fn paths(text: &str, tree: &Tree, path: &[String], found: &mut Vec<(Vec<String>, Range<usize>)>) {
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    let mut one = |step: String, start: usize, value: &Tree| {
        let path: Vec<String> = path.iter().cloned().chain([step]).collect();
        found.push((path.clone(), line_start(start)..line_end(value.span.end.max(start))));
        paths(text, value, &path, found);
    };
    match &tree.data {
        Data::Map(fields) => fields.iter().for_each(|(key, value)| one(key.text.clone(), key.span.start, value)),
        Data::List(items) => {
            // A dash may stand lines above its item: everything since the item before counts.
            let mut floor = tree.span.start;
            for (place, item) in items.iter().enumerate() {
                one(place.to_string(), floor, item);
                floor = item.span.end;
            }
        }
        Data::Scalar(_) => {}
    }
}

fn all_paths(text: &str) -> Vec<(Vec<String>, Range<usize>)> {
    let mut found = Vec::new();
    paths(text, &root(text), &[], &mut found);
    found
}

/// Makes an edit; none when it was refused, which only ever happens where the text leaves no way.
fn made(text: &str, edits: &[Edit]) -> Option<Edited> {
    match apply(text, edits) {
        Ok(edited) => {
            let mut replayed = text.to_owned();
            for splice in &edited.splices {
                replayed.replace_range(splice.range.clone(), &splice.text);
            }
            assert_eq!(replayed, edited.text, "the splices give the text");
            Some(edited)
        }
        Err(error) => {
            assert_eq!(error.code, "W0504", "{error:?}\n{text}");
            None
        }
    }
}

/// Nothing outside of a range of the old text is changed.
fn only(old: &str, new: &str, range: &Range<usize>) {
    let (before, after) = (&old[..range.start], &old[range.end..]);
    let kept = new.starts_with(before) && new.ends_with(after) && new.len() >= before.len() + after.len();
    assert!(kept, "bytes outside of {range:?} ({:?}) changed:\n{old}\n=====\n{new}", &old[range.clone()]);
}

/// What a document means after a value was set, told independently of the editor.
fn with(mut value: Value, path: &[String], new: Option<Value>) -> Value {
    let (last, above) = path.split_last().unwrap();
    let mut at = &mut value;
    for step in above {
        at = match at {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            other => &mut other[step],
        };
    }
    match (at, new) {
        (Value::Array(items), Some(new)) => items[last.parse::<usize>().unwrap()] = new,
        (Value::Array(items), None) => drop(items.remove(last.parse::<usize>().unwrap())),
        (Value::Object(fields), Some(new)) => drop(fields.insert(last.clone(), new)),
        (Value::Object(fields), None) => drop(fields.remove(last)),
        _ => unreachable!(),
    }
    value
}

fn value(text: &str) -> Value {
    root(text).to_value()
}

/// What may be refused: texts whose trailing line breaks are part of a value, and bare line ends within braces.
fn awkward(text: &str) -> bool {
    text.contains("|+") || text.contains(": |") && !text.ends_with('\n')
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn setting_changes_its_own_lines_only(file in file(), at in any::<Index>(), new in json()) {
        let text = file.text();
        let found = all_paths(&text);
        let (path, range) = at.get(&found);
        let edit = Edit::Set { path: Pointer(path.clone()), value: new.clone() };
        let edited = made(&text, std::slice::from_ref(&edit));
        prop_assert!(edited.is_some() || awkward(&text), "refused at {path:?}:\n{text}");
        if let Some(edited) = edited {
            only(&text, &edited.text, range);
            prop_assert_eq!(value(&edited.text), with(value(&text), path, Some(new)));
            prop_assert_eq!(made(&edited.text, &[edit]).unwrap().splices, vec![]);
        }
    }

    #[test]
    fn a_new_field_is_only_put_in(file in file(), at in any::<Index>(), new in json()) {
        let text = file.text();
        let maps: Vec<Vec<String>> = all_paths(&text).into_iter().map(|(path, _)| path).filter(|path| {
            let place = path.iter().try_fold(&value(&text), |value, step| match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                other => other.get(step),
            }).cloned();
            place.is_some_and(|place| place.as_object().is_some_and(|fields| !fields.is_empty()))
        }).collect();
        let mut path = at.get(&maps).clone();
        path.push("brand new".into());
        let edited = made(&text, &[Edit::Set { path: Pointer(path.clone()), value: new.clone() }]);
        prop_assert!(edited.is_some() || awkward(&text), "refused at {path:?}:\n{text}");
        if let Some(edited) = edited {
            prop_assert!(edited.splices.iter().all(|splice| splice.range.is_empty()), "{:?}", edited.splices);
            prop_assert_eq!(value(&edited.text), with(value(&text), &path, Some(new)));
            // And out again.
            let back = made(&edited.text, &[Edit::Unset { path: Pointer(path) }]);
            prop_assert!(back.is_some() || awkward(&text));
            if let Some(back) = back {
                prop_assert_eq!(back.text, text);
            }
        }
    }

    #[test]
    fn taking_away_takes_its_own_lines_only(file in file(), at in any::<Index>()) {
        let text = file.text();
        let found = all_paths(&text);
        let (path, range) = at.get(&found);
        let siblings = found.iter().filter(|(other, _)| other.len() == path.len() && other.starts_with(&path[..path.len() - 1])).count();
        let edited = made(&text, &[Edit::Unset { path: Pointer(path.clone()) }]);
        prop_assert!(edited.is_some() || awkward(&text), "refused at {path:?}:\n{text}");
        let Some(edited) = edited else { return Ok(()) };
        prop_assert_eq!(value(&edited.text), with(value(&text), path, None));
        if siblings > 1 {
            // At the end of a text without a last line break, the break before goes; behind a dash, the next entry takes its place; and
            // one of the commas goes.
            let start = text[..range.start].trim_end_matches(['\n', '\r']).len();
            let inside = text[..range.start].rfind(',').filter(|_| !range.is_empty()).unwrap_or(start).min(start);
            let next = range.end + (text[range.end..].len() - text[range.end..].trim_start().len());
            only(&text, &edited.text, &(inside..next));
        }
    }

    #[test]
    fn nodes_come_and_go(file in file(), new in json(), below in any::<Index>()) {
        let text = file.text();
        let ids: Vec<String> = root(&text).get("nodes").and_then(|nodes| Some(nodes.to_value().as_object()?.keys().cloned().collect())).unwrap();
        let below = below.get(&ids).clone();
        let add = Edit::Add { node: "brand-new".into(), value: new.clone(), below: Some(below) };
        let edited = made(&text, std::slice::from_ref(&add));
        prop_assert!(edited.is_some() || awkward(&text), "refused:\n{text}");
        let Some(edited) = edited else { return Ok(()) };
        prop_assert!(edited.splices.iter().all(|splice| splice.range.is_empty()), "{:?}", edited.splices);
        prop_assert_eq!(value(&edited.text), with(value(&text), &["nodes".into(), "brand-new".into()], Some(new)));
        prop_assert_eq!(notes(&edited.text), notes(&text), "no note moves to another node:\n{}", edited.text);
        let gone = made(&text, &[add, Edit::Remove { node: "brand-new".into() }]);
        prop_assert!(gone.is_some() || awkward(&text), "refused:\n{text}");
        if let Some(gone) = gone {
            prop_assert_eq!(gone.text, text);
        }
    }

    #[test]
    fn notes_and_pins_come_and_go(file in file(), at in any::<Index>(), note in "[ -~é]{1,20}(\n[ -~é]{0,20}){0,2}") {
        let text = file.text();
        let nodes = root(&text).get("nodes").unwrap().to_value();
        let id = at.get(&nodes.as_object().unwrap().keys().cloned().collect::<Vec<_>>()).clone();
        let pinned = root(&text).get("layout").map(|layout| layout.to_value());
        let pin = Edit::Pin { node: id.clone(), at: [7.0, -3.5] };
        if let Some(edited) = made(&text, std::slice::from_ref(&pin)) {
            prop_assert_eq!(value(&edited.text)["layout"][&id].clone(), serde_json::json!([7, -3.5]));
            let was_pinned = pinned.as_ref().is_some_and(|pins| pins.get(&id).is_some());
            let empty = pinned.as_ref().is_some_and(|pins| pins.as_object().is_some_and(|pins| pins.is_empty()));
            if !was_pinned && !empty {
                let back = made(&text, &[pin, Edit::Unpin { node: id.clone() }]).unwrap();
                prop_assert_eq!(&back.text, &text);
            }
        } else {
            prop_assert!(awkward(&text));
        }
        let write = Edit::Note { node: id.clone(), text: note.clone() };
        let edited = made(&text, std::slice::from_ref(&write)).unwrap();
        prop_assert_eq!(value(&edited.text), value(&text));
        let told = notes(&edited.text);
        let wanted = note.trim_end().split('\n').map(str::trim_end).collect::<Vec<_>>().join("\n");
        let trimmed = wanted.clone();
        prop_assert_eq!(told.get(&id).cloned().unwrap_or_default(), trimmed, "{}", edited.text);
        let others = |notes: std::collections::BTreeMap<String, String>| notes.into_iter().filter(|(node, _)| *node != id).collect::<Vec<_>>();
        prop_assert_eq!(others(told), others(notes(&text)));
        let nothing = Edit::Note { node: id, text: String::new() };
        if made(&text, std::slice::from_ref(&nothing)).unwrap().splices.is_empty() {
            let back = made(&text, &[write, nothing]).unwrap();
            prop_assert_eq!(back.text, text);
        }
    }

    #[test]
    fn renaming_changes_names_only(file in file(), at in any::<Index>()) {
        let text = file.text();
        let nodes = root(&text).get("nodes").unwrap().to_value();
        let id = at.get(&nodes.as_object().unwrap().keys().cloned().collect::<Vec<_>>()).clone();
        let edited = made(&text, &[Edit::Rename { node: id.clone(), to: "renamed".into() }]).unwrap();
        let mut old = text.clone();
        for splice in &edited.splices {
            let taken = old[splice.range.clone()].trim_matches(['"', '\'']).to_owned();
            prop_assert_eq!(&taken, &id, "{:?}", splice);
            old.replace_range(splice.range.clone(), &splice.text);
        }
        prop_assert!(value(&edited.text)["nodes"].get("renamed").is_some() && value(&edited.text)["nodes"].get(&id).is_none());
        let back = made(&edited.text, &[Edit::Rename { node: "renamed".into(), to: id.clone() }]).unwrap();
        prop_assert_eq!(value(&back.text), value(&text));
    }
}
