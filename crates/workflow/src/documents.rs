//! The other documents that `tutti apply` takes: sites, price lists, triggers, connectors, tags, policies, sanitizers. A file may hold several, and
//! workflows among them.

mod govern;
mod prices;
mod projects;
mod sandbox;
mod sites;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use govern::{DETECTORS, PolicyDocument, PolicyTest};
use model::govern::{SanitizerSpec, TagSpec};
use model::{Duration, Graph, ProjectSpec, QueueSpec, SiteSpec, Timestamp};
pub use prices::{Exchange, Instance, PriceList, all as price_lists};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::{Fields, Findings};
use crate::source::{Data, Tree, parse};
use crate::suggest::nearest;
use crate::{Catalogue, ConnectorType, Diagnostic, Files};

/// A document of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A workflow.
    Workflow(Arc<Graph>),
    /// A site.
    Site(SiteSpec),
    /// What a provider's machines cost.
    Prices(PriceList),
    /// What a project may spend and hold.
    Project(ProjectSpec),
    /// A name for a choice of sites.
    Queue(QueueSpec),
    /// A trigger.
    Trigger(TriggerSpec),
    /// A connector whose actions a worker runs.
    Connector(ConnectorSpec),
    /// A tag that data can carry.
    Tag(TagSpec),
    /// A policy.
    Policy(PolicyDocument),
    /// What may take tags off.
    Sanitizer(SanitizerSpec),
    /// Cases that policies have to decide in a certain way. Nothing is registered of it.
    PolicyTest(PolicyTest),
}

impl Document {
    /// What kind of document it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Document::Workflow(_) => "workflow",
            Document::Site(_) => "site",
            Document::Prices(_) => "prices",
            Document::Project(_) => "project",
            Document::Queue(_) => "queue",
            Document::Trigger(_) => "trigger",
            Document::Connector(_) => "connector",
            Document::Tag(_) => "tag",
            Document::Policy(_) => "policy",
            Document::Sanitizer(_) => "sanitizer",
            Document::PolicyTest(_) => "policy-test",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Document::Workflow(graph) => &graph.workflow,
            Document::Site(site) => &site.name,
            Document::Prices(list) => &list.name,
            Document::Project(project) => &project.name,
            Document::Queue(queue) => &queue.name,
            Document::Trigger(trigger) => &trigger.name,
            Document::Connector(connector) => &connector.name,
            Document::Tag(tag) => &tag.name,
            Document::Policy(policy) => &policy.spec.name,
            Document::Sanitizer(sanitizer) => &sanitizer.name,
            Document::PolicyTest(test) => &test.name,
        }
    }
}

/// When a workflow starts by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerSpec {
    /// Its name.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// The domain of its runs.
    #[serde(default)]
    pub domain: Option<String>,
    /// The inputs of its runs.
    #[serde(default)]
    pub inputs: Map<String, Value>,
    /// What starts it.
    pub on: TriggerKind,
    /// What becomes of firings that were missed while the server was down.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What becomes of a firing while a run of an earlier one is open.
    #[serde(default)]
    pub overlap: Overlap,
    /// Whether it is held.
    #[serde(default)]
    pub paused: bool,
}

/// What starts a trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A cron expression of five fields, in a time zone.
    Cron {
        /// minute hour day-of-month month day-of-week.
        expression: String,
        /// An IANA name; UTC when there is none.
        timezone: String,
    },
    /// A fixed interval from the time it was applied.
    Every(Duration),
    /// A fixed interval from a point in time, which programs of the Flyte SDK name.
    EveryFrom {
        /// The interval.
        every: Duration,
        /// When it fires first, and what the interval is counted from.
        from: Timestamp,
    },
    /// Nothing but whoever starts it, which programs of the Flyte SDK say.
    Demand,
    /// A signed request to `/hooks/NAME`.
    Webhook {
        /// The name of the environment variable of the server that holds the secret.
        secret_env: String,
    },
    /// An event reported through the API.
    Event {
        /// Its name.
        name: String,
        /// Fields that it has to carry.
        matching: Value,
    },
}

/// What becomes of firings that were missed while the server was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// None is made up for.
    Skip,
    /// The latest is. The default: one late run is better than none, and than a hundred.
    #[default]
    Last,
    /// All are, up to `limits::CATCH_UP_FIRINGS_MAX`.
    All,
}

/// What becomes of a firing while a run of an earlier firing of the trigger is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Its run begins beside the other.
    #[default]
    Allow,
    /// It is left out.
    Skip,
    /// Its run waits, and begins once no earlier one is open.
    Queue,
    /// The others are cancelled, and its run begins once they have ended.
    Replace,
}

/// A connector whose actions a worker runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectorSpec {
    /// `namespace/action`.
    pub name: String,
    /// Its major version.
    pub version: u32,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its `with`.
    #[serde(default)]
    pub inputs: Value,
    /// JSON Schema of its output.
    #[serde(default)]
    pub outputs: Value,
}

/// What was read of a file.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The documents that have no errors.
    pub documents: Vec<Document>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// What each document calls itself, those with errors among them: `workflow`, or its `kind`, and nothing where it does not say. None when
    /// the file could not be taken apart.
    pub kinds: Option<Vec<String>>,
}

impl Read {
    /// Whether rules may stand in the file: a document is a tag or a policy, or nobody can say what it is.
    pub fn may_hold_rules(&self) -> bool {
        let is_other = |kind: &String| kind == "workflow" || KINDS.contains(&kind.as_str()) && kind != "tag" && kind != "policy";
        self.kinds.as_ref().is_none_or(|kinds| !kinds.iter().all(is_other))
    }
}

/// Reads all documents of a file.
pub fn read(text: &str, files: &dyn Files, catalogue: &dyn Catalogue) -> Read {
    let (trees, diagnostics) = parse(text);
    let mut read = Read { diagnostics, ..Read::default() };
    if !read.diagnostics.is_empty() {
        return read;
    }
    read.kinds = Some(trees.iter().map(named_kind).collect());
    if trees.is_empty() {
        let finding = Diagnostic::error("W0102", 0..0, "the file is empty");
        read.diagnostics.push(finding.hint("begin with `workflow: project/name`, or `kind: site`"));
    }
    // Connectors of the file are known to its workflows, whatever the order.
    let kind = |tree: &Tree, kind| tree.get("kind").and_then(Tree::as_str) == Some(kind);
    let own = trees.iter().filter(|tree| kind(tree, "connector")).filter_map(|tree| connector(tree, &Findings::default()));
    let lists = trees.iter().filter(|tree| kind(tree, "prices")).filter_map(|tree| prices::list(tree, &Findings::default()));
    let (own, lists) = (own.collect(), lists.collect());
    let catalogue = Beside { own, lists, others: catalogue };
    for tree in &trees {
        if tree.get("workflow").is_some() && tree.get("kind").is_none() {
            let compiled = crate::compile_document(tree, text, files, &catalogue);
            read.diagnostics.extend(compiled.diagnostics);
            read.documents.extend(compiled.graph.map(Document::Workflow));
            continue;
        }
        let findings = Findings::default();
        let document = resource(tree, text, files, &catalogue, &findings);
        let failed = findings.has_errors();
        read.diagnostics.extend(findings.into_inner().into_iter().map(|finding| finding.inside(text)));
        read.documents.extend(document.filter(|_| !failed));
    }
    read
}

fn named_kind(tree: &Tree) -> String {
    match tree.get("kind") {
        Some(kind) => kind.as_str().unwrap_or_default().to_owned(),
        None if tree.get("workflow").is_some() => "workflow".to_owned(),
        None => String::new(),
    }
}

/// What is registered, and what the same file is about to register.
struct Beside<'c> {
    own: Vec<ConnectorSpec>,
    lists: Vec<PriceList>,
    others: &'c dyn Catalogue,
}

impl Catalogue for Beside<'_> {
    fn connector(&self, name: &str, version: u32) -> Option<ConnectorType> {
        let own = self.own.iter().find(|own| own.name == name && own.version == version);
        let own = own.map(|own| ConnectorType { inputs: own.inputs.clone(), outputs: own.outputs.clone() });
        own.or_else(|| self.others.connector(name, version))
    }

    fn connectors(&self) -> Vec<String> {
        self.own.iter().map(|own| own.name.clone()).chain(self.others.connectors()).collect()
    }

    fn workflow(&self, name: &str) -> Option<Arc<Graph>> {
        self.others.workflow(name)
    }

    fn task(&self, name: &str) -> Option<crate::TaskType> {
        self.others.task(name)
    }

    fn knows_tasks(&self) -> bool {
        self.others.knows_tasks()
    }

    fn prices(&self, provider: &str) -> Option<PriceList> {
        self.lists.iter().find(|list| list.name == provider).cloned().or_else(|| self.others.prices(provider))
    }
}

const KINDS: [&str; 10] =
    ["site", "prices", "project", "queue", "trigger", "connector", "tag", "policy", "sanitizer", "policy-test"];

fn resource(tree: &Tree, text: &str, files: &dyn Files, catalogue: &dyn Catalogue, findings: &Findings) -> Option<Document> {
    let Some(kind) = tree.get("kind") else {
        let start = tree.span.start;
        let finding = Diagnostic::error("W0102", start..start + 1, "this is neither a workflow nor a resource");
        findings
            .push(finding.hint("begin with `workflow: project/name`, or with `kind: site`, `kind: trigger`, `kind: connector`"));
        return None;
    };
    match kind.as_str() {
        Some("site") => sites::site(tree, catalogue, findings).map(Document::Site),
        Some("prices") => prices::list(tree, findings).map(Document::Prices),
        Some("project") => projects::project(tree, findings).map(Document::Project),
        Some("queue") => sites::queue(tree, findings).map(Document::Queue),
        Some("trigger") => trigger(tree, findings).map(Document::Trigger),
        Some("connector") => connector(tree, findings).map(Document::Connector),
        Some("tag") => govern::tag(tree, findings).map(Document::Tag),
        Some("policy") => govern::policy(tree, text, files, findings).map(Document::Policy),
        Some("sanitizer") => govern::sanitizer(tree, text, files, catalogue, findings).map(Document::Sanitizer),
        Some("policy-test") => govern::policy_test(tree, findings).map(Document::PolicyTest),
        other => {
            let message = format!("there is no kind `{}`", other.unwrap_or_default());
            let mut finding = Diagnostic::error("W0104", kind.span.clone(), message);
            finding.hint = Some(match nearest(other.unwrap_or_default(), KINDS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", KINDS.join(", ")),
            });
            findings.push(finding);
            None
        }
    }
}

fn texts(tree: Option<&Tree>, what: &str, findings: &Findings) -> BTreeMap<String, String> {
    let Some(tree) = tree else { return BTreeMap::new() };
    let Data::Map(fields) = &tree.data else {
        findings.error("W0103", &tree.span, format!("`{what}` has to be a map, and this is {}", tree.kind()));
        return BTreeMap::new();
    };
    let text = |value: &Tree| match value.to_value() {
        Value::String(text) => text,
        other => other.to_string(),
    };
    fields.iter().map(|(key, value)| (key.text.clone(), text(value))).collect()
}

fn choice<T: serde::de::DeserializeOwned + Default>(fields: &Fields<'_>, key: &str, all: &str, findings: &Findings) -> T {
    let Some(tree) = fields.get(key) else { return T::default() };
    serde_json::from_value(tree.to_value()).unwrap_or_else(|_| {
        findings.error("W0104", &tree.span, format!("`{key}` is one of {all}"));
        T::default()
    })
}

fn trigger(tree: &Tree, findings: &Findings) -> Option<TriggerSpec> {
    let known = [
        "kind", "name", "workflow", "domain", "inputs", "schedule", "every", "webhook", "event", "catch_up", "overlap", "paused",
    ];
    let fields = Fields::of(tree, "a trigger", &known, findings)?;
    let name = fields.needed_name("name", "a trigger")?;
    let workflow = fields.needed_name("workflow", "a trigger")?;
    let inputs = match fields.get("inputs").map(Tree::to_value) {
        Some(Value::Object(inputs)) => inputs,
        None => Map::new(),
        Some(_) => {
            findings.error("W0103", &tree.span, "`inputs` has to be a map");
            Map::new()
        }
    };
    Some(TriggerSpec {
        name,
        workflow,
        domain: fields.text("domain"),
        inputs,
        on: trigger_kind(tree, &fields, findings)?,
        catch_up: choice(&fields, "catch_up", "skip, last, all", findings),
        overlap: choice(&fields, "overlap", "allow, skip, queue, replace", findings),
        paused: fields.flag("paused").unwrap_or(false),
    })
}

fn trigger_kind(tree: &Tree, fields: &Fields<'_>, findings: &Findings) -> Option<TriggerKind> {
    let given: Vec<&str> =
        ["schedule", "every", "webhook", "event"].into_iter().filter(|key| fields.get(key).is_some()).collect();
    match given.as_slice() {
        ["schedule"] => {
            let schedule = Fields::of(fields.get("schedule")?, "`schedule`", &["cron", "timezone"], findings)?;
            let expression = schedule.needed_text("cron", "`schedule`")?;
            Some(TriggerKind::Cron { expression, timezone: schedule.text("timezone").unwrap_or_else(|| "UTC".into()) })
        }
        ["every"] => {
            let every = fields.duration("every")?;
            if every < Duration::from_secs(1) {
                findings.error("W0104", &tree.span, "`every` has to be a second or more");
            }
            Some(TriggerKind::Every(every))
        }
        ["webhook"] => {
            let webhook = Fields::of(fields.get("webhook")?, "`webhook`", &["secret_env"], findings)?;
            Some(TriggerKind::Webhook { secret_env: webhook.needed_text("secret_env", "`webhook`")? })
        }
        ["event"] => {
            let event = Fields::of(fields.get("event")?, "`event`", &["name", "match"], findings)?;
            let matching = event.get("match").map(Tree::to_value).unwrap_or_else(|| Value::Object(Map::new()));
            Some(TriggerKind::Event { name: event.needed_text("name", "`event`")?, matching })
        }
        _ => {
            findings.error("W0106", &tree.span, "a trigger has to have one of `schedule`, `every`, `webhook`, `event`");
            None
        }
    }
}

fn connector(tree: &Tree, findings: &Findings) -> Option<ConnectorSpec> {
    let known = ["kind", "name", "version", "description", "runtime", "inputs", "outputs"];
    let fields = Fields::of(tree, "a connector", &known, findings)?;
    let name = fields.needed_name("name", "a connector")?;
    if name.starts_with("core/") || !name.contains('/') {
        let span = fields.get("name").map_or(0..0, |tree| tree.span.clone());
        findings.error("W0105", &span, "a connector's name is `namespace/action`, and `core/` is taken");
    }
    if let Some(runtime) = fields.text("runtime").filter(|runtime| runtime != "worker") {
        let span = fields.get("runtime").map_or(0..0, |tree| tree.span.clone());
        findings.error("W0104", &span, format!("there is no runtime `{runtime}`: this version has `worker`"));
    }
    let schema = |key: &str| fields.get(key).map_or(Value::Object(Map::new()), Tree::to_value);
    Some(ConnectorSpec {
        name,
        version: fields.count("version").unwrap_or(1) as u32,
        description: fields.text("description").unwrap_or_default(),
        inputs: schema("inputs"),
        outputs: schema("outputs"),
    })
}
