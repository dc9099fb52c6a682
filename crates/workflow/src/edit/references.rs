//! Where a workflow speaks of its nodes: in expressions, in `after`, in branches, in the layout.

use std::ops::Range;

use serde_json::Value;

use crate::expression::{Part, parts};
use crate::source::{Data, Style, Tree};

use super::sheet::{Change, Sheet, fields, value_at};
use super::write::{inline, quoted};
use super::{Done, NAME_HINT, Notice, Pointer, problem};

/// A scalar that may speak of nodes.
struct Mention<'t> {
    path: Vec<String>,
    tree: &'t Tree,
    how: How,
}

/// How a scalar speaks of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// It holds `${ … }`.
    Template,
    /// It is an expression, with or without `${ }`.
    Condition,
    /// It is an id.
    Id,
}

/// A mention of a node in a text.
struct Word {
    /// The bytes from the `.` or the `[` to the end of the id or the `]`.
    range: Range<usize>,
    /// The bytes of the id.
    name: Range<usize>,
    /// Whether it is written `nodes["id"]`.
    bracketed: bool,
    id: String,
}

impl Word {
    /// The bytes to change, and what to write, so that another node is meant.
    fn renamed(&self, to: &str, quote: char) -> (Range<usize>, String) {
        match (self.bracketed, to.contains('-')) {
            (false, true) => (self.range.clone(), format!("[{quote}{to}{quote}]")),
            _ => (self.name.clone(), to.to_owned()),
        }
    }
}

impl Sheet {
    /// Renames a node.
    pub(crate) fn rename(&mut self, node: &str, to: &str) -> Done {
        self.node_position(node)?;
        if !crate::is_name(to) {
            return Err(problem("W0105", format!("`{to}` is not a name")).hint(NAME_HINT));
        }
        if node == to {
            return Ok(());
        }
        if self.node(to).is_some() {
            return Err(problem("W0503", format!("there is a node `{to}` already")).hint("choose another id"));
        }
        let mut expected = self.root().to_value();
        let mut changes: Vec<Change> = Vec::new();
        let mut notices = Vec::new();
        for mention in mentions(self.root()) {
            let Some(text) = mention.tree.as_str() else { continue };
            let (written, words) = (renamed(text, mention.how, node, to), words(text, mention.how));
            if written == text {
                continue;
            }
            if let Some(place) = value_at(&mut expected, &mention.path) {
                *place = Value::String(written.clone());
            }
            match self.raw_changes(mention.tree, text, &words, node, to) {
                Some(raw) if mention.how != How::Id => changes.extend(raw),
                _ => changes
                    .push((mention.tree.span.clone(), if mention.how == How::Id { to.to_owned() } else { quoted(&written) })),
            }
            notices.extend(implied_branch(self.root(), &mention, node, to));
        }
        for place in ["nodes", "layout"] {
            let Some((key, _)) = self.root().get(place).and_then(|tree| tree.entry(node)) else { continue };
            changes.push((key.span.clone(), to.to_owned()));
            if let Some(Value::Object(fields)) = value_at(&mut expected, &[place.to_owned()])
                && let Some(value) = fields.remove(node)
            {
                fields.insert(to.to_owned(), value);
            }
        }
        self.change(vec![changes], &expected)?;
        self.notices.extend(notices);
        Ok(())
    }

    /// The changes of a scalar as it is written, mention by mention; none when they cannot be found in it.
    fn raw_changes(&self, tree: &Tree, text: &str, words: &[Word], node: &str, to: &str) -> Option<Vec<Change>> {
        let raw = self.text.get(tree.span.clone())?;
        let places = places(raw, tree.style);
        let letters: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect();
        if letters.len() != places.len() || letters.iter().zip(&places).any(|((_, a), (b, _))| a != b) {
            return None;
        }
        let quote = if tree.style == Style::DoubleQuoted { '\'' } else { '"' };
        let mut changes = Vec::new();
        for word in words.iter().filter(|word| word.id == node) {
            let (range, new) = word.renamed(to, quote);
            let first = letters.partition_point(|(at, _)| *at < range.start);
            let last = letters.partition_point(|(at, _)| *at < range.end).checked_sub(1)?;
            let (start, end) = (places.get(first)?.1.start, places.get(last)?.1.end);
            changes.push((tree.span.start + start..tree.span.start + end, new));
        }
        // Within braces a plain text cannot hold the brackets that such a name needs: it is written anew, in quotes.
        let brackets = to.contains('-') && words.iter().any(|word| word.id == node && !word.bracketed);
        (tree.style != Style::Plain || !brackets).then_some(changes)
    }

    /// Takes a node out of every `after`.
    pub(crate) fn forget(&mut self, node: &str) -> Done {
        let ids: Vec<String> = self.nodes().iter().map(|(key, _)| key.text.clone()).collect();
        for id in ids.iter().filter(|id| *id != node) {
            let path = ["nodes".to_owned(), id.clone(), "after".to_owned()];
            let Some(after) = self.node(id).and_then(|(_, value)| value.get("after")) else { continue };
            match &after.data {
                Data::Scalar(Value::String(one)) if one == node => self.unset(&path)?,
                Data::List(items) if items.iter().any(|item| item.as_str() == Some(node)) => {
                    let left: Vec<Value> = items.iter().filter(|item| item.as_str() != Some(node)).map(Tree::to_value).collect();
                    if left.is_empty() {
                        self.unset(&path)?;
                        continue;
                    }
                    let places: Vec<usize> =
                        (0..items.len()).filter(|place| items.get(*place).and_then(Tree::as_str) == Some(node)).collect();
                    for place in places.into_iter().rev() {
                        let item = path.iter().cloned().chain([place.to_string()]).collect::<Vec<_>>();
                        self.unset(&item)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells what still speaks of a node that is not there any more.
    pub(crate) fn tell_dangling(&mut self, node: &str) {
        let mut told = Vec::new();
        for mention in mentions(self.root()) {
            let Some(text) = mention.tree.as_str() else { continue };
            let speaks =
                if mention.how == How::Id { text == node } else { words(text, mention.how).iter().any(|word| word.id == node) };
            if speaks {
                let message =
                    format!("this still refers to `{node}`, which was removed: {}", inline(&Value::String(text.to_owned())));
                told.push(Notice { path: Pointer(mention.path), message });
            }
        }
        self.notices.extend(told);
    }
}

/// A branch without a name is called by its first node: renaming that one renames the branch.
fn implied_branch(root: &Tree, mention: &Mention<'_>, node: &str, to: &str) -> Option<Notice> {
    let length = mention.path.iter().position(|step| step == "decide")? + 2;
    let path = mention.path.get(..length)?;
    let branch = super::sheet::at(root, path)?;
    let first = branch.get("then").or_else(|| branch.get("otherwise"))?;
    let first = match &first.data {
        Data::List(items) => items.first()?,
        _ => first,
    };
    let implied = branch.get("name").is_none() && mention.how == How::Id && first.span == mention.tree.span;
    let message = format!("this branch has no `name`, so that it was called `{node}` and is now called `{to}`");
    implied.then(|| Notice { path: Pointer(path.to_vec()), message })
}

/// Everything in a workflow that may speak of nodes.
fn mentions(root: &Tree) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    for (id, node) in root.get("nodes").map_or(&[][..], fields) {
        node_mentions(vec!["nodes".into(), id.text.clone()], node, &mut found);
    }
    if let Some(outputs) = root.get("outputs") {
        scalars(vec!["outputs".into()], outputs, How::Template, &mut found);
    }
    found
}

fn node_mentions<'t>(path: Vec<String>, node: &'t Tree, found: &mut Vec<Mention<'t>>) {
    let mut all = |steps: &[&str], how: How| {
        let place = steps.iter().try_fold(node, |tree, step| tree.get(step));
        if let Some(tree) = place {
            let path = path.iter().cloned().chain(steps.iter().map(|step| (*step).to_owned())).collect();
            scalars(path, tree, how, found);
        }
    };
    for steps in [&["if"][..], &["human", "second"]] {
        all(steps, How::Condition);
    }
    for steps in [
        &["with"][..],
        &["once"],
        &["run"],
        &["human", "title"],
        &["human", "show"],
        &["human", "assign"],
        &["wait"],
        &["each", "items"],
    ] {
        all(steps, How::Template);
    }
    all(&["after"], How::Id);
    if let Some(Data::List(branches)) = node.get("decide").map(|tree| &tree.data) {
        for place in 0..branches.len() {
            let Some(branch) = branches.get(place) else { continue };
            for (key, how) in [("when", How::Condition), ("then", How::Id), ("otherwise", How::Id)] {
                if let Some(tree) = branch.get(key) {
                    let path = path.iter().cloned().chain(["decide".into(), place.to_string(), key.into()]).collect();
                    scalars(path, tree, how, found);
                }
            }
        }
    }
    for steps in [&["undo"][..], &["each", "do"]] {
        if let Some(inner) = steps.iter().try_fold(node, |tree, step| tree.get(step)) {
            node_mentions(path.iter().cloned().chain(steps.iter().map(|step| (*step).to_owned())).collect(), inner, found);
        }
    }
}

fn scalars<'t>(path: Vec<String>, tree: &'t Tree, how: How, found: &mut Vec<Mention<'t>>) {
    let below = |step: String| path.iter().cloned().chain([step]).collect::<Vec<_>>();
    match &tree.data {
        Data::Scalar(_) => found.push(Mention { path, tree, how }),
        Data::List(items) => {
            items.iter().enumerate().for_each(|(place, item)| scalars(below(place.to_string()), item, how, found));
        }
        Data::Map(fields) => fields.iter().for_each(|(key, value)| scalars(below(key.text.clone()), value, how, found)),
    }
}

/// The mentions of nodes in a text.
fn words(text: &str, how: How) -> Vec<Word> {
    let inside = |range: Range<usize>| {
        let start = range.start;
        let shift = move |range: Range<usize>| range.start + start..range.end + start;
        let shifted = move |word: Word| Word { range: shift(word.range), name: shift(word.name), ..word };
        in_expression(text.get(range).unwrap_or_default()).into_iter().map(shifted)
    };
    match (how, parts(text)) {
        (How::Id, _) | (_, Err(_)) => Vec::new(),
        (How::Condition, Ok(parts)) if !parts.iter().any(|part| matches!(part, Part::Expression(..))) => {
            inside(0..text.len()).collect()
        }
        (_, Ok(parts)) => {
            let expressions = parts.into_iter().filter_map(|part| match part {
                Part::Expression(_, range) => Some(range),
                Part::Text(_) => None,
            });
            expressions.flat_map(inside).collect()
        }
    }
}

/// A text with a node renamed.
fn renamed(text: &str, how: How, node: &str, to: &str) -> String {
    if how == How::Id {
        return if text == node { to.to_owned() } else { text.to_owned() };
    }
    let mut out = String::new();
    let mut at = 0;
    for word in words(text, how).iter().filter(|word| word.id == node) {
        let (range, new) = word.renamed(to, '\'');
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(&new);
        at = range.end;
    }
    out + text.get(at..).unwrap_or_default()
}

/// `nodes.id` and `nodes["id"]` in an expression, past its texts.
fn in_expression(source: &str) -> Vec<Word> {
    let bytes = source.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let (mut found, mut at, mut after_dot) = (Vec::new(), 0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = text_end(source, at, false);
                after_dot = false;
            }
            _ if is_word(at) => {
                let start = at;
                while is_word(at) {
                    at += 1;
                }
                let word = source.get(start..at).unwrap_or_default();
                let quote = bytes.get(at).is_some_and(|byte| matches!(byte, b'"' | b'\''));
                if quote && matches!(word.to_ascii_lowercase().as_str(), "r" | "b" | "rb" | "br") {
                    at = text_end(source, at, word.to_ascii_lowercase().contains('r'));
                } else if word == "nodes" && !after_dot {
                    let word = mention(source, at);
                    at = word.as_ref().map_or(at, |word| word.range.end);
                    found.extend(word);
                }
                after_dot = false;
            }
            b'.' => {
                after_dot = true;
                at += 1;
            }
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => {
                after_dot = false;
                at += 1;
            }
        }
    }
    found
}

/// What follows `nodes`.
fn mention(source: &str, after: usize) -> Option<Word> {
    let blank = |at: usize| at + source.get(at..).map_or(0, |rest| rest.len() - rest.trim_start().len());
    let start = blank(after);
    match source.as_bytes().get(start)? {
        b'.' => {
            let from = blank(start + 1);
            let rest = source.get(from..)?;
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let id = rest.get(..length).filter(|id| !id.is_empty())?;
            Some(Word { range: start..from + length, name: from..from + length, bracketed: false, id: id.to_owned() })
        }
        b'[' => {
            let from = blank(start + 1);
            let quote = source.as_bytes().get(from).filter(|byte| matches!(byte, b'"' | b'\''))?;
            let rest = source.get(from + 1..)?;
            let length = rest.find(*quote as char)?;
            let close = blank(from + length + 2);
            let name = from + 1..from + 1 + length;
            let id = source.get(name.clone()).unwrap_or_default().to_owned();
            (source.as_bytes().get(close) == Some(&b']')).then_some(Word { range: start..close + 1, name, bracketed: true, id })
        }
        _ => None,
    }
}

/// The end of a text that begins with a quote here.
fn text_end(source: &str, at: usize, raw: bool) -> usize {
    let rest = source.get(at..).unwrap_or_default();
    let quote = rest.get(..1).unwrap_or_default();
    let triple = quote.repeat(3);
    let close = if rest.starts_with(&triple) { triple } else { quote.to_owned() };
    let mut end = at + close.len();
    while let Some(rest) = source.get(end..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(&close) {
            return end + close.len();
        }
        let mut letters = rest.chars();
        let first = letters.next().map_or(1, char::len_utf8);
        end += if rest.starts_with('\\') && !raw { first + letters.next().map_or(0, char::len_utf8) } else { first };
    }
    source.len()
}

/// The letters of a scalar as it is written, blanks left out, each with its bytes. Where a letter is written as an escape, the bytes are
/// those of the escape.
fn places(raw: &str, style: Style) -> Vec<(char, Range<usize>)> {
    let (mut found, mut at, mut end) = (Vec::new(), 0, raw.len());
    match style {
        Style::SingleQuoted | Style::DoubleQuoted => (at, end) = (1, raw.len().saturating_sub(1)),
        Style::Literal | Style::Folded => at = raw.find('\n').unwrap_or(raw.len()),
        _ => {}
    }
    while at < end {
        let Some(c) = raw.get(at..).and_then(|rest| rest.chars().next()) else { break };
        let (meant, length) = match (style, c) {
            (Style::SingleQuoted, '\'') => (Some('\''), 2),
            (Style::DoubleQuoted, '\\') => escape(raw.get(at + 1..).unwrap_or_default()),
            _ => (Some(c), c.len_utf8()),
        };
        if let Some(meant) = meant.filter(|meant| !meant.is_whitespace()) {
            found.push((meant, at..at + length));
        }
        at += length;
    }
    found
}

/// What an escape means, and its length with the backslash.
fn escape(rest: &str) -> (Option<char>, usize) {
    let Some(letter) = rest.chars().next() else { return (None, 1) };
    let hex = |digits: usize| {
        let code = rest.get(1..=digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        (code.and_then(char::from_u32), digits + 2)
    };
    match letter {
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        '0' => (Some('\0'), 2),
        'a' => (Some('\x07'), 2),
        'b' => (Some('\x08'), 2),
        'e' => (Some('\x1b'), 2),
        'n' | 't' | 'v' | 'f' | 'r' | '\t' | ' ' | 'N' | '_' | 'L' | 'P' | '\n' | '\r' => (None, 1 + letter.len_utf8()),
        other => (Some(other), 1 + other.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_found_past_texts_and_other_names() {
        let ids = |source: &str| in_expression(source).into_iter().map(|word| word.id).collect::<Vec<_>>();
        assert_eq!(ids("nodes.a.b + nodes [ 'c-d' ].x"), ["a", "c-d"]);
        assert_eq!(ids("x.nodes.a + mynodes.b + 'nodes.c' + r'\\' + \"nodes.d\\\"nodes.e\" + nodes . f"), ["f"]);
        assert_eq!(ids("'''nodes.a' ''' + nodes.b"), ["b"]);
        assert_eq!(ids("nodes + nodes[0] + nodes['open"), Vec::<String>::new());
        assert_eq!(
            renamed("a ${ nodes.x } $${nodes.x} nodes.x ${nodes['x']}", How::Template, "x", "y"),
            "a ${ nodes.y } $${nodes.x} nodes.x ${nodes['y']}"
        );
        assert_eq!(renamed("nodes.x.y > 1", How::Condition, "x", "b-c"), "nodes['b-c'].y > 1");
    }

    #[test]
    fn letters_know_their_bytes() {
        let letters = |raw: &str, style| places(raw, style).into_iter().map(|(c, _)| c).collect::<String>();
        assert_eq!(letters("'it''s a'", Style::SingleQuoted), "it'sa");
        assert_eq!(letters("\"a\\\"\\u0062\\n\\tc\\\n  d\"", Style::DoubleQuoted), "a\"bcd");
        assert_eq!(letters("|-\n  a\n  b", Style::Literal), "ab");
        assert_eq!(places("\"\\u0062c\"", Style::DoubleQuoted), [('b', 1..7), ('c', 7..8)]);
    }
}
