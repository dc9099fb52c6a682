//! How much work is about to begin at each site, from the forecast: what decides how long idle rented capacity is kept, and whether what waits
//! at a full site would do better to go elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::HistoryFilter;
use model::Timestamp;
use parking_lot::RwLock;
use placement::burst::Coming;
use prediction::forecast::Forecaster;

use crate::{ControlPlane, Fault};

/// Actions of the past that are looked at.
const ACTIONS_MAX: usize = 100_000;
/// Hours that are looked back on: two weeks, so that a season of a week has been seen twice.
const HOURS: u64 = 336;
/// How often the forecast is made anew.
const EVERY: Duration = Duration::from_secs(600);
/// Hours that are looked ahead.
const HOURS_AHEAD: usize = 24;
/// Hours of the past from which on waits are stretched.
const HOURS_LEAST: usize = 24;
const HOUR_US: u64 = 3_600_000_000;

/// What is expected at a site.
#[derive(Clone, Debug, Default, PartialEq)]
struct Expected {
    /// Beginnings in the next hour.
    begins: f64,
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
        self.by_site.read().get(site).map(|expected| expected.begins)
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

impl ControlPlane {
    /// What will begin in the next hour, by site.
    fn foreseen(&self) -> Result<BTreeMap<String, Expected>, Fault> {
        let now = crate::clock::wall();
        let first = now.0 / HOUR_US - HOURS;
        let since = Some(Timestamp(first * HOUR_US));
        let filter = HistoryFilter { since, limit: ACTIONS_MAX, ..HistoryFilter::default() };
        // By site and hour: how many began, and the core-hours that they took.
        let mut begun: BTreeMap<String, BTreeMap<u64, (f64, f64)>> = BTreeMap::new();
        for row in self.reader().history(&filter).map_err(Fault::internal)? {
            let hours = begun.entry(row.site).or_default();
            let hour = hours.entry(row.started_at.0 / HOUR_US).or_default();
            let core_hours = row.usage.cpu_us.max(row.usage.wall_us / 4) as f64 / HOUR_US as f64;
            *hour = (hour.0 + 1.0, hour.1 + core_hours);
        }
        let cores: BTreeMap<String, f64> = self
            .reader()
            .sites()
            .map_err(Fault::internal)?
            .into_iter()
            .map(|row| (row.spec.name, f64::from(row.spec.capacity.cpu_millis) / 1_000.0))
            .collect();
        let expected = begun.into_iter().filter_map(|(site, hours)| {
            // From the first hour that anything began there: before, nobody can say that nothing was to do.
            let from = hours.keys().next()?.max(&first).to_owned();
            let (mut begins, mut work) = (Forecaster::new(&[24, 168]), Forecaster::new(&[24, 168]));
            for hour in from..now.0 / HOUR_US {
                let (count, core_hours) = hours.get(&hour).copied().unwrap_or_default();
                begins.learn(count);
                work.learn(core_hours);
            }
            let cores = cores.get(&site).copied().filter(|cores| *cores > 0.0);
            // A few hours say nothing of a season, and an interval that was never judged is no reason to go elsewhere.
            let known = cores.filter(|_| work.steps() >= HOURS_LEAST);
            let load = |cores: f64| {
                let of = |ahead| work.ahead(ahead);
                (1..=HOURS_AHEAD).map(of).map(|said| Coming { mid: said.mid / cores, high: said.high / cores }).collect()
            };
            let loads = known.map(load).unwrap_or_default();
            Some((site, Expected { begins: begins.ahead(1).mid.max(0.0), loads }))
        });
        Ok(expected.collect())
    }

    /// Keeps the forecast fresh.
    pub(crate) async fn foresee(self, arrivals: Arrivals) {
        loop {
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.foreseen()).await {
                Ok(Ok(expected)) => *arrivals.by_site.write() = expected,
                Ok(Err(error)) => tracing::warn!(error = error.detail, "what will come cannot be foreseen"),
                // The server is stopping.
                Err(_) => return,
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
