//! Builds the GStreamer pipeline of a source: `source → decodebin → (videoflip) → videoconvert → appsink`.
//!
//! `decodebin` takes the highest-ranked decoder there is, so a hardware decoder where GStreamer has one, until that fails: see
//! [`give_up_hardware`]. The caps of the
//! sink name system memory, which makes such a decoder download its pictures itself. `videoconvert` passes I420 and NV12
//! through untouched; it works only for odd formats (10 bit, 4:2:2, RGB).

use std::path::Path;
use std::sync::{Arc, OnceLock};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_rtsp::rtsp_message::RTSPMessage;
use parking_lot::Mutex;
use rollcall_pipeline::attention::Attention;
use rollcall_pipeline::config::{CameraSource, Mounting, Rotation, RtspAddress, RtspTransport, Secret};

use super::failure::{self, DisconnectReason, SourceKind};
use super::intake::{self, Intake};
use super::login::Logins;

/// How long rtspsrc waits for a missing or late datagram; in order, nothing waits.
const JITTER_MS: u32 = 200;
/// An open port that answers nothing fails after this.
const TCP_TIMEOUT_US: u64 = 3_000_000;
/// Silence on UDP; the watchdog of the camera loop is faster, this one tells rtspsrc itself.
const UDP_TIMEOUT_US: u64 = 4_000_000;
/// Decoded pictures that may wait in the sink: one being pulled, one being made.
const SINK_BUFFERS: u32 = 2;

/// A pipeline that is not started yet.
pub(super) struct Built {
    pub(super) pipeline: gst::Pipeline,
    pub(super) sink: gst_app::AppSink,
    /// What of a live camera is not decoded; nothing is left out of a source that waits for its decoder.
    pub(super) intake: Arc<Intake>,
}

/// Which kind of errors to expect of a source.
pub(super) fn kind(source: &CameraSource) -> SourceKind {
    match source {
        CameraSource::Rtsp { .. } => SourceKind::Rtsp,
        CameraSource::Usb { .. } => SourceKind::Usb,
        CameraSource::File { .. } => SourceKind::File,
    }
}

/// Whether the other way of transport may be tried where one is refused.
pub(super) fn may_change_transport(source: &CameraSource) -> bool {
    matches!(source, CameraSource::Rtsp { transport: RtspTransport::Auto, .. })
}

/// Initialises GStreamer, once.
pub(super) fn init() -> Result<(), DisconnectReason> {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    READY
        .get_or_init(|| gst::init().map_err(|e| e.message().to_owned()))
        .clone()
        .map_err(DisconnectReason::MissingElement)
}

/// Builds the pipeline of a source. `over_udp` overrides [`RtspTransport::Auto`].
pub(super) fn build(
    source: &CameraSource,
    mounting: Mounting,
    over_udp: bool,
    attention: &Attention,
) -> Result<Built, DisconnectReason> {
    init()?;
    let pipeline = gst::Pipeline::new();
    let decode = decoder(&pipeline)?;
    let intake = Arc::default();
    if let Some(pad) = decode.static_pad("sink") {
        intake::count(&pad, &intake);
    }
    let realtime = match source {
        CameraSource::Rtsp { address, transport, username, password } => {
            let udp = over_udp || *transport == RtspTransport::Udp;
            let credentials = username.as_deref().zip(password.as_ref());
            rtsp(&pipeline, &decode, address, udp, credentials)?;
            intake::watch(&pipeline, &intake, attention);
            false
        }
        CameraSource::Usb { device, width, height, fps } => {
            usb(&pipeline, &decode, device, *width, *height, *fps)?;
            false
        }
        CameraSource::File { path, realtime, .. } => {
            let source = make("filesrc")?;
            source.set_property("location", path);
            add(&pipeline, &[&source])?;
            source.link(&decode).map_err(|e| DisconnectReason::Corrupt(e.to_string()))?;
            *realtime
        }
    };
    let sink = tail(&pipeline, &decode, mounting, matches!(source, CameraSource::File { .. }), realtime)?;
    Ok(Built { pipeline, sink, intake })
}

fn make(factory: &str) -> Result<gst::Element, DisconnectReason> {
    gst::ElementFactory::make(factory).build().map_err(|_| DisconnectReason::MissingElement(factory.to_owned()))
}

fn add(pipeline: &gst::Pipeline, elements: &[&gst::Element]) -> Result<(), DisconnectReason> {
    pipeline.add_many(elements).map_err(|e| DisconnectReason::Broken(e.to_string()))
}

/// The pictures that may reach the sink: in system memory, in the decoders' own formats.
fn wanted() -> gst::Caps {
    gst::Caps::builder("video/x-raw").field("format", gst::List::new(["I420", "NV12"])).build()
}

fn decoder(pipeline: &gst::Pipeline) -> Result<gst::Element, DisconnectReason> {
    let decode = make("decodebin")?;
    let raw = gst::Caps::builder("video/x-raw").any_features().build();
    decode.set_property("caps", &raw);
    // Sound and subtitles are not decoded.
    decode.set_property("expose-all-streams", false);
    pipeline.connect_deep_element_added(|_, _, element| tune(element));
    add(pipeline, &[&decode])?;
    Ok(decode)
}

/// Whether an element decodes by itself: `decodebin`, which has others do it, calls itself a decoder, too.
pub(super) fn is_decoder(element: &gst::Element) -> bool {
    !element.is::<gst::Bin>() && element.factory().is_some_and(|f| f.has_type(gst::ElementFactoryType::DECODER))
}

/// Where a hardware decoder complains, nobody in this process is given one like it again: `decodebin` would take it at each
/// attempt, and it would fail at each. Says which one.
pub(super) fn give_up_hardware(complaining: &gst::Object) -> Option<String> {
    let mut at = Some(complaining.clone());
    while let Some(object) = at {
        let factory = object.downcast_ref::<gst::Element>().and_then(|element| element.factory());
        if let Some(factory) = factory.filter(is_hardware) {
            factory.set_rank(gst::Rank::NONE);
            return Some(factory.name().to_string());
        }
        at = object.parent();
    }
    None
}

/// Whether what it makes is a decoder in hardware, by its own word.
pub(super) fn is_hardware(factory: &gst::ElementFactory) -> bool {
    let kind = factory.klass();
    kind.contains("Decoder") && kind.contains("Hardware")
}

/// One thread for each decoder: cameras are many and cores are few, and frame threads only add delay.
fn tune(element: &gst::Element) {
    if !is_decoder(element) {
        return;
    }
    if let Some(pad) = element.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, probe| match &probe.data {
            Some(gst::PadProbeData::Event(event)) => refuse_if_large(pad, event),
            _ => gst::PadProbeReturn::Ok,
        });
    }
    for threads in ["max-threads", "threads", "n-threads"] {
        if element.find_property(threads).is_some() {
            element.set_property_from_str(threads, "1");
        }
    }
    // A burst of damaged pictures is a gap, not the end; of a stream of nothing else the watchdog knows that it comes.
    if element.find_property("max-errors").is_some() {
        element.set_property_from_str("max-errors", "-1");
    }
}

/// Keeps pictures that are announced as too large from the decoder, and tells the bus why.
fn refuse_if_large(pad: &gst::Pad, event: &gst::Event) -> gst::PadProbeReturn {
    let gst::EventView::Caps(caps) = event.view() else { return gst::PadProbeReturn::Ok };
    let announced = caps.caps().structure(0).and_then(|s| {
        let side = |name| s.get::<i32>(name).ok().and_then(|v| u32::try_from(v).ok());
        Some((side("width")?, side("height")?))
    });
    let (Some((width, height)), Some(element)) = (announced, pad.parent_element()) else {
        return gst::PadProbeReturn::Ok;
    };
    let Err(reason) = failure::check_size(width, height) else { return gst::PadProbeReturn::Ok };
    // Nobody listens only while the pipeline is taken down.
    if element.post_message(failure::too_large_message(&element, width, height)).is_err() {
        tracing::debug!(%reason, "nobody hears it");
    }
    // Consumed here: the bindings give `Drop` nothing to drop.
    gst::PadProbeReturn::Handled
}

fn rtsp(
    pipeline: &gst::Pipeline,
    decode: &gst::Element,
    address: &RtspAddress,
    udp: bool,
    credentials: Option<(&str, &Secret)>,
) -> Result<(), DisconnectReason> {
    let source = make("rtspsrc")?;
    source.set_property("location", address.as_str());
    source.set_property("latency", JITTER_MS);
    source.set_property("tcp-timeout", TCP_TIMEOUT_US);
    source.set_property("timeout", UDP_TIMEOUT_US);
    source.set_property_from_str("protocols", if udp { "udp" } else { "tcp" });
    // RTCP sender reports carry the camera's own clock; it comes out as a meta on every frame.
    if source.find_property("add-reference-timestamp-meta").is_some() {
        source.set_property("add-reference-timestamp-meta", true);
    }
    if let Some((user, password)) = credentials {
        source.set_property("user-id", user);
        source.set_property("user-pw", password.expose());
    }
    tell_once(&source);
    source.connect("accept-certificate", false, |args| {
        // Asked only about one that is not trusted.
        let source = args.first().and_then(|v| v.get::<gst::Element>().ok());
        if let (Some(source), Some(flaws)) = (source, args.get(3))
            && source.post_message(failure::untrusted_message(&source, flaws)).is_err()
        {
            tracing::debug!("nobody hears of a certificate that is not trusted");
        }
        Some(false.to_value())
    });
    let chosen = std::sync::atomic::AtomicBool::new(false);
    source.connect("select-stream", false, move |args| {
        let caps = args.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        let video = caps.is_some_and(|c| is_video(&c));
        let first = video && !chosen.swap(true, std::sync::atomic::Ordering::Relaxed);
        Some(first.to_value())
    });
    let weak = decode.downgrade();
    source.connect_pad_added(move |_, pad| {
        let target = weak.upgrade().and_then(|d| d.static_pad("sink")).filter(|p| !p.is_linked());
        if let Some(target) = target
            && let Err(error) = pad.link(&target)
        {
            tracing::warn!(?error, "an rtsp stream cannot be linked");
        }
    });
    add(pipeline, &[&source])
}

/// Keeps rtspsrc from saying a refused password again.
fn tell_once(source: &gst::Element) {
    let logins = Arc::new(Mutex::new(Logins::default()));
    let told = Arc::clone(&logins);
    source.connect("on-sdp", false, move |_| {
        told.lock().let_in();
        None
    });
    source.connect("before-send", false, move |args| {
        // The header is put in as a request is sent: who has it here was sent before.
        let request = args.get(1).and_then(|v| v.get::<RTSPMessage>().ok());
        let refused = request.is_some_and(|request| !request.parse_auth_credentials().is_empty());
        Some(logins.lock().may_send(refused).to_value())
    });
}

fn is_video(caps: &gst::Caps) -> bool {
    caps.structure(0).is_some_and(|s| s.get::<&str>("media").is_ok_and(|m| m == "video"))
}

fn usb(
    pipeline: &gst::Pipeline,
    decode: &gst::Element,
    device: &Path,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<u32>,
) -> Result<(), DisconnectReason> {
    let source = make("v4l2src")?;
    source.set_property("device", device.to_string_lossy().as_ref());
    webcam(pipeline, decode, source, width, height, fps)
}

/// A source that offers several formats, held to the wanted ones.
fn webcam(
    pipeline: &gst::Pipeline,
    decode: &gst::Element,
    source: gst::Element,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<u32>,
) -> Result<(), DisconnectReason> {
    let size = [("width", width), ("height", height)];
    let caps: gst::Caps = ["image/jpeg", "video/x-raw", "video/x-h264"]
        .into_iter()
        .map(|media| {
            let mut one = gst::Structure::builder(media);
            for (field, value) in size {
                one = one.field_if_some(field, value.and_then(|v| i32::try_from(v).ok()));
            }
            let rate = fps.and_then(|v| i32::try_from(v).ok()).map(|v| gst::Fraction::new(v, 1));
            one.field_if_some("framerate", rate).build()
        })
        .collect();
    let filter = make("capsfilter")?;
    filter.set_property("caps", &caps);
    add(pipeline, &[&source, &filter])?;
    gst::Element::link_many([&source, &filter, decode]).map_err(|e| DisconnectReason::Broken(e.to_string()))
}

/// The `video-direction` that undoes a mounting: turned clockwise first, then mirrored.
fn direction(mounting: Mounting) -> Option<&'static str> {
    match (mounting.rotate, mounting.mirror) {
        (Rotation::None, false) => None,
        (Rotation::None, true) => Some("horiz"),
        (Rotation::Quarter, false) => Some("90r"),
        (Rotation::Quarter, true) => Some("ul-lr"),
        (Rotation::Half, false) => Some("180"),
        (Rotation::Half, true) => Some("vert"),
        (Rotation::ThreeQuarters, false) => Some("90l"),
        (Rotation::ThreeQuarters, true) => Some("ur-ll"),
    }
}

/// Everything behind the decoder. `tagged` also obeys the orientation tags that phones write into files.
fn tail(
    pipeline: &gst::Pipeline,
    decode: &gst::Element,
    mounting: Mounting,
    tagged: bool,
    realtime: bool,
) -> Result<gst_app::AppSink, DisconnectReason> {
    let mut chain = Vec::new();
    for direction in tagged.then_some("auto").into_iter().chain(direction(mounting)) {
        let flip = make("videoflip")?;
        // Only one whose direction has changed lets pictures that need no turning through: else it copies each of them.
        flip.set_property_from_str("video-direction", "180");
        flip.set_property_from_str("video-direction", direction);
        chain.push(flip);
    }
    chain.push(make("videoconvert")?);
    let sink = gst_app::AppSink::builder()
        .caps(&wanted())
        .max_buffers(SINK_BUFFERS)
        // Only the mux may drop.
        .drop(false)
        .sync(realtime)
        .qos(false)
        .enable_last_sample(false)
        .build();
    chain.push(sink.clone().upcast());
    let elements: Vec<&gst::Element> = chain.iter().collect();
    add(pipeline, &elements)?;
    gst::Element::link_many(&elements).map_err(|e| DisconnectReason::Broken(e.to_string()))?;
    let weak = chain[0].downgrade();
    decode.connect_pad_added(move |_, pad| {
        let target = weak.upgrade().and_then(|e| e.static_pad("sink")).filter(|p| !p.is_linked());
        if let Some(target) = target
            && let Err(error) = pad.link(&target)
        {
            tracing::warn!(?error, "a decoder cannot be linked");
        }
    });
    Ok(sink)
}

/// A webcam that is unplugged after `frames` frames: everything of a USB camera but the device.
#[cfg(test)]
pub(super) fn webcam_stand_in(frames: i32, wanted: (u32, u32, u32)) -> Result<Built, DisconnectReason> {
    init()?;
    let pipeline = gst::Pipeline::new();
    let decode = decoder(&pipeline)?;
    let line = format!("videotestsrc is-live=true num-buffers={frames} ! jpegenc");
    let source = gst::parse::bin_from_description(&line, true).map_err(|e| DisconnectReason::Broken(e.to_string()))?;
    webcam(&pipeline, &decode, source.upcast(), Some(wanted.0), Some(wanted.1), Some(wanted.2))?;
    let sink = tail(&pipeline, &decode, Mounting::default(), false, false)?;
    Ok(Built { pipeline, sink, intake: Arc::default() })
}

#[cfg(test)]
mod tests {
    use gstreamer_rtsp::RTSPUrl;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gstreamer_goes_where_the_address_leads(text in "rtsps?://[a-z0-9:@#?/%\\\\\\[\\] .]{1,40}") {
            init().unwrap();
            if let Ok(address) = text.parse::<RtspAddress>()
                && let (_, Some(url)) = RTSPUrl::parse(address.as_str())
            {
                let theirs = url.request_uri().parse::<RtspAddress>().unwrap();
                let place = |address: &RtspAddress| (address.server().host.clone(), address.server().port);
                prop_assert_eq!(place(&theirs), place(&address), "{}", text);
            }
        }
    }
}
