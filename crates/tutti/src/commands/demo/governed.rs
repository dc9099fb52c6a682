//! The rules of the demonstration: two people vouch for the pseudonyms, a leaky workflow is refused, and an edit of the rules that would let
//! it through is caught by their tests.

use anyhow::anyhow;
use api::rest::governance_views::{ApproveRequest, ApprovedView, PolicyCase, PolicyStatus};
use api::rest::views::ApplyResult;

use crate::failure::CommandError;

use super::server::Served;
use super::{say, story};

/// Who vouches for what takes names out, and the group that owns the tag.
const PEOPLE: [&str; 2] = ["data-protection-officer", "deputy-data-protection-officer"];
const GROUP: &str = "data-protection";
const SANITIZER: &str = "pseudonymise";
/// An edit of the rules such as somebody in a hurry makes, and what it is instead of.
const EDIT: (&str, &str) = ("resource.zone == \"on-premise\"", "resource.jurisdiction == \"eu\"");

/// Two owners of the tag vouch for the sanitizer, unless they have already.
pub(super) async fn vouch(served: &Served) -> Result<(), CommandError> {
    let status: PolicyStatus = served.client.get("/api/v1/policy").await?;
    let sanitizer = status.sanitizers.iter().find(|sanitizer| sanitizer.name == SANITIZER);
    let sanitizer = sanitizer.ok_or_else(|| anyhow!("the rules have no sanitizer `{SANITIZER}`"))?;
    if sanitizer.state == "approved" {
        return Ok(());
    }
    for person in PEOPLE {
        let request = ApproveRequest {
            kind: "sanitizer".into(),
            name: SANITIZER.into(),
            digest: Some(sanitizer.digest.clone()),
            reason: "read the code and what it drops".into(),
        };
        let client = served.client.speaking_for(Some(person), &[GROUP.to_owned()]);
        let stands: ApprovedView = client.post("/api/v1/policy/approve", &request).await?;
        say(&format!("{person} vouches for `{SANITIZER}`: {}", stands.standing.join("; ")));
    }
    Ok(())
}

/// Shows that a workflow that sends names to a cloud is refused, and that the rules' own tests would notice if it were not.
pub(super) async fn refuse(served: &Served) -> Result<(), CommandError> {
    let cases: Vec<PolicyCase> = served.client.post("/api/v1/policy/test", &story::tests(None)).await?;
    if let Some(wrong) = cases.iter().find(|case| !case.good) {
        return Err(anyhow!("the rules do not hold what their tests say: {}: {}", wrong.name, wrong.said).into());
    }
    say(&format!("the {} cases of rules.test.yaml hold", cases.len()));
    match served.client.post::<_, ApplyResult>("/api/v1/apply", &story::leaky()).await {
        Err(CommandError::Problem(problem)) if problem.code == "E0010" => {
            say(&format!("\n  leaky.workflow.yaml sends names to a cloud, and is refused ({}):", problem.code));
            problem.detail.lines().for_each(|line| say(&format!("    {line}")));
        }
        Err(error) => return Err(error),
        Ok(_) => return Err(anyhow!("the leaky workflow was registered: the rules do not hold").into()),
    }
    let cases: Vec<PolicyCase> = served.client.post("/api/v1/policy/test", &story::tests(Some(EDIT))).await?;
    let wrong: Vec<&str> = cases.iter().filter(|case| !case.good).map(|case| case.name.as_str()).collect();
    if wrong.is_empty() {
        return Err(anyhow!("an edit that opens the rules is not caught by their tests").into());
    }
    say(&format!(
        "  an edit of the rules that would let names into any cloud of the Union fails {} of their tests:",
        wrong.len()
    ));
    wrong.iter().for_each(|name| say(&format!("    ✗ {name}")));
    say("");
    Ok(())
}
