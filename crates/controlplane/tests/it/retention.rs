//! Data with a tag goes when its time is over, and nothing else goes with it.

use std::time::Duration;

use controlplane::{ControlPlane, Submission};
use model::RunId;
use serde_json::json;

use crate::{apply, open};

const TAGS: &str = "kind: tag\nname: brief\nowners: [o]\nretention: 1us\n---\nkind: tag\nname: brief.kind\nparent: brief\nowners: [o]\nretention: 90d\n---\n\
                    kind: tag\nname: long\nowners: [o]\nretention: 90d\n---\nkind: tag\nname: ever\nowners: [o]\n";

async fn ran(control: &ControlPlane, tag: &str) -> RunId {
    let name = tag.replace('.', "-");
    let labels = if tag == "none" { String::new() } else { format!(", labels: [{tag}]") };
    let text = format!(
        "workflow: t/{name}\ninputs:\n  x: {{type: string{labels}}}\nnodes:\n  a: {{use: core/noop, with: {{v: '${{ inputs.x }}'}}}}\n"
    );
    apply(control, text).await;
    let inputs = json!({"x": "something"}).as_object().cloned().unwrap();
    let submission = Submission { workflow: format!("t/{name}"), inputs, principal: "ada".into(), ..Submission::default() };
    let run = control.submit(submission).await.unwrap().run;
    control.end_of(run, Duration::from_secs(60)).await.unwrap().unwrap();
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_a_tag_whose_time_is_over_is_erased_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, TAGS.into()).await;
    let mut runs = Vec::new();
    for tag in ["brief", "brief.kind", "long", "ever", "none"] {
        runs.push((tag, ran(&control, tag).await));
    }
    let there = |run: RunId| {
        let row = control.reader().run(run).unwrap().unwrap();
        control.reader().body(row.first_seq, 0).unwrap().is_some()
    };
    let (would, nothing) = control.erase_overdue(true, "ada").await.unwrap();
    assert_eq!((would.len(), nothing.runs.len()), (2, 0), "{would:?}");
    assert!(runs.iter().all(|(_, run)| there(*run)), "a question destroys nothing");
    let (overdue, erased) = control.erase_overdue(false, "ada").await.unwrap();
    assert!(overdue.iter().all(|one| one.tag == "brief"), "a tag below is held to what stands above it: {overdue:?}");
    assert_eq!(erased.runs, [runs[0].1, runs[1].1]);
    for (tag, run) in &runs {
        assert_eq!(there(*run), !tag.starts_with("brief"), "{tag}");
    }
    assert_eq!(control.erase_overdue(false, "ada").await.unwrap().0, [], "what is gone is not asked for again");
    assert!(journal::verify(control.reader()).unwrap().holds);
    assert!(control.rederive().unwrap().holds());
    control.stop().await;
}
