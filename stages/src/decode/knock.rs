//! Whether an RTSP camera is there, asked for the price of a packet while the next attempt is waited for.
//!
//! An attempt builds a pipeline, so a camera that stays away is tried ever less. One that comes back is not to wait for that:
//! it is knocked at every second, and tried at once when it answers after it had not. One that said "not found" (it starts, or
//! is the channel of a recorder that has lost its camera) is asked for its stream. A camera that answers all the time and
//! still gives no video (a wrong password, another codec) is left to its waits, and so is one whose name nobody knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use rollcall_pipeline::config::{CameraSource, RtspAddress, RtspServer};
use url::Host;

use super::failure::DisconnectReason;

/// How often one knocks.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// For the connection, and again for the answer: a local network needs some milliseconds, and whoever tells the camera to
/// stop waits for so long.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);
/// What is read of an answer: `RTSP/1.0 404`.
type Beginning = [u8; 12];
/// The one status of which GStreamer makes [`DisconnectReason::NotFound`].
const NOT_FOUND: u16 = 404;

/// The door of a camera.
#[derive(Debug)]
pub(super) struct Door {
    place: Place,
    /// Nothing can be asked without a handshake: that somebody opens has to do.
    encrypted: bool,
    question: Question,
}

/// Whether a camera was there when one last looked. Kept from one wait to the next, since it may come back during the attempt
/// between them.
#[derive(Debug)]
pub(super) struct Presence {
    there: bool,
}

impl Default for Presence {
    /// Who was never knocked at is not to be tried for an answer.
    fn default() -> Self {
        Self { there: true }
    }
}

impl Presence {
    /// It sent pictures.
    pub(super) fn seen(&mut self) {
        self.there = true;
    }

    /// Knocks; says whether the camera answers and did not before. Blocks for less than a second.
    pub(super) fn is_back(&mut self, door: &mut Door) -> bool {
        let Some(answers) = door.answers() else { return false };
        !std::mem::replace(&mut self.there, answers) && answers
    }
}

/// What is asked there.
#[derive(Debug)]
enum Question {
    /// Whether anybody is there: every server answers, without a password (RFC 2326, section 10.1).
    Anybody,
    /// Whether this stream is there. Also without a password, as every client asks first, so it locks no account.
    Stream(RtspAddress),
}

impl Question {
    fn text(&self) -> String {
        let (asked, accept) = match self {
            Self::Anybody => ("OPTIONS *".to_owned(), ""),
            Self::Stream(address) => (format!("DESCRIBE {address}"), "Accept: application/sdp\r\n"),
        };
        format!("{asked} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: rollcall\r\n{accept}\r\n")
    }

    /// Whether what is asked for is there, by the answer.
    fn is_affirmed_by(&self, answer: &Beginning) -> bool {
        match self {
            Self::Anybody => answer.starts_with(b"RTSP/"),
            // Who asks for the password before it looks for the stream says no more without it.
            Self::Stream(_) => status(answer).is_some_and(|status| status != NOT_FOUND),
        }
    }
}

fn status(answer: &Beginning) -> Option<u16> {
    let (_, status) = std::str::from_utf8(answer).ok()?.strip_prefix("RTSP/")?.split_once(' ')?;
    status.parse().ok().filter(|status| (100..1000).contains(status))
}

/// Where it is.
#[derive(Debug)]
enum Place {
    Known(SocketAddr),
    /// Its name is being looked up.
    Asked(Receiver<Option<SocketAddr>>),
    /// Nobody knows its name.
    Nowhere,
}

impl Door {
    /// The door of a source that failed for this reason, if it has one. A name is looked up meanwhile, anew for each door:
    /// addresses change.
    pub(super) fn of(source: &CameraSource, reason: &DisconnectReason) -> Option<Self> {
        let CameraSource::Rtsp { address, .. } = source else { return None };
        let RtspServer { encrypted, host, port } = address.server().clone();
        let place = match host {
            Host::Ipv4(ip) => Place::Known(SocketAddr::new(ip.into(), port)),
            Host::Ipv6(ip) => Place::Known(SocketAddr::new(ip.into(), port)),
            Host::Domain(name) => look_up(name, port),
        };
        let question = match reason {
            DisconnectReason::NotFound(_) => Question::Stream(address.clone()),
            _ => Question::Anybody,
        };
        Some(Self { place, encrypted, question })
    }

    /// Whether what failed is there again, a camera or its stream; `None` while nobody knows where.
    fn answers(&mut self) -> Option<bool> {
        if let Place::Asked(answer) = &self.place {
            self.place = match answer.try_recv() {
                Ok(Some(address)) => Place::Known(address),
                Ok(None) | Err(TryRecvError::Disconnected) => Place::Nowhere,
                Err(TryRecvError::Empty) => return None,
            };
        }
        let Place::Known(address) = self.place else { return None };
        Some(self.answers_at(address))
    }

    fn answers_at(&self, address: SocketAddr) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, ANSWER_WITHIN) else { return false };
        if self.encrypted {
            return true;
        }
        let mut answer = Beginning::default();
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .and_then(|()| stream.write_all(self.question.text().as_bytes()))
            .and_then(|()| stream.read_exact(&mut answer))
            .is_ok_and(|()| self.question.is_affirmed_by(&answer))
    }
}

/// On a thread of its own, which nobody waits for: a name server that does not answer would hold up the camera's. It ends when
/// the system gives up, after half a minute at most.
fn look_up(name: String, port: u16) -> Place {
    let (tell, answer) = sync_channel(1);
    let ask = move || {
        // One address, so that a knock is short; few cameras speak IPv6, and those who do speak the other, too.
        let found = (name.as_str(), port).to_socket_addrs().ok();
        let found = found.and_then(|addresses| addresses.min_by_key(SocketAddr::is_ipv6));
        // Nobody hears it once the wait is over.
        tell.send(found).unwrap_or(());
    };
    match std::thread::Builder::new().name("look-up".to_owned()).spawn(ask) {
        Ok(_) => Place::Asked(answer),
        Err(_) => Place::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::config::RtspTransport;
    use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};

    use super::*;

    fn source(url: &str) -> CameraSource {
        let address = url.parse().unwrap();
        CameraSource::Rtsp { address, transport: RtspTransport::Auto, username: None, password: None }
    }

    /// After a failure that says nothing of the stream.
    fn door(url: &str) -> Door {
        Door::of(&source(url), &DisconnectReason::Eos).unwrap()
    }

    fn door_of_a_missing_stream(url: &str) -> Door {
        Door::of(&source(url), &DisconnectReason::NotFound(String::new())).unwrap()
    }

    #[test]
    fn the_door_is_where_the_address_says() {
        let at = |url: &str| match door(url) {
            Door { place: Place::Known(address), encrypted, .. } => (address.to_string(), encrypted),
            door => panic!("{door:?}"),
        };
        assert_eq!(at("rtsp://192.0.2.7/stream?a=b"), ("192.0.2.7:554".to_owned(), false));
        assert_eq!(at("rtsps://[2001:db8::1]/x"), ("[2001:db8::1]:554".to_owned(), true));
    }

    fn beginning(text: String) -> Beginning {
        text.into_bytes().try_into().unwrap()
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(answer in prop_oneof![
            any::<Beginning>(),
            "RTSP/[ -~]{7}".prop_map(beginning),
            "RTSP/1\\.0 [0-9]{2}[ -~]".prop_map(beginning),
        ]) {
            status(&answer);
        }

        #[test]
        fn the_status_of_an_answer_is_read(code in 100u16..1000, minor in 0u8..10) {
            prop_assert_eq!(status(&beginning(format!("RTSP/1.{minor} {code}"))), Some(code));
        }
    }

    #[test]
    fn a_camera_answers_and_nothing_else_does() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let credentials = Some(("me".to_owned(), "secret".to_owned()));
        let mut camera = TestCamera::start(clip, Options { credentials, ..Options::default() }).unwrap();
        let mut door = door(&camera.url());
        assert_eq!(door.answers(), Some(true), "without a password, too");
        camera.kill();
        assert_eq!(door.answers(), Some(false), "refused");
        camera.garbage().unwrap();
        assert_eq!(door.answers(), Some(false), "noise");
        camera.silence().unwrap();
        assert_eq!(door.answers(), Some(false), "no answer");
        camera.restart().unwrap();
        assert_eq!(door.answers(), Some(true));
    }

    #[test]
    fn a_camera_that_came_back_between_two_waits_is_heard_once() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let mut camera = TestCamera::start(clip, Options::default()).unwrap();
        let (mut presence, url) = (Presence::default(), camera.url());
        let mut is_back = || presence.is_back(&mut door(&url));
        assert!(!is_back(), "it was never away");
        camera.silence().unwrap();
        assert!(!is_back());
        camera.restart().unwrap();
        assert!(is_back(), "at another door than the one where nobody answered");
        assert!(!is_back(), "it answers all the time");
    }

    #[test]
    fn a_camera_without_its_stream_does_not_answer_whoever_misses_that() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let credentials = Some(("me".to_owned(), "secret".to_owned()));
        let mut camera = TestCamera::start(clip, Options { credentials, ..Options::default() }).unwrap();
        let (mut anybody, mut stream) = (door(&camera.url()), door_of_a_missing_stream(&camera.url()));
        camera.without_stream().unwrap();
        assert_eq!((anybody.answers(), stream.answers()), (Some(true), Some(false)));
        camera.garbage().unwrap();
        assert_eq!((anybody.answers(), stream.answers()), (Some(false), Some(false)), "noise");
        camera.restart().unwrap();
        assert_eq!((anybody.answers(), stream.answers()), (Some(true), Some(true)), "it asks for the password");
    }

    #[test]
    fn a_stream_is_there_unless_it_is_not_found() {
        let door = door_of_a_missing_stream("rtsp://192.0.2.7/stream");
        for (answer, there) in [
            (b"RTSP/1.0 404", false),
            (b"RTSP/1.0 401", true),
            (b"RTSP/1.0 200", true),
            (b"RTSP/1.0 20\r", false),
            (b"RTSP/1.0 two", false),
            (b"HTTP/1.0 200", false),
        ] {
            assert_eq!(door.question.is_affirmed_by(answer), there, "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn a_stream_is_asked_for_as_it_is_addressed() {
        let question = door_of_a_missing_stream("rtsp://192.0.2.7:8554/a b?channel=1").question.text();
        assert!(question.starts_with("DESCRIBE rtsp://192.0.2.7:8554/a%20b?channel=1 RTSP/1.0\r\n"), "{question}");
        assert!(question.ends_with("\r\nAccept: application/sdp\r\n\r\n"), "{question}");
    }

    #[test]
    fn a_camera_is_found_by_its_name() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let camera = TestCamera::start(clip, Options::default()).unwrap();
        let mut door = door(&camera.url().replace("127.0.0.1", "localhost"));
        let Place::Asked(answer) = &door.place else { panic!("{door:?}") };
        door.place = Place::Known(answer.recv().unwrap().unwrap());
        assert_eq!(door.answers(), Some(true));
    }
}
