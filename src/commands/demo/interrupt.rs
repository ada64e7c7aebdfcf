//! A signal before the daemon is there to hear it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Somebody wants the demo to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Hears the first SIGINT or SIGTERM; the second ends the process at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for as long as `runtime` lives.
    pub(super) fn listen(runtime: &Runtime) -> Self {
        let this = Self::default();
        let heard = this.clone();
        runtime.spawn(async move {
            let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if heard.0.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
        this
    }

    /// To be asked between steps that take a second.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}
