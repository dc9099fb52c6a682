//! What `v2.journal` says: plans of runs, and the terms that come with prices.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::{Goal, PlannedPlace, RunPlanned, SiteRegistered};
use model::site::{ExecutorKind, Prices, Terms, Tier};
use model::{Duration, Money, Resources, RunId, SiteSpec, Timestamp};

pub(crate) fn events() -> Vec<Event> {
    let tier = |from_gb, gb| Tier { from_gb, gb: Money(gb) };
    let site = SiteSpec {
        name: "burst".into(),
        executor: ExecutorKind::Local,
        capacity: Resources { cpu_millis: 64_000, memory_bytes: 256 << 30, gpus: 4, disk_bytes: 1 << 40 },
        attributes: BTreeMap::from([("provider".into(), "aws".into())]),
        prices: Prices {
            cpu_hour: Money(48_000),
            memory_gib_hour: Money(5_000),
            gpu_hour: Money(3_060_000),
            egress_gb: Money(90_000),
            terms: Some(Terms {
                egress_tiers: [tier(10_240, 85_000), tier(51_200, 70_000), tier(153_600, 50_000)],
                egress_near_gb: Some(Money(10_000)),
                bandwidth_mbps: 5_000,
                boot: Duration::from_secs(60),
                idle: Duration::from_secs(300),
                preemptions_per_1000h: 50,
            }),
        },
        simulates: Some("a public cloud".into()),
        sandbox: None,
        store: None,
    };
    vec![
        Event::RunPlanned(Box::new(RunPlanned {
            run: RunId(70_000),
            goal: Some(Goal {
                deadline: Timestamp(1_800_000_000_000_000),
                late_per_hour: Money(5_000_000),
                late_fee: Money(20_000_000),
            }),
            places: vec![PlannedPlace { path: "sub/clean".into(), site: "burst".into(), rest_s: 3_600 }],
            explanation: "{\"by\":\"rollout\"}".into(),
            why: "admission".into(),
        })),
        Event::SiteRegistered(Box::new(SiteRegistered { site, principal: "operator".into() })),
    ]
}
