//! Check-in by picture: the decisions of a camera at the door, written the same way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use kit::enrolling::enroll;
use kit::register::now;
use kit::{Answer, Client, Site, answer, demo_media, media, message, people, stderr};
use serde_json::{Value, json};

/// Where one picture is enough, whether the face is known to be alive or not.
static SITE: LazyLock<Site> = LazyLock::new(|| {
    site("[decisions]\nidentified_unclear = \"mark\"\n[check_in]\nmin_agreeing = 1\nrequire_live = false\n")
});
/// As it is unless something is configured; strangers are kept.
static STRICT: LazyLock<Site> =
    LazyLock::new(|| site("[privacy]\nkeep_unknown_faces = true\ncluster_unknown = true\n"));

fn site(rules: &str) -> Site {
    let site = Site::start(&format!("[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n{rules}"));
    let known: [(&str, &[&str]); 3] =
        [("Barack", &["obama.jpg"]), ("Joe", &["biden.jpg"]), ("Franck", &["franck_02045.jpg"])];
    let folder = people(&site.data().join(".."), &known);
    let enrolled = enroll(&site, &folder, &[]);
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    site.until("/api/v1/gallery", |gallery| gallery["current"] == true && gallery["live"]["people"] == 3);
    site
}

/// A session that is on now, in a room of its own.
fn session() -> (String, String) {
    session_of(&SITE, TimeDelta::minutes(-1))
}

/// One of an hour that begins in a while.
fn session_of(site: &Site, starts_in: TimeDelta) -> (String, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let room = format!("room-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    site.post("/api/v1/rooms", &json!({ "id": room })).expect(201);
    let from = now() + starts_in;
    let new = json!({ "room_id": room, "starts_at": from, "ends_at": from + TimeDelta::hours(1) });
    let made = site.post("/api/v1/sessions", &new).expect(201);
    (room, made["id"].as_str().unwrap().to_owned())
}

/// A machine by that name.
fn machine(name: &str) -> Client {
    let key = json!({ "name": name, "rights": ["attendance:mark"], "everywhere": true });
    let made = SITE.post("/api/v1/keys", &key).expect(201);
    SITE.guest().with("x-api-key", made["secret"].as_str().unwrap())
}

/// Several pictures of one moment, in a session as soon as it is known there.
#[track_caller]
fn show_all(site: &Site, pictures: &[Vec<u8>], session: &str) -> Answer {
    let mut parts: Vec<_> = pictures.iter().map(|bytes| ("image", "a.jpg", "image/jpeg", &bytes[..])).collect();
    parts.push(("session_id", "", "", session.as_bytes()));
    once_known(|| site.upload("/api/v1/attendance/mark", &parts))
}

/// What is answered once the session is known there.
#[track_caller]
fn once_known(ask: impl Fn() -> Answer) -> Answer {
    answer("the session is known", || Some(ask()).filter(|answer| answer.status != 409))
}

fn show(client: &Client, picture: &str, session: &str) -> Answer {
    let bytes = media(picture);
    client.upload(
        "/api/v1/attendance/mark",
        &[("image", "a.jpg", "image/jpeg", &bytes), ("session_id", "", "", session.as_bytes())],
    )
}

/// The first check-in in a session and after an enrolment: both are live within a second.
#[track_caller]
fn first(client: &Client, picture: &str, session: &str) -> Value {
    answer("somebody is checked in", || {
        let answer = show(client, picture, session);
        let early = answer.status == 409 || (answer.status == 200 && answer.json["outcome"] == "unknown");
        (!early).then(|| answer.expect(201))
    })
}

#[test]
fn a_picture_marks_once_and_tells_the_first_time_after_that() {
    let (_, session) = session();
    let machine = SITE.as_key(&["attendance:mark"]);
    let told = first(&machine, "obama2.jpg", &session);
    assert_eq!((told["outcome"].as_str(), told["name"].as_str()), (Some("recorded"), Some("Barack")), "{told}");
    assert_eq!((told["session_id"].as_str(), told["status"].as_str()), (Some(&*session), Some("present")));
    // The same file is the same event; another picture is another sighting of the same mark.
    let again = show(&machine, "obama2.jpg", &session).expect(200);
    assert_eq!((&again["outcome"], &again["event_id"]), (&json!("already_marked"), &told["event_id"]));
    let other = show(&machine, "obama3.jpg", &session).expect(200);
    assert_eq!((&other["outcome"], &other["first_seen_at"]), (&json!("already_marked"), &told["first_seen_at"]));
    assert_ne!(other["event_id"], told["event_id"]);
    // It stands in the register like any other.
    let register = SITE.get(&format!("/api/v1/attendance?session_id={session}")).expect(200);
    let rows = register["items"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["status"].as_str().unwrap()).collect::<Vec<_>>(), ["present"], "{register}");
    let stranger = show(&machine, "audrey.jpg", &session).expect(200);
    assert_eq!((&stranger["outcome"], &stranger["person_id"]), (&json!("unknown"), &Value::Null));
}

#[test]
fn a_picture_is_one_event_and_names_none_of_those_who_send_it() {
    let (room, session) = session();
    let told = first(&machine("the telephone of Ada"), "obama2.jpg", &session);
    let again = show(&machine("the telephone of Grace"), "obama2.jpg", &session).expect(200);
    assert_eq!((&again["outcome"], &again["event_id"]), (&json!("already_marked"), &told["event_id"]));
    let sightings = format!("/api/v1/people/{}/sightings", told["person_id"].as_str().unwrap());
    let sightings = SITE.get(&sightings).expect(200)["items"].clone();
    let here: Vec<_> = sightings.as_array().unwrap().iter().filter(|seen| seen["room_id"] == *room).collect();
    assert!(matches!(here[..], [seen] if seen["camera"] == format!("check-in@{room}")), "{sightings}");
}

#[test]
fn one_machine_checks_people_in_in_several_rooms() {
    let [(_, here), (_, there)] = [(); 2].map(|()| session());
    let machine = machine("a telephone that is carried about");
    for session in [&here, &there] {
        let told = first(&machine, "obama2.jpg", session);
        assert_eq!((&told["outcome"], &told["session_id"]), (&json!("recorded"), &json!(session)), "{told}");
    }
}

#[test]
fn a_check_in_that_is_sent_again_is_answered_the_same_whatever_parts_its_fields() {
    let (_, session) = session();
    let machine = machine("a kiosk that asks again");
    first(&machine, "biden.jpg", &session);
    let send = |boundary: &str, picture: &str| {
        let bytes = media(picture);
        let parts = [("image", "a.jpg", "image/jpeg", &bytes[..]), ("session_id", "", "", session.as_bytes())];
        machine.with("idempotency-key", "a-form").upload_parted(boundary, "/api/v1/attendance/mark", &parts)
    };
    let told = send("one", "obama2.jpg");
    let again = send("another", "obama2.jpg");
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{again:?}");
    let record = format!("/api/v1/sessions/{session}/people/{}", told.json["person_id"].as_str().unwrap());
    assert_eq!((told.header("location"), again.header("location")), (&*record, &*record));
    SITE.get(&record).expect(200);
    assert_eq!(again.json, told.expect(201));
    assert_eq!(send("one", "obama3.jpg").expect(422)["type"], "urn:rollcall:problem:idempotency-key");
}

#[test]
fn the_log_says_who_checked_whom_in_and_what_came_of_it() {
    let (room, session) = session();
    let machine = machine("a kiosk");
    let told = first(&machine, "obama2.jpg", &session);
    let entries = |told: &Value| {
        let event = told["event_id"].as_str().unwrap();
        SITE.get(&format!("/api/v1/audit?object_kind=event&object_id={event}")).expect(200)["items"].clone()
    };
    let log = entries(&told);
    let entry = &log[0];
    assert_eq!(
        (&entry["action"], &entry["actor_kind"], &entry["actor_name"], &entry["person_id"]),
        (&json!("attendance.mark"), &json!("api_key"), &json!("a kiosk"), &told["person_id"]),
    );
    let after = json!({ "kind": "recorded", "liveness": told["liveness"]["verdict"], "room_id": room,
        "session_id": session, "marked": true });
    assert_eq!((&entry["after"], &entry["before"]), (&after, &Value::Null));
    // The same picture again does nothing; another one is counted; and a stranger is nobody.
    show(&machine, "obama2.jpg", &session).expect(200);
    assert_eq!(entries(&told).as_array().unwrap().len(), 1);
    let counted = entries(&show(&machine, "obama3.jpg", &session).expect(200));
    assert_eq!((&counted[0]["person_id"], &counted[0]["after"]["marked"]), (&told["person_id"], &json!(false)));
    let stranger = entries(&show(&machine, "audrey.jpg", &session).expect(200));
    assert_eq!((&stranger[0]["person_id"], &stranger[0]["after"]["kind"]), (&Value::Null, &json!("unknown")));
}

#[test]
fn a_check_in_stands_in_the_log_and_in_the_metrics_like_a_decision_at_a_door() {
    let (room, session) = session();
    let told = first(&machine("a kiosk that is watched"), "obama2.jpg", &session);
    let line = SITE.wait_for(|line| message(line) == "decided" && line["event"] == told["event_id"]);
    assert_eq!(
        [&line["camera"], &line["room"], &line["kind"], &line["session"], &line["status"], &line["person"]],
        [&json!("check-in"), &json!(room), &json!("recorded"), &json!(session), &json!("present"), &told["person_id"]],
    );
    assert!(SITE.metric("rollcall_attendance_marked_total{camera=\"check-in\",outcome=\"present\"}") >= 1.0);
    assert!(SITE.metric("rollcall_match_decisions_total{camera=\"check-in\",outcome=\"identified\"}") >= 1.0);
}

#[test]
fn only_who_may_and_only_while_the_session_is_on() {
    let (room, session) = session();
    SITE.as_key(&["attendance:read"]).post("/api/v1/attendance/mark", &json!({})).expect(403);
    let elsewhere = SITE.as_account(json!({ "role": "teacher", "rooms": [session_room()] }));
    show(&elsewhere, "obama.jpg", &session).expect(404);
    let machine = SITE.as_key(&["attendance:mark"]);
    show(&machine, "obama.jpg", "00000000-0000-0000-0000-000000000001").expect(404);
    first(&machine, "biden.jpg", &session);
    SITE.post_over(&format!("/api/v1/sessions/{session}/close"), &json!({})).expect(200);
    show(&machine, "obama.jpg", &session).expect(409);

    let send = |texts: &[(&str, &str)], file: (&str, &[u8])| {
        let mut parts = vec![(file.0, "a", "application/octet-stream", file.1)];
        parts.extend(texts.iter().map(|(name, text)| (*name, "", "", text.as_bytes())));
        machine.upload("/api/v1/attendance/mark", &parts).status
    };
    let picture = media("obama.jpg");
    let old = (now() - TimeDelta::hours(1)).to_rfc3339();
    assert_eq!(send(&[("room_id", &room), ("captured_at", &old)], ("image", &picture)), 422);
    assert_eq!(send(&[("room_id", &room), ("session_id", &session)], ("image", &picture)), 422);
    assert_eq!(send(&[], ("image", &picture)), 422);
    assert_eq!(send(&[("room_id", "../etc")], ("image", &picture)), 404);
    assert_eq!(send(&[("room_id", &room), ("none", "1")], ("image", &picture)), 422);
    assert_eq!(send(&[("room_id", &room)], ("image", b"GIF89a")), 422);
    assert_eq!(send(&[("room_id", &room)], ("video", &picture)), 422);
    assert_eq!(send(&[("room_id", &room)], ("other", &picture)), 422);
}

#[test]
fn a_single_picture_goes_to_review_and_several_of_somebody_alive_are_marked() {
    let (_, session) = session_of(&STRICT, TimeDelta::minutes(-1));
    let told = show_all(&STRICT, &[media("obama2.jpg")], &session).expect(200);
    assert_eq!((&told["outcome"], &told["person_id"]), (&json!("review"), &Value::Null), "{told}");
    let moments = ["franck_01829.jpg", "franck_02159.jpg", "franck_02221.jpg", "franck_02683.jpg"].map(media);
    let marked = show_all(&STRICT, &moments, &session).expect(201);
    assert_eq!((&marked["outcome"], &marked["name"]), (&json!("recorded"), &json!("Franck")), "{marked}");
    assert_eq!(marked["liveness"]["verdict"], "live");

    // Whoever decides sees the face; that they did is noted first.
    let item = format!("/api/v1/review/{}", told["event_id"].as_str().unwrap());
    let read = STRICT.get(&item).expect(200);
    assert_eq!(
        (&read["kind"], &read["status"], &read["has_face"]),
        (&json!("ambiguous"), &json!("open"), &json!(true))
    );
    assert_eq!(read["candidates"][0]["name"], "Barack", "{read}");
    let face = STRICT.get(&format!("{item}/face.jpg"));
    assert_eq!(
        (face.status, face.header("content-type"), face.header("cache-control")),
        (200, "image/jpeg", "no-store")
    );
    assert!(image::load_from_memory(&face.body).unwrap().width() >= 100);
    STRICT.as_key(&["review:decide"]).get(&format!("{item}/face.jpg")).expect(403);
    let seen = STRICT.get(&format!("/api/v1/audit?object_id={}&limit=10", told["event_id"].as_str().unwrap()));
    let seen = seen.expect(200)["items"].clone();
    assert!(seen.as_array().unwrap().iter().any(|entry| entry["actor_name"] == "admin"), "{seen}");

    // The face of the item becomes a template of who it is, and of nobody else.
    let enrol = |person: &Value| {
        let path = format!("/api/v1/people/{}/templates/from-review", person["id"].as_str().unwrap());
        STRICT.post(&path, &json!({ "event_id": told["event_id"] }))
    };
    let somebody = STRICT.post("/api/v1/people", &json!({ "name": "Somebody else" })).expect(201);
    assert_eq!(enrol(&somebody).expect(422)["pictures"][0]["code"], "looks_like_another");
    let barack = STRICT.get("/api/v1/people?q=Barack").expect(200)["items"][0].clone();
    let enrolled = enrol(&barack).expect(201);
    assert_eq!((&enrolled["added"], &enrolled["templates"]), (&json!(1), &json!(2)), "{enrolled}");
    let templates = format!("/api/v1/people/{}/templates", barack["id"].as_str().unwrap());
    assert_eq!(STRICT.get(&templates).expect(200)["items"][1]["source"], "review");
    let decided = STRICT.post(&format!("{item}/confirm"), &json!({})).expect(200);
    assert_eq!(decided["attendance"]["status"], "present", "{decided}");
}

/// The first three seconds of the recording of somebody who sits before a camera.
fn video() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.mp4");
    let script = format!(
        // In one thread: with decodebin's queues it would end a few pictures later, or many.
        "filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! videoconvert ! identity eos-after=75 \
         ! x264enc tune=zerolatency ! mp4mux ! filesink location={}",
        demo_media("franck.mp4").display(),
        cut.display()
    );
    let done = std::process::Command::new("gst-launch-1.0").arg("-q").args(script.split(' ')).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    std::fs::read(cut).unwrap()
}

#[test]
fn a_video_of_somebody_alive_marks_by_the_strict_rules() {
    let (_, session) = session_of(&STRICT, TimeDelta::minutes(-1));
    let video = video();
    let machine = STRICT.as_key(&["attendance:mark"]);
    let send = || {
        let file = ("video", "me.mp4", "video/mp4", &video[..]);
        machine.upload("/api/v1/attendance/mark", &[file, ("session_id", "", "", session.as_bytes())])
    };
    let told = once_known(send).expect(201);
    assert_eq!((&told["outcome"], &told["name"]), (&json!("recorded"), &json!("Franck")), "{told}");
    assert_eq!((&told["liveness"]["verdict"], &told["status"]), (&json!("live"), &json!("present")), "{told}");
    let again = send().expect(200);
    assert_eq!((&again["outcome"], &again["event_id"]), (&json!("already_marked"), &told["event_id"]));
    let register = STRICT.get(&format!("/api/v1/attendance?session_id={session}")).expect(200);
    assert_eq!(register["items"].as_array().unwrap().len(), 1, "{register}");
}

/// A telephone that shows a photograph, as somebody holds it before a camera: a bright wall behind it, with the grain of a
/// sensor.
fn phone(dx: i64) -> Vec<u8> {
    let photo = image::load_from_memory(&media("obama2.jpg")).unwrap().crop_imm(30, 120, 560, 800).into_rgb8();
    let photo = image::imageops::resize(&photo, 257, 368, image::imageops::FilterType::Triangle);
    let mut noise = 0x2545_f491_u32;
    let mut scene = image::RgbImage::from_fn(800, 600, |x, y| {
        // Xorshift: the same grain each time.
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let light = 0.75 + 0.25 * x as f32 / 800.0 - 0.15 * y as f32 / 600.0;
        let grain = (noise & 7) as f32 - 3.5;
        image::Rgb([172.0, 166.0, 154.0].map(|v: f32| (v * light + grain) as u8))
    });
    let body = image::RgbImage::from_pixel(277, 420, image::Rgb([14, 14, 16]));
    image::imageops::overlay(&mut scene, &body, 261 + dx, 100);
    image::imageops::overlay(&mut scene, &photo, 271 + dx, 126);
    let mut png = std::io::Cursor::new(Vec::new());
    scene.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

#[test]
fn a_picture_of_a_picture_marks_nobody() {
    let (_, session) = session_of(&STRICT, TimeDelta::minutes(-1));
    let told = show_all(&STRICT, &[0, 2, 5, 9].map(phone), &session).expect(200);
    assert_eq!((&told["outcome"], &told["person_id"]), (&json!("spoof"), &Value::Null), "{told}");
    assert_eq!(told["liveness"]["verdict"], "spoof");
    let line = STRICT.wait_for(|line| message(line) == "decided" && line["event"] == told["event_id"]);
    assert_eq!((&line["camera"], &line["kind"]), (&json!("check-in"), &json!("spoof")), "{line}");
    assert!(STRICT.metric("rollcall_liveness_fail_total{camera=\"check-in\"}") >= 1.0);
    let item = STRICT.get(&format!("/api/v1/review/{}", told["event_id"].as_str().unwrap())).expect(200);
    assert_eq!(item["kind"], "spoof");
    let register = STRICT.get(&format!("/api/v1/attendance?session_id={session}")).expect(200);
    assert_eq!(register["items"], json!([]));
    // Nobody is enrolled with it.
    let somebody = STRICT.post("/api/v1/people", &json!({ "name": "A phone" })).expect(201);
    let path = format!("/api/v1/people/{}/templates/from-review", somebody["id"].as_str().unwrap());
    STRICT.post(&path, &json!({ "event_id": told["event_id"] })).expect(409);
}

#[test]
fn a_room_without_timetable_keeps_its_day_when_a_session_is_held_there() {
    // One that begins so late that nobody may come yet, and one that is on for others alone.
    let (room, later) = session_of(&SITE, TimeDelta::hours(3));
    let others = SITE.post("/api/v1/people", &json!({ "name": "Expected" })).expect(201);
    let new = json!({ "room_id": room, "starts_at": now() - TimeDelta::minutes(1), "people": [others["id"]],
        "ends_at": now() + TimeDelta::minutes(30) });
    let on = SITE.post("/api/v1/sessions", &new).expect(201);
    SITE.until(&format!("/api/v1/rooms/{room}/now"), |now| now["now"]["id"] == on["id"]);
    // As the matcher knows it: once the session that is on is known, the other one is, too.
    show_all(&SITE, &[media("audrey.jpg")], on["id"].as_str().unwrap());
    let bytes = media("obama3.jpg");
    // By somebody who marks nobody else: the same camera would count the sighting only.
    let told = SITE.upload(
        "/api/v1/attendance/mark",
        &[("image", "a.jpg", "image/jpeg", &bytes), ("room_id", "", "", room.as_bytes())],
    );
    let told = told.expect(201);
    assert_eq!((&told["name"], &told["status"]), (&json!("Barack"), &json!("present")), "{told}");
    let session = SITE.get(&format!("/api/v1/sessions/{}", told["session_id"].as_str().unwrap())).expect(200);
    assert_eq!(session["kind"], "day");
    assert_ne!(told["session_id"], later.as_str());
}

#[test]
fn nobody_is_a_stranger_while_it_is_not_known_who_is_enrolled() {
    let mut lost = site("");
    let (_, session) = session_of(&lost, TimeDelta::minutes(-1));
    // It makes another key, which opens no template.
    std::fs::remove_file(lost.data().join("keys").join("biometrics.key")).unwrap();
    lost.restart();
    let told = show(&lost, "obama.jpg", &session);
    assert!(told.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    let told = told.expect(503);
    assert!(told["detail"].as_str().unwrap().contains("being loaded"), "{told}");
    lost.upload("/api/v1/faces/match", &[("image", "a.jpg", "image/jpeg", &media("obama.jpg"))]).expect(503);
    assert_eq!(lost.get("/api/v1/review").expect(200)["items"], json!([]));
}

#[test]
fn strangers_who_come_again_are_the_same_visitor_until_they_are_forgotten() {
    let (_, session) = session_of(&STRICT, TimeDelta::minutes(-1));
    let (audrey, cage) = (media("audrey.jpg"), media("cage.jpg"));
    // Another file with the same face.
    let again = [&audrey[..], b"\0"].concat();
    let events = [&audrey, &cage, &again].map(|picture| {
        let told = show_all(&STRICT, std::slice::from_ref(picture), &session).expect(200);
        assert_eq!(told["outcome"], "unknown", "{told}");
        told["event_id"].as_str().unwrap().to_owned()
    });
    let of = |event: &String| {
        let told_apart = |item: &Value| item["visitor_id"].is_string();
        STRICT.until(&format!("/api/v1/review/{event}"), told_apart)["visitor_id"].clone()
    };
    let [first, other, second] = events.each_ref().map(of);
    assert!(first == second && first != other, "{first} {second} {other}");
    let path = format!("/api/v1/visitors/{}", first.as_str().unwrap());
    let read = || STRICT.get(&path).expect(200);
    assert_eq!((&read()["visitor"]["sightings"], &read()["likely_person"]), (&json!(2), &Value::Null));
    assert_eq!(read()["items"].as_array().unwrap().len(), 2);
    let page = STRICT.get("/api/v1/visitors?limit=1").expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let rest = STRICT.get(&format!("/api/v1/visitors?cursor={}", page["next_cursor"].as_str().unwrap())).expect(200);
    assert!(!rest["items"].as_array().unwrap().is_empty(), "{rest}");
    STRICT
        .as_account(json!({ "role": "teacher", "rooms": [session_of(&STRICT, TimeDelta::hours(1)).0] }))
        .get(&path)
        .expect(404);

    // Once she is enrolled, it is said who the stranger may be; what was seen stays a stranger's.
    let known = STRICT.post("/api/v1/people", &json!({ "name": "Audrey" })).expect(201);
    let templates = format!("/api/v1/people/{}/templates", known["id"].as_str().unwrap());
    STRICT.upload(&templates, &[("pictures", "a.jpg", "image/jpeg", &audrey)]).expect(201);
    let likely = STRICT.until(&path, |visitor| visitor["likely_person"].is_object())["likely_person"].clone();
    assert_eq!((&likely["person_id"], &likely["confident"]), (&known["id"], &json!(true)), "{likely}");
    STRICT.delete(&path).expect(204);
    STRICT.get(&path).expect(404);
    STRICT.get(&format!("/api/v1/review/{}/face.jpg", events[0])).expect(404);
}

fn session_room() -> String {
    session().0
}
