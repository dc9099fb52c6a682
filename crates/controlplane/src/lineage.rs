//! Where artifacts come from: what made them, from what, who reads them, where they lie, and why they carry what they carry.

use std::collections::BTreeMap;

use journal::{ActionFilter, OriginRow, RunFilter, RunRow};
use model::limits::LINEAGE_ACTIONS_MAX;
use model::{ArtifactRef, Digest, Label, RunId, TransferPath};
use serde_json::Value;
use workflow::labels;

use crate::governing::may_lower;
use crate::keys::Listed;
use crate::{ControlPlane, Fault, FaultKind};

/// Runs that a lineage names.
const RUNS_MAX: usize = 100;
/// Runs whose versions of an artifact are told.
const VERSIONS_RUNS_MAX: usize = 200;

/// An artifact in a list.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The row.
    pub row: OriginRow,
    /// The run.
    pub run: RunRow,
    /// The action that made it, by its path.
    pub path: Option<String>,
    /// Its name and its kind, where they are still known.
    pub artifact: Option<ArtifactRef>,
    /// What it carries.
    pub label: Label,
}

/// Where an artifact comes from, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// Where it came to be: the first time first. Runs that were given it are among them.
    pub origins: Vec<Origin>,
    /// What it was made from, by the action that made it first.
    pub from: Vec<ArtifactRef>,
    /// Actions that read it, with their runs.
    pub used: Vec<(String, String)>,
    /// Whether there are more actions than were looked at.
    pub more: bool,
    /// What it carries.
    pub label: Label,
    /// How each tag came to the action that made it: from where it was said.
    pub trails: BTreeMap<String, Vec<String>>,
    /// Sites that have a copy.
    pub sites: Vec<String>,
}

/// What one step gave under one name, or runs were given, from run to run.
#[derive(Clone, Debug)]
pub struct Versions {
    /// Where the artifact that was asked about came to be.
    pub of: Origin,
    /// The contents that were there under that name: the latest first, each where it came to be first.
    pub versions: Vec<Origin>,
    /// Whether there are earlier runs than are looked at: then the number of a version is not known.
    pub more: bool,
}

/// Runs that are looked at for one file.
const HOLDERS_MAX: usize = 256;

impl ControlPlane {
    /// What an artifact carries. A file of a directory carries what the directory does: those of the runs that hold the file are looked at, and where that
    /// says nothing of what nobody recorded, what these runs carry counts. Blocks.
    pub fn label_of_artifact(&self, artifact: &Digest) -> Result<Label, Fault> {
        let mut label = self.reader().artifact_label(artifact).map_err(Fault::internal)?;
        let Some(keys) = self.keys().filter(|_| label.is_empty() && self.rules().governed()) else { return Ok(label) };
        let holders = keys.holders(artifact, HOLDERS_MAX).map_err(|error| crate::keys::fault(&error))?;
        for run in &holders {
            for tagged in self.reader().tagged_of_run(RunId(*run)).map_err(Fault::internal)? {
                let may_be_of = match self.listed(&tagged)? {
                    Listed::Directory(listing) => listing.entries.iter().any(|entry| entry.digest == *artifact),
                    Listed::File => false,
                    Listed::Unknown => true,
                };
                if may_be_of {
                    label.join(&self.reader().artifact_label(&tagged).map_err(Fault::internal)?);
                }
            }
        }
        // What nobody recorded, as of an attempt that did not come to its end, carries what the runs do that hold it.
        if label.is_empty() && self.reader().origins_of(artifact, 1).map_err(Fault::internal)?.is_empty() {
            for run in holders {
                if let Some(run) = self.reader().run(RunId(run)).map_err(Fault::internal)? {
                    label.join(&self.label_of_run(&run, None)?);
                }
            }
        }
        Ok(label)
    }

    /// The versions of an artifact: what the step that made it gave under its name in each run of the workflow. Of the places where such bytes came to be
    /// the first counts that `may` be told of. None where there is none, or its name is not known any more.
    pub fn versions(&self, artifact: &Digest, may: impl Fn(&Origin) -> Result<bool, Fault>) -> Result<Option<Versions>, Fault> {
        let rows = self.reader().origins_of(artifact, RUNS_MAX).map_err(Fault::internal)?;
        if rows.is_empty() && self.sites().with_copy(artifact).is_empty() {
            return Err(Fault::not_found("artifact", &artifact.to_string()));
        }
        let mut told = None;
        for row in rows {
            let Some(origin) = self.origin(row)?.filter(|origin| !origin.path.as_deref().is_some_and(TransferPath::is_one))
            else {
                continue;
            };
            if may(&origin)? {
                told = Some(origin);
                break;
            }
        }
        let Some(of) = told else { return Ok(None) };
        let Some(name) = of.artifact.as_ref().map(|one| one.name.clone()) else { return Ok(None) };
        let filter = RunFilter {
            project: Some(of.run.project.clone()),
            domain: Some(of.run.domain.clone()),
            workflow: Some(of.run.workflow.clone()),
            limit: VERSIONS_RUNS_MAX + 1,
            ..RunFilter::default()
        };
        let runs = self.reader().runs(&filter).map_err(Fault::internal)?;
        let more = runs.len() > VERSIONS_RUNS_MAX;
        let mut versions: BTreeMap<Digest, Origin> = BTreeMap::new();
        for run in runs.into_iter().take(VERSIONS_RUNS_MAX) {
            if let Some(origin) = self.version_of(run, of.path.as_deref(), &name)? {
                // The latest come first: an earlier run that had the same content is where that began.
                versions.insert(origin.row.artifact, origin);
            }
        }
        let mut versions: Vec<Origin> = versions.into_values().collect();
        versions.sort_by_key(|origin| std::cmp::Reverse(origin.row.seq));
        Ok(Some(Versions { of, versions, more }))
    }

    /// What a step gave in a run under a name, or what the run was given under it where there is no step.
    fn version_of(&self, run: RunRow, path: Option<&str>, name: &str) -> Result<Option<Origin>, Fault> {
        let action = path.map(|path| self.reader().action(run.id, path)).transpose().map_err(Fault::internal)?.flatten();
        let (seq, no) = match (path, &action) {
            (None, _) => (Some(run.first_seq), None),
            (Some(_), Some(action)) => (action.output_seq, Some(action.no)),
            (Some(_), None) => (None, None),
        };
        let Some(seq) = seq else { return Ok(None) };
        let value = self.reader().body(seq, 0).map_err(Fault::internal)?.unwrap_or_default();
        let Some(artifact) = ArtifactRef::all_in(&value).into_iter().find(|one| one.name == name) else { return Ok(None) };
        let row = OriginRow { artifact: artifact.digest, run: run.id, action: no, size: artifact.size, seq };
        let label = self.reader().artifact_label(&artifact.digest).map_err(Fault::internal)?;
        Ok(Some(Origin { row, run, path: path.map(str::to_owned), artifact: Some(artifact), label }))
    }

    /// What an artifact brings along that a run is given. A single file of a directory with tags is refused: entries say nothing of what it carries,
    /// and whoever checks them could not count it. Blocks.
    pub(crate) fn label_given(&self, artifact: &Digest) -> Result<Label, Fault> {
        let (stored, all) = (self.reader().artifact_label(artifact).map_err(Fault::internal)?, self.label_of_artifact(artifact)?);
        if stored == all {
            return Ok(stored);
        }
        let message = format!("the artifact {artifact} is a file of a directory that carries `{all}`");
        Err(Fault::new(FaultKind::Refused, message).hint("give the whole directory: what it carries is known"))
    }

    /// Where an artifact comes from.
    pub fn lineage(&self, artifact: &Digest) -> Result<Lineage, Fault> {
        let rows = self.reader().origins_of(artifact, RUNS_MAX).map_err(Fault::internal)?;
        let sites = self.sites().with_copy(artifact);
        if rows.is_empty() && sites.is_empty() {
            return Err(Fault::not_found("artifact", &artifact.to_string()));
        }
        let origins: Vec<Origin> =
            rows.into_iter().filter_map(|row| self.origin(row).transpose()).collect::<Result<_, Fault>>()?;
        let label = self.reader().artifact_label(artifact).map_err(Fault::internal)?;
        let mut lineage = Lineage { sites, label, ..Lineage::default() };
        if let Some(made) =
            origins.iter().find(|origin| origin.path.as_ref().is_some_and(|path| !TransferPath::is_one(path))).or(origins.first())
        {
            if let Some(no) = made.row.action {
                let input = self.values(made.row.run, no)?.0;
                lineage.from = ArtifactRef::all_in(&input).into_iter().filter(|one| one.digest != *artifact).collect();
            }
            lineage.trails = self.trails(made, &lineage.label)?;
        }
        let mut seen: Vec<RunId> = Vec::new();
        for origin in &origins {
            if !seen.contains(&origin.row.run) {
                seen.push(origin.row.run);
                self.readers_of(artifact, &origin.run, &mut lineage)?;
            }
        }
        lineage.origins = origins;
        Ok(lineage)
    }

    /// A row with the names of what it is about. None when its run is not known any more.
    pub fn origin(&self, row: OriginRow) -> Result<Option<Origin>, Fault> {
        let Some(run) = self.reader().run(row.run).map_err(Fault::internal)? else { return Ok(None) };
        let (path, value) = match row.action {
            Some(no) => {
                let action = self.reader().action_no(row.run, no).map_err(Fault::internal)?;
                (action.map(|action| action.path), self.values(row.run, no)?.1)
            }
            None => (None, self.reader().body(run.first_seq, 0).map_err(Fault::internal)?.unwrap_or_default()),
        };
        let artifact = ArtifactRef::all_in(&value).into_iter().find(|one| one.digest == row.artifact);
        let label = self.reader().artifact_label(&row.artifact).map_err(Fault::internal)?;
        Ok(Some(Origin { row, run, path, artifact, label }))
    }

    /// What an action was given and what it gave, as far as that is kept.
    fn values(&self, run: RunId, no: u32) -> Result<(Value, Value), Fault> {
        let Some(row) = self.reader().action_no(run, no).map_err(Fault::internal)? else { return Ok(Default::default()) };
        let body = |place: Option<(model::Seq, u32)>| place.map(|(seq, n)| self.reader().body(seq, n)).transpose();
        let input = body(row.input).map_err(Fault::internal)?.flatten();
        let output = body(row.output_seq.map(|seq| (seq, 0))).map_err(Fault::internal)?.flatten();
        Ok((input.unwrap_or_default(), output.unwrap_or_default()))
    }

    /// The actions of a run that were given an artifact.
    fn readers_of(&self, artifact: &Digest, run: &RunRow, lineage: &mut Lineage) -> Result<(), Fault> {
        let filter = ActionFilter { from: 0, limit: LINEAGE_ACTIONS_MAX, phase: None };
        let actions = self.reader().actions(run.id, &filter).map_err(Fault::internal)?;
        lineage.more |= actions.len() == LINEAGE_ACTIONS_MAX;
        for action in actions {
            let Some((seq, n)) = action.input else { continue };
            let input = self.reader().body(seq, n).map_err(Fault::internal)?.unwrap_or_default();
            if ArtifactRef::all_in(&input).iter().any(|one| one.digest == *artifact) {
                lineage.used.push((run.name.clone(), action.path));
            }
        }
        Ok(())
    }

    /// How tags came to what was made: by the rules as they are now, over the workflow as it ran.
    fn trails(&self, made: &Origin, label: &Label) -> Result<BTreeMap<String, Vec<String>>, Fault> {
        let Some(graph) = self.reader().graph(&made.run.graph).map_err(Fault::internal)? else { return Ok(BTreeMap::new()) };
        let rules = self.rules();
        let table = labels::pass(&graph, &labels::declared(&graph), &may_lower(&rules, crate::clock::wall()));
        let path = made.path.as_deref().map(engine::without_items).unwrap_or_default();
        let Some(step) = table.steps.iter().position(|step| step.path == path) else { return Ok(BTreeMap::new()) };
        let trail = |tag: &String| {
            let trail = table.trail(step, tag);
            // What the step itself says of its output does not come from anywhere before it.
            (tag.clone(), if trail.is_empty() { vec![path.to_string()] } else { trail })
        };
        Ok(label.0.iter().map(trail).collect())
    }
}
