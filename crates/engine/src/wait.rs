//! What a `wait` node waits for, and when a `human` node moves on: read from the rendered input.

use model::{Duration, Payload, Timestamp};
use serde_json::Value;

/// What a wait is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Until(Timestamp),
    Signal(String),
    Event(String),
}

/// Reads the input of a `wait` node that is opened at `now`.
pub(crate) fn parse(input: Option<&Payload>, now: Timestamp) -> Result<Wait, String> {
    let input = input.map_or(&Value::Null, Payload::value);
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    if let Some(span) = input.get("for") {
        let span = match span {
            Value::Number(seconds) => seconds.as_f64().filter(|s| *s >= 0.0).map(|s| Duration((s * 1e6) as u64)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let span = span.ok_or_else(|| format!("`for` is {}, which is not a duration such as `30s`", input["for"]))?;
        return Ok(Wait::Until(now.after(span)));
    }
    if let Some(until) = text("until") {
        let moment = chrono::DateTime::parse_from_rfc3339(until)
            .map_err(|error| format!("`until` is `{until}`, which is not a time such as `2026-01-31T06:00:00Z`: {error}"))?;
        return Ok(Wait::Until(Timestamp(moment.timestamp_micros().max(0) as u64)));
    }
    if let Some(name) = text("signal") {
        return Ok(Wait::Signal(name.to_owned()));
    }
    if let Some(name) = text("event") {
        return Ok(Wait::Event(name.to_owned()));
    }
    Err("nothing to wait for: give `for`, `until`, `signal` or `event`".to_owned())
}

/// Whether what an event brought matches what a wait asks for: every field of `match` is there and equal, at any depth.
pub(crate) fn matches(input: Option<&Payload>, brought: &Value) -> bool {
    fn covers(wanted: &Value, found: &Value) -> bool {
        match (wanted, found) {
            (Value::Object(wanted), Value::Object(found)) => {
                wanted.iter().all(|(key, value)| found.get(key).is_some_and(|other| covers(value, other)))
            }
            (wanted, found) => wanted == found,
        }
    }
    input.and_then(|input| input.value().get("match")).is_none_or(|wanted| covers(wanted, brought))
}

/// How long after the step before it the `step`-th escalation of a human action comes.
pub(crate) fn escalation(input: Option<&Payload>, step: usize) -> Option<Duration> {
    let step = input?.value().get("assign")?.get("then")?.get(step)?;
    step.get("after")?.as_str()?.parse().ok()
}

/// A point in time as people and programs read it (RFC 3339, UTC, milliseconds).
pub(crate) fn rfc3339(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(at.0 as i64)
        .map(|moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn waits_are_read() {
        let payload = |value| Some(Payload::new(&[0; 32], value));
        let now = Timestamp(1_000_000);
        let read = |value| parse(payload(value).as_ref(), now);
        assert_eq!(read(json!({"for": "2s"})), Ok(Wait::Until(Timestamp(3_000_000))));
        assert_eq!(read(json!({"until": "1970-01-01T00:00:09Z"})), Ok(Wait::Until(Timestamp(9_000_000))));
        assert_eq!(read(json!({"signal": "go"})), Ok(Wait::Signal("go".into())));
        assert!(read(json!({"for": true})).is_err() && read(json!({})).is_err() && parse(None, now).is_err());
        assert_eq!(rfc3339(Timestamp(9_000_000)), "1970-01-01T00:00:09.000Z");
    }

    #[test]
    fn an_event_matches_by_what_is_asked() {
        let input = Payload::new(&[0; 32], json!({"event": "e", "match": {"a": {"b": 1}}}));
        assert!(matches(Some(&input), &json!({"a": {"b": 1, "c": 2}, "d": 3})));
        assert!(!matches(Some(&input), &json!({"a": {"b": 2}})));
        assert!(matches(None, &json!(1)));
    }
}
