//! What the data of Flyte programs carry: what enters by the rules, what objects of earlier actions bring along, and what is kept beside each
//! action's objects, so that whoever asks for one is held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flyte::reach::Access;
use flyte::{Call, Message as _, Reach};
use model::{ActionNo, AttemptKey, Digest, Label, RunId};
use policy::Entering;

use super::Flyte;
use crate::{ControlPlane, Fault};

/// Where the label of an action's objects is kept: under a key that no attempt may touch. What is within a sub-workflow has one with it.
fn key_of(run: &str, action: &str) -> String {
    let action = action.split('/').next().unwrap_or_default();
    format!("labels/{}/{action}", run.trim_end_matches('/'))
}

/// Under what name it is kept what everything within a workflow can read that a running action asked for. No action has such a name.
pub(super) fn within(action: &str) -> String {
    format!("{action}!within")
}

/// The run and the action that an object is of, by its address.
fn place_of(address: &str) -> Option<(&str, &str)> {
    let key = flyte::key(address)?;
    let mut parts = key.splitn(6, '/');
    let ["runs", project, domain, run, action] = [(); 5].map(|()| parts.next().unwrap_or_default()) else { return None };
    let run = key.get(.."runs///".len() + project.len() + domain.len() + run.len())?;
    (!action.is_empty()).then_some((run, action))
}

/// The uploads of a project and domain, and the folder of them that an object lies in, by its address.
fn upload_at(address: &str) -> Option<(&str, &str)> {
    let key = flyte::key(address)?;
    let mut parts = key.splitn(5, '/');
    let ["uploads", project, domain, folder] = [(); 4].map(|()| parts.next().unwrap_or_default()) else { return None };
    let uploads = key.get(.."uploads//".len() + project.len() + domain.len())?;
    (!folder.is_empty()).then_some((uploads, folder))
}

/// The folder of uploads whose data carry a label.
fn folder_of(label: &Label) -> String {
    format!("carries-{}", &Digest::of(label.to_string().as_bytes()).hex()[..16])
}

/// The key of inputs that were sent for a run, by their address.
fn inputs_at(address: &str) -> Option<&str> {
    flyte::key(address).filter(|key| flyte::objects::inputs_of(key).is_some())
}

impl Flyte {
    /// Keeps what the objects of an action carry, before any of them is written.
    pub fn note_label(&self, reach: &Reach, action: &str) -> std::io::Result<()> {
        let Some(run) = flyte::key(&reach.base).filter(|_| !reach.label.is_empty()) else { return Ok(()) };
        let _one_at_a_time = self.inner.labels.lock();
        let known = self.label_of(run, action)?;
        if reach.label.0.is_subset(&known.0) {
            return Ok(());
        }
        let all = serde_json::to_vec(&known.joined(&reach.label))?;
        self.objects().put(&key_of(run, action), &all).map(drop)
    }

    /// Whether an attempt may read an object, or list what is below a prefix. Blocks.
    pub fn may_read(&self, reach: &Reach, key: &str) -> std::io::Result<bool> {
        let label = match reach.reading(key) {
            Access::Granted => return Ok(true),
            Access::Refused => return Ok(false),
            Access::OfAction(run, action) => self.label_of(run, action)?,
            Access::OfRun(run) => self.label_of_run(run)?,
        };
        Ok(label.0.is_subset(&reach.label.0))
    }

    /// What the objects of an action carry, by the part of their keys that names the run, and the action.
    pub fn label_of(&self, run: &str, action: &str) -> std::io::Result<Label> {
        let own = self.kept(&key_of(run, action))?;
        Ok(own.joined(&self.kept_of_run(run)?))
    }

    /// What everything within a workflow can read that a running action asked for, by the path of the workflow or of a node within it.
    pub fn label_within(&self, run: &str, path: &str) -> std::io::Result<Label> {
        let asked = path.split('/').next().unwrap_or_default();
        self.kept(&key_of(run, &within(asked)))
    }

    /// What the objects carry whose addresses are among values.
    pub(super) fn label_of_values(&self, values: &[u8]) -> std::io::Result<Label> {
        let (addresses, mut all) = (flyte::addresses(values), Label::empty());
        for address in addresses.all() {
            all.join(&self.label_at(address)?);
        }
        Ok(all)
    }

    /// What the object at an address carries, as far as this server keeps it.
    pub fn label_at(&self, address: &str) -> std::io::Result<Label> {
        match (place_of(address).or_else(|| upload_at(address)), inputs_at(address)) {
            (Some((run, action)), _) => self.label_of(run, action),
            (None, Some(key)) => self.kept(&format!("labels/{key}")),
            (None, None) => Ok(Label::empty()),
        }
    }

    /// Where an attempt uploads to, in a project and domain: in a folder that carries what its data do. None where they carry nothing.
    pub fn upload_folder(&self, reach: &Reach, project: &str, domain: &str) -> std::io::Result<Option<String>> {
        if reach.label.is_empty() {
            return Ok(None);
        }
        let folder = folder_of(&reach.label);
        let base = flyte::uri(&format!("uploads/{project}/{domain}"));
        self.note_label(&Reach { base, label: reach.label.clone(), ..Reach::default() }, &folder)?;
        Ok(Some(folder))
    }

    /// Whether an attempt may still upload to where it asked to: its data may carry more by now.
    pub fn may_upload(&self, reach: &Reach, key: &str) -> bool {
        let address = flyte::uri(key);
        let folder = upload_at(&address).map_or("", |(_, folder)| folder);
        reach.label.is_empty() || folder == folder_of(&reach.label)
    }

    /// Keeps what inputs carry that were sent for a run: whoever names them for another brings that along.
    fn note_inputs(&self, address: &str, label: &Label) -> std::io::Result<()> {
        let Some(key) = inputs_at(address).filter(|_| !label.is_empty()) else { return Ok(()) };
        let _one_at_a_time = self.inner.labels.lock();
        let known = self.label_at(address)?;
        if label.0.is_subset(&known.0) {
            return Ok(());
        }
        self.objects().put(&format!("labels/{key}"), &serde_json::to_vec(&known.joined(label))?).map(drop)
    }

    /// Earlier versions kept one for the whole run.
    fn kept_of_run(&self, run: &str) -> std::io::Result<Label> {
        self.kept(&format!("labels/{}", run.trim_end_matches('/')))
    }

    /// What the objects of all actions of a run carry.
    pub fn label_of_run(&self, run: &str) -> std::io::Result<Label> {
        let (prefix, mut after, mut all) = (key_of(run, ""), String::new(), self.kept_of_run(run)?);
        loop {
            let page = self.objects().list(&prefix, false, &after, 1_000)?;
            for meta in &page.objects {
                all.join(&self.kept(&meta.key)?);
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    fn kept(&self, key: &str) -> std::io::Result<Label> {
        match self.objects().get(key) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Label::empty()),
            Err(error) => Err(error),
        }
    }

    /// Something came for an attempt that carries more than its data did: it may read that from now on, and what it writes carries it. Nothing is
    /// read or written here, since this is the thread that keeps the journal; it is kept before the attempt is told, see [`Flyte::keep_grown`].
    pub(crate) fn grown(&self, attempt: AttemptKey, label: Label) {
        if let Some(open) = self.inner.attempts.lock().get_mut(&attempt) {
            open.reach = Arc::new(Reach { label, ..(*open.reach).clone() });
            open.is_unkept = true;
        }
    }

    /// Keeps what came to the attempts of an action. Every door that tells an attempt something asks for this first, and tells nothing where it
    /// fails: what an attempt writes and prints would otherwise be shown to those who may not see it. Blocks.
    pub fn keep_grown(&self, run: RunId, action: ActionNo) -> std::io::Result<()> {
        let of_action = |key: &AttemptKey| key.run == run && key.action == action;
        let unkept: Vec<(AttemptKey, Arc<Reach>)> = {
            let attempts = self.inner.attempts.lock();
            let unkept = attempts.iter().filter(|(key, open)| of_action(key) && open.is_unkept);
            unkept.map(|(key, open)| (*key, open.reach.clone())).collect()
        };
        for (key, reach) in unkept {
            self.note_label(&reach, &reach.name)?;
            // What came meanwhile is still to be kept.
            if let Some(open) = self.inner.attempts.lock().get_mut(&key)
                && Arc::ptr_eq(&open.reach, &reach)
            {
                open.is_unkept = false;
            }
        }
        Ok(())
    }
}

/// A task that is about to be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The project of the run.
    pub project: &'a str,
    /// The domain of the run.
    pub domain: &'a str,
    /// The name of the task.
    pub task: &'a str,
    /// The address of its inputs.
    pub inputs: &'a str,
    /// The secrets that it wants.
    pub secrets: &'a BTreeSet<String>,
    /// What the run says of itself.
    pub run_labels: &'a BTreeMap<String, String>,
    /// Whose results are its own: those of a run are not looked at, since whoever asks carries what they do.
    pub run: &'a str,
    /// What whoever asks carries: that comes along with them.
    pub known: &'a Label,
}

impl ControlPlane {
    /// The tags that come to a task which is about to be asked for, beside those of whoever asks, and by what each does. Blocks.
    pub fn entering(&self, asked: &Asked<'_>) -> Result<BTreeMap<String, String>, Fault> {
        let rules = self.rules();
        if !rules.governed() {
            return Ok(BTreeMap::new());
        }
        let inputs = flyte::key(asked.inputs).and_then(|key| self.flyte().objects().get(key).ok());
        let addresses = flyte::addresses(&inputs.unwrap_or_default());
        let mut entered = rules.entering(&Entering {
            project: asked.project,
            domain: Some(asked.domain),
            task: asked.task,
            data: Some(&addresses.data),
            named: Some(&addresses.named),
            run_labels: Some(asked.run_labels),
        });
        let mut join = |label: Label, by: &dyn Fn() -> String| {
            for tag in label.0 {
                entered.entry(tag).or_insert_with(by);
            }
        };
        for secret in asked.secrets {
            join(rules.tags_of_secret(asked.project, secret), &|| format!("the secret `{secret}`"));
        }
        let own = super::run_key(asked.project, asked.domain, asked.run);
        // What it is given as its inputs it reads, whoever wrote them, also somebody else of its own run.
        let others = addresses.all().filter(|address| place_of(address).is_none_or(|(run, _)| run != own));
        for address in others.chain([asked.inputs]) {
            let mut label = self.flyte().label_at(address).map_err(Fault::internal)?;
            label.0.retain(|tag| !asked.known.0.contains(tag));
            join(label, &|| match place_of(address) {
                Some((run, action)) => {
                    format!("what `{action}` of the run `{}` gave", run.rsplit('/').next().unwrap_or_default())
                }
                None => "what another run was given".to_owned(),
            });
        }
        Ok(entered)
    }

    /// The tags that come to the root of a program. Blocks.
    pub(super) fn entering_of_program(
        &self,
        project: &str,
        domain: &str,
        call: &Call,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let spec = self.flyte().spec(&call.spec)?;
        let unfit = |error: flyte::task::Unfit| Fault::new(crate::FaultKind::Malformed, error.to_string());
        let template = flyte::task::read(&spec).map_err(unfit)?.task_template.unwrap_or_default();
        let secrets = flyte::task::secrets(&template).map_err(unfit)?.into_values().collect();
        let mut entered = self.entering(&Asked {
            project,
            domain,
            task: &flyte::task::name_of(&template),
            inputs: &call.inputs,
            secrets: &secrets,
            run_labels: &run_labels(&call.run_spec),
            run: "",
            known: &Label::empty(),
        })?;
        let all: Label = Label::of(entered.keys().chain(call.entered.keys()).cloned());
        self.flyte().note_inputs(&call.inputs, &all).map_err(Fault::internal)?;
        if !call.recovered_from.is_empty() {
            entered.extend(self.recovered_tags(project, domain, &call.recovered_from, super::ROOT)?);
        }
        Ok(entered)
    }

    /// The tags of a result of an earlier run of the same project and domain, and by what each came. What that run took from elsewhere itself
    /// carries what is kept where it lies.
    pub fn recovered_tags(
        &self,
        project: &str,
        domain: &str,
        run: &str,
        action: &str,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let mut label = self.flyte().label_of(&super::run_key(project, domain, run), action).map_err(Fault::internal)?;
        let reader = self.reader();
        let known = reader.find_run(project, domain, Some(run), None).map_err(Fault::internal)?;
        let row = known.by_name.map(|run| reader.action(run, action)).transpose().map_err(Fault::internal)?.flatten();
        let output = row.and_then(|row| row.output_seq).map(|seq| reader.body(seq, 0)).transpose().map_err(Fault::internal)?;
        let output = output.flatten().unwrap_or_default();
        let address = output.get("output_uri").and_then(serde_json::Value::as_str).unwrap_or_default();
        label.join(&self.flyte().label_at(address).map_err(Fault::internal)?);
        Ok(label.0.into_iter().map(|tag| (tag, format!("the run `{run}`, whose result it is"))).collect())
    }
}

/// What a run says of itself, of its specification in hexadecimal digits.
pub fn run_labels(run_spec: &str) -> BTreeMap<String, String> {
    let bytes = flyte::call::from_hex(run_spec).unwrap_or_default();
    let said = flyte::wire::RunSpec::decode(bytes.as_slice()).unwrap_or_default();
    said.labels.unwrap_or_default().values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flyte::Open;

    /// What came is kept before anybody is told; where it cannot be, that is said, and it stays to be kept.
    #[test]
    fn what_comes_to_an_attempt_is_kept_before_it_is_told_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let specs = artifacts::Store::open_at(folder.path().join("specs")).unwrap();
        let flyte = Flyte::open(folder.path(), specs, None, None).unwrap();
        let key: AttemptKey = "tutti-1-2-1".parse().unwrap();
        let reach = Reach { base: "s3://tutti/runs/p/d/r".into(), name: "a0".into(), attempt: 1, ..Reach::default() };
        let open = Open {
            site: String::new(),
            reach: Arc::new(reach),
            called: None,
            produces: false,
            is_app: false,
            suspends_after: None,
            is_unkept: false,
            away: None,
        };
        flyte.inner.attempts.lock().insert(key, open);
        // Something that is no folder stands where labels are kept.
        let root = folder.path().join("flyte/store/objects");
        let in_the_way = root.join("labels+");
        std::fs::write(&in_the_way, "").unwrap();
        flyte.grown(key, Label::of(["pii"]));
        assert!(flyte.keep_grown(key.run, key.action).is_err());
        assert!(flyte.keep_grown(key.run, key.action).is_err(), "it stays to be kept");
        std::fs::remove_file(&in_the_way).unwrap();
        flyte.keep_grown(key.run, key.action).unwrap();
        assert_eq!(flyte.label_of("runs/p/d/r", "a0").unwrap(), Label::of(["pii"]));
        assert!(!flyte.inner.attempts.lock()[&key].is_unkept);
        // One attempt's label is not lost by another's that knows less.
        let less = Reach { label: Label::of(["eu"]), ..(*flyte.inner.attempts.lock()[&key].reach).clone() };
        flyte.note_label(&less, "a0").unwrap();
        assert_eq!(flyte.label_of("runs/p/d/r", "a0").unwrap(), Label::of(["eu", "pii"]));
    }

    #[test]
    fn an_address_names_the_action_that_it_is_of() {
        assert_eq!(place_of("s3://tutti/runs/p/d/r/a0/1/raw/x"), Some(("runs/p/d/r", "a0")));
        for other in
            ["s3://tutti/runs/p/d/r", "s3://tutti/runs/p/d/r/", "s3://elsewhere/runs/p/d/r/a0/x", "s3://tutti/uploads/p/d/x/y"]
        {
            assert_eq!(place_of(other), None, "{other}");
        }
        assert_eq!(upload_at("s3://tutti/uploads/p/d/x/y"), Some(("uploads/p/d", "x")));
        for other in
            ["s3://tutti/uploads/p/d", "s3://tutti/uploads/p/d/", "s3://tutti/runs/p/d/r/a0/x", "s3://elsewhere/uploads/p/d/x/y"]
        {
            assert_eq!(upload_at(other), None, "{other}");
        }
    }
}
