//! The only clock and the only randomness that the core ever sees.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Time that never goes backward, and random bits.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Timestamp,
    seed: u64,
}

impl Clock {
    /// A clock that starts no earlier than `last`: the time of the last entry of the journal.
    pub(crate) fn new(last: Timestamp) -> Clock {
        Clock { last, seed: random_u64() }
    }

    /// The time now, or the latest time ever given when the machine's clock was set back.
    pub(crate) fn now(&mut self) -> Timestamp {
        self.last = self.last.max(wall());
        self.last
    }

    /// Random bits for one command.
    pub(crate) fn entropy(&mut self) -> u64 {
        // A weak step is enough here: the engine mixes, and the seed is from the system.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed
    }
}

/// The machine's clock.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// 64 random bits of the system.
pub(crate) fn random_u64() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// Random bytes of the system.
///
/// # Panics
/// When the system gives none: nothing that needs salts or tokens may go on without.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap_or_else(|error| panic!("the system gives no random bytes: {error}"));
    bytes
}
