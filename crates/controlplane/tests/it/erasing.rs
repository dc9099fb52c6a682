//! Erasing runs and subjects over the whole control plane.

use std::time::Duration;

use controlplane::{FaultKind, Submission};
use keyring::Holder;
use model::{ArtifactRef, Digest, RunId};
use serde_json::json;

use crate::{apply, open};

const WORKFLOW: &str = "workflow: t/w\ninputs: {patient: {type: string}, scan: {type: artifact}}\nnodes:\n  a: {use: core/noop, with: {p: \"${ inputs.patient }\"}}\noutputs: {p: \"${ nodes.a.p }\"}\n";

async fn run_about(control: &controlplane::ControlPlane, subject: &str, scan: &ArtifactRef) -> RunId {
    let inputs = json!({"patient": format!("name of {subject}"), "scan": scan.to_value()});
    let submission = Submission {
        workflow: "t/w".into(),
        principal: "test".into(),
        inputs: inputs.as_object().unwrap().clone(),
        subject: Some(subject.into()),
        ..Submission::default()
    };
    let run = control.submit(submission).await.unwrap().run;
    control.end_of(run, Duration::from_secs(20)).await.unwrap().unwrap();
    run
}

fn upload(control: &controlplane::ControlPlane, text: &[u8]) -> ArtifactRef {
    let put = control.sites().store("local").unwrap().put_bytes(text).unwrap();
    ArtifactRef { digest: put.digest, size: put.size, kind: Default::default(), name: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_erased_and_the_log_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let control = open(&data).await;
    apply(&control, WORKFLOW.into()).await;
    let (own, shared) = (upload(&control, b"a scan of one"), upload(&control, b"a scan of both"));
    let first = run_about(&control, "p1", &own).await;
    let second = run_about(&control, "p1", &shared).await;
    let other = run_about(&control, "p2", &shared).await;
    let kept = control.sites().store("local").unwrap().held_by(Holder::Kept);
    kept.put_bytes(b"no run's").unwrap();

    assert_eq!(control.erase(&[], Some("p3"), "ada").await.unwrap_err().kind, FaultKind::NotFound);
    let erased = control.erase(&[], Some("p1"), "ada").await.unwrap();
    assert_eq!((erased.runs, erased.artifacts), (vec![first, second], 1));
    let reader = control.reader();
    for run in [first, second] {
        let row = reader.run(run).unwrap().unwrap();
        assert_eq!(reader.body(row.first_seq, 0).unwrap(), None);
        assert!(reader.is_erased(run).unwrap());
    }
    let row = reader.run(other).unwrap().unwrap();
    assert_eq!(reader.body(row.first_seq, 0).unwrap().unwrap()["patient"], "name of p2");
    let store = control.sites().store("local").unwrap();
    assert!(matches!(store.open(&own.digest), Err(artifacts::StoreError::Erased(_))));
    assert!(store.open(&shared.digest).is_ok() && store.open(&Digest::of(b"no run's")).is_ok());
    let report = journal::verify(reader).unwrap();
    assert!(report.holds && report.erased > 0, "{report:?}");
    // Once more is no error, and changes nothing.
    assert_eq!(control.erase(&[first.to_string()], None, "ada").await.unwrap().artifacts, 0);
    control.stop().await;
    let control = open(&data).await;
    assert!(journal::verify(control.reader()).unwrap().holds);
    // What a failure said goes with the rest.
    let fails = "workflow: t/w\ninputs: {patient: {type: string}}\nnodes:\n  a: {use: core/fail, with: {message: \"lost: ${ inputs.patient }\"}}\n";
    apply(&control, fails.into()).await;
    let inputs = json!({"patient": "name of p4"}).as_object().unwrap().clone();
    let submission = Submission {
        workflow: "t/w".into(),
        principal: "test".into(),
        inputs,
        subject: Some("p4".into()),
        ..Submission::default()
    };
    let failed = control.submit(submission).await.unwrap().run;
    control.end_of(failed, Duration::from_secs(20)).await.unwrap().unwrap();
    let said = |control: &controlplane::ControlPlane| control.reader().run(failed).unwrap().unwrap().failure.unwrap();
    assert_eq!(said(&control)["message"], "`a`: lost: name of p4");
    control.erase(&[], Some("p4"), "ada").await.unwrap();
    assert_eq!(
        (&said(&control)["class"], &said(&control)["message"]),
        (&json!("user"), &json!("what it said is not kept any more"))
    );
    assert!(journal::verify(control.reader()).unwrap().holds);
    let mut files: Vec<_> = std::fs::read_dir(&data).unwrap().flatten().map(|entry| entry.path()).collect();
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(std::fs::read_dir(&file).unwrap().flatten().map(|entry| entry.path()));
            continue;
        }
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(10).any(|piece| piece == b"name of p4"), "{} holds it in the open", file.display());
    }
    assert!(control.reader().about("p1").unwrap().is_empty(), "whom they were about is gone too");
    control.stop().await;
}

/// Somebody brings what a run gave, for a run that they did not begin yet: it is not erased under their hands, whoever erases is told, and it does not stay for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_brought_once_more_is_told_and_swept_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(&folder.path().join("data")).await;
    apply(&control, WORKFLOW.into()).await;
    let scan = upload(&control, b"a scan");
    let run = run_about(&control, "p1", &scan).await;
    let store = control.sites().store("local").unwrap();
    let given = store.held_by(Holder::Run(run.0)).put_bytes(b"what the run gave").unwrap().digest;
    upload(&control, b"what the run gave");
    let erased = control.erase(&[run.to_string()], None, "ada").await.unwrap();
    assert_eq!((erased.artifacts, erased.brought), (1, 1));
    assert!(store.open(&given).is_ok());
    for _ in 0..2 {
        control.sweep_older(Duration::ZERO, false).await.unwrap();
    }
    let gone = store.open(&given).map(drop);
    assert!(matches!(gone, Err(artifacts::StoreError::Erased(_))), "{gone:?}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workflow_names_stays_until_a_version_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(&folder.path().join("data")).await;
    let scan = upload(&control, b"the scan that all begin with");
    let named = json!({"type": "artifact", "default": scan.to_value()});
    apply(&control, WORKFLOW.replace("{type: artifact}", &named.to_string())).await;
    let run = run_about(&control, "p1", &scan).await;
    let erased = control.erase(&[run.to_string()], None, "ada").await.unwrap();
    assert_eq!((erased.artifacts, erased.workflows), (0, vec!["t/w".to_owned()]));
    let store = control.sites().store("local").unwrap();
    assert!(store.open(&scan.digest).is_ok());
    // The next one can begin with it, and holds it from then on.
    let next = run_about(&control, "p2", &scan).await;
    apply(&control, WORKFLOW.into()).await;
    let other = run_about(&control, "p3", &upload(&control, b"another")).await;
    assert_eq!(control.erase(&[other.to_string()], None, "ada").await.unwrap().artifacts, 1);
    assert!(store.open(&scan.digest).is_ok());
    let erased = control.erase(&[next.to_string()], None, "ada").await.unwrap();
    assert_eq!((erased.artifacts, erased.workflows), (1, Vec::new()));
    assert!(matches!(store.open(&scan.digest), Err(artifacts::StoreError::Erased(_))));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_is_not_erased() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(&folder.path().join("data")).await;
    apply(&control, "workflow: t/w\nnodes:\n  a: {wait: {for: 1h}}\n".into()).await;
    let run = crate::start(&control).await;
    let refused = control.erase(&[run.to_string()], None, "ada").await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Conflict, "{refused}");
    control.stop().await;
}

/// What a Flyte program was given, what it gave, its report and what it published as artifacts: all of it goes with its run, and nothing of another's.
#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_flyte_run_goes_with_it() {
    use controlplane::{FLYTE_ROOT, Program, flyte_base, flyte_run_key};
    use flyte::wire::{ArtifactId, ArtifactInfo, ArtifactName, ArtifactSpec, Container, TaskSpec, TaskTemplate};
    use flyte::{Call, Message as _, Reach};

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let control = open(&data).await;
    let container = Some(Container { args: vec!["a0".into()], ..Container::default() });
    let template = TaskTemplate { kind: "python-task".into(), container, ..TaskTemplate::default() };
    let spec = TaskSpec { task_template: Some(template), ..TaskSpec::default() };
    let objects = control.flyte().objects().clone();
    let inputs = |name: &str| flyte::objects::inputs_key("p", "development", name);
    let shared = inputs("shared");
    objects.put(&shared, b"Ada 4711: everybody").unwrap();
    let mut runs = Vec::new();
    for (project, name, given) in
        [("p", "one", &inputs("own")), ("p", "two", &shared), ("p", "three", &shared), ("q", "one", &shared)]
    {
        if given != &shared {
            objects.put(given, b"Ada 4711: given").unwrap();
        }
        let base = flyte_base(project, "development", name);
        let program = Program {
            name: name.into(),
            project: project.into(),
            domain: "development".into(),
            node: flyte::task::node(FLYTE_ROOT, &spec).unwrap(),
            call: Call {
                spec: control.flyte().keep_spec(&spec.encode_to_vec()).unwrap(),
                inputs: flyte::uri(given),
                base: base.clone(),
                name: FLYTE_ROOT.into(),
                ..Call::default()
            },
            principal: "test".into(),
            idempotency_key: None,
            run_labels: Default::default(),
            subject: None,
            reused: Some(json!({ "output_uri": format!("{base}/a0/1") })),
        };
        let run = control.submit_program(program).await.unwrap().run;
        control.end_of(run, Duration::from_secs(20)).await.unwrap().unwrap();
        for file in ["outputs.pb", "report.html"] {
            let key = format!("{}/a0/1/{file}", flyte_run_key(project, "development", name));
            objects.put(&key, format!("Ada 4711: {file}").as_bytes()).unwrap();
        }
        let id = ArtifactId {
            name: Some(ArtifactName {
                project: project.into(),
                domain: "development".into(),
                name: name.into(),
                ..Default::default()
            }),
            version: "1".into(),
        };
        let info =
            ArtifactInfo { user_metadata: [("who".to_owned(), "Ada 4711: metadata".to_owned())].into(), ..Default::default() };
        let spec = ArtifactSpec { value: Some(b"Ada 4711: value".to_vec()), info: Some(info), ..ArtifactSpec::default() };
        let reach = Reach { base, name: "a0".into(), attempt: 1, ..Reach::default() };
        control.create_artifact(id.clone(), spec.encode_to_vec(), "test", Some(std::sync::Arc::new(reach))).await.unwrap();
        runs.push((run, id));
    }
    let found =
        |id: &ArtifactId| control.artifact_version(id).unwrap().map(|version| flyte::artifacts::read(&version.spec).unwrap());
    assert!(runs.iter().all(|(_, id)| found(id).unwrap().value.as_deref() == Some(&b"Ada 4711: value"[..])));
    assert!(!lies_open(&data, b"Ada 4711: "), "nothing lies open");

    // One has inputs of its own, the other shares them with runs that stay.
    control.erase(&[runs[0].0.to_string(), runs[1].0.to_string()], None, "ada").await.unwrap();
    for name in ["one", "two"] {
        for file in ["outputs.pb", "report.html"] {
            let key = format!("{}/a0/1/{file}", flyte_run_key("p", "development", name));
            assert!(objects.get(&key).is_err(), "{key}");
        }
    }
    assert!(objects.get(&inputs("own")).is_err());
    assert_eq!(objects.get(&shared).unwrap(), b"Ada 4711: everybody");
    assert_eq!(found(&runs[0].1), None);
    assert_eq!(found(&runs[1].1), None);
    assert!(found(&runs[2].1).is_some() && found(&runs[3].1).is_some());
    assert_eq!(
        objects.get("runs/q/development/one/a0/1/report.html").unwrap(),
        b"Ada 4711: report.html",
        "of the same name elsewhere"
    );
    control.erase(&[runs[2].0.to_string()], None, "ada").await.unwrap();
    assert!(objects.get(&shared).is_ok());
    control.erase(&[runs[3].0.to_string()], None, "ada").await.unwrap();
    assert!(objects.get(&shared).is_err(), "the last that was given them is gone");
    let listed = objects.list("", false, "", 100).unwrap().objects;
    assert!(listed.is_empty(), "{listed:?}");
    assert!(journal::verify(control.reader()).unwrap().holds);
    control.stop().await;
}

/// Whether any file below a folder holds these bytes.
fn lies_open(folder: &std::path::Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => lies_open(&path, wanted),
        false => std::fs::read(&path).unwrap_or_default().windows(wanted.len()).any(|piece| piece == wanted),
    })
}
