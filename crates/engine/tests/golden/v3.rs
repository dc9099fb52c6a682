//! What `v3.journal` says: actions that running ones ask for, and failures that the work names.

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptNo, Digest, Duration, Failure, FailureClass, Label, Money, Payload, Phase, RunId, Timestamp};

fn payload(seed: u8) -> Payload {
    Payload { commitment: Digest([seed; 32]), size: 7, body: None }
}

fn located() -> Vec<Located> {
    vec![Located { artifact: Digest([5; 32]), size: 9, site: "cloud".into() }]
}

fn failure() -> Failure {
    Failure {
        class: FailureClass::User,
        message: "no".into(),
        exit_code: Some(1),
        code: Some("ValueError".into()),
        permanent: true,
        text: None,
    }
}

fn opened(kind: ActionKind) -> Opened {
    Opened {
        action: ActionNo(3),
        role: Role::Child { parent: ActionNo(1) },
        scope: 1,
        node: 2,
        input: Some(payload(1)),
        label: Label(["phi".to_owned()].into()),
        recall: Some(RecallKey { kind: RecallKind::Cache, key: Digest([2; 32]), max_age: Some(Duration(9)) }),
        path: "a1b2".into(),
        kind,
        instant: kind == ActionKind::Trace,
    }
}

pub(super) fn events() -> Vec<Event> {
    let (run, action) = (RunId(7), ActionNo(3));
    let child = |kind| {
        let definition = r#"{"id":"a1b2","kind":{"task":{"name":"env.main"}}}"#.into();
        Event::ChildOpened(Box::new(ChildOpened { run, opened: opened(kind), definition, entered: None, inside: None }))
    };
    vec![
        child(ActionKind::Task),
        child(ActionKind::Trace),
        child(ActionKind::Human),
        Event::ActionStopRequested(ActionStopRequested { run, action, principal: "ada".into(), reason: "enough".into() }),
        Event::CancelRequested(CancelRequested {
            run,
            actions: vec![action],
            why: CancelReason::Asked,
            ended: vec![ActionNo(4)],
        }),
        Event::AttemptFinished(Box::new(AttemptFinished {
            run,
            action,
            attempt: AttemptNo(2),
            phase: Phase::Failed,
            output: Some(payload(3)),
            failure: Some(failure()),
            usage: Usage::default(),
            cost: Money(1),
            retry_at: Some(Timestamp(2)),
            locations: located(),
            memory_bytes: None,
        })),
        Event::ActionFinished(Box::new(ActionFinished {
            run,
            action,
            phase: Phase::Failed,
            output: Some(payload(4)),
            failure: Some(failure()),
            reused: true,
            locations: located(),
        })),
        Event::RunFailing(RunFailing { run, action: Some(action), failure: failure() }),
        Event::RunFinished(Box::new(RunFinished {
            run,
            phase: Phase::Failed,
            outputs: Some(payload(5)),
            failure: Some(failure()),
            cost: Money(3),
        })),
    ]
}
