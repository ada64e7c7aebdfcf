//! One who follows: what they may see, and for how long.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;
use rollcall_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::LiveEvent;
use super::hub::{Reader, Told};
use crate::caller::Caller;
use crate::problem::{Answer, Problem};
use crate::rights::Right;
use crate::state::Api;

/// A token that was revoked is good for so long at most.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long the database may be away before it is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Who follow at the same time, at most.
pub(super) const MOST: usize = 512;

/// What comes next.
pub(super) enum News {
    /// Something to be told.
    Event(LiveEvent),
    /// Nothing any more.
    End(End),
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The token or key is not good any more.
    Refused,
    /// The daemon ends.
    Stopping,
    /// It was asked for so long and no longer.
    Over,
}

impl End {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "the token or key is not valid any more",
            Self::Stopping => "the daemon ends; come back",
            Self::Over => "the time is over",
        }
    }

    pub(super) fn is_refusal(self) -> bool {
        self == Self::Refused
    }
}

pub(super) struct Follower {
    api: Arc<Api>,
    caller: Caller,
    /// What the token is read from again.
    parts: Parts,
    reader: Reader,
    wanted: Vec<&'static str>,
    stopped: watch::Receiver<bool>,
    ask_at: Instant,
    until: Option<Instant>,
    _seat: OwnedSemaphorePermit,
}

impl Follower {
    pub(super) async fn begin(
        caller: Caller,
        api: Arc<Api>,
        parts: Parts,
        after: Option<i64>,
        wanted: Vec<&'static str>,
        lasts: Option<Duration>,
    ) -> Answer<Self> {
        need(&caller)?;
        let seat = Arc::clone(&api.live.seats).try_acquire_owned().map_err(|_| {
            Problem::busy(StatusCode::SERVICE_UNAVAILABLE, format!("{MOST} follow already"), ASK_EVERY.as_secs())
        })?;
        let stopped = api.live.stopped();
        let reader = api.live.reader(&api.store, after).await?;
        let now = Instant::now();
        let until = lasts.map(|lasts| now + lasts);
        Ok(Self { api, caller, parts, reader, wanted, stopped, ask_at: now + ASK_EVERY, until, _seat: seat })
    }

    /// What comes next. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> News {
        loop {
            if *self.stopped.borrow() {
                return News::End(End::Stopping);
            }
            // First of all, and also when there is always something to tell.
            if Instant::now() >= self.ask_at {
                if let Err(end) = self.ask_again().await {
                    return News::End(end);
                }
                self.ask_at = Instant::now() + ASK_EVERY;
            }
            let kinds = visible(&self.caller, &self.wanted);
            let until = self.until;
            let told = tokio::select! {
                _ = self.stopped.wait_for(|stop| *stop) => return News::End(End::Stopping),
                () = async { match until { Some(until) => sleep_until(until).await, None => std::future::pending().await } } =>
                    return News::End(End::Over),
                () = sleep_until(self.ask_at) => continue,
                told = self.reader.next(&self.caller.scope, &kinds) => told,
            };
            match told {
                Ok(Told::Row(row)) => return News::Event(LiveEvent::of(&row)),
                Ok(Told::Reset(id)) => return News::Event(LiveEvent::reset(id, self.api.clock.wall())),
                Err(error) => self.wait_for_database(error).await,
            }
        }
    }

    async fn wait_for_database(&self, error: StoreError) {
        tracing::debug!(%error, "a live view waits for the database");
        sleep(RETRY).await;
    }

    /// Whether the caller may still follow; their rights may be others by now.
    async fn ask_again(&mut self) -> Result<(), End> {
        match Caller::find(&self.parts, &self.api).await {
            Ok(None) => Err(End::Refused),
            Ok(Some(caller)) => {
                need(&caller).map_err(|_| End::Refused)?;
                self.caller = caller;
                Ok(())
            }
            // The database is away: nothing comes either, until it is back and says more.
            Err(problem) if problem.status().is_server_error() => Ok(()),
            Err(_) => Err(End::Refused),
        }
    }
}

/// People may follow their own record.
fn need(caller: &Caller) -> Answer<()> {
    if caller.person().is_some() { caller.need(Right::AttendanceRead) } else { caller.need(Right::LiveRead) }
}

/// The kinds of `wanted` that a caller may see.
fn visible(caller: &Caller, wanted: &[&'static str]) -> Vec<&'static str> {
    let right = |kind: &str| match kind {
        "camera" => Right::CamerasRead,
        "review" => Right::ReviewDecide,
        "session" => Right::PlacesRead,
        _ => Right::AttendanceRead,
    };
    wanted.iter().copied().filter(|kind| caller.may(right(kind))).collect()
}

/// As many seats as there are.
pub(super) fn seats() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST))
}
