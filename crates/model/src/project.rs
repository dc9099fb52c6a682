//! What a project may use: how much it may spend, how much it may hold at once, and its share when others want the same.

use crate::{Money, Resources, Timestamp};

/// The largest share of a project.
pub const SHARE_MAX: u32 = 1_000;
const DAY_US: u64 = 86_400_000_000;

/// What a project may use, as `tutti apply` registers it. A project without one may use everything, with a share of 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSpec {
    /// Its name: what stands before the `/` in the names of its workflows.
    pub name: String,
    /// What it may spend.
    pub budget: Budget,
    /// What its actions may hold at once, over all sites.
    pub quota: Quota,
    /// How much it gets beside others that want the same; 0 counts as 1.
    pub share: u32,
}

impl ProjectSpec {
    /// The share, as it counts.
    pub fn weight(&self) -> u32 {
        self.share.clamp(1, SHARE_MAX)
    }
}

/// What may be spent, by calendar day and month in UTC; none where there is no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// In a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Money>,
    /// In a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<Money>,
}

impl Budget {
    /// Whether there is any cap.
    pub fn is_set(&self) -> bool {
        self.day.is_some() || self.month.is_some()
    }
}

/// What may be held at once; none where there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Accelerators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
}

impl Quota {
    /// Whether there is any bound.
    pub fn is_set(&self) -> bool {
        *self != Quota::default()
    }

    /// How many actions with such needs still fit beside what is held already.
    pub fn fits(&self, held: &Resources, needs: &Resources) -> u32 {
        let times = |bound: Option<u64>, held: u64, needs: u64| match bound {
            Some(bound) => bound.saturating_sub(held).checked_div(needs).unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        let least = times(self.cpu_millis.map(u64::from), held.cpu_millis.into(), needs.cpu_millis.into())
            .min(times(self.memory_bytes, held.memory_bytes, needs.memory_bytes))
            .min(times(self.gpus.map(u64::from), held.gpus.into(), needs.gpus.into()));
        u32::try_from(least).unwrap_or(u32::MAX)
    }
}

/// The first moment of the day of a time, in UTC.
pub fn day_begin(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0 % DAY_US)
}

/// The first moment of the month after the one of a time, in UTC.
pub fn next_month(at: Timestamp) -> Timestamp {
    // No month is longer than 31 days, and none shorter than 28.
    Timestamp(at.month_begin().0 + 31 * DAY_US).month_begin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_says_how_many_still_fit() {
        let quota = Quota { cpu_millis: Some(4_000), ..Quota::default() };
        let cores = |cores: u32| Resources { cpu_millis: cores * 1_000, ..Resources::default() };
        assert_eq!(quota.fits(&cores(0), &cores(1)), 4);
        assert_eq!(quota.fits(&cores(3), &cores(2)), 0);
        assert_eq!(quota.fits(&cores(9), &cores(1)), 0, "a quota that was lowered");
        assert_eq!(quota.fits(&cores(4), &Resources::default()), u32::MAX, "what needs nothing holds nothing");
        assert_eq!(Quota::default().fits(&cores(4), &cores(1)), u32::MAX);
    }

    #[test]
    fn months_follow_one_another() {
        // 2026-01-31T12:00Z, 2026-02-01, 2028-02-29, 2026-12-31.
        for (at, next) in [
            (1_769_860_800, 1_769_904_000),
            (1_769_904_000, 1_772_323_200),
            (1_835_395_200, 1_835_481_600),
            (1_798_675_200, 1_798_761_600),
        ] {
            assert_eq!(next_month(Timestamp(at * 1_000_000)), Timestamp(next * 1_000_000), "after {at}");
        }
        assert_eq!(day_begin(Timestamp(DAY_US * 3 + 5)), Timestamp(DAY_US * 3));
    }
}
