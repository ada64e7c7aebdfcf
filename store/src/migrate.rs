//! The schema's history, compiled in: the program carries what it needs, and a database that is ahead of it is refused.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Acquire, SqlSafeStr};

use crate::{Store, StoreError};

const MIGRATIONS: [(&str, &str); 27] = [
    ("people", include_str!("../../migrations/0001_people.sql")),
    ("attendance", include_str!("../../migrations/0002_attendance.sql")),
    ("events", include_str!("../../migrations/0003_events.sql")),
    ("partitions", include_str!("../../migrations/0004_partitions.sql")),
    ("access", include_str!("../../migrations/0005_access.sql")),
    ("places", include_str!("../../migrations/0006_places.sql")),
    ("templates", include_str!("../../migrations/0007_templates.sql")),
    ("timetables", include_str!("../../migrations/0008_timetables.sql")),
    ("register", include_str!("../../migrations/0009_register.sql")),
    ("feed", include_str!("../../migrations/0010_feed.sql")),
    ("tallies", include_str!("../../migrations/0011_tallies.sql")),
    ("restored_sessions", include_str!("../../migrations/0012_restored_sessions.sql")),
    ("order", include_str!("../../migrations/0013_order.sql")),
    ("forgotten_answers", include_str!("../../migrations/0014_forgotten_answers.sql")),
    ("late_voids", include_str!("../../migrations/0015_late_voids.sql")),
    ("watches", include_str!("../../migrations/0016_watches.sql")),
    ("runs", include_str!("../../migrations/0017_runs.sql")),
    ("waiting", include_str!("../../migrations/0018_waiting.sql")),
    ("versions", include_str!("../../migrations/0019_versions.sql")),
    ("mentions", include_str!("../../migrations/0020_mentions.sql")),
    ("closed_rosters", include_str!("../../migrations/0021_closed_rosters.sql")),
    ("told_in_order", include_str!("../../migrations/0022_told_in_order.sql")),
    ("marks_gone", include_str!("../../migrations/0023_marks_gone.sql")),
    ("lives", include_str!("../../migrations/0024_lives.sql")),
    ("decided", include_str!("../../migrations/0025_decided.sql")),
    ("unexpected", include_str!("../../migrations/0026_unexpected.sql")),
    ("ends", include_str!("../../migrations/0027_ends.sql")),
];

fn migrator() -> Migrator {
    let migrations = (1..).zip(MIGRATIONS).map(|(version, (name, sql))| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

impl Store {
    /// Applies the migrations that are missing, each in a transaction; several processes at once wait for each other, for ten
    /// seconds at most: so long is waited for any lock, lest what is written meanwhile queue behind a change of a table.
    /// Returns how many were applied.
    ///
    /// # Errors
    /// When one fails, or the database has one that this program does not know or knows differently.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let mut connection = self.pool.acquire().await?;
        // Building an index over years of marks takes as long as it takes.
        sqlx::query("set statement_timeout = 0").execute(&mut *connection).await?;
        let before = applied(&mut connection).await?;
        let result = migrator().run(&mut *connection).await;
        // The settings of this connection are changed: it does not go back to the pool.
        let mut connection = connection.detach();
        result?;
        let after = applied(connection.acquire().await?).await?;
        Ok(after - before)
    }
}

async fn applied(connection: &mut sqlx::PgConnection) -> Result<usize, StoreError> {
    let table: Option<String> =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations')::text").fetch_one(&mut *connection).await?;
    if table.is_none() {
        return Ok(0);
    }
    let count: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations").fetch_one(connection).await?;
    Ok(usize::try_from(count).unwrap_or_default())
}
