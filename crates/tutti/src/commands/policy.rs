//! The rules: how they stand, what they would permit, tests, approvals, what happened to them.

mod analyze;

use std::path::PathBuf;

use api::rest::governance_views::{
    ApproveRequest, ApprovedView, AskRequest, Asked, CertificateView, PolicyCase, PolicyStatus, PolicyTestRequest, PolicyView,
    RuleChangeView, SanitizerView, SimulateRequest, SimulatedView,
};

use crate::cli::{Door, Speaker};
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::{session, sources};

/// Look at the rules, ask them, test them, vouch for what waits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti policy status\n  tutti policy ask --label pii --workflow bank/fraud-model")]
pub(crate) struct Policy {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the rules in force, and how sanitizers stand.
    #[command(after_help = "Examples:\n  tutti policy status\n  tutti policy status -o json")]
    Status(Shown),
    /// Decide the cases of policy tests (`kind: policy-test`) by the documents of files and folders alone.
    #[command(after_help = "Examples:\n  tutti policy test examples/bank")]
    Test(Test),
    /// Say what other rules would have changed: what was placed and moved lately is decided again by them.
    #[command(after_help = "Examples:\n  tutti policy simulate rules.yaml --days 7")]
    Simulate(Simulate),
    /// Prove what holds for every request there could be, with the solver cvc5: that no policy errs, what is never and what is always permitted, and
    /// that a new version permits nothing that the old one did not, or a request that shows otherwise.
    ///
    /// Without PATH it is about the rules in force; with PATH about those as they would be, held against those in force. With --against no server is
    /// asked. Exit codes: 0 when all is proved, 1 when something was found or is left open, 5 when there is no solver (E0040).
    #[command(
        after_help = "Examples:\n  tutti policy analyze\n  tutti policy analyze rules.yaml\n  tutti policy analyze new/ --against old/ --action run,move"
    )]
    Analyze(analyze::Analyze),
    /// Ask on which sites work on data with these tags may run, or whether somebody may do something.
    #[command(
        after_help = "Examples:\n  tutti policy ask --label pii --workflow bank/fraud-model\n  tutti policy ask --operation submit --user ada --role viewer"
    )]
    Ask(Ask),
    /// Show the flow certificate of a workflow, or why it has none.
    #[command(after_help = "Examples:\n  tutti policy certificate bank/fraud-model -o json")]
    Certificate(Named),
    /// Vouch for a sanitizer as it is now, as an owner of its tags; or for a policy that waits.
    #[command(
        after_help = "Examples:\n  tutti policy approve pseudonymise --reason 'read the code'\n  tutti policy approve policy/personal-data --as ada"
    )]
    Approve(Word),
    /// Take back what was vouched for.
    #[command(after_help = "Examples:\n  tutti policy revoke pseudonymise --reason 'the key leaked'")]
    Revoke(Word),
    /// Show what happened to the rules, the latest first.
    #[command(after_help = "Examples:\n  tutti policy history --limit 20")]
    History(History),
}

#[derive(Debug, clap::Args)]
struct Shown {
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The workflow.
    workflow: String,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct History {
    /// How many changes.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// Files and folders: rules, sites, workflows and tests.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Simulate {
    /// Files and folders with rules. They are put in the place of those of the same names.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// How many days to look back.
    #[arg(long, default_value_t = 30.0)]
    days: f64,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Ask {
    /// A tag of the data.
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    label: Vec<String>,
    /// The workflow.
    #[arg(long, default_value = "", hide_default_value = true)]
    workflow: String,
    /// development, staging or production.
    #[arg(long)]
    domain: Option<String>,
    /// The connector with its version, or `run`.
    #[arg(long)]
    work: Option<String>,
    /// The site where the data lies: it has to move.
    #[arg(long, value_name = "SITE")]
    from: Option<String>,
    /// Ask about people instead: read, submit, steer, author, decide, operate, govern, audit, secrets, administer, work, view, approve.
    #[arg(long)]
    operation: Option<String>,
    /// Who wants to do it; whoever asks when nobody is named.
    #[arg(long)]
    user: Option<String>,
    /// A group of theirs.
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    group: Vec<String>,
    /// A role of theirs.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<String>,
    #[command(flatten)]
    form: Form,
}

/// A person's word.
#[derive(Debug, clap::Args)]
struct Word {
    /// The sanitizer; or `policy/NAME`.
    name: String,
    /// What was looked at; the word is not taken when it is another by now.
    #[arg(long)]
    digest: Option<String>,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    form: Form,
}

impl Policy {
    /// Does what is asked.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.what {
            What::Status(shown) => status(door, shown.form.output).await,
            What::Test(test) => test.run(door).await,
            What::Simulate(simulate) => simulate.run(door).await,
            What::Analyze(analyze) => analyze.run(door).await,
            What::Ask(ask) => ask.run(door).await,
            What::Certificate(named) => certificate(door, &named).await,
            What::Approve(word) => word.send(door, "approve").await,
            What::Revoke(word) => word.send(door, "revoke").await,
            What::History(history) => history.run(door).await,
        }
    }
}

async fn status(door: &Door, format: Format) -> Result<Exit, CommandError> {
    let status: PolicyStatus =
        session::with(door, Need::Look, async |session| session.client.get("/api/v1/policy").await).await?;
    match format {
        Format::Table => print_status(&status)?,
        Format::Name => {
            for policy in &status.policies {
                line(&format!("policy/{}", policy.name))?;
            }
            for sanitizer in &status.sanitizers {
                line(&format!("sanitizer/{}", sanitizer.name))?;
            }
        }
        form => output::value(&status, form)?,
    }
    Ok(Exit::Done)
}

fn print_status(status: &PolicyStatus) -> Result<(), CommandError> {
    if !status.governed {
        return line("no tags and no policies: work may run anywhere");
    }
    let unless = if status.closed { "; what no policy permits is refused" } else { "" };
    line(&format!("rules      version {} since entry {}{unless}", status.version, status.epoch))?;
    line(&format!("           {}", status.digest))?;
    status.policies.iter().try_for_each(print_policy)?;
    for tag in &status.tags {
        let owners = if tag.owners.is_empty() { "nobody".into() } else { tag.owners.join(", ") };
        line(&format!("tag        {}  {} of {owners} let it be taken off", tag.name, tag.approvals))?;
    }
    status.sanitizers.iter().try_for_each(print_sanitizer)
}

fn print_policy(policy: &PolicyView) -> Result<(), CommandError> {
    let version = policy.in_force.map_or("not in force".into(), |version| format!("version {version}"));
    line(&format!("policy     {}  {version}", policy.name))?;
    for rule in &policy.rules {
        line(&format!("           {}  {}  {}", rule.effect, rule.id, rule.reason))?;
    }
    if let Some(waiting) = &policy.waiting {
        let (have, need) = (waiting.approved_by.len(), waiting.needed);
        line(&format!("           version {} by {} waits: {have} of {need} have approved it", waiting.version, waiting.author))?;
        line(&format!("           {}", waiting.digest))?;
    }
    Ok(())
}

fn print_sanitizer(sanitizer: &SanitizerView) -> Result<(), CommandError> {
    line(&format!("sanitizer  {}  {}  ({})", sanitizer.name, sanitizer.state, sanitizer.runs))?;
    line(&format!("           {}", sanitizer.digest))?;
    sanitizer.standing.iter().try_for_each(|standing| line(&format!("           {}", standing.said)))
}

impl Test {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let read = sources::read(&self.paths)?;
        let request = PolicyTestRequest { documents: read.documents, files: read.files };
        let cases: Vec<PolicyCase> =
            session::with(door, Need::Look, async |session| session.client.post("/api/v1/policy/test", &request).await).await?;
        if cases.is_empty() {
            return Err(CommandError::usage("there is no `kind: policy-test` there"));
        }
        let wrong = cases.iter().filter(|case| !case.good).count();
        match self.form.output {
            Format::Table => {
                for case in &cases {
                    line(&format!("{}  {}", if case.good { "ok   " } else { "WRONG" }, case.name))?;
                    if !case.good {
                        line(&format!("       {}", case.said.replace('\n', "\n       ")))?;
                    }
                }
                line(&format!("{} cases, {wrong} wrong", cases.len()))?;
            }
            Format::Name => cases.iter().filter(|case| !case.good).try_for_each(|case| line(&case.name))?,
            form => output::value(&cases, form)?,
        }
        Ok(if wrong == 0 { Exit::Done } else { Exit::Failed })
    }
}

impl Simulate {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let read = sources::read(&self.paths)?;
        let request = SimulateRequest { documents: read.documents, files: read.files, days: Some(self.days) };
        let found: SimulatedView =
            session::with(door, Need::Look, async |session| session.client.post("/api/v1/policy/simulate", &request).await)
                .await?;
        match self.form.output {
            Format::Table => {
                let (decisions, runs) = (found.decisions, found.runs);
                line(&format!("{decisions} decisions of {runs} runs: {} denied, {} permitted", found.denied, found.permitted))?;
                for change in &found.changes {
                    let word = if change.allowed { "permitted" } else { "denied   " };
                    let label = if change.label.is_empty() { "-".into() } else { change.label.join(", ") };
                    let place = match &change.from {
                        Some(from) => format!("{from} → {}", change.site),
                        None => change.site.clone(),
                    };
                    line(&format!(
                        "{word}  {} × {}  [{label}]  {place}  ({} {})",
                        change.times, change.workflow, change.run, change.action
                    ))?;
                    line(&format!("           {}", change.why))?;
                }
                for (workflow, why) in &found.refused {
                    line(&format!("refused    {workflow}\n           {}", why.replace('\n', "\n           ")))?;
                }
                found.freed.iter().try_for_each(|workflow| line(&format!("accepted   {workflow}")))?;
                if found.more {
                    eprintln!("there was more than is looked at: give fewer --days");
                }
            }
            Format::Name => found.changes.iter().try_for_each(|change| line(&format!("{}/{}", change.run, change.action)))?,
            form => output::value(&found, form)?,
        }
        Ok(Exit::Done)
    }
}

impl Ask {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let request = AskRequest {
            workflow: self.workflow,
            domain: self.domain,
            work: self.work,
            label: self.label,
            from: self.from,
            operation: self.operation,
            user: self.user,
            groups: self.group,
            roles: self.role,
            ..AskRequest::default()
        };
        let asked: Asked =
            session::with(door, Need::Look, async |session| session.client.post("/api/v1/policy/ask", &request).await).await?;
        match self.form.output {
            Format::Table if asked.sites.is_empty() => line(&asked.why)?,
            Format::Table => {
                for site in &asked.sites {
                    line(&format!("{:<20} {}", site.site, site.why))?;
                }
            }
            Format::Name => asked.sites.iter().filter(|site| site.allowed).try_for_each(|site| line(&site.site))?,
            form => output::value(&asked, form)?,
        }
        Ok(if asked.allowed { Exit::Done } else { Exit::Refused })
    }
}

async fn certificate(door: &Door, named: &Named) -> Result<Exit, CommandError> {
    let path = format!("/api/v1/policy/certificate?workflow={}", segment(&named.workflow));
    let certificate: CertificateView = session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
    match named.form.output {
        Format::Table => {
            let cells = |step: &api::rest::governance_views::CertifiedStep| {
                let label = if step.label.is_empty() { "-".into() } else { step.label.join(", ") };
                let sites = if step.sites.is_empty() { "-".into() } else { step.sites.join(", ") };
                vec![step.path.clone(), label, sites]
            };
            let rows: Vec<Vec<String>> = certificate.steps.iter().map(cells).collect();
            output::write(&output::table(&["STEP", "DATA", "SITES"], &rows))?;
            certificate.warnings.iter().for_each(|warning| eprintln!("{warning}"));
        }
        Format::Name => certificate.steps.iter().try_for_each(|step| line(&step.path))?,
        form => output::value(&certificate, form)?,
    }
    Ok(Exit::Done)
}

impl Word {
    async fn send(self, door: &Door, order: &str) -> Result<Exit, CommandError> {
        let (kind, name) = match self.name.split_once('/') {
            Some((kind @ ("policy" | "sanitizer"), name)) => (kind, name),
            _ => ("sanitizer", self.name.as_str()),
        };
        let request =
            ApproveRequest { kind: kind.into(), name: name.into(), digest: self.digest.clone(), reason: self.reason.clone() };
        let stands: ApprovedView = session::with(door, Need::Change, async |session| {
            let client = self.speaker.client(&session.client);
            client.post(&format!("/api/v1/policy/{order}"), &request).await
        })
        .await?;
        match self.form.output {
            Format::Table => {
                let mark = if stands.in_force { "in force" } else { "not yet in force" };
                line(&format!("{} {}: {mark}", stands.kind, stands.name))?;
                stands.standing.iter().try_for_each(|said| line(&format!("  {said}")))?;
            }
            Format::Name => line(&format!("{}/{}", stands.kind, stands.name))?,
            form => output::value(&stands, form)?,
        }
        Ok(Exit::Done)
    }
}

impl History {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let path = format!("/api/v1/policy/history?limit={}", self.limit);
        let changes: Vec<RuleChangeView> =
            session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
        output::list(&changes, self.form.output, "no rule was ever applied")?;
        Ok(Exit::Done)
    }
}

impl output::Row for RuleChangeView {
    const COLUMNS: &'static [&'static str] = &["ENTRY", "TIME", "WHO", "WHAT", "RULE", "VERSION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.epoch.to_string(),
            self.at.clone(),
            self.by.clone(),
            self.change.clone(),
            format!("{}/{}", self.kind, self.name),
            self.version.map_or("-".into(), |version| version.to_string()),
        ]
    }

    fn name(&self) -> String {
        self.epoch.to_string()
    }
}

fn line(text: &str) -> Result<(), CommandError> {
    output::write(&format!("{text}\n"))
}
