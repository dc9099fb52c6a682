//! The objects that tasks read and write: files below one folder, by keys with slashes. What is acknowledged survives a power cut.
//! Where there are keys, objects are sealed; those of earlier servers stay open until they are written again.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use keyring::Content;
use model::Digest;

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
const OPEN: char = '=';
/// What the name of a file ends with that holds an object sealed.
const SEALED: char = '~';
/// What the name of a folder ends with.
const FOLDER: char = '+';

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
        let (own, other) = if self.seals.is_some() { (SEALED, OPEN) } else { (OPEN, SEALED) };
        let (place, earlier) = (self.place(key, own)?, self.place(key, other)?);
        let temporary = self.temporary();
        let written = (|| {
            self.fill((key, &is_object(key)), source, File::create(&temporary)?)?.sync_data()?;
            let folder = place.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            fs::rename(&temporary, &place)?;
            remove(&earlier)?;
            File::open(folder)?.sync_all()
        })();
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.head(key)
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
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Objects whose keys begin with a prefix, in the order of their keys, after a position.
    pub fn list(&self, prefix: &str, delimiter: bool, after: &str, limit: usize) -> io::Result<Page> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut start = self.root.join("objects");
        for part in folder.split('/').filter(|_| !folder.is_empty()) {
            start.push(format!("{}{FOLDER}", escape(part)));
        }
        let mut found = Vec::new();
        walk(&start, if folder.is_empty() { String::new() } else { format!("{folder}/") }, prefix, delimiter, &mut found)?;
        found.sort();
        // One that was written anew is there twice for a moment.
        found.dedup_by(|later, first| later.0 == first.0 && later.1.is_some() && first.1.is_some());
        let mut page = Page::default();
        for (key, size) in found {
            if key.as_str() <= after {
                continue;
            }
            if page.objects.len() + page.prefixes.len() >= limit {
                page.next = page.objects.last().map(|meta| meta.key.clone()).max(page.prefixes.last().cloned());
                break;
            }
            match size {
                Some(size) => page.objects.push(size),
                None => page.prefixes.push(key),
            }
        }
        Ok(page)
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
        let mut all: Box<dyn Read> = Box::new(io::empty());
        for number in numbers {
            let part = File::open(folder.join(format!("{number:08}")))?;
            all = Box::new(all.chain(self.content(part, &is_part(key, *number), self.seals.is_some())?));
        }
        let meta = self.put_from(key, &mut all)?;
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

fn meta(key: String, file: &fs::Metadata, is_sealed: bool) -> io::Result<Meta> {
    if !file.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let at = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let size = size_of(file, is_sealed);
    Ok(Meta { key, size, modified: at.as_secs(), etag: format!("{size:x}-{:x}", at.as_nanos()) })
}

/// Everything below a folder that the prefix allows; with a delimiter, folders stand for what is in them.
fn walk(folder: &Path, at: String, prefix: &str, delimiter: bool, found: &mut Vec<(String, Option<Meta>)>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_sealed = name.ends_with(SEALED);
        if let Some(part) = name.strip_suffix([OPEN, SEALED]) {
            let key = format!("{at}{}", unescape(part));
            // It may have gone away since.
            if key.starts_with(prefix)
                && let Ok(meta) = entry.metadata().and_then(|file| meta(key.clone(), &file, is_sealed))
            {
                found.push((key, Some(meta)));
            }
        } else if let Some(part) = name.strip_suffix(FOLDER) {
            let below = format!("{at}{}/", unescape(part));
            if !below.starts_with(prefix) && !prefix.starts_with(&below) {
                continue;
            }
            if delimiter && below.starts_with(prefix) {
                found.push((below, None));
            } else {
                walk(&entry.path(), below, prefix, delimiter, found)?;
            }
        }
    }
    Ok(())
}

impl PartialOrd for Meta {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Meta {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
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

fn unescape(name: &str) -> String {
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
}
