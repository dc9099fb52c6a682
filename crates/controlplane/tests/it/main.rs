//! The control plane as a whole, in this process.

mod erasing;
mod erasing_triggers;
mod governing;
mod instants;
mod keep;
mod names;
mod plans;
mod reaching;
mod rederiving;
mod retention;
mod supposing;
mod triggers;
mod witnesses;

use std::path::Path;

use controlplane::{ControlPlane, Options, SourceFile, Submission};
use journal::Durability;
use model::RunId;

/// How a directory is opened, without a wrapper for processes.
fn options(data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        durability: Durability::Relaxed,
        shim: ("/bin/false".into(), Vec::new()),
        path: String::new(),
        keys: Default::default(),
    }
}

/// A control plane on a directory.
async fn open(data: &Path) -> ControlPlane {
    ControlPlane::open(options(data)).await.unwrap()
}

/// Registers a workflow.
async fn apply(control: &ControlPlane, text: String) {
    let sources = vec![SourceFile { path: "t.yaml".into(), text }];
    let outcome = control.apply(sources, Default::default(), false, "test").await.unwrap();
    assert!(!outcome.failed(), "{}", outcome.rendered);
}

/// Starts a run of `t/w`.
async fn start(control: &ControlPlane) -> RunId {
    control.submit(Submission { workflow: "t/w".into(), principal: "test".into(), ..Submission::default() }).await.unwrap().run
}
