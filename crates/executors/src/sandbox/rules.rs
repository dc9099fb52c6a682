//! Rules of Landlock: what may be read, executed and written, whatever the mounts are, and no signals or abstract sockets to the outside.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::{Built, Step, Walls, root};

/// Rights of the newest interface that is used where the kernel has it: with 6 come signals and abstract sockets.
const NEWEST: ABI = ABI::V6;

fn error(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// Shuts this process and what it starts in, for good.
pub(super) fn shut(walls: &Walls) -> Built<()> {
    let enforce = || match make(walls)?.restrict_self().map_err(error)?.ruleset {
        RulesetStatus::NotEnforced => Err(missing()),
        _ => Ok(()),
    };
    enforce().step(|| "rules of Landlock".into())
}

/// The rules for a process that shuts itself in with them.
pub(super) fn of(walls: &Walls) -> Built<OwnedFd> {
    let rules = make(walls).and_then(|rules| Option::<OwnedFd>::from(rules).ok_or_else(missing));
    rules.step(|| "rules of Landlock".into())
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this kernel has no Landlock")
}

fn make(walls: &Walls) -> io::Result<RulesetCreated> {
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let mut rules = rules.handle_access(AccessFs::from_all(NEWEST)).map_err(error)?;
    if !walls.site.layers.network && !walls.network_is_open() {
        // Without a network of its own nothing may connect or listen over TCP; the filter of system calls takes the rest.
        rules = rules.handle_access(AccessNet::from_all(NEWEST)).map_err(error)?;
    }
    let rules = rules.scope(Scope::AbstractUnixSocket | Scope::Signal).map_err(error)?;
    let mut rules = rules.create().map_err(error)?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in walls.site.runtime.shown.keys() {
        rules = allow(rules, path, read | AccessFs::Execute)?;
    }
    for note in ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/proc"] {
        rules = allow(rules, Path::new(note), read)?;
    }
    rules = allow(rules, Path::new("/dev"), read | AccessFs::WriteFile | AccessFs::IoctlDev)?;
    // Everything but making device files.
    let write = AccessFs::from_all(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let written = match walls.site.layers.namespaces {
        true => root::written(walls),
        false => walls.site.writable.iter().cloned().chain([walls.attempt.work.clone()]).collect(),
    };
    for path in &written {
        rules = allow(rules, path, write)?;
    }
    Ok(rules)
}

/// Allows something below a path, when there is such a path.
fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    let Ok(open) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(open, access)).map_err(error)
}
