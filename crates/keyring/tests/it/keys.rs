use std::path::{Path, PathBuf};

use keyring::{FileKey, Holder, KeyError, Keyring, RUNS_AHEAD, Source, TransitOptions};
use model::Digest;

use crate::engine::{Engine, TOKEN};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self) -> Source {
        Source::File(self.path("keys/key"))
    }

    fn open(&self) -> Keyring {
        Keyring::open(&self.path("keys"), &self.file(), None, None).unwrap()
    }

    fn refused(&self, source: &Source, remembers: Option<&str>) -> KeyError {
        Keyring::open(&self.path("keys"), source, None, remembers).unwrap_err()
    }
}

/// Everything in a folder, to see that nothing of it changed.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    found.sort();
    found.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn sealed(keys: &Keyring, run: u64) -> Vec<u8> {
    keys.run_key(run).unwrap().seal(b"x", b"value").unwrap()
}

fn opens(keys: &Keyring, run: u64, sealed: &[u8]) -> bool {
    keys.run_key(run).is_ok_and(|key| key.open(b"x", sealed, "it").is_ok_and(|value| &value[..] == b"value"))
}

#[test]
fn keys_come_back_after_a_restart_and_each_run_has_its_own() {
    let place = Place::new();
    let keys = place.open();
    let (one, name) = (sealed(&keys, 1), keys.name());
    assert!(opens(&keys, 1, &one) && !opens(&keys, 2, &one), "the key of another run does not open it");
    drop(keys);
    let keys = Keyring::open(&place.path("keys"), &place.file(), None, Some(&name)).unwrap();
    assert!(opens(&keys, 1, &one));
    let far = sealed(&keys, 3 * RUNS_AHEAD);
    assert!(opens(&keys, 3 * RUNS_AHEAD, &far));
    assert_eq!(keys.status().unwrap().run_keys, 4 * RUNS_AHEAD);
}

#[test]
fn lost_and_foreign_keys_are_told_and_nothing_is_overwritten() {
    let place = Place::new();
    let (name, one) = {
        let keys = place.open();
        (keys.name(), sealed(&keys, 1))
    };
    let key = std::fs::read(place.path("keys/key")).unwrap();
    // The key file is lost.
    std::fs::remove_file(place.path("keys/key")).unwrap();
    let before = contents(&place.path("keys"));
    assert!(matches!(place.refused(&place.file(), Some(&name)), KeyError::NoKeyFile(_)));
    assert!(matches!(place.refused(&place.file(), None), KeyError::NoKeyFile(_)));
    assert!(!place.path("keys/key").exists());
    // Another key file is put in its place.
    let other = Place::new();
    drop(other.open());
    std::fs::copy(other.path("keys/key"), place.path("keys/key")).unwrap();
    assert!(matches!(place.refused(&place.file(), Some(&name)), KeyError::WrongKey(_)));
    std::fs::remove_file(place.path("keys/key")).unwrap();
    std::fs::write(other.path("phrase"), "correct horse battery\n").unwrap();
    let phrase = Source::PassphraseFile(other.path("phrase"));
    assert!(matches!(place.refused(&phrase, Some(&name)), KeyError::WrongKey(_)));
    let after: Vec<_> =
        contents(&place.path("keys")).into_iter().filter(|(path, _)| !path.to_string_lossy().contains("-")).collect();
    assert_eq!(after, before.into_iter().filter(|(path, _)| !path.to_string_lossy().contains("-")).collect::<Vec<_>>());
    // All keys are lost, or they are those of another directory.
    std::fs::rename(place.path("keys"), place.path("away")).unwrap();
    assert!(matches!(place.refused(&place.file(), Some(&name)), KeyError::NoKeys(_)));
    assert!(!place.path("keys").exists(), "nothing is made in the place of what is lost");
    let error = Keyring::open(&other.path("keys"), &other.file(), None, Some(&name)).unwrap_err();
    assert!(matches!(error, KeyError::ForeignKeys(_)));
    // With everything back in its place it goes on.
    std::fs::rename(place.path("away"), place.path("keys")).unwrap();
    std::fs::write(place.path("keys/key"), key).unwrap();
    std::fs::set_permissions(place.path("keys/key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(opens(&place.open(), 1, &one));
}

#[test]
fn rotation_wraps_anew_and_what_was_sealed_stays() {
    let place = Place::new();
    let keys = place.open();
    let (one, two) = (sealed(&keys, 1), sealed(&keys, 2));
    let file = FileKey::new().unwrap();
    keys.keep_files(&[(file.clone(), Digest::of(b"f"))], Holder::Run(1)).unwrap();
    let copy = place.path("copy");
    keys.copy_to(&copy).unwrap();
    let old = std::fs::read(place.path("keys/key")).unwrap();
    keys.destroy_runs(&[2]).unwrap();
    let rotated = keys.rotate().unwrap();
    assert_eq!((rotated.run_keys, rotated.file_keys), (RUNS_AHEAD, 1));
    assert_eq!(keys.status().unwrap().roots, 1);
    assert!(opens(&keys, 1, &one) && !opens(&keys, 2, &two));
    drop(keys);
    let keys = place.open();
    assert!(opens(&keys, 1, &one));
    assert_eq!(keys.file_key(&file.number).unwrap().1, Digest::of(b"f"));
    // The new key file does not open a copy of the old keys, nor the old file the new keys.
    std::fs::copy(place.path("keys/key"), copy.join("key")).unwrap();
    let error = Keyring::open(&copy, &Source::File(copy.join("key")), None, None).unwrap_err();
    assert!(matches!(error, KeyError::WrongKey(_)));
    std::fs::write(place.path("keys/key"), old).unwrap();
    assert!(matches!(place.refused(&place.file(), None), KeyError::WrongKey(_)));
}

/// Two people rotate at once: what one of them ends with is what the other one still wraps keys under.
#[test]
fn rotations_at_once_lose_no_key() {
    let place = Place::new();
    let keys = place.open();
    let one = sealed(&keys, 1);
    let file = FileKey::new().unwrap();
    keys.keep_files(&[(file.clone(), Digest::of(b"f"))], Holder::Run(1)).unwrap();
    for _ in 0..5 {
        let ended: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| keys.rotate())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ended.iter().all(|ended| matches!(ended, Ok(_) | Err(KeyError::Rotating))), "{ended:?}");
        assert!(ended.iter().any(Result::is_ok), "{ended:?}");
        let again = place.open();
        assert!(opens(&again, 1, &one) && again.status().unwrap().roots == 1);
        assert_eq!(again.file_key(&file.number).unwrap().1, Digest::of(b"f"));
    }
}

#[test]
fn a_file_is_erased_with_the_last_run_that_holds_it() {
    let place = Place::new();
    let keys = place.open();
    let (shared, own, kept, brought) = (Digest::of(b"shared"), Digest::of(b"own"), Digest::of(b"kept"), Digest::of(b"brought"));
    let mut files = Vec::new();
    for (digest, holder) in [
        (shared, Holder::Run(1)),
        (own, Holder::Run(1)),
        (kept, Holder::Kept),
        (kept, Holder::Run(1)),
        (brought, Holder::Unclaimed),
    ] {
        let file = FileKey::new().unwrap();
        keys.keep_files(&[(file.clone(), digest)], holder).unwrap();
        files.push(file.number);
    }
    keys.hold(&[shared], Holder::Run(2)).unwrap();
    keys.claim(&[brought], 1).unwrap();
    let one = sealed(&keys, 1);
    let mut gone = keys.destroy_runs(&[1]).unwrap();
    gone.sort();
    let mut wanted = vec![own, brought];
    wanted.sort();
    assert_eq!(gone, wanted);
    assert!(!opens(&keys, 1, &one));
    assert!(keys.run_key(1).unwrap_err().is_erased());
    assert!(keys.file_key(&files[0]).is_ok() && keys.file_key(&files[2]).is_ok() && keys.file_key(&files[3]).is_ok());
    assert!(keys.file_key(&files[1]).unwrap_err().is_erased() && keys.file_key(&files[4]).unwrap_err().is_erased());
    assert_eq!(keys.destroy_runs(&[1]).unwrap(), []);
    assert_eq!(keys.destroy_runs(&[2]).unwrap(), [shared]);
    drop(keys);
    assert!(place.open().run_key(1).unwrap_err().is_erased(), "a restart makes no new key for it");
}

#[test]
fn what_a_holder_lets_go_goes_when_nobody_else_has_it() {
    let place = Place::new();
    let keys = place.open();
    let [own, shared, old, brought] = [b"own", b"shd", b"old", b"brt"].map(|bytes| Digest::of(bytes));
    let files: Vec<[u8; 16]> = [own, shared, old, brought]
        .map(|digest| {
            let file = FileKey::new().unwrap();
            let holder = if digest == old { Holder::Kept } else { Holder::Unclaimed };
            keys.keep_files(&[(file.clone(), digest)], holder).unwrap();
            file.number
        })
        .into();
    keys.claim_all(&[(1, vec![own, shared]), (2, vec![shared])]).unwrap();
    assert_eq!(keys.hold_only(&[own, shared, brought], Holder::Standing).unwrap(), []);
    assert!(keys.holds_any(&[own], Holder::Standing).unwrap() && keys.is_holder(Holder::Standing).unwrap());
    assert_eq!(keys.destroy_runs(&[1]).unwrap(), [], "a trigger has what the run alone had");
    assert_eq!(keys.holders(&shared, 10).unwrap(), [2]);
    assert_eq!(keys.hold_only(&[], Holder::Standing).unwrap(), [own], "what was brought and never taken stays");
    assert_eq!(keys.let_go(&[shared, brought, old], Holder::Kept).unwrap(), [old]);
    assert!(!keys.is_holder(Holder::Standing).unwrap());
    let opens = |number: usize| keys.file_key(&files[number]).is_ok();
    assert_eq!([opens(0), opens(1), opens(2), opens(3)], [false, true, false, true]);
}

#[test]
fn no_key_lies_open_in_the_folder() {
    let place = Place::new();
    let keys = place.open();
    let file = FileKey::new().unwrap();
    keys.keep_files(&[(file.clone(), Digest::of(b"f"))], Holder::Kept).unwrap();
    let sealed = file.key.seal(b"", b"").unwrap();
    drop(keys);
    // A key that opens what the file's key sealed is nowhere among all bytes of the folder.
    let all: Vec<u8> = contents(&place.path("keys")).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(all.len() > 1_000 && sealed.len() == 28);
    let mode =
        |name: &str| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(place.path(name)).unwrap().permissions()) & 0o777;
    assert_eq!((mode("keys"), mode("keys/keys.db"), mode("keys/key")), (0o700, 0o600, 0o600));
}

fn transit(place: &Place, engine: &Engine) -> Source {
    let token = place.path("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    Source::Transit(TransitOptions {
        address: engine.address.clone(),
        mount: "transit".into(),
        key: "tutti".into(),
        token,
        namespace: None,
        ca: None,
    })
}

#[test]
fn a_transit_engine_wraps_root_keys_and_is_asked_for_nothing_else() {
    let (place, engine) = (Place::new(), Engine::start());
    let source = transit(&place, &engine);
    let open = || Keyring::open(&place.path("keys"), &source, None, None);
    let keys = open().unwrap();
    let one = sealed(&keys, 1);
    for run in 2..100 {
        sealed(&keys, run);
    }
    drop(keys);
    let keys = open().unwrap();
    assert!(opens(&keys, 1, &one));
    // To wrap the first root key, and to unwrap it at each opening.
    assert_eq!(engine.asked.lock().unwrap().len(), 3);
    keys.rotate().unwrap();
    assert!(opens(&keys, 1, &one));
    drop(keys);
    assert!(opens(&open().unwrap(), 1, &one));
    std::fs::write(place.path("token"), "other").unwrap();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("403: permission denied") && !refused.contains("other"), "{refused}");
    let other = Engine::start();
    assert!(matches!(place.refused(&transit(&place, &other), None), KeyError::WrongKey(_)));
    let nobody = Source::Transit(TransitOptions {
        address: "http://127.0.0.1:1".into(),
        ..match source {
            Source::Transit(options) => options,
            _ => panic!(),
        }
    });
    assert!(place.refused(&nobody, None).to_string().contains("cannot be reached"));
}

#[test]
fn a_passphrase_opens_the_keys_it_made() {
    let place = Place::new();
    std::fs::write(place.path("phrase"), "correct horse battery\n").unwrap();
    let source = Source::PassphraseFile(place.path("phrase"));
    let open = || Keyring::open(&place.path("keys"), &source, None, None);
    let one = sealed(&open().unwrap(), 1);
    assert!(opens(&open().unwrap(), 1, &one));
    std::fs::write(place.path("phrase"), "correct horse batteries\n").unwrap();
    assert!(matches!(open(), Err(KeyError::WrongKey(_))));
}

#[test]
fn keys_move_from_a_key_file_to_a_transit_engine() {
    let (place, engine) = (Place::new(), Engine::start());
    let one = sealed(&place.open(), 1);
    let (old, new) = (place.file(), transit(&place, &engine));
    assert!(matches!(place.refused(&new, None), KeyError::WrongKey(_)));
    let moved = Keyring::open(&place.path("keys"), &new, Some(&old), None).unwrap();
    assert!(opens(&moved, 1, &one));
    drop(moved);
    assert!(opens(&Keyring::open(&place.path("keys"), &new, None, None).unwrap(), 1, &one));
    assert!(matches!(place.refused(&old, None), KeyError::WrongKey(_)));
}
