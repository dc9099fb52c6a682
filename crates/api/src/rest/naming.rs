//! Artifacts that callers name in what runs are given. A run reads in the stead of whoever started it: they have to be somebody who may see the
//! artifact, or who brought it.

use std::collections::{BTreeSet, VecDeque};

use controlplane::{Fault, FaultKind};
use model::{ArtifactRef, Digest};
use parking_lot::Mutex;
use policy::Target;
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::permission;
use super::problem::{ApiError, ApiResult};

/// Uploads that are remembered.
const UPLOADS_MAX: usize = 65_536;
/// Runs that are looked at for one artifact.
const RUNS_MAX: usize = 1_000;

/// Who brought what since the server started. Whoever has content may name it, whoever else has it too.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    known: Mutex<(BTreeSet<(Digest, String)>, VecDeque<(Digest, String)>)>,
}

impl Uploads {
    /// Somebody brought an artifact.
    pub(super) fn brought(&self, digest: Digest, principal: &str) {
        let (known, order) = &mut *self.known.lock();
        let upload = (digest, principal.to_owned());
        if known.insert(upload.clone()) {
            order.push_back(upload);
        }
        while order.len() > UPLOADS_MAX {
            order.pop_front().map(|first| known.remove(&first));
        }
    }

    fn is_of(&self, digest: Digest, principal: &str) -> bool {
        self.known.lock().0.contains(&(digest, principal.to_owned()))
    }
}

/// Refuses values that name an artifact that a caller may not see.
pub(super) fn check<'v>(app: &App, caller: &Caller, values: impl IntoIterator<Item = &'v Value>) -> ApiResult<()> {
    if permission::always(app, caller, "view") {
        return Ok(());
    }
    let named: Vec<Digest> = values.into_iter().flat_map(ArtifactRef::all_in).map(|artifact| artifact.digest).collect();
    if named.is_empty() {
        return Ok(());
    }
    tokio::task::block_in_place(|| named.into_iter().try_for_each(|digest| check_one(app, caller, digest)))
}

fn check_one(app: &App, caller: &Caller, digest: Digest) -> ApiResult<()> {
    if app.uploads.is_of(digest, &caller.principal) {
        return Ok(());
    }
    let reader = app.control.reader();
    let label = app.control.label_of_artifact(&digest)?;
    for origin in reader.origins_of(&digest, RUNS_MAX).map_err(Fault::internal)? {
        let Some(run) = reader.run(origin.run).map_err(Fault::internal)? else { continue };
        // Whoever repeats a run is given what somebody else had the right to give.
        let was_given_it = origin.action.is_none() && run.principal == caller.principal && run.origin["kind"] != "rerun";
        if was_given_it || permission::permits(app, caller, "view", &permission::run_target(&run), &label) {
            return Ok(());
        }
    }
    let target = Target { kind: "artifact".into(), name: digest.to_string(), ..Target::default() };
    if permission::permits(app, caller, "view", &target, &label) {
        return Ok(());
    }
    // The same whatever it carries, and whether it is there or not.
    let fault = Fault::new(FaultKind::Forbidden, format!("`{}` may not give the artifact `{digest}` to a run", caller.principal));
    let hint = "a run is given what whoever starts it may see: upload the file again, or ask for `view` of what it is from";
    Err(ApiError(fault.hint(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_uploads_are_remembered() {
        let uploads = Uploads::default();
        let of = |number: usize| Digest::of(&number.to_be_bytes());
        for number in 0..=UPLOADS_MAX {
            uploads.brought(of(number), "ada");
            uploads.brought(of(number), "ada");
        }
        assert!(!uploads.is_of(of(0), "ada") && uploads.is_of(of(1), "ada") && uploads.is_of(of(UPLOADS_MAX), "ada"));
        assert!(!uploads.is_of(of(1), "bob"));
    }
}
