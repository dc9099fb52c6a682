//! Pools: places of a site that are started before the work comes that a forecast expects, and given back when it has passed.
//!
//! How many is decided with every forecast, by what begins while one more is started; each change is an event with its reason. At the site they are
//! wrappers without work, and for the placer capacity that does not have to boot.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Command;
use engine::event::PoolSized;
use journal::SiteRow;
use model::Timestamp;
use placement::warm::{WORTH, pieces};

use crate::ControlPlane;
use crate::costs::HOUR_US;
use crate::warm::Expected;

/// What a site should keep, where so many begin in each hour from the present one on. What is decided holds for `holds` at least, and has to be
/// there before that: the busiest of the hours counts that are reached until then.
pub(crate) fn wanted(row: &SiteRow, boot_s: f64, begins: &[f64], now: Timestamp, holds: Duration) -> PoolSized {
    let until = now.0.saturating_add(((holds.as_secs_f64() + boot_s) * 1e6) as u64);
    let hours = (until / HOUR_US).saturating_sub(now.0 / HOUR_US) as usize + 1;
    let (ahead, an_hour) =
        begins.iter().copied().take(hours).enumerate().fold((0, 0.0f64), |best, (ahead, begin)| match begin > best.1 {
            true => (ahead, begin),
            false => best,
        });
    let boot = model::Duration((boot_s * 1e6) as u64);
    let most = row.spec.capacity.cpu_millis.div_ceil(1_000);
    // One that does not answer a probe keeps what it has: it is likely to be busy just now.
    let open = !row.cordoned && !row.drained;
    let pieces = if open { pieces(an_hour, boot_s, WORTH).min(most) } else { 0 };
    let expected = format!(
        "about {an_hour:.0} begin in {}, and a place takes {boot} to start",
        if ahead == 0 { "this hour" } else { "the next hour" }
    );
    let why = match (open, pieces) {
        (false, _) => "the site takes no work".to_owned(),
        (true, 0) => format!("{expected}: one would stand idle for longer than that"),
        (true, pieces) if pieces == most => format!("{expected}: as many as the site has cores"),
        (true, pieces) => format!("{expected}: {pieces} begin meanwhile"),
    };
    PoolSized { site: row.spec.name.clone(), pieces, an_hour: an_hour.round().clamp(0.0, 1e9) as u32, boot, why }
}

impl ControlPlane {
    /// Sizes the pools of all sites by what is expected at each. Done with every forecast.
    pub(crate) async fn size_pools(&self, expected: &BTreeMap<String, Expected>, now: Timestamp, holds: Duration) {
        let reader = self.reader().clone();
        let Ok(Ok(rows)) = tokio::task::spawn_blocking(move || reader.sites()).await else { return };
        for row in rows {
            // Only what a site says of itself: measured starts hold waits for data, and are short where a pool is.
            let boot_s = row.spec.prices.terms.map_or(0.0, |terms| terms.boot.as_secs_f64());
            let begins = expected.get(&row.spec.name).map_or(&[][..], |expected| &expected.processes);
            let pool = wanted(&row, boot_s, begins, now, holds);
            // Before it is done it is on the record. A site that is gone meanwhile keeps nothing.
            if self.inbox().ask(Command::SizePool(pool.clone())).await.is_ok() {
                self.sites().keep_warm(pool);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Event;
    use model::site::{Prices, Terms};
    use model::{Money, Seq, SiteSpec};

    use super::*;
    use crate::warm::Arrivals;
    use crate::warm::tests::{own, with_past};

    const MINUTE_US: u64 = HOUR_US / 60;

    fn rented() -> SiteSpec {
        let terms = Terms { boot: model::Duration::from_secs(60), ..Terms::default() };
        SiteSpec { prices: Prices { cpu_hour: Money(48_000), terms: Some(terms), ..Prices::default() }, ..own() }
    }

    fn row(spec: SiteSpec) -> SiteRow {
        SiteRow { spec, cordoned: false, drained: false, healthy: true, reason: String::new() }
    }

    #[test]
    fn the_busiest_hour_that_is_reached_counts_and_no_place_is_kept_for_longer_than_it_boots() {
        let row = row(rented());
        let begins = [20.0, 180.0, 2_000.0];
        let at = |minute: u64| Timestamp(480_000 * HOUR_US + minute * MINUTE_US);
        let wanted = |minute| wanted(&row, 60.0, &begins, at(minute), Duration::from_secs(600));
        assert_eq!(wanted(0).pieces, 0, "{}", wanted(0).why);
        assert!(wanted(0).why.contains("about 20 begin in this hour") && wanted(0).why.contains("idle"), "{}", wanted(0).why);
        // Ten minutes until the next decision, and one until a place is there.
        assert_eq!((wanted(48).pieces, wanted(49).pieces, wanted(59).pieces), (0, 3, 3));
        assert_eq!(wanted(49).why, "about 180 begin in the next hour, and a place takes 1m to start: 3 begin meanwhile");
    }

    #[test]
    fn a_site_keeps_no_more_than_it_has_and_nothing_while_it_takes_no_work() {
        let begins = [100_000.0];
        let wanted = |row: &SiteRow| wanted(row, 60.0, &begins, Timestamp(0), Duration::ZERO);
        let open = row(rented());
        assert_eq!(wanted(&open).pieces, 4);
        let busy = SiteRow { healthy: false, ..open.clone() };
        assert_eq!(wanted(&busy).pieces, 4, "what does not answer may be busy");
        for shut in [SiteRow { cordoned: true, ..open.clone() }, SiteRow { drained: true, ..open }] {
            assert_eq!((wanted(&shut).pieces, wanted(&shut).why.as_str()), (0, "the site takes no work"));
        }
    }

    /// What the journal says of pools: how many places, and why.
    fn sized(control: &ControlPlane) -> Vec<PoolSized> {
        let entries = control.reader().entries(Seq(0), 1_000_000).unwrap();
        let pools = entries.into_iter().filter_map(|entry| match engine::codec::decode(&entry.bytes).unwrap() {
            Event::PoolSized(pool) => Some(*pool),
            _ => None,
        });
        pools.collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn places_are_started_before_a_peak_that_is_forecast_and_given_back_after_it() {
        let hour = crate::clock::wall().0 / HOUR_US;
        // Fifteen days: 180 actions in the hour of the day that comes next, and ten in every other.
        let begun = |at: u64| if at % 24 == (hour + 1) % 24 { 180 } else { 10 };
        let (_data, control) = with_past(rented(), (15, hour), 30_000_000, begun).await;
        // The server has looked at the forecast of now by itself.
        for _ in 0..600 {
            if control.sites().pool("own").is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let arrivals = Arrivals::default();
        let kept = || control.sites().pool("own").map(|(pool, idle)| (pool.pieces, idle)).unwrap();
        let as_of = |minute: u64| control.foresee_as_of(&arrivals, Timestamp(hour * HOUR_US + minute * MINUTE_US));
        assert!(as_of(30).await);
        assert_eq!(kept(), (0, 0), "it comes in half an hour: nobody pays for that");
        assert!(as_of(55).await);
        assert_eq!(kept(), (3, 3), "{:?}", sized(&control));
        assert!(as_of(56).await);
        let said = sized(&control);
        assert_eq!(said.last().unwrap().pieces, 3, "{said:?}");
        assert!(said.last().unwrap().why.contains("begin in the next hour"), "{said:?}");
        let before = said.len();

        // Three hours later nothing of what was expected has come, and nothing is expected.
        assert!(as_of(4 * 60).await);
        assert_eq!(kept(), (0, 0));
        let said = sized(&control);
        assert_eq!((said.len(), said.last().unwrap().pieces), (before + 1, 0), "a change is told once: {said:?}");
        control.stop().await;
    }
}
