//! The rules: how they stand, what they would permit, certificates, approvals, tests, and what happened to them.

use axum::extract::{Extension, State};
use controlplane::{ApprovalRequest, Approved, ControlPlane, Fault, FaultKind, Vouched};
use model::govern::{Approval, SanitizerSpec, TagSpec};
use model::{Digest, Label, Timestamp};
use policy::{Rules, Target, Work};
use serde::Deserialize;

use super::App;
use super::access::Caller;
use super::applying::{files_of, source_files};
use super::extract::{Json, Listed, Query, page_size};
use super::governance_views::{
    ApprovalOfRule, ApproveRequest, ApprovedView, AskRequest, Asked, CertificateView, CertifiedStep, PolicyCase, PolicyStatus,
    PolicyTestRequest, PolicyView, RedecidedView, RuleChangeView, RuleView, SanitizerView, SimulateRequest, SimulatedView,
    SiteVerdict, StandingView, TagView, WaitingView,
};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;

/// The rules as they stand: policies with what waits to be approved, tags, sanitizers with their approvals.
#[utoipa::path(get, path = "/api/v1/policy", operation_id = "getPolicy", tag = "policy",
    responses((status = 200, description = "The rules.", body = PolicyStatus)))]
pub(crate) async fn status(State(app): State<App>) -> ApiResult<Json<PolicyStatus>> {
    let control = app.control.clone();
    Ok(Json(blocking(move || status_of(&control)).await?))
}

fn status_of(control: &ControlPlane) -> Result<PolicyStatus, Fault> {
    let (rules, registered, changes) = (control.rules(), control.registered_rules()?, control.rule_changes()?);
    let (approvals, now, last) = (registered.approvals(), controlplane::wall(), changes.last());
    Ok(PolicyStatus {
        governed: rules.governed(),
        closed: rules.is_closed(),
        version: changes.len() as u64,
        epoch: last.map_or(0, |change| change.seq.0),
        changed_at: last.map(|change| rfc3339(change.at)),
        digest: rules.digest().to_string(),
        policies: registered.policies().iter().filter_map(|(name, vouched)| policy(&rules, name, vouched)).collect(),
        tags: rules.tags().values().map(tag).collect(),
        sanitizers: rules.sanitizers().values().map(|spec| sanitizer(&rules, spec, &approvals, now)).collect(),
    })
}

fn policy(rules: &Rules, name: &str, vouched: &Vouched) -> Option<PolicyView> {
    let in_force = vouched.stand.in_force.and_then(|at| vouched.versions.get(at));
    let shown = in_force.or(vouched.versions.last())?;
    let waiting = vouched.stand.waiting.last().and_then(|waiting| {
        let version = vouched.versions.get(waiting.at)?;
        Some(WaitingView {
            version: version.number,
            digest: version.spec.digest().to_string(),
            author: version.author.clone(),
            needed: waiting.needed,
            approved_by: waiting.approved_by.clone(),
            cedar: version.spec.cedar.clone(),
        })
    });
    let own = format!("{name}/");
    let rule = |about: &policy::About| RuleView {
        id: about.name.clone(),
        effect: if about.forbids { "forbid" } else { "permit" }.into(),
        reason: about.because.clone(),
        tags: about.tags.iter().cloned().collect(),
        attributes: about.attributes.iter().cloned().collect(),
    };
    Some(PolicyView {
        name: name.to_owned(),
        description: shown.spec.description.clone(),
        in_force: in_force.map(|version| version.number),
        digest: in_force.map(|version| version.spec.digest().to_string()),
        closed: shown.spec.closed,
        approvals: shown.spec.approvals,
        cedar: shown.spec.cedar.clone(),
        rules: rules.policies().filter(|about| about.name.starts_with(&own)).map(rule).collect(),
        waiting,
    })
}

/// The word of a choice, as it is written in documents.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn tag(spec: &TagSpec) -> TagView {
    TagView {
        name: spec.name.clone(),
        description: spec.description.clone(),
        owners: spec.owners.clone(),
        parent: spec.parent.clone(),
        protects: word(&spec.kind),
        retention_seconds: spec.retention.map(|retention| retention.0 as f64 / 1e6),
        approvals: spec.approvals.max(1),
        on_revoke: word(&spec.on_revoke),
    }
}

fn sanitizer(rules: &Rules, spec: &SanitizerSpec, approvals: &[Approval], now: Timestamp) -> SanitizerView {
    let standing = rules.standing(spec, now);
    let state = match (standing.iter().all(policy::Standing::is_good), standing.iter().any(|standing| standing.lapsed)) {
        (true, _) => "approved",
        (false, true) => "lapsed",
        (false, false) => "waiting",
    };
    let until = |approval: &Approval| Timestamp(approval.at.0.saturating_add(spec.expires.0));
    let said = |approval: &Approval| ApprovalOfRule {
        by: approval.by.clone(),
        at: rfc3339(approval.at),
        until: rfc3339(until(approval)),
        digest: approval.digest.to_string(),
        state: match approval {
            _ if approval.revoked => "revoked",
            _ if approval.digest != spec.digest() => "other",
            _ if until(approval) <= now => "ended",
            _ => "good",
        }
        .into(),
        reason: approval.reason.clone(),
    };
    let mut own: Vec<&Approval> =
        approvals.iter().filter(|approval| approval.kind == "sanitizer" && approval.name == spec.name).collect();
    own.sort_by_key(|approval| std::cmp::Reverse(approval.at));
    SanitizerView {
        name: spec.name.clone(),
        description: spec.description.clone(),
        runs: spec.runs.clone(),
        digest: spec.digest().to_string(),
        author: spec.author.clone(),
        strips: spec.strips.clone(),
        expires_seconds: spec.expires.0 as f64 / 1e6,
        state: state.into(),
        standing: standing.iter().map(standing_view).collect(),
        approvals: own.into_iter().map(said).collect(),
    }
}

fn standing_view(standing: &policy::Standing) -> StandingView {
    StandingView {
        tag: standing.tag.clone(),
        approved_by: standing.approved_by.clone(),
        needed: standing.needed.max(1),
        owners: standing.owners.clone(),
        said: standing.sentence(),
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Rows of the page: 100 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What happened to the rules, the latest first: what was applied, approved, taken back and deleted, with digests.
#[utoipa::path(get, path = "/api/v1/policy/history", operation_id = "getPolicyHistory", tag = "policy", params(HistoryQuery),
    responses((status = 200, description = "A page of changes.", body = Vec<RuleChangeView>)))]
pub(crate) async fn history(State(app): State<App>, Query(query): Query<HistoryQuery>) -> ApiResult<Listed<RuleChangeView>> {
    let limit = page_size(query.limit, 100, 1_000)?;
    let control = app.control.clone();
    let changes = blocking(move || control.rule_changes()).await?;
    let view = |change: controlplane::RuleChange| RuleChangeView {
        epoch: change.seq.0,
        at: rfc3339(change.at),
        by: change.by,
        change: change.what.as_str().into(),
        kind: change.kind,
        name: change.name,
        version: change.version,
        digest: change.digest.map(|digest| digest.to_string()),
        reason: change.reason,
        rules: change.rules.to_string(),
    };
    let before = |change: &controlplane::RuleChange| query.cursor.is_none_or(|cursor| change.seq.0 < cursor);
    let items: Vec<RuleChangeView> = changes.into_iter().rev().filter(before).take(limit).map(view).collect();
    let next = items.last().filter(|_| items.len() == limit).map(|last| last.epoch.to_string());
    Ok(Listed { items, next, limit })
}

/// Would this be allowed: such work on such data, at every site; or, with `operation`, that to this person. Nothing happens.
#[utoipa::path(post, path = "/api/v1/policy/ask", operation_id = "askPolicy", tag = "policy", request_body = AskRequest,
    responses((status = 200, description = "The answer, with the policies that decided.", body = Asked)))]
pub(crate) async fn ask(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<AskRequest>,
) -> ApiResult<Json<Asked>> {
    let control = app.control.clone();
    Ok(Json(blocking(move || answer(&control, &caller, request)).await?))
}

fn answer(control: &ControlPlane, caller: &Caller, request: AskRequest) -> Result<Asked, Fault> {
    let (rules, label) = (control.rules(), Label::of(request.label));
    let digest = rules.digest().to_string();
    let project = request.workflow.split_once('/').map_or("default", |(project, _)| project).to_owned();
    let policies = |verdict: &policy::Verdict| verdict.reasons.iter().map(|reason| reason.policy.clone()).collect();
    if let Some(operation) = request.operation {
        if !policy::OPERATIONS.contains(&operation.as_str()) {
            let fault = Fault::new(FaultKind::Malformed, format!("`{operation}` is not an operation"));
            return Err(fault.hint(format!("there are {}", policy::OPERATIONS.join(", "))));
        }
        let named = request.user.is_some() || !request.roles.is_empty() || !request.groups.is_empty();
        let who = match named {
            true => policy::Caller {
                name: request.user.unwrap_or_else(|| caller.principal.clone()),
                groups: request.groups,
                roles: request.roles,
            },
            false => caller.as_policy(),
        };
        let target = Target {
            kind: request.kind.unwrap_or_else(|| "server".into()),
            name: request.name.unwrap_or_else(|| request.workflow.clone()),
            project: if request.workflow.is_empty() { String::new() } else { project },
            domain: request.domain.unwrap_or_default(),
            author: request.author.unwrap_or_default(),
        };
        let verdict = rules.may(&who, &operation, &target, &label);
        let (allowed, why) = (verdict.allowed, verdict.why());
        return Ok(Asked { allowed, why, policies: policies(&verdict), sites: Vec::new(), rules: digest });
    }
    let work = Work {
        project,
        workflow: request.workflow,
        domain: request.domain.unwrap_or_else(|| "development".into()),
        work: request.work.unwrap_or_else(|| "run".into()),
    };
    let places = control.would_run(&work, &label, request.from.as_deref())?;
    let view = |(site, verdict): (String, policy::Verdict)| SiteVerdict {
        site,
        allowed: verdict.allowed,
        why: verdict.why(),
        policies: policies(&verdict),
    };
    let sites: Vec<SiteVerdict> = places.into_iter().map(view).collect();
    let allowed = sites.is_empty() || sites.iter().any(|site| site.allowed);
    let refused: std::collections::BTreeSet<String> = sites.iter().flat_map(|site| site.policies.clone()).collect();
    let (policies, why) = match allowed {
        true => (Vec::new(), "permitted".into()),
        false => (refused.into_iter().collect(), "no site is permitted".into()),
    };
    Ok(Asked { allowed, why, policies, sites, rules: digest })
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CertificateQuery {
    /// The workflow.
    workflow: String,
    /// Its version; the latest when there is none.
    version: Option<u64>,
}

/// The flow certificate of a registered workflow by the rules in force: what each step can read, and where it may be. Without a place for
/// a step the answer is 403 with the refusal.
#[utoipa::path(get, path = "/api/v1/policy/certificate", operation_id = "getCertificate", tag = "policy", params(CertificateQuery),
    responses((status = 200, description = "The certificate.", body = CertificateView)))]
pub(crate) async fn certificate(
    State(app): State<App>,
    Query(query): Query<CertificateQuery>,
) -> ApiResult<Json<CertificateView>> {
    let control = app.control.clone();
    let certificate = blocking(move || control.certificate(&query.workflow, query.version)).await?;
    let step =
        |step: policy::Certified| CertifiedStep { path: step.path, label: step.label.0.into_iter().collect(), sites: step.sites };
    Ok(Json(CertificateView {
        workflow: certificate.workflow,
        graph: certificate.graph.map(|graph| graph.to_string()),
        rules: certificate.rules.to_string(),
        sites: certificate.sites.to_string(),
        steps: certificate.steps.into_iter().map(step).collect(),
        warnings: certificate.warnings,
    }))
}

/// Approves a sanitizer as it is now, as one of the owners of its tags; or the version of a policy that waits. Whoever wrote it cannot.
#[utoipa::path(post, path = "/api/v1/policy/approve", operation_id = "approveRule", tag = "policy", request_body = ApproveRequest,
    responses((status = 200, description = "How it stands now.", body = ApprovedView)))]
pub(crate) async fn approve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApproveRequest>,
) -> ApiResult<Json<ApprovedView>> {
    vouch(app, caller, request, false).await
}

/// Takes back what was approved. What a sanitizer has taken off stays off; it takes nothing more off.
#[utoipa::path(post, path = "/api/v1/policy/revoke", operation_id = "revokeRule", tag = "policy", request_body = ApproveRequest,
    responses((status = 200, description = "How it stands now.", body = ApprovedView)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApproveRequest>,
) -> ApiResult<Json<ApprovedView>> {
    vouch(app, caller, request, true).await
}

async fn vouch(app: App, caller: Caller, request: ApproveRequest, revoke: bool) -> ApiResult<Json<ApprovedView>> {
    let digest = request
        .digest
        .as_deref()
        .map(|text| text.parse::<Digest>().map_err(|_| Fault::new(FaultKind::Malformed, format!("`{text}` is not a digest"))));
    let who = caller.as_policy();
    let asked = ApprovalRequest {
        kind: request.kind,
        name: request.name,
        digest: digest.transpose().map_err(ApiError)?,
        revoke,
        reason: request.reason,
        by: who.name,
        groups: who.groups,
        roles: who.roles,
    };
    let approved = app.control.approve_rule(asked).await?;
    let control = app.control.clone();
    Ok(Json(blocking(move || approved_view(&control, approved)).await?))
}

fn approved_view(control: &ControlPlane, approved: Approved) -> Result<ApprovedView, Fault> {
    let (in_force, standing) = match approved.version {
        None => {
            let rules = control.rules();
            let spec = rules.sanitizers().get(&approved.name).ok_or_else(|| Fault::not_found("sanitizer", &approved.name))?;
            let standing = rules.standing(spec, controlplane::wall());
            let said = standing.iter().map(policy::Standing::sentence).collect();
            (standing.iter().all(policy::Standing::is_good), said)
        }
        Some(version) => {
            let policies = control.registered_rules()?.policies();
            let vouched = policies.get(&approved.name).ok_or_else(|| Fault::not_found("policy", &approved.name))?;
            let in_force = vouched.stand.in_force.and_then(|at| vouched.versions.get(at));
            match vouched.stand.waiting.last() {
                Some(waiting) => {
                    let said = format!("{} of {} have approved version {version}", waiting.approved_by.len(), waiting.needed);
                    (false, vec![said])
                }
                None => (in_force.is_some_and(|counts| counts.number == version), vec![format!("version {version} is in force")]),
            }
        }
    };
    let (kind, name, digest) = (approved.kind, approved.name, approved.digest.to_string());
    Ok(ApprovedView { kind, name, digest, in_force, standing })
}

/// Decides the cases of policy tests by the documents alone. Nothing is registered; sanitizers are taken as approved.
#[utoipa::path(post, path = "/api/v1/policy/test", operation_id = "testPolicies", tag = "policy", request_body = PolicyTestRequest,
    responses((status = 200, description = "What became of every case.", body = Vec<PolicyCase>)))]
pub(crate) async fn test(State(app): State<App>, Json(request): Json<PolicyTestRequest>) -> ApiResult<Json<Vec<PolicyCase>>> {
    let documents = source_files(request.documents);
    let files = files_of(&app, request.files, None).await?;
    let control = app.control.clone();
    let outcomes = blocking(move || control.test_policies(&documents, &files)).await?;
    let view = |outcome: controlplane::CaseOutcome| PolicyCase { name: outcome.name, good: outcome.good, said: outcome.said };
    Ok(Json(outcomes.into_iter().map(view).collect()))
}

/// Days that are looked back when nothing is said.
const DAYS: f64 = 30.0;

/// What would have been decided by other rules: what was placed and moved lately is decided again. Nothing is registered, and nothing
/// happens.
#[utoipa::path(post, path = "/api/v1/policy/simulate", operation_id = "simulatePolicy", tag = "policy", request_body = SimulateRequest,
    responses((status = 200, description = "What would be another answer.", body = SimulatedView)))]
pub(crate) async fn simulate(State(app): State<App>, Json(request): Json<SimulateRequest>) -> ApiResult<Json<SimulatedView>> {
    let days = request.days.unwrap_or(DAYS);
    if !(0.0..=36_500.0).contains(&days) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`days` is {days}, not from 0 to 36500"))));
    }
    let back = (days * 86_400.0 * 1e6) as u64;
    let since = Timestamp(controlplane::wall().0.saturating_sub(back));
    let documents = source_files(request.documents);
    let files = files_of(&app, request.files, None).await?;
    let control = app.control.clone();
    let found = blocking(move || control.simulate_rules(&documents, &files, since)).await?;
    let times =
        |allowed: bool| found.changes.iter().filter(|change| change.allowed == allowed).map(|change| change.times as u64).sum();
    let (denied, permitted) = (times(false), times(true));
    let view = |change: controlplane::Redecided| RedecidedView {
        workflow: change.work.workflow,
        domain: change.work.domain,
        work: change.work.work,
        label: change.label.0.into_iter().collect(),
        site: change.site,
        from: change.from,
        allowed: change.allowed,
        why: change.why,
        times: change.times as u64,
        run: change.latest.0,
        action: change.latest.1,
    };
    Ok(Json(SimulatedView {
        runs: found.runs as u64,
        decisions: found.decisions as u64,
        denied,
        permitted,
        more: found.more,
        changes: found.changes.into_iter().map(view).collect(),
        refused: found.refused,
        freed: found.freed,
    }))
}
