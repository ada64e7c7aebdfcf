//! From a decoded frame to a frame of the lane, within one epoch: numbered, dated, sampled, masked, pushed.

use std::sync::Arc;

use chrono::TimeDelta;
use rollcall_pipeline::{
    Attention, CameraTuning, CloseReason, Frame, FrameTime, Image, MuxSender, StreamKey, TimeSource, WallTime,
};

use super::capture_time::CaptureClock;
use super::mask::Masks;
use super::sampling::{Idle, Sampler};
use super::status::Rate;
use super::stream::DecodedFrame;

/// How frames are dated.
pub(super) enum Dating {
    /// By the camera's clock or by ours.
    Live(CaptureClock),
    /// By their place in the recording.
    Recording {
        /// When its first frame was taken, or is taken to have been.
        start: WallTime,
    },
}

/// One epoch of one camera.
pub(super) struct Delivery {
    sender: MuxSender,
    key: StreamKey,
    seq: u64,
    sampler: Sampler,
    dating: Dating,
    masks: MaskCache,
    rate: Rate,
    attention: Attention,
}

/// What became of a frame.
pub(super) struct Note {
    pub(super) sampled: bool,
    /// What is not analysed after it.
    pub(super) idle: Idle,
    pub(super) fps: f64,
    pub(super) source: TimeSource,
    pub(super) skew: Option<TimeDelta>,
    /// When it came.
    pub(super) wall: WallTime,
}

impl Delivery {
    /// Begins an epoch; `None` when the lane has ended meanwhile.
    pub(super) fn new(sender: MuxSender, dating: Dating, attention: Attention) -> Option<Self> {
        let key = sender.key().ok()?;
        Some(Self {
            sender,
            key,
            seq: 0,
            sampler: Sampler::default(),
            dating,
            masks: MaskCache::default(),
            rate: Rate::default(),
            attention,
        })
    }

    /// Hands a frame on, if it is to be analysed; `None` when the lane takes no more.
    pub(super) fn deliver(&mut self, frame: DecodedFrame, tuning: &Arc<CameraTuning>) -> Option<Note> {
        let came = frame.came();
        let DecodedFrame { index, media, received, wall, ntp, unseen, image, stands_out, .. } = frame;
        let fps = self.rate.count(received, unseen.all() + 1);
        // A recording is one row of frames, whatever changes in it: track files count them.
        let seq = if matches!(self.dating, Dating::Recording { .. }) { index } else { self.seq };
        self.seq += 1;
        let (captured, source, skew) = match &mut self.dating {
            Dating::Live(clock) => {
                let captured = clock.place(media, received, wall, ntp);
                (captured.at, captured.source, captured.skew)
            }
            Dating::Recording { start } => {
                let offset = TimeDelta::nanoseconds(i64::try_from(media.0).unwrap_or(i64::MAX));
                (start.checked_add_signed(offset).unwrap_or(wall), TimeSource::File, None)
            }
        };
        if stands_out {
            self.sampler.align(media);
        }
        let sampled = self.sampler.take(media, tuning.analysis_fps);
        if sampled {
            let image = self.masks.apply(image, tuning);
            let time = FrameTime { media, received: came, captured, source };
            let (key, tuning, attention) = (self.key.clone(), Arc::clone(tuning), self.attention.clone());
            let frame = Frame { key, seq, time, image, tuning, attention };
            self.sender.push(frame).ok()?;
        }
        let idle = self.sampler.idle(media);
        Some(Note { sampled, idle, fps, source, skew, wall })
    }

    /// Ends the epoch.
    pub(super) fn close(self, reason: CloseReason) {
        self.sender.close(reason);
    }
}

/// The masks that were laid out last: they change with the tuning and the picture size, that is, hardly ever.
#[derive(Default)]
struct MaskCache {
    made_for: Option<(Arc<CameraTuning>, usize, usize)>,
    masks: Option<Masks>,
}

impl MaskCache {
    fn apply(&mut self, image: Image, tuning: &Arc<CameraTuning>) -> Image {
        if tuning.privacy_masks.is_empty() {
            return image;
        }
        let view = image.view();
        let known = self
            .made_for
            .as_ref()
            .is_some_and(|(t, w, h)| Arc::ptr_eq(t, tuning) && (*w, *h) == (view.width, view.height));
        if !known {
            self.masks = Masks::new(&tuning.privacy_masks, view.width, view.height);
            self.made_for = Some((Arc::clone(tuning), view.width, view.height));
        }
        let painted = self.masks.as_ref().map(|m| m.paint(&view));
        painted.unwrap_or(image)
    }
}
