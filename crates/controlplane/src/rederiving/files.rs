//! Level 4: the files that actions read were theirs to read. A file is known by its content, so that naming one is no way to have been given it: who
//! reads one that carries more than they may read was given it by somebody who carries less, or it is not theirs.

use std::collections::BTreeMap;

use engine::event::{ActionsPlaced, Located};
use model::{ActionNo, ArtifactRef, Digest, Label, Payload, RunId, Seq};

use super::Rederive;
use super::run::Run;

/// What those carry who brought the files of a run into it. One that was brought without a tag has none.
#[derive(Default)]
pub(super) struct Files {
    brought: BTreeMap<Digest, Vec<Label>>,
}

impl Files {
    /// Files are somewhere.
    pub(super) fn known(&mut self, located: &[Located]) {
        for one in located {
            self.brought.entry(one.artifact).or_default();
        }
    }

    /// Somebody brings a file who carries this. What is more than somebody else carried counts for nothing.
    pub(super) fn bring(&mut self, file: Digest, label: &Label) {
        let known = self.brought.entry(file).or_default();
        if !known.iter().any(|other| other.0.is_subset(&label.0)) {
            known.retain(|other| !label.0.is_subset(&other.0));
            known.push(label.clone());
        }
    }

    /// An action gives what it stored. What it only names it does not bring; what came in without a tag stays so.
    fn given(&mut self, output: &serde_json::Value, located: &[Located], labels: &BTreeMap<Digest, Label>) {
        for file in ArtifactRef::all_in(output).into_iter().map(|file| file.digest) {
            let free = self.brought.get(&file).is_some_and(Vec::is_empty);
            if located.iter().any(|one| one.artifact == file) && !free {
                self.bring(file, &labels.get(&file).cloned().unwrap_or_default());
            }
        }
    }

    /// What a file carries, when that is more than somebody may read who carries `own`.
    fn beyond(&self, file: &Digest, own: &Label) -> Option<&Label> {
        let brought = self.brought.get(file)?;
        if brought.iter().any(|label| label.0.is_subset(&own.0)) { None } else { brought.first() }
    }
}

impl Run {
    fn is_labelled(&self) -> bool {
        !(self.label.is_empty() && self.labels.reads.is_empty() && self.labels.gives.is_empty())
    }
}

impl Rederive<'_> {
    /// Notes what an action gave, and where it lies.
    pub(super) fn stored(&mut self, id: RunId, number: ActionNo, output: Option<&Payload>, located: &[Located]) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let output = output.and_then(|output| output.body.as_deref());
        if let (Some(action), Some(output), true) = (run.actions.get(&number), output, run.is_labelled() && !located.is_empty()) {
            let labels = run.gives(action).of_artifacts(output);
            run.files.given(output, located, &labels);
        }
        run.files.known(located);
    }

    /// What is placed reads only what it was given.
    pub(super) fn reads_its_own(&mut self, seq: Seq, event: &ActionsPlaced) {
        let Some(run) = self.runs.get(&event.run) else { return };
        let (mut wrong, mut looked, mut unseen) = (Vec::new(), 0, 0);
        for action in event.actions.iter().filter_map(|placed| run.actions.get(&placed.action)) {
            let Some(input) = &action.input else { continue };
            let Some(input) = input.body.as_deref() else {
                unseen += 1;
                continue;
            };
            for file in ArtifactRef::all_in(input) {
                looked += 1;
                if let Some(label) = run.files.beyond(&file.digest, &action.label) {
                    let what = format!("`{}` is placed and reads `{}`, which carries {label}", action.path, file.name);
                    wrong.push(format!("{what}: it only names it, and nobody gave it"));
                }
            }
        }
        (0..looked).for_each(|_| self.computed("files that are read"));
        (0..unseen).for_each(|_| self.left_out("inputs that are not at hand: whether the files that they name were given"));
        wrong.into_iter().for_each(|what| self.problem(4, seq, what));
    }
}
