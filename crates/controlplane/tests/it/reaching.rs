//! Connectors that touch the outside do it as far as the rules let their data go, and what they did is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use controlplane::{ControlPlane, Submission};
use engine::Event;
use engine::event::RunFinished;
use model::{FailureClass, Phase, RunId, Seq};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{apply, open};

const PATIENCE: Duration = Duration::from_secs(60);
const WORLD: &str = include_str!("rederiving.yaml");

/// A server that answers everything; its port, and how often it was asked.
async fn server() -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        }
    });
    (port, asked)
}

async fn run(control: &ControlPlane, workflow: &str, inputs: Value) -> (RunId, Arc<RunFinished>) {
    let Value::Object(inputs) = inputs else { panic!() };
    let submission = Submission { workflow: workflow.into(), inputs, principal: "ada".into(), ..Submission::default() };
    let run = control.submit(submission).await.unwrap().run;
    (run, control.end_of(run, PATIENCE).await.unwrap().unwrap())
}

fn events(control: &ControlPlane, run: RunId) -> Vec<Event> {
    let all = control.reader().events(Seq(0), None, 10_000).unwrap();
    all.into_iter().map(|(_, _, _, event)| event).filter(|event| event.run() == Some(run)).collect()
}

fn assert_refused(row: &RunFinished, says: &str) {
    let failure = row.failure.as_ref().unwrap_or_else(|| panic!("{row:?}"));
    assert_eq!((row.phase, failure.class), (Phase::Failed, FailureClass::Refused), "{failure:?}");
    assert!(failure.code.as_deref() == Some("E0036") && failure.message().contains(says), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_out_as_far_as_the_rules_let_its_data_go_and_is_recorded() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let (port, asked) = server().await;
    // The site on-premise grants nothing by name here: the rules alone decide.
    apply(
        &control,
        WORLD
            .replace("sandbox: {egress: [api.example.com]}\n", "")
            .replace("attributes: {zone: cloud}\n", "attributes: {zone: cloud}\nsandbox: {egress: [api.example.com]}\n"),
    )
    .await;
    let asks = |name: &str, label: &str, zone: &str| {
        format!(
            "workflow: t/{name}\ninputs:\n  q: {{type: string{label}}}\nnodes:\n  \
             ask: {{use: core/http, with: {{url: 'http://127.0.0.1:{port}/${{ inputs.q }}'}}, needs: {{site: {{zone: {zone}}}}}}}\n"
        )
    };
    apply(&control, asks("open", "", "on-premise")).await;
    apply(&control, asks("closed", ", labels: [pii]", "on-premise")).await;
    apply(&control, asks("elsewhere", "", "cloud")).await;

    let (id, row) = run(&control, "t/open", json!({"q": "x"})).await;
    assert_eq!((row.phase, asked.load(Ordering::SeqCst)), (Phase::Succeeded, 1), "{row:?}");
    let way = format!("127.0.0.1:{port}");
    let (mut decided, mut signed, mut used) = (0, 0, 0);
    for event in events(&control, id) {
        match event {
            Event::EgressDecided(e) => decided += e.permitted.iter().filter(|one| one.to_string() == way).count(),
            Event::TicketIssued(e) => signed += e.ticket.ticket.egress.iter().filter(|one| one.to_string() == way).count(),
            Event::NetworkUsed(e) => {
                assert!(e.ways[&way].sent > 20 && e.ways[&way].received > 20 && e.refused == 0, "{e:?}");
                used += e.ways[&way].connections;
            }
            _ => {}
        }
    }
    assert_eq!((decided, signed, used), (1, 1, 1));

    // Personal data: the built-in rule lets nothing out, and a site's own list is not asked for more than it says.
    let (id, row) = run(&control, "t/closed", json!({"q": "x"})).await;
    assert_refused(&row, &format!("`{way}` may not be reached"));
    assert!(!events(&control, id).iter().any(|event| matches!(event, Event::TicketIssued(_))), "nothing is ordered");
    let (_, row) = run(&control, "t/elsewhere", json!({"q": "x"})).await;
    assert_refused(&row, "the site `cloud` does not grant it");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nothing went out");

    let may = format!(
        "kind: policy\nname: way\ncedar: |\n  permit (principal, action == Action::\"egress\", resource == Host::\"{way}\");\n"
    );
    apply(&control, may).await;
    let (_, row) = run(&control, "t/closed", json!({"q": "x"})).await;
    assert_eq!((row.phase, asked.load(Ordering::SeqCst)), (Phase::Succeeded, 2), "{row:?}");
    let found = control.rederive().unwrap();
    assert!(
        found.holds() && found.decisions["ways into the network"] >= 3 && found.decisions["uses of the network"] == 2,
        "{found:?}"
    );
    control.stop().await;
}

/// A server that is asked and never answers; its port, and when somebody asked.
async fn silent() -> (u16, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, asks) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
            let _ = asked.send(());
        }
    });
    (port, asks)
}

/// A rule about the network reaches what runs already: it loses the way that it was given, and does not keep it until it ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_reached_any_more_is_left() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let (port, mut asks) = silent().await;
    apply(&control, WORLD.replace("sandbox: {egress: [api.example.com]}\n", "")).await;
    let workflow = format!(
        "workflow: t/waits\nnodes:\n  ask: {{use: core/http, with: {{url: 'http://127.0.0.1:{port}/'}}, needs: {{site: {{zone: on-premise}}}}}}\n"
    );
    apply(&control, workflow).await;
    let submission = Submission { workflow: "t/waits".into(), principal: "ada".into(), ..Submission::default() };
    let id = control.submit(submission).await.unwrap().run;
    tokio::time::timeout(PATIENCE, asks.recv()).await.unwrap().unwrap();
    let other = "kind: policy\nname: other\ncedar: |\n  forbid (principal, action == Action::\"egress\", resource == Host::\"api.example.com:443\");\n";
    apply(&control, other.into()).await;
    let stops = |control: &ControlPlane| {
        let denied = |event: &Event| matches!(event, Event::CancelRequested(e) if e.why == engine::event::CancelReason::Denied);
        events(control, id).iter().filter(|event| denied(event)).count()
    };
    assert_eq!(stops(&control), 0, "a rule about another way is none of its business");
    let way = format!(
        "kind: policy\nname: way\ncedar: |\n  forbid (principal, action == Action::\"egress\", resource == Host::\"127.0.0.1:{port}\");\n"
    );
    apply(&control, way).await;
    let row = control.end_of(id, PATIENCE).await.unwrap().unwrap();
    assert_refused(&row, "may not be reached");
    assert_eq!(stops(&control), 1);
    let found = control.rederive().unwrap();
    assert!(found.holds() && found.decisions["stops"] == 1, "{found:?}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_folder_is_a_way_out_for_data_with_tags() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORLD.into()).await;
    let writes = |name: &str, label: &str| {
        format!(
            "workflow: t/{name}\ninputs:\n  text: {{type: string{label}}}\nnodes:\n  \
             keep: {{use: core/file, with: {{write: '{name}.txt', text: '${{ inputs.text }}'}}, needs: {{site: {{zone: on-premise}}}}}}\n"
        )
    };
    apply(&control, writes("open", "")).await;
    apply(&control, writes("closed", ", labels: [pii]")).await;
    let files = control.sites().executor("onprem").unwrap().files();
    let (id, row) = run(&control, "t/open", json!({"text": "hello"})).await;
    assert_eq!(row.phase, Phase::Succeeded, "{row:?}");
    assert!(files.join("open.txt").exists());
    let sent: u64 = events(&control, id)
        .iter()
        .filter_map(|event| if let Event::NetworkUsed(e) = event { Some(e.ways["shared-folder:0"].sent) } else { None })
        .sum();
    assert_eq!(sent, 5);
    let (_, row) = run(&control, "t/closed", json!({"text": "Ada Lovelace"})).await;
    assert_refused(&row, "`shared-folder:0` may not be reached");
    assert!(!files.join("closed.txt").exists());
    let may = "kind: policy\nname: way\ncedar: |\n  permit (principal, action == Action::\"egress\", resource == Host::\"shared-folder:0\") when { context.site.zone == \"on-premise\" };\n";
    apply(&control, may.into()).await;
    let (_, row) = run(&control, "t/closed", json!({"text": "Ada Lovelace"})).await;
    assert_eq!(row.phase, Phase::Succeeded, "{row:?}");
    let found = control.rederive().unwrap();
    assert!(found.holds(), "{found:?}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_shows_no_folder_of_the_servers_data() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let control = open(&data).await;
    let (link, above) = (place.path().join("link"), place.path().join("above"));
    std::os::unix::fs::symlink(data.join("keys"), &link).unwrap();
    std::os::unix::fs::symlink(place.path(), &above).unwrap();
    let site = |folder: &std::path::Path| {
        let text = format!("kind: site\nname: lab\ncapacity: {{cpu: 1}}\nsandbox: {{runtime: [\"{}\"]}}\n", folder.display());
        vec![controlplane::SourceFile { path: "t.yaml".into(), text }]
    };
    for within in [data.clone(), data.join("sites"), link] {
        let refused = control.apply(site(&within), Default::default(), false, "ada").await.unwrap_err();
        assert_eq!(refused.kind, controlplane::FaultKind::Malformed, "{}: {refused}", within.display());
    }
    assert!(control.sites().executor("lab").is_none());
    // There they are hidden.
    assert!(!control.apply(site(&above), Default::default(), false, "ada").await.unwrap().failed());
    control.stop().await;
}
