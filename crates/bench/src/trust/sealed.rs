//! Sealed files beside open ones and a plain copy.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use artifacts::Store;
use keyring::{Keyring, Source};

use crate::options::Options;
use crate::report::Report;
use crate::rounds::remove;
use crate::sample::Sample;

/// Bytes of the file.
const BYTES: usize = 256 << 20;

/// Puts a file into a store and takes it out again: sealed, open, and copied. Every round has other bytes: the same would be there already.
pub(super) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("seal")?;
    let keys = Keyring::open(&folder.join("keys"), &Source::File(folder.join("key")), None, None)?;
    let stores = [
        ("seal sealed store", Store::open_with(folder.join("sealed"), Some(keys))?),
        ("seal open store", Store::open_at(folder.join("open"))?),
    ];
    let source = folder.join("source");
    for round in 0..options.rounds {
        std::fs::write(&source, bytes(round))?;
        let copied = timed(|| copy(&source, &folder.join("copy")))?;
        report.add("seal plain copy", Sample::one("mb_per_s", copied));
        for (name, store) in &stores {
            let mut digest = None;
            let put = timed(|| {
                digest = Some(store.put(&mut File::open(&source)?)?.digest);
                Ok(())
            })?;
            let Some(digest) = digest else { continue };
            let read = timed(|| Ok(std::io::copy(&mut store.open_verified(&digest)?, &mut std::io::sink()).map(drop)?))?;
            report.add(name, Sample::one("put_mb_per_s", put).with("read_mb_per_s", read));
        }
    }
    remove(&folder)
}

/// A copy that is on the disk when it is done, as what a store takes is.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut target = File::create(to)?;
    std::io::copy(&mut File::open(from)?, &mut target)?;
    Ok(target.sync_data()?)
}

/// Millions of bytes a second.
fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// Bytes that no disk makes smaller.
fn bytes(round: u32) -> Vec<u8> {
    let mut state = u64::from(round) * 2 + 0x9E37_79B9_7F4A_7C15;
    let mut bytes = Vec::with_capacity(BYTES);
    while bytes.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}
