//! The key that signs tickets, and what a ticket of an order says.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use executors::AttemptSpec;
use executors::tickets::{Authority, LIFETIME, task_digest};
use model::{Digest, EgressGrant, Label, SignedTicket, Ticket};

use crate::clock::{random_bytes, wall};

/// The folder in the data directory.
const FOLDER: &str = "dispatch";
/// The file of the seed, in hexadecimal digits. Whoever has it can order what they like from this server's sites.
const KEY: &str = "key";

/// What an order allows beside what it says itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    /// The label of what the attempt reads.
    pub(crate) label: Label,
    /// The secrets that it is given, by reference.
    pub(crate) secrets: std::collections::BTreeSet<String>,
    /// What it may reach.
    pub(crate) egress: std::collections::BTreeSet<EgressGrant>,
}

/// The authority of a data directory; its key is made when there is none.
pub(crate) fn authority(data: &Path) -> std::io::Result<Arc<Authority>> {
    let folder = data.join(FOLDER);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let file = folder.join(KEY);
    let text = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(&folder)?,
        other => other?,
    };
    let unreadable = || std::io::Error::new(ErrorKind::InvalidData, format!("`{}` holds no key", file.display()));
    let seed: Digest = text.trim().parse().map_err(|_| unreadable())?;
    Authority::from_seed(&seed.0).map(Arc::new).ok_or_else(unreadable)
}

/// An authority that is kept nowhere, for a directory in which nothing is begun.
pub(crate) fn nobody() -> std::io::Result<Arc<Authority>> {
    Authority::from_seed(&random_bytes()).map(Arc::new).ok_or_else(|| std::io::Error::other("no key can be made"))
}

fn make(folder: &Path) -> std::io::Result<String> {
    let text = Digest(random_bytes()).hex();
    let beside = folder.join(format!(".{KEY}.partial"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&beside, folder.join(KEY))?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(text)
}

/// The ticket for an order at a site, good from now on.
pub(crate) fn issue(authority: &Authority, site: &str, spec: &AttemptSpec, allowed: Allowed) -> SignedTicket {
    let Allowed { label, secrets, egress } = allowed;
    authority.sign(Ticket {
        attempt: spec.key,
        epoch: spec.epoch,
        site: site.to_owned(),
        task: task_digest(spec),
        label,
        secrets,
        egress,
        expires: wall().after(LIFETIME),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_stays_and_is_for_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let key = authority(data.path()).unwrap().key();
        assert_eq!(authority(data.path()).unwrap().key(), key);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = data.path().join(FOLDER);
        assert_eq!((mode(&folder), mode(&folder.join(KEY))), (0o700, 0o600));
        std::fs::write(folder.join(KEY), "nothing").unwrap();
        assert_eq!(authority(data.path()).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
