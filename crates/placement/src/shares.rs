//! Who is next, when several projects want what there is: the one that holds least of it for its share (dominant resource fairness, Ghodsi et
//! al., NSDI 2011, with weights). Priorities order the work of one project, and say nothing to others.
//!
//! Shares bound how long a project waits, and not how long each of its actions does: what is large finds no room between what is small, and what
//! has a low priority stands behind what comes later. So within a project, whoever has waited for [`PATIENCE_OF_ORDER_S`] is next, the
//! one that has waited longest first; and from then on a site is kept free for it ([`crate::keeping`]) as long as its project is entitled to more.
//! Between projects age does not count: one that asks for more than there is has old work for ever, and would stand before everybody.

use model::Resources;

/// Seconds after which priorities count no more within a project, and age alone does.
pub const PATIENCE_OF_ORDER_S: f64 = 1_800.0;

/// What the first action in the line of a project has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Claim {
    /// Seconds that it has waited.
    pub waited_s: f64,
    /// What its project holds of all there is, divided by its share: see [`dominant`].
    pub standing: f64,
}

/// The largest part that is held of any resource, from 0 to 1.
pub fn dominant(held: &Resources, all: &Resources) -> f64 {
    let part = |held: f64, all: f64| if all > 0.0 { (held / all).min(1.0) } else { 0.0 };
    part(f64::from(held.cpu_millis), f64::from(all.cpu_millis))
        .max(part(held.memory_bytes as f64, all.memory_bytes as f64))
        .max(part(f64::from(held.gpus), f64::from(all.gpus)))
}

/// The number of the claim that is next, of equals the one that waited longer; none when there is none.
pub fn next(claims: &[Claim]) -> Option<usize> {
    let before = |a: &Claim, b: &Claim| a.standing.total_cmp(&b.standing).then(b.waited_s.total_cmp(&a.waited_s));
    claims.iter().enumerate().min_by(|a, b| before(a.1, b.1)).map(|(number, _)| number)
}

/// Whether a project with such a standing is entitled to more, beside all that want something.
pub fn is_entitled(standing: f64, others: impl IntoIterator<Item = f64>) -> bool {
    others.into_iter().all(|other| standing <= other + 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(cores: u32) -> Resources {
        Resources { cpu_millis: cores * 1_000, ..Resources::default() }
    }

    #[test]
    fn who_holds_least_for_their_share_is_next_however_long_others_have_waited() {
        let claim = |standing: f64, waited_s: f64| Claim { standing, waited_s };
        assert_eq!(next(&[claim(0.5, 9.0), claim(0.2, 1.0)]), Some(1));
        assert_eq!(next(&[claim(0.2, 1.0), claim(0.2, 5.0)]), Some(1), "of equals the one that waited longer");
        assert_eq!(next(&[claim(0.9, 1e9), claim(0.0, 1.0)]), Some(1), "who floods has old work for ever");
        assert!(is_entitled(0.2, [0.2, 0.5]) && !is_entitled(0.5, [0.2, 0.5]) && is_entitled(0.5, []));
        assert_eq!(next(&[]), None);
    }

    #[test]
    fn places_are_shared_by_weight() {
        // 12 places; one project wants all of them for ever, another with twice the share comes with as much.
        let all = cores(12);
        let mut held = [0u32, 0];
        for _ in 0..12 {
            let standing =
                |index: usize, weight: f64| Claim { standing: dominant(&cores(held[index]), &all) / weight, waited_s: 0.0 };
            held[next(&[standing(0, 1.0), standing(1, 2.0)]).unwrap()] += 1;
        }
        assert_eq!(held, [4, 8]);
    }

    #[test]
    fn the_scarcest_resource_counts() {
        let all = Resources { cpu_millis: 10_000, memory_bytes: 100, gpus: 2, disk_bytes: 0 };
        assert_eq!(dominant(&Resources { cpu_millis: 1_000, memory_bytes: 50, gpus: 0, disk_bytes: 0 }, &all), 0.5);
        assert_eq!(dominant(&Resources { gpus: 2, ..Resources::default() }, &all), 1.0);
        assert_eq!(dominant(&cores(1), &Resources::default()), 0.0, "of nothing nobody holds a part");
    }
}
