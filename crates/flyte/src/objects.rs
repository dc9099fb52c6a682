//! The objects that tasks read and write: files below one folder, by keys with slashes. What is acknowledged survives a power cut.
//! Where there are keys, objects are sealed; those of earlier servers stay open until they are written again. Where a site names a store of its own,
//! large ones that its attempts write lie there as they would lie here, and a small file in their place says where.

mod writing;

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyring::{Content, ReadAt};
use model::Digest;
use model::limits::FLYTE_STORE_BYTES_MIN;

use crate::bucket::Away;
use crate::elsewhere::{Buckets, Elsewhere, Stub};
use crate::seals::Seals;

pub use writing::Earlier;
use writing::{Parts, is_same};

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
/// What the name of a file ends with that says where an object lies.
const STUB: char = '@';
/// What the name of a folder ends with.
const FOLDER: char = '+';

/// What the names of documents end with that the server reads itself, to know what a task was given and how it ended: they stay here.
const DOCUMENT: &str = ".pb";

/// Objects below one folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    root: PathBuf,
    /// What seals; without it everything lies open.
    seals: Option<Seals>,
    /// The stores of sites.
    elsewhere: Option<Elsewhere>,
    /// The site whose attempt writes.
    site: Option<Arc<str>>,
}

/// What holds an object now.
struct Found {
    place: PathBuf,
    /// Bytes of what holds it, sealed or not.
    size: u64,
    modified: SystemTime,
    is_sealed: bool,
    /// Where they lie, when that is not in this file.
    stub: Option<Stub>,
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
    /// Whether it lies in the store of a site.
    pub is_elsewhere: bool,
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

/// Held by who wants no other to be there.
static FIRST: Mutex<()> = Mutex::new(());
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Objects {
    /// Opens the folder, which is made when it is not there. What a killed server left half written is removed.
    pub fn open(root: impl Into<PathBuf>, seals: Option<Seals>) -> io::Result<Objects> {
        let objects = Objects { root: root.into(), seals, elsewhere: None, site: None };
        fs::create_dir_all(objects.root.join("objects"))?;
        let temporary = objects.root.join("tmp");
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(temporary)?;
        fs::create_dir_all(objects.root.join("parts"))?;
        Ok(objects)
    }

    /// The same with the stores of sites. What lies here stays here until it is written again.
    pub fn with_stores(self, buckets: Arc<dyn Buckets>) -> io::Result<Objects> {
        let stub_of = |key: &str| self.place(key, STUB).and_then(|place| Stub::read(&place));
        let elsewhere = Elsewhere::open(buckets, &self.root, &stub_of)?;
        Ok(Objects { elsewhere: Some(elsewhere), ..self })
    }

    /// The same for whoever writes from a site.
    #[must_use]
    pub fn of_site(&self, site: &str) -> Objects {
        Objects { site: Some(site.into()).filter(|site: &Arc<str>| !site.is_empty()), ..self.clone() }
    }

    /// How much is still to be removed from the stores of sites that did not answer.
    pub fn owed(&self) -> io::Result<usize> {
        self.elsewhere.as_ref().map_or(Ok(0), Elsewhere::owed)
    }

    /// Removes what is still to be removed from the stores of sites, where they answer. Gives how much is left, and why.
    pub fn pay(&self) -> io::Result<(usize, Option<Away>)> {
        self.elsewhere.as_ref().map_or(Ok((0, None)), Elsewhere::pay_all)
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
    fn found(&self, key: &str) -> io::Result<Found> {
        for form in [STUB, SEALED, OPEN] {
            match held_by(self.place(key, form)?, form) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// What a file holds that is `what`.
    fn content(&self, file: File, what: &[u8], is_sealed: bool) -> io::Result<Content> {
        match is_sealed {
            false => Ok(Content::plain(file)),
            true => self.opened(file, what),
        }
    }

    /// What is sealed and is `what`, wherever it lies.
    fn opened(&self, source: impl ReadAt + 'static, what: &[u8]) -> io::Result<Content> {
        let seals = self.seals.as_ref().ok_or_else(|| io::Error::other("the object is sealed, and there are no keys"))?;
        seals.open(source, what)
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
        self.place(key, OPEN)?;
        let temporary = self.temporary();
        let written = (|| {
            let file = self.fill((key, &is_object(key)), source, File::create(&temporary)?)?;
            file.sync_data()?;
            let size = file.metadata()?.len();
            // One process has the folder: of two who want no other to be there, one is first.
            let _turn = (earlier != Earlier::Replaced).then(|| FIRST.lock().unwrap_or_else(PoisonError::into_inner));
            if earlier != Earlier::Replaced && self.stays(key, &temporary, earlier)? {
                return fs::remove_file(&temporary);
            }
            let before = self.place(key, STUB).and_then(|place| Stub::read(&place)).ok().flatten();
            let taken = match (&self.elsewhere, &self.site) {
                (Some(elsewhere), Some(site)) if size >= FLYTE_STORE_BYTES_MIN && !key.ends_with(DOCUMENT) => {
                    elsewhere.take((key, site), (&temporary, self.seals.is_some()), before.as_ref())?
                }
                _ => None,
            };
            let Some(elsewhere) = &self.elsewhere else { return self.put_in_place(key, &temporary, None) };
            let Some(taken) = taken else {
                // Written down before it is replaced: the next server finds out whether it was.
                let before: Vec<Stub> = before.into_iter().collect();
                elsewhere.note_all(key, before.clone())?;
                self.put_in_place(key, &temporary, None)?;
                return elsewhere.forget(key, before);
            };
            match self.put_in_place(key, &temporary, Some(&taken)) {
                Ok(()) => elsewhere.settle(key, &taken, before),
                Err(error) => elsewhere.unsettle(&taken).and(Err(error)),
            }
        })();
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.head(key)
    }

    /// Whether an object is there that stays and is what was written; an error when it is something else.
    fn stays(&self, key: &str, written: &Path, earlier: Earlier) -> io::Result<bool> {
        let there = match self.open_at(key, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            there => there?,
        };
        let written = self.content(File::open(written)?, &is_object(key), self.seals.is_some())?;
        match earlier == Earlier::Same && is_same(written, there)? {
            true => Ok(true),
            false => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Has a file be an object from now on, or one that says where it lies.
    fn put_in_place(&self, key: &str, temporary: &Path, taken: Option<&Stub>) -> io::Result<()> {
        let own = match (taken, &self.seals) {
            (Some(_), _) => STUB,
            (None, Some(_)) => SEALED,
            (None, None) => OPEN,
        };
        if let Some(taken) = taken {
            taken.write(temporary)?;
        }
        let place = self.place(key, own)?;
        let folder = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        fs::rename(temporary, &place)?;
        for form in [STUB, SEALED, OPEN].into_iter().filter(|form| *form != own) {
            remove(&self.place(key, form)?)?;
        }
        File::open(folder)?.sync_all()
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
        Ok(meta(key.to_owned(), &self.found(key)?))
    }

    /// An object, whole.
    pub fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_at(key, 0)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens an object at a position. What a store does not give is an error now, as far as that can be known.
    pub fn open_at(&self, key: &str, from: u64) -> io::Result<Content> {
        let found = self.found(key)?;
        let what = is_object(key);
        let mut content = match found.stub {
            None => self.content(File::open(&found.place)?, &what, found.is_sealed)?,
            Some(stub) => {
                let none = || io::Error::other("the object lies in the store of a site, and there are none");
                let mut reading = self.elsewhere.as_ref().ok_or_else(none)?.read(&stub)?;
                reading.prepare(if stub.sealed { 0 } else { from })?;
                reading.seek(SeekFrom::Start(0))?;
                if stub.sealed { self.opened(reading, &what)? } else { Content::elsewhere(reading) }
            }
        };
        content.seek(SeekFrom::Start(from))?;
        Ok(content)
    }

    /// Removes an object. One that is not there is removed already. What lies in the store of a site is removed there when that answers.
    pub fn delete(&self, key: &str) -> io::Result<()> {
        let stub = Stub::read(&self.place(key, STUB)?).ok().flatten();
        if let (Some(elsewhere), Some(stub)) = (&self.elsewhere, &stub) {
            elsewhere.note_all(key, vec![stub.clone()])?;
        }
        for form in [STUB, SEALED, OPEN] {
            remove(&self.place(key, form)?)?;
        }
        match (&self.elsewhere, stub) {
            (Some(elsewhere), Some(stub)) => elsewhere.forget(key, vec![stub]),
            _ => Ok(()),
        }
    }

    /// Removes all objects below a folder, such as those of a run that is erased. What lies in the stores of sites is removed there when they answer.
    pub fn delete_below(&self, folder: &str) -> io::Result<()> {
        let (folder, mut stubs) = (folder.trim_end_matches('/'), Vec::new());
        let place = self.place(folder, FOLDER)?;
        if let Some(elsewhere) = &self.elsewhere {
            stubs_below(&place, &mut stubs)?;
            elsewhere.note_all(folder, stubs.clone())?;
        }
        match fs::remove_dir_all(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.elsewhere.as_ref().map_or(Ok(()), |elsewhere| elsewhere.forget(folder, stubs))
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
        let size = size_of(file.metadata()?.len(), self.seals.is_some());
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

    /// Gives uploads up of which nothing came for a while: whoever began them is gone.
    pub fn sweep(&self, grace: Duration) -> io::Result<()> {
        for upload in fs::read_dir(self.root.join("parts"))? {
            let upload = upload?.path();
            let age = fs::metadata(&upload).and_then(|folder| folder.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > grace) {
                fs::remove_dir_all(upload)?;
            }
        }
        Ok(())
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

/// Bytes of an object, by those of what holds it.
fn size_of(held: u64, is_sealed: bool) -> u64 {
    if is_sealed { keyring::plain_size(held).unwrap_or(0) } else { held }
}

/// What a file of this form says of its object.
fn held_by(place: PathBuf, form: char) -> io::Result<Found> {
    let file = fs::metadata(&place)?;
    if !file.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let stub = if form == STUB { Stub::read(&place)? } else { None };
    if form == STUB && stub.is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let (size, is_sealed) = stub.as_ref().map_or((file.len(), form == SEALED), |stub| (stub.size, stub.sealed));
    Ok(Found { place, size, modified: file.modified()?, is_sealed, stub })
}

fn meta(key: String, found: &Found) -> Meta {
    let at = found.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let size = size_of(found.size, found.is_sealed);
    let etag = format!("{size:x}-{:x}", at.as_nanos());
    Meta { key, size, modified: at.as_secs(), etag, is_elsewhere: found.stub.is_some() }
}

/// Where everything below a folder lies that lies in the store of a site. A file that says it and is damaged names nothing.
fn stubs_below(folder: &Path, found: &mut Vec<Stub>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            stubs_below(&entry.path(), found)?;
        } else if entry.file_name().to_string_lossy().ends_with(STUB) {
            found.extend(Stub::read(&entry.path()).ok().flatten());
        }
    }
    Ok(())
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
        if let Some((part, form)) = [OPEN, SEALED, STUB].into_iter().find_map(|form| Some((name.strip_suffix(form)?, form))) {
            let key = format!("{at}{}", unescape(part));
            // It may have gone away since.
            if key.starts_with(prefix)
                && let Ok(held) = held_by(entry.path(), form)
            {
                let meta = meta(key.clone(), &held);
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
mod tests;
