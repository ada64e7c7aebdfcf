//! Short videos that people hand in, frame by frame.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::{Clock, ErrorClass, Fault, Image, MediaTime};
use rollcall_stages::decode::{Sampler, VideoFile};

use crate::error::FacesError;

/// Bytes of a clip, at most.
pub const MAX_CLIP_BYTES: usize = 20 << 20;
/// Length of a clip, at most.
pub const MAX_CLIP: Duration = Duration::from_secs(10);
/// A clip that says ten seconds may be a few frames longer.
const SLACK: Duration = Duration::from_millis(500);
/// Frames decoded of a clip, at most: 120 a second is more than phones record.
const MAX_FRAMES: u64 = 1260;
/// Frames looked at in a second: as a lane does.
const FPS: f32 = 5.0;

/// Why a clip cannot be used; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedClip {
    /// Above the limit on bytes.
    #[error("the clip is larger than {} MB; record it shorter or smaller", MAX_CLIP_BYTES >> 20)]
    TooLarge,
    /// Above the limit on time.
    #[error("the clip is longer than {} s; record it shorter", MAX_CLIP.as_secs())]
    TooLong,
    /// Of no kind that is taken.
    #[error("this is no MP4, MOV or WebM video; record it as MP4")]
    NotAVideo,
    /// Broken, cut off, or in a format that there is no decoder for.
    #[error("the clip cannot be read: {why}; record it again as MP4 (H.264)")]
    Unreadable {
        /// In the words of the decoder.
        why: String,
    },
}

impl RefusedClip {
    /// The word for it in tables and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "clip_too_large",
            Self::TooLong => "clip_too_long",
            Self::NotAVideo => "not_a_video",
            Self::Unreadable { .. } => "clip_unreadable",
        }
    }
}

/// Shows the frames of a clip to `each`, about five a second, with their number and time.
///
/// The clip lies in a file of its own in `dir`, readable by nobody else and gone before this returns.
pub(crate) fn frames(
    bytes: &[u8],
    dir: &Path,
    clock: &Arc<dyn Clock>,
    mut each: impl FnMut(u64, MediaTime, Image) -> Result<(), FacesError>,
) -> Result<(), FacesError> {
    if bytes.len() > MAX_CLIP_BYTES {
        return Err(RefusedClip::TooLarge.into());
    }
    // Decoders find out by themselves what a file is; lists of addresses and the like must not come so far.
    let is_video = bytes.get(4..8) == Some(b"ftyp") || bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]);
    if !is_video {
        return Err(RefusedClip::NotAVideo.into());
    }
    let failed = |error: std::io::Error| {
        Fault::new(ErrorClass::Transient, format_args!("no room for a clip in {}: {error}", dir.display()))
    };
    let mut file = tempfile::Builder::new().prefix("clip-").tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(failed)?;

    let unreadable = |why: &dyn std::fmt::Display| RefusedClip::Unreadable { why: why.to_string() };
    let video =
        VideoFile::open(file.path(), Default::default(), Arc::clone(clock)).map_err(|reason| unreadable(&reason))?;
    let mut sampler = Sampler::default();
    let mut began = None;
    for frame in video {
        let frame = frame.map_err(|reason| unreadable(&reason))?;
        let began = *began.get_or_insert(frame.media);
        if frame.index >= MAX_FRAMES || frame.media.since(began) > MAX_CLIP + SLACK {
            return Err(RefusedClip::TooLong.into());
        }
        if frame.anew.is_some() {
            return Err(unreadable(&"its size or clock changes on the way").into());
        }
        if sampler.take(frame.media, FPS) {
            each(frame.index, frame.media, frame.image)?;
        }
    }
    Ok(())
}
