//! A run of any size as a picture of bounded size.

use std::collections::BTreeMap;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use controlplane::Fault;
use journal::{Tile, TileFilter};
use serde::{Deserialize, Serialize};

use super::App;
use super::access::Caller;
use super::extract::{Path, Query, page_size};
use super::pasts;
use super::problem::{ApiResult, blocking};
use super::projection::rfc3339;
use super::shared::{self, What};

/// Tiles when nothing is said.
const TILES: usize = 200;
/// Tiles at most.
const TILES_MAX: usize = 2_000;

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TilesQuery {
    /// From the action of this number on.
    from: Option<u32>,
    /// Up to and without the action of this number.
    to: Option<u32>,
    /// Tiles: 200 when nothing is said, at most 2,000.
    #[param(minimum = 1, maximum = 2000)]
    tiles: Option<usize>,
    /// As they were at this point in time (RFC 3339) instead of now.
    at: Option<String>,
    /// As they were after this entry of the journal instead of now.
    position: Option<u64>,
}

/// A run in tiles.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct TilesView {
    /// Actions of the run.
    pub total: u32,
    /// Neighbouring actions, counted together, in the order in which they were opened.
    pub tiles: Vec<TileView>,
}

/// Neighbouring actions of a run.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct TileView {
    /// The number of the first.
    pub from: u32,
    /// The number after that of the last.
    pub to: u32,
    /// The path of the first.
    pub first: String,
    /// The path of the last.
    pub last: String,
    /// How many are in each phase.
    pub phases: BTreeMap<String, u64>,
    /// When the first of them began (RFC 3339), or was opened where none has begun.
    pub began_at: String,
    /// When the last of them ended; none while one is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// What their attempts cost.
    pub cost: f64,
}

fn view(tile: Tile) -> TileView {
    TileView {
        from: tile.from,
        to: tile.to,
        first: tile.first,
        last: tile.last,
        phases: tile.phases.into_iter().map(|(phase, count)| (phase.to_string(), count)).collect(),
        began_at: rfc3339(tile.began_at),
        ended_at: tile.ended_at.map(rfc3339),
        cost: tile.cost.units(),
    }
}

/// The actions of a run as a bounded number of tiles, each with counts and times: what a timeline of any size is drawn from.
#[utoipa::path(get, path = "/api/v1/runs/{run}/tiles", operation_id = "getTiles", tag = "runs", params(TilesQuery),
    responses((status = 200, description = "The tiles.", body = TilesView)))]
pub(crate) async fn tiles(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(run): Path<String>,
    Query(query): Query<TilesQuery>,
) -> ApiResult<Response> {
    let tiles = page_size(query.tiles, TILES, TILES_MAX)?;
    let until = pasts::until(query.at.as_deref(), query.position)?;
    let _turn = pasts::turn(&app, until).await?;
    let filter = TileFilter { from: query.from.unwrap_or(0), to: query.to, tiles: u32::try_from(tiles).unwrap_or(1) };
    let control = app.control.clone();
    let run = blocking(move || Ok(control.find_run(&run)?.id)).await?;
    let what = What::Tiles { from: filter.from, to: filter.to, tiles: filter.tiles, until };
    let read = move |app: &App, _: &Caller| {
        let found = pasts::read(app, run, until, |reader, _| reader.tiles(run, &filter).map_err(Fault::internal))?;
        Ok(TilesView { total: found.total, tiles: found.tiles.into_iter().map(view).collect() })
    };
    Ok(shared::of_run(&app, &caller, run, what, read).await?.respond(&headers))
}
