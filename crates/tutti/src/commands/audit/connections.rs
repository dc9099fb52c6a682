//! What attempts did over the network.

use api::rest::connections::ConnectionView;
use api::rest::views::Page;

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

#[derive(Debug, clap::Args)]
pub(super) struct Connections {
    /// The run: its name or number.
    run: String,
    /// The path of an action; all of them when there is none.
    action: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Connections {
    pub(super) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let (run, path) = (segment(&self.run), self.action.as_deref().map(|path| format!("&path={}", segment(path))));
        let path = format!("/api/v1/runs/{run}/connections?limit=10000{}", path.unwrap_or_default());
        let found = session::with(door, Need::Look, async |session| {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page: Page<ConnectionView> = session.client.get(&format!("{path}{cursor}")).await?;
                found.extend(page.items);
                let Some(next) = page.next else { return Ok(found) };
                cursor = format!("&cursor={next}");
            }
        })
        .await?;
        match self.form.output {
            Format::Table => {
                let cells = |one: &ConnectionView| {
                    let reason = if one.reason.is_empty() { String::new() } else { format!(" ({})", one.reason) };
                    vec![
                        one.at.clone(),
                        format!("{}#{}", one.path, one.attempt),
                        one.site.clone(),
                        format!("{}:{}", one.host, one.port),
                        one.sent.to_string(),
                        one.received.to_string(),
                        format!("{}{reason}", one.outcome),
                    ]
                };
                let rows: Vec<Vec<String>> = found.iter().map(cells).collect();
                output::write(&output::table(&["AT", "ACTION", "SITE", "TO", "SENT", "RECEIVED", "OUTCOME"], &rows))?;
            }
            Format::Name => found.iter().try_for_each(|one| output::write(&format!("{}:{}\n", one.host, one.port)))?,
            form => output::value(&found, form)?,
        }
        Ok(Exit::Done)
    }
}
