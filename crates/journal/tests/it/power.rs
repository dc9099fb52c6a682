//! Power cuts. Every write and every sync of a writer at work is remembered; then images of the disk are made as a cut could have left
//! them: of what was not synced, everything, some of it, torn sectors of it, or nothing is there. Each image has to open, to verify, and to
//! hold every acknowledged batch and nothing half. The same with `synchronous` lowered has to show losses, or this test shows nothing.
//!
//! `TUTTI_POWER_IMAGES=10000` makes more images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use engine::Event;
use journal::{Batch, Durability, Options, differences, verify};
use model::Seq;

use crate::samples::{Dice, Teller, graph, options};
use crate::vfs::{Op, Watch};

const SECTOR: usize = 512;

/// What was written, and what it was when.
struct Recording {
    ops: Vec<Op>,
    /// The bytes of every entry, in order.
    entries: Vec<Vec<u8>>,
    /// Entries after each batch: the only places where a journal may end.
    ends: Vec<usize>,
    /// Whether the log was merged into the file between two batches, not only at a stop.
    merged_at_work: bool,
}

/// A writer at work: batches of all sizes, merges of the log, a pruning, a stop and a start.
fn record(durability: Durability, seed: u64) -> Recording {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::over(folder.path());
    let mut teller = Teller::new(seed);
    let (mut entries, mut ends, mut merged_at_work) = (Vec::new(), vec![0], false);
    for (part, batches) in [450, 100, 100].into_iter().enumerate() {
        let opened = journal::open(Options { durability, ..options(folder.path()) }).unwrap();
        for number in 0..batches {
            let size = 1 + teller.dice.below(if number % 40 == 0 { 300 } else { 6 }) as usize;
            let batch = teller.entries(size);
            entries.extend(batch.iter().map(|entry| engine::codec::encode(&entry.event)));
            ends.push(entries.len());
            let (told, acknowledged, all) = (watch.clone(), std::sync::mpsc::channel(), entries.len() as u64);
            let sender = acknowledged.0;
            let durable = Box::new(move |result: Result<journal::Appended, journal::JournalError>| {
                result.unwrap();
                told.mark(all);
                // Nobody waits when several are in flight.
                let _ = sender.send(());
            });
            opened.writer.append(Batch { entries: batch, graphs: vec![(graph().digest(), graph())], durable }).unwrap();
            // Mostly one after the other, sometimes several in flight.
            if !teller.dice.one_in(4) {
                acknowledged.1.recv().unwrap();
            }
        }
        if part == 0 {
            let ops = watch.ops();
            let told = ops.iter().position(|op| matches!(op, Op::Mark(_))).unwrap();
            merged_at_work = ops[told..].iter().any(|op| matches!(op, Op::Sync { file } if file == "journal.db"));
        }
        if part == 1 {
            opened.writer.keeper().sweep().unwrap();
        }
    }
    Recording { ops: watch.ops(), entries, ends, merged_at_work }
}

/// The files as they are on the disk for certain, and what was done to them since.
#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    pending: Vec<Op>,
    acknowledged: u64,
    /// Logs that were synced since they were made: the first sync of a new one syncs the directory, in SQLite's file system for Unix.
    known: BTreeSet<String>,
}

/// How a cut treats what was not synced.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Nothing,
    Everything,
    SomeWrites,
    SomeSectors,
    /// In order up to a point, where one write is torn.
    UpTo,
}

const CUTS: [Cut; 5] = [Cut::Nothing, Cut::Everything, Cut::SomeWrites, Cut::SomeSectors, Cut::UpTo];

impl Disk {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Sync { file } => {
                let (synced, pending) = std::mem::take(&mut self.pending).into_iter().partition(|op| name_of(op) == Some(file));
                self.pending = pending;
                let synced: Vec<Op> = synced;
                synced.iter().for_each(|op| change(&mut self.files, op, |_| true));
                if (file.ends_with("-wal") || file.ends_with("-journal")) && self.known.insert(file.clone()) {
                    let deletes: Vec<Op> = self.pending.extract_if(.., |op| matches!(op, Op::Delete { .. })).collect();
                    deletes.iter().for_each(|op| change(&mut self.files, op, |_| true));
                }
            }
            Op::Mark(entries) => self.acknowledged = *entries,
            // What was done to a file before it was deleted for good no longer matters.
            Op::Delete { file, durable: true } => {
                self.pending.retain(|op| name_of(op) != Some(file));
                self.files.remove(file);
                self.known.remove(file);
            }
            Op::Delete { file, .. } => {
                self.known.remove(file);
                self.pending.push(op.clone());
            }
            other => self.pending.push(other.clone()),
        }
    }

    /// The files after a cut.
    fn cut(&self, how: Cut, dice: &mut Dice) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        let until = dice.below(self.pending.len() as u64 + 1) as usize;
        for (index, op) in self.pending.iter().enumerate() {
            let whole = match how {
                Cut::Nothing => false,
                Cut::Everything => true,
                Cut::SomeWrites => dice.one_in(2),
                Cut::UpTo => index < until,
                Cut::SomeSectors => {
                    change(&mut files, op, |_| dice.one_in(2));
                    continue;
                }
            };
            let torn = matches!(how, Cut::UpTo) && index == until;
            if whole || torn {
                change(&mut files, op, |_| whole || dice.one_in(2));
            }
        }
        files
    }
}

fn name_of(op: &Op) -> Option<&String> {
    match op {
        Op::Write { file, .. } | Op::Truncate { file, .. } | Op::Sync { file } | Op::Delete { file, .. } => Some(file),
        Op::Mark(_) => None,
    }
}

/// Does an operation to the files, sector by sector as `keep` says.
fn change(files: &mut BTreeMap<String, Vec<u8>>, op: &Op, mut keep: impl FnMut(usize) -> bool) {
    match op {
        Op::Write { file, offset, bytes } => {
            let content = files.entry(file.clone()).or_default();
            let mut at = *offset as usize;
            let end = at + bytes.len();
            while at < end {
                let next = ((at / SECTOR + 1) * SECTOR).min(end);
                if keep(at) {
                    if content.len() < next {
                        content.resize(next, 0);
                    }
                    content[at..next].copy_from_slice(&bytes[at - *offset as usize..next - *offset as usize]);
                }
                at = next;
            }
        }
        Op::Truncate { file, size } => {
            if keep(0) {
                files.entry(file.clone()).or_default().resize(*size as usize, 0);
            }
        }
        Op::Delete { file, .. } => {
            if keep(0) {
                files.remove(file);
            }
        }
        Op::Sync { .. } | Op::Mark(_) => {}
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    images: u64,
    /// Acknowledged entries that are not there, over all images.
    lost: u64,
    /// Images that do not open, do not verify, or end within a batch.
    broken: u64,
    /// Images that lack an acknowledged entry.
    with_losses: u64,
    first: Option<String>,
}

impl Found {
    fn note(&mut self, image: &str, outcome: Result<u64, String>, acknowledged: u64) {
        self.images += 1;
        let problem = match outcome {
            Ok(entries) if entries >= acknowledged => return,
            Ok(entries) => {
                self.lost += acknowledged - entries;
                self.with_losses += 1;
                format!("{image}: {acknowledged} entries were acknowledged and {entries} are there")
            }
            Err(problem) => {
                self.broken += 1;
                format!("{image}: {problem}")
            }
        };
        self.first.get_or_insert(problem);
    }
}

/// Opens an image and says how many entries it holds, or what is wrong with it.
fn open_image(recording: &Recording, folder: &Path, thorough: bool) -> Result<u64, String> {
    let say = |error: journal::JournalError| error.to_string();
    let opened = journal::open(options(folder)).map_err(say)?;
    let report = verify(&opened.reader).map_err(say)?;
    if let Some(problem) = report.problems.first() {
        return Err(problem.to_string());
    }
    let found = opened.reader.entries(Seq(0), usize::MAX >> 1).map_err(say)?;
    if !recording.ends.contains(&found.len()) {
        return Err(format!("it ends within a batch, after {} entries", found.len()));
    }
    if found.iter().zip(&recording.entries).any(|(found, written)| found.bytes != *written) {
        return Err("an entry is not the one that was written".into());
    }
    if thorough {
        let differ = differences(&opened.reader).map_err(say)?;
        if let Some(difference) = differ.first() {
            return Err(format!("a read model is wrong: {difference}"));
        }
        opened.writer.keeper().sweep().map_err(say)?;
        let event =
            Event::EpochBegan(engine::event::EpochBegan { epoch: model::Epoch(2), version: "test".into(), ticket_key: None });
        let entry = journal::Entry { run: model::RunId::FLEET, at: model::Timestamp(u64::MAX >> 2), event };
        crate::samples::append(&opened.writer, vec![entry]).map_err(say)?;
        if !verify(&opened.reader).map_err(say)?.holds {
            return Err("it does not hold after it went on".into());
        }
    }
    Ok(found.len() as u64)
}

/// Cuts the power at `images` points, more of them where something is acknowledged and something is not synced.
fn cut_power(recording: &Recording, images: u64, seed: u64) -> Found {
    let mut dice = Dice::new(seed);
    let marks: Vec<usize> =
        recording.ops.iter().enumerate().filter(|(_, op)| matches!(op, Op::Mark(_))).map(|(index, _)| index + 1).collect();
    let mut points: Vec<usize> = (0..images)
        .map(|number| match number % 2 {
            0 => dice.below(recording.ops.len() as u64 + 1) as usize,
            // Right after an answer, or a few writes later.
            _ => (marks[dice.below(marks.len() as u64) as usize] + dice.below(4) as usize).min(recording.ops.len()),
        })
        .collect();
    points.sort_unstable();
    let (mut disk, mut done, mut found) = (Disk::default(), 0, Found::default());
    for (number, point) in points.into_iter().enumerate() {
        recording.ops[done..point].iter().for_each(|op| disk.apply(op));
        done = point;
        let how = CUTS[dice.below(CUTS.len() as u64) as usize];
        let image = tempfile::tempdir().unwrap();
        for (name, bytes) in disk.cut(how, &mut dice) {
            std::fs::write(image.path().join(name), bytes).unwrap();
        }
        let outcome = open_image(recording, image.path(), number % 8 == 0);
        found.note(&format!("operation {point} of {}, {how:?}", recording.ops.len()), outcome, disk.acknowledged);
    }
    found
}

fn images() -> u64 {
    std::env::var("TUTTI_POWER_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn after_a_power_cut_everything_acknowledged_is_there() {
    let recording = record(Durability::Full, 51);
    assert!(recording.merged_at_work, "the log was never merged while the writer was at work");
    let found = cut_power(&recording, images(), 52);
    println!(
        "power cuts: {} images of {} operations, {} entries; {} lost, {} broken",
        found.images,
        recording.ops.len(),
        recording.entries.len(),
        found.lost,
        found.broken
    );
    assert_eq!((found.lost, found.broken, found.first), (0, 0, None));
}

/// The mutation check: with `synchronous=NORMAL` the same test has to find losses, and nothing worse than losses.
#[test]
fn the_test_notices_when_synchronous_is_lowered() {
    let recording = record(Durability::Relaxed, 51);
    let found = cut_power(&recording, 150, 53);
    println!(
        "power cuts with synchronous lowered: {} images, {} with losses ({} entries), {} broken",
        found.images, found.with_losses, found.lost, found.broken
    );
    assert!(found.with_losses > 10, "{found:?}");
    assert_eq!(found.broken, 0, "{found:?}");
}
