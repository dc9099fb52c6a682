//! Events to bytes and back. The bytes are what is hashed: they are stored and never made again from the event.

use crate::event::Event;

/// Bytes that are not an event of this or an earlier version.
#[derive(Debug, thiserror::Error)]
#[error("not an event: {0}")]
pub struct DecodeError(#[from] minicbor::decode::Error);

/// The bytes of an event.
pub fn encode(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    // Writing to a vector cannot fail; a custom encoder that errs would be a bug caught by every test.
    let _ = minicbor::encode(event, &mut bytes);
    bytes
}

/// The event of these bytes. Payload bodies and salts are not part of them and come back empty.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    Ok(minicbor::decode(bytes)?)
}

/// The number of the event's variant, read from its bytes; 255 for what is not an event. Stored beside the bytes, so that entries of a
/// kind are found without decoding the others.
pub fn kind(bytes: &[u8]) -> u8 {
    let mut decoder = minicbor::Decoder::new(bytes);
    let variant = decoder.array().and_then(|_| decoder.u32());
    variant.ok().and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX)
}
