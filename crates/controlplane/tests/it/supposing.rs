//! Rules as if documents were applied mean the same, whoever asks: a plan, rules tried on what has happened, what-if of a period and of a run.

use std::time::Duration;

use controlplane::{ControlPlane, SourceFile, Submission, Suppose, WhatIf, WorkflowSource};
use model::{Digest, RunId, Timestamp};
use serde_json::json;

use crate::{apply, open};

const PATIENCE: Duration = Duration::from_secs(60);

const BASE: &str = "kind: site
name: onprem
capacity: {cpu: 4}
attributes: {zone: on-premise}
---
kind: site
name: cloud
capacity: {cpu: 4}
attributes: {zone: cloud}
---
kind: tag
name: pii
owners: [officers]
";

const WORKFLOW: &str = "workflow: t/w
inputs:
  ssn: {type: string, labels: [pii]}
nodes:
  a: {use: core/noop, with: {value: '${ inputs.ssn }'}, needs: {site: {zone: cloud}}}
";

/// It waits for somebody's approval when it is applied.
const GUARDED: &str = "kind: policy
name: personal
approvals: 1
cedar: |
  @id(\"home\")
  @reason(\"personal data stays on-premise\")
  forbid (principal, action == Action::\"run\", resource)
  when { context.data in Tag::\"pii\" }
  unless { resource.zone == \"on-premise\" };
";

const OTHER: &str = "kind: tag\nname: other\n";

/// Whether these documents would bar the node `a`, as each of the four says.
fn barred(control: &ControlPlane, run: RunId, text: &str) -> [bool; 4] {
    let documents = |text: String| vec![SourceFile { path: "r.yaml".into(), text }];
    let source = WorkflowSource { documents: documents(format!("{text}---\n{WORKFLOW}")), ..WorkflowSource::default() };
    let plan = control.plan(source).unwrap();
    let planned = plan.nodes.iter().find(|node| node.path == "a").unwrap();
    let tried = control.simulate_rules(&documents(text.into()), &Default::default(), Timestamp(0)).unwrap();
    let until = Timestamp(i64::MAX as u64);
    let period = control.what_if(&WhatIf { until, rules: documents(text.into()), ..WhatIf::default() }).unwrap();
    assert_eq!(period.actions, 1, "{period:?}");
    let name = control.reader().run(run).unwrap().unwrap().name;
    let supposed = control.suppose(&name, &Suppose { documents: documents(text.into()), ..Suppose::default() }).unwrap();
    assert!(supposed.before.nowhere.is_empty(), "{supposed:?}");
    [
        planned.site.is_none(),
        tried.changes.iter().any(|change| !change.allowed),
        period.refusals.iter().any(|refusal| refusal.path == "a"),
        supposed.after.nowhere.contains_key("a"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_policy_counts_as_approved_and_one_that_waits_waits_on() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, BASE.into()).await;
    apply(&control, WORKFLOW.into()).await;
    let inputs = json!({"ssn": "x"}).as_object().cloned().unwrap();
    let submission = Submission { workflow: "t/w".into(), inputs, principal: "ada".into(), ..Submission::default() };
    let run = control.submit(submission).await.unwrap().run;
    control.end_of(run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(barred(&control, run, OTHER), [false; 4]);
    assert_eq!(barred(&control, run, GUARDED), [true; 4], "nobody has approved it, and it counts all the same");
    // Registered it waits, and what is asked about something else does not bring it in force.
    apply(&control, GUARDED.into()).await;
    assert_eq!(control.rules().count(), 0);
    assert_eq!(barred(&control, run, OTHER), [false; 4]);
    assert_eq!(barred(&control, run, GUARDED), [true; 4]);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_asked_about_what_has_run_with_what_its_data_carried() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, BASE.into()).await;
    let bytes = b"name,ssn";
    for site in ["onprem", "cloud", "local"] {
        control.sites().store(site).unwrap().put_bytes(bytes).unwrap();
    }
    let file =
        json!({"$artifact": {"digest": Digest::of(bytes).to_string(), "size": bytes.len(), "kind": "file", "name": "a.csv"}});
    apply(
        &control,
        "workflow: t/marks\ninputs:\n  file: {type: file, labels: [pii]}\nnodes:\n  a: {wait: {signal: never}}\n".into(),
    )
    .await;
    // It declares nothing of what it is given.
    let quiet = "workflow: t/quiet\ninputs:\n  any: {type: object}\nnodes:\n  \
                 a: {use: core/noop, with: {value: '${ inputs.any }'}, needs: {site: {zone: cloud}}}\n  \
                 b: {use: core/noop, with: {value: '${ nodes.a }'}}\n";
    apply(&control, quiet.into()).await;
    let start = async |workflow: &str, inputs: serde_json::Value| {
        let inputs = inputs.as_object().cloned().unwrap();
        let submission = Submission { workflow: workflow.into(), inputs, principal: "ada".into(), ..Submission::default() };
        control.submit(submission).await.unwrap().run
    };
    start("t/marks", json!({"file": file})).await;
    let (personal, plain) = (start("t/quiet", json!({"any": {"deep": file}})).await, start("t/quiet", json!({"any": {}})).await);
    for run in [personal, plain] {
        control.end_of(run, PATIENCE).await.unwrap().unwrap();
    }
    let documents = || vec![SourceFile { path: "r.yaml".into(), text: GUARDED.into() }];
    let until = Timestamp(i64::MAX as u64);
    let period = control.what_if(&WhatIf { until, rules: documents(), ..WhatIf::default() }).unwrap();
    let barred: Vec<(&str, &str, u64)> =
        period.refusals.iter().map(|barred| (barred.path.as_str(), barred.site.as_str(), barred.actions)).collect();
    assert!(barred.contains(&("a", "cloud", 1)), "one of the two runs read personal data: {barred:?}");
    assert_eq!((period.actions, period.sums.last().unwrap().refused), (4, 1), "{period:?}");
    let nowhere = |run: RunId| {
        let name = control.reader().run(run).unwrap().unwrap().name;
        control.suppose(&name, &Suppose { documents: documents(), ..Suppose::default() }).unwrap().after.nowhere
    };
    let (personal, plain) = (nowhere(personal), nowhere(plain));
    assert!(personal.len() == 1 && personal["a"].contains("personal data stays on-premise"), "{personal:?}");
    assert!(plain.is_empty(), "{plain:?}");
    control.stop().await;
}
