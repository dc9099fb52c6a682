//! YAML 1.2 core as a tree with spans. Anchors, aliases, tags, merge keys and duplicate keys are findings: a file has one meaning.

use std::collections::BTreeMap;
use std::ops::Range;

use model::limits::{WORKFLOW_BYTES_MAX, WORKFLOW_DEPTH_MAX};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use crate::Diagnostic;

/// Values in one file: more is not a workflow but a mistake or an attack.
const VALUES_MAX: usize = 500_000;

/// A value with the bytes it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The bytes: without the key before it and the line end after it.
    pub span: Range<usize>,
    /// What it is.
    pub data: Data,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// null, true, 3, 1.5, "text"; the text as written when it was plain.
    Scalar(Value),
    /// A list.
    List(Vec<Tree>),
    /// A map, in the order written.
    Map(Vec<(Key, Tree)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Its bytes.
    pub span: Range<usize>,
}

impl Tree {
    /// The value without spans.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => Value::Array(items.iter().map(Tree::to_value).collect()),
            Data::Map(fields) => Value::Object(fields.iter().map(|(key, value)| (key.text.clone(), value.to_value())).collect()),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key with its value.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Tree)> {
        match &self.data {
            Data::Map(fields) => fields.iter().find(|(found, _)| found.text == key).map(|(key, value)| (key, value)),
            _ => None,
        }
    }

    /// The text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// What it is, in a word.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Scalar(Value::Null) => "nothing",
            Data::Scalar(Value::Bool(_)) => "a boolean",
            Data::Scalar(Value::Number(_)) => "a number",
            Data::Scalar(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }
}

/// Reads the documents of a file. Findings are errors; with any the trees may be incomplete.
pub fn parse(text: &str) -> (Vec<Tree>, Vec<Diagnostic>) {
    if text.len() > WORKFLOW_BYTES_MAX {
        let message = format!("the file is {} bytes; at most {WORKFLOW_BYTES_MAX} are read", text.len());
        return (Vec::new(), vec![Diagnostic::error("W0001", 0..0, message).hint("split it into sub-workflows")]);
    }
    let mut reader = Reader { places: Places::new(text), text, findings: Vec::new(), values: 0 };
    let mut parser = Parser::new_from_str(text);
    let mut trees = Vec::new();
    loop {
        match parser.next_event() {
            None => break,
            Some(Err(error)) => {
                let at = reader.places.byte(error.marker().index());
                reader.findings.push(Diagnostic::error("W0002", at..at + 1, format!("this is not YAML: {}", error.info())));
                break;
            }
            Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _))) => {}
            Some(Ok((event, span))) => match reader.value(&mut parser, event, span, 0) {
                Some(tree) => trees.push(tree),
                None => break,
            },
        }
    }
    trees.retain(|tree| tree.data != Data::Scalar(Value::Null) || tree.span.len() > 1);
    (trees, reader.findings)
}

/// From positions in characters to positions in bytes.
struct Places {
    /// The byte of every 64th character; empty for a text of single-byte characters.
    marks: Vec<usize>,
    length: usize,
}

impl Places {
    fn new(text: &str) -> Places {
        let marks = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(byte, _)| byte).collect() };
        Places { marks, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        if self.marks.is_empty() { character.min(self.length) } else { self.marks.get(character).copied().unwrap_or(self.length) }
    }
}

struct Reader<'t> {
    places: Places,
    text: &'t str,
    findings: Vec<Diagnostic>,
    values: usize,
}

type Events<'t> = Parser<'t, saphyr_parser::StrInput<'t>>;

impl<'t> Reader<'t> {
    fn range(&self, span: Span) -> Range<usize> {
        self.places.byte(span.start.index())..self.places.byte(span.end.index())
    }

    fn refuse(&mut self, span: &Range<usize>, what: &str) {
        let message = format!("{what} are not part of the language");
        self.findings.push(Diagnostic::error("W0003", span.clone(), message).hint("write the value out where it is used"));
    }

    /// The value that begins with this event; none when reading cannot go on.
    fn value(&mut self, parser: &mut Events<'t>, event: Event<'t>, span: Span, depth: usize) -> Option<Tree> {
        let range = self.range(span);
        self.values += 1;
        if depth > WORKFLOW_DEPTH_MAX || self.values > VALUES_MAX {
            let message = if depth > WORKFLOW_DEPTH_MAX {
                format!("values are nested deeper than {WORKFLOW_DEPTH_MAX}")
            } else {
                format!("the file has more than {VALUES_MAX} values")
            };
            self.findings.push(Diagnostic::error("W0005", range, message));
            return None;
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if anchor > 0 {
                    self.refuse(&range, "anchors");
                }
                if tag.is_some() {
                    self.refuse(&range, "tags");
                }
                let span = trimmed(self.text, range);
                let data = if style == ScalarStyle::Plain { plain(&text) } else { Value::String(text.into_owned()) };
                Some(Tree { span, data: Data::Scalar(data) })
            }
            Event::SequenceStart(anchor, tag) => {
                self.marks(&range, anchor, tag.is_some());
                self.list(parser, range, depth)
            }
            Event::MappingStart(anchor, tag) => {
                self.marks(&range, anchor, tag.is_some());
                self.map(parser, range, depth)
            }
            Event::Alias(_) => {
                self.refuse(&range, "aliases");
                Some(Tree { span: range, data: Data::Scalar(Value::Null) })
            }
            _ => None,
        }
    }

    fn marks(&mut self, range: &Range<usize>, anchor: usize, tag: bool) {
        if anchor > 0 {
            self.refuse(range, "anchors");
        }
        if tag {
            self.refuse(range, "tags");
        }
    }

    fn next(&mut self, parser: &mut Events<'t>) -> Option<(Event<'t>, Span)> {
        match parser.next_event()? {
            Ok(found) => Some(found),
            Err(error) => {
                let at = self.places.byte(error.marker().index());
                self.findings.push(Diagnostic::error("W0002", at..at + 1, format!("this is not YAML: {}", error.info())));
                None
            }
        }
    }

    fn list(&mut self, parser: &mut Events<'t>, start: Range<usize>, depth: usize) -> Option<Tree> {
        let mut items: Vec<Tree> = Vec::new();
        loop {
            let (event, span) = self.next(parser)?;
            if matches!(event, Event::SequenceEnd) {
                let end = self.end_of(span, items.last().map(|item| item.span.end), &start);
                return Some(Tree { span: start.start..end, data: Data::List(items) });
            }
            items.push(self.value(parser, event, span, depth + 1)?);
        }
    }

    fn map(&mut self, parser: &mut Events<'t>, start: Range<usize>, depth: usize) -> Option<Tree> {
        let mut fields: Vec<(Key, Tree)> = Vec::new();
        let mut seen: BTreeMap<String, ()> = BTreeMap::new();
        loop {
            let (event, span) = self.next(parser)?;
            if matches!(event, Event::MappingEnd) {
                let end = self.end_of(span, fields.last().map(|(_, value)| value.span.end), &start);
                let first = fields.first().map_or(start.start, |(key, _)| key.span.start.min(start.start.max(key.span.start)));
                let begin = if self.text[start.start..].starts_with('{') { start.start } else { first };
                return Some(Tree { span: begin..end, data: Data::Map(fields) });
            }
            let key_span = self.range(span);
            let key = match self.value(parser, event, span, depth + 1)? {
                Tree { data: Data::Scalar(value), span } => Key { text: text_of(&value), span },
                other => {
                    self.findings.push(Diagnostic::error("W0103", other.span.clone(), "a key has to be a text"));
                    Key { text: String::new(), span: other.span }
                }
            };
            if key.text == "<<" {
                self.refuse(&key_span, "merge keys");
            }
            if seen.insert(key.text.clone(), ()).is_some() {
                let message = format!("the key `{}` stands here twice", key.text);
                self.findings.push(Diagnostic::error("W0004", key.span.clone(), message).hint("remove one of them"));
            }
            let (event, span) = self.next(parser)?;
            let mut value = self.value(parser, event, span, depth + 1)?;
            if value.data == Data::Scalar(Value::Null) && value.span.is_empty() {
                value.span = key.span.end + 1..key.span.end + 1;
            }
            fields.push((key, value));
        }
    }

    /// The end of a collection: after its bracket, or after its last value.
    fn end_of(&self, span: Span, last: Option<usize>, start: &Range<usize>) -> usize {
        let flow = self.text[start.start..].starts_with(['{', '[']);
        let end = self.range(span);
        if flow { end.end.max(start.end) } else { last.unwrap_or(start.end) }
    }
}

/// A block scalar ends with its last line, not with the empty ones after it.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let length = text.get(range.clone()).map_or(range.len(), |inside| inside.trim_end().len());
    range.start..range.start + length
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A plain scalar by the core schema of YAML 1.2.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(number) = text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = text.parse::<u64>() {
            return number.into();
        }
    }
    let number_like = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if number_like
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse::<f64>()
        && let Some(number) = serde_json::Number::from_f64(number)
    {
        return Value::Number(number);
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Value {
        let (trees, findings) = parse(text);
        assert!(findings.is_empty(), "{findings:?}");
        trees[0].to_value()
    }

    #[test]
    fn the_core_schema() {
        let value = one("a: 1\nb: [x, true, null, 1.5, '2', -3]\nc: {d: \"e\"}\nf: on\ng: 010\nh: |\n  t\n  u\n");
        assert_eq!(
            value,
            json!({"a": 1, "b": ["x", true, null, 1.5, "2", -3], "c": {"d": "e"}, "f": "on", "g": 10, "h": "t\nu\n"})
        );
    }

    #[test]
    fn spans_are_bytes() {
        let text = "# ü\na:\n  b: \"ü x\"\n  c: [1, 2]\nd: e # end\n";
        let (trees, _) = parse(text);
        let span = |tree: &Tree| text[tree.span.clone()].to_owned();
        let a = trees[0].get("a").unwrap();
        assert_eq!(span(a), "b: \"ü x\"\n  c: [1, 2]");
        assert_eq!(span(a.get("b").unwrap()), "\"ü x\"");
        assert_eq!(span(a.get("c").unwrap()), "[1, 2]");
        assert_eq!(span(trees[0].get("d").unwrap()), "e");
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        for (text, code) in [
            ("a: &x 1\nb: *x", "W0003"),
            ("a: !!str 1", "W0003"),
            ("a: 1\na: 2", "W0004"),
            ("<<: {a: 1}", "W0003"),
            ("a: [1, 2", "W0002"),
            ("a: b: c", "W0002"),
        ] {
            let (_, findings) = parse(text);
            assert!(findings.iter().any(|finding| finding.code == code), "{text}: {findings:?}");
        }
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(parse(&deep).1.iter().any(|finding| matches!(finding.code, "W0005" | "W0002")));
        assert_eq!(parse(&"a".repeat(WORKFLOW_BYTES_MAX + 1)).1[0].code, "W0001");
    }

    #[test]
    fn several_documents() {
        let (trees, findings) = parse("---\na: 1\n---\nb: 2\n");
        assert_eq!((trees.len(), findings.len()), (2, 0));
    }
}
