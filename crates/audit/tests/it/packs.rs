//! Evidence packs: what is written is read, and what was changed is found.

use std::collections::BTreeMap;

use audit::evidence::{self, FORMAT, MANIFEST, Manifest};
use audit::export::Trust;
use audit::{Checkpoint, EntryProof, entry_hash, inclusion_proof, pack};
use proptest::prelude::*;
use sha2::Digest as _;

use crate::exports::{export, history, key, tree};

fn listed(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.remove(MANIFEST);
    let digest = |bytes: &Vec<u8>| sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let list = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    let manifest = Manifest { format: FORMAT.into(), files: list, ..Manifest::default() };
    files.insert(MANIFEST.into(), serde_json::to_vec(&manifest).unwrap());
    files
}

/// A pack with entries and a proof of the third.
fn files() -> BTreeMap<String, Vec<u8>> {
    let stored = history(20);
    let note = Checkpoint::of("example.com/log", &tree(&stored)).sign(&key());
    let leaves: Vec<_> = stored.iter().map(|entry| entry_hash(entry.at, &entry.bytes)).collect();
    let leaf = Some(EntryProof::leaf_of(stored[2].at, &stored[2].bytes));
    let proof = EntryProof { leaf, index: 2, path: inclusion_proof(&leaves, 2).unwrap(), note: note.clone() };
    listed(BTreeMap::from([
        ("entries.jsonl".into(), (export(&stored, None).join("\n") + "\n").into_bytes()),
        ("checkpoint".into(), note.to_string().into_bytes()),
        ("log.key".into(), key().public().to_string().into_bytes()),
        ("proofs/3.tlog-proof".into(), proof.to_string().into_bytes()),
        ("summary.html".into(), b"<p>What was done.</p>".to_vec()),
    ]))
}

fn trusted() -> Trust {
    Trust { key: Some(key().public().clone()), ..Trust::default() }
}

fn verdict(files: &BTreeMap<String, Vec<u8>>, trust: Trust) -> evidence::Verdict {
    evidence::check(pack::write(files).unwrap().as_slice(), trust).unwrap()
}

#[test]
fn a_pack_is_read_as_it_was_written() {
    let files = files();
    let archive = pack::write(&files).unwrap();
    let read = pack::read(&archive).unwrap();
    assert!(
        read.iter()
            .map(|(name, bytes)| (name.as_str(), *bytes))
            .eq(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
    );
    let good = verdict(&files, trusted());
    assert!(good.holds && good.report.sealed == 20 && good.proofs == 1, "{good:?}");
    let alone = verdict(&files, Trust::default());
    assert!(alone.holds && alone.report.sealed == 0, "{alone:?}");
}

#[test]
fn a_pack_that_was_changed_is_found() {
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files();
        change(files.get_mut(name).unwrap());
        files
    };
    let flip = |bytes: &mut Vec<u8>| bytes[10] ^= 1;
    let found = |files: &BTreeMap<String, Vec<u8>>, what: &str| {
        let verdict = verdict(files, trusted());
        assert!(verdict.report.problems.iter().any(|problem| problem.what.contains(what)), "{what}: {verdict:?}");
    };
    for name in ["entries.jsonl", "checkpoint", "log.key", "proofs/3.tlog-proof", "summary.html"] {
        found(&changed(name, &flip), "is not the file that");
    }
    let mut more = files();
    more.insert("proofs/evil".into(), Vec::new());
    found(&more, "is not listed");
    let mut fewer = files();
    fewer.remove("entries.jsonl");
    found(&fewer, "is missing");
    let mut none = files();
    none.remove(MANIFEST);
    found(&none, "is missing or not one");
    // Whoever writes the list anew has not changed the tree.
    let mut entries = files();
    let text = String::from_utf8(entries["entries.jsonl"].clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    entries.insert("entries.jsonl".into(), text.replace(&format!("{}\n", lines[5]), "").into_bytes());
    found(&listed(entries), "it comes after entry");
    let mut proof = files();
    let text = String::from_utf8(proof["proofs/3.tlog-proof"].clone()).unwrap();
    proof.insert("proofs/3.tlog-proof".into(), text.replace("index 2", "index 3").into_bytes());
    found(&listed(proof), "do not lead");
    // A proof about another checkpoint of the same log.
    let stored = history(12);
    let note = Checkpoint::of("example.com/log", &tree(&stored)).sign(&key());
    let mut other = files();
    other.insert("checkpoint".into(), note.to_string().into_bytes());
    found(&listed(other), "about another checkpoint");
}

type Look = fn(&BTreeMap<String, Vec<u8>>, &[u8], Trust) -> evidence::Verdict;

/// A pack of one run has proofs instead of entries: it stands under the key as any other, and says what it cannot be compared with.
#[test]
fn a_pack_of_one_run_is_compared_with_what_is_trusted() {
    let mut files = files();
    files.remove("entries.jsonl");
    let files = listed(files);
    let stored = history(20);
    let kept = |entries: &[_]| Checkpoint::of("example.com/log", &tree(entries));
    let good = verdict(&files, trusted());
    assert!(good.holds && good.report.sealed == 20 && good.proofs == 1 && good.report.checkpoints[0].trusted, "{good:?}");
    let alone = verdict(&files, Trust::default());
    assert!(alone.holds && alone.report.sealed == 0, "{alone:?}");
    let proof = &files["proofs/3.tlog-proof"];
    let looks: [Look; 2] = [|files, _, trust| verdict(files, trust), |_, proof, trust| evidence::check(proof, trust).unwrap()];
    for look in looks {
        let with = |trust: Trust| look(&files, proof, trust);
        assert!(with(Trust { kept: vec![kept(&stored)], ..trusted() }).holds);
        let root = kept(&stored).root;
        assert!(with(Trust { root: Some(root), ..trusted() }).holds);
        let mut other = stored.clone();
        other[7].at += 1;
        for (trust, what) in [
            (Trust { kept: vec![kept(&other)], ..trusted() }, "entries before it were changed"),
            (Trust { kept: vec![kept(&stored[..12])], ..trusted() }, "cannot be compared"),
            (Trust { root: Some([7; 32]), ..trusted() }, "not the one that is trusted"),
        ] {
            let verdict = with(trust);
            assert!(verdict.report.problems.iter().any(|problem| problem.what.contains(what)), "{what}: {verdict:?}");
            assert!(!verdict.holds && verdict.report.sealed == 0, "{what}: {verdict:?}");
        }
    }
}

#[test]
fn archives_that_lead_elsewhere_are_refused() {
    for name in ["../evil", "/etc/passwd", "a/../../b", "c:\\x"] {
        let archive = pack::write(&BTreeMap::from([(name.to_owned(), b"x".to_vec())])).unwrap();
        assert!(pack::read(&archive).is_err(), "{name}");
    }
    let mut compressed = pack::write(&BTreeMap::from([("a".to_owned(), b"x".to_vec())])).unwrap();
    let central = compressed.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    compressed[central + 10] = 8;
    assert_eq!(pack::read(&compressed), Err(pack::BadPack::Compressed("a".into())));
}

proptest! {
    #[test]
    fn a_changed_byte_of_the_archive_is_found_or_changes_nothing(place in any::<prop::sample::Index>(), change in 1u8..) {
        let files = files();
        let archive = pack::write(&files).unwrap();
        let mut bad = archive.clone();
        bad[place.index(archive.len())] ^= change;
        match pack::read(&bad) {
            Err(_) => {}
            // Dates and versions say nothing; a name of another file is found by the list.
            Ok(read) => {
                let same = read.iter().all(|(name, bytes)| files.get(name).is_some_and(|known| known == bytes)) && read.len() == files.len();
                prop_assert!(same || !evidence::check_files(&read, &trusted()).holds);
            }
        }
    }
}
