//! Erasing runs: their keys are destroyed, and with them their values and the artifacts that nobody else holds. The facts stay, and the
//! log still verifies.
//!
//! That it is to happen is recorded first; a stop before all is destroyed is made good by the next start.

use std::collections::BTreeSet;

use engine::Command;
use flyte::objects::digest_of_inputs;
use keyring::Holder;
use model::{ArtifactRef, Digest, RunId};
use serde_json::Value;

use crate::keys::fault;
use crate::{ControlPlane, Fault, FaultKind};

/// What a run was given that others may hold too: artifacts, and the inputs of a program.
pub(crate) fn given(inputs: &Value) -> Vec<Digest> {
    let artifacts = ArtifactRef::all_in(inputs).into_iter().map(|artifact| artifact.digest);
    artifacts.chain(crate::flyte::inputs_given(inputs).map(|key| digest_of_inputs(&key))).collect()
}

/// What erasing destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The runs.
    pub runs: Vec<RunId>,
    /// Their values.
    pub bodies: u64,
    /// Artifacts that no other run holds.
    pub artifacts: u64,
}

impl ControlPlane {
    /// Erases runs by their names or numbers, and every run that was submitted about a subject. All of them must have ended.
    pub async fn erase(&self, runs: &[String], subject: Option<&str>, principal: &str) -> Result<Erased, Fault> {
        let chosen = tokio::task::block_in_place(|| self.chosen(runs, subject))?;
        let by_subject = subject.is_some();
        let command = Command::RecordErasure { runs: chosen.clone(), by_subject, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        let this = self.clone();
        let runs = chosen.clone();
        let artifacts = tokio::task::spawn_blocking(move || this.destroy(&runs)).await.map_err(Fault::internal)??;
        let swept = self.sweep().await?;
        Ok(Erased { runs: chosen, bodies: swept.bodies, artifacts })
    }

    fn chosen(&self, runs: &[String], subject: Option<&str>) -> Result<Vec<RunId>, Fault> {
        let mut chosen = BTreeSet::new();
        for name in runs {
            chosen.insert(self.find_run(name)?.id);
        }
        if let Some(subject) = subject {
            let about = self.reader().about(subject).map_err(Fault::internal)?;
            if about.is_empty() {
                let fault = Fault::new(FaultKind::NotFound, format!("no run is about the subject `{subject}`"));
                return Err(fault.hint("a run is about the subject it was submitted with: `tutti run … --subject NAME`"));
            }
            chosen.extend(about);
        }
        if chosen.is_empty() {
            return Err(Fault::new(FaultKind::Malformed, "there is neither a run nor a subject to erase"));
        }
        for run in &chosen {
            let row =
                self.reader().run(*run).map_err(Fault::internal)?.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
            if row.finished_at.is_none() {
                let fault = Fault::new(FaultKind::Conflict, format!("the run `{}` has not ended", row.name));
                return Err(fault.hint("cancel it first, or wait for its end"));
            }
            // What it was given is its own, unless a stop came between its beginning and the note of it.
            if let Some(inputs) = self.reader().body(row.first_seq, 0).map_err(Fault::internal)? {
                self.take_artifacts(*run, &given(&inputs))?;
                self.keep_for_triggers(&inputs)?;
            }
        }
        Ok(chosen.into_iter().collect())
    }

    /// Inputs that a trigger gives to its runs stay for those to come.
    fn keep_for_triggers(&self, inputs: &Value) -> Result<(), Fault> {
        let (Some(key), Some(keys)) = (crate::flyte::inputs_given(inputs), self.keys()) else { return Ok(()) };
        match self.is_of_trigger(&key)? {
            true => keys.hold(&[digest_of_inputs(&key)], Holder::Kept).map_err(|error| fault(&error)),
            false => Ok(()),
        }
    }

    /// Destroys keys, then what is left of files and logs. Gives how many artifacts went.
    fn destroy(&self, runs: &[RunId]) -> Result<u64, Fault> {
        let mut sent = BTreeSet::new();
        for run in runs {
            let Some(row) = self.reader().run(*run).map_err(Fault::internal)? else { continue };
            // Whoever comes a second time finds the key gone; without one what it was given cannot be read either.
            let inputs = self.reader().body(row.first_seq, 0).unwrap_or_default();
            sent.extend(inputs.as_ref().and_then(crate::flyte::inputs_given));
            self.flyte().erase(&row).map_err(Fault::internal)?;
        }
        let numbers: Vec<u64> = runs.iter().map(|run| run.0).collect();
        let mut gone = match self.keys() {
            Some(keys) => keys.destroy_runs(&numbers).map_err(|error| fault(&error))?,
            None => Vec::new(),
        };
        for key in sent {
            let digest = digest_of_inputs(&key);
            // Where nothing is sealed nobody knows who else was given them.
            let goes = if self.keys().is_some() { gone.contains(&digest) } else { !self.is_of_trigger(&key)? };
            if goes {
                self.flyte().objects().delete(&key).map_err(Fault::internal)?;
                gone.retain(|one| *one != digest);
            }
        }
        for site in self.sites().names() {
            let Some(executor) = self.sites().executor(&site) else { continue };
            for digest in &gone {
                executor.store().remove(digest).map_err(Fault::internal)?;
            }
            runs.iter().try_for_each(|run| executor.erase_logs(*run)).map_err(Fault::internal)?;
        }
        Ok(gone.len() as u64)
    }

    /// Destroys what an earlier server recorded as erased and did not come to destroy.
    pub(crate) async fn finish_erasing(&self) -> Result<(), Fault> {
        let this = self.clone();
        let finish = move || {
            if !this.reader().is_unswept().map_err(Fault::internal)? {
                return Ok(());
            }
            let erased: Vec<RunId> = this.reader().erased().map_err(Fault::internal)?.into_iter().collect();
            this.destroy(&erased).map(drop)
        };
        tokio::task::spawn_blocking(finish).await.map_err(Fault::internal)?
    }
}
