//! `/api/v1/live`: what happens, as it happens, as server-sent events or over a WebSocket. A reader that was away goes on
//! where it stopped, by the id of the last event it saw.

mod follow;
mod hub;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::stream;
use rollcall_store::{FEED_KINDS, FeedRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::Params;
use crate::json::Json;
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::secrets::{NewSecret, SecretKind};
use crate::stall::unstalled;
use crate::state::Api;
use crate::tickets;

use follow::{Follower, News};
pub use hub::Live;

/// A connection that is quiet is shown to be alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Who takes nothing for so long is not there any more.
const STALLED: Duration = Duration::from_secs(30);
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";
/// Readers send nothing that matters.
const MAX_MESSAGE: usize = 4 << 10;

/// Something that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct LiveEvent {
    /// Give it back as `Last-Event-ID` to go on after it.
    id: String,
    /// When it was written down.
    at: DateTime<Utc>,
    /// `mark`, `sighting`, `review`, `camera` or `session`; `reset` when events were missed that are not kept any more: load
    /// everything anew.
    #[schema(example = "mark")]
    kind: String,
    /// Where.
    site_id: Option<String>,
    /// Where.
    room_id: Option<String>,
    /// Whom it is about.
    person_id: Option<Uuid>,
    /// What happened; the fields depend on the kind. A `mark` whose `status` is null does not count any more.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// An event as it stands in the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Sse writes")]
struct LiveMessage {
    /// Its id.
    id: Option<String>,
    /// Its kind.
    event: Option<String>,
    /// It: a `LiveEvent` as JSON.
    #[schema(content_media_type = "application/json")]
    data: Option<String>,
}

impl LiveEvent {
    fn of(row: &FeedRow) -> Self {
        Self {
            id: row.id.to_string(),
            at: row.at,
            kind: row.kind.clone(),
            site_id: row.site.clone(),
            room_id: row.room.clone(),
            person_id: row.person,
            data: row.payload.clone(),
        }
    }

    fn reset(id: i64, at: DateTime<Utc>) -> Self {
        let data = serde_json::json!({ "reason": "events since the last one you saw are not kept any more" });
        let kind = "reset".to_owned();
        Self { id: id.to_string(), at, kind, site_id: None, room_id: None, person_id: None, data }
    }
}

/// What to follow.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LiveParams {
    /// The id of the last event that was seen; the header `Last-Event-ID` says the same. Without it, events from now on.
    #[param(max_length = 19, pattern = "^[0-9]{1,19}$")]
    last_event_id: Option<String>,
    /// Which kinds, separated by commas: `mark`, `sighting`, `review`, `camera`, `session`. Without it, all that the caller
    /// may see.
    #[param(max_length = 100)]
    kinds: Option<String>,
    /// Ends the stream after so many seconds.
    #[param(minimum = 1, maximum = 3600)]
    seconds: Option<u64>,
    /// Instead of a header, where none can be set: a ticket of `/live/ticket`.
    #[param(max_length = 200)]
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
}

/// A ticket.
#[derive(Serialize, ToSchema)]
struct TicketView {
    /// To be sent once as `?ticket=`.
    #[schema(example = "rct_…")]
    ticket: String,
    /// Seconds that it is good for.
    expires_in: i64,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(events)).routes(routes!(socket)).routes(routes!(ticket))
}

/// Get a ticket for a stream
///
/// Browsers set no headers on an `EventSource`, a `WebSocket` or an image. A ticket stands for the token or key that asks for
/// it: once, within 30 seconds, as `?ticket=` of `/live`, `/live/ws` or the preview of a camera. The stream ends when the token
/// or key does. Who reconnects asks for another one.
#[utoipa::path(post, path = "/live/ticket", tag = "live", security(("token" = []), ("key" = [])),
    responses((status = 200, body = TicketView), Problems))]
async fn ticket(caller: Caller, State(api): State<Arc<Api>>, headers: HeaderMap) -> Answer<Json<TicketView>> {
    if ![Right::LiveRead, Right::AttendanceRead, Right::CamerasRead].into_iter().any(|right| caller.may(right)) {
        caller.need(Right::LiveRead)?;
    }
    let sent = tickets::credentials(&headers).ok_or_else(|| Problem::internal("a caller without credentials"))?;
    let ticket = NewSecret::random(SecretKind::Ticket)?;
    api.access.tickets.add(&ticket, sent, api.clock.wall())?;
    Ok(Json(TicketView { ticket: ticket.told().to_owned(), expires_in: tickets::GOOD_FOR.num_seconds() }))
}

async fn follower(caller: Caller, api: &Arc<Api>, params: LiveParams, request: Request) -> Answer<Follower> {
    let mut wrong = Vec::new();
    let header = request.headers().get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?").to_owned());
    let id = params.last_event_id.or(header.filter(|id| !id.is_empty()));
    let after = id.and_then(|id| {
        let read = id.bytes().all(|b| b.is_ascii_digit()).then(|| id.parse::<i64>().ok()).flatten();
        if read.is_none() {
            wrong.push(FieldError::query("last_event_id", "not the id of an event: take it as it was told"));
        }
        read
    });
    let kinds: Vec<&'static str> = match &params.kinds {
        None => FEED_KINDS.to_vec(),
        Some(list) => {
            let named = list.split(',').map(str::trim);
            let known = |name: &str| FEED_KINDS.into_iter().find(|kind| *kind == name);
            let found: Option<Vec<_>> = named.map(known).collect();
            found.unwrap_or_else(|| {
                wrong.push(FieldError::query("kinds", format!("must be some of {}", FEED_KINDS.join(", "))));
                Vec::new()
            })
        }
    };
    if params.seconds.is_some_and(|seconds| !(1..=3_600).contains(&seconds)) {
        wrong.push(FieldError::query("seconds", "must be 1 to 3600"));
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let parts = request.into_parts().0;
    Follower::begin(caller, Arc::clone(api), parts, after, kinds, params.seconds.map(Duration::from_secs)).await
}

/// Follow what happens, as server-sent events
///
/// The stream goes on until the caller leaves, the token ends, or the daemon does. A comment comes every 15 seconds. After a
/// break, reconnect with the id of the last event: nothing is missed and nothing comes twice.
#[utoipa::path(get, path = "/live", tag = "live", security(("token" = []), ("key" = [])),
    params(LiveParams,
        ("Last-Event-ID" = Option<String>, Header, max_length = 40, description = "As `last_event_id`; browsers send it by themselves")),
    responses((status = 200, content_type = "text/event-stream", body = LiveMessage,
        description = "Events; `data` of each is one JSON object"), Problems))]
async fn events(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<LiveParams>,
    request: Request,
) -> Answer<Response> {
    let follower = follower(caller, &api, params, request).await?;
    let events = stream::unfold(follower, |mut follower| async move {
        let event = match follower.next().await {
            News::Event(event) => event,
            News::End(_) => return None,
        };
        let json = serde_json::to_string(&event).unwrap_or_default();
        Some((Ok::<_, Infallible>(Event::default().id(event.id).event(event.kind).data(json)), follower))
    });
    let mut headers = HeaderMap::new();
    // Proxies that collect answers would make it anything but live.
    headers.insert(HeaderName::from_static("x-accel-buffering"), axum::http::HeaderValue::from_static("no"));
    // Also who reads no more is asked for their token again, and loses their seat with it.
    let events = unstalled(events, STALLED);
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))).into_response())
}

/// Follow what happens, over a WebSocket
///
/// Every message is the JSON object that `/live` sends as `data`. The socket is closed with 1008 when the token ends, and
/// with 1001 when the daemon does.
#[utoipa::path(get, path = "/live/ws", tag = "live", security(("token" = []), ("key" = [])),
    params(LiveParams),
    responses((status = 101, description = "The socket is open", content_type = "application/json", body = LiveEvent),
        (status = 426, description = "No WebSocket handshake", content_type = "application/problem+json", body = Problem,
            headers(("Upgrade" = String, description = "What is spoken here: websocket"))),
        Problems))]
async fn socket(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<LiveParams>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Answer<Response> {
    let follower = follower(caller, &api, params, request).await?;
    let upgrade = upgrade.map_err(|rejection| Problem::no_handshake(rejection.body_text()))?;
    Ok(upgrade.max_message_size(MAX_MESSAGE).on_upgrade(|socket| tell(socket, follower)).into_response())
}

async fn tell(mut socket: WebSocket, mut follower: Follower) {
    use axum::extract::ws::{CloseFrame, close_code};
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.reset();
    loop {
        let sent = tokio::select! {
            news = follower.next() => match news {
                News::Event(event) => {
                    let json = serde_json::to_string(&event).unwrap_or_default();
                    tokio::time::timeout(STALLED, socket.send(Message::Text(json.into()))).await
                }
                News::End(why) => {
                    let code = if why.is_refusal() { close_code::POLICY } else { close_code::AWAY };
                    let close = CloseFrame { code, reason: why.as_str().into() };
                    // It ends either way.
                    drop(tokio::time::timeout(HEARTBEAT, socket.send(Message::Close(Some(close)))).await);
                    return;
                }
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            _ = beat.tick() => tokio::time::timeout(STALLED, socket.send(Message::Ping(Vec::new().into()))).await,
        };
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}
