//! What goes into the decoder of a live camera, and when: everything, but for what is too late ([`late`](super::late)), what lies
//! between the key frames of a scene in which nothing happens ([`doze`](super::doze)), and what no analysed picture needs
//! ([`lazy`](super::lazy)).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use parking_lot::Mutex;
use rollcall_pipeline::attention::Attention;

use super::doze::{Doze, Verdict};
use super::gst::is_decoder;
use super::late::{Gate, age, running_time};
use super::lazy::{Lazy, Rest};
use super::unit::{Nal, Order, Unit, Writing};

/// What became of the compressed pictures of a stream, for those who count them.
#[derive(Debug, Default)]
pub(super) struct Intake {
    arrived: AtomicU64,
    late: AtomicU64,
    waiting: AtomicBool,
    came: AtomicU64,
    dozed: AtomicU64,
    skipped: AtomicU64,
    passed: AtomicU64,
    dozing: AtomicBool,
    holding: AtomicBool,
    rest: Mutex<Rest>,
    /// When the last key frame that stands out is to be shown.
    last_key: Mutex<Option<Duration>>,
}

/// Pictures of a camera that did not come out of the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Not decoded, because nothing happened.
    pub dozed: u64,
    /// Not decoded, because nothing that is analysed needs them.
    pub skipped: u64,
    /// Decoded for the sake of those after them.
    pub passed: u64,
}

impl Unseen {
    /// All of them.
    pub fn all(self) -> u64 {
        self.dozed + self.skipped + self.passed
    }
}

impl Intake {
    /// Buffers that came so far, whatever can be made of them.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Pictures that were thrown away as too late since this was asked last.
    pub(super) fn take_late(&self) -> u64 {
        self.late.swap(0, Ordering::Relaxed)
    }

    /// Pictures that did not come out since this was asked last.
    pub(super) fn take_unseen(&self) -> Unseen {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Unseen { dozed: take(&self.dozed), skipped: take(&self.skipped), passed: take(&self.passed) }
    }

    /// Whether the last picture that came is not decoded yet.
    pub(super) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    /// When the last key frame that stands out is to be shown, in running time of the stream.
    pub(super) fn last_key(&self) -> Option<Duration> {
        *self.last_key.lock()
    }

    /// Tells which pictures are not analysed.
    pub(super) fn rest(&self, rest: Rest) {
        *self.rest.lock() = rest;
    }

    /// Whether nothing is decoded until a key frame comes.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether key frames alone are decoded.
    pub(super) fn is_dozing(&self) -> bool {
        self.dozing.load(Ordering::Relaxed)
    }

    /// Pictures that came from the camera so far, decoded or not.
    pub(super) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

/// Counts what comes out of a source into `pad`, before anybody has looked into it.
pub(super) fn count(pad: &gst::Pad, intake: &Arc<Intake>) {
    let intake = Arc::clone(intake);
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
        intake.arrived.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

/// Watches what goes into the decoders of a pipeline, those that are still to come included.
pub(super) fn watch(pipeline: &gst::Pipeline, intake: &Arc<Intake>, attention: &Attention) {
    let (intake, attention) = (Arc::clone(intake), attention.clone());
    pipeline.connect_deep_element_added(move |_, _, element| {
        let pads = element.static_pad("sink").zip(element.static_pad("src")).filter(|_| is_decoder(element));
        if let Some((pad, decoded)) = pads {
            let output = Arc::new(Output::default());
            let valve = Mutex::new(Valve::new(Arc::clone(&intake), attention.clone(), Arc::clone(&output)));
            let intake = Arc::clone(&intake);
            decoded.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
                let Some(pts) = probe.buffer().and_then(|buffer| buffer.pts()) else { return gst::PadProbeReturn::Ok };
                output.given.store(pts.nseconds(), Ordering::Relaxed);
                if !output.passed.lock().as_ref().is_some_and(|passed| passed.contains(&pts)) {
                    return gst::PadProbeReturn::Ok;
                }
                intake.passed.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Handled
            });
            pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
                // What was held comes by here again while it is decoded, on this very thread.
                let Some(mut valve) = valve.try_lock() else { return gst::PadProbeReturn::Ok };
                match &probe.data {
                    Some(gst::PadProbeData::Buffer(buffer)) => valve.take(pad, buffer),
                    _ => gst::PadProbeReturn::Ok,
                }
            });
        }
    });
}

/// Behind one decoder.
#[derive(Default)]
struct Output {
    /// When the last picture that came out is to be shown, in nanoseconds.
    given: AtomicU64,
    /// What is decoded for the sake of others, by when it is to be shown: it goes no further.
    passed: Mutex<Option<RangeInclusive<gst::ClockTime>>>,
}

/// Before one decoder.
struct Valve {
    writing: Option<(gst::Caps, Writing)>,
    order: Order,
    was_key: bool,
    gate: Gate,
    doze: Doze,
    lazy: Lazy,
    held: Vec<gst::Buffer>,
    /// When the last picture that went into the decoder is to be shown, in nanoseconds.
    sent: Option<u64>,
    output: Arc<Output>,
    intake: Arc<Intake>,
    attention: Attention,
}

impl Valve {
    fn new(intake: Arc<Intake>, attention: Attention, output: Arc<Output>) -> Self {
        Self {
            writing: None,
            order: Order::default(),
            was_key: false,
            gate: Gate::default(),
            doze: Doze::default(),
            lazy: Lazy::default(),
            held: Vec::new(),
            sent: None,
            output,
            intake,
            attention,
        }
    }

    fn take(&mut self, pad: &gst::Pad, buffer: &gst::Buffer) -> gst::PadProbeReturn {
        let (Some(element), Some(event)) = (pad.parent_element(), pad.sticky_event::<gst::event::Segment>(0)) else {
            return gst::PadProbeReturn::Ok;
        };
        self.intake.came.fetch_add(1, Ordering::Relaxed);
        let age = age(&element, event.segment(), buffer.pts().or(buffer.dts()));
        let now = element.current_running_time().map(Duration::from).unwrap_or_default();
        let is_marked = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let was_asleep = self.doze.is_asleep();
        let passes = self.gate.passes(now, age, is_marked);
        self.intake.waiting.store(!passes, Ordering::Relaxed);
        if !passes {
            // What follows needs what is thrown away.
            self.doze.wake(now);
            self.intake.dozing.store(false, Ordering::Relaxed);
            self.intake.holding.store(false, Ordering::Relaxed);
            let late = 1 + self.held.drain(..).count() as u64;
            self.intake.late.fetch_add(late, Ordering::Relaxed);
            return gst::PadProbeReturn::Handled;
        }
        let shown = running_time(event.segment(), buffer.pts());
        let is_key = is_marked && self.begins_anew(pad, buffer);
        let unit = Unit {
            at: now,
            size: buffer.size(),
            is_key,
            stands_out: is_key && !self.was_key,
            shown,
            reorders: self.order.is_broken_by(shown),
            is_last_kept: self.sent.is_some_and(|sent| self.output.given.load(Ordering::Relaxed) < sent),
        };
        self.was_key = is_key;
        if unit.stands_out {
            *self.intake.last_key.lock() = shown;
        }
        let verdict = self.doze.take(unit, self.attention.calls());
        self.intake.dozing.store(self.doze.is_asleep(), Ordering::Relaxed);
        let holds = match verdict {
            Verdict::Hold => true,
            Verdict::Wake => false,
            Verdict::Decode => {
                if is_key {
                    self.forget(was_asleep);
                }
                self.lazy.holds(unit, *self.intake.rest.lock())
            }
        };
        self.intake.holding.store(holds, Ordering::Relaxed);
        if holds {
            self.held.push(buffer.clone());
            return gst::PadProbeReturn::Handled;
        }
        self.decode_held(pad, verdict == Verdict::Wake);
        self.sent = buffer.pts().map(gst::ClockTime::nseconds);
        gst::PadProbeReturn::Ok
    }

    fn begins_anew(&mut self, pad: &gst::Pad, buffer: &gst::Buffer) -> bool {
        let Some(caps) = pad.current_caps() else { return false };
        let known = self.writing.take().filter(|(known, _)| *known == caps);
        let (_, writing) = self.writing.insert(known.unwrap_or_else(|| (caps.clone(), writing(&caps))));
        buffer.map_readable().is_ok_and(|bytes| writing.begins_anew(&bytes))
    }

    /// What is held is not decoded.
    fn forget(&mut self, was_asleep: bool) {
        let count = if was_asleep { &self.intake.dozed } else { &self.intake.skipped };
        count.fetch_add(self.held.drain(..).count() as u64, Ordering::Relaxed);
    }

    /// The decoder takes what is held as if it came now; where it does not, that shows in what follows, too. Unless it is to be
    /// `seen`, it is only for those that come after it.
    fn decode_held(&mut self, pad: &gst::Pad, seen: bool) {
        let shown = || self.held.iter().filter_map(|buffer| buffer.pts());
        *self.output.passed.lock() = shown().min().zip(shown().max()).filter(|_| !seen).map(|(from, to)| from..=to);
        for buffer in self.held.drain(..) {
            if let Err(error) = pad.chain(buffer) {
                tracing::debug!(?error, "what was held cannot be decoded");
                break;
            }
        }
        *self.output.passed.lock() = None;
    }
}

/// How the pictures of these caps are written.
fn writing(caps: &gst::CapsRef) -> Writing {
    let Some(format) = caps.structure(0) else { return Writing::Pieces };
    let nal = match format.name().as_str() {
        "video/x-h264" => Nal::H264,
        "video/x-h265" => Nal::H265,
        _ => return Writing::Pictures,
    };
    let is = |field: &str, value: &str| format.get::<&str>(field) == Ok(value);
    if !is("alignment", "au") {
        return Writing::Pieces;
    }
    if is("stream-format", "byte-stream") {
        return Writing::StartCodes(nal);
    }
    // Where the configuration record says in how many bytes lengths are written, less one.
    let field = if nal == Nal::H264 { 4 } else { 21 };
    let record =
        format.get::<gst::Buffer>("codec_data").ok().and_then(|record| record.into_mapped_buffer_readable().ok());
    match record.and_then(|record| record.get(field).copied()) {
        Some(sizes) => Writing::Lengths(nal, usize::from(sizes & 3) + 1),
        None => Writing::Pieces,
    }
}
