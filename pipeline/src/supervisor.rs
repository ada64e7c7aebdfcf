//! Threads that are named, registered, watched and joined: the only place that starts one.
//!
//! It knows nothing of what the threads do. A thread that panics or fails is recorded, and whoever started it decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::time::MonoTime;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Waits for work.
    Idle,
    /// Works.
    Busy,
    /// Waits for room downstream: somebody else's fault, so it never counts as hung.
    Blocked,
}

/// A thread's heartbeat: what it does, and since when. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Progress {
    clock: Arc<dyn Clock>,
    /// Two bits of activity, 62 bits of nanoseconds (146 years).
    beat: Arc<AtomicU64>,
}

impl Progress {
    /// A heartbeat that starts idle.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let this = Self { clock, beat: Arc::default() };
        this.idle();
        this
    }

    /// Waits for work from now on.
    pub fn idle(&self) {
        self.set(0);
    }

    /// Works; each call is a sign of progress.
    pub fn busy(&self) {
        self.set(1);
    }

    /// Waits for room downstream from now on.
    pub fn blocked(&self) {
        self.set(2);
    }

    fn set(&self, activity: u64) {
        let nanos = self.clock.mono().0.as_nanos() as u64;
        // Only ever read as a whole and never used to publish other memory.
        self.beat.store(nanos << 2 | activity, Ordering::Relaxed);
    }

    /// What it does, and how long it has done so without a sign of progress.
    pub fn activity(&self) -> (Activity, Duration) {
        let beat = self.beat.load(Ordering::Relaxed);
        let activity = match beat & 3 {
            0 => Activity::Idle,
            1 => Activity::Busy,
            _ => Activity::Blocked,
        };
        (activity, self.clock.mono().since(MonoTime(Duration::from_nanos(beat >> 2))))
    }

    /// The clock that times it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
