//! Keys, and sealing what is small: AES-256-GCM with a random nonce.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::{KeyError, Result};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of what says that nothing was changed.
pub(crate) const TAG_BYTES: usize = 16;
/// What sealing adds to a value: the nonce and the tag.
pub const OVERHEAD_BYTES: usize = NONCE_LEN + TAG_BYTES;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| KeyError::Setting("the system gives no random numbers".into()))?;
    Ok(bytes)
}

/// A key that seals data. Its bytes are wiped when it is dropped; what the cipher makes of them is not.
pub struct DataKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    cipher: LessSafeKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl DataKey {
    /// A new key.
    pub fn random() -> Result<DataKey> {
        DataKey::new(Zeroizing::new(random()?))
    }

    pub(crate) fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<DataKey> {
        let unbound = UnboundKey::new(&AES_256_GCM, &bytes[..]).map_err(|_| KeyError::Setting("a key is too short".into()))?;
        Ok(DataKey { bytes, cipher: LessSafeKey::new(unbound) })
    }

    /// The key with these bytes, when they are as many as a key has.
    pub(crate) fn of(bytes: &[u8], what: &str) -> Result<DataKey> {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| KeyError::Tampered(what.to_owned()))?;
        DataKey::new(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Seals a value. `about` is not part of it, and has to be the same to open it: what it is, and where it belongs.
    pub fn seal(&self, about: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = Vec::with_capacity(value.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let (_, place) = sealed.split_at_mut(NONCE_LEN);
        let tag = self.seal_in_place(nonce, about, place)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`DataKey::seal`] gave.
    pub fn open(&self, about: &[u8], sealed: &[u8], what: &str) -> Result<Zeroizing<Vec<u8>>> {
        let tampered = || KeyError::Tampered(what.to_owned());
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(tampered)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| tampered())?;
        let mut place = Zeroizing::new(rest.to_vec());
        let length = self.open_in_place(nonce, about, &mut place).ok_or_else(tampered)?;
        place.truncate(length);
        Ok(place)
    }

    pub(crate) fn seal_in_place(&self, nonce: [u8; NONCE_LEN], about: &[u8], place: &mut [u8]) -> Result<[u8; TAG_BYTES]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher.seal_in_place_separate_tag(nonce, Aad::from(about), place);
        let tag = tag.map_err(|_| KeyError::Setting("it is too large to be sealed".into()))?;
        tag.as_ref().try_into().map_err(|_| KeyError::Setting("the cipher gives another tag than expected".into()))
    }

    /// The bytes of the value at the beginning of `place`; none when it is not what was sealed.
    pub(crate) fn open_in_place(&self, nonce: [u8; NONCE_LEN], about: &[u8], place: &mut [u8]) -> Option<usize> {
        let opened = self.cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(about), place);
        opened.ok().map(|value| value.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_key_and_in_its_place_alone() {
        let (key, other) = (DataKey::random().unwrap(), DataKey::random().unwrap());
        let sealed = key.seal(b"here", b"value").unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(&key.open(b"here", &sealed, "it").unwrap()[..], b"value");
        assert_ne!(key.seal(b"here", b"value").unwrap(), sealed, "twice the same is not the same");
        assert!(matches!(key.open(b"there", &sealed, "it"), Err(KeyError::Tampered(what)) if what == "it"));
        assert!(other.open(b"here", &sealed, "it").is_err());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(key.open(b"here", &changed, "it").is_err(), "byte {place}");
            assert!(key.open(b"here", &sealed[..place], "it").is_err(), "cut at {place}");
        }
        assert_eq!(format!("{key:?}"), "DataKey(…)");
    }
}
