//! What triggers give to the runs that they start: it stays for those that live, and goes with the last that holds it.

use std::time::Duration;

use controlplane::ControlPlane;
use flyte::wire::{Container, TaskSpec, TaskTemplate};
use flyte::{Call, Message as _};
use model::{ArtifactRef, RunId};
use serde_json::json;
use workflow::documents::{CatchUp, Overlap, TriggerKind, TriggerSpec};

use crate::{apply, open};

const WORKFLOW: &str = "workflow: t/w\ninputs: {scan: {type: artifact}}\nnodes:\n  a: {use: core/noop, with: {n: 1}}\n";

fn upload(control: &ControlPlane, text: &[u8]) -> ArtifactRef {
    let put = control.sites().store("local").unwrap().put_bytes(text).unwrap();
    ArtifactRef { digest: put.digest, size: put.size, kind: Default::default(), name: String::new() }
}

fn trigger(scan: &ArtifactRef) -> String {
    let inputs = json!({"scan": scan.to_value()});
    format!("{WORKFLOW}---\nkind: trigger\nname: seen\nworkflow: t/w\nevent: {{name: seen}}\ninputs: {inputs}\n")
}

/// Has triggers on `seen` fire; gives the run when it has ended.
async fn fire(control: &ControlPlane) -> RunId {
    let run = *control.event("seen", json!({}), "test").await.unwrap().first().expect("it fires");
    control.end_of(run, Duration::from_secs(20)).await.unwrap().unwrap();
    run
}

async fn erase(control: &ControlPlane, run: RunId) -> controlplane::Erased {
    control.erase(&[run.to_string()], None, "ada").await.unwrap()
}

fn is_there(control: &ControlPlane, artifact: &ArtifactRef) -> bool {
    control.sites().store("local").unwrap().open(&artifact.digest).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_gives_goes_with_the_last_run_after_it() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let scan = upload(&control, b"a scan");
    apply(&control, trigger(&scan)).await;
    let (first, second) = (fire(&control).await, fire(&control).await);
    let erased = erase(&control, first).await;
    assert_eq!((erased.artifacts, erased.triggers), (0, vec!["seen".to_owned()]), "who still has it is said");
    assert!(is_there(&control, &scan));
    control.delete_resource("trigger", "seen", false, "ada").await.unwrap();
    assert!(is_there(&control, &scan), "another run was given it");
    control.stop().await;
    drop(control);
    // Who holds what is found again by whoever starts anew.
    let control = open(data.path()).await;
    assert!(is_there(&control, &scan));
    let erased = erase(&control, second).await;
    assert_eq!((erased.artifacts, erased.triggers), (1, Vec::new()));
    assert!(!is_there(&control, &scan));
    assert!(journal::verify(control.reader()).unwrap().holds);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_trigger_gives_goes_with_it_when_its_runs_were_erased() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let (scan, other) = (upload(&control, b"a scan"), upload(&control, b"another"));
    apply(&control, trigger(&scan)).await;
    let run = fire(&control).await;
    erase(&control, run).await;
    assert!(is_there(&control, &scan));
    // It gives something else from now on.
    apply(&control, trigger(&other)).await;
    assert!(!is_there(&control, &scan) && is_there(&control, &other));
    let run = fire(&control).await;
    erase(&control, run).await;
    control.stop().await;
    drop(control);
    let control = open(data.path()).await;
    control.delete_resource("trigger", "seen", false, "ada").await.unwrap();
    assert!(!is_there(&control, &other));
    control.stop().await;
}

/// A trigger of a program that waits for `seen`.
fn of_a_program(control: &ControlPlane, inputs: &str) -> TriggerSpec {
    // Nothing of it comes to run: there is no such environment.
    let container = Container { image: "nowhere".into(), args: vec!["a0".into()], ..Container::default() };
    let template = TaskTemplate { kind: "python-task".into(), container: Some(container), ..TaskTemplate::default() };
    let spec = TaskSpec { task_template: Some(template), ..TaskSpec::default() };
    let call = Call {
        spec: control.flyte().keep_spec(&spec.encode_to_vec()).unwrap(),
        task: ["tutti", "p", "development", "t", "1"].map(str::to_owned),
        inputs: flyte::uri(inputs),
        name: controlplane::FLYTE_ROOT.into(),
        ..Call::default()
    };
    TriggerSpec {
        name: "p/development/t/seen".into(),
        workflow: "p/t".into(),
        domain: Some("development".into()),
        inputs: controlplane::inputs_of_trigger(&call),
        on: TriggerKind::Event { name: "seen".into(), matching: json!({}) },
        catch_up: CatchUp::Last,
        overlap: Overlap::Allow,
        paused: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_a_program_outlive_one_run_of_its_trigger_and_go_with_the_last() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let objects = control.flyte().objects().clone();
    let key = flyte::objects::inputs_key("p", "development", "given");
    objects.put(&key, b"Ada 4711").unwrap();
    let own = of_a_program(&control, &key);
    control.set_program_trigger(own.clone(), json!({}), "test").await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = *control.event("seen", json!({}), "test").await.unwrap().first().expect("it fires");
        control.end_of(run, Duration::from_secs(20)).await.unwrap().unwrap();
        runs.push(run);
    }
    assert_eq!(erase(&control, runs[0]).await.triggers, std::slice::from_ref(&own.name));
    assert!(objects.get(&key).is_ok(), "two runs and the trigger have it");
    control.stop().await;
    drop((control, objects));
    let control = open(data.path()).await;
    let objects = control.flyte().objects().clone();
    control.remove_program_trigger(&own.name, "test").await.unwrap();
    erase(&control, runs[1]).await;
    assert_eq!(objects.get(&key).unwrap(), b"Ada 4711", "a run that lives has it");
    erase(&control, runs[2]).await;
    assert!(objects.get(&key).is_err());
    // All of its runs are erased before it is removed.
    let key = flyte::objects::inputs_key("p", "development", "second");
    objects.put(&key, b"Ada 4711").unwrap();
    control.set_program_trigger(of_a_program(&control, &key), json!({}), "test").await.unwrap();
    let run = *control.event("seen", json!({}), "test").await.unwrap().first().expect("it fires");
    control.end_of(run, Duration::from_secs(20)).await.unwrap().unwrap();
    erase(&control, run).await;
    assert!(objects.get(&key).is_ok(), "runs to come need it");
    control.remove_program_trigger(&own.name, "test").await.unwrap();
    assert!(objects.get(&key).is_err());
    control.stop().await;
}
