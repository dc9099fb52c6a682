//! The declared checks of sanitizers, carried out on what they gave before anybody may read it without the tags that they take off.
//!
//! An output that does not pass fails its attempt: nothing is given, so that nothing loses a tag.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, LazyLock};

use engine::Outcome;
use engine::event::Located;
use model::govern::Checks;
use model::{ArtifactRef, AttemptKey, Failure, FailureClass, Node};
use parking_lot::Mutex;
use policy::Rules;
use regex::bytes::Regex;
use serde_json::Value;

use crate::Sites;

/// Bytes of a file that are looked at at a time.
const CHUNK: usize = 1 << 20;
/// What is looked at again with the next bytes: nothing that a detector finds is longer.
const OVERLAP: usize = 512;

/// Sanitizers with checks, by the attempt that runs one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sanitizing {
    inner: Arc<Inner>,
}

struct Inner {
    sites: Sites,
    wanted: Mutex<BTreeMap<AttemptKey, Vec<(String, Checks)>>>,
}

impl Sanitizing {
    pub(crate) fn new(sites: Sites) -> Sanitizing {
        Sanitizing { inner: Arc::new(Inner { sites, wanted: Mutex::default() }) }
    }

    /// An attempt at a node is ordered: when the node is a sanitizer with checks, what it gives is looked at.
    pub(crate) fn expect(&self, key: AttemptKey, node: &Node, rules: &Rules) {
        let Some(identity) = (!node.lowers.is_empty()).then(|| node.identity()).flatten() else { return };
        let of_it = rules.sanitizers().values().filter(|one| one.identity == identity && !one.checks.is_empty());
        let wanted: Vec<(String, Checks)> = of_it.map(|one| (one.name.clone(), one.checks.clone())).collect();
        if !wanted.is_empty() {
            self.inner.wanted.lock().insert(key, wanted);
        }
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
        for artifact in artifacts {
            let stores = locations.iter().filter(|located| located.artifact == artifact.digest);
            let content = stores.filter_map(|located| self.inner.sites.store(&located.site)?.open(&artifact.digest).ok()).next();
            // What cannot be looked at has not passed.
            let Some(content) = content else { return Some(format!("its file `{}` cannot be looked at", artifact.name)) };
            match in_file(&checks.without, content) {
                Ok(None) => {}
                Ok(Some(detector)) => {
                    return Some(format!("its file `{}` holds what looks like {}", artifact.name, named(detector)));
                }
                Err(error) => return Some(format!("its file `{}` cannot be looked at: {error}", artifact.name)),
            }
        }
        None
    }
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
    static CARD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)\b[0-9](?:[ -]?[0-9]){12,18}\b").ok());
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

/// Whether the check digit of a card number fits (Luhn).
fn is_card(text: &[u8]) -> bool {
    let digits: Vec<u32> = text.iter().filter(|sign| sign.is_ascii_digit()).map(|sign| u32::from(sign - b'0')).collect();
    let sum = digits.iter().rev().enumerate().map(|(place, digit)| match place % 2 {
        0 => *digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    });
    sum.sum::<u32>() % 10 == 0
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
        let file = json!({"$artifact": {"digest": model::Digest::of(b"x"), "size": 1, "name": "out.csv"}});
        assert!(fault(clean, file).unwrap().contains("cannot be looked at"));
    }
}
