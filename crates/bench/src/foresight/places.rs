//! How many places to start ahead of work: a week at a site that rents them one by one.
//!
//! The protocol, written down before it was run. Actions of five minutes begin at random moments, by day 200 an hour and by night 2, each hour off by
//! e^(0.3 N); the forecaster has seen fourteen days. Places take 60 s to boot. Every ten minutes `placement::warm::pieces` says how many are kept
//! started; those count among them that work has left, which are kept as `keep_for_s` says. What is counted is the seconds that places boot and
//! stand idle, and the seconds that actions wait for a boot, at a price: a second of waiting is worth so many seconds of a place. The seeds are those of
//! `knobs.rs`. (First a pool was kept beside what work has left, and a second was worth a second: then no pool pays at all, since what
//! is there before a peak stands idle for longer than those who begin would have waited. That is what the prices are for.)

use placement::search::Random;
use placement::warm::{TRUST, keep_for_s, pieces};
use prediction::forecast::Forecaster;

const BOOT_S: f64 = 60.0;
const RUNS_S: f64 = 300.0;
const EVERY_S: f64 = 600.0;
/// Hours that the forecaster has seen, and hours that are counted.
const PAST: u32 = 14 * 24;
const COUNTED: u32 = 7 * 24;

/// Seconds of a place that a second of waiting is worth: the place itself, and what lateness costs beside places in the scenarios of `knobs.rs`.
pub(super) const PRICES: [f64; 3] = [1.0, 5.0, 40.0];

/// What places there are, and what was paid for them.
#[derive(Default)]
struct Yard {
    /// How many are to be started and without work.
    wanted: usize,
    /// Of each that is kept started: when it is there.
    kept: Vec<f64>,
    /// Of each that work has left: since when it stands idle, and until when it may.
    left: Vec<(f64, f64)>,
    /// When what runs ends, the first first.
    ends: std::collections::VecDeque<f64>,
    paid_s: f64,
    waited_s: f64,
}

impl Yard {
    /// So many are kept started from now on.
    fn keep(&mut self, now: f64, wanted: usize) {
        self.wanted = wanted;
        self.settle(now);
    }

    /// Starts what is missing, and gives back what is too much.
    fn settle(&mut self, now: f64) {
        let wanted = self.wanted.saturating_sub(self.left.len());
        while self.kept.len() < wanted {
            self.kept.push(now + BOOT_S);
            self.paid_s += BOOT_S;
        }
        // Those go first that are there last.
        self.kept.sort_by(f64::total_cmp);
        for ready in self.kept.drain(wanted..) {
            self.paid_s += (now - ready).max(0.0);
        }
    }

    /// What has ended leaves its place.
    fn end(&mut self, now: f64, keep_s: f64) {
        while let Some(end) = self.ends.pop_front_if(|end| *end <= now) {
            self.left.push((end, end + keep_s));
        }
        self.left.retain(|(since, until)| {
            let stays = *until >= now;
            self.paid_s += if stays { 0.0 } else { until - since };
            stays
        });
        self.settle(now);
    }

    /// An action begins: at a place that was left, at one that is kept, or at one that has to boot.
    fn begin(&mut self, now: f64) {
        let mut starts = now;
        if let Some((since, _)) = self.left.pop() {
            self.paid_s += now - since;
        } else if let Some(at) = self.kept.iter().position(|ready| *ready <= now) {
            self.paid_s += now - self.kept.swap_remove(at);
        } else {
            starts += BOOT_S;
            self.paid_s += BOOT_S;
            self.waited_s += BOOT_S;
        }
        self.settle(now);
        let ends = starts + RUNS_S;
        let behind = self.ends.partition_point(|end| *end <= ends);
        self.ends.insert(behind, ends);
    }
}

/// Actions that begin in an hour.
fn rate(hour: u32, random: &mut Random) -> f64 {
    let mean = if (8..18).contains(&(hour % 24)) { 200.0 } else { 2.0 };
    mean * (0.3 * random.normal()).exp()
}

/// Seconds that places boot and stand idle in a week, and seconds that actions wait for a boot, at a price.
pub(super) fn week(seed: u64, worth: f64, price: f64) -> f64 {
    let mut random = Random(seed.wrapping_mul(0x2127_599B_F432_5C37) | 1);
    let mut forecaster = Forecaster::new(&[24, 168]);
    (0..PAST).for_each(|hour| forecaster.learn(rate(hour, &mut random)));
    let mut yard = Yard::default();
    let (mut now, mut decides) = (0.0, 0.0);
    for hour in 0..COUNTED {
        let really = rate(PAST + hour, &mut random);
        let [this, next] = [1, 2].map(|ahead| forecaster.ahead(ahead).mid);
        let over = f64::from(hour + 1) * 3_600.0;
        loop {
            // Beginnings have no memory: what was drawn for an hour before says nothing of this one.
            let begins = now - random.share().max(1e-12).ln() * 3_600.0 / really;
            while decides <= begins.min(over) && decides < over {
                let soon = decides + EVERY_S + BOOT_S >= over;
                let an_hour = if soon { this.max(next) } else { this };
                yard.end(decides, keep_for_s(BOOT_S, Some(this), TRUST));
                yard.keep(decides, pieces(an_hour, BOOT_S, worth) as usize);
                decides += EVERY_S;
            }
            if begins > over {
                now = over;
                break;
            }
            now = begins;
            yard.end(now, keep_for_s(BOOT_S, Some(this), TRUST));
            yard.begin(now);
        }
        forecaster.learn(really);
    }
    yard.keep(now, 0);
    yard.end(f64::MAX, 0.0);
    yard.paid_s + price * yard.waited_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_paid_for_and_saves_those_who_begin_a_boot() {
        let mut yard = Yard::default();
        yard.keep(0.0, 1);
        yard.begin(100.0);
        assert_eq!((yard.paid_s, yard.waited_s), (60.0 + 40.0 + 60.0, 0.0), "a boot, forty seconds idle, and a boot of the next");
        yard.begin(110.0);
        assert_eq!((yard.paid_s, yard.waited_s), (220.0, 60.0), "the next is not there yet");
        // The first leaves its place at 400, and it is kept for half a minute: what was there since 160 is too much.
        yard.end(405.0, 30.0);
        assert_eq!(yard.paid_s, 220.0 + 245.0);
        yard.begin(420.0);
        assert_eq!((yard.paid_s, yard.waited_s), (465.0 + 20.0 + 60.0, 60.0), "one was left, and the next boots");
        yard.keep(500.0, 0);
        assert_eq!(yard.paid_s, 545.0 + 20.0, "what was kept since 480 is given back");
    }

    #[test]
    fn a_week_is_the_same_for_the_same_seed_and_too_many_places_cost_more_than_some() {
        assert_eq!(week(3, 1.0, 5.0), week(3, 1.0, 5.0));
        assert!(week(3, 100.0, 5.0) > week(3, 1.0, 5.0));
        let [without, with] = [0.0, 1.0].map(|worth| week(3, worth, 40.0));
        assert!(with < without, "where waiting is dear a pool is worth it: {with} and {without}");
    }
}
