//! Proofs of entries.

use std::path::PathBuf;

use anyhow::Context as _;
use api::rest::audit_views::AuditProof;

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Format};
use crate::session;

#[derive(Debug, clap::Args)]
pub(super) struct Prove {
    /// The position of the entry.
    seq: u64,
    /// Where to write it, a file that does not exist yet; standard output when there is none.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// As JSON, without a checkpoint: for a tree whose root you trust.
    #[arg(long)]
    json: bool,
    /// The size of the tree to prove it against; the present one when there is none.
    #[arg(long, value_name = "COUNT", requires = "json")]
    size: Option<u64>,
}

impl Prove {
    pub(super) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let proof = match self.json {
            true => {
                let size = self.size.map(|size| format!("&size={size}")).unwrap_or_default();
                let path = format!("/api/v1/audit/proof?seq={}{size}", self.seq);
                let proof: AuditProof = session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
                if self.to.is_none() {
                    output::value(&proof, Format::Json)?;
                    return Ok(Exit::Done);
                }
                serde_json::to_string_pretty(&proof)? + "\n"
            }
            false => super::text(door, &format!("/api/v1/audit/tlog-proof?seq={}", self.seq)).await?,
        };
        match &self.to {
            None => output::write(&proof)?,
            Some(path) => {
                let written =
                    std::fs::File::create_new(path).and_then(|mut file| std::io::Write::write_all(&mut file, proof.as_bytes()));
                written.with_context(|| format!("`{}` cannot be written", path.display()))?;
            }
        }
        Ok(Exit::Done)
    }
}
