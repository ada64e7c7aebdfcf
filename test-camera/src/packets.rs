//! What is wrong with the RTP packets of a camera.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Bytes of an RTP header without extensions: our payloaders write no others.
const HEADER: usize = 12;
/// Where the time stamp stands in it.
const STAMP: std::ops::Range<usize> = 4..8;
/// Of nothing else no decoder makes a picture.
const NOISE: u8 = 0xff;

/// What is done to every packet on its way out.
#[derive(Debug, Default)]
pub(crate) struct Tampering {
    /// Added to its time stamp, in ticks of 90 kHz.
    clock_offset: AtomicU32,
    /// Whether there is noise in place of what it carries.
    scrambled: AtomicBool,
}

impl Tampering {
    pub(crate) fn jump_clock(&self, seconds: i32) {
        self.clock_offset.fetch_add(seconds.wrapping_mul(90_000).cast_unsigned(), Ordering::Relaxed);
    }

    pub(crate) fn scramble(&self, on: bool) {
        self.scrambled.store(on, Ordering::Relaxed);
    }

    /// Has it done to all packets that leave a pad.
    pub(crate) fn watch(self: &Arc<Self>, pad: &gst::Pad) {
        let tampering = Arc::clone(self);
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
            if tampering.is_idle() {
                return gst::PadProbeReturn::Ok;
            }
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => tampering.apply(buffer.make_mut()),
                Some(gst::PadProbeData::BufferList(list)) => {
                    let changed: gst::BufferList = list
                        .iter_owned()
                        .map(|mut buffer| {
                            tampering.apply(buffer.make_mut());
                            buffer
                        })
                        .collect();
                    *list = changed;
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn is_idle(&self) -> bool {
        self.clock_offset.load(Ordering::Relaxed) == 0 && !self.scrambled.load(Ordering::Relaxed)
    }

    fn apply(&self, packet: &mut gst::BufferRef) {
        let Ok(mut bytes) = packet.map_writable() else { return };
        if let Some(stamp) = bytes.get_mut(STAMP)
            && let Ok(old) = <[u8; 4]>::try_from(&*stamp)
        {
            let by = self.clock_offset.load(Ordering::Relaxed);
            stamp.copy_from_slice(&u32::from_be_bytes(old).wrapping_add(by).to_be_bytes());
        }
        if self.scrambled.load(Ordering::Relaxed)
            && let Some(payload) = bytes.get_mut(HEADER..)
        {
            payload.fill(NOISE);
        }
    }
}
