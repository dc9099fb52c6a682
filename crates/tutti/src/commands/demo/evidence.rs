//! The account of the demonstration: taken away, checked without the server, and checked again with one character of a copy changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use api::rest::audit_views::AuditStatus;
use http_body_util::BodyExt as _;
use tokio::process::Command;

use crate::failure::CommandError;

use super::server::Served;
use super::{folder_of, say};

/// How often it is looked whether everything is sealed, and how long between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Exports the journal, has it verified offline, and shows that a changed copy is found out.
pub(super) async fn check(served: &Served, run: &str) -> Result<(), CommandError> {
    let key = sealed(served).await?;
    let folder = folder_of(&served.data, run);
    std::fs::create_dir_all(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let body = served.client.bytes("/api/v1/audit/export").await?;
    let export = body.collect().await.context("read the export")?.to_bytes();
    let (whole, changed) = (folder.join("audit.jsonl"), folder.join("audit-changed.jsonl"));
    write(&whole, &export)?;
    write(&changed, &tampered(&export)?)?;
    let (good, report) = verify(&whole, &key).await?;
    let entries = export.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
    say(&format!("\n  the account of all of it, {entries} entries, checked without the server by {}:", verifier().0));
    report.iter().for_each(|line| say(&format!("    {line}")));
    if !good {
        return Err(anyhow!("the audit log does not hold: {}", whole.display()).into());
    }
    let (good, report) = verify(&changed, &key).await?;
    if good {
        return Err(anyhow!("a change of the audit log was not found: {}", changed.display()).into());
    }
    say("  a copy in which one character of one entry is another one:");
    report.iter().for_each(|line| say(&format!("    {line}")));
    Ok(())
}

/// Waits until a signed checkpoint covers what is there now. Gives the key that signs.
async fn sealed(served: &Served) -> Result<String, CommandError> {
    let mut wanted = None;
    for _ in 0..TRIES {
        let status: AuditStatus = served.client.get("/api/v1/audit/status").await?;
        let wanted = *wanted.get_or_insert(status.entries);
        if status.sealed.as_ref().is_some_and(|head| head.size >= wanted)
            && let Some(key) = status.key
        {
            return Ok(key);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(anyhow!("no signed checkpoint covers the run").into())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(())
}

/// The same with one character changed, in the bytes of the entry in the middle: what a careful forger would do.
fn tampered(export: &[u8]) -> Result<Vec<u8>, CommandError> {
    let text = std::str::from_utf8(export).context("the export is not text")?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let middle = lines.len() / 2;
    let begin: usize = lines.iter().take(middle).map(|line| line.len()).sum();
    let line = lines.get(middle).copied().unwrap_or_default();
    let bytes = line.find("\"bytes\":\"").map(|at| begin + at + "\"bytes\":\"".len());
    let at = bytes.ok_or_else(|| anyhow!("the export has no entry to change"))?;
    let mut changed = export.to_vec();
    let digit = changed.get_mut(at).ok_or_else(|| anyhow!("the export ends within an entry"))?;
    *digit = if *digit == b'8' { b'9' } else { b'8' };
    Ok(changed)
}

/// The small verifier, where it was built beside this program; this program's own, otherwise, which reads the file and asks nobody either.
fn verifier() -> (&'static str, PathBuf) {
    let own = std::env::current_exe().unwrap_or_else(|_| "tutti".into());
    let small = own.with_file_name("tutti-verify");
    if small.is_file() { ("tutti-verify", small) } else { ("tutti audit verify", own) }
}

/// Checks a file with another process. Gives whether it holds, and what was said.
async fn verify(file: &Path, key: &str) -> Result<(bool, Vec<String>), CommandError> {
    let (name, program) = verifier();
    let mut command = Command::new(program);
    if name == "tutti-verify" {
        command.arg("--key").arg(key).arg(file);
    } else {
        command.args(["audit", "verify"]).arg(file).arg("--key").arg(key);
    }
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("`{name}` cannot be started"))?;
    let said = [output.stdout, output.stderr].concat();
    let lines: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    match output.status.code() {
        Some(0) => Ok((true, lines)),
        Some(1) => Ok((false, lines)),
        _ => Err(anyhow!("`{name}` could not check {}: {}", file.display(), lines.join("; ")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_of_one_entry_is_another_one() {
        let export = b"{\"size\":3}\n{\"seq\":1,\"bytes\":\"aa\"}\n{\"seq\":2,\"bytes\":\"bb\"}\n{\"seq\":3,\"bytes\":\"cc\"}\n";
        let changed = tampered(export).unwrap();
        let differ: Vec<usize> = (0..export.len()).filter(|at| export[*at] != changed[*at]).collect();
        assert_eq!((changed.len(), differ.len()), (export.len(), 1));
        assert!(std::str::from_utf8(&changed).unwrap().contains("\"bytes\":\"8b\""));
        assert!(tampered(b"{}\n").is_err());
    }
}
