//! What is counted and measured of one camera.

use ::metrics::{Counter, Gauge};

use super::tally::{self, tally_of};
use super::{CounterName, GaugeName, Label, counter, gauge};
use crate::ids::CameraId;
use crate::time::{MonoTime, WallTime};

/// Counters of one camera that differ by reason: each is looked up when its reason first comes up.
#[derive(Clone, Debug)]
struct ByReason {
    name: CounterName,
    camera: CameraId,
    known: Vec<(&'static str, Counter)>,
}

impl ByReason {
    fn new(name: CounterName, camera: &CameraId) -> Self {
        Self { name, camera: camera.clone(), known: Vec::new() }
    }

    fn count(&mut self, reason: &'static str) {
        let at = self.known.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
            let labels = [Label::Camera(&self.camera), Label::Reason(reason)];
            self.known.push((reason, counter(self.name, &labels)));
            self.known.len() - 1
        });
        self.known[at].1.increment(1);
    }
}

/// Handles of one camera. Frames received, evicted and analysed are counted by the mux, nobody else.
#[derive(Clone, Debug)]
pub struct CameraMetrics {
    camera: CameraId,
    up: Gauge,
    frame_age: Gauge,
    clock_skew: Gauge,
    decoded: Counter,
    dozed: Counter,
    skipped: Counter,
    late: Counter,
    looks: ByReason,
    faces: Counter,
    rejected: ByReason,
    analysed: Counter,
    /// Of faces, those rejected, and frames analysed.
    tally: tally::Shared,
    pub(crate) received: Counter,
    pub(crate) evicted_full: Counter,
    pub(crate) evicted_restart: Counter,
    pub(crate) evicted_lost: Counter,
}

impl CameraMetrics {
    /// Looks the handles up.
    pub fn new(camera: &CameraId) -> Self {
        let id = Label::Camera(camera);
        let evicted = |reason| counter(CounterName::CameraFramesEvicted, &[id, Label::Reason(reason)]);
        Self {
            camera: camera.clone(),
            up: gauge(GaugeName::CameraUp, &[id]),
            frame_age: gauge(GaugeName::CameraFrameAge, &[id]),
            clock_skew: gauge(GaugeName::CameraClockSkew, &[id]),
            decoded: counter(CounterName::CameraFramesDecoded, &[id]),
            dozed: counter(CounterName::CameraFramesDozed, &[id]),
            skipped: counter(CounterName::CameraFramesSkipped, &[id]),
            late: counter(CounterName::CameraFramesLate, &[id]),
            looks: ByReason::new(CounterName::DetectorFrames, camera),
            faces: counter(CounterName::FacesDetected, &[id]),
            rejected: ByReason::new(CounterName::FacesRejected, camera),
            analysed: counter(CounterName::CameraFramesAnalysed, &[id]),
            tally: tally_of(camera),
            received: counter(CounterName::CameraFramesReceived, &[id]),
            evicted_full: evicted("full"),
            evicted_restart: evicted("restart"),
            evicted_lost: evicted("lost"),
        }
    }

    /// Wanted, and not seen yet: it is down, and neither its age nor its clock has a value.
    pub fn unseen(&self) {
        self.gone();
        self.up(false);
    }

    /// Whether frames arrive.
    pub fn up(&self, up: bool) {
        self.up.set(f64::from(u8::from(up)));
    }

    /// The camera is no longer wanted: what is measured of it has no value any more, so that nobody is called because of it.
    pub fn gone(&self) {
        for gauge in [&self.up, &self.frame_age, &self.clock_skew] {
            gauge.set(f64::NAN);
        }
    }

    /// Time since the last decoded frame came from the camera; to be set now and then, also while none arrives.
    pub fn frame_age(&self, last: MonoTime, now: MonoTime) {
        self.frame_age.set(now.since(last).as_secs_f64());
    }

    /// The camera's own time against ours at the same moment.
    pub fn clock_skew(&self, camera: WallTime, local: WallTime) {
        self.clock_skew.set((camera - local).as_seconds_f64());
    }

    /// Frames came from the decoder, whether they are analysed or not.
    pub fn decoded(&self, n: u64) {
        self.decoded.increment(n);
    }

    /// Frames did not go into the decoder: because nothing happened, or because none that is analysed needs them.
    pub fn undecoded(&self, dozed: u64, skipped: u64) {
        self.dozed.increment(dozed);
        self.skipped.increment(skipped);
    }

    /// Frames were thrown away undecoded.
    pub fn late(&self, n: u64) {
        self.late.increment(n);
    }

    /// It was decided whether an analysed frame is searched, for this reason.
    pub fn looked(&mut self, reason: &'static str) {
        self.looks.count(reason);
    }

    /// Faces were found in a frame.
    pub fn faces_detected(&self, n: usize) {
        self.faces.increment(n as u64);
        self.tally.lock().faces += n as u64;
    }

    /// A face was not used.
    pub fn face_rejected(&mut self, reason: &'static str) {
        self.rejected.count(reason);
        *self.tally.lock().rejected.entry(reason).or_default() += 1;
    }

    /// The lane is done with frames.
    pub(crate) fn analysed(&self, frames: u64) {
        self.analysed.increment(frames);
        self.tally.lock().frames += frames;
    }

    /// A connection ended. Rare enough for a look-up.
    pub fn reconnected(&self, reason: &'static str) {
        counter(CounterName::CameraReconnects, &[Label::Camera(&self.camera), Label::Reason(reason)]).increment(1);
    }
}
