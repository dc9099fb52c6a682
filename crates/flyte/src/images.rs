//! Images without containers: what a layered image is built to, and the task that builds it. An image is a Python environment of the site, named by
//! the image's name and tag, which is a hash of its layers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Variables of the server that tell pip and uv where packages come from and whom to trust. Nothing of that is the project's business. Files
/// below the home of the server's user, which a build does not see, are named by variables of their own.
pub fn settings_of_pip(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    const NAMED: [&str; 10] = [
        "NETRC",
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
    let is_setting = |key: &str| key.starts_with("PIP_") || key.starts_with("UV_") || NAMED.contains(&key);
    let (mut settings, mut home) = (BTreeMap::new(), None);
    for (key, value) in all {
        if key == "HOME" {
            home = Some(PathBuf::from(value));
        } else if is_setting(&key) && !key.ends_with("_CACHE_DIR") {
            settings.insert(key, value);
        }
    }
    for (key, places) in [
        ("PIP_CONFIG_FILE", [".config/pip/pip.conf", ".pip/pip.conf"].as_slice()),
        ("UV_CONFIG_FILE", [".config/uv/uv.toml"].as_slice()),
    ] {
        let found = home.iter().flat_map(|home| places.iter().map(|place| home.join(place))).find(|file| file.is_file());
        if let (Some(file), false) = (found, settings.contains_key(key)) {
            settings.insert(key.into(), file.to_string_lossy().into_owned());
        }
    }
    settings
}

/// The files and folders that such settings name, and those that pip and uv read by themselves.
pub fn files_of_pip(settings: &BTreeMap<String, String>) -> Vec<PathBuf> {
    const SYSTEM: [&str; 2] = ["/etc/pip.conf", "/etc/uv/uv.toml"];
    let words = settings.values().flat_map(|value| value.split([' ', ','])).filter(|word| word.starts_with('/'));
    words.chain(SYSTEM).map(PathBuf::from).filter(|path| path.exists()).collect()
}

/// A folder that stands for an image and is being made.
pub const BUILDING: &str = ".building";
/// What stands in the folder of an image that is made.
const READY: &str = ".ready";

/// Why an image cannot be built under its name.
#[derive(Debug, thiserror::Error)]
pub enum Taken {
    /// It is that of the SDK and nothing else, or none.
    #[error("`{0}` is the name of an environment that is everybody's: give the image another name")]
    Everybodys(String),
    /// There is a folder of that name that nobody built.
    #[error("`{0}` is an environment that the operator made: give the image another name")]
    Operators(String),
    /// It is only for those who built it.
    #[error("`{0}` was built by another project, and is only for that one: give the image another name")]
    Others(String),
    /// The disk.
    #[error("the folder of the image cannot be made: {0}")]
    Broken(#[from] io::Error),
}

/// Environments by the names of their images, and beside them who built which: a build writes its own environment alone.
#[derive(Clone, Debug)]
pub struct Images {
    environments: PathBuf,
    builders: PathBuf,
}

impl Images {
    /// Those below a folder.
    pub fn open(root: &Path) -> io::Result<Images> {
        let (environments, builders) = (root.join("environments"), root.join("images"));
        fs::create_dir_all(&environments)?;
        fs::create_dir_all(&builders)?;
        Ok(Images { environments: environments.canonicalize()?, builders: builders.canonicalize()? })
    }

    /// Where the environments are.
    pub fn environments(&self) -> &Path {
        &self.environments
    }

    /// Whether an image that was asked for was built, and may be used by a project.
    pub fn is_built(&self, image: &str, project: &str) -> bool {
        match environment(image, "") {
            Environment::Named(name) => {
                self.environments.join(&name).join(READY).exists()
                    && self.builder_of(&name).is_none_or(|builder| builder == project)
            }
            Environment::Plain(_) => false,
        }
    }

    /// The project that an environment was built by, which is the only one that may use it. None for those that the operator made, and for
    /// those that an earlier version built without saying so.
    pub fn builder_of(&self, name: &str) -> Option<String> {
        let noted = fs::read_to_string(self.builders.join(name)).ok();
        // An earlier version noted it within.
        let within = || settings_of(&self.environments.join(name)).get("project").and_then(Value::as_str).map(str::to_owned);
        noted.or_else(within).filter(|project| !project.is_empty())
    }

    /// The folder that a build of a project is to fill; none when that is done. From then on the name is that project's.
    pub fn begin(&self, image: &str, project: &str) -> Result<Option<PathBuf>, Taken> {
        let everybodys = || Taken::Everybodys(image.to_owned());
        let Environment::Named(name) = environment(image, "") else { return Err(everybodys()) };
        let is_plain = |rest: &str| rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        if name.is_empty() || name.strip_prefix("flyte-").is_some_and(is_plain) {
            return Err(everybodys());
        }
        let folder = self.environments.join(&name);
        if self.builder_of(&name).is_none() {
            if folder.join(READY).exists() {
                return Ok(None);
            }
            if folder.exists() && !folder.join(BUILDING).exists() {
                return Err(Taken::Operators(folder.to_string_lossy().into_owned()));
            }
            self.note(&name, project)?;
        }
        if self.builder_of(&name).is_some_and(|builder| builder != project) {
            return Err(Taken::Others(image.to_owned()));
        }
        if folder.join(READY).exists() {
            return Ok(None);
        }
        fs::create_dir_all(&folder)?;
        // A build writes into its folder: what it left there is not followed.
        match fs::OpenOptions::new().write(true).create_new(true).open(folder.join(BUILDING)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
            _ => Ok(Some(folder)),
        }
    }

    /// Notes whose an image is. The first who says so is right.
    fn note(&self, name: &str, project: &str) -> io::Result<()> {
        // No name begins with a dot.
        let of = Sha256::digest(format!("{name}\0{project}"));
        let (new, note) = (self.builders.join(format!(".{}", crate::call::to_hex(&of[..16]))), self.builders.join(name));
        fs::write(&new, project)?;
        let noted = match fs::hard_link(&new, note) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        };
        // Another build of the project may have been quicker.
        let _ = fs::remove_file(new);
        noted
    }
}

/// Bytes that a note of the builder may have.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// What the builder noted of an environment. Packages that it installed may have written there, too: only a file of its own is read, as far as a note goes.
fn settings_of(folder: &Path) -> Value {
    let note = folder.join(".image.json");
    let own = fs::symlink_metadata(&note).is_ok_and(|note| note.is_file() && note.len() <= NOTE_BYTES_MAX);
    let settings = if own { fs::read(note).ok() } else { None };
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
    fn an_image_is_of_the_project_that_builds_it_first() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(folder.path()).unwrap();
        let made = images.begin("tools:1", "one").unwrap().unwrap();
        assert!(made.join(BUILDING).exists() && made.ends_with("tools_1"));
        assert_eq!(images.begin("tools:1", "one").unwrap().as_ref(), Some(&made), "again, as long as it is not made");
        assert!(matches!(images.begin("tools:1", "two"), Err(Taken::Others(_))));
        fs::write(made.join(READY), "").unwrap();
        assert_eq!(images.begin("tools:1", "one").unwrap(), None);
        assert!(images.is_built("tools:1", "one") && !images.is_built("tools:1", "two") && !images.is_built("tools:2", "one"));
        // What a build writes within says nothing of whose it is.
        fs::write(made.join(".image.json"), r#"{"env": {}, "project": "two"}"#).unwrap();
        assert_eq!(images.builder_of("tools_1").as_deref(), Some("one"));
    }

    #[test]
    fn links_that_a_build_left_lead_the_server_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(folder.path()).unwrap();
        let made = images.begin("tools:1", "one").unwrap().unwrap();
        let own = folder.path().join("own");
        fs::write(&own, r#"{"env": {"KEY": "value"}}"#).unwrap();
        fs::remove_file(made.join(BUILDING)).unwrap();
        for name in [BUILDING, ".image.json"] {
            std::os::unix::fs::symlink(&own, made.join(name)).unwrap();
        }
        assert!(images.begin("tools:1", "one").unwrap().is_some());
        assert_eq!(fs::read_to_string(&own).unwrap(), r#"{"env": {"KEY": "value"}}"#);
        let mut input = json!({ "env": {} });
        assert!(!add_variables(&made, &mut input) && input == json!({ "env": {} }));
        fs::remove_file(made.join(".image.json")).unwrap();
        fs::write(made.join(".image.json"), fs::read(&own).unwrap()).unwrap();
        add_variables(&made, &mut input);
        assert_eq!(input["env"]["KEY"], "value");
    }

    #[test]
    fn environments_that_were_there_before_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(folder.path()).unwrap();
        for name in ["ghcr.io/flyteorg/flyte:py3.12-v2.12.1", "flyte-2.12.1", "flyte-latest", ""] {
            assert!(matches!(images.begin(name, "one"), Err(Taken::Everybodys(_))), "{name}");
        }
        fs::create_dir(images.environments().join("own_1")).unwrap();
        assert!(matches!(images.begin("own:1", "one"), Err(Taken::Operators(_))));
        // Those of earlier versions, which noted the project within, or did not.
        for (name, noted) in [("old_1", r#"{"project": "one"}"#), ("older_1", r#"{"env": {}}"#)] {
            let made = images.environments().join(name);
            fs::create_dir(&made).unwrap();
            fs::write(made.join(".image.json"), noted).unwrap();
            fs::write(made.join(READY), "").unwrap();
        }
        assert!(matches!(images.begin("old:1", "two"), Err(Taken::Others(_))));
        assert!(images.begin("old:1", "one").unwrap().is_none() && images.begin("older:1", "two").unwrap().is_none());
    }

    #[test]
    fn variables_of_an_image_are_below_those_of_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let mut input = json!({ "env": { "A": "task" } });
        assert!(!add_variables(folder.path(), &mut input));
        fs::write(folder.path().join(".image.json"), r#"{"env": {"A": "image", "B": "image"}}"#).unwrap();
        assert!(!add_variables(folder.path(), &mut input));
        assert_eq!(input["env"], json!({ "A": "task", "B": "image" }));
        fs::write(folder.path().join(".image.json"), r#"{"env": {"LD_PRELOAD": "x"}}"#).unwrap();
        assert!(add_variables(folder.path(), &mut input));
    }

    #[test]
    fn settings_of_pip_are_named_where_the_home_of_the_server_is_not_seen() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let given = |all: &[(&str, &str)]| {
            settings_of_pip(all.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect::<Vec<_>>().into_iter())
        };
        let at = home.to_string_lossy();
        let all = [("PIP_INDEX_URL", "i"), ("SECRET", "s"), ("HOME", &*at), ("PIP_CACHE_DIR", "/c"), ("UV_CACHE_DIR", "/c")];
        assert_eq!(given(&all).into_keys().collect::<Vec<_>>(), ["PIP_INDEX_URL"]);
        let file = home.join(".config/pip/pip.conf");
        fs::create_dir_all(home.join(".config/pip")).unwrap();
        fs::write(&file, "").unwrap();
        let found = given(&all);
        assert_eq!(found["PIP_CONFIG_FILE"], file.to_string_lossy());
        assert!(files_of_pip(&found).contains(&file));
        assert_eq!(given(&[("HOME", &*at), ("PIP_CONFIG_FILE", "/own")])["PIP_CONFIG_FILE"], "/own");
    }
}
