//! The hashes of the tree: SHA-256 over a byte that says what it is of, and that (RFC 6962). Entries are mostly shorter than a few blocks, and every
//! entry of the journal is hashed before it is acknowledged: what is short is laid out with its padding and compressed at once, without the buffer
//! of a hasher that takes pieces of any length. The compression uses the instructions of the processor where it has some.

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash of a leaf or of an inner node.
pub type Hash = [u8; 32];

/// Bytes of a block.
const BLOCK: usize = 64;
/// Blocks that are laid out at once.
const BLOCKS_MAX: usize = 6;
/// Bytes of the padding at least: a bit, and the length.
const PADDING: usize = 9;
/// What SHA-256 begins with (FIPS 180-4, 5.3.3).
const START: [u32; 8] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// An inner node before its children are put in: what it is, two hashes, a bit, and the length of that in bits.
const NODE: [[u8; BLOCK]; 2] = {
    let mut blocks = [[0; BLOCK]; 2];
    blocks[0][0] = 1;
    blocks[1][1] = 0x80;
    blocks[1][62] = 0x02;
    blocks[1][63] = 0x08;
    blocks
};

/// The hash of blocks that end with their padding.
fn compressed(blocks: &[[u8; BLOCK]]) -> Hash {
    let mut state = START;
    compress256(&mut state, blocks);
    let mut hash = [0; 32];
    hash.as_chunks_mut().0.iter_mut().zip(state).for_each(|(to, word): (&mut [u8; 4], _)| *to = word.to_be_bytes());
    hash
}

/// The hash of a head and what follows it; none when both together are too long to be laid out.
fn short<const HEAD: usize>(head: [u8; HEAD], rest: &[u8]) -> Option<Hash> {
    let length = HEAD + rest.len();
    let used = (length + PADDING).div_ceil(BLOCK);
    let mut blocks = [[0; BLOCK]; BLOCKS_MAX];
    let blocks = blocks.get_mut(..used)?;
    let bytes = blocks.as_flattened_mut();
    bytes.first_chunk_mut().map(|to| *to = head)?;
    bytes.get_mut(HEAD..length)?.copy_from_slice(rest);
    *bytes.get_mut(length)? = 0x80;
    bytes.last_chunk_mut().map(|to| *to = (length as u64 * 8).to_be_bytes())?;
    Some(compressed(blocks))
}

/// The hash of an entry: SHA-256 over 0x00 and its bytes.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    short([0], entry).unwrap_or_else(|| Sha256::new().chain_update([0u8]).chain_update(entry).finalize().into())
}

/// The hash of an entry of the journal: that of the leaf which is its time (microseconds since 1970, 8 bytes, big-endian) and its bytes.
/// When something happened is as much a part of the account as what.
pub fn entry_hash(at_us: u64, bytes: &[u8]) -> Hash {
    let [a, b, c, d, e, f, g, h] = at_us.to_be_bytes();
    let head = [0, a, b, c, d, e, f, g, h];
    short(head, bytes).unwrap_or_else(|| Sha256::new().chain_update(head).chain_update(bytes).finalize().into())
}

/// The hash of an inner node: SHA-256 over 0x01 and its children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut blocks = NODE;
    if let Some((to_left, rest)) = blocks.as_flattened_mut().get_mut(1..).and_then(<[u8]>::split_first_chunk_mut) {
        *to_left = *left;
        rest.first_chunk_mut().into_iter().for_each(|to| *to = *right);
    }
    compressed(&blocks)
}

/// The root of the tree without leaves: SHA-256 over nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard_at_every_length() {
        let bytes: Vec<u8> = (0..1_000u32).map(|number| (number * 7 % 251) as u8).collect();
        for length in 0..bytes.len() {
            let (entry, at) = (&bytes[..length], 1_800_000_000_000_000u64 + length as u64);
            let wanted: Hash = Sha256::digest([&[0], entry].concat()).into();
            assert_eq!(leaf_hash(entry), wanted, "{length}");
            let wanted: Hash = Sha256::digest([&[0], &at.to_be_bytes()[..], entry].concat()).into();
            assert_eq!(entry_hash(at, entry), wanted, "{length}");
        }
        for pair in bytes.windows(64) {
            let (left, right) = (pair[..32].try_into().unwrap(), pair[32..].try_into().unwrap());
            let wanted: Hash = Sha256::digest([&[1], pair].concat()).into();
            assert_eq!(node_hash(&left, &right), wanted);
        }
    }

    #[test]
    fn an_entry_is_a_leaf_of_its_time_and_its_bytes() {
        let (at, bytes) = (1_800_000_000_000_000u64, b"what happened".as_slice());
        let record = [at.to_be_bytes().as_slice(), bytes].concat();
        assert_eq!(entry_hash(at, bytes), leaf_hash(&record));
        assert_ne!(entry_hash(at, bytes), entry_hash(at + 1, bytes));
    }
}
