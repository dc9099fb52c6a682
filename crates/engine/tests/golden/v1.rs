//! What `v1.journal` says, as this version understands it. The file itself is never edited; a field that came later has here the value
//! that it takes in entries that were written before it.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::site::{ExecutorKind, Prices};
use model::{
    ActionNo, AttemptNo, Digest, Duration, Epoch, Failure, FailureClass, Label, Money, Payload, Phase, Resources, RunId,
    SiteSpec, Timestamp,
};

fn digest(seed: u8) -> Digest {
    Digest([seed; 32])
}

fn payload(seed: u8) -> Payload {
    Payload { commitment: digest(seed), size: 100 + u32::from(seed), body: None }
}

fn label() -> Label {
    Label(["phi".to_owned(), "gdpr/personal".to_owned()].into())
}

fn located(seed: u8) -> Vec<Located> {
    vec![Located { artifact: digest(seed), size: 5_000_000_000, site: "on-premise".into() }]
}

fn failure(class: FailureClass) -> Failure {
    Failure { class, message: format!("it ended as {class}: ü"), exit_code: Some(137), code: None, permanent: false, text: None }
}

fn submitted(origin: Origin) -> Event {
    Event::RunSubmitted(Box::new(RunSubmitted {
        run: RunId(7),
        name: "nightly-7".into(),
        project: "bank".into(),
        domain: "production".into(),
        workflow: "bank/fraud-model".into(),
        graph: digest(1),
        inputs: payload(2),
        principal: "trigger/nightly".into(),
        idempotency_key: Some("key-1".into()),
        origin,
        reused: vec![ReusedNode { node: 3, output: payload(4) }],
        priority: -5,
        label: label(),
        locations: located(5),
        traceparent: None,
        behind: None,
        run_labels: None,
        concurrency: None,
        reused_items: None,
        salt: [0; 32],
        subject: None,
    }))
}

fn opened(action: u32, kind: ActionKind, role: Role) -> Opened {
    Opened {
        action: ActionNo(action),
        role,
        scope: 2,
        node: 9,
        input: Some(payload(6)),
        label: label(),
        recall: Some(RecallKey { kind: RecallKind::Once, key: digest(7), max_age: Some(Duration(86_400_000_000)) }),
        path: format!("sub/score[{action}]"),
        kind,
        instant: action == 3,
    }
}

fn all_kinds_and_roles() -> Vec<Opened> {
    use ActionKind::*;
    let roles = [
        Role::Node,
        Role::Item { each: ActionNo(1), index: 70_000 },
        Role::Undo { of: ActionNo(2) },
        Role::Transfer { wanted_by: ActionNo(3), artifact: digest(8), size: 1 << 40, from: "edge".into(), to: "cloud".into() },
    ];
    let kinds = [Use, Run, Task, Workflow, Human, Wait, Each, Decide, Transfer];
    (0..).zip(kinds).map(|(no, kind)| opened(no, kind, roles[no as usize % roles.len()].clone())).collect()
}

fn attempt_finished(class: FailureClass, phase: Phase) -> Event {
    Event::AttemptFinished(Box::new(AttemptFinished {
        run: RunId(7),
        action: ActionNo(4),
        attempt: AttemptNo(2),
        phase,
        output: Some(payload(9)),
        failure: Some(failure(class)),
        usage: Usage { wall_us: 1, cpu_us: 300, memory_peak_bytes: 70_000, bytes_in: 5_000_000_000, bytes_out: u64::MAX },
        cost: Money(-1_250_000),
        retry_at: Some(Timestamp(1_800_000_000_000_000)),
        locations: located(10),
        memory_bytes: None,
    }))
}

fn of_runs() -> Vec<Event> {
    let (run, action) = (RunId(7), ActionNo(4));
    let by = || ByWhom { run, principal: "operator".into() };
    let skipped = |node, why| SkippedNode { node, why, path: format!("branch-{node}"), kind: ActionKind::Human };
    let cancel = |why| Event::CancelRequested(CancelRequested { run, actions: vec![action], why, ended: vec![ActionNo(5)] });
    let key = |kind| RecallKey { kind, key: digest(11), max_age: Some(Duration(1)) };
    vec![
        submitted(Origin::Submitted),
        submitted(Origin::Trigger { trigger: "nightly".into(), due: Timestamp(1_799_999_999_999_999) }),
        submitted(Origin::Rerun { of: RunId(6) }),
        Event::ActionsOpened(ActionsOpened { run, actions: all_kinds_and_roles() }),
        Event::NodesSkipped(NodesSkipped {
            run,
            scope: 1,
            nodes: vec![skipped(1, SkipReason::Condition), skipped(2, SkipReason::Upstream), skipped(3, SkipReason::Branch)],
        }),
        Event::ActionsPlaced(ActionsPlaced {
            run,
            site: "cloud".into(),
            epoch: Epoch(3),
            actions: vec![Placed { action, attempt: AttemptNo(2), awaits: vec![digest(12)] }],
            explanation: r#"{"sites":[{"site":"cloud","verdict":"chosen"}]}"#.into(),
            worker: None,
        }),
        Event::ActionsParked(ActionsParked {
            run,
            actions: vec![action],
            explanation: r#"{"sites":[{"site":"edge","verdict":"closed"}]}"#.into(),
        }),
        Event::AttemptStarted(AttemptStarted { run, action, attempt: AttemptNo(2), host: "process 4711".into() }),
        Event::RetryDue(ActionRef { run, action }),
        Event::ActionFinished(Box::new(ActionFinished {
            run,
            action,
            phase: Phase::Succeeded,
            output: Some(payload(13)),
            failure: Some(failure(FailureClass::Unknown)),
            reused: true,
            locations: located(14),
        })),
        Event::ReportIgnored(ReportIgnored { run, action, attempt: AttemptNo(1), phase: Phase::Failed }),
        cancel(CancelReason::RunCancelled),
        cancel(CancelReason::RunFailing),
        cancel(CancelReason::Timeout),
        cancel(CancelReason::Drained),
        Event::RunCancelRequested(RunCancelRequested { run, principal: "operator".into(), reason: "wrong data".into() }),
        Event::RunFailing(RunFailing { run, action: Some(action), failure: failure(FailureClass::Child) }),
        Event::RunPaused(by()),
        Event::RunResumed(by()),
        Event::RunFinished(Box::new(RunFinished {
            run,
            phase: Phase::TimedOut,
            outputs: Some(payload(15)),
            failure: Some(failure(FailureClass::Timeout)),
            cost: Money(42),
        })),
        Event::HumanDecided(Box::new(HumanDecided {
            run,
            action,
            principal: "risk-officer".into(),
            form: payload(16),
            decision: "amend".into(),
            reason: None,
        })),
        Event::HumanEscalated(HumanEscalated { run, action, step: 1 }),
        Event::SignalReceived(SignalReceived { run, name: "go".into(), payload: payload(17), principal: "hook".into() }),
        Event::RecallAsked(RecallAsked { run, action, key: key(RecallKind::Cache) }),
        Event::RecallMissed(ActionRef { run, action }),
        Event::CompensationStarted(CompensationStarted { run, order: vec![ActionNo(4), ActionNo(2), ActionNo(300)] }),
        Event::OutputKept(OutputKept { run, action, key: key(RecallKind::Once), output: payload(18), locations: located(19) }),
    ]
}

fn of_the_fleet() -> Vec<Event> {
    let named = || SiteNamed { site: "edge".into(), principal: "operator".into() };
    let site = SiteSpec {
        name: "edge".into(),
        executor: ExecutorKind::Local,
        capacity: Resources { cpu_millis: 1_500, memory_bytes: 8 << 30, gpus: 2, disk_bytes: 1 << 40 },
        attributes: BTreeMap::from([("country".into(), "DE".into()), ("zone".into(), "plant".into())]),
        prices: Prices {
            cpu_hour: Money(31_000),
            memory_gib_hour: Money(4_000),
            gpu_hour: Money(2_500_000),
            egress_gb: Money(90_000),
            terms: None,
        },
        simulates: Some("a device in the plant".into()),
        sandbox: None,
        store: None,
    };
    vec![
        Event::EpochBegan(EpochBegan { epoch: Epoch(3), version: "0.1.0".into(), ticket_key: None }),
        Event::SiteRegistered(Box::new(SiteRegistered { site, principal: "operator".into() })),
        Event::SiteRemoved(named()),
        Event::SiteCordoned(named()),
        Event::SiteUncordoned(named()),
        Event::SiteDrained(named()),
        Event::SiteHealthChanged(SiteHealthChanged { site: "edge".into(), healthy: true, reason: "the probe answered".into() }),
        Event::ResourceApplied(Box::new(ResourceApplied {
            kind: "workflow".into(),
            name: "bank/fraud-model".into(),
            version: 300,
            body: payload(20),
            principal: "operator".into(),
        })),
        Event::ResourceDeleted(ResourceDeleted { kind: "token".into(), name: "ci".into(), principal: "operator".into() }),
        Event::TriggerFired(Box::new(TriggerFired {
            trigger: "nightly".into(),
            due: Timestamp(1_799_999_999_999_999),
            run: Some(RunId(7)),
            missed: 2,
            left_out: None,
        })),
        Event::BodiesPruned(BodiesPruned { before: Timestamp(1_700_000_000_000_000), runs: 12, principal: "operator".into() }),
    ]
}

/// The entries of the file, in order.
pub(crate) fn events() -> Vec<Event> {
    use FailureClass::*;
    let classes = [
        User,
        Oom,
        Timeout,
        Preempted,
        NodeLost,
        Environment,
        Quota,
        SiteDown,
        Cancelled,
        Output,
        Expression,
        DiskFull,
        Transfer,
        Refused,
        Child,
        Unknown,
    ];
    let mut events = of_runs();
    events.extend(classes.into_iter().zip(Phase::ALL.into_iter().cycle()).map(|(class, phase)| attempt_finished(class, phase)));
    events.extend(of_the_fleet());
    events
}
