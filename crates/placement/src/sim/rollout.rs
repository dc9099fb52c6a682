//! Choosing the settings of a workflow when it arrives: each variant is played to the end from the state of the moment.

use super::{At, Chooser, Happening, Play, Reality, set};
use crate::search::Random;

/// A future that strays from what is expected; the same for every variant, so that they differ by what they do alone.
pub(super) struct Future {
    pub(super) seed: u64,
    pub(super) stray: f64,
}

impl Reality for Future {
    fn runs(&self, task: usize, _: usize, expected: f64) -> f64 {
        if self.stray <= 0.0 {
            return expected;
        }
        let mut random = Random(self.seed ^ (task as u64).wrapping_mul(0xA24B_AED4_963E_E407));
        expected * (self.stray * random.normal()).exp()
    }

    fn called_back(&self, _: usize, _: usize, _: u32, _: f64) -> Option<f64> {
        None
    }
}

impl<'a> Play<'a> {
    /// Chooses the settings of a workflow that arrives now.
    pub(super) fn settle_on(&mut self, flow: usize) {
        let Chooser::Rollout { variants, futures, stray } = self.chooser else { return };
        let mut best: Option<(f64, usize)> = None;
        for (index, variant) in variants.iter().enumerate() {
            let mut sum = 0.0;
            for future in 0..(*futures).max(1) {
                let future = Future { seed: u64::from(future) * 7919 + 17, stray: if *futures == 0 { 0.0 } else { *stray } };
                let mut copy = self.as_of_now(&future);
                set(&mut copy.desk.settings, flow, *variant);
                copy.desk.heap.push(std::cmp::Reverse((At(self.now), Happening::Arrives(flow as u32))));
                let before = self.out.money;
                let played = copy.run().0;
                sum += played.money - before + played.late_money;
            }
            if best.is_none_or(|(least, _)| sum < least) {
                best = Some((sum, index));
            }
        }
        if let Some(settings) = best.and_then(|(_, index)| variants.get(index)) {
            set(&mut self.desk.settings, flow, *settings);
        }
    }

    /// The same play without what is yet to arrive, going on with settings that are chosen already. Nobody knows how long what runs really
    /// takes: it ends when it was expected to, or soon when that has passed.
    fn as_of_now<'b>(&self, future: &'b Future) -> Play<'b>
    where
        'a: 'b,
    {
        let mut copy: Play<'b> = Play { reality: future, chooser: &SETTLED, ..self.clone() };
        let events = std::mem::take(&mut copy.desk.heap).into_vec();
        for std::cmp::Reverse((at, happening)) in events {
            let at = match happening {
                Happening::Arrives(_) => continue,
                Happening::Ends { task, lost: _ } => {
                    let expected = super::of(&self.desk.expected_end, task as usize);
                    At(if expected > self.now { expected } else { self.now + 0.1 * at.0.clamp(1.0, 600.0) })
                }
                Happening::Staged(_) => at,
            };
            let happening = match happening {
                Happening::Ends { task, .. } => Happening::Ends { task, lost: false },
                other => other,
            };
            copy.desk.heap.push(std::cmp::Reverse((at, happening)));
        }
        copy
    }
}

/// Every workflow with the settings that were chosen for it.
static SETTLED: Chooser = Chooser::Rollout { variants: Vec::new(), futures: 0, stray: 0.0 };
