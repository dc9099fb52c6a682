//! Events to bytes and back. The bytes are what is hashed: they are stored and never made again from the event.

use crate::event::Event;

/// Bytes that are not an event of this or an earlier version.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A later version wrote it.
    #[error("an event that this version does not know ({0}): a later version of the program wrote it; use that one")]
    Newer(minicbor::decode::Error),
    /// The bytes are not those of an event.
    #[error("not an event: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// Something stands behind the event.
    #[error("not an event: {0} bytes too many")]
    Trailing(usize),
}

/// The kinds of facts that only projections and people care about: folding them changes nothing, so that a restart passes them over.
pub const UNFOLDED: [u8; 10] = [9, 22, 24, 33, 49, 50, 51, 80, 81, 82];

/// The bytes of an event.
pub fn encode(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    encode_into(event, &mut bytes);
    bytes
}

/// Appends the bytes of an event, so that who encodes many can use one buffer.
pub fn encode_into(event: &Event, bytes: &mut Vec<u8>) {
    // Writing to a vector cannot fail; a custom encoder that errs would be a bug caught by every test.
    let _ = minicbor::encode(event, bytes);
}

/// The event of these bytes. Payload bodies and salts are not part of them and come back empty.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let event = decoder.decode().map_err(|error: minicbor::decode::Error| match error.is_unknown_variant() {
        true => DecodeError::Newer(error),
        false => DecodeError::Malformed(error),
    })?;
    match bytes.len() - decoder.position() {
        0 => Ok(event),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

/// The number of the event's variant, read from its bytes; 255 for what is not an event. Stored beside the bytes, so that entries of a
/// kind are found without decoding the others.
pub fn kind(bytes: &[u8]) -> u8 {
    let mut decoder = minicbor::Decoder::new(bytes);
    let variant = decoder.array().and_then(|_| decoder.u32());
    variant.ok().and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX)
}
