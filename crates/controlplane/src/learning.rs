//! Learning from what ended. Estimates are a projection: made from the journal at the start, beside the server's other business, and kept
//! up with every attempt that ends. Nothing hangs on them but how good a decision is, so that the run loop never waits for a lesson.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use engine::event::AttemptFinished;
use engine::{Glimpse, Outcome, without_items};
use journal::{HistoryFilter, HistoryRow, Reader};
use model::{Digest, FailureClass, Graph, Node, NodeKind, Phase, RunId, Timestamp};
use parking_lot::{RwLock, RwLockReadGuard};
use prediction::{Ended, Estimates, Family, Observation};
use tokio::sync::mpsc::{Receiver, Sender};

/// Ended actions of the past that are looked back on at the start.
const HISTORY_MAX: usize = 50_000;
/// Lessons that wait; more are dropped, since estimates are none the worse for one that is missing.
const LESSONS_MAX: usize = 4_096;
/// How long lessons wait for one another.
const LEARN_EVERY: std::time::Duration = std::time::Duration::from_millis(50);

/// What was learned. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Learned {
    estimates: Arc<RwLock<Estimates>>,
    lessons: Sender<Lesson>,
    /// Where the past is read when it is first asked for, in a process that only looks.
    past: Option<Arc<(Reader, OnceLock<()>)>>,
}

/// An attempt that ended, on its way to the estimates.
pub(crate) struct Lesson {
    workflow: String,
    path: String,
    work: String,
    site: String,
    ended: Ended,
    wall_s: f64,
    memory_bytes: f64,
    asked_bytes: f64,
    bytes_in: f64,
    bytes_out: f64,
    wait_s: f64,
    overhead_s: f64,
}

impl Learned {
    /// Estimates of which nothing is known yet, and where lessons come from.
    pub(crate) fn new() -> (Learned, Receiver<Lesson>) {
        let (lessons, received) = tokio::sync::mpsc::channel(LESSONS_MAX);
        (Learned { estimates: Arc::default(), lessons, past: None }, received)
    }

    /// What the past says, where nothing will follow: read when it is asked for.
    pub(crate) fn of(reader: &Reader) -> Learned {
        Learned { past: Some(Arc::new((reader.clone(), OnceLock::new()))), ..Learned::new().0 }
    }

    fn learn_past(&self, reader: &Reader) {
        match of_the_past(reader) {
            // One at a time: whoever decides meanwhile is not held up.
            Ok((past, items)) => {
                past.iter().for_each(|lesson| self.estimates.write().learn(&lesson.seen()));
                let mut estimates = self.estimates.write();
                items.iter().for_each(|((_, workflow, path), items)| estimates.learn_items(workflow, path, *items));
            }
            Err(error) => tracing::error!(%error, "nothing is learned from the past: it cannot be read"),
        }
    }

    /// What is known now.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Estimates> {
        if let Some(past) = &self.past {
            past.1.get_or_init(|| self.learn_past(&past.0));
        }
        self.estimates.read()
    }

    /// What the repeat of an attempt should ask for that was killed for its memory; none for other ends, and where too little is known.
    pub(crate) fn memory_after_kill(&self, seen: &Glimpse, outcome: &Outcome) -> Option<u64> {
        if !matches!(outcome, Outcome::Failed(failure) if failure.class == FailureClass::Oom) {
            return None;
        }
        let family = Family { workflow: &seen.names.workflow, path: &seen.path, work: &seen.work };
        let advice = self.read().memory_to_ask(&family, seen.bytes_in as f64, Some(seen.holds.memory_bytes as f64))?;
        // Rounded up to whole megabytes: a request is read by people.
        Some((advice.bytes as u64).div_ceil(1 << 20) << 20)
    }

    /// Notes how an attempt ended.
    pub(crate) fn note(&self, seen: &Glimpse, end: &AttemptFinished, at: Timestamp) {
        let Some(site) = &seen.site else { return };
        let Some(ended) = ended(end.phase, end.failure.as_ref().map(|failure| failure.class)) else { return };
        let wall_s = end.usage.wall_us as f64 / 1e6;
        let lesson = Lesson {
            workflow: seen.names.workflow.clone(),
            path: seen.path.clone(),
            work: seen.work.clone(),
            site: site.to_string(),
            ended,
            wall_s,
            memory_bytes: end.usage.memory_peak_bytes as f64,
            asked_bytes: seen.holds.memory_bytes as f64,
            bytes_in: seen.bytes_in as f64,
            bytes_out: end.usage.bytes_out as f64,
            wait_s: seen.placed_at.since(seen.queued_at).as_secs_f64(),
            overhead_s: at.since(seen.placed_at).as_secs_f64() - wall_s,
        };
        // A full queue drops the lesson.
        let _ = self.lessons.try_send(lesson);
    }

    /// Learns: first from the journal, then from what ends.
    pub(crate) async fn run(self, reader: Reader, mut lessons: Receiver<Lesson>) {
        let of_past = self.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || of_past.learn_past(&reader)).await {
            tracing::error!(%error, "nothing is learned from the past");
        }
        let mut ended = Vec::new();
        while lessons.recv_many(&mut ended, LESSONS_MAX).await > 0 {
            ended.drain(..).for_each(|lesson| self.estimates.write().learn(&lesson.seen()));
            // The next ones come together: to be woken for each costs more than to learn it.
            tokio::time::sleep(LEARN_EVERY).await;
        }
    }
}

impl Lesson {
    fn seen(&self) -> Observation<'_> {
        Observation {
            family: Family { workflow: &self.workflow, path: &self.path, work: &self.work },
            site: &self.site,
            ended: self.ended,
            wall_s: self.wall_s,
            memory_bytes: self.memory_bytes,
            asked_bytes: self.asked_bytes,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            wait_s: self.wait_s,
            overhead_s: self.overhead_s,
        }
    }
}

/// What an end says of the task; none when it says nothing.
pub(crate) fn ended(phase: Phase, class: Option<FailureClass>) -> Option<Ended> {
    Some(match (phase, class) {
        (Phase::Succeeded, _) => Ended::Succeeded,
        (_, Some(FailureClass::Oom)) => Ended::OutOfMemory,
        (_, Some(class)) if class.is_system() => Ended::Preempted,
        (Phase::Failed | Phase::TimedOut, _) => Ended::Failed,
        _ => return None,
    })
}

/// By run, workflow and path of a map: how many items it had.
type Items = BTreeMap<(RunId, String, String), u64>;

fn of_the_past(reader: &Reader) -> Result<(Vec<Lesson>, Items), journal::JournalError> {
    let rows = reader.history(&HistoryFilter { limit: HISTORY_MAX, ..HistoryFilter::default() })?;
    let mut graphs: BTreeMap<Digest, Option<Arc<Graph>>> = BTreeMap::new();
    let (mut lessons, mut items) = (Vec::new(), Items::new());
    for row in rows.iter().filter(|row| row.usage.wall_us > 0 && row.kind != engine::event::ActionKind::Transfer) {
        let graph = match graphs.get(&row.graph) {
            Some(graph) => graph.clone(),
            None => {
                let graph = reader.graph(&row.graph)?;
                graphs.insert(row.graph, graph.clone());
                graph
            }
        };
        lessons.extend(lesson_of(row, graph.as_deref()));
        if let Some((map, rest)) = row.path.split_once('[')
            && let Some(index) = rest.split_once(']').and_then(|(index, _)| index.parse::<u64>().ok())
        {
            let most = items.entry((row.run, row.workflow.clone(), map.to_owned())).or_default();
            *most = (*most).max(index + 1);
        }
    }
    Ok((lessons, items))
}

fn lesson_of(row: &HistoryRow, graph: Option<&Graph>) -> Option<Lesson> {
    let path = without_items(&row.path);
    let node = graph.and_then(|graph| node_at(graph, &path));
    let class = row.failure.as_ref().and_then(|class| serde_json::from_value(class.clone().into()).ok());
    let wall_s = row.usage.wall_us as f64 / 1e6;
    Some(Lesson {
        workflow: row.workflow.clone(),
        work: node.map_or_else(|| "run".into(), |node| node.kind.work()),
        asked_bytes: node.map_or(0.0, |node| node.needs.resources.memory_bytes as f64),
        path,
        site: row.site.clone(),
        ended: ended(row.phase, class)?,
        wall_s,
        memory_bytes: row.usage.memory_peak_bytes as f64,
        bytes_in: row.usage.bytes_in as f64,
        bytes_out: row.usage.bytes_out as f64,
        // Of an action with several attempts only the sum of waits and runs is known.
        wait_s: if row.attempt <= 1 { row.started_at.since(row.opened_at).as_secs_f64() } else { 0.0 },
        overhead_s: (row.finished_at.since(row.started_at).as_secs_f64() - wall_s).max(0.0),
    })
}

/// The node at a path without the numbers of items: `train`, `score[]`, `sub/clean`.
pub(crate) fn node_at<'g>(graph: &'g Graph, path: &str) -> Option<&'g Node> {
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let id = first.split(['[', '!']).next().unwrap_or_default();
    let mut node = graph.nodes.iter().find(|node| node.id == id)?;
    for _ in 0..first.matches("[]").count() {
        let NodeKind::Each { body, .. } = &node.kind else { return None };
        node = body;
    }
    match (rest, &node.kind) {
        (None, _) => Some(node),
        (Some(rest), NodeKind::Workflow { graph }) => node_at(graph, rest),
        _ => None,
    }
}
