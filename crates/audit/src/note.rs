//! Signed notes (c2sp.org/signed-note): a text and the signatures under it. Two kinds of Ed25519 signatures are known: of a log over the
//! text, and of a witness over the text and a time (c2sp.org/tlog-cosignature).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::keys::{KeyKind, PublicKey, SecretKey, is_name};

/// Bytes of a note that is read.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// Signatures of a note that are read.
pub const SIGNATURES_MAX: usize = 32;
/// What a signature line begins with.
const MARK: &str = "\u{2014} ";

/// What is wrong with a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of one.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// The key has not signed it.
    #[error("it is not signed by `{0}`")]
    Unsigned(String),
    /// The signature under the name and the number of the key is not one of the key.
    #[error("the signature of `{0}` is wrong")]
    Forged(String),
}

/// A text with signatures. That it could be read says nothing about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The first bytes of the hash of the key.
    pub id: [u8; 4],
    /// The signature itself.
    pub bytes: Vec<u8>,
}

impl Note {
    /// A note with this text, which ends with a line break, and the signature of a log.
    pub fn sign(text: String, key: &SecretKey) -> Note {
        let signature = key.sign(&text, 0);
        Note { text, signatures: vec![signature] }
    }

    /// The note of these bytes.
    pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Form("it is too long"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Form("it is not UTF-8"))?;
        if whole.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Form("it holds control characters"));
        }
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Form("no blank line stands before its signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("its last line does not end"))?;
        let signatures = Signature::parse_lines(lines)?;
        if signatures.is_empty() {
            return Err(NoteError::Form("it has no signature"));
        }
        Ok(Note { text: format!("{text}\n"), signatures })
    }

    /// The text, with the line break at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks the signature of a key. For a witness the answer is the time at which it signed, in seconds since 1970.
    pub fn verify(&self, key: &PublicKey) -> Result<Option<u64>, NoteError> {
        let id = key.id();
        let mut last = Err(NoteError::Unsigned(key.name().to_owned()));
        for signature in self.signatures.iter().filter(|signature| signature.name == key.name() && signature.id == id) {
            last = Ok(signature.verify(&self.text, key)?);
        }
        last
    }

    /// Puts a signature beside the others; one under the same name and number is replaced.
    pub fn add(&mut self, signature: Signature) {
        self.signatures.retain(|known| known.name != signature.name || known.id != signature.id);
        self.signatures.push(signature);
    }

    /// The same note with the signatures of these keys alone, where they are right.
    pub fn only(&self, keys: &[PublicKey]) -> Note {
        let known = |signature: &&Signature| {
            keys.iter()
                .any(|key| signature.name == key.name() && signature.id == key.id() && signature.verify(&self.text, key).is_ok())
        };
        Note { text: self.text.clone(), signatures: self.signatures.iter().filter(known).cloned().collect() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// The signatures of lines, without the line break of the last.
    pub fn parse_lines(lines: &str) -> Result<Vec<Signature>, NoteError> {
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::Form("it has too many signatures"));
            }
            signatures.push(Signature::parse(line)?);
        }
        Ok(signatures)
    }

    fn parse(line: &str) -> Result<Signature, NoteError> {
        let wrong = || NoteError::Form("a line below its text is not a signature");
        let (name, encoded) = line.strip_prefix(MARK).and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
        let (id, bytes) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        if !is_name(name) || bytes.is_empty() {
            return Err(wrong());
        }
        Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    fn verify(&self, text: &str, key: &PublicKey) -> Result<Option<u64>, NoteError> {
        let forged = || NoteError::Forged(key.name().to_owned());
        match key.kind() {
            KeyKind::Log => key.verify(text.as_bytes(), &self.bytes).then_some(None).ok_or_else(forged),
            KeyKind::Witness => {
                let (time, signature) = self.bytes.split_first_chunk::<8>().ok_or_else(forged)?;
                let time = u64::from_be_bytes(*time);
                let message = cosigned(text, time);
                key.verify(message.as_bytes(), signature).then_some(Some(time)).ok_or_else(forged)
            }
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        write!(f, "{MARK}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// What a witness signs.
pub(crate) fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
