//! The cases of the contract.

use engine::Outcome;
use model::{AttemptNo, Duration, Epoch, FailureClass, NodeKind};

use super::{GRACE, Incarnation, Rig, authority, fresh_key, gated, script, ticket, until};
use crate::tickets::{Authority, LIFETIME, TicketError};
use crate::{OwnedPhase, Stream, SubmitError};

/// The same order, given at the same time and again later, runs once.
pub fn orders_given_twice_run_once(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = fresh_key();
    let spec = script(key, 1, rig.shared(), &gated(key));
    let orders: Vec<_> = (0..4).map(|_| control.executor().submit(spec.clone(), ticket(&spec))).collect();
    for order in orders {
        control.ask(order).expect("the order is taken");
    }
    control.until_marked(key, "ran");
    control.order(key, &gated(key));
    control.open_gate(key);
    assert_eq!(control.end_of(key).output()["n"], 42);
    control.order(key, &gated(key));
    assert_eq!(control.end_of(key).output()["n"], 42);
    assert_eq!(control.marks(key, "ran").len(), 1);
}

/// An order whose answer was never heard is given again by a later control plane, and runs once.
pub fn a_response_that_was_lost(rig: &dyn Rig) {
    let control = Incarnation::start(rig, 1);
    let key = fresh_key();
    let order = script(key, 1, rig.shared(), &gated(key));
    drop(control.submit(order));
    control.die();
    let mut control = Incarnation::start(rig, 2);
    control.order(key, &gated(key));
    control.until_marked(key, "ran");
    control.open_gate(key);
    assert_eq!(control.end_of(key).output()["n"], 42);
    assert_eq!(control.marks(key, "ran").len(), 1);
}

/// The control plane dies while an attempt is on its way, runs, has ended, was reported: the next one finds it, and it ran once.
pub fn deaths_in_every_phase(rig: &dyn Rig) {
    for (epoch, phase) in (1..).step_by(3).zip(["ordered", "running", "ended", "reported"]) {
        let mut control = Incarnation::start(rig, epoch);
        let key = fresh_key();
        control.order(key, &gated(key));
        if phase != "ordered" {
            control.until_marked(key, "ran");
        }
        match phase {
            "ended" => {
                control.open_gate(key);
                control.die();
                let control = Incarnation::start(rig, epoch + 1);
                until("its end is seen", || control.owned(key) == Some(OwnedPhase::Ended));
                control.die();
            }
            "reported" => {
                control.open_gate(key);
                control.end_of(key);
                control.die();
            }
            _ => control.die(),
        }
        let mut control = Incarnation::start(rig, epoch + 2);
        match phase {
            "running" => assert_eq!(control.owned(key), Some(OwnedPhase::Running)),
            "ended" | "reported" => assert_eq!(control.owned(key), Some(OwnedPhase::Ended)),
            _ => {}
        }
        control.order(key, &gated(key));
        control.open_gate(key);
        let end = control.end_of(key);
        assert_eq!(end.output()["n"], 42, "{phase}");
        assert_eq!(control.marks(key, "ran").len(), 1, "{phase}");
    }
}

/// Until it is released, an outcome is told to whoever orders the attempt again, whatever the epoch.
pub fn outcomes_are_reported_until_released(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = control.run("mark ran; exit 3");
    assert_eq!(control.end_of(key).failure().exit_code, Some(3));
    for epoch in 2..4 {
        control.die();
        control = Incarnation::start(rig, epoch);
        for _ in 0..2 {
            control.order(key, "mark ran");
            assert_eq!(control.end_of(key).failure().exit_code, Some(3));
        }
    }
    assert_eq!(control.marks(key, "ran").len(), 1);
}

/// What runs is asked to stop, and may end in its own way.
pub fn cancelling_what_runs(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let polite = control.run("trap 'mark stopped; exit 1' TERM; mark ran; while :; do sleep 0.02 || :; done");
    let done = control.run("trap 'echo {} > output.json; exit 0' TERM; mark ran; while :; do sleep 0.02 || :; done");
    for key in [polite, done] {
        control.until_marked(key, "ran");
        control.ask(control.executor().cancel(key, GRACE));
    }
    let outcomes = [polite, done].map(|key| control.first_end_of(key).outcome);
    assert_eq!(control.marks(polite, "stopped").len(), 1);
    assert_eq!(outcomes[0], Outcome::Aborted);
    assert!(matches!(outcomes[1], Outcome::Succeeded(_)), "it ended well: {:?}", outcomes[1]);
}

/// Whatever is not known is reported as aborted.
pub fn cancelling_what_is_unknown(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = fresh_key();
    control.ask(control.executor().cancel(key, GRACE));
    assert_eq!(control.end_of(key).outcome, Outcome::Aborted);
}

/// Orders to stop that come at any time lead to one outcome and leave nothing running.
pub fn cancelling_races_with_the_end(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    for turn in 0..12 {
        let key = control.run("mark ran");
        if turn % 3 == 1 {
            control.until_marked(key, "ran");
        }
        if turn % 3 == 2 {
            control.end_of(key);
        }
        control.ask(control.executor().cancel(key, GRACE));
        let end = control.end_of(key);
        assert!(matches!(end.outcome, Outcome::Aborted | Outcome::Succeeded(_)), "{end:?}");
        if turn % 3 == 2 {
            assert!(matches!(end.outcome, Outcome::Succeeded(_)), "it had ended: {end:?}");
        }
        assert!(control.marks(key, "ran").len() <= 1);
        until("nothing of it runs", || control.owned(key) != Some(OwnedPhase::Running));
    }
}

/// An order to stop reaches what an earlier control plane started.
pub fn cancelling_after_a_restart(rig: &dyn Rig) {
    let control = Incarnation::start(rig, 1);
    let key = control.run("mark ran; while :; do sleep 0.02 || :; done");
    control.until_marked(key, "ran");
    control.die();
    let mut control = Incarnation::start(rig, 2);
    control.ask(control.executor().cancel(key, GRACE));
    assert_eq!(control.end_of(key).outcome, Outcome::Aborted);
}

/// What does not stop when asked is killed after its grace.
pub fn a_process_that_does_not_listen_is_killed(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = control.run("trap '' TERM; mark ran; while :; do sleep 0.02 || :; done");
    control.until_marked(key, "ran");
    control.ask(control.executor().cancel(key, Duration::from_millis(50)));
    assert_eq!(control.end_of(key).outcome, Outcome::Aborted);
}

/// Logs are read by offset: while it runs, after its end, by a later control plane, and after it was released.
pub fn logs_go_on_where_they_were_left(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = fresh_key();
    control.order(key, &format!("echo oops >&2; {}", gated(key)));
    control.until_marked(key, "ran");
    until("the first line", || control.log(key, Stream::Stdout, 0).bytes == b"began\n");
    assert!(control.log(key, Stream::Stdout, 0).open);
    assert_eq!(control.log(key, Stream::Stdout, 6).bytes, b"");
    control.open_gate(key);
    control.end_of(key);
    let rest = control.log(key, Stream::Stdout, 6);
    assert_eq!((rest.offset, rest.bytes.as_slice(), rest.open), (6, &b"ended\n"[..], false));
    control.die();
    let control = Incarnation::start(rig, 2);
    assert_eq!(control.log(key, Stream::Stdout, 3).bytes, b"an\nended\n");
    control.ask(control.executor().release(key));
    assert_eq!(control.log(key, Stream::Stderr, 0).bytes, b"oops\n");
    assert_eq!(control.log(key, Stream::Stdout, 1_000).bytes, b"");
}

/// Whoever is no longer in charge starts nothing, also after a restart.
pub fn stale_orders_are_refused(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 5);
    let key = control.run("true");
    control.end_of(key);
    let stale = || {
        let key = fresh_key();
        (key, script(key, 4, rig.shared(), "mark ran"))
    };
    let refused = SubmitError::Stale { given: Epoch(4), known: Epoch(5) };
    let (first, order) = stale();
    assert_eq!(control.submit(order), Err(refused.clone()));
    control.die();
    let control = Incarnation::start(rig, 5);
    let (second, order) = stale();
    assert_eq!(control.submit(order), Err(refused));
    assert!(control.marks(first, "ran").is_empty() && control.marks(second, "ran").is_empty());
    assert_eq!((control.owned(first), control.owned(second)), (None, None));
}

/// The outcome is that of the order that was carried out, and says so: later orders of later epochs do not change it.
pub fn the_first_outcome_stays(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = control.run("echo '{\"by\": \"first\"}' > output.json");
    assert_eq!(control.end_of(key).epoch, Epoch(1));
    control.die();
    let mut control = Incarnation::start(rig, 9);
    control.order(key, "echo '{\"by\": \"second\"}' > output.json");
    let end = control.end_of(key);
    assert_eq!((end.output()["by"].as_str(), end.epoch), (Some("first"), Epoch(1)));
    // A new attempt at the action is another thing.
    let again = model::AttemptKey { attempt: AttemptNo(2), ..key };
    control.order(again, "echo '{\"by\": \"second\"}' > output.json");
    let end = control.end_of(again);
    assert_eq!((end.output()["by"].as_str(), end.epoch), (Some("second"), Epoch(9)));
}

/// What is released is forgotten; releasing it again, or what is unknown, does no harm.
pub fn what_is_released_is_gone(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    for text in ["echo loud", "true"] {
        let key = control.run(text);
        control.end_of(key);
        assert_eq!(control.owned(key), Some(OwnedPhase::Ended));
        for _ in 0..2 {
            control.ask(control.executor().release(key));
            assert_eq!(control.owned(key), None, "{text}");
        }
    }
    control.ask(control.executor().release(fresh_key()));
    // What runs is not released.
    let key = fresh_key();
    control.order(key, &gated(key));
    control.until_marked(key, "ran");
    control.ask(control.executor().release(key));
    assert_eq!(control.owned(key), Some(OwnedPhase::Running));
    control.open_gate(key);
    assert_eq!(control.end_of(key).output()["n"], 42);
}

/// A control plane that has lost its memory finds what runs in its name, and can end it.
pub fn orphans_are_found_and_ended(rig: &dyn Rig) {
    let control = Incarnation::start(rig, 1);
    let runs = control.run("mark ran; while :; do sleep 0.02 || :; done");
    let ended = control.run("mark ran");
    control.until_marked(runs, "ran");
    until("it has ended", || control.owned(ended) == Some(OwnedPhase::Ended));
    control.die();
    let mut control = Incarnation::start(rig, 2);
    for key in [runs, ended] {
        assert!(control.owned(key).is_some());
        control.ask(control.executor().cancel(key, GRACE));
        control.end_of(key);
        control.ask(control.executor().release(key));
        assert_eq!(control.owned(key), None);
    }
}

/// A site says what it has, and what of that is taken.
pub fn capacity_is_told(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    assert!(control.ask(control.executor().probe()).healthy);
    let before = control.ask(control.executor().capacity());
    assert!(before.total.cpu_millis > 0 && before.total.covers(&before.free), "{before:?}");
    let key = fresh_key();
    let mut order = script(key, 1, rig.shared(), &gated(key));
    order.resources.cpu_millis = 100;
    control.submit(order).expect("the order is taken");
    control.until_marked(key, "ran");
    let during = control.ask(control.executor().capacity());
    assert_eq!(during.attempts, before.attempts + 1);
    assert_eq!(during.free.cpu_millis + 100, before.free.cpu_millis);
    control.open_gate(key);
    control.end_of(key);
    assert_eq!(control.ask(control.executor().capacity()).attempts, before.attempts);
}

/// What a site can never run is refused, and nothing of it is left.
pub fn what_cannot_run_is_rejected(rig: &dyn Rig) {
    let control = Incarnation::start(rig, 1);
    let key = fresh_key();
    let mut order = script(key, 1, rig.shared(), "true");
    order.kind = NodeKind::Human;
    assert!(matches!(control.submit(order), Err(SubmitError::Rejected(_))));
    assert_eq!(control.owned(key), None);
}

/// A ticket that is forged, for something else, or out of time begins nothing, whoever brings it; and it leaves the epoch alone.
pub fn orders_without_a_good_ticket_are_refused(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = fresh_key();
    let spec = script(key, 1, rig.shared(), "mark ran");
    let good = ticket(&spec);
    let mut forged = good.clone();
    forged.ticket.label = model::Label::of(["public"]);
    let stranger = Authority::from_seed(&[8; 32]).expect("any seed is one");
    let mut elsewhere = good.ticket.clone();
    elsewhere.site = "elsewhere".into();
    let mut expired = good.ticket.clone();
    expired.expires = model::Timestamp(1);
    let mut endless = good.ticket.clone();
    endless.expires = good.ticket.expires.after(LIFETIME);
    let other = ticket(&script(fresh_key(), 1, rig.shared(), "mark ran"));
    let later = ticket(&script(key, 9, rig.shared(), "mark ran"));
    let changed = ticket(&script(key, 1, rig.shared(), "mark other"));
    for (bad, why) in [
        (forged, TicketError::Forged),
        (stranger.sign(good.ticket.clone()), TicketError::Forged),
        (authority().sign(elsewhere), TicketError::Mismatch("site")),
        (other, TicketError::Mismatch("attempt")),
        (later, TicketError::Mismatch("epoch")),
        (changed, TicketError::Mismatch("task")),
        (authority().sign(expired), TicketError::Expired),
        (authority().sign(endless), TicketError::Expired),
    ] {
        let answer = control.ask(control.executor().submit(spec.clone(), bad));
        assert_eq!(answer, Err(SubmitError::Ticket(why)));
    }
    assert_eq!(control.owned(key), None);
    // An order of a later epoch whose ticket nobody signed does not shut out the one in charge.
    let ahead = script(key, 7, rig.shared(), "mark ran");
    let unsigned = stranger.sign(ticket(&ahead).ticket);
    let answer = control.ask(control.executor().submit(ahead, unsigned));
    assert_eq!(answer, Err(SubmitError::Ticket(TicketError::Forged)));
    control.ask(control.executor().submit(spec, good)).expect("the order is taken");
    assert!(control.end_of(key).output().is_object());
    assert_eq!(control.marks(key, "ran").len(), 1);
}

/// A ticket begins one attempt once. Given again it finds what is there; when that is gone, it begins nothing, after a restart neither.
pub fn a_used_ticket_begins_nothing(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = fresh_key();
    let spec = script(key, 1, rig.shared(), "mark ran");
    let used = ticket(&spec);
    let replayed = Err(SubmitError::Ticket(TicketError::Replayed));
    for _ in 0..2 {
        control.ask(control.executor().submit(spec.clone(), used.clone())).expect("the order is taken");
        control.end_of(key);
    }
    control.ask(control.executor().release(key));
    assert_eq!(control.ask(control.executor().submit(spec.clone(), used.clone())), replayed);
    control.die();
    let control = Incarnation::start(rig, 1);
    assert_eq!(control.ask(control.executor().submit(spec, used)), replayed);
    assert_eq!((control.owned(key), control.marks(key, "ran").len()), (None, 1));
}

/// Time, processor and memory are measured.
pub fn usage_is_measured(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = control.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    let burnt = control.end_of(key).usage;
    assert!(burnt.cpu_us > 1_000 && burnt.wall_us >= burnt.cpu_us / 8, "{burnt:?}");
    // A text of 32 MiB in a variable of the shell.
    let key = control.run("x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo ${#x} > /dev/null");
    let large = control.end_of(key).usage;
    assert!(large.memory_peak_bytes >= 32 << 20, "{large:?}");
    let key = control.run("true");
    let small = control.end_of(key).usage;
    assert!(small.memory_peak_bytes > 0 && small.memory_peak_bytes < 32 << 20, "what others used is not counted: {small:?}");
    assert!(small.cpu_us < burnt.cpu_us + large.cpu_us, "{small:?}");
}

/// Failures say whose fault they are.
pub fn failures_have_their_class(rig: &dyn Rig) {
    let mut control = Incarnation::start(rig, 1);
    let key = control.run("exit 7");
    let end = control.end_of(key);
    assert_eq!((end.failure().class, end.failure().exit_code), (FailureClass::User, Some(7)));
    let key = control.run("kill -11 $$");
    let end = control.end_of(key);
    assert_eq!((end.failure().class, end.failure().exit_code), (FailureClass::User, Some(139)));
    let key = control.run("echo '[1' > output.json");
    assert_eq!(control.end_of(key).failure().class, FailureClass::Output);
    let key = fresh_key();
    let mut order = script(key, 1, rig.shared(), "");
    order.input = serde_json::json!({"command": ["/no/such/program"]});
    control.submit(order).expect("the order is taken");
    assert_eq!(control.end_of(key).failure().class, FailureClass::Environment);
    let key = fresh_key();
    let mut order = script(key, 1, rig.shared(), "mark ran; while :; do sleep 0.02 || :; done");
    order.timeout = Some(Duration::from_millis(200));
    control.submit(order).expect("the order is taken");
    assert_eq!(control.end_of(key).failure().class, FailureClass::Timeout);
}
