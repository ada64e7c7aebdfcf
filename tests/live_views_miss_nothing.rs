//! Server-sent events of what happens: in order, without gaps or repeats, for whoever may see it and as long as they may.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use kit::{Client, Daemon, Site, make_admin};
use serde_json::{Value, json};

const CONFIG: &str = "[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n";

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
    let heard = follow(&key, "/api/v1/live", &[]);
    SITE.delete(&format!("/api/v1/keys/{}", made["key"]["id"].as_str().or(made["id"].as_str()).unwrap())).expect(204);
    // It goes on for less than ten seconds.
    assert_eq!(heard.filter(|told| told.kind == "none").count(), 0);
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
    SITE.get("/api/v1/live/ws").expect(426);
}
