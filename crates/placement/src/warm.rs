//! Rented capacity that stands idle: how long it is kept, and whether there is some for what wants to begin.
//!
//! Keeping a piece costs as much a second as using it, and giving it back costs a boot when the next work comes. Not knowing when that will be,
//! whoever keeps a piece for just as long as a boot takes never pays more than twice what the best decision would have cost (ski rental,
//! Karlin et al. 1988). A forecast makes it better while it is right and only a little worse when it is wrong (Purohit, Svitkina and Kumar,
//! NeurIPS 2018): the piece is kept for longer when the next work is expected sooner than a boot takes, and for a shorter time when not.
//!
//! Before the work comes there may be a pool: pieces that were started ahead of it. It holds as many as begin while one more boots
//! (a base stock), so that whoever begins finds one, and no piece of it is expected to stand idle for longer than it boots.

use model::Resources;

/// How far a forecast is trusted, where nothing else is set: the closer to 0, the more it changes. With 0.25 a piece is kept for a quarter, or
/// for four times as long as a boot takes, and the bill of a wrong forecast is at most five times the best.
pub const TRUST: f64 = 0.25;
/// How many times a boot's length a piece of a pool may be expected to stand idle: see [`pieces`].
pub const WORTH: f64 = 1.0;
/// Pieces of a pool, at most.
pub const POOL_MAX: u32 = 64;
/// Pieces that are kept in mind for a site.
const PIECES_MAX: usize = 4_096;

/// How many seconds an idle piece is kept, when a new one takes so long to boot and so many beginnings are expected an hour; none where
/// nothing is known of what will come. `trust` says how far the forecast is trusted: [`TRUST`].
pub fn keep_for_s(boot_s: f64, an_hour: Option<f64>, trust: f64) -> f64 {
    let trust = if trust.is_finite() { trust.clamp(0.01, 1.0) } else { TRUST };
    let boot_s = if boot_s.is_finite() { boot_s.clamp(0.0, 86_400.0) } else { 0.0 };
    match an_hour.filter(|an_hour| an_hour.is_finite()) {
        None => boot_s,
        Some(an_hour) if an_hour * boot_s > 3_600.0 => boot_s / trust,
        Some(_) => boot_s * trust,
    }
}

/// How many pieces are kept started for what is expected to begin an hour, where one takes so long to boot. The last of them is used after
/// all others: it stands idle until as many have begun, and is worth that as long as it is no longer than it boots, `worth` times.
pub fn pieces(an_hour: f64, boot_s: f64, worth: f64) -> u32 {
    let sane = |value: f64, most: f64| if value.is_finite() { value.clamp(0.0, most) } else { 0.0 };
    let begin_meanwhile = sane(an_hour, 1e9) * sane(boot_s, 86_400.0) / 3_600.0 * sane(worth, 100.0);
    // What is above the bound is cut, and nothing is below 0.
    (begin_meanwhile + 1e-9).min(f64::from(POOL_MAX)) as u32
}

/// The pieces of a site that were started ahead of work. One that is taken is replaced: the next is there after a boot.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pieces: u32,
    /// When each of those that were taken is replaced.
    replaced: Vec<f64>,
}

impl Pool {
    /// It holds so many from now on. What is started now is there after a boot, and what is too much is given back.
    pub fn size(&mut self, now_s: f64, pieces: u32, boot_s: f64) {
        self.replaced.retain(|at| *at > now_s);
        let pieces = pieces.min(POOL_MAX);
        self.replaced.extend((self.pieces..pieces).map(|_| now_s + boot_s));
        // Those that would be there last are given back first.
        self.replaced.sort_by(f64::total_cmp);
        self.replaced.truncate(self.replaced.len().saturating_sub(self.pieces.saturating_sub(pieces) as usize));
        self.pieces = pieces;
    }

    /// How many are there.
    pub fn ready(&self, now_s: f64) -> u32 {
        let away = self.replaced.iter().filter(|at| **at > now_s).count();
        self.pieces.saturating_sub(away as u32)
    }

    /// Work begins on so many at once. False, and none is taken, when fewer are there.
    pub fn take(&mut self, now_s: f64, pieces: u32, boot_s: f64) -> bool {
        self.replaced.retain(|at| *at > now_s);
        let has = pieces <= self.ready(now_s);
        if has {
            self.replaced.extend((0..pieces).map(|_| now_s + boot_s));
        }
        has
    }
}

/// The idle pieces of a site. Times are in seconds of any clock that all questions use.
#[derive(Clone, Debug, Default)]
pub struct Warm {
    pieces: Vec<(f64, Resources)>,
}

impl Warm {
    /// Work ended, and its piece is kept until a time.
    pub fn idle(&mut self, now_s: f64, until_s: f64, piece: Resources) {
        self.pieces.retain(|(until, _)| *until >= now_s);
        if until_s > now_s && self.pieces.len() < PIECES_MAX {
            self.pieces.push((until_s, piece));
        }
    }

    /// Whether a piece is there that takes work with such needs.
    pub fn has(&self, now_s: f64, needs: &Resources) -> bool {
        self.pieces.iter().any(|(until, piece)| *until >= now_s && piece.covers(needs))
    }

    /// Work begins, on the smallest piece that takes it. False when one has to be started for it.
    pub fn take(&mut self, now_s: f64, needs: &Resources) -> bool {
        self.pieces.retain(|(until, _)| *until >= now_s);
        let fitting = self.pieces.iter().enumerate().filter(|(_, (_, piece))| piece.covers(needs));
        let smallest = fitting.min_by_key(|(_, (_, piece))| *piece).map(|(index, _)| index);
        smallest.map(|index| self.pieces.swap_remove(index)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Random;

    /// What a piece costs until the next work comes, in seconds paid: it is kept or booted again.
    fn bill(keep_s: f64, gap_s: f64, boot_s: f64) -> f64 {
        if gap_s <= keep_s { gap_s } else { keep_s + boot_s }
    }

    #[test]
    fn without_a_forecast_nothing_costs_more_than_twice_the_best_and_with_a_wrong_one_five_times() {
        let mut random = Random(11);
        for _ in 0..10_000 {
            let boot_s = 10.0 + 300.0 * random.share();
            let gap_s = 2_000.0 * random.share() * random.share();
            let best = gap_s.min(boot_s);
            assert!(bill(keep_for_s(boot_s, None, TRUST), gap_s, boot_s) <= 2.0 * best + 1e-6);
            for wrong in [0.0, 1e9] {
                assert!(
                    bill(keep_for_s(boot_s, Some(wrong), TRUST), gap_s, boot_s) <= (1.0 + 1.0 / TRUST) * best + 1e-6,
                    "boot {boot_s}, gap {gap_s}"
                );
            }
        }
    }

    #[test]
    fn a_right_forecast_is_cheaper_than_none() {
        let mut random = Random(5);
        let boot_s = 60.0;
        for an_hour in [4.0, 20.0, 100.0, 400.0] {
            let (mut with, mut without) = (0.0, 0.0);
            for _ in 0..20_000 {
                let gap_s = -random.share().max(1e-12).ln() * 3_600.0 / an_hour;
                with += bill(keep_for_s(boot_s, Some(an_hour), TRUST), gap_s, boot_s);
                without += bill(keep_for_s(boot_s, None, TRUST), gap_s, boot_s);
            }
            assert!(with < without, "{an_hour} an hour: {with} and {without}");
        }
    }

    #[test]
    fn a_pool_holds_what_begins_during_a_boot_and_replaces_what_is_taken() {
        assert_eq!([0.0, 59.0, 60.0, 200.0, 1e12].map(|an_hour| pieces(an_hour, 60.0, WORTH)), [0, 0, 1, 3, POOL_MAX]);
        assert_eq!([f64::NAN, f64::INFINITY, -5.0].map(|wrong| pieces(wrong, 60.0, WORTH)), [0; 3]);
        assert_eq!(pieces(1e6, f64::NAN, WORTH), 0);
        let mut pool = Pool::default();
        pool.size(0.0, 2, 60.0);
        assert_eq!((pool.ready(59.0), pool.ready(60.0)), (0, 2), "they have to boot too");
        assert!(!pool.take(30.0, 1, 60.0) && !pool.take(90.0, 3, 60.0));
        assert!(pool.take(100.0, 1, 60.0) && pool.take(101.0, 1, 60.0) && !pool.take(102.0, 1, 60.0));
        assert_eq!((pool.ready(159.0), pool.ready(160.5), pool.ready(162.0)), (0, 1, 2), "each is replaced after a boot");
        pool.size(200.0, 0, 60.0);
        assert!(pool.ready(200.0) == 0 && !pool.take(1_000.0, 1, 60.0), "they were given back");
        // Made larger and smaller again while some boot: what is there stays.
        pool.size(1_000.0, 1, 60.0);
        pool.size(1_100.0, 3, 60.0);
        pool.size(1_110.0, 1, 60.0);
        assert_eq!((pool.ready(1_110.0), pool.ready(1_200.0)), (1, 1));
    }

    #[test]
    fn pieces_are_taken_once_and_given_back_in_time() {
        let cores = |cores: u32| Resources { cpu_millis: cores * 1_000, ..Resources::default() };
        let mut warm = Warm::default();
        warm.idle(0.0, 60.0, cores(4));
        warm.idle(0.0, 90.0, cores(1));
        assert!(warm.has(10.0, &cores(1)) && !warm.has(10.0, &cores(8)));
        assert!(warm.take(10.0, &cores(1)), "the small one");
        assert!(warm.has(10.0, &cores(4)));
        assert!(!warm.has(61.0, &cores(4)), "it was given back");
        assert!(!warm.take(61.0, &cores(1)));
        warm.idle(70.0, f64::NAN, cores(1));
        assert!(!warm.has(70.0, &cores(1)), "a time that is none keeps nothing");
    }
}
