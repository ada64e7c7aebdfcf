//! `/api/v1/attendance/mark`: check in with a picture or a short clip instead of before a camera.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_pipeline::{RoomId, SessionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::json::Json;
use crate::ports::faces::{CheckIn, CheckInOutcome, CheckedIn, LivenessView, MAX_PICTURE_BYTES, Shown};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::upload::{self, Upload, UploadLimits};

/// Frames of one moment, at most.
const MAX_FRAMES: usize = 8;
/// A picture may have been taken so long ago, or a clock be so wrong.
const MAX_AGE: TimeDelta = TimeDelta::minutes(5);
/// Bytes of a body.
pub(crate) const MAX_BODY: usize = UploadLimits::body(2 * MAX_PICTURE_BYTES);
const LIMITS: UploadLimits = UploadLimits::new(&["image", "video"], MAX_FRAMES, MAX_PICTURE_BYTES);

/// Who wants to be marked, and where.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct CheckInForm {
    /// Up to 8 frames of one moment (in a form the field several times): JPEG, PNG, WebP, GIF or BMP of at most 20 MB each and
    /// 40 MB in all; in JSON in Base64. Either this or `video`.
    #[schema(value_type = Option<Vec<String>>, content_media_type = "image/*", min_items = 1, max_items = 8)]
    image: Option<Vec<Vec<u8>>>,
    /// MP4, MOV or WebM of at most 20 MB and 10 seconds.
    #[schema(value_type = Option<String>, format = Binary)]
    video: Option<Vec<u8>>,
    /// In which session. Either this or `room_id`.
    session_id: Option<Uuid>,
    /// In which room, whatever is on there.
    #[schema(max_length = 40)]
    room_id: Option<String>,
    /// When it was taken, within five minutes of now; without it, now.
    captured_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckInOptions {
    session_id: Option<Uuid>,
    room_id: Option<String>,
    captured_at: Option<DateTime<Utc>>,
}

/// What came of a check-in.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CheckInView {
    /// `recorded`: marked. `already_marked`: marked before, see `first_seen_at`. `review`, `spoof`: a human decides, see
    /// `/review`. `unknown`: nobody who is enrolled.
    outcome: CheckInOutcome,
    /// The event; where a human decides, the review item.
    event_id: Uuid,
    /// Who is marked.
    person_id: Option<Uuid>,
    /// Their name.
    name: Option<String>,
    /// In which session.
    session_id: Option<Uuid>,
    /// `present`, `late`, `off_roster` or `off_schedule`.
    status: Option<String>,
    /// When they were first seen in that session.
    first_seen_at: Option<DateTime<Utc>>,
    /// Whether the face is alive.
    liveness: LivenessView,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(mark)).layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Check in by picture
///
/// By the rules of a camera at the door, and more: whoever sends a picture chooses it. So, unless `[check_in]` of the
/// configuration says otherwise, two views must agree, and nobody is marked of whom it is not known that they are alive; what
/// falls short goes to review. One picture is one view. A clip of two seconds or more is as good as a camera. The same file sent
/// twice is one event.
#[utoipa::path(post, path = "/attendance/mark", tag = "attendance", security(("token" = []), ("key" = [])),
    request_body(content((CheckInForm = "multipart/form-data"), (CheckInForm = "application/json"))),
    responses((status = 201, description = "Marked", body = CheckInView),
        (status = 200, description = "Not marked, or marked before", body = CheckInView), Problems))]
async fn mark(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Response> {
    caller.need(Right::AttendanceMark)?;
    let Upload { files, options, held: _held } = upload::read::<CheckInOptions>(&api, request, LIMITS).await?;
    let mut wrong = Vec::new();
    let now = api.clock.wall();
    let at = options.captured_at.unwrap_or(now);
    if (at - now).abs() > MAX_AGE {
        wrong.push(FieldError::body("/captured_at", "must be within five minutes of now"));
    }
    let (clips, pictures): (Vec<_>, Vec<_>) = files.into_iter().partition(|(field, _)| *field == "video");
    let bytes = |files: Vec<(&'static str, Vec<u8>)>| files.into_iter().map(|(_, bytes)| bytes);
    let shown = match (pictures.len(), clips.len()) {
        (1.., 0) => Some(Shown::Pictures(bytes(pictures).collect())),
        (0, 1) => bytes(clips).next().map(Shown::Clip),
        _ => None,
    };
    if shown.is_none() {
        wrong.push(FieldError::body("/image", format!("send 1 to {MAX_FRAMES} pictures, or one video")));
    }
    if options.session_id.is_some() == options.room_id.is_some() {
        wrong.push(FieldError::body("/session_id", "give either session_id or room_id"));
    }
    let Some(shown) = shown.filter(|_| wrong.is_empty()) else { return Err(Problem::invalid(wrong)) };
    let (room, session) = match (options.session_id, options.room_id) {
        (Some(id), _) => {
            let session = api.store.session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
            if session.closed_at.is_some() || matches!(session.state.as_str(), "closed" | "cancelled") {
                return Err(Problem::conflict("the session is closed or cancelled: correct its register instead"));
            }
            (session.room_id, Some(SessionId(id)))
        }
        (None, room) => {
            let room = room.filter(|id| crate::validate::is_slug(id));
            let room = match room {
                Some(id) => api.store.room(&caller.scope, &id).await?,
                None => None,
            };
            (room.ok_or_else(|| Problem::not_found("room"))?.id, None)
        }
    };
    let ask = CheckIn { shown, by: caller.actor(), room: RoomId::new(room), session, at };
    let done = api.faces.check_in(ask).await?;
    let made = done.session.zip(done.person).filter(|_| done.outcome == CheckInOutcome::Recorded);
    let view = Json(view(&api, done).await?);
    Ok(match made {
        Some((session, person)) => {
            let place = format!("/api/v1/sessions/{}/people/{}", session.0, person.0);
            (StatusCode::CREATED, [(header::LOCATION, place)], view).into_response()
        }
        None => view.into_response(),
    })
}

async fn view(api: &Api, done: CheckedIn) -> Answer<CheckInView> {
    let person_id = done.person.map(|person| person.0);
    let name = match person_id {
        Some(person) => api.store.names_of(&[person]).await?.remove(&person),
        None => None,
    };
    Ok(CheckInView {
        outcome: done.outcome,
        event_id: done.event,
        person_id,
        name,
        session_id: done.session.map(|session| session.0),
        status: done.status,
        first_seen_at: done.first_seen,
        liveness: done.liveness,
    })
}
