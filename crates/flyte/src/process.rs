//! What a task becomes as a process: the SDK's own entry point, with the templates of its command line filled in.

use std::collections::BTreeMap;

use model::Duration;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::call::{Call, to_hex};
use crate::task::span;
use crate::wire::TaskSpec;

/// What a process is told of where it runs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The server's own address, as a process of this machine reaches it.
    pub endpoint: String,
    /// The name and the secret with which the process signs for objects.
    pub access: (String, String),
    /// The token with which the process calls the server, when it needs one.
    pub token: Option<String>,
    /// The folder of environments at the site.
    pub environments: String,
    /// The environment for the image that is everybody's, when the operator names one.
    pub default_environment: Option<String>,
    /// The name of the run.
    pub run: String,
    /// The project.
    pub project: String,
    /// The domain.
    pub domain: String,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// The environment that an image means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// The SDK and nothing else, of this version: made when it is not there.
    Plain(String),
    /// One that the operator made, by the folder's name.
    Named(String),
}

/// The environment that an image's name means. The image that nobody changed is the SDK and nothing else.
pub fn environment(image: &str, version: &str) -> Environment {
    let name = image.rsplit_once('@').map_or(image, |(name, _)| name);
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    };
    if image.is_empty() || repository == "ghcr.io/flyteorg/flyte" {
        let tagged = tag.rsplit_once("-v").map(|(_, version)| version.to_owned());
        let version = if version.is_empty() { tagged.unwrap_or_default() } else { version.to_owned() };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+');
        return Environment::Plain(version.chars().filter(|c| plain(*c)).collect());
    }
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let safe: String = name.chars().map(safe).collect();
    Environment::Named(safe.trim_start_matches('.').to_owned())
}

/// The script that finds or makes the environment and becomes the process.
pub const LAUNCH: &str = include_str!("launch.sh");

/// The program that forks processes which have the SDK already.
pub const HOST: &str = include_str!("host.py");

/// Variables that have a meaning before the first line of a program runs, or that change what runs: with one of them it is started.
const STARTED_WITH: [&str; 5] = ["LD_", "PYTHON", "MALLOC_", "GLIBC_", "_F_EXEC_WRAPPER"];
/// How long a process without work is kept when the program does not say, and at most.
const IDLE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3_600));
/// Processes without work that are kept of one kind, at most.
const KEPT_MAX: usize = 64;

/// How a process stands in that has the SDK already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// What it is told instead of the command.
    pub arguments: Vec<String>,
    /// Which actions may have the same process, how many of them wait without work, and for how long.
    pub reuse: Option<(String, usize, Duration)>,
}

/// What a process is told that has the SDK already; none when this task has to be started. `input` is what [`input`] gave. `apart` tells
/// actions apart whose processes must not be the same one: those whose data carry other tags, and of other projects.
pub fn hosted(spec: &TaskSpec, call: &Call, input: &Value, apart: &[&str], run: &str) -> Option<Hosted> {
    let template = spec.task_template.as_ref()?;
    let container = template.container.as_ref()?;
    let given = container.env.iter().map(|pair| &pair.key).chain(call.envs.keys());
    if given.into_iter().any(|key| starts_with_its_variables(key)) {
        return None;
    }
    let command: Vec<String> = input.get("command")?.as_array()?.iter().filter_map(|part| Some(part.as_str()?.into())).collect();
    let (entry, arguments) = command.get(LAUNCH_PARTS..)?.split_first()?;
    if entry != "a0" {
        return None;
    }
    let reuse = template.reuse_policy.as_ref().map(|policy| {
        let environment = spec.environment.as_ref().map(|name| name.value.as_str()).unwrap_or_default();
        let bundle = arguments.windows(2).find(|pair| pair[0] == "--tgz" || pair[0] == "--pkl").map_or("", |pair| &pair[1]);
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for text in apart.iter().chain([&environment, &bundle, &container.image.as_str()]) {
            part(text.as_bytes());
        }
        // Of one run, or of all.
        part(if policy.scope == 1 { run.as_bytes() } else { b"" });
        part(&template.security_context.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default());
        for (key, value) in container.env.iter().map(|pair| (&pair.key, &pair.value)).chain(&call.envs) {
            part(key.as_bytes());
            part(value.as_bytes());
        }
        let keep = usize::try_from(policy.max_replicas).unwrap_or(1).clamp(1, KEPT_MAX);
        let idle = span(policy.idle_ttl.as_ref()).unwrap_or(IDLE.0).min(IDLE.1);
        (to_hex(&hash.finalize()), keep, idle)
    });
    Some(Hosted { arguments: arguments.to_vec(), reuse })
}

/// Says how long an action may wait for people before its process is let go: a duration, or that it never is.
pub const SUSPEND_AFTER: &str = "TUTTI_SUSPEND_AFTER";

/// How long an action waits for people before its process is let go, to begin again with the answer; none when it keeps it. Whatever stands before
/// the question is done again then, and what would be done beside it is not: only who wrote the program knows whether that does harm, and says so.
pub fn suspends_after(input: &Value) -> Result<Option<Duration>, String> {
    match input.pointer(&format!("/env/{SUSPEND_AFTER}")).and_then(Value::as_str) {
        None | Some("never") => Ok(None),
        Some(text) => match text.parse::<u64>().ok().map(Duration::from_secs).or_else(|| text.parse().ok()) {
            Some(span) => Ok(Some(span)),
            None => Err(format!("`{SUSPEND_AFTER}` is `{text}`, which is neither `never` nor a time such as `10m` or `600`")),
        },
    }
}

/// Whether a variable has a meaning before the first line of a program runs.
pub(crate) fn starts_with_its_variables(key: &str) -> bool {
    STARTED_WITH.iter().any(|start| key.starts_with(start))
}

/// What stands before the task's own command.
const LAUNCH_PARTS: usize = 4;

/// The input of the process as a `run` node has it: a script, its variables.
pub fn input(spec: &TaskSpec, call: &Call, at: &Surroundings) -> Value {
    let container = spec.task_template.as_ref().and_then(|template| template.container.clone()).unwrap_or_default();
    let version = spec
        .task_template
        .as_ref()
        .and_then(|template| Some(template.metadata.as_ref()?.runtime.as_ref()?.version.clone()))
        .unwrap_or_default();
    let outputs = call.outputs(at.attempt);
    let previous = if at.attempt > 1 { format!("{}/_flytecheckpoints", call.outputs(at.attempt - 1)) } else { String::new() };
    let filled = |argument: &String| {
        argument
            .replace("{{.input}}", &call.inputs)
            .replace("{{.outputPrefix}}", &outputs)
            .replace("{{.rawOutputDataPrefix}}", &format!("{outputs}/raw"))
            .replace("{{.checkpointOutputPrefix}}", &format!("{outputs}/_flytecheckpoints"))
            .replace("{{.prevCheckpointPrefix}}", &previous)
            .replace("{{.runName}}", &at.run)
            .replace("{{.actionName}}", &call.name)
            .replace("{{.runStartTime}}", &call.start)
    };
    let command: Vec<String> = container.command.iter().chain(&container.args).map(filled).collect();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for pair in &container.env {
        variables.insert(pair.key.clone(), pair.value.clone());
    }
    variables.extend(call.envs.clone());
    // Their values are put in where the process begins.
    let secrets = spec.task_template.as_ref().and_then(|template| crate::task::secrets(template).ok()).unwrap_or_default();
    variables.extend(secrets.into_iter().map(|(variable, name)| (variable, format!("secret://{name}"))));
    let (kind, environment) = match environment(&container.image, &version) {
        Environment::Plain(version) => match &at.default_environment {
            Some(folder) => ("at", folder.clone()),
            None => ("plain", version),
        },
        Environment::Named(name) => ("named", name),
    };
    let endpoint = match &at.token {
        // Over plain HTTP the SDK sends no token in any other place.
        Some(token) => format!("{}/flyte/as/{token}", at.endpoint),
        None => at.endpoint.clone(),
    };
    let own = [
        ("_U_EP_OVERRIDE", endpoint.as_str()),
        ("_U_INSECURE", "1"),
        ("_U_USE_ACTIONS", "1"),
        ("_U_ORG_NAME", if call.task[0].is_empty() { "tutti" } else { &call.task[0] }),
        ("_U_RUN_BASE", &call.base),
        ("FLYTE_INTERNAL_EXECUTION_PROJECT", &at.project),
        ("FLYTE_INTERNAL_EXECUTION_DOMAIN", &at.domain),
        ("ACTION_NAME", &call.name),
        ("RUN_NAME", &at.run),
        ("FLYTE_AWS_ENDPOINT", &format!("{}/s3", at.endpoint)),
        ("FLYTE_AWS_ACCESS_KEY_ID", &at.access.0),
        ("FLYTE_AWS_SECRET_ACCESS_KEY", &at.access.1),
        ("AWS_REGION", "us-east-1"),
        ("FLYTE_ATTEMPT_NUMBER", &(at.attempt - 1).to_string()),
        ("FLYTE_DISABLE_SENTRY", "true"),
        ("DO_NOT_TRACK", "1"),
        ("TUTTI_FLYTE_KIND", kind),
        ("TUTTI_FLYTE_ENVIRONMENT", &environment),
        ("TUTTI_FLYTE_ENVIRONMENTS", &at.environments),
    ];
    variables.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    // Libraries beside the SDK, such as that of Arrow, read only the names that AWS gives. A program that is given keys of its own keeps them.
    if !variables.keys().any(|key| key.starts_with("AWS_ACCESS") || key.starts_with("AWS_ENDPOINT")) {
        let door = [
            ("AWS_ENDPOINT_URL", format!("{}/s3", at.endpoint)),
            ("AWS_ACCESS_KEY_ID", at.access.0.clone()),
            ("AWS_SECRET_ACCESS_KEY", at.access.1.clone()),
        ];
        variables.extend(door.map(|(key, value)| (key.to_owned(), value)));
    }
    if let Some(token) = &at.token {
        variables.insert("TUTTI_FLYTE_TOKEN".into(), token.clone());
    }
    let mut whole = vec!["/bin/sh".to_owned(), "-c".to_owned(), LAUNCH.to_owned(), "flyte".to_owned()];
    whole.extend(command);
    json!({ "command": whole, "env": variables })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Container, TaskTemplate};

    #[test]
    fn images_mean_environments() {
        assert_eq!(environment("ghcr.io/flyteorg/flyte:py3.11-v2.12.1", "2.12.1"), Environment::Plain("2.12.1".into()));
        assert_eq!(environment("ghcr.io/flyteorg/flyte:py3.11-v2.12.0", ""), Environment::Plain("2.12.0".into()));
        assert_eq!(environment("localhost:5000/team/train:7", ""), Environment::Named("localhost_5000_team_train_7".into()));
        assert_eq!(environment("../../etc", ""), Environment::Named("_.._etc".into()));
    }

    #[test]
    fn a_process_is_let_go_where_the_task_says_so() {
        let with = |value: &str| json!({ "env": { SUSPEND_AFTER: value } });
        assert_eq!(suspends_after(&json!({ "env": {} })), Ok(None));
        assert_eq!(suspends_after(&with("never")), Ok(None));
        assert_eq!(suspends_after(&with("90")), Ok(Some(Duration::from_secs(90))));
        assert_eq!(suspends_after(&with("10m")), Ok(Some(Duration::from_secs(600))));
        assert!(suspends_after(&with("soon")).is_err_and(|said| said.contains("soon")));
    }

    #[test]
    fn no_template_is_left_on_the_command_line() {
        let args = [
            "a0",
            "--inputs",
            "{{.input}}",
            "--outputs-path",
            "{{.outputPrefix}}",
            "--raw-data-path",
            "{{.rawOutputDataPrefix}}",
            "--checkpoint-path",
            "{{.checkpointOutputPrefix}}",
            "--prev-checkpoint",
            "{{.prevCheckpointPrefix}}",
            "--run-name",
            "{{.runName}}",
            "--name",
            "{{.actionName}}",
            "--run-start-time",
            "{{.runStartTime}}",
        ];
        let container = Container { args: args.map(str::to_owned).to_vec(), ..Container::default() };
        let template = TaskTemplate { container: Some(container), ..TaskTemplate::default() };
        let spec = TaskSpec { task_template: Some(template), ..TaskSpec::default() };
        let call = Call { inputs: "s3://tutti/i".into(), base: "s3://tutti/b".into(), name: "a0".into(), ..Call::default() };
        let at = Surroundings { run: "r1".into(), attempt: 2, ..Surroundings::default() };
        let input = input(&spec, &call, &at);
        let text = input.to_string();
        assert!(!text.contains("{{."), "{text}");
        assert!(text.contains("s3://tutti/b/a0/1/_flytecheckpoints") && text.contains("s3://tutti/b/a0/2/raw"), "{text}");
        assert_eq!(input["env"]["FLYTE_ATTEMPT_NUMBER"], "1");
    }
}
