//! The only place where time is read: everything else takes a [`Clock`], so that a test can say what time it is.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::time::{MonoTime, WallTime};

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Never goes back; relative to an instant that is fixed for the life of the process.
    fn mono(&self) -> MonoTime;

    /// UTC as the system believes it; may jump either way.
    fn wall(&self) -> WallTime;
}

/// The system's clocks. All instances share one zero of [`MonoTime`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is told to take")]
impl Clock for SystemClock {
    fn mono(&self) -> MonoTime {
        MonoTime(ORIGIN.get_or_init(Instant::now).elapsed())
    }

    fn wall(&self) -> WallTime {
        chrono::Utc::now()
    }
}

/// A clock that stands still until a test moves it. Clones are the same clock only behind one `Arc`.
#[derive(Debug)]
pub struct ManualClock(Mutex<(MonoTime, WallTime)>);

impl ManualClock {
    /// Starts at [`MonoTime`] zero and the given UTC.
    pub fn new(wall: WallTime) -> Self {
        Self(Mutex::new((MonoTime(Duration::ZERO), wall)))
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let (mono, wall) = &mut *self.0.lock();
        mono.0 += by;
        *wall += by;
    }

    /// Sets UTC alone, as a time server does.
    pub fn set_wall(&self, wall: WallTime) {
        self.0.lock().1 = wall;
    }
}

impl Default for ManualClock {
    /// Starts at the Unix epoch.
    fn default() -> Self {
        Self::new(WallTime::UNIX_EPOCH)
    }
}

impl Clock for ManualClock {
    fn mono(&self) -> MonoTime {
        self.0.lock().0
    }

    fn wall(&self) -> WallTime {
        self.0.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::default();
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.mono(), MonoTime(Duration::from_secs(3)));
        assert_eq!(clock.wall(), WallTime::UNIX_EPOCH + Duration::from_secs(3));
        clock.set_wall(WallTime::UNIX_EPOCH);
        assert_eq!(clock.mono(), MonoTime(Duration::from_secs(3)), "a jump of the wall clock moves no timeout");
    }

    #[test]
    fn system_clocks_share_one_origin() {
        let before = SystemClock.mono();
        assert!(Clock::mono(&SystemClock) >= before);
    }
}
