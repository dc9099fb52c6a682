//! Notes and checkpoints against vectors of other implementations, and against whoever changes a byte of them.

use audit::{
    Checkpoint, CheckpointError, EntryProof, Frontier, Hash, KeyKind, Note, NoteError, ProofError, PublicKey, SecretKey,
    inclusion_proof, leaf_hash,
};
use proptest::prelude::*;

/// The key, the text and the signature that Go's package `note` documents.
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn log(name: &str, seed: u8) -> SecretKey {
    SecretKey::from_seed(name, KeyKind::Log, [seed; 32]).unwrap()
}

fn tree(leaves: u8) -> Frontier {
    let mut tree = Frontier::new();
    (0..leaves).for_each(|n| tree.append(leaf_hash(&[n])));
    tree
}

#[test]
fn notes_of_another_implementation_are_read_and_written() {
    let key: PublicKey = GO_PUBLIC.parse().unwrap();
    let note = Note::parse(GO_NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Ok(None));
    let secret = SecretKey::parse(GO_SECRET).unwrap();
    assert_eq!((secret.public().to_string().as_str(), secret.to_text().as_str()), (GO_PUBLIC, GO_SECRET));
    assert_eq!(Note::sign(note.text().to_owned(), &secret).to_string(), GO_NOTE);
    let sums: PublicKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8".parse().unwrap();
    assert_eq!((sums.name(), sums.kind()), ("sum.golang.org", KeyKind::Log));
    assert_eq!(note.verify(&sums), Err(NoteError::Unsigned("sum.golang.org".into())));
}

#[test]
fn a_checkpoint_is_of_its_log_and_signed() {
    let key = log("example.com/log", 7);
    let signed = Checkpoint::of("example.com/log", &tree(5)).sign(&key);
    let read = Note::parse(signed.to_string().as_bytes()).unwrap();
    let open = Checkpoint::open(&read, key.public()).unwrap();
    assert_eq!((open.size, open.root), (5, tree(5).root()));
    // Another key of the same name, and the right key of another log.
    let other = log("example.com/log", 8);
    assert_eq!(
        Checkpoint::open(&read, other.public()),
        Err(CheckpointError::Note(NoteError::Unsigned("example.com/log".into())))
    );
    let strange = Checkpoint::of("example.com/other", &tree(5)).sign(&key);
    assert_eq!(Checkpoint::open(&strange, key.public()), Err(CheckpointError::Origin("example.com/other".into())));
}

#[test]
fn a_witness_signs_the_text_and_the_time() {
    let (key, witness) = (log("log", 1), SecretKey::from_seed("witness", KeyKind::Witness, [2; 32]).unwrap());
    let mut note = Checkpoint::of("log", &tree(3)).sign(&key);
    note.add(witness.sign(note.text(), 1_800_000_000));
    let note = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(note.verify(witness.public()), Ok(Some(1_800_000_000)));
    assert_eq!(note.verify(key.public()), Ok(None));
    // A time that was changed is no longer signed.
    let mut later = note.clone();
    let mut signature = note.signatures()[1].clone();
    signature.bytes[7] ^= 1;
    later.add(signature);
    assert_eq!(later.signatures().len(), 2, "the same key signs once");
    assert_eq!(later.verify(witness.public()), Err(NoteError::Forged("witness".into())));
    assert_eq!(later.only(&[key.public().clone(), witness.public().clone()]).signatures().len(), 1);
    let text = witness.public().to_string();
    assert_eq!(text.parse::<PublicKey>().unwrap(), *witness.public());
}

#[test]
fn what_is_not_a_note_or_a_key_is_refused() {
    let good = Checkpoint::of("log", &tree(3)).sign(&log("log", 1)).to_string();
    for bad in [
        "",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\nno signature\n",
        "text\n\n\u{2014} a+b AAAAAAA=\n",
        "text\n\n\u{2014} a AAAA\n",
        "te\txt\n\n\u{2014} a AAAAAAA=\n",
        good.trim_end(),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let many = format!("text\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(33));
    assert!(Note::parse(many.as_bytes()).is_err());
    assert!(Note::parse(&vec![b'a'; 1 << 20]).is_err());
    for bad in ["log\n05\nAA==\n", "log\n+5\nAA==\n", "log\n5\nAA==\n", "log\n5", "\n5\n", "log\n18446744073709551616\n"] {
        assert!(Checkpoint::parse(bad).is_err(), "{bad:?}");
    }
    for bad in [
        GO_SECRET,
        "PeterNeumann",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "P n+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpcAA==",
    ] {
        assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
    }
}

/// The proof of an entry of a tree of `size`, and the key.
fn proof(index: u64, size: u8) -> (EntryProof, SecretKey) {
    let key = log("example.com/log", 7);
    let entry = |n: u64| EntryProof::leaf_of(1_000 + n, format!("what happened {n}").as_bytes());
    let leaves: Vec<Hash> = (0..u64::from(size)).map(|n| leaf_hash(&entry(n))).collect();
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    let note = Checkpoint::of("example.com/log", &tree).sign(&key);
    let path = inclusion_proof(&leaves, index).unwrap();
    (EntryProof { leaf: Some(entry(index)), index, path, note }, key)
}

#[test]
fn a_proof_file_holds_all_that_is_needed() {
    for size in [1, 2, 7, 8, 33] {
        for index in 0..u64::from(size) {
            let (made, key) = proof(index, size);
            let text = made.to_string();
            let read = EntryProof::parse(text.as_bytes()).unwrap();
            assert_eq!(read, made);
            assert_eq!(read.verify(key.public(), None).unwrap().size, u64::from(size));
            assert_eq!(read.entry(), Some((1_000 + index, format!("what happened {index}").as_bytes())));
        }
    }
    let (made, key) = proof(3, 8);
    assert_eq!(made.verify(key.public(), Some(leaf_hash(b"other"))), Err(ProofError::Elsewhere));
    let bare = EntryProof { leaf: None, ..made.clone() };
    let bare = EntryProof::parse(bare.to_string().as_bytes()).unwrap();
    assert_eq!(bare.verify(key.public(), None), Err(ProofError::NoLeaf));
    assert!(bare.verify(key.public(), Some(leaf_hash(&made.leaf.unwrap()))).is_ok());
}

proptest! {
    #[test]
    fn a_proof_with_a_changed_byte_proves_nothing(index in 0u64..20, place in any::<prop::sample::Index>(), change in 1u8..) {
        let (made, key) = proof(index, 20);
        let good = made.to_string().into_bytes();
        let mut bad = good.clone();
        bad[place.index(good.len())] ^= change;
        let held = EntryProof::parse(&bad).and_then(|proof| proof.verify(key.public(), None));
        prop_assert!(held.is_err(), "{:?}", String::from_utf8_lossy(&bad));
    }

    #[test]
    fn any_bytes_are_a_proof_or_not_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a \n0-9+/=]{0,200}") {
        let _ = EntryProof::parse(&bytes);
        let _ = EntryProof::parse(format!("c2sp.org/tlog-proof@v1\nindex 1{text}").as_bytes());
        let _ = EntryProof::parse(format!("c2sp.org/tlog-proof@v1\nextra {text}").as_bytes());
    }
}

proptest! {
    #[test]
    fn a_note_with_a_changed_byte_is_not_signed(place in any::<prop::sample::Index>(), change in 1u8..) {
        let key = log("example.com/log", 7);
        let good = Checkpoint::of("example.com/log", &tree(9)).sign(&key).to_string().into_bytes();
        let mut bad = good.clone();
        bad[place.index(good.len())] ^= change;
        let opened = Note::parse(&bad).map_err(CheckpointError::from).and_then(|note| Checkpoint::open(&note, key.public()));
        prop_assert!(opened.is_err(), "{:?}", String::from_utf8_lossy(&bad));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "[a\u{2014} \n0-9+/=]{0,200}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(note) = Note::parse(bytes) {
                prop_assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note.clone()));
                let _ = Checkpoint::parse(note.text());
            }
        }
        let _ = (text.parse::<PublicKey>(), SecretKey::parse(&text));
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}
