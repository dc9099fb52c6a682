//! Taking secrets out of what is printed and said, also where they were encoded: Base64 (at any place within what was encoded, with the usual
//! and the URL alphabet), hexadecimal digits, percent escapes, JSON escapes. Best effort: whoever has a secret can say it in other ways.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::Secret;

/// What stands in the place of a secret.
pub const REDACTED: &[u8] = b"[secret]";

/// Takes secrets out of a stream of bytes, wherever the pieces of it end.
#[derive(Default)]
pub struct Redactor {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    /// Which bytes a pattern begins with.
    first: Vec<bool>,
    /// The end of what was given, as long as it may be the beginning of a secret.
    held: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("patterns", &self.patterns.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// One for these secrets.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Redactor {
        let mut patterns: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in secrets {
            patterns.extend(forms(secret.expose().as_bytes()).into_iter().map(Zeroizing::new));
        }
        // The longest first: one may be the beginning of another.
        patterns.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        let mut first = vec![false; 256];
        for pattern in &patterns {
            first[usize::from(pattern[0])] = true;
        }
        Redactor { patterns, first, held: Zeroizing::default() }
    }

    /// Whether there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Takes the next piece; gives what can be shown of it by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.is_empty() {
            return piece.to_vec();
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let (shown, rest) = self.scan(&bytes, false);
        self.held = Zeroizing::new(bytes[rest..].to_vec());
        shown
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.held);
        self.scan(&bytes, true).0
    }

    /// A whole text without the secrets.
    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.scan(text.as_bytes(), true).0).into_owned()
    }

    /// The bytes without the secrets, and from where on more has to be seen.
    fn scan(&self, bytes: &[u8], ended: bool) -> (Vec<u8>, usize) {
        let (mut shown, mut at) = (Vec::with_capacity(bytes.len()), 0);
        while at < bytes.len() {
            if self.first[usize::from(bytes[at])] {
                let rest = &bytes[at..];
                if !ended && self.patterns.iter().any(|pattern| pattern.len() > rest.len() && pattern.starts_with(rest)) {
                    return (shown, at);
                }
                if let Some(pattern) = self.patterns.iter().find(|pattern| rest.starts_with(pattern)) {
                    shown.extend_from_slice(REDACTED);
                    at += pattern.len();
                    continue;
                }
            }
            shown.push(bytes[at]);
            at += 1;
        }
        (shown, at)
    }
}

/// The forms in which a value is looked for.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let hex = |upper: bool| -> Vec<u8> {
        let digit = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        value.iter().map(digit).collect::<String>().into_bytes()
    };
    let percent = |upper: bool| -> Vec<u8> {
        let escape = |byte: &u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
            other if upper => format!("%{other:02X}"),
            other => format!("%{other:02x}"),
        };
        value.iter().map(escape).collect::<String>().into_bytes()
    };
    let mut forms = vec![value.to_vec(), hex(false), hex(true), percent(true), percent(false)];
    if let Ok(text) = std::str::from_utf8(value) {
        let json = serde_json::Value::from(text).to_string();
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
        // As JSON that writes everything outside of ASCII as escapes.
        let mut escaped = String::new();
        for unit in json[1..json.len() - 1].encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => escaped.push(char::from(byte)),
                _ => escaped.push_str(&format!("\\u{unit:04x}")),
            }
        }
        forms.push(escaped.into_bytes());
    }
    for before in 0..3usize {
        // Within something longer: what its letters are depends on where it begins, and the first and the last hang on what is beside it.
        let mut padded = vec![0; before];
        padded.extend_from_slice(value);
        let skip = [0, 2, 3][before];
        let whole = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            if let Some(core) = encoded.get(skip..whole)
                && core.len() >= 6
            {
                forms.push(core.as_bytes().to_vec());
            }
        }
    }
    forms.retain(|form| !form.is_empty());
    forms
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const VALUE: &str = "p\"ass/wörd+42&x";

    fn redactor() -> Redactor {
        Redactor::new(&[Secret::new("s", VALUE)])
    }

    #[test]
    fn every_form_is_taken_out_wherever_pieces_end() {
        let percent = "p%22ass%2Fw%C3%B6rd%2B42%26x";
        let mut texts = vec![
            VALUE.to_owned(),
            hex_of(VALUE),
            hex_of(VALUE).to_uppercase(),
            percent.to_owned(),
            percent.to_lowercase(),
            serde_json::json!({ "token": VALUE }).to_string(),
            "{\"token\":\"p\\\"ass/w\\u00f6rd+42&x\"}".to_owned(),
        ];
        for before in ["", "a", "ab", "user:"] {
            texts.push(STANDARD.encode(format!("{before}{VALUE}")));
            texts.push(URL_SAFE_NO_PAD.encode(format!("{before}{VALUE} and more")));
        }
        for text in texts {
            let text = format!("before {text} after");
            for size in [1, 2, 3, 7, text.len()] {
                let mut redactor = redactor();
                let mut shown = Vec::new();
                for piece in text.as_bytes().chunks(size) {
                    shown.extend(redactor.push(piece));
                }
                shown.extend(redactor.finish());
                let shown = String::from_utf8(shown).unwrap();
                assert!(shown.contains("[secret]"), "{text}: {shown}");
                assert!(shown.starts_with("before ") && shown.ends_with(" after"), "{shown}");
                for part in ["wörd", "ass/w", "w%C3%B6rd", "72642b3432"] {
                    assert!(!shown.to_lowercase().contains(&part.to_lowercase()), "{text}: {shown}");
                }
            }
        }
    }

    fn hex_of(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_only_begins_like_a_secret_is_shown() {
        let mut redactor = redactor();
        let mut shown = redactor.push(b"p\"ass");
        shown.extend(redactor.push(b"ive voice"));
        shown.extend(redactor.finish());
        assert_eq!(shown, b"p\"assive voice");
        let mut cut = redactor;
        assert_eq!(cut.push(b"x p\"ass/w"), b"x ");
        assert_eq!(cut.finish(), b"p\"ass/w");
        assert_eq!(Redactor::default().push(b"as it is"), b"as it is");
    }

    #[test]
    fn texts_without_secrets_stay_as_they_are() {
        let text = "a log of some length, with nothing in it: ".repeat(500);
        assert_eq!(redactor().text(&text), text);
        assert_eq!(redactor().text(&format!("connect: {VALUE} refused")), "connect: [secret] refused");
    }
}
