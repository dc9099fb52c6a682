//! Answers that many wait for, made once: fifty browsers on a busy run cost one reading of it, one writing of JSON and one compression, and
//! fifty copies of bytes.
//!
//! An answer is handed to whoever asked before its reading began, and to nobody else: what was durable when somebody asked is in what they
//! get. After a reading the same thing rests for a while that grows with how long it took, so that however many look at a run that changes
//! all the time, reading it takes a small part of the time, and they get a few pictures of it a second.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use controlplane::Fault;
use flate2::Compression;
use flate2::write::GzEncoder;
use journal::Until;
use model::{RunId, Seq};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::App;
use super::access::Caller;
use super::problem::{ApiResult, blocking};
use super::sight::{reads_all, sees_all};

/// So many times as long as a reading took is rested after it.
const REST: u32 = 10;
/// The longest rest: whoever waits gets a picture that is no older than this and a reading.
const REST_MAX: Duration = Duration::from_millis(400);
/// Answers from this size on are compressed for whoever takes that: a smaller one fits into a few packets as it is.
const PACKED_FROM: usize = 4 << 10;
/// Things asked for at a time, from which on those that nobody waits for are looked for.
const SLOTS_MAX: usize = 1_000;

/// What of a run, or of all of them, is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// The run with so many of its actions, at which moment.
    Run { actions: usize, until: Option<Until> },
    /// Its tiles: from, to, how many, at which moment.
    Tiles { from: u32, to: Option<u32>, tiles: u32, until: Option<Until> },
    /// Its nodes, at which moment.
    Graph { until: Option<Until> },
    /// Where it stands.
    Outlook,
    /// What waits for sites, so many groups of one or of each.
    Queues { site: Option<String>, limit: usize },
}

/// Whose answer it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// That of everybody who may see all that is in such an answer.
    Everybody,
    /// That of one caller: what they may see depends on who they are.
    Of(policy::Caller),
}

impl Whose {
    fn of(app: &App, caller: &Caller, what: &What) -> Whose {
        let told_all = match what {
            // Tiles hold counts and times, no values.
            What::Tiles { .. } => true,
            // Queues name runs, and hold no values either.
            What::Queues { .. } => reads_all(app, caller),
            What::Run { .. } | What::Graph { .. } | What::Outlook => sees_all(app, caller),
        };
        match told_all {
            true => Whose::Everybody,
            false => Whose::Of(caller.as_policy()),
        }
    }
}

type Asked = (RunId, What, Whose);
/// Held by the one that reads for all; what was read last lies in it for as long as it rests.
type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

/// An answer, and what it holds.
#[derive(Clone, Debug)]
struct Made {
    /// Everything up to this position is in it.
    of: Seq,
    /// The next reading begins no earlier.
    next: Instant,
    answer: Answer,
}

/// The bytes of an answer in JSON.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    plain: Bytes,
    packed: Arc<OnceLock<Bytes>>,
}

impl Answer {
    fn of(view: &impl Serialize) -> Result<Answer, Fault> {
        let plain = serde_json::to_vec(view).map_err(Fault::internal)?.into();
        Ok(Answer { plain, packed: Arc::default() })
    }

    /// Compressed: by the first who wants it so, for all.
    fn packed(&self) -> Bytes {
        let pack = || {
            let mut packed = GzEncoder::new(Vec::with_capacity(self.plain.len() / 8), Compression::fast());
            let written = packed.write_all(&self.plain).and_then(|()| packed.finish());
            // Writing to memory does not fail.
            Bytes::from(written.unwrap_or_default())
        };
        self.packed.get_or_init(|| tokio::task::block_in_place(pack)).clone()
    }

    /// As an answer to a request with these headers.
    pub(crate) fn respond(&self, asked: &HeaderMap) -> Response {
        let compressed = self.plain.len() >= PACKED_FROM && takes_gzip(asked);
        let mut response = if compressed { self.packed() } else { self.plain.clone() }.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether a client takes gzip, and does not say that it would rather not.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let wanted = headers.get(header::ACCEPT_ENCODING).and_then(|text| text.to_str().ok()).unwrap_or_default();
    wanted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse().is_ok_and(|q: f32| q <= 0.0)))
    })
}

/// What was read a moment ago, and who waits for what.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    slots: Mutex<BTreeMap<Asked, Slot>>,
}

impl Shared {
    /// An answer that holds everything that was durable when it was asked for; none when `make` has none to share. Who asks while another
    /// reads waits, and takes what is read next together with all who wait.
    async fn get<M>(self: &Arc<Self>, durable: impl Fn() -> Seq, asked: &Asked, make: M) -> ApiResult<Option<Answer>>
    where
        M: FnOnce() -> Result<Option<Answer>, Fault> + Send + 'static,
    {
        let wanted = durable();
        let slot = self.slot(asked);
        let mut made = slot.lock().await;
        if let Some(made) = &*made {
            if made.of >= wanted {
                return Ok(Some(made.answer.clone()));
            }
            tokio::time::sleep_until(made.next).await;
        }
        let (of, began) = (durable(), Instant::now());
        let answer = blocking(make).await;
        let ended = Instant::now();
        let next = ended + (ended.duration_since(began) * REST).min(REST_MAX);
        let kept = answer.as_ref().ok().and_then(Option::as_ref);
        *made = kept.map(|answer| Made { of, next, answer: answer.clone() });
        drop(made);
        self.forget(asked.clone(), slot, next);
        answer
    }

    fn slot(&self, asked: &Asked) -> Slot {
        let mut slots = self.slots.lock();
        if slots.len() >= SLOTS_MAX {
            // Those who were first and went away before they had read.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(asked.clone()).or_default().clone()
    }

    /// Lets an answer go when it has rested: values of runs do not lie about because somebody once looked at them.
    fn forget(self: &Arc<Self>, asked: Asked, slot: Slot, next: Instant) {
        let shared = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(next).await;
            let mut made = slot.lock().await;
            if made.as_ref().is_some_and(|made| made.next > next) {
                // It was read again, and that reading comes by here too.
                return;
            }
            *made = None;
            let mut slots = shared.slots.lock();
            // Nobody else waits: there is one for the table, and one here.
            if Arc::strong_count(&slot) == 2 {
                slots.remove(&asked);
            }
        });
    }
}

/// What of a run, or of all when it is [`RunId::FLEET`], a caller asks for: `make` reads it as the caller may see it. What callers may see is looked at before an answer is shared
/// with them, and again when it is there.
pub(crate) async fn of_run<M, V>(app: &App, caller: &Caller, run: RunId, what: What, make: M) -> ApiResult<Answer>
where
    M: Fn(&App, &Caller) -> Result<V, Fault> + Clone + Send + 'static,
    V: Serialize,
{
    loop {
        let whose = Whose::of(app, caller, &what);
        let asked = (run, what.clone(), whose.clone());
        let read = {
            let (app, caller, make, asked) = (app.clone(), caller.clone(), make.clone(), asked.clone());
            move || {
                let answer = Answer::of(&make(&app, &caller)?)?;
                // Made by rules that have changed since, it is nobody's.
                if Whose::of(&app, &caller, &asked.1) == asked.2 { Ok(Some(answer)) } else { Ok(None) }
            }
        };
        if let Some(answer) = app.shared.get(|| app.control.notices().position(), &asked, read).await?
            && Whose::of(app, caller, &what) == whose
        {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;

    use super::*;

    /// A thing that is read, how often that was done, and a journal that grows.
    #[derive(Default)]
    struct World {
        shared: Arc<Shared>,
        readings: Arc<AtomicU64>,
        durable: AtomicU64,
    }

    fn asked() -> Asked {
        (RunId(1), What::Outlook, Whose::Everybody)
    }

    impl World {
        /// Gives the number of the reading.
        async fn ask(&self) -> u64 {
            let readings = self.readings.clone();
            let make = move || Answer::of(&(readings.fetch_add(1, Ordering::SeqCst) + 1)).map(Some);
            let answer = self.shared.get(|| Seq(self.durable.load(Ordering::SeqCst)), &asked(), make).await.unwrap().unwrap();
            serde_json::from_slice(&answer.plain).unwrap()
        }

        /// Something was read as of a position, and may be read again after a while.
        async fn read(&self, of: u64, rests: Duration) -> Slot {
            let slot = self.shared.slot(&asked());
            let answer = Answer::of(&"kept").unwrap();
            *slot.lock().await = Some(Made { of: Seq(of), next: Instant::now() + rests, answer });
            slot
        }
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn who_asks_for_what_has_not_changed_is_given_what_was_read() {
        let world = World::default();
        world.durable.store(7, Ordering::SeqCst);
        world.read(7, LONG).await;
        let none = || Err(Fault::internal("it was read again"));
        let answer = world.shared.get(|| Seq(7), &asked(), none).await.unwrap().unwrap();
        assert_eq!(&answer.plain[..], b"\"kept\"");
    }

    #[tokio::test]
    async fn all_who_wait_take_one_reading_and_it_holds_what_was_durable_when_they_asked() {
        let world = World::default();
        world.durable.store(8, Ordering::SeqCst);
        let slot = world.read(7, Duration::ZERO).await;
        let held = slot.lock().await;
        // All of them wait before anybody can read.
        let (seen, ()) = tokio::join!(join_all((0..50).map(|_| world.ask())), async { drop(held) });
        assert_eq!((seen, world.readings.load(Ordering::SeqCst)), (vec![1; 50], 1));
    }

    #[tokio::test]
    async fn nothing_is_read_while_it_rests_and_whoever_goes_away_meanwhile_takes_nothing_from_others() {
        let world = World::default();
        world.durable.store(8, Ordering::SeqCst);
        let slot = world.read(7, LONG).await;
        assert!(tokio::time::timeout(Duration::ZERO, world.ask()).await.is_err());
        assert_eq!(world.readings.load(Ordering::SeqCst), 0);
        slot.lock().await.as_mut().unwrap().next = Instant::now();
        assert_eq!(world.ask().await, 1);
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_as_long_as_it_rests_and_one_that_failed_is_not_kept() {
        let world = World::default();
        let broken = || Err(Fault::internal("broken"));
        assert!(world.shared.get(|| Seq(0), &asked(), broken).await.is_err());
        assert_eq!(world.ask().await, 1);
        while !world.shared.slots.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.ask().await, 2);
    }

    #[test]
    fn what_is_large_is_compressed_for_those_who_take_it() {
        let headers = |coding: &'static str| HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(coding))]);
        for takes in ["gzip", "br, GZIP;q=0.5", "deflate,gzip"] {
            assert!(takes_gzip(&headers(takes)), "{takes}");
        }
        for leaves in ["", "br", "gzip;q=0", "gzip; q=0.0, br", "xgzip"] {
            assert!(!takes_gzip(&headers(leaves)), "{leaves}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
        let small = Answer::of(&"small").unwrap().respond(&headers("gzip"));
        assert!(small.headers().get(header::CONTENT_ENCODING).is_none());
    }
}
