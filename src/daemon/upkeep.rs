//! Makes partitions ahead, so that a row never finds only the default one, and forgets what is too old.

use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, TimeDelta};
use rollcall_pipeline::Clock;
use rollcall_pipeline::config::RetentionConfig;
use rollcall_sinks::SinkMonitor;
use rollcall_store::{Retention, Store};

/// How often.
const EVERY: Duration = Duration::from_secs(6 * 3600);
/// How long live views may go on where they stopped.
const FEED_KEPT: TimeDelta = TimeDelta::hours(24);
/// Days for which it is known who failed to log in, at most; as of logins that have ended.
const FAILED_LOGINS_KEPT: u32 = 90;

/// For ever.
pub(super) async fn run(store: Store, sink: SinkMonitor, clock: Arc<dyn Clock>, keep: RetentionConfig) {
    store.until_prepared().await;
    loop {
        let today = clock.wall().date_naive();
        if let Err(error) = store.make_partitions(today).await {
            tracing::warn!(%error, "no partitions were made ahead; rows go to the default one until it works");
        }
        let from = |days: Option<u32>| days.and_then(|days| today.checked_sub_days(Days::new(days.into())));
        let retention = Retention {
            events_from: from(keep.events_days),
            reviews_from: from(keep.events_days),
            crops_from: from(keep.crops_days),
            audit_from: from(keep.audit_days),
            failed_logins_from: from(Some(FAILED_LOGINS_KEPT)),
        };
        match store.apply_retention(&retention).await {
            Ok(0) => {}
            Ok(months) => tracing::info!(months, "forgot events that are too old"),
            Err(error) => tracing::warn!(%error, "not all that is too old was forgotten; tried again in six hours"),
        }
        match sink.forget_erased().await {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "took whoever was erased out of events that the database refused"),
            Err(error) => tracing::warn!(%error, "refused events may name erased people; tried again in six hours"),
        }
        if let Err(error) = store.prune_feed(clock.wall() - FEED_KEPT).await {
            tracing::warn!(%error, "the feed keeps what is too old; tried again in six hours");
        }
        if let Err(error) = store.forget_expired_access(clock.wall()).await {
            tracing::warn!(%error, "expired tokens were not forgotten; tried again in six hours");
        }
        tokio::time::sleep(EVERY).await;
    }
}
