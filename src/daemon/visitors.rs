//! Tells strangers apart who come again, where that is configured.

use std::time::Duration;

use rollcall_store::Store;

/// New strangers are looked at so often.
const TICK: Duration = Duration::from_secs(5);

/// For ever; `similarity` is what makes two faces the same stranger.
pub(super) async fn tell_apart(store: Store, similarity: f32) {
    let mut told = false;
    loop {
        tokio::time::sleep(TICK).await;
        if !store.is_prepared() {
            continue;
        }
        match store.tell_strangers_apart(similarity).await {
            Ok(_) => told = false,
            Err(error) if !told => {
                tracing::warn!(%error, "strangers are not told apart; trying on");
                told = true;
            }
            Err(_) => {}
        }
    }
}
