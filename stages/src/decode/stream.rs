//! One connection to one source: frames out, or the reason why there are no more.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use rollcall_pipeline::clock::Clock;
use rollcall_pipeline::config::{CameraSource, Mounting};
use rollcall_pipeline::{Attention, Image, MediaTime, MonoTime, WallTime};

use super::buffer::GstImage;
use super::container;
use super::failure::{self, DisconnectReason, SourceKind};
use super::gst as build;
use super::intake::{Intake, Unseen};
use super::late;
use super::lazy::Rest;
use super::sampling::Idle;
use super::timeline::Timeline;

/// How long one pull blocks: the longest delay of a stop request and of an error message.
const PULL: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// Time to the first frame: a camera may send a key frame only every few seconds, and nothing can be decoded before it.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(10);
/// What sent something this recently sends now.
const LATELY: Duration = Duration::from_secs(1);
/// GStreamer's GIF demuxer does not always say that it has reached the end; it then waits for ever.
const GIF_END: Duration = Duration::from_secs(1);
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// What a stream sends, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamInfo {
    /// The compressed format, such as `video/x-h264`; empty for raw video.
    pub codec: String,
    /// The decoder at work, and whether GStreamer calls it hardware.
    pub decoder: String,
    /// Whether the decoder is a hardware decoder.
    pub hardware: bool,
    /// Width in pixels, as mounted.
    pub width: u32,
    /// Height in pixels, as mounted.
    pub height: u32,
    /// Frames a second as announced; `None` where the stream does not say, or says "variable".
    pub fps: Option<f64>,
}

/// A decoded frame, before anything is known about its place in the lane.
#[derive(Clone, Debug)]
pub struct DecodedFrame {
    /// Number of the frame since the source was opened, from 0, in presentation order.
    pub index: u64,
    /// Media time within its epoch; in a recording, since its beginning.
    pub media: MediaTime,
    /// When it came out of the decoder.
    pub received: MonoTime,
    /// UTC at the same moment.
    pub wall: WallTime,
    /// How long it waited before that for the decoder, since it came from the camera.
    pub behind: Duration,
    /// The camera's own time of capture, where it sends one.
    pub ntp: Option<WallTime>,
    /// Those since the one before that did not come out.
    pub unseen: Unseen,
    /// It is a key frame of a live stream that has others, too.
    pub stands_out: bool,
    /// The pixels.
    pub image: Image,
    /// With this frame something began anew that makes it incomparable with those before it.
    pub anew: Option<Anew>,
}

impl DecodedFrame {
    /// When it came from the camera.
    pub fn came(&self) -> MonoTime {
        MonoTime(self.received.0.saturating_sub(self.behind))
    }
}

/// Why a running stream starts a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// Another size: boxes of earlier frames mean other places.
    Size,
    /// The camera's clock was set: times of earlier frames mean other moments.
    Clock,
}

/// An open source.
pub(super) struct Stream {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    sink: gst_app::AppSink,
    intake: Arc<Intake>,
    /// How much had come when it was looked last, and when that was more than before.
    arrived: (u64, Option<MonoTime>),
    kind: SourceKind,
    path: Option<std::path::PathBuf>,
    stall_limit: Duration,
    clock: Arc<dyn Clock>,
    timeline: Timeline,
    format: Option<(gst::Caps, gst_video::VideoInfo)>,
    info: StreamInfo,
    frames: u64,
    last_media: MediaTime,
    /// When the last frame is to be shown, in running time.
    shown: Option<Duration>,
    unsupported: Option<DisconnectReason>,
}

impl Stream {
    /// Builds the pipeline and starts it. Whether the source answers shows at the first [`Stream::next`].
    pub(super) fn open(
        source: &CameraSource,
        mounting: Mounting,
        over_udp: bool,
        stall_limit: Duration,
        clock: Arc<dyn Clock>,
        attention: &Attention,
    ) -> Result<Self, DisconnectReason> {
        let path = match source {
            CameraSource::File { path, .. } => {
                // A clear word for the most frequent mistake, before GStreamer wraps it in its own.
                let meta = std::fs::metadata(path).map_err(|e| DisconnectReason::NotFound(e.to_string()))?;
                if !meta.is_file() {
                    return Err(DisconnectReason::NotFound("this is not a file".to_owned()));
                }
                if meta.len() == 0 {
                    return Err(DisconnectReason::Corrupt("the file is empty".to_owned()));
                }
                Some(path.clone())
            }
            CameraSource::Usb { device, .. } => {
                // Whatever is wrong, GStreamer only says that it cannot be opened.
                OpenOptions::new().read(true).write(true).open(device).map_err(|e| failure::unopened(&e))?;
                None
            }
            CameraSource::Rtsp { .. } => None,
        };
        let built = build::build(source, mounting, over_udp, attention)?;
        Self::start(built, build::kind(source), path, stall_limit, clock)
    }

    /// Starts a built pipeline.
    pub(super) fn start(
        built: build::Built,
        kind: SourceKind,
        path: Option<std::path::PathBuf>,
        stall_limit: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DisconnectReason> {
        let build::Built { pipeline, sink, intake } = built;
        let bus = pipeline.bus().ok_or_else(|| DisconnectReason::Broken("a pipeline without a bus".to_owned()))?;
        let mut stream = Self {
            pipeline,
            bus,
            sink,
            intake,
            arrived: (0, None),
            kind,
            path,
            stall_limit,
            clock,
            timeline: Timeline::new(kind != SourceKind::File),
            format: None,
            info: StreamInfo::default(),
            frames: 0,
            last_media: MediaTime(0),
            shown: None,
            unsupported: None,
        };
        if stream.pipeline.set_state(gst::State::Playing).is_err() {
            // The reason is on the bus.
            stream.check_bus()?;
            return Err(DisconnectReason::Broken("the pipeline does not start".to_owned()));
        }
        Ok(stream)
    }

    /// The next frame. Blocks until there is one, the source fails, nothing came for the stall limit, or `stopped` says so.
    pub(super) fn next(&mut self, stopped: &dyn Fn() -> bool) -> Result<DecodedFrame, DisconnectReason> {
        // From here, not from the last frame: the caller may have been blocked by the lane since.
        let asked = self.clock.mono();
        // What comes is a sign of life, though it is held undecoded.
        let (mut heard, mut came) = (asked, self.intake.came());
        loop {
            let waits = self.frames == 0 || self.kind == SourceKind::File || self.intake.is_waiting();
            let limit = if waits { FIRST_FRAME_LIMIT } else { self.stall_limit };
            if stopped() {
                return Err(DisconnectReason::Shutdown);
            }
            if let Some(sample) = self.sink.try_pull_sample(PULL) {
                return self.frame(&sample);
            }
            self.check_bus()?;
            if self.sink.is_eos() {
                return Err(self.end());
            }
            let now = self.clock.mono();
            let arrived = self.intake.arrived();
            if std::mem::replace(&mut self.arrived.0, arrived) != arrived {
                self.arrived.1 = Some(now);
            }
            if self.intake.is_holding() && std::mem::replace(&mut came, self.intake.came()) != came {
                heard = now;
            }
            let silent = now.since(heard);
            if silent >= GIF_END && self.info.codec == "image/gst-libav-gif" {
                return Err(DisconnectReason::Eos);
            }
            if silent >= limit || now.since(asked) >= limit.max(FIRST_FRAME_LIMIT) {
                // Once in a while GStreamer waits for ever for what was cut off, instead of saying so.
                return Err(self.cut().unwrap_or_else(|| self.no_frame_for(now.since(asked))));
            }
        }
    }

    /// What it means that there was no frame for so long.
    pub(super) fn no_frame_for(&self, time: Duration) -> DisconnectReason {
        let now = self.clock.mono();
        match self.arrived.1 {
            Some(last) if now.since(last) < LATELY => DisconnectReason::Undecodable(time),
            _ => DisconnectReason::Stalled(time),
        }
    }

    /// Tells which frames are not analysed after the last one: they need not come out.
    pub(super) fn rest(&self, idle: Idle) {
        let until = self.shown.map_or(Duration::ZERO, |shown| shown.saturating_add(idle.left));
        self.intake.rest(Rest { until, each: idle.each });
    }

    /// What is known about the stream; complete from the first frame on.
    pub(super) fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// What of it is not decoded.
    pub(super) fn intake(&self) -> &Intake {
        &self.intake
    }

    fn frame(&mut self, sample: &gst::Sample) -> Result<DecodedFrame, DisconnectReason> {
        let (received, wall) = (self.clock.mono(), self.clock.wall());
        let broken = |text: &str| DisconnectReason::Broken(text.to_owned());
        let caps = sample.caps_owned().ok_or_else(|| broken("a frame without a format"))?;
        let changed = self.take_format(&caps)?;
        let Some((_, video)) = &self.format else { return Err(broken("a frame without a format")) };
        let buffer = sample.buffer_owned().ok_or_else(|| broken("a frame without pixels"))?;

        // A recording stays one recording, and is dated by its media time.
        if changed && self.kind != SourceKind::File {
            self.timeline.restart();
        }
        // Stamps are of the segment, which for a file may begin anywhere.
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let pts = buffer.pts().map(|pts| segment.and_then(|s| s.to_running_time(pts)).unwrap_or(pts).nseconds());
        self.shown = pts.map(Duration::from_nanos);
        let placed = self.timeline.place(pts, buffer.duration().map(gst::ClockTime::nseconds), received);
        let behind = match sample.segment() {
            Some(segment) if self.kind == SourceKind::Rtsp => late::age(self.sink.upcast_ref(), segment, buffer.pts()),
            _ => Duration::ZERO,
        };
        let ntp = ntp_of(&buffer);
        let stands_out = self.shown.is_some() && self.shown == self.intake.last_key();
        let image = GstImage::map(buffer, video).map_err(DisconnectReason::Broken)?;
        let anew = match (changed, placed.jumped) {
            (true, _) => Some(Anew::Size),
            (false, true) => Some(Anew::Clock),
            (false, false) => None,
        };
        let index = self.frames;
        self.frames += 1;
        self.last_media = placed.media;
        let (media, image) = (placed.media, Image::new(image));
        let unseen = self.intake.take_unseen();
        Ok(DecodedFrame { index, media, received, wall, behind, ntp, unseen, stands_out, image, anew })
    }

    /// Takes over the format of a frame; true when an earlier frame had another size or layout.
    fn take_format(&mut self, caps: &gst::Caps) -> Result<bool, DisconnectReason> {
        if self.format.as_ref().is_some_and(|(known, _)| known == caps) {
            return Ok(false);
        }
        let video = gst_video::VideoInfo::from_caps(caps)
            .map_err(|_| DisconnectReason::Broken("a frame in an unknown format".to_owned()))?;
        let (width, height) = (video.width(), video.height());
        // Compressed pictures that announce their size were refused before they were decoded; this is for the others.
        failure::check_size(width, height)?;
        let changed = self
            .format
            .as_ref()
            .is_some_and(|(_, v)| (v.width(), v.height(), v.format()) != (width, height, video.format()));
        let fps = video.fps();
        self.info = StreamInfo {
            width,
            height,
            fps: (fps.numer() > 0).then(|| f64::from(fps.numer()) / f64::from(fps.denom())),
            ..decoder_of(&self.pipeline)
        };
        self.format = Some((caps.clone(), video));
        Ok(changed)
    }

    /// Reads what GStreamer has to say; an error ends the stream.
    fn check_bus(&mut self) -> Result<(), DisconnectReason> {
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Element(element) => {
                    if let Some(reason) = element.structure().and_then(failure::told_by_us) {
                        return Err(reason);
                    }
                    if let Some(reason) = element.structure().and_then(failure::unsupported) {
                        self.unsupported = Some(reason);
                    }
                }
                gst::MessageView::Warning(warning) => {
                    tracing::debug!(text = %failure::Text(warning.error().message()), "gstreamer warning");
                }
                gst::MessageView::Error(error) => {
                    if let Some(decoder) = message.src().and_then(build::give_up_hardware) {
                        tracing::warn!(decoder, "a hardware decoder failed: from now on others are used in its place");
                    }
                    return Err(self.failed(&error.error()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What an error means here and now.
    fn failed(&mut self, error: &gst::glib::Error) -> DisconnectReason {
        if let (Some(reason), 0) = (self.unsupported.take(), self.frames) {
            return reason;
        }
        let reason = failure::classify(self.kind, error);
        match reason {
            // Damage in a file that is known to be cut is the cut.
            DisconnectReason::Corrupt(_) | DisconnectReason::Broken(_) => self.cut().unwrap_or(reason),
            other => other,
        }
    }

    /// What the end of the stream means.
    fn end(&mut self) -> DisconnectReason {
        if let Some(cut) = self.cut() {
            return cut;
        }
        match self.unsupported.take() {
            Some(reason) if self.frames == 0 => reason,
            _ if self.frames == 0 && self.kind == SourceKind::File => {
                DisconnectReason::Corrupt("there is no picture in it".to_owned())
            }
            _ => DisconnectReason::Eos,
        }
    }

    fn cut(&self) -> Option<DisconnectReason> {
        let missing_bytes = container::missing_bytes(self.path.as_deref()?).ok().filter(|&n| n > 0)?;
        let media = Duration::from_nanos(self.last_media.0);
        Some(DisconnectReason::Truncated { frames: self.frames, media, missing_bytes })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Nothing is left to do where this fails: the pipeline is dropped with us.
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("a pipeline does not stop");
        }
    }
}

/// The camera's own time of a frame, from its RTCP sender reports.
fn ntp_of(buffer: &gst::Buffer) -> Option<WallTime> {
    let meta = buffer
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find(|m| m.reference().structure(0).is_some_and(|s| s.name() == "timestamp/x-ntp"))?;
    let since_1970 = meta.timestamp().nseconds().checked_sub(NTP_TO_UNIX_S * 1_000_000_000)?;
    Some(WallTime::from_timestamp_nanos(i64::try_from(since_1970).ok()?))
}

/// Codec and decoder, as they stand in the running pipeline.
fn decoder_of(pipeline: &gst::Pipeline) -> StreamInfo {
    let mut info = StreamInfo::default();
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        let Some(factory) = element.factory() else { continue };
        let kind = factory.klass();
        if !kind.contains("Decoder") || !(kind.contains("Video") || kind.contains("Image")) {
            continue;
        }
        let caps = element.static_pad("sink").and_then(|p| p.current_caps());
        let name = caps.as_ref().and_then(|c| c.structure(0)).map(|s| s.name().to_string());
        info = StreamInfo {
            codec: name.unwrap_or_default(),
            decoder: factory.name().to_string(),
            hardware: build::is_hardware(&factory),
            ..info
        };
    }
    info
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rollcall_pipeline::config::RtspTransport;
    use rollcall_pipeline::{PixelFormat, SystemClock};
    use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};

    use super::*;

    #[test]
    fn a_webcam_gives_decoded_frames_until_it_is_unplugged() {
        let built = build::webcam_stand_in(12, (160, 120, 30)).unwrap();
        let clock = Arc::new(SystemClock);
        let mut stream = Stream::start(built, SourceKind::Usb, None, Duration::from_secs(2), clock).unwrap();
        for index in 0..12 {
            let frame = stream.next(&|| false).unwrap();
            let view = frame.image.view();
            assert_eq!((frame.index, view.width, view.height, view.format), (index, 160, 120, PixelFormat::I420));
        }
        assert_eq!(stream.info().codec, "image/jpeg");
        assert_eq!(stream.next(&|| false).err(), Some(DisconnectReason::Eos));
    }

    #[test]
    fn pictures_that_are_too_large_are_refused_before_they_are_decoded() {
        let built = build::webcam_stand_in(2, (9_000, 4_500, 1)).unwrap();
        let clock = Arc::new(SystemClock);
        let mut stream = Stream::start(built, SourceKind::Usb, None, Duration::from_secs(2), clock).unwrap();
        let refused = DisconnectReason::TooLarge { width: 9_000, height: 4_500 };
        assert_eq!(stream.next(&|| false).err(), Some(refused));
        // decodebin may have taken the decoder out again by now; if it is there, no size was ever agreed with it.
        assert_eq!(decoder_of(&stream.pipeline).codec, "", "the decoder never saw it");
    }

    /// Lets the element before the sink take `each` for every picture.
    fn slow_down(built: &build::Built, each: Duration) {
        let sink = built.sink.static_pad("sink").unwrap();
        let before = sink.peer().unwrap();
        before.unlink(&sink).unwrap();
        let slow = gst::ElementFactory::make("identity").build().unwrap();
        slow.set_property("sleep-time", u32::try_from(each.as_micros()).unwrap());
        built.pipeline.add(&slow).unwrap();
        before.link(&slow.static_pad("sink").unwrap()).unwrap();
        slow.link(&built.sink).unwrap();
    }

    #[test]
    fn pictures_of_a_decoder_that_is_too_slow_get_no_older_than_a_bound() {
        let format = Format { width: 320, height: 240, fps: 25, codec: Codec::H264 };
        let camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
        let address = camera.url().parse().unwrap();
        let source = CameraSource::Rtsp { address, transport: RtspTransport::Tcp, username: None, password: None };
        let built = build::build(&source, Mounting::default(), false, &Attention::default()).unwrap();
        // A quarter of what is sent.
        slow_down(&built, Duration::from_millis(160));
        let clock = Arc::new(SystemClock);
        let mut stream = Stream::start(built, SourceKind::Rtsp, None, Duration::from_secs(2), clock).unwrap();
        let frames: Vec<_> = (0..50).map(|_| stream.next(&|| false).unwrap()).collect();
        let oldest = frames.iter().map(|frame| frame.behind).max().unwrap();
        // Eight seconds that show two of the camera's, were nothing dropped.
        let bound = late::TOO_OLD + Duration::from_secs(1);
        assert!(oldest > Duration::from_millis(1_500) && oldest < bound, "{oldest:?}");
        assert!(stream.intake().take_late() > 25);
        let shown = frames[49].media.since(frames[0].media);
        assert!(shown > Duration::from_secs(5), "{shown:?}");
        assert!(frames.iter().all(|frame| frame.anew.is_none()));
    }

    #[test]
    fn a_stop_is_heard_while_nothing_comes() {
        let built = build::webcam_stand_in(-1, (160, 120, 1)).unwrap();
        let pad = built.sink.static_pad("sink").unwrap();
        let stall_limit = Duration::from_secs(60);
        let mut stream = Stream::start(built, SourceKind::Usb, None, stall_limit, Arc::new(SystemClock)).unwrap();
        stream.next(&|| false).unwrap();
        // Nothing more comes, and no end.
        pad.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| gst::PadProbeReturn::Ok);
        let asked = Cell::new(0);
        let stopped = || asked.replace(asked.get() + 1) > 0;
        assert_eq!(stream.next(&stopped).err(), Some(DisconnectReason::Shutdown));
    }
}
