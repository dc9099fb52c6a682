//! What happens, as it happens; and telling of what happened outside.

use api::rest::views::SignalRequest;
use serde_json::{Value, json};

use crate::cli::Door;
use crate::client::{Lines, segment};
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

/// Show what happens, as it happens, or report what happened outside.
///
/// Each line is a fact of the journal with its position; --after goes on where a reader stopped. With --report an event is sent instead: waits
/// for it end, and triggers on it fire.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti events --run fraud-model-7\n  tutti events --after 0 -o json | head\n  tutti events --report file-arrived --payload '{\"day\": \"monday\"}'"
)]
pub(crate) struct Events {
    /// Of this run only.
    #[arg(long)]
    run: Option<String>,
    /// After this position; from now on when there is none.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Stop after so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Report an event of this name.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["run", "after", "limit"])]
    report: Option<String>,
    /// What comes with the reported event: a JSON object.
    #[arg(long, value_name = "JSON", requires = "report")]
    payload: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Events {
    /// Prints, or reports.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        if let Some(name) = &self.report {
            return self.send(door, name).await;
        }
        session::with(door, Need::Look, async |session| {
            let mut query = self.run.as_ref().map(|run| format!("run={}&", segment(run))).unwrap_or_default();
            query += &self.after.map(|after| format!("after={after}")).unwrap_or_default();
            let mut lines = session.client.lines(&format!("/api/v1/events?{query}")).await?;
            let mut left = self.limit.unwrap_or(u64::MAX);
            while left > 0 {
                let Some(event) = next(&mut lines).await? else { break };
                self.print(&event)?;
                left -= 1;
            }
            Ok(Exit::Done)
        })
        .await
    }

    async fn send(&self, door: &Door, name: &str) -> Result<Exit, CommandError> {
        let payload = match &self.payload {
            Some(text) => serde_json::from_str(text).map_err(|error| {
                CommandError::usage(format!("`--payload` is not JSON: {error}")).hint("--payload '{\"k\": 1}'")
            })?,
            None => json!({}),
        };
        let request = SignalRequest { name: name.to_owned(), payload };
        let started: Value =
            session::with(door, Need::Change, async |session| session.client.post("/api/v1/events", &request).await).await?;
        match self.form.output {
            Format::Table | Format::Name => {
                let count = started["runs"].as_array().map_or(0, Vec::len);
                let runs = if count == 1 { "1 run was".to_owned() } else { format!("{count} runs were") };
                eprintln!("`{name}` is reported; {runs} started by it");
            }
            form => output::value(&started, form)?,
        }
        Ok(Exit::Done)
    }

    fn print(&self, event: &Event) -> Result<(), CommandError> {
        let mut data = event.data.clone();
        match self.form.output {
            Format::Name => output::write(&format!("{}\n", event.name)),
            Format::Json => {
                let line = json!({"seq": event.seq, "event": event.name, "data": data});
                output::write(&format!("{line}\n"))
            }
            Format::Yaml => {
                let document = json!({"seq": event.seq, "event": event.name, "data": data});
                output::write(&format!("---\n{}", output::to_yaml(&document)))
            }
            Format::Table => {
                let mut take = |key: &str| data.as_object_mut().and_then(|fields| fields.remove(key));
                let at = take("at").and_then(|at| at.as_str().map(crate::rows::moment)).unwrap_or_default();
                let run = take("run").map_or("-".into(), |run| run.to_string());
                let rest = data.as_object().filter(|fields| !fields.is_empty()).map(|_| data.to_string()).unwrap_or_default();
                output::write(&format!("{:>8}  {at}  run {run:<6} {:<20} {rest}\n", event.seq, event.name))
            }
        }
    }
}

/// One server-sent event.
pub(crate) struct Event {
    /// Its position in the journal.
    pub(crate) seq: u64,
    /// What it is.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: Value,
}

/// The next event of a stream; none at its end.
pub(crate) async fn next(lines: &mut Lines) -> Result<Option<Event>, CommandError> {
    let mut event = Event { seq: 0, name: String::new(), data: Value::Null };
    while let Some(line) = lines.next().await? {
        match line.split_once(':') {
            Some(("id", seq)) => event.seq = seq.trim().parse().unwrap_or_default(),
            Some(("event", name)) => event.name = name.trim().to_owned(),
            Some(("data", data)) => event.data = serde_json::from_str(data.trim())?,
            _ if line.is_empty() && !event.name.is_empty() => return Ok(Some(event)),
            // A comment keeps the connection.
            _ => {}
        }
    }
    Ok(None)
}
