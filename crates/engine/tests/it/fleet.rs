//! Sites, placing, draining, transfers, reports.

use engine::event::{Located, PoolSized, Role};
use engine::{Command, Effect, Event, Outcome, Placement, Rejection, SiteOrder};
use model::value::ArtifactKind;
use model::{ArtifactRef, AttemptKey, AttemptNo, Digest, Duration, Epoch, Failure, FailureClass, Phase, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, fail, flow, site, step, system};

fn artifact(name: &str) -> Value {
    ArtifactRef { digest: Digest::of(name.as_bytes()), size: 1_000, kind: ArtifactKind::File, name: name.into() }.to_value()
}

#[test]
fn capacity_is_never_passed_and_comes_back() {
    let mut rig = Rig::new([site("small").cores(2).spec(), site("large").cores(3).prices(1.0, 0.0).spec()]);
    let list: Vec<u32> = (0..12).collect();
    rig.on("m[*", [Answer::Silent]);
    let run = rig.submit(&flow("t/c").step(step("m").each(json!(list), 12, step("m").needs(1_000))).build(), json!({}));
    rig.work();
    let running = |rig: &Rig| rig.state.fleet().sites().values().map(|site| site.running.len()).sum::<usize>();
    assert_eq!((running(&rig), rig.state.fleet().queued()), (5, 7));
    for index in 0..12 {
        rig.report(rig.attempt(run, &format!("m[{index}]")), Outcome::Succeeded(json!({})));
        assert_eq!(running(&rig), 5.min(11 - index));
    }
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert!(rig.state.fleet().sites().values().all(|site| site.used == Default::default()));
}

#[test]
fn what_waits_for_a_worker_holds_nothing_until_one_has_begun() {
    let mut rig = Rig::new([site("here").cores(2).spec()]);
    rig.on("m[*", [Answer::Silent]);
    rig.on("own", [Answer::Silent]);
    let used = |rig: &Rig| rig.state.fleet().sites()["here"].used.cpu_millis;
    let map = step("m").each(json!([0, 1, 2]), 3, step("m").uses("shop/price").needs(1_000));
    let run = rig.submit(&flow("t/w").step(map).build(), json!({}));
    rig.work();
    let placed = rig.events().iter().filter_map(|event| match event {
        Event::ActionsPlaced(placed) => Some((placed.worker.as_deref(), placed.actions.len())),
        _ => None,
    });
    assert_eq!(placed.collect::<Vec<_>>(), [(Some("shop/price@1"), 3)], "all wait, whatever room there is");
    assert_eq!(used(&rig), 0);
    // Others have the room.
    let other = rig.submit(&flow("t/o").step(step("own").needs(2_000).runs()).build(), json!({}));
    rig.work();
    assert_eq!((rig.site_of(other, "own").as_str(), used(&rig)), ("here", 2_000));
    // A worker that begins goes by its own slots. What it needs counts, once.
    let attempt = rig.attempt(run, "m[1]");
    for _ in 0..2 {
        rig.step(Command::Started { attempt, host: "worker w".into() });
        assert_eq!(used(&rig), 3_000);
    }
    rig.restart();
    assert_eq!(used(&rig), 3_000, "a replay says the same");
    rig.report(rig.attempt(other, "own"), Outcome::Succeeded(json!({})));
    rig.report(attempt, Outcome::Succeeded(json!({})));
    assert_eq!(used(&rig), 0);
    // One that ends before anybody said that it began never held anything.
    rig.report(rig.attempt(run, "m[0]"), Outcome::Succeeded(json!({})));
    rig.report(rig.attempt(run, "m[2]"), Outcome::Succeeded(json!({})));
    assert_eq!((rig.finish(run).phase, used(&rig)), (Phase::Succeeded, 0));
}

#[test]
fn the_engine_checks_what_the_placer_chose() {
    let mut rig = Rig::new([site("here").cores(1).spec(), site("shut").spec()]).unplaced();
    rig.order("shut", SiteOrder::Cordon);
    let run = rig.submit(&flow("t/c").step(step("a").needs(1_000)).step(step("b").needs(1_000)).build(), json!({}));
    let actions = vec![rig.action(run, "a"), rig.action(run, "b")];
    let place = |site: &str| {
        Command::Place(vec![Placement {
            actions: actions.clone(),
            site: Some(site.into()),
            explanation: "{}".into(),
            by_worker: false,
            refused: None,
        }])
    };
    assert!(rig.step(place("nowhere")).is_empty());
    let parked = rig.step(place("shut"));
    assert!(matches!(parked.as_slice(), [Event::ActionsParked(parked)] if parked.actions.len() == 2), "{parked:?}");
    let placed = rig.step(place("here"));
    assert!(matches!(placed.as_slice(), [Event::ActionsPlaced(placed)] if placed.actions.len() == 1), "{placed:?}");
    assert!(rig.step(place("here")).is_empty(), "neither twice nor without room");
}

#[test]
fn what_fits_nowhere_waits_until_something_changes() {
    let mut rig = Rig::new([site("here").spec()]);
    let run = rig.submit(&flow("t/c").step(step("a").needs(1_000).at("zone", "cloud")).build(), json!({}));
    rig.work();
    assert!(rig.state.take_candidates(10).is_empty(), "it is not looked at again and again");
    let site = site("cloud").attribute("zone", "cloud").spec();
    rig.step(Command::RegisterSite { site, principal: "ada".into() });
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.site_of(run, "a"), "cloud");
}

#[test]
fn more_important_runs_are_placed_first() {
    let mut rig = Rig::new([site("here").cores(1).spec()]);
    rig.on("busy", [Answer::Silent]);
    let busy = rig.submit(&flow("t/p").step(step("busy").needs(1_000)).build(), json!({}));
    rig.work();
    for (name, priority) in [("low", -1), ("mid", 0), ("high", 5)] {
        let graph = flow("t/p").step(step(name).needs(1_000)).build();
        let submit = rig.submission(&graph, json!({}));
        rig.try_submit(engine::Submit { priority, ..submit }).unwrap();
    }
    rig.report(rig.attempt(busy, "busy"), Outcome::Succeeded(json!({})));
    rig.work();
    assert_eq!(rig.dispatched(), ["busy", "high", "mid", "low"]);
}

#[test]
fn a_cordoned_site_takes_nothing_new_and_lets_its_work_finish() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/c").step(step("a")).step(step("b").after(&["a"])).build(), json!({}));
    rig.work();
    rig.order("here", SiteOrder::Cordon);
    rig.report(rig.attempt(run, "a"), Outcome::Succeeded(json!({})));
    rig.work();
    assert_eq!((rig.phase(run, "a"), rig.dispatched().len()), (Some(Phase::Succeeded), 1));
    rig.order("here", SiteOrder::Uncordon);
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn how_much_of_a_site_is_kept_started_is_a_fact_when_it_changes_and_not_when_only_the_reason_does() {
    let mut rig = Rig::new([site("burst").spec()]);
    let pool = |pieces, why: &str| {
        Command::SizePool(PoolSized { site: "burst".into(), pieces, why: why.into(), ..PoolSized::default() })
    };
    assert!(rig.step(pool(0, "nothing is expected")).is_empty(), "nothing is kept at the beginning");
    let sized = rig.step(pool(3, "a peak"));
    assert!(matches!(sized.as_slice(), [Event::PoolSized(pool)] if pool.pieces == 3 && pool.why == "a peak"), "{sized:?}");
    assert!(rig.step(pool(3, "the same, said otherwise")).is_empty());
    let kept = |rig: &Rig| rig.state.fleet().sites()["burst"].pool.as_ref().map(|pool| pool.pieces);
    assert_eq!(kept(&rig), Some(3));
    rig.restart();
    assert_eq!(kept(&rig), Some(3), "a replay says the same");
    assert_eq!(rig.step(pool(0, "it has passed")).len(), 1);
    assert_eq!(kept(&rig), None);
    let nowhere = PoolSized { site: "nowhere".into(), pieces: 1, ..PoolSized::default() };
    assert!(matches!(rig.try_step(Command::SizePool(nowhere)), Err(Rejection::NotFound { .. })));
}

#[test]
fn draining_moves_what_runs_and_what_waits_for_its_inputs() {
    let mut rig = Rig::new([site("old").spec(), site("new").prices(1.0, 0.0).spec()]);
    rig.on("a", [Answer::Silent, Answer::Done(json!({}))]);
    let run = rig.submit(&flow("t/d").step(step("a").needs(1_000)).build(), json!({}));
    rig.work();
    assert_eq!(rig.site_of(run, "a"), "old");
    let busy = rig.try_step(Command::SiteOrder { site: "old".into(), order: SiteOrder::Remove, principal: "o".into() });
    assert!(matches!(busy, Err(Rejection::Conflict(_))));
    rig.order("old", SiteOrder::Drain);
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.site_of(run, "a"), "new");
    rig.order("old", SiteOrder::Remove);
    assert!(!rig.state.fleet().sites().contains_key("old"));
}

#[test]
fn an_unhealthy_site_takes_nothing_until_it_is_well_again() {
    let mut rig = Rig::new([site("here").spec()]);
    let health = |healthy| Command::SiteHealth { site: "here".into(), healthy, reason: "probe".into() };
    rig.step(health(false));
    assert!(rig.step(health(false)).is_empty());
    let run = rig.submit(&flow("t/h").step(step("a")).build(), json!({}));
    rig.work();
    assert!(rig.dispatched().is_empty());
    rig.step(health(true));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

/// `make` on one site makes an artifact that `use` reads on another.
fn reading(readers: usize) -> std::sync::Arc<model::Graph> {
    let list: Vec<usize> = (0..readers).collect();
    let body = step("use").input(json!({"file": "${ nodes.make.file }"})).at("zone", "b");
    flow("t/t")
        .step(step("make").at("zone", "a"))
        .step(step("use").each(json!(list), readers as u32, body).reads(&["make"]))
        .build()
}

fn two_zones() -> Rig {
    let mut rig = Rig::new([site("a").attribute("zone", "a").prices(0.0, 0.1).spec(), site("b").attribute("zone", "b").spec()]);
    rig.on("make", [Answer::Done(json!({"file": artifact("x")}))]);
    rig
}

fn transfers(rig: &Rig, run: RunId) -> Vec<String> {
    rig.paths(run).into_iter().filter(|path| path.contains("<-")).collect()
}

#[test]
fn inputs_are_brought_by_one_transfer_for_all_who_need_them() {
    let mut rig = two_zones();
    let run = rig.submit(&reading(3), json!({}));
    let finished = rig.finish(run);
    assert_eq!(finished.phase, Phase::Succeeded);
    assert_eq!(transfers(&rig, run).len(), 1);
    assert!(finished.cost.0 > 0, "what leaves a site has a price");
    let before = rig.dispatched().len();
    assert_eq!(before, 4);
}

#[test]
fn a_transfer_that_fails_is_repeated_and_then_the_work_is_placed_again() {
    let mut rig = two_zones();
    rig.on("use[0]<-*", [system(FailureClass::SiteDown), system(FailureClass::DiskFull), Answer::Done(json!({}))]);
    let run = rig.submit(&reading(1), json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.attempt(run, &transfers(&rig, run)[0]).attempt, AttemptNo(3));

    // It fails for good: the actions that wait for it begin again, with another transfer.
    let mut rig = two_zones();
    let digest: String = Digest::of(b"x").hex().chars().take(12).collect();
    rig.on(&format!("use[0]<-{digest}@b"), [system(FailureClass::SiteDown)]);
    let run = rig.submit(&reading(2), json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert!(transfers(&rig, run).len() >= 2, "{:?}", transfers(&rig, run));
    assert!(rig.events().iter().any(|event| matches!(event, Event::AttemptFinished(end)
        if end.failure.as_ref().is_some_and(|failure| failure.class == FailureClass::Transfer) && end.retry_at.is_some())));
}

/// A transfer that never succeeded was once repeated for ever.
#[test]
fn an_input_that_cannot_be_brought_fails_the_action_in_the_end() {
    let mut rig = two_zones().unchecked();
    rig.on("use[0]<-*", [system(FailureClass::SiteDown)]);
    let run = rig.submit(&reading(1), json!({}));
    let began = rig.now();
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    let failure = rig.failure(run, "use[0]").unwrap();
    assert_eq!(failure.class, FailureClass::Transfer);
    assert_eq!(failure.message(), "an input could not be brought to `b`: the platform failed");
    assert_eq!(transfers(&rig, run).len(), 1 + model::limits::SYSTEM_RETRIES_MAX as usize);
    assert!(rig.now().since(began) < Duration::from_secs(3 * 3600));
}

#[test]
fn an_input_that_its_source_lost_is_brought_from_elsewhere() {
    let mut rig = Rig::new([
        site("a").attribute("zone", "a").spec(),
        site("b").attribute("zone", "b").spec(),
        site("c").attribute("zone", "c").spec(),
    ]);
    let graph = flow("t/t")
        .step(step("make").at("zone", "a"))
        .step(step("copy").input(json!({"file": "${ nodes.make.file }"})).at("zone", "c").reads(&["make"]))
        .step(step("use").input(json!({"file": "${ nodes.make.file }"})).at("zone", "b").reads(&["make"]).after(&["copy"]))
        .build();
    rig.on("make", [Answer::Done(json!({"file": artifact("x")}))]);
    let digest: String = Digest::of(b"x").hex().chars().take(12).collect();
    rig.on(&format!("use<-{digest}@b"), [system(FailureClass::Transfer)]);
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    let sources: Vec<String> = rig
        .events()
        .iter()
        .filter_map(|event| if let Event::ActionsOpened(opened) = event { Some(&opened.actions) } else { None })
        .flatten()
        .filter_map(
            |opened| if let Role::Transfer { from, to, .. } = &opened.role { Some(format!("{from}->{to}")) } else { None },
        )
        .collect();
    assert_eq!(sources, ["a->c", "a->b", "c->b"]);
    assert_eq!(rig.attempt(run, &format!("use<-{digest}@b")).attempt, AttemptNo(1), "asking again would not bring it back");
}

#[test]
fn an_input_that_is_lost_everywhere_fails_those_who_need_it_and_says_so() {
    let mut rig = two_zones();
    rig.on("use[0]<-*", [system(FailureClass::Transfer)]);
    let run = rig.submit(&reading(2), json!({}));
    let finished = rig.finish(run);
    assert_eq!((finished.phase, transfers(&rig, run).len()), (Phase::Failed, 1));
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Transfer);
    assert!(
        failure.message().contains("its input `x`") && failure.message().contains("is lost: no site has a copy"),
        "{failure:?}"
    );
    // A map that goes on without the item does so here as well.
    let mut rig = two_zones();
    rig.on("use[0]<-*", [system(FailureClass::Transfer)]);
    let body = step("use").input(json!({"file": "${ nodes.make.file }"})).at("zone", "b");
    let graph = flow("t/t")
        .step(step("make").at("zone", "a"))
        .step(step("use").each(json!([1]), 1, body).goes_on().reads(&["make"]))
        .build();
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.phase(run, "use[0]"), Some(Phase::Failed));
}

/// The store of a site lost what the engine believes to be there: every order to begin fails at once, and once did so for ever.
#[test]
fn an_input_that_is_not_where_it_should_be_fails_the_action_in_the_end() {
    let mut rig = Rig::new([site("a").spec()]).unchecked();
    rig.on("make", [Answer::Done(json!({"file": artifact("x")}))]);
    rig.on("use", [system(FailureClass::Transfer)]);
    let graph =
        flow("t/t").step(step("make")).step(step("use").input(json!({"file": "${ nodes.make.file }"})).reads(&["make"])).build();
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(rig.attempt(run, "use").attempt, AttemptNo(1 + model::limits::SYSTEM_RETRIES_MAX));
}

/// What arrives at a site that the action has left was once taken for its input at the new one.
#[test]
fn an_artifact_that_arrives_where_the_action_was_does_not_start_it_where_it_is() {
    let mut rig = Rig::new([
        site("a").attribute("zone", "a").spec(),
        site("b1").attribute("zone", "b").spec(),
        site("b2").attribute("zone", "b").prices(1.0, 0.0).spec(),
    ]);
    rig.on("make", [Answer::Done(json!({"file": artifact("x")}))]);
    rig.on("use[0]<-*", [Answer::Silent]);
    let run = rig.submit(&reading(1), json!({}));
    rig.work();
    assert_eq!(rig.site_of(run, "use[0]"), "b1");
    let first = transfers(&rig, run).remove(0);
    rig.order("b1", SiteOrder::Drain);
    rig.work();
    assert_eq!(rig.site_of(run, "use[0]"), "b2");
    let located = |site: &str| vec![Located { artifact: Digest::of(b"x"), size: 1_000, site: site.into() }];
    let attempt = rig.attempt(run, &first);
    rig.report_with(attempt, Epoch(1), Outcome::Succeeded(Value::Null), located("b1"));
    assert!(!rig.dispatched().contains(&"use[0]".to_owned()), "its input is not at b2 yet");
    let second = transfers(&rig, run).into_iter().find(|path| *path != first).unwrap();
    let attempt = rig.attempt(run, &second);
    rig.report_with(attempt, Epoch(1), Outcome::Succeeded(Value::Null), located("b2"));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

/// A transfer once counted as a success of the action that wanted it, and was undone.
#[test]
fn transfers_are_not_undone() {
    let mut rig = two_zones();
    let graph = flow("t/t")
        .step(step("make").at("zone", "a"))
        .step(step("use").input(json!({"file": "${ nodes.make.file }"})).at("zone", "b").undo(json!({})).reads(&["make"]))
        .step(step("bad").after(&["use"]))
        .build();
    rig.on("bad", [fail("no")]);
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    let undone: Vec<_> = rig.paths(run).into_iter().filter(|path| path.ends_with("!undo")).collect();
    assert_eq!(undone, ["use!undo"]);
}

#[test]
fn a_transfer_that_nobody_needs_any_more_is_stopped_before_the_run_ends() {
    let mut rig = Rig::new([site("a").attribute("zone", "a").spec(), site("b").attribute("zone", "b").spec()]);
    let inner = flow("t/i").input("file", None).step(step("use").input(json!({"f": "${ inputs.file }"})).at("zone", "b")).build();
    let body = step("m").workflow(&inner).input(json!({"file": "${ nodes.make.file }"})).timeout(Duration::from_secs(5));
    let graph = flow("t/t")
        .step(step("make").at("zone", "a"))
        .step(step("m").each(json!([1]), 1, body).goes_on().reads(&["make"]))
        .build();
    rig.on("make", [Answer::Done(json!({"file": artifact("x")}))]);
    rig.on("m[0]/use<-*", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(5));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.phase(run, &transfers(&rig, run)[0]), Some(Phase::Aborted));
    assert!(rig.events().iter().any(|event| matches!(event, Event::ActionsOpened(opened)
        if opened.actions.iter().any(|action| matches!(action.role, Role::Transfer { .. })))));
}

#[test]
fn the_first_report_of_the_current_attempt_counts_and_every_other_is_noted() {
    let mut rig = Rig::new([site("here").spec()]);
    let second = Duration::from_secs(1);
    let graph = flow("t/r").step(step("a").retry(1, second, second)).step(step("wait").waits(json!({"for": "1h"}))).build();
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    let first = rig.attempt(run, "a");
    let lost = || Outcome::Failed(Failure::new(FailureClass::User, "no"));
    let ignored = |rig: &Rig| rig.events().iter().filter(|event| matches!(event, Event::ReportIgnored(_))).count();
    rig.report(first, lost());
    rig.report(first, lost());
    assert_eq!(ignored(&rig), 1, "twice");
    rig.advance(second);
    rig.work();
    let current = rig.attempt(run, "a");
    assert_ne!(first, current);
    rig.report(first, Outcome::Succeeded(json!({"late": true})));
    assert_eq!((ignored(&rig), rig.phase(run, "a")), (2, None), "of an earlier attempt");
    rig.report(AttemptKey { attempt: AttemptNo(9), ..current }, Outcome::Succeeded(json!({})));
    rig.report(AttemptKey { run: RunId(99), ..current }, Outcome::Succeeded(json!({})));
    assert_eq!((ignored(&rig), rig.phase(run, "a")), (4, None), "of nothing");
    rig.report(current, Outcome::Succeeded(json!({"n": 1})));
    rig.report(current, lost());
    assert_eq!((ignored(&rig), rig.output(run, "a")), (5, json!({"n": 1})));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn a_report_from_outside_the_epochs_of_an_attempt_is_not_taken_and_frees_nothing() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.restart();
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/e").step(step("a")).build(), json!({}));
    rig.work();
    let attempt = rig.attempt(run, "a");
    let done = || Outcome::Succeeded(json!({}));
    for epoch in [Epoch(1), Epoch(3)] {
        rig.report_with(attempt, epoch, done(), Vec::new());
        assert_eq!(rig.phase(run, "a"), None, "placed in epoch 2, and it is still that");
    }
    assert!(rig.released().is_empty(), "the attempt is at work");
    // Ordered in epoch 2, found again in epoch 3: both are its own.
    rig.restart();
    rig.report_with(attempt, Epoch(2), done(), Vec::new());
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn what_is_outstanding_is_ordered_again_under_the_new_epoch() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/e").step(step("a")).build(), json!({}));
    rig.work();
    let attempt = rig.attempt(run, "a");
    rig.state = rig.tape.restore();
    let context = engine::Context { now: rig.now(), entropy: 1, evaluator: &testkit::Paths };
    rig.state.step(Command::BeginEpoch { version: "2".into(), ticket_key: None }, &context).unwrap();
    let effects = rig.state.take_effects();
    let [Effect::Dispatch(order)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((order.key, order.epoch), (attempt, Epoch(2)));
}

#[test]
fn a_started_attempt_is_noted_only_while_it_is_the_current_one() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/s").step(step("a")).build(), json!({}));
    rig.work();
    let attempt = rig.attempt(run, "a");
    assert_eq!(rig.step(Command::Started { attempt, host: "pid 1".into() }).len(), 1);
    let other = AttemptKey { attempt: AttemptNo(2), ..attempt };
    assert!(rig.step(Command::Started { attempt: other, host: "pid 2".into() }).is_empty());
    rig.report(attempt, Outcome::Succeeded(json!({})));
    assert!(rig.step(Command::Started { attempt, host: "pid 1".into() }).is_empty());
}

#[test]
fn resources_have_dense_versions() {
    let mut rig = Rig::new([]);
    let apply = |name: &str| Command::ApplyResource {
        kind: "trigger".into(),
        name: name.into(),
        body: json!({}),
        principal: "ada".into(),
    };
    let version = |events: Vec<Event>| match events.as_slice() {
        [Event::ResourceApplied(applied)] => applied.version,
        other => panic!("{other:?}"),
    };
    assert_eq!([version(rig.step(apply("x"))), version(rig.step(apply("x"))), version(rig.step(apply("y")))], [1, 2, 1]);
    let replace = |name: &str, version: u64| Command::ReplaceResource {
        kind: "trigger".into(),
        name: name.into(),
        version,
        body: json!({}),
        principal: "ben".into(),
    };
    assert_eq!([version(rig.step(replace("x", 2))), version(rig.step(replace("z", 0)))], [3, 1]);
    for (name, old) in [("x", 2), ("x", 0), ("z", 0), ("none", 1)] {
        assert!(matches!(rig.try_step(replace(name, old)), Err(Rejection::Conflict(_))), "{name} {old}");
    }
    let delete = || Command::DeleteResource { kind: "trigger".into(), name: "x".into(), principal: "ada".into() };
    rig.step(delete());
    assert!(matches!(rig.try_step(delete()), Err(Rejection::NotFound { .. })));
}

#[test]
fn an_attempt_that_failed_is_released_where_it_ran() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [fail("no")]);
    let run = rig.submit(&flow("t/rel").step(step("a")).build(), json!({}));
    rig.finish(run);
    assert_eq!(rig.released(), [rig.attempt(run, "a")]);
}
