//! Bodies that come in chunks with their sizes before them, as clients of S3 send what they cannot measure beforehand (`aws-chunked`).

/// The longest line that says the size of a chunk, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// The line at the beginning, and what comes after it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?.strip_suffix('\r')?;
    Some((text, &bytes[end + 1..]))
}

/// The content; none when the chunks are broken, or when their end is missing.
pub fn join(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::with_capacity(bytes.len());
    loop {
        let (head, rest) = line(bytes)?;
        let size = head.split(';').next()?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            // Checksums may come after the content.
            return Some(whole);
        }
        let (chunk, rest) = rest.split_at_checked(size)?;
        whole.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_broken_is_nothing() {
        assert_eq!(join(b"0\r\n\r\n"), Some(Vec::new()));
        assert_eq!(join(b"3;chunk-signature=ab\r\nabc\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"), Some(b"abc".to_vec()));
        for broken in [
            "",
            "3\r\nab",
            "3\r\nabc",
            "3\r\nabcd\r\n0\r\n",
            "3\r\nabc\r\n",
            "+3\r\nabc\r\n0\r\n",
            "ffffffffffffffffff\r\n",
            "3\nabc\r\n0\r\n",
        ] {
            assert_eq!(join(broken.as_bytes()), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_are_joined(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8)) {
            let mut body = Vec::new();
            for part in &parts {
                body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                body.extend_from_slice(part);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(join(&body), Some(parts.concat()));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(whole) = join(&bytes) {
                prop_assert!(whole.len() <= bytes.len());
            }
        }
    }
}
