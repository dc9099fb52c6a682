//! Entries of maps and items of lists: put in and taken out.

use serde_json::Value;

use crate::source::{Data, Style, Tree, skip_blanks, skip_comments};

use super::lines::{after_break, before_break, begins_line, break_at, column, line_end, line_start};
use super::replace::colon;
use super::sheet::{Change, Sheet, at, fields, index, value_at};
use super::write::{entry, inline, item, key_text};
use super::{Done, problem};

impl Sheet {
    /// Puts an entry into a map, below one of its entries, or at its end. Pins stay last.
    pub(crate) fn insert(&mut self, path: &[String], key: &str, value: &Value, below: Option<usize>, by_lines: usize) -> Done {
        let Some(map) = at(self.root(), path) else { return Err(self.nothing_at(path)) };
        if map.data == Data::Scalar(Value::Null)
            || matches!(&map.data, Data::Map(fields) if fields.is_empty() && !self.in_flow_above(path))
        {
            return self.replace(
                path,
                &Value::Object([(key.to_owned(), value.clone())].into_iter().collect()),
                usize::from(by_lines > 0) + by_lines,
            );
        }
        let Data::Map(entries) = &map.data else {
            return Err(problem("W0502", format!("`{key}` cannot be put into {}", map.kind())));
        };
        let mut expected = self.root().to_value();
        if let Some(Value::Object(fields)) = value_at(&mut expected, path) {
            fields.insert(key.to_owned(), value.clone());
        }
        let pins_last = path.is_empty() && entries.len() > 1 && entries.last().is_some_and(|(key, _)| key.text == "layout");
        let place = below.unwrap_or(entries.len().saturating_sub(if pins_last { 2 } else { 1 }));
        let text = self.text.as_str();
        let ways = match (map.style, entries.get(place)) {
            (Style::Flow, None) => {
                vec![vec![(map.span.start + 1..map.span.start + 1, format!("{}: {}", key_text(key), inline(value)))]]
            }
            (Style::Flow, Some((_, last))) => {
                vec![vec![(last.span.end..last.span.end, format!(", {}: {}", key_text(key), inline(value)))]]
            }
            (_, Some((sibling, last))) => {
                let lines = entry(key, value, column(text, sibling.span.start), self.manner(by_lines));
                below_ways(text, last.span.end.max(colon(text, sibling) + 1), &lines)
            }
            (_, None) => Vec::new(),
        };
        self.change(ways, &expected)
    }

    fn in_flow_above(&self, path: &[String]) -> bool {
        path.split_last().is_some_and(|(_, above)| self.in_flow(above))
    }

    /// Puts an item at the end of a list.
    pub(crate) fn append(&mut self, path: &[String], value: &Value) -> Done {
        let Some(list) = at(self.root(), path) else { return Err(self.nothing_at(path)) };
        let Data::List(items) = &list.data else { return Err(self.nothing_at(path)) };
        let mut expected = self.root().to_value();
        if let Some(Value::Array(items)) = value_at(&mut expected, path) {
            items.push(value.clone());
        }
        let text = self.text.as_str();
        let ways = match (list.style, items.last()) {
            (Style::Flow, None) => vec![vec![(list.span.start + 1..list.span.start + 1, inline(value))]],
            (Style::Flow, Some(last)) => vec![vec![(last.span.end..last.span.end, format!(", {}", inline(value)))]],
            (_, Some(last)) => {
                let lines = item(value, column(text, list.span.start), self.manner(0));
                below_ways(text, last.span.end, &lines)
            }
            (_, None) => Vec::new(),
        };
        self.change(ways, &expected)
    }

    /// Takes away what is at a path.
    pub(crate) fn unset(&mut self, path: &[String]) -> Done {
        let found = path.split_last().and_then(|(last, above)| Some((last, above, at(self.root(), above)?)));
        let Some((last, above, parent)) = found else { return Err(self.nothing_at(path)) };
        let position = match &parent.data {
            Data::Map(entries) => entries.iter().position(|(key, _)| key.text == *last),
            Data::List(items) => index(last).filter(|place| *place < items.len()),
            Data::Scalar(_) => None,
        };
        let Some(place) = position else { return Err(self.nothing_at(path)) };
        let spans = self.spans(parent);
        if spans.len() == 1 && parent.style == Style::Block {
            if above.is_empty() {
                return Err(problem("W0504", "this is all that the workflow has"));
            }
            let empty =
                if matches!(parent.data, Data::Map(_)) { Value::Object(Default::default()) } else { Value::Array(Vec::new()) };
            return self.replace(above, &empty, 0);
        }
        let mut expected = self.root().to_value();
        match value_at(&mut expected, above) {
            Some(Value::Object(fields)) => drop(fields.shift_remove(last)),
            Some(Value::Array(items)) => drop(items.remove(place)),
            _ => {}
        }
        let text = self.text.as_str();
        let ways = if parent.style == Style::Flow {
            out_of_flow(text, parent, &spans, place)
        } else {
            out_of_lines(text, &spans, place)
        };
        self.change(ways, &expected)
    }

    /// From where to where each entry of a map or item of a list is written, its key or dash included.
    fn spans(&self, parent: &Tree) -> Vec<(usize, usize)> {
        match &parent.data {
            Data::Map(_) => {
                let span =
                    |(key, value): &(crate::source::Key, Tree)| (key.span.start, value.span.end.max(colon(&self.text, key) + 1));
                fields(parent).iter().map(span).collect()
            }
            Data::List(items) if parent.style == Style::Flow => {
                items.iter().map(|item| (item.span.start, item.span.end)).collect()
            }
            Data::List(items) => {
                let dash = |place: usize| self.dash(parent, place).unwrap_or(parent.span.start);
                items.iter().enumerate().map(|(place, item)| (dash(place), item.span.end.max(dash(place) + 1))).collect()
            }
            Data::Scalar(_) => Vec::new(),
        }
    }
}

/// Lines put below a value that ends here: right after its line, or, where empty lines belong to it, before the next line that is not.
fn below_ways(text: &str, end: usize, lines: &[String]) -> Vec<Vec<Change>> {
    let way = |at: usize| {
        let newline = break_at(text, at);
        vec![(at..at, lines.iter().map(|line| format!("{newline}{line}")).collect::<String>())]
    };
    let first = line_end(text, end);
    let mut last = first;
    while let Some(next) = after_break(text, last) {
        if !text.get(next..line_end(text, next)).is_some_and(|line| line.trim().is_empty()) || next >= text.len() {
            break;
        }
        last = line_end(text, next);
    }
    if last == first { vec![way(first)] } else { vec![way(first), way(last)] }
}

/// Whole lines taken out, with the comments within them and at their end.
fn out_of_lines(text: &str, spans: &[(usize, usize)], place: usize) -> Vec<Vec<Change>> {
    let Some(&(start, end)) = spans.get(place) else { return Vec::new() };
    let stop = line_end(text, end);
    if !begins_line(text, start) {
        // It stands behind the dash of an item; what follows takes its place there.
        let mut next = stop;
        while let Some(line) = after_break(text, next) {
            next = skip_blanks(text, line);
        }
        return vec![vec![(start..next, String::new())]];
    }
    let begin = line_start(text, start);
    match (after_break(text, stop), before_break(text, begin)) {
        (Some(after), _) => vec![vec![(begin..after, String::new())]],
        (None, Some(before)) => vec![vec![(before..stop, String::new())]],
        (None, None) => vec![vec![(begin..stop, String::new())]],
    }
}

/// An entry with one of the commas beside it.
fn out_of_flow(text: &str, parent: &Tree, spans: &[(usize, usize)], place: usize) -> Vec<Vec<Change>> {
    let Some(&(start, end)) = spans.get(place) else { return Vec::new() };
    if let Some(&(next, _)) = spans.get(place + 1) {
        return vec![vec![(start..next, String::new())]];
    }
    let Some(&(_, before)) = place.checked_sub(1).and_then(|before| spans.get(before)) else {
        // The only one: all that is between the brackets, unless comments are.
        let comma = skip_comments(text, end);
        let stop = if text.as_bytes().get(comma) == Some(&b',') { comma + 1 } else { end };
        return vec![
            vec![(parent.span.start + 1..parent.span.end.saturating_sub(1), String::new())],
            vec![(start..stop, String::new())],
        ];
    };
    let comma = skip_comments(text, before);
    let blanks = text.get(..start).unwrap_or_default().trim_end_matches([' ', '\t']).len();
    let from = if blanks > comma { blanks.min(start) } else { start };
    vec![vec![(comma..comma + 1, String::new()), (from.max(comma + 1)..end, String::new())], vec![(before..end, String::new())]]
}
