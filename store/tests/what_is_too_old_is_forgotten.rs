//! What is too old is forgotten, however much there is of it and whatever else cannot be.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use chrono::NaiveDate;
use rollcall_store::testing::{current_database, store};
use rollcall_store::{Retention, Store};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

const TODAY: Option<NaiveDate> = NaiveDate::from_ymd_opt(2026, 3, 2);

/// Its database, with so many faces in the review queue that are too old.
async fn with_reviews(store: &Store, count: u32) -> PgConnection {
    let mut db = current_database(store).await.connect().await.unwrap();
    let items = format!(
        "insert into review_items (event_id, kind, room, camera, captured_at, candidates, sealed_crop)
         select gen_random_uuid(), 'unknown', 'room-1', 'door-1', timestamptz '2026-01-01T00:00:00Z', '[]'::jsonb, '\\x07'::bytea
         from generate_series(1, {count})"
    );
    sqlx::query(AssertSqlSafe(items)).execute(&mut db).await.unwrap();
    db
}

async fn count(db: &mut PgConnection, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn nobody_waits_until_all_of_a_long_queue_is_forgotten() {
    let store = store().await;
    let mut db = with_reviews(&store, 10_001).await;
    sqlx::raw_sql(
        "create function refuse_many() returns trigger language plpgsql as $$ begin
             if (select count(*) from gone) > 10000 then raise exception 'too many at once'; end if;
             return null;
         end $$;
         create trigger few_changed after update on review_items referencing old table as gone
             for each statement execute function refuse_many();
         create trigger few_gone after delete on review_items referencing old table as gone
             for each statement execute function refuse_many();",
    )
    .execute(&mut db)
    .await
    .unwrap();
    store.apply_retention(&Retention { crops_from: TODAY, ..Retention::default() }).await.unwrap();
    assert_eq!(count(&mut db, "select count(*) from review_items where sealed_crop is not null").await, 0);
    store.apply_retention(&Retention { reviews_from: TODAY, ..Retention::default() }).await.unwrap();
    assert_eq!(count(&mut db, "select count(*) from review_items").await, 0);
}

#[tokio::test]
async fn what_cannot_be_forgotten_keeps_nothing_else() {
    let store = store().await;
    let mut db = with_reviews(&store, 1).await;
    sqlx::raw_sql(
        "insert into camera_minutes (camera, room, minute, frames, faces, up_ms)
             values ('door-1', 'room-1', '2026-01-01T00:00:00Z', 0, 0, 0);
         create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger kept before delete on camera_minutes for each row execute function refuse();",
    )
    .execute(&mut db)
    .await
    .unwrap();
    let all = Retention { events_from: TODAY, crops_from: TODAY, reviews_from: TODAY, ..Retention::default() };
    store.apply_retention(&all).await.unwrap_err();
    assert_eq!(count(&mut db, "select count(*) from review_items").await, 0);
}
