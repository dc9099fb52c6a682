//! Levels 3 and 4 of a file: of an export, or of a pack with all entries. Their lines hold the documents that rules are made of and the graphs of
//! workflows, beside the entries that name them by digest; values of users they do not hold, so that what hangs on those is compared with bounds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use audit::evidence::ENTRIES;
use audit::pack;
use controlplane::{Rederive, Rederived};
use engine::Event;
use model::{Digest, Graph, Seq};
use serde_json::Value;

use super::pack::fact_of;

/// What came of making the decisions of a file again; or why that cannot be done.
pub(super) type Derived = Result<Rederived, &'static str>;

/// It is no account from its beginning to its end.
const NOT_ALL: &str = "the file does not hold all entries";

/// Makes every decision of a file again.
pub(super) fn derive(file: &Path) -> anyhow::Result<Derived> {
    if file.is_dir() {
        let entries = file.join(ENTRIES);
        return if entries.exists() { of_lines(BufReader::new(std::fs::File::open(entries)?)) } else { Ok(Err(NOT_ALL)) };
    }
    let mut reader = BufReader::with_capacity(1 << 18, std::fs::File::open(file)?);
    match reader.fill_buf()? {
        begin if begin.starts_with(b"{\n") => Ok(Err(NOT_ALL)),
        begin if begin.starts_with(b"PK") => {
            let archive = std::fs::read(file)?;
            let files = pack::read(&archive).context("the pack")?;
            files.get(ENTRIES).map_or(Ok(Err(NOT_ALL)), |entries| of_lines(*entries))
        }
        begin if begin.starts_with(b"{") => of_lines(reader),
        _ => Ok(Err(NOT_ALL)),
    }
}

fn of_lines(lines: impl BufRead) -> anyhow::Result<Derived> {
    let known: RefCell<BTreeMap<Digest, Arc<Graph>>> = RefCell::default();
    let mut graphs = |digest: &Digest| known.borrow().get(digest).cloned();
    let mut check = Rederive::new(&mut graphs);
    // The first line is the head of the tree.
    for (expected, line) in (1..).zip(lines.lines().skip(1)) {
        let line = line?;
        if seq_of(&line)? != expected {
            return Ok(Err(NOT_ALL));
        }
        let Some((place, mut event)) = fact_of(&line)? else {
            check.unread();
            continue;
        };
        let document = document_of(&line)?;
        match (&mut event, document) {
            // Both compare it with what the entry names.
            (Event::ResourceApplied(applied), Some(body)) => applied.body.body = Some(Arc::new(body)),
            (Event::RunSubmitted(submitted), Some(graph)) => {
                if let Ok(graph) = serde_json::from_value::<Graph>(graph) {
                    known.borrow_mut().insert(submitted.graph, Arc::new(graph));
                }
            }
            _ => {}
        }
        check.take(Seq(place.seq), place.at, &event);
    }
    Ok(Ok(check.finish()))
}

fn seq_of(line: &str) -> anyhow::Result<u64> {
    Ok(serde_json::from_str::<audit::export::Line<'_>>(line).context("a line of the export")?.seq)
}

/// What stands beside an entry.
pub(super) fn document_of(line: &str) -> anyhow::Result<Option<Value>> {
    #[derive(serde::Deserialize)]
    struct Beside {
        document: Option<Value>,
    }
    Ok(serde_json::from_str::<Beside>(line).context("a line of the export")?.document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    /// An entry of the fleet: a kind, and fields that only a later version may know.
    fn line(seq: u64, kind: u8) -> String {
        let bytes = base64::engine::general_purpose::STANDARD.encode([0x82, 0x18, kind, 0x81, 0x82, 0x00, 0x01]);
        format!(r#"{{"seq":{seq},"run":0,"at_us":{seq},"leaf":"","bytes":"{bytes}"}}"#)
    }

    #[test]
    fn what_is_not_looked_at_is_counted_or_told() {
        let file = |lines: &[String]| ["{}".to_owned()].iter().chain(lines).map(|line| format!("{line}\n")).collect::<String>();
        let whole = file(&[line(1, 250), line(2, 251)]);
        let derived = of_lines(whole.as_bytes()).unwrap().unwrap();
        assert_eq!(derived.left_out.values().copied().collect::<Vec<_>>(), [2], "{derived:?}");
        for gap in [file(&[line(1, 250), line(3, 250)]), file(&[line(2, 250)])] {
            assert_eq!(of_lines(gap.as_bytes()).unwrap(), Err(NOT_ALL));
        }
    }
}
