//! Dev: the seeded whole-system simulator.
