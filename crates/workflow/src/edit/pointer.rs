//! Paths into a document.

use std::fmt;
use std::str::FromStr;

/// A path into a document, a JSON Pointer (RFC 6901): `/nodes/train/with/rows`, with `~1` for `/` and `~0` for `~`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(pub Vec<String>);

/// A text that is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path: it begins with `/`, such as `/nodes/train/with/rows`")]
pub struct NotAPointer(String);

impl FromStr for Pointer {
    type Err = NotAPointer;

    fn from_str(text: &str) -> Result<Pointer, NotAPointer> {
        match text.strip_prefix('/') {
            Some(rest) => Ok(Pointer(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())),
            None if text.is_empty() => Ok(Pointer::default()),
            None => Err(NotAPointer(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

impl serde::Serialize for Pointer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Pointer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pointer, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_read_back() {
        for text in ["", "/", "/a", "/a/b~1c/~0/-/0"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
        assert_eq!("/a~1b".parse::<Pointer>().unwrap().0, ["a/b"]);
        assert!("a/b".parse::<Pointer>().is_err());
    }
}
