//! The OpenAPI description. What all endpoints have in common is added here, from the same table that is enforced.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use controlplane::Fault;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, License, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::access::TABLE;
use super::problem::ApiResult;
use super::{
    actions, applying, approvals, apps, artifacts, audit, connections, editing, events, expressions, findings, foresight, frames,
    governance, keys, lineage, metrics, nodes, planning, registered, runs, secrets, sites, storage, system, tiles, tokens,
    totals, triggers, views, wiring, workers,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tutti",
        description = "One control plane for workflows across places.\n\nErrors are RFC 9457 problem details (`application/problem+json`) with a \
                       stable `code` that has a page. Lists come in pages: give `next` as `cursor` until there is none; lists that are plain arrays have the address of the next page in the header `Link`. Fields that are not \
                       known are errors, in bodies and in queries. Every answer has `X-Request-Id`."
    ),
    paths(
        runs::list,
        runs::submit,
        runs::submit_many,
        totals::totals,
        runs::get_run,
        runs::cancel,
        runs::pause,
        runs::resume,
        runs::signal,
        runs::rerun,
        runs::plan_rerun,
        actions::list,
        tiles::tiles,
        nodes::graph,
        actions::get_action,
        actions::explain,
        actions::logs,
        connections::list,
        approvals::list,
        approvals::count,
        approvals::decide,
        approvals::delegate,
        approvals::seen,
        approvals::me,
        findings::list,
        lineage::list,
        lineage::lineage,
        lineage::versions,
        lineage::test_step,
        storage::storage,
        storage::projects,
        apps::list,
        apps::order,
        sites::list,
        sites::held,
        sites::queues,
        sites::order,
        applying::apply,
        applying::check,
        applying::list,
        applying::get_resource,
        applying::delete_resource,
        registered::workflows,
        registered::tasks,
        registered::latest,
        triggers::list,
        triggers::get_trigger,
        artifacts::upload,
        artifacts::download,
        frames::of_artifact,
        frames::of_report,
        frames::show,
        editing::edit,
        editing::connectors,
        expressions::scope,
        expressions::evaluate,
        events::stream,
        events::list,
        events::report,
        events::webhook,
        system::healthz,
        audit::export,
        audit::prove,
        audit::tlog_proof,
        audit::consistency,
        audit::leaves,
        audit::checkpoint,
        audit::status,
        audit::accept,
        foresight::costs,
        foresight::projects,
        foresight::outlook,
        foresight::demand,
        foresight::what_if,
        foresight::load,
        foresight::what_if_run,
        foresight::advice,
        governance::status,
        governance::history,
        governance::certificate,
        governance::ask,
        governance::test,
        governance::simulate,
        wiring::wires,
        governance::approve,
        governance::revoke,
        planning::plan,
        planning::diff,
        system::verify,
        keys::status,
        keys::rotate,
        secrets::list,
        secrets::set,
        secrets::remove,
        system::erase,
        system::backup,
        system::prune,
        system::sweep,
        system::error_page,
        system::workflow_schema,
        metrics::metrics,
        openapi,
        tokens::create,
        tokens::list,
        tokens::revoke,
        workers::lease,
        workers::report,
        workers::heartbeat,
        workers::stream
    ),
    components(schemas(views::Problem)),
    tags(
        (name = "runs", description = "Submitting, watching, ordering runs and their actions."),
        (name = "approvals", description = "Decisions of people."),
        (name = "resources", description = "Workflows, triggers, connectors, sites: applying and reading them."),
        (name = "costs", description = "What was spent, what will be, and what would have been."),
        (name = "artifacts", description = "Files in and out. Both directions stream."),
        (name = "events", description = "What happens, and what happened outside."),
        (name = "audit", description = "The account of the journal: its entries, signed checkpoints, proofs."),
        (name = "policy", description = "Rules: how they stand, what they permit, certificates, approvals, tests."),
        (name = "keys", description = "The keys that what is stored is sealed under."),
        (name = "workers", description = "The worker protocol."),
        (name = "system", description = "The server about itself.")
    ),
    modifiers(&Common)
)]
struct Description;

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// What every operation has.
struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        api.info.version = env!("CARGO_PKG_VERSION").into();
        api.info.license = Some(License::new("Apache-2.0"));
        let components = api.components.get_or_insert_default();
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "`Authorization: Bearer TOKEN`. What an operation needs stands beside it; the scope `admin` includes all. Without tokens, callers on \
             loopback need none.",
        ));
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme.build()));
        for (route, item) in &mut api.paths.paths {
            let methods =
                [("GET", &mut item.get), ("PUT", &mut item.put), ("POST", &mut item.post), ("DELETE", &mut item.delete)];
            for (method, operation) in methods {
                if let Some(operation) = operation {
                    complete(operation, method, route);
                }
            }
        }
    }
}

fn complete(operation: &mut Operation, method: &str, route: &str) {
    let needs =
        TABLE.iter().find(|(known, at, _)| *known == method && at.replace("{*", "{") == *route).map(|(_, _, needs)| *needs);
    if let Some((needs, scope)) = needs.and_then(|needs| Some((needs, needs.scope()?))) {
        operation.security = Some(vec![SecurityRequirement::new(BEARER, [scope])]);
        let text = operation.description.take().unwrap_or_default();
        operation.description = Some(format!("{text}\n\n{}", needed(needs.operations(), scope)).trim().to_owned());
    } else {
        operation.security = Some(Vec::new());
    }
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new()
        .description("A problem. `code` says which kind; each has a page.")
        .content("application/problem+json", content)
        .build();
    operation.responses.responses.insert("default".into(), RefOr::T(problem));
}

/// What an operation needs, in words.
fn needed(operations: &[&str], scope: &str) -> String {
    let words: Vec<String> = operations.iter().map(|operation| format!("`{operation}`")).collect();
    format!("Needs the scope `{scope}`, or a role that may {}.", words.join(" or "))
}

/// The OpenAPI description.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "getDescription", tag = "system",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = serde_json::Value)))]
pub(crate) async fn openapi() -> ApiResult<impl IntoResponse> {
    // Written once: anyone may ask for it, and it takes milliseconds and megabytes to build.
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = match TEXT.get() {
        Some(text) => text.clone(),
        None => {
            let text = serde_json::to_vec(&description()).map_err(Fault::internal)?;
            TEXT.get_or_init(|| text.into()).clone()
        }
    };
    Ok(([(CONTENT_TYPE, "application/json")], text))
}
