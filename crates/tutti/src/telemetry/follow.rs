//! From facts to spans: run, action, attempt, with the times of the journal. What is open is kept in memory, and can be made again from the
//! journal: after a restart a run is read from its beginning when the next fact of it comes.

use std::collections::{BTreeMap, BTreeSet};

use controlplane::trace::{RunTrace, SpanId};
use engine::Event;
use engine::event::{ActionKind, AttemptFinished, Opened, Role, RunFinished, RunSubmitted};
use journal::{JournalError, Reader};
use model::limits::TRACED_ACTIONS_MAX;
use model::{ActionNo, AttemptNo, Failure, Phase, RunId, Seq, Timestamp};

use super::otlp::{ERROR, INTERNAL, KeyValue, Moment, OK, SAMPLED, Span, Status, attribute};

/// Facts read at a time when a run is read from its beginning.
const BATCH: usize = 500;

/// What is open.
#[derive(Default)]
pub(crate) struct Follower {
    runs: BTreeMap<RunId, OpenRun>,
    /// Open runs that are not followed: the caller does not want it, or there was no room.
    left_out: BTreeSet<RunId>,
    actions: usize,
}

struct OpenRun {
    trace: RunTrace,
    began: Timestamp,
    attributes: Vec<KeyValue>,
    name: String,
    actions: BTreeMap<ActionNo, OpenAction>,
    /// Sub-workflows that are open, by path: what stands below one is part of it.
    scopes: BTreeMap<String, ActionNo>,
}

struct OpenAction {
    path: String,
    kind: ActionKind,
    parent: SpanId,
    began: Timestamp,
    attempt: Option<OpenAttempt>,
}

struct OpenAttempt {
    number: AttemptNo,
    site: String,
    began: Timestamp,
    started: Option<Moment>,
}

/// How something ended.
struct End<'e> {
    at: Timestamp,
    phase: Phase,
    failure: Option<&'e Failure>,
    attributes: Vec<KeyValue>,
}

fn nanos(at: Timestamp) -> u64 {
    at.0.saturating_mul(1_000)
}

fn status(end: &End<'_>) -> Option<Status> {
    match end.phase {
        Phase::Succeeded => Some(Status { message: String::new(), code: OK }),
        // Somebody asked for it: no error, and no success.
        Phase::Aborted => None,
        _ => Some(Status { message: end.failure.map(|failure| failure.class.to_string()).unwrap_or_default(), code: ERROR }),
    }
}

fn span(trace: &RunTrace, id: SpanId, parent: Option<SpanId>, name: String, began: Timestamp, end: End<'_>) -> Span {
    let status = status(&end);
    let mut attributes = end.attributes;
    attributes.push(attribute("tutti.phase", end.phase.to_string()));
    if let Some(failure) = end.failure {
        attributes.push(attribute("error.type", failure.class.to_string()));
    }
    Span {
        trace_id: trace.trace.to_vec(),
        span_id: id.to_vec(),
        parent_span_id: parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name,
        kind: INTERNAL,
        start_time_unix_nano: nanos(began),
        end_time_unix_nano: nanos(end.at.max(began)),
        attributes,
        events: Vec::new(),
        status,
        flags: SAMPLED,
    }
}

impl Follower {
    /// Takes a fact, and gives the spans that end with it.
    pub(crate) fn take(&mut self, reader: &Reader, seq: Seq, at: Timestamp, event: &Event) -> Result<Vec<Span>, JournalError> {
        let Some(run) = event.run() else { return Ok(Vec::new()) };
        if self.left_out.contains(&run) {
            if matches!(event, Event::RunFinished(_)) {
                self.left_out.remove(&run);
            }
            return Ok(Vec::new());
        }
        if !self.runs.contains_key(&run) && !matches!(event, Event::RunSubmitted(_)) {
            self.read_again(reader, run, seq)?;
        }
        let mut spans = Vec::new();
        self.fold(run, at, event, &mut spans);
        Ok(spans)
    }

    /// Folds what is known of a run before a position. Its spans were exported already.
    fn read_again(&mut self, reader: &Reader, run: RunId, until: Seq) -> Result<(), JournalError> {
        let Some(row) = reader.run(run)? else { return Ok(()) };
        let mut after = Seq(row.first_seq.0.saturating_sub(1));
        loop {
            let events = reader.events(after, Some(run), BATCH)?;
            let full = events.len() == BATCH;
            for (seq, at, _, event) in events {
                if seq >= until {
                    return Ok(());
                }
                after = seq;
                self.fold(run, at, &event, &mut Vec::new());
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn fold(&mut self, run: RunId, at: Timestamp, event: &Event, spans: &mut Vec<Span>) {
        if let Event::RunSubmitted(event) = event {
            return self.submitted(event, at);
        }
        let Some(open) = self.runs.get_mut(&run) else { return };
        let before = open.actions.len();
        match event {
            Event::ActionsOpened(event) => event.actions.iter().for_each(|opened| open.opened(opened, at)),
            Event::ChildOpened(event) => open.opened(&event.opened, at),
            Event::ActionsPlaced(event) => {
                for placed in &event.actions {
                    if let Some(action) = open.actions.get_mut(&placed.action) {
                        let site = event.site.clone();
                        action.attempt = Some(OpenAttempt { number: placed.attempt, site, began: at, started: None });
                    }
                }
            }
            Event::AttemptStarted(event) => {
                let attempt = open.actions.get_mut(&event.action).and_then(|action| action.attempt.as_mut());
                if let Some(attempt) = attempt.filter(|attempt| attempt.number == event.attempt) {
                    let attributes = vec![attribute("host.name", event.host.as_str())];
                    attempt.started = Some(Moment { time_unix_nano: nanos(at), name: "started".into(), attributes });
                }
            }
            Event::AttemptFinished(event) => open.attempt_finished(event, at, spans),
            Event::ActionFinished(event) => {
                let attributes = vec![attribute("tutti.reused", event.reused)];
                open.end(event.action, End { at, phase: event.phase, failure: event.failure.as_ref(), attributes }, spans);
            }
            Event::CancelRequested(event) => {
                for action in &event.ended {
                    open.end(*action, End { at, phase: Phase::Aborted, failure: None, attributes: Vec::new() }, spans);
                }
            }
            _ => {}
        }
        let after = open.actions.len();
        self.actions = (self.actions + after).saturating_sub(before);
        if let Event::RunFinished(event) = event {
            self.finished(event, at, spans);
        } else if self.actions > TRACED_ACTIONS_MAX {
            tracing::warn!(%run, "too many actions are open at once: the rest of this run is not traced");
            self.forget(run);
            self.left_out.insert(run);
        }
    }

    fn forget(&mut self, run: RunId) -> Option<OpenRun> {
        let open = self.runs.remove(&run)?;
        self.actions = self.actions.saturating_sub(open.actions.len());
        Some(open)
    }

    fn submitted(&mut self, event: &RunSubmitted, at: Timestamp) {
        let trace = RunTrace::new(event.run, &event.project, &event.name, at, event.traceparent.as_deref());
        if !trace.sampled {
            self.left_out.insert(event.run);
            return;
        }
        let attributes = vec![
            attribute("tutti.run", event.name.as_str()),
            attribute("tutti.run.number", event.run.0),
            attribute("tutti.workflow", event.workflow.as_str()),
            attribute("tutti.project", event.project.as_str()),
            attribute("tutti.domain", event.domain.as_str()),
            attribute("tutti.principal", event.principal.as_str()),
        ];
        let name = format!("run {}", event.workflow);
        let open = OpenRun { trace, began: at, attributes, name, actions: BTreeMap::new(), scopes: BTreeMap::new() };
        self.runs.insert(event.run, open);
    }

    fn finished(&mut self, event: &RunFinished, at: Timestamp, spans: &mut Vec<Span>) {
        let Some(mut open) = self.forget(event.run) else { return };
        // What is open then will not be heard of again.
        let rest: Vec<ActionNo> = open.actions.keys().copied().collect();
        for action in rest {
            open.end(action, End { at, phase: Phase::Aborted, failure: None, attributes: Vec::new() }, spans);
        }
        let mut attributes = std::mem::take(&mut open.attributes);
        attributes.push(attribute("tutti.cost", event.cost.units()));
        let end = End { at, phase: event.phase, failure: event.failure.as_ref(), attributes };
        spans.push(span(&open.trace, open.trace.run_span(), open.trace.caller, open.name, open.began, end));
    }
}

impl OpenRun {
    fn opened(&mut self, opened: &Opened, at: Timestamp) {
        let above = match &opened.role {
            Role::Item { each, .. } => Some(*each),
            Role::Transfer { wanted_by, .. } => Some(*wanted_by),
            Role::Child { parent } => Some(*parent),
            _ => opened.path.rsplit_once('/').and_then(|(scope, _)| self.scopes.get(scope).copied()),
        };
        let parent = above.map_or_else(|| self.trace.run_span(), |above| self.trace.action_span(above));
        if opened.kind == ActionKind::Workflow {
            self.scopes.insert(opened.path.clone(), opened.action);
        }
        // A transfer takes no place in the queue: its first attempt begins with it.
        let attempt = match &opened.role {
            Role::Transfer { to, .. } => Some(OpenAttempt { number: AttemptNo(1), site: to.clone(), began: at, started: None }),
            _ => None,
        };
        let action = OpenAction { path: opened.path.clone(), kind: opened.kind, parent, began: at, attempt };
        self.actions.insert(opened.action, action);
    }

    fn attempt_finished(&mut self, event: &AttemptFinished, at: Timestamp, spans: &mut Vec<Span>) {
        let Some(action) = self.actions.get_mut(&event.action) else { return };
        let usage = &event.usage;
        let attributes = vec![
            attribute("tutti.cost", event.cost.units()),
            attribute("tutti.wall_us", usage.wall_us),
            attribute("tutti.cpu_us", usage.cpu_us),
            attribute("tutti.memory_peak_bytes", usage.memory_peak_bytes),
        ];
        let open = action.attempt.take().filter(|attempt| attempt.number == event.attempt);
        let open = open.unwrap_or(OpenAttempt { number: event.attempt, site: String::new(), began: at, started: None });
        let end = End { at, phase: event.phase, failure: event.failure.as_ref(), attributes };
        spans.push(attempt_span(&self.trace, event.action, action, open, end));
        if event.retry_at.is_none() {
            self.end(
                event.action,
                End { at, phase: event.phase, failure: event.failure.as_ref(), attributes: Vec::new() },
                spans,
            );
        } else if let (ActionKind::Transfer, Some(retry_at)) = (action.kind, event.retry_at) {
            // The next attempt of a transfer is not placed either.
            let site = String::new();
            action.attempt = Some(OpenAttempt { number: AttemptNo(event.attempt.0 + 1), site, began: retry_at, started: None });
        }
    }

    fn end(&mut self, number: ActionNo, mut end: End<'_>, spans: &mut Vec<Span>) {
        let Some(mut action) = self.actions.remove(&number) else { return };
        if self.scopes.get(&action.path) == Some(&number) {
            self.scopes.remove(&action.path);
        }
        if let Some(attempt) = action.attempt.take() {
            let end = End { at: end.at, phase: end.phase, failure: end.failure, attributes: Vec::new() };
            spans.push(attempt_span(&self.trace, number, &action, attempt, end));
        }
        end.attributes.push(attribute("tutti.action", action.path.as_str()));
        end.attributes.push(attribute("tutti.action.kind", kind_name(action.kind)));
        let id = self.trace.action_span(number);
        spans.push(span(&self.trace, id, Some(action.parent), action.path, action.began, end));
    }
}

fn attempt_span(trace: &RunTrace, number: ActionNo, action: &OpenAction, attempt: OpenAttempt, mut end: End<'_>) -> Span {
    end.attributes.push(attribute("tutti.action", action.path.as_str()));
    end.attributes.push(attribute("tutti.attempt", u64::from(attempt.number.0)));
    end.attributes.push(attribute("tutti.site", attempt.site));
    let (id, name) = (trace.attempt_span(number, attempt.number), format!("{} #{}", action.path, attempt.number));
    let mut span = span(trace, id, Some(trace.action_span(number)), name, attempt.began, end);
    span.events.extend(attempt.started);
    span
}

fn kind_name(kind: ActionKind) -> String {
    format!("{kind:?}").to_lowercase()
}
