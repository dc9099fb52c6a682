//! Erasing runs: their keys are destroyed, and with them their values and the artifacts that nobody else holds: no other run that was given
//! them, no trigger that gives them to its runs, and no workflow that names them. The facts stay, and the log still verifies.
//!
//! That it is to happen is recorded first; a stop before all is destroyed is made good by the next start.

use std::collections::{BTreeMap, BTreeSet};

use engine::Command;
use flyte::objects::digest_of_inputs;
use journal::JournalError;
use keyring::{Holder, Keyring};
use model::{ArtifactRef, Digest, RunId};
use serde_json::Value;
use workflow::documents::TriggerSpec;

use crate::keys::fault;
use crate::{ControlPlane, Fault, FaultKind};

/// What a run was given that others may hold too: artifacts, and the inputs of a program.
pub(crate) fn given(inputs: &Value) -> Vec<Digest> {
    let artifacts = ArtifactRef::all_in(inputs).into_iter().map(|artifact| artifact.digest);
    artifacts.chain(crate::flyte::inputs_given(inputs).map(|key| digest_of_inputs(&key))).collect()
}

/// Runs that are looked at in one step.
const RUNS_AT_ONCE: usize = 1_000;

/// What erasing destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The runs.
    pub runs: Vec<RunId>,
    /// Their values.
    pub bodies: u64,
    /// Artifacts that no other run holds.
    pub artifacts: u64,
    /// Artifacts of theirs that somebody brought once more, and that no run has taken yet: they stay until one does, or a sweep removes them.
    pub brought: u64,
    /// Triggers that give something of what the runs were given to their runs to come: it stays until they are removed.
    pub triggers: Vec<String>,
    /// Workflows whose latest version names something of what the runs were given, such as the default of an input: it stays until a version
    /// that names it no more.
    pub workflows: Vec<String>,
}

impl ControlPlane {
    /// Erases runs by their names or numbers, and every run that was submitted about a subject. All of them must have ended.
    pub async fn erase(&self, runs: &[String], subject: Option<&str>, principal: &str) -> Result<Erased, Fault> {
        let (chosen, given) = tokio::task::block_in_place(|| self.chosen(runs, subject))?;
        let by_subject = subject.is_some();
        let command = Command::RecordErasure { runs: chosen.clone(), by_subject, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        let this = self.clone();
        let runs = chosen.clone();
        let destroy = move || {
            let (artifacts, brought) = this.destroy(&runs)?;
            let that_give = |all: BTreeMap<String, Vec<Digest>>| {
                let gives = |(name, gives): (String, Vec<Digest>)| gives.iter().any(|one| given.contains(one)).then_some(name);
                all.into_iter().filter_map(gives).collect::<Vec<String>>()
            };
            Ok::<_, Fault>((artifacts, brought, that_give(this.triggers_give()?), that_give(this.workflows_name()?)))
        };
        let (artifacts, brought, triggers, workflows) = tokio::task::spawn_blocking(destroy).await.map_err(Fault::internal)??;
        let swept = self.sweep().await?;
        Ok(Erased { runs: chosen, bodies: swept.bodies, artifacts, brought, triggers, workflows })
    }

    /// The runs that are meant, and all that they were given.
    fn chosen(&self, runs: &[String], subject: Option<&str>) -> Result<(Vec<RunId>, BTreeSet<Digest>), Fault> {
        let mut chosen = BTreeSet::new();
        for name in runs {
            chosen.insert(self.find_run(name)?.id);
        }
        if let Some(subject) = subject {
            let about = self.reader().about(subject).map_err(Fault::internal)?;
            if about.is_empty() {
                let fault = Fault::new(FaultKind::NotFound, format!("no run is about the subject `{subject}`"));
                let hint = "a run is about the subject it was submitted with: `tutti run … --subject NAME`, or the label `tutti.dev/subject`";
                return Err(fault.hint(hint));
            }
            chosen.extend(about);
        }
        if chosen.is_empty() {
            return Err(Fault::new(FaultKind::Malformed, "there is neither a run nor a subject to erase"));
        }
        let mut all_given = BTreeSet::new();
        for run in &chosen {
            let row =
                self.reader().run(*run).map_err(Fault::internal)?.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
            if row.finished_at.is_none() {
                let fault = Fault::new(FaultKind::Conflict, format!("the run `{}` has not ended", row.name));
                return Err(fault.hint("cancel it first, or wait for its end"));
            }
            if let Some(inputs) = self.reader().body(row.first_seq, 0).map_err(Fault::internal)? {
                all_given.extend(given(&inputs));
                // It cannot be read any more when a stop comes between what is recorded and what is done.
                self.take_artifacts(*run, &given(&inputs))?;
            }
        }
        Ok((chosen.into_iter().collect(), all_given))
    }

    /// What triggers give to the runs that they start. Blocks.
    fn triggers_give(&self) -> Result<BTreeMap<String, Vec<Digest>>, Fault> {
        let rows = self.reader().resources("trigger", None, None).map_err(Fault::internal)?;
        let gives = |row: journal::ResourceRow| Some((row.name, given(row.body.get("inputs")?)));
        Ok(rows.into_iter().filter_map(gives).filter(|(_, given)| !given.is_empty()).collect())
    }

    /// The artifacts that the latest versions of workflows name, as defaults of inputs or in their nodes. Blocks.
    fn workflows_name(&self) -> Result<BTreeMap<String, Vec<Digest>>, Fault> {
        let mut all = BTreeMap::new();
        for row in self.reader().resources("workflow", None, None).map_err(Fault::internal)? {
            let Some(graph) = crate::catalogue::graph_of(self.reader(), &row.body) else { continue };
            let graph = serde_json::to_value(&*graph).map_err(Fault::internal)?;
            let named: Vec<Digest> = ArtifactRef::all_in(&graph).into_iter().map(|artifact| artifact.digest).collect();
            if !named.is_empty() {
                all.insert(row.name, named);
            }
        }
        Ok(all)
    }

    /// Has every run hold what it was given, whoever started it and whatever came between its beginning and the note of it; triggers hold what
    /// they give, workflows what they name, and nothing else. Only then is it known what nobody holds. Gives what goes since the last of them let
    /// it go. Blocks.
    fn settle_holders(&self) -> Result<Vec<Digest>, Fault> {
        let Some(keys) = self.keys() else { return Ok(Vec::new()) };
        let mut last = self.holders_known().lock();
        let is_first = *last == RunId::FLEET;
        loop {
            let runs = self.reader().runs_after(*last, RUNS_AT_ONCE).map_err(Fault::internal)?;
            let Some((newest, _)) = runs.last() else { break };
            let mut claims = Vec::new();
            for (run, seq) in &runs {
                // What was erased holds nothing, and of what is damaged nobody can read what it was given.
                let inputs = match self.reader().body(*seq, 0) {
                    Err(JournalError::Damaged(error)) => {
                        tracing::warn!(%run, %error, "what a run was given cannot be read: it holds nothing of it");
                        None
                    }
                    // What cannot be read now may be read later: nothing goes until then.
                    read => read.map_err(Fault::internal)?,
                };
                if let Some(given) = inputs.as_ref().map(given).filter(|given| !given.is_empty()) {
                    claims.push((run.0, self.with_files(&given)?));
                }
            }
            keys.claim_all(&claims).map_err(|error| fault(&error))?;
            *last = *newest;
        }
        let standing = [self.triggers_give()?, self.workflows_name()?];
        let standing: Vec<Digest> = standing.into_iter().flat_map(BTreeMap::into_values).flatten().collect();
        let (all, is_whole) = self.files_within(&standing)?;
        let mut gone = if is_whole {
            keys.hold_only(&all, Holder::Standing).map_err(|error| fault(&error))?
        } else {
            // Nobody knows now which files a directory has that stands somewhere: what is held stays.
            keys.hold(&all, Holder::Standing).map_err(|error| fault(&error))?;
            Vec::new()
        };
        if is_first {
            gone.extend(self.release_kept(keys)?);
        }
        Ok(gone)
    }

    /// Earlier servers had inputs that a trigger gave kept for ever. Gives what nobody holds any more. Blocks.
    fn release_kept(&self, keys: &Keyring) -> Result<Vec<Digest>, Fault> {
        let (objects, mut after, mut gone) = (self.flyte().objects(), String::new(), Vec::new());
        loop {
            let page = objects.list(flyte::objects::INPUTS, false, &after, RUNS_AT_ONCE).map_err(Fault::internal)?;
            for object in &page.objects {
                let digest = digest_of_inputs(&object.key);
                if !keys.let_go(&[digest], Holder::Kept).map_err(|error| fault(&error))?.is_empty() {
                    objects.delete(&object.key).map_err(Fault::internal)?;
                    gone.push(digest);
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(gone),
            }
        }
    }

    /// A trigger was removed, or gives its runs something else from now on: what it gave to runs that were erased since goes. Blocks.
    pub(crate) fn release_of_trigger(&self, before: &TriggerSpec) -> Result<(), Fault> {
        let _erasing = self.keys().map(Keyring::erasing);
        let inputs = Value::Object(before.inputs.clone());
        let (given, sent) = (given(&inputs), crate::flyte::inputs_given(&inputs));
        let gone = match self.keys() {
            Some(keys) if self.may_go(keys, &given)? => self.settle_holders()?,
            _ => Vec::new(),
        };
        if let Some(key) = sent {
            let goes = match self.keys() {
                Some(_) => gone.contains(&digest_of_inputs(&key)),
                // Where nothing was erased everything stays.
                None => {
                    let erased = self.reader().erased().map_err(Fault::internal)?;
                    !erased.is_empty() && !self.is_given(&key, &erased)?
                }
            };
            if goes {
                self.flyte().objects().delete(&key).map_err(Fault::internal)?;
            }
        }
        self.remove_files(&gone)
    }

    /// Whether something that a trigger gave could be nobody's. It is, or was by an earlier server, held for the trigger when something is erased.
    fn may_go(&self, keys: &Keyring, given: &[Digest]) -> Result<bool, Fault> {
        let held = |holder| keys.holds_any(given, holder).map_err(|error| fault(&error));
        Ok(held(Holder::Standing)? || held(Holder::Kept)?)
    }

    /// Whether a trigger gives inputs to its runs, or a run was given them that is not among these. Every run is looked at: of use where
    /// nothing is sealed, and so nobody notes it. Blocks.
    fn is_given(&self, key: &str, but: &BTreeSet<RunId>) -> Result<bool, Fault> {
        if self.is_of_trigger(key)? {
            return Ok(true);
        }
        let mut last = RunId::FLEET;
        loop {
            let runs = self.reader().runs_after(last, RUNS_AT_ONCE).map_err(Fault::internal)?;
            let Some((newest, _)) = runs.last() else { return Ok(false) };
            last = *newest;
            for (run, seq) in runs.iter().filter(|(run, _)| !but.contains(run)) {
                let inputs = self.reader().body(*seq, 0).map_err(Fault::internal)?;
                if inputs.as_ref().and_then(crate::flyte::inputs_given).as_deref() == Some(key) {
                    tracing::debug!(%run, key, "others were given the inputs too");
                    return Ok(true);
                }
            }
        }
    }

    /// Destroys keys, then what is left of files and logs. Gives how many artifacts went, and how many stay since they were brought again.
    fn destroy(&self, runs: &[RunId]) -> Result<(u64, u64), Fault> {
        let (mut gone, mut sent, mut brought) = (Vec::new(), BTreeSet::new(), 0);
        for run in runs {
            let Some(row) = self.reader().run(*run).map_err(Fault::internal)? else { continue };
            // Whoever comes a second time finds the key gone; without one what it was given cannot be read either.
            let inputs = self.reader().body(row.first_seq, 0).unwrap_or_default();
            sent.extend(inputs.as_ref().and_then(crate::flyte::inputs_given));
            self.flyte().erase(&row).map_err(Fault::internal)?;
        }
        let numbers: Vec<u64> = runs.iter().map(|run| run.0).collect();
        // Whoever stores the same meanwhile waits, and stores it anew.
        let erasing = self.keys().map(Keyring::erasing);
        if let Some(keys) = self.keys() {
            // As late as can be: what begins meanwhile holds what it was given.
            gone.extend(self.settle_holders()?);
            brought = keys.held_as_brought(&numbers).map_err(|error| fault(&error))?;
            gone.extend(keys.destroy_runs(&numbers).map_err(|error| fault(&error))?);
        }
        for key in sent {
            let digest = digest_of_inputs(&key);
            let goes = match self.keys() {
                Some(_) => gone.contains(&digest),
                None => !self.is_given(&key, &self.reader().erased().map_err(Fault::internal)?)?,
            };
            if goes {
                self.flyte().objects().delete(&key).map_err(Fault::internal)?;
                gone.retain(|one| *one != digest);
            }
        }
        self.remove_files(&gone)?;
        drop(erasing);
        for site in self.sites().names() {
            let Some(executor) = self.sites().executor(&site) else { continue };
            runs.iter().try_for_each(|run| executor.erase_logs(*run)).map_err(Fault::internal)?;
        }
        Ok((gone.len() as u64, brought))
    }

    /// Removes files whose keys are destroyed from the stores of all sites.
    fn remove_files(&self, gone: &[Digest]) -> Result<(), Fault> {
        for site in self.sites().names() {
            let Some(executor) = self.sites().executor(&site) else { continue };
            gone.iter().try_for_each(|digest| executor.store().remove(digest)).map_err(Fault::internal)?;
        }
        Ok(())
    }

    /// Destroys what an earlier server recorded as erased and did not come to destroy.
    pub(crate) async fn finish_erasing(&self) -> Result<(), Fault> {
        let this = self.clone();
        let finish = move || {
            if !this.reader().is_unswept().map_err(Fault::internal)? {
                // A trigger may have been removed, and what it gave not.
                let held = this.keys().map(|keys| keys.is_holder(Holder::Standing)).transpose().map_err(|error| fault(&error))?;
                let _erasing = this.keys().map(Keyring::erasing);
                return if held == Some(true) { this.remove_files(&this.settle_holders()?) } else { Ok(()) };
            }
            let erased: Vec<RunId> = this.reader().erased().map_err(Fault::internal)?.into_iter().collect();
            this.destroy(&erased).map(drop)
        };
        tokio::task::spawn_blocking(finish).await.map_err(Fault::internal)?
    }
}
