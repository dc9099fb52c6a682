//! What each command does. One file a noun, with the names of `api::rest`.

pub(crate) mod actions;
pub(crate) mod applying;
pub(crate) mod approvals;
pub(crate) mod apps;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod editing;
pub(crate) mod events;
pub(crate) mod foresight;
pub(crate) mod get;
pub(crate) mod keeping;
pub(crate) mod keys;
pub(crate) mod planning;
pub(crate) mod policy;
pub(crate) mod prices;
pub(crate) mod reference;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod sites;
pub(crate) mod supposing;
pub(crate) mod tokens;
pub(crate) mod up;
pub(crate) mod witness;

use crate::cli::{Cli, Command};
use crate::failure::{CommandError, Exit};
use crate::telemetry::{self, LogFormat};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<Exit, CommandError> {
    if !matches!(cli.command, Command::Up(_)) {
        // An engine in this process has things to say only when they are bad.
        telemetry::start(LogFormat::Text, "error")?;
    }
    let door = &cli.door;
    match cli.command {
        Command::Up(up) => up.run(door).await,
        Command::Apply(apply) => apply.run(door).await,
        Command::Check(check) => check.run(door).await,
        Command::Plan(plan) => plan.run(door).await,
        Command::Diff(diff) => diff.run(door).await,
        Command::Edit(edit) => edit.run(),
        Command::Delete(delete) => delete.run(door).await,
        Command::Run(run) => run.run(door).await,
        Command::Get(get) => get.run(door).await,
        Command::Describe(describe) => describe.run(door).await,
        Command::Watch(watch) => watch.run(door).await,
        Command::Logs(logs) => logs.run(door).await,
        Command::Explain(explain) => explain.run(door).await,
        Command::Cost(cost) => cost.run(door).await,
        Command::Prices(prices) => prices.run(door).await,
        Command::Forecast(forecast) => forecast.run(door).await,
        Command::Whatif(whatif) => whatif.run(door).await,
        Command::Advise(advise) => advise.run(door).await,
        Command::Cancel(cancel) => cancel.run(door).await,
        Command::Pause(pause) => pause.run(door).await,
        Command::Resume(resume) => resume.run(door).await,
        Command::Signal(signal) => signal.run(door).await,
        Command::Rerun(rerun) => rerun.run(door).await,
        Command::Retry(retry) => retry.run(door).await,
        Command::Approve(approve) => approve.run(door).await,
        Command::Reject(reject) => reject.run(door).await,
        Command::Events(events) => events.run(door).await,
        Command::Artifact(artifact) => artifact.run(door).await,
        Command::Site(site) => site.run(door).await,
        Command::App(app) => app.run(door).await,
        Command::Token(token) => token.run(door).await,
        Command::Policy(policy) => policy.run(door).await,
        Command::Audit(audit) => audit.run(door).await,
        Command::Witness(witness) => witness.run().await,
        Command::Secrets(secrets) => secrets.run(door).await,
        Command::Keys(keys) => keys.run(door).await,
        Command::Backup(backup) => backup.run(door).await,
        Command::Restore(restore) => restore.run(door),
        Command::Erase(erase) => erase.run(door).await,
        Command::Prune(prune) => prune.run(door).await,
        Command::Doctor(doctor) => doctor.run(door).await,
        Command::Demo(demo) => demo.run(door).await,
        Command::Error(error) => error.run(),
        Command::Openapi(openapi) => openapi.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completion(completion) => completion.run(),
        Command::MarkdownHelp(help) => help.run(),
        Command::Shim(shim) => shim.run(),
    }
}
