//! What goes into the decoder of a live camera: everything, but for what is too late ([`late`](super::late)) and for what lies
//! between the key frames of a scene in which nothing happens ([`doze`](super::doze)).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use parking_lot::Mutex;
use rollcall_pipeline::attention::Attention;

use super::doze::{Doze, Unit, Verdict};
use super::gst::is_decoder;
use super::late::{Gate, age};

/// What became of the compressed pictures of a stream, for those who count them.
#[derive(Debug, Default)]
pub(super) struct Intake {
    arrived: AtomicU64,
    late: AtomicU64,
    waiting: AtomicBool,
    came: AtomicU64,
    dozed: AtomicU64,
    dozing: AtomicBool,
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

    /// Pictures that were not decoded since this was asked last, because nothing happened.
    pub(super) fn take_dozed(&self) -> u64 {
        self.dozed.swap(0, Ordering::Relaxed)
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
            let given = Arc::new(AtomicU64::new(0));
            let valve = Mutex::new(Valve::new(Arc::clone(&intake), attention.clone(), Arc::clone(&given)));
            decoded.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
                if let Some(pts) = probe.buffer().and_then(|buffer| buffer.pts()) {
                    given.store(pts.nseconds(), Ordering::Relaxed);
                }
                gst::PadProbeReturn::Ok
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

/// Before one decoder.
struct Valve {
    gate: Gate,
    doze: Doze,
    held: Vec<gst::Buffer>,
    /// When the last picture that went into the decoder is to be shown, and the last that came out; nanoseconds.
    sent: Option<u64>,
    given: Arc<AtomicU64>,
    intake: Arc<Intake>,
    attention: Attention,
}

impl Valve {
    fn new(intake: Arc<Intake>, attention: Attention, given: Arc<AtomicU64>) -> Self {
        let (gate, doze) = (Gate::default(), Doze::default());
        Self { gate, doze, held: Vec::new(), sent: None, given, intake, attention }
    }

    fn take(&mut self, pad: &gst::Pad, buffer: &gst::Buffer) -> gst::PadProbeReturn {
        let (Some(element), Some(event)) = (pad.parent_element(), pad.sticky_event::<gst::event::Segment>(0)) else {
            return gst::PadProbeReturn::Ok;
        };
        self.intake.came.fetch_add(1, Ordering::Relaxed);
        let age = age(&element, event.segment(), buffer.pts().or(buffer.dts()));
        let now = element.current_running_time().map(Duration::from).unwrap_or_default();
        let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let passes = self.gate.passes(now, age, is_key);
        self.intake.waiting.store(!passes, Ordering::Relaxed);
        let verdict = if passes {
            let shown = buffer.pts().map(Duration::from);
            let is_last_kept = self.sent.is_some_and(|sent| self.given.load(Ordering::Relaxed) < sent);
            let unit = Unit { at: now, size: buffer.size(), is_key, shown, is_last_kept };
            self.doze.take(unit, self.attention.calls())
        } else {
            // What follows needs what is thrown away.
            self.doze.wake(now);
            Verdict::Decode
        };
        let answer = match verdict {
            Verdict::Decode => {
                self.intake.dozed.fetch_add(self.held.drain(..).count() as u64, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            }
            Verdict::Hold => {
                self.held.push(buffer.clone());
                gst::PadProbeReturn::Handled
            }
            Verdict::Wake => self.decode_held(pad),
        };
        self.intake.dozing.store(self.doze.is_asleep(), Ordering::Relaxed);
        if passes {
            if verdict != Verdict::Hold {
                self.sent = buffer.pts().map(gst::ClockTime::nseconds);
            }
            return answer;
        }
        self.intake.late.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Handled
    }

    /// The decoder takes what is held as if it came now; where it does not, that shows in what follows, too.
    fn decode_held(&mut self, pad: &gst::Pad) -> gst::PadProbeReturn {
        for buffer in self.held.drain(..) {
            if let Err(error) = pad.chain(buffer) {
                tracing::debug!(?error, "what was held cannot be decoded");
                break;
            }
        }
        gst::PadProbeReturn::Ok
    }
}
