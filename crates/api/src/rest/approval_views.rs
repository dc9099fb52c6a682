//! What the REST API says of questions to people, and what people say to it, as types.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::views::WithheldView;

/// A human action that waits for a decision.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// The run.
    pub run: String,
    /// The action's path.
    pub action: String,
    /// What is asked.
    pub title: String,
    /// Whom it is offered to: users, groups and the steps of escalation.
    pub assign: Value,
    /// The evidence.
    pub show: Value,
    /// The JSON Schema of the form.
    pub form: Value,
    /// Whether a second person has to decide too.
    pub second: bool,
    /// Who has decided already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_by: Option<String>,
    /// What they gave: the fields of the form and their decision.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub first_form: Value,
    /// Since when it waits (RFC 3339).
    pub since: String,
    /// Steps of escalation so far.
    #[serde(default)]
    pub escalated: u32,
    /// What people did about it, in order: who saw it, handed it on, decided.
    #[serde(default)]
    pub people: Vec<PersonView>,
    /// Its evidence is left out: whoever asks may not see what it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
}

/// What somebody did about a question.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// The entry that says so.
    pub entry: u64,
    /// When (RFC 3339).
    pub at: String,
    /// Who.
    pub by: String,
    /// saw, delegated, approve, amend or reject.
    pub did: String,
    /// To whom it was handed: users and groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The commitment to what they were shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
}

/// To whom a question is handed, and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegateRequest {
    /// Users.
    #[serde(default)]
    pub users: Vec<String>,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Why.
    pub reason: String,
}

/// A decision of a person.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// approve, reject or amend.
    pub decision: String,
    /// The form's fields.
    #[serde(default)]
    pub form: Value,
    /// Why, in a few words: recorded with the decision, and shown to whoever else decides.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How many human actions wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct WaitingView {
    /// So many.
    pub waiting: u64,
}
