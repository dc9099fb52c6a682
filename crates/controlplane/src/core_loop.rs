//! The run loop: one thread that owns the state. It drains the inbox, decides all, places what is queued, and hands one batch to the
//! journal's writer; effects and answers leave only when the batch is durable. The next batch is decided while this one is being
//! flushed, so that deciding costs no latency.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use engine::event::RunFinished;
use engine::{Command, Context, Effect, Evaluate, Event, Rejection, State};
use journal::{Batch, Entry, Writer};
use model::limits::{BATCH_COMMANDS_MAX, INBOX_COMMANDS_MAX};
use model::{RunId, Seq, SiteSpec, Timestamp};
use tokio::sync::oneshot;

use crate::audit::Halt;
use crate::clock::Clock;
use crate::flyte::Flyte;
use crate::governing::Gate;
use crate::instants::Instants;
use crate::notices::Notices;
use crate::placer::Placer;
use crate::projects::Line;

/// Candidates given to the placer at a time.
const CANDIDATES_MAX: usize = 4_096;
/// How long a batch of nothing but lazy commands waits for company.
const LAZY_WAIT: std::time::Duration = std::time::Duration::from_millis(20);
/// How often actions that fitted nowhere are looked at again although nothing changed: what was worth waiting for may not be any more.
const LOOK_AGAIN: model::Duration = model::Duration::from_secs(5);
/// The longest sleep without anything due: a clock that jumped forward is noticed after this at the latest.
const IDLE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The run concerned: for a submission the new or the already known one.
    pub run: Option<RunId>,
    /// Whether the submission made a new run.
    pub fresh: bool,
    /// The position of the last entry that is durable now.
    pub seq: Seq,
}

/// Why a command came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The engine did not accept it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Too much is waiting already; try again in a moment.
    #[error("the control plane is busy: {INBOX_COMMANDS_MAX} commands are waiting already; try again in a moment")]
    Busy,
    /// The journal cannot be written any more; the server is stopping.
    #[error("the journal cannot be written, so the server is stopping: {0}")]
    Journal(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

type Reply = oneshot::Sender<Result<Answer, Refusal>>;
/// Where an answer comes.
pub(crate) type Answered = oneshot::Receiver<Result<Answer, Refusal>>;
/// Where the end of a run comes.
pub(crate) type Ended = oneshot::Receiver<Arc<RunFinished>>;

/// What waits in the inbox.
struct Request {
    command: Command,
    reply: Option<Reply>,
    /// Who waits for the end of the run that it makes.
    end: Option<oneshot::Sender<Arc<RunFinished>>>,
    /// Whether it may wait for company: nothing follows from it.
    lazy: bool,
}

enum Message {
    Request(Box<Request>),
    /// Something to do with the writer between two turns.
    Writer(Box<dyn FnOnce(&Writer) + Send>),
    Stop,
}

/// What leaves the loop once it is durable.
#[derive(Debug)]
pub(crate) enum Release {
    /// A site was registered or changed.
    Site(SiteSpec),
    /// A site was removed.
    SiteRemoved(String),
    /// An instruction.
    Effect(Effect),
    /// Somebody waits until what was released before is carried out.
    Reached(oneshot::Sender<()>),
}

/// The inbox of the run loop. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    sender: Sender<Message>,
}

impl Inbox {
    /// Sends a command and waits until what came of it is durable.
    pub async fn ask(&self, command: Command) -> Result<Answer, Refusal> {
        self.post(command)?.await.map_err(|_| Refusal::Stopping)?
    }

    /// Sends a command; the answer comes through the receiver.
    pub fn post(&self, command: Command) -> Result<Answered, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Request { command, reply: Some(reply), end: None, lazy: false })?;
        Ok(answer)
    }

    /// Sends a submission; the answer comes through the first receiver, and the end of the run, if it is a new one, through the second. The
    /// end is listened for before it can come, so that nobody has to look whether it came already.
    pub(crate) fn post_and_watch(&self, command: Command) -> Result<(Answered, Ended), Refusal> {
        let ((reply, answer), (end, ended)) = (oneshot::channel(), oneshot::channel());
        self.send(Request { command, reply: Some(reply), end: Some(end), lazy: false })?;
        Ok((answer, ended))
    }

    /// Sends a command nobody waits for: a report. It blocks while the inbox is full, since a report must not be lost.
    pub fn report(&self, command: Command) {
        // A loop that is gone has no use for reports; the executor will be asked again after the restart.
        let lazy = matches!(command, Command::Started { .. });
        let _ = self.sender.send(Message::Request(Box::new(Request { command, reply: None, end: None, lazy })));
    }

    fn send(&self, request: Request) -> Result<(), Refusal> {
        self.sender.try_send(Message::Request(Box::new(request))).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Stopping,
        })
    }

    /// Whether so many commands can be sent without waiting for room, unless others send as many at this moment.
    pub fn has_room(&self, commands: usize) -> bool {
        self.sender.len() + commands < INBOX_COMMANDS_MAX / 2
    }

    /// How many commands wait.
    pub fn depth(&self) -> usize {
        self.sender.len()
    }

    /// Makes a graph durable.
    pub(crate) async fn keep_graph(&self, digest: model::Digest, graph: Arc<model::Graph>) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let append = move |writer: &Writer| {
            let durable = move |result: Result<journal::Appended, journal::JournalError>| {
                let _ = reply.send(result.map(drop).map_err(|error| Refusal::Journal(error.to_string())));
            };
            let _ = writer.append(crate::start::graph_batch(digest, graph, durable));
        };
        self.sender.send(Message::Writer(Box::new(append))).map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// Asks the loop to stop after what is in the inbox.
    pub(crate) fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }
}

/// The run loop before it is started.
pub(crate) struct CoreLoop {
    pub(crate) state: State,
    pub(crate) writer: Writer,
    pub(crate) evaluator: Arc<dyn Evaluate + Send + Sync>,
    pub(crate) clock: Clock,
    pub(crate) releases: tokio::sync::mpsc::UnboundedSender<Release>,
    pub(crate) notices: Notices,
    pub(crate) placer: Placer,
    pub(crate) gate: Gate,
    /// When actions that fitted nowhere were last looked at for nothing but that time passed.
    pub(crate) looked_at: Timestamp,
    pub(crate) halt: Halt,
    pub(crate) flyte: Flyte,
}

/// A channel into a loop that is yet to start.
pub(crate) fn inbox() -> (Inbox, Mailbox) {
    let (sender, receiver) = crossbeam_channel::bounded(INBOX_COMMANDS_MAX);
    (Inbox { sender }, Mailbox(receiver))
}

/// The receiving end of an [`Inbox`].
pub(crate) struct Mailbox(Receiver<Message>);

impl CoreLoop {
    /// Starts the loop on a thread of its own. It gives the writer back when it has stopped.
    pub(crate) fn start(self, mailbox: Mailbox) -> std::io::Result<JoinHandle<Writer>> {
        std::thread::Builder::new().name("tutti-core".into()).spawn(move || self.run(&mailbox.0))
    }

    fn run(mut self, mailbox: &Receiver<Message>) -> Writer {
        let mut requests: Vec<Request> = Vec::new();
        loop {
            let stop = self.gather(mailbox, &mut requests);
            self.turn(&mut requests);
            if stop {
                return self.writer;
            }
        }
    }

    /// Waits for the next command or timer, then takes everything that is there. True when it is time to stop.
    fn gather(&mut self, mailbox: &Receiver<Message>, requests: &mut Vec<Request>) -> bool {
        let now = self.clock.now();
        let idle = self.state.next_due().map_or(IDLE_WAIT, |due| due.since(now).to_std().min(IDLE_WAIT));
        let mut wait = idle;
        loop {
            match mailbox.recv_timeout(wait) {
                Ok(Message::Request(request)) => requests.push(*request),
                Ok(Message::Writer(work)) => work(&self.writer),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
            while requests.len() < BATCH_COMMANDS_MAX {
                match mailbox.try_recv() {
                    Ok(Message::Request(request)) => requests.push(*request),
                    Ok(Message::Writer(work)) => work(&self.writer),
                    Ok(Message::Stop) => return true,
                    Err(_) => break,
                }
            }
            if requests.is_empty() || requests.len() >= BATCH_COMMANDS_MAX || requests.iter().any(|request| !request.lazy) {
                return false;
            }
            wait = idle.min(LAZY_WAIT);
        }
    }

    /// Decides everything gathered, places what is queued, and hands the batch to the writer.
    fn turn(&mut self, requests: &mut Vec<Request>) {
        if let Some(reason) = self.notices.failed() {
            // What was decided since is in no journal; nothing is to be built on it.
            for reply in requests.drain(..).filter_map(|request| request.reply) {
                let _ = reply.send(Err(Refusal::Journal(reason.to_string())));
            }
            return;
        }
        let now = self.clock.now();
        let mut batch = Turn::default();
        for request in requests.drain(..) {
            let Request { command, reply, end, .. } = request;
            let graph = match &command {
                Command::Submit(submit) => Some((submit.graph_digest, submit.graph.clone())),
                Command::FireTrigger { submit: Some(submit), .. } => Some((submit.graph_digest, submit.graph.clone())),
                _ => None,
            };
            let result = self.step(command, now, &mut batch);
            if let (Ok(step), Some((digest, graph))) = (&result, graph)
                && step.1
                && batch.graphs.iter().all(|(known, _)| *known != digest)
            {
                batch.graphs.push((digest, graph));
            }
            if let (Some(end), Ok((Some(run), true))) = (end, &result) {
                self.notices.listen(*run, end);
            }
            if let Some(reply) = reply {
                batch.replies.push((reply, result));
            }
        }
        if self.state.next_due().is_some_and(|due| due <= now) {
            // A tick is never rejected.
            let _ = self.step(Command::Tick, now, &mut batch);
        }
        if self.state.fleet().queued() > 0 && now.since(self.looked_at) >= LOOK_AGAIN {
            self.looked_at = now;
            self.state.look_again();
        }
        let grown = self.state.take_grown();
        if !grown.is_empty() {
            self.gate.look_again();
            batch.grown.extend(grown);
        }
        let denied = self.gate.denied(&self.state);
        if !denied.is_empty() {
            // Revoking is never rejected.
            let _ = self.step(Command::Revoke { actions: denied }, now, &mut batch);
        }
        self.settle(now, &mut batch);
        self.hand_over(batch);
    }

    fn step(&mut self, command: Command, now: Timestamp, batch: &mut Turn) -> Result<(Option<RunId>, bool), Rejection> {
        let entropy = self.clock.entropy();
        let evaluator: &dyn Evaluate = &*self.evaluator;
        // What is a function of its input takes no time, and nothing is to be learned of it.
        let reported = match &command {
            Command::Report(report) if report.usage.wall_us > 0 => self.state.glimpse(report.attempt.action_key()),
            _ => None,
        };
        if let (Command::Report(report), Some(seen)) = (&command, &reported)
            && let Some(bytes) = self.placer.learned().memory_after_kill(seen, &report.outcome)
        {
            self.state.hint_memory(report.attempt.action_key(), bytes);
        }
        // A run that ends with it has no names afterwards.
        let names = match &command {
            Command::Report(report) => self.state.names_of(report.attempt.run),
            _ => None,
        };
        let step = self.state.step(command, &Context { now, entropy, evaluator })?;
        let fresh = !step.events.is_empty();
        for event in &step.events {
            self.gate.note(event);
            self.placer.note(event, names.as_deref(), now);
            if let (Event::AttemptFinished(end), Some(seen)) = (event, &reported) {
                self.placer.learned().note(seen, end, now);
            }
        }
        batch.entries.extend(step.events.into_iter().map(|event| Entry { run: run_of(&event), at: now, event }));
        Ok((step.run, fresh))
    }

    /// Places what is queued and computes what is a function of its input, until nothing follows from that.
    fn settle(&mut self, now: Timestamp, batch: &mut Turn) {
        let mut instants = Instants::default();
        loop {
            self.place(now, batch);
            let reports = instants.take(self.state.take_effects(), &mut batch.effects);
            if reports.is_empty() {
                return;
            }
            for report in reports {
                // A report is never rejected.
                let _ = self.step(Command::Report(Box::new(report)), now, batch);
            }
        }
    }

    /// Every dispatch goes through here: the gate and the placer look at what is queued until nothing more can be placed.
    fn place(&mut self, now: Timestamp, batch: &mut Turn) {
        // What is queued stays queued; submissions, reports and decisions go on.
        while !self.halt.is_on() {
            let candidates = self.state.take_candidates(CANDIDATES_MAX);
            if candidates.is_empty() {
                return;
            }
            let mut line = Line::new(candidates, &self.state, now);
            while let Some(candidate) = self.placer.next(&mut line, now) {
                let placements = {
                    let permitted = self.gate.permitted(&self.state, &candidate);
                    self.placer.decide(&self.state, &candidate, permitted, now)
                };
                // Placing is never rejected: what no longer fits is left in the queue.
                let _ = self.step(Command::Place(placements), now, batch);
            }
        }
    }

    fn hand_over(&self, batch: Turn) {
        let Turn { entries, graphs, effects, replies, grown } = batch;
        if entries.is_empty() && effects.is_empty() && replies.is_empty() {
            return;
        }
        failpoint::hit(failpoint::Point::LoopDecided);
        let (releases, notices, flyte) = (self.releases.clone(), self.notices.clone(), self.flyte.clone());
        let sites = entries.iter().filter_map(|entry| match &entry.event {
            Event::SiteRegistered(registered) => Some(Release::Site(registered.site.clone())),
            Event::SiteRemoved(named) => Some(Release::SiteRemoved(named.site.clone())),
            _ => None,
        });
        let sites: Vec<Release> = sites.collect();
        let interesting = notices.interesting(&entries, self.state.fleet());
        let durable = Box::new(move |result: Result<journal::Appended, journal::JournalError>| match result {
            Ok(appended) => {
                // Before anybody acts on the results that brought it, or is told of them.
                for (attempt, label) in grown {
                    flyte.grown(attempt, label);
                }
                for release in sites.into_iter().chain(effects.into_iter().map(Release::Effect)) {
                    // Without a dispatcher the server is stopping, and effects are derived again at the next start.
                    let _ = releases.send(release);
                }
                let seq = appended.last;
                // Before the answers: whoever has one may rely on what is kept at hand being fresh.
                notices.durable(seq, interesting);
                for (reply, result) in replies {
                    let answer = result.map(|(run, fresh)| Answer { run, fresh, seq }).map_err(Refusal::from);
                    // Whoever asked may have gone away.
                    let _ = reply.send(answer);
                }
            }
            Err(error) => {
                let reason = error.to_string();
                notices.fail(&reason);
                for (reply, _) in replies {
                    let _ = reply.send(Err(Refusal::Journal(reason.clone())));
                }
            }
        });
        if self.writer.append(Batch { entries, graphs, durable }).is_err() {
            tracing::error!("the journal's writer has stopped");
        }
    }
}

/// One turn of the loop in the making.
#[derive(Default)]
struct Turn {
    entries: Vec<Entry>,
    graphs: Vec<(model::Digest, Arc<model::Graph>)>,
    effects: Vec<Effect>,
    replies: Vec<(Reply, Result<(Option<RunId>, bool), Rejection>)>,
    /// Attempts whose data carry more, and what they carry now.
    grown: Vec<(model::AttemptKey, model::Label)>,
}

/// The run that an event belongs to; the fleet's stream for those that belong to none.
pub(crate) fn run_of(event: &Event) -> RunId {
    event.run().unwrap_or(RunId::FLEET)
}
