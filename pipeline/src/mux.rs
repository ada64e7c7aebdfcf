//! The one place where frames are dropped: a ring of frames for each camera, emptied in turn by the first stage of the lane.
//!
//! For each camera and in sum, at every moment: `received = evicted + queued + in_flight + analysed + lost`. Metrics have what
//! was lost among what was evicted, by another reason.
//! A full ring gives up its oldest frame ([`MuxMode::Evict`]) or makes the camera wait ([`MuxMode::Block`]).
//! Markers keep their place among the frames of their stream. A stream of which no frame is left before the lane saw its
//! `Open` leaves nothing behind, so a camera that reconnects without end while the lane is busy takes no memory.
//!
//! The mux makes the epochs. When the lane restarts, streams go on in new epochs: its stages number tracks from 1 again,
//! and event ids derived from an old epoch and a new track would collide.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use crate::error::ErrorClass;
use crate::frame::Frame;
use crate::ids::{CameraId, Epoch, StreamKey};
use crate::metrics::{CameraMetrics, EdgeMetrics};
use crate::packet::{CloseReason, Packet};
use crate::stage::{BatchPolicy, Received, Source};

/// What happens to a frame that finds its camera's ring full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxMode {
    /// It pushes the oldest one out: for live cameras, where old frames are worth less than new ones.
    Evict,
    /// It waits: for recordings, of which nothing may be lost.
    Block,
}

/// Why the mux refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// The lane stops: end the camera.
    #[error("the lane takes no more frames")]
    Closed,
    /// A camera has one stream at a time: drop the other sender first.
    #[error("camera {0} has an open stream already")]
    AlreadyOpen(CameraId),
}

impl MuxError {
    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Closed => ErrorClass::Permanent,
            Self::AlreadyOpen(_) => ErrorClass::Bug,
        }
    }
}

/// Where the frames are that were ever pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MuxStats {
    /// Pushed.
    pub received: u64,
    /// Thrown away unseen: pushed out by newer ones, or in the ring at a restart.
    pub evicted: u64,
    /// In a ring.
    pub queued: u64,
    /// With the first stage.
    pub in_flight: u64,
    /// The first stage finished with them.
    pub analysed: u64,
    /// With the first stage when it died.
    pub lost: u64,
}

impl MuxStats {
    /// Handed to the first stage.
    pub fn delivered(&self) -> u64 {
        self.in_flight + self.analysed + self.lost
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.evicted += other.evicted;
        self.queued += other.queued;
        self.in_flight += other.in_flight;
        self.analysed += other.analysed;
        self.lost += other.lost;
    }
}

#[derive(Debug)]
struct Ring {
    camera: CameraId,
    /// Frames, not markers: of those there are at most two for each frame and two more.
    capacity: usize,
    open: Option<StreamKey>,
    queue: VecDeque<Packet<Frame>>,
    stats: MuxStats,
    metrics: CameraMetrics,
}

impl Ring {
    fn is_full(&self) -> bool {
        self.stats.queued >= self.capacity as u64
    }

    fn begin(&mut self) {
        let key = StreamKey { camera: self.camera.clone(), epoch: Epoch(Uuid::now_v7()) };
        self.open = Some(key.clone());
        self.queue.push_back(Packet::Open(key));
    }

    fn end(&mut self, reason: CloseReason) {
        let Some(key) = self.open.take() else { return };
        if matches!(self.queue.back(), Some(Packet::Open(_))) {
            // Its own: `Open` is only ever last while nothing of its stream follows.
            self.queue.pop_back();
        } else {
            self.queue.push_back(Packet::Close(key, reason));
        }
    }

    fn push(&mut self, frame: Frame) {
        while self.is_full() {
            self.evict_oldest();
        }
        self.queue.push_back(Packet::Data(frame));
        self.stats.received += 1;
        self.stats.queued += 1;
        self.metrics.received.increment(1);
    }

    fn evict_oldest(&mut self) {
        let Some(at) = self.queue.iter().position(|p| matches!(p, Packet::Data(_))) else { return };
        self.queue.remove(at);
        self.stats.queued -= 1;
        self.stats.evicted += 1;
        self.metrics.evicted_full.increment(1);
        let emptied = at.checked_sub(1).is_some_and(|before| {
            matches!((&self.queue[before], self.queue.get(at)),
                (Packet::Open(opened), Some(Packet::Close(closed, _))) if opened == closed)
        });
        if emptied {
            self.queue.drain(at - 1..=at);
        }
    }

    /// Starts anew for a new generation of the lane, which knows nothing of what was before.
    fn reopen(&mut self) {
        self.queue.clear();
        self.metrics.evicted_restart.increment(self.stats.queued);
        self.stats.evicted += std::mem::take(&mut self.stats.queued);
        if self.open.is_some() {
            self.begin();
        }
    }

    fn pop(&mut self) -> Option<Packet<Frame>> {
        let packet = self.queue.pop_front()?;
        if matches!(packet, Packet::Data(_)) {
            self.stats.queued -= 1;
            self.stats.in_flight += 1;
        }
        Some(packet)
    }

    fn finish_in_flight(&mut self) {
        let finished = std::mem::take(&mut self.stats.in_flight);
        self.stats.analysed += finished;
        self.metrics.analysed(finished);
    }

    fn lose_in_flight(&mut self) {
        let lost = std::mem::take(&mut self.stats.in_flight);
        self.stats.lost += lost;
        self.metrics.evicted_lost.increment(lost);
    }
}

#[derive(Debug)]
struct State {
    /// One for each camera that was ever opened; their number is that of configured names.
    rings: Vec<Ring>,
    /// The ring whose turn it is.
    cursor: usize,
    /// The receiver that is attached has this number.
    generation: u64,
    attached: bool,
    closed: bool,
    edge: EdgeMetrics,
}

impl State {
    fn next_ready(&self) -> Option<usize> {
        let n = self.rings.len();
        (0..n).map(|i| (self.cursor + i) % n).find(|&i| !self.rings[i].queue.is_empty())
    }

    fn stats(&self) -> MuxStats {
        let mut sum = MuxStats::default();
        self.rings.iter().for_each(|r| sum.add(&r.stats));
        sum
    }

    fn report_depth(&self) {
        self.edge.depth(self.rings.iter().map(|r| r.stats.queued as usize).sum());
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    readable: Condvar,
    writable: Condvar,
    mode: MuxMode,
    capacity: NonZeroUsize,
}

/// Brings the frames of all cameras together. Cloning shares it.
#[derive(Clone, Debug)]
pub struct FrameMux(Arc<Shared>);

impl FrameMux {
    /// A mux without cameras whose rings hold `capacity` frames each.
    pub fn new(mode: MuxMode, capacity: NonZeroUsize) -> Self {
        let state = State {
            rings: Vec::new(),
            cursor: 0,
            generation: 0,
            attached: false,
            closed: false,
            edge: EdgeMetrics::new("mux_detect"),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            readable: Condvar::new(),
            writable: Condvar::new(),
            mode,
            capacity,
        }))
    }

    /// Begins a stream of `camera`, in a new epoch. Call at connect time.
    ///
    /// # Errors
    /// See [`MuxError`].
    pub fn open(&self, camera: &CameraId) -> Result<MuxSender, MuxError> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(MuxError::Closed);
        }
        let ring = match state.rings.iter().position(|r| r.camera == *camera) {
            Some(i) if state.rings[i].open.is_some() => return Err(MuxError::AlreadyOpen(camera.clone())),
            Some(i) => i,
            None => {
                state.rings.push(Ring {
                    camera: camera.clone(),
                    capacity: self.0.capacity.get(),
                    open: None,
                    queue: VecDeque::new(),
                    stats: MuxStats::default(),
                    metrics: CameraMetrics::new(camera),
                });
                state.rings.len() - 1
            }
        };
        state.rings[ring].begin();
        state.edge.capacity(state.rings.iter().map(|r| r.capacity).sum());
        self.0.readable.notify_one();
        drop(state);
        Ok(MuxSender { shared: Arc::clone(&self.0), ring, reason: None })
    }

    /// Takes no more frames; the receiver ends when it has taken what is there. Streams still open are closed.
    pub fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        state.rings.iter_mut().for_each(|r| r.end(CloseReason::Stopped));
        self.0.readable.notify_all();
        self.0.writable.notify_all();
    }

    /// Makes the receiving end for a new generation of the lane. At most one is attached; an older one ends.
    ///
    /// From the second on, every open stream begins anew in a new epoch and what waits is evicted: the new generation knows
    /// nothing of what the old one saw.
    pub fn attach(&self) -> MuxReceiver {
        let mut state = self.0.state.lock();
        if state.generation > 0 {
            for ring in &mut state.rings {
                ring.lose_in_flight();
                ring.reopen();
            }
        }
        state.generation += 1;
        state.attached = true;
        state.report_depth();
        self.0.readable.notify_all();
        self.0.writable.notify_all();
        MuxReceiver { shared: Arc::clone(&self.0), generation: state.generation }
    }

    /// Ends the attached receiver at once, whatever waits. Cameras go on.
    pub fn detach(&self) {
        self.0.state.lock().attached = false;
        self.0.readable.notify_all();
    }

    /// Whether [`FrameMux::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    /// Where all frames are, at one moment.
    pub fn stats(&self) -> MuxStats {
        self.0.state.lock().stats()
    }
}

/// A camera's end: one stream. Dropping it closes the stream, also when the camera's thread panics.
#[derive(Debug)]
pub struct MuxSender {
    shared: Arc<Shared>,
    ring: usize,
    reason: Option<CloseReason>,
}

impl MuxSender {
    /// The stream as it is called now; a restart of the lane gives it a new epoch.
    ///
    /// # Errors
    /// [`MuxError::Closed`].
    pub fn key(&self) -> Result<StreamKey, MuxError> {
        self.shared.state.lock().rings[self.ring].open.clone().ok_or(MuxError::Closed)
    }

    /// Hands a frame over; its `key` is set here. In [`MuxMode::Block`] it waits for room.
    ///
    /// # Errors
    /// [`MuxError::Closed`]; the frame was not received.
    pub fn push(&self, mut frame: Frame) -> Result<(), MuxError> {
        let mut state = self.shared.state.lock();
        while self.shared.mode == MuxMode::Block && !state.closed && state.rings[self.ring].is_full() {
            self.shared.writable.wait(&mut state);
        }
        let ring = &mut state.rings[self.ring];
        // Closing the mux ends every stream.
        frame.key = ring.open.clone().ok_or(MuxError::Closed)?;
        ring.push(frame);
        state.report_depth();
        self.shared.readable.notify_one();
        Ok(())
    }

    /// Ends the stream.
    pub fn close(mut self, reason: CloseReason) {
        self.reason = Some(reason);
    }
}

impl Drop for MuxSender {
    fn drop(&mut self) {
        let unsaid = if std::thread::panicking() { CloseReason::Panicked } else { CloseReason::Lost };
        self.shared.state.lock().rings[self.ring].end(self.reason.unwrap_or(unsaid));
        self.shared.readable.notify_one();
    }
}

/// The lane's end. A batch counts as analysed when the next is asked for, and as lost when the receiver is dropped first.
#[derive(Debug)]
pub struct MuxReceiver {
    shared: Arc<Shared>,
    generation: u64,
}

impl MuxReceiver {
    fn is_current(&self, state: &State) -> bool {
        state.attached && state.generation == self.generation
    }
}

impl Source<Frame> for MuxReceiver {
    fn recv(&mut self, policy: BatchPolicy) -> Option<Received<Frame>> {
        let mut guard = self.shared.state.lock();
        if guard.generation == self.generation {
            guard.rings.iter_mut().for_each(Ring::finish_in_flight);
        }
        let mut batch = Vec::new();
        while batch.len() < policy.max_items.max(1) && self.is_current(&guard) {
            let state = &mut *guard;
            let Some(turn) = state.next_ready() else {
                if state.closed || !batch.is_empty() {
                    break;
                }
                self.shared.readable.wait(&mut guard);
                continue;
            };
            state.cursor = turn;
            let ring = &mut state.rings[turn];
            if !batch.is_empty() && !matches!(ring.queue.front(), Some(Packet::Data(_))) {
                break;
            }
            match ring.pop()? {
                Packet::Open(key) => return Some(Received::Open(key)),
                Packet::Close(key, reason) => return Some(Received::Close(key, reason)),
                Packet::Data(frame) => {
                    state.cursor = turn + 1;
                    batch.push(frame);
                    self.shared.writable.notify_all();
                }
            }
        }
        guard.report_depth();
        (!batch.is_empty()).then_some(Received::Batch(batch))
    }

    fn depth(&self) -> usize {
        self.shared.state.lock().rings.iter().map(|r| r.queue.len()).sum()
    }
}

impl Drop for MuxReceiver {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.generation == self.generation {
            state.attached = false;
            state.rings.iter_mut().for_each(Ring::lose_in_flight);
        }
    }
}
