//! Keeping a data directory: backup, restore, retention.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session::{self, data_directory};

/// Copy journal and artifacts to a new directory, while the server runs or without one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti backup --to /backups/tutti-monday")]
pub(crate) struct Backup {
    /// A directory of the server's machine that does not exist yet.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave the keys out: keep a copy of them elsewhere, and what was erased is erased in this backup too.
    #[arg(long)]
    without_keys: bool,
    #[command(flatten)]
    form: Form,
}

impl Backup {
    /// Copies.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        // The server may stand in another directory than this command.
        let to = std::path::absolute(&self.to)?;
        let request = json!({ "to": to, "without_keys": self.without_keys });
        let answer: Value =
            session::with(door, Need::Change, async |session| session.client.post("/api/v1/backup", &request).await).await?;
        eprintln!(
            "{}",
            match answer["summary"]["keys"].as_str() {
                Some("with_key_file") => "it holds the keys and the key file: whoever has it can read everything in it",
                Some("wrapped") =>
                    "it holds the keys as they are wrapped: without the key file, passphrase or transit key nobody can read it",
                Some("without") => "it holds no keys: nobody can read what is sealed in it without them",
                _ => "nothing in it is sealed",
            }
        );
        print(&answer, self.form.output, &format!("{}\n", to.display()))
    }
}

/// Put a backup into an empty data directory, and verify every hash of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti restore --from /backups/tutti-monday --data /var/lib/tutti")]
pub(crate) struct Restore {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    form: Form,
}

impl Restore {
    /// Restores.
    pub(crate) fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let data = data_directory(door);
        let summary = controlplane::restore(&self.from, &data)?;
        let answer = json!({"data": data, "entries": summary.entries, "root": summary.root});
        print(&answer, self.form.output, &format!("{} entries, verified; root {}\n", summary.entries, summary.root))
    }
}

/// Destroy the values of runs that ended long ago. Facts and hashes stay.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti prune --older-than 90d --dry-run\n  tutti prune --older-than 90d\n  tutti prune --by-tags\n  tutti prune --artifacts"
)]
pub(crate) struct Prune {
    /// Runs that ended so long ago: `30d`, `12h`.
    #[arg(long, value_name = "AGE", required_unless_present_any = ["artifacts", "by_tags"], conflicts_with = "by_tags")]
    older_than: Option<String>,
    /// Runs that carry a tag and ended longer ago than its `retention`: they are erased, with their artifacts.
    #[arg(long)]
    by_tags: bool,
    /// Sweep the stores of sites too: artifacts that nothing refers to any more are set aside, and removed a day later.
    #[arg(long)]
    artifacts: bool,
    /// Say what would go, and destroy nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: Form,
}

impl Prune {
    /// Destroys, or counts.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let dry_run = self.dry_run;
        let request = match (&self.older_than, self.by_tags) {
            (Some(age), _) => Some(json!({"older_than": age, "dry_run": dry_run})),
            (None, true) => Some(json!({"by_tags": true, "dry_run": dry_run})),
            (None, false) => None,
        };
        let (mut answer, swept) = session::with(door, Need::Change, async |session| {
            let pruned: Option<Value> = match &request {
                Some(request) => Some(session.client.post("/api/v1/prune", request).await?),
                None => None,
            };
            let swept: Option<Value> = match self.artifacts {
                true => Some(session.client.post("/api/v1/sweep", &json!({"dry_run": dry_run})).await?),
                false => None,
            };
            Ok((pruned, swept))
        })
        .await?;
        let mut text = String::new();
        let size = |value: &Value| output::size(value["bytes"].as_u64().unwrap_or_default());
        if let Some(pruned) = &answer {
            let verb = if dry_run { "would go" } else { "are gone" };
            text += &match self.by_tags {
                true => format!("{} runs whose tags' time is over {verb}\n", pruned["runs"]),
                false => format!("{} values of {} runs ({}) {verb}\n", pruned["bodies"], pruned["runs"], size(pruned)),
            };
            for (tag, runs) in pruned["tags"].as_object().into_iter().flatten() {
                text += &format!("  {tag}: {runs}\n");
            }
        }
        if let Some(swept) = swept {
            let (aside, gone) = if dry_run { ("would be set aside", "would go") } else { ("are set aside", "are gone") };
            let removed = format!("{} that had lain aside ({}) {gone}", swept["removed"], size(&swept));
            text += &format!("{} artifacts that nothing refers to {aside}, {removed}\n", swept["set_aside"]);
            match &mut answer {
                Some(pruned) => pruned["artifacts"] = swept,
                None => answer = Some(json!({"artifacts": swept})),
            }
        }
        print(&answer.unwrap_or_default(), self.form.output, &text)
    }
}

/// Destroy the keys of runs, and with them their values and artifacts. Facts and hashes stay, and the log still verifies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti erase --run read-17\n  tutti erase --subject patient-4711")]
pub(crate) struct Erase {
    /// A run that has ended, by name or number; may be given several times.
    #[arg(long, value_name = "RUN", required_unless_present = "subject")]
    run: Vec<String>,
    /// Every run about this subject.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Erase {
    /// Erases.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let request = json!({"runs": self.run, "subject": self.subject});
        let erased: Value =
            session::with(door, Need::Change, async |session| session.client.post("/api/v1/erase", &request).await).await?;
        let runs = erased["runs"].as_array().map_or(0, Vec::len);
        let names = |field| erased[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        for trigger in names("triggers") {
            eprintln!(
                "the trigger `{trigger}` still gives its runs something that these were given: it stays until the trigger is removed"
            );
        }
        for workflow in names("workflows") {
            eprintln!(
                "the workflow `{workflow}` names something that these were given: it stays until a version that names it no more is applied"
            );
        }
        if let Some(brought @ 1..) = erased["brought"].as_u64() {
            eprintln!(
                "{brought} artifacts stay that somebody brought once more, and that no run has taken: a sweep removes them with their keys"
            );
        }
        eprintln!("backups made before still hold them, where those hold keys: delete these backups");
        print(&erased, self.form.output, &format!("{runs} runs are erased, with {} artifacts\n", erased["artifacts"]))
    }
}

fn print(answer: &Value, form: Format, text: &str) -> Result<Exit, CommandError> {
    match form {
        Format::Table | Format::Name => output::write(text)?,
        form => output::value(answer, form)?,
    }
    Ok(Exit::Done)
}
