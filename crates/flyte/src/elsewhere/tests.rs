use std::io::Read as _;
use std::sync::Arc;

use keyring::{Keyring, Source};
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::bucket::stand_in::{StandIn, Wrong};
use crate::seals::Seals;
use crate::{Away, Bucket, Buckets, Objects, away};

const LARGE: usize = (1 << 20) + 5;

/// What sites name, which changes.
#[derive(Clone, Default)]
struct Named(Arc<Mutex<Option<Bucket>>>);

impl Buckets for Named {
    fn of(&self, site: &str) -> std::io::Result<Option<Bucket>> {
        Ok(self.0.lock().clone().filter(|_| site == "clinic"))
    }
}

struct Rig {
    folder: tempfile::TempDir,
    keys: Option<Keyring>,
    named: Named,
    store: StandIn,
}

impl Rig {
    fn new(is_sealed: bool) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let keys = is_sealed.then(|| Keyring::open(&keys, &Source::File(keys.join("key")), None, None).unwrap());
        let (named, store) = (Named::default(), StandIn::new());
        *named.0.lock() = Some(store.bucket());
        Rig { folder, keys, named, store }
    }

    /// The objects as a server has them that was just started, of the site that has the store.
    fn objects(&self) -> Objects {
        let seals = self.keys.clone().map(|keys| Seals::new(keys, Arc::new(|_: &str, _: &str, name: &str| name.parse().ok())));
        let objects = Objects::open(self.folder.path().join("store"), seals).unwrap();
        objects.with_stores(Arc::new(self.named.clone())).unwrap().of_site("clinic")
    }

    /// Bytes that lie here.
    fn here(&self) -> u64 {
        fn sum(folder: &std::path::Path) -> u64 {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            entries.map(|entry| if entry.path().is_dir() { sum(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
        }
        sum(&self.folder.path().join("store"))
    }
}

fn large(seed: u8) -> Vec<u8> {
    (0..LARGE).map(|index| (index % 251) as u8 ^ seed).collect()
}

fn part(objects: &Objects, key: &str, from: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    objects.open_at(key, from).unwrap().take(count).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn large_objects_lie_in_the_store_of_the_site_and_come_from_there() {
    for is_sealed in [true, false] {
        let rig = Rig::new(is_sealed);
        let objects = rig.objects();
        let key = "runs/p/d/7/a0/1/model.bin";
        let meta = objects.put(key, &large(0)).unwrap();
        assert!(meta.is_elsewhere && meta.size == LARGE as u64);
        assert!(rig.here() < 4_096, "nothing of it is kept here");
        let kept = rig.store.state.lock().objects.values().next().unwrap().clone();
        assert_eq!(kept != large(0), is_sealed, "it lies there as it would lie here");
        // Another server on the same data, without anything in memory.
        let objects = rig.objects();
        assert_eq!(objects.get(key).unwrap(), large(0));
        assert_eq!(objects.list("runs/", false, "", 10).unwrap().objects, [objects.head(key).unwrap()]);
        rig.store.state.lock().given = 0;
        assert_eq!(part(&objects, key, 700_001, 50), large(0)[700_001..700_051]);
        assert!(rig.store.state.lock().given <= 600_000, "not all of it is read");
        // Small ones, documents and those of other sites lie here.
        objects.put("small", b"x").unwrap();
        objects.put("runs/p/d/7/a0/1/outputs.pb", &large(1)).unwrap();
        objects.of_site("other").put("other", &large(2)).unwrap();
        assert_eq!(rig.store.names().len(), 1);
        // What comes in parts does too.
        objects.begin_upload("parts", "u").unwrap();
        for (number, bytes) in large(3).chunks(500_000).enumerate() {
            objects.put_part("parts", "u", number as u32 + 1, &mut &*bytes).unwrap();
        }
        assert!(objects.finish_upload("parts", "u", &[1, 2, 3]).unwrap().is_elsewhere);
        assert_eq!(objects.get("parts").unwrap(), large(3));
    }
}

#[test]
fn what_is_replaced_or_removed_is_removed_there() {
    let rig = Rig::new(true);
    let objects = rig.objects();
    objects.put("a", &large(0)).unwrap();
    objects.put("a", &large(1)).unwrap();
    assert_eq!((rig.store.names().len(), objects.get("a").unwrap()), (1, large(1)));
    objects.put("a", b"small").unwrap();
    assert_eq!((rig.store.names().len(), objects.get("a").unwrap()), (0, b"small".to_vec()));
    objects.put("a", &large(2)).unwrap();
    assert_eq!(objects.get("a").unwrap(), large(2));
    objects.delete("a").unwrap();
    objects.delete("a").unwrap();
    assert!(objects.head("a").is_err() && rig.store.names().is_empty());
    for key in ["runs/p/d/7/a0/1/x", "runs/p/d/7/a1/1/x", "runs/p/d/8/a0/1/x"] {
        objects.put(key, &large(0)).unwrap();
    }
    objects.delete_below("runs/p/d/7").unwrap();
    objects.delete_below("runs/p/d/7").unwrap();
    assert_eq!((rig.store.names().len(), objects.owed().unwrap()), (1, 0));
}

#[test]
fn a_store_that_is_away_loses_nothing_and_keeps_nothing_for_ever() {
    let rig = Rig::new(true);
    let objects = rig.objects();
    objects.put("runs/p/d/7/a0/1/x", &large(0)).unwrap();
    objects.put("runs/p/d/8/a0/1/x", &large(1)).unwrap();
    let state = rig.store.state.clone();
    let Rig { folder, keys, named, store } = rig;
    drop(store);
    // A server starts without it; what lies here is read, and what is asked of it is told as what it is.
    let rig = Rig { folder, keys, named, store: StandIn::with(state.clone()) };
    let objects = rig.objects();
    objects.put("small", b"x").unwrap();
    for error in [objects.get("runs/p/d/7/a0/1/x").unwrap_err(), objects.put("new", &large(2)).unwrap_err()] {
        assert_eq!(away(&error).map(|away| away.site.as_str()), Some("clinic"), "{error}");
    }
    assert_eq!(objects.head("runs/p/d/7/a0/1/x").unwrap().size, LARGE as u64);
    assert!(objects.head("new").is_err());
    // What is erased is erased: its key is destroyed, its place is gone, and that it lies there is remembered.
    objects.delete_below("runs/p/d/7").unwrap();
    rig.keys.as_ref().unwrap().destroy_runs(&[7]).unwrap();
    assert!(objects.head("runs/p/d/7/a0/1/x").is_err());
    let (left, why) = rig.objects().pay().unwrap();
    assert!(left == 2 && why.is_some_and(|Away { why, .. }| !why.is_empty()), "what was erased, and what did not get there");
    // It is back, at the address that objects know.
    let url = rig.store.spec.url.clone();
    let known = rig.named.0.lock().clone().unwrap().url().to_owned();
    assert_ne!(url, known);
    rewrite(&rig.folder.path().join("store"), &known, &url);
    *rig.named.0.lock() = Some(rig.store.bucket());
    let objects = rig.objects();
    assert_eq!(objects.pay().unwrap(), (0, None));
    assert_eq!((objects.owed().unwrap(), rig.store.names().len()), (0, 1));
    assert_eq!(objects.get("runs/p/d/8/a0/1/x").unwrap(), large(1));
}

/// Says another address in every file: the store of a test that is begun again has another port.
fn rewrite(folder: &std::path::Path, from: &str, to: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rewrite(&path, from, to);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            std::fs::write(&path, text.replace(from, to)).unwrap();
        }
    }
}

#[test]
fn a_site_that_names_another_store_or_none_says_which_is_missing() {
    let rig = Rig::new(true);
    let objects = rig.objects();
    objects.put("a", &large(0)).unwrap();
    let other = StandIn::new();
    *rig.named.0.lock() = Some(other.bucket());
    let error = objects.get("a").unwrap_err();
    assert!(away(&error).is_some_and(|away| away.why.contains(&other.spec.url) && away.url == rig.store.spec.url), "{error}");
    objects.put("b", &large(1)).unwrap();
    assert_eq!(other.names().len(), 1);
    *rig.named.0.lock() = None;
    assert!(objects.get("a").unwrap_err().to_string().contains("names no store any more"));
    objects.put("c", &large(2)).unwrap();
    assert_eq!(objects.get("c").unwrap(), large(2), "it lies here");
    *rig.named.0.lock() = Some(rig.store.bucket());
    assert_eq!(objects.get("a").unwrap(), large(0));
}

#[test]
fn what_a_killed_server_left_on_the_way_is_found_by_the_next() {
    let rig = Rig::new(true);
    let objects = rig.objects();
    objects.put("a", &large(0)).unwrap();
    let folder = rig.folder.path().join("store");
    let first = rig.store.names();
    // Killed after the store had it and before it was in its place: the note is left, and the object there is nobody's.
    let note = |folder: &str, key: &str, name: &str| {
        let stub = std::fs::read_to_string(rig.folder.path().join("store/objects/a@")).unwrap();
        let stub = stub.replace(&first[0], name);
        std::fs::write(rig.folder.path().join("store").join(folder).join(name), format!("{{\"key\":\"{key}\",\"what\":{stub}}}"))
            .unwrap();
    };
    let nobodys = "f".repeat(64);
    rig.store.state.lock().objects.insert(nobodys.clone(), b"x".to_vec());
    note("coming", "a", &nobodys);
    // Killed after it was in its place and before that was noted; and before it was removed that was to be.
    note("coming", "a", &first[0]);
    note("owed", "a", &first[0]);
    std::fs::write(folder.join("owed/half.new"), "{").unwrap();
    std::fs::write(folder.join("coming/half"), "{").unwrap();
    let objects = rig.objects();
    assert_eq!((objects.pay().unwrap(), objects.owed().unwrap()), ((0, None), 0));
    assert_eq!((rig.store.names(), objects.get("a").unwrap()), (first, large(0)));
    assert!(std::fs::read_dir(folder.join("coming")).unwrap().next().is_none());
}

fn any_wrong() -> impl Strategy<Value = Option<Wrong>> {
    use Wrong::*;
    let all = vec![Status(403), Status(500), Status(503), Lies, Silent, Half, Other, All];
    prop_oneof![3 => Just(None), 2 => proptest::sample::select(all).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the store answers: what was acknowledged is read as it was written or not at all, nothing else is ever read, and when the store is well
    /// again all of that is there and nothing else is.
    #[test]
    fn whatever_the_store_answers_nothing_is_lost_or_left(
        is_sealed: bool,
        steps in prop::collection::vec((0_u8..4, 0_u8..2, prop::collection::vec(any_wrong(), 0..8)), 1..10),
    ) {
        let rig = Rig::new(is_sealed);
        let objects = rig.objects();
        let mut written: [Option<u8>; 2] = [None, None];
        for (round, (what, which, wrong)) in steps.into_iter().enumerate() {
            let (key, seed) = (format!("runs/p/d/7/a0/1/{which}"), round as u8 + 1);
            rig.store.goes_wrong(wrong);
            let slot = &mut written[usize::from(which)];
            match what {
                0 | 1 => match objects.put(&key, &large(seed)) {
                    Ok(_) => *slot = Some(seed),
                    Err(error) => prop_assert!(away(&error).is_some(), "{}", error),
                },
                2 => {
                    objects.delete(&key).unwrap();
                    *slot = None;
                }
                _ => match (objects.get(&key), *slot) {
                    (Ok(bytes), Some(seed)) => prop_assert!(bytes == large(seed)),
                    (Ok(_), None) => prop_assert!(false, "it was removed"),
                    (Err(error), Some(_)) => prop_assert!(error.kind() != std::io::ErrorKind::NotFound, "{}", error),
                    (Err(error), None) => prop_assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
                },
            }
            rig.store.state.lock().wrong.clear();
        }
        let objects = rig.objects();
        prop_assert_eq!(objects.pay().unwrap(), (0, None));
        let kept = written.iter().flatten().count();
        prop_assert_eq!(rig.store.names().len(), kept);
        for (which, seed) in written.into_iter().enumerate() {
            let read = objects.get(&format!("runs/p/d/7/a0/1/{which}"));
            prop_assert_eq!(read.ok(), seed.map(large));
        }
    }
}
