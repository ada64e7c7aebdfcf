//! Finding cameras that are not configured yet.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::look::note;
use super::settings::NewCredentials;
use crate::caller::Caller;
use crate::extract::{Body, Params};
use crate::json::Json;
use crate::ports::cameras::{DeviceStreams, FoundDevice, StreamsAsk};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::Checks;

const MAX_SECONDS: u64 = 5;
/// Longest address.
const MAX_ADDRESS: usize = 1_000;

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

/// A device that was found.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceAsk {
    /// One of the `addresses` that the device told; `http` alone.
    #[schema(min_length = 1, max_length = 1000, example = "http://192.0.2.10/onvif/device_service")]
    address: String,
    /// User and password of the device. They are sent to it as a digest, and not kept.
    credentials: Option<NewCredentials>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(discover)).routes(routes!(streams))
}

/// Find the ONVIF cameras of the local network
///
/// WS-Discovery: a question to everybody, an answer from each that is there. What a device says of itself is its own word.
/// Not for whoever is limited to some places: the network has no such limits.
#[utoipa::path(get, path = "/cameras/discover", tag = "cameras", security(("token" = []), ("key" = [])),
    params(DiscoverParams), responses((status = 200, body = DiscoveredView), Problems))]
async fn discover(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<DiscoverParams>,
) -> Answer<Json<DiscoveredView>> {
    caller.need(Right::CamerasWrite)?;
    caller.need_everywhere()?;
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

/// Ask a device that was found for its streams
///
/// By ONVIF. What it offers fits `settings.streams` of a new camera. That it was asked is noted in the audit log; user and
/// password are not. Not for whoever is limited to some places.
#[utoipa::path(post, path = "/cameras/discover/streams", tag = "cameras", security(("token" = []), ("key" = [])),
    request_body = DeviceAsk, responses((status = 200, body = DeviceStreams), Problems))]
async fn streams(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(ask): Body<DeviceAsk>,
) -> Answer<Json<DeviceStreams>> {
    caller.need(Right::CamerasWrite)?;
    caller.need_everywhere()?;
    let mut checks = Checks::default();
    let DeviceAsk { address, credentials } = ask;
    credentials.iter().for_each(|credentials| credentials.check(&mut checks));
    let read = Some(&address).filter(|text| text.chars().count() <= MAX_ADDRESS).and_then(|text| Url::parse(text).ok());
    match read {
        Some(url) if url.scheme() != "http" || !url.has_host() => {
            checks.add("/address", "only http can be asked, such as http://192.0.2.10/onvif/device_service");
        }
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            checks.add("/address", "user and password belong into credentials");
        }
        Some(_) => {}
        None => checks.add("/address", "is no address, such as http://192.0.2.10/onvif/device_service"),
    }
    checks.done()?;
    note(&api, &caller, "camera.streams", &address, None).await?;
    let credentials = credentials.map(|NewCredentials { username, password }| (username, password));
    Ok(Json(api.cameras.streams_of(StreamsAsk { address, credentials }).await?))
}
