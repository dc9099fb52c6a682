//! From a task's specification to what the engine needs to know: resources, retries, timeouts, caching.

use std::collections::BTreeMap;

use model::graph::{Needs, Retry};
use model::{Digest, Duration, Node, NodeKind, Resources};
use serde_json::{Value, json};

use crate::wire::{RunSpec, TaskMetadata, TaskSpec, TaskTemplate, Time};

/// A secret that is asked for as a file.
const AS_FILE: i32 = 2;
/// The kinds of tasks that run as processes of the SDK.
const KINDS: [&str; 3] = ["python", "python-task", "actor"];

/// Why a task cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The specification is not one.
    #[error("the specification of the task cannot be read: {0}")]
    Malformed(String),
    /// It needs an engine of its own.
    #[error("tasks of type `{0}` need an engine of their own, which this site has not")]
    Kind(String),
    /// There is nothing to run.
    #[error("the task has no container with arguments")]
    NoContainer,
    /// Only variables.
    #[error("the secret `{0}` is asked for as a file, and secrets are given as variables here: use `as_env_var`")]
    SecretFile(String),
    /// It could not be told from a variable that the task has without it.
    #[error("the secret `{0}` has no name that can be one here: letters, digits, `-` and `_`, at most 63")]
    SecretName(String),
    /// An amount that is not one.
    #[error("`{0}` is not an amount of {1}")]
    Amount(String, &'static str),
}

/// Reads a specification.
pub fn read(bytes: &[u8]) -> Result<TaskSpec, Unfit> {
    prost::Message::decode(bytes).map_err(|error: prost::DecodeError| Unfit::Malformed(error.to_string()))
}

/// A span on the wire.
pub fn span(time: Option<&Time>) -> Option<Duration> {
    let time = time.filter(|time| time.seconds > 0 || time.nanos > 0)?;
    let seconds = u64::try_from(time.seconds).ok()?;
    Some(Duration(seconds.saturating_mul(1_000_000).saturating_add(u64::from(time.nanos.unsigned_abs()) / 1_000)))
}

/// What the engine runs for a task.
pub fn node(id: &str, spec: &TaskSpec) -> Result<Node, Unfit> {
    let template = spec.task_template.as_ref().ok_or(Unfit::NoContainer)?;
    if !KINDS.contains(&template.kind.as_str()) {
        return Err(Unfit::Kind(template.kind.clone()));
    }
    if template.container.as_ref().is_none_or(|container| container.args.is_empty()) {
        return Err(Unfit::NoContainer);
    }
    secrets(template)?;
    let metadata = template.metadata.clone().unwrap_or_default();
    Ok(Node {
        id: id.into(),
        kind: NodeKind::Task { name: name_of(template) },
        needs: Needs { resources: resources(template)?, ..Needs::default() },
        retry: retry(&metadata),
        timeout: span(metadata.timeout.as_ref()),
        queue_timeout: metadata.timeouts.as_ref().and_then(|timeouts| span(timeouts.queued.as_ref())),
        total_timeout: metadata.timeouts.as_ref().and_then(|timeouts| span(timeouts.deadline.as_ref())),
        ..Node::default()
    })
}

/// The secrets that a task asks for, by the variables that they are given in.
pub fn secrets(template: &TaskTemplate) -> Result<BTreeMap<String, String>, Unfit> {
    let mut secrets = BTreeMap::new();
    for asked in template.security_context.iter().flat_map(|context| &context.secrets) {
        let name = if asked.group.is_empty() { asked.key.clone() } else { format!("{}_{}", asked.group, asked.key) };
        if asked.mount_requirement == AS_FILE {
            return Err(Unfit::SecretFile(name));
        }
        if name.is_empty() || name.len() > 63 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(Unfit::SecretName(name));
        }
        let variable = if asked.env_var.is_empty() { name.replace('-', "_").to_uppercase() } else { asked.env_var.clone() };
        secrets.insert(variable, name);
    }
    Ok(secrets)
}

/// The name of the task.
pub fn name_of(template: &TaskTemplate) -> String {
    template.id.as_ref().map(|id| id.name.clone()).unwrap_or_default()
}

fn retry(metadata: &TaskMetadata) -> Retry {
    let Some(retries) = &metadata.retries else { return Retry::default() };
    // Without one it is repeated at once, and without a cap each pause is as long as the first.
    let backoff = retries.backoff.clone().unwrap_or_default();
    let base = span(backoff.base.as_ref()).unwrap_or(Duration(0));
    let cap = span(backoff.cap.as_ref()).unwrap_or(base).max(base);
    let growth_percent = Some((backoff.factor * 100.0).clamp(100.0, 100_000.0) as u32);
    Retry { max: retries.retries.min(model::limits::RETRY_ATTEMPTS_MAX), backoff_min: base, backoff_max: cap, growth_percent }
}

fn resources(template: &TaskTemplate) -> Result<Resources, Unfit> {
    let mut resources = Resources::default();
    let requests = template.container.as_ref().and_then(|container| container.resources.as_ref());
    for entry in requests.iter().flat_map(|resources| &resources.requests) {
        let wrong = |what| Unfit::Amount(entry.value.clone(), what);
        match entry.name {
            1 => resources.cpu_millis = (amount(&entry.value).ok_or(wrong("cores"))? * 1000.0).ceil() as u32,
            2 => resources.gpus = amount(&entry.value).ok_or(wrong("accelerators"))? as u32,
            3 => resources.memory_bytes = amount(&entry.value).ok_or(wrong("memory"))? as u64,
            4 | 5 => resources.disk_bytes = amount(&entry.value).ok_or(wrong("disk"))? as u64,
            _ => {}
        }
    }
    Ok(resources)
}

/// An amount as Kubernetes writes it: `500m`, `2`, `1.5Gi`, `1e3`.
fn amount(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let text = text.trim();
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit))).unwrap_or((text, 1.0));
    number.parse::<f64>().ok().map(|number| number * unit).filter(|amount| amount.is_finite() && *amount >= 0.0)
}

/// Under what the result of the root of a run is remembered: what the engine is to know of it; null when it is not. `inputs` is what stands for its
/// inputs.
pub fn cache_of_root(template: &TaskTemplate, run_spec: &RunSpec, domain: &str, inputs: &str) -> Value {
    let metadata = template.metadata.clone().unwrap_or_default();
    if !metadata.discoverable || inputs.is_empty() {
        return Value::Null;
    }
    let (task, interface) = (name_of(template), Digest::of(&template.interface).hex());
    let parts = [inputs, "\0", &task, "\0", &interface, "\0", &metadata.discovery_version];
    let key = cache_key(domain, &Digest::of_parts(&parts.map(str::as_bytes)).hex());
    json!({ "key": key.hex(), "once": metadata.cache_serializable, "max_age_us": max_age(&metadata, run_spec).map(|age| age.0) })
}

/// What a key of the SDK is called here: results are remembered within the domain of a project, whatever the run says of scopes, since tasks read
/// nothing of another one.
pub fn cache_key(domain: &str, key: &str) -> Digest {
    Digest::of_parts(&[b"flyte\0", domain.as_bytes(), b"\0", key.as_bytes()])
}

/// How old something remembered may be; none for any age. Nothing is young enough when it is to be computed anew.
pub fn max_age(metadata: &TaskMetadata, run_spec: &RunSpec) -> Option<Duration> {
    match overwrites_cache(run_spec) {
        true => Some(Duration(0)),
        false => span(metadata.cache_max_age.as_ref()),
    }
}

/// Whether a run wants what is remembered to be computed anew.
pub fn overwrites_cache(run_spec: &RunSpec) -> bool {
    run_spec.overwrite_cache || run_spec.cache_config.as_ref().is_some_and(|config| config.overwrite_cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_remembered_by_what_it_is_given_and_how_it_is_written() {
        let template = |version: &str, interface: &[u8]| TaskTemplate {
            interface: interface.to_vec(),
            metadata: Some(TaskMetadata { discoverable: true, discovery_version: version.into(), ..TaskMetadata::default() }),
            ..TaskTemplate::default()
        };
        let of =
            |template: &TaskTemplate, domain: &str, inputs: &str| cache_of_root(template, &RunSpec::default(), domain, inputs);
        let first = of(&template("1", b"x"), "development", "i");
        assert_eq!(first, of(&template("1", b"x"), "development", "i"));
        let others = [
            of(&template("2", b"x"), "development", "i"),
            of(&template("1", b"y"), "development", "i"),
            of(&template("1", b"x"), "production", "i"),
            of(&template("1", b"x"), "development", "j"),
        ];
        assert!(others.iter().all(|other| other["key"] != first["key"]));
        assert!(first["key"].as_str().unwrap().parse::<Digest>().is_ok());
        assert_eq!((&first["once"], &first["max_age_us"]), (&json!(false), &Value::Null));
        let anew = RunSpec { overwrite_cache: true, ..RunSpec::default() };
        assert_eq!(cache_of_root(&template("1", b"x"), &anew, "development", "i")["max_age_us"], 0);
        assert_eq!(of(&TaskTemplate::default(), "development", "i"), Value::Null);
        assert_eq!(of(&template("1", b"x"), "development", ""), Value::Null);
    }

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [("500m", 0.5), ("2", 2.0), ("1.5Gi", 1_610_612_736.0), ("250Mi", 262_144_000.0), ("1e3", 1000.0)]
        {
            assert_eq!(amount(text), Some(expected), "{text}");
        }
        for text in ["", "many", "-1", "1Xi", "NaN", "inf"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_run_here_says_why() {
        let spec = |kind: &str| TaskSpec {
            task_template: Some(TaskTemplate { kind: kind.into(), ..TaskTemplate::default() }),
            ..TaskSpec::default()
        };
        assert_eq!(node("a0", &spec("spark")), Err(Unfit::Kind("spark".into())));
        assert_eq!(node("a0", &spec("python")), Err(Unfit::NoContainer));
        assert!(read(&[0xff, 0xff]).is_err());
    }
}
