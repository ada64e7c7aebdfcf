//! Nobody rewrites what was done, whatever they may do elsewhere; tokens that are over are forgotten.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use chrono::{Duration, NaiveDate, TimeZone, Utc};
use rollcall_store::testing::{current_database, store};
use rollcall_store::{AccountFields, Actor, AuditFilter, Claim, Entry, Grants, Retention, TokenPair};
use sqlx::ConnectOptions;
use uuid::Uuid;

#[tokio::test]
async fn what_was_done_stays_as_it_was_written() {
    let store = store().await;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    let entry = Entry { action: "room.update", object_kind: "room", object_id: "hall".into(), ..Entry::default() };
    change.audit(entry.clone()).await.unwrap();
    change.commit().await.unwrap();
    // What is given up leaves no trace.
    let mut given_up = store.change(Actor::system("test")).await.unwrap();
    given_up.audit(entry).await.unwrap();
    drop(given_up);

    let mut connection = current_database(&store).await.connect().await.unwrap();
    for sql in ["update audit_log set actor_name = 'somebody else'", "delete from audit_log", "truncate audit_log"] {
        let refused = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
    let rows = store.audit_log(&AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.actor_name.as_str()).collect::<Vec<_>>(), ["test"]);
}

#[tokio::test]
async fn only_retention_forgets_what_was_done_and_says_so() {
    let store = store().await;
    let mut connection = current_database(&store).await.connect().await.unwrap();
    for day in ["2024-03-01T23:59:59Z", "2024-03-02T00:00:00Z", "2024-03-03T00:00:00Z"] {
        let sql = "insert into audit_log (at, actor_kind, actor_name, action, object_kind, object_id)
                   values ($1::timestamptz, 'system', 'test', 'room.update', 'room', 'hall')";
        sqlx::query(sql).bind(day.parse::<chrono::DateTime<Utc>>().unwrap()).execute(&mut connection).await.unwrap();
    }
    let actions = async || {
        let rows = store.audit_log(&AuditFilter::default(), None, 10).await.unwrap();
        rows.into_iter().map(|row| (row.action, row.after)).collect::<Vec<_>>()
    };
    store.apply_retention(&Retention::default()).await.unwrap();
    assert_eq!(actions().await.len(), 3, "kept for ever unless something else is configured");
    let keep = Retention { audit_from: NaiveDate::from_ymd_opt(2024, 3, 2), ..Retention::default() };
    store.apply_retention(&keep).await.unwrap();
    let told = actions().await;
    assert_eq!(told.len(), 3, "{told:?}");
    let forgot = serde_json::json!({ "entries": 1, "before": "2024-03-02", "of": null });
    assert_eq!(told[0], ("audit.forget".to_owned(), Some(forgot)));
    store.apply_retention(&keep).await.unwrap();
    assert_eq!(actions().await.len(), 3, "nothing to forget, nothing to say");
    // The same connections are used again, and may not.
    for _ in 0..6 {
        let refused = sqlx::query("delete from audit_log").execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn who_failed_to_log_in_is_forgotten_sooner() {
    let store = store().await;
    let mut connection = current_database(&store).await.connect().await.unwrap();
    for action in ["login.failed", "room.update"] {
        let sql = "insert into audit_log (at, actor_kind, actor_name, action, object_kind, object_id)
                   values ('2024-03-01T00:00:00Z', 'system', 'test', $1, 'room', 'hall')";
        sqlx::query(sql).bind(action).execute(&mut connection).await.unwrap();
    }
    let keep = Retention { failed_logins_from: NaiveDate::from_ymd_opt(2024, 3, 2), ..Retention::default() };
    store.apply_retention(&keep).await.unwrap();
    let rows = store.audit_log(&AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(), ["audit.forget", "room.update"]);
}

#[tokio::test]
async fn what_is_over_is_forgotten() {
    let store = store().await;
    let now = Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap();
    let grants = Grants { everywhere: true, ..Grants::default() };
    let (login, name, role) = ("ada".to_owned(), "Ada".to_owned(), "admin".to_owned());
    let fields = AccountFields { login, name, role, person: None, grants, disabled_at: None };
    let pair = TokenPair {
        made: now,
        access: [1; 32],
        refresh: [2; 32],
        access_until: now + Duration::minutes(15),
        refresh_until: now + Duration::days(7),
    };
    let mut change = store.change(Actor::system("test")).await.unwrap();
    let account = change.add_account(&fields, Some("$argon2id$")).await.unwrap();
    change.begin_login(account.id, &pair, None).await.unwrap();
    change.commit().await.unwrap();
    let caller = Uuid::from_u128(7);
    let claim = async |at| store.claim_request(caller, "k", &[3; 32], at, at - Duration::minutes(2)).await.unwrap();
    assert_eq!(claim(now).await, Claim::Ours);
    assert_eq!(claim(now + Duration::minutes(1)).await, Claim::UnderWay);
    assert_eq!(claim(now + Duration::minutes(3)).await, Claim::Ours, "whoever had it died");
    store.keep_answer(caller, "k", 201, Some(b"made")).await.unwrap();
    assert_eq!(claim(now + Duration::minutes(9)).await, Claim::Done(Some(b"made".to_vec())));
    assert_eq!(claim(now + Duration::hours(25)).await, Claim::Ours, "a day later it is another request");

    let mut connection = current_database(&store).await.connect().await.unwrap();
    let mut left = async |days| {
        store.forget_expired_access(now + Duration::days(days)).await.unwrap();
        let sql = "select (select count(*) from access_tokens), (select count(*) from refresh_tokens),
                          (select count(*) from logins), (select count(*) from idempotency_keys)";
        sqlx::query_as::<_, (i64, i64, i64, i64)>(sql).fetch_one(&mut connection).await.unwrap()
    };
    assert_eq!(left(0).await, (1, 1, 1, 1));
    assert_eq!(left(3).await, (0, 1, 1, 0));
    assert_eq!(left(8).await, (0, 0, 1, 0));
    assert_eq!(left(98).await, (0, 0, 0, 0));
}
