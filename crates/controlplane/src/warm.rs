//! How much work is about to begin at each site, from the forecast: what decides how long idle rented capacity is kept, and whether what waits
//! at a full site would do better to go elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::WorkRow;
use model::Timestamp;
use parking_lot::RwLock;
use placement::burst::Coming;
use prediction::forecast::Forecaster;

use crate::costs::HOUR_US;
use crate::{ControlPlane, Fault};

/// Hours that are looked back on: two weeks, so that a season of a week has been seen twice.
const HOURS: u64 = 336;
/// How often the forecast is made anew.
const EVERY: Duration = Duration::from_secs(600);
/// Hours that are looked ahead.
const HOURS_AHEAD: usize = 24;
/// Hours of the past from which on waits are stretched.
const HOURS_LEAST: usize = 24;

/// What is expected at a site.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// Beginnings, hour by hour from the present one on.
    begins: Vec<f64>,
    /// Of them: commands and scripts, those that still run counted.
    pub(crate) processes: Vec<f64>,
    /// The parts of the site that work takes, hour by hour.
    loads: Vec<Coming>,
}

/// By site: what is expected. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Arrivals {
    by_site: Arc<RwLock<BTreeMap<String, Expected>>>,
}

impl Arrivals {
    /// Beginnings that are expected in an hour; none where nothing is known.
    pub(crate) fn an_hour(&self, site: &str) -> Option<f64> {
        self.by_site.read().get(site)?.begins.first().copied()
    }

    /// The parts of a site that work to come takes, hour by hour from now; nothing where nothing is known.
    pub(crate) fn loads(&self, site: &str) -> Vec<Coming> {
        self.by_site.read().get(site).map(|expected| expected.loads.clone()).unwrap_or_default()
    }

    /// The same of the next hour.
    pub(crate) fn load(&self, site: &str) -> Option<Coming> {
        self.by_site.read().get(site)?.loads.first().copied()
    }
}

/// What is expected at sites with so many cores, from what began there hour by hour. `now` is the hour that is not over yet.
fn expected(rows: &[WorkRow], cores: &BTreeMap<String, f64>, first: u64, now: u64) -> BTreeMap<String, Expected> {
    // By site and hour: how many began, and the core-hours that they took.
    let mut begun: BTreeMap<&str, BTreeMap<u64, (f64, f64)>> = BTreeMap::new();
    for row in rows {
        let hour = begun.entry(&row.site).or_default().entry(row.hour).or_default();
        *hour = (hour.0 + row.begun as f64, hour.1 + row.core_us as f64 / HOUR_US as f64);
    }
    let of_site = |(site, hours): (&str, BTreeMap<u64, (f64, f64)>)| {
        // From the first hour that anything began there: before, nobody can say that nothing was to do.
        let from = hours.keys().next()?.max(&first).to_owned();
        let (mut begins, mut work) = (Forecaster::new(&[24, 168]), Forecaster::new(&[24, 168]));
        for hour in from..now {
            let (count, core_hours) = hours.get(&hour).copied().unwrap_or_default();
            begins.learn(count);
            work.learn(core_hours);
        }
        let cores = cores.get(site).copied().filter(|cores| *cores > 0.0);
        // A few hours say nothing of a season, and an interval that was never judged is no reason to go elsewhere.
        let known = cores.filter(|_| work.steps() >= HOURS_LEAST);
        let load = |cores: f64| {
            let of = |ahead| work.ahead(ahead);
            (1..=HOURS_AHEAD).map(of).map(|said| Coming { mid: said.mid / cores, high: said.high / cores }).collect()
        };
        let loads = known.map(load).unwrap_or_default();
        let begins = (1..=HOURS_AHEAD).map(|ahead| begins.ahead(ahead).mid.max(0.0)).collect();
        Some((site.to_owned(), Expected { begins, loads, processes: Vec::new() }))
    };
    begun.into_iter().filter_map(of_site).collect()
}

/// How many processes will begin at a site, hour by hour from `now` on.
fn processes(begun: &[(String, u64, u64)], site: &str, first: u64, now: u64) -> Vec<f64> {
    let hours: BTreeMap<u64, u64> =
        begun.iter().filter(|(known, ..)| known == site).map(|(_, hour, count)| (*hour, *count)).collect();
    let Some(from) = hours.keys().next().map(|from| *from.max(&first)) else { return Vec::new() };
    let mut forecaster = Forecaster::new(&[24, 168]);
    (from..now).for_each(|hour| forecaster.learn(hours.get(&hour).copied().unwrap_or_default() as f64));
    (1..=HOURS_AHEAD).map(|ahead| forecaster.ahead(ahead).mid.max(0.0)).collect()
}

impl ControlPlane {
    /// What will begin from the hour of a time on, by site.
    fn foreseen(&self, at: Timestamp) -> Result<BTreeMap<String, Expected>, Fault> {
        let now = at.0 / HOUR_US;
        let first = now.saturating_sub(HOURS);
        let rows = self.reader().work_by_hour(Timestamp(first * HOUR_US)).map_err(Fault::internal)?;
        let sites = self.reader().sites().map_err(Fault::internal)?;
        let cores = sites.into_iter().map(|row| (row.spec.name, f64::from(row.spec.capacity.cpu_millis) / 1_000.0)).collect();
        let mut expected = expected(&rows, &cores, first, now);
        let begun = self.reader().begun_by_hour(Timestamp(first * HOUR_US)).map_err(Fault::internal)?;
        for (site, expected) in &mut expected {
            expected.processes = processes(&begun, site, first, now);
        }
        Ok(expected)
    }

    /// Keeps the forecast fresh, and what is kept started by it.
    pub(crate) async fn foresee(self, arrivals: Arrivals) {
        while self.foresee_as_of(&arrivals, crate::clock::wall()).await {
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Makes the forecast as of a time, and sizes the pools of sites by it. False when the server is stopping.
    pub(crate) async fn foresee_as_of(&self, arrivals: &Arrivals, at: Timestamp) -> bool {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.foreseen(at)).await {
            Ok(Ok(expected)) => {
                *arrivals.by_site.write() = expected.clone();
                self.size_pools(&expected, at, EVERY).await;
            }
            Ok(Err(error)) => tracing::warn!(error = error.detail, "what will come cannot be foreseen"),
            Err(_) => return false,
        }
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::mpsc::channel;

    use engine::Event;
    use engine::event::*;
    use journal::{Batch, Durability, Entry};
    use model::{ActionNo, AttemptNo, Digest, Epoch, Graph, Label, Money, Node, Payload, Phase, Resources, RunId, SiteSpec};

    use super::*;
    use crate::Options;

    /// Hours of the day in which there is much to do.
    fn busy(hour: u64) -> bool {
        (9..17).contains(&(hour % 24))
    }

    #[test]
    fn a_past_of_weeks_is_foreseen_by_the_hour_of_the_day_and_a_short_one_stretches_nothing() {
        let cores = BTreeMap::from([("own".to_owned(), 4.0), ("new".to_owned(), 4.0)]);
        let row = |site: &str, hour: u64, begun: u64| WorkRow {
            project: "p".into(),
            site: site.into(),
            hour,
            begun,
            core_us: begun * HOUR_US / 10,
        };
        let now = 24 * 20_000 + 8;
        let mut rows: Vec<WorkRow> = (now - 500..now).map(|hour| row("own", hour, if busy(hour) { 30 } else { 1 })).collect();
        rows.extend((now - 20..now).map(|hour| row("new", hour, 10)));
        let said = expected(&rows, &cores, now - HOURS, now);
        let loads = &said["own"].loads;
        // The next hours: the eighth of the day, then the busy ones, then the evening.
        assert!(loads[0].mid < 0.2 && loads[4].mid > 0.6 && loads[12].mid < 0.2, "{loads:?}");
        assert!(loads.iter().all(|load| load.high >= load.mid && load.high.is_finite()));
        assert!(said["own"].begins[0] < 8.0, "{:?}", said["own"].begins);
        assert!(said["new"].loads.is_empty(), "twenty hours say nothing of a day");
        assert!(said["new"].begins[0] > 5.0, "how long a piece is kept, they do");
        assert_eq!(expected(&[], &cores, 0, now), BTreeMap::new());
    }

    /// A run of one action that began at a time and took so long.
    fn story(number: u64, at: u64, wall_us: u64, graph: Digest) -> Vec<Entry> {
        let (run, action, attempt) = (RunId(number), ActionNo(0), AttemptNo(1));
        let salt = [7; 32];
        let events = [
            (
                at,
                Event::RunSubmitted(Box::new(RunSubmitted {
                    run,
                    name: format!("r-{number}"),
                    project: "p".into(),
                    domain: "development".into(),
                    workflow: "p/w".into(),
                    graph,
                    inputs: Payload::new(&salt, serde_json::json!({})),
                    principal: "test".into(),
                    idempotency_key: None,
                    origin: Origin::Submitted,
                    reused: Vec::new(),
                    run_labels: None,
                    concurrency: None,
                    reused_items: None,
                    priority: 0,
                    label: Label::empty(),
                    locations: Vec::new(),
                    traceparent: None,
                    behind: None,
                    salt,
                    subject: None,
                })),
            ),
            (
                at,
                Event::ActionsOpened(ActionsOpened {
                    run,
                    actions: vec![Opened {
                        action,
                        role: Role::Node,
                        scope: 0,
                        node: 0,
                        input: None,
                        label: Label::empty(),
                        recall: None,
                        path: "a".into(),
                        kind: ActionKind::Run,
                        instant: false,
                    }],
                }),
            ),
            (
                at,
                Event::ActionsPlaced(ActionsPlaced {
                    run,
                    site: "own".into(),
                    epoch: Epoch(1),
                    actions: vec![Placed { action, attempt, awaits: Vec::new() }],
                    explanation: "{}".into(),
                    worker: None,
                }),
            ),
            (
                at + wall_us,
                Event::AttemptFinished(Box::new(AttemptFinished {
                    run,
                    action,
                    attempt,
                    phase: Phase::Succeeded,
                    output: Some(Payload::new(&salt, serde_json::json!({}))),
                    failure: None,
                    usage: Usage { wall_us, cpu_us: wall_us, ..Usage::default() },
                    cost: Money(1),
                    retry_at: None,
                    locations: Vec::new(),
                    memory_bytes: None,
                })),
            ),
            (
                at + wall_us,
                Event::RunFinished(Box::new(RunFinished {
                    run,
                    phase: Phase::Succeeded,
                    outputs: Some(Payload::new(&salt, serde_json::json!({}))),
                    failure: None,
                    cost: Money(1),
                })),
            ),
        ];
        events.map(|(at, event)| Entry { run, at: Timestamp(at), event }).into()
    }

    /// A site of four cores.
    pub(crate) fn own() -> SiteSpec {
        SiteSpec {
            name: "own".into(),
            executor: Default::default(),
            capacity: Resources { cpu_millis: 4_000, memory_bytes: 1 << 34, ..Resources::default() },
            attributes: BTreeMap::new(),
            prices: Default::default(),
            simulates: None,
            sandbox: None,
            store: None,
        }
    }

    /// A server whose journal says what began at its site: for so many days before an hour, so many actions of such a length in each.
    pub(crate) async fn with_past(
        site: SiteSpec,
        (days, until): (u64, u64),
        wall_us: u64,
        begun: impl Fn(u64) -> u64,
    ) -> (tempfile::TempDir, ControlPlane) {
        let data = tempfile::tempdir().unwrap();
        let options =
            journal::Options { path: data.path().join("journal"), shard: 0, durability: Durability::Relaxed, keys: None };
        let opened = journal::open(options).unwrap();
        let graph = Arc::new(Graph {
            workflow: "p/w".into(),
            nodes: vec![Node { id: "a".into(), ..Node::default() }],
            ..Graph::default()
        });
        let registered = Event::SiteRegistered(Box::new(SiteRegistered { site, principal: "test".into() }));
        let first = until - days * 24;
        let mut entries = vec![Entry { run: RunId::FLEET, at: Timestamp(first * HOUR_US), event: registered }];
        let mut number = 0;
        for hour in first..until {
            for part in 0..begun(hour) {
                number += 1;
                entries.extend(story(number, hour * HOUR_US + part * 10_000_000, wall_us, graph.digest()));
            }
        }
        for chunk in entries.chunks(2_000) {
            let (sender, receiver) = channel();
            let durable = Box::new(move |result| drop(sender.send(result)));
            let batch = Batch { entries: chunk.to_vec(), graphs: vec![(graph.digest(), graph.clone())], durable };
            opened.writer.append(batch).unwrap();
            receiver.recv().unwrap().unwrap();
        }
        opened.writer.stop();
        drop(opened.reader);
        let options = Options {
            data: data.path().to_owned(),
            durability: Durability::Relaxed,
            // A wrapper that begins nothing and ends with the server.
            shim: ("/bin/sh".into(), vec!["-c".into(), "cat > /dev/null".into()]),
            path: String::new(),
            keys: Default::default(),
        };
        let control = ControlPlane::open(options).await.unwrap();
        (data, control)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_long_journal_is_foreseen_from_what_it_says() {
        let now = crate::clock::wall().0;
        // Forty days: in every busy hour twelve actions of a quarter of an hour, in the others one.
        let begun = |hour| if busy(hour) { 12 } else { 1 };
        let (_data, control) = with_past(own(), (40, now / HOUR_US), HOUR_US / 4, begun).await;
        let said = control.foreseen(Timestamp(now)).unwrap();
        let own = &said["own"];
        let first = now / HOUR_US;
        for (ahead, load) in own.loads.iter().enumerate() {
            // Three of four cores when it is busy, a sixteenth of the site when not.
            let hour = first + ahead as u64;
            assert!(if busy(hour) { load.mid > 0.5 } else { load.mid < 0.25 }, "hour {} of the day: {load:?}", hour % 24);
            assert!(load.high < 1.2, "{load:?}");
        }
        let begins = if busy(first) { 6.0..18.0 } else { 0.0..4.0 };
        assert!(begins.contains(&own.begins[0]), "{:?}", own.begins);
        // What projects are told is made from the same.
        let demand = control.demand(28, 24).unwrap();
        let core_hours: f64 = demand[0].core_hours.iter().map(|hour| hour.mid).sum();
        assert!((20.0..36.0).contains(&core_hours), "eight busy hours of three, sixteen of a quarter: {core_hours}");
        assert!(demand[0].coverage.1 > 400, "{:?}", demand[0].coverage);
        control.stop().await;
    }
}
