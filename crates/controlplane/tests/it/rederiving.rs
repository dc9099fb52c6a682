//! Levels 3 and 4 of a verification: what a journal says of decisions, labels and tickets is found out when it does not come out again,
//! although every hash over it was made anew.

use std::sync::Arc;
use std::time::Duration;

use audit::export::{Check, Head, Trust};
use audit::{Frontier, entry_hash};
use controlplane::{ControlPlane, Rederive, Rederived, SourceFile, Submission};
use engine::event::{EgressDecided, SecretsReleased, TicketIssued};
use engine::{Event, codec};
use executors::tickets::Authority;
use model::{AttemptKey, AttemptNo, Digest, Label, Payload, Phase, RunId, Seq, Ticket, Timestamp};
use serde_json::json;

use crate::{apply, open};

const PATIENCE: Duration = Duration::from_secs(60);
const WORLD: &str = include_str!("rederiving.yaml");

/// Entries with their times, as a log has them.
type Log = Vec<(Timestamp, Event)>;

struct World {
    control: ControlPlane,
    _data: tempfile::TempDir,
    log: Log,
}

/// A governed run that is over, a step of which may run at one site alone.
async fn world() -> World {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORLD.into()).await;
    let inputs = json!({"ssn": "x"}).as_object().cloned().unwrap();
    let submission = Submission { workflow: "t/w".into(), inputs, principal: "ada".into(), ..Submission::default() };
    let run = control.submit(submission).await.unwrap().run;
    assert_eq!(control.end_of(run, PATIENCE).await.unwrap().unwrap().phase, Phase::Succeeded);
    let events = control.reader().events(Seq(0), None, 10_000).unwrap();
    // The run is of long after the rules: what they were a moment before does not count any more.
    let begins = events.iter().position(|(_, _, _, event)| matches!(event, Event::RunSubmitted(_))).unwrap();
    let later = |index: usize, at: Timestamp| if index < begins { at } else { at.after(model::Duration::from_secs(600)) };
    let log = events.into_iter().enumerate().map(|(index, (_, at, _, event))| (later(index, at), event)).collect();
    World { control, _data: data, log }
}

impl World {
    fn rederive(&self, log: &Log) -> Rederived {
        let mut graphs = |digest: &Digest| self.control.reader().graph(digest).unwrap();
        let mut check = Rederive::new(&mut graphs);
        for (seq, (at, event)) in (1..).zip(log) {
            check.take(Seq(seq), *at, event);
        }
        check.finish()
    }

    /// What is found of a log that somebody changed and made every hash of anew.
    fn forged(&self, change: impl FnOnce(&mut Log)) -> (u8, String) {
        let mut log = self.log.clone();
        change(&mut log);
        assert!(hashes_hold(&log), "whoever changes a log makes its hashes anew");
        let found = self.rederive(&log);
        assert!(found.problems_total > 0, "nothing is found: {found:?}");
        (found.problems[0].level, found.problems[0].what.clone())
    }
}

/// Levels 1 and 2 of a log as somebody would export it who has no more than its bytes.
fn hashes_hold(log: &Log) -> bool {
    let (mut tree, mut check) = (Frontier::new(), Check::new(Trust::default()));
    let bytes: Vec<Vec<u8>> = log.iter().map(|(_, event)| codec::encode(event)).collect();
    log.iter().zip(&bytes).for_each(|((at, _), bytes)| tree.append(entry_hash(at.0, bytes)));
    let root = Digest(tree.root()).hex();
    check.head(Head { size: log.len() as u64, root, ..Head::default() });
    for (seq, ((at, event), bytes)) in (1..).zip(log.iter().zip(&bytes)) {
        check.entry(seq, event.run().unwrap_or(RunId::FLEET).0, at.0, bytes, None);
    }
    let report = check.finish();
    assert!(report.holds(), "{report:?}");
    true
}

/// Changes the first entry that `change` takes.
fn first(log: &mut Log, change: impl Fn(&mut Event) -> bool) {
    assert!(log.iter_mut().any(|(_, event)| change(event)), "there is no such entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_comes_out_again_and_is_counted() {
    let world = world().await;
    let found = world.control.rederive().unwrap();
    assert!(found.holds(), "{found:?}");
    assert_eq!(found, world.rederive(&world.log));
    assert!(found.rules >= 3, "{found:?}");
    for what in ["placements", "refusals", "flow certificates"] {
        assert!(found.decisions.get(what).is_some_and(|count| *count > 0), "{what}: {found:?}");
    }
    assert_eq!((found.labels["runs"], found.labels["actions"]), (1, 3), "{found:?}");
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_decision_is_found_in_a_log_with_new_hashes() {
    let world = world().await;
    let placed_in_the_cloud = world.forged(|log| {
        first(log, |event| match event {
            Event::ActionsPlaced(e) if e.site == "onprem" => {
                e.site = "cloud".into();
                true
            }
            _ => false,
        });
    });
    assert_eq!(placed_in_the_cloud.0, 3);
    let refused_no_more = world.forged(|log| {
        first(log, |event| match event {
            Event::ActionsPlaced(e) if e.site == "onprem" => {
                let changed = e.explanation.replace("\"refused\"", "\"possible\"");
                std::mem::replace(&mut e.explanation, changed) != e.explanation
            }
            _ => false,
        });
    });
    assert!(refused_no_more.0 == 3 && refused_no_more.1.contains("personal/home"), "{refused_no_more:?}");
    // Another policy than the one that was in force.
    let weaker = world.forged(|log| {
        first(log, |event| match event {
            Event::ResourceApplied(e) if e.kind == "policy" => {
                let mut body = e.body.value().clone();
                body["cedar"] = json!("@id(\"home\") forbid (principal, action == Action::\"run\", resource) when { false };");
                e.body = Payload::new(&[0; 32], body);
                true
            }
            _ => false,
        });
    });
    assert_eq!(weaker.0, 3, "{weaker:?}");
    let other_text = world.forged(|log| {
        first(log, |event| match event {
            Event::ResourceApplied(e) if e.kind == "policy" => {
                let mut body = e.body.value().clone();
                body["description"] = json!("another");
                e.body.body = Some(Arc::new(body));
                true
            }
            _ => false,
        });
    });
    assert!(other_text.1.contains("not what was committed to"), "{other_text:?}");
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_release_or_way_is_found_in_a_log_with_new_hashes() {
    let world = world().await;
    let after_placing = |log: &Log| {
        let placed = |event: &Event| matches!(event, Event::ActionsPlaced(e) if e.site == "onprem");
        let at = log.iter().position(|(_, event)| placed(event)).unwrap();
        let Event::ActionsPlaced(event) = &log[at].1 else { panic!() };
        (at + 1, log[at].0, event.run, event.actions[0].action)
    };
    let released = world.forged(|log| {
        let (at, time, run, action) = after_placing(log);
        let secrets = [("token".to_owned(), 1)].into();
        let event = SecretsReleased { run, action, attempt: AttemptNo(1), site: "onprem".into(), secrets };
        log.insert(at, (time, Event::SecretsReleased(Box::new(event))));
    });
    assert!(released.0 == 3 && released.1.contains("token"), "{released:?}");
    let reached = world.forged(|log| {
        let (at, time, run, action) = after_placing(log);
        let permitted = ["api.example.com:443".parse().unwrap()].into();
        let site = "onprem".into();
        let event = EgressDecided { run, action, attempt: AttemptNo(1), site, permitted, refused: [].into() };
        log.insert(at, (time, Event::EgressDecided(Box::new(event))));
    });
    assert!(reached.0 == 3 && reached.1.contains("refuse"), "{reached:?}");
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_label_is_found_in_a_log_with_new_hashes() {
    let world = world().await;
    let reads = world.forged(|log| {
        first(log, |event| match event {
            Event::RunLabelled(e) => e.reads.remove("a").is_some(),
            _ => false,
        });
    });
    assert!(reads.0 == 4 && reads.1.contains("`a` can read other tags"), "{reads:?}");
    let gives = world.forged(|log| {
        first(log, |event| match event {
            Event::RunLabelled(e) => e.gives.remove("a").is_some(),
            _ => false,
        });
    });
    assert_eq!(gives.0, 4, "{gives:?}");
    let gone = world.forged(|log| log.retain(|(_, event)| !matches!(event, Event::RunLabelled(_))));
    assert_eq!(gone.0, 4, "{gone:?}");
    let action = world.forged(|log| {
        first(log, |event| match event {
            Event::ActionsOpened(e) => match e.actions.iter_mut().find(|one| one.path == "a") {
                Some(one) => {
                    one.label = Label::empty();
                    true
                }
                None => false,
            },
            _ => false,
        });
    });
    assert!(action.0 == 4 && action.1.contains("`a` is recorded to read []"), "{action:?}");
    let other_rules = world.forged(|log| {
        first(log, |event| match event {
            Event::RunLabelled(e) => {
                e.rules = Some(Digest([1; 32]));
                true
            }
            _ => false,
        });
    });
    assert!(other_rules.1.contains("rules that were not in force"), "{other_rules:?}");
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_ticket_is_found_in_a_log_with_new_hashes() {
    let mut world = world().await;
    let (ours, other) = (Authority::from_seed(&[7; 32]).unwrap(), Authority::from_seed(&[8; 32]).unwrap());
    first(&mut world.log, |event| match event {
        Event::EpochBegan(e) => {
            e.ticket_key = Some(Digest(ours.key().0));
            true
        }
        _ => false,
    });
    let at = world.log.iter().position(|(_, event)| matches!(event, Event::ActionsPlaced(e) if e.site == "onprem")).unwrap();
    let (time, Event::ActionsPlaced(placed)) = world.log[at].clone() else { panic!() };
    let ticket = Ticket {
        attempt: AttemptKey { run: placed.run, action: placed.actions[0].action, attempt: AttemptNo(1) },
        epoch: placed.epoch,
        site: "onprem".into(),
        task: Digest([1; 32]),
        label: Label::of(["pii"]),
        secrets: [].into(),
        egress: [].into(),
        expires: time.after(model::Duration::from_secs(30)),
    };
    let with = |signed: model::SignedTicket| {
        move |log: &mut Log| {
            let issued = TicketIssued { run: placed.run, ticket: signed };
            log.insert(at + 1, (time, Event::TicketIssued(Box::new(issued))));
        }
    };
    let mut log = world.log.clone();
    with(ours.sign(ticket.clone()))(&mut log);
    let good = world.rederive(&log);
    assert!(good.holds() && good.labels["tickets"] == 1, "{good:?}");

    let said = |change: &dyn Fn(&mut Ticket)| {
        let mut other = ticket.clone();
        change(&mut other);
        let (level, what) = world.forged(with(ours.sign(other)));
        assert_eq!(level, 4);
        what
    };
    assert!(said(&|ticket| ticket.label = Label::empty()).contains("reads []"));
    assert!(said(&|ticket| ticket.site = "cloud".into()).contains("not where it was placed"));
    assert!(said(&|ticket| ticket.attempt.attempt = AttemptNo(2)).contains("not where it was placed"));
    assert!(said(&|ticket| ticket.secrets.extend(["token".to_owned()])).contains("other secrets"));
    assert!(said(&|ticket| ticket.egress.extend("evil.example:443".parse::<model::EgressGrant>())).contains("evil.example"));
    assert!(said(&|ticket| ticket.epoch = model::Epoch(9)).contains("another incarnation"));
    assert!(said(&|ticket| ticket.expires = Timestamp(1)).contains("another time"));
    assert!(world.forged(with(other.sign(ticket.clone()))).1.contains("signature"));
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_carries_joins_the_label_of_what_is_given_it() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORLD.into()).await;
    control.set_secret(("t", None), "token", "s3cret-value".into(), vec!["pii".into()], "ada").await.unwrap();
    let text = "workflow: t/secret\nnodes:\n  \
                call: {run: {command: ['true'], env: {TOKEN: 'secret://token'}}, needs: {site: {zone: cloud}}}\n";
    let sources = vec![SourceFile { path: "t.yaml".into(), text: text.into() }];
    let said = match control.apply(sources, Default::default(), false, "ada").await {
        Err(fault) => fault.detail,
        Ok(outcome) => outcome.rendered,
    };
    assert!(said.contains("`call` may run nowhere") && said.contains("pii"), "{said}");
    assert!(!said.contains("s3cret-value"));
    control.stop().await;
}

/// An action that only names a file is refused; a log that says it was placed all the same is found, whoever made its hashes.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_only_named_and_is_said_to_be_read_is_found() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORLD.into()).await;
    let bytes = b"name,ssn\n";
    control.sites().store("onprem").unwrap().put_bytes(bytes).unwrap();
    let digest = Digest::of(bytes).to_string();
    let file = json!({"$artifact": {"digest": digest, "size": bytes.len(), "kind": "file", "name": "a.csv"}});
    let workflow = format!(
        "workflow: t/names\ninputs:\n  file: {{type: file, labels: [pii]}}\nnodes:\n  own: {{use: core/noop, with: {{value: '${{ inputs.file }}'}}}}\n  \
         names: {{use: core/noop, with: {{value: {file}}}, after: [own]}}\n"
    );
    apply(&control, workflow).await;
    let inputs = json!({"file": file}).as_object().cloned().unwrap();
    let submission = Submission { workflow: "t/names".into(), inputs, principal: "ada".into(), ..Submission::default() };
    let run = control.submit(submission).await.unwrap().run;
    assert_eq!(control.end_of(run, PATIENCE).await.unwrap().unwrap().phase, Phase::Failed);
    let events = control.reader().events(Seq(0), None, 10_000).unwrap();
    let log: Log = events.into_iter().map(|(_, at, _, event)| (at, event)).collect();
    let world = World { control, _data: data, log };
    let found = world.rederive(&world.log);
    assert!(found.holds() && found.labels["files that are read"] >= 1, "{found:?}");
    let no = |event: &Event| match event {
        Event::ActionsOpened(e) => e.actions.iter().find(|one| one.path == "names").map(|one| one.action),
        _ => None,
    };
    let names = world.log.iter().find_map(|(_, event)| no(event)).unwrap();
    let (level, what) = world.forged(|log| {
        let placed = log.iter().find_map(|(_, event)| match event {
            Event::ActionsPlaced(e) if e.run == run => Some(e.clone()),
            _ => None,
        });
        let mut placed = placed.unwrap();
        placed.actions.truncate(1);
        placed.actions[0].action = names;
        placed.explanation = String::new();
        first(log, |event| match event {
            Event::ActionFinished(e) if e.run == run && e.action == names => {
                *event = Event::ActionsPlaced(placed.clone());
                true
            }
            _ => false,
        });
    });
    assert!(level == 4 && what.contains("it only names it"), "{level}: {what}");
    world.control.stop().await;
}
