//! How much work is about to begin at each site, from the forecast: what decides how long idle rented capacity is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::HistoryFilter;
use model::Timestamp;
use parking_lot::RwLock;
use prediction::forecast::Forecaster;

use crate::{ControlPlane, Fault};

/// Actions of the past that are looked at.
const ACTIONS_MAX: usize = 100_000;
/// Hours that are looked back on: two weeks, so that a season of a week has been seen twice.
const HOURS: u64 = 336;
/// How often the forecast is made anew.
const EVERY: Duration = Duration::from_secs(600);
const HOUR_US: u64 = 3_600_000_000;

/// By site: beginnings that are expected in an hour. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Arrivals {
    by_site: Arc<RwLock<BTreeMap<String, f64>>>,
}

impl Arrivals {
    /// Beginnings that are expected in an hour; none where nothing is known.
    pub(crate) fn an_hour(&self, site: &str) -> Option<f64> {
        self.by_site.read().get(site).copied()
    }
}

impl ControlPlane {
    /// What will begin in the next hour, by site.
    fn foreseen(&self) -> Result<BTreeMap<String, f64>, Fault> {
        let now = crate::clock::wall();
        let first = now.0 / HOUR_US - HOURS;
        let since = Some(Timestamp(first * HOUR_US));
        let filter = HistoryFilter { since, limit: ACTIONS_MAX, ..HistoryFilter::default() };
        let mut begun: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
        for row in self.reader().history(&filter).map_err(Fault::internal)? {
            let hours = begun.entry(row.site).or_default();
            *hours.entry(row.started_at.0 / HOUR_US).or_default() += 1.0;
        }
        let expected = begun.into_iter().filter_map(|(site, hours)| {
            // From the first hour that anything began there: before, nobody can say that nothing was to do.
            let from = hours.keys().next()?.max(&first).to_owned();
            let mut forecaster = Forecaster::new(&[24, 168]);
            (from..now.0 / HOUR_US).for_each(|hour| forecaster.learn(hours.get(&hour).copied().unwrap_or_default()));
            Some((site, forecaster.ahead(1).mid.max(0.0)))
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
