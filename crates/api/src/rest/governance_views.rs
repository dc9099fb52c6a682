//! What the doors of governance take and give.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::views::SourceFile;

/// The rules as they stand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyStatus {
    /// Whether there are any: without tags and policies work may run anywhere.
    pub governed: bool,
    /// Whether what no policy permits is refused.
    pub closed: bool,
    /// How often the rules have changed.
    pub version: u64,
    /// The position in the journal of the last change: every decision since is by these rules.
    pub epoch: u64,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// What names exactly these rules: recorded with every run.
    pub digest: String,
    /// The policy documents.
    pub policies: Vec<PolicyView>,
    /// The tags.
    pub tags: Vec<TagView>,
    /// The sanitizers.
    pub sanitizers: Vec<SanitizerView>,
}

/// A policy document and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The version that counts; none while the first one waits for approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_force: Option<u64>,
    /// What names exactly that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it takes the built-in permission away.
    pub closed: bool,
    /// How many people beside its author have to approve a change of it.
    pub approvals: u32,
    /// Its text, in Cedar.
    pub cedar: String,
    /// What stands in it, of the version in force.
    pub rules: Vec<RuleView>,
    /// A later version that waits to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingView>,
}

/// One policy of a document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// `document/policy`, as refusals name it.
    pub id: String,
    /// `forbid` or `permit`.
    pub effect: String,
    /// Why it is there: its `@reason`.
    pub reason: String,
    /// The tags that it looks for.
    pub tags: Vec<String>,
    /// The attributes of a site or a thing that it looks at.
    pub attributes: Vec<String>,
}

/// A version of a policy that waits.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WaitingView {
    /// Its number.
    pub version: u64,
    /// What an approval is about.
    pub digest: String,
    /// Who applied it: they cannot approve it.
    pub author: String,
    /// How many have to approve it.
    pub needed: u32,
    /// Who has.
    pub approved_by: Vec<String>,
    /// Its text.
    pub cedar: String,
}

/// A tag.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TagView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who may let a sanitizer take it off: groups and users.
    pub owners: Vec<String>,
    /// The tag that it is a kind of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// secrecy, integrity, residency.
    pub protects: String,
    /// Seconds that such data may be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<f64>,
    /// How many owners have to approve a sanitizer of it.
    pub approvals: u32,
    /// What becomes of attempts that a changed rule denies: stop, finish.
    pub on_revoke: String,
}

/// A sanitizer and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SanitizerView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it runs.
    pub runs: String,
    /// What an approval is about: its code, what it takes off and what is looked at.
    pub digest: String,
    /// Who registered it: they cannot approve it.
    pub author: String,
    /// Which tags come off, and what each becomes; an empty text is nothing.
    pub strips: BTreeMap<String, String>,
    /// Seconds for which an approval is good.
    pub expires_seconds: f64,
    /// `approved` when it takes tags off; `waiting` when owners have yet to approve; `lapsed` when approvals have ended, were taken back or
    /// were of another version.
    pub state: String,
    /// How it stands with the owners of each tag.
    pub standing: Vec<StandingView>,
    /// What people said, the latest first; of earlier versions of its code too.
    pub approvals: Vec<ApprovalOfRule>,
}

/// How a sanitizer stands with the owners of a tag.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StandingView {
    /// The tag.
    pub tag: String,
    /// Who has approved it as it is now.
    pub approved_by: Vec<String>,
    /// How many have to.
    pub needed: u32,
    /// Who may.
    pub owners: Vec<String>,
    /// The same in words.
    pub said: String,
}

/// A person's word for a sanitizer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalOfRule {
    /// Who.
    pub by: String,
    /// When.
    pub at: String,
    /// When it ends.
    pub until: String,
    /// What was approved.
    pub digest: String,
    /// `good`, `ended`, `revoked`, or `other` when it is of another version.
    pub state: String,
    /// Why, in their words.
    pub reason: String,
}

/// A change of the rules.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleChangeView {
    /// Its position in the journal: the epoch that began with it.
    pub epoch: u64,
    /// When.
    pub at: String,
    /// Who.
    pub by: String,
    /// applied, deleted, approved, revoked.
    pub change: String,
    /// tag, policy, sanitizer.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What names exactly this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What names all rules in force after it.
    pub rules: String,
}

/// A question: where might such work on such data run; or, with `operation`, may this person do that?
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AskRequest {
    /// The workflow: `project/name`.
    pub workflow: String,
    /// The domain; development when there is none.
    pub domain: Option<String>,
    /// The connector with its version, the task, or `run` when there is none.
    pub work: Option<String>,
    /// The tags of the data.
    pub label: Vec<String>,
    /// The site where the data lies: with it the question is also where it may move.
    pub from: Option<String>,
    /// What somebody wants to do: read, submit, steer, author, decide, operate, govern, audit, secrets, administer, work, view, approve.
    pub operation: Option<String>,
    /// Who; the caller when nobody is named.
    pub user: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their roles.
    pub roles: Vec<String>,
    /// What it is about: run, workflow, site, secret, sanitizer, policy, server.
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    /// Whether it is permitted: anywhere, when the question is about places.
    pub allowed: bool,
    /// Why not, in a sentence.
    pub why: String,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// The answer for every site, when the question is about places.
    pub sites: Vec<SiteVerdict>,
    /// What names the rules that answered.
    pub rules: String,
}

/// The answer for a site.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SiteVerdict {
    /// The site.
    pub site: String,
    /// Whether it may run there.
    pub allowed: bool,
    /// Why not, in a sentence.
    pub why: String,
    /// The policies that decided.
    pub policies: Vec<String>,
}

/// A person's word for a sanitizer or a version of a policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveRequest {
    /// `sanitizer` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What was looked at: the word is not taken when it is another by now.
    pub digest: Option<String>,
    /// Why.
    pub reason: String,
}

/// What a word was taken for, and how the rules stand with it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovedView {
    /// `sanitizer` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What names exactly this.
    pub digest: String,
    /// Whether it counts now.
    pub in_force: bool,
    /// How it stands, in words.
    pub standing: Vec<String>,
}

/// Documents with tests of policies, and all that they need: rules, sites, workflows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyTestRequest {
    /// The documents.
    pub documents: Vec<SourceFile>,
    /// The files they refer to, as in an apply.
    pub files: BTreeMap<String, String>,
}

/// What became of a case.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyCase {
    /// The case.
    pub name: String,
    /// Whether the rules decided as it expects.
    pub good: bool,
    /// What they decided, and why.
    pub said: String,
}

/// Rules to try on what has happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateRequest {
    /// Documents of rules: they are put in the place of those of the same names, everything else stays.
    pub documents: Vec<SourceFile>,
    /// The files they refer to, as in an apply.
    pub files: BTreeMap<String, String>,
    /// How many days to look back: 30 when nothing is said.
    pub days: Option<f64>,
}

/// What other rules would have changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SimulatedView {
    /// Runs that were looked at.
    pub runs: u64,
    /// Placements and transfers of theirs that were decided again.
    pub decisions: u64,
    /// How many of them would be refused.
    pub denied: u64,
    /// How many would be permitted that the rules in force refuse by now.
    pub permitted: u64,
    /// Whether there was more than is looked at.
    pub more: bool,
    /// Answers that would be other ones, alike ones together.
    pub changes: Vec<RedecidedView>,
    /// Registered workflows that would be refused, with the refusal.
    pub refused: BTreeMap<String, String>,
    /// Registered workflows that are refused by the rules in force and would not be.
    pub freed: Vec<String>,
}

/// Answers that would be other ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RedecidedView {
    /// The workflow.
    pub workflow: String,
    /// development, staging, production.
    pub domain: String,
    /// The connector with its version, or `run`.
    pub work: String,
    /// The tags of the data.
    pub label: Vec<String>,
    /// Where it ran, or where the data went.
    pub site: String,
    /// Where the data came from, when it moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether it would be permitted.
    pub allowed: bool,
    /// Why not, by whichever rules refuse it.
    pub why: String,
    /// How often it happened.
    pub times: u64,
    /// The latest run.
    pub run: String,
    /// Its action.
    pub action: String,
}

/// A flow certificate: that every step of a workflow has a place where its data may be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The workflow.
    pub workflow: String,
    /// The digest of its graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// What names the rules that it was made by.
    pub rules: String,
    /// What names the sites that there were, with their attributes.
    pub sites: String,
    /// Every step.
    pub steps: Vec<CertifiedStep>,
    /// What deserves attention.
    pub warnings: Vec<String>,
}

/// A step of a certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertifiedStep {
    /// Its path in the workflow.
    pub path: String,
    /// What it can read carries this.
    pub label: Vec<String>,
    /// Where it may be; empty when it needs no place.
    pub sites: Vec<String>,
}
