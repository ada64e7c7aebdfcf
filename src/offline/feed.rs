//! A recording, or a still that stands for one, into the mux.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::packet::CloseReason;
use rollcall_pipeline::{
    Attention, CameraId, CameraTuning, Clock, Epoch, Frame, FrameMux, FrameTime, Image, MediaTime, MonoTime, MuxError,
    MuxSender, StreamKey, TimeSource, WallTime,
};
use rollcall_stages::decode::{DecodedFrame, DisconnectReason, Sampler, Unseen, VideoFile};
use uuid::Uuid;

/// Frames to be fed.
type Frames = Box<dyn Iterator<Item = Result<DecodedFrame, DisconnectReason>>>;

/// Frames, and how they go in.
pub(crate) struct Feed {
    frames: Frames,
    camera: CameraId,
    tuning: Arc<CameraTuning>,
    realtime: bool,
    /// Numbers of frames that are left out.
    skip: HashSet<u64>,
    clock: Arc<dyn Clock>,
    /// When the recording is assumed to begin.
    begins: WallTime,
}

/// What became of it.
pub(crate) struct Fed {
    /// Frames decoded.
    pub(crate) frames: u64,
    /// Width and height of the last one.
    pub(crate) size: (u32, u32),
    /// Why the rest could not be read.
    pub(crate) broke: Option<DisconnectReason>,
}

impl Fed {
    /// Asks whether the recording was read to its end.
    ///
    /// # Errors
    /// When it was not: why, and what to do about it.
    pub(crate) fn whole(self, path: &Path) -> anyhow::Result<()> {
        self.broke.map_or(Ok(()), |reason| Err(unreadable(path, &reason)))
    }
}

impl Feed {
    /// Opens a recording.
    pub(crate) fn open(path: &Path, tuning: CameraTuning, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let video = VideoFile::open(path, Default::default(), Arc::clone(&clock))
            .map_err(|reason| unreadable(path, &reason))?;
        let begins = modified(path.to_owned()).unwrap_or_else(|| clock.wall());
        Ok(Self::new(Box::new(video), tuning, begins, clock))
    }

    /// A still, shown for so many frames at the given rate.
    pub(crate) fn still(image: Image, frames: u64, fps: u64, tuning: CameraTuning, clock: Arc<dyn Clock>) -> Self {
        let (received, wall) = (clock.mono(), clock.wall());
        let frame = move |index| DecodedFrame {
            index,
            media: MediaTime(index * 1_000_000_000 / fps.max(1)),
            received,
            wall,
            behind: Duration::ZERO,
            ntp: None,
            unseen: Unseen::default(),
            stands_out: false,
            image: image.clone(),
            anew: None,
        };
        Self::new(Box::new((0..frames).map(frame).map(Ok)), tuning, wall, clock)
    }

    fn new(frames: Frames, tuning: CameraTuning, begins: WallTime, clock: Arc<dyn Clock>) -> Self {
        let camera = CameraId::new(super::NAME);
        Self { frames, camera, tuning: Arc::new(tuning), realtime: false, skip: HashSet::new(), clock, begins }
    }

    /// At the speed of the recording.
    #[must_use]
    pub(crate) fn realtime(self, realtime: bool) -> Self {
        Self { realtime, ..self }
    }

    /// Without these frames.
    #[must_use]
    pub(crate) fn without(self, skip: HashSet<u64>) -> Self {
        Self { skip, ..self }
    }

    /// With each picture changed.
    #[must_use]
    pub(crate) fn changed(self, change: fn(&Image) -> Image) -> Self {
        let frames =
            self.frames.map(move |frame| frame.map(|frame| DecodedFrame { image: change(&frame.image), ..frame }));
        Self { frames: Box::new(frames), ..self }
    }

    /// Hands every frame that is to be analysed to the mux; waits while the lane is behind.
    pub(super) fn run(mut self, mux: &FrameMux) -> Result<Fed, MuxError> {
        let mut sampler = Sampler::default();
        let mut sender = mux.open(&self.camera)?;
        let began = self.clock.mono();
        let mut fed = Fed { frames: 0, size: (0, 0), broke: None };
        while let Some(decoded) = self.frames.next() {
            let decoded = match decoded {
                Ok(decoded) => decoded,
                Err(reason) => {
                    fed.broke = Some(reason);
                    break;
                }
            };
            fed.frames += 1;
            fed.size = (decoded.image.width() as u32, decoded.image.height() as u32);
            if decoded.anew.is_some() {
                sender.close(CloseReason::Lost);
                sender = mux.open(&self.camera)?;
                sampler = Sampler::default();
            }
            if self.realtime {
                self.wait_until(MonoTime(began.0 + Duration::from_nanos(decoded.media.0)));
            }
            if !self.skip.contains(&decoded.index) && sampler.take(decoded.media, self.tuning.analysis_fps) {
                self.push(&sender, decoded)?;
            }
        }
        sender.close(CloseReason::Ended);
        Ok(fed)
    }

    fn push(&self, sender: &MuxSender, decoded: DecodedFrame) -> Result<(), MuxError> {
        let time = FrameTime {
            media: decoded.media,
            received: decoded.received,
            captured: self.begins + Duration::from_nanos(decoded.media.0),
            source: TimeSource::File,
        };
        // The mux sets the key.
        let key = StreamKey { camera: self.camera.clone(), epoch: Epoch(Uuid::nil()) };
        sender.push(Frame {
            key,
            seq: decoded.index,
            time,
            image: decoded.image,
            tuning: Arc::clone(&self.tuning),
            attention: Attention::default(),
        })
    }

    fn wait_until(&self, at: MonoTime) {
        loop {
            let left = at.since(self.clock.mono());
            if left.is_zero() {
                return;
            }
            // Nobody unparks this thread; a wake-up without reason only looks at the clock again.
            std::thread::park_timeout(left);
        }
    }
}

/// A file was last written when its recording ended, which is near enough for the day and the same in each replay.
fn modified(path: PathBuf) -> Option<WallTime> {
    Some(std::fs::metadata(path).ok()?.modified().ok()?.into())
}

/// Why a file cannot be read (on), with what to do about it: other things than for a camera.
pub(crate) fn unreadable(path: &Path, reason: &DisconnectReason) -> anyhow::Error {
    let advice = match reason {
        DisconnectReason::Unsupported { package: Some(package), .. } => format!(": install the package {package}"),
        DisconnectReason::MissingElement(_) => ": run `make setup`, which installs the GStreamer packages".to_owned(),
        DisconnectReason::Truncated { .. } => ": copy the file again from where it was recorded".to_owned(),
        DisconnectReason::Corrupt(_) => ": check that this is a video".to_owned(),
        _ => String::new(),
    };
    anyhow::anyhow!("{}: {reason}{advice}", path.display())
}
