//! What an action of a Flyte run is given: where its values lie, and what it is called. It is the input of the action, in the journal's
//! keeping like any other value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The field of an action's input that says that it is a Flyte task.
const FIELD: &str = "flyte";

/// Which inputs an artifact is given to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Binds {
    /// The input that is the artifact's value; empty for none.
    #[serde(default)]
    pub input: String,
    /// Inputs that are values of its partitions: keys by input.
    #[serde(default)]
    pub partitions: BTreeMap<String, String>,
}

/// What somebody may, as the rules know it: what was theirs when they started a run, which nothing of the run goes beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Their groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Their roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// What an action of a Flyte run is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The digest of the task's specification, as it was sent.
    #[serde(default)]
    pub spec: String,
    /// The identifier of the task: org, project, domain, name, version.
    #[serde(default)]
    pub task: [String; 5],
    /// The address of the inputs.
    #[serde(default)]
    pub inputs: String,
    /// The address below which outputs of the run go.
    #[serde(default)]
    pub base: String,
    /// The name of the action, as the client knows it.
    #[serde(default)]
    pub name: String,
    /// The group that the program put it into.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// What the task is to be called where it is shown; empty for the last part of its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub short_name: String,
    /// The queue that it is sent to; what it asks for goes there too when that names none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// Variables that the run gives to all its processes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub envs: BTreeMap<String, String>,
    /// When the run was to start, as RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub start: String,
    /// Under what its result is remembered, with the root alone: what the engine is to know of that.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub cache: Value,
    /// The specification of the run, as hexadecimal digits, with the root alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_spec: String,
    /// The port that an app is written for; 0 of what is no app.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: u16,
    /// Which inputs the artifact that starts a trigger is given to; of triggers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binds: Option<Binds>,
    /// A condition or a trace, as it was sent, as hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub other: String,
    /// What a workflow is given that a program starts, with the root alone.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub given: Value,
    /// The tags that came to the inputs of the run by the rules, and by what each did, with the root alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entered: BTreeMap<String, String>,
    /// The run whose results are taken instead of doing the same again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovers: Option<Recovery>,
    /// The run that this action's own result was taken from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recovered_from: String,
    /// What whoever started the run may; none where that was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Rights>,
}

/// An earlier run of the same program, of the same project and domain, whose results are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Its name.
    pub run: String,
    /// The actions that are done again all the same, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
}

impl Call {
    /// The call in an action's input; none when it is not one of Flyte.
    pub fn of(input: &Value) -> Option<Call> {
        serde_json::from_value(input.get(FIELD)?.clone()).ok()
    }

    /// The input that holds the call.
    pub fn input(&self) -> Value {
        serde_json::json!({ FIELD: self })
    }

    /// The address below which an attempt writes.
    pub fn outputs(&self, attempt: u32) -> String {
        format!("{}/{}/{attempt}", self.base.trim_end_matches('/'), self.name)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(port: &u16) -> bool {
    *port == 0
}

/// Bytes as digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digits as bytes; none when they are not such.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_in_the_input_that_holds_it() {
        let call = Call { base: "s3://tutti/runs/r/".into(), name: "a0".into(), ..Call::default() };
        assert_eq!(Call::of(&call.input()), Some(call.clone()));
        assert_eq!(Call::of(&serde_json::json!({ "x": 1 })), None);
        assert_eq!(call.outputs(2), "s3://tutti/runs/r/a0/2");
        assert_eq!(from_hex(&to_hex(b"\x00\xffab")), Some(b"\x00\xffab".to_vec()));
        assert_eq!(from_hex("abc"), None);
    }
}
