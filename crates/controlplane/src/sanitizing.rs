//! The declared checks of sanitizers, carried out on what they gave before anybody may read it without the tags that they take off.
//!
//! An output that does not pass fails its attempt: nothing is given, so that nothing loses a tag.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, LazyLock};

use artifacts::Store;
use engine::event::Located;
use engine::{Dispatch, Event, Outcome};
use journal::{JournalError, Reader};
use model::govern::{Checks, SanitizerSpec};
use model::value::ArtifactKind;
use model::{ArtifactRef, AttemptKey, Digest, Failure, FailureClass, Seq};
use parking_lot::Mutex;
use policy::Rules;
use regex::bytes::Regex;
use serde_json::Value;

use crate::Sites;

/// Bytes of a file that are looked at at a time.
const CHUNK: usize = 1 << 20;
/// What is looked at again with the next bytes: nothing that a detector finds is longer.
const OVERLAP: usize = 512;

/// Entries of the journal that are looked at in one step.
const EVENTS: usize = 1_000;

/// Sanitizers with checks, by the attempt that runs one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sanitizing {
    inner: Arc<Inner>,
}

struct Inner {
    sites: Sites,
    wanted: Mutex<BTreeMap<AttemptKey, Vec<(String, Checks)>>>,
    /// Checks by the digest of what was approved: there are few, and they are small.
    approved: Mutex<BTreeMap<Digest, Checks>>,
}

impl Sanitizing {
    pub(crate) fn new(sites: Sites) -> Sanitizing {
        Sanitizing { inner: Arc::new(Inner { sites, wanted: Mutex::default(), approved: Mutex::default() }) }
    }

    /// An attempt is ordered: when its node is a sanitizer with checks, what it gives is looked at. The checks are those that were approved when
    /// its run was accepted, since it is by those that tags come off, whatever is registered now. Reads the journal: blocks.
    pub(crate) fn expect(&self, dispatch: &Dispatch, reader: &Reader, rules: &Rules) -> Result<(), Failure> {
        let node = &dispatch.node;
        let Some(identity) = (!node.lowers.is_empty()).then(|| node.identity()).flatten() else { return Ok(()) };
        let unread = |error: JournalError| Failure::new(FailureClass::Unknown, error.to_string());
        let wanted: Vec<(String, Checks)> = match reader.lowered_at(dispatch.key.run, &dispatch.path).map_err(unread)? {
            Some((name, Some(digest))) => {
                let Some(checks) = self.approved(reader, &name, digest).map_err(unread)? else {
                    let message = format!("what was approved of the sanitizer `{name}` is not in the journal: no tag comes off");
                    return Err(Failure::new(FailureClass::Refused, message));
                };
                vec![(name, checks)]
            }
            // An entry of an earlier version, or nothing that comes off here.
            _ => {
                let of_it = rules.sanitizers().values().filter(|one| one.identity == identity);
                of_it.map(|one| (one.name.clone(), one.checks.clone())).collect()
            }
        };
        let wanted: Vec<(String, Checks)> = wanted.into_iter().filter(|(_, checks)| !checks.is_empty()).collect();
        if !wanted.is_empty() {
            self.inner.wanted.lock().insert(dispatch.key, wanted);
        }
        Ok(())
    }

    /// The checks of a sanitizer in the version that was approved, which may have been deleted since; none when there never was such a version.
    fn approved(&self, reader: &Reader, name: &str, digest: Digest) -> Result<Option<Checks>, JournalError> {
        if let Some(checks) = self.inner.approved.lock().get(&digest) {
            return Ok(Some(checks.clone()));
        }
        let is_it = |body: Value| serde_json::from_value::<SanitizerSpec>(body).ok().filter(|spec| spec.digest() == digest);
        let registered = reader.versions("sanitizer")?.into_iter().filter(|row| row.name == name).find_map(|row| is_it(row.body));
        let mut found = registered.map(|spec| spec.checks);
        let mut after = Seq(0);
        while found.is_none() {
            let events = reader.resource_events(after, EVENTS)?;
            let Some((last, ..)) = events.last() else { return Ok(None) };
            after = *last;
            let of_it = |event: &Event| match event {
                Event::ResourceApplied(e) if e.kind == "sanitizer" && e.name == name => is_it(e.body.value().clone()),
                _ => None,
            };
            found = events.iter().find_map(|(_, _, event)| of_it(event)).map(|spec| spec.checks);
        }
        if let Some(checks) = &found {
            self.inner.approved.lock().insert(digest, checks.clone());
        }
        Ok(found)
    }

    /// Nothing of an attempt is looked at: it has ended without anything.
    pub(crate) fn forget(&self, key: AttemptKey) {
        self.inner.wanted.lock().remove(&key);
    }

    /// Whether what an attempt gives is looked at.
    pub(crate) fn expects(&self, key: AttemptKey) -> bool {
        self.inner.wanted.lock().contains_key(&key)
    }

    /// What an outcome is worth when it is looked at. Reads files: blocks.
    pub(crate) fn judge(&self, key: AttemptKey, outcome: Outcome, locations: &[Located]) -> Outcome {
        let Some(wanted) = self.inner.wanted.lock().remove(&key) else { return outcome };
        let Outcome::Succeeded(output) = &outcome else { return outcome };
        for (name, checks) in wanted {
            let found = self.fault(&checks, output, locations);
            if let Some(what) = found {
                let message =
                    format!("the output did not pass a check of the sanitizer `{name}`, so that no tag comes off: {what}");
                return Outcome::Failed(Failure::new(FailureClass::Output, message));
            }
        }
        outcome
    }

    /// What is wrong with an output. What was found is not repeated: it would be said without its tags.
    fn fault(&self, checks: &Checks, output: &Value, locations: &[Located]) -> Option<String> {
        let artifacts = ArtifactRef::all_in(output);
        let text = output.to_string();
        if let Some(most) = checks.bytes_max {
            let files = artifacts.iter().fold(0u64, |sum, artifact| sum.saturating_add(artifact.size));
            let size = files.saturating_add(text.len() as u64);
            if size > most {
                return Some(format!("it is {size} bytes, and may be {most}"));
            }
        }
        if !checks.fields.is_empty() {
            let Some(fields) = output.as_object() else { return Some("it has no fields".into()) };
            if let Some(other) = fields.keys().find(|field| !checks.fields.contains(field)) {
                return Some(format!("it has a field `{other}`, which it may not have"));
            }
        }
        if checks.without.is_empty() {
            return None;
        }
        if let Some(detector) = first_found(&checks.without, text.as_bytes()) {
            return Some(format!("its values hold what looks like {}", named(detector)));
        }
        artifacts.iter().find_map(|artifact| {
            let stores = locations.iter().filter(|located| located.artifact == artifact.digest);
            let mut stores = stores.filter_map(|located| self.inner.sites.store(&located.site));
            // What cannot be looked at has not passed.
            let store = stores.find(|store| store.has(&artifact.digest));
            let looked =
                store.ok_or_else(|| "cannot be looked at".to_owned()).and_then(|store| within(&checks.without, &store, artifact));
            looked.err().map(|what| format!("its file `{}` {what}", artifact.name))
        })
    }
}

/// Looks at a file, or at the names and all files of a directory, whatever the output calls it. What is wrong is said without what was found, and
/// without names, which whoever made the directory chose.
fn within(detectors: &[String], store: &Store, artifact: &ArtifactRef) -> Result<(), String> {
    let unread = |error: &dyn std::fmt::Display| format!("cannot be looked at: {error}");
    let look = |digest: &Digest, what: &str| {
        let content = store.open(digest).map_err(|error| unread(&error))?;
        match in_file(detectors, content).map_err(|error| unread(&error))? {
            None => Ok(()),
            Some(detector) => Err(format!("{what}holds what looks like {}", named(detector))),
        }
    };
    let listing = store.listing(&artifact.digest).map_err(|error| unread(&error))?;
    if listing.is_none() && artifact.kind == ArtifactKind::Directory {
        return Err("cannot be looked at: it says that it is a directory, and is none".into());
    }
    let Some(listing) = listing else { return look(&artifact.digest, "") };
    for entry in &listing.entries {
        if let Some(detector) = first_found(detectors, entry.path.as_bytes()) {
            return Err(format!("has a name that looks like {}", named(detector)));
        }
    }
    let mut files = listing.entries.iter().enumerate();
    files.try_for_each(|(number, entry)| look(&entry.digest, &format!("(file {} of it) ", number + 1)))
}

fn named(detector: &str) -> &'static str {
    match detector {
        "email" => "an e-mail address",
        "iban" => "a bank account (IBAN)",
        "ssn" => "a social security number",
        "card" => "the number of a card",
        _ => "what no detector of this version knows",
    }
}

/// The first detector that finds something in a file, piece by piece.
fn in_file(detectors: &[String], mut content: impl Read) -> std::io::Result<Option<&str>> {
    let mut window = Vec::with_capacity(CHUNK + OVERLAP);
    loop {
        let kept = window.len();
        let read = content.by_ref().take(CHUNK as u64).read_to_end(&mut window)?;
        if let Some(found) = first_found(detectors, &window) {
            return Ok(Some(found));
        }
        if read == 0 {
            return Ok(None);
        }
        debug_assert!(window.len() == kept + read);
        window.drain(..window.len().saturating_sub(OVERLAP));
    }
}

fn first_found<'d>(detectors: &'d [String], bytes: &[u8]) -> Option<&'d str> {
    detectors.iter().map(String::as_str).find(|detector| found(detector, bytes))
}

/// Whether a detector finds something. One that is not known finds something in everything.
fn found(detector: &str, bytes: &[u8]) -> bool {
    static EMAIL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?-u)[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}").ok());
    static IBAN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b").ok());
    static SSN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b").ok());
    static CARD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)\b[0-9](?:[ -]?[0-9]){12,}\b").ok());
    let (pattern, is_one): (&LazyLock<Option<Regex>>, fn(&[u8]) -> bool) = match detector {
        "email" => (&EMAIL, |_| true),
        "iban" => (&IBAN, is_iban),
        "ssn" => (&SSN, |_| true),
        "card" => (&CARD, is_card),
        _ => return true,
    };
    pattern.as_ref().is_none_or(|pattern| pattern.find_iter(bytes).any(|place| is_one(place.as_bytes())))
}

/// Whether the check digits of an account number fit (ISO 7064, mod 97-10), for any length that it may have.
fn is_iban(text: &[u8]) -> bool {
    let signs: Vec<u8> = text.iter().copied().filter(|sign| *sign != b' ').collect();
    let fits = |signs: &[u8]| {
        let turned = signs[4..].iter().chain(&signs[..4]);
        let rest = turned.fold(0u32, |rest, sign| match sign {
            b'0'..=b'9' => (rest * 10 + u32::from(sign - b'0')) % 97,
            _ => (rest * 100 + u32::from(sign - b'A') + 10) % 97,
        });
        rest == 1
    };
    // What follows it may look like more of it.
    (15..=signs.len().min(34)).any(|length| fits(&signs[..length]))
}

/// Whether the check digit of a card number fits (Luhn): of any groups of digits side by side that are as long as one. What stands before and behind
/// it, such as the month in which it ends, looks like more of it.
fn is_card(text: &[u8]) -> bool {
    let groups: Vec<&[u8]> = text.split(|sign| !sign.is_ascii_digit()).collect();
    let fits = |digits: &[u8]| {
        let sum = digits.iter().rev().enumerate().map(|(place, digit)| match (place % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        });
        sum.sum::<u32>() % 10 == 0
    };
    (0..groups.len()).any(|start| {
        let mut digits = Vec::new();
        groups[start..].iter().take(19).any(|group| {
            digits.extend_from_slice(group);
            (13..=19).contains(&digits.len()) && fits(&digits)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all() -> Vec<String> {
        ["email", "iban", "ssn", "card"].map(str::to_owned).to_vec()
    }

    #[test]
    fn detectors_find_what_they_are_for_and_not_what_looks_alike() {
        let first = |text: &str| first_found(&all(), text.as_bytes()).map(str::to_owned);
        assert_eq!(first("write to ada.l@mail.example.org now").as_deref(), Some("email"));
        assert_eq!(first("from DE89 3704 0044 0532 0130 00 on").as_deref(), Some("iban"));
        assert_eq!(first("GB82WEST12345698765432").as_deref(), Some("iban"));
        assert_eq!(first("is 078-05-1120.").as_deref(), Some("ssn"));
        assert_eq!(first("paid by 4111-1111-1111-1111").as_deref(), Some("card"));
        // What stands beside one hides it in neither direction.
        for beside in [
            "4111 1111 1111 1111 12/27",
            "4111111111111111 737",
            "17 4111 1111 1111 1111",
            "1 2 3 4 5 6 7 8 4111 1111 1111 1111 9",
        ] {
            assert_eq!(first(beside).as_deref(), Some("card"), "{beside}");
        }
        for nothing in ["a@b", "DE00370400440532013000", "4111-1111-1111-1112", "078-05-112", "2026-11-26", "sha256 0f3a"] {
            assert_eq!(first(nothing), None, "{nothing}");
        }
        assert!(found("iris", b""), "what is not known does not pass");
    }

    #[test]
    fn what_lies_across_pieces_of_a_file_is_found() {
        for before in [CHUNK - 5, CHUNK, 2 * CHUNK - 11] {
            let text = [vec![b' '; before], b"ada@example.org".to_vec(), vec![b' '; CHUNK]].concat();
            assert_eq!(in_file(&all(), text.as_slice()).unwrap(), Some("email"), "{before}");
        }
        assert_eq!(in_file(&all(), vec![b' '; 3 * CHUNK].as_slice()).unwrap(), None);
    }

    #[test]
    fn an_output_passes_its_checks_or_fails_without_repeating_what_was_found() {
        let data = tempfile::tempdir().unwrap();
        let (sender, _receiver) = tokio::sync::mpsc::unbounded_channel();
        let key = executors::tickets::TicketKey([0; 32]);
        let sites = Sites::new(data.path(), ("/bin/false".into(), Vec::new()), String::new(), key, None, sender).unwrap();
        let sanitizing = Sanitizing::new(sites);
        let fault = |checks: Checks, output: Value| sanitizing.fault(&checks, &output, &[]);
        let size = Checks { bytes_max: Some(10), ..Checks::default() };
        assert!(fault(size.clone(), json!({"a": "0123456789"})).is_some() && fault(size, json!(1)).is_none());
        let fields = Checks { fields: vec!["n".into()], ..Checks::default() };
        assert!(fault(fields.clone(), json!({"n": 1})).is_none());
        assert!(fault(fields.clone(), json!({"n": 1, "ssn": 2})).unwrap().contains("`ssn`"));
        assert!(fault(fields, json!([1])).is_some());
        let clean = Checks { without: all(), ..Checks::default() };
        let said = fault(clean.clone(), json!({"n": ["x", {"m": "ada@example.org"}]})).unwrap();
        assert!(said.contains("e-mail") && !said.contains("ada"), "{said}");
        assert!(fault(clean.clone(), json!({"n": 7})).is_none());
        let file = json!({"$artifact": {"digest": Digest::of(b"x"), "size": 1, "name": "out.csv"}});
        assert!(fault(clean, file).unwrap().contains("cannot be looked at"));
    }

    /// What a sanitizer gives as a directory is what its files hold: the listing alone says nothing of that.
    #[test]
    fn files_and_the_files_of_directories_are_looked_at() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open_at(data.path().join("store")).unwrap();
        let put = |name: &str, text: &str| {
            std::fs::write(data.path().join(name), text).unwrap();
            store.put_file(&data.path().join(name)).unwrap().digest
        };
        let directory = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir_in(data.path()).unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            store.put_directory(folder.path()).unwrap().digest
        };
        let look = |digest: Digest, kind: ArtifactKind| {
            within(&all(), &store, &ArtifactRef { digest, size: 1, kind, name: "out".into() })
        };
        assert_eq!(look(put("good", "n,m\n1,2\n"), ArtifactKind::File), Ok(()));
        let said = look(put("bad", "n\nada@example.org\n"), ArtifactKind::Table).unwrap_err();
        assert!(said.contains("e-mail") && !said.contains("ada"), "{said}");
        let good = directory(&[("a.csv", "1"), ("deep/b.csv", "2")]);
        assert_eq!(look(good, ArtifactKind::Directory), Ok(()));
        // Whatever the output calls it.
        for kind in [ArtifactKind::Directory, ArtifactKind::File] {
            let said = look(directory(&[("a.csv", "1"), ("deep/b.csv", "is 078-05-1120")]), kind).unwrap_err();
            assert!(said.contains("(file 2 of it) holds what looks like a social security number"), "{said}");
            let said = look(directory(&[("ada@example.org.csv", "1")]), kind).unwrap_err();
            assert!(said.contains("a name that looks like an e-mail") && !said.contains("ada"), "{said}");
        }
        assert!(look(put("plain", "1"), ArtifactKind::Directory).is_err(), "it is no directory");
        // A file of it that is gone was not looked at.
        let gone = directory(&[("c.csv", "gone")]);
        store.remove(&store.listing(&gone).unwrap().unwrap().entries[0].digest).unwrap();
        assert!(look(gone, ArtifactKind::Directory).unwrap_err().contains("cannot be looked at"));
    }
}
