//! What is told of a run as it was is what was told of it then.

use std::collections::BTreeMap;

use journal::{ActionFilter, Reader, TileFilter, Until};
use model::{RunId, Seq, Timestamp};

use crate::samples::{Teller, append, options};

/// All that is told of a run, as text.
fn told(reader: &Reader, run: RunId) -> String {
    let all = ActionFilter { limit: 10_000, ..ActionFilter::default() };
    let actions = reader.actions(run, &all).unwrap();
    let attempts: Vec<_> = actions.iter().map(|action| reader.attempts(run, action.no).unwrap()).collect();
    let tiles = reader.tiles(run, &TileFilter { from: 0, to: None, tiles: 7 }).unwrap();
    let open = (reader.open_groups(run).unwrap(), reader.waiting(run).unwrap(), reader.sites_of_run(run).unwrap());
    let skipped = reader.skipped(run).unwrap();
    format!("{:?} {actions:?} {attempts:?} {tiles:?} {open:?} {skipped:?}", reader.run(run).unwrap())
}

#[test]
fn the_past_of_a_run_is_what_was_told_of_it_then() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let reader = &opened.reader;
    let mut teller = Teller::new(5);
    let mut then: BTreeMap<RunId, Vec<(Seq, Timestamp, String)>> = BTreeMap::new();
    for _ in 0..150 {
        append(&opened.writer, teller.entries(3)).unwrap();
        let (last, seq, at) = reader.last().unwrap();
        for run in (1..=last.0).map(RunId) {
            // Of those in which something happened since.
            let row = reader.run(run).unwrap().unwrap();
            let known = then.entry(run).or_default();
            if known.last().is_none_or(|(seen, ..)| row.last_seq > *seen) {
                known.push((seq, at, told(reader, run)));
            }
        }
    }
    let (mut moments, mut same) = (0, 0);
    for (run, known) in &then {
        let (mut by_position, mut by_time) = (reader.past(*run).unwrap(), reader.past(*run).unwrap());
        assert!(by_position.reader().run(*run).unwrap().is_none(), "before its first entry there is no run");
        for (seq, at, expected) in known {
            by_position.advance(Until::Position(*seq)).unwrap();
            assert_eq!(&told(by_position.reader(), *run), expected, "run {run} at {seq}");
            // What happened at the same time belongs to it, and nothing that happened later.
            by_time.advance(Until::Time(*at)).unwrap();
            let (position, made) = by_time.position();
            let next = reader.events(position, Some(*run), 1).unwrap().pop();
            assert!(made <= *at && next.is_none_or(|(_, later, ..)| later > *at), "run {run} at {at:?}");
            if position <= *seq {
                assert_eq!(&told(by_time.reader(), *run), expected, "run {run} at {at:?}");
                same += 1;
            }
            moments += 1;
        }
        let (first, _) = (known.first().unwrap().0, known.last().unwrap().0);
        assert_eq!(by_position.is_beyond(Until::Position(first)), known.len() > 1);
        // Other runs are as they are.
        let other = then.keys().find(|other| *other != run).unwrap();
        assert!(by_position.reader().run(*other).unwrap().is_none(), "what it holds is one run");
    }
    assert!(then.len() > 5 && moments > 60 && same > 20, "{} runs at {moments} moments, {same} in time", then.len());
}
