//! Server-sent events of what happens: in order, without gaps or repeats, for whoever may see it and as long as they may.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use kit::{Client, Daemon, PATIENCE, Site, make_admin, media, until};
use rollcall_pipeline::{Clock, SystemClock};
use serde_json::{Value, json};

const CONFIG: &str = "[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n[privacy]\nkeep_unknown_faces = true\n";

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(CONFIG));

/// An event as it was told.
#[derive(Clone, Debug)]
struct Told {
    id: u64,
    kind: String,
    data: Value,
}

/// The events of a stream.
fn events(lines: impl Iterator<Item = String>) -> impl Iterator<Item = Told> {
    let mut lines = lines;
    std::iter::from_fn(move || {
        let (mut id, mut kind) = (0, String::new());
        loop {
            let line = lines.next()?;
            let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
            match name {
                "id" => id = value.parse().unwrap(),
                "event" => kind = value.to_owned(),
                "data" => {
                    let data: Value = serde_json::from_str(value).unwrap();
                    assert_eq!((data["id"].as_str(), data["kind"].as_str()), (Some(&*id.to_string()), Some(&*kind)));
                    return Some(Told { id, kind, data });
                }
                _ => {}
            }
        }
    })
}

fn follow(client: &Client, path: &str, headers: &[(&str, &str)]) -> impl Iterator<Item = Told> + use<> {
    let (status, lines) = client.follow(path, headers);
    assert_eq!(status, 200);
    events(lines)
}

/// Makes a room.
fn room(client: &Client) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("live-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    client.post("/api/v1/rooms", &json!({ "id": id })).expect(201);
    id
}

/// Something happens: a session is made. Its id.
fn happen(client: &Client, room: &str) -> String {
    let new = json!({ "room_id": room, "starts_at": "2031-05-01T08:00:00Z", "ends_at": "2031-05-01T09:00:00Z" });
    client.post("/api/v1/sessions", &new).expect(201)["id"].as_str().unwrap().to_owned()
}

fn session(told: &Told) -> String {
    told.data["data"]["session_id"].as_str().unwrap().to_owned()
}

/// The last id that there is.
fn now(client: &Client) -> u64 {
    let room = room(client);
    // Only what comes after the stream began is told: something has to happen until it does.
    let (status, lines) = client.follow("/api/v1/live?last_event_id=0&kinds=session", &[]);
    assert_eq!(status, 200);
    let mark = happen(client, &room);
    events(lines).find(|told| session(told) == mark).unwrap().id
}

#[test]
fn whoever_comes_back_misses_nothing_and_hears_nothing_twice() {
    let room = room(&SITE);
    let begun = now(&SITE);
    let path = format!("/api/v1/live?last_event_id={begun}&kinds=session");
    let ours = |told: &Told| told.data["room_id"] == room.as_str();
    let live = follow(&SITE, &path, &[]);
    // Several write at once, and each write is seen by everybody in the same order.
    let made: BTreeSet<String> = std::thread::scope(|scope| {
        let writers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..6).map(|_| happen(&SITE, &room)).collect::<Vec<_>>())).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let heard: Vec<Told> = live.filter(ours).take(made.len()).collect();
    assert!(heard.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(heard.iter().map(session).collect::<BTreeSet<_>>(), made);
    // From the middle on, whichever way the id is told.
    let middle = heard[10].id.to_string();
    let again: Vec<u64> = follow(&SITE, "/api/v1/live?kinds=session", &[("last-event-id", &middle)])
        .filter(ours)
        .take(13)
        .map(|t| t.id)
        .collect();
    assert_eq!(again, heard[11..].iter().map(|t| t.id).collect::<Vec<_>>());
}

#[test]
fn a_restart_of_the_daemon_costs_nothing() {
    let mode = std::fs::Permissions::from_mode(0o755);
    let dir = tempfile::Builder::new().prefix("rollcall-live").permissions(mode).tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("rollcall.toml"));
    std::fs::write(&config, CONFIG).unwrap();
    let daemon = Daemon::start(&data, &config);
    make_admin(&data, &config, "admin");
    let admin = Client::new(&daemon.address).log_in("admin");
    let room = room(&admin);
    let begun = now(&admin);
    let path = format!("/api/v1/live?last_event_id={begun}");
    let mut live = follow(&admin, &path, &[]);
    let first = happen(&admin, &room);
    let told = live.next().unwrap();
    assert_eq!(session(&told), first);
    let missed = happen(&admin, &room);
    // Whoever follows does not keep it from ending.
    assert!(daemon.terminate().success());
    let daemon = Daemon::start(&data, &config);
    let admin = Client::new(&daemon.address).log_in("admin");
    let mut live = follow(&admin, &format!("/api/v1/live?last_event_id={}", told.id), &[]);
    assert_eq!(session(&live.next().unwrap()), missed);
    let last = happen(&admin, &room);
    assert_eq!(session(&live.next().unwrap()), last);
}

#[test]
fn everybody_hears_what_they_may_see() {
    let (here, there) = (room(&SITE), room(&SITE));
    let begun = now(&SITE);
    let path = format!("/api/v1/live?last_event_id={begun}");
    let teacher = SITE.as_account(json!({ "role": "teacher", "rooms": [here] }));
    let mut heard = follow(&teacher, &path, &[]);
    let (_, mine) = (happen(&SITE, &there), happen(&SITE, &here));
    assert_eq!(session(&heard.next().unwrap()), mine);
    // Sessions need places:read.
    let key = SITE.as_key(&["live:read", "cameras:read"]);
    assert_eq!(follow(&key, &format!("{path}&seconds=1"), &[]).count(), 0);
    assert_eq!(SITE.as_key(&["places:read"]).get(&path).status, 403);
    assert_eq!(SITE.guest().get(&path).status, 401);
}

#[test]
fn a_stream_ends_with_the_key_that_opened_it() {
    let made = SITE
        .post(
            "/api/v1/keys",
            &json!({ "name": "gone soon", "rights": ["live:read", "places:read"], "everywhere": true }),
        )
        .expect(201);
    let key = SITE.guest().with("x-api-key", made["secret"].as_str().unwrap());
    let (status, heard) = key.follow("/api/v1/live", &[]);
    assert_eq!(status, 200);
    SITE.delete(&format!("/api/v1/keys/{}", made["key"]["id"].as_str().or(made["id"].as_str()).unwrap())).expect(204);
    // To its end, which comes within ten seconds.
    heard.for_each(drop);
}

#[test]
fn no_key_takes_the_seats_of_all() {
    let key = SITE.as_key(&["live:read", "places:read"]);
    let mut seats: Vec<_> = (0..64).map(|_| follow(&key, "/api/v1/live", &[])).collect();
    let full = key.get("/api/v1/live");
    assert_eq!((full.status, full.header("retry-after")), (429, "5"));
    assert_eq!(SITE.as_key(&["live:read"]).follow("/api/v1/live", &[]).0, 200);
    // Who leaves makes room, as soon as it is noticed.
    seats.pop();
    until("there is room", || key.follow("/api/v1/live", &[]).0 == 200);
}

/// A ticket, as a browser asks for one.
fn ticket(client: &Client) -> String {
    let sold = client.post("/api/v1/live/ticket", &json!({})).expect(200);
    assert_eq!(sold["expires_in"], 30);
    sold["ticket"].as_str().unwrap().to_owned()
}

#[test]
fn browsers_that_set_no_headers_follow_by_a_ticket() {
    let room = room(&SITE);
    let begun = now(&SITE);
    let made = happen(&SITE, &room);
    let key = SITE.as_key(&["live:read", "places:read"]);
    let path = format!("/api/v1/live?last_event_id={begun}&kinds=session&ticket=");
    let once = ticket(&key);
    let mut heard = follow(&SITE.guest(), &format!("{path}{once}"), &[]);
    assert!(heard.any(|told| session(&told) == made));
    SITE.guest().get(&format!("{path}{once}")).expect(401);
    SITE.guest().get(&format!("{path}rct_forged")).expect(401);
    // It opens streams alone, and whatever its owner may open.
    SITE.guest().get(&format!("/api/v1/sessions?ticket={}", ticket(&key))).expect(401);
    SITE.guest()
        .get(&format!("/api/v1/live?kinds=session&ticket={}", ticket(&SITE.as_key(&["cameras:read"]))))
        .expect(403);
    SITE.guest().post("/api/v1/live/ticket", &json!({})).expect(401);
    SITE.as_key(&["people:read"]).post("/api/v1/live/ticket", &json!({})).expect(403);
    // Who sends a header needs no ticket, and keeps the one they have.
    let kept = ticket(&key);
    key.get(&format!("{path}{kept}&seconds=1")).expect(200);
    let (status, _) = SITE.guest().follow(&format!("{path}{kept}"), &[]);
    assert_eq!(status, 200);
}

#[test]
fn a_websocket_tells_what_the_stream_tells() {
    let room = room(&SITE);
    let begun = now(&SITE);
    let made = happen(&SITE, &room);
    let key = SITE.as_key(&["live:read", "places:read"]);
    let mut socket = TcpStream::connect(SITE.base().trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = format!("/api/v1/live/ws?last_event_id={begun}&kinds=session&ticket={}", ticket(&key));
    // As a browser opens it: with an origin, and no header of ours.
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(socket.read_line(&mut head).unwrap() > 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut message = || {
        let mut start = [0; 2];
        socket.read_exact(&mut start).unwrap();
        let length = match start[1] {
            126 => {
                let mut long = [0; 2];
                socket.read_exact(&mut long).unwrap();
                usize::from(u16::from_be_bytes(long))
            }
            short => usize::from(short),
        };
        let mut body = vec![0; length];
        socket.read_exact(&mut body).unwrap();
        (start[0], body)
    };
    let told = loop {
        let (kind, body) = message();
        assert_eq!(kind, 0x81, "text and whole: {body:?}");
        let told: Value = serde_json::from_slice(&body).unwrap();
        if told["data"]["session_id"] == made {
            break told;
        }
    };
    assert_eq!((&told["kind"], &told["room_id"]), (&json!("session"), &json!(room)), "{told}");
    // It closes, and says why, when the key is revoked.
    let me = key.get("/api/v1/auth/me").expect(200);
    SITE.delete(&format!("/api/v1/keys/{}", me["id"].as_str().unwrap())).expect(204);
    let end = loop {
        let (kind, body) = message();
        if kind == 0x88 {
            break body;
        }
    };
    assert_eq!(u16::from_be_bytes([end[0], end[1]]), 1008);
}

#[test]
fn a_sighting_and_what_is_to_be_decided_are_told() {
    let room = room(&SITE);
    let begun = now(&SITE);
    let picture = media("cage.jpg");
    let parts: [(&str, &str, &str, &[u8]); 2] =
        [("image", "a.jpg", "image/jpeg", &picture), ("room_id", "", "", room.as_bytes())];
    let shown = SITE.upload("/api/v1/attendance/mark", &parts).expect(200);
    assert_eq!(shown["outcome"], "unknown", "{shown}");
    let path = format!("/api/v1/live?last_event_id={begun}&kinds=sighting,review");
    let ours = |told: &Told| told.data["room_id"] == room.as_str();
    let mut heard = follow(&SITE, &path, &[]).filter(ours);
    let told: Vec<Told> = heard.by_ref().take(2).collect();
    let of = |kind: &str| told.iter().find(|told| told.kind == kind).unwrap_or_else(|| panic!("{told:?}"));
    let (sighting, review) = (&of("sighting").data["data"], &of("review").data["data"]);
    assert_eq!((&sighting["event_id"], &sighting["kind"]), (&shown["event_id"], &json!("unknown")), "{sighting}");
    assert_eq!((&sighting["person_id"], &sighting["name"]), (&Value::Null, &Value::Null), "{sighting}");
    assert_eq!((&review["event_id"], &review["status"]), (&shown["event_id"], &json!("open")), "{review}");
    // And that it was decided.
    SITE.post(&format!("/api/v1/review/{}/reject", shown["event_id"].as_str().unwrap()), &json!({})).expect(200);
    let decided = heard.next().unwrap();
    assert_eq!((&*decided.kind, &decided.data["data"]["status"]), ("review", &json!("rejected")), "{decided:?}");
    // Without what is not asked for.
    let path = format!("/api/v1/live?last_event_id={begun}&kinds=review");
    assert!(follow(&SITE, &path, &[]).filter(ours).take(2).all(|told| told.kind == "review"));
}

#[test]
fn people_hear_what_counts_for_them_and_nothing_else() {
    let room = room(&SITE);
    let person = |name: &str| SITE.post("/api/v1/people", &json!({ "name": name })).expect(201)["id"].clone();
    let (ann, ben) = (person("Ann"), person("Ben"));
    let new = json!({ "room_id": room, "starts_at": SystemClock.wall() - TimeDelta::minutes(1),
        "ends_at": SystemClock.wall() + TimeDelta::hours(1), "people": [ann, ben] });
    let made = SITE.post("/api/v1/sessions", &new).expect(201);
    let begun = now(&SITE);
    let herself = SITE.as_account(json!({ "role": "person", "person_id": ann }));
    let mut heard = follow(&herself, &format!("/api/v1/live?last_event_id={begun}"), &[]);
    // Before hers, and between: somebody else's, and a session.
    for (who, kind) in [(&ben, "present"), (&ann, "late"), (&ben, "late"), (&ann, "present")] {
        happen(&SITE, &room);
        let body = json!({ "session_id": made["id"], "person_id": who, "kind": kind, "reason": "by hand" });
        SITE.json("POST", "/api/v1/attendance/corrections", &[("if-match", "*")], &body).expect(201);
    }
    for status in ["late", "present"] {
        let told = heard.next().unwrap();
        assert_eq!((&*told.kind, &told.data["person_id"]), ("mark", &ann), "{told:?}");
        assert_eq!((&told.data["data"]["status"], &told.data["data"]["name"]), (&json!(status), &json!("Ann")));
    }
}

#[test]
fn a_mark_by_hand_that_is_taken_back_is_told() {
    let room = room(&SITE);
    let ann = SITE.post("/api/v1/people", &json!({ "name": "Ann" })).expect(201)["id"].clone();
    let new = json!({ "room_id": room, "starts_at": SystemClock.wall() - TimeDelta::minutes(1),
        "ends_at": SystemClock.wall() + TimeDelta::hours(1), "people": [ann] });
    let made = SITE.post("/api/v1/sessions", &new).expect(201);
    let begun = now(&SITE);
    let ours = |told: &Told| told.data["room_id"] == room.as_str();
    let mut heard = follow(&SITE, &format!("/api/v1/live?last_event_id={begun}&kinds=mark"), &[]).filter(ours);
    for (kind, status) in [("present", json!("present")), ("restore", Value::Null), ("late", json!("late"))] {
        let body = json!({ "session_id": made["id"], "person_id": ann, "kind": kind, "reason": "by hand" });
        SITE.post_over("/api/v1/attendance/corrections", &body).expect(201);
        let told = heard.next().unwrap().data;
        assert_eq!((&told["person_id"], &told["data"]["session_id"]), (&ann, &made["id"]), "{told}");
        assert_eq!((&told["data"]["name"], &told["data"]["status"]), (&json!("Ann"), &status), "{told}");
    }
}

#[test]
fn what_is_not_kept_any_more_is_told_as_a_reset() {
    // An id that this database never gave out: it was replaced.
    let mut heard = follow(&SITE, "/api/v1/live?last_event_id=9000000000000000000", &[]);
    assert_eq!(heard.next().unwrap().kind, "reset");
    for wrong in ["last_event_id=x", "last_event_id=-1", "kinds=mark,none", "seconds=0", "none=1"] {
        let status = SITE.get(&format!("/api/v1/live?{wrong}")).status;
        assert!([400, 422].contains(&status), "{wrong}: {status}");
    }
    let refused = SITE.get("/api/v1/live/ws");
    assert_eq!((refused.header("upgrade"), refused.header("connection")), ("websocket", "upgrade"));
    refused.expect(426);
}
