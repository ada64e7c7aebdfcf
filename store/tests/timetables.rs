//! Sessions are planned ahead without touching what people did, and closing them writes what was found.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use chrono::{NaiveTime, TimeDelta, TimeZone, Utc};
use rollcall_pipeline::{PersonId, WallTime};
use rollcall_store::testing::{current_database, event_of_nobody, store, until_somebody_waits};
use rollcall_store::{
    Actor, CameraWatch, Course, Delivery, EventRecord, FileRoom, Finding, MarkRecord, NewEnrolment, Origin, PlanChange,
    PlannedSession, Scope, SessionDetail, SessionRecord, Store, TimetableEntry,
};
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

fn at(date: u32, hour: u32, minute: u32) -> WallTime {
    Utc.with_ymd_and_hms(2026, 3, date, hour, minute, 0).unwrap()
}

fn admin() -> Actor {
    Actor::system("test")
}

async fn mirror(store: &Store, rooms: &[&str]) {
    let rooms: Vec<_> =
        rooms.iter().map(|id| FileRoom { id: (*id).to_owned(), name: id.to_uppercase(), time_zone: None }).collect();
    let mut planning = store.planning().await.unwrap().unwrap();
    planning.mirror("School", "Europe/Berlin", &rooms).await.unwrap();
    planning.commit().await.unwrap();
}

/// A course in room-1 with an entry and these people.
async fn course(store: &Store, people: &[Uuid]) -> (Course, TimetableEntry) {
    let mut change = store.change(admin()).await.unwrap();
    if store.room(&Scope::Everywhere, "room-1").await.unwrap().is_none() {
        change.add_room("room-1", "main", None, None).await.unwrap();
    }
    let course = Course {
        id: Uuid::now_v7(),
        site_id: "main".to_owned(),
        name: "Physics".to_owned(),
        code: None,
        teacher_id: None,
        early_s: None,
        grace_s: Some(600),
        leave_s: Some(0),
        early_exit_s: None,
        min_presence_percent: None,
        absent_after_s: None,
        archived_at: None,
        version: 1,
    };
    let course = change.add_course(&course).await.unwrap();
    let entry = TimetableEntry {
        id: Uuid::now_v7(),
        course_id: course.id,
        room_id: "room-1".to_owned(),
        weekdays: vec![1],
        starts: NaiveTime::MIN,
        ends: NaiveTime::MIN,
        valid_from: None,
        valid_to: None,
        version: 1,
    };
    let entry = change.add_timetable_entry(&entry).await.unwrap();
    let people: Vec<_> =
        people.iter().map(|id| NewEnrolment { person: PersonId(*id), valid_from: None, valid_to: None }).collect();
    change.enrol(course.id, &people, true).await.unwrap();
    change.commit().await.unwrap();
    (course, entry)
}

fn planned(n: u128, entry: &TimetableEntry, starts_at: WallTime, ends_at: WallTime) -> PlannedSession {
    PlannedSession {
        id: Uuid::from_u128(n),
        course: Some(entry.course_id),
        entry: Some(entry.id),
        room: entry.room_id.clone(),
        name: None,
        starts_at,
        ends_at,
        local_date: starts_at.date_naive(),
        windows: [None; 3],
        known_since: at(1, 0, 0),
        people: None,
    }
}

async fn plan(store: &Store, origin: Origin, now: WallTime, sessions: &[PlannedSession]) -> PlanChange {
    let mut planning = store.planning().await.unwrap().unwrap();
    let change = planning.write(origin, now, sessions, &[]).await.unwrap();
    planning.commit().await.unwrap();
    change
}

fn change(made: u64, changed: u64, removed: u64) -> PlanChange {
    PlanChange { made, changed, removed }
}

async fn session(store: &Store, n: u128) -> Option<SessionDetail> {
    store.session(&Scope::Everywhere, Uuid::from_u128(n)).await.unwrap()
}

async fn person(store: &Store, name: &str) -> Uuid {
    store.upsert_person_by_name(name).await.unwrap().0.0
}

/// A mark in a planned session, as the sink writes it.
async fn mark(store: &Store, event: u128, session: &SessionDetail, person: Uuid, seen: WallTime) {
    let record = SessionRecord {
        id: session.id,
        room: session.room_id.clone(),
        kind: "timetabled".to_owned(),
        // From a spool, before the session was moved: not believed.
        starts_at: session.starts_at - TimeDelta::days(1),
        ends_at: session.ends_at,
        local_date: session.local_date.pred_opt().unwrap(),
    };
    let event = EventRecord {
        person: Some(person),
        room: session.room_id.clone(),
        mark: Some(MarkRecord { person, session: record, status: "present".to_owned() }),
        ..event_of_nobody(Uuid::from_u128(event), "recorded", seen)
    };
    store.write_events(&[event]).await.unwrap();
}

#[tokio::test]
async fn planning_again_changes_nothing_and_a_change_of_plan_moves_what_is_free() {
    let store = store().await;
    let ada = person(&store, "Ada").await;
    let (_, entry) = course(&store, &[ada]).await;
    let now = at(2, 7, 0);
    let all: Vec<_> = (1..5).map(|n| planned(n, &entry, at(1 + n as u32, 8, 0), at(1 + n as u32, 9, 0))).collect();
    assert_eq!(plan(&store, Origin::Timetable, now, &all).await, change(4, 0, 0));
    let mut news = store.place_changes().await.unwrap();
    assert_eq!(plan(&store, Origin::Timetable, now, &all).await, change(0, 0, 0));

    // One is marked, one set by hand, one cancelled; the fourth is free.
    mark(&store, 1, &session(&store, 1).await.unwrap(), ada, at(2, 8, 1)).await;
    let mut by_hand = store.change(admin()).await.unwrap();
    let before = by_hand.lock_session(&Scope::Everywhere, Uuid::from_u128(2)).await.unwrap().unwrap();
    let moved = SessionDetail { starts_at: at(3, 12, 0), ends_at: at(3, 13, 0), fixed: true, ..before.clone() };
    by_hand.replace_session(&before, &moved).await.unwrap();
    let third = by_hand.lock_session(&Scope::Everywhere, Uuid::from_u128(3)).await.unwrap().unwrap();
    by_hand.cancel_session(&third, "storm").await.unwrap();
    by_hand.commit().await.unwrap();
    news.changed().await.unwrap();

    let later: Vec<_> = (1..5).map(|n| planned(n, &entry, at(1 + n as u32, 10, 0), at(1 + n as u32, 11, 0))).collect();
    assert_eq!(plan(&store, Origin::Timetable, now, &later).await, change(0, 1, 0));
    let starts = |session: Option<SessionDetail>| session.map(|s| (s.starts_at, s.state));
    assert_eq!(starts(session(&store, 1).await), Some((at(2, 8, 0), "planned".to_owned())), "it is marked");
    assert_eq!(starts(session(&store, 2).await), Some((at(3, 12, 0), "planned".to_owned())), "set by hand");
    assert_eq!(starts(session(&store, 3).await), Some((at(4, 8, 0), "cancelled".to_owned())));
    assert_eq!(starts(session(&store, 4).await), Some((at(5, 10, 0), "planned".to_owned())));
    assert_eq!(plan(&store, Origin::Timetable, now, &[]).await, change(0, 0, 1), "only the free one goes");
    assert!(session(&store, 4).await.is_none() && session(&store, 1).await.is_some());
}

#[tokio::test]
async fn what_was_over_when_its_timetable_was_made_is_not_made_up() {
    let store = store().await;
    let (_, entry) = course(&store, &[]).await;
    let mut early = planned(1, &entry, at(2, 8, 0), at(2, 9, 0));
    early.known_since = at(2, 9, 0);
    assert_eq!(plan(&store, Origin::Timetable, at(2, 10, 0), &[early.clone()]).await, change(0, 0, 0));
    early.known_since = at(2, 8, 59);
    assert_eq!(plan(&store, Origin::Timetable, at(2, 10, 0), &[early]).await, change(1, 0, 0), "the daemon was away");
}

#[tokio::test]
async fn a_line_that_goes_while_it_is_planned_leaves_no_session() {
    let store = store().await;
    let (_, entry) = course(&store, &[]).await;
    let read_before = planned(1, &entry, at(2, 8, 0), at(2, 9, 0));
    let mut change_of_it = store.change(admin()).await.unwrap();
    change_of_it.remove_timetable_entry(&entry).await.unwrap();
    change_of_it.commit().await.unwrap();
    assert_eq!(plan(&store, Origin::Timetable, at(2, 7, 0), &[read_before]).await, change(0, 0, 0));
}

#[tokio::test]
async fn what_somebody_sets_by_hand_while_it_is_planned_stays() {
    let store = store().await;
    let (_, entry) = course(&store, &[]).await;
    let lessons = [planned(1, &entry, at(2, 8, 0), at(2, 9, 0)), planned(2, &entry, at(3, 8, 0), at(3, 9, 0))];
    assert_eq!(plan(&store, Origin::Timetable, at(2, 7, 0), &lessons).await, change(2, 0, 0));
    let options = current_database(&store).await;
    let (mut by_hand, mut watch) = (options.connect().await.unwrap(), options.connect().await.unwrap());
    let mut by_hand = by_hand.begin().await.unwrap();
    let feed = "select pg_advisory_xact_lock(hashtextextended('rollcall.feed', 0))";
    sqlx::query(feed).execute(&mut *by_hand).await.unwrap();

    // One is to be moved, and the other is planned no longer.
    let moved = planned(1, &entry, at(2, 10, 0), at(2, 11, 0));
    let at_work = store.clone();
    let planning = tokio::spawn(async move { plan(&at_work, Origin::Timetable, at(2, 7, 0), &[moved]).await });
    until_somebody_waits(&mut watch).await;
    sqlx::query("update sessions set fixed = true").execute(&mut *by_hand).await.unwrap();
    by_hand.commit().await.unwrap();
    assert_eq!(planning.await.unwrap(), change(0, 0, 0));
    assert_eq!(session(&store, 1).await.unwrap().starts_at, at(2, 8, 0));
    assert!(session(&store, 2).await.is_some());
}

#[tokio::test]
async fn two_daemons_do_not_plan_at_once() {
    let store = store().await;
    let first = store.planning().await.unwrap();
    assert!(first.is_some() && store.planning().await.unwrap().is_none());
    first.unwrap().commit().await.unwrap();
    assert!(store.planning().await.unwrap().is_some());
}

#[tokio::test]
async fn the_files_rooms_are_rows_that_stay_when_the_file_drops_them() {
    let store = store().await;
    mirror(&store, &["hall", "lab"]).await;
    let hall = store.room(&Scope::Everywhere, "hall").await.unwrap().unwrap();
    assert_eq!((hall.zone(), hall.managed_by.as_str(), hall.name.as_deref()), ("Europe/Berlin", "file", Some("HALL")));
    mirror(&store, &["hall"]).await;
    let again = store.room(&Scope::Everywhere, "hall").await.unwrap().unwrap();
    assert_eq!(again.version, hall.version, "nothing changed");
    let lab = store.room(&Scope::Everywhere, "lab").await.unwrap().unwrap();
    assert_eq!(lab.managed_by, "api", "it can be changed and removed now");
}

#[tokio::test]
async fn rosters_of_the_file_become_rows_and_follow_it() {
    let store = store().await;
    mirror(&store, &["room-1"]).await;
    let (ada, grace) = (person(&store, "Ada").await, person(&store, "Grace").await);
    let entry = TimetableEntry {
        id: Uuid::nil(),
        course_id: Uuid::nil(),
        room_id: "room-1".to_owned(),
        weekdays: vec![],
        starts: NaiveTime::MIN,
        ends: NaiveTime::MIN,
        valid_from: None,
        valid_to: None,
        version: 1,
    };
    let of_file = |people: Vec<Uuid>| PlannedSession {
        course: None,
        entry: None,
        people: Some(people),
        name: Some("Shift".to_owned()),
        windows: [Some(900), Some(300), Some(0)],
        ..planned(9, &entry, at(2, 8, 0), at(2, 9, 0))
    };
    let now = at(2, 7, 0);
    let stranger = Uuid::from_u128(77);
    assert_eq!(plan(&store, Origin::File, now, &[of_file(vec![ada, stranger])]).await, change(1, 0, 0));
    assert_eq!(session(&store, 9).await.unwrap().expected, 1);
    plan(&store, Origin::File, now, &[of_file(vec![ada, grace])]).await;
    assert_eq!(session(&store, 9).await.unwrap().expected, 2);
    let places = store.places(at(1, 0, 0), at(9, 0, 0)).await.unwrap();
    assert_eq!(places.sessions, [], "the matcher knows the file's sessions by itself");

    // Who was expected in a closed one stays so, also where the file has it end later now.
    store.settling(Uuid::from_u128(9), "planned").await.unwrap().unwrap().settle(&[], None).await.unwrap();
    let longer = PlannedSession { ends_at: at(2, 12, 0), ..of_file(vec![ada]) };
    assert_eq!(plan(&store, Origin::File, at(2, 10, 0), &[longer]).await, change(0, 0, 0));
    assert_eq!(session(&store, 9).await.unwrap().expected, 2);
}

async fn status(store: &Store, session: u128, person: Uuid) -> Option<(String, String)> {
    let roster = store.roster(Uuid::from_u128(session), None, 100).await.unwrap();
    let row = roster.into_iter().find(|row| row.person_id == person)?;
    row.status.zip(row.source)
}

#[tokio::test]
async fn a_late_mark_wins_over_an_absence_that_was_only_not_being_seen() {
    let store = store().await;
    let (ada, grace) = (person(&store, "Ada").await, person(&store, "Grace").await);
    let (_, entry) = course(&store, &[ada, grace]).await;
    plan(&store, Origin::Timetable, at(2, 7, 0), &[planned(1, &entry, at(2, 8, 0), at(2, 9, 0))]).await;
    assert_eq!(store.ended_sessions(at(2, 8, 59), 900, 10).await.unwrap(), [], "it is still on");
    let ended = store.ended_sessions(at(2, 9, 0), 900, 10).await.unwrap();
    assert_eq!((ended.len(), ended[0].leave_s, ended[0].grace_s), (1, Some(0), Some(600)), "the course's rules");

    let settling = store.settling(ended[0].id, "planned").await.unwrap().unwrap();
    assert!(store.settling(ended[0].id, "planned").await.unwrap().is_none(), "one closes it at a time");
    assert_eq!((settling.expected.len(), settling.seen.len()), (2, 0));
    let absent = |id| Finding { person: PersonId(id), absent: true, reason: "not_seen", minutes_present: None };
    settling.settle(&[absent(ada), absent(grace)], None).await.unwrap();
    let absence = Some(("absent".to_owned(), "closing".to_owned()));
    assert_eq!((status(&store, 1, ada).await, status(&store, 1, grace).await), (absence.clone(), absence.clone()));
    assert_eq!(store.ended_sessions(at(2, 10, 0), 900, 10).await.unwrap(), [], "it is closed");

    let closed = session(&store, 1).await.unwrap();
    mark(&store, 1, &closed, ada, at(2, 8, 5)).await;
    assert_eq!(status(&store, 1, ada).await, Some(("present".to_owned(), "camera".to_owned())));
    assert_eq!(status(&store, 1, grace).await, absence);
    assert_eq!(session(&store, 1).await.unwrap().starts_at, at(2, 8, 0), "an old event does not move it");

    // What the mark comes to by the rules of the course is found out by judging again.
    let late = store.sessions_with_late_marks(at(1, 0, 0)).await.unwrap();
    assert_eq!(late.iter().map(|s| s.id).collect::<Vec<_>>(), [closed.id]);
    let settling = store.settling(closed.id, "closed").await.unwrap().unwrap();
    let short = Finding { person: PersonId(ada), absent: true, reason: "too_short", minutes_present: Some(3.0) };
    settling.settle(&[short.clone(), absent(grace)], None).await.unwrap();
    assert_eq!(status(&store, 1, ada).await, absence);
    assert_eq!(store.sessions_with_late_marks(at(1, 0, 0)).await.unwrap(), []);

    // She was there for longer, and still too short.
    let settling = store.settling(closed.id, "closed").await.unwrap().unwrap();
    let longer = Finding { minutes_present: Some(9.0), ..short };
    settling.settle(&[longer, absent(grace)], None).await.unwrap();
    let found = store.finding(closed.id, PersonId(ada)).await.unwrap().unwrap();
    assert_eq!((found.reason.as_str(), found.minutes_present), ("too_short", Some(9.0)));
}

#[tokio::test]
async fn a_cancelled_session_voids_what_was_marked() {
    let store = store().await;
    let ada = person(&store, "Ada").await;
    let (_, entry) = course(&store, &[ada]).await;
    plan(&store, Origin::Timetable, at(2, 7, 0), &[planned(1, &entry, at(2, 8, 0), at(2, 9, 0))]).await;
    mark(&store, 1, &session(&store, 1).await.unwrap(), ada, at(2, 8, 5)).await;
    let mut change = store.change(admin()).await.unwrap();
    let before = change.lock_session(&Scope::Everywhere, Uuid::from_u128(1)).await.unwrap().unwrap();
    let after = change.cancel_session(&before, "fire alarm").await.unwrap();
    change.commit().await.unwrap();
    assert_eq!((after.state.as_str(), after.attended), ("cancelled", 0));
    assert_eq!(status(&store, 1, ada).await, None, "void rows are not shown");
    assert_eq!(store.ended_sessions(at(2, 10, 0), 0, 10).await.unwrap(), [], "nobody is absent");
}

#[tokio::test]
async fn what_a_camera_delivered_stays_delivered() {
    let store = store().await;
    let delivery = |until: Option<WallTime>, reason: Option<&str>, now: WallTime| Delivery {
        camera_id: "door-1".to_owned(),
        room_id: "hall".to_owned(),
        delivered_until: until,
        offline_reason: reason.map(str::to_owned),
        offline_since: reason.map(|_| now),
        updated_at: now,
    };
    let told = async |delivery: Delivery| {
        store.put_deliveries(&[delivery]).await.unwrap();
        let d = store.deliveries().await.unwrap().remove(0);
        (d.delivered_until, d.offline_since)
    };
    assert_eq!(told(delivery(Some(at(2, 8, 0)), None, at(2, 8, 0))).await, (Some(at(2, 8, 0)), None));
    let offline = (Some(at(2, 8, 0)), Some(at(2, 8, 1)));
    assert_eq!(told(delivery(None, Some("unplugged"), at(2, 8, 1))).await, offline);
    assert_eq!(told(delivery(None, Some("refused"), at(2, 8, 2))).await, offline, "since when, not the last try");
    assert_eq!(told(delivery(Some(at(2, 8, 3)), None, at(2, 8, 3))).await, (Some(at(2, 8, 3)), None));
    store.forget_deliveries(&["other".to_owned()], at(2, 8, 3)).await.unwrap();
    assert_eq!(store.deliveries().await.unwrap().len(), 1);
    store.forget_deliveries(&[], at(2, 8, 4)).await.unwrap();
    assert_eq!(store.deliveries().await.unwrap(), [], "no daemon runs it any more");
}

#[tokio::test]
async fn what_a_camera_watched_goes_on_and_is_forgotten_in_time() {
    let store = store().await;
    let watch = |since: WallTime, until: WallTime, away_for: Option<&str>| CameraWatch {
        camera_id: "door-1".to_owned(),
        room_id: "hall".to_owned(),
        since,
        until,
        away_for: away_for.map(str::to_owned),
    };
    let (first, second) = (at(2, 8, 0), at(2, 9, 0));
    store.put_watches(&[watch(first, at(2, 8, 10), None)]).await.unwrap();
    store.put_watches(&[watch(first, at(2, 8, 30), None), watch(second, second, Some("unplugged"))]).await.unwrap();
    // What was written by then stays, whatever comes later.
    store.put_watches(&[watch(first, at(2, 8, 20), Some("else"))]).await.unwrap();
    let hall = ["hall".to_owned()];
    let all = [watch(first, at(2, 8, 30), None), watch(second, second, Some("unplugged"))];
    assert_eq!(store.watches(&hall, first).await.unwrap(), all);
    assert_eq!(store.watches(&hall, at(2, 8, 30)).await.unwrap(), all[1..]);
    assert_eq!(store.watches(&["room-1".to_owned()], first).await.unwrap(), []);
    store.forget_watches(at(2, 8, 31)).await.unwrap();
    assert_eq!(store.watches(&hall, first).await.unwrap(), all[1..]);
}

#[tokio::test]
async fn what_lies_elsewhere_is_not_there() {
    let store = store().await;
    let (course, entry) = course(&store, &[]).await;
    plan(&store, Origin::Timetable, at(2, 7, 0), &[planned(1, &entry, at(2, 8, 0), at(2, 9, 0))]).await;
    let there = Scope::Places { sites: vec!["main".to_owned()], rooms: vec![] };
    let room = Scope::Places { sites: vec![], rooms: vec!["room-1".to_owned()] };
    let elsewhere = Scope::Places { sites: vec!["other".to_owned()], rooms: vec!["room-2".to_owned()] };
    let person = Scope::Person(PersonId(Uuid::nil()));
    let mut change = store.change(admin()).await.unwrap();
    for (scope, sees, owns) in
        [(&there, true, true), (&room, true, false), (&elsewhere, false, false), (&person, false, false)]
    {
        assert_eq!(store.site(scope, "main").await.unwrap().is_some(), sees, "{scope:?}");
        assert_eq!(store.room(scope, "room-1").await.unwrap().is_some(), sees, "{scope:?}");
        assert_eq!(store.course(scope, course.id).await.unwrap().is_some(), sees, "{scope:?}");
        assert_eq!(store.timetable_entry(scope, entry.id).await.unwrap().is_some(), sees, "{scope:?}");
        assert_eq!(store.session(scope, Uuid::from_u128(1)).await.unwrap().is_some(), sees, "{scope:?}");
        let all = store.reading().await.unwrap().sessions(scope, &Default::default(), None, 10).await.unwrap();
        assert_eq!(all.len(), usize::from(sees), "{scope:?}");
        assert_eq!(change.lock_course(scope, course.id).await.unwrap().is_some(), owns, "{scope:?}");
        assert_eq!(change.lock_site(scope, "main").await.unwrap().is_some(), owns, "{scope:?}");
        assert_eq!(change.lock_session(scope, Uuid::from_u128(1)).await.unwrap().is_some(), sees, "{scope:?}");
    }
}
