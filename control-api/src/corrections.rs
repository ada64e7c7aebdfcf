//! Corrections of the register: what people decide stands beside what cameras saw, and over it, but never in its place.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Correction, FindingRow, NewCorrection as Wanted, OriginalMark, SessionDetail, Standing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::attendance::AttendanceView;
use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, PathOf, Versioned};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::sessions::SessionView;
use crate::state::Api;
use crate::validate::Checks;

/// How long before a session somebody may be marked by hand: as long as the longest early window.
const BEFORE: TimeDelta = TimeDelta::hours(12);
/// Longest reason.
const MAX_REASON: usize = 1_000;

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CorrectionKind {
    /// Need not have been there: counts for nothing.
    Excuse,
    /// Was there in time. Also for somebody who was not expected: from then on it counts.
    Present,
    /// Was there, late.
    Late,
    /// Was not there.
    Absent,
    /// Nothing counts, whatever was seen.
    Void,
    /// As if never corrected: what cameras and closing say counts again.
    Restore,
}

impl CorrectionKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Excuse => "excuse",
            Self::Present => "present",
            Self::Late => "late",
            Self::Absent => "absent",
            Self::Void => "void",
            Self::Restore => "restore",
        }
    }

    /// Why it makes no sense here.
    fn refusal(self, session: &SessionDetail, standing: &Standing, now: DateTime<Utc>) -> Option<&'static str> {
        let corrected = standing.corrected.as_deref();
        if session.state == "cancelled" {
            return Some("the session was cancelled: nothing counts in it");
        }
        if self != Self::Restore && corrected == Some(self.as_str()) {
            return Some("that is what the last correction says already");
        }
        match self {
            Self::Restore if corrected.is_none_or(|kind| kind == "restore") => {
                Some("there is no correction in force that could be taken back")
            }
            Self::Void if standing.status.is_none() => Some("there is nothing to void: no row counts for this person"),
            Self::Excuse | Self::Absent if !standing.expected && standing.status.is_none() => {
                Some("nobody expects this person in this session, and they were not seen in it")
            }
            Self::Absent | Self::Late if now < session.starts_at => Some("the session has not begun"),
            Self::Present if now < session.starts_at - BEFORE => Some("the session does not begin for a while"),
            _ => None,
        }
    }
}

/// A new correction.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCorrection {
    /// In which session.
    pub session_id: Uuid,
    /// Whose.
    pub person_id: Uuid,
    /// What is decided.
    pub kind: CorrectionKind,
    /// Why; it stays beside the decision.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}

/// A correction.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CorrectionView {
    /// Id.
    pub id: Uuid,
    /// `excuse`, `present`, `late`, `absent`, `void` or `restore`; of a review also `off_roster` or `off_schedule`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// What counted before; null: nothing did.
    pub status_before: Option<String>,
    /// Account or key of whoever decided; null: the system.
    pub by_id: Option<Uuid>,
    /// Their name at that time.
    pub by_name: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The review item that it settles.
    pub review_event_id: Option<Uuid>,
}

impl From<Correction> for CorrectionView {
    fn from(row: Correction) -> Self {
        let Correction { id, kind, reason, status_before, by_id, by_name, at, review_event_id, .. } = row;
        Self { id, kind, reason, status_before, by_id, by_name, at, review_event_id }
    }
}

/// What a camera saw. It is never changed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct MarkView {
    /// `present`, `late`, `off_roster` or `off_schedule`.
    pub status: String,
    /// When the deciding picture was taken.
    pub captured_at: DateTime<Utc>,
    /// How well that is known.
    pub time_source: String,
    /// When the row was written.
    pub recorded_at: DateTime<Utc>,
    /// The event.
    pub event_id: Uuid,
    /// The camera.
    pub camera: String,
    /// `entry` or `exit`.
    pub direction: Option<String>,
    /// Similarity to the best template.
    pub similarity: f32,
    /// Distance to the second-best person.
    pub margin: f32,
    /// Shots that it rests on.
    pub shots: i32,
    /// `live`, `spoof` or `undecided`.
    pub liveness: String,
    /// Mean score.
    pub liveness_score: Option<f32>,
    /// How often the person was seen in the session.
    pub sightings: i32,
    /// First time.
    pub first_seen_at: DateTime<Utc>,
    /// Last time.
    pub last_seen_at: DateTime<Utc>,
    /// Last time at an exit.
    pub last_exit_at: Option<DateTime<Utc>>,
}

impl From<OriginalMark> for MarkView {
    fn from(row: OriginalMark) -> Self {
        Self {
            status: row.status,
            captured_at: row.captured_at,
            time_source: row.time_source,
            recorded_at: row.recorded_at,
            event_id: row.event_id,
            camera: row.camera,
            direction: row.direction,
            similarity: row.similarity,
            margin: row.margin,
            shots: row.shots,
            liveness: row.liveness,
            liveness_score: row.liveness_score,
            sightings: row.sightings,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            last_exit_at: row.last_exit_at,
        }
    }
}

/// What closing the session found.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FindingView {
    /// `absent`, or `attended` with something to remark.
    pub verdict: String,
    /// `not_seen`, `too_late`, `too_short` or `left_early`.
    pub reason: String,
    /// How long they were there, as far as it is known.
    pub minutes_present: Option<f32>,
    /// When the session was closed.
    pub found_at: DateTime<Utc>,
}

impl From<FindingRow> for FindingView {
    fn from(row: FindingRow) -> Self {
        let FindingRow { verdict, reason, minutes_present, found_at } = row;
        Self { verdict, reason, minutes_present, found_at }
    }
}

/// Everything that is known of a person in a session: what counts, and all that it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct RecordView {
    /// The session.
    pub session: SessionView,
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Whether they are expected.
    pub expected: bool,
    /// What counts; null: nothing does.
    pub now: Option<AttendanceView>,
    /// What a camera saw.
    pub mark: Option<MarkView>,
    /// What closing the session found.
    pub finding: Option<FindingView>,
    /// What people decided, oldest first.
    pub corrections: Vec<CorrectionView>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(correct)).routes(routes!(record))
}

/// Correct the register: excuse, mark by hand, void, take back
///
/// If-Match is the version of the row, as `/attendance` and `/sessions/{session}/people/{person}` tell it; `"0"` where
/// there is no row; `*` for whatever is there.
#[utoipa::path(post, path = "/attendance/corrections", tag = "attendance", security(("token" = []), ("key" = [])),
    params(("If-Match" = String, Header, description = "Version of the row that was read, \"0\" if there was none, or *")),
    request_body = NewCorrection, responses((status = 201, body = RecordView), Problems))]
async fn correct(
    caller: Caller,
    State(api): State<Arc<Api>>,
    if_match: IfMatch,
    Body(new): Body<NewCorrection>,
) -> Answer<Created<RecordView>> {
    caller.need(Right::AttendanceCorrect)?;
    let mut checks = Checks::default();
    checks.line("/reason", &new.reason, MAX_REASON);
    checks.done()?;
    let person = PersonId(new.person_id);
    let known = api.store.is_person_in(&caller.scope, person).await?;
    let mut change = api.store.change(caller.actor()).await?;
    // Nobody cancels it between this and the correction.
    let session = change.lock_session(&caller.scope, new.session_id).await?;
    let session = session.ok_or_else(|| Problem::not_found("session"))?;
    let standing = change.lock_standing(session.id, person).await?.ok_or_else(|| Problem::not_found("person"))?;
    // Whoever sees some places only learns nothing of people elsewhere.
    if !standing.expected && standing.status.is_none() && !known {
        return Err(Problem::not_found("person"));
    }
    if_match.check(standing.version)?;
    if let Some(refusal) = new.kind.refusal(&session, &standing, api.clock.wall()) {
        return Err(Problem::conflict(refusal));
    }
    let wanted = Wanted { session: session.id, person, kind: new.kind.as_str(), reason: &new.reason, review: None };
    let (_, now) = change.correct(&standing, &wanted).await?;
    change.commit().await?;
    let location = format!("/api/v1/sessions/{}/people/{}", session.id, person);
    let (_, body) = read(&api, &caller, session, person).await?;
    Ok(Created { location, version: Some(now.version), body })
}

/// Everything about one person in one session: original, finding, corrections, who and why
#[utoipa::path(get, path = "/sessions/{session}/people/{person}", tag = "attendance", security(("token" = []), ("key" = [])),
    params(("session" = Uuid, Path, description = "The session"), ("person" = Uuid, Path, description = "The person")),
    responses((status = 200, body = RecordView,
        headers(("ETag" = String, description = "Version of the row, for If-Match of a correction"))), Problems))]
async fn record(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((session, person)): PathOf<(Uuid, Uuid)>,
) -> Answer<Versioned<RecordView>> {
    caller.need(Right::AttendanceRead)?;
    let person = PersonId(person);
    let session = api.store.session_of(&caller.scope, session, person).await?;
    let session = session.ok_or_else(|| Problem::not_found("session"))?;
    let (version, view) = read(&api, &caller, session, person).await?;
    Ok(Versioned(version, view))
}

async fn read(api: &Api, caller: &Caller, session: SessionDetail, person: PersonId) -> Answer<(i64, RecordView)> {
    let store = &api.store;
    let expected = store.is_expected(session.id, person).await?;
    let now = store.register_row(&caller.scope, session.id, person).await?;
    let corrections = store.corrections(session.id, person).await?;
    if !expected && now.is_none() && corrections.is_empty() && !store.is_person_in(&caller.scope, person).await? {
        return Err(Problem::not_found("person"));
    }
    let who = store.person(person).await?.ok_or_else(|| Problem::not_found("person"))?;
    let mark = store.original_mark(session.id, person).await?.map(MarkView::from);
    let finding = store.finding(session.id, person).await?.map(FindingView::from);
    let version = now.as_ref().map_or(0, |now| now.row.version);
    let view = RecordView {
        session: SessionView::of(session, api.clock.wall()),
        person_id: person.0,
        name: who.name,
        expected,
        now: now.map(AttendanceView::from),
        mark,
        finding,
        corrections: corrections.into_iter().map(CorrectionView::from).collect(),
    };
    Ok((version, view))
}
