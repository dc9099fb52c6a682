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

/// Makes every decision of a file again. None when it does not hold all entries.
pub(super) fn derive(file: &Path) -> anyhow::Result<Option<Rederived>> {
    if file.is_dir() {
        let entries = file.join(ENTRIES);
        return if entries.exists() { of_lines(BufReader::new(std::fs::File::open(entries)?)) } else { Ok(None) };
    }
    let mut reader = BufReader::with_capacity(1 << 18, std::fs::File::open(file)?);
    match reader.fill_buf()? {
        begin if begin.starts_with(b"{\n") => Ok(None),
        begin if begin.starts_with(b"PK") => {
            let archive = std::fs::read(file)?;
            let files = pack::read(&archive).context("the pack")?;
            files.get(ENTRIES).map_or(Ok(None), |entries| of_lines(*entries))
        }
        begin if begin.starts_with(b"{") => of_lines(reader),
        _ => Ok(None),
    }
}

fn of_lines(lines: impl BufRead) -> anyhow::Result<Option<Rederived>> {
    let known: RefCell<BTreeMap<Digest, Arc<Graph>>> = RefCell::default();
    let mut graphs = |digest: &Digest| known.borrow().get(digest).cloned();
    let mut check = Rederive::new(&mut graphs);
    // The first line is the head of the tree.
    for (expected, line) in (1..).zip(lines.lines().skip(1)) {
        let line = line?;
        let Some((place, mut event)) = fact_of(&line)? else { continue };
        if place.seq != expected {
            return Ok(None);
        }
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
    Ok(Some(check.finish()))
}

/// What stands beside an entry.
fn document_of(line: &str) -> anyhow::Result<Option<Value>> {
    #[derive(serde::Deserialize)]
    struct Beside {
        document: Option<Value>,
    }
    Ok(serde_json::from_str::<Beside>(line).context("a line of the export")?.document)
}
