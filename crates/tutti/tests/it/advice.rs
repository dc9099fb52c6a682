//! Advice from its evidence to the run that followed it: a history is there, a proposal is made, its edits are applied, and the next run is what was
//! promised. Histories that would take hours are written into the journal before the server is started.

use std::sync::Arc;
use std::sync::mpsc::channel;

use engine::Event;
use engine::event::*;
use journal::{Batch, Durability, Entry};
use model::value::ArtifactKind;
use model::{ActionNo, ArtifactRef, AttemptNo, Digest, Epoch, Graph, Label, Money, Node, Payload, Phase, RunId, Timestamp};
use serde_json::{Value, json};

use crate::home::{Home, until};

const SECOND: u64 = 1_000_000;
const SALT: [u8; 32] = [7; 32];

/// What is told of one run of the past.
struct Past {
    run: RunId,
    graph: Digest,
    entries: Vec<Entry>,
}

impl Past {
    fn tell(&mut self, at: u64, event: Event) {
        self.entries.push(Entry { run: self.run, at: Timestamp(at), event });
    }

    fn begin(run: u64, at: u64, (workflow, graph): (&str, Digest), inputs: Value) -> Past {
        let run = RunId(run);
        let mut past = Past { run, graph, entries: Vec::new() };
        past.tell(
            at,
            Event::RunSubmitted(Box::new(RunSubmitted {
                run,
                name: format!("past-{}", run.0),
                project: "demo".into(),
                domain: "development".into(),
                workflow: workflow.into(),
                graph: past.graph,
                inputs: Payload::new(&SALT, inputs),
                principal: "test".into(),
                idempotency_key: None,
                origin: Origin::Submitted,
                reused: Vec::new(),
                reused_items: None,
                run_labels: None,
                concurrency: None,
                priority: 0,
                label: Label::empty(),
                locations: Vec::new(),
                traceparent: None,
                behind: None,
                salt: SALT,
                subject: None,
            })),
        );
        past
    }

    /// An action with what each of its attempts took, in seconds; all but the last were called back.
    fn action(&mut self, number: u32, opened: Opened, site: &str, at: u64, attempts: &[u64], bytes_in: u64) -> u64 {
        let (run, action, transfer) = (self.run, ActionNo(number), opened.kind == ActionKind::Transfer);
        self.tell(at, Event::ActionsOpened(ActionsOpened { run, actions: vec![opened] }));
        let mut now = at;
        for (index, seconds) in attempts.iter().enumerate() {
            let attempt = AttemptNo(index as u32 + 1);
            if !transfer {
                let actions = vec![Placed { action, attempt, awaits: Vec::new() }];
                let (site, explanation) = (site.to_owned(), "{}".to_owned());
                let placed = ActionsPlaced { run, site, epoch: Epoch(1), actions, explanation, worker: None };
                self.tell(now, Event::ActionsPlaced(placed));
            }
            now += seconds * SECOND;
            let last = index + 1 == attempts.len();
            let failure = model::Failure::new(model::FailureClass::Preempted, "called back");
            let usage = Usage { wall_us: seconds * SECOND, cpu_us: seconds * SECOND, bytes_in, ..Usage::default() };
            self.tell(
                now,
                Event::AttemptFinished(Box::new(AttemptFinished {
                    run,
                    action,
                    attempt,
                    phase: if last { Phase::Succeeded } else { Phase::Failed },
                    output: last.then(|| Payload::new(&SALT, json!({}))),
                    failure: (!last).then_some(failure),
                    usage,
                    cost: Money(1_000 * *seconds as i64),
                    retry_at: (!last).then_some(Timestamp(now)),
                    locations: Vec::new(),
                    memory_bytes: None,
                })),
            );
        }
        now
    }

    fn end(mut self, at: u64) -> Vec<Entry> {
        let outputs = Some(Payload::new(&SALT, json!({})));
        let finished = RunFinished { run: self.run, phase: Phase::Succeeded, outputs, failure: None, cost: Money(1) };
        self.tell(at, Event::RunFinished(Box::new(finished)));
        self.entries
    }
}

/// An action as it is opened.
fn opened(number: u32, node: u32, path: &str, role: Role) -> Opened {
    let kind = if matches!(role, Role::Transfer { .. }) { ActionKind::Transfer } else { ActionKind::Run };
    Opened {
        action: ActionNo(number),
        role,
        scope: 0,
        node,
        input: None,
        label: Label::empty(),
        recall: None,
        path: path.into(),
        kind,
        instant: false,
    }
}

fn graph(workflow: &str, nodes: &[&str]) -> Arc<Graph> {
    let nodes = nodes.iter().map(|id| Node { id: (*id).into(), ..Node::default() }).collect();
    Arc::new(Graph { workflow: workflow.into(), nodes, ..Graph::default() })
}

/// Writes what is told into the journal of a home that has none.
fn remember(home: &Home, graph: &Arc<Graph>, entries: Vec<Entry>) {
    let path = home.path().join("data/journal");
    let opened = journal::open(journal::Options { path, shard: 0, durability: Durability::Relaxed, keys: None }).unwrap();
    let (sender, receiver) = channel();
    let durable = Box::new(move |result| drop(sender.send(result)));
    opened.writer.append(Batch { entries, graphs: vec![(graph.digest(), graph.clone())], durable }).unwrap();
    receiver.recv().unwrap().unwrap();
    opened.writer.stop();
}

fn an_hour_ago() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_micros() as u64 - 3_600 * SECOND
}

/// Applies the edits of a proposal to the file of its workflow, and registers what comes of it.
fn follow(home: &Home, workflow: &str, file: &str, proposal: &str) -> String {
    let patch = home.ok(&["advise", workflow, "--patch", proposal]).stdout;
    let patch = std::fs::File::open(home.write("patch.json", &patch)).unwrap();
    let ended = home.command(&["edit", file, "-"]).stdin(patch).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let edited = String::from_utf8(ended.stdout).unwrap();
    home.write(file, &edited);
    home.ok(&["apply", "-f", file]);
    edited
}

fn proposal<'a>(advice: &'a Value, kind: &str) -> &'a Value {
    let all = advice.as_array().unwrap();
    all.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {advice}"))
}

fn action(home: &Home, run: &str, path: &str) -> Value {
    let actions = home.json(&["get", "actions", run]);
    let found = actions.as_array().unwrap().iter().find(|action| action["path"] == path);
    found.unwrap_or_else(|| panic!("{path}: {actions}")).clone()
}

/// A step of two commands, whose second one is lost the first time that it is tried.
const LONG: &str = r#"workflow: demo/long
nodes:
  long:
    run:
      script: |
        echo one >> "$TUTTI_SITE_FILES/first"
        if_first_time_lose_it
    needs: {cpu: 1, memory: 64Mi}
    retry: 3
"#;

#[test]
fn a_long_step_that_is_often_lost_is_split_and_a_repeat_does_only_its_half_again() {
    let home = Home::new();
    let work = LONG
        .replace("if_first_time_lose_it", r#"test -e "$TUTTI_SITE_FILES/tried" || { touch "$TUTTI_SITE_FILES/tried"; exit 3; }"#);
    home.write("long.workflow.yaml", &work);
    let graph = graph("demo/long", &["long"]);
    let mut entries = Vec::new();
    for run in 1..=10 {
        let at = an_hour_ago() + run * 600 * SECOND / 20;
        let mut past = Past::begin(run, at, ("demo/long", graph.digest()), json!({}));
        let attempts: &[u64] = if run % 3 == 0 { &[70, 120] } else { &[120] };
        let end = past.action(0, opened(0, 0, "long", Role::Node), "local", at, attempts, 0);
        entries.extend(past.end(end));
    }
    remember(&home, &graph, entries);
    let _server = home.up();
    home.ok(&["apply", "-f", "long.workflow.yaml"]);

    // As it is, a repeat does all of it again.
    home.ok(&["run", "demo/long", "-w", "--name", "before"]);
    let lines = |name: &str| {
        let mut found = 0;
        for site in std::fs::read_dir(home.path().join("data/sites")).unwrap().flatten() {
            let text = std::fs::read_to_string(site.path().join("files").join(name)).unwrap_or_default();
            found += text.lines().count();
        }
        found
    };
    assert_eq!(lines("first"), 2, "both attempts did it");

    let advice = home.json(&["advise", "demo/long"]);
    let split = proposal(&advice, "split");
    assert!(split["saves_s"].as_f64().unwrap() > 10.0 && split["evidence"].as_str().unwrap().contains("repeats"), "{split}");
    let edited = follow(&home, "demo/long", "long.workflow.yaml", "long/split");
    assert!(edited.contains("long-1:"), "{edited}");
    for site in std::fs::read_dir(home.path().join("data/sites")).unwrap().flatten() {
        let _ = std::fs::remove_file(site.path().join("files/tried"));
    }
    home.ok(&["run", "demo/long", "-w", "--name", "after"]);
    assert_eq!(lines("first"), 3, "it was done once, although the second half was lost again");
    assert_eq!(
        (action(&home, "after", "long-1")["attempts"].as_u64(), action(&home, "after", "long")["attempts"].as_u64()),
        (Some(1), Some(2))
    );
}

const SITES: &str = "kind: site
name: depot
capacity: {cpu: 4, memory: 4Gi}
attributes: {zone: depot}
---
kind: site
name: works
capacity: {cpu: 4, memory: 4Gi}
attributes: {zone: works}
";

/// What reads the file waits for something that takes its time.
const READS: &str = r#"workflow: demo/reads
inputs:
  data: {type: file}
nodes:
  made: {run: {script: 'until test -e "$TUTTI_SITE_FILES/go"; do sleep 0.1; done'}, needs: {cpu: 0.1, site: {zone: works}}}
  read: {run: {command: [cat, "${ inputs.data }"]}, after: [made], needs: {cpu: 0.1, site: {zone: works}}}
"#;

#[test]
fn a_file_that_is_read_late_is_copied_ahead_and_is_there_when_it_is_asked_for() {
    let home = Home::new();
    home.write("w/sites.yaml", SITES);
    home.write("w/reads.workflow.yaml", READS);
    home.write("data.txt", "figures\n");
    let graph = graph("demo/reads", &["made", "read"]);
    let mut entries = Vec::new();
    for run in 1..=4 {
        let at = an_hour_ago() + run * 300 * SECOND;
        let digest = Digest::of(format!("file of run {run}").as_bytes());
        let file = ArtifactRef { digest, size: 900_000_000, kind: ArtifactKind::File, name: "data.txt".into() };
        let mut past = Past::begin(run, at, ("demo/reads", graph.digest()), json!({"data": file.to_value()}));
        let made = past.action(0, opened(0, 0, "made", Role::Node), "works", at, &[60], 0);
        let short: String = digest.hex().chars().take(12).collect();
        let role = Role::Transfer {
            wanted_by: ActionNo(1),
            artifact: digest,
            size: 900_000_000,
            from: "depot".into(),
            to: "works".into(),
        };
        let path = format!("read<-{short}@works");
        let moved = past.action(2, opened(2, 1, &path, role), "works", made, &[30], 900_000_000);
        let end = past.action(1, opened(1, 1, "read", Role::Node), "works", moved, &[5], 900_000_000);
        entries.extend(past.end(end));
    }
    remember(&home, &graph, entries);
    let _server = home.up();
    home.ok(&["apply", "-f", "w"]);

    let moved = |run: &str| {
        let actions = home.json(&["get", "actions", run]);
        let moved: Vec<Value> =
            actions.as_array().unwrap().iter().filter(|action| action["kind"] == "transfer").cloned().collect();
        assert_eq!(moved.len(), 1, "{actions}");
        moved[0].clone()
    };
    let text_of = |value: &Value, name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned();
    let go = home.path().join("data/sites/works/files/go");
    let begin = |name: &str| {
        home.write("data.txt", &format!("figures of {name}\n"));
        home.ok(&["run", "demo/reads", "--name", name, "-i", "data=@data.txt"]);
    };
    let succeeds = |name: &str| {
        until("the run succeeds", || (home.json(&["get", "run", name])["phase"] == "succeeded").then_some(()));
    };
    std::fs::write(&go, "").unwrap();
    begin("before");
    succeeds("before");
    let waited = text_of(&action(&home, "before", "made"), "finished_at");
    assert!(text_of(&moved("before"), "finished_at") > waited, "it was asked for when what is waited for had ended");

    let advice = home.json(&["advise", "demo/reads"]);
    let copy = proposal(&advice, "copy_ahead");
    assert!(copy["saves_s"].as_f64().unwrap() > 20.0, "{copy}");
    let node = text_of(copy, "node");
    let edited = follow(&home, "demo/reads", "w/reads.workflow.yaml", &format!("{node}/copy_ahead"));
    assert!(edited.contains("copy-data"), "{edited}");
    std::fs::remove_file(&go).unwrap();
    begin("after");
    until("the copy is there", || {
        let actions = home.json(&["get", "actions", "after"]);
        let moved = actions.as_array()?.iter().any(|action| action["kind"] == "transfer" && action["phase"] == "succeeded");
        moved.then_some(())
    });
    std::fs::write(&go, "").unwrap();
    succeeds("after");
    let waited = text_of(&action(&home, "after", "made"), "finished_at");
    let moved = moved("after");
    assert!(text_of(&moved, "finished_at") < waited, "it was there before what is waited for had ended: {moved}");
}

/// It holds a hundred MiB for a second, and asks for 48. (Each item for itself: eight attempts of the task.)
const HUNGRY: &str = r#"workflow: demo/hungry
nodes:
  hungry:
    each:
      items: [1, 2, 3, 4, 5, 6, 7, 8]
      do: {run: {script: 'head -c 104857600 /dev/zero | tail -c 104857600 | { sleep 1; wc -c; }'}, needs: {cpu: 0.1, memory: 48Mi}, retry: 2}
"#;

#[test]
fn what_was_killed_for_its_memory_is_told_to_ask_for_more_and_is_not_killed_again() {
    let home = Home::new();
    home.write("hungry.workflow.yaml", HUNGRY);
    let _server = home.up();
    home.ok(&["apply", "-f", "hungry.workflow.yaml"]);
    home.run(&["run", "demo/hungry", "-w", "--name", "before"]);
    let attempts = |run: &str| {
        let actions = home.json(&["get", "actions", run]);
        let of_items = actions.as_array().unwrap().iter().filter(|action| action["kind"] == "run").cloned();
        of_items.map(|action| action["attempts"].as_u64().unwrap()).collect::<Vec<u64>>()
    };
    assert!(attempts("before").iter().any(|attempts| *attempts > 1), "{:?}", attempts("before"));
    let advice = home.json(&["advise", "demo/hungry"]);
    let more = proposal(&advice, "more_memory");
    let asked: u64 = more["patch"][0]["value"].as_str().unwrap().trim_end_matches("Mi").parse().unwrap();
    assert!(asked >= 100, "{more}");
    let node = more["node"].as_str().unwrap().to_owned();
    let edited = follow(&home, "demo/hungry", "hungry.workflow.yaml", &format!("{node}/more_memory"));
    assert!(edited.contains(&format!("{asked}Mi")), "{edited}");
    home.ok(&["run", "demo/hungry", "-w", "--name", "after"]);
    assert_eq!(attempts("after"), [1; 8], "nothing is killed for its memory any more");
}
