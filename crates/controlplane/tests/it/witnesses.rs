//! Witnesses: those that sign, that are silent, that lie, and that have seen another history.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use audit::policy::Policy;
use audit::witness::{AddCheckpoint, Seen, Unsigned};
use audit::{Checkpoint, Frontier, KeyKind, Note, SecretKey, leaf_hash};
use controlplane::{Ask, ControlPlane, Reply};

use crate::{apply, open, start};

const WORK: &str = "workflow: t/w\nnodes:\n  a: {use: core/noop@1}\n";
/// A wait that only ends when something is broken.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// How a witness behaves.
#[derive(Clone)]
enum Manner {
    Honest,
    Silent,
    /// Says that it knows more, and shows this for it.
    Boasts(Vec<u8>),
    /// Says that the proof is wrong, and shows this for it.
    Denies(Vec<u8>),
    /// Signs something else.
    Forges,
}

/// Witnesses in this process, by the host of their address.
struct Witnesses {
    manners: BTreeMap<String, Manner>,
    seen: Mutex<BTreeMap<String, Seen>>,
    log: audit::PublicKey,
}

fn key_of(name: &str) -> SecretKey {
    SecretKey::from_seed(name, KeyKind::Witness, leaf_hash(name.as_bytes())).unwrap()
}

fn reply(status: u16, body: impl Into<Vec<u8>>) -> Result<Reply, String> {
    Ok(Reply { status, body: body.into() })
}

impl Witnesses {
    fn answer(&self, url: &str, body: Option<&str>) -> Result<Reply, String> {
        let name = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        match (&self.manners[&name], body) {
            (Manner::Silent, _) => Err("connection refused".into()),
            (Manner::Boasts(_), Some(_)) => reply(409, "999999\n"),
            (Manner::Denies(_), Some(_)) => reply(422, "no\n"),
            (Manner::Boasts(shown) | Manner::Denies(shown), None) => reply(200, shown.clone()),
            (Manner::Forges, Some(_)) => reply(200, format!("{}\n", key_of(&name).sign("something else\n", 1))),
            (_, None) => reply(404, ""),
            (Manner::Honest, Some(body)) => {
                let request = AddCheckpoint::parse(body.as_bytes()).unwrap();
                let mut seen = self.seen.lock().unwrap();
                match request.judge(&self.log, seen.get(&name).copied()) {
                    Ok(now) => {
                        seen.insert(name.clone(), now);
                        reply(200, format!("{}\n", key_of(&name).sign(request.note.text(), 1_800_000_000)))
                    }
                    Err(Unsigned::OtherSize(known)) => reply(409, format!("{known}\n")),
                    Err(unsigned) => reply(unsigned.status(), unsigned.to_string()),
                }
            }
        }
    }
}

/// Has a control plane witnessed.
fn witness(control: &ControlPlane, manners: &[(&str, Manner)], quorum: &str) {
    let log = control.audit().key().unwrap();
    let mut text = format!("log {log}\n");
    for (name, _) in manners {
        text += &format!("witness {name} {} http://{name}\n", key_of(name).public());
    }
    let policy = Policy::parse(&(text + quorum)).unwrap();
    let manners = manners.iter().map(|(name, manner)| ((*name).to_owned(), manner.clone())).collect();
    let witnesses = Arc::new(Witnesses { manners, seen: Mutex::default(), log });
    let ask: Ask = Arc::new(move |url, body| {
        let answer = witnesses.answer(&url, body.as_deref());
        Box::pin(async move { answer })
    });
    control.witness_by(policy, ask);
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

/// A control plane that has done something.
async fn worked(data: &Path) -> ControlPlane {
    let control = open(data).await;
    apply(&control, WORK.into()).await;
    start(&control).await;
    control
}

fn sealed(control: &ControlPlane) -> u64 {
    control.audit().checkpoint().map_or(0, |sealed| sealed.checkpoint.size)
}

fn trouble(control: &ControlPlane, name: &str) -> String {
    control.audit().witnesses()[name].trouble.clone().unwrap_or_default()
}

/// A note under the log's own key, over a tree that is not the journal's.
fn other_history(data: &Path, size: u64) -> Vec<u8> {
    let key = SecretKey::parse(&std::fs::read_to_string(data.join("audit/key")).unwrap()).unwrap();
    let mut tree = Frontier::new();
    (0..size).for_each(|n| tree.append(leaf_hash(&n.to_be_bytes())));
    Checkpoint::of(key.public().name(), &tree).sign(&key).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_signs_and_those_that_do_not_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let control = worked(folder.path()).await;
    let boast = Manner::Boasts(b"nothing".to_vec());
    let deny = Manner::Denies(other_history(folder.path(), 0));
    let manners = [
        ("one", Manner::Honest),
        ("two", Manner::Honest),
        ("silent", Manner::Silent),
        ("boasts", boast),
        ("denies", deny),
        ("forges", Manner::Forges),
    ];
    witness(&control, &manners, "group two-of 2 one two silent boasts denies forges\nquorum two-of\n");
    until("both sign", || control.audit().witnessed().is_some_and(|seen| seen.checkpoint.size == sealed(&control))).await;
    let first = control.audit().witnessed().unwrap();
    assert_eq!(first.note.signatures().len(), 3, "the log and two witnesses");
    assert!(trouble(&control, "silent").contains("refused"), "{}", trouble(&control, "silent"));
    assert!(trouble(&control, "boasts").contains("never signed"), "{}", trouble(&control, "boasts"));
    assert!(trouble(&control, "denies").contains("is the beginning of this log"), "{}", trouble(&control, "denies"));
    assert!(trouble(&control, "forges").contains("no signature"), "{}", trouble(&control, "forges"));
    // None of that stops anything, and the next checkpoint continues the first.
    assert_eq!(control.audit().halted(), None);
    start(&control).await;
    until("the next one too", || control.audit().witnessed().is_some_and(|seen| seen.checkpoint.size > first.checkpoint.size))
        .await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_signatures_are_no_quorum() {
    let folder = tempfile::tempdir().unwrap();
    let control = worked(folder.path()).await;
    witness(&control, &[("one", Manner::Honest), ("forges", Manner::Forges)], "group both all one forges\nquorum both\n");
    until("one signs", || control.audit().witnesses()["one"].size > 0 && !trouble(&control, "forges").is_empty()).await;
    assert_eq!((control.audit().witnessed(), control.audit().halted()), (None, None));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_history_stops_dispatch_and_the_log_goes_on_as_another_one() {
    for (size, what) in [(2, "has others there"), (1_000_000, "has fewer")] {
        let folder = tempfile::tempdir().unwrap();
        let control = worked(folder.path()).await;
        let size = if size == 2 { 2 } else { sealed(&control) + 500 };
        let key = control.audit().key().unwrap();
        witness(&control, &[("seen-it", Manner::Boasts(other_history(folder.path(), size)))], "quorum seen-it\n");
        until("it is found", || control.audit().halted().is_some()).await;
        let why = control.audit().halted().unwrap();
        assert!(why.contains("split view") && why.contains(what), "{why}");
        assert!(Note::parse(&std::fs::read(folder.path().join("audit/split-view")).unwrap()).is_ok(), "the proof is kept");
        // It outlives the process, and nothing is signed meanwhile.
        let before = sealed(&control);
        let run = start(&control).await;
        control.stop().await;
        let control = open(folder.path()).await;
        assert!(control.audit().halted().is_some_and(|reason| reason == why));
        assert!(sealed(&control) <= before);
        let phase = |control: &ControlPlane| control.reader().run(run).unwrap().unwrap().phase;
        assert_eq!(phase(&control), model::Phase::Running);
        control.accept_break("the other copy is gone", "ada").await.unwrap();
        until("it goes on", || phase(&control) == model::Phase::Succeeded).await;
        assert_ne!(control.audit().key().unwrap(), key, "a log that forks is another log");
        until("it signs as another log", || {
            control.audit().checkpoint().is_some_and(|sealed| sealed.checkpoint.origin != key.name())
        })
        .await;
        control.stop().await;
    }
}
