//! Directory artifacts: a canonical listing whose files are artifacts of their own.

use model::Digest;

/// What a directory holds. Its canonical JSON is the artifact. Folders without files are not part of it.
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
/// How every listing begins.
pub(crate) const HEAD: &[u8] = b"{\"format\":\"tutti-directory-1\"";
/// A listing is read whole; a larger file is none.
pub(crate) const LISTING_BYTES_MAX: u64 = 64 << 20;
/// Levels of folders in a directory artifact.
pub(crate) const DEPTH_MAX: usize = 64;

impl Listing {
    /// Reads a listing. None when it is not one, or one that leads out of its folder.
    pub(crate) fn read(bytes: &[u8]) -> Option<Listing> {
        let listing: Listing = serde_json::from_slice(bytes).ok()?;
        let in_order = listing.entries.iter().zip(listing.entries.iter().skip(1)).all(|(a, b)| a.path < b.path);
        (listing.format == FORMAT && in_order && listing.entries.iter().all(|entry| is_inside(&entry.path))).then_some(listing)
    }
}

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

    #[test]
    fn listings_begin_with_their_mark_and_are_in_order() {
        let entry = |path: &str| ListingEntry { path: path.into(), digest: Digest::of(b""), size: 0, executable: false };
        let json = |paths: &[&str]| {
            let listing = Listing { format: FORMAT.into(), entries: paths.iter().map(|path| entry(path)).collect() };
            serde_json::to_vec(&listing).unwrap()
        };
        assert!(json(&["a"]).starts_with(HEAD));
        assert!(Listing::read(&json(&["a", "b/c"])).is_some());
        for bad in [&["../x"][..], &["a", "a"], &["b", "a"]] {
            assert_eq!(Listing::read(&json(bad)), None, "{bad:?}");
        }
    }
}
