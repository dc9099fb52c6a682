//! Values as YAML, written so that they read back as they are: expressions always in double quotes, short collections in one line.

use serde_json::Value;

use crate::source::plain;

/// Columns that a collection in one line may reach.
const WIDTH: usize = 100;

/// A value as it stands after a colon or a dash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// On the same line.
    Inline(String),
    /// On lines of its own, each with its indentation.
    Below(Vec<String>),
    /// A header on the same line, and lines of its own.
    Literal(&'static str, Vec<String>),
}

/// How far children stand to the right of their parents, and how many levels are written by lines whatever their length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) unit: usize,
    pub(crate) by_lines: usize,
}

/// Writes a value below a key or a dash at this column.
pub(crate) fn written(value: &Value, column: usize, manner: Manner) -> Written {
    let inner = column + manner.unit;
    match value {
        Value::String(text) => match literal(text, inner) {
            Some((header, lines)) => Written::Literal(header, lines),
            None => Written::Inline(inline(value)),
        },
        Value::Object(fields) if !fields.is_empty() => {
            if let Some(line) = one_line(value, column, manner) {
                return Written::Inline(line);
            }
            let next = Manner { by_lines: manner.by_lines.saturating_sub(1), ..manner };
            Written::Below(fields.iter().flat_map(|(key, field)| entry(key, field, inner, next)).collect())
        }
        Value::Array(items) if !items.is_empty() => {
            if let Some(line) = one_line(value, column, manner) {
                return Written::Inline(line);
            }
            let next = Manner { by_lines: manner.by_lines.saturating_sub(1), ..manner };
            Written::Below(items.iter().flat_map(|value| item(value, inner, next)).collect())
        }
        _ => Written::Inline(inline(value)),
    }
}

/// An entry of a map by lines, at this column.
pub(crate) fn entry(key: &str, value: &Value, column: usize, manner: Manner) -> Vec<String> {
    let head = format!("{:column$}{}:", "", key_text(key));
    joined(head, written(value, column, manner))
}

/// An item of a list by lines, its dash at this column.
pub(crate) fn item(value: &Value, column: usize, manner: Manner) -> Vec<String> {
    let head = format!("{:column$}-", "");
    match written(value, column, Manner { unit: 2, ..manner }) {
        // A collection begins on the line of its dash.
        Written::Below(mut lines) => {
            if let Some(first) = lines.first_mut() {
                *first = format!("{head} {}", first.trim_start());
            }
            lines
        }
        other => joined(head, other),
    }
}

fn joined(head: String, written: Written) -> Vec<String> {
    match written {
        Written::Inline(text) => vec![format!("{head} {text}")],
        Written::Below(lines) => [head].into_iter().chain(lines).collect(),
        Written::Literal(header, lines) => [format!("{head} {header}")].into_iter().chain(lines).collect(),
    }
}

/// A collection in one line, when it is short and nothing asks for lines.
fn one_line(value: &Value, column: usize, manner: Manner) -> Option<String> {
    let line = if manner.by_lines == 0 && !has_lines(value) { inline(value) } else { return None };
    (column + line.chars().count() <= WIDTH).then_some(line)
}

fn has_lines(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\n'),
        Value::Array(items) => items.iter().any(has_lines),
        Value::Object(fields) => fields.values().any(has_lines),
        _ => false,
    }
}

/// A value in one line.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| format!("{}: {}", key_text(key), inline(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A key.
pub(crate) fn key_text(key: &str) -> String {
    if is_plain(key) { key.to_owned() } else { quoted(key) }
}

/// A text in one line: without quotes where every reader takes it for the same text.
pub(crate) fn scalar(text: &str) -> String {
    if is_plain(text) && !text.contains(' ') { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '@' | '-' | ' ');
    let surprising = ["yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
    // `30s` and `8Gi` are texts for every reader, `0x1f` and `1e3` are not.
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let amount = !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphabetic()) && !text.starts_with('0');
    (text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || amount)
        && text.chars().all(safe)
        && !text.ends_with(' ')
        && !surprising
        && plain(text).is_string()
}

/// A text in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text of several lines as `|`, when nothing of it would be lost.
fn literal(text: &str, column: usize) -> Option<(&'static str, Vec<String>)> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let tame = |c: char| c == '\n' || c == '\t' || !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let first = body.lines().next().unwrap_or_default();
    let fits = body.contains('\n') || text.ends_with('\n');
    if !fits
        || body.is_empty()
        || body.ends_with('\n')
        || first.trim().is_empty()
        || first.starts_with([' ', '\t'])
        || !text.chars().all(tame)
    {
        return None;
    }
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("{:column$}{line}", "") };
    Some((if text.ends_with('\n') { "|" } else { "|-" }, body.split('\n').map(line).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_people_would() {
        let plain = Manner { unit: 2, by_lines: 0 };
        let value =
            json!({"use": "core/http@1", "with": {"url": "http://x", "n": 1, "e": "${ nodes.a }", "on": "on", "s": "a b"}});
        assert_eq!(
            inline(&value),
            r#"{use: core/http@1, with: {url: "http://x", n: 1, e: "${ nodes.a }", "on": "on", s: "a b"}}"#
        );
        let lines = entry("a", &value, 2, Manner { by_lines: 1, ..plain });
        assert_eq!(lines[..2], ["  a:", "    use: core/http@1"]);
        let value = json!([{"a": "x\ny\n", "b": [1]}, "z"]);
        assert_eq!(entry("l", &value, 0, plain).join("\n"), "l:\n  - a: |\n      x\n      y\n    b: [1]\n  - z");
        assert_eq!([scalar("30s"), scalar("8Gi"), scalar("0x1f"), scalar("0b1")].join(" "), "30s 8Gi \"0x1f\" \"0b1\"");
        for text in ["", " ", "1", "true", "1e3", "- x", "a: b", "#", "é", "a\u{85}b", "-", "~"] {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
    }

    #[test]
    fn whatever_is_written_reads_back() {
        for value in [
            json!("x\n\n y\n"),
            json!(" x\ny"),
            json!("x\n\n"),
            json!("\n"),
            json!("x\u{7}\u{85}é\u{2028}\u{feff}"),
            json!("a\r\nb"),
            json!({"a": [[1, [2]], {"b": null}, {}, []], "": "", "- ": 1.5e300, "u": u64::MAX, "\"": "\\"}),
            json!("\t\nx"),
            json!(["a\nb", ["c\nd\n"]]),
        ] {
            for by_lines in [0, 1, 9] {
                let text = entry("k", &value, 0, Manner { unit: 2, by_lines }).join("\n") + "\n";
                let (trees, findings) = crate::source::parse(&text);
                assert!(findings.is_empty(), "{text}: {findings:?}");
                assert_eq!(trees[0].get("k").unwrap().to_value(), value, "{text}");
            }
        }
    }
}
