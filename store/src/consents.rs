//! Consents: that somebody's face may be stored. Never changed, only withdrawn.

use rollcall_pipeline::{PersonId, WallTime};
use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::visitors::ONCE_A_STRANGER;
use crate::{Change, PersonDetail, Store, StoreError};

row! {
    /// A consent.
    pub struct Consent {
        /// Id.
        pub id: Uuid,
        /// Whose face it is about.
        pub person_id: Uuid,
        /// Which text they agreed to.
        pub text_version: String,
        /// Who agreed: the person, or for example a parent.
        pub given_by: String,
        /// When they did.
        pub given_at: WallTime,
        /// Account or key that recorded it.
        pub recorded_by: String,
        /// When it was recorded.
        pub recorded_at: WallTime,
        /// Since when it is not in force any more.
        pub withdrawn_at: Option<WallTime>,
        /// Account or key that recorded that.
        pub withdrawn_recorded_by: Option<String>,
    }
}

const CONSENT: &str = "id, person_id, text_version, given_by, given_at, recorded_by, recorded_at, withdrawn_at,
    withdrawn_recorded_by";

/// A consent that was given.
#[derive(Clone, Copy, Debug)]
pub struct NewConsent<'a> {
    /// Which text they agreed to.
    pub text_version: &'a str,
    /// Who agreed.
    pub given_by: &'a str,
    /// When they did.
    pub given_at: WallTime,
}

/// Why no face of somebody may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoConsent {
    /// The site requires one, and none is on record.
    #[error("no face is stored without consent: record it first with POST /api/v1/people/{{id}}/consents")]
    Required,
    /// They took it back, which no setting overrules.
    #[error("they withdrew their consent: record a new one first with POST /api/v1/people/{{id}}/consents")]
    Withdrawn,
}

impl NoConsent {
    /// Whether a face may be stored of a locked person, or of somebody new.
    ///
    /// # Errors
    /// When they withdrew their consent, or none is in force where one is `required`.
    pub fn check(person: Option<&PersonDetail>, required: bool) -> Result<(), Self> {
        match person {
            Some(person) if person.consent_withdrawn => Err(Self::Withdrawn),
            Some(person) if person.consent.is_some() => Ok(()),
            _ if required => Err(Self::Required),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// The consents of a person, newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn consents(
        &self,
        person: PersonId,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Consent>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {CONSENT} from consents where person_id = $1 and ($2::uuid is null or id < $2)
             order by id desc limit $3"
        )))
        .bind(person.0)
        .bind(before)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Consent::read)
    }
}

/// What went with a consent.
#[derive(Clone, Debug, PartialEq)]
pub struct Withdrawn {
    /// As it is now.
    pub consent: Consent,
    /// Templates that were erased.
    pub templates: u64,
    /// Pictures in the review queue that were erased.
    pub pictures: u64,
}

impl Change<'_> {
    /// Records the consent of a locked person.
    ///
    /// # Errors
    /// When one is in force, or the database is away.
    pub async fn add_consent(&mut self, person: PersonId, new: &NewConsent<'_>) -> Result<Consent, StoreError> {
        let recorded_by = self.actor().name.clone();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into consents (id, person_id, text_version, given_by, given_at, recorded_by)
             values ($1, $2, $3, $4, $5, $6) returning {CONSENT}"
        )))
        .bind(Uuid::now_v7())
        .bind(person.0)
        .bind(new.text_version)
        .bind(new.given_by)
        .bind(new.given_at)
        .bind(recorded_by)
        .fetch_one(self.connection())
        .await?;
        let consent = Consent::read(&row)?;
        let entry = Entry::created("consent.give", "consent", consent.id, &consent);
        self.audit(Entry { person: Some(person), ..entry }).await?;
        Ok(consent)
    }

    /// Withdraws the consent of a locked person, and erases their templates and their pictures in the review queue: those that
    /// were decided to be theirs, those of the strangers whom they were once taken for, and those of nobody yet that are most
    /// like them. `None` if none is in force.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn withdraw_consent(&mut self, person: PersonId, now: WallTime) -> Result<Option<Withdrawn>, StoreError> {
        hold_feed(self.connection()).await?;
        let by = self.actor().name.clone();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "update consents set withdrawn_at = $2, withdrawn_recorded_by = $3
             where person_id = $1 and withdrawn_at is null returning {CONSENT}"
        )))
        .bind(person.0)
        .bind(now)
        .bind(by)
        .fetch_optional(self.connection())
        .await?;
        let Some(consent) = one(row, Consent::read)? else { return Ok(None) };
        let entry = Entry::created("consent.withdraw", "consent", consent.id, &consent);
        self.audit(Entry { person: Some(person), ..entry }).await?;
        let templates = self.remove_templates(person, None).await?;
        let pictures = format!(
            "update review_items set sealed_crop = null, sealed_embedding = null, version = version + 1
             where (person_id = $1 or person_id is null and candidates->0->>'person' = $1::text
                    or visitor_id in ({ONCE_A_STRANGER}))
               and (sealed_crop is not null or sealed_embedding is not null)"
        );
        let pictures = sqlx::query(sqlx::AssertSqlSafe(pictures)).bind(person.0).execute(self.connection()).await?;
        self.forget_strangers_of(person.0).await?;
        let pictures = pictures.rows_affected();
        Ok(Some(Withdrawn { consent, templates, pictures }))
    }
}
