//! The command line.

use std::path::PathBuf;

use audit::export::{Trust, hash_of_hex};
use audit::policy::Policy;
use audit::{Checkpoint, Note, PublicKey};

/// What the program says about itself.
pub(crate) const USAGE: &str = "\
Checks an audit log of Tutti: an export (.jsonl), a proof of an entry (.tlog-proof), or an evidence pack (a zip archive, or its folder).

Usage: tutti-verify [OPTIONS] FILE

Options:
  --key KEY          the public key of the log that you trust, or a file that holds it
  --checkpoint FILE  a checkpoint that you kept: nothing before it may have changed (can be repeated; wants --key or --policy)
  --policy FILE      who has to have signed: logs, witnesses and a quorum of them (c2sp.org/tlog-policy)
  --root HEX         the root that you trust
  --json             the report as JSON
  --help, --version

It checks levels 1 and 2: signatures, the tree, the order of entries. Levels 3 and 4, where every decision of the rules is made and every label and
ticket computed again, are what `tutti audit verify` does with the same file: that takes the engine, which is not in here.
Without --key, --policy or --root it only says whether the file agrees with itself.
Exit codes: 0 it holds; 1 something is wrong; 2 it could not be checked.
";

/// What is asked for.
pub(crate) struct Asked {
    /// The file or folder.
    pub(crate) file: PathBuf,
    /// What is trusted.
    pub(crate) trust: Trust,
    /// Whether the report is JSON.
    pub(crate) json: bool,
}

impl Asked {
    /// What these words ask for; none for the help.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
        let (mut file, mut kept, mut trust, mut json) = (None, Vec::new(), Trust::default(), false);
        while let Some(word) = words.next() {
            let mut value = |what: &str| words.next().ok_or_else(|| format!("`{word}` wants {what}"));
            match word.as_str() {
                "--help" | "-h" => return Ok(None),
                "--version" | "-V" => {
                    println!("tutti-verify {}", env!("CARGO_PKG_VERSION"));
                    std::process::exit(0);
                }
                "--json" => json = true,
                "--key" => trust.key = Some(key(&value("a key")?)?),
                "--root" => {
                    let root = value("a hash")?;
                    trust.root = Some(hash_of_hex(&root).ok_or_else(|| format!("`{root}` is not a hash"))?);
                }
                "--policy" => trust.policy = Some(policy(&value("a file")?)?),
                "--checkpoint" => kept.push(value("a file")?),
                other if other.starts_with('-') => return Err(format!("`{other}` is not known; see --help")),
                _ if file.is_some() => return Err(format!("`{word}` is one file too many")),
                _ => file = Some(PathBuf::from(word)),
            }
        }
        let file = file.ok_or("give a file to check; see --help")?;
        for name in kept {
            trust.kept.push(checkpoint(&name, &trust)?);
        }
        Ok(Some(Asked { file, trust, json }))
    }
}

fn read(name: &str) -> Result<String, String> {
    std::fs::read_to_string(name).map_err(|error| format!("`{name}`: {error}"))
}

fn key(given: &str) -> Result<PublicKey, String> {
    match given.parse() {
        Ok(key) => Ok(key),
        Err(_) => read(given)?.parse().map_err(|error| format!("`{given}`: {error}")),
    }
}

fn policy(name: &str) -> Result<Policy, String> {
    Policy::parse(&read(name)?).map_err(|error| format!("`{name}`: {error}"))
}

fn checkpoint(name: &str, trust: &Trust) -> Result<Checkpoint, String> {
    let note = Note::parse(read(name)?.as_bytes()).map_err(|error| format!("`{name}`: {error}"))?;
    let opened = match (&trust.key, &trust.policy) {
        (Some(key), _) => Checkpoint::open(&note, key),
        (None, Some(policy)) => policy.open(&note).map(|(checkpoint, _)| checkpoint),
        (None, None) => return Err("a checkpoint wants the key of its log: give --key or --policy".into()),
    };
    opened.map_err(|error| format!("`{name}`: {error}"))
}
