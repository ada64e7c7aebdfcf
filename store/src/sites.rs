//! Sites and their holidays.

use chrono::NaiveDate;

use crate::change::Entry;
use crate::row::{all, and_one, one, row};
use crate::{Change, Scope, Store, StoreError};

/// The site of the configuration file.
pub const MAIN_SITE: &str = "main";

row! {
    /// A place with a time zone.
    pub struct Site {
        /// Short name.
        pub id: String,
        /// Name for people.
        pub name: String,
        /// IANA name.
        pub time_zone: String,
        /// `api` or `file`.
        pub managed_by: String,
        /// Grows with each change.
        pub version: i64,
    }
}

row! {
    /// A day on which a site holds no sessions.
    pub struct Holiday {
        /// Where.
        pub site_id: String,
        /// When.
        pub date: NaiveDate,
        /// Why.
        pub name: String,
        /// Grows with each change.
        pub version: i64,
    }
}

pub(crate) const HOLIDAY: &str = "site_id, date, name, version";

impl Store {
    /// The sites that `scope` reaches into, by id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sites(&self, scope: &Scope, after: Option<&str>, limit: u32) -> Result<Vec<Site>, StoreError> {
        let (sites, rooms) = scope.places();
        let rows = sqlx::query(
            "select id, name, time_zone, managed_by, version from sites s
             where ($1::text[] is null or id = any($1)
                    or exists (select from rooms r where r.site_id = s.id and r.id = any($2)))
               and ($3::text is null or id > $3)
             order by id limit $4",
        )
        .bind(sites)
        .bind(rooms)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Site::read)
    }

    /// One site.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn site(&self, scope: &Scope, id: &str) -> Result<Option<Site>, StoreError> {
        let (sites, rooms) = scope.places();
        let row = sqlx::query(
            "select id, name, time_zone, managed_by, version from sites s
             where id = $3 and ($1::text[] is null or id = any($1)
                    or exists (select from rooms r where r.site_id = s.id and r.id = any($2)))",
        )
        .bind(sites)
        .bind(rooms)
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        one(row, Site::read)
    }

    /// The holidays of a site from a date on, by date.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn holidays(&self, site: &str, after: Option<NaiveDate>, limit: u32) -> Result<Vec<Holiday>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {HOLIDAY} from holidays where site_id = $1 and ($2::date is null or date > $2)
             order by date limit $3"
        )))
        .bind(site)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Holiday::read)
    }
}

impl Change<'_> {
    /// A site, until the end of the change nobody else's. Only whoever may see the whole site changes it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_site(&mut self, scope: &Scope, id: &str) -> Result<Option<Site>, StoreError> {
        let (sites, _) = scope.places();
        let row = sqlx::query(
            "select id, name, time_zone, managed_by, version from sites
             where id = $2 and ($1::text[] is null or id = any($1)) for no key update",
        )
        .bind(sites)
        .bind(id)
        .fetch_optional(self.connection())
        .await?;
        one(row, Site::read)
    }

    /// Makes a site.
    ///
    /// # Errors
    /// When there is one with this id, or the database is away.
    pub async fn add_site(&mut self, id: &str, name: &str, time_zone: &str) -> Result<Site, StoreError> {
        let row = sqlx::query(
            "insert into sites (id, name, time_zone) values ($1, $2, $3)
             returning id, name, time_zone, managed_by, version",
        )
        .bind(id)
        .bind(name)
        .bind(time_zone)
        .fetch_one(self.connection())
        .await?;
        let site = Site::read(&row)?;
        self.audit(Entry::created("site.create", "site", &site.id, &site)).await?;
        Ok(site)
    }

    /// Gives a locked site another name and zone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn replace_site(&mut self, before: &Site, name: &str, time_zone: &str) -> Result<Site, StoreError> {
        let row = sqlx::query(
            "update sites set name = $2, time_zone = $3, version = version + 1 where id = $1
             returning id, name, time_zone, managed_by, version",
        )
        .bind(&before.id)
        .bind(name)
        .bind(time_zone)
        .fetch_one(self.connection())
        .await?;
        let site = Site::read(&row)?;
        self.audit(Entry::changed("site.update", "site", &site.id, before, &site)).await?;
        Ok(site)
    }

    /// Removes a locked site, with its holidays.
    ///
    /// # Errors
    /// When it still has rooms or courses, or the database is away.
    pub async fn remove_site(&mut self, site: &Site) -> Result<(), StoreError> {
        sqlx::query("delete from sites where id = $1").bind(&site.id).execute(self.connection()).await?;
        self.audit(Entry::removed("site.delete", "site", &site.id, site)).await
    }

    /// A holiday of a locked site: with the site it is nobody else's until the end of the change.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn holiday(&mut self, site: &Site, date: NaiveDate) -> Result<Option<Holiday>, StoreError> {
        let sql = format!("select {HOLIDAY} from holidays where site_id = $1 and date = $2");
        let row =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&site.id).bind(date).fetch_optional(self.connection()).await?;
        one(row, Holiday::read)
    }

    /// Makes a day of a locked site a holiday, or gives the one that it is `before` another name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn put_holiday(
        &mut self,
        site: &Site,
        before: Option<&Holiday>,
        date: NaiveDate,
        name: &str,
    ) -> Result<Holiday, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into holidays as h (site_id, date, name) values ($1, $2, $3)
             on conflict (site_id, date) do update set name = excluded.name, version = h.version + 1
             returning {HOLIDAY}"
        )))
        .bind(&site.id)
        .bind(date)
        .bind(name)
        .fetch_one(self.connection())
        .await?;
        let holiday = Holiday::read(&row)?;
        self.audit(Entry::put("holiday.put", "site", &site.id, before, &holiday)).await?;
        Ok(holiday)
    }

    /// Makes a holiday of a locked site a day like others.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remove_holiday(&mut self, holiday: &Holiday) -> Result<(), StoreError> {
        sqlx::query("delete from holidays where site_id = $1 and date = $2")
            .bind(&holiday.site_id)
            .bind(holiday.date)
            .execute(self.connection())
            .await?;
        self.audit(Entry::removed("holiday.delete", "site", &holiday.site_id, holiday)).await
    }
}
