//! Setting a value: what is there is replaced, of a map or a list only what differs, and what is missing is inserted.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::source::{Data, Key, Style, Tree, skip_comments};

use super::lines::{break_at, column, line_end};
use super::sheet::{Change, Sheet, at, fields, index, value_at};
use super::write::{Written, inline, written};
use super::{Done, Pointer, Problem, problem};

/// Differences within one value that are written one by one; from here on the value is written anew.
const DIFFERENCES_MAX: usize = 64;

impl Sheet {
    /// Sets the value at a path.
    pub(crate) fn set(&mut self, path: &[String], value: &Value) -> Done {
        if path.is_empty() {
            return Err(problem("W0502", "a path names something within the workflow, not all of it"));
        }
        let found = (0..=path.len()).rev().find(|length| path.get(..*length).is_some_and(|some| at(self.root(), some).is_some()));
        let (there, missing) = path.split_at(found.unwrap_or(0));
        let Some((first, rest)) = missing.split_first() else { return self.merge(path, value, 0) };
        let new = rest.iter().rev().fold(value.clone(), |inner, step| {
            // A list is begun with its first item.
            if step == "-" || step == "0" {
                Value::Array(vec![inner])
            } else {
                Value::Object(Map::from_iter([(step.clone(), inner)]))
            }
        });
        let Some(parent) = at(self.root(), there) else { return Err(self.nothing_at(path)) };
        match &parent.data {
            Data::Map(_) => self.insert(there, first, &new, None, usize::from(there.is_empty())),
            Data::List(items) if first == "-" || index(first) == Some(items.len()) => self.append(there, &new),
            Data::Scalar(Value::Null) => {
                let whole = if first == "-" || first == "0" {
                    Value::Array(vec![new])
                } else {
                    Value::Object(Map::from_iter([(first.clone(), new)]))
                };
                self.replace(there, &whole, 0)
            }
            Data::List(items) => {
                let message = format!("`{}` has {} items, and `{first}` is none of them", Pointer(there.to_vec()), items.len());
                Err(problem("W0502", message).hint("`-` stands for the place after the last item"))
            }
            Data::Scalar(_) => {
                Err(problem("W0502", format!("`{}` is {}, and has no fields", Pointer(there.to_vec()), parent.kind())))
            }
        }
    }

    pub(crate) fn nothing_at(&self, path: &[String]) -> Problem {
        let mut found = problem("W0502", format!("there is nothing at `{}`", Pointer(path.to_vec())));
        let parent = path.split_last().and_then(|(last, before)| Some((last, at(self.root(), before)?)));
        found.hint = parent.and_then(|(last, parent)| {
            let keys = fields(parent).iter().map(|(key, _)| key.text.as_str());
            crate::suggest::nearest(last, keys).map(|near| format!("did you mean `{near}`?"))
        });
        found
    }

    /// Writes what differs between what is there and a value.
    fn merge(&mut self, path: &[String], value: &Value, depth: usize) -> Done {
        let Some(tree) = at(self.root(), path) else { return Err(self.nothing_at(path)) };
        let old = tree.to_value();
        if old == *value {
            return Ok(());
        }
        let below = |step: &str| path.iter().cloned().chain([step.to_owned()]).collect::<Vec<String>>();
        match (&old, value) {
            (Value::Object(before), Value::Object(after)) if depth < 32 => {
                let kept = before.keys().filter(|key| after.contains_key(*key)).count();
                if kept == 0 || before.len() + after.len() - 2 * kept > DIFFERENCES_MAX {
                    return self.replace(path, value, 0);
                }
                let changed = after.iter().filter(|(key, field)| before.get(*key).is_some_and(|old| old != *field));
                let changed: Vec<(&String, &Value)> = changed.collect();
                if changed.len() > DIFFERENCES_MAX {
                    return self.replace(path, value, 0);
                }
                for (key, field) in changed {
                    self.merge(&below(key), field, depth + 1)?;
                }
                for key in before.keys().filter(|key| !after.contains_key(*key)) {
                    self.unset(&below(key))?;
                }
                for (key, field) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                    self.insert(path, key, field, None, 0)?;
                }
                Ok(())
            }
            (Value::Array(before), Value::Array(after)) if depth < 32 && !before.is_empty() && !after.is_empty() => {
                let differ = before.iter().zip(after).filter(|(a, b)| a != b).count() + before.len().abs_diff(after.len());
                if differ > DIFFERENCES_MAX || differ >= before.len().max(after.len()) {
                    return self.replace(path, value, 0);
                }
                for (place, item) in after.iter().enumerate().take(before.len()) {
                    self.merge(&below(&place.to_string()), item, depth + 1)?;
                }
                for place in (after.len()..before.len()).rev() {
                    self.unset(&below(&place.to_string()))?;
                }
                after.iter().skip(before.len()).try_for_each(|item| self.append(path, item))
            }
            _ => self.replace(path, value, 0),
        }
    }

    /// Writes a value anew.
    pub(crate) fn replace(&mut self, path: &[String], value: &Value, by_lines: usize) -> Done {
        let Some((tree, announced)) = self.announced(path) else { return Err(self.nothing_at(path)) };
        let mut expected = self.root().to_value();
        if let Some(place) = value_at(&mut expected, path) {
            *place = value.clone();
        }
        let (parent, column) = match path.split_last() {
            Some((_, parent)) => (parent, self.column_of(path, announced)),
            None => (path, 0),
        };
        let text = self.text.as_str();
        let span = tree.span.clone();
        let same_line = !text.get(announced..span.start).unwrap_or_default().contains('\n');
        let one_line = inline(value);
        let mut ways: Vec<Vec<Change>> = Vec::new();
        let way_inline = || -> Vec<Change> {
            if same_line {
                vec![(announced_blank(text, announced, &span)..span.end, format!(" {one_line}"))]
            } else {
                let head = line_end(text, announced);
                vec![(announced..announced, format!(" {one_line}")), (head..line_end(text, span.end), String::new())]
            }
        };
        if self.in_flow(parent) || same_line && tree.style == Style::Flow && by_lines == 0 {
            // Within brackets a value keeps its place exactly.
            ways.push(vec![(span.clone(), if span.is_empty() { format!(" {one_line}") } else { one_line.clone() })]);
        }
        if !self.in_flow(parent) {
            let by_lines = by_lines.max(usize::from(!same_line));
            match written(value, column, self.manner(by_lines)) {
                Written::Inline(_) => {}
                Written::Below(lines) => ways.insert(0, self.on_lines(announced, &span, same_line, "", &lines)),
                Written::Literal(header, lines) => ways.insert(0, self.on_lines(announced, &span, same_line, header, &lines)),
            }
        }
        ways.push(way_inline());
        self.change(ways, &expected)
    }

    /// A value on lines of its own: its header after the colon, a comment of the colon's line left where it is.
    fn on_lines(&self, announced: usize, span: &Range<usize>, same_line: bool, header: &str, lines: &[String]) -> Vec<Change> {
        let text = self.text.as_str();
        let head = line_end(text, announced);
        let newline = break_at(text, head);
        let body: String = lines.iter().map(|line| format!("{newline}{line}")).collect();
        let header = if header.is_empty() { String::new() } else { format!(" {header}") };
        if !same_line {
            return vec![(announced..announced, header), (head..line_end(text, span.end), body)];
        }
        let old_lines = text.get(span.clone()).unwrap_or_default().contains('\n');
        let end = line_end(text, span.end);
        let comment = text.get(span.end..end).unwrap_or_default();
        if old_lines || comment.trim().is_empty() {
            vec![(announced..span.end, format!("{header}{body}"))]
        } else {
            vec![(announced..span.end, header), (end..end, body)]
        }
    }

    /// A value with the byte after what announces it, a colon or a dash.
    pub(crate) fn announced(&self, path: &[String]) -> Option<(&Tree, usize)> {
        let (last, before) = path.split_last()?;
        let parent = at(self.root(), before)?;
        match &parent.data {
            Data::Map(_) => {
                let (key, value) = parent.entry(last)?;
                Some((value, colon(&self.text, key) + 1))
            }
            Data::List(items) => {
                let place = index(last)?;
                let item = items.get(place)?;
                if parent.style == Style::Flow {
                    return Some((item, item.span.start));
                }
                Some((item, self.dash(parent, place)? + 1))
            }
            Data::Scalar(_) => None,
        }
    }

    /// The dash of an item of a list by lines.
    pub(crate) fn dash(&self, list: &Tree, place: usize) -> Option<usize> {
        let Data::List(items) = &list.data else { return None };
        match place.checked_sub(1) {
            None => Some(list.span.start),
            Some(before) => {
                let end = items.get(before)?.span.end;
                // An item that is not written ends at its dash.
                let dash = skip_comments(&self.text, end);
                (self.text.as_bytes().get(dash) == Some(&b'-')).then_some(dash)
            }
        }
    }

    /// The column that what is below a value is indented from: that of its key or its dash.
    fn column_of(&self, path: &[String], announced: usize) -> usize {
        let key =
            path.split_last().and_then(|(last, before)| at(self.root(), before)?.entry(last).map(|(key, _)| key.span.start));
        column(&self.text, key.unwrap_or(announced.saturating_sub(1)))
    }
}

/// The colon after a key.
pub(crate) fn colon(text: &str, key: &Key) -> usize {
    crate::source::skip_blanks(text, key.span.end)
}

/// Where a value on the line of its colon is taken out from: the blank before it is written anew only when there is none.
fn announced_blank(text: &str, announced: usize, span: &Range<usize>) -> usize {
    match text.as_bytes().get(span.start.wrapping_sub(1)) {
        Some(b' ') if span.start > announced => span.start - 1,
        _ => span.start,
    }
}
