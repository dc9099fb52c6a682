//! The program on files: what it says and how it ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use audit::evidence::{FORMAT, MANIFEST, Manifest};
use audit::{Checkpoint, EntryProof, Frontier, KeyKind, SecretKey, entry_hash, inclusion_proof, pack};
use base64::Engine as _;

struct Ended {
    code: i32,
    out: String,
}

fn run(folder: &Path, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutti-verify"));
    let output = command.args(words).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Ended { code: output.status.code().unwrap(), out: String::from_utf8(text).unwrap() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(bytes: &[u8]) -> String {
    // The hash of a leaf is over a zero byte more; a digest is that of the tree's own function over nothing else.
    hex(&sha256(bytes))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// A folder with an export of 40 entries, the key, a checkpoint over 30 of them, a proof and a pack of it all.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::from_seed("example.com/log", KeyKind::Log, [5; 32]).unwrap();
    let entries: Vec<(u64, Vec<u8>)> =
        (1..=40u8).map(|n| (1_000 + u64::from(n), vec![0x82, 0x18, 46, 0x81, 0x81, 0x18, 100 + n])).collect();
    let leaves: Vec<_> = entries.iter().map(|(at, bytes)| entry_hash(*at, bytes)).collect();
    let (mut tree, mut kept) = (Frontier::new(), None);
    for leaf in &leaves {
        tree.append(*leaf);
        if tree.size() == 30 {
            kept = Some(Checkpoint::of("example.com/log", &tree).sign(&key));
        }
    }
    let note = Checkpoint::of("example.com/log", &tree).sign(&key);
    let head = serde_json::json!({"size": 40, "root": hex(&tree.root()), "key": key.public().to_string(), "checkpoint": note.to_string()});
    let mut export = format!("{head}\n");
    for (seq, ((at, bytes), leaf)) in (1..).zip(entries.iter().zip(&leaves)) {
        let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
        export += &format!("{}\n", serde_json::json!({"seq": seq, "run": 0, "at_us": at, "leaf": hex(leaf), "bytes": bytes}));
    }
    let leaf = Some(EntryProof::leaf_of(entries[8].0, &entries[8].1));
    let proof = EntryProof { leaf, index: 8, path: inclusion_proof(&leaves, 8).unwrap(), note: note.clone() };
    let mut files = BTreeMap::from([
        ("entries.jsonl".to_owned(), export.clone().into_bytes()),
        ("checkpoint".to_owned(), note.to_string().into_bytes()),
        ("log.key".to_owned(), key.public().to_string().into_bytes()),
        ("proofs/9.tlog-proof".to_owned(), proof.to_string().into_bytes()),
    ]);
    let list = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    let manifest = Manifest { format: FORMAT.into(), files: list, ..Manifest::default() };
    files.insert(MANIFEST.into(), serde_json::to_vec(&manifest).unwrap());
    for (name, bytes) in &files {
        let file = folder.path().join("unpacked").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("pack.zip", &pack::write(&files).unwrap());
    write("export.jsonl", export.as_bytes());
    write("entry.tlog-proof", proof.to_string().as_bytes());
    write("log.key", format!("{}\n", key.public()).as_bytes());
    write("kept", kept.unwrap().to_string().as_bytes());
    folder
}

#[test]
fn what_is_good_holds() {
    let folder = written();
    let (key, kept) = (["--key", "log.key"].as_slice(), ["--key", "log.key", "--checkpoint", "kept"].as_slice());
    for (file, trusted) in [("export.jsonl", kept), ("entry.tlog-proof", key), ("pack.zip", kept), ("unpacked", kept)] {
        let ended = run(folder.path(), &[trusted, &[file]].concat());
        assert!(ended.code == 0 && ended.out.contains("it holds, under what you trust\n"), "{file}: {}", ended.out);
        assert!(ended.out.contains("checked: levels 1 and 2 ") && ended.out.contains("not levels 3 and 4 "), "{}", ended.out);
    }
    // A checkpoint over other entries says nothing of a proof: whoever gives one is not left to believe that it was used.
    let ended = run(folder.path(), &[kept, &["entry.tlog-proof"]].concat());
    assert!(ended.code == 1 && ended.out.contains("cannot be compared"), "{}", ended.out);
    assert!(run(folder.path(), &["--help"]).out.contains("It checks levels 1 and 2"));
    for file in ["export.jsonl", "pack.zip"] {
        let ended = run(folder.path(), &[file]);
        assert!(ended.code == 0 && ended.out.contains("under nothing that you trust"), "{file}: {}", ended.out);
    }
    let json: serde_json::Value =
        serde_json::from_str(&run(folder.path(), &["--json", "--key", "log.key", "pack.zip"]).out).unwrap();
    assert_eq!((&json["holds"], &json["sealed"], &json["proofs"]), (&true.into(), &40.into(), &1.into()));
}

#[test]
fn what_was_changed_is_found() {
    let folder = written();
    let export = std::fs::read_to_string(folder.path().join("export.jsonl")).unwrap();
    let lines: Vec<&str> = export.lines().collect();
    let without = |n: usize| export.replace(&format!("{}\n", lines[n]), "");
    let swapped = export.replace(lines[7], "@").replace(lines[8], lines[7]).replace('@', lines[8]);
    for (name, text) in [
        ("flipped", export.replacen("\"at_us\":1009", "\"at_us\":1008", 1)),
        ("dropped", without(12)),
        ("swapped", swapped),
        ("cut", lines[..20].join("\n") + "\n"),
        ("headless", without(0)),
        ("not-base64", export.replacen("\"bytes\":\"", "\"bytes\":\"*", 1)),
        ("empty", "{}\n".into()),
    ] {
        std::fs::write(folder.path().join(name), &text).unwrap();
        assert_ne!(text, export, "{name}");
        let ended = run(folder.path(), &["--key", "log.key", "--checkpoint", "kept", name]);
        assert!(ended.code == 1 && ended.out.contains("IT DOES NOT HOLD"), "{name}: {} {}", ended.code, ended.out);
    }
    // One byte of the archive, anywhere in the entries.
    let mut archive = std::fs::read(folder.path().join("pack.zip")).unwrap();
    let place = archive.windows(7).position(|window| window == b"\"seq\":9").unwrap();
    archive[place + 6] = b'8';
    std::fs::write(folder.path().join("changed.zip"), archive).unwrap();
    assert_eq!(run(folder.path(), &["--key", "log.key", "changed.zip"]).code, 2, "its own checksum says so");
    std::fs::write(folder.path().join("unpacked/checkpoint"), "nothing").unwrap();
    assert_eq!(run(folder.path(), &["--key", "log.key", "unpacked"]).code, 1);
}

#[test]
fn what_cannot_be_checked_is_told_apart() {
    let folder = written();
    std::fs::write(folder.path().join("nothing"), "nothing").unwrap();
    let other = SecretKey::from_seed("example.com/log", KeyKind::Log, [6; 32]).unwrap();
    let other = other.public().to_string();
    for (words, code, what) in [
        (vec![], 2, "give a file"),
        (vec!["nothing"], 2, "neither an export"),
        (vec!["nowhere"], 2, "No such file"),
        (vec!["--frob", "export.jsonl"], 2, "not known"),
        (vec!["--key", "nowhere", "export.jsonl"], 2, "nowhere"),
        (vec!["--checkpoint", "kept", "export.jsonl"], 2, "wants the key"),
        (vec!["--key", &other, "--checkpoint", "kept", "export.jsonl"], 2, "not signed by"),
        (vec!["--key", &other, "export.jsonl"], 1, "not signed by"),
        (vec!["entry.tlog-proof"], 1, "no key"),
        (vec!["--root", "00", "export.jsonl"], 2, "not a hash"),
        (vec!["--root", &"0".repeat(64), "export.jsonl"], 1, "not the one that is trusted"),
        (vec!["export.jsonl", "pack.zip"], 2, "too many"),
        (vec!["--help"], 0, "Usage"),
    ] {
        let ended = run(folder.path(), &words);
        assert!(ended.code == code && ended.out.contains(what), "{words:?}: {} {}", ended.code, ended.out);
    }
}
