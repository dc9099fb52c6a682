//! Applying files: sites, connectors, workflows, triggers. Everything is read and checked before anything is registered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Command, Rejection};
use model::Digest;
use serde_json::{Value, json};
use workflow::documents::{self, Document};
use workflow::{Diagnostic, Severity};

use crate::catalogue::Registered;
use crate::{ControlPlane, Fault, FaultKind, governing};

/// A text file with documents.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, as findings name it.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// created, changed or unchanged.
    pub change: &'static str,
    /// Its version now.
    pub version: u64,
}

/// What became of an apply.
#[derive(Clone, Debug, Default)]
pub struct ApplyOutcome {
    /// What was registered, or would be.
    pub applied: Vec<Applied>,
    /// Findings, by path.
    pub diagnostics: Vec<(String, Diagnostic)>,
    /// The findings as text.
    pub rendered: String,
}

impl ApplyOutcome {
    /// Whether nothing was registered because of errors.
    pub fn failed(&self) -> bool {
        self.diagnostics.iter().any(|(_, finding)| finding.severity == Severity::Error)
    }
}

type Files = BTreeMap<String, Arc<[u8]>>;

/// Versions that are expected to be there, by kind and name; 0 where there is to be none. What somebody else saved meanwhile is not written over.
pub type Expected = BTreeMap<String, u64>;

/// A document with what it was read from.
pub(crate) struct Sourced {
    pub(crate) document: Document,
    /// The path of its file.
    pub(crate) path: String,
    /// The text of its file.
    pub(crate) all: String,
    /// The text of its file, when the file holds nothing else: what an editor opens.
    text: Option<String>,
    /// The files that it refers to, by their path from its own folder.
    companions: BTreeMap<String, Digest>,
}

/// The files that a document sees: those in its own folder and below, by their path from there.
struct Beside<'f> {
    /// The folder with a `/` at its end; empty for the root.
    folder: &'f str,
    files: &'f Files,
    /// What was read of them: the companions that are kept with a workflow's text.
    read: RefCell<BTreeMap<String, Digest>>,
}

impl<'f> Beside<'f> {
    fn of(document: &'f str, files: &'f Files) -> Beside<'f> {
        Beside { folder: document.rfind('/').map_or("", |slash| &document[..=slash]), files, read: RefCell::default() }
    }
}

impl workflow::Files for Beside<'_> {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        let bytes = self.files.get(&format!("{}{path}", self.folder)).cloned()?;
        self.read.borrow_mut().insert(path.to_owned(), Digest::of(&bytes));
        Some(bytes)
    }

    fn paths(&self) -> Vec<String> {
        self.files.keys().filter_map(|path| path.strip_prefix(self.folder)).map(str::to_owned).collect()
    }
}

impl ControlPlane {
    /// Reads documents and registers them unless any has errors. The paths of documents and of files begin at the same root.
    pub async fn apply(
        &self,
        sources: Vec<SourceFile>,
        files: Files,
        dry_run: bool,
        principal: &str,
    ) -> Result<ApplyOutcome, Fault> {
        self.apply_if(sources, files, dry_run, principal, &Expected::new(), |_| Ok(())).await
    }

    /// The same, if `may` permits every document, and what is `expected` is there.
    pub async fn apply_if(
        &self,
        sources: Vec<SourceFile>,
        files: Files,
        dry_run: bool,
        principal: &str,
        expected: &Expected,
        may: impl Fn(&Document) -> Result<(), Fault>,
    ) -> Result<ApplyOutcome, Fault> {
        let reader = self.reader().clone();
        let beside = files.clone();
        let (documents, mut outcome) =
            tokio::task::spawn_blocking(move || read_all(&reader, &sources, &beside)).await.map_err(Fault::internal)?;
        if outcome.failed() {
            return Ok(outcome);
        }
        let documents: Vec<Sourced> =
            documents.into_iter().filter(|sourced| !matches!(sourced.document, Document::PolicyTest(_))).collect();
        documents.iter().try_for_each(|sourced| may(&sourced.document))?;
        tokio::task::block_in_place(|| {
            self.check_expected(&documents, expected)?;
            self.check_sites(&documents)?;
            self.check_rules(&documents, principal, &mut outcome)?;
            self.check_secrets(&documents, &mut outcome)
        })?;
        if outcome.failed() {
            return Ok(outcome);
        }
        if !dry_run {
            let code = self.sites().code().clone();
            let stored =
                tokio::task::spawn_blocking(move || files.values().try_for_each(|bytes| code.put_bytes(bytes).map(drop)));
            stored.await.map_err(Fault::internal)?.map_err(Fault::internal)?;
        }
        for document in documents {
            let version = expected.get(&key_of(&document.document)).copied();
            let applied = self.apply_one(document, dry_run, principal, version).await?;
            outcome.applied.push(applied);
        }
        Ok(outcome)
    }

    /// Refuses documents of which another version is there than is expected, before any is registered.
    fn check_expected(&self, documents: &[Sourced], expected: &Expected) -> Result<(), Fault> {
        for (key, version) in expected {
            let sourced = documents.iter().find(|sourced| key_of(&sourced.document) == *key);
            let Some(Sourced { document, .. }) = sourced.filter(|sourced| !matches!(sourced.document, Document::Site(_))) else {
                let message = format!("a version of `{key}` is expected, and no document of it is sent");
                return Err(
                    Fault::new(FaultKind::Malformed, message).hint("name it by its kind and its name: `workflow bank/score`")
                );
            };
            let known = self.reader().resources(document.kind(), Some(document.name()), None).map_err(Fault::internal)?.pop();
            let there = known.map_or(0, |known| known.version);
            if there != *version {
                return Err(Rejection::other_version(document.kind(), document.name(), there, *version).into());
            }
        }
        Ok(())
    }

    /// Refuses sites that would show the server's data to their processes.
    fn check_sites(&self, documents: &[Sourced]) -> Result<(), Fault> {
        for sourced in documents {
            let Document::Site(site) = &sourced.document else { continue };
            if let Some(folder) = self.sites().shows_data(site) {
                let message =
                    format!("the folder `{folder}` of `runtime` of the site `{}` lies within the server's data", site.name);
                let fault = Fault::new(FaultKind::Malformed, message);
                return Err(fault.hint("name a folder outside of the data directory, and no link into it"));
            }
        }
        Ok(())
    }

    /// Checks the rules as they would be, and every workflow of the request by them.
    fn check_rules(&self, documents: &[Sourced], principal: &str, outcome: &mut ApplyOutcome) -> Result<(), Fault> {
        let mut registered = governing::Registered::read(self.reader()).map_err(Fault::internal)?;
        let rows = self.reader().sites().map_err(Fault::internal)?;
        let mut sites: BTreeMap<String, model::SiteSpec> =
            rows.into_iter().map(|row| (row.spec.name.clone(), row.spec)).collect();
        for sourced in documents {
            let (kind, name) = (sourced.document.kind(), sourced.document.name().to_owned());
            match &sourced.document {
                Document::Site(site) => drop(sites.insert(name, site.clone())),
                _ if governing::KINDS.contains(&kind) => {
                    let mut body = body_of(sourced, "")?;
                    if let Some(author) = registered.get(kind, &name).and_then(|known| known.get("author")) {
                        body["author"] = author.clone();
                    }
                    registered.put(kind, &name, principal, body);
                }
                _ => {}
            }
        }
        // What waits for its approvals has to be right too: it is the rules once it has them.
        let (_, problems) = policy::Rules::new(registered.wanted());
        for problem in &problems {
            self.say(problem, documents, outcome);
        }
        if outcome.failed() {
            return Ok(());
        }
        // Workflows are held against what is in force.
        let (rules, _) = policy::Rules::new(registered.sources());
        if !rules.governed() {
            return Ok(());
        }
        let (fleet, mut cache) = (policy::Fleet::new(sites.values()), policy::Cache::default());
        for sourced in documents {
            if let Document::Workflow(graph) = &sourced.document {
                let certified = governing::certify(&rules, graph, &fleet, &mut cache, crate::clock::wall());
                let certificate = certified.map_err(|fault| *fault)?;
                for warning in certificate.warnings {
                    let finding = Diagnostic::warning("W0602", 0..0, warning);
                    let path = sourced.path.clone();
                    outcome.rendered.push_str(&format!("warning[W0602]: {}\n --> {path}\n\n", finding.message));
                    outcome.diagnostics.push((path, finding));
                }
            }
        }
        Ok(())
    }

    /// Shows a problem of the rules where it stands. One of a rule that is registered already is an error of the request all the same.
    fn say(&self, problem: &policy::Problem, documents: &[Sourced], outcome: &mut ApplyOutcome) {
        let (kind, name) = &problem.document;
        let own = documents.iter().find(|sourced| sourced.document.kind() == *kind && sourced.document.name() == name);
        let (mut path, mut span, mut text) = (format!("{kind} {name}"), 0..0, String::new());
        if let Some(sourced) = own {
            path = sourced.path.clone();
            text = sourced.all.clone();
            if let Document::Policy(policy) = &sourced.document {
                span = policy.span(&problem.span);
                if let Some(file) = &policy.file {
                    path = file.clone();
                    text = policy.spec.cedar.clone();
                }
            }
        }
        let mut finding = match problem.warning {
            true => Diagnostic::warning("W0601", span, problem.message.clone()),
            false => Diagnostic::error("W0601", span, problem.message.clone()),
        };
        finding.hint = problem.hint.clone();
        outcome.rendered.push_str(&finding.render(&path, &text));
        outcome.rendered.push('\n');
        outcome.diagnostics.push((path, finding));
    }

    async fn apply_one(&self, sourced: Sourced, dry_run: bool, principal: &str, expected: Option<u64>) -> Result<Applied, Fault> {
        let document = &sourced.document;
        let (kind, name) = (document.kind().to_owned(), document.name().to_owned());
        if let Document::Site(site) = document {
            let (sites, site) = (self.sites().clone(), site.clone());
            let site = &tokio::task::spawn_blocking(move || sites.attested(site)).await.map_err(Fault::internal)?;
            let known = self.reader().sites().map_err(Fault::internal)?.into_iter().find(|known| known.spec.name == site.name);
            let change = match known {
                None => "created",
                Some(known) if known.spec == *site => "unchanged",
                Some(_) => "changed",
            };
            if !dry_run && change != "unchanged" {
                let command = Command::RegisterSite { site: site.clone(), principal: principal.to_owned() };
                self.inbox().ask(command).await?;
                self.carried_out().await;
            }
            return Ok(Applied { kind, name, change, version: 1 });
        }
        let mut body = body_of(&sourced, principal)?;
        let known = self.reader().resources(&kind, Some(&name), None).map_err(Fault::internal)?.pop();
        // Whoever applies the same sanitizer again has not written it, whatever else they say of it: what was written is what is approved.
        if kind == "sanitizer"
            && let Some(author) = known.as_ref().and_then(|known| known.body.get("author"))
            && known.as_ref().is_some_and(|known| same_sanitizer(&known.body, &body))
        {
            body["author"] = author.clone();
        }
        let (change, version) = match &known {
            None => ("created", 1),
            Some(known) if known.body == body => ("unchanged", known.version),
            Some(known) => ("changed", known.version + 1),
        };
        if !dry_run && change != "unchanged" {
            if let Document::Workflow(graph) = document {
                self.keep_graph(graph).await?;
            }
            let command = {
                let (kind, name, principal) = (kind.clone(), name.clone(), principal.to_owned());
                match expected {
                    Some(version) => Command::ReplaceResource { kind, name, version, body, principal },
                    None => Command::ApplyResource { kind, name, body, principal },
                }
            };
            self.inbox().ask(command).await?;
            if kind == "trigger" {
                tokio::task::block_in_place(|| self.trigger_changed(&name))?;
            }
            if let Document::Connector(connector) = document {
                self.workers().promise(connector);
            }
        }
        Ok(Applied { kind, name, change, version })
    }
}

/// What versions of are expected by: a kind and a name.
fn key_of(document: &Document) -> String {
    format!("{} {}", document.kind(), document.name())
}

/// Whether two bodies of sanitizers are of the same code that takes off the same and is looked at in the same way.
fn same_sanitizer(one: &Value, other: &Value) -> bool {
    let digest =
        |body: &Value| serde_json::from_value::<model::govern::SanitizerSpec>(body.clone()).ok().map(|spec| spec.digest());
    digest(one).is_some_and(|one| digest(other) == Some(one))
}

/// What is stored of a document. A workflow's graph lies beside, under its digest.
pub(crate) fn body_of(sourced: &Sourced, principal: &str) -> Result<Value, Fault> {
    Ok(match &sourced.document {
        Document::Workflow(graph) => json!({
            "graph": graph.digest(),
            "semantic": workflow::semantic::hash(graph),
            "description": graph.description,
            "inputs": graph.inputs,
            "nodes": graph.nodes.iter().map(|node| json!({"id": node.id, "kind": node.kind.as_str()})).collect::<Vec<_>>(),
            "source": sourced.text,
            "files": sourced.companions,
        }),
        Document::Site(site) => serde_json::to_value(site).map_err(Fault::internal)?,
        Document::Trigger(trigger) => serde_json::to_value(trigger).map_err(Fault::internal)?,
        Document::Prices(list) => serde_json::to_value(list).map_err(Fault::internal)?,
        Document::Project(project) => serde_json::to_value(project).map_err(Fault::internal)?,
        Document::Queue(queue) => serde_json::to_value(queue).map_err(Fault::internal)?,
        Document::Connector(connector) => serde_json::to_value(connector).map_err(Fault::internal)?,
        Document::Tag(tag) => serde_json::to_value(tag).map_err(Fault::internal)?,
        Document::Policy(policy) => serde_json::to_value(&policy.spec).map_err(Fault::internal)?,
        Document::Sanitizer(sanitizer) => {
            let mut sanitizer = sanitizer.clone();
            sanitizer.author = principal.to_owned();
            serde_json::to_value(sanitizer).map_err(Fault::internal)?
        }
        Document::PolicyTest(_) => Value::Null,
    })
}

/// Reads every document. Connectors and workflows come before what refers to them, whatever file they stand in.
pub(crate) fn read_all(reader: &journal::Reader, sources: &[SourceFile], files: &Files) -> (Vec<Sourced>, ApplyOutcome) {
    let mut catalogue = Registered::new(reader);
    let mut outcome = ApplyOutcome::default();
    let mut last: Vec<(usize, documents::Read, BTreeMap<String, Digest>)> = Vec::new();
    // What a later file registers is known in the next pass. Sub-workflows may be nested, so there are as many passes as levels.
    for _ in 0..=model::limits::SUBWORKFLOW_DEPTH_MAX {
        last = sources
            .iter()
            .enumerate()
            .map(|(index, source)| {
                let beside = Beside::of(&source.path, files);
                let read = documents::read(&source.text, &beside, &catalogue);
                (index, read, beside.read.into_inner())
            })
            .collect();
        let before = (catalogue.connectors.len(), catalogue.workflows.len(), catalogue.prices.len());
        for document in last.iter().flat_map(|(_, read, _)| &read.documents) {
            match document {
                Document::Connector(connector) => drop(catalogue.connectors.insert(connector.name.clone(), connector.clone())),
                Document::Workflow(graph) => drop(catalogue.workflows.insert(graph.workflow.clone(), graph.clone())),
                Document::Prices(list) => drop(catalogue.prices.insert(list.name.clone(), list.clone())),
                _ => {}
            }
        }
        if before == (catalogue.connectors.len(), catalogue.workflows.len(), catalogue.prices.len()) {
            break;
        }
    }
    let mut documents = Vec::new();
    for (index, read, companions) in last {
        let Some(source) = sources.get(index) else { continue };
        for finding in read.diagnostics {
            outcome.rendered.push_str(&finding.render(&source.path, &source.text));
            outcome.rendered.push('\n');
            outcome.diagnostics.push((source.path.clone(), finding));
        }
        for document in &read.documents {
            let Document::Trigger(trigger) = document else { continue };
            for finding in crate::triggers::findings(trigger, &catalogue, &source.text) {
                outcome.rendered.push_str(&finding.render(&source.path, &source.text));
                outcome.rendered.push('\n');
                outcome.diagnostics.push((source.path.clone(), finding));
            }
        }
        let text = (read.documents.len() == 1).then(|| source.text.clone());
        let sourced = |document: Document| Sourced {
            document,
            path: source.path.clone(),
            all: source.text.clone(),
            text: text.clone(),
            companions: companions.clone(),
        };
        documents.extend(read.documents.into_iter().map(sourced));
    }
    let rank = |document: &Document| match document {
        Document::Prices(_) => 0,
        Document::Site(_) | Document::Project(_) | Document::Queue(_) => 1,
        Document::Tag(_) => 2,
        Document::Sanitizer(_) => 3,
        Document::Policy(_) => 4,
        Document::Connector(_) => 5,
        Document::Workflow(_) => 6,
        Document::Trigger(_) => 7,
        Document::PolicyTest(_) => 8,
    };
    documents.sort_by_key(|sourced: &Sourced| rank(&sourced.document));
    (documents, outcome)
}

/// What a caller is told when a document was not accepted.
impl From<ApplyOutcome> for Fault {
    fn from(outcome: ApplyOutcome) -> Fault {
        let errors = outcome.diagnostics.iter().filter(|(_, finding)| finding.severity == Severity::Error).count();
        let counted = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        let mut fault = Fault::new(FaultKind::InvalidWorkflow, format!("{counted}; nothing was registered"));
        let list: Vec<Value> =
            outcome.diagnostics.iter().map(|(path, finding)| json!({"path": path, "finding": finding})).collect();
        fault.diagnostics = Some(json!({"findings": list, "rendered": outcome.rendered}));
        fault
    }
}
