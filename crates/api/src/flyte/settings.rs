//! Settings as the SDK reads and changes them.

use flyte::wire::{OfSettings, SetSettingsRequest, SettingsLevels, SettingsRecord, SettingsResponse};

use super::connect::{Answer, Refusal};
use super::view::blocking;
use crate::rest::App;
use crate::rest::access::Caller;

fn unnamed() -> Refusal {
    Refusal::new("invalid_argument", "whose settings is not said")
}

/// What settings of a scope come to, with those of wider ones.
pub(super) async fn get(app: &App, request: OfSettings) -> Answer<SettingsResponse> {
    let levels = for_edit(app, request).await?;
    let version = levels.levels.last().map_or(0, |record| record.version);
    // Fields that are joined to a message take the place of earlier ones.
    let settings = levels.levels.into_iter().flat_map(|record| record.settings).collect();
    Ok(SettingsResponse { record: Some(SettingsRecord { key: levels.requested, settings, version }) })
}

/// The settings of a scope and of those that it is within.
pub(super) async fn for_edit(app: &App, request: OfSettings) -> Answer<SettingsLevels> {
    let key = request.key.ok_or_else(unnamed)?;
    let control = app.control.clone();
    blocking(move || {
        let levels = control.flyte_settings(&key)?;
        Ok(SettingsLevels { requested: Some(key), levels })
    })
    .await
}

/// Makes settings of a scope that has none.
pub(super) async fn create(app: &App, caller: &Caller, request: SetSettingsRequest) -> Answer<SettingsResponse> {
    let key = request.key.ok_or_else(unnamed)?;
    let record = app.control.set_flyte_settings(key, request.settings, None, &caller.principal).await?;
    Ok(SettingsResponse { record: Some(record) })
}

/// Replaces settings of the version that the client has seen.
pub(super) async fn update(app: &App, caller: &Caller, request: SetSettingsRequest) -> Answer<SettingsResponse> {
    let key = request.key.ok_or_else(unnamed)?;
    let record = app.control.set_flyte_settings(key, request.settings, Some(request.version), &caller.principal).await?;
    Ok(SettingsResponse { record: Some(record) })
}
