//! Lists of objects: a page at a time, in the order of their keys.

use std::fs;
use std::io;
use std::path::Path;

use crate::objects::{FOLDER, OPEN, Page, SEALED, meta, unescape};

/// Objects that a list asks for, in the order of their keys. It ends where its page does: a large folder is not looked at whole for each of them.
pub(crate) struct Listing<'l> {
    pub(crate) prefix: &'l str,
    /// Whether folders stand for what is in them.
    pub(crate) delimiter: bool,
    pub(crate) after: &'l str,
    pub(crate) limit: usize,
    pub(crate) page: Page,
}

impl Listing<'_> {
    /// Lists what is below a folder; false when the page is full.
    pub(crate) fn walk(&mut self, folder: &Path, at: String) -> io::Result<bool> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut found: Vec<(String, String)> = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(part) = name.strip_suffix([OPEN, SEALED]) {
                found.push((format!("{at}{}", unescape(part)), name));
            } else if let Some(part) = name.strip_suffix(FOLDER) {
                found.push((format!("{at}{}/", unescape(part)), name));
            }
        }
        // With the slash of folders this is the order of all that is below them, too.
        found.sort_unstable();
        for (key, name) in found {
            let place = folder.join(&name);
            let goes_on = if name.ends_with(FOLDER) { self.folder(&place, key)? } else { self.object(&place, key)? };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn object(&mut self, place: &Path, key: String) -> io::Result<bool> {
        // One that was written anew is there twice for a moment.
        let again = self.page.objects.last().is_some_and(|last| last.key == key);
        if again || key.as_str() <= self.after || !key.starts_with(self.prefix) {
            return Ok(true);
        }
        // It may have gone away since.
        let is_sealed = place.as_os_str().as_encoded_bytes().ends_with(SEALED.to_string().as_bytes());
        let Ok(meta) = fs::metadata(place).and_then(|file| meta(key, &file, is_sealed)) else { return Ok(true) };
        if self.is_full() {
            return Ok(false);
        }
        self.page.objects.push(meta);
        Ok(true)
    }

    fn folder(&mut self, place: &Path, key: String) -> io::Result<bool> {
        let is_within = key.starts_with(self.prefix);
        if !is_within && !self.prefix.starts_with(&key) {
            return Ok(true);
        }
        if !(self.delimiter && is_within) {
            // All that is below it stands before what was listed last.
            let is_past = key.as_str() < self.after && !self.after.starts_with(&key);
            return if is_past { Ok(true) } else { self.walk(place, key) };
        }
        if key.as_str() <= self.after {
            return Ok(true);
        }
        if self.is_full() {
            return Ok(false);
        }
        self.page.prefixes.push(key);
        Ok(true)
    }

    /// Whether there is no room for another; the next page begins after the last.
    fn is_full(&mut self) -> bool {
        let page = &mut self.page;
        let is_full = page.objects.len() + page.prefixes.len() >= self.limit;
        if is_full {
            page.next = page.objects.last().map(|meta| meta.key.clone()).max(page.prefixes.last().cloned());
        }
        is_full
    }
}
