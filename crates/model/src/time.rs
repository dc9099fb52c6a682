//! Points and spans of time. The core never reads a clock: time comes in with each command.

use std::fmt;
use std::str::FromStr;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

/// A span of time in microseconds. Its text form is a number and a unit: `250ms`, `10s`, `5m`, `2h`, `7d`, or several in
/// falling order (`1h30m`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct Duration(#[n(0)] pub u64);

impl Timestamp {
    /// The first moment of its calendar month in UTC.
    pub fn month_begin(self) -> Timestamp {
        let (month, mut day) = (self.month(), self.0 / 86_400_000_000);
        while day > 0 && Timestamp((day - 1) * 86_400_000_000).month() == month {
            day -= 1;
        }
        Timestamp(day * 86_400_000_000)
    }

    /// The calendar month in UTC, counted from January of year 0: what bills are made by.
    pub fn month(self) -> u32 {
        // Days since 0000-03-01, in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
        let days = self.0 / 86_400_000_000 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        // March is 2 months after January; January and February belong to the year that follows.
        u32::try_from((era * 400 + year_of_era) * 12 + from_march + 2).unwrap_or(u32::MAX)
    }

    /// The point `span` after this one, at most the end of time.
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// How long it is from `earlier` to this point; zero when it is not earlier.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000
    }
}

impl Duration {
    /// A span of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Duration {
        Duration(ms.saturating_mul(1_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(s: u64) -> Duration {
        Duration(s.saturating_mul(1_000_000))
    }

    /// The span in milliseconds, rounded down.
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// The span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The span as the standard library's type.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0)
    }
}

const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in UNITS {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

/// A text that is not a span of time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is not a duration: write a number and a unit (ms, s, m, h, d), for example `30s` or `1h30m`")]
pub struct NotADuration(pub String);

impl FromStr for Duration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || NotADuration(text.chars().take(40).collect());
        let mut rest = text.trim();
        let mut total: u64 = 0;
        let mut last_size = u64::MAX;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            let tail = &rest[digits..];
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let size = UNITS.iter().find(|(unit, _)| *unit == &tail[..letters]).map(|(_, size)| *size).ok_or_else(bad)?;
            if size >= last_size {
                return Err(bad());
            }
            last_size = size;
            total = number.checked_mul(size).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
            rest = &tail[letters..];
        }
        Ok(Duration(total))
    }
}

impl serde::Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |seconds: u64| Timestamp(seconds * 1_000_000).month();
        assert_eq!(at(0), 1970 * 12);
        assert_eq!(at(951_782_399), 2000 * 12 + 1, "29 February 2000, its last second but one day");
        assert_eq!(at(951_868_800), 2000 * 12 + 2, "1 March 2000");
        assert_eq!(at(1_798_761_599), 2026 * 12 + 11, "the last second of 2026");
        assert_eq!(at(1_798_761_600), 2027 * 12);
        assert_eq!(Timestamp(1_798_761_599_000_000).month_begin(), Timestamp(1_796_083_200_000_000), "1 December 2026");
    }

    #[test]
    fn durations_read_back() {
        for text in ["250ms", "10s", "5m", "2h", "7d", "1h30m", "1d2h3m4s5ms6us", "0s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        for bad in ["", "10", "s", "5 m", "-1s", "1m2h", "99999999999999999999s", "3w"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
    }
}
