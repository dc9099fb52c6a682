//! Letting go of the process of an action that waits for people alone.

use std::sync::Arc;

use engine::event::CancelReason;
use engine::{Command, Event, Outcome, Rejection, SiteOrder, Spawn};
use model::graph::Retry;
use model::{AttemptNo, Duration, Failure, FailureClass, Node, NodeKind, Phase, Resources, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, site, step};

/// A run whose only node waits for `go`, a question to a person.
fn waiting(node: impl FnOnce(&mut Node)) -> (Rig, RunId) {
    let mut rig = Rig::new([site("here").cores(1).spec()]);
    rig.on("a0", [Answer::Deaf, Answer::Deaf, Answer::Deaf, Answer::Deaf]);
    let mut graph = (*flow("t/main").step(step("a0").task("env.main").needs(1_000)).build()).clone();
    node(&mut graph.nodes[0]);
    let run = rig.submit(&Arc::new(graph), Value::Null);
    rig.work();
    ask(&mut rig, run, "a0", "go");
    rig.advance(Duration::from_secs(1));
    (rig, run)
}

fn spawn(rig: &mut Rig, run: RunId, parent: &str, path: &str, node: Node) {
    let parent = rig.action(run, parent);
    let input = Some(json!({ "title": path }));
    rig.step(Command::Spawn(Box::new(Spawn { parent, path: path.into(), node: Arc::new(node), input, ..Spawn::default() })));
}

fn ask(rig: &mut Rig, run: RunId, parent: &str, path: &str) {
    spawn(rig, run, parent, path, Node { id: path.into(), kind: NodeKind::Human, ..Node::default() });
}

fn try_suspend(rig: &mut Rig, run: RunId, path: &str) -> Result<Vec<Event>, Rejection> {
    let attempt = rig.attempt(run, path);
    rig.try_step(Command::Suspend { action: attempt.action_key(), attempt: attempt.attempt, since: rig.now() })
}

/// Lets go of a process, which ends as it was asked to.
fn suspend(rig: &mut Rig, run: RunId, path: &str) {
    try_suspend(rig, run, path).unwrap();
    rig.report(rig.attempt(run, path), Outcome::Aborted);
    assert_eq!(state(rig, run, path), "suspended");
}

fn decide(rig: &mut Rig, run: RunId, path: &str) {
    let (action, principal) = (rig.action(run, path), "ada".to_owned());
    let (decision, form) = ("approve".to_owned(), json!({}));
    rig.step(Command::Decide { action, principal, groups: Vec::new(), decision, form, reason: String::new() });
    rig.work();
}

fn state(rig: &Rig, run: RunId, path: &str) -> &'static str {
    rig.state.state_of(rig.action(run, path)).unwrap_or("gone")
}

fn end(rig: &mut Rig, run: RunId, path: &str) {
    rig.report(rig.attempt(run, path), Outcome::Succeeded(json!({})));
    rig.work();
}

#[test]
fn a_process_is_let_go_and_another_begins_when_somebody_has_answered() {
    let (mut rig, run) = waiting(|_| {});
    suspend(&mut rig, run, "a0");
    let site = &rig.state.fleet().sites()["here"];
    assert!(site.running.is_empty() && site.used == Resources::default());
    assert_eq!(rig.released(), [rig.attempt(run, "a0")], "nothing of it is kept at its site");
    assert!(rig.state.outstanding().is_empty());
    // A server that is killed knows as much.
    rig.restart();
    rig.work();
    assert_eq!((state(&rig, run, "a0"), rig.dispatched().len()), ("suspended", 1));
    decide(&mut rig, run, "go");
    assert_eq!((state(&rig, run, "a0"), rig.attempt(run, "a0").attempt), ("running", AttemptNo(2)));
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn an_answer_that_comes_while_the_process_ends_is_told_at_once() {
    let (mut rig, run) = waiting(|_| {});
    try_suspend(&mut rig, run, "a0").unwrap();
    decide(&mut rig, run, "go");
    assert_eq!(state(&rig, run, "a0"), "stopping");
    rig.report(rig.attempt(run, "a0"), Outcome::Aborted);
    rig.work();
    assert_eq!((state(&rig, run, "a0"), rig.attempt(run, "a0").attempt), ("running", AttemptNo(2)));
}

#[test]
fn it_costs_no_retry_and_a_process_that_ends_well_before_it_hears_has_ended_well() {
    let retry = Retry { max: 1, backoff_min: Duration(0), backoff_max: Duration(0), growth_percent: None };
    let (mut rig, run) = waiting(|node| node.retry = retry);
    for question in ["second", "third"] {
        suspend(&mut rig, run, "a0");
        let before = if question == "second" { "go" } else { "second" };
        decide(&mut rig, run, before);
        ask(&mut rig, run, "a0", question);
        rig.advance(Duration::from_secs(1));
    }
    // The only repeat is still to be had.
    decide(&mut rig, run, "third");
    let failure = Failure::new(FailureClass::User, "no");
    rig.report(rig.attempt(run, "a0"), Outcome::Failed(failure));
    rig.work();
    assert_eq!((state(&rig, run, "a0"), rig.attempt(run, "a0").attempt), ("running", AttemptNo(4)));
    ask(&mut rig, run, "a0", "last");
    rig.advance(Duration::from_secs(1));
    try_suspend(&mut rig, run, "a0").unwrap();
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn what_has_something_to_do_keeps_its_process() {
    let (mut rig, run) = waiting(|_| {});
    let conflict = |rig: &mut Rig, path: &str| matches!(try_suspend(rig, run, path), Err(Rejection::Conflict(_)));
    // It asked for something a moment ago.
    ask(&mut rig, run, "a0", "more");
    assert!(conflict(&mut rig, "a0"));
    rig.advance(Duration::from_secs(1));
    // An attempt that is none any more.
    let (action, since) = (rig.action(run, "a0"), rig.now());
    assert!(rig.try_step(Command::Suspend { action, attempt: AttemptNo(7), since }).is_err());
    // Something that it waits for runs, and so does what that asked for.
    rig.on("work", [Answer::Deaf]);
    spawn(&mut rig, run, "a0", "work", Node { id: "t".into(), kind: NodeKind::Task { name: "t".into() }, ..Node::default() });
    rig.work();
    rig.advance(Duration::from_secs(1));
    assert!(conflict(&mut rig, "a0"));
    ask(&mut rig, run, "work", "deep");
    rig.advance(Duration::from_secs(1));
    assert!(conflict(&mut rig, "a0"), "its process is there");
    // With that let go nothing is at work any more.
    suspend(&mut rig, run, "work");
    suspend(&mut rig, run, "a0");
    decide(&mut rig, run, "deep");
    assert_eq!((state(&rig, run, "work"), state(&rig, run, "a0")), ("running", "suspended"));
    end(&mut rig, run, "work");
    assert_eq!(state(&rig, run, "a0"), "running");
    // A node that asked for nothing waits for nobody.
    for question in ["go", "more"] {
        decide(&mut rig, run, question);
    }
    rig.advance(Duration::from_secs(1));
    assert!(conflict(&mut rig, "a0"));
}

#[test]
fn one_without_a_process_can_be_stopped_and_does_not_outlive_its_time() {
    let (mut rig, run) = waiting(|_| {});
    suspend(&mut rig, run, "a0");
    rig.cancel(run);
    assert_eq!(rig.finish(run).phase, Phase::Aborted);

    let (mut rig, run) = waiting(|_| {});
    try_suspend(&mut rig, run, "a0").unwrap();
    rig.cancel(run);
    rig.report(rig.attempt(run, "a0"), Outcome::Aborted);
    assert_eq!(rig.finish(run).phase, Phase::Aborted);

    let (mut rig, run) = waiting(|node| node.total_timeout = Some(Duration::from_secs(60)));
    suspend(&mut rig, run, "a0");
    rig.advance(Duration::from_secs(61));
    assert_eq!(rig.phase(run, "a0"), Some(Phase::TimedOut));
    assert_eq!(rig.phase(run, "go"), Some(Phase::Aborted));

    // The time of an attempt is that of its process.
    let (mut rig, run) = waiting(|node| node.timeout = Some(Duration::from_secs(60)));
    suspend(&mut rig, run, "a0");
    rig.advance(Duration::from_secs(600));
    assert_eq!(state(&rig, run, "a0"), "suspended");
}

#[test]
fn a_child_that_is_stopped_while_its_process_is_let_go_stays_stopped() {
    let (mut rig, run) = waiting(|_| {});
    rig.on("work", [Answer::Deaf]);
    spawn(&mut rig, run, "a0", "work", Node { id: "t".into(), kind: NodeKind::Task { name: "t".into() }, ..Node::default() });
    rig.work();
    ask(&mut rig, run, "work", "deep");
    rig.advance(Duration::from_secs(1));
    try_suspend(&mut rig, run, "work").unwrap();
    let (action, principal, reason) = (rig.action(run, "work"), "ada".to_owned(), "enough".to_owned());
    let events = rig.step(Command::StopAction { action, principal, reason });
    let why = events.iter().find_map(|event| match event {
        Event::CancelRequested(e) => Some(e.why),
        _ => None,
    });
    assert_eq!(why, Some(CancelReason::Asked));
    rig.report(rig.attempt(run, "work"), Outcome::Aborted);
    rig.work();
    assert_eq!((rig.phase(run, "work"), rig.phase(run, "deep")), (Some(Phase::Aborted), Some(Phase::Aborted)));
}

#[test]
fn a_run_that_is_paused_wakes_nothing() {
    let (mut rig, run) = waiting(|_| {});
    suspend(&mut rig, run, "a0");
    rig.step(Command::Pause { run, principal: "ada".into() });
    decide(&mut rig, run, "go");
    assert_eq!(state(&rig, run, "a0"), "suspended");
    rig.step(Command::Resume { run, principal: "ada".into() });
    rig.work();
    assert_eq!(state(&rig, run, "a0"), "running");
}

#[test]
fn whatever_comes_while_a_process_is_let_go_leaves_the_action_where_it_belongs() {
    // Its site is drained: it is on its way out already.
    let (mut rig, run) = waiting(|_| {});
    try_suspend(&mut rig, run, "a0").unwrap();
    rig.order("here", SiteOrder::Drain);
    rig.report(rig.attempt(run, "a0"), Outcome::Aborted);
    assert_eq!(state(&rig, run, "a0"), "suspended");
    decide(&mut rig, run, "go");
    assert_eq!(state(&rig, run, "a0"), "queued", "no site takes it");
    rig.order("here", SiteOrder::Uncordon);
    rig.work();
    assert_eq!(state(&rig, run, "a0"), "running");

    // Nobody reports its end, and its process is lost.
    for outcome in [None, Some(FailureClass::NodeLost), Some(FailureClass::Oom)] {
        let (mut rig, run) = waiting(|_| {});
        try_suspend(&mut rig, run, "a0").unwrap();
        match outcome {
            None => rig.advance(Duration::from_secs(61)),
            Some(class) => rig.report(rig.attempt(run, "a0"), Outcome::Failed(Failure::new(class, "it is gone"))),
        }
        assert_eq!(state(&rig, run, "a0"), "suspended", "{outcome:?}");
        decide(&mut rig, run, "go");
        end(&mut rig, run, "a0");
        assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    }

    // The server is killed in between, and asks again that it stops.
    let (mut rig, run) = waiting(|_| {});
    try_suspend(&mut rig, run, "a0").unwrap();
    rig.restart();
    assert_eq!(state(&rig, run, "a0"), "stopping");
    rig.report(rig.attempt(run, "a0"), Outcome::Aborted);
    assert_eq!(state(&rig, run, "a0"), "suspended");

    // Its time is up.
    let (mut rig, run) = waiting(|node| node.total_timeout = Some(Duration::from_secs(30)));
    try_suspend(&mut rig, run, "a0").unwrap();
    rig.advance(Duration::from_secs(31));
    rig.report(rig.attempt(run, "a0"), Outcome::Aborted);
    rig.work();
    assert_eq!(rig.phase(run, "a0"), Some(Phase::TimedOut));
}

#[test]
fn who_records_steps_meanwhile_keeps_its_process() {
    let (mut rig, run) = waiting(|_| {});
    let since = rig.now();
    rig.advance(Duration::from_secs(60));
    let parent = rig.action(run, "a0");
    let node = Node { id: "step".into(), kind: NodeKind::Task { name: "step".into() }, ..Node::default() };
    let done = Some(Outcome::Succeeded(json!({})));
    rig.step(Command::Spawn(Box::new(Spawn { parent, path: "step".into(), node: Arc::new(node), done, ..Spawn::default() })));
    let attempt = rig.attempt(run, "a0");
    assert!(rig.try_step(Command::Suspend { action: parent, attempt: attempt.attempt, since }).is_err());
}
