//! Apps: services of a program that run until they are stopped. To the engine an app is one long task; what is its own is the port that it is
//! reached at, which is another one than it is written for, so that two apps never meet.

use prost::Message as _;
use serde_json::{Value, json};

use crate::wire::{AppSpec, Container, Runtime, SecurityContext, TaskMetadata, TaskSpec, TaskTemplate, TemplateId};

/// The state in which an app is not to run.
const STOPPED: i32 = 1;
/// The port of an app that names none.
const USUAL_PORT: u32 = 8080;
/// The longest name of an app, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Why an app cannot be served here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It cannot be read.
    #[error("the app cannot be read: {0}")]
    Malformed(String),
    /// It is described for Kubernetes.
    #[error("an app with a pod template needs Kubernetes; describe it by its image and its command")]
    Pod,
    /// There is nothing to run.
    #[error("the app has no container with a command")]
    NoContainer,
    /// It could not be a part of an address.
    #[error("`{0}` is no name for an app: small letters, digits and `-`, at most {NAME_BYTES_MAX}")]
    Name(String),
    /// It listens at no port, or at one that is none.
    #[error("`{0}` is no port of an app")]
    Port(u32),
}

/// What an app is, as far as running it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// What runs, as a task.
    pub task: TaskSpec,
    /// The port that it is written for.
    pub port: u16,
    /// Whether it is to run.
    pub wanted: bool,
    /// Whether anybody may call it.
    pub anonymous: bool,
}

/// Whether a name can be that of an app.
pub fn check_name(name: &str) -> Result<(), Unfit> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(good) {
        true => Ok(()),
        false => Err(Unfit::Name(name.to_owned())),
    }
}

/// Reads what is said of an app. `project`, `domain` and `name` are where it belongs.
pub fn read(spec: &[u8], [project, domain, name]: [&str; 3]) -> Result<App, Unfit> {
    check_name(name)?;
    let spec = AppSpec::decode(spec).map_err(|error| Unfit::Malformed(error.to_string()))?;
    if spec.pod.is_some() {
        return Err(Unfit::Pod);
    }
    let container = spec.container.filter(|container| container.command.len() + container.args.len() > 0);
    let container = container.ok_or(Unfit::NoContainer)?;
    let port = container.ports.first().map_or(USUAL_PORT, |port| port.container_port);
    let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or(Unfit::Port(port))?;
    let security = spec.security_context.unwrap_or_default();
    // A task has arguments; what comes before them stands in the same command.
    let container =
        Container { args: container.command.iter().chain(&container.args).cloned().collect(), command: Vec::new(), ..container };
    let metadata =
        TaskMetadata { runtime: Some(Runtime { version: spec.runtime.unwrap_or_default().version }), ..TaskMetadata::default() };
    let id = TemplateId {
        project: project.to_owned(),
        domain: domain.to_owned(),
        name: format!("app.{name}"),
        ..TemplateId::default()
    };
    let template = TaskTemplate {
        id: Some(id),
        kind: "python".into(),
        metadata: Some(metadata),
        container: Some(container),
        security_context: Some(SecurityContext { secrets: security.secrets }),
        ..TaskTemplate::default()
    };
    Ok(App {
        task: TaskSpec { task_template: Some(template), short_name: name.to_owned(), ..TaskSpec::default() },
        port,
        wanted: spec.desired_state != STOPPED,
        anonymous: security.allow_anonymous,
    })
}

/// The same with another wish whether it is to run: fields that are joined to a message take the place of earlier ones.
pub fn wanting(mut spec: Vec<u8>, runs: bool) -> Vec<u8> {
    let desired_state = if runs { 3 } else { STOPPED };
    AppSpec { desired_state, ..AppSpec::default() }.encode(&mut spec).unwrap_or_default();
    spec
}

/// Tells a process at which port to listen: where the SDK looks for it, where others do, and where its command names the port that it is
/// written for. `input` is what [`crate::process::input`] gave.
pub fn listen_at(input: &mut Value, written_for: u16, port: u16) {
    let (old, new) = (written_for.to_string(), port.to_string());
    for part in input["command"].as_array_mut().into_iter().flatten() {
        if let Some(text) = part.as_str() {
            *part = with_port(text, &old, &new).into();
        }
    }
    // The SDK has one way to be told of another port, which it has for hosts of its own.
    let told = json!({ "_F_APPLE_SILICON_ON_HOST": "1", "_F_APPLE_SILICON_HOST_PORT": new, "PORT": new });
    for (key, value) in told.as_object().into_iter().flatten() {
        input["env"][key] = value.clone();
    }
}

/// A word of a command with another port: `8080`, `--port=8080`, `0.0.0.0:8080`.
fn with_port(word: &str, old: &str, new: &str) -> String {
    match word.strip_suffix(old) {
        Some(before) if before.is_empty() || before.ends_with(['=', ':']) => format!("{before}{new}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AppSecurity, ContainerPort};

    fn spec(desired_state: i32) -> Vec<u8> {
        let container = Container {
            command: vec!["streamlit".into(), "run".into()],
            args: vec!["--server.port".into(), "8501".into()],
            ports: vec![ContainerPort { container_port: 8501, name: String::new() }],
            ..Container::default()
        };
        let security_context = Some(AppSecurity { allow_anonymous: true, ..AppSecurity::default() });
        AppSpec { container: Some(container), desired_state, security_context, ..AppSpec::default() }.encode_to_vec()
    }

    #[test]
    fn an_app_is_a_task_that_listens_elsewhere() {
        let app = read(&spec(3), ["p", "d", "board"]).unwrap();
        assert_eq!((app.port, app.wanted, app.anonymous), (8501, true, true));
        let container = app.task.task_template.unwrap().container.unwrap();
        assert_eq!(container.args, ["streamlit", "run", "--server.port", "8501"]);
        let mut input = json!({ "command": ["a", "--port=8501", "0.0.0.0:8501", "8501", "18501", "8501x"], "env": {} });
        listen_at(&mut input, 8501, 4711);
        assert_eq!(input["command"], json!(["a", "--port=4711", "0.0.0.0:4711", "4711", "18501", "8501x"]));
        assert_eq!(input["env"]["_F_APPLE_SILICON_HOST_PORT"], "4711");
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        assert_eq!(read(b"", ["p", "d", "x"]), Err(Unfit::NoContainer));
        assert_eq!(read(&spec(3), ["p", "d", "../x"]), Err(Unfit::Name("../x".into())));
        let pod = AppSpec { pod: Some(Vec::new()), ..AppSpec::default() }.encode_to_vec();
        assert_eq!(read(&pod, ["p", "d", "x"]), Err(Unfit::Pod));
        assert!(!read(&spec(1), ["p", "d", "x"]).unwrap().wanted);
        assert!(read(&wanting(spec(1), true), ["p", "d", "x"]).unwrap().wanted);
        assert!(!read(&wanting(spec(3), false), ["p", "d", "x"]).unwrap().wanted);
    }
}
