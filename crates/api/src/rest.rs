//! REST under `/api/v1`, with an OpenAPI description, problem details, server-sent events, metrics and health.

pub mod access;
mod actions;
mod applying;
pub mod approval_views;
pub(crate) mod approvals;
pub mod apps;
pub(crate) mod artifacts;
mod audit;
pub mod audit_views;
mod certificate;
pub mod connections;
mod description;
mod editing;
mod endpoints;
mod events;
mod expressions;
pub(crate) mod extract;
mod feed;
pub mod findings;
mod foresight;
pub mod foresight_views;
mod frames;
mod governance;
pub mod governance_views;
mod keys;
pub mod lineage;
mod listen;
mod metrics;
mod naming;
mod nodes;
mod observe;
mod pasts;
pub(crate) mod permission;
mod planning;
pub mod planning_views;
pub(crate) mod problem;
mod projection;
pub mod registered;
mod runs;
mod secrets;
mod shared;
pub(crate) mod sight;
pub mod sites;
mod storage;
mod system;
mod tiles;
mod tokens;
mod totals;
pub mod triggers;
pub mod views;
mod wiring;
mod worker_views;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use controlplane::ControlPlane;
use model::limits::{REQUEST_BYTES_MAX, WEBHOOK_BYTES_MAX};
use tokio::sync::{Semaphore, watch};

pub use access::Access;
pub use description::description;
pub use listen::{Listen, Server, Tls, serve};
pub use problem::problem as problem_of;
pub use projection::{rfc3339, seconds_until};

/// What every handler has.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) control: ControlPlane,
    pub(crate) access: Arc<Access>,
    pub(crate) tokens: Arc<access::Tokens>,
    /// What the rules said of callers and operations.
    pub(crate) said: Arc<permission::Said>,
    pub(crate) http: Arc<observe::HttpMeters>,
    /// What was said a moment ago of what is to come.
    pub(crate) outlooks: Arc<foresight::Outlooks>,
    /// Addresses of frames that were given out.
    pub(crate) frames: Arc<frames::Frames>,
    /// How many runs there were, as counted last.
    pub(crate) counted: Arc<totals::Counted>,
    /// Events as they are sent, for all who listen.
    pub(crate) feed: Arc<feed::Feed>,
    /// Answers that many wait for.
    pub(crate) shared: Arc<shared::Shared>,
    /// Who brought what.
    pub(crate) uploads: Arc<naming::Uploads>,
    /// Runs as they were.
    pub(crate) pasts: Arc<pasts::Pasts>,
    /// A permit for each connection.
    pub(crate) room: Arc<Semaphore>,
    /// How many there are.
    pub(crate) connections: usize,
    /// Becomes true when the server stops: what would go on for ever ends then.
    pub(crate) stopped: watch::Receiver<bool>,
}

impl App {
    fn new(control: ControlPlane, access: Access, stopped: watch::Receiver<bool>, connections: usize) -> App {
        let room = Arc::new(Semaphore::new(connections));
        App {
            control,
            access: Arc::new(access),
            tokens: Arc::default(),
            said: Arc::default(),
            http: Arc::default(),
            outlooks: Arc::default(),
            frames: Arc::default(),
            counted: Arc::default(),
            feed: Arc::default(),
            shared: Arc::default(),
            uploads: Arc::default(),
            pasts: Arc::default(),
            room,
            connections,
            stopped,
        }
    }

    /// Ends when the server stops.
    pub(crate) async fn stopping(&self) {
        let mut stopped = self.stopped.clone();
        // A sender that is gone has stopped too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// The routes.
pub(crate) fn router(app: App) -> Router {
    let api = Router::new()
        .merge(of_runs())
        .merge(of_rules())
        .route("/me", get(approvals::me))
        .route("/test-step", post(lineage::test_step))
        .route("/storage", get(storage::storage))
        .route("/storage/projects", get(storage::projects))
        .route("/approvals", get(approvals::list))
        .route("/approvals:count", get(approvals::count))
        .route("/findings", get(findings::list))
        .route("/apps", get(apps::list))
        .route("/apps/{project}/{domain}/{name}/{order}", post(apps::order))
        .route("/sites", get(sites::list))
        .route("/sites/load", get(foresight::load))
        .route("/sites/queues", get(sites::queues))
        .route("/sites/{site}/actions", get(sites::held))
        .route("/sites/{site}/{order}", post(sites::order))
        .route("/apply", post(applying::apply))
        .route("/check", post(applying::check))
        .route("/resources/{kind}", get(applying::list))
        .route("/resources/{kind}/{*name}", get(applying::get_resource).delete(applying::delete_resource))
        .route("/workflows", get(registered::workflows))
        .route("/tasks", get(registered::tasks))
        .route("/triggers", get(triggers::list))
        .route("/triggers/{trigger}", get(triggers::get_trigger))
        .route("/artifacts", put(artifacts::upload).layer(DefaultBodyLimit::disable()).get(lineage::list))
        .route("/artifacts/{digest}/lineage", get(lineage::lineage))
        .route("/artifacts/{digest}/versions", get(lineage::versions))
        .route("/artifacts/{digest}", get(artifacts::download))
        .route("/artifacts/{digest}/frame", post(frames::of_artifact))
        .route("/frames/{ticket}", get(frames::show))
        .route("/edit", post(editing::edit))
        .route("/expressions/scope", post(expressions::scope))
        .route("/expressions/evaluate", post(expressions::evaluate))
        .route("/connectors", get(editing::connectors))
        .route("/facts", get(events::list))
        .route("/events", get(events::stream).post(events::report))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{name}", axum::routing::delete(tokens::revoke))
        .route("/workers/lease", post(workers::lease))
        .route("/workers/report", post(workers::report))
        .route("/workers/heartbeat", post(workers::heartbeat))
        .route("/workers/stream", post(workers::stream).layer(DefaultBodyLimit::disable()))
        .route("/costs", get(foresight::costs))
        .route("/costs/projects", get(foresight::projects))
        .route("/forecast", get(foresight::demand))
        .route("/whatif", post(foresight::what_if))
        .route("/advice", get(foresight::advice))
        .route("/plan", post(planning::plan))
        .route("/diff", post(planning::diff))
        .route("/keys", get(keys::status))
        .route("/keys/rotate", post(keys::rotate))
        .route("/secrets", get(secrets::list))
        .route("/secrets/{project}/{name}", put(secrets::set).delete(secrets::remove))
        .route("/erase", post(system::erase))
        .route("/backup", post(system::backup))
        .route("/prune", post(system::prune))
        .route("/sweep", post(system::sweep))
        .route("/schemas/workflow", get(system::workflow_schema))
        .route("/openapi.json", get(description::openapi));
    Router::new()
        .nest("/api/v1", api)
        .merge(crate::flyte::routes())
        .route("/healthz", get(system::healthz))
        .route("/metrics", get(metrics::metrics))
        .route("/docs/errors/{code}", get(system::error_page))
        .route("/hooks/{trigger}", post(events::webhook).layer(DefaultBodyLimit::max(WEBHOOK_BYTES_MAX)))
        .fallback(elsewhere)
        .method_not_allowed_fallback(system::method_not_allowed)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(app.clone(), access::authenticate))
        .layer(axum::middleware::from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

/// Runs and what is of one of them.
fn of_runs() -> Router<App> {
    Router::new()
        .route("/runs", get(runs::list).post(runs::submit))
        .route("/runs:batch", post(runs::submit_many))
        .route("/runs:totals", get(totals::totals))
        .route("/runs:latest", get(registered::latest))
        .route("/runs/{run}", get(runs::get_run))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/pause", post(runs::pause))
        .route("/runs/{run}/resume", post(runs::resume))
        .route("/runs/{run}/signal", post(runs::signal))
        .route("/runs/{run}/rerun", post(runs::rerun))
        .route("/runs/{run}/rerun/plan", post(runs::plan_rerun))
        .route("/runs/{run}/actions", get(actions::list))
        .route("/runs/{run}/tiles", get(tiles::tiles))
        .route("/runs/{run}/graph", get(nodes::graph))
        .route("/runs/{run}/action", get(actions::get_action))
        .route("/runs/{run}/explain", get(actions::explain))
        .route("/runs/{run}/logs", get(actions::logs))
        .route("/runs/{run}/connections", get(connections::list))
        .route("/runs/{run}/decision", post(approvals::decide))
        .route("/runs/{run}/delegate", post(approvals::delegate))
        .route("/runs/{run}/seen", post(approvals::seen))
        .route("/runs/{run}/report", post(frames::of_report))
        .route("/runs/{run}/outlook", get(foresight::outlook))
        .route("/runs/{run}/whatif", post(foresight::what_if_run))
}

/// The rules, and the audit log that proves what they said.
fn of_rules() -> Router<App> {
    Router::new()
        .route("/audit/verify", get(system::verify))
        .route("/audit/export", get(audit::export))
        .route("/audit/proof", get(audit::prove))
        .route("/audit/tlog-proof", get(audit::tlog_proof))
        .route("/audit/consistency", get(audit::consistency))
        .route("/audit/leaves", get(audit::leaves))
        .route("/audit/checkpoint", get(audit::checkpoint))
        .route("/audit/status", get(audit::status))
        .route("/audit/accept", post(audit::accept))
        .route("/policy", get(governance::status))
        .route("/policy/history", get(governance::history))
        .route("/policy/certificate", get(governance::certificate))
        .route("/policy/ask", post(governance::ask))
        .route("/policy/test", post(governance::test))
        .route("/policy/simulate", post(governance::simulate))
        .route("/policy/wires", post(wiring::wires))
        .route("/policy/approve", post(governance::approve))
        .route("/policy/revoke", post(governance::revoke))
}

/// Every other address is a page of the web app, a file of it, or nothing.
async fn elsewhere(request: axum::extract::Request) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    match crate::web::is_for(&request) {
        true => crate::web::serve(&request),
        false => system::not_found(request.uri().clone()).await.into_response(),
    }
}
