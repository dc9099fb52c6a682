//! Bodies of payloads: they lie beside the journal, numbered within their entry in the order of the walk below, and can be destroyed
//! without touching a hash.
//!
//! Where there are keys, the bodies of a run are sealed under the key of that run, each for its own place; so is the salt of its
//! commitments. Bodies of entries of the fleet, which are documents, lie open.

use std::borrow::Cow;

use engine::Event;
use keyring::Keyring;
use model::{Payload, RunId};

use crate::JournalError;

/// The number under which a run's salt lies with its submission.
pub(crate) const SALT: i64 = -1;
/// The number under which whom a run is about lies with its submission.
pub(crate) const SUBJECT: i64 = -2;
/// What a sealed body begins with; no JSON does.
const SEALED: u8 = 1;
/// Bytes of a salt that lies open.
const SALT_BYTES: usize = 32;

/// Calls `visit` with every payload of an event, always in the same order.
pub(crate) fn walk<'e>(event: &'e mut Event, visit: &mut dyn FnMut(&'e mut Payload)) {
    event.each_payload(visit);
}

/// Where a body lies: it opens there and nowhere else.
fn about(run: u64, seq: u64, n: i64) -> Vec<u8> {
    [&b"body"[..], &run.to_be_bytes(), &seq.to_be_bytes(), &n.to_be_bytes()].concat()
}

fn of_keys(error: &keyring::KeyError) -> JournalError {
    JournalError::Keys(error.to_string())
}

/// The bytes of a body as they are kept.
pub(crate) fn seal<'b>(
    keys: Option<&Keyring>,
    run: RunId,
    seq: u64,
    n: i64,
    bytes: &'b [u8],
) -> Result<Cow<'b, [u8]>, JournalError> {
    let Some(keys) = keys.filter(|_| run != RunId::FLEET) else { return Ok(Cow::Borrowed(bytes)) };
    let key = keys.run_key(run.0).map_err(|error| of_keys(&error))?;
    let mut kept = vec![SEALED];
    kept.extend_from_slice(&run.0.to_be_bytes());
    kept.extend(key.seal(&about(run.0, seq, n), bytes).map_err(|error| of_keys(&error))?);
    Ok(Cow::Owned(kept))
}

/// A body as it is kept.
pub(crate) enum Kept {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// The key of its run is destroyed.
    Erased,
    /// There are no keys to open it with.
    Sealed,
    /// It is not what was sealed.
    Tampered,
}

/// Opens a body that lies in a place.
pub(crate) fn open(keys: Option<&Keyring>, seq: u64, n: i64, kept: Vec<u8>) -> Result<Kept, JournalError> {
    let is_sealed = kept.first() == Some(&SEALED) && (n != SALT || kept.len() != SALT_BYTES);
    if !is_sealed {
        return Ok(Kept::Bytes(kept));
    }
    let Some(keys) = keys else { return Ok(Kept::Sealed) };
    let Some((run, sealed)) = kept[1..].split_first_chunk::<8>() else { return Ok(Kept::Tampered) };
    let run = u64::from_be_bytes(*run);
    let key = match keys.run_key(run) {
        Ok(key) => key,
        Err(error) if error.is_erased() => return Ok(Kept::Erased),
        Err(error) => return Err(of_keys(&error)),
    };
    match key.open(&about(run, seq, n), sealed, "a value") {
        Ok(bytes) => Ok(Kept::Bytes(bytes.to_vec())),
        Err(_) => Ok(Kept::Tampered),
    }
}
