//! Finding cameras that are not configured yet.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::Params;
use crate::ports::cameras::FoundDevice;
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

const MAX_SECONDS: u64 = 5;

/// How to search.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DiscoverParams {
    /// How long to wait for answers.
    #[param(minimum = 1, maximum = 5, default = 3)]
    seconds: Option<u64>,
    /// Asks this IPv4 address alone, for a device that multicast does not reach.
    #[param(max_length = 15, example = "192.0.2.10")]
    address: Option<String>,
}

/// Who answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DiscoveredView {
    /// The devices, by name.
    pub(crate) devices: Vec<FoundDevice>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(discover))
}

/// Find the ONVIF cameras of the local network
///
/// WS-Discovery: a question to everybody, an answer from each that is there. What a device says of itself is its own word.
#[utoipa::path(get, path = "/cameras/discover", tag = "cameras", security(("token" = []), ("key" = [])),
    params(DiscoverParams), responses((status = 200, body = DiscoveredView), Problems))]
async fn discover(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<DiscoverParams>,
) -> Answer<Json<DiscoveredView>> {
    caller.need(Right::CamerasWrite)?;
    let seconds = params.seconds.unwrap_or(3);
    let mut wrong = Vec::new();
    if !(1..=MAX_SECONDS).contains(&seconds) {
        wrong.push(FieldError::query("seconds", format!("must be 1 to {MAX_SECONDS}")));
    }
    let at = params.address.map(|text| {
        let address =
            text.parse::<Ipv4Addr>().ok().filter(|a| !a.is_unspecified() && !a.is_broadcast() && !a.is_multicast());
        if address.is_none() {
            wrong.push(FieldError::query("address", "no IPv4 address of a device, such as 192.0.2.10"));
        }
        address
    });
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let devices = api.cameras.discover(Duration::from_secs(seconds), at.flatten()).await?;
    Ok(Json(DiscoveredView { devices }))
}
