//! What objects are sealed under where the data directory has keys: what lies below a run, under the key of that run, so that it goes with it;
//! inputs that were sent for runs, under keys of their own, which go with the last run that holds them; all else under one key of the store. Every
//! object is sealed as the one of its name; those of earlier servers are not, and open under any name until they are written again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use keyring::{Content, FileKey, HEAD_BYTES, Holder, Keyring, ReadAt, SealedReader, SealedWriter, sealed_head};
use model::Digest;

use crate::objects::{digest_of_inputs, inputs_of};

/// What the number of a run's key begins with in the head of a file. Numbers of other keys are random.
const RUN: &[u8; 8] = b"\0run\0\0\0\0";
/// The folder below which objects of runs lie.
const RUNS: &str = "runs/";
/// What the keyring knows the key of the store by.
const STORE: &[u8] = b"objects of Flyte tasks";

/// The number of the run of a project, a domain and a name; none when there is no such run.
pub type RunOf = Arc<dyn Fn(&str, &str, &str) -> Option<u64> + Send + Sync>;

/// Seals and opens objects. Cheap to clone.
#[derive(Clone)]
pub struct Seals {
    keys: Keyring,
    run_of: RunOf,
    store: Arc<OnceLock<FileKey>>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seals").finish_non_exhaustive()
    }
}

impl Seals {
    /// Seals with the keys of a data directory; `run_of` tells runs by where they are and their names.
    pub fn new(keys: Keyring, run_of: RunOf) -> Seals {
        Seals { keys, run_of, store: Arc::default() }
    }

    /// Copies what is to be the object `key`, or something on the way to it, to a file, sealed as `what`.
    pub(crate) fn write(&self, (key, what): (&str, &[u8]), root: &Path, source: &mut dyn Read, file: File) -> io::Result<File> {
        let (number, key) = match self.run(key) {
            Some(run) => (number_of(run), self.keys.run_key(run).map_err(refused)?),
            None if inputs_of(key).is_some() => {
                let own = FileKey::new().map_err(refused)?;
                let _storing = self.keys.storing();
                self.keys.keep_files(&[(own.clone(), digest_of_inputs(key))], Holder::Unclaimed).map_err(refused)?;
                (own.number, own.key)
            }
            None => self.of_store(root).map(|own| (own.number, own.key))?,
        };
        let mut writer = SealedWriter::of(file, what, number, key)?;
        io::copy(source, &mut writer)?;
        writer.flush()?;
        writer.finish()
    }

    /// Opens something sealed that is `what`. One whose run was erased is not found.
    pub(crate) fn open(&self, mut file: impl ReadAt + 'static, what: &[u8]) -> io::Result<Content> {
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "an object is damaged: it is not what was sealed");
        let number = sealed_head(&head).ok_or_else(damaged)?;
        let key = match number.strip_prefix(RUN) {
            Some(run) => self.keys.run_key(u64::from_be_bytes(run.try_into().map_err(|_| damaged())?)).map_err(refused)?,
            None => self.keys.file_key(&number).map_err(refused)?.0,
        };
        SealedReader::of(file, what, key).map(Content::sealed).map_err(refused)
    }

    /// The run below whose folder a key lies: `runs/PROJECT/DOMAIN/NAME/…`.
    fn run(&self, key: &str) -> Option<u64> {
        let mut parts = key.strip_prefix(RUNS)?.split('/');
        let [project, domain, name] = [parts.next()?, parts.next()?, parts.next()?];
        parts.next()?;
        (self.run_of)(project, domain, name)
    }

    /// The key of the store, which is made when it is first needed. Its number lies beside the objects.
    fn of_store(&self, root: &Path) -> io::Result<FileKey> {
        if let Some(own) = self.store.get() {
            return Ok(own.clone());
        }
        let place = root.join("sealed-with");
        let own = match fs::read(&place) {
            Ok(bytes) => {
                let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, "the number of the store's key is damaged");
                let number: [u8; 16] = bytes.as_slice().try_into().map_err(damaged)?;
                FileKey { number, key: self.keys.file_key(&number).map_err(refused)?.0 }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let own = FileKey::new().map_err(refused)?;
                self.keys.keep_files(&[(own.clone(), Digest::of(STORE))], Holder::Kept).map_err(refused)?;
                let beside = place.with_extension("new");
                fs::write(&beside, own.number)?;
                File::open(&beside)?.sync_all()?;
                fs::rename(&beside, &place)?;
                own
            }
            Err(error) => return Err(error),
        };
        // Of two that came at once one stays; what the other sealed names its own key.
        Ok(self.store.get_or_init(|| own).clone())
    }
}

fn number_of(run: u64) -> [u8; 16] {
    let mut number = [0; 16];
    number.iter_mut().zip(RUN.iter().chain(&run.to_be_bytes())).for_each(|(to, from)| *to = *from);
    number
}

fn refused(error: keyring::KeyError) -> io::Error {
    let kind = if error.is_erased() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use keyring::Source;

    use super::*;
    use crate::objects::Objects;

    const SECRET: &[u8] = b"Ada, born 1815, insured under 4711";

    fn keyring(folder: &Path) -> Keyring {
        Keyring::open(&folder.join("keys"), &Source::File(folder.join("keys/key")), None, None).unwrap()
    }

    fn seals(keys: &Keyring) -> Option<Seals> {
        let run_of = |project: &str, _: &str, name: &str| match (project, name) {
            ("p", "one") => Some(1),
            ("p", "two") => Some(2),
            ("q", "one") => Some(3),
            _ => None,
        };
        Some(Seals::new(keys.clone(), Arc::new(run_of)))
    }

    /// Every byte of every file below a folder.
    fn on_disk(folder: &Path) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            all.extend(if path.is_dir() { on_disk(&path) } else { fs::read(&path).unwrap() });
        }
        all
    }

    fn holds(all: &[u8], wanted: &[u8]) -> bool {
        all.windows(wanted.len()).any(|window| window == wanted)
    }

    #[test]
    fn nothing_lies_open_and_everything_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keyring(folder.path());
        let root = folder.path().join("store");
        let objects = Objects::open(&root, seals(&keys)).unwrap();
        let large: Vec<u8> = SECRET.iter().copied().cycle().take(200_000).collect();
        for key in ["runs/p/d/one/a0/outputs.pb", "runs/p/d/nobody/a0/x", "inputs/1/inputs.pb"] {
            objects.put(key, &large).unwrap();
            assert_eq!(objects.head(key).unwrap().size, 200_000);
            assert_eq!(objects.get(key).unwrap(), large, "{key}");
            let (mut part, mut content) = (Vec::new(), objects.open_at(key, 150_001).unwrap());
            content.seek(io::SeekFrom::Current(10)).unwrap();
            content.take(20).read_to_end(&mut part).unwrap();
            assert_eq!(part, large[150_011..150_031]);
        }
        objects.begin_upload("inputs/2/big", "u").unwrap();
        objects.put_part("inputs/2/big", "u", 1, &mut &SECRET[..]).unwrap();
        assert!(!holds(&on_disk(&root), SECRET), "neither objects nor parts of one lie open");
        objects.put_part("inputs/2/big", "u", 2, &mut &SECRET[..]).unwrap();
        assert_eq!(objects.finish_upload("inputs/2/big", "u", &[1, 2]).unwrap().size, 2 * SECRET.len() as u64);
        objects.put("empty", b"").unwrap();
        assert_eq!(objects.get("empty").unwrap(), b"");
        // Another server with the same keys.
        let again = Objects::open(&root, seals(&keys)).unwrap();
        again.put("inputs/3/inputs.pb", SECRET).unwrap();
        assert_eq!(again.get("inputs/2/big").unwrap(), [SECRET, SECRET].concat());
        assert_eq!(again.list("inputs/", false, "", 10).unwrap().objects.len(), 3);
        // Without keys nothing is made up.
        assert!(Objects::open(&root, None).unwrap().get("inputs/2/big").is_err());
    }

    #[test]
    fn what_was_open_stays_readable_and_is_sealed_when_it_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        Objects::open(&root, None).unwrap().put("runs/p/d/one/x", SECRET).unwrap();
        let objects = Objects::open(&root, seals(&keyring(folder.path()))).unwrap();
        assert_eq!(objects.get("runs/p/d/one/x").unwrap(), SECRET);
        objects.put("runs/p/d/one/x", SECRET).unwrap();
        assert!(!holds(&on_disk(&root), SECRET));
        assert_eq!(objects.list("", false, "", 10).unwrap().objects.len(), 1);
        objects.delete("runs/p/d/one/x").unwrap();
        assert!(objects.get("runs/p/d/one/x").is_err());
    }

    #[test]
    fn what_a_run_wrote_goes_with_its_key_and_copies_of_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keyring(folder.path());
        let objects = Objects::open(folder.path().join("store"), seals(&keys)).unwrap();
        objects.put("runs/p/d/one/a0/1/outputs.pb", SECRET).unwrap();
        objects.put("runs/p/d/two/a0/1/outputs.pb", SECRET).unwrap();
        // Of the same name, in another project.
        objects.put("runs/q/d/one/a0/1/outputs.pb", SECRET).unwrap();
        keys.destroy_runs(&[1]).unwrap();
        let gone = objects.get("runs/p/d/one/a0/1/outputs.pb").unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        assert!(objects.put("runs/p/d/one/a0/1/late", SECRET).is_err(), "nothing is written for it any more");
        assert_eq!(objects.get("runs/p/d/two/a0/1/outputs.pb").unwrap(), SECRET);
        assert_eq!(objects.get("runs/q/d/one/a0/1/outputs.pb").unwrap(), SECRET);
        objects.delete_below("runs/p/d/one").unwrap();
        objects.delete_below("runs/p/d/one").unwrap();
        assert_eq!(objects.list("runs/", false, "", 10).unwrap().objects.len(), 2);
    }

    #[test]
    fn one_object_is_not_taken_for_another_and_earlier_ones_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, root) = (keyring(folder.path()), folder.path().join("store"));
        let objects = Objects::open(&root, seals(&keys)).unwrap();
        for key in ["runs/p/d/one/a0/1/outputs.pb", "runs/p/d/one/a1/1/outputs.pb", "x", "y"] {
            objects.put(key, key.as_bytes()).unwrap();
        }
        let place = |key: &str| root.join(format!("objects/{}~", key.replace('/', "+/")));
        for (one, other) in [("runs/p/d/one/a0/1/outputs.pb", "runs/p/d/one/a1/1/outputs.pb"), ("x", "y")] {
            fs::copy(place(one), place(other)).unwrap();
            assert_eq!(objects.get(one).unwrap(), one.as_bytes());
            assert_eq!(objects.get(other).unwrap_err().kind(), io::ErrorKind::InvalidData, "{other}");
        }
        // A part of an upload is none either, nor another part.
        objects.begin_upload("big", "u").unwrap();
        objects.put_part("big", "u", 1, &mut &b"one"[..]).unwrap();
        objects.put_part("big", "u", 2, &mut &b"two"[..]).unwrap();
        fs::copy(root.join("parts/u/00000001"), root.join("parts/u/00000002")).unwrap();
        assert!(objects.finish_upload("big", "u", &[1, 2]).is_err());
        fs::copy(root.join("parts/u/00000001"), place("big")).unwrap();
        assert!(objects.get("big").is_err());
        // As an earlier server wrote it.
        let mut writer = SealedWriter::new(File::create(place("y")).unwrap(), number_of(1), keys.run_key(1).unwrap()).unwrap();
        writer.write_all(SECRET).unwrap();
        writer.finish().unwrap();
        assert_eq!(objects.get("y").unwrap(), SECRET);
    }

    #[test]
    fn inputs_go_with_the_last_run_that_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keyring(folder.path());
        let objects = Objects::open(folder.path().join("store"), seals(&keys)).unwrap();
        let (own, shared) = ("inputs/p/d/1/inputs.pb", "inputs/p/d/2/inputs.pb");
        for key in [own, shared] {
            objects.put(key, SECRET).unwrap();
        }
        keys.claim(&[digest_of_inputs(own), digest_of_inputs(shared)], 1).unwrap();
        keys.claim(&[digest_of_inputs(shared)], 2).unwrap();
        assert_eq!(keys.destroy_runs(&[1]).unwrap(), [digest_of_inputs(own)]);
        assert_eq!(objects.get(own).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(objects.get(shared).unwrap(), SECRET);
        keys.destroy_runs(&[2]).unwrap();
        assert_eq!(objects.get(shared).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_changed_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let objects = Objects::open(&root, seals(&keyring(folder.path()))).unwrap();
        objects.put("x", SECRET).unwrap();
        let place = root.join("objects/x~");
        let whole = fs::read(&place).unwrap();
        for at in [0, 9, 20, 30, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&place, changed).unwrap();
            assert!(objects.get("x").is_err(), "byte {at}");
        }
        fs::write(&place, &whole[..whole.len() - 1]).unwrap();
        assert!(objects.get("x").is_err());
    }
}
