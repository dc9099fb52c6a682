//! Whom the end of a run is told: the rules of a run as requests of HTTP.

use serde_json::{Map, Value, json};

use crate::wire::{RunSpec, Webhook};

/// Methods by their numbers on the wire.
const METHODS: [&str; 10] = ["POST", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// Rules of one run, at most.
const RULES_MAX: usize = 20;

/// Why a rule cannot be kept to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is kept by an administrator elsewhere.
    #[error("there is no notification rule or delivery `{0}` here: write the webhook into the program")]
    Named(String),
    /// Mail.
    #[error("this server sends no mail: use `flyte.notify.Webhook`, `Slack` or `Teams`")]
    Mail,
    /// No address to go to.
    #[error("`{0}` is not an address for a notification: it begins with `http://` or `https://`")]
    Address(String),
    /// A method that opens something else than a request.
    #[error("a notification cannot be sent by `{0}`")]
    Method(&'static str),
    /// Too many.
    #[error("a run has at most {RULES_MAX} notifications")]
    TooMany,
}

/// What a message may speak of.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// The project.
    pub project: String,
    /// The domain.
    pub domain: String,
    /// The run.
    pub name: String,
    /// The phase, in lower case as the SDK writes it.
    pub phase: String,
    /// The error; empty without one.
    pub error: String,
}

impl Ended {
    fn fill(&self, text: &str, escape: impl Fn(&str) -> String) -> String {
        let pairs = [
            ("{{.Run.Project}}", &self.project),
            ("{{.Run.Domain}}", &self.domain),
            ("{{.Run.Name}}", &self.name),
            ("{{.Phase}}", &self.phase),
            ("{{.Error}}", &self.error),
        ];
        // What is filled in is not looked at again: an error may hold what looks like a place to fill.
        let (mut filled, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("{{") {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            match pairs.iter().find(|(key, _)| rest.starts_with(key)) {
                Some((key, value)) => {
                    filled.push_str(&escape(value));
                    rest = &rest[key.len()..];
                }
                None => {
                    filled.push_str("{{");
                    rest = &rest[2..];
                }
            }
        }
        filled + rest
    }

    fn fill_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.fill(&text, str::to_owned).into(),
            Value::Array(items) => items.into_iter().map(|item| self.fill_value(item)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, field)| (key, self.fill_value(field))).collect(),
            other => other,
        }
    }
}

/// Refuses what could not be told when the time comes: better before the run than after it.
pub fn check(spec: &RunSpec) -> Result<(), Unfit> {
    if !spec.notification_rule.is_empty() {
        return Err(Unfit::Named(spec.notification_rule.clone()));
    }
    let rules = spec.notifications.iter().flat_map(|rules| &rules.rules);
    if rules.clone().count() > RULES_MAX {
        return Err(Unfit::TooMany);
    }
    for rule in rules {
        if !rule.delivery.is_empty() {
            return Err(Unfit::Named(rule.delivery.clone()));
        }
        let template = rule.template.as_ref();
        if template.is_some_and(|template| template.email.is_some()) {
            return Err(Unfit::Mail);
        }
        let webhook = template.and_then(|template| template.webhook.clone()).unwrap_or_default();
        if !webhook.url.starts_with("http://") && !webhook.url.starts_with("https://") {
            return Err(Unfit::Address(webhook.url));
        }
        if let method @ ("CONNECT" | "TRACE") = method_of(&webhook) {
            return Err(Unfit::Method(method));
        }
    }
    Ok(())
}

/// Whether anybody is to be told of the end of a run.
pub fn are_asked_for(spec: &RunSpec) -> bool {
    spec.notifications.as_ref().is_some_and(|rules| !rules.rules.is_empty())
}

fn method_of(webhook: &Webhook) -> &'static str {
    usize::try_from(webhook.method).ok().and_then(|number| METHODS.get(number).copied()).unwrap_or("POST")
}

/// The requests to send at the end of a run: what `core/http` is given. `phase` is the phase on the wire.
pub fn requests(spec: &RunSpec, phase: i32, ended: &Ended) -> Vec<Value> {
    let rules = spec.notifications.iter().flat_map(|rules| &rules.rules);
    let concerned = rules.filter(|rule| rule.on_phases.contains(&phase));
    concerned.filter_map(|rule| Some(request(rule.template.as_ref()?.webhook.as_ref()?, ended))).collect()
}

fn request(webhook: &Webhook, ended: &Ended) -> Value {
    let headers: Map<String, Value> =
        webhook.headers.iter().map(|(key, value)| (key.clone(), ended.fill(value, one_line).into())).collect();
    let mut request = json!({ "url": ended.fill(&webhook.url, in_address), "method": method_of(webhook), "headers": headers });
    if !webhook.body_template.is_empty() {
        match serde_json::from_str::<Value>(&webhook.body_template) {
            Ok(body) => request["json"] = ended.fill_value(body),
            Err(_) => request["body"] = ended.fill(&webhook.body_template, str::to_owned).into(),
        }
    }
    request
}

/// A text as a header may have it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { ' ' }).take(1_000).collect()
}

/// A text as a part of an address.
fn in_address(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().take(1_000).map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DeliveryTemplate, NotificationRule, NotificationRules};

    fn spec(url: &str, body: &str) -> RunSpec {
        let headers = [("X-Error".to_owned(), "{{.Error}}".to_owned())].into();
        let webhook = Webhook { url: url.into(), method: 4, headers, body_template: body.into() };
        let template = Some(DeliveryTemplate { webhook: Some(webhook), email: None });
        let rule = NotificationRule { on_phases: vec![6, 8], template, ..NotificationRule::default() };
        RunSpec { notifications: Some(NotificationRules { rules: vec![rule] }), ..RunSpec::default() }
    }

    #[test]
    fn what_happened_is_filled_in_where_it_can_do_no_harm() {
        let ended = Ended {
            project: "p".into(),
            domain: "d".into(),
            name: "r 1".into(),
            phase: "failed".into(),
            error: "a \"b\"\nc {{.Phase}}".into(),
        };
        let spec =
            spec("http://h/{{.Run.Name}}?e={{.Error}}", r#"{"t": ["{{.Run.Project}}: {{.Error}}", {"x": 1}], "u": "{{.Else}}"}"#);
        assert_eq!(check(&spec), Ok(()));
        assert_eq!(requests(&spec, 5, &ended), Vec::<Value>::new());
        let sent = requests(&spec, 6, &ended).remove(0);
        assert_eq!(sent["url"], "http://h/r%201?e=a%20%22b%22%0Ac%20%7B%7B.Phase%7D%7D");
        assert_eq!(sent["method"], "PUT");
        assert_eq!(sent["headers"]["X-Error"], "a \"b\" c {{.Phase}}");
        assert_eq!(sent["json"], json!({"t": ["p: a \"b\"\nc {{.Phase}}", {"x": 1}], "u": "{{.Else}}"}));
    }

    #[test]
    fn what_could_not_be_told_is_refused_before() {
        assert_eq!(check(&spec("ftp://h", "")), Err(Unfit::Address("ftp://h".into())));
        let named = RunSpec { notification_rule: "oncall".into(), ..RunSpec::default() };
        assert_eq!(check(&named), Err(Unfit::Named("oncall".into())));
        let mut mail = spec("http://h", "");
        mail.notifications.as_mut().unwrap().rules[0].template.as_mut().unwrap().email = Some(Vec::new());
        assert_eq!(check(&mail), Err(Unfit::Mail));
        assert!(are_asked_for(&mail) && !are_asked_for(&RunSpec::default()));
    }
}
