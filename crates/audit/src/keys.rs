//! Keys under notes: Ed25519, written as the formats for logs and witnesses write them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use crate::note::{Signature, cosigned};

/// What a secret key's text begins with.
const PRIVATE: &str = "PRIVATE+KEY+";
/// The longest name of a key.
const NAME_BYTES_MAX: usize = 256;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// The checkpoints of a log.
    Log,
    /// That a witness saw a checkpoint, and when.
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            KeyKind::Log => 0x01,
            KeyKind::Witness => 0x04,
        }
    }
}

/// A text that is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: {0}")]
pub struct BadKey(&'static str);

/// Whether a key may have this name: it is not empty, not too long, and holds no space, no plus and no control character.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// The public half: what a verifier has to have from somewhere it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    kind: KeyKind,
    bytes: [u8; 32],
}

impl PublicKey {
    /// The name: the origin of a log, or that of a witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The bytes of the key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The number under which its signatures stand: the first bytes of the hash of its name, its kind and its bytes.
    pub fn id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', self.kind.byte()]).chain_update(self.bytes).finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        id
    }

    /// The number in hexadecimal digits.
    pub fn id_hex(&self) -> String {
        self.id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [[self.kind.byte()].as_slice(), &self.bytes].concat();
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(bytes))
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<PublicKey, BadKey> {
        let (name, id, kind, bytes) = parts(text)?;
        let key = PublicKey { name: name.to_owned(), kind, bytes };
        match key.id_hex() == id {
            true => Ok(key),
            false => Err(BadKey("its number is not that of its bytes")),
        }
    }
}

fn parts(text: &str) -> Result<(&str, &str, KeyKind, [u8; 32]), BadKey> {
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadKey("it is not NAME+NUMBER+BYTES"));
    };
    if !is_name(name) {
        return Err(BadKey("it has no usable name"));
    }
    let bytes = STANDARD.decode(encoded).map_err(|_| BadKey("its bytes are not base64"))?;
    let (kind, bytes) = bytes.split_first().ok_or(BadKey("it has no bytes"))?;
    let kind = match kind {
        0x01 => KeyKind::Log,
        0x04 => KeyKind::Witness,
        _ => return Err(BadKey("it is of a kind that is not known here")),
    };
    let bytes = bytes.try_into().map_err(|_| BadKey("it does not have 32 bytes"))?;
    Ok((name, id, kind, bytes))
}

/// The secret half.
pub struct SecretKey {
    public: PublicKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl SecretKey {
    /// The key of a seed, which is 32 random bytes.
    pub fn from_seed(name: &str, kind: KeyKind, seed: [u8; 32]) -> Result<SecretKey, BadKey> {
        if !is_name(name) {
            return Err(BadKey("it has no usable name"));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadKey("its seed is not one"))?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| BadKey("it does not have 32 bytes"))?;
        Ok(SecretKey { public: PublicKey { name: name.to_owned(), kind, bytes }, seed, pair })
    }

    /// The key of a text that [`SecretKey::to_text`] gave.
    pub fn parse(text: &str) -> Result<SecretKey, BadKey> {
        let text = text.trim().strip_prefix(PRIVATE).ok_or(BadKey("it is not a secret key"))?;
        let (name, id, kind, seed) = parts(text)?;
        let key = SecretKey::from_seed(name, kind, seed)?;
        match key.public.id_hex() == id {
            true => Ok(key),
            false => Err(BadKey("its number is not that of its bytes")),
        }
    }

    /// The key as a text. Whoever has it can sign.
    pub fn to_text(&self) -> String {
        let bytes = [[self.public.kind.byte()].as_slice(), &self.seed].concat();
        format!("{PRIVATE}{}+{}+{}", self.public.name, self.public.id_hex(), STANDARD.encode(bytes))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature over a text; of a witness, over the text and a time in seconds since 1970.
    pub fn sign(&self, text: &str, time: u64) -> Signature {
        let bytes = match self.public.kind {
            KeyKind::Log => self.pair.sign(text.as_bytes()).as_ref().to_vec(),
            KeyKind::Witness => {
                let signature = self.pair.sign(cosigned(text, time).as_bytes());
                [time.to_be_bytes().as_slice(), signature.as_ref()].concat()
            }
        };
        Signature { name: self.public.name.clone(), id: self.public.id(), bytes }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.public).finish()
    }
}
