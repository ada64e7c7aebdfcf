//! Fans the feed out: one connection to the database listens, whoever follows gets the rows from memory.
//!
//! Nobody can hold anybody up. A reader that falls behind what is kept in memory reads on from the database at its own pace;
//! one that falls behind what is kept there is told so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rollcall_store::{FEED_KINDS, FeedRow, Scope, Store, StoreError};
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use super::follow::Seats;

/// Rows that are kept in memory for those who read.
const KEPT: usize = 2_048;
/// Rows of one query.
const BATCH: u32 = 500;
/// Without news for so long is looked nevertheless: a connection that a firewall dropped tells nothing for ever.
const LOOK_AFTER: Duration = Duration::from_secs(15);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The hub. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Live {
    rows: broadcast::Sender<Arc<FeedRow>>,
    stopped: watch::Sender<bool>,
    /// Up to where the feed is fanned out, once that is known: what comes after that comes to everybody. It is kept here, so that
    /// [`Self::follow`] goes on there when it is begun again after a panic.
    fanned: watch::Sender<Option<i64>>,
    /// One for each who follows.
    pub(super) seats: Seats,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            rows: broadcast::channel(KEPT).0,
            stopped: watch::channel(false).0,
            fanned: watch::channel(None).0,
            seats: Seats::default(),
        }
    }
}

impl Live {
    /// Reads the feed and fans it out until [`Self::stop`]. The database may be away at any time.
    pub async fn follow(self, store: Store) {
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.follow_on(&store) => {}
        }
    }

    async fn follow_on(&self, store: &Store) {
        let mut wait = FIRST_RETRY;
        store.until_prepared().await;
        loop {
            // The error is told by those who read and write there.
            if let Err(error) = self.follow_while_connected(store, &mut wait).await {
                tracing::debug!(%error, "the feed cannot be followed now");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    async fn follow_while_connected(&self, store: &Store, wait: &mut Duration) -> Result<(), StoreError> {
        let mut changes = store.feed_changes().await?;
        let mut at = self.begin(store).await?;
        loop {
            let rows = store.feed_after(at, &Scope::Everywhere, &FEED_KINDS, BATCH).await?;
            *wait = FIRST_RETRY;
            let more = rows.len() == BATCH as usize;
            for row in rows {
                at = row.id;
                // Nobody reads: then nobody misses it.
                drop(self.rows.send(Arc::new(row)));
            }
            self.fanned.send_if_modified(|fanned| {
                *fanned = Some(at);
                // That it goes on is no news to readers.
                false
            });
            if !more && let Ok(told) = timeout(LOOK_AFTER, changes.changed()).await {
                told?;
            }
        }
    }

    /// Where to go on: at first from the end of the feed, of which readers are told.
    async fn begin(&self, store: &Store) -> Result<i64, StoreError> {
        let fanned = *self.fanned.borrow();
        if let Some(at) = fanned {
            return Ok(at);
        }
        let last = store.feed_bounds().await?.last;
        self.fanned.send_replace(Some(last));
        Ok(last)
    }

    /// Ends everything that follows.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Waits for [`Self::stop`].
    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// Reads on after `after`, or from now on.
    ///
    /// # Errors
    /// When the database is away.
    pub(super) async fn reader(&self, store: &Store, after: Option<i64>) -> Result<Reader, StoreError> {
        // Before the database is asked: what comes in between comes twice, and once it is left out.
        let rows = self.rows.subscribe();
        let began = self.fanned.subscribe();
        let bounds = store.feed_bounds().await?;
        let lost = after.is_some_and(|after| after < bounds.pruned_to || after > bounds.last);
        let position = after.filter(|_| !lost).unwrap_or(bounds.last);
        let mut ready = VecDeque::new();
        if lost {
            ready.push_back(Told::Reset(bounds.last));
        }
        Ok(Reader { store: store.clone(), rows, began, position, behind: true, ready })
    }
}

/// What a reader is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Something happened.
    Row(Arc<FeedRow>),
    /// What happened since the reader was last here is not known any more: load everything anew; what comes next comes after
    /// this id.
    Reset(i64),
}

/// Who reads.
#[derive(Debug)]
pub(super) struct Reader {
    store: Store,
    rows: broadcast::Receiver<Arc<FeedRow>>,
    /// Changes when the feed begins to be fanned out: until then rows may pass by unseen.
    began: watch::Receiver<Option<i64>>,
    /// Everything up to here was told.
    position: i64,
    /// It has to read from the database before it can go on with what is in memory.
    behind: bool,
    ready: VecDeque<Told>,
}

impl Reader {
    /// What comes next, of these kinds and for whoever may see `scope`. May be dropped while it waits.
    ///
    /// # Errors
    /// When the database is away, while it is asked.
    pub(super) async fn next(&mut self, scope: &Scope, kinds: &[&str]) -> Result<Told, StoreError> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            if self.behind {
                self.catch_up(scope, kinds).await?;
                continue;
            }
            let next = tokio::select! {
                next = self.rows.recv() => next,
                Ok(()) = self.began.changed() => {
                    self.behind = true;
                    continue;
                }
            };
            // Both may have come, and what is before the first row in memory never comes from there.
            if self.began.has_changed().unwrap_or_default() {
                self.began.mark_unchanged();
                self.behind = true;
                continue;
            }
            match next {
                Ok(row) if row.id <= self.position => {}
                Ok(row) => {
                    self.position = row.id;
                    if kinds.contains(&row.kind.as_str()) && row.is_within(scope) {
                        return Ok(Told::Row(row));
                    }
                }
                // Too slow for memory; or nobody feeds it any more, and the caller hears of that elsewhere.
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    async fn catch_up(&mut self, scope: &Scope, kinds: &[&str]) -> Result<(), StoreError> {
        let bounds = self.store.feed_bounds().await?;
        if self.position < bounds.pruned_to {
            self.position = bounds.last;
            self.ready.push_back(Told::Reset(bounds.last));
            return Ok(());
        }
        let rows = self.store.feed_after(self.position, scope, kinds, BATCH).await?;
        self.behind = rows.len() == BATCH as usize;
        // Rows that are not for this reader were seen too, up to where the feed was before it was read.
        let seen = if self.behind { self.position } else { self.position.max(bounds.last) };
        self.position = rows.last().map_or(seen, |row| seen.max(row.id));
        self.ready.extend(rows.into_iter().map(|row| Told::Row(Arc::new(row))));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_happens_before_a_hub_that_panicked_is_begun_again_is_told() {
        let store = rollcall_store::testing::store().await;
        let live = Live::default();
        let (mut rows, mut fanned) = (live.rows.subscribe(), live.fanned.subscribe());
        let hub = tokio::spawn(live.clone().follow(store.clone()));
        timeout(PATIENCE, fanned.wait_for(Option::is_some)).await.unwrap().unwrap();
        // It ends in the middle, and what it had in mind is gone.
        hub.abort();
        assert!(hub.await.is_err());
        store.tell_camera("hall", json!({ "camera": "door-1" })).await.unwrap();
        let again = tokio::spawn(live.clone().follow(store.clone()));
        let told = timeout(PATIENCE, rows.recv()).await.unwrap().unwrap();
        assert_eq!((told.kind.as_str(), &told.payload["camera"]), ("camera", &json!("door-1")));
        live.stop();
        again.await.unwrap();
    }

    #[tokio::test]
    async fn what_came_before_the_first_row_in_memory_is_read_from_the_database() {
        let store = rollcall_store::testing::store().await;
        let live = Live::default();
        let mut readers = Vec::new();
        // Many, since it is a matter of chance what of both a reader looks at first.
        for _ in 0..16 {
            // It has read all that there is.
            readers.push(Reader { behind: false, ..live.reader(&store, None).await.unwrap() });
        }
        for n in 1..=2 {
            store.tell_camera("hall", json!({ "n": n })).await.unwrap();
        }
        let rows = store.feed_after(0, &Scope::Everywhere, &FEED_KINDS, BATCH).await.unwrap();
        let [first, second] = &rows[..] else { panic!("{rows:?}") };
        live.fanned.send_replace(Some(first.id));
        live.rows.send(Arc::new(second.clone())).unwrap();
        for mut reader in readers {
            let told = reader.next(&Scope::Everywhere, &FEED_KINDS).await.unwrap();
            assert!(matches!(&told, Told::Row(row) if row.id == first.id), "{told:?}");
        }
    }
}
