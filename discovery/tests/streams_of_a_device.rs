//! A device that speaks as much ONVIF as it takes to tell where its streams are, with a clock of its own.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_discovery::{Credentials, StreamOffer, StreamsError, stream_uris};
use rollcall_pipeline::config::Secret;
use rollcall_pipeline::supervisor::{Supervisor, Worker};
use rollcall_pipeline::{Clock, SystemClock};
use sha1::{Digest, Sha1};
use url::Url;

const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "s3cret<&>";

/// An HTTP server that answers each request with what `answer` makes of its body: a status and a body.
struct Device {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    worker: Option<Worker>,
}

impl Device {
    fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let worker = Supervisor::new(Arc::new(SystemClock)).spawn("device", move |_| {
            loop {
                let (stream, _) = listener.accept().unwrap();
                if ended.load(Ordering::SeqCst) {
                    return Ok(());
                }
                serve(stream, &answer);
            }
        });
        Self { address, over, worker: Some(worker.unwrap()) }
    }

    fn xaddr(&self) -> Url {
        Url::parse(&format!("http://{}/onvif/device_service", self.address)).unwrap()
    }

    fn streams(&self, password: Option<&str>) -> Result<Vec<StreamOffer>, StreamsError> {
        let credentials = password.map(|p| Credentials { username: "ad<min".to_owned(), password: Secret::new(p) });
        stream_uris(&self.xaddr(), credentials.as_ref(), PATIENCE, &SystemClock)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address).unwrap());
        let ended = self.worker.take().unwrap().join_within(PATIENCE);
        if !std::thread::panicking() {
            ended.expect("the device does not end");
        }
    }
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&str) -> (u16, String)) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let body = loop {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the request is cut off");
        request.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length: usize = between(&(length + "\r\n"), "content-length: ", "\r\n").unwrap().parse().unwrap();
        if body.len() >= length {
            break body.to_owned();
        }
    };
    let (status, body) = answer(&body);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    // Whoever asked may have had enough of a long answer.
    stream.write_all(body.as_bytes()).unwrap_or_default();
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

fn soap(body: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>{body}</s:Body></s:Envelope>"#
    )
}

/// A well-behaved camera whose clock is `ahead` of ours.
fn camera(ahead: TimeDelta) -> impl Fn(&str) -> (u16, String) {
    move |request| {
        let now = SystemClock.wall() + ahead;
        if request.contains("<GetSystemDateAndTime") {
            let date = now.format("<tt:Time><tt:Hour>%H</tt:Hour><tt:Minute>%M</tt:Minute><tt:Second>%S</tt:Second></tt:Time><tt:Date><tt:Year>%Y</tt:Year><tt:Month>%m</tt:Month><tt:Day>%d</tt:Day></tt:Date>");
            return (
                200,
                soap(&format!(
                    "<R><tt:UTCDateTime>{date}</tt:UTCDateTime><tt:LocalDateTime><tt:Time><tt:Hour>1</tt:Hour></tt:Time></tt:LocalDateTime></R>"
                )),
            );
        }
        if !is_signed(request, now) {
            let fault =
                "<s:Fault><s:Code><s:Subcode><s:Value>ter:NotAuthorized</s:Value></s:Subcode></s:Code></s:Fault>";
            return (400, soap(fault));
        }
        if request.contains("<GetCapabilities") {
            // Behind a router, it believes to be elsewhere.
            return (
                200,
                soap(
                    "<C><tt:Device><tt:XAddr>http://10.9.9.9/onvif/device</tt:XAddr></tt:Device><tt:Media><tt:XAddr>http://10.9.9.9/onvif/Media</tt:XAddr></tt:Media></C>",
                ),
            );
        }
        if request.contains("<GetProfiles") {
            let profile = |token: &str, name: &str, w: u32| {
                format!(
                    r#"<trt:Profiles fixed="true" token="{token}"><tt:Name>{name}</tt:Name><tt:VideoSourceConfiguration token="v"><tt:Name>no</tt:Name><tt:Resolution><tt:Width>1</tt:Width></tt:Resolution></tt:VideoSourceConfiguration><tt:VideoEncoderConfiguration token="e"><tt:Name>enc</tt:Name><tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>{w}</tt:Width><tt:Height>{}</tt:Height></tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles>"#,
                    w / 16 * 9
                )
            };
            return (
                200,
                soap(
                    &(profile("Profile_1", "main &amp; more", 1920)
                        + &profile("Profile_2", "sub", 640)
                        + &profile("off", "off", 640)),
                ),
            );
        }
        match between(request, "<ProfileToken>", "<") {
            Some("off") => (500, soap("<s:Fault/>")),
            Some(token) => (
                200,
                soap(&format!("<M><tt:Uri>rtsp://bob:pw@10.9.9.9:8554/stream?profile={token}&amp;x=1</tt:Uri></M>")),
            ),
            None => (404, String::new()),
        }
    }
}

/// Whether a request carries the right digest of about now.
fn is_signed(request: &str, now: DateTime<Utc>) -> bool {
    let part = |name: &str| {
        let (_, rest) = request.split_once(name)?;
        between(rest, ">", "<")
    };
    let check = || {
        let (nonce, created) = (STANDARD.decode(part("<w:Nonce")?).ok()?, part("<u:Created")?);
        let wanted = Sha1::new().chain_update(nonce).chain_update(created).chain_update(PASSWORD).finalize();
        let age = now - DateTime::parse_from_rfc3339(created).ok()?.to_utc();
        let right = part("<w:Username>").is_some() && part("<w:Password")? == STANDARD.encode(wanted);
        Some(right && age.num_seconds().abs() <= 5 && request.contains("<w:Username>ad&lt;min</w:Username>"))
    };
    check().unwrap_or(false)
}

#[test]
fn the_streams_of_a_device_are_told_whatever_its_clock_says() {
    for ahead in [TimeDelta::zero(), TimeDelta::days(-400), TimeDelta::hours(7)] {
        let device = Device::start(camera(ahead));
        let offers = device.streams(Some(PASSWORD)).unwrap();
        assert_eq!(offers.len(), 2, "one is switched off: {offers:#?}");
        let StreamOffer { profile, name, codec, width, height, url } = &offers[0];
        assert_eq!(
            (profile.as_str(), name.as_deref(), codec.as_deref()),
            ("Profile_1", Some("main & more"), Some("H264"))
        );
        assert_eq!((*width, *height), (Some(1920), Some(1080)));
        assert_eq!(url.as_str(), "rtsp://127.0.0.1:8554/stream?profile=Profile_1&x=1", "at the host that was asked");
        assert_eq!((offers[1].profile.as_str(), offers[1].width), ("Profile_2", Some(640)));
    }
}

#[test]
fn a_wrong_password_and_none_are_told_in_plain_words() {
    let device = Device::start(camera(TimeDelta::zero()));
    for password in [Some("wrong"), None] {
        let refused = device.streams(password).unwrap_err();
        assert!(matches!(refused, StreamsError::Unauthorized), "{refused:?}");
        assert!(refused.to_string().starts_with("the camera refuses user or password"));
    }
}

#[test]
fn what_is_no_onvif_device_is_named() {
    let check =
        |status: u16, body: String| Device::start(move |_| (status, body.clone())).streams(Some("x")).unwrap_err();
    assert!(matches!(check(404, String::new()), StreamsError::Refused(404)));
    assert!(matches!(check(302, String::new()), StreamsError::Refused(302)));
    assert!(matches!(check(200, "<html><br></html>".to_owned()), StreamsError::Unreadable(_)));
    assert!(matches!(
        check(200, r#"<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>"#.to_owned()),
        StreamsError::Unreadable(_)
    ));
    assert!(matches!(check(200, " ".repeat(2_000_000)), StreamsError::Unreadable(_)));
    assert!(matches!(check(200, soap("<a/>")), StreamsError::None));
    let end_of_time = ["Year>262142", "Month>12", "Day>31", "Hour>23", "Minute>59", "Second>59"];
    let end_of_time = end_of_time.map(|part| format!("<{part}</{}>", part.split_once('>').unwrap().0)).concat();
    assert!(matches!(check(200, soap(&format!("<UTCDateTime>{end_of_time}</UTCDateTime>"))), StreamsError::None));
}

#[test]
fn nobody_there_and_nobody_talking_are_told_apart_in_bounded_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let xaddr = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let begun = SystemClock.mono();
    let silent = stream_uris(&xaddr, None, Duration::from_millis(200), &SystemClock);
    assert!(matches!(silent, Err(StreamsError::Late(_))), "{silent:?}");
    assert!(SystemClock.mono().since(begun) < Duration::from_secs(5));
    drop(listener);
    let gone = stream_uris(&xaddr, None, PATIENCE, &SystemClock);
    assert!(matches!(gone, Err(StreamsError::Unreachable(_))), "{gone:?}");
    for other in ["https://127.0.0.1/", "file:///etc/passwd"] {
        let refused = stream_uris(&Url::parse(other).unwrap(), None, PATIENCE, &SystemClock);
        assert!(matches!(refused, Err(StreamsError::Address)), "{refused:?}");
    }
}
