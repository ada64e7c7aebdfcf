//! Why a stream ended, in words that say what to do, and what a retry would bring.

use std::fmt;
use std::io;
use std::time::Duration;

use gstreamer as gst;
use rollcall_pipeline::{CameraId, ErrorClass};

/// Why a stream ended or never began.
///
/// The texts name the thing at fault and carry no address and no credential; [`DisconnectReason::explain`] adds what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// The end of a file; for a live source the far side hung up.
    #[error("the stream ended")]
    Eos,
    /// Connected, but nothing came for this long.
    #[error("no frame for {:.1} s", .0.as_secs_f32())]
    Stalled(Duration),
    /// Something came for this long, and nothing that came made a frame.
    #[error("no frame in {:.1} s of what the camera sends", .0.as_secs_f32())]
    Undecodable(Duration),
    /// Nobody listens, the host is unknown or does not answer.
    #[error("no connection: {0}")]
    Refused(String),
    /// User or password are wrong or missing.
    #[error("the camera refuses user or password")]
    Unauthorized,
    /// Encrypted, and nobody whom this machine trusts vouches for who answers.
    #[error("the camera's certificate is not trusted: {0}")]
    Untrusted(String),
    /// There is no such stream or file.
    #[error("not found: {0}")]
    NotFound(String),
    /// There is no such device now; a camera on a cable may be plugged in at any time.
    #[error("not plugged in: {0}")]
    Unplugged(String),
    /// The device is there, and is not for us.
    #[error("the device may not be opened: {0}")]
    Forbidden(String),
    /// Somebody else uses the device.
    #[error("the device is in use")]
    Busy,
    /// The camera does not offer video over this way of transport, or none at all.
    #[error("the camera offers no video over this transport")]
    Transport,
    /// There is no decoder for what it sends.
    #[error("no decoder for {codec}")]
    Unsupported {
        /// The codec, as well as it is known.
        codec: String,
        /// The Debian package that brings a decoder, where there is one.
        package: Option<&'static str>,
    },
    /// The picture is larger than anything a camera sends.
    #[error("pictures of {width}x{height} are too large")]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A file that is shorter than it says; every frame up to the cut was delivered.
    #[error("the file is cut off: {frames} frames ({:.1} s) were read, {missing_bytes} bytes are missing", .media.as_secs_f32())]
    Truncated {
        /// Frames delivered before the cut.
        frames: u64,
        /// Media time of the last of them.
        media: Duration,
        /// Bytes the container announces and the file lacks.
        missing_bytes: u64,
    },
    /// What comes in is not video, or is damaged beyond reading.
    #[error("unreadable: {0}")]
    Corrupt(String),
    /// The transfer broke off in the middle.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// GStreamer itself, or a plugin of it, is missing on this machine.
    #[error("GStreamer element {0} is missing")]
    MissingElement(String),
    /// The camera's stream before this one has not ended yet.
    #[error("frames of this camera come from another connection already")]
    Overlap,
    /// We were told to stop.
    #[error("shutting down")]
    Shutdown,
}

impl DisconnectReason {
    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unauthorized
            | Self::Untrusted(_)
            | Self::NotFound(_)
            | Self::Unsupported { .. }
            | Self::TooLarge { .. }
            | Self::Truncated { .. }
            | Self::MissingElement(_) => ErrorClass::Permanent,
            // A camera that reboots may send anything for a while, so even nonsense is worth a retry; and a device is given to
            // its group a moment after it was plugged in.
            Self::Eos
            | Self::Stalled(_)
            | Self::Undecodable(_)
            | Self::Refused(_)
            | Self::Unplugged(_)
            | Self::Forbidden(_)
            | Self::Busy
            | Self::Overlap
            | Self::Transport
            | Self::Corrupt(_)
            | Self::Broken(_)
            | Self::Shutdown => ErrorClass::Transient,
        }
    }

    /// One word, for metric labels and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::Stalled(_) => "stalled",
            Self::Undecodable(_) => "undecodable",
            Self::Refused(_) => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Untrusted(_) => "untrusted",
            Self::NotFound(_) => "not_found",
            Self::Unplugged(_) => "unplugged",
            Self::Forbidden(_) => "forbidden",
            Self::Busy => "busy",
            Self::Overlap => "overlap",
            Self::Transport => "transport",
            Self::Unsupported { .. } => "unsupported",
            Self::TooLarge { .. } => "too_large",
            Self::Truncated { .. } => "truncated",
            Self::Corrupt(_) => "corrupt",
            Self::Broken(_) => "broken",
            Self::MissingElement(_) => "missing_element",
            Self::Shutdown => "shutdown",
        }
    }

    /// The reason with what the operator can do about it, naming the configuration keys of `camera`.
    pub fn explain(&self, camera: &CameraId) -> String {
        let advice = match self {
            Self::Eos => {
                "the camera closed the connection: it restarts, or too many others are connected to it".to_owned()
            }
            Self::Stalled(_) => {
                "the camera is connected but sends nothing: check its network, restart it if it stays so".to_owned()
            }
            Self::Undecodable(_) => format!(
                "set the camera to H.264 (profile main or high, not encrypted) with a key frame every second, or \
                 use another of its streams in camera {camera}"
            ),
            Self::Refused(_) => format!(
                "check that the camera has power and network, and the address in the streams of camera {camera}"
            ),
            Self::Unauthorized => format!("check username and password of camera {camera}"),
            Self::Untrusted(_) => format!(
                "install the authority that signed it on this machine, or give camera {camera} another certificate, and restart \
                 rollcall"
            ),
            Self::NotFound(_) => format!("check the address or file in the streams of camera {camera}"),
            Self::Unplugged(_) => format!("plug it in, or check the device in the streams of camera {camera}"),
            Self::Forbidden(_) => {
                "add the user that runs rollcall to the group video (in a container: --group-add video), and restart it"
                    .to_owned()
            }
            Self::Overlap => "it is tried again; restart rollcall if it stays so".to_owned(),
            Self::Busy => "end the other program that uses the device".to_owned(),
            Self::Transport => format!("set transport of camera {camera} to auto, or to the other of tcp and udp"),
            Self::Unsupported { package: Some(package), .. } => {
                format!("install the package {package}, or set the camera to H.264, H.265 or MJPEG")
            }
            Self::Unsupported { package: None, .. } => "set the camera to H.264, H.265 or MJPEG".to_owned(),
            Self::TooLarge { .. } => "set a smaller picture in the camera, or use its second stream".to_owned(),
            Self::Truncated { .. } => "copy the file again from where it was recorded".to_owned(),
            Self::Corrupt(_) => "check that this is a video, and that the address belongs to a camera".to_owned(),
            Self::Broken(_) => "check the network between here and the camera".to_owned(),
            Self::MissingElement(_) => "run `make setup`, which installs the GStreamer packages".to_owned(),
            Self::Shutdown => return self.to_string(),
        };
        format!("{self}; {advice}")
    }
}

/// What kind of source an error comes from: the same GStreamer error means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    Rtsp,
    Usb,
    File,
}

/// Larger pictures (8K is 33 million pixels) are no camera's; decoding them would exhaust the memory.
const MAX_PIXELS: u64 = 36_000_000;
/// Name of our own message about them.
const TOO_LARGE: &str = "rollcall-too-large";
/// Name of our own message about certificates.
const UNTRUSTED: &str = "rollcall-untrusted";

/// Holds a picture to the largest size there is.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), DisconnectReason> {
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(DisconnectReason::TooLarge { width, height });
    }
    Ok(())
}

/// How the thread that sees the size first tells the one that waits for frames.
pub(super) fn too_large_message(from: &gst::Element, width: u32, height: u32) -> gst::Message {
    let about = gst::Structure::builder(TOO_LARGE).field("width", width).field("height", height).build();
    gst::message::Element::builder(about).src(from).build()
}

/// Reads [`too_large_message`].
fn too_large(message: &gst::StructureRef) -> Option<DisconnectReason> {
    if message.name() != TOO_LARGE {
        return None;
    }
    Some(DisconnectReason::TooLarge { width: message.get("width").ok()?, height: message.get("height").ok()? })
}

/// How the thread that sees a certificate tells the one that waits for frames; `flaws` are GIO's.
pub(super) fn untrusted_message(from: &gst::Element, flaws: &gst::glib::Value) -> gst::Message {
    let flaws = gst::glib::FlagsValue::from_value(flaws).map(|(_, flaws)| flaws).unwrap_or_default();
    // There is a word for all of them together, too.
    let single = flaws.iter().filter(|flaw| flaw.value().is_power_of_two());
    let flaws: Vec<_> = single.map(|flaw| in_words(flaw.nick())).collect();
    let about = gst::Structure::builder(UNTRUSTED).field("flaws", flaws.join(", ")).build();
    gst::message::Element::builder(about).src(from).build()
}

/// Reads [`untrusted_message`].
fn untrusted(message: &gst::StructureRef) -> Option<DisconnectReason> {
    (message.name() == UNTRUSTED).then(|| DisconnectReason::Untrusted(message.get("flaws").unwrap_or_default()))
}

/// What is wrong with a certificate.
fn in_words(flaw: &str) -> &str {
    match flaw {
        "unknown-ca" => "nobody known has signed it",
        "bad-identity" => "it is for another address",
        "not-activated" => "it is not valid yet",
        "expired" => "it has expired",
        "revoked" => "it was revoked",
        "insecure" => "its signature is too weak",
        other => other,
    }
}

/// Reads what other threads of ours say ends a stream.
pub(super) fn told_by_us(message: &gst::StructureRef) -> Option<DisconnectReason> {
    too_large(message).or_else(|| untrusted(message))
}

/// The message "a plugin is missing" that precedes the error about it.
pub(super) fn unsupported(message: &gst::StructureRef) -> Option<DisconnectReason> {
    if message.name() != "missing-plugin" {
        return None;
    }
    let caps = message.get::<gst::Caps>("detail").ok();
    let kind = caps.as_ref().and_then(|c| c.structure(0));
    let name = kind.map_or("", |s| s.name().as_str());
    if name.starts_with("audio/") || name.starts_with("text/") || name.starts_with("subpicture/") {
        return None;
    }
    if name == "application/x-rtp" {
        let codec = kind.and_then(|s| s.get::<String>("encoding-name").ok()).unwrap_or_else(|| "its codec".to_owned());
        return Some(DisconnectReason::Unsupported { codec, package: None });
    }
    let codec = message.get::<String>("name").unwrap_or_else(|_| name.to_owned());
    Some(DisconnectReason::Unsupported { codec, package: package_for(name) })
}

/// The Debian package whose decoder takes these caps.
fn package_for(caps: &str) -> Option<&'static str> {
    Some(match caps {
        "video/x-vp8" | "video/x-vp9" | "image/jpeg" | "image/png" => "gstreamer1.0-plugins-good",
        "video/x-av1" | "video/x-wmv-raw" => "gstreamer1.0-plugins-bad",
        "video/x-theora" => "gstreamer1.0-plugins-base",
        name if name.starts_with("video/") || name.starts_with("image/") => "gstreamer1.0-libav",
        _ => return None,
    })
}

/// What it means that a device cannot be opened.
pub(super) fn unopened(error: &io::Error) -> DisconnectReason {
    match error.kind() {
        io::ErrorKind::PermissionDenied => DisconnectReason::Forbidden(error.to_string()),
        io::ErrorKind::ResourceBusy => DisconnectReason::Busy,
        _ => DisconnectReason::Unplugged(error.to_string()),
    }
}

/// What a GStreamer error means for a source of this kind.
pub(super) fn classify(kind: SourceKind, error: &gst::glib::Error) -> DisconnectReason {
    use gst::{ResourceError as R, StreamError as S};
    let text = Text(error.message());
    if let Some(code) = error.kind::<R>() {
        return match (kind, code) {
            (_, R::NotAuthorized) if kind == SourceKind::Rtsp => DisconnectReason::Unauthorized,
            (SourceKind::Usb, R::NotFound | R::OpenRead | R::OpenWrite | R::OpenReadWrite) => {
                DisconnectReason::Unplugged(text.to_string())
            }
            (_, R::NotFound | R::NotAuthorized) => DisconnectReason::NotFound(text.to_string()),
            (_, R::Busy) => DisconnectReason::Busy,
            (SourceKind::Rtsp, R::Settings) => DisconnectReason::Transport,
            (SourceKind::Rtsp, R::OpenRead | R::OpenWrite | R::OpenReadWrite) => {
                DisconnectReason::Refused(text.to_string())
            }
            (_, R::OpenRead | R::OpenWrite | R::OpenReadWrite) => DisconnectReason::NotFound(text.to_string()),
            _ => DisconnectReason::Broken(text.to_string()),
        };
    }
    match error.kind::<S>() {
        // rtspsrc's word for "every stream was refused"; a codec without decoder was named before.
        Some(S::CodecNotFound) if kind == SourceKind::Rtsp => DisconnectReason::Transport,
        Some(S::CodecNotFound) => {
            DisconnectReason::Unsupported { codec: "this kind of video".to_owned(), package: None }
        }
        Some(S::Failed) if kind != SourceKind::File => DisconnectReason::Broken(text.to_string()),
        Some(_) => DisconnectReason::Corrupt(text.to_string()),
        // A missing video decoder was named before; what is left is a recording of sound, or a page of text.
        None if error.matches(gst::CoreError::MissingPlugin) => {
            DisconnectReason::Corrupt("there is no video in it".to_owned())
        }
        None if error.is::<gst::CoreError>() => DisconnectReason::MissingElement(text.to_string()),
        None => DisconnectReason::Broken(text.to_string()),
    }
}

/// A text of GStreamer's, made to fit: one line, bounded, without an address (an address may carry a password).
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for word in self.0.split_whitespace().take(30) {
            let word = if word.contains("://") || word.len() > 100 { "(address)" } else { word };
            if !std::mem::take(&mut first) {
                f.write_str(" ")?;
            }
            f.write_str(word.trim_end_matches('.'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_never_carry_an_address() {
        let text = Text("Could not open \"rtsp://bob:secret@10.0.0.1/s\"\n for reading.").to_string();
        assert_eq!(text, "Could not open (address) for reading");
    }

    #[test]
    fn a_missing_stream_is_a_mistake_and_a_missing_device_is_not_plugged_in() {
        let class = |kind, code| classify(kind, &gst::glib::Error::new(code, "x")).class();
        for code in [gst::ResourceError::NotFound, gst::ResourceError::OpenRead] {
            assert_eq!(class(SourceKind::Usb, code), ErrorClass::Transient);
        }
        assert_eq!(class(SourceKind::Rtsp, gst::ResourceError::NotFound), ErrorClass::Permanent);
        assert_eq!(class(SourceKind::File, gst::ResourceError::NotFound), ErrorClass::Permanent);
    }

    #[test]
    fn a_device_that_may_not_be_opened_is_plugged_in() {
        let reason = |kind: io::ErrorKind| unopened(&io::Error::from(kind));
        assert_eq!(reason(io::ErrorKind::ResourceBusy), DisconnectReason::Busy);
        assert_eq!(reason(io::ErrorKind::NotFound).as_str(), "unplugged");
        let forbidden = reason(io::ErrorKind::PermissionDenied);
        assert_eq!((forbidden.as_str(), forbidden.class()), ("forbidden", ErrorClass::Transient));
        let text = forbidden.explain(&CameraId::new("desk"));
        assert!(text.contains("may not be opened") && text.contains("to the group video"), "{text}");
    }

    #[test]
    fn video_that_nobody_can_decode_is_another_matter_than_silence() {
        let text = DisconnectReason::Undecodable(Duration::from_secs(2)).explain(&CameraId::new("door-1"));
        assert!(text.starts_with("no frame in 2.0 s of what the camera sends; set the camera to H.264"), "{text}");
        assert!(text.ends_with("another of its streams in camera door-1") && !text.contains("network"), "{text}");
    }

    #[test]
    fn explanations_name_the_camera() {
        let text = DisconnectReason::Unauthorized.explain(&CameraId::new("door-1"));
        assert_eq!(text, "the camera refuses user or password; check username and password of camera door-1");
    }
}
