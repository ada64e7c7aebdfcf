//! One camera for as long as it is configured: connect, deliver, fail, wait, again.
//!
//! ```text
//!               first frame                       any failure; for a live source also the end
//!  Connecting ───────────────► Live ──────────────────────────────────┐
//!   │    ▲ │                    │  ▲                                  ▼
//!   │    │ └ failure ───────────┼──┼──────────────────────────────► Backoff
//!   │    └──────────────────────┼──┼─────────────────────────────────┘
//!   │                           │  └ other size, clock set: new epoch, same connection
//!   └ stop ──────► Ended ◄──────┴ stop; end of a recording
//! ```
//!
//! Waits: see `backoff`; a camera that comes back meanwhile is heard by knocking (`knock`). Silence for [`STALL_LIMIT`] while
//! live is a failure, because a frozen camera keeps its connection and no layer below notices for half a minute. The camera's
//! thread decodes what an analysed frame needs (`lazy`; video is made of differences), but nothing of a scene in which nothing
//! happens (`doze`) and nothing that is too late (`late`), and hands on what is to be analysed. Of that only the mux drops any.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rollcall_pipeline::config::{CameraConfig, CameraSource, Mounting};
use rollcall_pipeline::metrics::CameraMetrics;
use rollcall_pipeline::{
    Attention, CameraId, CameraTuning, Clock, CloseReason, Fault, FrameMux, MonoTime, MuxError, WallTime,
};

use super::backoff::Backoff;
use super::capture_time::CaptureClock;
use super::delivery::{Dating, Delivery, Note};
use super::failure::DisconnectReason;
use super::gst as build;
use super::intake::Unseen;
use super::knock::{self, Door, Presence};
use super::status::{CameraError, CameraSnapshot, CameraState, CameraStatus, Stop};
use super::stream::{Anew, DecodedFrame, Stream};

/// A live camera that sends nothing for this long has stalled.
pub const STALL_LIMIT: Duration = Duration::from_secs(2);
/// After this long without a picture a camera counts as live from the next one on, though its connection lasted.
const BROKEN_OFF: Duration = Duration::from_secs(5);
/// While waiting, the age of the last frame is published this often.
const TICK: Duration = knock::EVERY;

/// A camera's thread: [`Camera::run`] blocks until the camera is told to stop.
pub struct Camera {
    id: CameraId,
    source: CameraSource,
    mounting: Mounting,
    mux: FrameMux,
    clock: Arc<dyn Clock>,
    metrics: CameraMetrics,
    starts_at: Option<WallTime>,
    over_udp: bool,
    shared: CameraControl,
    /// When the first and the last frame of the current or last connection came.
    live: Option<(MonoTime, MonoTime)>,
    presence: Presence,
    /// When the last frame of any connection came.
    last_frame: Option<MonoTime>,
    /// It was told of this connection that the decoder is behind.
    told_late: bool,
}

/// The handle of a camera that runs on another thread. Cloning shares it.
#[derive(Clone, Debug)]
pub struct CameraControl {
    tuning: Arc<ArcSwap<CameraTuning>>,
    attention: Attention,
    status: Arc<CameraStatus>,
    stop: Arc<Stop>,
}

impl CameraControl {
    /// Swaps the tuning; it is in force from the next frame on.
    pub fn retune(&self, tuning: CameraTuning) {
        self.tuning.store(Arc::new(tuning));
    }

    /// What keeps the camera from dozing.
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Tells the camera to end. It does within a second, unless the lane blocks it.
    pub fn stop(&self) {
        self.stop.tell();
    }

    /// The camera at this moment.
    pub fn snapshot(&self) -> CameraSnapshot {
        self.status.snapshot()
    }

    /// What others read and wait on.
    pub fn status(&self) -> &Arc<CameraStatus> {
        &self.status
    }
}

impl Camera {
    /// A camera that delivers the pictures of its `streams.detect` into `mux`.
    pub fn new(config: &CameraConfig, mux: FrameMux, clock: Arc<dyn Clock>) -> Self {
        Self {
            id: config.id.clone(),
            source: config.streams.detect.clone(),
            mounting: config.mounting,
            mux,
            metrics: CameraMetrics::new(&config.id),
            starts_at: None,
            over_udp: false,
            shared: CameraControl {
                tuning: Arc::new(ArcSwap::from_pointee(config.tuning.clone())),
                attention: Attention::default(),
                status: Arc::default(),
                stop: Arc::default(),
            },
            live: None,
            presence: Presence::default(),
            last_frame: None,
            told_late: false,
            clock,
        }
    }

    /// Lets a recording begin at a given time instead of now, so that its replays are alike.
    #[must_use]
    pub fn starting_at(mut self, start: WallTime) -> Self {
        self.starts_at = Some(start);
        self
    }

    /// The handle to watch and stop it by.
    pub fn control(&self) -> CameraControl {
        self.shared.clone()
    }

    /// Runs until it is told to stop, the mux closes, or a recording that is not repeated comes to its end.
    ///
    /// # Errors
    /// When a recording that is not repeated cannot be read to its end; cameras only ever wait for better times.
    pub fn run(mut self) -> Result<(), Fault> {
        let mut backoff = Backoff::default();
        self.metrics.unseen();
        loop {
            let reason = self.run_once();
            let now = self.clock.mono();
            self.metrics.up(false);
            if reason == DisconnectReason::Shutdown {
                self.end();
                return Ok(());
            }
            if let CameraSource::File { repeat, .. } = self.source {
                match (&reason, repeat) {
                    (DisconnectReason::Eos, true) => continue,
                    (DisconnectReason::Eos, false) => {
                        self.end();
                        return Ok(());
                    }
                    (_, false) => {
                        self.failed(&reason);
                        self.enter(CameraState::Ended);
                        return Err(Fault::new(reason.class(), reason.explain(&self.id)));
                    }
                    (_, true) => {}
                }
            }
            self.failed(&reason);
            if reason == DisconnectReason::Transport && build::may_change_transport(&self.source) {
                self.over_udp = !self.over_udp;
                if self.over_udp {
                    continue;
                }
            }
            // What never gave a picture over UDP is tried over TCP again.
            self.over_udp &= self.live.is_some();
            if self.live.is_some() {
                self.presence.seen();
            }
            let wait = backoff.after(&reason, self.live.take(), now, rand::random());
            // A link that comes and goes must not have a wrong password tried again each time.
            let knock = reason != DisconnectReason::Unauthorized;
            match self.wait(wait, knock.then(|| Door::of(&self.source, &reason)).flatten()) {
                Waited::Over => {}
                Waited::Answered => backoff.answered(self.clock.mono()),
                Waited::Stopped => {
                    self.end();
                    return Ok(());
                }
            }
        }
    }

    fn end(&mut self) {
        self.metrics.gone();
        self.enter(CameraState::Ended);
    }

    /// Connects once and delivers until the connection ends, for whatever reason.
    pub fn run_once(&mut self) -> DisconnectReason {
        self.live = None;
        self.told_late = false;
        self.enter(CameraState::Connecting);
        let stop = Arc::clone(&self.shared.stop);
        if stop.is_told() || self.mux.is_closed() {
            return DisconnectReason::Shutdown;
        }
        let (clock, attention) = (Arc::clone(&self.clock), &self.shared.attention);
        let opened = Stream::open(&self.source, self.mounting, self.over_udp, STALL_LIMIT, clock, attention);
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(reason) => return reason,
        };
        // Of all epochs of a recording: its media time goes on.
        let begins = self.starts_at.unwrap_or_else(|| self.clock.wall());
        let mut delivery: Option<Delivery> = None;
        let reason = loop {
            let next = stream.next(&|| {
                if let Some(last) = self.last_frame {
                    self.metrics.frame_age(last, self.clock.mono());
                }
                stop.is_told() || self.mux.is_closed()
            });
            self.dropped_late(stream.intake().take_late());
            let frame = match next {
                Ok(frame) => frame,
                Err(reason) => break reason,
            };
            self.seen(&frame, &stream);
            if let Some(why) = frame.anew
                && let Some(old) = delivery.take()
            {
                tracing::info!(camera = %self.id, ?why, "the stream changed: a new epoch begins");
                old.close(CloseReason::Lost);
            }
            let delivery = match &mut delivery {
                Some(delivery) => delivery,
                none => match self.begin(begins) {
                    Ok(begun) => none.insert(begun),
                    Err(reason) => break reason,
                },
            };
            let Some(note) = delivery.deliver(frame, &self.shared.tuning.load_full()) else {
                break DisconnectReason::Shutdown;
            };
            stream.rest(note.idle);
            self.delivered(&note);
        };
        if let Some(delivery) = delivery {
            delivery.close(match reason {
                DisconnectReason::Eos if matches!(self.source, CameraSource::File { .. }) => CloseReason::Ended,
                DisconnectReason::Shutdown => CloseReason::Stopped,
                _ => CloseReason::Lost,
            });
        }
        reason
    }

    /// Notes a decoded frame, whether it is analysed or not.
    fn seen(&mut self, frame: &DecodedFrame, stream: &Stream) {
        let Unseen { dozed, skipped, passed } = frame.unseen;
        self.metrics.decoded(1 + passed);
        self.metrics.undecoded(dozed, skipped);
        let first = self.live.is_none();
        let came = frame.came();
        let since = self.live.map_or(frame.received, |(first, _)| first);
        self.live = Some((since, frame.received));
        let broke_off = self.last_frame.filter(|_| !first).is_some_and(|last| came.since(last) > BROKEN_OFF);
        self.last_frame = Some(came);
        // Before it is live: whoever sees that it is sees since when there are pictures, too.
        self.shared.status.update(|s| {
            s.decoded += 1 + passed;
            s.dozing = stream.intake().is_dozing();
            s.last_frame = Some(came);
            if first || frame.anew == Some(Anew::Size) {
                s.info = stream.info().clone();
            }
            if broke_off {
                s.since = Some(came);
            }
        });
        // With each of them: a predecessor that hung calls the camera gone when it ends at last.
        self.metrics.up(true);
        if first {
            self.enter(CameraState::Live);
            let info = stream.info();
            tracing::info!(
                camera = %self.id, codec = info.codec, decoder = info.decoder, hardware = info.hardware,
                width = info.width, height = info.height, fps = info.fps, "live"
            );
        }
    }

    /// Notes what was thrown away undecoded.
    fn dropped_late(&mut self, frames: u64) {
        self.metrics.late(frames);
        if frames > 0 && !std::mem::replace(&mut self.told_late, true) {
            tracing::warn!(
                camera = %self.id, frames,
                "the camera sends more than can be decoded: what is too old is thrown away up to the next key frame"
            );
        }
    }

    /// Notes what became of a frame.
    fn delivered(&self, note: &Note) {
        if let Some(skew) = note.skew {
            self.metrics.clock_skew(note.wall + skew, note.wall);
        }
        self.shared.status.update(|s| {
            s.fps = note.fps;
            s.sampled += u64::from(note.sampled);
            s.time_source = Some(note.source);
            s.clock_skew_ms = note.skew.map(|d| d.num_milliseconds()).or(s.clock_skew_ms);
        });
    }

    /// Begins an epoch. `begins`: when a recording did.
    fn begin(&self, begins: WallTime) -> Result<Delivery, DisconnectReason> {
        let sender = self.mux.open(&self.id).map_err(|error| match error {
            MuxError::Closed => DisconnectReason::Shutdown,
            MuxError::AlreadyOpen(_) => DisconnectReason::Overlap,
        })?;
        let dating = match self.source {
            CameraSource::File { .. } => Dating::Recording { start: begins },
            CameraSource::Rtsp { .. } | CameraSource::Usb { .. } => Dating::Live(CaptureClock::default()),
        };
        Delivery::new(sender, dating, self.shared.attention.clone()).ok_or(DisconnectReason::Shutdown)
    }

    fn enter(&self, state: CameraState) {
        let now = self.clock.mono();
        self.shared.status.update(|s| {
            if s.state != state || s.since.is_none() {
                s.since = Some(now);
            }
            s.state = state;
            s.retry_at = None;
            if state != CameraState::Live {
                s.fps = 0.0;
                s.dozing = false;
            }
        });
    }

    fn failed(&self, reason: &DisconnectReason) {
        let text = reason.explain(&self.id);
        tracing::warn!(camera = %self.id, reason = reason.as_str(), "{text}");
        self.metrics.reconnected(reason.as_str());
        let error = CameraError { at: self.clock.wall(), reason: reason.as_str(), text, class: reason.class() };
        self.shared.status.update(|s| {
            s.disconnects += 1;
            s.last_error = Some(error);
        });
    }

    /// Waits before the next attempt, or until the camera opens its door again.
    fn wait(&mut self, wait: Duration, mut door: Option<Door>) -> Waited {
        self.enter(CameraState::Backoff);
        let until = MonoTime(self.clock.mono().0 + wait);
        self.shared.status.update(|s| s.retry_at = Some(until));
        loop {
            if door.as_mut().is_some_and(|door| self.presence.is_back(door)) {
                tracing::info!(camera = %self.id, "answers again");
                return Waited::Answered;
            }
            let now = self.clock.mono();
            if let Some(last) = self.last_frame {
                self.metrics.frame_age(last, now);
            }
            let left = until.since(now);
            if left.is_zero() {
                return Waited::Over;
            }
            if self.shared.stop.wait(left.min(TICK)) || self.mux.is_closed() {
                return Waited::Stopped;
            }
        }
    }
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// It was long enough.
    Over,
    /// The camera answers, which it did not before.
    Answered,
    /// Told to stop.
    Stopped,
}
