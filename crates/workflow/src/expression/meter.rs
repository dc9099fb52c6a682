//! What evaluating may take: steps, and bytes of values made. It is counted while it happens, so that a value of a size that nobody could
//! know beforehand costs an error and nothing else.

use model::limits::{EVALUATION_BYTES_MAX, EVALUATION_STEPS_MAX};

/// Bytes that a value takes beside its text.
pub(super) const VALUE_BYTES: usize = 32;
/// Bytes of text that are looked at in one step.
const BYTES_A_STEP: usize = 64;

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    steps: u64,
    bytes: u64,
    budget: Budget,
}

/// Steps and bytes that may be used at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Parts of expressions visited, items gone through, pieces of text looked at.
    pub steps: u64,
    /// Bytes of texts and values made, those that are thrown away included.
    pub bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { steps: EVALUATION_STEPS_MAX, bytes: EVALUATION_BYTES_MAX }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Meter::new(Budget::default())
    }
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The expression has none for what it sees. `||` and `&&` may get over that.
    Failed(String),
    /// The budget is used up. Nothing gets over that.
    Spent(String),
}

impl Stop {
    pub(super) fn failed<T>(message: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Failed(message.into()))
    }
}

impl Meter {
    /// A meter that has used nothing.
    pub fn new(budget: Budget) -> Meter {
        Meter { steps: 0, bytes: 0, budget }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Bytes made so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.budget.steps {
            return Err(Stop::Spent(format!("it takes more than {} steps (W0304)", self.budget.steps)));
        }
        Ok(())
    }

    /// Steps for looking through a text.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Stop> {
        self.spend((bytes / BYTES_A_STEP) as u64)
    }

    /// Bytes about to be made. Making them takes steps too.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.budget.bytes {
            return Err(Stop::Spent(format!("it makes more than {} bytes of values (W0304)", self.budget.bytes)));
        }
        self.read(bytes)
    }
}
