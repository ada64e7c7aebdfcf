//! Answers of requests that created something, for callers who did not hear them and ask again.

use rollcall_pipeline::WallTime;
use sqlx::Row;
use uuid::Uuid;

use crate::seal::Bound;
use crate::{Store, StoreError};

/// What is known of a request that carries a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is to be done, now and here.
    Ours,
    /// It is being done.
    UnderWay,
    /// The key was used for another request.
    Taken,
    /// It was done. The answer, unless it was too large to be kept, or somebody was erased since.
    Done(Option<Vec<u8>>),
}

impl Store {
    /// Claims a key for a request (its sha256). A claim before `abandoned` that brought no answer counts no more.
    ///
    /// # Errors
    /// When the database is away, or a kept answer does not open.
    pub async fn claim_request(
        &self,
        caller: Uuid,
        key: &str,
        request: &[u8; 32],
        now: WallTime,
        abandoned: WallTime,
    ) -> Result<Claim, StoreError> {
        // A day is over before the cleaning is; the claim of whoever died is void.
        let claimed = sqlx::query(
            "insert into idempotency_keys as k (caller, key, request_sha256, created_at) values ($1, $2, $3, $4)
             on conflict (caller, key) do update
                 set request_sha256 = $3, created_at = $4, status = null, sealed_answer = null, forgotten = false
                 where k.created_at < $4 - interval '1 day' or (k.status is null and k.created_at < $5)",
        )
        .bind(caller)
        .bind(key)
        .bind(&request[..])
        .bind(now)
        .bind(abandoned)
        .execute(&self.pool)
        .await?;
        if claimed.rows_affected() > 0 {
            return Ok(Claim::Ours);
        }
        let row = sqlx::query(
            "select request_sha256, status is not null as done, sealed_answer from idempotency_keys
             where caller = $1 and key = $2",
        )
        .bind(caller)
        .bind(key)
        .fetch_optional(&self.pool)
        .await?;
        // Given up between the two questions.
        let Some(row) = row else { return Ok(Claim::UnderWay) };
        if row.try_get::<&[u8], _>("request_sha256")? != request {
            return Ok(Claim::Taken);
        }
        if !row.try_get::<bool, _>("done")? {
            return Ok(Claim::UnderWay);
        }
        let sealed: Option<Vec<u8>> = row.try_get("sealed_answer")?;
        let open = |sealed: Vec<u8>| self.sealer.open(&place(caller, key), &sealed);
        Ok(Claim::Done(sealed.map(open).transpose()?))
    }

    /// Keeps the answer of a request, sealed: there may be a secret in it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn keep_answer(
        &self,
        caller: Uuid,
        key: &str,
        status: u16,
        answer: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let sealed = answer.map(|answer| self.sealer.seal(&place(caller, key), answer));
        sqlx::query(
            "update idempotency_keys set status = $3, sealed_answer = case when not forgotten then $4 end
             where caller = $1 and key = $2",
        )
        .bind(caller)
        .bind(key)
        .bind(i16::try_from(status).unwrap_or(i16::MAX))
        .bind(sealed)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a claim back: the request was not done.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn give_claim_back(&self, caller: Uuid, key: &str) -> Result<(), StoreError> {
        sqlx::query("delete from idempotency_keys where caller = $1 and key = $2 and status is null")
            .bind(caller)
            .bind(key)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn place(caller: Uuid, key: &str) -> Bound {
    Bound::new("answer", &[caller.as_bytes(), key.as_bytes()])
}
