//! Files, folders and tables between a workflow and the tasks that it calls: what the workflow has as artifacts of a site the task reads as
//! objects, and what the task gives as objects becomes artifacts of the site.

use std::io::Read;

use ::artifacts::{ListingEntry, Put, Store};
use engine::event::Located;
use engine::{Dispatch, Outcome};
use flyte::interface::Placed;
use flyte::objects::Page;
use flyte::{Call, Reach};
use keyring::Holder;
use model::limits::VALUE_BYTES_MAX;
use model::value::ArtifactKind;
use model::{ArtifactRef, AttemptKey, Failure, FailureClass, NodeKind};
use serde_json::{Value, json};

use super::{Flyte, base_of, calls, stores};
use crate::Sites;

/// Objects of one page of a folder.
const PAGE: usize = 1_000;

/// What calls a task, when that is a node of a workflow.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// Where the attempt is.
    pub(super) site: String,
    /// Whether its files and tables are artifacts to the workflow; those of tasks that earlier versions registered are addresses.
    pub(super) takes_files: bool,
}

fn broken(class: FailureClass, message: String) -> Failure {
    Failure::new(class, message)
}

/// The artifacts that a node of a workflow gives to the task that it calls; none for what is not called so.
pub(crate) fn given(dispatch: &Dispatch, input: &Value) -> Vec<ArtifactRef> {
    match &dispatch.node.kind {
        NodeKind::Task { .. } if !is_from_a_program(dispatch, input) => ArtifactRef::all_in(input),
        _ => Vec::new(),
    }
}

/// Whether a program asked for an action, or is one.
fn is_from_a_program(dispatch: &Dispatch, input: &Value) -> bool {
    calls::comes_from_a_program(&dispatch.node, &dispatch.path) && Call::of(input).is_some()
}

/// A name as a part of a key.
fn plain(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let good = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let safe: String = last.chars().map(good).take(200).collect();
    if safe.trim_matches('.').is_empty() { "file".into() } else { safe }
}

impl Flyte {
    /// Copies artifacts of a site to where the task reads them that is given them. Copied again, they are the same. Blocks.
    pub(crate) fn place(&self, dispatch: &Dispatch, artifacts: &[ArtifactRef], store: &Store) -> Result<Placed, Failure> {
        let names = &dispatch.names;
        let base = base_of(&names.project, &names.domain, &names.name);
        self.note_given(dispatch)?;
        let unreadable = |artifact: &ArtifactRef, why: String| {
            broken(FailureClass::Transfer, format!("`{}` cannot be given to the task: {why}", artifact.name))
        };
        let (mut placed, objects) = (Placed::new(), self.inner.objects.of_site(&dispatch.site));
        for (number, artifact) in artifacts.iter().enumerate() {
            let uri = format!("{base}/{}/given/{number}/{}", dispatch.path, plain(&artifact.name));
            let key = flyte::key(&uri).unwrap_or_default();
            let copy = |digest: &model::Digest, key: &str| {
                let mut content = store.open(digest).map_err(|error| unreadable(artifact, error.to_string()))?;
                objects.put_from(key, &mut content).map_err(|error| match flyte::away(&error) {
                    Some(away) => stores::is_away(away.to_string()),
                    None => unreadable(artifact, error.to_string()),
                })
            };
            match artifact.kind {
                ArtifactKind::Directory => {
                    let listing = store.listing(&artifact.digest).map_err(|error| unreadable(artifact, error.to_string()))?;
                    let listing = listing.ok_or_else(|| unreadable(artifact, "it is no folder".into()))?;
                    for entry in &listing.entries {
                        copy(&entry.digest, &format!("{key}/{}", entry.path))?;
                    }
                }
                _ => drop(copy(&artifact.digest, key)?),
            }
            placed.insert(artifact.digest, uri);
        }
        Ok(placed)
    }

    /// Whether a node of a workflow called the task of an attempt.
    pub(crate) fn is_called(&self, key: AttemptKey) -> bool {
        self.inner.attempts.lock().get(&key).is_some_and(|open| open.called.is_some())
    }

    /// What a called task gave, as values for the workflow, and the artifacts among them. Blocks.
    pub(crate) fn values(&self, key: AttemptKey, sites: &Sites) -> (Outcome, Vec<Located>) {
        let known = {
            let attempts = self.inner.attempts.lock();
            attempts.get(&key).and_then(|open| Some((open.reach.clone(), open.called.clone()?)))
        };
        let lost = || Failure::new(FailureClass::Unknown, "nothing is known of the attempt any more");
        let taken = known.ok_or_else(lost).and_then(|(reach, called)| self.take(key, &reach, &called, sites));
        match taken {
            Ok((value, locations)) => (Outcome::Succeeded(value), locations),
            Err(failure) => (Outcome::Failed(failure), Vec::new()),
        }
    }

    fn take(&self, key: AttemptKey, reach: &Reach, called: &Called, sites: &Sites) -> Result<(Value, Vec<Located>), Failure> {
        let failed = |message: String| broken(FailureClass::Output, message);
        let outputs = reach.outputs();
        let bytes = match flyte::key(&format!("{outputs}/outputs.pb")).map(|key| self.inner.objects.get(key)) {
            Some(Ok(bytes)) => bytes,
            // A task that gives nothing need not say so.
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Some(Err(error)) => return Err(failed(format!("the outputs of the task cannot be read: {error}"))),
            None => return Err(failed("the outputs of the task lie elsewhere".into())),
        };
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(failed(format!("the outputs of the task have {} bytes: give a file", bytes.len())));
        }
        let store = sites.store(&called.site).map(|store| store.held_by(Holder::Run(key.run.0)));
        let (mut locations, mut why) = (Vec::new(), None);
        let value = flyte::interface::outputs_with(&bytes, &mut |uri, kind| {
            if !called.takes_files {
                return Some(json!({ "uri": uri }));
            }
            let store = store.as_ref().ok_or_else(|| broken(FailureClass::SiteDown, format!("`{}` is not open", called.site)));
            let taken = store.and_then(|store| self.take_object(reach, uri, kind, store));
            match taken {
                Ok(artifact) => {
                    locations.push(Located { artifact: artifact.digest, size: artifact.size, site: called.site.clone() });
                    Some(artifact.to_value())
                }
                Err(failure) => {
                    why = Some(failure);
                    None
                }
            }
        });
        match (value, why) {
            (_, Some(failure)) => Err(failure),
            (None, None) => Err(failed("the outputs of the task hold something that is no value of JSON".into())),
            (Some(value), None) => Ok((value, locations)),
        }
    }

    fn take_object(&self, reach: &Reach, uri: &str, kind: ArtifactKind, store: &Store) -> Result<ArtifactRef, Failure> {
        let failed = |why: String| broken(FailureClass::Output, format!("the task gave `{uri}`, which cannot be taken: {why}"));
        let io = |error: std::io::Error| failed(error.to_string());
        let key = flyte::key(uri).map(|key| key.trim_end_matches('/')).filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| failed("it does not lie in the store of this server".into()))?;
        // It gives nothing that it may not read itself.
        if !self.may_read(reach, key).map_err(io)? {
            return Err(failed("the task itself may not read it".into()));
        }
        let name = key.rsplit('/').next().unwrap_or("file").to_owned();
        let untaken = |error: Box<dyn std::error::Error>| match error.downcast_ref().and_then(flyte::away) {
            Some(away) => stores::is_away(away.to_string()),
            None => failed(error.to_string()),
        };
        let (put, name) = match kind {
            ArtifactKind::Directory => (self.take_folder(key, store).map_err(untaken)?, name),
            ArtifactKind::Table => {
                let (part, name) = self.table_at(key, name).map_err(failed)?;
                (self.take_file(&part, store).map_err(untaken)?, name)
            }
            _ => (self.take_file(key, store).map_err(untaken)?, name),
        };
        Ok(ArtifactRef { digest: put.digest, size: put.size, kind, name })
    }

    fn take_file(&self, key: &str, store: &Store) -> Result<Put, Box<dyn std::error::Error>> {
        let mut content: Box<dyn Read> = Box::new(self.inner.objects.open_at(key, 0)?);
        Ok(store.put(&mut content)?)
    }

    fn take_folder(&self, key: &str, store: &Store) -> Result<Put, Box<dyn std::error::Error>> {
        let prefix = format!("{key}/");
        let (mut after, mut entries) = (String::new(), Vec::new());
        loop {
            let Page { objects, next, .. } = self.inner.objects.list(&prefix, false, &after, PAGE)?;
            for object in objects {
                let put = self.take_file(&object.key, store)?;
                let path = object.key[prefix.len()..].to_owned();
                entries.push(ListingEntry { path, digest: put.digest, size: put.size, executable: false });
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(store.put_listing(entries)?)
    }

    /// The one file that a table consists of, and what it is to be called.
    fn table_at(&self, key: &str, name: String) -> Result<(String, String), String> {
        if self.inner.objects.head(key).is_ok() {
            return Ok((key.to_owned(), name));
        }
        let page = self.inner.objects.list(&format!("{key}/"), false, "", 2).map_err(|error| error.to_string())?;
        let [part] = page.objects.as_slice() else {
            return Err("a table for a workflow is one file: write it in one piece, or give a folder".into());
        };
        let ending = if part.key.ends_with(".csv") { "csv" } else { "parquet" };
        Ok((part.key.clone(), format!("table.{ending}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads what is placed for a task is held to what it carries, also when placing it broke off.
    #[test]
    fn what_files_carry_is_noted_before_the_first_of_them_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let flyte = Flyte::open(folder.path(), Store::open_at(folder.path().join("specs")).unwrap(), None, None).unwrap();
        let put = store.put_bytes(b"a scan").unwrap();
        let artifact = |digest| ArtifactRef { digest, size: put.size, kind: ArtifactKind::File, name: "scan".into() };
        let names = engine::RunNames { project: "p".into(), domain: "d".into(), name: "r".into(), ..Default::default() };
        let dispatch = Dispatch {
            key: "tutti-1-1-1".parse().unwrap(),
            epoch: model::Epoch(1),
            site: "local".into(),
            names: std::sync::Arc::new(names),
            path: "read".into(),
            node: std::sync::Arc::default(),
            input: None,
            label: model::Label::of(["pii"]),
            idempotency_key: String::new(),
            timeout: None,
        };
        assert!(flyte.place(&dispatch, &[artifact(put.digest), artifact(model::Digest::of(b"gone"))], &store).is_err());
        let there = flyte.objects().list("runs/p/d/r/read/given/", false, "", 10).unwrap().objects;
        assert_eq!(there.len(), 1, "{there:?}");
        assert_eq!(flyte.label_of("runs/p/d/r", "read").unwrap(), model::Label::of(["pii"]));
    }

    #[test]
    fn names_lead_nowhere_else() {
        for (name, safe) in [("a b/ü.csv", "_.csv"), ("..", "file"), ("", "file"), ("x/../y.parquet", "y.parquet")] {
            assert_eq!(plain(name), safe);
        }
    }
}
