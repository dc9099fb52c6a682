//! REST under `/api/v1`, with an OpenAPI description, problem details, server-sent events, metrics and health.

mod access;
mod actions;
mod applying;
mod approvals;
mod artifacts;
mod audit;
mod editing;
mod events;
mod planning;
mod problem;
mod projection;
mod runs;
mod sites;
mod system;
mod tokens;
pub mod views;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use controlplane::ControlPlane;
use model::limits::REQUEST_BYTES_MAX;
use tokio::net::TcpListener;
use utoipa::OpenApi;

pub use access::Access;
pub use problem::problem as problem_of;

/// What every handler has.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) control: ControlPlane,
    pub(crate) access: Arc<Access>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Tutti", description = "One control plane for workflows across places. Errors are RFC 9457 problem details."),
    paths(
        runs::list,
        runs::submit,
        runs::submit_many,
        runs::get_run,
        runs::cancel,
        runs::pause,
        runs::resume,
        runs::signal,
        runs::rerun,
        actions::list,
        actions::get_action,
        actions::explain,
        actions::logs,
        approvals::list,
        approvals::decide,
        sites::list,
        sites::order,
        applying::apply,
        applying::check,
        applying::list,
        applying::get_resource,
        applying::delete_resource,
        artifacts::upload,
        artifacts::download,
        editing::edit,
        editing::connectors,
        audit::export,
        audit::prove,
        planning::plan,
        planning::diff,
        events::stream,
        events::report,
        events::webhook,
        system::healthz,
        system::metrics,
        system::verify,
        system::backup,
        system::prune,
        tokens::create,
        tokens::list,
        tokens::revoke,
        workers::lease,
        workers::report,
        workers::heartbeat,
        workers::stream
    )
)]
struct Description;

/// The OpenAPI description.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The routes.
pub(crate) fn router(app: App) -> Router {
    let api = Router::new()
        .route("/runs", get(runs::list).post(runs::submit))
        .route("/runs:batch", post(runs::submit_many))
        .route("/runs/{run}", get(runs::get_run))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/pause", post(runs::pause))
        .route("/runs/{run}/resume", post(runs::resume))
        .route("/runs/{run}/signal", post(runs::signal))
        .route("/runs/{run}/rerun", post(runs::rerun))
        .route("/runs/{run}/actions", get(actions::list))
        .route("/runs/{run}/action", get(actions::get_action))
        .route("/runs/{run}/explain", get(actions::explain))
        .route("/runs/{run}/logs", get(actions::logs))
        .route("/runs/{run}/decision", post(approvals::decide))
        .route("/approvals", get(approvals::list))
        .route("/sites", get(sites::list))
        .route("/sites/{site}/{order}", post(sites::order))
        .route("/apply", post(applying::apply))
        .route("/check", post(applying::check))
        .route("/resources/{kind}", get(applying::list))
        .route("/resources/{kind}/{*name}", get(applying::get_resource).delete(applying::delete_resource))
        .route("/artifacts", put(artifacts::upload).layer(DefaultBodyLimit::disable()))
        .route("/artifacts/{digest}", get(artifacts::download))
        .route("/edit", post(editing::edit))
        .route("/connectors", get(editing::connectors))
        .route("/events", get(events::stream).post(events::report))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{name}", axum::routing::delete(tokens::revoke))
        .route("/workers/lease", post(workers::lease))
        .route("/workers/report", post(workers::report))
        .route("/workers/heartbeat", post(workers::heartbeat))
        .route("/workers/stream", post(workers::stream).layer(DefaultBodyLimit::disable()))
        .route("/audit/verify", get(system::verify))
        .route("/audit/export", get(audit::export))
        .route("/audit/proof", get(audit::prove))
        .route("/plan", post(planning::plan))
        .route("/diff", post(planning::diff))
        .route("/backup", post(system::backup))
        .route("/prune", post(system::prune))
        .layer(axum::middleware::from_fn_with_state(app.clone(), access::authenticate));
    Router::new()
        .nest("/api/v1", api)
        .route("/api/v1/openapi.json", get(system::openapi))
        .route("/healthz", get(system::healthz))
        .route("/metrics", get(system::metrics))
        .route("/hooks/{trigger}", post(events::webhook))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(app)
}

/// Every other address is a page of the web app, a file of it, or nothing.
async fn elsewhere(request: axum::extract::Request) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    match crate::web::is_for(&request) {
        true => crate::web::serve(&request),
        false => system::not_found(request.uri().clone()).await.into_response(),
    }
}

/// A server that listens.
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    listener: TcpListener,
    app: App,
}

impl Server {
    /// Binds the address. The port is taken before anything heavy is done, so that a second server fails early.
    pub async fn bind(address: SocketAddr, control: ControlPlane, access: Access) -> std::io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let app = App { control, access: Arc::new(access) };
        Ok(Server { address: listener.local_addr()?, listener, app })
    }
}

/// Serves until `stop` is done, then lets requests in flight end.
pub async fn serve(server: Server, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    use axum::serve::ListenerExt as _;
    let listener = server.listener.tap_io(|stream| {
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router(server.app)).with_graceful_shutdown(stop).await
}
