//! Decisions of people.

use model::limits::{DELEGATE_REASON_BYTES_MAX, DELEGATES_MAX, QUESTION_VIEWERS_MAX};
use model::{ActionKey, Payload, Phase};
use serde_json::{Map, Value, json};

use crate::action::{Action, ActionState, HumanState};
use crate::event::{HumanDecided, HumanDelegated, HumanSeen};
use crate::{Event, Rejection, wait};

use super::Stepper;

/// What may be decided.
const DECISIONS: [&str; 3] = ["approve", "reject", "amend"];

impl Stepper<'_, '_> {
    pub(super) fn human(
        &mut self,
        key: ActionKey,
        principal: String,
        groups: &[String],
        decision: String,
        (form, reason): (Value, String),
    ) -> Result<(), Rejection> {
        if !DECISIONS.contains(&decision.as_str()) {
            return Err(Rejection::Invalid(format!("`{decision}` is not a decision: use approve, reject or amend")));
        }
        if reason.len() > DELEGATE_REASON_BYTES_MAX {
            return Err(Rejection::Invalid(format!("a reason has at most {DELEGATE_REASON_BYTES_MAX} bytes")));
        }
        let (action, human) = self.question(key)?;
        let input = action.input.as_ref().map_or(Value::Null, |input| input.value().clone());
        check_assignee(action, &input, human, &principal, groups)?;
        let human = human.clone();
        let fields = match form {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            _ => return Err(Rejection::Invalid("the form is not an object".into())),
        };
        let wants_second = input.get("second").and_then(Value::as_bool).unwrap_or(false);
        let first_by = human.first.as_ref().map(|(who, _)| who.clone());
        if first_by.as_deref() == Some(principal.as_str()) {
            return Err(Rejection::Forbidden(format!(
                "`{principal}` has decided already: the second decision is for another person"
            )));
        }
        if let (Some((who, form)), "approve") = (&human.first, decision.as_str())
            && let Some(field) = differs(form.value(), &fields)
        {
            return Err(Rejection::Conflict(format!(
                "`{who}` approved with another `{field}`: agree by leaving it as it is, or `amend`, and a second person decides about that"
            )));
        }
        let mut recorded = fields.clone();
        recorded.insert("decision".into(), decision.clone().into());
        let form = self.payload(key.run, Value::Object(recorded));
        let reason = (!reason.trim().is_empty()).then(|| self.payload(key.run, Value::String(reason)));
        let (run, action) = (key.run, key.action);
        self.emit(Event::HumanDecided(Box::new(HumanDecided {
            run,
            action,
            principal: principal.clone(),
            form,
            decision: decision.clone(),
            reason,
        })));
        // Whoever changes what was approved is the first to have seen it so: another person has to agree with that.
        if wants_second && decision != "reject" && (first_by.is_none() || decision == "amend") {
            return Ok(());
        }
        let output = answer(human.first.as_ref(), fields, &decision, &principal, &wait::rfc3339(self.now()));
        let output = self.payload(run, output);
        self.finish(key, Phase::Succeeded, Some(output), None);
        Ok(())
    }

    /// A human action that waits.
    fn question(&self, key: ActionKey) -> Result<(&Action, &HumanState), Rejection> {
        let action = self.action(key).ok_or(Rejection::NotFound { kind: "action", name: key.to_string() })?;
        match &action.state {
            ActionState::Human(human) => Ok((action, human)),
            _ => Err(Rejection::Conflict(format!("`{}` does not wait for a decision", action.path))),
        }
    }

    /// Hands a question on. Whoever may decide may hand it on; from then on those are asked to whom it was handed, and whoever it
    /// escalates to. The second of two people stays another person.
    pub(super) fn delegate(
        &mut self,
        key: ActionKey,
        principal: String,
        groups: &[String],
        (to_users, to_groups): (Vec<String>, Vec<String>),
        reason: String,
    ) -> Result<(), Rejection> {
        let (action, human) = self.question(key)?;
        let input = action.input.as_ref().map_or(Value::Null, |input| input.value().clone());
        check_assignee(action, &input, human, &principal, groups)?;
        let named = to_users.len() + to_groups.len();
        if named == 0 || named > DELEGATES_MAX || to_users.iter().chain(&to_groups).any(String::is_empty) {
            return Err(Rejection::Invalid(format!(
                "it is handed to {named} users and groups, not to 1 to {DELEGATES_MAX} with names"
            )));
        }
        if reason.trim().is_empty() || reason.len() > DELEGATE_REASON_BYTES_MAX {
            return Err(Rejection::Invalid(format!("a reason of 1 to {DELEGATE_REASON_BYTES_MAX} bytes is needed")));
        }
        let first_by = human.first.as_ref().map(|(who, _)| who.as_str());
        if let (Some(first), [only], true) = (first_by, to_users.as_slice(), to_groups.is_empty())
            && only == first
        {
            return Err(Rejection::Invalid(format!("`{first}` has decided already: the second decision is for another person")));
        }
        let reason = self.payload(key.run, Value::String(reason));
        let (run, action, users, groups) = (key.run, key.action, to_users, to_groups);
        self.emit(Event::HumanDelegated(Box::new(HumanDelegated { run, action, principal, users, groups, reason })));
        Ok(())
    }

    /// Records that a person was shown a question, once each.
    pub(super) fn see(&mut self, key: ActionKey, principal: String) -> Result<(), Rejection> {
        let (action, human) = self.question(key)?;
        let shown = action.input.as_ref().map(|input| input.commitment);
        if let Some(shown) = shown.filter(|_| !human.seen.contains(&principal) && human.seen.len() < QUESTION_VIEWERS_MAX) {
            self.emit(Event::HumanSeen(HumanSeen { run: key.run, action: key.action, principal, shown }));
        }
        Ok(())
    }
}

/// The field of a form that says why, in a person's own words.
const REMARK: &str = "comment";

/// A field for which a second person gives another value than the first. Each has a remark of their own.
fn differs<'f>(first: &Value, fields: &'f Map<String, Value>) -> Option<&'f str> {
    let other =
        |(name, value): &(&String, &Value)| name.as_str() != REMARK && first.get(name).is_some_and(|first| first != *value);
    fields.iter().find(other).map(|(name, _)| name.as_str())
}

/// The output of a human action: the fields of the form, who and when. What two people approved is what the first gave and the second added,
/// and is an amendment when the first one's was.
fn answer(first: Option<&(String, Payload)>, mut fields: Map<String, Value>, decision: &str, by: &str, at: &str) -> Value {
    let mut output = match first.map(|(_, form)| form.value().clone()) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    if first.is_some()
        && let Some(remark) = fields.remove(REMARK)
    {
        output.insert("second_comment".into(), remark);
    }
    output.extend(fields);
    let amended = decision == "approve" && output.get("decision").is_some_and(|first| first == "amend");
    let decision = if amended { "amend" } else { decision };
    output.insert("decision".into(), decision.into());
    output.insert("at".into(), at.into());
    match first {
        Some((first_by, _)) => {
            output.insert("by".into(), first_by.clone().into());
            output.insert("second_by".into(), by.into());
        }
        None => {
            output.insert("by".into(), by.into());
        }
    }
    Value::Object(output)
}

/// Refuses whoever the action is not offered to. An action offered to nobody in particular is offered to everybody.
fn check_assignee(
    action: &Action,
    input: &Value,
    human: &HumanState,
    principal: &str,
    groups: &[String],
) -> Result<(), Rejection> {
    let assign = input.get("assign").cloned().unwrap_or_else(|| json!({}));
    let steps = assign.get("then").and_then(Value::as_array).cloned().unwrap_or_default();
    let delegated = human.delegated.as_ref().map(|(users, groups)| json!({"users": users, "groups": groups}));
    let asked = delegated.as_ref().unwrap_or(&assign);
    let offers: Vec<&Value> = std::iter::once(asked).chain(steps.iter().take(human.escalated as usize)).collect();
    let named = |offer: &Value, key: &str| -> Vec<String> {
        let names = offer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let users: Vec<String> = offers.iter().flat_map(|offer| named(offer, "users")).collect();
    let wanted_groups: Vec<String> = offers.iter().flat_map(|offer| named(offer, "groups")).collect();
    let anyone = users.is_empty() && wanted_groups.is_empty();
    if anyone || users.iter().any(|user| user == principal) || groups.iter().any(|group| wanted_groups.contains(group)) {
        return Ok(());
    }
    let to: Vec<String> = users.into_iter().chain(wanted_groups).collect();
    Err(Rejection::Forbidden(format!("`{}` is assigned to {}, not to `{principal}`", action.path, to.join(", "))))
}
