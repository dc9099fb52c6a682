//! What people ask of the rules: how sanitizers stand, approvals, what would be permitted, and tests of policies.

use std::collections::BTreeMap;

use engine::Command;
use model::govern::{Approval, SanitizerSpec};
use model::limits::POLICY_CASES_MAX;
use model::{Digest, Label, Timestamp};
use policy::{Cache, Caller, Fleet, Rules, Sources, Target, Verdict, Work};
use serde::Deserialize;
use workflow::documents::Document;

use super::{Registered, certify, project_of};
use crate::applying::read_all;
use crate::{ControlPlane, Fault, FaultKind, SourceFile};

/// Entries at the beginning of a run among which its labels are.
const FIRST_EVENTS: usize = 4;

/// A person's word for a sanitizer or for a version of a policy, or the end of it.
#[derive(Clone, Debug, Default)]
pub struct ApprovalRequest {
    /// `sanitizer` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What was looked at: the word is not taken when it is another by now. The present one when there is none.
    pub digest: Option<Digest>,
    /// Whether an earlier approval is taken back.
    pub revoke: bool,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their roles.
    pub roles: Vec<String>,
}

/// What an approval is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// `sanitizer` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What names exactly this.
    pub digest: Digest,
    /// The version of a policy.
    pub version: Option<u64>,
    /// Who wrote it.
    author: String,
}

/// What became of a case of a policy test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// The case.
    pub name: String,
    /// Whether the rules decided as the case expects.
    pub good: bool,
    /// What they decided, and why.
    pub said: String,
}

/// A case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    label: Vec<String>,
    site: Option<String>,
    from: Option<String>,
    workflow: Option<String>,
    domain: Option<String>,
    work: Option<String>,
    expect: Expected,
    policy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Permit,
    Refuse,
}

/// What can be read in a run, as it was counted when it was accepted.
#[derive(Clone, Debug, Default)]
pub struct RunLabels {
    reads: BTreeMap<String, Label>,
    all: Label,
}

impl RunLabels {
    /// What the action of a path can read; or any of them, when no path is given or none of it is known.
    pub fn of(&self, path: Option<&str>) -> Label {
        path.and_then(|path| self.reads.get(&engine::without_items(path))).unwrap_or(&self.all).clone()
    }
}

impl ControlPlane {
    /// Records a person's word for a sanitizer as it is now, or for the version of a policy that waits.
    pub async fn approve_rule(&self, request: ApprovalRequest) -> Result<Approved, Fault> {
        let about = tokio::task::block_in_place(|| match request.kind.as_str() {
            "policy" => self.waiting_policy(&request),
            "sanitizer" => self.owned_sanitizer(&request),
            other => Err(Fault::new(FaultKind::Malformed, format!("`{other}` is neither `sanitizer` nor `policy`"))),
        })?;
        if request.digest.is_some_and(|seen| seen != about.digest) {
            let message = format!("`{}` is not what you looked at any more: it is {} now", about.name, about.digest);
            return Err(Fault::new(FaultKind::Conflict, message).hint("look at it again, and approve what it is now"));
        }
        // Taking one's word back is always possible.
        if !request.revoke {
            let caller = Caller { name: request.by.clone(), groups: request.groups.clone(), roles: request.roles };
            let target =
                Target { kind: about.kind.clone(), name: about.name.clone(), author: about.author.clone(), ..Target::default() };
            let verdict = self.rules().may(&caller, "approve", &target, &Label::empty());
            if !verdict.allowed {
                let message = format!("`{}` may not approve the {} `{}`: {}", request.by, about.kind, about.name, verdict.why());
                return Err(Fault::new(FaultKind::Refused, message));
            }
        }
        let good_for = match about.kind.as_str() {
            "sanitizer" => self.rules().sanitizers().get(&about.name).map(|sanitizer| sanitizer.expires),
            _ => None,
        };
        let approval = Approval {
            kind: about.kind.clone(),
            name: about.name.clone(),
            digest: about.digest,
            version: about.version,
            by: request.by.clone(),
            groups: request.groups,
            at: crate::clock::wall(),
            good_for,
            revoked: request.revoke,
            reason: request.reason,
        };
        // One a person: of a sanitizer the latest, of a policy one for every version.
        let name = match about.version {
            Some(version) => format!("policy:{}@{version}/{}", about.name, request.by),
            None => format!("{}/{}", about.name, request.by),
        };
        let body = serde_json::to_value(&approval).map_err(Fault::internal)?;
        self.inbox().ask(Command::ApplyResource { kind: "approval".into(), name, body, principal: request.by }).await?;
        Ok(about)
    }

    fn owned_sanitizer(&self, request: &ApprovalRequest) -> Result<Approved, Fault> {
        let rules = self.rules();
        let sanitizer = rules.sanitizers().get(&request.name).ok_or_else(|| Fault::not_found("sanitizer", &request.name))?;
        let owns = |tag: &String| {
            let owners = rules.tags().get(tag).map(|spec| spec.owners.as_slice()).unwrap_or_default();
            owners.iter().any(|owner| *owner == request.by || request.groups.contains(owner))
        };
        if !sanitizer.strips.keys().any(owns) {
            let message = format!("`{}` owns none of the tags that `{}` takes off", request.by, sanitizer.name);
            return Err(Fault::new(FaultKind::Refused, message).hint("the owners stand at the tag: `tutti policy status`"));
        }
        let (kind, author) = ("sanitizer".into(), sanitizer.author.clone());
        Ok(Approved { kind, name: sanitizer.name.clone(), digest: sanitizer.digest(), version: None, author })
    }

    /// The last version of a policy, which must not count yet: what counts is changed by another version, not by one person's word.
    fn waiting_policy(&self, request: &ApprovalRequest) -> Result<Approved, Fault> {
        let policies = self.registered_rules()?.policies();
        let vouched = policies.get(&request.name).ok_or_else(|| Fault::not_found("policy", &request.name))?;
        let last = vouched.versions.last().ok_or_else(|| Fault::not_found("policy", &request.name))?;
        if vouched.stand.waiting.last().is_none_or(|waiting| waiting.at + 1 != vouched.versions.len()) {
            let message = format!("version {} of the policy `{}` is in force already", last.number, request.name);
            return Err(Fault::new(FaultKind::Conflict, message).hint("apply another version to change it"));
        }
        Ok(Approved {
            kind: "policy".into(),
            name: request.name.clone(),
            digest: last.spec.digest(),
            version: Some(last.number),
            author: last.author.clone(),
        })
    }

    /// Deletes a resource. Of the rules only what leaves rules that hold together, and no policy that asks for approvals.
    pub async fn delete_resource(&self, kind: &str, name: &str, force: bool, principal: &str) -> Result<(), Fault> {
        if super::KINDS.contains(&kind) {
            tokio::task::block_in_place(|| self.check_deletion(kind, name))?;
        }
        if kind == "workflow" && !force {
            tokio::task::block_in_place(|| self.check_unused(name))?;
        }
        let command = Command::DeleteResource { kind: kind.to_owned(), name: name.to_owned(), principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        if kind == "trigger" {
            tokio::task::block_in_place(|| self.trigger_changed(name))?;
        }
        Ok(())
    }

    fn check_deletion(&self, kind: &str, name: &str) -> Result<(), Fault> {
        let mut registered = self.registered_rules()?;
        if kind == "policy"
            && let Some(vouched) = registered.policies().get(name)
            && let Some(version) = vouched.stand.in_force.and_then(|at| vouched.versions.get(at))
            && version.spec.approvals > 0
        {
            let message = format!("{} people have to approve a change of the policy `{name}`", version.spec.approvals);
            let fault = Fault::new(FaultKind::Refused, message);
            return Err(fault.hint("apply it with `approvals: 0`, let that be approved, and delete it then"));
        }
        registered.remove(kind, name);
        let before = Rules::new(self.registered_rules()?.sources()).1;
        let (_, problems) = Rules::new(registered.sources());
        match problems.into_iter().find(|problem| !problem.warning && !before.contains(problem)) {
            Some(problem) => {
                let (kind, of) = &problem.document;
                let message = format!("without it the rules would be broken: the {kind} `{of}`: {}", problem.message);
                Err(Fault::new(FaultKind::Conflict, message).hint("change what refers to it first"))
            }
            None => Ok(()),
        }
    }

    /// What can be read in a run: by the action of a path, or by any of its actions when no path is given or none of it is known.
    pub fn label_of_run(&self, run: &journal::RunRow, path: Option<&str>) -> Result<Label, Fault> {
        Ok(self.labels_of_run(run)?.of(path))
    }

    /// What was counted when a run was accepted.
    pub(crate) fn counted_labels(&self, run: &journal::RunRow) -> Result<engine::event::RunLabelled, Fault> {
        // It is written in the turn in which the run is accepted, right behind that.
        let events = self.reader().events(model::Seq(0), Some(run.id), FIRST_EVENTS).map_err(Fault::internal)?;
        let labelled = events.into_iter().find_map(|(_, _, _, event)| match event {
            engine::Event::RunLabelled(labelled) => Some(labelled),
            _ => None,
        });
        Ok(labelled.map(|labelled| *labelled).unwrap_or_default())
    }

    /// The same for many actions of a run.
    pub fn labels_of_run(&self, run: &journal::RunRow) -> Result<RunLabels, Fault> {
        let mut labelled = self.counted_labels(run)?;
        // What came to a program while it ran is in no count that was made before.
        let key = crate::flyte::run_key(&run.project, &run.domain, &run.name);
        let came = self.flyte().label_of_run(&key).map_err(Fault::internal)?;
        let mut all = came.clone();
        labelled.inputs.values().chain(labelled.reads.values()).for_each(|one| all.join(one));
        labelled.reads.values_mut().for_each(|read| read.join(&came));
        Ok(RunLabels { reads: labelled.reads, all })
    }

    /// What is registered of rules.
    pub fn registered_rules(&self) -> Result<Registered, Fault> {
        Registered::read(self.reader()).map_err(Fault::internal)
    }

    /// For every site, whether work on data with a label may run there, and move there from where it lies.
    pub fn would_run(&self, work: &Work, label: &Label, from: Option<&str>) -> Result<BTreeMap<String, Verdict>, Fault> {
        let (rules, fleet) = (self.rules(), self.policy_fleet()?);
        let mut places = rules.places(work, label, &fleet);
        for (site, verdict) in places.iter_mut().filter(|(_, verdict)| verdict.allowed) {
            let moved = from.map(|from| rules.may_move(work, label, &fleet, from, site));
            if let Some(moved) = moved.filter(|moved| !moved.allowed) {
                *verdict = moved;
            }
        }
        Ok(places)
    }

    /// Decides the cases of policy tests by the rules, sites and workflows among the documents alone. Sanitizers are taken as approved.
    pub fn test_policies(
        &self,
        documents: &[SourceFile],
        files: &BTreeMap<String, std::sync::Arc<[u8]>>,
    ) -> Result<Vec<CaseOutcome>, Fault> {
        let (read, outcome) = read_all(self.reader(), documents, files);
        if outcome.failed() {
            return Err(outcome.into());
        }
        let (mut sources, mut sites, mut graphs, mut cases) = (Sources::default(), Vec::new(), BTreeMap::new(), Vec::new());
        for sourced in read {
            match sourced.document {
                Document::Tag(tag) => sources.tags.push(tag),
                Document::Policy(policy) => sources.policies.push(policy.spec),
                Document::Sanitizer(sanitizer) => sources.sanitizers.push(sanitizer),
                Document::Site(site) => sites.push(site),
                Document::Workflow(graph) => drop(graphs.insert(graph.workflow.clone(), graph)),
                Document::PolicyTest(test) => cases.extend(test.cases.as_array().cloned().unwrap_or_default()),
                Document::Prices(_)
                | Document::Project(_)
                | Document::Queue(_)
                | Document::Trigger(_)
                | Document::Connector(_) => {}
            }
        }
        if cases.len() > POLICY_CASES_MAX {
            return Err(Fault::new(
                FaultKind::TooLarge,
                format!("{} cases; at most {POLICY_CASES_MAX} are allowed", cases.len()),
            ));
        }
        sources.approvals = vouched(&sources);
        let (rules, problems) = Rules::new(sources);
        if let Some(problem) = problems.iter().find(|problem| !problem.warning) {
            let (kind, name) = &problem.document;
            return Err(Fault::new(FaultKind::InvalidWorkflow, format!("the {kind} `{name}`: {}", problem.message)));
        }
        let (fleet, mut cache) = (Fleet::new(&sites), Cache::default());
        let decide = |case: serde_json::Value| {
            let case: Case = serde_json::from_value(case)
                .map_err(|error| Fault::new(FaultKind::Malformed, format!("a case of a policy test is not right: {error}")))?;
            let (allowed, said) = decide(&case, &rules, &fleet, &graphs, &mut cache)?;
            let named = case
                .policy
                .as_ref()
                .is_none_or(|policy| said.contains(&format!("`{policy}`")) || said.contains(&format!("{policy}:")));
            let good = allowed == (case.expect == Expected::Permit) && (allowed || named);
            Ok(CaseOutcome { name: case.name, good, said })
        };
        cases.into_iter().map(decide).collect()
    }
}

/// What is said when a case is about something that was not given.
const FILES_ALONE: &str = "cases are decided by the files alone, and not by what is registered: give rules, sites, workflows and tests \
                           together, such as their folder: `tutti policy test FOLDER`";

/// Approvals as a test takes them: of every sanitizer, by as many owners as it needs.
fn vouched(sources: &Sources) -> Vec<Approval> {
    let needed = sources.tags.iter().map(|tag| tag.approvals.max(1)).max().unwrap_or(1);
    let owners: Vec<String> = sources.tags.iter().flat_map(|tag| tag.owners.clone()).collect();
    let of = |sanitizer: &SanitizerSpec| {
        let (name, digest, groups) = (sanitizer.name.clone(), sanitizer.digest(), owners.clone());
        (0..needed).map(move |number| Approval {
            kind: "sanitizer".into(),
            name: name.clone(),
            digest,
            version: None,
            by: format!("owner {number}"),
            groups: groups.clone(),
            at: crate::clock::wall(),
            good_for: None,
            revoked: false,
            reason: String::new(),
        })
    };
    sources.sanitizers.iter().flat_map(of).collect()
}

fn decide(
    case: &Case,
    rules: &Rules,
    fleet: &Fleet,
    graphs: &BTreeMap<String, std::sync::Arc<model::Graph>>,
    cache: &mut Cache,
) -> Result<(bool, String), Fault> {
    let now: Timestamp = crate::clock::wall();
    let Some(site) = &case.site else {
        let name = case.workflow.as_deref().unwrap_or_default();
        let graph = graphs.get(name).ok_or_else(|| {
            let fault = Fault::new(
                FaultKind::Malformed,
                format!("the case `{}` names neither a site nor a workflow that is among the files", case.name),
            );
            fault.hint(FILES_ALONE)
        })?;
        return Ok(match certify(rules, graph, fleet, cache, now) {
            Ok(_) => (true, "every step has a place".into()),
            Err(fault) => (false, fault.detail),
        });
    };
    if !fleet.names().any(|known| known == site) {
        let message = format!("the case `{}` names the site `{site}`, which is not among the files", case.name);
        return Err(Fault::new(FaultKind::Malformed, message).hint(FILES_ALONE));
    }
    let workflow = case.workflow.clone().unwrap_or_else(|| "default/test".into());
    let work = Work {
        project: project_of(&workflow).to_owned(),
        workflow,
        domain: case.domain.clone().unwrap_or_else(|| "development".into()),
        work: case.work.clone().unwrap_or_else(|| "run".into()),
    };
    let label = Label::of(case.label.iter().cloned());
    let verdict = match &case.from {
        Some(from) => rules.may_move(&work, &label, fleet, from, site),
        None => cache.places(rules, fleet, &work, &label).get(site).cloned().unwrap_or_default(),
    };
    Ok((verdict.allowed, verdict.why()))
}
