//! Closing sessions: how far the cameras have delivered, and the absences that follow from that once a session is over.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use parking_lot::Mutex;
use rollcall_attendance::{
    CameraProgress, Closing, CourseRules, Judged, MinPresence, Roster, SHORT_GAP, Sightings, ToClose, Watched,
    arrivals, close, judge_presence,
};
use rollcall_pipeline::config::AttendanceConfig;
use rollcall_pipeline::lane::{Lane, LaneState};
use rollcall_pipeline::{CameraId, Clock, PersonId, WallTime};
use rollcall_sinks::SinkMonitor;
use rollcall_stages::decode::{CameraSnapshot, CameraState};
use rollcall_store::{CameraWatch, Delivery, EndedSession, Finding, Seen, Store, StoreError};
use serde_json::{Value, json};

use super::cameras::Cameras;
use super::people::People;
use super::watches::Watches;

const TICK: Duration = Duration::from_secs(2);
/// From a camera's picture to its row: what is in the lane, waits for liveness, or is being written. What takes longer is
/// in the spool, and a mark that comes later still wins over the absence.
const LAG: TimeDelta = TimeDelta::seconds(5);
/// Sessions that are looked at in one go.
const MOST: u32 = 10_000;
/// Closed sessions are judged anew for late marks so often.
const LATE_MARKS_EVERY: TimeDelta = TimeDelta::seconds(30);
const LATE_MARKS_BACK: TimeDelta = TimeDelta::days(2);
/// The database has a clock of its own, by which rows are stamped.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);
/// From when one may come to the end of a session, at most.
const LONGEST: TimeDelta = TimeDelta::days(8);

/// What it takes to close sessions.
pub(super) struct Closer {
    pub(super) store: Store,
    pub(super) people: Arc<People>,
    pub(super) cameras: Arc<Mutex<Cameras>>,
    pub(super) lane: Arc<Lane>,
    pub(super) sink: SinkMonitor,
    pub(super) clock: Arc<dyn Clock>,
}

impl Closer {
    /// Closes what is over; for ever. The database may be away: then nothing is closed.
    pub(super) async fn run(self: Arc<Self>) {
        self.people.until_loaded().await;
        let (mut told, mut watches) = (HashSet::new(), Watches::default());
        let mut late_since = self.clock.wall() - LATE_MARKS_BACK;
        loop {
            let now = self.clock.wall();
            let rules = self.people.config().attendance.clone();
            let done = async {
                self.tell_deliveries(&mut told, &mut watches, &rules, now).await?;
                let closed = self.close_ended(&rules, now).await;
                if now - late_since >= LATE_MARKS_EVERY {
                    self.judge_late_marks(late_since, &rules, now).await?;
                    late_since = now;
                }
                closed
            };
            if let Err(error) = done.await
                && self.people.trouble().is_none()
            {
                tracing::warn!(%error, "sessions were not closed; trying on");
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Writes how far the cameras of this daemon have got, and what they watched.
    async fn tell_deliveries(
        &self,
        told: &mut HashSet<String>,
        watches: &mut Watches,
        rules: &AttendanceConfig,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let sink = self.sink.status();
        let trouble = match (self.lane.state(), sink.full) {
            (LaneState::Running, false) => None,
            (LaneState::Running, true) => Some("events can be written neither to the database nor to disk"),
            _ => Some("the analysis is being restarted"),
        };
        // Without their number: each session that waits for them would be written again with each of them.
        let all = trouble.or((sink.spooled > 0).then_some("events wait to be written")).map(str::to_owned);
        let (snapshots, refused) = {
            let cameras = self.cameras.lock();
            (cameras.snapshots(), cameras.refused().to_vec())
        };
        let mono = self.clock.mono();
        watches.look(&snapshots, trouble, (now, mono));
        if all.is_none() {
            watches.is_written(now - LAG);
        }
        let mut deliveries: Vec<Delivery> = snapshots
            .iter()
            .map(|(config, camera)| {
                let offline = all.clone().or_else(|| offline(camera));
                let age = camera.frame_age(mono).and_then(|age| TimeDelta::from_std(age).ok()).unwrap_or_default();
                let behind = if camera.state == CameraState::Live { age.max(LAG) } else { LAG };
                Delivery {
                    camera_id: config.id.to_string(),
                    room_id: config.tuning.room.to_string(),
                    delivered_until: offline.is_none().then(|| now - behind),
                    offline_since: offline.is_some().then_some(now),
                    offline_reason: offline,
                    updated_at: now,
                }
            })
            .collect();
        deliveries.extend(refused.into_iter().map(|camera| Delivery {
            camera_id: camera.id.to_string(),
            room_id: camera.room.to_string(),
            delivered_until: None,
            offline_since: Some(now),
            offline_reason: Some(format!("not opened: {}", camera.why)),
            updated_at: now,
        }));
        self.store.put_watches(&watches.rows()).await?;
        watches.forget_written();
        self.store.put_deliveries(&deliveries).await?;
        let here: HashSet<String> = deliveries.into_iter().map(|d| d.camera_id).collect();
        let gone: Vec<String> = told.difference(&here).cloned().collect();
        // Of a camera that no daemon runs nothing more is to be expected; what it watched is known.
        self.store.forget_deliveries(&gone, now - wait(rules)).await?;
        self.store.forget_watches(now - wait(rules) - LONGEST).await?;
        *told = here;
        Ok(())
    }

    async fn close_ended(&self, rules: &AttendanceConfig, now: WallTime) -> Result<(), StoreError> {
        let leave = i32::try_from(rules.leave.as_secs()).unwrap_or(i32::MAX);
        let ended = self.store.ended_sessions(now, leave, MOST).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let mut cameras: HashMap<String, OfRoom> = HashMap::new();
        for delivery in self.store.deliveries().await? {
            cameras.entry(delivery.room_id.clone()).or_default().deliveries.push(delivery);
        }
        let earliest = ended.iter().map(|session| may_come(session, rules).start).min().unwrap_or(now);
        let rooms: HashSet<String> = ended.iter().map(|session| session.room_id.clone()).collect();
        let rooms: Vec<String> = rooms.into_iter().collect();
        for watch in self.store.watches(&rooms, earliest - SHORT_GAP).await? {
            cameras.entry(watch.room_id.clone()).or_default().watches.push(watch);
        }
        let nothing = OfRoom::default();
        let mut failure = None;
        for session in ended {
            let of_room = cameras.get(&session.room_id).unwrap_or(&nothing);
            let done = self.close_or_wait(&session, of_room, rules, now).await;
            // One that cannot be closed does not hold up the others.
            failure = done.err().or(failure);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn close_or_wait(
        &self,
        session: &EndedSession,
        of_room: &OfRoom,
        rules: &AttendanceConfig,
        now: WallTime,
    ) -> Result<(), StoreError> {
        match waits_for(session, of_room, rules, now) {
            Some(waits_for) if session.released_at.is_none() && now < until(session, rules) + wait(rules) => {
                if session.waits_for.as_ref() != Some(&waits_for) {
                    self.store.set_waits_for(session.id, &waits_for).await?;
                }
                Ok(())
            }
            given_up => self.settle(session, rules, given_up.as_ref(), now).await,
        }
    }

    /// Judges closed sessions anew into which marks came.
    async fn judge_late_marks(
        &self,
        since: WallTime,
        rules: &AttendanceConfig,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let mut failure = None;
        for session in self.store.sessions_with_late_marks(since - CLOCKS_APART).await? {
            let done = self.settle(&session, rules, session.waits_for.as_ref(), now).await;
            failure = done.err().or(failure);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn settle(
        &self,
        session: &EndedSession,
        config: &AttendanceConfig,
        waits_for: Option<&Value>,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let Some(settling) = self.store.settling(session.id, &session.state).await? else { return Ok(()) };
        let rules = course_rules(session, config);
        let held = session.starts_at..ended_at(session);
        let settled: HashSet<PersonId> = settling.seen.iter().map(|s| PersonId(s.person_id)).collect();
        let roster = Roster::people(settling.expected.iter().copied());
        let close = close(&ToClose {
            held: &held,
            leave: rules.leave,
            arrivals: &arrivals(&held, &rules),
            roster: &roster,
            settled: &settled,
            // Waited for already.
            cameras: &[],
            now,
        });
        let Closing::Write(absent) = close else { return Ok(()) };
        let expected = settling.seen.iter().filter(|seen| roster.expects(PersonId(seen.person_id)));
        let found = expected.filter_map(|seen| finding(seen, &held, &rules));
        let findings: Vec<Finding> = absent.into_iter().map(not_seen).chain(found).collect();
        let absent = findings.iter().filter(|f| f.absent).count();
        settling.settle(&findings, waits_for).await?;
        tracing::info!(session = %session.id, room = session.room_id, absent, "closed a session");
        Ok(())
    }
}

fn not_seen(person: PersonId) -> Finding {
    Finding { person, absent: true, reason: "not_seen", minutes_present: None }
}

/// What is to be said of somebody who was seen, if anything is.
fn finding(seen: &Seen, held: &Range<WallTime>, rules: &CourseRules) -> Option<Finding> {
    if !matches!(seen.status.as_str(), "present" | "late") {
        return None;
    }
    let sightings = Sightings { first: seen.first_seen_at, last: seen.last_seen_at, last_exit: seen.last_exit_at };
    let presence = judge_presence(held, rules, &sightings);
    let (absent, reason) = match presence.status {
        Judged::Absent(reason) => (true, reason.as_str()),
        Judged::Present | Judged::Late if presence.left_early => (false, "left_early"),
        Judged::Present | Judged::Late => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "minutes of a session")]
    let minutes_present = presence.minutes_present().map(|minutes| minutes as f32);
    Some(Finding { person: PersonId(seen.person_id), absent, reason, minutes_present })
}

/// Why a camera delivers nothing; `None` if it does, or if nothing more is to be expected of it.
fn offline(camera: &CameraSnapshot) -> Option<String> {
    match camera.state {
        CameraState::Ended => None,
        CameraState::Live if camera.last_frame.is_some() => None,
        state => Some(camera.complaint().map_or_else(|| state.as_str().to_owned(), str::to_owned)),
    }
}

fn wait(rules: &AttendanceConfig) -> TimeDelta {
    TimeDelta::from_std(rules.absences_wait).unwrap_or(TimeDelta::days(1))
}

fn ended_at(session: &EndedSession) -> WallTime {
    session.closed_at.map_or(session.ends_at, |at| at.min(session.ends_at))
}

/// The end of the leave window.
fn until(session: &EndedSession, config: &AttendanceConfig) -> WallTime {
    ended_at(session) + TimeDelta::from_std(course_rules(session, config).leave).unwrap_or_default()
}

/// When one could come to a session: from when it was opened by hand, if that was earlier; not before it was known of.
fn may_come(session: &EndedSession, config: &AttendanceConfig) -> Range<WallTime> {
    let held = session.starts_at..ended_at(session);
    let time = arrivals(&held, &course_rules(session, config));
    let from = session.opened_at.map_or(time.start, |opened| time.start.min(opened));
    session.known_since.map_or(from, |known| known.max(from))..time.end
}

/// The cameras of a room: how far they have got, and what they watched.
#[derive(Debug, Default)]
struct OfRoom {
    deliveries: Vec<Delivery>,
    watches: Vec<CameraWatch>,
}

impl OfRoom {
    /// Those that are on, and those that were while one could come, or until just before: somebody may have switched them off.
    fn progress(&self, may_come: &Range<WallTime>, now: WallTime) -> Vec<CameraProgress> {
        let of = |id: &str| {
            let of_camera = self.watches.iter().filter(|watch| watch.camera_id == id);
            of_camera
                .map(|watch| Watched { time: watch.since..watch.until, away_for: watch.away_for.clone() })
                .collect()
        };
        let on = self.deliveries.iter().map(|camera| CameraProgress {
            camera: CameraId::new(camera.camera_id.as_str()),
            delivered_until: camera.delivered_until,
            offline_since: camera.offline_since,
            watched: of(&camera.camera_id),
        });
        let were = self.watches.iter().filter(|w| w.since < may_come.end && w.until > may_come.start - SHORT_GAP);
        let gone: BTreeSet<&str> = were
            .map(|watch| watch.camera_id.as_str())
            .filter(|id| self.deliveries.iter().all(|camera| camera.camera_id != *id))
            .collect();
        let gone = gone.into_iter().map(|id| CameraProgress {
            camera: CameraId::new(id),
            delivered_until: Some(now),
            offline_since: None,
            watched: of(id),
        });
        on.chain(gone).collect()
    }
}

/// The cameras whose pictures are not known up to the end of a session, or that missed some of it, as the API shows them.
fn waits_for(session: &EndedSession, cameras: &OfRoom, config: &AttendanceConfig, now: WallTime) -> Option<Value> {
    let zone: Tz = session.time_zone.parse().unwrap_or_default();
    let (held, may_come) = (session.starts_at..ended_at(session), may_come(session, config));
    let cameras_only = ToClose {
        held: &held,
        leave: course_rules(session, config).leave,
        arrivals: &may_come,
        roster: &Roster::people([]),
        settled: &HashSet::new(),
        cameras: &cameras.progress(&may_come, now),
        now,
    };
    let Closing::Wait { cameras: behind, .. } = close(&cameras_only) else { return None };
    let lines = behind.iter().map(|behind| {
        let delivery = cameras.deliveries.iter().find(|camera| camera.camera_id == behind.camera.as_str());
        let (from, to) = behind.reason.unknown();
        // What is missed says why by itself.
        let why = delivery.and_then(|camera| camera.offline_reason.as_ref()).filter(|_| to.is_none());
        let words = behind.reason.words(zone);
        let reason = why.map_or_else(|| words.clone(), |why| format!("{words} ({why})"));
        json!({ "camera": behind.camera.as_str(), "reason": reason, "from": from, "to": to })
    });
    Some(Value::Array(lines.collect()))
}

fn course_rules(session: &EndedSession, config: &AttendanceConfig) -> CourseRules {
    let seconds = |value: i32| Duration::from_secs(value.unsigned_abs().into());
    let grace = session.grace_s.map_or(config.grace, seconds);
    CourseRules {
        early: session.early_s.map_or(config.early, seconds),
        grace,
        leave: session.leave_s.map_or(config.leave, seconds),
        early_exit: session.early_exit_s.map(seconds),
        min_presence: session.min_presence_percent.and_then(|p| u8::try_from(p).ok()).map(MinPresence::Percent),
        // Less is refused of a course, but a session may have a grace time of its own, and the configuration another by now.
        absent_after: session.absent_after_s.map(|after| seconds(after).max(grace)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_is_not_late_is_not_absent_for_having_come_too_late() {
        let at = |minute| Utc.with_ymd_and_hms(2026, 3, 2, 8, minute, 0).unwrap();
        let config = AttendanceConfig {
            debounce: Duration::ZERO,
            early: Duration::ZERO,
            grace: Duration::from_secs(300),
            leave: Duration::ZERO,
            absences_wait: Duration::ZERO,
        };
        let session = |grace_s| EndedSession {
            id: Uuid::nil(),
            room_id: "r".to_owned(),
            time_zone: "UTC".to_owned(),
            starts_at: at(0),
            ends_at: at(50),
            opened_at: None,
            closed_at: None,
            released_at: None,
            known_since: None,
            state: "planned".to_owned(),
            waits_for: None,
            early_s: None,
            grace_s,
            leave_s: None,
            early_exit_s: None,
            min_presence_percent: None,
            absent_after_s: Some(60),
        };
        let seen = |minute| Seen {
            person_id: Uuid::nil(),
            status: "present".to_owned(),
            first_seen_at: at(minute),
            last_seen_at: at(40),
            last_exit_at: None,
        };
        for (grace_s, last_in_time) in [(None, 5), (Some(600), 10), (Some(0), 1)] {
            let rules = course_rules(&session(grace_s), &config);
            assert!(rules.problems().is_empty());
            let found = [last_in_time, last_in_time + 1].map(|minute| finding(&seen(minute), &(at(0)..at(50)), &rules));
            assert_eq!(found.map(|found| found.map(|found| found.reason)), [None, Some("too_late")], "{grace_s:?}");
        }
    }
}
