//! Tokens, keys, roles and places: what opens which operation, and what is written down about it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;

use chrono::{TimeDelta, Utc};
use kit::{Client, PATIENCE, Site};
use rollcall_control_api::digest;
use rollcall_store::{Actor, ApiKeyFields, Grants, PasswordLink, TokenPair};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start("[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"attic\"\n"));

#[test]
fn roles_may_what_they_may() {
    let roles = ["admin", "operator", "teacher", "viewer"].map(|role| (role, SITE.as_role(role)));
    // Where the lists of each right are, and who may see them.
    for (path, may) in [
        ("/api/v1/accounts", &["admin"][..]),
        ("/api/v1/keys", &["admin"]),
        ("/api/v1/audit", &["admin"]),
        ("/api/v1/cameras", &["admin", "operator", "teacher", "viewer"]),
        ("/api/v1/rooms", &["admin", "operator", "teacher", "viewer"]),
        ("/api/v1/attendance", &["admin", "operator", "teacher", "viewer"]),
    ] {
        for (role, client) in &roles {
            let expected = if may.contains(role) { 200 } else { 403 };
            assert_eq!(client.get(path).status, expected, "{role} at {path}");
        }
    }
    let site = json!({ "id": "annex", "name": "Annex", "time_zone": "UTC" });
    for (role, client) in &roles[2..] {
        assert_eq!(client.post("/api/v1/sites", &site).status, 403, "{role} makes no sites");
    }
}

#[test]
fn nobody_gives_what_they_do_not_have() {
    let clerk = SITE.as_key(&["accounts:manage", "keys:manage", "cameras:read"]);
    let account = |role: &str| json!({ "login": format!("x-{role}"), "name": "X", "role": role, "everywhere": true });
    clerk.post("/api/v1/accounts", &account("admin")).expect(403);
    clerk.post("/api/v1/accounts", &account("viewer")).expect(403);
    let me = SITE.get("/api/v1/auth/me").expect(200);
    let path = format!("/api/v1/accounts/{}", me["id"].as_str().unwrap());
    clerk.post(&format!("{path}/reset"), &json!({})).expect(403);
    clerk.delete(&path).expect(403);
    let key = |right: &str| json!({ "name": "k", "rights": [right], "everywhere": true });
    clerk.post("/api/v1/keys", &key("audit:read")).expect(403);
    let made = clerk.post("/api/v1/keys", &key("cameras:read")).expect(201);
    let path = format!("/api/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    clerk.patch(&path, &json!({ "rights": ["audit:read"] })).expect(403);
    // Whoever is limited to some places manages nobody.
    let key = json!({ "name": "local", "rights": ["accounts:manage", "keys:manage", "audit:read"], "rooms": ["hall"] });
    let local = SITE.post("/api/v1/keys", &key).expect(201);
    let local = SITE.guest().with("x-api-key", local["secret"].as_str().unwrap());
    for path in ["/api/v1/accounts", "/api/v1/keys", "/api/v1/audit"] {
        local.get(path).expect(403);
    }
}

#[test]
fn whoever_is_refused_while_sending_comes_to_the_answer() {
    // More than the sockets' buffers hold: the refusal is there long before all of it is sent.
    let large = vec![b' '; 24 << 20];
    let form = ("content-type", "multipart/form-data; boundary=x");
    for _ in 0..8 {
        SITE.guest().send("POST", "/api/v1/faces/detect", &[form], &large).expect(401);
        SITE.as_key(&["people:read"]).send("POST", "/api/v1/faces/detect", &[form], &large).expect(403);
        SITE.guest().send("POST", "/api/v1/nowhere", &[], &large).expect(404);
    }
}

/// Begins to send so many bytes, and waits for the word that they are wanted. What is answered instead, if they are not.
fn begin_to_send(path: &str, headers: &str, bytes: usize) -> Result<TcpStream, String> {
    let mut socket = TcpStream::connect(SITE.base().trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = SITE.token();
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
         Content-Length: {bytes}\r\n{headers}\r\n"
    )
    .unwrap();
    let head = head(&mut socket);
    if head.starts_with("HTTP/1.1 100") { Ok(socket) } else { Err(head) }
}

fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn what_is_being_sent_is_held_within_bounds() {
    const FORM: &str = "Content-Type: multipart/form-data; boundary=x\r\n";
    const MB: usize = 1 << 20;
    // Not read at all: it is more than the operation takes.
    let keyed = "Content-Type: application/json\r\nIdempotency-Key: large\r\n";
    let refused = begin_to_send("/api/v1/keys", keyed, 60 * MB).unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");

    let begin = || begin_to_send("/api/v1/faces/detect", FORM, 28 * MB);
    let mut sending = Vec::new();
    let refused = loop {
        match begin() {
            Ok(socket) => sending.push(socket),
            Err(refused) => break refused,
        }
    };
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 2"), "{refused}");
    assert_eq!(sending.len(), 9, "256 MB in all");
    // Others do as before; and whoever is done makes room.
    SITE.get("/api/v1/rooms").expect(200);
    let mut done = sending.pop().unwrap();
    done.write_all(b"--x--\r\n").unwrap();
    assert!(head(&mut done).starts_with("HTTP/1.1 422"));
    begin().unwrap();
}

#[test]
fn a_key_is_told_once_and_is_void_at_once() {
    let made = SITE.post("/api/v1/keys", &json!({ "name": "HR", "rights": ["cameras:read"], "everywhere": true }));
    assert_eq!((made.header("etag"), made.header("cache-control")), ("\"1\"", "no-store"));
    let made = made.expect(201);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with(made["key"]["prefix"].as_str().unwrap()) && secret.len() > 40);
    let path = format!("/api/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    let read = SITE.get(&path);
    assert!(!String::from_utf8_lossy(&read.body).contains(secret), "told once");
    assert_eq!(read.expect(200)["last_used_at"], Value::Null);

    let machine = SITE.guest().with("x-api-key", secret);
    assert_eq!(machine.get("/api/v1/auth/me").expect(200)["kind"], "api_key");
    machine.get("/api/v1/cameras").expect(200);
    let told = machine.get("/api/v1/rooms").expect(403);
    assert!(told["detail"].as_str().unwrap().contains("places:read"), "{told}");
    machine.post("/api/v1/auth/logout", &json!({})).expect(403);

    let stale = SITE.json("PATCH", &path, &[("if-match", "\"7\"")], &json!({ "name": "HR 2" }));
    stale.expect(412);
    SITE.json("PATCH", &path, &[], &json!({ "name": "HR 2" })).expect(428);
    SITE.patch(&path, &json!({ "rights": ["places:read"] })).expect(200);
    machine.get("/api/v1/cameras").expect(403);
    machine.get("/api/v1/rooms").expect(200);
    SITE.patch(&path, &json!({ "expires_at": "2020-01-01T00:00:00Z" })).expect(422);
    SITE.delete(&path).expect(204);
    machine.get("/api/v1/rooms").expect(401);
    SITE.patch(&path, &json!({ "name": "again" })).expect(409);
    let key = SITE.get(&path).expect(200);
    assert!(key["revoked_at"].is_string() && key["last_used_at"].is_string(), "{key}");
}

#[test]
fn what_has_expired_opens_nothing() {
    #[expect(clippy::disallowed_methods, reason = "a test is where time comes from")]
    let now = Utc::now();
    let account = SITE.get("/api/v1/auth/me").expect(200)["id"].as_str().unwrap().parse().unwrap();
    let tomorrow = now + TimeDelta::days(1);
    let ends = [("over", now - TimeDelta::seconds(1)), ("on", now + TimeDelta::hours(1))];
    let invited = ends.map(|(name, _)| {
        let new = json!({ "login": format!("invited-{name}"), "name": "Invited", "role": "viewer" });
        let id = SITE.post("/api/v1/accounts", &new).expect(201)["account"]["id"].as_str().unwrap().parse().unwrap();
        PasswordLink::Account(id)
    });
    let key = |ends_at| ApiKeyFields {
        name: "a machine".to_owned(),
        rights: vec!["cameras:read".to_owned()],
        grants: Grants { everywhere: true, ..Grants::default() },
        rate_per_minute: None,
        expires_at: Some(ends_at),
    };
    let pair = |name: &str, access_until, refresh_until| TokenPair {
        access: digest(&format!("rca_{name}")),
        refresh: digest(&format!("rcr_{name}")),
        access_until,
        refresh_until,
        made: now,
    };
    SITE.with_store(async |store| {
        let mut change = store.change(Actor::system("a test")).await.unwrap();
        for ((name, ends_at), link) in ends.into_iter().zip(invited) {
            let sha256 = digest(&format!("rck_{name}"));
            change.add_api_key(&key(ends_at), &sha256, "rck_", None).await.unwrap();
            change.begin_login(account, &pair(name, ends_at, tomorrow), None).await.unwrap();
            let refreshed = format!("refresh-{name}");
            change.begin_login(account, &pair(&refreshed, tomorrow, ends_at), None).await.unwrap();
            change.add_password_link(link, &digest(&format!("rcl_{name}")), ends_at).await.unwrap();
        }
        change.commit().await.unwrap();
    });
    // What has expired may still be narrowed and renamed.
    let keys = SITE.get("/api/v1/keys?limit=500").expect(200);
    let over = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["expires_at"].as_str().is_some_and(|at| at < &*now.to_rfc3339()))
        .unwrap();
    let over = format!("/api/v1/keys/{}", over["id"].as_str().unwrap());
    SITE.patch(&over, &json!({ "name": "a machine of before" })).expect(200);
    for (name, status) in [("over", 401), ("on", 200)] {
        SITE.guest().with("x-api-key", &format!("rck_{name}")).get("/api/v1/cameras").expect(status);
        SITE.guest().with("authorization", &format!("Bearer rca_{name}")).get("/api/v1/cameras").expect(status);
        let cookie = format!("rollcall_refresh=rcr_refresh-{name}");
        SITE.guest().send("POST", "/api/v1/auth/refresh", &[("cookie", &cookie)], b"").expect(status);
        let set_up = json!({ "token": format!("rcl_{name}"), "password": kit::PASSWORD });
        SITE.guest().post("/api/v1/auth/setup", &set_up).expect(status);
    }
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_again() {
    let limit = [("ROLLCALL__SERVER__ADDRESS_RATE_PER_MINUTE", "20")];
    let site = Site::start_with("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n", &limit);
    let busy = site.guest().with("x-forwarded-for", "203.0.113.9");
    let mut answered = 0;
    let refused = loop {
        let answer = busy.get("/api/v1/version");
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
    };
    assert!(answered >= 20, "{answered}");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&wait), "one of twenty a minute: {wait}");
    assert_eq!(refused.expect(429)["type"], "urn:rollcall:problem:busy");
    busy.get("/health/live").expect(200);
    site.guest().with("x-forwarded-for", "203.0.113.10").get("/api/v1/version").expect(200);
}

#[test]
fn a_key_has_a_limit_of_its_own() {
    let key = json!({ "name": "slow", "rights": ["cameras:read"], "everywhere": true, "rate_per_minute": 3 });
    let made = SITE.post("/api/v1/keys", &key).expect(201);
    let slow = SITE.guest().with("x-api-key", made["secret"].as_str().unwrap());
    let statuses: Vec<_> = (0..4).map(|_| slow.get("/api/v1/cameras").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn the_log_says_who_did_what_and_keeps_no_secret() {
    let made = SITE.as_account(json!({ "role": "viewer", "rooms": ["hall"] }));
    let me = made.get("/api/v1/auth/me").expect(200);
    let id = me["id"].as_str().unwrap();
    let path = format!("/api/v1/accounts/{id}");
    SITE.patch(&path, &json!({ "name": "Renamed", "rooms": ["attic"] })).expect(200);
    let log = |query: &str| SITE.get(&format!("/api/v1/audit?{query}")).expect(200)["items"].clone();
    let entries = log(&format!("object_kind=account&object_id={id}"));
    let actions: Vec<_> = entries.as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["account.update", "account.password", "account.create"], "the newest first");
    let update = &entries[0];
    assert_eq!((&update["before"]["rooms"][0], &update["after"]["rooms"][0]), (&"hall".into(), &"attic".into()));
    assert_eq!((&update["actor_name"], &update["actor_kind"]), (&"admin".into(), &"account".into()));
    assert!(update["address"] == "127.0.0.1" && update["request_id"].is_string(), "{update}");
    let text = log("limit=500").to_string();
    for secret in ["argon2", "rcl_", "rca_", "rcr_", kit::PASSWORD] {
        assert!(!text.contains(secret), "{secret}");
    }
    // Six letters of a key say which it is.
    let letters = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).count();
    assert!(text.split("rck_").skip(1).all(|after| letters(after) <= 6), "a whole key");
    assert!(log("action=login.begin").as_array().unwrap().iter().all(|e| e["object_kind"] == "login"));
    assert_eq!(log(&format!("actor={id}&to=2020-01-01T00:00:00Z")), json!([]));
    let first = SITE.get("/api/v1/audit?limit=1").expect(200);
    let next = SITE.get(&format!("/api/v1/audit?limit=1&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert!(next.expect(200)["items"][0]["id"].as_i64() < first["items"][0]["id"].as_i64());
    for bad in ["limit=0", "cursor=x", "from=+262142-01-01T00:00:00Z", "action=%00", "colour=red", "actor=1"] {
        let status = SITE.get(&format!("/api/v1/audit?{bad}")).status;
        assert!(status == 400 || status == 422, "{bad}: {status}");
    }
    for method in ["POST", "PATCH", "DELETE"] {
        SITE.send(method, "/api/v1/audit", &[], b"").expect(405);
    }
}

fn keyed(client: &Client, key: &str, body: &Value) -> kit::Answer {
    client.json("POST", "/api/v1/keys", &[("idempotency-key", key)], body)
}

#[test]
fn a_request_that_is_sent_twice_is_done_once() {
    let body = json!({ "name": "once", "rights": ["cameras:read"] });
    let first = keyed(&SITE, "a-1", &body);
    let again = keyed(&SITE, "a-1", &body);
    assert_eq!((again.header("idempotency-replayed"), again.header("location")), ("true", first.header("location")));
    assert_eq!((again.status, &again.json), (201, &first.json), "with the secret that was not heard");
    let other = keyed(&SITE, "a-1", &json!({ "name": "other", "rights": ["cameras:read"] }));
    assert_eq!(other.expect(422)["type"], "urn:rollcall:problem:idempotency-key");
    // The key of somebody else is another key.
    let second = keyed(&SITE.as_role("admin"), "a-1", &body);
    assert_ne!(second.json["key"]["id"], first.json["key"]["id"]);
    // What was refused may be tried again.
    keyed(&SITE, "a-2", &json!({ "name": "", "rights": ["cameras:read"] })).expect(422);
    keyed(&SITE, "a-2", &body).expect(201);
    keyed(&SITE, "ö", &body).expect(400);
    keyed(&SITE, &"x".repeat(201), &body).expect(400);

    let statuses: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| keyed(&SITE, "a-3", &body))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    })
    .into_iter()
    .map(|answer| (answer.status, answer.json["key"]["id"].clone()))
    .collect();
    let made: Vec<_> = statuses.iter().filter(|(status, _)| *status == 201).collect();
    assert!(!made.is_empty() && made.iter().all(|answer| *answer == made[0]), "{statuses:?}");
    assert!(statuses.iter().all(|(status, _)| [201, 409].contains(status)), "{statuses:?}");
}

#[test]
fn browsers_are_told_what_they_may() {
    let site =
        Site::start("[server]\ncors_origins = [\"https://app.example.org\"]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let ask = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        site.guest().send("OPTIONS", "/api/v1/live", &headers, b"")
    };
    let allowed = ask("https://app.example.org");
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
    // After a break a stream goes on.
    let headers = allowed.header("access-control-allow-headers");
    assert!(headers.split(',').any(|name| name.trim() == "last-event-id"), "{headers}");
    assert_eq!(ask("https://evil.example.org").header("access-control-allow-origin"), "");
    // What an answer says beside its body is for them, too.
    let shown = site.guest().send("GET", "/api/v1/version", &[("origin", "https://app.example.org")], b"");
    let shown: Vec<_> = shown.header("access-control-expose-headers").split(',').map(str::trim).collect();
    for name in ["etag", "location", "retry-after", "x-request-id", "idempotency-replayed", "x-captured-at"] {
        assert!(shown.contains(&name), "{name} is not in {shown:?}");
    }
    let answer = site.get("/api/v1/cameras");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    // An image of such a page has nothing but its ticket.
    site.post("/api/v1/rooms", &json!({ "id": "hall" })).expect(201);
    let settings = json!({ "streams": { "detect": "rtsp://127.0.0.1:9/door" } });
    site.post("/api/v1/cameras", &json!({ "id": "door", "room_id": "hall", "settings": settings })).expect(201);
    let ticket = site.post("/api/v1/live/ticket", &json!({})).expect(200)["ticket"].clone();
    let image = format!("/api/v1/cameras/door/preview?seconds=1&ticket={}", ticket.as_str().unwrap());
    let image = site.guest().get(&image);
    assert_eq!((image.status, image.header("cross-origin-resource-policy")), (200, "cross-origin"));
    // Behind a proxy of ours the log has the address of whoever asked it.
    let key = json!({ "name": "far", "rights": ["cameras:read"] });
    site.json("POST", "/api/v1/keys", &[("x-forwarded-for", "203.0.113.9, 198.51.100.4")], &key).expect(201);
    let log = site.get("/api/v1/audit?action=api_key.create").expect(200);
    assert_eq!(log["items"][0]["address"], "198.51.100.4");
}

#[test]
fn the_page_of_the_api_brings_all_that_it_needs() {
    let guest = SITE.guest();
    let page = guest.get("/docs/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.contains("default-src 'self'") && !policy.contains("script-src"), "{policy}");
    let text = String::from_utf8(page.body).unwrap();
    let parts = |start: &str| {
        let found = text.split(start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        found.collect::<Vec<_>>()
    };
    let (scripts, links) = (parts("src=\""), parts("href=\""));
    assert!(scripts.len() >= 3 && links.len() >= 2, "{text}");
    // Its policy lets no script run that stands in the page itself.
    assert_eq!(text.matches("<script").count(), scripts.len(), "{text}");
    assert!(!text.contains("onload="), "{text}");
    let mut scripted = String::new();
    for part in scripts.iter().chain(&links) {
        let path = part.trim_start_matches("./");
        assert!(!path.contains(':') && !path.starts_with('/'), "{part}: from here, and from nowhere else");
        let got = guest.get(&format!("/docs/{path}"));
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            "png" => "image/png",
            other => panic!("{part}: {other}"),
        };
        assert_eq!((got.status, got.header("x-content-type-options")), (200, "nosniff"), "{part}");
        assert!(got.header("content-type").starts_with(expected), "{part}: {}", got.header("content-type"));
        assert!(!got.body.is_empty(), "{part}");
        if path.ends_with("initializer.js") {
            scripted = String::from_utf8(got.body).unwrap();
        }
    }
    assert!(scripted.contains("/api/openapi.json"), "what it shows: {scripted}");
    let document = guest.get("/api/openapi.json");
    assert!(document.header("content-type").starts_with("application/json"));
    assert_eq!(document.expect(200)["openapi"], "3.1.0");
}
