//! Paths of actions that bring a file to another site: `READER<-DIGEST@SITE`, with `.ATTEMPT` behind it where a later attempt of the reader wants it.

use crate::{AttemptNo, Digest};

/// What stands between the reader and the file.
const ARROW: &str = "<-";
/// Digits of a digest in a path.
const DIGITS: usize = 12;

/// The parts of such a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferPath<'p> {
    /// The path of the action that is to read the file.
    pub reader: &'p str,
    /// The first digits of the file's digest.
    pub digest: &'p str,
}

impl<'p> TransferPath<'p> {
    /// The parts of a path; none when it is that of another action.
    pub fn parse(path: &'p str) -> Option<TransferPath<'p>> {
        let (reader, rest) = path.split_once(ARROW)?;
        let (digest, _) = rest.split_once('@')?;
        Some(TransferPath { reader, digest })
    }

    /// Whether a path is that of a transfer.
    pub fn is_one(path: &str) -> bool {
        TransferPath::parse(path).is_some()
    }

    /// The path of a transfer to a site, for an attempt of its reader.
    pub fn of(reader: &str, file: &Digest, site: &str, attempt: AttemptNo) -> String {
        let digest = TransferPath::digits(file);
        match attempt.0 {
            1 => format!("{reader}{ARROW}{digest}@{site}"),
            attempt => format!("{reader}{ARROW}{digest}@{site}.{attempt}"),
        }
    }

    /// What a path says of a file.
    pub fn digits(file: &Digest) -> String {
        file.hex().chars().take(DIGITS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_taken_apart() {
        let file = Digest::of(b"a file");
        let digits = TransferPath::digits(&file);
        for (reader, attempt) in [("score[2]", 1), ("sub/train", 3)] {
            let path = TransferPath::of(reader, &file, "edge.berlin", AttemptNo(attempt));
            assert_eq!(TransferPath::parse(&path), Some(TransferPath { reader, digest: &digits }), "{path}");
        }
        assert_eq!(TransferPath::of("a", &file, "b", AttemptNo(2)), format!("a<-{digits}@b.2"));
        assert!(!TransferPath::is_one("sub/train") && !TransferPath::is_one("a<-b"));
    }
}
