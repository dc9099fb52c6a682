//! The rules: how an attempt and an action end, what follows by itself, what time does.

use std::collections::BTreeSet;
use std::rc::Rc;

use model::limits::SYSTEM_RETRIES_MAX;
use model::{Duration, Phase, RunId};

use super::reference::{Action, At, Doing, Due, Holder, Reference, Role, Run, Seen, Settled, Why, Wrong};
use super::spec::{BACKOFF, Ends, Kind, Spec, TIMEOUT, Work, name};

type Told = Result<(), String>;

/// How long a stopped attempt may take to say so.
const GRACE: Duration = Duration::from_secs(60);
/// The pauses after a failure of the platform, and those of an undo that says nothing about them.
const SYSTEM: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
const UNDO: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What kind of failure it was, as far as it matters for repeats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Work,
    Permanent,
    Platform,
    Preempted,
}

impl Reference {
    pub(super) fn submit(&mut self, id: RunId, graph: usize, spec: Rc<Spec>, reused: BTreeSet<usize>) {
        self.runs.insert(id, Run::new(graph, spec, reused));
    }

    pub(super) fn report(&mut self, id: RunId, path: &str, ends: Ends, seen: &Seen) -> Told {
        let key = self.attempt(id, path);
        let (doing, now) = (self.run(id).doing, self.now);
        let retry_more = u32::from(self.is(Wrong::OneRetryMore));
        let drained_is_lost = self.is(Wrong::DrainedIsLost);
        let orphaned = self.has_done_ancestor(id, path);
        let (asked, costs) = (self.run(id).asked(path), self.is(Wrong::LetGoCosts));
        let action = self.action(id, path);
        let (mut phase, class) = judge(&action.at, ends);
        let wanted = matches!(action.role, Role::Undo) || doing == Doing::Active && !orphaned;
        if action.at == At::Stopping(Why::Suspended) && phase == Phase::Aborted && wanted {
            debug_assert!(asked <= action.let_go_with, "one that stops asks for nothing");
            (action.at, action.site, action.due) = (At::Suspended, None, None);
            action.retries += u32::from(costs);
            self.past.push(key);
            let repeat = seen.repeats.get(&key).copied().flatten();
            return if repeat == Some(now) { Ok(()) } else { Err(format!("`{path}` was let go, and goes on at {repeat:?}")) };
        }
        let bounds = if matches!(action.role, Role::Undo) { UNDO } else { BACKOFF };
        let system_left = action.system < SYSTEM_RETRIES_MAX;
        let pause = match class.filter(|_| wanted) {
            Some(Class::Preempted) => (system_left && !drained_is_lost).then_some((Duration(0), Duration(0))),
            Some(Class::Platform) => system_left.then(|| pause(SYSTEM, action.system)),
            Some(Class::Work) => (action.retries < action.work.retries + retry_more).then(|| pause(bounds, action.retries)),
            Some(Class::Permanent) | None => None,
        };
        if phase == Phase::Aborted && class.is_some() && wanted && pause.is_none() {
            phase = Phase::Failed;
        }
        match class {
            Some(Class::Platform | Class::Preempted) => action.system += 1,
            Some(_) => action.retries += 1,
            None => {}
        }
        (action.site, action.due) = (None, None);
        self.past.push(key);
        let Some(repeat) = seen.repeats.get(&key) else { return Err(format!("attempt {key} of `{path}` has not ended")) };
        match (pause, repeat) {
            (None, None) => self.end(id, path, phase, false),
            (Some((least, most)), Some(at)) => {
                if !(now.after(least)..=now.after(most)).contains(at) {
                    return Err(format!("`{path}` pauses {}, between {least} and {most} were right", at.since(now)));
                }
                let action = self.action(id, path);
                (action.at, action.due) = if *at <= now { (At::Queued, None) } else { (At::Backoff, Some((*at, Due::Retry))) };
            }
            (pause, repeat) => {
                return Err(format!("`{path}` is repeated at {repeat:?}, within {pause:?} was right"));
            }
        }
        Ok(())
    }

    fn has_done_ancestor(&self, id: RunId, path: &str) -> bool {
        let run = &self.runs[&id];
        run.order.iter().any(|above| run.is_below(path, above) && matches!(run.actions[above].at, At::Done(_)))
    }

    /// Ends an action, and tells whoever waits for it.
    pub(super) fn end(&mut self, id: RunId, path: &str, phase: Phase, reused: bool) {
        let (child_fails, orphans_stay, map_stops) =
            (self.is(Wrong::ChildFails), self.is(Wrong::OrphansStay), self.is(Wrong::MapStops));
        let now = self.now;
        let action = self.action(id, path);
        if matches!(action.at, At::Done(_)) {
            return;
        }
        (action.at, action.due) = (At::Done(phase), None);
        let (role, undoable) = (action.role.clone(), action.work.undo.is_some());
        let bad = matches!(phase, Phase::Failed | Phase::TimedOut);
        let run = self.run(id);
        if phase == Phase::Succeeded && !reused && undoable {
            run.succeeded.push(path.to_owned());
        }
        match &role {
            Role::Node(node) => {
                run.settled[*node] = Some(if phase == Phase::Succeeded { Settled::Well } else { Settled::Badly });
                run.trouble |= bad;
            }
            Role::Item { map } => {
                let goes_on = run.goes_on(map) && !map_stops;
                if let At::Each { running, .. } = &mut run.actions.get_mut(map).expect("its map").at {
                    *running -= 1;
                    run.trouble |= bad && !goes_on;
                }
            }
            Role::Undo => run.undoing = None,
            Role::Child { parent } => {
                run.trouble |= bad && child_fails;
                run.actions.get_mut(parent).expect("its parent").told = now;
            }
        }
        let is_child = |action: &Action| matches!(&action.role, Role::Child { parent } if parent == path);
        let living = |action: &Action| is_child(action) && !matches!(action.at, At::Done(_) | At::Stopping(_));
        if run.actions.values().any(living) && !orphans_stay {
            self.stop_below(id, path);
        }
        if let Role::Node(node) = role {
            self.leave_once(id, path, node, phase, reused);
        }
    }

    /// Stops an action and what belongs to it.
    pub(super) fn stop(&mut self, id: RunId, path: &str) {
        self.stop_one(id, path);
        self.stop_below(id, path);
    }

    fn stop_one(&mut self, id: RunId, path: &str) {
        let grace = self.now.after(GRACE);
        let action = self.action(id, path);
        match action.at {
            At::Running => (action.at, action.due) = (At::Stopping(Why::Unwanted), Some((grace, Due::Grace))),
            At::Stopping(_) | At::Done(_) => {}
            _ => self.end(id, path, Phase::Aborted, false),
        }
    }

    fn stop_below(&mut self, id: RunId, above: &str) {
        for path in self.run(id).order.clone() {
            if self.run(id).is_below(&path, above) {
                self.stop_one(id, &path);
            }
        }
    }

    fn stop_all(&mut self, id: RunId, running_too: bool) {
        for path in self.run(id).order.clone() {
            if running_too || self.action(id, &path).at != At::Running {
                self.stop_one(id, &path);
            }
        }
    }

    /// Asks whether the output under a once key is known, or waits for whoever works on it.
    fn recall(&mut self, id: RunId, path: &str, node: usize) {
        let key = (self.run(id).graph, node);
        let me = (id, path.to_owned());
        let twice = self.is(Wrong::OnceTwice);
        let holder = self.once.entry(key).or_insert_with(|| Holder { holder: me.clone(), waiting: Vec::new() });
        if holder.holder != me && !twice {
            holder.waiting.push(me);
            self.action(id, path).at = At::AwaitingTwin;
        } else if self.kept.contains(&key) {
            self.end(id, path, Phase::Succeeded, true);
        } else {
            self.action(id, path).at = At::Queued;
        }
    }

    fn leave_once(&mut self, id: RunId, path: &str, node: usize, phase: Phase, reused: bool) {
        let Kind::Work { once: true, .. } = self.run(id).spec.nodes[node].kind else { return };
        let (key, me) = ((self.run(id).graph, node), (id, path.to_owned()));
        if phase == Phase::Succeeded && !reused {
            self.kept.insert(key);
        }
        let Some(holder) = self.once.get_mut(&key) else { return };
        if holder.holder != me {
            holder.waiting.retain(|waiting| *waiting != me);
        } else if phase != Phase::Succeeded && !holder.waiting.is_empty() {
            holder.holder = holder.waiting.remove(0);
            let (next, path) = holder.holder.clone();
            self.recall(next, &path, node);
        } else if let Some(holder) = self.once.remove(&key) {
            for (next, path) in holder.waiting {
                self.end(next, &path, Phase::Succeeded, true);
            }
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, span: Duration, seen: &Seen) -> Told {
        self.now = self.now.after(span);
        loop {
            let due = |(id, run): (&RunId, &Run)| {
                let (id, now) = (*id, self.now);
                let due = run.actions.iter().filter_map(move |(path, action)| {
                    action.due.filter(|(at, _)| *at <= now).map(|(at, what)| (at, id, action.number, path.clone(), what))
                });
                due.collect::<Vec<_>>()
            };
            let next = self.runs.iter().flat_map(due).min_by_key(|(at, id, number, ..)| (*at, *id, *number));
            let Some((_, id, _, path, what)) = next else { return Ok(()) };
            let (grace, no_timeouts) = (self.now.after(GRACE), self.is(Wrong::NoTimeouts));
            let action = self.action(id, &path);
            match what {
                Due::Retry => (action.at, action.due) = (At::Queued, None),
                Due::Timeout if no_timeouts => action.due = None,
                Due::Timeout => (action.at, action.due) = (At::Stopping(Why::Timeout), Some((grace, Due::Grace))),
                Due::Grace => self.report(id, &path, Ends::Aborted, seen)?,
            }
            self.follow(seen)?;
        }
    }

    /// Lets everything follow that follows by itself.
    pub(super) fn follow(&mut self, seen: &Seen) -> Told {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        loop {
            let mut changed = false;
            for id in &ids {
                while self.is_open(*id) && self.advance(*id, seen)? {
                    changed = true;
                }
            }
            if !changed {
                return Ok(());
            }
        }
    }

    /// One more thing that follows in a run; false when nothing does.
    fn advance(&mut self, id: RunId, seen: &Seen) -> Result<bool, String> {
        let run = self.run(id);
        match run.doing {
            Doing::Active if run.trouble => (run.doing, run.told) = (Doing::Failing, false),
            Doing::Active if run.paused => return Ok(false),
            Doing::Active => return self.go_on(id, seen),
            Doing::Failing if !run.told => {
                run.told = true;
                let stops = !run.spec.finishes;
                self.stop_all(id, stops);
            }
            Doing::Cancelling if !run.told => {
                run.told = true;
                self.stop_all(id, true);
            }
            Doing::Failing | Doing::Cancelling => {
                if run.open() > 0 {
                    return Ok(false);
                }
                let ends = if run.doing == Doing::Failing { Phase::Failed } else { Phase::Aborted };
                run.undo = run.succeeded.iter().rev().cloned().collect();
                run.doing = if run.undo.is_empty() { Doing::Ended(ends) } else { Doing::Undoing(ends) };
                if self.is(Wrong::UndoInOrder) {
                    let run = self.run(id);
                    run.undo = run.succeeded.iter().cloned().collect();
                }
            }
            Doing::Undoing(ends) => {
                if run.undoing.is_some() {
                    return Ok(false);
                }
                let Some(of) = run.undo.pop_front() else {
                    run.doing = Doing::Ended(ends);
                    return Ok(true);
                };
                let retries = run.actions[&of].work.undo.unwrap_or_default();
                let path = format!("{of}!undo");
                run.undoing = Some(path.clone());
                self.open(id, &path, Role::Undo, Work { retries, ..Work::default() }, At::Queued, seen)?;
            }
            Doing::Ended(_) => return Ok(false),
        }
        Ok(true)
    }

    /// What follows in a run that goes forward.
    fn go_on(&mut self, id: RunId, seen: &Seen) -> Result<bool, String> {
        let sleeps_on = self.is(Wrong::SleepsOn);
        let run = self.run(id);
        let wakes = |path: &&String| {
            let action = &run.actions[*path];
            action.at == At::Suspended && run.asked(path) < action.let_go_with
        };
        if let Some(path) = run.order.iter().find(wakes).filter(|_| !sleeps_on).cloned() {
            self.action(id, &path).at = At::Queued;
            return Ok(true);
        }
        for path in run.order.clone() {
            let Some((items, at_once, work)) = run.map_of(&path) else { continue };
            let At::Each { next, running } = &mut run.actions.get_mut(&path).expect("it is there").at else { continue };
            if *next == items && *running == 0 {
                self.end(id, &path, Phase::Succeeded, false);
                return Ok(true);
            }
            if *next < items && *running < at_once {
                let item = format!("{path}[{next}]");
                (*next, *running) = (*next + 1, *running + 1);
                self.open(id, &item, Role::Item { map: path }, work, At::Queued, seen)?;
                return Ok(true);
            }
        }
        if run.settled.iter().all(Option::is_some) {
            if run.open() == 0 {
                run.doing = Doing::Ended(Phase::Succeeded);
                return Ok(true);
            }
            let before = run.actions.values().filter(|action| matches!(action.at, At::Stopping(_))).count();
            let open = run.open();
            self.stop_all(id, true);
            let run = self.run(id);
            let after = run.actions.values().filter(|action| matches!(action.at, At::Stopping(_))).count();
            return Ok(run.open() != open || before != after);
        }
        for node in 0..run.settled.len() {
            if run.is_ready(node) {
                self.open_node(id, node, seen)?;
                return Ok(true);
            }
            let waits = run.actions.get(&name(node)).is_some_and(|action| action.at == At::Signal);
            if waits && run.signals[node] > 0 {
                run.signals[node] -= 1;
                self.end(id, &name(node), Phase::Succeeded, false);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open_node(&mut self, id: RunId, node: usize, seen: &Seen) -> Told {
        let run = self.run(id);
        let spec = run.spec.nodes[node].clone();
        let (path, role) = (name(node), Role::Node(node));
        if run.reused.contains(&node) {
            self.open(id, &path, role, Work::default(), At::Queued, seen)?;
            self.end(id, &path, Phase::Succeeded, true);
            return Ok(());
        }
        let left_out = spec.waits_for.iter().any(|(other, reads)| *reads && run.settled[*other] == Some(Settled::Skipped));
        if spec.condition == Some(false) || spec.condition.is_none() && left_out {
            run.settled[node] = Some(Settled::Skipped);
            return Ok(());
        }
        match spec.kind {
            Kind::Work { work, once } => {
                self.open(id, &path, role, work, At::Queued, seen)?;
                if once {
                    self.recall(id, &path, node);
                }
            }
            Kind::Each { .. } => self.open(id, &path, role, Work::default(), At::Each { next: 0, running: 0 }, seen)?,
            Kind::Signal => self.open(id, &path, role, Work::default(), At::Signal, seen)?,
        }
        Ok(())
    }

    pub(super) fn open(&mut self, id: RunId, path: &str, role: Role, work: Work, at: At, seen: &Seen) -> Told {
        let number = seen.numbers.get(&(id, path.to_owned()));
        let Some(number) = number.copied() else { return Err(format!("`{path}` of run {id} was not opened")) };
        let (attempt, retries, system, site, epoch, due) = (0, 0, 0, None, 0, None);
        let (told, let_go_with, now) = (model::Timestamp(0), 0, self.now);
        let run = self.run(id);
        if let Role::Child { parent } = &role {
            run.actions.get_mut(parent).expect("its parent").told = now;
        }
        run.order.push(path.to_owned());
        let action = Action { role, work, at, number, attempt, retries, system, site, epoch, due, told, let_go_with };
        run.actions.insert(path.to_owned(), action);
        Ok(())
    }

    /// Places what is queued, if any site takes work.
    pub(super) fn place(&mut self, seen: &Seen) -> Told {
        let open: Vec<&str> =
            self.sites.iter().filter(|(_, site)| site.healthy && !site.cordoned).map(|(name, _)| *name).collect();
        let (now, epoch, paused_too) = (self.now, self.epoch, self.is(Wrong::PausedPlaces));
        if open.is_empty() {
            return Ok(());
        }
        for (id, run) in &mut self.runs {
            let goes = matches!(run.doing, Doing::Active | Doing::Undoing(_)) && (!run.paused || paused_too);
            for (path, action) in run.actions.iter_mut().filter(|(_, action)| goes && action.at == At::Queued) {
                action.attempt += 1;
                let attempt = model::AttemptNo(action.attempt);
                let key = model::AttemptKey { run: *id, action: action.number, attempt };
                let Some(site) = seen.sites.get(&key) else { return Err(format!("`{path}` of run {id} was not placed")) };
                if !open.contains(&site.as_str()) {
                    return Err(format!("`{path}` was placed at `{site}`, which takes no work"));
                }
                (action.at, action.epoch, action.site) = (At::Running, epoch, Some(site.clone()));
                action.due = action.work.times_out.then(|| (now.after(TIMEOUT), Due::Timeout));
                self.ordered += 1;
            }
        }
        Ok(())
    }

    /// Whether the process of an action may be let go, by somebody who looked at it `since`.
    pub(super) fn may_let_go(&self, id: RunId, path: &str, since: model::Timestamp) -> bool {
        let (run, busy_too) = (&self.runs[&id], self.is(Wrong::LetGoBusy));
        let action = &run.actions[path];
        run.doing == Doing::Active
            && action.at == At::Running
            && action.told < since
            && run.asked(path) > 0
            && (busy_too || !run.is_busy_below(path))
    }

    pub(super) fn let_go(&mut self, id: RunId, path: &str) {
        let (asked, grace) = (self.run(id).asked(path), self.now.after(GRACE));
        let action = self.action(id, path);
        (action.at, action.due) = (At::Stopping(Why::Suspended), Some((grace, Due::Grace)));
        action.let_go_with = asked;
    }

    /// Stops what runs at a site, to be repeated elsewhere.
    pub(super) fn drain(&mut self, site: &str) {
        let grace = self.now.after(GRACE);
        for action in self.runs.values_mut().flat_map(|run| run.actions.values_mut()) {
            if action.at == At::Running && action.site.as_deref() == Some(site) {
                (action.at, action.due) = (At::Stopping(Why::Drained), Some((grace, Due::Grace)));
            }
        }
    }
}

impl Run {
    fn goes_on(&self, map: &str) -> bool {
        let Role::Node(node) = self.actions[map].role else { return false };
        matches!(self.spec.nodes[node].kind, Kind::Each { go_on: true, .. })
    }

    fn map_of(&self, path: &str) -> Option<(u32, u32, Work)> {
        let Role::Node(node) = self.actions[path].role else { return None };
        match self.spec.nodes[node].kind {
            Kind::Each { items, at_once, work, .. } => Some((items, at_once, work)),
            _ => None,
        }
    }

    fn is_ready(&self, node: usize) -> bool {
        let before = &self.spec.nodes[node].waits_for;
        self.settled[node].is_none()
            && !self.actions.contains_key(&name(node))
            && before.iter().all(|(other, _)| matches!(self.settled[*other], Some(Settled::Well | Settled::Skipped)))
    }
}

/// What the end of an attempt means, given what was asked of it.
fn judge(at: &At, ends: Ends) -> (Phase, Option<Class>) {
    match (ends, at) {
        (Ends::Well, _) => (Phase::Succeeded, None),
        (_, At::Stopping(Why::Unwanted | Why::Suspended)) => (Phase::Aborted, None),
        (_, At::Stopping(Why::Drained)) => (Phase::Aborted, Some(Class::Preempted)),
        (_, At::Stopping(Why::Timeout)) => (Phase::TimedOut, Some(Class::Work)),
        (Ends::Badly, _) => (Phase::Failed, Some(Class::Work)),
        (Ends::ForGood, _) => (Phase::Failed, Some(Class::Permanent)),
        (Ends::NodeLost, _) => (Phase::Failed, Some(Class::Platform)),
        (Ends::Aborted, _) => (Phase::Failed, Some(Class::Preempted)),
    }
}

/// The bounds of a pause: it doubles with each repeat, and between half and all of it is taken.
fn pause((first, longest): (Duration, Duration), tried: u32) -> (Duration, Duration) {
    let full = Duration((first.0 << tried.min(20)).min(longest.0));
    (Duration(full.0 / 2), full)
}
