//! The objects that tasks read and write: files below one folder, by keys with slashes. What is acknowledged survives a power cut.
//! Where there are keys, objects are sealed; those of earlier servers stay open until they are written again.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyring::Content;
use model::Digest;

use crate::listing::Listing;
use crate::seals::Seals;

/// What an object is, to its seal.
pub(crate) fn is_object(key: &str) -> Vec<u8> {
    [&b"object\0"[..], key.as_bytes()].concat()
}

/// What a part of an upload is, to its seal.
fn is_part(key: &str, number: u32) -> Vec<u8> {
    [&b"part\0"[..], &number.to_be_bytes(), key.as_bytes()].concat()
}

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;
/// What keys of inputs begin with that were sent with a call.
pub const INPUTS: &str = "inputs/";
/// Where inputs lie that were sent for a run of a project and domain: `inputs/PROJECT/DOMAIN/NUMBER/inputs.pb`.
pub fn inputs_key(project: &str, domain: &str, number: &str) -> String {
    format!("{INPUTS}{project}/{domain}/{number}/inputs.pb")
}

/// The project, the domain and the number of inputs that were sent for a run. Those that an earlier server kept lie in no project.
pub fn inputs_of(key: &str) -> Option<(&str, &str, &str)> {
    match key.strip_prefix(INPUTS)?.split('/').collect::<Vec<_>>()[..] {
        [project, domain, number, "inputs.pb"] => Some((project, domain, number)),
        [number, "inputs.pb"] => Some(("", "", number)),
        _ => None,
    }
}

/// What the keyring knows the keys of such inputs by: they have keys of their own, which go with the last run that was given them.
pub fn digest_of_inputs(key: &str) -> Digest {
    Digest::of_parts(&[b"inputs of Flyte runs\0", key.as_bytes()])
}

/// What the name of a file ends with that holds an object openly.
pub(crate) const OPEN: char = '=';
/// What the name of a file ends with that holds an object sealed.
pub(crate) const SEALED: char = '~';
/// What the name of a folder ends with.
pub(crate) const FOLDER: char = '+';

/// Objects below one folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    root: PathBuf,
    /// What seals; without it everything lies open.
    seals: Option<Seals>,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 of its last change.
    pub modified: u64,
    /// Changes when the content does.
    pub etag: String,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects.
    pub objects: Vec<Meta>,
    /// Prefixes up to the delimiter that more than one object may have.
    pub prefixes: Vec<String>,
    /// Where the next page begins; none when this is the last.
    pub next: Option<String>,
}

/// What becomes of an object that is there when one is written under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It is replaced.
    Replaced,
    /// It stays, and what is written has to be the same.
    Same,
    /// It stays, and nothing is written.
    Kept,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Objects {
    /// Opens the folder, which is made when it is not there. What a killed server left half written is removed.
    pub fn open(root: impl Into<PathBuf>, seals: Option<Seals>) -> io::Result<Objects> {
        let objects = Objects { root: root.into(), seals };
        fs::create_dir_all(objects.root.join("objects"))?;
        let temporary = objects.root.join("tmp");
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(temporary)?;
        fs::create_dir_all(objects.root.join("parts"))?;
        Ok(objects)
    }

    /// The file of a key. Folders and files have different names, so that `a` and `a/b` can both be objects.
    fn place(&self, key: &str, form: char) -> io::Result<PathBuf> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "not a key");
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(wrong());
        }
        let mut path = self.root.join("objects");
        let mut parts = key.split('/').peekable();
        while let Some(part) = parts.next() {
            let name = escape(part);
            if name.len() > 240 {
                return Err(wrong());
            }
            path.push(if parts.peek().is_some() { format!("{name}{FOLDER}") } else { format!("{name}{form}") });
        }
        Ok(path)
    }

    /// The file that holds an object now.
    fn found(&self, key: &str) -> io::Result<(PathBuf, fs::Metadata, bool)> {
        for (form, is_sealed) in [(SEALED, true), (OPEN, false)] {
            let place = self.place(key, form)?;
            match fs::metadata(&place) {
                Ok(file) => return Ok((place, file, is_sealed)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// What a file holds that is `what`.
    fn content(&self, file: File, what: &[u8], is_sealed: bool) -> io::Result<Content> {
        match (is_sealed, &self.seals) {
            (false, _) => Ok(Content::plain(file)),
            (true, Some(seals)) => seals.open(file, what),
            (true, None) => Err(io::Error::other("the object is sealed, and there are no keys")),
        }
    }

    /// Writes an object whole.
    pub fn put(&self, key: &str, bytes: &[u8]) -> io::Result<Meta> {
        self.put_from(key, &mut &*bytes)
    }

    /// Writes an object from a reader.
    pub fn put_from(&self, key: &str, source: &mut dyn Read) -> io::Result<Meta> {
        self.write(key, source, Earlier::Replaced)
    }

    /// Writes an object from a reader; what is there already stays, or not.
    pub fn write(&self, key: &str, source: &mut dyn Read, earlier: Earlier) -> io::Result<Meta> {
        let (own, other) = if self.seals.is_some() { (SEALED, OPEN) } else { (OPEN, SEALED) };
        let (place, other) = (self.place(key, own)?, self.place(key, other)?);
        let temporary = self.temporary();
        let written = (|| {
            self.fill((key, &is_object(key)), source, File::create(&temporary)?)?.sync_data()?;
            let folder = place.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            match earlier {
                Earlier::Replaced => {
                    fs::rename(&temporary, &place)?;
                    remove(&other)?;
                }
                Earlier::Same | Earlier::Kept => self.settle(key, &temporary, (&place, &other), earlier)?,
            }
            File::open(folder)?.sync_all()
        })();
        if written.is_err() || earlier != Earlier::Replaced {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.head(key)
    }

    /// Gives what was written its place where that is free. Of two who do so at once one is first.
    fn settle(&self, key: &str, written: &Path, (place, other): (&Path, &Path), earlier: Earlier) -> io::Result<()> {
        let linked = match fs::metadata(other) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::hard_link(written, place),
            Err(error) => Err(error),
        };
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && earlier == Earlier::Same => {
                let written = self.content(File::open(written)?, &is_object(key), self.seals.is_some())?;
                if is_same(written, self.open_at(key, 0)?)? { Ok(()) } else { Err(error) }
            }
            linked => linked,
        }
    }

    /// Copies what is to be an object, or a part of one, to a file that is `what`.
    fn fill(&self, (key, what): (&str, &[u8]), source: &mut dyn Read, mut file: File) -> io::Result<File> {
        match &self.seals {
            Some(seals) => seals.write((key, what), &self.root, source, file),
            None => io::copy(source, &mut file).map(|_| file),
        }
    }

    fn temporary(&self) -> PathBuf {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(format!("{}-{number}", std::process::id()))
    }

    /// What is known of an object.
    pub fn head(&self, key: &str) -> io::Result<Meta> {
        let (_, file, is_sealed) = self.found(key)?;
        meta(key.to_owned(), &file, is_sealed)
    }

    /// An object, whole.
    pub fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_at(key, 0)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens an object at a position.
    pub fn open_at(&self, key: &str, from: u64) -> io::Result<Content> {
        let (place, _, is_sealed) = self.found(key)?;
        let mut content = self.content(File::open(place)?, &is_object(key), is_sealed)?;
        content.seek(SeekFrom::Start(from))?;
        Ok(content)
    }

    /// Removes an object. One that is not there is removed already.
    pub fn delete(&self, key: &str) -> io::Result<()> {
        remove(&self.place(key, OPEN)?)?;
        remove(&self.place(key, SEALED)?)
    }

    /// Removes all objects below a folder, such as those of a run that is erased.
    pub fn delete_below(&self, folder: &str) -> io::Result<()> {
        let place = self.place(folder.trim_end_matches('/'), FOLDER)?;
        match fs::remove_dir_all(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let below = format!("{}/", folder.trim_end_matches('/'));
        self.forget_uploads(|upload| fs::read_to_string(upload.join("key")).is_ok_and(|key| key.starts_with(&below)))
    }

    /// Gives uploads up of which nothing came for a while: whoever began them is gone.
    pub fn sweep(&self, grace: Duration) -> io::Result<()> {
        let old = |at: SystemTime| at.elapsed().is_ok_and(|age| age > grace);
        self.forget_uploads(|upload| fs::metadata(upload).and_then(|folder| folder.modified()).is_ok_and(old))
    }

    fn forget_uploads(&self, which: impl Fn(&Path) -> bool) -> io::Result<()> {
        for upload in fs::read_dir(self.root.join("parts"))? {
            let upload = upload?.path();
            if which(&upload) {
                match fs::remove_dir_all(upload) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Objects whose keys begin with a prefix, in the order of their keys, after a position.
    pub fn list(&self, prefix: &str, delimiter: bool, after: &str, limit: usize) -> io::Result<Page> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut start = self.root.join("objects");
        for part in folder.split('/').filter(|_| !folder.is_empty()) {
            start.push(format!("{}{FOLDER}", escape(part)));
        }
        let mut listing = Listing { prefix, delimiter, after, limit, page: Page::default() };
        listing.walk(&start, if folder.is_empty() { String::new() } else { format!("{folder}/") })?;
        Ok(listing.page)
    }

    /// Begins an upload in parts; gives its name.
    pub fn begin_upload(&self, key: &str, name: &str) -> io::Result<()> {
        self.place(key, OPEN)?;
        fs::create_dir(self.root.join("parts").join(escape(name)))?;
        fs::write(self.root.join("parts").join(escape(name)).join("key"), key)
    }

    /// Writes a part of an upload.
    pub fn put_part(&self, key: &str, name: &str, number: u32, source: &mut dyn Read) -> io::Result<String> {
        let folder = self.upload(key, name)?;
        let temporary = self.temporary();
        let file = self.fill((key, &is_part(key, number)), source, File::create(&temporary)?)?;
        let size = size_of(&file.metadata()?, self.seals.is_some());
        fs::rename(&temporary, folder.join(format!("{number:08}")))?;
        Ok(format!("{name}-{number}-{size}"))
    }

    /// Ends an upload: its parts become the object.
    pub fn finish_upload(&self, key: &str, name: &str, numbers: &[u32]) -> io::Result<Meta> {
        let folder = self.upload(key, name)?;
        let open = |number: &u32| {
            let part = File::open(folder.join(format!("{number:08}")))?;
            self.content(part, &is_part(key, *number), self.seals.is_some())
        };
        let meta = self.put_from(key, &mut Parts { rest: numbers.iter().map(open), current: None })?;
        let _ = fs::remove_dir_all(folder);
        Ok(meta)
    }

    /// Gives an upload up.
    pub fn abandon_upload(&self, key: &str, name: &str) -> io::Result<()> {
        fs::remove_dir_all(self.upload(key, name)?)
    }

    /// The folder of an upload of this object.
    fn upload(&self, key: &str, name: &str) -> io::Result<PathBuf> {
        let folder = self.root.join("parts").join(escape(name));
        match fs::read_to_string(folder.join("key"))? == key {
            true => Ok(folder),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the upload is of another object")),
        }
    }

    /// Text that is made once and then stays the same, readable by nobody else: a secret.
    pub fn secret(&self, name: &str, make: impl FnOnce() -> String) -> io::Result<String> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.root.join(name);
        if let Ok(text) = fs::read_to_string(&path)
            && !text.is_empty()
        {
            return Ok(text);
        }
        let text = make();
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(text)
    }
}

/// Removes a file that may be gone already.
fn remove(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes of what a file holds.
fn size_of(file: &fs::Metadata, is_sealed: bool) -> u64 {
    match is_sealed {
        true => keyring::plain_size(file.len()).unwrap_or(0),
        false => file.len(),
    }
}

pub(crate) fn meta(key: String, file: &fs::Metadata, is_sealed: bool) -> io::Result<Meta> {
    if !file.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let at = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let size = size_of(file, is_sealed);
    Ok(Meta { key, size, modified: at.as_secs(), etag: format!("{size:x}-{:x}", at.as_nanos()) })
}

/// Parts one after the other: an upload has more of them than files can be open.
struct Parts<I> {
    rest: I,
    current: Option<Content>,
}

impl<I: Iterator<Item = io::Result<Content>>> Read for Parts<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buffer)? {
                    0 if !buffer.is_empty() => {}
                    read => return Ok(read),
                }
            }
            self.current = match self.rest.next() {
                Some(part) => Some(part?),
                None => return Ok(0),
            };
        }
    }
}

/// Whether two hold the same.
fn is_same(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    const PIECE: u64 = 64 << 10;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        (&mut one).take(PIECE).read_to_end(&mut ours)?;
        (&mut other).take(PIECE).read_to_end(&mut theirs)?;
        if ours != theirs || ours.is_empty() {
            return Ok(ours == theirs);
        }
        ours.clear();
        theirs.clear();
    }
}

/// A part of a key as a name of a file: nothing in it leads elsewhere.
fn escape(part: &str) -> String {
    let mut name = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if part != "." && part != ".." => name.push('.'),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    name
}

pub(crate) fn unescape(name: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), name.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (tempfile::TempDir, Objects) {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path().join("o"), None).unwrap();
        (folder, objects)
    }

    #[test]
    fn an_object_and_others_below_its_name_live_side_by_side() {
        let (_folder, objects) = opened();
        for key in ["a", "a/b", "a/b/c", "../../x", "a//b", "ü%/=+", "a/."] {
            objects.put(key, key.as_bytes()).unwrap();
            assert_eq!(objects.get(key).unwrap(), key.as_bytes(), "{key}");
        }
        let keys: Vec<String> = objects.list("", false, "", 100).unwrap().objects.into_iter().map(|meta| meta.key).collect();
        assert_eq!(keys, ["../../x", "a", "a/.", "a//b", "a/b", "a/b/c", "ü%/=+"]);
        objects.delete("a/b").unwrap();
        objects.delete("a/b").unwrap();
        assert!(objects.get("a/b").is_err() && objects.get("a/b/c").is_ok());
        assert!(objects.put("", b"").is_err() && objects.put(&"x".repeat(2_000), b"").is_err());
    }

    #[test]
    fn listings_have_prefixes_delimiters_and_pages() {
        let (_folder, objects) = opened();
        for key in ["d/1", "d/2", "d/e/3", "d/e/4", "dx", "f"] {
            objects.put(key, b"1").unwrap();
        }
        let page = objects.list("d/", true, "", 10).unwrap();
        assert_eq!(page.prefixes, ["d/e/"]);
        assert_eq!(page.objects.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), ["d/1", "d/2"]);
        let (mut after, mut seen) = (String::new(), Vec::new());
        loop {
            let page = objects.list("d", false, &after, 2).unwrap();
            seen.extend(page.objects.into_iter().map(|meta| meta.key));
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, ["d/1", "d/2", "d/e/3", "d/e/4", "dx"]);
    }

    #[test]
    fn keys_are_listed_in_their_order_wherever_a_page_ends() {
        let (_folder, objects) = opened();
        // A dash stands before the slash, a zero after it.
        let keys = ["a", "a-b", "a/b", "a/b/c", "a/b-", "a/c/d", "a0", "b/c/d", "b/c0", "c"];
        for key in keys {
            objects.put(key, b"1").unwrap();
        }
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        for limit in 1..=keys.len() {
            let (mut after, mut seen) = (String::new(), Vec::new());
            loop {
                let page = objects.list("", false, &after, limit).unwrap();
                assert!(page.objects.len() <= limit);
                seen.extend(page.objects.into_iter().map(|meta| meta.key));
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
            assert_eq!(seen, sorted, "{limit} at a time");
        }
        let page = objects.list("", true, "a/", 2).unwrap();
        assert_eq!((page.objects[0].key.as_str(), page.prefixes, page.next), ("a0", vec!["b/".to_owned()], Some("b/".into())));
    }

    #[test]
    fn what_is_there_stays_where_that_is_wanted() {
        let (_folder, objects) = opened();
        let write = |bytes: &[u8], earlier| objects.write("k", &mut &*bytes, earlier).map(drop).map_err(|error| error.kind());
        assert_eq!(write(b"one", Earlier::Same), Ok(()));
        assert_eq!(write(b"one", Earlier::Same), Ok(()));
        for (bytes, earlier) in [(&b"two"[..], Earlier::Same), (b"one and more", Earlier::Same), (b"one", Earlier::Kept)] {
            assert_eq!(write(bytes, earlier), Err(io::ErrorKind::AlreadyExists));
        }
        assert_eq!(objects.get("k").unwrap(), b"one");
        assert_eq!(write(b"two", Earlier::Replaced), Ok(()));
        assert_eq!(objects.get("k").unwrap(), b"two");
        let left = fs::read_dir(objects.root.join("tmp")).unwrap().count();
        assert_eq!(left, 0, "nothing is left half written");
        // Of many at once one is first.
        let objects = &objects;
        let won = std::thread::scope(|scope| {
            let write = |n: u8| objects.write("lock", &mut &[n][..], Earlier::Kept).is_ok();
            let all: Vec<_> = (0..8).map(|n| scope.spawn(move || write(n))).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn parts_become_one_object() {
        let (_folder, objects) = opened();
        objects.begin_upload("big", "u1").unwrap();
        objects.put_part("big", "u1", 2, &mut &b"world"[..]).unwrap();
        objects.put_part("big", "u1", 1, &mut &b"hello "[..]).unwrap();
        assert!(objects.finish_upload("other", "u1", &[1, 2]).is_err());
        objects.finish_upload("big", "u1", &[1, 2]).unwrap();
        assert_eq!(objects.get("big").unwrap(), b"hello world");
        assert!(objects.put_part("big", "u1", 3, &mut &b""[..]).is_err());
    }

    #[test]
    fn an_upload_has_more_parts_than_files_can_be_open() {
        let (_folder, objects) = opened();
        objects.begin_upload("many", "u1").unwrap();
        let numbers: Vec<u32> = (1..=3_000).collect();
        for number in &numbers {
            objects.put_part("many", "u1", *number, &mut &number.to_be_bytes()[..]).unwrap();
        }
        objects.finish_upload("many", "u1", &numbers).unwrap();
        let expected: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        assert_eq!(objects.get("many").unwrap(), expected);
    }

    #[test]
    fn uploads_that_nobody_goes_on_with_are_given_up() {
        let (_folder, objects) = opened();
        for (key, name) in [("runs/p/d/r/a0/1/x", "u1"), ("runs/p/d/rr/x", "u2"), ("uploads/p/d/x", "u3")] {
            objects.begin_upload(key, name).unwrap();
        }
        let left = || fs::read_dir(objects.root.join("parts")).unwrap().count();
        objects.delete_below("runs/p/d/r").unwrap();
        assert_eq!(left(), 2, "those of what is erased go with it");
        objects.sweep(Duration::from_secs(3_600)).unwrap();
        assert_eq!(left(), 2, "they may still go on");
        std::thread::sleep(Duration::from_millis(20));
        objects.sweep(Duration::from_millis(1)).unwrap();
        assert_eq!(left(), 0);
    }
}
