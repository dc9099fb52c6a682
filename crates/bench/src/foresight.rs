//! Placement by the figures that it has to reach: plans of single graphs, streams of workflows, decisions.

mod beliefs;
mod bound;
mod budgets;
mod demands;
mod estimates;
mod graphs;
mod knobs;
mod places;
mod scenarios;
mod speed;
mod streams;
mod waves;
mod worlds;
mod yard;

use crate::options::Options;
use crate::report::Report;

/// Measures placement. Nothing of it goes through a server: it is the code that the server decides with.
pub(crate) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let small = &[8, 10, 12, 14];
    let large = &[24, 40, 60, 100];
    let sets = [
        graphs::Set { name: "small tuning", seeds: 0..20, sizes: small, whole: true },
        graphs::Set { name: "small", seeds: 1000..1020, sizes: small, whole: true },
        graphs::Set { name: "large tuning", seeds: 0..20, sizes: large, whole: false },
        graphs::Set { name: "large", seeds: 1000..1020, sizes: large, whole: false },
    ];
    if options.wants_workload("placement") {
        speed::measure(report);
    }
    if options.wants_workload("estimates") {
        estimates::measure(report);
    }
    if options.wants_workload("graphs") {
        sets.iter().for_each(|set| graphs::measure(set, report));
    }
    if options.wants_workload("streams") {
        streams::measure("tuning", 0..8, report);
        streams::measure("held out", 2000..2024, report);
    }
    if options.wants_workload("waves") {
        waves::measure("tuning", 0..8, report);
        waves::measure("held out", 3000..3024, report);
    }
    if options.wants_workload("search") {
        budgets::measure(report);
    }
    if options.wants_workload("knobs") {
        knobs::measure(report);
    }
    Ok(())
}
