//! Secrets: setting them, and releasing them to attempts whose nodes name them.
//!
//! A reference counts where it stands in the workflow itself: in `env` of a `run` and in `headers` of `core/http`. What an input or an output
//! says is text, whatever it looks like, so that nobody who may start a run chooses its secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::SecretsReleased;
use engine::{Command, Dispatch};
use keyring::{Keyring, Redactor, SCHEME, Secret, SecretInfo, referenced};
use model::{Failure, FailureClass, Label, Node, NodeKind};
use parking_lot::Mutex;
use policy::Fleet;
use serde_json::{Value, json};
use workflow::Diagnostic;
use workflow::documents::Document;

use crate::applying::{ApplyOutcome, Sourced};
use crate::governing::{Governance, work_of};
use crate::keys::fault;
use crate::{ControlPlane, Fault, FaultKind, Inbox};

/// The kind of resource that tells of a secret without its value.
pub(crate) const KIND: &str = "secret";

/// The secrets of a data directory as the dispatcher has them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Secrets {
    keys: Option<Keyring>,
    governance: Governance,
    reader: journal::Reader,
    /// Takes every secret out of what is said; made when it is needed.
    redactor: Arc<Mutex<Option<Arc<Redactor>>>>,
}

impl Secrets {
    pub(crate) fn new(keys: Option<Keyring>, governance: Governance, reader: journal::Reader) -> Secrets {
        Secrets { keys, governance, reader, redactor: Arc::default() }
    }

    /// The rules by which they are released.
    pub(crate) fn governance(&self) -> &Governance {
        &self.governance
    }

    /// Secrets have changed.
    pub(crate) fn forget(&self) {
        *self.redactor.lock() = None;
    }

    /// A text without any secret. Blocks.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let Some(keys) = &self.keys else { return text.to_owned() };
        let mut known = self.redactor.lock();
        let redactor = match &*known {
            Some(redactor) => redactor.clone(),
            None => match keys.all_secrets() {
                Ok(secrets) => known.insert(Arc::new(Redactor::new(&secrets))).clone(),
                Err(error) => {
                    tracing::error!(%error, "secrets cannot be taken out of a message: it is left out");
                    return "(the message is left out: the secrets that may stand in it cannot be read)".into();
                }
            },
        };
        redactor.text(text)
    }

    /// Releases what an order names, when it may have it. That it does is recorded before.
    pub(crate) async fn release(
        &self,
        dispatch: &Dispatch,
        names: BTreeSet<String>,
        inbox: &Inbox,
    ) -> Result<Vec<Secret>, Failure> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let this = self.clone();
        let asked = dispatch.clone();
        let found = tokio::task::spawn_blocking(move || this.find(&asked, &names)).await;
        let found = found.map_err(|error| Failure::new(FailureClass::Unknown, error.to_string()))??;
        let released = SecretsReleased {
            run: dispatch.key.run,
            action: dispatch.key.action,
            attempt: dispatch.key.attempt,
            site: dispatch.site.clone(),
            secrets: found.iter().map(|(secret, version)| (secret.name.clone(), *version)).collect(),
        };
        let recorded = inbox.ask(Command::RecordRelease(Box::new(released))).await;
        recorded.map_err(|refusal| {
            Failure::new(FailureClass::SiteDown, format!("the release of its secrets was not recorded: {refusal}"))
        })?;
        Ok(found.into_iter().map(|(secret, _)| secret).collect())
    }

    fn find(&self, dispatch: &Dispatch, names: &BTreeSet<String>) -> Result<Vec<(Secret, u64)>, Failure> {
        let environment = |message: String| Failure::new(FailureClass::User, message);
        let keys = self.keys.as_ref().ok_or_else(|| environment("there are no secrets: nothing is sealed here".into()))?;
        let project = &dispatch.names.project;
        let rules = self.governance.rules();
        let sites = self.reader.sites().map_err(|error| Failure::new(FailureClass::SiteDown, error.to_string()))?;
        let fleet = Fleet::new(sites.iter().map(|row| &row.spec));
        let work = work_of(&dispatch.names, dispatch.node.kind.work());
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let verdict = rules.may_release(&work, &dispatch.label, project, name, &fleet, &dispatch.site);
            if !verdict.allowed {
                return Err(environment(format!("the secret `{name}` may not be released to it: {}", verdict.why())));
            }
            // Tags came to it after the run was accepted: what the attempt gives would not carry them.
            let tags = rules.tags_of_secret(project, name);
            if let Some(tag) = tags.0.iter().find(|tag| !dispatch.label.0.contains(*tag)) {
                let message = format!("the secret `{name}` carries `{tag}` since the run was accepted: start the run again");
                return Err(environment(message));
            }
            let secret = keys
                .secret_for(project, &dispatch.names.domain, name)
                .map_err(|error| environment(format!("the secret `{name}`: {error}")))?;
            let missing = || {
                let domain = &dispatch.names.domain;
                environment(format!("there is no secret `{name}` in the project `{project}` and its domain `{domain}`"))
            };
            found.push(secret.ok_or_else(missing)?);
        }
        Ok(found)
    }
}

/// The secrets that a node names where they are released.
pub(crate) fn named(node: &Node, input: &Value) -> BTreeSet<String> {
    let given = match &node.kind {
        NodeKind::Run { .. } => input.get("env"),
        NodeKind::Use { connector, .. } if connector == "core/http" => input.get("headers"),
        _ => None,
    };
    let texts = given.and_then(Value::as_object).into_iter().flatten().filter_map(|(_, value)| value.as_str());
    let names: BTreeSet<&str> = texts.flat_map(|text| text.split(' ')).filter_map(referenced).collect();
    if names.is_empty() {
        return BTreeSet::new();
    }
    let written = references(&serde_json::to_string(node).unwrap_or_default());
    names.into_iter().filter(|name| written.contains_key(*name)).map(str::to_owned).collect()
}

/// The tags of the secrets that a node may be given, whatever it is told when it runs.
pub(crate) fn tags_of(rules: &policy::Rules, project: &str, node: &Node) -> Label {
    let mut tags = Label::empty();
    if !rules.tags_secrets() || !matches!(node.kind, NodeKind::Run { .. } | NodeKind::Use { .. }) {
        return tags;
    }
    for name in references(&serde_json::to_string(&node.input.json).unwrap_or_default()).keys() {
        tags.join(&rules.tags_of_secret(project, name));
    }
    tags
}

/// The references in a text, and where the first to each stands.
fn references(text: &str) -> BTreeMap<String, std::ops::Range<usize>> {
    let mut found = BTreeMap::new();
    for (at, _) in text.match_indices(SCHEME) {
        let rest = &text[at + SCHEME.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(rest.len());
        if end > 0 {
            found.entry(rest[..end].to_owned()).or_insert(at..at + SCHEME.len() + end);
        }
    }
    found
}

/// Refuses a domain that no run can be of.
fn check_domain(domain: Option<&str>) -> Result<(), Fault> {
    match domain.filter(|domain| !crate::governing::DOMAINS.contains(domain)) {
        Some(other) => {
            let known = crate::governing::DOMAINS.join(", ");
            Err(Fault::new(FaultKind::Malformed, format!("`{other}` is not a domain")).hint(format!("use {known}")))
        }
        None => Ok(()),
    }
}

/// The name of the resource that tells of a secret.
fn full_name(project: &str, domain: Option<&str>, name: &str) -> String {
    match domain {
        Some(domain) => format!("{project}/{domain}/{name}"),
        None => format!("{project}/{name}"),
    }
}

impl ControlPlane {
    fn sealed(&self) -> Result<Keyring, Fault> {
        let none = || Fault::new(FaultKind::Conflict, "there can be no secrets: nothing is sealed here");
        self.keys().cloned().ok_or_else(none)
    }

    /// Sets a secret of a project, or of one domain of it; gives its version. Its value is in no entry of the journal.
    pub async fn set_secret(
        &self,
        (project, domain): (&str, Option<&str>),
        name: &str,
        value: String,
        tags: Vec<String>,
        principal: &str,
    ) -> Result<u64, Fault> {
        let reference = format!("{SCHEME}{name}");
        if !workflow::is_name(project) || referenced(&reference).is_none() {
            let fault = Fault::new(FaultKind::Malformed, format!("`{project}/{name}` is not a project and the name of a secret"));
            return Err(fault.hint("letters, digits, `-` and `_`, at most 63"));
        }
        check_domain(domain)?;
        if let Some(tag) = tags.iter().find(|tag| tag.is_empty() || tag.contains(char::is_whitespace)) {
            return Err(Fault::new(FaultKind::Malformed, format!("`{tag}` is not a tag")));
        }
        let (keys, secrets) = (self.sealed()?, self.secrets_of_dispatch().clone());
        let full = full_name(project, domain, name);
        let mut body = json!({"project": project, "name": name, "tags": tags});
        if let Some(domain) = domain {
            body["domain"] = domain.into();
        }
        let (project, domain, name, by) = (project.to_owned(), domain.map(str::to_owned), name.to_owned(), principal.to_owned());
        let set = tokio::task::spawn_blocking(move || {
            let value = zeroize::Zeroizing::new(value);
            let version = keys.set_secret((&project, domain.as_deref()), &name, &value, &tags, &by);
            secrets.forget();
            version
        });
        let version = set.await.map_err(Fault::internal)?.map_err(|error| match error {
            keyring::KeyError::Setting(why) => Fault::new(FaultKind::Malformed, why),
            other => fault(&other),
        })?;
        body["version"] = version.into();
        let command = Command::ApplyResource { kind: KIND.into(), name: full, body, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        Ok(version)
    }

    /// What secrets there are, without their values.
    pub async fn secrets(&self, project: Option<String>) -> Result<Vec<SecretInfo>, Fault> {
        let keys = self.sealed()?;
        let listed = tokio::task::spawn_blocking(move || keys.secrets(project.as_deref())).await.map_err(Fault::internal)?;
        listed.map_err(|error| fault(&error))
    }

    /// Destroys a secret of a project, or of one domain of it.
    pub async fn remove_secret(&self, (project, domain): (&str, Option<&str>), name: &str, principal: &str) -> Result<(), Fault> {
        check_domain(domain)?;
        let (keys, secrets) = (self.sealed()?, self.secrets_of_dispatch().clone());
        let full = full_name(project, domain, name);
        let (of, within, called) = (project.to_owned(), domain.map(str::to_owned), name.to_owned());
        let gone = tokio::task::spawn_blocking(move || {
            let gone = keys.remove_secret((&of, within.as_deref()), &called);
            secrets.forget();
            gone
        });
        if !gone.await.map_err(Fault::internal)?.map_err(|error| fault(&error))? {
            return Err(Fault::not_found("secret", &full));
        }
        let (kind, name) = (KIND.to_owned(), full);
        self.inbox().ask(Command::DeleteResource { kind, name, principal: principal.to_owned() }).await?;
        Ok(())
    }

    /// Finds references to secrets that are not there.
    pub(crate) fn check_secrets(&self, documents: &[Sourced], outcome: &mut ApplyOutcome) -> Result<(), Fault> {
        for sourced in documents {
            let (project, references) = match &sourced.document {
                Document::Workflow(graph) => (crate::governing::project_of(&graph.workflow), references(&sourced.all)),
                Document::Site(site) => match site.store.as_ref().and_then(|store| Some((store, store.secret()?))) {
                    Some((store, (project, name))) => {
                        let at = sourced.all.find(&store.secret_key).unwrap_or_default();
                        (project, BTreeMap::from([(name.to_owned(), at..at + store.secret_key.len())]))
                    }
                    None => continue,
                },
                _ => continue,
            };
            if references.is_empty() {
                continue;
            }
            let known = match self.keys() {
                Some(keys) => keys.secrets(Some(project)).map_err(|error| fault(&error))?,
                None => Vec::new(),
            };
            for (name, span) in references.iter().filter(|(name, _)| !known.iter().any(|secret| secret.name == **name)) {
                let finding =
                    Diagnostic::error("W0701", span.clone(), format!("there is no secret `{name}` in the project `{project}`"));
                let finding = finding.hint(format!("set it: `tutti secrets set {project}/{name}`"));
                outcome.rendered.push_str(&finding.render(&sourced.path, &sourced.all));
                outcome.rendered.push('\n');
                outcome.diagnostics.push((sourced.path.clone(), finding));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_where_they_stand() {
        let found = references("env: {A: secret://one, B: \"Bearer secret://two-2\"} secret:// secret://one");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["one", "two-2"]);
        assert_eq!(found["one"], 9..21);
    }

    #[test]
    fn only_what_the_workflow_itself_names_is_released() {
        let template = json!({"env": {"A": "secret://one", "B": "${ inputs.b }"}, "command": ["x"]});
        let node: Node = serde_json::from_value(json!({
            "id": "n", "kind": {"run": {}}, "input": {"template": template}
        }))
        .unwrap_or_default();
        let node = Node { kind: NodeKind::Run { image: None, code: Vec::new() }, id: "secret://one".into(), ..node };
        let input = json!({"env": {"A": "secret://one", "B": "secret://other"}, "with": {"c": "secret://one"}});
        assert_eq!(named(&node, &input).into_iter().collect::<Vec<_>>(), ["one"]);
        let use_noop = Node { kind: NodeKind::Use { connector: "core/noop".into(), version: 1 }, ..node };
        assert!(named(&use_noop, &json!({"headers": {"a": "secret://one"}})).is_empty());
    }
}
