//! Waits for time, signals and events; people; pausing.

use engine::{Command, Event, Outcome, Rejection};
use model::limits::RUN_SIGNALS_MAX;
use model::{Duration, Phase, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, site, step};

const MINUTE: Duration = Duration::from_secs(60);

fn signal(rig: &mut Rig, run: RunId, name: &str, payload: Value) -> Vec<Event> {
    rig.step(Command::Signal { run, name: name.into(), payload, principal: "ada".into() })
}

fn happens(rig: &mut Rig, name: &str, payload: Value) {
    rig.step(Command::Event { name: name.into(), payload, principal: "ada".into() });
}

#[test]
fn a_timer_fires_at_its_time_once_whatever_restarts() {
    let mut rig = Rig::new([site("here").spec()]);
    let run = rig.submit(&flow("t/w").step(step("w").waits(json!({"for": "1h"}))).build(), json!({}));
    let due = rig.state.next_due().unwrap();
    assert_eq!(due, rig.now().after(Duration::from_secs(3_600)));
    rig.advance(Duration::from_secs(3_599));
    assert_eq!(rig.phase(run, "w"), None);
    rig.restart();
    assert_eq!(rig.state.next_due(), Some(due));
    rig.advance(Duration::from_secs(7_200));
    assert_eq!(rig.phase(run, "w"), Some(Phase::Succeeded));
    let before = rig.events().len();
    rig.restart();
    rig.step(Command::Tick);
    let ended = rig.events()[before..].iter().filter(|event| matches!(event, Event::ActionFinished(_))).count();
    assert_eq!(ended, 0);
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn a_tick_before_the_time_does_nothing() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.submit(&flow("t/w").step(step("w").waits(json!({"until": "2100-01-01T00:00:00Z"}))).build(), json!({}));
    assert!(rig.step(Command::Tick).is_empty());
}

#[test]
fn a_signal_reaches_a_wait_whether_it_comes_before_or_after() {
    for before in [true, false] {
        let mut rig = Rig::new([site("here").spec()]);
        let graph = flow("t/w").step(step("a")).step(step("w").waits(json!({"signal": "go"})).after(&["a"])).build();
        rig.on("a", [Answer::Silent]);
        let run = rig.submit(&graph, json!({}));
        rig.work();
        if before {
            signal(&mut rig, run, "go", json!({"n": 1}));
        }
        rig.report(rig.attempt(run, "a"), Outcome::Succeeded(json!({})));
        if !before {
            assert_eq!(rig.phase(run, "w"), None);
            signal(&mut rig, run, "other", json!({}));
            assert_eq!(rig.phase(run, "w"), None);
            signal(&mut rig, run, "go", json!({"n": 1}));
        }
        assert_eq!(rig.output(run, "w"), json!({"n": 1}));
        assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    }
}

#[test]
fn each_signal_ends_one_wait_first_come_first_served() {
    let mut rig = Rig::new([site("here").spec()]);
    let wait = |id: &str| step(id).waits(json!({"signal": "go"}));
    let run = rig.submit(&flow("t/w").step(wait("a")).step(wait("b")).step(wait("c").after(&["a"])).build(), json!({}));
    signal(&mut rig, run, "go", json!(1));
    signal(&mut rig, run, "go", json!(2));
    signal(&mut rig, run, "go", json!(3));
    let finished = rig.finish(run);
    assert_eq!(finished.phase, Phase::Succeeded);
    assert_eq!([rig.output(run, "a"), rig.output(run, "b"), rig.output(run, "c")], [json!(1), json!(2), json!(3)]);
}

#[test]
fn a_run_keeps_so_many_signals_and_no_more() {
    let mut rig = Rig::new([site("here").spec()]).unchecked();
    let run = rig.submit(&flow("t/w").step(step("w").waits(json!({"event": "e"}))).build(), json!({}));
    for _ in 0..RUN_SIGNALS_MAX {
        signal(&mut rig, run, "nobody", json!({}));
    }
    let one_more = Command::Signal { run, name: "nobody".into(), payload: json!({}), principal: "ada".into() };
    assert!(matches!(rig.try_step(one_more), Err(Rejection::Limit(_))));
    happens(&mut rig, "e", json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn an_event_reaches_every_run_that_waits_for_what_it_brings() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/w")
        .input("order", None)
        .step(step("w").waits(json!({"event": "paid", "match": {"order": "${ inputs.order }"}})))
        .build();
    let runs: Vec<RunId> = [1, 2, 1].iter().map(|order| rig.submit(&graph, json!({"order": order}))).collect();
    happens(&mut rig, "shipped", json!({"order": 1}));
    happens(&mut rig, "paid", json!({"order": 3}));
    assert!(runs.iter().all(|run| rig.ended(*run).is_none()));
    happens(&mut rig, "paid", json!({"order": 1, "sum": 5}));
    let ended: Vec<bool> = runs.iter().map(|run| rig.ended(*run).is_some()).collect();
    assert_eq!(ended, [true, false, true]);
    assert_eq!(rig.output(runs[0], "w"), json!({"order": 1, "sum": 5}));
}

#[test]
fn a_paused_run_starts_nothing_and_goes_on_where_it_was() {
    let mut rig = Rig::new([site("here").cores(1).spec()]);
    let graph = flow("t/p")
        .step(step("a").needs(1_000))
        .step(step("b").needs(1_000))
        .step(step("w").waits(json!({"for": "1m"})))
        .step(step("c").after(&["w"]))
        .build();
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.step(Command::Pause { run, principal: "ada".into() });
    assert!(rig.step(Command::Pause { run, principal: "ada".into() }).is_empty());
    rig.report(rig.attempt(run, "a"), Outcome::Succeeded(json!({})));
    rig.advance(MINUTE);
    rig.work();
    assert_eq!((rig.phase(run, "a"), rig.phase(run, "w")), (Some(Phase::Succeeded), Some(Phase::Succeeded)));
    assert_eq!(rig.dispatched(), ["a"]);
    assert_eq!(rig.state.fleet().queued(), 1, "`b` is held");
    rig.restart();
    assert_eq!(rig.dispatched(), ["a"]);
    rig.step(Command::Resume { run, principal: "ada".into() });
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.dispatched(), ["a", "b", "c"]);
}

#[test]
fn a_paused_run_keeps_its_place_in_the_queue_and_blocks_nobody() {
    let mut rig = Rig::new([site("here").cores(1).spec()]);
    let one = |id: &str| flow("t/q").step(step(id).needs(1_000)).build();
    rig.on("first", [Answer::Silent]);
    let first = rig.submit(&one("first"), json!({}));
    rig.work();
    let second = rig.submit(&one("second"), json!({}));
    rig.submit(&one("third"), json!({}));
    rig.step(Command::Pause { run: second, principal: "ada".into() });
    rig.on("third", [Answer::Silent]);
    rig.report(rig.attempt(first, "first"), Outcome::Succeeded(json!({})));
    rig.work();
    assert_eq!(rig.dispatched(), ["first", "third"]);
    rig.submit(&one("fourth"), json!({}));
    rig.step(Command::Resume { run: second, principal: "ada".into() });
    rig.report(rig.attempt(RunId(3), "third"), Outcome::Succeeded(json!({})));
    rig.work();
    assert_eq!(rig.dispatched(), ["first", "third", "second", "fourth"]);
}

fn decide(rig: &mut Rig, run: RunId, who: &str, groups: &[&str], decision: &str, form: Value) -> Result<(), Rejection> {
    let action = rig.action(run, "ask");
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    rig.try_step(Command::Decide {
        action,
        principal: who.into(),
        groups,
        decision: decision.into(),
        form,
        reason: String::new(),
    })
    .map(drop)
}

#[test]
fn a_person_decides_and_the_form_is_the_output() {
    let mut rig = Rig::new([site("here").spec()]);
    let ask = json!({"title": "Sign?", "assign": {"users": ["rita"], "groups": ["risk"]}});
    let run = rig.submit(&flow("t/h").step(step("ask").human(ask)).build(), json!({}));
    assert!(matches!(decide(&mut rig, run, "eve", &["other"], "approve", json!({})), Err(Rejection::Forbidden(_))));
    assert!(matches!(decide(&mut rig, run, "rita", &[], "maybe", json!({})), Err(Rejection::Invalid(_))));
    assert!(matches!(decide(&mut rig, run, "rita", &[], "approve", json!([])), Err(Rejection::Invalid(_))));
    decide(&mut rig, run, "tom", &["risk"], "amend", json!({"limit": 5})).unwrap();
    let output = rig.output(run, "ask");
    assert_eq!((&output["decision"], &output["by"], &output["limit"]), (&json!("amend"), &json!("tom"), &json!(5)));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    let again = decide(&mut rig, run, "rita", &[], "approve", json!({}));
    assert!(matches!(again, Err(Rejection::NotFound { .. })), "the run has closed");
}

#[test]
fn an_undecided_action_goes_to_the_next_in_line() {
    let mut rig = Rig::new([site("here").spec()]);
    let then = json!([{"after": "30m", "groups": ["leads"]}, {"after": "10m", "users": ["boss"]}]);
    let ask = json!({"title": "?", "assign": {"users": ["rita"], "then": then}});
    let run = rig.submit(&flow("t/h").step(step("ask").human(ask)).build(), json!({}));
    let lead = |rig: &mut Rig| decide(rig, run, "lea", &["leads"], "approve", json!({}));
    assert!(lead(&mut rig).is_err());
    rig.advance(Duration::from_secs(30 * 60));
    rig.restart();
    assert!(decide(&mut rig, run, "boss", &[], "approve", json!({})).is_err());
    rig.advance(Duration::from_secs(10 * 60));
    let escalations = rig.events().iter().filter(|event| matches!(event, Event::HumanEscalated(_))).count();
    assert_eq!((escalations, rig.state.next_due()), (2, None));
    lead(&mut rig).unwrap();
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn a_second_person_is_another_person() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = || flow("t/h").step(step("ask").human(json!({"title": "?", "second": true}))).build();
    let run = rig.submit(&graph(), json!({}));
    decide(&mut rig, run, "rita", &[], "approve", json!({"n": 1, "m": 1})).unwrap();
    rig.restart();
    assert_eq!(rig.phase(run, "ask"), None);
    assert!(matches!(decide(&mut rig, run, "rita", &[], "approve", json!({})), Err(Rejection::Forbidden(_))));
    // Nobody agrees to something else than what the first has seen.
    let other = decide(&mut rig, run, "tom", &[], "approve", json!({"n": 2}));
    assert!(matches!(&other, Err(Rejection::Conflict(why)) if why.contains("`rita` approved with another `n`")), "{other:?}");
    // What is changed is decided about anew, and the first may be the second then.
    decide(&mut rig, run, "tom", &[], "amend", json!({"n": 2, "comment": "two is enough"})).unwrap();
    assert_eq!(rig.phase(run, "ask"), None);
    assert!(matches!(decide(&mut rig, run, "tom", &[], "approve", json!({})), Err(Rejection::Forbidden(_))));
    decide(&mut rig, run, "rita", &[], "approve", json!({"n": 2, "k": 3, "comment": "agreed"})).unwrap();
    let output = rig.output(run, "ask");
    assert_eq!((&output["by"], &output["second_by"], &output["decision"]), (&json!("tom"), &json!("rita"), &json!("amend")));
    assert_eq!((&output["n"], &output["k"], output.get("m")), (&json!(2), &json!(3), None));
    assert_eq!((&output["comment"], &output["second_comment"]), (&json!("two is enough"), &json!("agreed")));
    // Whoever agrees need not repeat anything; a second `reject` is a reject.
    for (decision, expected) in [("approve", "approve"), ("reject", "reject")] {
        let run = rig.submit(&graph(), json!({}));
        decide(&mut rig, run, "rita", &[], "approve", json!({"n": 1})).unwrap();
        decide(&mut rig, run, "tom", &[], decision, json!({})).unwrap();
        let output = rig.output(run, "ask");
        assert_eq!((&output["decision"], &output["n"]), (&json!(expected), &json!(1)));
    }
    // A first `reject` needs no second.
    let run = rig.submit(&graph(), json!({}));
    decide(&mut rig, run, "rita", &[], "reject", json!({})).unwrap();
    assert_eq!(rig.output(run, "ask")["decision"], json!("reject"));
}

#[test]
fn a_question_is_handed_on_with_a_reason_and_only_by_who_is_asked() {
    let mut rig = Rig::new([site("here").spec()]);
    let then = json!([{"after": "30m", "groups": ["leads"]}]);
    let ask = json!({"title": "?", "assign": {"users": ["rita"], "then": then}});
    let run = rig.submit(&flow("t/h").step(step("ask").human(ask)).build(), json!({}));
    let hand = |rig: &mut Rig, who: &str, to: &[&str], reason: &str| {
        let (action, to_users) = (rig.action(run, "ask"), to.iter().map(|user| (*user).to_owned()).collect());
        let (principal, reason) = (who.to_owned(), reason.to_owned());
        rig.try_step(Command::Delegate { action, principal, groups: vec![], to_users, to_groups: vec![], reason }).map(drop)
    };
    assert!(matches!(hand(&mut rig, "eve", &["eve"], "mine"), Err(Rejection::Forbidden(_))));
    assert!(matches!(hand(&mut rig, "rita", &["tom"], " "), Err(Rejection::Invalid(_))));
    assert!(matches!(hand(&mut rig, "rita", &[], "leave"), Err(Rejection::Invalid(_))));
    hand(&mut rig, "rita", &["tom"], "on leave").unwrap();
    rig.restart();
    // It is no longer hers, and it still escalates.
    assert!(matches!(decide(&mut rig, run, "rita", &[], "approve", json!({})), Err(Rejection::Forbidden(_))));
    rig.advance(Duration::from_secs(30 * 60));
    hand(&mut rig, "tom", &["ann"], "she knows").unwrap();
    assert!(decide(&mut rig, run, "tom", &[], "approve", json!({})).is_err());
    decide(&mut rig, run, "lea", &["leads"], "approve", json!({})).unwrap();
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn who_saw_a_question_is_recorded_once_each_and_with_what_they_were_shown() {
    let mut rig = Rig::new([site("here").spec()]);
    let run = rig.submit(&flow("t/h").step(step("ask").human(json!({"title": "?", "show": 5}))).build(), json!({}));
    for who in ["rita", "tom", "rita"] {
        let action = rig.action(run, "ask");
        rig.try_step(Command::See { action, principal: who.into() }).unwrap();
        rig.restart();
    }
    let events = rig.events();
    let opened = events.iter().find_map(|event| match event {
        Event::ActionsOpened(opened) => opened.actions.first().and_then(|one| one.input.as_ref()).map(|input| input.commitment),
        _ => None,
    });
    let seen = events.iter().filter_map(|event| match event {
        Event::HumanSeen(seen) => Some((seen.principal.clone(), Some(seen.shown))),
        _ => None,
    });
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen, [("rita".to_owned(), opened), ("tom".to_owned(), opened)]);
}
