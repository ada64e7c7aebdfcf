//! Plans and decisions in few words.

use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, TimeDelta, Weekday, WeekdaySet};
use chrono_tz::Tz;
use rollcall_attendance::{DatedSession, RoomPlan, Roster, Schedule, SessionPlan, SitePlan, WeeklyEntry};
use rollcall_pipeline::{
    CameraId, CameraTuning, Decision, Direction, Epoch, FrameTime, GalleryVersion, Grounds, LivenessVerdict, Match,
    MatchOutcome, MediaTime, MonoTime, PersonId, RoomId, SessionId, StreamKey, TimeSource, TrackId, WallTime,
};
use uuid::Uuid;

pub(crate) const BERLIN: Tz = chrono_tz::Europe::Berlin;
pub(crate) const NEW_YORK: Tz = chrono_tz::America::New_York;
pub(crate) const DEBOUNCE: Duration = Duration::from_secs(30);

pub(crate) fn person(n: u128) -> PersonId {
    PersonId(Uuid::from_u128(n))
}

pub(crate) fn people(numbers: impl IntoIterator<Item = u128>) -> Roster {
    Roster::people(numbers.into_iter().map(person))
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::new(name)
}

/// RFC 3339, such as `2026-03-02T08:00:00Z`.
pub(crate) fn utc(text: &str) -> WallTime {
    text.parse().expect("a time in RFC 3339")
}

pub(crate) fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").expect("a time such as 09:30")
}

/// A session from `start` to `end` on every day of the week.
pub(crate) fn daily(name: &str, start: &str, end: &str) -> SessionPlan {
    SessionPlan::new(name, WeekdaySet::ALL, time(start), time(end))
}

pub(crate) fn on(days: &[Weekday], mut session: SessionPlan) -> SessionPlan {
    session.days = days.iter().copied().collect();
    session
}

pub(crate) fn expecting(roster: Roster, mut session: SessionPlan) -> SessionPlan {
    session.expected = Some(roster);
    session
}

pub(crate) fn lab(sessions: Vec<SessionPlan>) -> RoomPlan {
    RoomPlan { sessions, ..RoomPlan::new(room("lab")) }
}

/// A session that is made ahead, with the default windows and for whoever the room expects.
pub(crate) fn dated(number: u128, starts_at: &str, ends_at: &str) -> DatedSession {
    let (starts_at, ends_at) = (utc(starts_at), utc(ends_at));
    DatedSession {
        id: SessionId(Uuid::from_u128(number)),
        local_date: starts_at.date_naive(),
        starts_at,
        ends_at,
        expected: None,
        early: SessionPlan::EARLY,
        grace: SessionPlan::GRACE,
        leave: SessionPlan::LEAVE,
    }
}

/// A line of a calendar.
pub(crate) fn entry(number: u128, days: &[Weekday], start: &str, end: &str) -> WeeklyEntry {
    WeeklyEntry {
        id: Uuid::from_u128(number),
        days: days.iter().copied().collect(),
        start: time(start),
        end: time(end),
        valid_from: None,
        valid_to: None,
    }
}

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date such as 2026-03-02")
}

pub(crate) fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

pub(crate) fn site(time_zone: Tz, rooms: Vec<RoomPlan>) -> SitePlan {
    SitePlan { time_zone, rooms }
}

/// A site whose one room, `lab`, has these sessions.
pub(crate) fn timetable(time_zone: Tz, sessions: Vec<SessionPlan>) -> Schedule {
    Schedule::new(&site(time_zone, vec![lab(sessions)])).expect("a plan without problems")
}

pub(crate) const LIVE: LivenessVerdict = LivenessVerdict::Live(0.9);

pub(crate) fn named(n: u128) -> MatchOutcome {
    MatchOutcome::Identified(Match { person: person(n), similarity: 0.6, margin: 0.3 })
}

/// A decision in the lab about a living person `who`, first seen a second before `at`. The fields are there to be changed;
/// media time follows captured time, so that decisions at two moments are two decisions.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: WallTime,
    pub(crate) first: WallTime,
    pub(crate) outcome: MatchOutcome,
    pub(crate) liveness: LivenessVerdict,
    pub(crate) camera: &'static str,
    pub(crate) room: &'static str,
    pub(crate) direction: Option<Direction>,
    pub(crate) track: u64,
    pub(crate) media_ms: u64,
}

pub(crate) fn seen(who: u128, at: &str) -> Seen {
    seen_at(who, utc(at))
}

pub(crate) fn seen_at(who: u128, at: WallTime) -> Seen {
    Seen {
        at,
        first: at - TimeDelta::seconds(1),
        outcome: named(who),
        liveness: LIVE,
        camera: "door-1",
        room: "lab",
        direction: None,
        track: 1,
        media_ms: at.timestamp_millis().unsigned_abs(),
    }
}

impl Seen {
    pub(crate) fn decision(self) -> Decision {
        let when = |captured, ms: u64| FrameTime {
            media: MediaTime(ms * 1_000_000),
            received: MonoTime(Duration::from_millis(ms)),
            captured,
            source: TimeSource::Ntp,
        };
        Decision {
            key: StreamKey { camera: CameraId::new(self.camera), epoch: Epoch(Uuid::from_u128(7)) },
            track: TrackId(self.track),
            first_seen: when(self.first, self.media_ms.saturating_sub(1000)),
            first_usable: when(self.first, self.media_ms.saturating_sub(1000)),
            decided: when(self.at, self.media_ms),
            tuning: Arc::new(CameraTuning {
                room: room(self.room),
                direction: self.direction,
                analysis_fps: 5.0,
                detect_size: 640,
                min_face_px: 24.0,
                still_interval_s: 0.0,
                regions_of_interest: vec![],
                privacy_masks: vec![],
            }),
            outcome: self.outcome,
            grounds: Grounds::default(),
            candidates: vec![],
            liveness: self.liveness,
            shots: 3,
            gallery: GalleryVersion(1),
            best: None,
            face: None,
        }
    }
}
