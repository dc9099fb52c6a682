//! One measurement: what it took, what the server spent on it, and how busy the machine was.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::proc;
use crate::server::{Server, Worker};

/// Figures by name, from one round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample(pub(crate) BTreeMap<&'static str, f64>);

impl Sample {
    pub(crate) fn one(name: &'static str, value: f64) -> Sample {
        Sample(BTreeMap::from([(name, value)]))
    }

    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Sample {
        self.0.insert(name, value);
        self
    }
}

/// What the server had spent when a measurement began.
pub(crate) struct Meter<'a> {
    server: &'a Server,
    worker: Option<&'a Worker>,
    began: Instant,
    cpu: f64,
    worker_cpu: f64,
    written: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(server: &'a Server, worker: Option<&'a Worker>) -> Meter<'a> {
        Meter {
            cpu: proc::cpu_ms(server.pid()),
            worker_cpu: worker.map_or(0.0, |worker| proc::cpu_ms(worker.pid())),
            written: proc::written(server.pid()),
            began: Instant::now(),
            server,
            worker,
        }
    }

    /// Milliseconds so far.
    pub(crate) fn ms(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1e3
    }

    /// What was spent on each of so many steps, beside the time it took.
    pub(crate) fn stop(self, steps: usize) -> Sample {
        let (ms, steps) = (self.ms(), steps as f64);
        let mut sample = Sample::one("ms", ms)
            .with("cpu_ms_per_step", (proc::cpu_ms(self.server.pid()) - self.cpu) / steps)
            .with("bytes_per_step", (proc::written(self.server.pid()) - self.written) as f64 / steps)
            .with("load", proc::load());
        if let Some(worker) = self.worker {
            sample = sample.with("worker_cpu_ms_per_step", (proc::cpu_ms(worker.pid()) - self.worker_cpu) / steps);
        }
        sample
    }
}

/// The value below which this part of them lies.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The smallest, the middle and the largest.
pub(crate) fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (quantile(&sorted, 0.0), quantile(&sorted, 0.5), quantile(&sorted, 1.0))
}
