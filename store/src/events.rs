//! The event log, and the one transaction by which events become rows: sessions, events, marks, sightings, review items.
//!
//! Everything follows from which events are new. An event that is in the log already was delivered before: it makes no
//! mark, adds no sighting, opens no review. So a batch may be delivered any number of times, in whole or in part.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::feed::hold_feed;
use crate::review::review_kind;
use crate::{EventRecord, MarkRecord, Store, StoreError};

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Events that were not in the log before.
    pub fresh: HashSet<Uuid>,
    /// Of these, the ones that made a mark.
    pub marked: HashSet<Uuid>,
    /// Of these, the ones whose person had a mark in that session already: counted on it as a sighting.
    pub blocked: HashSet<Uuid>,
    /// Of these, the ones whose person was deleted in the meantime: in the log, but no mark.
    pub orphaned: HashSet<Uuid>,
}

/// One column of a batch.
fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

impl Store {
    /// Writes a batch in one transaction, in order. When it returns `Ok`, the rows are committed.
    ///
    /// # Errors
    /// Then nothing of the batch is written. [`StoreError::class`] and [`StoreError::is_row_fault`] tell what to do.
    pub async fn write_events(&self, batch: &[EventRecord]) -> Result<Written, StoreError> {
        let mut tx = self.pool.begin().await?;
        let written = write(&mut tx, batch).await?;
        tx.commit().await?;
        Ok(written)
    }
}

/// Writes a batch, in order.
pub(crate) async fn write(tx: &mut PgConnection, batch: &[EventRecord]) -> Result<Written, StoreError> {
    // One row an id: the second delivery within a batch is a repetition like any other.
    let mut seen = HashSet::new();
    let events: Vec<&EventRecord> = batch.iter().filter(|event| seen.insert(event.id)).collect();
    hold_feed(tx).await?;
    let known = lock_people(tx, events.iter().flat_map(|event| event.named()).collect()).await?;
    let is_known = |person: &Uuid| known.contains(person);
    let orphans: HashSet<Uuid> = events
        .iter()
        .filter(|e| !e.is_debounced() && e.mark.as_ref().is_some_and(|mark| !is_known(&mark.person)))
        .map(|e| e.id)
        .collect();
    // Of whoever was erased while their events waited, nothing is written down.
    let mut events: Vec<Cow<'_, EventRecord>> = events.into_iter().map(|event| event.without(is_known)).collect();
    let withdrawn = withdrawn(tx, events.iter().filter_map(|event| shown(event)).collect()).await?;
    for event in events.iter_mut().filter(|event| shown(event).is_some_and(|person| withdrawn.contains(&person))) {
        event.to_mut().take_face();
    }
    let events: Vec<&EventRecord> = events.iter().map(Cow::as_ref).collect();
    let fresh = insert_events(tx, &events).await?;
    let new: Vec<&EventRecord> = events.into_iter().filter(|event| fresh.contains(&event.id)).collect();
    let marking: Vec<(&EventRecord, &MarkRecord)> =
        new.iter().filter(|e| !e.is_debounced()).filter_map(|e| Some((*e, e.mark.as_ref()?))).collect();
    let marked = insert_marks(tx, &marking).await?;
    let repeated: Vec<_> = marking.iter().filter(|(event, _)| !marked.contains(&event.id)).copied().collect();
    let orphaned = orphans.intersection(&fresh).copied().collect();
    count_repeated(tx, &repeated).await?;
    count_debounced(tx, &new).await?;
    insert_reviews(tx, &new).await?;
    let blocked = repeated.iter().map(|(event, _)| event.id).collect();
    Ok(Written { fresh, marked, blocked, orphaned })
}

/// Those of these people who exist, locked so that nobody of them is erased before what is written of them is committed.
pub(crate) async fn lock_people(tx: &mut PgConnection, people: BTreeSet<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
    if people.is_empty() {
        return Ok(HashSet::new());
    }
    let known: Vec<Uuid> = sqlx::query_scalar("select id from people where id = any($1) order by id for key share")
        .bind(people.into_iter().collect::<Vec<_>>())
        .fetch_all(tx)
        .await?;
    Ok(known.into_iter().collect())
}

/// Who is most like the face of an event that has one: whose picture it is to `withdraw_consent`, while nobody has decided.
fn shown(event: &EventRecord) -> Option<Uuid> {
    let has_face = event.sealed_crop.is_some() || event.sealed_embedding.is_some();
    event.candidates.first().filter(|_| has_face).map(|candidate| candidate.person)
}

/// Those of these people who have withdrawn their consent. Whoever does it holds the feed, too.
async fn withdrawn(tx: &mut PgConnection, people: Vec<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
    if people.is_empty() {
        return Ok(HashSet::new());
    }
    let withdrawn: Vec<Uuid> = sqlx::query_scalar(
        "select person_id from consents where person_id = any($1)
         group by person_id having every(withdrawn_at is not null)",
    )
    .bind(people)
    .fetch_all(tx)
    .await?;
    Ok(withdrawn.into_iter().collect())
}

async fn insert_events(tx: &mut PgConnection, events: &[&EventRecord]) -> Result<HashSet<Uuid>, StoreError> {
    let rows = sqlx::query(
        "insert into events (id, captured_at, time_source, kind, person_id, candidates, room, camera, direction, epoch,
             track_id, media_ms, first_usable_at, similarity, margin, shots, liveness, liveness_score, liveness_reason,
             gallery_version, model_id, session_id, mark_status)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[], $6::jsonb[], $7::text[],
             $8::text[], $9::text[], $10::uuid[], $11::bigint[], $12::bigint[], $13::timestamptz[], $14::real[],
             $15::real[], $16::integer[], $17::text[], $18::real[], $19::text[], $20::bigint[], $21::text[], $22::uuid[],
             $23::text[])
         on conflict (id, captured_at) do nothing
         returning id",
    )
    .bind(column(events, |e| e.id))
    .bind(column(events, |e| e.captured_at))
    .bind(column(events, |e| e.time_source.as_str()))
    .bind(column(events, |e| e.kind.as_str()))
    .bind(column(events, |e| e.person))
    .bind(column(events, |e| Json(&e.candidates)))
    .bind(column(events, |e| e.room.as_str()))
    .bind(column(events, |e| e.camera.as_str()))
    .bind(column(events, |e| e.direction.as_deref()))
    .bind(column(events, |e| e.epoch))
    .bind(column(events, |e| e.track_id))
    .bind(column(events, |e| e.media_ms))
    .bind(column(events, |e| e.first_usable_at))
    .bind(column(events, |e| e.similarity))
    .bind(column(events, |e| e.margin))
    .bind(column(events, |e| e.shots))
    .bind(column(events, |e| e.liveness.as_str()))
    .bind(column(events, |e| e.liveness_score))
    .bind(column(events, |e| e.liveness_reason.as_deref()))
    .bind(column(events, |e| e.gallery_version))
    .bind(column(events, |e| e.model_id.as_str()))
    .bind(column(events, |e| e.mark.as_ref().map(|m| m.session.id)))
    .bind(column(events, |e| e.mark.as_ref().map(|m| m.status.as_str())))
    .fetch_all(tx)
    .await?;
    Ok(rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?)
}

/// Makes the sessions that marks belong to, and their rooms.
async fn insert_sessions(tx: &mut PgConnection, marking: &[(&EventRecord, &MarkRecord)]) -> Result<(), StoreError> {
    let sessions: BTreeMap<_, _> = marking.iter().map(|(_, mark)| (mark.session.id, &mark.session)).collect();
    let sessions: Vec<_> = sessions.into_values().collect();
    let rooms: BTreeSet<_> = sessions.iter().map(|s| s.room.as_str()).collect();
    sqlx::query("insert into rooms (id) select unnest($1::text[]) on conflict do nothing")
        .bind(rooms.into_iter().collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into sessions (id, room_id, kind, starts_at, ends_at, local_date)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::date[])
         on conflict (id) do update set starts_at = excluded.starts_at, ends_at = excluded.ends_at
         -- What was planned in the database is moved there, not by an event that waited in a spool.
         where sessions.origin = 'file'
           and (sessions.starts_at, sessions.ends_at) is distinct from (excluded.starts_at, excluded.ends_at)",
    )
    .bind(column(&sessions, |s| s.id))
    .bind(column(&sessions, |s| s.room.as_str()))
    .bind(column(&sessions, |s| s.kind.as_str()))
    .bind(column(&sessions, |s| s.starts_at))
    .bind(column(&sessions, |s| s.ends_at))
    .bind(column(&sessions, |s| s.local_date))
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes marks, and whatever they belong to. Returns the events that made one.
async fn insert_marks(
    tx: &mut PgConnection,
    marking: &[(&EventRecord, &MarkRecord)],
) -> Result<HashSet<Uuid>, StoreError> {
    if marking.is_empty() {
        return Ok(Default::default());
    }
    insert_sessions(tx, marking).await?;
    let mut rows: Vec<_> = marking.iter().collect();
    // Always in the same order, so that two writers of the same marks wait for each other instead of locking each other
    // out; and within one mark by time: of two in one batch the earlier is made.
    rows.sort_by_key(|(event, mark)| (mark.session.id, mark.person, event.captured_at, event.id));
    // The date is the session's as it is now: it may have been moved to another while the event waited in a spool.
    let marked: Vec<Uuid> = sqlx::query_scalar(
        "insert into marks (session_id, person_id, session_date, status, captured_at, time_source, event_id, camera,
             direction, similarity, margin, shots, gallery_version, model_id, liveness, liveness_score, first_seen_at,
             last_seen_at, last_exit_at)
         select s, p, (select local_date from sessions where sessions.id = s), st, at, ts, e, c, dir, sim, mar, sh, g, m, l,
                ls, least(f, at), at, case when dir = 'exit' then at end
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[], $7::text[], $8::text[],
             $9::real[], $10::real[], $11::integer[], $12::bigint[], $13::text[], $14::text[], $15::real[],
             $16::timestamptz[]) as t(s, p, st, at, ts, e, c, dir, sim, mar, sh, g, m, l, ls, f)
         on conflict (session_id, person_id, session_date) do nothing
         returning event_id",
    )
    .bind(column(&rows, |(_, m)| m.session.id))
    .bind(column(&rows, |(_, m)| m.person))
    .bind(column(&rows, |(_, m)| m.status.as_str()))
    .bind(column(&rows, |(e, _)| e.captured_at))
    .bind(column(&rows, |(e, _)| e.time_source.as_str()))
    .bind(column(&rows, |(e, _)| e.id))
    .bind(column(&rows, |(e, _)| e.camera.as_str()))
    .bind(column(&rows, |(e, _)| e.direction.as_deref()))
    // Whoever is marked was identified, and that has both.
    .bind(column(&rows, |(e, _)| e.similarity.unwrap_or_default()))
    .bind(column(&rows, |(e, _)| e.margin.unwrap_or_default()))
    .bind(column(&rows, |(e, _)| e.shots))
    .bind(column(&rows, |(e, _)| e.gallery_version))
    .bind(column(&rows, |(e, _)| e.model_id.as_str()))
    .bind(column(&rows, |(e, _)| e.liveness.as_str()))
    .bind(column(&rows, |(e, _)| e.liveness_score))
    .bind(column(&rows, |(e, _)| e.first_usable_at))
    .fetch_all(tx)
    .await?;
    Ok(marked.into_iter().collect())
}

/// Counts second marks of the same person and session on the first.
async fn count_repeated(tx: &mut PgConnection, repeated: &[(&EventRecord, &MarkRecord)]) -> Result<(), StoreError> {
    if repeated.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = repeated.iter().collect();
    sqlx::query(
        "update marks set
             sightings = sightings + seen.n,
             first_seen_at = least(first_seen_at, seen.first),
             last_seen_at = greatest(last_seen_at, seen.last),
             last_exit_at = greatest(last_exit_at, seen.last_exit),
             changed_at = clock_timestamp()
         from (select s, p, (select local_date from sessions where sessions.id = s) as d, count(*)::integer as n,
                      min(at) as first, max(at) as last, max(at) filter (where dir = 'exit') as last_exit
               from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[]) as t(s, p, at, dir)
               group by s, p) as seen
         where session_id = seen.s and person_id = seen.p and session_date = seen.d",
    )
    .bind(column(&rows, |(_, m)| m.session.id))
    .bind(column(&rows, |(_, m)| m.person))
    .bind(column(&rows, |(e, _)| e.captured_at))
    .bind(column(&rows, |(e, _)| e.direction.as_deref()))
    .execute(tx)
    .await?;
    Ok(())
}

/// Counts debounced events on the mark they repeat: that of their session if they name one, else the person's latest in
/// that room around that time.
async fn count_debounced(tx: &mut PgConnection, new: &[&EventRecord]) -> Result<(), StoreError> {
    let rows: Vec<(&EventRecord, Uuid)> =
        new.iter().filter(|e| e.is_debounced()).filter_map(|e| Some((*e, e.person?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.iter().collect();
    sqlx::query(
        "update marks set
             sightings = sightings + seen.n,
             first_seen_at = least(first_seen_at, seen.first),
             last_seen_at = greatest(last_seen_at, seen.last),
             last_exit_at = greatest(last_exit_at, seen.last_exit),
             changed_at = clock_timestamp()
         from (select mark.session_id as s, p, mark.session_date as d, count(*)::integer as n, min(at) as first,
                      max(at) as last, max(at) filter (where dir = 'exit') as last_exit
               from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::uuid[]) as t(p, room, at, dir, s)
               cross join lateral (
                   select m.session_id, m.session_date
                   from marks m join sessions on sessions.id = m.session_id
                   where m.person_id = p and sessions.room_id = room
                     and m.session_date between (at - interval '2 days')::date and (at + interval '2 days')::date
                   order by m.session_id = t.s desc nulls last, abs(extract(epoch from m.last_seen_at - at)), m.session_id
                   limit 1) as mark
               group by 1, 2, 3) as seen
         where session_id = seen.s and person_id = seen.p and session_date = seen.d",
    )
    .bind(column(&rows, |(_, person)| *person))
    .bind(column(&rows, |(e, _)| e.room.as_str()))
    .bind(column(&rows, |(e, _)| e.captured_at))
    .bind(column(&rows, |(e, _)| e.direction.as_deref()))
    .bind(column(&rows, |(e, _)| e.mark.as_ref().map(|m| m.session.id)))
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_reviews(tx: &mut PgConnection, new: &[&EventRecord]) -> Result<(), StoreError> {
    let rows: Vec<&EventRecord> = new.iter().filter(|e| e.review).copied().collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into review_items (event_id, kind, room, camera, captured_at, candidates, sealed_crop, sealed_embedding, model_id)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::jsonb[], $7::bytea[],
             $8::bytea[], $9::text[])
         on conflict do nothing",
    )
    .bind(column(&rows, |e| e.id))
    .bind(column(&rows, review_kind))
    .bind(column(&rows, |e| e.room.as_str()))
    .bind(column(&rows, |e| e.camera.as_str()))
    .bind(column(&rows, |e| e.captured_at))
    .bind(column(&rows, |e| Json(&e.candidates)))
    .bind(column(&rows, |e| e.sealed_crop.as_deref()))
    .bind(column(&rows, |e| e.sealed_embedding.as_deref()))
    .bind(column(&rows, |e| e.model_id.as_str()))
    .execute(tx)
    .await?;
    Ok(())
}
