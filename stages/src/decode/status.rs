//! What a camera is doing, for health checks, the API and whoever waits for it.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::{ErrorClass, MonoTime, TimeSource, WallTime};

use super::stream::StreamInfo;

/// Where a camera is in its life; drawn in [`super::camera`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CameraState {
    /// Asked for pictures, none came yet.
    #[default]
    Connecting,
    /// Pictures come.
    Live,
    /// Waits before the next attempt.
    Backoff,
    /// Over: told to stop, or a recording came to its end.
    Ended,
}

impl CameraState {
    /// The word used in the API and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Backoff => "backoff",
            Self::Ended => "ended",
        }
    }
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraError {
    /// When.
    pub at: WallTime,
    /// One word: [`super::DisconnectReason::as_str`].
    pub reason: &'static str,
    /// What it is and what to do, in plain words, without addresses and credentials.
    pub text: String,
    /// What a retry would bring.
    pub class: ErrorClass,
}

/// A camera at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CameraSnapshot {
    /// Where it is in its life.
    pub state: CameraState,
    /// When it came into this state; of a live camera, when its pictures began that have not broken off since.
    pub since: Option<MonoTime>,
    /// What it sends; the last known while it is not live.
    pub info: StreamInfo,
    /// Frames a second as they really arrive, over the last seconds; zero while it is not live.
    pub fps: f64,
    /// When the last frame that was decoded came from the camera: earlier than it came out of a decoder that is behind.
    pub last_frame: Option<MonoTime>,
    /// Nothing happens before it, and its key frames alone are decoded.
    pub dozing: bool,
    /// Frames decoded since the daemon started.
    pub decoded: u64,
    /// Those of them that were handed to the lane.
    pub sampled: u64,
    /// Connections that ended since the daemon started.
    pub disconnects: u64,
    /// The last thing that went wrong, also after it is mended.
    pub last_error: Option<CameraError>,
    /// When it is asked again.
    pub retry_at: Option<MonoTime>,
    /// How capture times are known.
    pub time_source: Option<TimeSource>,
    /// The camera's clock less ours, in milliseconds, where it sends one.
    pub clock_skew_ms: Option<i64>,
}

impl CameraSnapshot {
    /// The age of the last frame.
    pub fn frame_age(&self, now: MonoTime) -> Option<Duration> {
        self.last_frame.map(|t| now.since(t))
    }

    /// Why there is no picture, in plain words; `None` while there is one.
    pub fn complaint(&self) -> Option<&str> {
        match self.state {
            CameraState::Live => None,
            _ => self.last_error.as_ref().map(|e| e.text.as_str()),
        }
    }
}

/// The place where a camera's thread writes and others read and wait.
#[derive(Debug, Default)]
pub struct CameraStatus {
    now: Mutex<CameraSnapshot>,
    changed: Condvar,
}

impl CameraStatus {
    /// The camera at this moment.
    pub fn snapshot(&self) -> CameraSnapshot {
        self.now.lock().clone()
    }

    /// Waits until the camera is as wished, and says how it is then; `None` if that did not happen within `patience`.
    pub fn wait_until(&self, patience: Duration, wished: impl Fn(&CameraSnapshot) -> bool) -> Option<CameraSnapshot> {
        let mut now = self.now.lock();
        self.changed.wait_while_for(&mut now, |s| !wished(s), patience);
        wished(&now).then(|| now.clone())
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut CameraSnapshot)) {
        change(&mut self.now.lock());
        self.changed.notify_all();
    }
}

/// Told once, heard by everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Stop {
    told: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn tell(&self) {
        *self.told.lock() = true;
        self.changed.notify_all();
    }

    pub(super) fn is_told(&self) -> bool {
        *self.told.lock()
    }

    /// Waits for it; false when it did not come within `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let mut told = self.told.lock();
        self.changed.wait_while_for(&mut told, |told| !*told, patience);
        *told
    }
}

/// Frames a second over a sliding window of about two seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    window: Option<(MonoTime, u64)>,
    fps: f64,
}

impl Rate {
    /// The rate, with `came` more frames that came until `now`.
    pub(super) fn count(&mut self, now: MonoTime, came: u64) -> f64 {
        let Some((start, frames)) = &mut self.window else {
            self.window = Some((now, 0));
            return self.fps;
        };
        *frames += came;
        let passed = now.since(*start);
        let rate = *frames as f64 / passed.as_secs_f64();
        if passed >= Duration::from_secs(2) {
            self.fps = rate;
            self.window = Some((now, 0));
        } else if self.fps == 0.0 && passed >= Duration::from_millis(500) {
            return rate;
        }
        self.fps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut rate = Rate::default();
        let mut last = 0.0;
        for i in 0..200u64 {
            last = rate.count(MonoTime(Duration::from_millis(i * 40)), 1);
        }
        assert!((last - 25.0).abs() < 0.01, "{last}");
        for i in 0..100u64 {
            last = rate.count(MonoTime(Duration::from_millis(8_000 + i * 100)), 1);
        }
        assert!((last - 10.0).abs() < 0.01, "{last}");
        for i in 0..10u64 {
            last = rate.count(MonoTime(Duration::from_secs(18 + i)), 25);
        }
        assert!((last - 25.0).abs() < 0.01, "those that were not decoded came, too: {last}");
    }
}
