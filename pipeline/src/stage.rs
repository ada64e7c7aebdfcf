//! What a stage is, and the only loop that runs one.
//!
//! A stage is synchronous, owns its state, gets batches, and sees no clock, no channel and no marker that it could swallow.
//! The loop receives, times, counts, beats the heart and forwards the markers.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError};

use crate::error::Fault;
use crate::ids::StreamKey;
use crate::metrics::{EdgeMetrics, StageMetrics};
use crate::packet::{CloseReason, Packet};
use crate::supervisor::Progress;

/// One step of the lane. Runs on a thread of its own.
///
/// After an error or a panic the stage is dropped and the whole lane is built anew: nothing need be left in order.
pub trait Stage: Send {
    /// The word for it in thread names, logs and metrics.
    const NAME: &'static str;
    /// What it takes.
    type In: Send + 'static;
    /// What it gives.
    type Out: Send + 'static;

    /// Works on a batch: at least one item, in order, all of streams that are open.
    ///
    /// # Errors
    /// When it cannot go on. The batch is lost and the lane is restarted.
    fn process(&mut self, batch: Vec<Self::In>, out: &mut Outbox<Self::Out>) -> Result<(), Fault>;

    /// A stream begins. Nothing can be sent here, so nothing of the stream can overtake its `Open`.
    ///
    /// # Errors
    /// When it cannot go on; the lane is restarted.
    fn on_open(&mut self, _key: &StreamKey) -> Result<(), Fault> {
        Ok(())
    }

    /// A stream that was opened is over: what is sent here goes out before its `Close`. Called once for each stream that
    /// was opened, also when a stage further up died (but not when this one did).
    ///
    /// # Errors
    /// When it cannot go on; the lane is restarted.
    fn on_close(&mut self, _key: &StreamKey, _out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        Ok(())
    }
}

/// How many items make a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// A batch has at most so many items; at least 1.
    pub max_items: usize,
    /// How long the first item waits for others. With zero a batch is what is there already.
    pub max_delay: Duration,
}

impl BatchPolicy {
    /// One item at a time.
    pub const SINGLE: Self = Self { max_items: 1, max_delay: Duration::ZERO };

    /// What is there, up to `max_items`.
    pub const fn up_to(max_items: usize) -> Self {
        Self { max_items, max_delay: Duration::ZERO }
    }
}

/// What a source gives: a batch of items, or one marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// At least one item.
    Batch(Vec<T>),
    /// See [`Packet::Open`].
    Open(StreamKey),
    /// See [`Packet::Close`].
    Close(StreamKey, CloseReason),
}

/// Where a stage's batches come from: the mux for the first stage, a channel for all others.
pub trait Source<T> {
    /// Blocks for the next batch or marker; `None` when nothing will ever come. A marker ends a batch.
    fn recv(&mut self, policy: BatchPolicy) -> Option<Received<T>>;

    /// Packets that wait.
    fn depth(&self) -> usize;
}

/// Where a stage's results go. Sends block while the next stage is behind.
#[derive(Debug)]
pub struct Outbox<T> {
    to: Destination<T>,
    /// Time blocked since the loop last asked.
    blocked: Duration,
}

#[derive(Debug)]
enum Destination<T> {
    Channel { tx: Sender<Packet<T>>, edge: EdgeMetrics, progress: Progress },
    Collected(Vec<T>),
    /// The end of the lane, or the next stage is gone: the lane is being torn down.
    Nowhere,
}

impl<T> Outbox<T> {
    /// Sends into an edge of the lane.
    pub(crate) fn channel(tx: Sender<Packet<T>>, edge: EdgeMetrics, progress: Progress) -> Self {
        Self { to: Destination::Channel { tx, edge, progress }, blocked: Duration::ZERO }
    }

    /// Keeps what is sent, for tests and tools that run one stage without a lane; see [`Outbox::take`].
    pub fn collecting() -> Self {
        Self { to: Destination::Collected(Vec::new()), blocked: Duration::ZERO }
    }

    /// Takes what was collected.
    pub fn take(&mut self) -> Vec<T> {
        match &mut self.to {
            Destination::Collected(items) => std::mem::take(items),
            _ => Vec::new(),
        }
    }

    /// Sends an item; blocks while there is no room. If the next stage died, the item is gone: this lane's generation is
    /// over, and the loop ends it after the current batch.
    pub fn send(&mut self, item: T) {
        self.packet(Packet::Data(item));
    }

    fn packet(&mut self, packet: Packet<T>) {
        match &mut self.to {
            Destination::Channel { tx, edge, progress } => {
                let gone = match tx.try_send(packet) {
                    Ok(()) => false,
                    Err(TrySendError::Disconnected(_)) => true,
                    Err(TrySendError::Full(packet)) => {
                        let since = progress.clock().mono();
                        progress.blocked();
                        let gone = tx.send(packet).is_err();
                        progress.busy();
                        self.blocked += progress.clock().mono().since(since);
                        gone
                    }
                };
                edge.depth(tx.len());
                if gone {
                    self.to = Destination::Nowhere;
                }
            }
            Destination::Collected(items) => {
                if let Packet::Data(item) = packet {
                    items.push(item);
                }
            }
            Destination::Nowhere => {}
        }
    }
}
