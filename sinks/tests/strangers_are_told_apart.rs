//! Strangers who come again are the same stranger, across days and restarts, until they are forgotten.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{EventKind, ModelId, PersonId};
use rollcall_sinks::PgSinkOptions;
use rollcall_store::testing::{current_database, data_dir, store};
use rollcall_store::{Actor, NewConsent, Retention, ReviewFilter, Scope, Store};
use sqlx::ConnectOptions as _;
use support::{at, event, runtime, sink};
use uuid::Uuid;

const ALL: Scope = Scope::Everywhere;

/// A store with the room, and what the sink made of unknown faces. Those numbered 0 look one way, those from 50 on another.
fn seen(faces: &[u64], change: impl FnOnce(&mut PgSinkOptions)) -> (tokio::runtime::Runtime, Store) {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    runtime.block_on(async {
        let mut room = store.change(Actor::system("test")).await.unwrap();
        room.add_room("room-1", "main", None, None).await.unwrap();
        room.commit().await.unwrap();
    });
    let mut sink = sink(&store, &runtime, dir.path(), change);
    let events: Vec<_> = faces.iter().map(|n| event(*n, EventKind::Unknown, None)).collect();
    sink.accept(&events).unwrap();
    drop(sink);
    (runtime, store)
}

/// Sightings by stranger.
async fn strangers(store: &Store) -> BTreeMap<Uuid, i64> {
    store.visitors(&ALL, None, 100).await.unwrap().into_iter().map(|v| (v.id, v.sightings)).collect()
}

#[test]
fn the_same_face_is_the_same_stranger() {
    let (runtime, store) = seen(&[0, 50, 51, 100], |options| options.tell_strangers_apart = true);
    runtime.block_on(async {
        assert_eq!(store.tell_strangers_apart(0.9).await.unwrap(), 4);
        assert_eq!(store.tell_strangers_apart(0.9).await.unwrap(), 0, "once each");
        let before = strangers(&store).await;
        let mut sightings: Vec<_> = before.values().copied().collect();
        sightings.sort_unstable();
        assert_eq!(sightings, [1, 3]);

        // The next day, after a restart.
        let dir = data_dir();
        let next = event(200, EventKind::Unknown, None);
        let options =
            PgSinkOptions { tell_strangers_apart: true, ..PgSinkOptions::new(ModelId::new("sface"), dir.path()) };
        let record = options.record(&next, store.sealer());
        store.write_events(&[record]).await.unwrap();
        store.tell_strangers_apart(0.9).await.unwrap();
        let after = strangers(&store).await;
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "nobody new");
        assert_eq!(after.values().max(), Some(&4));

        let (id, _) = after.iter().max_by_key(|(_, n)| **n).unwrap();
        let face = store.visitor_face(*id, &ModelId::new("sface")).await.unwrap().unwrap();
        assert!(face.values()[1] > 0.99, "the mean of what was seen");
        let of = ReviewFilter { visitor: Some(*id), ..ReviewFilter::default() };
        let items = store.reviews(&ALL, &of, None, 10).await.unwrap();
        assert!(items.len() == 4 && items.iter().all(|item| !item.has_face), "nobody asked for pictures");
        let page = store.visitors(&ALL, None, 1).await.unwrap();
        let next = store.visitors(&ALL, Some(&(page[0].last_seen_at, page[0].id)), 1).await.unwrap();
        assert_eq!((page.len(), next.len()), (2, 1));
        let elsewhere = Scope::Places { sites: vec![], rooms: vec!["room-2".into()] };
        assert!(store.visitor(&elsewhere, *id).await.unwrap().is_none());

        let mut change = store.change(Actor::system("test")).await.unwrap();
        assert!(change.forget_visitor(*id).await.unwrap());
        assert!(!change.forget_visitor(*id).await.unwrap());
        change.commit().await.unwrap();
        assert_eq!(strangers(&store).await.len(), 1);
        assert_eq!(store.tell_strangers_apart(0.9).await.unwrap(), 0, "forgotten faces stay forgotten");
    });
}

#[test]
fn a_face_that_cannot_be_opened_holds_up_nobody() {
    let (runtime, store) = seen(&[0, 50, 100], |options| options.tell_strangers_apart = true);
    runtime.block_on(async {
        let spoil =
            "update review_items set sealed_embedding = set_byte(sealed_embedding, length(sealed_embedding) - 1,
                         255 - get_byte(sealed_embedding, length(sealed_embedding) - 1))
                     where event_id = (select event_id from review_items order by captured_at, event_id limit 1)";
        let mut db = current_database(&store).await.connect().await.unwrap();
        assert_eq!(sqlx::query(spoil).execute(&mut db).await.unwrap().rows_affected(), 1);
        assert_eq!(store.tell_strangers_apart(0.9).await.unwrap(), 2);
        assert_eq!(strangers(&store).await.into_values().sum::<i64>(), 2);
        let kept = sqlx::query_scalar("select count(*) from review_items where sealed_embedding is not null");
        assert_eq!(kept.fetch_one(&mut db).await.ok(), Some(2_i64), "it is not tried again for ever");
        // One that spoils later is left out.
        sqlx::query(spoil).execute(&mut db).await.unwrap();
        for visitor in strangers(&store).await.into_keys() {
            store.visitor_face(visitor, &ModelId::new("sface")).await.unwrap();
        }
    });
}

#[test]
fn many_strangers_are_told_apart_in_one_go() {
    let faces: Vec<u64> = std::iter::once(0).chain(50..=260).collect();
    let (runtime, store) = seen(&faces, |options| options.tell_strangers_apart = true);
    runtime.block_on(async {
        assert_eq!(store.tell_strangers_apart(0.9).await.unwrap(), faces.len());
        let mut sightings: Vec<_> = strangers(&store).await.into_values().collect();
        sightings.sort_unstable();
        assert_eq!(sightings, [1, 211]);
    });
}

#[test]
fn faces_of_strangers_go_with_the_pictures_and_their_numbers_with_the_items() {
    let (runtime, store) = seen(&[0, 50], |options| {
        options.tell_strangers_apart = true;
        options.review_unknown = true;
    });
    runtime.block_on(async {
        store.tell_strangers_apart(0.9).await.unwrap();
        let ids: Vec<_> = strangers(&store).await.into_keys().collect();
        let tomorrow = NaiveDate::from_ymd_opt(2026, 3, 3);
        let crops = Retention { crops_from: tomorrow, ..Retention::default() };
        assert!(store.reviews(&ALL, &ReviewFilter::default(), None, 10).await.unwrap()[0].has_face);
        store.apply_retention(&crops).await.unwrap();
        assert!(!store.reviews(&ALL, &ReviewFilter::default(), None, 10).await.unwrap()[0].has_face);
        assert!(store.visitor_face(ids[0], &ModelId::new("sface")).await.unwrap().is_none());
        assert_eq!(strangers(&store).await.len(), 2);
        store.apply_retention(&Retention { reviews_from: tomorrow, ..Retention::default() }).await.unwrap();
        assert_eq!(strangers(&store).await.len(), 0);
    });
}

/// Audrey, after a reviewer found that one of the three sightings of a stranger is of her; another stranger was seen once.
fn once_a_stranger() -> (tokio::runtime::Runtime, Store, PersonId) {
    let (runtime, store) = seen(&[0, 50, 51, 100], |options| {
        options.tell_strangers_apart = true;
        options.review_unknown = true;
    });
    let audrey = runtime.block_on(async {
        store.tell_strangers_apart(0.9).await.unwrap();
        let (stranger, _) = strangers(&store).await.into_iter().find(|(_, sightings)| *sightings == 3).unwrap();
        let of = ReviewFilter { visitor: Some(stranger), ..ReviewFilter::default() };
        let hers = store.reviews(&ALL, &of, None, 1).await.unwrap().remove(0);
        let audrey = store.upsert_person_by_name("Audrey").await.unwrap().0;
        let mut change = store.change(Actor::system("test")).await.unwrap();
        let consent = NewConsent { text_version: "1", given_by: "Audrey", given_at: at(0) };
        change.add_consent(audrey, &consent).await.unwrap();
        change.settle_review(&hers, "assigned", Some(audrey), None, at(200)).await.unwrap();
        change.commit().await.unwrap();
        audrey
    });
    (runtime, store, audrey)
}

/// Faces that are kept, as pictures and as what tells strangers apart, and sightings by stranger.
async fn left(store: &Store) -> (i64, i64, Vec<i64>) {
    let mut db = current_database(store).await.connect().await.unwrap();
    let kept = "select count(sealed_crop), count(sealed_embedding) from review_items";
    let (crops, embeddings) = sqlx::query_as(kept).fetch_one(&mut db).await.unwrap();
    (crops, embeddings, strangers(store).await.into_values().collect())
}

#[test]
fn whoever_is_erased_is_no_stranger_either() {
    let (runtime, store, audrey) = once_a_stranger();
    runtime.block_on(async {
        let mut change = store.change(Actor::system("test")).await.unwrap();
        let audrey = change.lock_person(&ALL, audrey).await.unwrap().unwrap();
        change.erase_person(&audrey).await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(left(&store).await, (1, 1, vec![1]), "the other stranger stays");
    });
}

#[test]
fn whoever_withdraws_consent_is_no_stranger_either() {
    let (runtime, store, audrey) = once_a_stranger();
    runtime.block_on(async {
        let mut change = store.change(Actor::system("test")).await.unwrap();
        change.lock_person(&ALL, audrey).await.unwrap().unwrap();
        let withdrawn = change.withdraw_consent(audrey, at(300)).await.unwrap().unwrap();
        change.commit().await.unwrap();
        assert_eq!(withdrawn.pictures, 3);
        assert_eq!(left(&store).await, (1, 1, vec![1]), "the other stranger stays");
    });
}

#[test]
fn nothing_is_kept_of_strangers_unless_it_is_configured() {
    let (runtime, store) = seen(&[0, 50], |_| {});
    runtime.block_on(async {
        assert_eq!(store.tell_strangers_apart(0.9).await.unwrap(), 0);
        assert!(store.reviews(&ALL, &ReviewFilter::default(), None, 10).await.unwrap().is_empty());
    });
}
