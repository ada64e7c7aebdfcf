//! What a camera shows: segments, encoded once into access units that are kept in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::TestCameraError;

/// No segment takes longer to encode on any machine.
const ENCODE_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(300);

/// How much snow lies over the hall: each pixel differs by some four levels from frame to frame, as in a room with lamps on.
const NOISE: f64 = 0.05;

/// How pictures are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, Annex B.
    H264,
    /// H.265, Annex B.
    H265,
    /// One JPEG a frame.
    Mjpeg,
}

/// Size, rate and compression of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Pixels; a multiple of 8.
    pub width: u32,
    /// Pixels; a multiple of 8.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Compression.
    pub codec: Codec,
}

/// A part of what a camera shows.
#[derive(Clone, Debug)]
pub enum Segment {
    /// A part of a recording, letterboxed into the camera's size.
    Video {
        /// Any file that GStreamer can play.
        path: PathBuf,
        /// Where it starts.
        from: Duration,
        /// Where it ends; `None` is its end.
        to: Option<Duration>,
    },
    /// A still picture, letterboxed into the camera's size.
    Picture {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Packed rows of `width * 3` bytes.
        rgb: Vec<u8>,
        /// How long it is shown.
        duration: Duration,
    },
    /// An empty, dark scene.
    Blank {
        /// How long.
        duration: Duration,
    },
    /// An empty hall as a camera shows it: colours and edges under the noise of a sensor.
    Hall {
        /// How long.
        duration: Duration,
    },
    /// A moving pattern, for tests without media.
    Pattern {
        /// How long.
        duration: Duration,
    },
}

/// How many bits an encoder spends on a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitRate {
    /// About as many on each second, whatever it shows.
    #[default]
    Constant,
    /// What the picture needs for an even quality, up to a limit; what most cameras call variable.
    Variable,
}

/// Encoded pictures, ready to be sent. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub struct Clip(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    format: Format,
    caps: gst::Caps,
    units: Vec<gst::Buffer>,
}

impl Clip {
    /// Encodes segments one after the other, as a camera would that sees them: with a key frame every second, whatever it shows.
    ///
    /// # Errors
    /// When an encoder is missing or a recording cannot be read.
    pub fn encode(segments: &[Segment], format: Format) -> Result<Self, TestCameraError> {
        Self::encode_at(segments, format, BitRate::Constant)
    }

    /// The same at another kind of bit rate.
    ///
    /// # Errors
    /// When an encoder is missing or a recording cannot be read.
    pub fn encode_at(segments: &[Segment], format: Format, rate: BitRate) -> Result<Self, TestCameraError> {
        gst::init()?;
        let mut encoder = Encoder::start(format, rate)?;
        for segment in segments {
            show(segment, format, &mut encoder)?;
        }
        let (caps, units) = encoder.finish()?;
        Ok(Self(Arc::new(Encoded { format, caps, units })))
    }

    /// Two seconds of a moving pattern.
    ///
    /// # Errors
    /// When an encoder is missing.
    pub fn pattern(format: Format) -> Result<Self, TestCameraError> {
        Self::encode(&[Segment::Pattern { duration: Duration::from_secs(2) }], format)
    }

    /// Size, rate and compression.
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// The number of pictures.
    pub fn frames(&self) -> usize {
        self.0.units.len()
    }

    /// How long one round takes.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.0.units.len() as u64) / self.0.format.fps
    }

    /// The same, but it begins with the last key frame at or before `at`, and ends before it.
    pub fn starting_at(&self, at: Duration) -> Self {
        let Encoded { format, caps, units } = &*self.0;
        let first = self.key_before((at.as_secs_f64() * f64::from(format.fps)) as usize);
        // Buffers are shared.
        let mut units = units.clone();
        units.rotate_left(first);
        Self(Arc::new(Encoded { format: *format, caps: caps.clone(), units }))
    }

    pub(crate) fn caps(&self) -> &gst::Caps {
        &self.0.caps
    }

    /// A shallow copy of a unit, to be stamped and sent.
    pub(crate) fn unit(&self, index: usize) -> gst::Buffer {
        self.0.units[index % self.0.units.len()].copy()
    }

    /// The last key frame at or before a unit.
    pub(crate) fn key_before(&self, index: usize) -> usize {
        let index = index % self.0.units.len();
        let is_key = |&i: &usize| !self.0.units[i].flags().contains(gst::BufferFlags::DELTA_UNIT);
        (0..=index).rev().find(is_key).unwrap_or(0)
    }
}

fn failed(what: &str, reason: String) -> TestCameraError {
    TestCameraError::Encode { what: what.to_owned(), reason }
}

impl Segment {
    fn frames(duration: Duration, fps: u32) -> u64 {
        (duration.as_secs_f64() * f64::from(fps)).round().max(1.0) as u64
    }

    fn describe(&self) -> String {
        match self {
            Self::Video { path, .. } => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Picture { .. } => "a picture".to_owned(),
            Self::Blank { .. } => "a blank scene".to_owned(),
            Self::Hall { .. } => "an empty hall".to_owned(),
            Self::Pattern { .. } => "a pattern".to_owned(),
        }
    }

    /// The head of the launch line that makes this segment's raw pictures.
    fn head(&self, format: Format) -> String {
        let fps = format.fps;
        match self {
            Self::Video { .. } => {
                "filesrc name=in ! decodebin expose-all-streams=false caps=video/x-raw(ANY) ! videoflip video-direction=auto".to_owned()
            }
            Self::Picture { .. } => "appsrc name=in format=time".to_owned(),
            Self::Blank { duration } => {
                format!("videotestsrc pattern=black num-buffers={}", Self::frames(*duration, fps))
            }
            Self::Hall { duration } => {
                let frames = Self::frames(*duration, fps);
                let Format { width, height, .. } = format;
                let raw = format!("video/x-raw,format=I420,width={width},height={height},framerate={fps}/1");
                format!(
                    "compositor name=mix sink_1::alpha={NOISE} \
                     videotestsrc pattern=smpte75 num-buffers={frames} ! {raw} ! mix.sink_0 \
                     videotestsrc pattern=snow num-buffers={frames} ! {raw} ! mix.sink_1 mix. ! {raw}"
                )
            }
            Self::Pattern { duration } => {
                format!("videotestsrc pattern=ball motion=wavy num-buffers={}", Self::frames(*duration, fps))
            }
        }
    }
}

/// The tail of the launch line: compression with a key frame a second and no delay.
fn compression(format: Format, rate: BitRate) -> String {
    let Format { width, height, fps, codec } = format;
    // About 0.1 bit a pixel, what IP cameras send.
    let kbit = (u64::from(width) * u64::from(height) * u64::from(fps) / 10_000).max(256);
    let (h264, h265) = match rate {
        BitRate::Constant => ("", ""),
        BitRate::Variable => ("pass=qual quantizer=28 vbv-buf-capacity=1000", ":crf=28"),
    };
    // Key frames come when it is time, whatever is shown.
    match codec {
        Codec::H264 => format!(
            "x264enc tune=zerolatency speed-preset=veryfast key-int-max={fps} bitrate={kbit} {h264} option-string=scenecut=0 \
             ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
        ),
        Codec::H265 => format!(
            "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate={kbit} option-string=scenecut=0{h265} \
             ! h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au"
        ),
        Codec::Mjpeg => "jpegenc quality=85".to_owned(),
    }
}

/// What raw pictures become access units in.
struct Encoder {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    output: gst_app::AppSink,
    pictures: u64,
    each: gst::ClockTime,
}

impl Encoder {
    fn start(format: Format, rate: BitRate) -> Result<Self, TestCameraError> {
        // What comes out waits until all is in; it is small.
        let launch = format!(
            "appsrc name=in format=time block=true max-buffers=4 ! {} ! appsink name=out sync=false",
            compression(format, rate)
        );
        let pipeline = pipeline(&launch, "an encoder")?;
        let (input, output) = (by_name(&pipeline, "in", "an encoder")?, by_name(&pipeline, "out", "an encoder")?);
        let each = gst::ClockTime::SECOND / u64::from(format.fps);
        let encoder = Self { pipeline, input, output, pictures: 0, each };
        encoder.pipeline.set_state(gst::State::Playing).map_err(|_| encoder.trouble())?;
        Ok(encoder)
    }

    fn push(&mut self, sample: &gst::Sample) -> Result<(), TestCameraError> {
        let mut picture = sample.buffer().ok_or_else(|| self.trouble())?.copy();
        if let Some(picture) = picture.get_mut() {
            picture.set_pts(self.each * self.pictures);
            picture.set_dts(gst::ClockTime::NONE);
            picture.set_duration(self.each);
        }
        if self.pictures == 0 {
            self.input.set_caps(sample.caps_owned().as_ref());
        }
        self.pictures += 1;
        self.input.push_buffer(picture).map(drop).map_err(|_| self.trouble())
    }

    fn finish(self) -> Result<(gst::Caps, Vec<gst::Buffer>), TestCameraError> {
        self.input.end_of_stream().map_err(|_| self.trouble())?;
        let mut caps = None;
        let mut units = Vec::new();
        while let Some(sample) = self.output.try_pull_sample(ENCODE_TIMEOUT) {
            if caps.is_none() {
                caps = sample.caps_owned();
            }
            units.extend(sample.buffer().map(|b| {
                // A copy of its own, so that no encoder's pool is held.
                let mut own = gst::Buffer::from_slice(b.map_readable().map(|m| m.to_vec()).unwrap_or_default());
                if let Some(own) = own.get_mut() {
                    own.set_flags(b.flags() & gst::BufferFlags::DELTA_UNIT);
                }
                own
            }));
        }
        if units.len() as u64 != self.pictures {
            return Err(self.trouble());
        }
        Ok((caps.ok_or_else(|| self.trouble())?, units))
    }

    fn trouble(&self) -> TestCameraError {
        trouble(&self.pipeline, "an encoder")
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        stop(&self.pipeline);
    }
}

fn pipeline(launch: &str, what: &str) -> Result<gst::Pipeline, TestCameraError> {
    let element = gst::parse::launch(launch)?;
    element.downcast::<gst::Pipeline>().map_err(|_| failed(what, "not a pipeline".to_owned()))
}

fn by_name<T: IsA<gst::Element>>(pipeline: &gst::Pipeline, name: &str, what: &str) -> Result<T, TestCameraError> {
    let found = pipeline.by_name(name).and_then(|element| element.downcast::<T>().ok());
    found.ok_or_else(|| failed(what, format!("it has no element {name}")))
}

/// What went wrong, by its own word.
fn trouble(pipeline: &gst::Pipeline, what: &str) -> TestCameraError {
    failed(what, error_of(pipeline).unwrap_or_else(|| "it does not play".to_owned()))
}

/// The same, if anything did.
fn error_of(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(error.error().message().to_owned()),
        _ => None,
    }
}

/// The result counts; a pipeline that does not stop is dropped all the same.
fn stop(pipeline: &gst::Pipeline) {
    if pipeline.set_state(gst::State::Null).is_err() {
        tracing::warn!("a pipeline does not stop");
    }
}

/// Has the encoder see a segment.
fn show(segment: &Segment, format: Format, encoder: &mut Encoder) -> Result<(), TestCameraError> {
    let Format { width, height, fps, .. } = format;
    let launch = format!(
        "{} ! videoconvert ! videoscale add-borders=true ! videorate \
         ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1,pixel-aspect-ratio=1/1 \
         ! appsink name=out sync=false max-buffers=4",
        segment.head(format),
    );
    let pipeline = pipeline(&launch, &segment.describe())?;
    let result = play(&pipeline, segment, fps, encoder);
    stop(&pipeline);
    result
}

fn play(pipeline: &gst::Pipeline, segment: &Segment, fps: u32, encoder: &mut Encoder) -> Result<(), TestCameraError> {
    let what = segment.describe();
    let sink: gst_app::AppSink = by_name(pipeline, "out", &what)?;
    let trouble = || trouble(pipeline, &what);
    match segment {
        Segment::Video { path, from, to } => {
            by_name::<gst::Element>(pipeline, "in", &what)?.set_property("location", path);
            pipeline.set_state(gst::State::Paused).map_err(|_| trouble())?;
            pipeline.state(gst::ClockTime::from_seconds(20)).0.map_err(|_| trouble())?;
            if !from.is_zero() || to.is_some() {
                let clock =
                    |d: &Duration| gst::ClockTime::from_nseconds(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX - 1));
                pipeline.seek(
                    1.0,
                    gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
                    gst::SeekType::Set,
                    clock(from),
                    if to.is_some() { gst::SeekType::Set } else { gst::SeekType::None },
                    to.as_ref().map(clock),
                )?;
            }
        }
        Segment::Picture { width, height, rgb, duration } => {
            let input = by_name(pipeline, "in", &what)?;
            push_picture(&input, (*width, *height), rgb, fps, Segment::frames(*duration, fps))
                .map_err(|reason| failed(&what, reason))?;
        }
        Segment::Blank { .. } | Segment::Hall { .. } | Segment::Pattern { .. } => {}
    }
    pipeline.set_state(gst::State::Playing).map_err(|_| trouble())?;
    let before = encoder.pictures;
    while let Some(sample) = sink.try_pull_sample(ENCODE_TIMEOUT) {
        encoder.push(&sample)?;
    }
    match error_of(pipeline) {
        Some(error) => Err(failed(&what, error)),
        None if encoder.pictures == before => Err(failed(&what, "it gave no picture".to_owned())),
        None if !sink.is_eos() => Err(failed(&what, "it broke off".to_owned())),
        None => Ok(()),
    }
}

/// Pushes a picture `frames` times; all share its memory.
fn push_picture(
    input: &gst_app::AppSrc,
    (width, height): (u32, u32),
    rgb: &[u8],
    fps: u32,
    frames: u64,
) -> Result<(), String> {
    let (w, h) = (width as usize, height as usize);
    if w == 0 || h == 0 || rgb.len() != w * h * 3 {
        return Err(format!("{} bytes are not {width}x{height} pixels", rgb.len()));
    }
    let number = |v: u32| i32::try_from(v).map_err(|_| "too large".to_owned());
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "RGB")
        .field("width", number(width)?)
        .field("height", number(height)?)
        .field("framerate", gst::Fraction::new(number(fps)?, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    input.set_caps(Some(&caps));
    // GStreamer aligns rows of RGB to four bytes.
    let stride = (w * 3).next_multiple_of(4);
    let mut padded = vec![0u8; stride * h];
    for (to, from) in padded.chunks_exact_mut(stride).zip(rgb.chunks_exact(w * 3)) {
        to[..w * 3].copy_from_slice(from);
    }
    let picture = gst::Buffer::from_slice(padded);
    let period = gst::ClockTime::SECOND / u64::from(fps);
    for i in 0..frames {
        let mut buffer = picture.copy();
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(period * i);
            buffer.set_duration(period);
        }
        input.push_buffer(buffer).map_err(|e| e.to_string())?;
    }
    input.end_of_stream().map_err(|e| e.to_string())?;
    Ok(())
}
