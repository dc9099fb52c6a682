//! Questions to people that programs ask: conditions of the SDK, and the requests of its plugin for people (`flyteplugins-hitl`), which are
//! files that a program writes and looks for the answers to.

use prost::Message as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::call::to_hex;
use crate::interface::{BOOLEAN, FLOAT, INTEGER, STRING};
use crate::wire::{AppSpec, ConditionAction, Fields, Json, LiteralType};

/// The service of the plugin, as its command names it. The server answers in its place.
const SERVICE: &str = "flyteplugins.hitl._app:app";
/// The folder of the plugin's files, and their names.
const FOLDER: &str = "hitl-requests";
const REQUEST: &str = "request.json";
const RESPONSE: &str = "response.json";
/// What a text stands for in the payload of a webhook.
const CALLBACK: &str = "{callback_uri}";

/// The type of a condition's answer, as a form has it.
pub fn type_of(condition: &ConditionAction) -> &'static str {
    match condition.kind.as_ref().map_or(0, |kind| kind.simple) {
        INTEGER => "integer",
        FLOAT => "number",
        STRING => "string",
        _ => "boolean",
    }
}

/// The request that tells of a condition, as `core/http` takes it; none when nobody is to be told. `callback` is where it is answered.
pub fn webhook(condition: &ConditionAction, callback: &str) -> Option<Value> {
    let webhook = condition.webhook.as_ref().filter(|webhook| !webhook.url.is_empty())?;
    let payload = webhook.payload.as_ref().map_or_else(|| json!({}), |payload| with_callback(object(payload), callback));
    Some(json!({ "method": "POST", "url": webhook.url, "json": payload }))
}

fn object(fields: &Fields) -> Value {
    let entry = |field: &crate::wire::Field| (field.key.clone(), field.value.as_ref().map_or(Value::Null, value));
    Value::Object(fields.fields.iter().map(entry).collect::<Map<_, _>>())
}

fn value(json: &Json) -> Value {
    let number = json.number.map(|number| match number.fract() == 0.0 && number.abs() < 9e15 {
        true => Value::from(number as i64),
        false => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
    });
    let text = || json.text.clone().map(Value::String);
    let of_parts = || {
        let list = json.list.as_ref().map(|list| Value::Array(list.values.iter().map(value).collect()));
        json.object.as_ref().map(object).or(list)
    };
    number.or_else(text).or(json.boolean.map(Value::Bool)).or_else(of_parts).unwrap_or_default()
}

fn with_callback(payload: Value, callback: &str) -> Value {
    match payload {
        Value::String(text) => Value::String(text.replace(CALLBACK, callback)),
        Value::Array(items) => items.into_iter().map(|item| with_callback(item, callback)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, field)| (key, with_callback(field, callback))).collect(),
        other => other,
    }
}

/// Whether an app is the service of the plugin: nothing of it is run, since its questions are answered in the inbox.
pub fn is_service(spec: &[u8]) -> bool {
    let container = AppSpec::decode(spec).ok().and_then(|spec| spec.container).unwrap_or_default();
    container.command.iter().chain(&container.args).any(|word| word == SERVICE)
}

/// A file of the plugin's by its key: which request it is of, and where its answer lies.
fn file_of<'k>(key: &'k str, wanted: &str) -> Option<(&'k str, &'k str)> {
    let (folder, file) = key.rsplit_once('/').filter(|(_, file)| *file == wanted)?;
    let (above, id) = folder.rsplit_once('/')?;
    (file == wanted && above.rsplit('/').next() == Some(FOLDER) && !id.is_empty()).then_some((id, folder))
}

/// The request that an object asks, by its key.
pub fn request_of(key: &str) -> Option<&str> {
    file_of(key, REQUEST).map(|(id, _)| id)
}

/// The request that an object answers, by its key.
pub fn response_of(key: &str) -> Option<&str> {
    file_of(key, RESPONSE).map(|(id, _)| id)
}

/// The run whose request or answer an object is: project, domain and name.
pub fn run_of(key: &str) -> Option<[&str; 3]> {
    match key.split('/').collect::<Vec<_>>()[..] {
        ["runs", project, domain, name, _, ..] => Some([project, domain, name]),
        _ => None,
    }
}

/// Who wrote a request, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker<'k> {
    /// The project, the domain and the run: a part of the key.
    pub run: &'k str,
    /// The action.
    pub action: &'k str,
    /// Which attempt of it.
    pub attempt: &'k str,
}

/// Who wrote a request or looks for its answer, by its key.
pub fn asker_of(key: &str) -> Option<Asker<'_>> {
    let rest = key.strip_prefix("runs/")?;
    let [project, domain, run, action, attempt, _] = rest.splitn(6, '/').collect::<Vec<_>>()[..] else { return None };
    let run = &rest[..project.len() + domain.len() + run.len() + 2];
    Some(Asker { run, action, attempt })
}

/// What tells questions of an action apart that are asked in other words. The plugin calls each request by a new name, in every attempt.
pub fn words_of(action: &str, condition: &ConditionAction) -> String {
    let mut hash = Sha256::new();
    for part in [action, &condition.name, type_of(condition), &condition.prompt] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    to_hex(&hash.finalize()[..10])
}

/// The action that waits for the answer to the question in these words, when so many in the same words came before it.
pub fn action_asking(words: &str, before: usize) -> String {
    match before {
        0 => format!("hitl-{words}"),
        before => format!("hitl-{words}-{before}"),
    }
}

/// The action that waits for the answer to a request of which no more is known than its name: of an earlier version of the server.
pub fn action_of(request: &str) -> String {
    format!("hitl-{}", &to_hex(&Sha256::digest(request.as_bytes()))[..20])
}

/// What a request asks, as a condition; none when it is none.
pub fn read_request(request: &str, bytes: &[u8]) -> Option<ConditionAction> {
    let said: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("request_id") != request || text("event_name").is_empty() {
        return None;
    }
    let simple = match text("data_type").as_str() {
        "int" => INTEGER,
        "float" => FLOAT,
        "bool" => BOOLEAN,
        _ => STRING,
    };
    Some(ConditionAction {
        name: text("event_name"),
        kind: Some(LiteralType { simple }),
        prompt: text("prompt"),
        ..ConditionAction::default()
    })
}

/// The answer to a request, as the plugin looks for it.
pub fn response(request: &str, condition: &ConditionAction, value: &Value) -> Vec<u8> {
    let data_type = match type_of(condition) {
        "integer" => "int",
        "number" => "float",
        "boolean" => "bool",
        _ => "str",
    };
    json!({ "value": value, "status": "completed", "request_id": request, "data_type": data_type }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ConditionWebhook, Container, Field, JsonList};

    fn text(text: &str) -> Json {
        Json { text: Some(text.into()), ..Json::default() }
    }

    #[test]
    fn whoever_is_told_is_told_where_to_answer() {
        let field = |key: &str, value: Json| Field { key: key.into(), value: Some(value) };
        let list =
            JsonList { values: vec![text("{callback_uri}"), Json { number: Some(2.0), ..Json::default() }, Json::default()] };
        let inner = Fields { fields: vec![field("list", Json { list: Some(list), ..Json::default() })] };
        let payload = Fields {
            fields: vec![
                field("to", text("POST {callback_uri} please")),
                field("deep", Json { object: Some(inner), ..Json::default() }),
                field("half", Json { number: Some(0.5), ..Json::default() }),
                field("sure", Json { boolean: Some(true), ..Json::default() }),
            ],
        };
        let hook = ConditionWebhook { url: "https://example.com/hook".into(), payload: Some(payload) };
        let condition = ConditionAction { webhook: Some(hook), ..ConditionAction::default() };
        let request = webhook(&condition, "http://here/answer").unwrap();
        assert_eq!(request["url"], "https://example.com/hook");
        let expected = json!({
            "to": "POST http://here/answer please", "deep": { "list": ["http://here/answer", 2, null] }, "half": 0.5, "sure": true,
        });
        assert_eq!(request["json"], expected);
        assert_eq!(webhook(&ConditionAction::default(), "x"), None);
    }

    #[test]
    fn requests_of_the_plugin_are_known_by_their_files() {
        let folder = "runs/p/d/r/a0/1/raw/hitl-requests/7f";
        assert_eq!(request_of(&format!("{folder}/request.json")), Some("7f"));
        assert_eq!(response_of(&format!("{folder}/response.json")), Some("7f"));
        for other in
            ["runs/p/d/r/a0/1/raw/7f/request.json", "hitl-requests/request.json", "request.json", "hitl-requests//request.json"]
        {
            assert_eq!(request_of(other), None, "{other}");
        }
        assert_eq!(run_of(folder), Some(["p", "d", "r"]));
        assert_eq!(run_of("uploads/p/d/r/x"), None);
        assert!(action_of("7f").len() <= 30);
        assert_eq!(asker_of(&format!("{folder}/request.json")), Some(Asker { run: "p/d/r", action: "a0", attempt: "1" }));
        assert_eq!((asker_of("runs/p/d/r/a0"), asker_of("uploads/p/d/r/a0/1/x")), (None, None));
        let asked = json!({ "request_id": "7f", "event_name": "release", "prompt": "May it?", "data_type": "int" }).to_string();
        let condition = read_request("7f", asked.as_bytes()).unwrap();
        assert_eq!((condition.name.as_str(), type_of(&condition)), ("release", "integer"));
        let answer: Value = serde_json::from_slice(&response("7f", &condition, &json!(3))).unwrap();
        assert_eq!(answer, json!({ "value": 3, "status": "completed", "request_id": "7f", "data_type": "int" }));
        assert_eq!(read_request("8a", asked.as_bytes()), None);
        assert_eq!(read_request("7f", b"no"), None);
    }

    #[test]
    fn a_question_is_the_same_in_every_attempt_and_another_in_other_words() {
        let asks = |name: &str, prompt: &str, simple| ConditionAction {
            name: name.into(),
            prompt: prompt.into(),
            kind: Some(LiteralType { simple }),
            ..ConditionAction::default()
        };
        let words = words_of("a0", &asks("go", "May it?", INTEGER));
        assert_eq!(words, words_of("a0", &asks("go", "May it?", INTEGER)));
        let others = [
            ("a1", asks("go", "May it?", INTEGER)),
            ("a0", asks("goM", "ay it?", INTEGER)),
            ("a0", asks("go", "May it!", INTEGER)),
            ("a0", asks("go", "May it?", STRING)),
        ];
        assert!(others.iter().all(|(action, condition)| words_of(action, condition) != words));
        assert_ne!(action_asking(&words, 0), action_asking(&words, 1));
        assert!(action_asking(&words, 999).len() <= 30);
    }

    #[test]
    fn the_service_of_the_plugin_is_known_by_its_command() {
        let spec = |command: &[&str]| {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            AppSpec { container: Some(Container { command, ..Container::default() }), ..AppSpec::default() }.encode_to_vec()
        };
        assert!(is_service(&spec(&["uvicorn", SERVICE, "--port", "8080"])));
        assert!(!is_service(&spec(&["uvicorn", "own:app"])) && !is_service(b"\xff"));
    }
}
