//! Passwords, tokens, cookies and links: who comes in, for how long, and what ends it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::{Arc, LazyLock};

use chrono::TimeDelta;
use kit::{Answer, Client, PASSWORD, Site, run, stderr};
use rollcall_control_api::{NewSecret, SecretKind};
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::{Actor, Cluster, Sealer, Store, TokenPair};
use serde_json::json;

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(""));

const ME: &str = "/api/v1/auth/me";
const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";

/// A new account that waits for its link: id, login and token of the link.
fn made(name: &str, role: &str) -> (String, String, String) {
    let account = json!({ "login": format!("{name}@example.org"), "name": name, "role": role, "everywhere": true });
    let made = SITE.post("/api/v1/accounts", &account).expect(201);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&made["account"]["id"]), text(&made["account"]["login"]), text(&made["link"]["token"]))
}

/// Sets its password.
fn set_up(token: &str) -> Answer {
    SITE.guest().post("/api/v1/auth/setup", &json!({ "token": token, "password": PASSWORD }))
}

fn log_in(login: &str, password: &str) -> Answer {
    SITE.guest().post(LOGIN, &json!({ "login": login, "password": password }))
}

/// The refresh cookie of an answer, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn bearer(answer: Answer) -> Client {
    let token = answer.expect(200)["access_token"].as_str().unwrap().to_owned();
    SITE.guest().with("authorization", &format!("Bearer {token}"))
}

#[test]
fn a_link_sets_a_password_once() {
    let (_, login, token) = made("Ada", "operator");
    assert_eq!(log_in(&login, PASSWORD).status, 401, "it has none yet");
    let short = SITE.guest().post("/api/v1/auth/setup", &json!({ "token": token, "password": "short" }));
    assert_eq!(short.expect(422)["errors"][0]["pointer"], "#/password");
    let telling = json!({ "token": token, "password": format!("my login is {login}") });
    let told = SITE.guest().post("/api/v1/auth/setup", &telling).expect(422);
    assert_eq!(told["errors"][0]["pointer"], "#/password", "{told}");
    let operator = bearer(set_up(&token));
    let me = operator.get(ME).expect(200);
    assert_eq!((&me["kind"], &me["role"], &me["everywhere"]), (&"account".into(), &"operator".into(), &true.into()));
    set_up(&token).expect(401);
    // Logins are compared without case.
    log_in(&login.to_uppercase(), PASSWORD).expect(200);
    let told = log_in(&login, "another password that is long").expect(401);
    let unknown = log_in("nobody@example.org", PASSWORD).expect(401);
    assert_eq!(told["detail"], unknown["detail"], "nobody learns which logins there are");
}

#[test]
fn a_login_that_fails_is_in_the_log_without_what_was_typed() {
    let (id, login, token) = made("Hedy", "viewer");
    set_up(&token).expect(200);
    let log = || SITE.get("/api/v1/audit?action=login.failed&limit=500").expect(200)["items"].clone();
    let object_of = |refused: Answer| {
        assert_eq!(refused.status, 401);
        let log = log();
        let mut entries = log.as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["request_id"] == refused.header("x-request-id")).unwrap();
        assert_eq!((&entry["address"], &entry["actor_id"]), (&json!("127.0.0.1"), &json!(null)), "{entry}");
        assert_eq!((&entry["object_kind"], &entry["after"]), (&json!("account"), &json!(null)), "{entry}");
        entry["object_id"].as_str().unwrap().to_owned()
    };
    let password = "her dear old secret";
    assert_eq!(object_of(log_in(&login.to_uppercase(), password)), id);
    SITE.patch(&format!("/api/v1/accounts/{id}"), &json!({ "disabled": true })).expect(200);
    assert_eq!(object_of(log_in(&login, PASSWORD)), id);
    // Typed into the wrong field; and no login at all.
    for odd in [password.to_owned(), "x".repeat(201), "a\u{0}b".to_owned()] {
        assert_eq!(object_of(log_in(&odd, "x")), "unknown");
    }
    assert!(!log().to_string().contains(password));
}

#[test]
fn a_logout_is_at_once() {
    let (_, login, token) = made("Grace", "viewer");
    let first = set_up(&token);
    let refresh = cookie(&first);
    let viewer = bearer(first);
    let other = bearer(log_in(&login, PASSWORD));
    viewer.get(ME).expect(200);
    let out = viewer.post(LOGOUT, &json!({}));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    out.expect(204);
    viewer.get(ME).expect(401);
    SITE.guest().send("POST", REFRESH, &[("cookie", &refresh)], b"").expect(401);
    other.get(ME).expect(200);
}

#[test]
fn who_was_away_for_long_logs_out_by_the_cookie_alone() {
    let (id, login, token) = made("Radia", "viewer");
    set_up(&token).expect(200);
    let first = log_in(&login, PASSWORD);
    let refresh = cookie(&first);
    let radia = bearer(first);
    let elsewhere = bearer(log_in(&login, PASSWORD));
    // Whatever token it sends, its answer takes the cookie away.
    let log_out = |client: &Client, cookie: &str| {
        let out = client.send("POST", LOGOUT, &[("cookie", cookie)], b"");
        assert!(out.header("set-cookie").starts_with("rollcall_refresh=;"), "{cookie}: {out:?}");
        assert!(out.header("set-cookie").contains("Max-Age=0"), "{cookie}: {out:?}");
        let request = out.header("x-request-id").to_owned();
        out.expect(204);
        request
    };
    let over = SITE.guest().with("authorization", "Bearer rca_of_an_hour_ago");
    let request = log_out(&over, &refresh);
    radia.get(ME).expect(401);
    SITE.guest().send("POST", REFRESH, &[("cookie", &refresh)], b"").expect(401);
    elsewhere.get(ME).expect(200);
    let log = SITE.get(&format!("/api/v1/audit?action=login.revoke&actor={id}")).expect(200)["items"].clone();
    let [entry] = log.as_array().unwrap().as_slice() else { panic!("{log}") };
    assert_eq!((&entry["actor_name"], &entry["request_id"]), (&json!("Radia"), &json!(request)));
    assert_eq!((&entry["address"], &entry["after"]["why"]), (&json!("127.0.0.1"), &json!("logout")));
    for cookie in [refresh.as_str(), "rollcall_refresh=rcr_forged", "theme=dark"] {
        log_out(&SITE.guest(), cookie);
    }
    for odd in ["", "rcr_", "rca_forged", "rcr_for ged", &format!("rcr_{}", "x".repeat(197))] {
        let cookie = format!("rollcall_refresh={odd}");
        SITE.guest().send("POST", LOGOUT, &[("cookie", &cookie)], b"").expect(401);
        SITE.guest().send("POST", REFRESH, &[("cookie", &cookie)], b"").expect(401);
    }
    elsewhere.get(ME).expect(200);
}

#[test]
fn a_refresh_token_is_good_once_and_ends_everything_the_second_time() {
    let (_, login, token) = made("Alan", "viewer");
    set_up(&token).expect(200);
    let first = log_in(&login, PASSWORD);
    let told = first.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/api/v1/auth", "Max-Age=604800"] {
        assert!(told.contains(part), "{told}");
    }
    let refresh = |cookie: &str| SITE.guest().send("POST", REFRESH, &[("cookie", cookie)], b"");
    let second = refresh(&format!("theme=dark; {}", cookie(&first)));
    let new = cookie(&second);
    assert_ne!(new, cookie(&first));
    let alan = bearer(second);
    alan.get(ME).expect(200);
    // A thief, or the victim: one of the two has it, and nobody knows which.
    refresh(&cookie(&first)).expect(401);
    alan.get(ME).expect(401);
    refresh(&new).expect(401);
    for forged in ["rollcall_refresh=", "rollcall_refresh=rcr_x", "other=1"] {
        refresh(forged).expect(401);
    }
}

#[test]
fn a_login_is_over_after_thirty_days_however_often_it_was_refreshed() {
    let (id, _, token) = made("Katherine", "viewer");
    set_up(&token).expect(200);
    // Logins of other days, as the daemon would have made them then.
    let logged_in = |ago: TimeDelta| {
        let (access, refresh) =
            (NewSecret::random(SecretKind::Access).unwrap(), NewSecret::random(SecretKind::Refresh).unwrap());
        let then = SystemClock.wall() - ago;
        let pair = TokenPair {
            made: then,
            access: access.digest(),
            refresh: refresh.digest(),
            access_until: then + TimeDelta::minutes(15),
            // It was refreshed since, in time.
            refresh_until: then + ago + TimeDelta::days(7),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cluster = Cluster::start(&SITE.data(), &Supervisor::new(clock)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::in_cluster(&cluster, Sealer::new([7; 32]), 1);
            let mut change = store.change(Actor::system("test")).await.unwrap();
            change.begin_login(id.parse().unwrap(), &pair, None).await.unwrap();
            change.commit().await.unwrap();
            store.close().await;
        });
        SITE.guest().send("POST", REFRESH, &[("cookie", &format!("rollcall_refresh={}", refresh.told()))], b"")
    };
    logged_in(TimeDelta::days(30)).expect(401);
    let last = logged_in(TimeDelta::days(30) - TimeDelta::minutes(10));
    let age =
        last.header("set-cookie").split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse::<i64>().unwrap();
    assert!((400..=600).contains(&age), "the cookie ends with the login: {age}");
    let told = last.expect(200);
    assert!((400..=600).contains(&told["expires_in"].as_i64().unwrap()), "and so does the token: {told}");
    let recent = logged_in(TimeDelta::days(20));
    assert!(
        recent.header("set-cookie").contains("Max-Age=604800")
            || recent.header("set-cookie").contains("Max-Age=604799")
    );
    assert_eq!(recent.expect(200)["expires_in"].as_i64().unwrap() / 10, 90);
}

#[test]
fn of_two_refreshes_at_once_one_wins_and_the_login_is_over() {
    let (_, login, token) = made("Edsger", "viewer");
    set_up(&token).expect(200);
    for _ in 0..3 {
        let answer = log_in(&login, PASSWORD);
        let cookie = cookie(&answer);
        let ask = || SITE.guest().send("POST", REFRESH, &[("cookie", &cookie)], b"");
        let (a, b) = std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(ask), scope.spawn(ask));
            (a.join().unwrap(), b.join().unwrap())
        });
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
        let winner = if a.status == 200 { a } else { b };
        bearer(winner).get(ME).expect(401);
        bearer(answer).get(ME).expect(401);
    }
}

#[test]
fn a_changed_password_ends_the_other_logins() {
    let (_, login, token) = made("Barbara", "viewer");
    let here = bearer(set_up(&token));
    let elsewhere = bearer(log_in(&login, PASSWORD));
    let change =
        |old: &str, new: &str| here.post("/api/v1/auth/password", &json!({ "old_password": old, "new_password": new }));
    assert_eq!(change("wrong", "a new one that is long").expect(422)["errors"][0]["pointer"], "#/old_password");
    change(PASSWORD, PASSWORD).expect(422);
    change(PASSWORD, "a new one that is long").expect(204);
    here.get(ME).expect(200);
    elsewhere.get(ME).expect(401);
    log_in(&login, PASSWORD).expect(401);
    log_in(&login, "a new one that is long").expect(200);
}

#[test]
fn an_admin_resets_a_password_and_disables_an_account() {
    let (id, login, token) = made("Donald", "viewer");
    let donald = bearer(set_up(&token));
    let path = format!("/api/v1/accounts/{id}");
    let link = SITE.post(&format!("{path}/reset"), &json!({})).expect(200);
    donald.get(ME).expect(401);
    log_in(&login, PASSWORD).expect(401);
    let donald = bearer(set_up(link["token"].as_str().unwrap()));
    SITE.patch(&path, &json!({ "disabled": true })).expect(200);
    donald.get(ME).expect(401);
    log_in(&login, PASSWORD).expect(401);
    SITE.patch(&path, &json!({ "disabled": false })).expect(200);
    donald.get(ME).expect(401);
    log_in(&login, PASSWORD).expect(200);
    SITE.delete(&path).expect(204);
    log_in(&login, PASSWORD).expect(401);
    SITE.get(&path).expect(404);
}

#[test]
fn the_last_admin_stays() {
    // Of its own: others make admins meanwhile.
    let site = Site::start("");
    let me = site.get(ME).expect(200);
    let path = format!("/api/v1/accounts/{}", me["id"].as_str().unwrap());
    for refused in [
        site.delete(&path),
        site.patch(&path, &json!({ "disabled": true })),
        site.patch(&path, &json!({ "role": "viewer" })),
        site.post(&format!("{path}/reset"), &json!({})),
    ] {
        assert!(refused.expect(409)["detail"].as_str().unwrap().contains("last admin"));
    }
    site.get(ME).expect(200);
    let second = site.as_role("admin");
    second.patch(&path, &json!({ "role": "viewer" })).expect(200);
    assert_eq!(site.get("/api/v1/accounts").expect(403)["status"], 403, "a role is lost at once");
    // Two admins who remove each other at the same time leave one.
    let account = json!({ "login": "third", "name": "Third", "role": "admin", "everywhere": true });
    let link = second.post("/api/v1/accounts", &account).expect(201)["link"]["token"].clone();
    site.guest().post("/api/v1/auth/setup", &json!({ "token": link, "password": PASSWORD })).expect(200);
    let third = site.guest().log_in("third");
    let of = |client: &Client| format!("/api/v1/accounts/{}", client.get(ME).expect(200)["id"].as_str().unwrap());
    let (a, b) = (of(&second), of(&third));
    let statuses = std::thread::scope(|scope| {
        let (x, y) = (scope.spawn(|| second.delete(&b).status), scope.spawn(|| third.delete(&a).status));
        [x.join().unwrap(), y.join().unwrap()]
    });
    assert!(statuses.contains(&204) && !statuses.iter().all(|s| *s == 204), "{statuses:?}");
}

#[test]
fn the_command_line_lets_admins_in() {
    let config = SITE.config();
    let args = |more: &[&'static str]| {
        let mut args = vec!["admin"];
        args.extend(more);
        args.extend(["--json", "--config"]);
        let mut args: Vec<_> = args.into_iter().map(str::to_owned).collect();
        args.push(config.display().to_string());
        args
    };
    let run = |more: &[&'static str]| {
        let args = args(more);
        run(&SITE.data(), &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let made = run(&["create", "--login", "root@example.org"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let told: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    log_in("root@example.org", told["password"].as_str().unwrap()).expect(200);
    let again = run(&["create", "--login", "ROOT@example.org"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("reset-password"), "{}", stderr(&again));

    let reset = run(&["reset-password", "--login", "root@example.org"]);
    let told: serde_json::Value = serde_json::from_slice(&reset.stdout).unwrap();
    let password = told["password"].as_str().unwrap();
    let root = bearer(log_in("root@example.org", password));
    // Whoever typed the command knows it.
    assert!(root.get("/api/v1/accounts").expect(403)["detail"].as_str().unwrap().contains("password"));
    root.post("/api/v1/auth/password", &json!({ "old_password": password, "new_password": PASSWORD })).expect(204);
    root.get("/api/v1/accounts").expect(200);
    assert_eq!(run(&["reset-password", "--login", "nobody"]).status.code(), Some(1));
}

#[test]
fn what_comes_in_is_read_strictly() {
    let account = json!({ "login": "x@example.org", "name": "X", "role": "viewer" });
    let with = |key: &str, value: serde_json::Value| {
        let mut account = account.clone();
        account[key] = value;
        SITE.post("/api/v1/accounts", &account)
    };
    for (key, value, pointer) in [
        ("colour", json!(1), "#/colour"),
        ("login", json!("a\u{0}b"), "#/login"),
        ("login", json!(" x"), "#/login"),
        ("login", json!("x".repeat(201)), "#/login"),
        ("name", json!(""), "#/name"),
        ("role", json!("emperor"), "#/role"),
        ("role", json!("person"), "#/person_id"),
        ("role", json!("admin"), "#/everywhere"),
        ("rooms", json!(["nowhere"]), "#/rooms"),
        ("sites", json!(["'; drop table accounts; --"]), "#/sites/0"),
        ("person_id", json!("0197a3d4-0000-7000-8000-000000000000"), "#/person_id"),
    ] {
        let told = with(key, value.clone()).expect(422);
        assert_eq!(told["errors"][0]["pointer"], pointer, "{value}: {told}");
    }
    let odd = "Robert'); DROP TABLE accounts;--";
    let made = with("login", json!(odd)).expect(201);
    assert_eq!(made["account"]["login"], odd);
    with("login", json!(odd.to_lowercase())).expect(409);
    for body in ["", "{", "[]", "{\"login\":1,\"password\":\"x\"}", "null"] {
        let status = SITE.guest().send("POST", LOGIN, &[("content-type", "application/json")], body.as_bytes()).status;
        assert!(status == 400 || status == 422, "{body}: {status}");
    }
    SITE.guest().send("POST", LOGIN, &[("content-type", "text/plain")], b"{}").expect(415);
    log_in("a\u{0}b", PASSWORD).expect(401);
}

#[test]
fn somebody_who_tries_too_often_waits() {
    let limits = [("ROLLCALL__SERVER__LOGIN_RATE_PER_MINUTE", "10"), ("ROLLCALL__SERVER__RATE_PER_MINUTE", "30")];
    let site = Site::start_with("", &limits);
    let wrong = || site.guest().post(LOGIN, &json!({ "login": "admin", "password": "wrong wrong wrong" }));
    let (answers, refused) = until_too_many(10, wrong);
    // Making the admin's client took one.
    assert!(answers.len() >= 9 && answers.iter().all(|status| *status == 401), "{answers:?}");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Whoever is in is not kept from working, but has a limit of their own.
    let (answers, _) = until_too_many(30, || site.get(ME));
    assert!(answers.len() >= 30 && answers.iter().all(|status| *status == 200), "{answers:?}");
    site.guest().get("/health/live").expect(200);
}

/// What is answered up to a limit of so many a minute, and the refusal. While one asks, some more are allowed.
#[track_caller]
fn until_too_many(per_minute: usize, ask: impl Fn() -> Answer) -> (Vec<u16>, Answer) {
    let begun = SystemClock.mono();
    let mut answers = Vec::new();
    loop {
        let answer = ask();
        if answer.status == 429 {
            return (answers, answer);
        }
        answers.push(answer.status);
        let more = SystemClock.mono().since(begun).as_secs_f64() / 60.0 * per_minute as f64;
        assert!(answers.len() as f64 <= per_minute as f64 + more, "{} were answered", answers.len());
    }
}

#[test]
fn the_log_offers_a_way_in_while_there_is_no_admin() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("rollcall.toml");
    std::fs::write(&config, "[server]\npublic_url = \"https://rollcall.example.org\"\n").unwrap();
    let daemon = kit::Daemon::start(&dir.path().join("data"), &config);
    let offer = daemon.wait_for(|line| kit::message(line).starts_with("there is no admin yet"));
    let (page, token) = offer["url"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(page, "https://rollcall.example.org/setup");
    assert_eq!(offer.to_string().matches(token).count(), 1, "{offer}");
    let guest = Client::new(&daemon.address);
    for part in ["/setup", "/setup/page.js", "/setup/page.css"] {
        let page = guest.get(part);
        assert!(page.header("content-security-policy").starts_with("default-src 'self'; frame-ancestors"), "{part}");
        page.expect(200);
    }
    let set_up = json!({ "token": token, "login": "first", "password": PASSWORD });
    guest.post("/api/v1/auth/setup", &json!({ "token": token, "password": PASSWORD })).expect(422);
    let first = guest.post("/api/v1/auth/setup", &set_up);
    assert!(first.header("set-cookie").ends_with("; Secure"), "behind TLS");
    assert_eq!(first.expect(200)["account"]["role"], "admin");
    guest.post("/api/v1/auth/setup", &set_up).expect(401);
    guest.log_in("first").get("/api/v1/accounts").expect(200);
}
