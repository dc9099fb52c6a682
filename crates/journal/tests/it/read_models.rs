//! Read models say what the journal says, however the facts were cut into commits.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use engine::Event;
use engine::event::{ActionFinished, ActionKind, ActionsOpened, Opened, Role};
use journal::{ActionFilter, Entry, HistoryFilter, HistoryRow, RefusedFilter, RunFilter, TileFilter, differences, rebuild};
use model::{ActionNo, Failure, FailureClass, Label, Money, Phase, RunId, Timestamp};
use proptest::prelude::*;

use crate::samples::{Teller, append, options, submitted};

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_how_facts_are_cut_into_commits(seed in any::<u64>(), sizes in prop::collection::vec(1usize..40, 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let opened = journal::open(options(folder.path())).unwrap();
        let mut teller = Teller::new(seed);
        for size in sizes {
            append(&opened.writer, teller.entries(size)).unwrap();
        }
        // Made anew, all facts are folded in one go.
        prop_assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
        opened.writer.keeper().sweep().unwrap();
        prop_assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn damaged_read_models_are_found_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let opened = crate::samples::filled(folder.path(), 9, 400);
    opened.writer.stop();
    let database = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    database
        .execute_batch("UPDATE runs SET cost = cost + 1 WHERE id = 1; DELETE FROM actions WHERE run = 2; DELETE FROM sites")
        .unwrap();
    drop(database);
    let differ = differences(&opened.reader).unwrap();
    for table in ["runs", "actions", "sites"] {
        assert!(differ.iter().any(|line| line.starts_with(table)), "{table}: {differ:?}");
    }
    rebuild(&options(folder.path())).unwrap();
    assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
    assert!(journal::open(options(folder.path())).is_ok());
}

#[test]
fn tiles_count_every_action_of_a_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let opened = crate::samples::filled(folder.path(), 11, 600);
    let mut seen = 0;
    for run in opened.reader.runs(&RunFilter { limit: 100, ..RunFilter::default() }).unwrap() {
        let actions = opened.reader.actions(run.id, &ActionFilter { from: 0, limit: 10_000, ..ActionFilter::default() }).unwrap();
        if actions.is_empty() {
            continue;
        }
        for tiles in [1, 3, 1_000] {
            let found = opened.reader.tiles(run.id, &TileFilter { from: 0, to: None, tiles }).unwrap();
            assert!(found.tiles.len() <= tiles as usize && found.total as usize == actions.len());
            let mut counted = BTreeMap::<Phase, u64>::new();
            for tile in &found.tiles {
                tile.phases.iter().for_each(|(phase, count)| *counted.entry(*phase).or_default() += count);
                let first = actions.iter().find(|action| action.no == tile.from).unwrap();
                let last = actions.iter().find(|action| action.no + 1 == tile.to).unwrap();
                assert_eq!((&tile.first, &tile.last), (&first.path, &last.path));
            }
            let mut expected = BTreeMap::<Phase, u64>::new();
            actions.iter().for_each(|action| *expected.entry(action.phase).or_default() += 1);
            assert_eq!(counted, expected, "run {:?} in {tiles} tiles", run.id);
            seen += found.tiles.len();
        }
        // A part of the run is as many actions as lie in it.
        let part = opened.reader.tiles(run.id, &TileFilter { from: 1, to: Some(3), tiles: 10 }).unwrap();
        assert!(part.tiles.iter().all(|tile| tile.from >= 1 && tile.to <= 3));
    }
    assert!(seen > 20, "the samples have runs with actions: {seen}");
}

#[test]
fn totals_are_those_of_the_rows_whatever_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let opened = crate::samples::filled(folder.path(), 12, 600);
    let runs = opened.reader.runs(&RunFilter { limit: 10_000, ..RunFilter::default() }).unwrap();
    assert!(runs.len() > 20);
    let times = runs.iter().flat_map(|run| [run.submitted_at, Timestamp(run.submitted_at.0 + 1)]);
    for since in times.chain([Timestamp(0), Timestamp(u64::MAX)]) {
        let totals = opened.reader.run_totals(since).unwrap();
        let of: Vec<_> = runs.iter().filter(|run| run.submitted_at >= since).collect();
        let mut cost = Money(0);
        of.iter().for_each(|run| cost += run.cost);
        assert_eq!((totals.phases.iter().map(|(_, runs)| runs).sum::<u64>(), totals.cost), (of.len() as u64, cost));
        for (phase, runs) in totals.phases {
            assert_eq!(of.iter().filter(|run| run.phase == phase).count() as u64, runs, "{phase}");
        }
    }
}

#[test]
fn what_happened_is_read_row_after_row_and_added_up_by_hours_as_it_is_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let opened = crate::samples::filled(folder.path(), 23, 3_000);
    let all = opened.reader.history(&HistoryFilter { limit: 100_000, ..HistoryFilter::default() }).unwrap();
    assert!(all.len() > 40, "{}", all.len());
    let (first, last) = (all.first().unwrap().opened_at, all.iter().map(|row| row.opened_at).max().unwrap());
    let at = |share: u64| Timestamp(first.0 + (last.0 - first.0) * share / 10);
    let key = |row: &HistoryRow| (row.run, row.path.clone(), row.opened_at, row.finished_at, row.cost);
    for (since, until) in [(None, None), (Some(at(3)), None), (None, Some(at(6))), (Some(at(4)), Some(at(5)))] {
        let filter = HistoryFilter { since, until, limit: 100_000, ..HistoryFilter::default() };
        let inside = |row: &&HistoryRow| since.is_none_or(|at| row.opened_at >= at) && until.is_none_or(|at| row.opened_at < at);
        let wanted: Vec<_> = all.iter().filter(inside).map(key).collect();
        let at_once = opened.reader.history(&filter).unwrap();
        assert_eq!(at_once.iter().map(key).collect::<Vec<_>>(), wanted);
        let mut one_by_one = Vec::new();
        let mut each = |row: HistoryRow| {
            one_by_one.push(key(&row));
            ControlFlow::Continue(())
        };
        opened.reader.history_each(&filter, &mut each).unwrap();
        assert_eq!(one_by_one, wanted);
    }
    // Whoever has seen enough stops.
    let mut seen = 0;
    let mut some = |_: HistoryRow| {
        seen += 1;
        if seen == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    opened.reader.history_each(&HistoryFilter::default(), &mut some).unwrap();
    assert_eq!(seen, 7);

    let mut wanted: BTreeMap<(String, String, u64), (u64, u64)> = BTreeMap::new();
    for row in all.iter().filter(|row| row.kind != ActionKind::Transfer) {
        let hour = row.started_at.0 / 3_600_000_000;
        let entry = wanted.entry((row.project.clone(), row.site.clone(), hour)).or_default();
        *entry = (entry.0 + 1, entry.1 + row.usage.cpu_us.max(row.usage.wall_us / 4));
    }
    // Some said that they had read more bytes than there are.
    let costs = opened.reader.costs(Timestamp(0), Timestamp(u64::MAX)).unwrap();
    assert!(!costs.is_empty() && costs.iter().all(|row| row.bytes_in < u64::MAX / 2), "{costs:?}");
    let hours = opened.reader.work_by_hour(Timestamp(0)).unwrap();
    let found: BTreeMap<_, _> =
        hours.into_iter().map(|row| ((row.project, row.site, row.hour), (row.begun, row.core_us))).collect();
    assert_eq!(found, wanted);
}

#[test]
fn of_what_was_refused_the_workflow_around_it_is_not_told_as_well() {
    use ActionKind::{Run, Workflow};
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let (run, at) = (RunId(1), Timestamp(1_800_000_000_000_000));
    // A workflow within a workflow, one that was refused where it was opened, and one whose node failed for something else.
    let paths = [("w", Workflow), ("w/v", Workflow), ("w/v/say", Run), ("w2", Workflow), ("own", Workflow), ("own/say", Run)];
    let action = |(no, (path, kind)): (usize, &(&str, ActionKind))| Opened {
        action: ActionNo(no as u32),
        role: Role::Node,
        scope: 0,
        node: 0,
        input: None,
        label: Label::empty(),
        recall: None,
        path: (*path).to_owned(),
        kind: *kind,
        instant: false,
    };
    let actions = paths.iter().enumerate().map(action).collect();
    let mut events = vec![submitted(1, None), Event::ActionsOpened(ActionsOpened { run, actions })];
    for (no, (path, _)) in paths.iter().enumerate() {
        let class = if *path == "own/say" { FailureClass::User } else { FailureClass::Refused };
        events.push(Event::ActionFinished(Box::new(ActionFinished {
            run,
            action: ActionNo(no as u32),
            phase: Phase::Failed,
            output: None,
            failure: Some(Failure::new(class, "no")),
            reused: false,
            locations: Vec::new(),
        })));
    }
    append(&opened.writer, events.into_iter().map(|event| Entry { run, at, event }).collect()).unwrap();
    let refused = |before| {
        let found = opened.reader.refused(&RefusedFilter { before, limit: 2, ..RefusedFilter::default() }).unwrap();
        found.into_iter().map(|(_, action)| action).collect::<Vec<_>>()
    };
    let first = refused(None);
    assert_eq!(first.iter().map(|action| action.path.as_str()).collect::<Vec<_>>(), ["own", "w2"]);
    let next = journal::RefusedAt { at, run, no: first[1].no };
    assert_eq!(refused(Some(next)).iter().map(|action| action.path.as_str()).collect::<Vec<_>>(), ["w/v/say"]);
}
