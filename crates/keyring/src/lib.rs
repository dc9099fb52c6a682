//! L2: the keys of a data directory and what is sealed under them.
//!
//! Three levels. A *key service* (a key file, a passphrase, a transit engine) holds the key that nothing else here holds; it wraps the
//! *root key*; the root key wraps the *data keys*: one of every run, for its values, and one of every stored file. Destroying a data key
//! destroys what it sealed, wherever copies of that lie. Rotation makes a new root key and wraps the data keys anew; what they sealed is not
//! touched.
//!
//! Everything here blocks: async code calls it on a thread for that.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod content;
mod error;
mod files;
mod keyring;
mod redact;
mod rotation;
mod seal;
mod secrets;
mod service;
mod stream;
mod transit;

pub use content::{Content, ReadAt};
pub use error::KeyError;
pub use files::{FileKey, Holder};
pub use keyring::{Keyring, RUNS_AHEAD, Status};
pub use redact::{REDACTED, Redactor};
pub use rotation::Rotated;
pub use seal::{DataKey, OVERHEAD_BYTES};
pub use secrets::{SCHEME, Secret, SecretInfo, referenced};
pub use service::{Cost, KeyFile, KeyService, Passphrase, Source};
pub use stream::{CHUNK_BYTES, HEAD_BYTES, SealedReader, SealedWriter, plain_size, sealed_head, sealed_size};
pub use transit::{Transit, TransitOptions};

/// What goes wrong with keys, or what was asked for.
pub type Result<T> = std::result::Result<T, KeyError>;
