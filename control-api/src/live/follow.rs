//! One who follows: what they may see, and for how long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;
use parking_lot::Mutex;
use rollcall_store::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

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
const MOST: usize = 512;
/// Of these, with one account or key.
const MOST_EACH: usize = 64;

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
    _seat: Seat,
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
        let seat = api.live.seats.take(caller.id)?;
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

/// Who follows, by account or key. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<Uuid, usize>>>);

impl Seats {
    /// One for this caller, until it is let go.
    fn take(&self, caller: Uuid) -> Answer<Seat> {
        let mut taken = self.0.lock();
        let busy = |status, detail| Err(Problem::busy(status, detail, ASK_EVERY.as_secs()));
        if taken.get(&caller).is_some_and(|own| *own >= MOST_EACH) {
            let detail = format!("{MOST_EACH} follow with this account or key already: end one, or use another key");
            return busy(StatusCode::TOO_MANY_REQUESTS, detail);
        }
        if taken.values().sum::<usize>() >= MOST {
            return busy(StatusCode::SERVICE_UNAVAILABLE, format!("{MOST} follow already: try again later"));
        }
        *taken.entry(caller).or_default() += 1;
        Ok(Seat { seats: self.clone(), caller })
    }
}

struct Seat {
    seats: Seats,
    caller: Uuid,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock();
        if let Some(own) = taken.get_mut(&self.caller) {
            *own -= 1;
        }
        taken.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_seats_of_all() {
        let seats = Seats::default();
        let status = |caller: u128| seats.take(Uuid::from_u128(caller)).err().map(|problem| problem.status());
        let take = |caller: u128, n: usize| -> Vec<Seat> {
            (0..n).map(|_| seats.take(Uuid::from_u128(caller)).unwrap()).collect()
        };
        let mut own = take(1, MOST_EACH);
        assert_eq!(status(1), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(status(2), None, "others have theirs");
        own.pop();
        own.extend(take(1, 1));
        let others: Vec<_> = (2..).map(|n| take(n, MOST_EACH)).take(MOST / MOST_EACH - 1).collect();
        assert_eq!(status(99), Some(StatusCode::SERVICE_UNAVAILABLE));
        drop((own, others));
        assert!(seats.0.lock().is_empty());
    }
}
