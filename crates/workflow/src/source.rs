//! YAML 1.2 core as a tree with spans. Anchors, aliases, tags, merge keys and duplicate keys are findings: a file has one meaning.

use std::collections::BTreeSet;
use std::ops::Range;

use model::limits::{FINDINGS_MAX, WORKFLOW_BYTES_MAX, WORKFLOW_DEPTH_MAX, WORKFLOW_VALUES_MAX};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use crate::Diagnostic;

/// A value with the bytes it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The bytes: without the key before it and the line end after it.
    pub span: Range<usize>,
    /// How it is written.
    pub style: Style,
    /// What it is.
    pub data: Data,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A scalar without quotes; also one that is not written at all.
    Plain,
    /// `'text'`.
    SingleQuoted,
    /// `"text"`.
    DoubleQuoted,
    /// `|`, with the lines below.
    Literal,
    /// `>`, with the lines below.
    Folded,
    /// `{…}` or `[…]`.
    Flow,
    /// A map or a list by its lines.
    Block,
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
    if let Some(at) =
        text.match_indices('\r').map(|(at, _)| at).find(|at| !text.get(at + 1..).is_some_and(|rest| rest.starts_with('\n')))
    {
        reader.refuse(&(at..at + 1), "carriage returns without a line feed");
    }
    let mut parser = Parser::new_from_str(text);
    let mut trees = Vec::new();
    let mut floor = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while let Some((event, span)) = reader.next(&mut parser) {
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(true) => floor = reader.range(span).end,
            Event::StreamStart | Event::DocumentStart(false) | Event::DocumentEnd | Event::Nothing => {}
            event => match reader.value(&mut parser, event, span, Place { depth: 0, floor }) {
                Some(tree) => {
                    floor = tree.span.end;
                    trees.push(tree);
                }
                None => break,
            },
        }
    }
    trees.retain(|tree| tree.data != Data::Scalar(Value::Null) || tree.span.len() > 1);
    (trees, reader.findings.into_iter().map(|finding| finding.inside(text)).collect())
}

/// Reads a file as it lies on a disk: text that is not UTF-8 is a finding, not a text with replaced characters.
pub fn decode(bytes: &[u8]) -> Result<&str, Diagnostic> {
    if bytes.len() > WORKFLOW_BYTES_MAX {
        let message = format!("the file is {} bytes; at most {WORKFLOW_BYTES_MAX} are read", bytes.len());
        return Err(Diagnostic::error("W0001", 0..0, message).hint("split it into sub-workflows"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        Diagnostic::error("W0002", 0..0, format!("the file is not UTF-8, from line {line} on"))
            .hint("save it as UTF-8; data that is not text belongs into an artifact")
    })
}

/// From positions in characters to positions in bytes.
struct Places {
    /// The byte of every character; empty for a text of single-byte characters.
    bytes: Vec<u32>,
    length: usize,
}

impl Places {
    fn new(text: &str) -> Places {
        let bytes = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(byte, _)| byte as u32).collect() };
        Places { bytes, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            character.min(self.length)
        } else {
            self.bytes.get(character).map_or(self.length, |byte| *byte as usize)
        }
    }
}

struct Reader<'t> {
    places: Places,
    text: &'t str,
    findings: Vec<Diagnostic>,
    values: usize,
}

/// Where a value may begin.
#[derive(Clone, Copy)]
struct Place {
    /// Levels around it.
    depth: usize,
    /// The byte after what announces it: a colon, a dash, a comma, a bracket.
    floor: usize,
}

type Events<'t> = Parser<'t, saphyr_parser::StrInput<'t>>;

impl<'t> Reader<'t> {
    fn range(&self, span: Span) -> Range<usize> {
        self.places.byte(span.start.index())..self.places.byte(span.end.index())
    }

    /// Whether a collection begins with its bracket. One by lines begins with nothing of its own.
    fn opens(&self, range: &Range<usize>, bracket: char) -> bool {
        !range.is_empty() && self.text.get(range.start..).is_some_and(|rest| rest.starts_with(bracket))
    }

    fn refuse(&mut self, span: &Range<usize>, what: &str) {
        let message = format!("{what} are not part of the language");
        self.findings.push(Diagnostic::error("W0003", span.clone(), message).hint("write the value out where it is used"));
    }

    /// The value that begins with this event; none when reading cannot go on.
    fn value(&mut self, parser: &mut Events<'t>, event: Event<'t>, span: Span, place: Place) -> Option<Tree> {
        let range = self.range(span);
        self.values += 1;
        let message = if place.depth > WORKFLOW_DEPTH_MAX {
            format!("values are nested deeper than {WORKFLOW_DEPTH_MAX}")
        } else if self.values > WORKFLOW_VALUES_MAX {
            format!("the file has more than {WORKFLOW_VALUES_MAX} values")
        } else if self.findings.len() >= FINDINGS_MAX {
            return None;
        } else {
            return self.value_within(parser, event, range, place);
        };
        self.findings.push(Diagnostic::error("W0005", range, message));
        None
    }

    fn value_within(&mut self, parser: &mut Events<'t>, event: Event<'t>, range: Range<usize>, place: Place) -> Option<Tree> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.marks(&range, anchor, tag.is_some());
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                };
                let span = self.scalar_span(range, style, place.floor);
                let data = if style == Style::Plain { plain(&text) } else { Value::String(text.into_owned()) };
                Some(Tree { span, style, data: Data::Scalar(data) })
            }
            Event::SequenceStart(anchor, tag) => {
                self.marks(&range, anchor, tag.is_some());
                if self.opens(&range, '[') { self.flow_list(parser, range, place) } else { self.block_list(parser, place) }
            }
            Event::MappingStart(anchor, tag) => {
                self.marks(&range, anchor, tag.is_some());
                self.map(parser, range, place)
            }
            Event::Alias(_) => {
                self.refuse(&range, "aliases");
                Some(Tree { span: range, style: Style::Plain, data: Data::Scalar(Value::Null) })
            }
            _ => None,
        }
    }

    /// A scalar with its quotes or its header, without the empty lines after it; nothing, at its place, when nothing is written.
    fn scalar_span(&self, range: Range<usize>, style: Style, floor: usize) -> Range<usize> {
        match style {
            Style::Literal | Style::Folded => {
                let start = skip_blanks(self.text, floor);
                let written = self.text.get(start..range.end).unwrap_or_default();
                start..start + written.trim_end_matches([' ', '\t', '\r', '\n']).len()
            }
            // The reader's own span of a quoted text goes on over blanks and a comment.
            Style::SingleQuoted | Style::DoubleQuoted => range.start..quoted_end(self.text, &range),
            // What is not written has its place right after what announces it.
            Style::Plain
                if range.is_empty() || self.text.get(range.start..).is_some_and(|rest| rest.starts_with([',', '}', ']'])) =>
            {
                floor..floor
            }
            _ => {
                let written = self.text.get(range.clone()).unwrap_or_default();
                range.start..range.start + written.trim_end_matches([' ', '\t', '\r', '\n']).len()
            }
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
                // The reader's own bound on brackets comes before ours is seen.
                let finding = match error.info() {
                    "recursion limit exceeded" => {
                        let message = format!("values are nested deeper than {WORKFLOW_DEPTH_MAX}");
                        Diagnostic::error("W0005", at..at + 1, message)
                    }
                    info => Diagnostic::error("W0002", at..at + 1, format!("this is not YAML: {info}")),
                };
                self.findings.push(finding);
                None
            }
        }
    }

    fn flow_list(&mut self, parser: &mut Events<'t>, start: Range<usize>, place: Place) -> Option<Tree> {
        let mut items: Vec<Tree> = Vec::new();
        loop {
            let (event, span) = self.next(parser)?;
            if matches!(event, Event::SequenceEnd) {
                let end = self.range(span).start + 1;
                return Some(Tree { span: start.start..end, style: Style::Flow, data: Data::List(items) });
            }
            // `[a: 1]` is short for `[{a: 1}]`, a map without its braces.
            let bare = matches!(event, Event::MappingStart(..))
                && !self.text.get(self.range(span).start..).unwrap_or_default().starts_with('{');
            if bare {
                let span = self.range(span);
                self.refuse(&(span.start..span.start + 1), "maps without braces inside brackets");
            }
            let floor = items.last().map_or(start.start + 1, |item| item.span.end);
            items.push(self.value(parser, event, span, Place { depth: place.depth + 1, floor })?);
        }
    }

    fn block_list(&mut self, parser: &mut Events<'t>, place: Place) -> Option<Tree> {
        let mut items: Vec<Tree> = Vec::new();
        let (mut floor, start) = (place.floor, skip_comments(self.text, place.floor));
        loop {
            let (event, span) = self.next(parser)?;
            if matches!(event, Event::SequenceEnd) {
                return Some(Tree { span: start..floor, style: Style::Block, data: Data::List(items) });
            }
            let dash = skip_comments(self.text, floor);
            let item = self.value(parser, event, span, Place { depth: place.depth + 1, floor: dash + 1 })?;
            floor = item.span.end.max(dash + 1);
            items.push(item);
        }
    }

    fn map(&mut self, parser: &mut Events<'t>, start: Range<usize>, place: Place) -> Option<Tree> {
        let flow = self.opens(&start, '{');
        let mut fields: Vec<(Key, Tree)> = Vec::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        loop {
            let (event, span) = self.next(parser)?;
            if matches!(event, Event::MappingEnd) {
                let first = fields.first().map_or(start.start, |(key, _)| key.span.start);
                let last = fields.last().map_or(start.end, |(_, value)| value.span.end);
                let (span, style) =
                    if flow { (start.start..self.range(span).start + 1, Style::Flow) } else { (first..last, Style::Block) };
                return Some(Tree { span, style, data: Data::Map(fields) });
            }
            let floor = fields.last().map_or(if flow { start.start + 1 } else { place.floor }, |(_, value)| value.span.end);
            let key = self.key(parser, event, span, Place { depth: place.depth + 1, floor })?;
            if !seen.insert(key.text.clone()) {
                let message = format!("the key `{}` stands here twice", key.text);
                self.findings.push(Diagnostic::error("W0004", key.span.clone(), message).hint("remove one of them"));
            }
            let colon = skip_blanks(self.text, key.span.end);
            if self.text.as_bytes().get(colon) != Some(&b':') {
                self.refuse(&key.span, "keys without a `:` on their line");
            }
            let (event, span) = self.next(parser)?;
            let value = self.value(parser, event, span, Place { depth: place.depth + 1, floor: colon + 1 })?;
            fields.push((key, value));
        }
    }

    fn key(&mut self, parser: &mut Events<'t>, event: Event<'t>, span: Span, place: Place) -> Option<Key> {
        let key = match self.value(parser, event, span, place)? {
            Tree { data: Data::Scalar(value), span, .. } => Key { text: text_of(&value), span },
            other => {
                self.findings.push(Diagnostic::error("W0103", other.span.clone(), "a key has to be a text"));
                Key { text: String::new(), span: other.span }
            }
        };
        if key.text == "<<" {
            self.refuse(&key.span, "merge keys");
        }
        let question = skip_comments(
            self.text,
            if self.text.as_bytes().get(place.floor) == Some(&b',') { place.floor + 1 } else { place.floor },
        );
        if question < key.span.start && self.text.get(question..).is_some_and(|rest| rest.starts_with('?')) {
            self.refuse(&(question..question + 1), "keys behind a `?`");
        }
        Some(key)
    }
}

/// The byte after the quote that closes the text beginning here.
fn quoted_end(text: &str, range: &Range<usize>) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes.get(range.start).copied();
    let mut at = range.start + 1;
    while at < range.end {
        match bytes.get(at).copied() {
            Some(b'\\') if quote == Some(b'"') => at += 2,
            byte if byte == quote && quote == Some(b'\'') && bytes.get(at + 1) == Some(&b'\'') => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    range.end
}

/// The first byte from here on that is not a space or a tab.
pub(crate) fn skip_blanks(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The first byte from here on that is not blank, not the end of a line, and not in a comment.
pub(crate) fn skip_comments(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#') => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            }
            _ => return at,
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A plain scalar by the core schema of YAML 1.2.
pub(crate) fn plain(text: &str) -> Value {
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
        let codes: Vec<&str> = parse(&deep).1.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["W0005"]);
        assert_eq!(parse(&"a".repeat(WORKFLOW_BYTES_MAX + 1)).1[0].code, "W0001");
    }

    #[test]
    fn several_documents() {
        let (trees, findings) = parse("---\na: 1\n---\nb: 2\n");
        assert_eq!((trees.len(), findings.len()), (2, 0));
    }
}
