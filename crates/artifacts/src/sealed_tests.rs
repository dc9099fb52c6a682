//! Stores that seal: what lies in them, what becomes of it when somebody changes it or when its holders are erased, and what lay open
//! before.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use keyring::{Holder, Keyring, Source};
use model::value::ArtifactKind;
use model::{ArtifactRef, Digest};

use crate::{Store, StoreError, Taking, transfer};

struct Place {
    folder: tempfile::TempDir,
    keys: Keyring,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::open(&folder.path().join("keys"), &Source::File(folder.path().join("keys/key")), None, None).unwrap();
        Place { folder, keys }
    }

    fn store(&self, name: &str) -> Store {
        Store::open_with(self.folder.path().join(name), Some(self.keys.clone())).unwrap()
    }
}

fn text(store: &Store, digest: &Digest) -> Result<String, StoreError> {
    let mut text = String::new();
    store.open(digest)?.read_to_string(&mut text).unwrap();
    Ok(text)
}

/// Puts other bytes in the place of an artifact, behind the store's back and with the date of what nobody touched.
fn put_in_place(store: &Store, digest: &Digest, bytes: &[u8]) {
    let place = store.place(digest);
    fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&place, bytes).unwrap();
    fs::File::options().write(true).open(&place).unwrap().set_modified(crate::store::untouched()).unwrap();
}

#[test]
fn what_is_stored_is_sealed_and_comes_back() {
    let place = Place::new();
    let store = place.store("s");
    let put = store.put_bytes(b"a private matter").unwrap();
    assert_eq!(put.digest, Digest::of(b"a private matter"), "the name is that of the content");
    let lies = fs::read(store.place(&put.digest)).unwrap();
    assert!(!lies.windows(7).any(|part| part == b"private"));
    assert_eq!((text(&store, &put.digest).unwrap().as_str(), store.size(&put.digest).unwrap()), ("a private matter", 16));
    let mut verified = String::new();
    store.open_verified(&put.digest).unwrap().read_to_string(&mut verified).unwrap();
    // Without the keys there is nothing to read.
    let bare = Store::open_at(&store.root).unwrap();
    assert!(matches!(bare.open(&put.digest), Err(StoreError::Keys(_))));
    assert_eq!(store.put_bytes(b"a private matter").unwrap(), put);
    assert_eq!(fs::read(store.place(&put.digest)).unwrap(), lies, "what is there is not stored twice");
}

#[test]
fn directories_are_sealed_laid_out_and_transferred() {
    let place = Place::new();
    let (from, to) = (place.store("from"), place.store("to"));
    let source = place.folder.path().join("work");
    fs::create_dir_all(source.join("out/sub")).unwrap();
    fs::write(source.join("out/sub/a"), vec![7; 5 << 20]).unwrap();
    fs::write(source.join("out/b"), "b").unwrap();
    let (put, kind) = from.take(&source, "out", Taking::Link).unwrap();
    assert_eq!(kind, ArtifactKind::Directory);
    let moved = transfer(&from, &to, &put.digest, &mut crate::to_the_end).unwrap();
    assert_eq!(moved, (5 << 20) + 1 + from.size(&put.digest).unwrap());
    let artifact = ArtifactRef { digest: put.digest, size: put.size, kind, name: "out".into() };
    let laid = place.folder.path().join("laid");
    to.lay_out(&artifact, &laid).unwrap();
    assert_eq!(fs::read(laid.join("sub/a")).unwrap(), vec![7; 5 << 20]);
    assert_ne!(fs::read(from.place(&Digest::of(b"b"))).unwrap(), fs::read(to.place(&Digest::of(b"b"))).unwrap());
}

#[test]
fn what_was_changed_is_found_out_and_set_aside() {
    let place = Place::new();
    let store = place.store("s");
    let artifact = |digest| ArtifactRef { digest, size: 3, kind: ArtifactKind::File, name: "f".into() };
    let other = store.put_bytes(b"xyz").unwrap().digest;
    let sealed_other = fs::read(store.place(&other)).unwrap();
    let attacks: [(&str, fn(&[u8], &[u8]) -> Vec<u8>); 5] = [
        ("a byte of the content", |own, _| {
            own.iter().enumerate().map(|(at, byte)| if at == 33 { byte ^ 1 } else { *byte }).collect()
        }),
        ("cut off", |own, _| own[..own.len() - 1].to_vec()),
        ("nothing left", |_, _| Vec::new()),
        ("the sealed file of another", |_, other| other.to_vec()),
        ("an open file", |_, _| b"abX".to_vec()),
    ];
    for (what, attack) in attacks {
        let put = store.put_bytes(b"abc").unwrap();
        let own = fs::read(store.place(&put.digest)).unwrap();
        put_in_place(&store, &put.digest, &attack(&own, &sealed_other));
        let laid = place.folder.path().join("laid");
        let refused = store.lay_out(&artifact(put.digest), &laid).unwrap_err();
        assert!(matches!(refused, StoreError::Tampered(_) | StoreError::Damaged { .. }), "{what}: {refused}");
        assert!(!laid.exists() && !store.has(&put.digest), "{what}: nothing of it is given out");
        let (again, to) = (store.put_bytes(b"abc").unwrap(), place.store("to"));
        put_in_place(&store, &again.digest, &attack(&own, &sealed_other));
        assert!(transfer(&store, &to, &again.digest, &mut crate::to_the_end).is_err(), "{what}");
        assert!(!to.has(&again.digest), "{what}");
    }
}

#[test]
fn what_lay_open_before_there_were_keys_is_read_and_looked_at() {
    let place = Place::new();
    let before = Store::open_at(place.folder.path().join("s")).unwrap();
    let (old, other) = (before.put_bytes(b"old").unwrap().digest, before.put_bytes(b"other").unwrap().digest);
    let store = place.store("s");
    assert_eq!(text(&store, &old).unwrap(), "old");
    put_in_place(&store, &other, b"forged");
    assert!(matches!(store.open(&other), Err(StoreError::Damaged { .. })));
    let to = place.store("to");
    transfer(&store, &to, &old, &mut crate::to_the_end).unwrap();
    assert_eq!(text(&to, &old).unwrap(), "old");
    assert!(fs::read(to.place(&old)).unwrap().len() > 3, "it is sealed where it comes");
}

/// Somebody stores what is being erased: what they have stored is there afterwards.
#[test]
fn what_is_stored_while_it_is_erased_is_there_afterwards() {
    let place = Place::new();
    let store = place.store("s");
    let digest = store.held_by(Holder::Run(1)).put_bytes(b"shared").unwrap().digest;
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let erasing = place.keys.erasing();
        assert_eq!(place.keys.destroy_runs(&[1]).unwrap(), [digest]);
        let second = store.held_by(Holder::Run(2));
        let storing = scope.spawn(move || {
            second.put_bytes(b"shared").unwrap();
            let _ = told.send(());
        });
        assert!(tells.recv_timeout(std::time::Duration::from_millis(200)).is_err(), "it waits until all is erased");
        store.remove(&digest).unwrap();
        drop(erasing);
        storing.join().unwrap();
    });
    assert_eq!(text(&store, &digest).unwrap(), "shared");
}

#[test]
fn what_was_erased_says_so_and_can_be_brought_again() {
    let place = Place::new();
    let store = place.store("s");
    let (first, second) = (store.held_by(Holder::Run(1)), store.held_by(Holder::Run(2)));
    let (own, shared) = (first.put_bytes(b"own").unwrap().digest, first.put_bytes(b"shared").unwrap().digest);
    second.put_bytes(b"shared").unwrap();
    assert_eq!(place.keys.destroy_runs(&[1]).unwrap(), [own]);
    assert!(matches!(store.open(&own), Err(StoreError::Erased(digest)) if digest == own));
    assert_eq!(text(&store, &shared).unwrap(), "shared");
    store.remove(&own).unwrap();
    assert!(matches!(store.open(&own), Err(StoreError::Erased(_))), "also when nothing is left of it");
    assert!(matches!(store.open(&Digest::of(b"never")), Err(StoreError::Missing(_))));
    second.put_bytes(b"own").unwrap();
    assert_eq!(text(&store, &own).unwrap(), "own");
    // Also over the remains of what was erased.
    assert_eq!(place.keys.destroy_runs(&[2]).unwrap().len(), 2);
    store.held_by(Holder::Run(3)).put_bytes(b"own").unwrap();
    assert_eq!(text(&store, &own).unwrap(), "own");
}
