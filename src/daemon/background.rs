//! What goes on beside the lane until the daemon ends: named, begun again when it panics, ended together.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use rollcall_pipeline::metrics::{CounterName, Label, counter};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::{sleep, timeout};

/// The tasks of the daemon.
pub(super) struct Background {
    runtime: Handle,
    again_after: Duration,
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// Tells when the daemon ends.
#[derive(Clone)]
pub(super) struct Ending {
    again_after: Duration,
    ending: watch::Receiver<bool>,
}

impl Background {
    /// No tasks yet. What panics is begun again after `again_after`: it may panic at once again.
    pub(super) fn new(runtime: Handle, again_after: Duration) -> Self {
        Self { runtime, again_after, ending: watch::channel(false).0, tasks: JoinSet::new(), names: HashMap::new() }
    }

    /// For what is not kept here but must end with it.
    pub(super) fn ending(&self) -> Ending {
        Ending { again_after: self.again_after, ending: self.ending.subscribe() }
    }

    /// Keeps `work` going, see [`Ending::keep`].
    pub(super) fn keep<W: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &'static str,
        work: impl Fn() -> W + Send + 'static,
    ) {
        let kept = self.ending().keep(name, work);
        self.start(name, kept);
    }

    /// Starts what ends by itself, or soon after [`Ending::come`].
    pub(super) fn start(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn_on(work, &self.runtime);
        self.names.insert(task.id(), name);
    }

    /// Ends all; what is still at work after `patience` is dropped, and its names are returned.
    pub(super) async fn end(mut self, patience: Duration) -> Vec<&'static str> {
        self.ending.send_replace(true);
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.names.remove(&id);
            }
        };
        // What ran out of time is in the names.
        drop(timeout(patience, all).await);
        self.names.into_values().collect()
    }
}

impl Ending {
    /// Returns when the daemon ends.
    pub(super) async fn come(mut self) {
        // That nobody can tell any more is an end, too.
        drop(self.ending.wait_for(|ending| *ending).await);
    }

    /// Runs `work` until it is done or the daemon ends, and begins it again when it panics.
    pub(super) async fn keep<W: Future<Output = ()>>(self, name: &'static str, work: impl Fn() -> W) {
        let again_after = self.again_after;
        let kept = async move {
            // Where it panicked is in the log.
            while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
                counter(CounterName::BackgroundRestarts, &[Label::Task(name)]).increment(1);
                tracing::error!(task = name, "a background task panicked and is begun again");
                sleep(again_after).await;
            }
        };
        tokio::select! {
            () = kept => {}
            () = self.come() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn what_panics_is_begun_again_until_it_is_done() {
        let runtime = crate::database::runtime().unwrap();
        let mut background = Background::new(runtime.handle().clone(), Duration::ZERO);
        let begun = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&begun);
        background.keep("trial", move || {
            let counted = Arc::clone(&counted);
            async move { assert!(counted.fetch_add(1, Ordering::SeqCst) == 2, "not yet") }
        });
        runtime.block_on(background.tasks.join_next());
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn what_would_go_on_for_ever_ends_with_the_daemon() {
        let runtime = crate::database::runtime().unwrap();
        let mut background = Background::new(runtime.handle().clone(), PATIENCE);
        background.keep("for ever", std::future::pending);
        background.keep("waits to begin again", || async { panic!("at once") });
        let ending = background.ending();
        background.start("serves until the end", ending.clone().come());
        assert!(runtime.block_on(background.end(PATIENCE)).is_empty());
        runtime.block_on(ending.come());
    }

    #[test]
    fn what_does_not_end_is_named() {
        let runtime = crate::database::runtime().unwrap();
        let mut background = Background::new(runtime.handle().clone(), PATIENCE);
        background.start("hangs", std::future::pending());
        assert_eq!(runtime.block_on(background.end(Duration::ZERO)), ["hangs"]);
    }
}
