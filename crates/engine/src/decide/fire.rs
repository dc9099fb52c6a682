//! Firings of triggers, and the turns of their runs.

use model::limits::QUEUED_FIRINGS_MAX;
use model::{RunId, Timestamp};

use crate::event::{ByWhom, LeftOut, TriggerFired};
use crate::{Event, Overlap, Submit};

use super::Stepper;

impl Stepper<'_, '_> {
    /// Records a firing, with the run it starts or with why it starts none. What cannot be accepted does not lose the firing.
    pub(super) fn fire_trigger(
        &mut self,
        trigger: String,
        due: Timestamp,
        submit: Option<Box<Submit>>,
        missed: u32,
        overlap: Overlap,
    ) -> Option<RunId> {
        let started = match submit {
            Some(submit) => self.start_firing(&trigger, *submit, overlap),
            None => Err(LeftOut::Refused),
        };
        let (run, left_out) = (started.ok(), started.err());
        self.emit(Event::TriggerFired(Box::new(TriggerFired { trigger, due, run, missed, left_out })));
        run
    }

    fn start_firing(&mut self, trigger: &str, submit: Submit, overlap: Overlap) -> Result<RunId, LeftOut> {
        // The same firing once more is no second one, and stands in nobody's way.
        if let Some(run) = self.known_run(&submit) {
            return Ok(run);
        }
        let open: Vec<RunId> = self.state.triggered.get(trigger).into_iter().flatten().copied().collect();
        let behind = match overlap {
            Overlap::Allow => None,
            Overlap::Skip if !open.is_empty() => return Err(LeftOut::StillRuns),
            Overlap::Skip => None,
            Overlap::Queue => {
                let waiting = open.iter().filter(|run| self.run(**run).is_some_and(|run| run.waits_its_turn)).count();
                if waiting >= QUEUED_FIRINGS_MAX {
                    return Err(LeftOut::QueueFull);
                }
                open.last().copied()
            }
            Overlap::Replace => {
                for run in &open {
                    // One that is undoing what it did is left to it.
                    let _ = self.cancel(*run, format!("trigger:{trigger}"), format!("`{trigger}` fired again and replaces it"));
                }
                open.last().copied()
            }
        };
        self.accept(submit, behind).map_err(|_| LeftOut::Refused)
    }

    /// Lets a run begin when no earlier one of its trigger is open any more. False while one is.
    pub(super) fn begin_in_turn(&mut self, id: RunId) -> bool {
        let Some(trigger) = self.run(id).and_then(|run| run.trigger.clone()) else { return false };
        if self.state.triggered.get(&*trigger).and_then(|runs| runs.first()).is_some_and(|first| *first != id) {
            return false;
        }
        self.emit(Event::RunBegan(ByWhom { run: id, principal: format!("trigger:{trigger}") }));
        true
    }
}
