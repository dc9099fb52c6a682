//! Images without containers: what a layered image is built to, and the task that builds it. An image is a Python environment of the site, named by
//! the image's name and tag, which is a hash of its layers.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::process::{Environment, environment, starts_with_its_variables};
use crate::wire::{
    Container, Interface, Runtime, TaskId, TaskMetadata, TaskSpec, TaskTemplate, TemplateId, Type, Variable, VariableType,
    Variables,
};

/// Where the SDK looks for the task that builds images.
pub const PLACE: [&str; 3] = ["system", "production", "build-image"];
/// The program of that task.
pub const BUILDER: &str = include_str!("build_image.py");
/// The version of the SDK in whose environment it runs, where the operator names none.
const SDK: &str = "2.12.1";
/// The number of the type of texts.
const TEXT: i32 = 3;

/// The task that builds images, as if somebody had deployed it. `program` is where its program lies.
pub fn task(program: &Path) -> (TaskId, TaskSpec) {
    let [project, domain, name] = PLACE.map(str::to_owned);
    let version = crate::call::to_hex(&Sha256::digest(BUILDER.as_bytes())[..8]);
    let id = TaskId { org: "tutti".into(), project, domain, name, version };
    let variable = |key: &&str| {
        let of = Type { simple: Some(TEXT), ..Type::default() };
        Variable { key: (*key).into(), value: Some(VariableType { of: Some(of), description: String::new() }) }
    };
    let variables = |keys: &[&str]| Some(Variables { variables: keys.iter().map(variable).collect() });
    let interface =
        Interface { inputs: variables(&["spec", "context", "target_image"]), outputs: variables(&["fully_qualified_image"]) };
    let program = program.to_string_lossy().into_owned();
    let words = ["python", &program, "--inputs", "{{.input}}", "--outputs-path", "{{.outputPrefix}}"];
    let container = Container { args: words.map(str::to_owned).to_vec(), ..Container::default() };
    let template = TaskTemplate {
        id: Some(TemplateId {
            org: id.org.clone(),
            project: id.project.clone(),
            domain: id.domain.clone(),
            name: id.name.clone(),
            version: id.version.clone(),
        }),
        kind: "python-task".into(),
        metadata: Some(TaskMetadata { runtime: Some(Runtime { version: SDK.into() }), ..TaskMetadata::default() }),
        interface: interface.encode_to_vec(),
        container: Some(container),
        ..TaskTemplate::default()
    };
    let spec = TaskSpec { task_template: Some(template), short_name: id.name.clone(), ..TaskSpec::default() };
    (id, spec)
}

/// Whether this is the task that builds images.
pub fn is_builder(project: &str, domain: &str, name: &str) -> bool {
    [project, domain, name] == PLACE
}

/// Whether a task runs as the one that builds images does: the server's own program and nothing else. What a specification calls itself is
/// the client's word. `program` is where the builder's program lies.
pub fn runs_the_builder(spec: &TaskSpec, program: &Path) -> bool {
    let (_, own) = task(program);
    let (Some(own), Some(template)) = (own.task_template, spec.task_template.as_ref()) else { return false };
    let runtime = |template: &TaskTemplate| {
        let version = template.metadata.as_ref().and_then(|metadata| metadata.runtime.as_ref());
        version.map(|runtime| runtime.version.clone())
    };
    let command = |template: &TaskTemplate| template.container.as_ref().map(|container| container.encode_to_vec());
    command(template) == command(&own)
        && runtime(template) == runtime(&own)
        && template.kind == own.kind
        && template.security_context.is_none()
        && template.id.as_ref().is_some_and(|id| is_builder(&id.project, &id.domain, &id.name))
}

/// Variables of the server that tell pip and uv where packages come from and whom to trust. Nothing of that is the project's business.
pub fn settings_of_pip(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    const NAMED: [&str; 10] = [
        "HOME",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    all.filter(|(key, _)| key.starts_with("PIP_") || key.starts_with("UV_") || NAMED.contains(&key.as_str())).collect()
}

/// Whether an image that was asked for is there: the folder of it, below where environments are.
pub fn is_built(environments: &Path, image: &str) -> bool {
    match environment(image, "") {
        Environment::Named(name) => environments.join(name).join(".ready").exists(),
        Environment::Plain(_) => false,
    }
}

/// The project that an environment was built by, which is the only one that may use it. None for those that the operator made, and for those
/// that an earlier version built.
pub fn project_of(folder: &Path) -> Option<String> {
    let project = settings_of(folder).get("project").and_then(Value::as_str).map(str::to_owned);
    project.filter(|project| !project.is_empty())
}

/// What the builder noted of an environment.
fn settings_of(folder: &Path) -> Value {
    let settings = std::fs::read(folder.join(".image.json")).ok();
    settings.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Gives a process the variables that its image has, where it has none of its own. True when they have to be there before Python is.
pub fn add_variables(folder: &Path, input: &mut Value) -> bool {
    let settings = settings_of(folder);
    let Some(variables) = settings.get("env").and_then(Value::as_object) else { return false };
    let Some(own) = input.get_mut("env").and_then(Value::as_object_mut) else { return false };
    let mut early = false;
    for (key, value) in variables {
        early |= starts_with_its_variables(key);
        own.entry(key.clone()).or_insert_with(|| value.clone());
    }
    early
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_builder_is_a_task_like_any_other() {
        let (id, spec) = task(Path::new("/data/flyte/build_image.py"));
        assert!(is_builder(&id.project, &id.domain, &id.name) && !id.version.is_empty());
        let node = crate::task::node("a0", &spec).unwrap();
        assert_eq!(node.kind.work(), "build-image");
        let inputs = crate::interface::inputs_schema(&spec);
        assert!(inputs.to_string().contains("target_image"), "{inputs}");
    }

    #[test]
    fn a_task_that_only_calls_itself_the_builder_is_not() {
        let program = Path::new("/data/flyte/build_image.py");
        let (_, own) = task(program);
        assert!(runs_the_builder(&own, program));
        let mut named = own.clone();
        if let Some(container) = named.task_template.as_mut().and_then(|template| template.container.as_mut()) {
            container.args = vec!["env".into()];
        }
        assert!(!runs_the_builder(&named, program));
        assert!(!runs_the_builder(&TaskSpec::default(), program));
    }

    #[test]
    fn an_environment_is_of_the_project_that_built_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(project_of(folder.path()), None);
        std::fs::write(folder.path().join(".image.json"), r#"{"env": {}}"#).unwrap();
        assert_eq!(project_of(folder.path()), None);
        std::fs::write(folder.path().join(".image.json"), r#"{"env": {}, "project": "one"}"#).unwrap();
        assert_eq!(project_of(folder.path()).as_deref(), Some("one"));
    }

    #[test]
    fn variables_of_an_image_are_below_those_of_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let mut input = json!({ "env": { "A": "task" } });
        assert!(!add_variables(folder.path(), &mut input));
        std::fs::write(folder.path().join(".image.json"), r#"{"env": {"A": "image", "B": "image"}}"#).unwrap();
        assert!(!add_variables(folder.path(), &mut input));
        assert_eq!(input["env"], json!({ "A": "task", "B": "image" }));
        std::fs::write(folder.path().join(".image.json"), r#"{"env": {"LD_PRELOAD": "x"}}"#).unwrap();
        assert!(add_variables(folder.path(), &mut input));
        let kept = settings_of_pip(
            [("PIP_INDEX_URL", "i"), ("SECRET", "s"), ("HOME", "h")].map(|(k, v)| (k.into(), v.into())).into_iter(),
        );
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["HOME", "PIP_INDEX_URL"]);
        assert!(!is_built(folder.path(), "tools:1"));
        std::fs::create_dir_all(folder.path().join("tools_1")).unwrap();
        std::fs::write(folder.path().join("tools_1/.ready"), "").unwrap();
        assert!(is_built(folder.path(), "tools:1"));
    }
}
