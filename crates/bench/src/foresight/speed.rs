//! How quick it is: one decision, a rollout, a replay of a million actions.

use std::time::Instant;

use model::site::Prices;
use model::{Money, Resources};
use placement::objective::{Late, Settings};
use placement::search::{Effort, search};
use placement::sim::{AsExpected, Chooser, play};
use placement::world::{Flow, World};
use placement::{Demand, Outlook, SiteView, plan};

use super::worlds::{SLOT, graph};
use crate::report::Report;
use crate::sample::{Sample, quantile};

/// Measures all three.
pub(super) fn measure(report: &mut Report) {
    report.add("placement decision", decision());
    let world = graph(3, &[200]);
    let begun = Instant::now();
    let found = search(&world, &Effort { moves: 0, seed: 1 });
    let rollout = Sample::one("ms", begun.elapsed().as_secs_f64() * 1e3).with("plays", f64::from(found.plays));
    report.add("placement rollout", rollout.with("tasks", world.tasks.len() as f64));
    report.add("placement replay", replay());
}

/// A decision with 10 sites, of which four are full; its explanation is written, as the run loop does it. A thousand queued actions are decided one
/// after the other.
fn decision() -> Sample {
    let sites: Vec<SiteView> = (0..10)
        .map(|number| SiteView {
            name: format!("site-{number}"),
            capacity: Resources { cpu_millis: 64_000, memory_bytes: 1 << 38, gpus: 0, disk_bytes: 0 },
            free: Resources {
                cpu_millis: if number % 3 == 0 { 0 } else { 32_000 },
                memory_bytes: 1 << 37,
                gpus: 0,
                disk_bytes: 0,
            },
            prices: Prices { cpu_hour: Money(40_000 + number * 1_000), ..Prices::default() },
            ..SiteView::default()
        })
        .collect();
    let needs = model::graph::Needs { resources: SLOT, ..model::graph::Needs::default() };
    let mut demand = Demand::new(needs, 1, Vec::new());
    demand.outlooks = sites.iter().map(|_| Outlook { samples: 9, ..Outlook::default() }).collect();
    demand.late = Some(Late { deadline_s: 7200.0, per_hour: 5.0, fee: 1.0 });
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..20_000 {
        let begun = Instant::now();
        let plan = plan(&sites, &demand);
        let text = serde_json::to_string(&plan.explanation).unwrap_or_default();
        std::hint::black_box((plan.unplaced, text.len()));
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Sample::one("p50_us", quantile(&took, 0.5)).with("p99_us", quantile(&took, 0.99))
}

/// A million actions of ten thousand workflows, played with the objective: what a what-if over them costs beside reading them from the journal.
fn replay() -> Sample {
    let one = graph(3, &[100]);
    let (mut world, tasks) =
        (World { sites: one.sites.clone(), links: one.links.clone(), ..World::default() }, one.tasks.len() as u32);
    for number in 0..10_000u32 {
        let first = number * tasks;
        for task in &one.tasks {
            let mut task = task.clone();
            task.parents.iter_mut().for_each(|parent| *parent += first);
            task.files = Vec::new();
            world.tasks.push(task);
        }
        let arrives = f64::from(number) * 600.0;
        world.flows.push(Flow {
            first,
            last: first + tasks,
            arrives,
            deadline: Some(arrives + 20_000.0),
            late_per_hour: 5.0,
            late_fee: 0.0,
        });
    }
    let world = world.finish();
    let begun = Instant::now();
    let played = play(&world, &Chooser::Priced(Settings::default()), &AsExpected);
    Sample::one("s", begun.elapsed().as_secs_f64())
        .with("actions", world.tasks.len() as f64)
        .with("stuck", f64::from(played.stuck))
}
