//! A recording, frame by frame, on the thread of the caller.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::attention::Attention;
use rollcall_pipeline::clock::Clock;
use rollcall_pipeline::config::{CameraSource, Mounting};

use super::failure::DisconnectReason;
use super::stream::{DecodedFrame, Stream, StreamInfo};

/// A recording: an iterator over all of its frames, in presentation order, as fast as they are asked for.
///
/// It ends with `None` after the last frame, or with one `Err` that says why the rest cannot be read.
pub struct VideoFile {
    stream: Stream,
    first: Option<DecodedFrame>,
    ended: bool,
}

impl VideoFile {
    /// Opens a recording and decodes its first frame, so that [`VideoFile::info`] is complete. Orientation tags are obeyed.
    ///
    /// # Errors
    /// When there is no such file, no decoder for it, or no picture in it.
    pub fn open(path: &Path, mounting: Mounting, clock: Arc<dyn Clock>) -> Result<Self, DisconnectReason> {
        let source = CameraSource::File { path: path.to_owned(), realtime: false, repeat: false };
        let mut stream = Stream::open(&source, mounting, false, Duration::MAX, clock, &Attention::default())?;
        let first = stream.next(&|| false)?;
        Ok(Self { stream, first: Some(first), ended: false })
    }

    /// Size, rate, codec.
    pub fn info(&self) -> &StreamInfo {
        self.stream.info()
    }
}

impl Iterator for VideoFile {
    type Item = Result<DecodedFrame, DisconnectReason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.first.take().map_or_else(|| self.stream.next(&|| false), Ok);
        self.ended = next.is_err();
        match next {
            Err(DisconnectReason::Eos) => None,
            other => Some(other),
        }
    }
}
