//! Corrections: what people decided about the register. They are added, never changed; the register follows by trigger.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::Row;
use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::row::{all, row};
use crate::{Change, Store, StoreError};

row! {
    /// A correction.
    pub struct Correction {
        /// Id.
        pub id: Uuid,
        /// In which session.
        pub session_id: Uuid,
        /// Whose row.
        pub person_id: Uuid,
        /// `excuse`, `present`, `late`, `absent`, `void` or `restore`; of a review also `off_roster` or `off_schedule`.
        pub kind: String,
        /// Why.
        pub reason: String,
        /// What counted before; null: there was no row.
        pub status_before: Option<String>,
        /// Account or key of whoever decided.
        pub by_id: Option<Uuid>,
        /// Their name at that time.
        pub by_name: String,
        /// When.
        pub at: WallTime,
        /// The review item that it settles.
        pub review_event_id: Option<Uuid>,
    }
}

/// What counts for somebody in a session, and what was decided last.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// What counts; `None`: there is no row.
    pub status: Option<String>,
    /// `camera`, `closing` or `correction`.
    pub source: Option<String>,
    /// Version of the row; 0 where there is none.
    pub version: i64,
    /// The last correction's kind.
    pub corrected: Option<String>,
    /// Whether the person is expected.
    pub expected: bool,
}

/// A correction that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCorrection<'a> {
    /// In which session.
    pub session: Uuid,
    /// Whose row.
    pub person: PersonId,
    /// `excuse`, `present`, `late`, `absent`, `void` or `restore`; of a review also `off_roster` or `off_schedule`.
    pub kind: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The review item that it settles.
    pub review: Option<Uuid>,
}

const CORRECTION: &str = "id, session_id, person_id, kind, reason, status_before, by_id, by_name, at, review_event_id";

impl Store {
    /// The corrections of one person in one session, oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn corrections(&self, session: Uuid, person: PersonId) -> Result<Vec<Correction>, StoreError> {
        let sql =
            format!("select {CORRECTION} from corrections where session_id = $1 and person_id = $2 order by ordinal");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(session).bind(person.0);
        all(&query.fetch_all(&self.pool).await?, Correction::read)
    }
}

impl Change<'_> {
    /// What counts for somebody in a session. Until the end of the change nobody else corrects it. `None`: there is no such
    /// person.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_standing(&mut self, session: Uuid, person: PersonId) -> Result<Option<Standing>, StoreError> {
        // There may be no row to lock: it is the feed that keeps others out. And nobody is erased between this and the
        // correction.
        hold_feed(self.connection()).await?;
        let there = sqlx::query("select id from people where id = $1 for key share")
            .bind(person.0)
            .fetch_optional(self.connection())
            .await?;
        if there.is_none() {
            return Ok(None);
        }
        let row = sqlx::query(
            "select status, source, version from register where session_id = $1 and person_id = $2 for update",
        )
        .bind(session)
        .bind(person.0)
        .fetch_optional(self.connection())
        .await?;
        let rest = sqlx::query(
            "select (select kind from corrections where session_id = $1 and person_id = $2 order by ordinal desc limit 1) as kind,
                    exists (select from expected_people where session_id = $1 and person_id = $2) as expected",
        )
        .bind(session)
        .bind(person.0)
        .fetch_one(self.connection())
        .await?;
        let mut standing =
            Standing { corrected: rest.try_get("kind")?, expected: rest.try_get("expected")?, ..Standing::default() };
        if let Some(row) = row {
            standing.status = row.try_get("status")?;
            standing.source = row.try_get("source")?;
            standing.version = row.try_get("version")?;
        }
        Ok(Some(standing))
    }

    /// Adds a correction to what was locked as `before`, and tells what counts now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn correct(
        &mut self,
        before: &Standing,
        new: &NewCorrection<'_>,
    ) -> Result<(Correction, Standing), StoreError> {
        let by = self.actor().clone();
        let sql = format!(
            "insert into corrections (id, session_id, person_id, kind, reason, status_before, by_id, by_name, review_event_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning {CORRECTION}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(Uuid::now_v7())
            .bind(new.session)
            .bind(new.person.0)
            .bind(new.kind)
            .bind(new.reason)
            .bind(&before.status)
            .bind(by.id)
            .bind(by.name)
            .bind(new.review)
            .fetch_one(self.connection())
            .await?;
        let correction = Correction::read(&row)?;
        let row = sqlx::query("select status, source, version from register where session_id = $1 and person_id = $2")
            .bind(new.session)
            .bind(new.person.0)
            .fetch_optional(self.connection())
            .await?;
        let mut after =
            Standing { corrected: Some(new.kind.to_owned()), expected: before.expected, ..Standing::default() };
        if let Some(row) = row {
            after.status = row.try_get("status")?;
            after.source = row.try_get("source")?;
            after.version = row.try_get("version")?;
        }
        let changed = Entry::changed(
            "attendance.correct",
            "attendance",
            format!("{}/{}", new.session, new.person),
            before,
            &after,
        );
        let after_json = serde_json::json!({ "correction": &correction, "now": &after });
        self.audit(Entry { person: Some(new.person), after: Some(after_json), ..changed }).await?;
        Ok((correction, after))
    }
}
