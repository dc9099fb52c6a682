//! Directory artifacts: a canonical listing whose files are artifacts of their own.

use model::Digest;

/// What a directory holds. Its canonical JSON is the artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Always `tutti-directory-1`: no other file is taken for a listing by accident.
    pub format: String,
    /// The files, by path.
    pub entries: Vec<ListingEntry>,
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingEntry {
    /// Its path, relative, `/`-separated, without `.` and `..`.
    pub path: String,
    /// Its content.
    pub digest: Digest,
    /// Bytes of it.
    pub size: u64,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// The mark of a listing.
pub(crate) const FORMAT: &str = "tutti-directory-1";
/// A listing is read whole; a larger file is none.
pub(crate) const LISTING_BYTES_MAX: u64 = 64 << 20;

/// Whether a path stays inside the folder it is relative to.
pub(crate) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with('/')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for good in ["a", "a/b.txt", "..a/b..", "a/...b"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in ["", "/a", "../a", "a/../b", "a//b", "./a", "a/.", "a\0b", "a/"] {
            assert!(!is_inside(bad), "{bad:?}");
        }
    }
}
