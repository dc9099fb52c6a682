//! Witnesses and policies: who signs what, and who has to have signed.

use audit::policy::Policy;
use audit::witness::{AddCheckpoint, Seen, Unsigned};
use audit::{Checkpoint, Frontier, Hash, KeyKind, Note, SecretKey, consistency_proof, leaf_hash};
use proptest::prelude::*;

fn log() -> SecretKey {
    SecretKey::from_seed("log", KeyKind::Log, [1; 32]).unwrap()
}

fn witness(n: u8) -> SecretKey {
    SecretKey::from_seed(&format!("w{n}"), KeyKind::Witness, [100 + n; 32]).unwrap()
}

fn leaves(count: u64, history: u8) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&[n as u8, if n < 4 { 0 } else { history }])).collect()
}

fn tree(count: u64, history: u8) -> Frontier {
    let mut tree = Frontier::new();
    leaves(count, history).into_iter().for_each(|leaf| tree.append(leaf));
    tree
}

fn request(old: u64, new: u64, history: u8) -> AddCheckpoint {
    let note = Checkpoint::of("log", &tree(new, history)).sign(&log());
    let proof = consistency_proof(&leaves(new, history), old).unwrap_or_default();
    let request = AddCheckpoint { old, proof, note };
    assert_eq!(AddCheckpoint::parse(request.to_string().as_bytes()), Ok(request.clone()));
    request
}

fn seen(size: u64, history: u8) -> Option<Seen> {
    Some(Seen { size, root: tree(size, history).root() })
}

#[test]
fn a_witness_signs_what_grows_and_nothing_else() {
    let log = log();
    let judge = |request: AddCheckpoint, seen| request.judge(log.public(), seen);
    assert_eq!(judge(request(0, 5, 0), None), Ok(seen(5, 0).unwrap()));
    assert_eq!(judge(request(5, 9, 0), seen(5, 0)), Ok(seen(9, 0).unwrap()));
    assert_eq!(judge(request(5, 5, 0), seen(5, 0)), Ok(seen(5, 0).unwrap()), "the same again");
    // It was asked to forget, or to go back.
    assert_eq!(judge(request(0, 9, 0), seen(5, 0)), Err(Unsigned::OtherSize(5)));
    assert_eq!(judge(request(4, 9, 0), seen(5, 0)), Err(Unsigned::OtherSize(5)));
    assert!(matches!(judge(request(9, 5, 0), seen(9, 0)), Err(Unsigned::Form(_))));
    // Two histories that are the same up to the fourth entry.
    assert_eq!(judge(request(5, 9, 1), seen(5, 0)), Err(Unsigned::Inconsistent(5)));
    assert_eq!(judge(request(5, 5, 1), seen(5, 0)), Err(Unsigned::SplitView));
    assert!(judge(request(4, 9, 1), seen(4, 0)).is_ok(), "up to there they are one");
    // Somebody else's checkpoint.
    let other = SecretKey::from_seed("log", KeyKind::Log, [9; 32]).unwrap();
    assert!(matches!(request(0, 5, 0).judge(other.public(), None), Err(Unsigned::NotOfLog(_))));
    let mut more = request(5, 9, 0);
    more.proof.push([0; 32]);
    assert_eq!(judge(more, seen(5, 0)), Err(Unsigned::Inconsistent(5)));
    for (unsigned, status) in [
        (Unsigned::Form(""), 400),
        (Unsigned::UnknownLog("".into()), 404),
        (Unsigned::SplitView, 409),
        (Unsigned::Inconsistent(1), 422),
    ] {
        assert_eq!(unsigned.status(), status);
    }
}

/// A policy over witnesses 1 to 5.
fn policy(rest: &str) -> Result<Policy, audit::policy::BadPolicy> {
    let mut text = format!("# who signs\nlog {}\n", log().public());
    (1..=5).for_each(|n| text += &format!("witness w{n} {} http://w{n}.example/\n", witness(n).public()));
    Policy::parse(&(text + rest))
}

fn note_of(signers: &[u8]) -> Note {
    let mut note = Checkpoint::of("log", &tree(7, 0)).sign(&log());
    signers.iter().for_each(|n| note.add(witness(*n).sign(note.clone().text(), 1_800_000_000)));
    note
}

#[test]
fn a_quorum_is_what_the_policy_says() {
    let nested = policy("group ours 2 w1 w2 w3\ngroup theirs any w4 w5\n\tgroup both all ours theirs\nquorum both\n").unwrap();
    for (signers, quorum) in
        [(vec![1, 2, 4], true), (vec![1, 2, 3, 5], true), (vec![1, 4], false), (vec![1, 2, 3], false), (vec![], false)]
    {
        let found = nested.open(&note_of(&signers)).unwrap().1;
        assert_eq!((found.quorum, found.witnesses.len()), (quorum, signers.len()), "{signers:?}");
    }
    assert!(policy("quorum none\n").unwrap().signers(&note_of(&[])).quorum);
    // A signature that is not one counts for nothing, whatever name stands before it.
    let mut forged = note_of(&[2, 4]);
    let mut signature = witness(1).sign("another text\n", 1_800_000_000);
    signature.name = "w1".into();
    forged.add(signature);
    assert!(!nested.signers(&forged).quorum);
    assert_eq!(nested.witnesses()[4].url.as_deref(), Some("http://w5.example/"));
}

#[test]
fn policies_that_are_none_are_refused_with_their_line() {
    for (rest, line, what) in [
        ("", 7, "no `quorum`"),
        ("quorum w9\n", 8, "not defined above"),
        ("quorum w1\nquorum w2\n", 9, "quorum already"),
        ("group g 3 w1 w2\nquorum g\n", 8, "cannot be asked for"),
        ("group g 0 w1\nquorum g\n", 8, "cannot be asked for"),
        ("group g some w1\nquorum g\n", 8, "neither"),
        ("group g any w1\ngroup h any w1\nquorum g\n", 9, "in a group already"),
        ("group w1 any w2\nquorum w1\n", 8, "above already"),
        ("group none any w2\nquorum none\n", 8, "no name"),
        ("witness w9 nonsense\nquorum none\n", 8, "not a key"),
        ("frob\n", 8, "not a line"),
        ("quorum none\u{7}\n", 8, "control"),
    ] {
        let error = policy(rest).unwrap_err();
        assert!(error.line == line && error.what.contains(what), "{rest:?}: {error}");
    }
    let twice = format!("witness a {0}\nwitness b {0}\nquorum a\n", witness(1).public());
    assert_eq!(Policy::parse(&twice).unwrap_err().line, 2);
    let wrong_kind = format!("witness a {}\nquorum a\n", log().public());
    assert_eq!(Policy::parse(&wrong_kind).unwrap_err().line, 1);
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_not_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a\u{2014} \n0-9+/=]{0,200}") {
        let _ = AddCheckpoint::parse(&bytes);
        let _ = AddCheckpoint::parse(format!("old {text}").as_bytes());
        let _ = Policy::parse(&text);
        let _ = Policy::parse(&format!("group {text}\nquorum {text}"));
        let _ = audit::pack::read(&bytes);
        let _ = audit::pack::read(&[b"PK\x01\x02".as_slice(), &bytes, b"PK\x05\x06"].concat());
    }

    #[test]
    fn a_request_with_a_changed_byte_is_not_signed(place in any::<prop::sample::Index>(), change in 1u8..) {
        let good = request(5, 9, 0).to_string().into_bytes();
        let mut bad = good.clone();
        bad[place.index(good.len())] ^= change;
        let judged = AddCheckpoint::parse(&bad).and_then(|request| request.judge(log().public(), seen(5, 0)));
        prop_assert!(judged.is_err(), "{:?}", String::from_utf8_lossy(&bad));
    }
}
