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

fn phase_of(control: &ControlPlane, run: model::RunId, path: &str) -> Phase {
    let filter = journal::ActionFilter { from: 0, limit: 100, phase: None };
    let actions = control.reader().actions(run, &filter).unwrap();
    actions.into_iter().find(|action| action.path == path).unwrap().phase
}

/// What happens once gives its output to everybody who asks under the same key; a run that was not accepted for what it carries gets none.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_not_launder_what_is_kept_under_it() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let reads = "workflow: t/w\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
                 a: {use: core/noop, with: {value: '${ inputs.ssn }'}, KEEP}\n";
    let quiet = "workflow: t/w\ninputs:\n  ssn: {type: string}\nnodes:\n  \
                 a: {use: core/noop, with: {value: '${ inputs.ssn }'}, KEEP}\n  \
                 b: {use: core/noop, with: {value: '${ nodes.a }'}, needs: {site: {zone: cloud}}}\n";
    for (keep, phase, reused) in [("once: k", Phase::Failed, false), ("cache: true", Phase::Succeeded, false)] {
        apply(&control, reads.replace("KEEP", keep)).await;
        let first = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
        assert_eq!(control.end_of(first, PATIENCE).await.unwrap().unwrap().phase, Phase::Succeeded);
        let again = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
        assert_eq!(control.end_of(again, PATIENCE).await.unwrap().unwrap().phase, Phase::Succeeded, "its own kind may have it");
        apply(&control, quiet.replace("KEEP", keep)).await;
        let second = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
        let end = control.end_of(second, PATIENCE).await.unwrap().unwrap();
        assert_eq!((end.phase, phase_of(&control, second, "a")), (phase, phase), "{keep}");
        let filter = journal::ActionFilter { from: 0, limit: 100, phase: None };
        let actions = control.reader().actions(second, &filter).unwrap();
        assert_eq!(actions.iter().find(|action| action.path == "a").unwrap().reused, reused, "{keep}");
        if phase == Phase::Failed {
            let failure = end.failure.as_ref().unwrap();
            assert!(failure.message().contains("carries pii") || failure.message().contains("carries"), "{failure:?}");
        }
    }
    control.stop().await;
}

/// A sub-workflow may be somebody else's: what it says of its own inputs and where it wants to run counts for nothing against what it is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_workflow_is_no_deputy_that_can_be_confused() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let inner = "workflow: t/inner\ninputs:\n  text: {type: string}\nnodes:\n  \
                 send: {use: core/noop, with: {value: '${ inputs.text }'}, needs: {site: {zone: cloud}}}\n";
    apply(&control, inner.into()).await;
    let outer = "workflow: t/outer\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
                 sub: {workflow: t/inner, with: {text: '${ inputs.ssn }'}}\n";
    let said = refused(&control, outer).await;
    assert!(said.contains("`sub/send` may run nowhere") && said.contains("inputs.ssn [pii]"), "{said}");
    // Chosen by it, without being given it: the branch tells.
    let branch = "workflow: t/branch\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
                  sub: {workflow: t/inner, with: {text: nothing}, if: '${ inputs.ssn == \"x\" }'}\n";
    assert!(refused(&control, branch).await.contains("`sub/send` may run nowhere"));
    // As many as it has items: the count tells.
    let each = "workflow: t/each\ninputs:\n  all: {type: array, items: {type: string}, maxItems: 9, labels: [pii]}\nnodes:\n  \
                m: {each: {items: '${ inputs.all }', do: {use: core/noop, with: {value: 1}, needs: {site: {zone: cloud}}}}}\n";
    assert!(refused(&control, each).await.contains("may run nowhere"));
    control.stop().await;
}

/// The client says what a value carries? It may add tags by a type, and takes none off: not by words in the value, nor in a file's name.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_value_says_of_itself_counts_for_nothing() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let bytes = b"name,ssn\n";
    control.sites().store("onprem").unwrap().put_bytes(bytes).unwrap();
    let file = |name: &str| json!({"$artifact": {"digest": Digest::of(bytes).to_string(), "size": bytes.len(), "kind": "file", "name": name}});
    let marks = "workflow: t/marks\ninputs:\n  file: {type: file, labels: [pii]}\nnodes:\n  a: {wait: {signal: never}}\n";
    apply(&control, marks.into()).await;
    run(&control, "t/marks", json!({"file": file("a.csv")})).await.unwrap();
    let quiet = "workflow: t/quiet\ninputs:\n  any: {type: object}\nnodes:\n  \
                 a: {use: core/noop, with: {value: '${ inputs.any }'}, needs: {site: {zone: cloud}}}\n";
    apply(&control, quiet.into()).await;
    for spoofed in [
        json!({"f": file("public.csv")}),
        json!({"f": file("a.csv"), "labels": [], "label": "public"}),
        json!({"deep": [{"er": file("x [public] labels: []")}]}),
    ] {
        let refusal = run(&control, "t/quiet", json!({"any": spoofed})).await.unwrap_err();
        assert!(refusal.kind == FaultKind::Refused && refusal.detail.contains("[pii]"), "{spoofed}: {refusal:?}");
    }
    assert!(run(&control, "t/quiet", json!({"any": {"labels": ["pii"]}})).await.is_ok(), "words are no labels either");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_are_tried_on_what_has_happened() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, "kind: tag\nname: pii\nowners: [officers]\napprovals: 1\n".into()).await;
    let workflow = "workflow: t/w\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
                    a: {use: core/noop, with: {value: '${ inputs.ssn }'}, needs: {site: {zone: cloud}}}\n  b: {use: core/noop}\n";
    apply(&control, workflow.into()).await;
    for _ in 0..3 {
        let run = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
        control.end_of(run, PATIENCE).await.unwrap().unwrap();
    }
    let simulate = |text: &str| {
        let sources = [SourceFile { path: "r.yaml".into(), text: text.into() }];
        control.simulate_rules(&sources, &Default::default(), model::Timestamp(0)).unwrap()
    };
    let found = simulate(RULE);
    assert_eq!((found.runs, found.decisions, found.changes.len()), (3, 6, 1), "{found:?}");
    let change = &found.changes[0];
    assert_eq!((change.times, change.allowed, change.site.as_str()), (3, false, "cloud"), "{change:?}");
    assert!(change.why.contains("personal/home") && change.latest.1 == "a", "{change:?}");
    assert_eq!(found.refused.keys().collect::<Vec<_>>(), ["t/w"]);
    assert!(!control.rules().knows("nothing-was-registered") && control.rules().count() == 0);
    // And back: what the rules in force refuse by now, and others would not.
    apply(&control, RULE.into()).await;
    let open = RULE.replace("resource.zone == \"on-premise\"", "resource.zone != \"\"");
    let found = simulate(&open);
    assert_eq!(
        (found.changes.len(), found.changes[0].allowed, found.freed.as_slice()),
        (1, true, &["t/w".to_owned()][..]),
        "{found:?}"
    );
    assert!(simulate("kind: tag\nname: other\n").changes.is_empty());
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_huge_or_contradict_themselves_are_refused_or_refuse() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    let many = |count: usize| {
        let one = |n: usize| format!("  forbid (principal == User::\"u{n}\", action == Action::\"submit\", resource);\n");
        format!("kind: policy\nname: many\ncedar: |\n{}", (0..count).map(one).collect::<String>())
    };
    assert!(refused(&control, &many(5_000)).await.contains("bytes; at most"));
    let deep = format!(
        "kind: policy\nname: deep\ncedar: |\n  forbid (principal, action, resource) when {{ {}true{} }};\n",
        "(".repeat(5_000),
        ")".repeat(5_000)
    );
    assert!(refused(&control, &deep).await.contains("brackets stand more than"), "it neither hangs nor takes the stack");
    let tags: String = (0..300).map(|n| format!("---\nkind: tag\nname: t{n}\n")).collect();
    assert!(refused(&control, tags.trim_start_matches("---\n")).await.contains("at most 256"));
    // What one permits and another forbids is forbidden.
    let both = "kind: policy\nname: both\ncedar: |\n  permit (principal, action == Action::\"run\", resource);\n  \
                forbid (principal, action == Action::\"run\", resource);\n";
    apply(&control, both.into()).await;
    let places = control.would_run(&Default::default(), &Label::empty(), None).unwrap();
    assert!(places.values().all(|verdict| !verdict.allowed) && !places.is_empty());
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_as_deep_as_they_may_be_are_read_and_asked() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(&control, RULE.into()).await;
    for inner in [
        format!("{}false{}", "(".repeat(30), ")".repeat(30)),
        format!("{}false", "false || ".repeat(60)),
        format!("{}false{}", "if false then true else (".repeat(8), ")".repeat(8)),
    ] {
        let text = format!("kind: policy\nname: long\ncedar: |\n  forbid (principal, action, resource) when {{ {inner} }};\n");
        apply(&control, text).await;
        let places = control.would_run(&Default::default(), &Label::of(["pii"]), None).unwrap();
        assert!(places["onprem"].allowed && !places["cloud"].allowed);
    }
    control.stop().await;
}

/// Other words and another end are no other code: who wrote it stays who they are, and what was said for a while ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn other_words_make_nobody_the_author_of_a_sanitizer() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let text = |more: &str| {
        format!(
            "kind: tag\nname: pii\nowners: [officers]\n---\nkind: sanitizer\nname: mask\nrun: {{command: [wc, -l]}}\nstrips: {{pii: ''}}\n{more}"
        )
    };
    let apply_as = async |who: &str, more: &str| {
        let sources = vec![SourceFile { path: "t.yaml".into(), text: text(more) }];
        let outcome = control.apply(sources, Default::default(), false, who).await.unwrap();
        assert!(!outcome.failed(), "{}", outcome.rendered);
        let rules = control.rules();
        (rules.sanitizers()["mask"].author.clone(), rules.sanitizers()["mask"].expires)
    };
    let days = |days: u64| model::Duration::from_secs(days * 86_400);
    assert_eq!(apply_as("ada", "expires: 9d\n").await, ("ada".into(), days(9)));
    assert_eq!(apply_as("eve", "expires: 900d\ndescription: the same\n").await, ("ada".into(), days(900)));
    assert_eq!(apply_as("eve", "expires: 900d\nchecks: {bytes_max: 9}\n").await.0, "eve");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_is_refused_before_it_is_drawn_and_a_sanitizer_is_offered_only_while_it_is_approved() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    apply(
        &control,
        format!("{RULE}---\nkind: sanitizer\nname: mask\nrun: {{command: [wc, -l]}}\nstrips: {{pii: ''}}\nexpires: 9d\n"),
    )
    .await;
    let text = "workflow: t/w\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
                read: {use: core/noop, with: {value: '${ inputs.ssn }'}}\n  \
                mask: {run: {command: [wc, -l]}, with: {value: '${ nodes.read }'}, lowers: {pii: ''}}\n  \
                score: {use: core/noop, needs: {site: {zone: cloud}}}\n  \
                tell: {use: core/noop, with: {value: '${ nodes.score }'}}\n";
    let wiring = control.wiring(text, &[], &controlplane::Beside::default(), Some("read")).unwrap();
    assert_eq!(wiring.wires.len(), 2, "{:?}", wiring.wires);
    assert_eq!(wiring.wires[0].label, Label::of(["pii"]));
    // Only what would be read in the cloud: `tell` may go on-premise.
    let [wire] = wiring.forbidden.as_slice() else { panic!("{:?}", wiring.forbidden) };
    assert_eq!(
        (wire.to.as_str(), wire.refused.path.as_str(), wire.allowed_at.as_slice()),
        ("score", "score", &["onprem".to_owned()][..])
    );
    assert_eq!(wire.refused.policies.keys().collect::<Vec<_>>(), ["personal/home"]);
    assert!(wire.remedies.is_empty(), "nobody has approved it: {:?}", wire.remedies);

    let request = controlplane::ApprovalRequest {
        kind: "sanitizer".into(),
        name: "mask".into(),
        by: "owner".into(),
        groups: vec!["officers".into()],
        roles: vec!["approver".into()],
        ..Default::default()
    };
    control.approve_rule(request).await.unwrap();
    let wiring = control.wiring(text, &[], &controlplane::Beside::default(), Some("read")).unwrap();
    let [there, one_more] = wiring.forbidden[0].remedies.as_slice() else { panic!("{:?}", wiring.forbidden) };
    assert_eq!((there.existing.as_deref(), &there.label), (Some("mask"), &Label::empty()));
    assert_eq!(one_more.insert.as_ref().unwrap()["with"]["value"], controlplane::WIRED);

    // The same wire as an edit of the text: the step is refused, and behind the sanitizer it is not.
    let drawn = |from: &str| {
        let value = json!(format!("${{ nodes.{from} }}"));
        let path = serde_json::from_value(json!("/nodes/score/with/value")).unwrap();
        control.wiring(text, &[workflow::edit::Edit::Set { path, value }], &controlplane::Beside::default(), None).unwrap()
    };
    assert_eq!(drawn("read").refused[0].path, "score");
    assert!(drawn("mask").refused.is_empty() && drawn("mask").checked);

    // While another node is half written, and one reads that, the rest is looked at as before.
    let half = format!(
        "{text}  half: {{use: core/nope}}\n  after: {{use: core/noop, with: {{value: '${{ nodes.half.x }}'}}}}\noutputs: {{x: '${{ nodes.half.x }}'}}\n"
    );
    let wiring = control.wiring(&half, &[], &controlplane::Beside::default(), Some("read")).unwrap();
    assert_eq!((wiring.checked, wiring.left_out.as_slice()), (false, &["half".to_owned(), "after".to_owned()][..]));
    assert_eq!(wiring.forbidden.iter().map(|wire| wire.to.as_str()).collect::<Vec<_>>(), ["score"]);
    // Of what has the error itself nothing can be said, and of a text that is none neither.
    let wiring = control.wiring(&half, &[], &controlplane::Beside::default(), Some("half")).unwrap();
    assert!(!wiring.checked && wiring.gives.is_empty() && wiring.forbidden.is_empty());
    let wiring = control.wiring("workflow: t/w\nnodes: 7\n", &[], &controlplane::Beside::default(), Some("read")).unwrap();
    assert!(!wiring.checked && wiring.wires.is_empty());
    control.stop().await;
}

fn planned(control: &ControlPlane, text: &str, domain: Option<&str>) -> controlplane::WorkflowPlan {
    let documents = vec![SourceFile { path: "t.yaml".into(), text: text.into() }];
    let domain = domain.map(str::to_owned);
    control.plan(controlplane::WorkflowSource { documents, domain, ..Default::default() }).unwrap()
}

fn verdict(plan: &controlplane::WorkflowPlan, path: &str, site: &str) -> (placement::Verdict, String) {
    let node = plan.nodes.iter().find(|node| node.path == path).unwrap();
    let candidate = node.explanation.as_ref().unwrap().sites.iter().find(|candidate| candidate.site == site).unwrap();
    (candidate.verdict, candidate.why.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_asks_the_rules_and_the_budget_as_the_dispatcher_does() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.replace("{cpu: 4}", "{cpu: 4, memory: 4Gi}")).await;
    let workflow = "workflow: t/w\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  a: {use: core/noop, with: {value: '${ inputs.ssn }'}}\n  \
                    b: {use: core/noop}\n  c: {use: core/noop, with: {value: '${ nodes.a }'}, needs: {site: {zone: cloud}}}\n";
    let site_of = |plan: &controlplane::WorkflowPlan, path: &str| {
        plan.nodes.iter().find(|node| node.path == path).and_then(|node| node.site.clone())
    };
    let free = planned(&control, workflow, None);
    assert_eq!(["a", "b", "c"].map(|path| site_of(&free, path).unwrap()), ["cloud", "cloud", "cloud"], "nobody says otherwise");

    // Rules among the documents count as if they were applied.
    let with_rule = format!("{RULE}---\n{workflow}");
    let plan = planned(&control, &with_rule, None);
    assert_eq!(site_of(&plan, "b").as_deref(), Some("cloud"), "they are about personal data alone");
    apply(&control, RULE.into()).await;
    let approve = |domain: &'static str| planned(&control, workflow, Some(domain));
    for domain in ["development", "production"] {
        let plan = approve(domain);
        assert_eq!(["a", "b", "c"].map(|path| site_of(&plan, path)), [Some("onprem".into()), Some("cloud".into()), None]);
        let (refused, why) = verdict(&plan, "a", "cloud");
        assert_eq!(refused, placement::Verdict::Refused);
        assert!(why.contains("personal data stays on-premise"), "{why}");
        assert_eq!(verdict(&plan, "c", "cloud").0, placement::Verdict::Refused, "and it has no other place");
    }

    // A rule of one domain binds that domain alone.
    let only = "kind: policy\nname: production\ncedar: |\n  @id(\"prod\")\n  @reason(\"production stays at home\")\n  forbid (principal, action == Action::\"run\", resource)\n  \
                when { context.domain == \"production\" && resource.zone == \"cloud\" };\n";
    apply(&control, only.into()).await;
    assert_eq!(site_of(&approve("development"), "b").as_deref(), Some("cloud"));
    assert_eq!(site_of(&approve("production"), "b").as_deref(), Some("onprem"));

    // What the project may not spend is not planned either, and what is planned before counts: two of three can be paid.
    let work = "workflow: t/dear\nnodes:\n  a: {run: [\"true\"], needs: {cpu: 1, site: {zone: on-premise}}}\n  b: {run: [\"true\"], needs: {cpu: 1, site: \
                {zone: on-premise}}}\n  c: {run: [\"true\"], needs: {cpu: 1, site: {zone: on-premise}}}\n";
    let one = planned(&control, work, None);
    let sites = &one.nodes[0].explanation.as_ref().unwrap().sites;
    let candidate = sites.iter().find(|candidate| candidate.verdict == placement::Verdict::Chosen);
    let candidate = candidate.unwrap_or_else(|| panic!("{sites:?}"));
    assert_eq!(candidate.site, "onprem");
    let day = candidate.expected.units() * 2.5;
    let budget = format!("kind: project\nname: t\nbudget: {{day: {day:.6}}}\n---\n{work}");
    let plan = planned(&control, &budget, None);
    let places: Vec<_> = ["a", "b", "c"].iter().map(|path| site_of(&plan, path)).collect();
    assert_eq!(places, [Some("onprem".into()), Some("onprem".into()), None]);
    assert_eq!(verdict(&plan, "c", "onprem").0, placement::Verdict::OverBudget);
    let bounds = plan.nodes[2].explanation.as_ref().unwrap().bounds.clone().unwrap_or_default();
    assert!(bounds.contains("its budget") && bounds.contains("is expected to cost"), "{bounds}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_planned_where_the_rules_let_it_go() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.replace("{cpu: 4}", "{cpu: 4, memory: 4Gi}")).await;
    apply(&control, RULE.into()).await;
    let workflow = "workflow: t/w\ndeadline: 1h\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  go: {wait: {signal: go}}\n  a: {run: [\"true\"], \
                    with: {value: '${ inputs.ssn }'}, after: [go], needs: {cpu: 1}}\n  b: {run: [\"true\"], after: [go], needs: {cpu: 1}}\n";
    apply(&control, workflow.into()).await;
    let run = run(&control, "t/w", json!({"ssn": "x"})).await.unwrap();
    let row = control.reader().run(run).unwrap().unwrap();
    let plan = control.reader().last_plan(&row).unwrap().unwrap();
    let place = |path: &str| plan.places.iter().find(|place| place.path == path).map(|place| place.site.as_str());
    // Everywhere else it would cost nothing; of these two only one has the choice.
    assert_eq!(place("a"), Some("onprem"), "{plan:?}");
    assert!(place("b").is_some_and(|site| site != "onprem"), "{plan:?}");
    control.stop().await;
}

/// A rule that does not let a file go where it is just going stops it on its way, unless its tags say that what has begun may end; whoever wants it waits, with
/// the reason, and goes on when a rule lets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_on_its_way_is_stopped_by_a_rule_that_comes_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, SITES.into()).await;
    let stays = "kind: policy\nname: stays\ncedar: |\n  @id(\"home\")\n  forbid (principal, action == Action::\"move\", resource)\n  \
                 when { context.data in Tag::\"TAG\" } unless { resource.zone == \"on-premise\" };\n";
    for (tag, on_revoke, stopped) in [("pii", "stop", true), ("raw", "finish", false)] {
        apply(&control, format!("kind: tag\nname: {tag}\nowners: [officers]\non_revoke: {on_revoke}\n")).await;
        let workflow = format!(
            "workflow: t/{tag}\ninputs:\n  file: {{type: file, labels: [{tag}]}}\nnodes:\n  \
             a: {{use: core/noop, with: {{value: '${{ inputs.file }}'}}, needs: {{site: {{zone: cloud}}}}}}\n"
        );
        apply(&control, workflow).await;
        // Large, so that it is on its way for a while.
        let put =
            control.sites().store("onprem").unwrap().put_bytes(&vec![tag.len() as u8 + tag.as_bytes()[0]; 192 << 20]).unwrap();
        let file = json!({"$artifact": {"digest": put.digest.to_string(), "size": put.size, "kind": "file", "name": "a"}});
        let run = run(&control, &format!("t/{tag}"), json!({"file": file})).await.unwrap();
        let transfers = || {
            let filter = journal::ActionFilter { from: 0, limit: 100, phase: None };
            let actions = control.reader().actions(run, &filter).unwrap();
            actions.into_iter().filter(|action| action.kind == engine::event::ActionKind::Transfer).collect::<Vec<_>>()
        };
        while transfers().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        apply(&control, stays.replace("TAG", tag)).await;
        if stopped {
            while phase_of(&control, run, "a") != Phase::WaitingForResources {
                assert!(control.reader().run(run).unwrap().unwrap().finished_at.is_none(), "it came to its end");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(transfers()[0].phase, Phase::Failed, "{:?}", transfers());
            assert!(!control.sites().store("cloud").unwrap().has(&put.digest), "it went on to its end");
            let verified = control.rederive().unwrap();
            assert!(verified.holds() && verified.decisions.contains_key("stops"), "{verified:?}");
            let gone = engine::Command::DeleteResource { kind: "policy".into(), name: "stays".into(), principal: "ada".into() };
            control.inbox().ask(gone).await.unwrap();
        }
        assert_eq!(control.end_of(run, PATIENCE).await.unwrap().unwrap().phase, Phase::Succeeded);
        assert!(control.sites().store("cloud").unwrap().has(&put.digest));
        assert_eq!(transfers().len(), if stopped { 2 } else { 1 });
    }
    control.stop().await;
}
