//! Properties of placement, on many random cases.

mod decisions;
mod playing;
mod sharing;
