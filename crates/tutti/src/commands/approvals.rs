//! Decisions of people.

use api::rest::approval_views::{ApprovalView, DecisionRequest};
use api::rest::views::RunView;
use serde_json::{Map, Value};

use crate::cli::{Door, Speaker};
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, run_path};
use crate::output::{self, Form};
use crate::progress::{self, Until};
use crate::{inputs, session};

/// What every decision takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Decision {
    /// The run.
    run: String,
    /// The action; not needed when only one waits.
    action: Option<String>,
    /// A field of the form: `k=text` or `k=JSON`.
    #[arg(long = "form", value_name = "K=V")]
    fields: Vec<String>,
    /// A remark: the form's field `comment`.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    form: Form,
}

/// Approve what waits for a person.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti approve fraud-model-7 --comment 'metrics are fine'\n  tutti approve read-3 verify --amend --form text='no fracture' --as ada --groups radiologists"
)]
pub(crate) struct Approve {
    #[command(flatten)]
    decision: Decision,
    /// Approve with changes: the decision is `amend`.
    #[arg(long)]
    amend: bool,
}

impl Approve {
    /// Approves.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let word = if self.amend { "amend" } else { "approve" };
        self.decision.send(door, word).await
    }
}

/// Reject what waits for a person.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti reject fraud-model-7 --comment 'the data is of last year'")]
pub(crate) struct Reject {
    #[command(flatten)]
    decision: Decision,
}

impl Reject {
    /// Rejects.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        self.decision.send(door, "reject").await
    }
}

impl Decision {
    /// Who did not say who they are is told how to.
    fn as_whom(&self, mut error: CommandError, door: &Door) -> CommandError {
        match error.problem("E0005") {
            Some(problem) if problem.hint.is_none() && door.token.is_none() => {
                problem.hint = Some("`--as USER --groups GROUP` says who you are, where the server asks for no token".into());
            }
            _ => {}
        }
        error
    }

    async fn send(self, door: &Door, word: &str) -> Result<Exit, CommandError> {
        session::with(door, Need::Change, async |session| {
            let client = self.speaker.client(&session.client);
            let waiting: Vec<ApprovalView> = client.get("/api/v1/approvals").await?;
            let form = waiting.iter().find(|approval| {
                approval.run == self.run && self.action.as_ref().is_none_or(|action| approval.action == *action)
            });
            let schema = |key: &str| form?.form.get("properties")?.get(key).cloned();
            let mut fields: Map<String, Value> = inputs::from_pairs(&self.fields, schema, &client, None).await?;
            if let Some(comment) = &self.comment {
                fields.insert("comment".into(), comment.clone().into());
            }
            let request =
                DecisionRequest { decision: word.to_owned(), form: Value::Object(fields), ..DecisionRequest::default() };
            let path = self.action.as_ref().map(|action| format!("?path={}", segment(action))).unwrap_or_default();
            let decided: Result<RunView, CommandError> =
                client.post(&format!("{}/decision{path}", run_path(&self.run)), &request).await;
            let mut run = match decided {
                Ok(run) => run,
                // An unknown action has its own hint: which ones wait.
                Err(error) if waiting.iter().any(|approval| approval.run == self.run) => return Err(self.as_whom(error, door)),
                Err(error) => return Err(names::suggest(&client, Kind::Run, &self.run, error).await),
            };
            // Nobody else carries it on.
            if session.is_local() {
                (run, _) = progress::follow(session, &run.name, Until::People).await?;
            }
            output::one(&run, self.form.output)?;
            Ok(Exit::Done)
        })
        .await
    }
}
