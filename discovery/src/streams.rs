//! Asks an ONVIF device where its streams are: the few calls of its device and media services that this takes.
//!
//! The password goes as a digest (WS-UsernameToken), which whoever receives it may try to guess: nobody is asked but the host
//! that the caller names, whatever it answers, and no redirect is followed. Best effort: a device that only knows HTTP's own
//! digest, or only TLS, is not understood.

use std::ops::ControlFlow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{NaiveDate, TimeDelta};
use quick_xml::escape::escape;
use rollcall_pipeline::config::Secret;
use rollcall_pipeline::{Clock, ErrorClass, MonoTime};
use sha1::{Digest, Sha1};
use ureq::Agent;
use url::Url;
use uuid::Uuid;

use crate::message::clean;
use crate::xml::{self, Node, Unreadable};

/// Profiles of one device; most have two or three.
const MAX_PROFILES: usize = 8;
/// Bytes of an answer; one with many profiles has some ten thousand.
const MAX_ANSWER: u64 = 512 * 1024;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// A stream that a device offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOffer {
    /// The device's own name for it.
    pub profile: String,
    /// The name that people gave it.
    pub name: Option<String>,
    /// Such as `H264`.
    pub codec: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// `rtsp://…`, without credentials, at the host that was asked.
    pub url: Url,
}

/// Why no stream is known.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// Not the address of a device service.
    #[error("only http addresses can be asked: enter the address of the stream by hand")]
    Address,
    /// Nobody answers.
    #[error("no connection: {0}; check the address and that the camera has power and network")]
    Unreachable(String),
    /// User or password are wrong or missing.
    #[error("the camera refuses user or password; check both, some cameras have other users for ONVIF")]
    Unauthorized,
    /// It answers, but not to that.
    #[error(
        "the camera refuses to say (status {0}): switch ONVIF on in it, or enter the address of the stream by hand"
    )]
    Refused(u16),
    /// It answers something else.
    #[error("what answers there is no ONVIF device ({0}): check the address, or enter that of the stream by hand")]
    Unreadable(String),
    /// It has none.
    #[error("the device offers no RTSP stream: switch one on in it, or enter an address that its manual has")]
    None,
    /// It takes too long.
    #[error("no answer within {:.1} s: check the network to the camera, and try again", .0.as_secs_f32())]
    Late(Duration),
}

impl StreamsError {
    /// The word for it in tables and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Unreachable(_) => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Refused(_) => "refused",
            Self::Unreadable(_) => "no_onvif",
            Self::None => "none",
            Self::Late(_) => "late",
        }
    }

    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Address | Self::Unauthorized | Self::Refused(_) | Self::Unreadable(_) | Self::None => {
                ErrorClass::Permanent
            }
            Self::Unreachable(_) | Self::Late(_) => ErrorClass::Transient,
        }
    }
}

impl From<Unreadable> for StreamsError {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// The streams of the device whose device service is at `xaddr`. Blocks for as long as `limit`.
///
/// # Errors
/// When it cannot be asked, does not let us, or has none.
pub fn stream_uris(
    xaddr: &Url,
    credentials: Option<&Credentials>,
    limit: Duration,
    clock: &dyn Clock,
) -> Result<Vec<StreamOffer>, StreamsError> {
    if xaddr.scheme() != "http" || !xaddr.has_host() {
        return Err(StreamsError::Address);
    }
    // The system's proxy is for the world outside.
    let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
    let agent = Agent::new_with_config(config.build());
    let mut asked = Asked { agent, clock, credentials, begun: clock.mono(), limit, ahead: TimeDelta::zero() };
    asked.ahead = asked.clock_ahead(xaddr)?;
    let media = asked.media_service(xaddr)?;
    let mut offers = Vec::new();
    for profile in asked.profiles(&media)? {
        if let Some(url) = asked.stream_url(&media, &profile.token)? {
            let Profile { token, name, codec, width, height } = profile;
            offers.push(StreamOffer { profile: token, name, codec, width, height, url });
        }
    }
    if offers.is_empty() { Err(StreamsError::None) } else { Ok(offers) }
}

/// A device that is being asked.
struct Asked<'a> {
    agent: Agent,
    clock: &'a dyn Clock,
    credentials: Option<&'a Credentials>,
    begun: MonoTime,
    limit: Duration,
    /// By how much the device's clock is ahead of ours: it takes no digest of another time.
    ahead: TimeDelta,
}

#[derive(Default)]
struct Profile {
    token: String,
    name: Option<String>,
    codec: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
}

impl Asked<'_> {
    fn clock_ahead(&self, xaddr: &Url) -> Result<TimeDelta, StreamsError> {
        let body = r#"<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/>"#;
        let answer = match self.call(xaddr, body, false) {
            // Some do not even tell the time unasked; then theirs is taken to be ours.
            Err(StreamsError::Unauthorized | StreamsError::Refused(_)) => return Ok(TimeDelta::zero()),
            answer => answer?,
        };
        let mut parts = [None; 6];
        xml::read(&answer, |node| {
            if let Node::Close { within, name, content } = node
                && within.iter().any(|outer| outer == "UTCDateTime")
                && let Some(at) = ["Year", "Month", "Day", "Hour", "Minute", "Second"].iter().position(|p| *p == name)
            {
                parts[at] = content.parse::<u32>().ok();
            }
            ControlFlow::Continue(())
        })?;
        let time = || {
            let [year, month, day, hour, minute, second] = parts;
            let date = NaiveDate::from_ymd_opt(i32::try_from(year?).ok()?, month?, day?)?;
            Some(date.and_hms_opt(hour?, minute?, second?)?.and_utc())
        };
        Ok(time().map_or(TimeDelta::zero(), |theirs| theirs - self.clock.wall()))
    }

    /// The media service, at the host that was named: behind a router a device does not know its own address.
    fn media_service(&self, xaddr: &Url) -> Result<Url, StreamsError> {
        let body = r#"<GetCapabilities xmlns="http://www.onvif.org/ver10/device/wsdl"><Category>Media</Category></GetCapabilities>"#;
        let answer = self.call(xaddr, body, true)?;
        let mut media = xaddr.clone();
        xml::read(&answer, |node| match node {
            Node::Close { within: [.., outer], name: "XAddr", content } if outer == "Media" => {
                if let Ok(told) = Url::parse(content) {
                    media.set_path(told.path());
                    media.set_query(told.query());
                }
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        Ok(media)
    }

    fn profiles(&self, media: &Url) -> Result<Vec<Profile>, StreamsError> {
        let answer = self.call(media, r#"<GetProfiles xmlns="http://www.onvif.org/ver10/media/wsdl"/>"#, true)?;
        let mut profiles: Vec<Profile> = Vec::new();
        xml::read(&answer, |node| {
            match node {
                Node::Open { name: "Profiles", token } => {
                    if profiles.len() >= MAX_PROFILES {
                        return ControlFlow::Break(());
                    }
                    profiles.push(Profile { token: token.unwrap_or_default(), ..Profile::default() });
                }
                Node::Open { .. } => {}
                Node::Close { within, name, content } => {
                    if let Some(profile) = profiles.last_mut() {
                        profile.take(within, name, content);
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        profiles.retain(|profile| !profile.token.is_empty() && profile.token.len() <= 256);
        Ok(profiles)
    }

    fn stream_url(&self, media: &Url, token: &str) -> Result<Option<Url>, StreamsError> {
        let body = format!(
            concat!(
                r#"<GetStreamUri xmlns="http://www.onvif.org/ver10/media/wsdl"><StreamSetup>"#,
                r#"<Stream xmlns="http://www.onvif.org/ver10/schema">RTP-Unicast</Stream>"#,
                r#"<Transport xmlns="http://www.onvif.org/ver10/schema"><Protocol>RTSP</Protocol></Transport>"#,
                r#"</StreamSetup><ProfileToken>{}</ProfileToken></GetStreamUri>"#,
            ),
            escape(token)
        );
        let answer = match self.call(media, &body, true) {
            // One profile may be switched off while others are not.
            Err(StreamsError::Refused(_)) => return Ok(None),
            answer => answer?,
        };
        let mut url = None;
        xml::read(&answer, |node| match node {
            Node::Close { name: "Uri", content, .. } => {
                url = Url::parse(content).ok().filter(|url| content.len() <= 1024 && is_stream(url));
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        let here = |mut url: Url| {
            url.set_host(media.host_str()).ok()?;
            url.set_username("").ok()?;
            url.set_password(None).ok()?;
            Some(url)
        };
        Ok(url.and_then(here))
    }

    fn call(&self, at: &Url, body: &str, signed: bool) -> Result<String, StreamsError> {
        let left = self.limit.saturating_sub(self.clock.mono().since(self.begun));
        if left.is_zero() {
            return Err(StreamsError::Late(self.limit));
        }
        let header = self.credentials.filter(|_| signed).map(|who| self.token(who)).unwrap_or_default();
        let envelope = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"#
        );
        let request = self.agent.post(at.as_str()).config().timeout_global(Some(left)).build();
        let request = request.header("Content-Type", "application/soap+xml; charset=utf-8");
        let mut response = request.send(envelope).map_err(|error| self.failed(&error))?;
        let status = response.status();
        let answer = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let answer = String::from_utf8_lossy(&answer.map_err(|error| self.failed(&error))?).into_owned();
        match status.as_u16() {
            200..=299 => Ok(answer),
            401 | 403 => Err(StreamsError::Unauthorized),
            // The fault that ONVIF prescribes comes with status 400, or 500 from older devices.
            400 | 500 if answer.contains("NotAuthorized") || answer.contains("FailedAuthentication") => {
                Err(StreamsError::Unauthorized)
            }
            status => Err(StreamsError::Refused(status)),
        }
    }

    fn failed(&self, error: &ureq::Error) -> StreamsError {
        let text = || clean(&error.to_string()).unwrap_or_default();
        match error {
            ureq::Error::Timeout(_) => StreamsError::Late(self.limit),
            ureq::Error::Io(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                StreamsError::Unreachable(text())
            }
            _ => StreamsError::Unreadable(text()),
        }
    }

    /// WS-UsernameToken with a digest of the password: `base64(sha1(nonce + created + password))`.
    fn token(&self, who: &Credentials) -> String {
        let nonce = Uuid::new_v4();
        let now = self.clock.wall();
        // A device may claim to live at the end of time.
        let created = now.checked_add_signed(self.ahead).unwrap_or(now).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let digest = Sha1::new().chain_update(nonce.as_bytes()).chain_update(&created);
        let digest = digest.chain_update(who.password.expose()).finalize();
        format!(
            concat!(
                r#"<w:Security xmlns:w="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd""#,
                r#" xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd""#,
                r#" s:mustUnderstand="true"><w:UsernameToken><w:Username>{user}</w:Username>"#,
                r#"<w:Password Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest">{digest}</w:Password>"#,
                r#"<w:Nonce EncodingType="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary">{nonce}</w:Nonce>"#,
                r#"<u:Created>{created}</u:Created></w:UsernameToken></w:Security>"#,
            ),
            user = escape(&who.username),
            digest = STANDARD.encode(digest),
            nonce = STANDARD.encode(nonce.as_bytes()),
            created = created,
        )
    }
}

/// Of what comes from a device: whether it is the address of a stream at all.
fn is_stream(url: &Url) -> bool {
    matches!(url.scheme(), "rtsp" | "rtsps") && url.has_host()
}

impl Profile {
    fn take(&mut self, within: &[String], name: &str, content: &str) {
        let within_encoder = within.iter().any(|outer| outer == "VideoEncoderConfiguration");
        match (within.last().map(String::as_str), name) {
            (Some("Profiles"), "Name") => self.name = clean(content),
            (Some("VideoEncoderConfiguration"), "Encoding") => self.codec = clean(content),
            (Some("Resolution"), "Width") if within_encoder => self.width = content.parse().ok(),
            (Some("Resolution"), "Height") if within_encoder => self.height = content.parse().ok(),
            _ => {}
        }
    }
}
