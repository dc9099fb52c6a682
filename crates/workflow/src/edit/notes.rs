//! Notes: the comment lines right above a node, at its indentation.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::source::{Data, Key, Style, Tree, parse};

use super::lines::{before_break, begins_line, break_at, line_end, line_start};
use super::replace::colon;
use super::sheet::{Sheet, fields};
use super::{Done, problem};

/// The notes of a workflow, by node.
pub fn notes(text: &str) -> BTreeMap<String, String> {
    let (trees, _) = parse(text);
    let root = trees.iter().find(|tree| matches!(tree.data, Data::Map(_)) && tree.get("kind").is_none());
    let Some((nodes, value)) = root.and_then(|root| root.entry("nodes")) else { return BTreeMap::new() };
    let entries = fields(value);
    let note = |(place, (key, _)): (usize, &(Key, Tree))| {
        let range = lines_above(text, nodes, entries, place)?;
        let note = text.get(range)?.lines().map(words).collect::<Vec<_>>().join("\n");
        (!note.is_empty()).then(|| (key.text.clone(), note))
    };
    entries.iter().enumerate().filter_map(note).collect()
}

fn words(line: &str) -> &str {
    let line = line.trim_start().trim_start_matches('#');
    line.strip_prefix(' ').unwrap_or(line).trim_end()
}

/// The comment lines above a node, each with its line break; none where a node does not begin its line.
fn lines_above(text: &str, nodes: &Key, entries: &[(Key, Tree)], place: usize) -> Option<Range<usize>> {
    let (key, _) = entries.get(place)?;
    if !begins_line(text, key.span.start) {
        return None;
    }
    // What is above belongs to the node before up to the end of its last line.
    let floor = match place.checked_sub(1).and_then(|before| entries.get(before)) {
        Some((before, value)) => line_end(text, value.span.end.max(colon(text, before) + 1)),
        None => line_end(text, colon(text, nodes)),
    };
    let end = line_start(text, key.span.start);
    let indent = key.span.start - end;
    let mut start = end;
    while let Some(stop) = before_break(text, start).filter(|stop| *stop > floor) {
        let line = line_start(text, stop);
        let written = text.get(line..stop)?;
        if line <= floor
            || written.len() - written.trim_start_matches(' ').len() != indent
            || !written.trim_start().starts_with('#')
        {
            break;
        }
        start = line;
    }
    Some(start..end)
}

impl Sheet {
    /// Writes the note of a node.
    pub(crate) fn note(&mut self, id: &str, note: &str) -> Done {
        let place = self.node_position(id)?;
        if note.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(problem("W0104", "a note is text, without control characters"));
        }
        let root = self.root();
        let above = root
            .entry("nodes")
            .filter(|(_, value)| value.style == Style::Block)
            .and_then(|(nodes, value)| lines_above(&self.text, nodes, fields(value), place).map(|range| (range, nodes.clone())));
        let Some((range, _)) = above else {
            return Err(problem("W0504", format!("`{id}` does not begin a line, so that nothing can be noted above it"))
                .hint("write `nodes` with a line for each node"));
        };
        let newline = break_at(&self.text, line_end(&self.text, range.end));
        let indent = self.nodes().get(place).map_or(0, |(key, _)| key.span.start.saturating_sub(range.end));
        let note = note.trim_end();
        let line = |line: &str| {
            let line = line.trim_end();
            format!("{:indent$}#{}{line}{newline}", "", if line.is_empty() { "" } else { " " })
        };
        let new: String = if note.is_empty() { String::new() } else { note.split('\n').map(line).collect() };
        let old = self.text.get(range.clone()).unwrap_or_default();
        if old == new || !note.is_empty() && old.lines().map(words).eq(note.split('\n').map(str::trim_end)) {
            return Ok(());
        }
        let expected = root.to_value();
        self.change(vec![vec![(range, new)]], &expected)
    }
}
