//! Data on stdout: tables for people, JSON, YAML and names for programs.

use std::io::Write as _;

use serde::Serialize;

use crate::failure::CommandError;

/// The form of the data a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON with stable fields.
    Json,
    /// The same as YAML.
    Yaml,
    /// Names only, a line each.
    Name,
}

/// The form of a document, which is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Document {
    /// JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

impl From<Document> for Format {
    fn from(document: Document) -> Format {
        match document {
            Document::Json => Format::Json,
            Document::Yaml => Format::Yaml,
        }
    }
}

/// Something that can be printed in every form.
pub(crate) trait Row: Serialize {
    /// The heads of the columns.
    const COLUMNS: &'static [&'static str];
    /// The cells, one for each column.
    fn cells(&self) -> Vec<String>;
    /// The name.
    fn name(&self) -> String;
}

/// Prints a list.
pub(crate) fn list<T: Row>(rows: &[T], format: Format, empty: &str) -> Result<(), CommandError> {
    match format {
        Format::Table if rows.is_empty() => {
            eprintln!("{empty}");
            Ok(())
        }
        Format::Table => {
            let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
            write(&table(T::COLUMNS, &cells))
        }
        Format::Name => write(&rows.iter().map(|row| row.name() + "\n").collect::<String>()),
        Format::Json | Format::Yaml => value(rows, format),
    }
}

/// Prints a document.
pub(crate) fn value<T: Serialize + ?Sized>(value: &T, format: Format) -> Result<(), CommandError> {
    let json = serde_json::to_value(value)?;
    match format {
        Format::Yaml => write(&to_yaml(&json)),
        _ => write(&(serde_json::to_string_pretty(&json)? + "\n")),
    }
}

/// Writes data to stdout.
pub(crate) fn write(text: &str) -> Result<(), CommandError> {
    bytes(text.as_bytes())
}

/// Writes bytes to stdout as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(CommandError::ReaderGone),
        result => Ok(result?),
    }
}

/// Prints one thing: as a row of a table, or whole.
pub(crate) fn one<T: Row>(row: &T, format: Format) -> Result<(), CommandError> {
    match format {
        Format::Table | Format::Name => list(std::slice::from_ref(row), format, ""),
        form => value(row, form),
    }
}

/// The option for the form of what is printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Form {
    /// The form of what is printed.
    #[arg(short, long = "output", value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// A table with columns as wide as their widest cell.
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count().min(width + 2)));
        }
        text.trim_end().to_owned() + "\n"
    };
    let mut out = line(&mut columns.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// A JSON document as YAML.
pub(crate) fn to_yaml(value: &serde_json::Value) -> String {
    fn scalar(value: &serde_json::Value) -> Option<String> {
        match value {
            serde_json::Value::Object(fields) if !fields.is_empty() => None,
            serde_json::Value::Array(items) if !items.is_empty() => None,
            // A JSON scalar is a YAML scalar.
            other => Some(other.to_string()),
        }
    }
    fn walk(value: &serde_json::Value, indent: usize, out: &mut String) {
        let pad = " ".repeat(indent);
        match value {
            serde_json::Value::Object(fields) => {
                for (key, field) in fields {
                    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
                    let key = if plain { key.clone() } else { format!("{key:?}") };
                    match scalar(field) {
                        Some(text) => out.push_str(&format!("{pad}{key}: {text}\n")),
                        None => {
                            out.push_str(&format!("{pad}{key}:\n"));
                            walk(field, indent + 2, out);
                        }
                    }
                }
            }
            serde_json::Value::Array(items) => {
                for item in items {
                    match scalar(item) {
                        Some(text) => out.push_str(&format!("{pad}- {text}\n")),
                        None => {
                            let mut inner = String::new();
                            walk(item, indent + 2, &mut inner);
                            out.push_str(&format!("{pad}- {}", &inner[indent + 2..]));
                        }
                    }
                }
            }
            other => out.push_str(&format!("{pad}{other}\n")),
        }
    }
    let mut out = String::new();
    match scalar(value) {
        Some(text) => out = text + "\n",
        None => walk(value, 0, &mut out),
    }
    out
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, next);
    }
    if unit == "B" || amount >= 100.0 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// Seconds as people read them.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.0005 => "0s".into(),
        s if s < 1.0 => format!("{:.0}ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 3600.0 => format!("{:.0}m{:02.0}s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0}h{:02.0}m", (s / 3600.0).floor(), ((s % 3600.0) / 60.0).floor()),
    }
}

/// An amount of money with as many digits as it needs.
pub(crate) fn money(units: f64) -> String {
    if units == 0.0 {
        "0".into()
    } else if units.abs() < 0.01 {
        format!("{units:.6}")
    } else {
        format!("{units:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_of_nested_documents() {
        let value = json!({"a": 1, "b": {"c": [1, {"d": "x", "e": []}], "f g": null}, "h": [[1]]});
        assert_eq!(to_yaml(&value), "a: 1\nb:\n  c:\n    - 1\n    - d: \"x\"\n      e: []\n  \"f g\": null\nh:\n  - - 1\n");
    }

    #[test]
    fn tables_line_up() {
        let text = table(&["NAME", "N"], &[vec!["long-name".into(), "1".into()], vec!["b".into(), "22".into()]]);
        assert_eq!(text, "NAME       N\nlong-name  1\nb          22\n");
    }
}
