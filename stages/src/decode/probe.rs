//! One look at a camera without keeping anything: what it sends, how fast, and a picture; or why there is none.
//!
//! It goes the way of a camera that is configured ([`super::camera`]): the same pipeline, the same words for what is wrong.
//! It deliberately knows no lane: nothing that is seen here is analysed.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::config::{CameraSource, Mounting};
use rollcall_pipeline::{Attention, Clock, Image, MediaTime, MonoTime, TimeSource};

use super::camera::STALL_LIMIT;
use super::capture_time::CaptureClock;
use super::failure::DisconnectReason;
use super::gst as build;
use super::stream::{Stream, StreamInfo};

/// No look takes longer, whatever is asked for.
const LONGEST: Duration = Duration::from_secs(10);

/// How long a look may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeLimits {
    /// All of it, ten seconds at most: a camera may send a key frame only every few seconds.
    pub time: Duration,
    /// Media time over which frames are counted once pictures come; the look ends with it.
    pub measure: Duration,
}

impl Default for ProbeLimits {
    fn default() -> Self {
        Self { time: LONGEST, measure: Duration::from_secs(1) }
    }
}

/// What a look at a camera showed.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Codec, decoder and size.
    pub info: StreamInfo,
    /// Frames a second as counted; as announced where too few came to count; `None` where neither is known.
    pub fps: Option<f64>,
    /// The first picture, as mounted. Privacy masks are not painted: see [`super::Masks`].
    pub first_frame: Image,
    /// How capture times would be known. A camera may tell its clock only after some seconds.
    pub time_source: TimeSource,
    /// The camera's clock less ours, in milliseconds, where it told it meanwhile.
    pub clock_skew_ms: Option<i64>,
    /// It sends over UDP only.
    pub over_udp: bool,
    /// What went wrong after the first picture, before the look was over.
    pub ended: Option<DisconnectReason>,
}

/// Opens a source, takes its first picture, counts frames for a moment, and closes it. Blocks for as long as that takes;
/// `stopped` ends it early.
///
/// # Errors
/// Why there is no picture; [`DisconnectReason::Stalled`] when nothing came in time, [`DisconnectReason::Undecodable`] when it
/// made no picture, [`DisconnectReason::Shutdown`] when stopped.
pub fn probe(
    source: &CameraSource,
    mounting: Mounting,
    limits: ProbeLimits,
    clock: &Arc<dyn Clock>,
    stopped: &dyn Fn() -> bool,
) -> Result<Probe, DisconnectReason> {
    let begun = clock.mono();
    let look = Look { source, mounting, limits, clock, stopped, begun };
    match look.once(false) {
        Err(DisconnectReason::Transport) if build::may_change_transport(source) => look.once(true),
        other => other,
    }
}

struct Look<'a> {
    source: &'a CameraSource,
    mounting: Mounting,
    limits: ProbeLimits,
    clock: &'a Arc<dyn Clock>,
    stopped: &'a dyn Fn() -> bool,
    begun: MonoTime,
}

impl Look<'_> {
    fn once(&self, over_udp: bool) -> Result<Probe, DisconnectReason> {
        let mut stream = Stream::open(
            self.source,
            self.mounting,
            over_udp,
            STALL_LIMIT,
            Arc::clone(self.clock),
            &Attention::default(),
        )?;
        let over = || (self.stopped)() || self.passed() >= self.limits.time.min(LONGEST);
        let first = stream.next(&over).map_err(|reason| self.name(reason, &stream))?;
        let recorded = matches!(self.source, CameraSource::File { .. });
        let mut times = CaptureClock::default();
        let mut captured = times.place(first.media, first.received, first.wall, first.ntp);
        let mut span = Span::new(first.media);
        let ended = loop {
            if span.passed() >= self.limits.measure {
                break None;
            }
            match stream.next(&over) {
                Ok(frame) => {
                    if frame.anew.is_some() {
                        (times, span) = (CaptureClock::default(), Span::new(frame.media));
                    } else {
                        span.add(frame.media);
                    }
                    captured = times.place(frame.media, frame.received, frame.wall, frame.ntp);
                }
                Err(DisconnectReason::Eos) if recorded => break None,
                Err(reason) => break Some(self.name(reason, &stream)),
            }
        };
        let info = stream.info().clone();
        Ok(Probe {
            fps: span.fps().or(info.fps),
            info,
            first_frame: first.image,
            time_source: if recorded { TimeSource::File } else { captured.source },
            clock_skew_ms: captured.skew.map(|skew| skew.num_milliseconds()),
            over_udp,
            ended,
        })
    }

    fn passed(&self) -> Duration {
        self.clock.mono().since(self.begun)
    }

    /// A stream that was stopped because the time was over gave no frame in it.
    fn name(&self, reason: DisconnectReason, stream: &Stream) -> DisconnectReason {
        match reason {
            DisconnectReason::Shutdown if !(self.stopped)() => stream.no_frame_for(self.passed()),
            reason => reason,
        }
    }
}

/// Frames counted from one of them on.
struct Span {
    first: MediaTime,
    last: MediaTime,
    frames: u32,
}

impl Span {
    fn new(first: MediaTime) -> Self {
        Self { first, last: first, frames: 0 }
    }

    fn add(&mut self, media: MediaTime) {
        self.last = media;
        self.frames += 1;
    }

    fn passed(&self) -> Duration {
        self.last.since(self.first)
    }

    /// `None` where there is too little to count.
    fn fps(&self) -> Option<f64> {
        (self.passed() >= Duration::from_millis(500)).then(|| f64::from(self.frames) / self.passed().as_secs_f64())
    }
}
