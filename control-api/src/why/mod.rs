//! `/api/v1/why`: why somebody was not recorded, or why they were.

mod facts;

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{SeenAt, SessionDetail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::Params;
use crate::json::Json;
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::seconds;
use crate::state::Api;

use facts::Facts;

/// So much around a moment is looked at.
const DEFAULT_MINUTES: i64 = 10;
const MAX_MINUTES: i64 = 180;
/// A session is looked at for so long at most.
const LONGEST: TimeDelta = TimeDelta::hours(36);

/// About whom, where and when.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhyParams {
    /// Who.
    pub person_id: Uuid,
    /// In which session. Else `room_id` and `at`.
    pub session_id: Option<Uuid>,
    /// In which room.
    #[param(max_length = 200)]
    pub room_id: Option<String>,
    /// When, about.
    pub at: Option<DateTime<Utc>>,
    /// How many minutes before and after that are looked at.
    #[param(minimum = 1, maximum = 180, default = 10)]
    pub minutes: Option<i64>,
}

/// Something that explains it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// A word for programs.
    #[schema(example = "below_threshold")]
    pub code: &'static str,
    /// Plain words.
    pub text: String,
    /// What it rests on; its fields depend on the code.
    #[schema(value_type = Object)]
    pub evidence: Value,
    #[serde(skip)]
    rank: u8,
}

/// Why somebody was not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct WhyView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Where.
    pub room_id: String,
    /// What was looked at.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// The session it is about, if one was on.
    pub session_id: Option<Uuid>,
    /// What counts there for the person; null: nothing does.
    pub status: Option<String>,
    /// The answer in a sentence.
    pub verdict: String,
    /// Everything that explains it, most telling first.
    pub reasons: Vec<Reason>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(why))
}

/// Why somebody was not recorded
///
/// Give a session, or a room and a time.
#[utoipa::path(get, path = "/why", tag = "attendance", security(("token" = []), ("key" = [])), params(WhyParams),
    responses((status = 200, body = WhyView), Problems))]
async fn why(caller: Caller, State(api): State<Arc<Api>>, Params(params): Params<WhyParams>) -> Answer<Json<WhyView>> {
    // The answer names others: whoever was taken for the person, or nearly so.
    caller.need(Right::ReviewDecide)?;
    let store = &api.store;
    let person = PersonId(params.person_id);
    let Asked { room, from, to, session } = Asked::read(&api, &caller, params).await?;
    if !store.is_person_in(&caller.scope, person).await? {
        return Err(Problem::not_found("person"));
    }
    let who = store.person(person).await?.ok_or_else(|| Problem::not_found("person"))?;
    let recognition = api.daemon.recognition();
    let (events, strangers) = store.why_events(&caller.scope, &room, from, to, person).await?;
    let mut facts = Facts {
        person: person.0,
        name: &who.name,
        now: api.clock.wall(),
        from,
        to,
        session: session.as_ref(),
        expected: false,
        row: None,
        finding: None,
        correction: None,
        known: store.known(person, &recognition.model).await?,
        recognition,
        events,
        strangers,
        minutes: store.camera_minutes(&room, from, to).await?,
    };
    if let Some(session) = &session {
        facts.expected = store.is_expected(session.id, person).await?;
        facts.row = store.register_row(&caller.scope, session.id, person).await?.map(|found| found.row);
        facts.finding = store.finding(session.id, person).await?;
        facts.correction = store.corrections(session.id, person).await?.pop().filter(|last| last.kind != "restore");
    }
    let reasons = facts.reasons();
    let verdict = facts.verdict(&reasons);
    let status = facts.row.as_ref().map(|row| row.status.clone());
    Ok(Json(WhyView {
        person_id: person.0,
        session_id: session.as_ref().map(|session| session.id),
        name: who.name.clone(),
        room_id: room,
        from,
        to,
        status,
        verdict,
        reasons,
    }))
}

/// Where and when is looked.
struct Asked {
    room: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// The session that it is about, if one was on.
    session: Option<SessionDetail>,
}

impl Asked {
    async fn read(api: &Api, caller: &Caller, params: WhyParams) -> Answer<Self> {
        let wrong = |name, text: &str| Problem::invalid(vec![FieldError::query(name, text)]);
        let minutes = params.minutes.unwrap_or(DEFAULT_MINUTES);
        if !(1..=MAX_MINUTES).contains(&minutes) {
            return Err(wrong("minutes", "must be 1 to 180"));
        }
        let store = &api.store;
        match (params.session_id, params.room_id, params.at) {
            (Some(id), None, None) => {
                let session = store.session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
                let early = session.early_s.map_or(api.daemon.windows().early, |s| TimeDelta::seconds(s.into()));
                let (from, to) = (session.starts_at - early, session.ends_at.min(session.starts_at + LONGEST));
                Ok(Self { room: session.room_id.clone(), from, to, session: Some(session) })
            }
            (None, Some(room), Some(at)) => {
                if !crate::validate::is_date(at.date_naive()) {
                    return Err(wrong("at", "must lie in the years 1970 to 9998"));
                }
                let room = store.room(&caller.scope, &room).await?.ok_or_else(|| Problem::not_found("room"))?.id;
                let windows = api.daemon.windows();
                let seen = SeenAt { room: &room, at, person: PersonId(params.person_id), leaving: false };
                let session = match store.session_at(seen, seconds(windows.early), seconds(windows.leave)).await? {
                    Some(on) => store.session(&caller.scope, on.id).await?,
                    None => None,
                };
                let around = TimeDelta::minutes(minutes);
                Ok(Self { room, from: at - around, to: at + around, session })
            }
            _ => Err(wrong("session_id", "give session_id alone, or room_id and at")),
        }
    }
}
