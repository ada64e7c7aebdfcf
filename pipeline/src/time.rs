//! Three clocks, three types. `media` orders and measures, `received` drives timeouts and latency, `captured` goes into events.

use std::time::Duration;

/// UTC wall time.
pub type WallTime = chrono::DateTime<chrono::Utc>;

/// Presentation time of a frame: nanoseconds from the start of its epoch (docs/time.md says which
/// epochs go on with that of the one before), never decreasing within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(pub u64);

impl MediaTime {
    /// Milliseconds from the start of the epoch.
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Monotonic time: relative to an arbitrary instant that is fixed for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(pub Duration);

impl MonoTime {
    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where [`FrameTime::captured`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeSource {
    /// The camera's own NTP time, from its RTCP sender reports.
    Ntp,
    /// Local arrival time, anchored at the least-delayed frame and slewed.
    Estimate,
    /// Position in a recorded file, from an assumed start.
    File,
}

impl TimeSource {
    /// The word used in rows, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ntp => "ntp",
            Self::Estimate => "estimate",
            Self::File => "file",
        }
    }
}

/// All that is known about when a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTime {
    /// Position in the stream.
    pub media: MediaTime,
    /// When it reached us, compressed: the wait for the decoder is part of every latency.
    pub received: MonoTime,
    /// When the shutter opened, as well as we know.
    pub captured: WallTime,
    /// How well we know.
    pub source: TimeSource,
}
