//! Money, in millionths of one currency.

use std::fmt;

/// The currency that everything is counted in: sites that are priced by a list in another are converted when they are applied.
pub const CURRENCY: &str = "USD";

/// An amount in millionths of a currency unit (10⁻⁶ [`CURRENCY`]). Never a float: sums are exact.
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
pub struct Money(#[n(0)] pub i64);

impl Money {
    /// The amount nearest to `units` whole currency units.
    pub fn from_units(units: f64) -> Money {
        Money((units * 1e6).round() as i64)
    }

    /// The amount in whole currency units.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money(0), |total, amount| total + amount)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.units())
    }
}
