//! Rules: before a workflow is registered, before a run is accepted, before an action is placed.

use std::time::Duration;

use controlplane::{ControlPlane, FaultKind, SourceFile, Submission};
use model::{Digest, Label, Phase};
use serde_json::{Value, json};

use crate::{apply, open};

const PATIENCE: Duration = Duration::from_secs(60);

const SITES: &str = "kind: site
name: onprem
capacity: {cpu: 4}
attributes: {zone: on-premise}
prices: {cpu_hour: 9}
---
kind: site
name: cloud
capacity: {cpu: 4}
attributes: {zone: cloud}
";

const RULE: &str = "kind: tag
name: pii
owners: [officers]
approvals: 1
---
kind: policy
name: personal
cedar: |
  @id(\"home\")
  @reason(\"personal data stays on-premise\")
  forbid (principal, action == Action::\"run\", resource)
  when { context.data in Tag::\"pii\" }
  unless { resource.zone == \"on-premise\" };
";

async fn refused(control: &ControlPlane, text: &str) -> String {
    let sources = vec![SourceFile { path: "t.yaml".into(), text: text.into() }];
    match control.apply(sources, Default::default(), false, "ada").await {
        Err(fault) => {
            assert_eq!(fault.kind, FaultKind::Refused, "{fault:?}");
            fault.detail
        }
        Ok(outcome) => outcome.rendered,
    }
}

async fn run(control: &ControlPlane, workflow: &str, inputs: Value) -> Result<model::RunId, controlplane::Fault> {
    let Value::Object(inputs) = inputs else { panic!() };
    let submission = Submission { workflow: workflow.into(), inputs, principal: "ada".into(), ..Submission::default() };
    control.submit(submission).await.map(|submitted| submitted.run)
}

fn site_of(control: &ControlPlane, run: model::RunId, path: &str) -> Option<String> {
    let filter = journal::ActionFilter { from: 0, limit: 100, phase: None };
    let actions = control.reader().actions(run, &filter).unwrap();
    actions.into_iter().find(|action| action.path == path).unwrap().site
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dearer_site_is_taken_when_it_is_the_only_one_that_may_see_the_data() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let workflow = "workflow: t/w\ninputs:\n  ssn: {type: string, labels: [pii]}\n  n: {type: integer, default: 3}\nnodes:\n  \
                    a: {use: core/noop, with: {value: '${ inputs.ssn }'}}\n  b: {use: core/noop, with: {value: '${ inputs.n }'}}\n  \
                    c: {use: core/noop, if: '${ inputs.ssn == \"x\" }'}\n  d: {use: core/noop, with: {value: '${ nodes.a }'}}\n";
    apply(&control, workflow.into()).await;
    let run = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
    control.end_of(run, PATIENCE).await.unwrap().unwrap();
    // What reads nothing personal goes where it is cheap; a condition is read, and so is what another made of it.
    let sites = ["a", "b", "c", "d"].map(|path| site_of(&control, run, path).unwrap());
    assert_eq!(sites, ["onprem", "cloud", "onprem", "onprem"]);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaky_workflow_is_not_registered_and_the_refusal_says_how_the_data_gets_there() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let leaky = "workflow: t/leaky\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
                 join: {use: core/noop, with: {value: '${ inputs.ssn }'}}\n  \
                 score: {use: core/noop, with: {value: '${ nodes.join }'}, needs: {site: {zone: cloud}}}\n";
    let said = refused(&control, leaky).await;
    for part in
        ["`score` may run nowhere", "inputs.ssn [pii] → join → score", "personal/home", "closest: onprem: policy permits it, but"]
    {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(control.workflow("t/leaky", None).is_err());
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_comes_later_holds_for_the_next_run_and_for_what_waits() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    let workflow = "workflow: t/w\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  hold: {wait: {signal: go}}\n  \
                    score: {use: core/noop, with: {value: '${ inputs.ssn }'}, after: hold, needs: {site: {zone: cloud}}}\n";
    apply(&control, workflow.into()).await;
    let before = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
    apply(&control, RULE.into()).await;
    let refusal = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap_err();
    assert_eq!(refusal.kind, FaultKind::Refused);
    // The run that was accepted is not lost: its step waits, with the reason, until a rule lets it go.
    let go = engine::Command::Signal { run: before, name: "go".into(), payload: Value::Null, principal: "ada".into() };
    control.inbox().ask(go).await.unwrap();
    assert_eq!(site_of(&control, before, "score"), None);
    let gone = engine::Command::DeleteResource { kind: "policy".into(), name: "personal".into(), principal: "ada".into() };
    control.inbox().ask(gone).await.unwrap();
    let end = control.end_of(before, PATIENCE).await.unwrap().unwrap();
    assert_eq!((end.phase, site_of(&control, before, "score").as_deref()), (Phase::Succeeded, Some("cloud")));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_there_again_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let digest = control.rules().digest();
    control.stop().await;
    drop(control);
    let control = open(data.path()).await;
    assert_eq!((control.rules().digest(), control.rules().governed()), (digest, true));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_with_an_artifact_counts_whatever_the_client_says() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let bytes = b"name,ssn\n";
    control.sites().store("onprem").unwrap().put_bytes(bytes).unwrap();
    let file =
        json!({"$artifact": {"digest": Digest::of(bytes).to_string(), "size": bytes.len(), "kind": "file", "name": "a.csv"}});
    let marks = "workflow: t/marks\ninputs:\n  file: {type: file, labels: [pii]}\nnodes:\n  a: {wait: {signal: never}}\n";
    apply(&control, marks.into()).await;
    run(&control, "t/marks", json!({"file": file})).await.unwrap();
    assert_eq!(control.reader().artifact_label(&Digest::of(bytes)).unwrap(), Label::of(["pii"]));
    // This one says nothing of labels, and wants the cloud.
    let quiet = "workflow: t/quiet\ninputs:\n  file: {type: file}\nnodes:\n  \
                 a: {use: core/noop, with: {value: '${ inputs.file }'}, needs: {site: {zone: cloud}}}\n";
    apply(&control, quiet.into()).await;
    let refusal = run(&control, "t/quiet", json!({"file": file})).await.unwrap_err();
    assert!(refusal.detail.contains("inputs.file [pii] → a"), "{}", refusal.detail);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_not_right_is_shown_where_it_stands() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let wrong = RULE.replace("resource.zone", "resource.zoone");
    let said = refused(&control, &wrong).await;
    assert!(said.contains("error[W0601]") && said.contains("t.yaml:13") && said.contains("zoone"), "{said}");
    assert!(!control.rules().governed());
    let unknown = RULE.replace("Tag::\"pii\"", "Tag::\"pi\"");
    assert!(refused(&control, &unknown).await.contains("there is no tag `pi`"));
    control.stop().await;
}
