//! What `v28.journal` says: a process that is let go while its action waits for people, and the action that goes on.

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptNo, Money, Phase, RunId, Timestamp};

pub(crate) fn events() -> Vec<Event> {
    let (run, action) = (RunId(9), ActionNo(3));
    vec![
        Event::CancelRequested(CancelRequested { run, actions: vec![action], why: CancelReason::Suspended, ended: Vec::new() }),
        Event::AttemptFinished(Box::new(AttemptFinished {
            run,
            action,
            attempt: AttemptNo(1),
            phase: Phase::Paused,
            output: None,
            failure: None,
            usage: Usage { wall_us: 301_000_000, cpu_us: 900_000, memory_peak_bytes: 65 << 20, bytes_in: 0, bytes_out: 0 },
            cost: Money(12),
            retry_at: Some(Timestamp(1_800_000_301_000_000)),
            locations: Vec::new(),
            memory_bytes: None,
        })),
        Event::RetryDue(ActionRef { run, action }),
    ]
}
