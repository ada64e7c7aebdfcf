//! Closing sessions: how far the cameras have delivered, and the absences that follow from that once a session is over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use parking_lot::Mutex;
use rollcall_attendance::{
    CameraProgress, Closing, CourseRules, Judged, MinPresence, Roster, Sightings, ToClose, close, judge_presence,
};
use rollcall_pipeline::config::AttendanceConfig;
use rollcall_pipeline::lane::{Lane, LaneState};
use rollcall_pipeline::{CameraId, Clock, PersonId, WallTime};
use rollcall_sinks::SinkMonitor;
use rollcall_stages::decode::{CameraSnapshot, CameraState};
use rollcall_store::{Delivery, EndedSession, Finding, Store, StoreError};
use serde_json::{Value, json};

use super::cameras::Cameras;
use super::people::People;

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
    pub(super) async fn run(self) {
        self.people.until_loaded().await;
        let mut told = HashSet::new();
        let mut late_since = self.clock.wall() - LATE_MARKS_BACK;
        loop {
            let now = self.clock.wall();
            let rules = self.people.config().attendance.clone();
            let done = async {
                self.tell_deliveries(&mut told, &rules, now).await?;
                self.close_ended(&rules, now).await?;
                if now - late_since >= LATE_MARKS_EVERY {
                    for session in self.store.sessions_with_late_marks(late_since - CLOCKS_APART).await? {
                        let waits_for = session.waits_for.clone();
                        self.settle(&session, &rules, waits_for.as_ref(), now).await?;
                    }
                    late_since = now;
                }
                Ok::<_, StoreError>(())
            };
            if let Err(error) = done.await
                && self.people.trouble().is_none()
            {
                tracing::warn!(%error, "sessions were not closed; trying on");
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Writes how far the cameras of this daemon have got.
    async fn tell_deliveries(
        &self,
        told: &mut HashSet<String>,
        rules: &AttendanceConfig,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let all = match (self.lane.state(), self.sink.status().spooled) {
            (LaneState::Running, 0) => None,
            (LaneState::Running, 1) => Some("one event waits to be written".to_owned()),
            (LaneState::Running, waiting) => Some(format!("{waiting} events wait to be written")),
            _ => Some("the analysis is being restarted".to_owned()),
        };
        let (snapshots, refused) = {
            let cameras = self.cameras.lock();
            (cameras.snapshots(), cameras.refused().to_vec())
        };
        let mono = self.clock.mono();
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
        self.store.put_deliveries(&deliveries).await?;
        let here: HashSet<String> = deliveries.into_iter().map(|d| d.camera_id).collect();
        let gone: Vec<String> = told.difference(&here).cloned().collect();
        // Of a camera that no daemon runs nothing is to be expected.
        self.store.forget_deliveries(&gone, now - wait(rules)).await?;
        *told = here;
        Ok(())
    }

    async fn close_ended(&self, rules: &AttendanceConfig, now: WallTime) -> Result<(), StoreError> {
        let leave = i32::try_from(rules.leave.as_secs()).unwrap_or(i32::MAX);
        let ended = self.store.ended_sessions(now, leave, MOST).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let mut cameras: HashMap<String, Vec<Delivery>> = HashMap::new();
        for delivery in self.store.deliveries().await? {
            cameras.entry(delivery.room_id.clone()).or_default().push(delivery);
        }
        let mut failure = None;
        for session in ended {
            let of_room = cameras.get(&session.room_id).map_or(&[][..], Vec::as_slice);
            let done = self.close_or_wait(&session, of_room, rules, now).await;
            // One that cannot be closed does not hold up the others.
            failure = done.err().or(failure);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn close_or_wait(
        &self,
        session: &EndedSession,
        of_room: &[Delivery],
        rules: &AttendanceConfig,
        now: WallTime,
    ) -> Result<(), StoreError> {
        match waits_for(session, of_room, rules, now) {
            Some(waits_for) if now < until(session, rules) + wait(rules) => {
                if session.waits_for.as_ref() != Some(&waits_for) {
                    self.store.set_waits_for(session.id, &waits_for).await?;
                }
                Ok(())
            }
            given_up => self.settle(session, rules, given_up.as_ref(), now).await,
        }
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
        let held = session.starts_at..session.closed_at.map_or(session.ends_at, |at| at.min(session.ends_at));
        let settled: HashSet<PersonId> = settling.seen.iter().map(|s| PersonId(s.person_id)).collect();
        let roster = Roster::people(settling.expected.iter().copied());
        let close = close(&ToClose {
            held: Some(&held),
            leave: rules.leave,
            roster: &roster,
            settled: &settled,
            // Waited for already.
            cameras: &[],
            now,
        });
        let Closing::Write(absent) = close else { return Ok(()) };
        let not_seen = absent.iter().map(|person| Finding {
            person: *person,
            absent: true,
            reason: "not_seen",
            minutes_present: None,
        });
        let mut findings: Vec<Finding> = not_seen.collect();
        for seen in &settling.seen {
            let person = PersonId(seen.person_id);
            if !roster.expects(person) || !matches!(seen.status.as_str(), "present" | "late") {
                continue;
            }
            let sightings =
                Sightings { first: seen.first_seen_at, last: seen.last_seen_at, last_exit: seen.last_exit_at };
            let presence = judge_presence(&held, &rules, &sightings);
            let (absent, reason) = match presence.status {
                Judged::Absent(reason) => (true, reason.as_str()),
                Judged::Present | Judged::Late if presence.left_early => (false, "left_early"),
                Judged::Present | Judged::Late => continue,
            };
            #[expect(clippy::cast_precision_loss, reason = "minutes of a session")]
            let minutes_present = presence.minutes_present().map(|minutes| minutes as f32);
            findings.push(Finding { person, absent, reason, minutes_present });
        }
        let absent = findings.iter().filter(|f| f.absent).count();
        settling.settle(&findings, waits_for).await?;
        tracing::info!(session = %session.id, room = session.room_id, absent, "closed a session");
        Ok(())
    }
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

/// The cameras whose pictures are not known up to the end of a session, as the API shows them.
fn waits_for(session: &EndedSession, cameras: &[Delivery], config: &AttendanceConfig, now: WallTime) -> Option<Value> {
    let zone: Tz = session.time_zone.parse().unwrap_or_default();
    let held = session.starts_at..ended_at(session);
    let progress: Vec<CameraProgress> = cameras
        .iter()
        .map(|camera| CameraProgress {
            camera: CameraId::new(camera.camera_id.as_str()),
            delivered_until: camera.delivered_until,
            offline_since: camera.offline_since,
        })
        .collect();
    let nobody = Roster::people([]);
    let leave = course_rules(session, config).leave;
    let cameras_only =
        ToClose { held: Some(&held), leave, roster: &nobody, settled: &HashSet::new(), cameras: &progress, now };
    let Closing::Wait { cameras: behind, .. } = close(&cameras_only) else { return None };
    let lines = behind.iter().map(|behind| {
        let why = cameras.iter().find(|c| c.camera_id == behind.camera.as_str()).and_then(|c| c.offline_reason.as_ref());
        let words = behind.reason.words(zone);
        json!({ "camera": behind.camera.as_str(), "reason": why.map_or_else(|| words.clone(), |why| format!("{words} ({why})")) })
    });
    Some(Value::Array(lines.collect()))
}

fn course_rules(session: &EndedSession, config: &AttendanceConfig) -> CourseRules {
    let seconds = |value: i32| Duration::from_secs(value.unsigned_abs().into());
    CourseRules {
        early: session.early_s.map_or(config.early, seconds),
        grace: session.grace_s.map_or(config.grace, seconds),
        leave: session.leave_s.map_or(config.leave, seconds),
        early_exit: session.early_exit_s.map(seconds),
        min_presence: session.min_presence_percent.and_then(|p| u8::try_from(p).ok()).map(MinPresence::Percent),
        absent_after: session.absent_after_s.map(seconds),
    }
}
