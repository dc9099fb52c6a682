//! Where the values and logs of an action are asked for: at this server, or at a door beside the site that the action is at, which the site's
//! document names.

use flyte::wire::{ActionId, SelectClusterRequest, SelectClusterResponse};

use super::connect::Answer;
use super::view::{self, blocking, broken};
use crate::rest::App;

/// The attribute of a site that says where its values and logs are asked for.
const DATA_ENDPOINT: &str = "data_endpoint";
/// What may be asked for elsewhere: values, links, logs.
const ROUTED: [i32; 3] = [3, 5, 6];

/// The action that a client asks about.
pub(super) fn action_of(request: &SelectClusterRequest) -> Option<&ActionId> {
    let of_attempt = request.action_attempt_id.as_ref().and_then(|attempt| attempt.action_id.as_ref());
    request.action_id.as_ref().or(of_attempt)
}

/// Where to ask. What is not known is asked here, where the refusal comes from then.
pub(super) async fn select(app: &App, request: SelectClusterRequest) -> Answer<SelectClusterResponse> {
    let Some(action) = action_of(&request).filter(|_| ROUTED.contains(&request.operation)).cloned() else {
        return Ok(SelectClusterResponse::default());
    };
    let control = app.control.clone();
    blocking(move || {
        let reader = control.reader();
        let Ok((_, row)) = view::action_of(reader, Some(&action)) else { return Ok(SelectClusterResponse::default()) };
        let Some(site) = row.site else { return Ok(SelectClusterResponse::default()) };
        let sites = reader.sites().map_err(broken)?;
        let endpoint = sites.iter().find(|row| row.spec.name == site).and_then(|row| row.spec.attributes.get(DATA_ENDPOINT));
        Ok(SelectClusterResponse { cluster_endpoint: endpoint.cloned().unwrap_or_default(), cluster: site })
    })
    .await
}
