//! Rules as if documents were applied mean the same, whoever asks: a plan, rules tried on what has happened, what-if of a period and of a run.

use std::time::Duration;

use controlplane::{ControlPlane, SourceFile, Submission, Suppose, WhatIf, WorkflowSource};
use model::{RunId, Timestamp};
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

/// What-if of a run leaves out what the server computes itself, as the node of this workflow is, and does not ask the rules about it.
const BARRED: [bool; 4] = [true, true, true, false];

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
    assert_eq!(barred(&control, run, GUARDED), BARRED, "nobody has approved it, and it counts all the same");
    // Registered it waits, and what is asked about something else does not bring it in force.
    apply(&control, GUARDED.into()).await;
    assert_eq!(control.rules().count(), 0);
    assert_eq!(barred(&control, run, OTHER), [false; 4]);
    assert_eq!(barred(&control, run, GUARDED), BARRED);
    control.stop().await;
}
