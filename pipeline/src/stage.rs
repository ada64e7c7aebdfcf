//! What a stage is, and the only loop that runs one.
//!
//! A stage is synchronous, owns its state, gets batches, and sees no clock, no channel and no marker that it could swallow.
//! The loop receives, times, counts, beats the heart and forwards the markers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError};

use crate::error::Fault;
use crate::ids::StreamKey;
use crate::metrics::{EdgeMetrics, StageMetrics};
use crate::packet::{CloseReason, Packet};
use crate::supervisor::Progress;

/// So often it is told that a stage is blocked, while it is.
const TELL_BLOCKED_EVERY: Duration = Duration::from_secs(1);

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

/// How many items make a batch: what is there already. Nothing waits for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// A batch has at most so many items; at least 1.
    pub max_items: usize,
}

impl BatchPolicy {
    /// One item at a time.
    pub const SINGLE: Self = Self { max_items: 1 };

    /// What is there, up to `max_items`.
    pub const fn up_to(max_items: usize) -> Self {
        Self { max_items }
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

/// A bounded edge between two stages: its name and how full it is. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) capacity: usize,
    depth: Arc<AtomicUsize>,
    metrics: EdgeMetrics,
}

impl Edge {
    pub(crate) fn new(name: &'static str, capacity: usize) -> Self {
        let metrics = EdgeMetrics::new(name);
        metrics.capacity(capacity);
        Self { name, capacity, depth: Arc::default(), metrics }
    }

    /// Makes both ends. The edge belongs to them until the next are made.
    pub(crate) fn channel<T>(&self) -> (Outlet<T>, ChannelSource<T>) {
        self.set(0);
        let (tx, rx) = crossbeam_channel::bounded(self.capacity);
        (Outlet { tx, edge: self.clone() }, ChannelSource { rx, edge: self.clone(), held: None })
    }

    /// Packets that waited when somebody last sent or received.
    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    fn set(&self, depth: usize) {
        self.depth.store(depth, Ordering::Relaxed);
        self.metrics.depth(depth);
    }
}

/// The sending end of an edge.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    tx: Sender<Packet<T>>,
    edge: Edge,
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Self { tx: self.tx.clone(), edge: self.edge.clone() }
    }
}

/// The receiving end of an edge.
#[derive(Debug)]
pub(crate) struct ChannelSource<T> {
    rx: Receiver<Packet<T>>,
    edge: Edge,
    /// A marker that ended a batch and goes next.
    held: Option<Packet<T>>,
}

impl<T> Source<T> for ChannelSource<T> {
    fn recv(&mut self, policy: BatchPolicy) -> Option<Received<T>> {
        let first = match self.held.take() {
            Some(packet) => packet,
            None => self.rx.recv().ok()?,
        };
        let received = match first {
            Packet::Open(key) => Received::Open(key),
            Packet::Close(key, reason) => Received::Close(key, reason),
            Packet::Data(item) => {
                let mut batch = vec![item];
                while batch.len() < policy.max_items {
                    match self.rx.try_recv() {
                        Ok(Packet::Data(item)) => batch.push(item),
                        other => {
                            self.held = other.ok();
                            break;
                        }
                    }
                }
                Received::Batch(batch)
            }
        };
        self.edge.set(self.rx.len());
        Some(received)
    }

    fn depth(&self) -> usize {
        self.rx.len() + usize::from(self.held.is_some())
    }
}

/// Where a stage's results go. Sends block while the next stage is behind.
#[derive(Debug)]
pub struct Outbox<T> {
    to: Destination<T>,
    /// Time blocked since the loop last asked.
    blocked: Duration,
    /// What of it is not told yet.
    untold: Duration,
    metrics: Option<StageMetrics>,
}

#[derive(Debug)]
enum Destination<T> {
    Edge(Outlet<T>, Progress),
    Collected(Vec<T>),
    /// The end of the lane.
    Nowhere,
    /// The next stage is gone: the lane is being torn down.
    Gone,
}

impl<T> Outbox<T> {
    /// Sends into an edge, or nowhere at the end of the lane.
    pub(crate) fn to(outlet: Option<Outlet<T>>, progress: &Progress) -> Self {
        Self::new(outlet.map_or(Destination::Nowhere, |outlet| Destination::Edge(outlet, progress.clone())))
    }

    fn new(to: Destination<T>) -> Self {
        Self { to, blocked: Duration::ZERO, untold: Duration::ZERO, metrics: None }
    }

    /// Keeps what is sent, for tests and tools that run one stage without a lane; see [`Outbox::take`].
    pub fn collecting() -> Self {
        Self::new(Destination::Collected(Vec::new()))
    }

    /// Takes what was collected.
    pub fn take(&mut self) -> Vec<T> {
        match &mut self.to {
            Destination::Collected(items) => std::mem::take(items),
            _ => Vec::new(),
        }
    }

    /// Sends an item; blocks while there is no room. If the next stage died, the item is gone: this generation of the lane
    /// is over, and the loop ends it after the current batch.
    pub fn send(&mut self, item: T) {
        self.packet(Packet::Data(item));
    }

    fn packet(&mut self, packet: Packet<T>) {
        match &mut self.to {
            Destination::Edge(Outlet { tx, edge }, progress) => {
                let gone = match tx.try_send(packet) {
                    Ok(()) => false,
                    Err(TrySendError::Disconnected(_)) => true,
                    Err(TrySendError::Full(mut packet)) => {
                        let clock = Arc::clone(progress.clock());
                        let mut since = clock.mono();
                        progress.blocked();
                        edge.set(edge.capacity);
                        let gone = loop {
                            let sent = tx.send_timeout(packet, TELL_BLOCKED_EVERY);
                            let now = clock.mono();
                            self.blocked += now.since(since);
                            self.untold += now.since(since);
                            since = now;
                            match sent {
                                Ok(()) => break false,
                                Err(SendTimeoutError::Disconnected(_)) => break true,
                                Err(SendTimeoutError::Timeout(held)) => packet = held,
                            }
                            if let Some(metrics) = &self.metrics {
                                metrics.blocked(std::mem::take(&mut self.untold));
                            }
                        };
                        progress.busy();
                        gone
                    }
                };
                edge.set(tx.len());
                if gone {
                    self.to = Destination::Gone;
                }
            }
            Destination::Collected(items) => {
                if let Packet::Data(item) = packet {
                    items.push(item);
                }
            }
            Destination::Nowhere | Destination::Gone => {}
        }
    }

    /// Tells the rest of the time blocked, and gives all of it since this was called last.
    fn take_blocked(&mut self) -> Duration {
        if let Some(metrics) = &self.metrics {
            metrics.blocked(std::mem::take(&mut self.untold));
        }
        std::mem::take(&mut self.blocked)
    }

    /// What a marker was blocked for, if it was, is not the next batch's.
    fn take_blocked_by_marker(&mut self) {
        if !self.blocked.is_zero() {
            self.take_blocked();
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self.to, Destination::Gone)
    }
}

/// Runs a stage until its source ends or the next stage is gone.
///
/// Whatever happens further up, the stage and those below see each stream that they saw open closed exactly once: where the
/// source ends without closing its streams (a stage further up died), the loop closes them, so that what is known about
/// people already seen is flushed and not lost.
///
/// # Errors
/// The stage's own fault.
pub(crate) fn run_stage<S: Stage>(
    mut stage: S,
    source: &mut impl Source<S::In>,
    mut out: Outbox<S::Out>,
    policy: BatchPolicy,
    progress: &Progress,
) -> Result<(), Fault> {
    let metrics = StageMetrics::new(S::NAME);
    out.metrics = Some(metrics.clone());
    let clock = Arc::clone(progress.clock());
    let mut open: Vec<StreamKey> = Vec::new();
    while !out.is_gone() {
        progress.idle();
        let received = source.recv(policy);
        progress.busy();
        match received {
            Some(Received::Batch(items)) => {
                let (count, since) = (items.len(), clock.mono());
                stage.process(items, &mut out)?;
                let blocked = out.take_blocked();
                metrics.batch(count, clock.mono().since(since).saturating_sub(blocked));
            }
            Some(Received::Open(key)) => {
                stage.on_open(&key)?;
                open.push(key.clone());
                out.packet(Packet::Open(key));
                out.take_blocked_by_marker();
            }
            Some(Received::Close(key, reason)) => {
                open.retain(|k| *k != key);
                stage.on_close(&key, &mut out)?;
                out.packet(Packet::Close(key, reason));
                out.take_blocked_by_marker();
            }
            None => {
                for key in open.drain(..) {
                    stage.on_close(&key, &mut out)?;
                    out.packet(Packet::Close(key, CloseReason::Restarted));
                }
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ::metrics::{
        Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
        with_local_recorder,
    };

    use super::*;
    use crate::clock::SystemClock;
    use crate::metrics::HistogramName;
    use crate::supervisor::Supervisor;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Tells what is recorded in a histogram, as it comes.
    struct Teller(Sender<(String, f64)>);

    struct Line(String, Sender<(String, f64)>);

    impl HistogramFn for Line {
        fn record(&self, value: f64) {
            self.1.send((self.0.clone(), value)).unwrap();
        }
    }

    impl Recorder for Teller {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::new(Line(key.name().to_owned(), self.0.clone())))
        }
    }

    struct Echo;

    impl Stage for Echo {
        const NAME: &'static str = "echo";
        type In = u8;
        type Out = u8;

        fn process(&mut self, batch: Vec<u8>, out: &mut Outbox<u8>) -> Result<(), Fault> {
            batch.into_iter().for_each(|item| out.send(item));
            Ok(())
        }
    }

    struct Once(Option<Vec<u8>>);

    impl Source<u8> for Once {
        fn recv(&mut self, _: BatchPolicy) -> Option<Received<u8>> {
            self.0.take().map(Received::Batch)
        }

        fn depth(&self) -> usize {
            0
        }
    }

    #[test]
    fn a_stage_that_is_blocked_says_so_while_it_is() {
        let (tell, told) = crossbeam_channel::bounded(100);
        let clock = Arc::new(SystemClock);
        let (outlet, mut below) = Edge::new("echo", 1).channel();
        let supervisor = Supervisor::new(clock.clone());
        let (first, heard) = (crossbeam_channel::bounded(1), told.clone());
        // Takes nothing before it has heard that there is no room.
        let reader = supervisor.spawn("below", move |_| {
            first.0.send(heard.recv_timeout(PATIENCE)).unwrap();
            while below.recv(BatchPolicy::SINGLE).is_some() {}
            Ok(())
        });
        let progress = Progress::new(clock);
        with_local_recorder(&Teller(tell), || {
            let out = Outbox::to(Some(outlet), &progress);
            run_stage(Echo, &mut Once(Some(vec![1, 2])), out, BatchPolicy::up_to(2), &progress).unwrap();
        });
        let blocked = HistogramName::StageBlocked.as_str();
        let (name, seconds) = first.1.recv().unwrap().unwrap();
        assert!(name == blocked && seconds >= 1.0, "{name}: {seconds}");
        let rest: Vec<_> = told.try_iter().collect();
        let worked = rest.iter().find(|(name, _)| name == HistogramName::StageDuration.as_str()).unwrap().1;
        assert!(worked < seconds, "{rest:?}");
        // The reader may be late, for which each whole second is told; what is left after them is told once.
        let told: Vec<_> = rest.iter().filter(|(name, _)| name == blocked).map(|(_, seconds)| *seconds).collect();
        let (_, whole) = told.split_last().unwrap();
        assert!(whole.iter().all(|seconds| *seconds >= 1.0), "{told:?}");
        reader.unwrap().join();
    }
}
