//! Large objects that lie in the store of a site. In the place of each a small file says where; nothing of them is kept here. What is to be removed
//! there is written down before its place is, and stays written down until the store has removed it, so that a store which does not answer keeps
//! nothing for ever.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Digest;
use serde::{Deserialize, Serialize};

use crate::bucket::{Away, Bucket, Reading, away, hash};

/// Where the stores of sites are, and what opens them. Asked each time: what sites name changes.
pub trait Buckets: Send + Sync {
    /// The bucket where large objects of a site lie; none when the site names none.
    fn of(&self, site: &str) -> io::Result<Option<Bucket>>;
}

/// What lies in the store of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stub {
    /// The site.
    pub(crate) site: String,
    /// The address of the bucket.
    pub(crate) url: String,
    /// What it is called there.
    pub(crate) name: String,
    /// Its bytes there.
    pub(crate) size: u64,
    /// Whether they are sealed.
    pub(crate) sealed: bool,
    /// Their digest.
    pub(crate) digest: String,
}

/// What is written down before something changes in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The object.
    key: String,
    what: Stub,
    /// What it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Stub>,
    /// The upload that was begun for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload: Option<String>,
}

impl Stub {
    /// What a small file says; none when it is not there.
    pub(crate) fn read(place: &Path) -> io::Result<Option<Stub>> {
        read(place)
    }

    /// Writes such a file to a place where none is yet.
    pub(crate) fn write(&self, place: &Path) -> io::Result<()> {
        let mut file = File::create(place)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()
    }
}

fn read<T: for<'d> Deserialize<'d>>(place: &Path) -> io::Result<Option<T>> {
    match fs::read(place) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(said) => Ok(Some(said)),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "what says where an object lies is damaged")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The stores of sites, and what is still to be done there. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    buckets: Arc<dyn Buckets>,
    /// What is being written, and what is to be removed: a note for each.
    coming: Arc<PathBuf>,
    owed: Arc<PathBuf>,
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").field("owed", &self.owed).finish_non_exhaustive()
    }
}

impl Elsewhere {
    /// Opens the folders of notes below `root`, which are made when they are not there. `stub_of` tells what an object's own file says now: what a
    /// killed server wrote and did not put in its place is owed, or what that replaced.
    pub(crate) fn open(
        buckets: Arc<dyn Buckets>,
        root: &Path,
        stub_of: &dyn Fn(&str) -> io::Result<Option<Stub>>,
    ) -> io::Result<Elsewhere> {
        let (coming, owed) = (root.join("coming"), root.join("owed"));
        fs::create_dir_all(&coming)?;
        fs::create_dir_all(&owed)?;
        let this = Elsewhere { buckets, coming: Arc::new(coming), owed: Arc::new(owed) };
        let is_there = |note: &Note| stub_of(&note.key).ok().flatten().is_some_and(|stub| stub.name == note.what.name);
        for entry in fs::read_dir(&*this.owed)? {
            let place = entry?.path();
            // A server was killed before the object was removed that this is about: it stays.
            if place.extension().is_some() || read::<Note>(&place).ok().flatten().is_some_and(|note| is_there(&note)) {
                fs::remove_file(place)?;
            }
        }
        for entry in fs::read_dir(&*this.coming)? {
            let place = entry?.path();
            // Where half of a note was written nothing was sent.
            if let (None, Ok(Some(note))) = (place.extension(), read::<Note>(&place)) {
                match (is_there(&note), note.before.clone()) {
                    (true, Some(before)) => this.owe(&note.key, before)?,
                    (true, None) => {}
                    (false, _) => this.note(&this.owed, &note)?,
                }
            }
            fs::remove_file(place)?;
        }
        Ok(this)
    }

    /// Writes a note down.
    fn note(&self, folder: &Path, note: &Note) -> io::Result<()> {
        let place = folder.join(&note.what.name);
        let beside = folder.join(format!("{}.new", note.what.name));
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(note)?)?;
        file.sync_all()?;
        fs::rename(beside, place)?;
        File::open(folder)?.sync_all()
    }

    /// Takes a file for an object of a site: it lies in the site's store from now on. None when the site has none, and then nothing has happened.
    pub(crate) fn take(
        &self,
        (key, site): (&str, &str),
        (file, is_sealed): (&Path, bool),
        before: Option<&Stub>,
    ) -> io::Result<Option<Stub>> {
        let Some(bucket) = self.buckets.of(site)? else { return Ok(None) };
        let mut source = File::open(file)?;
        let what = Stub {
            site: site.to_owned(),
            url: bucket.url().to_owned(),
            name: fresh_name()?,
            size: source.metadata()?.len(),
            sealed: is_sealed,
            digest: hash(&mut source)?,
        };
        let mut note = Note { key: key.to_owned(), what: what.clone(), before: before.cloned(), upload: None };
        self.note(&self.coming, &note)?;
        let put = bucket.put(&what.name, file, &mut |upload| {
            note.upload = Some(upload.to_owned());
            self.note(&self.coming, &note)
        });
        if let Err(error) = put {
            // Whether anything of it is there nobody knows.
            fs::rename(self.coming.join(&what.name), self.owed.join(&what.name))?;
            return Err(error);
        }
        Ok(Some(what))
    }

    /// What was taken is in its place, and what it replaced nowhere.
    pub(crate) fn settle(&self, key: &str, what: &Stub, before: Option<Stub>) -> io::Result<()> {
        if let Some(before) = before {
            self.forget(key, vec![before])?;
        }
        fs::remove_file(self.coming.join(&what.name))
    }

    /// What was taken did not come to its place.
    pub(crate) fn unsettle(&self, what: &Stub) -> io::Result<()> {
        fs::rename(self.coming.join(&what.name), self.owed.join(&what.name))
    }

    fn owe(&self, key: &str, what: Stub) -> io::Result<()> {
        self.note(&self.owed, &Note { key: key.to_owned(), what, before: None, upload: None })
    }

    /// Has removed what no object is any more: now, or when its store answers again.
    pub(crate) fn forget(&self, key: &str, all: Vec<Stub>) -> io::Result<()> {
        let mut is_away = false;
        for what in all {
            let name = what.name.clone();
            self.owe(key, what)?;
            // One that does not answer is not asked again for each.
            is_away = is_away || self.pay(&self.owed.join(name)).is_err();
        }
        Ok(())
    }

    /// Writes down that these are to be removed. Nothing is asked of a store yet.
    pub(crate) fn note_all(&self, key: &str, all: Vec<Stub>) -> io::Result<()> {
        all.into_iter().try_for_each(|what| self.owe(key, what))
    }

    /// Opens what lies in a store.
    pub(crate) fn read(&self, stub: &Stub) -> io::Result<Reading> {
        Ok(Reading::new(self.bucket(stub)?, &stub.name, stub.size, &stub.digest))
    }

    /// The bucket that something lies in: that which its site names, when it is still that one.
    fn bucket(&self, stub: &Stub) -> io::Result<Bucket> {
        let why = match self.buckets.of(&stub.site)? {
            Some(bucket) if bucket.url() == stub.url => return Ok(bucket),
            Some(bucket) => format!("the site names {} as its store by now", bucket.url()),
            None => "the site names no store any more".to_owned(),
        };
        Err(Away { site: stub.site.clone(), url: stub.url.clone(), why }.into())
    }

    /// Does what a note says, and removes it.
    fn pay(&self, place: &Path) -> io::Result<()> {
        let note = match read::<Note>(place) {
            Ok(Some(note)) => note,
            Ok(None) => return Ok(()),
            // It was half written by a server that was killed before anything was removed.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return fs::remove_file(place),
            Err(error) => return Err(error),
        };
        let bucket = self.bucket(&note.what)?;
        if let Some(upload) = &note.upload {
            bucket.abandon(&note.what.name, upload)?;
        }
        bucket.delete(&note.what.name)?;
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How much is still to be removed from stores.
    pub(crate) fn owed(&self) -> io::Result<usize> {
        Ok(fs::read_dir(&*self.owed)?.count())
    }

    /// Removes what is still to be removed, where stores answer. Gives how much is left, and why the first of it is.
    pub(crate) fn pay_all(&self) -> io::Result<(usize, Option<Away>)> {
        let (mut left, mut why, mut silent) = (0, None, Vec::new());
        for entry in fs::read_dir(&*self.owed)? {
            let place = entry?.path();
            let url = read::<Note>(&place).ok().flatten().map(|note| note.what.url);
            if url.as_ref().is_some_and(|url| silent.contains(url)) {
                left += 1;
                continue;
            }
            match self.pay(&place) {
                Ok(()) => {}
                Err(error) => {
                    let Some(away) = away(&error).cloned() else { return Err(error) };
                    left += 1;
                    silent.extend(url);
                    why.get_or_insert(away);
                }
            }
        }
        Ok((left, why))
    }
}

/// A name that nothing in any bucket has.
fn fresh_name() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Digest(bytes).hex())
}

#[cfg(test)]
mod tests;
