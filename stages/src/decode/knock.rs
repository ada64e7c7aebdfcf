//! Whether an RTSP camera is there, asked for the price of a packet while the next attempt is waited for.
//!
//! An attempt builds a pipeline, so a camera that stays away is tried ever less. One that comes back is not to wait for that:
//! it is knocked at every second, and tried at once when it answers after it had not. A camera that answers all the time and
//! still gives no video (a wrong password, another codec) is left to its waits, and so is one whose name nobody knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use rollcall_pipeline::config::CameraSource;
use url::{Host, Url};

/// How often one knocks.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// For the connection, and again for the answer: a local network needs some milliseconds, and whoever tells the camera to
/// stop waits for so long.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);
/// What every server answers, without a password (RFC 2326, section 10.1).
const QUESTION: &[u8] = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: rollcall\r\n\r\n";
const ANSWER: &[u8] = b"RTSP/";

/// The door of a camera.
#[derive(Debug)]
pub(super) struct Door {
    place: Place,
    /// Nothing can be asked without a handshake: that somebody opens has to do.
    encrypted: bool,
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

/// Where a source says that its door is.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    Address(SocketAddr),
    Name(String, u16),
}

impl Sign {
    /// The sign, and whether it is a door that takes no plain word.
    fn of(source: &CameraSource) -> Option<(Self, bool)> {
        let CameraSource::Rtsp { url, .. } = source else { return None };
        let url = Url::parse(url).ok()?;
        let encrypted = url.scheme() == "rtsps";
        let port = url.port().unwrap_or(if encrypted { 322 } else { 554 });
        let sign = match url.host()? {
            Host::Ipv4(ip) => Self::Address(SocketAddr::new(ip.into(), port)),
            Host::Ipv6(ip) => Self::Address(SocketAddr::new(ip.into(), port)),
            // Only some schemes have their IPv4 addresses read.
            Host::Domain(name) => match name.parse() {
                Ok(ip) => Self::Address(SocketAddr::new(ip, port)),
                Err(_) => Self::Name(name.to_owned(), port),
            },
        };
        Some((sign, encrypted))
    }
}

impl Door {
    /// The door of a source, if it has one. A name is looked up meanwhile, anew for each door: addresses change.
    pub(super) fn of(source: &CameraSource) -> Option<Self> {
        let (sign, encrypted) = Sign::of(source)?;
        let place = match sign {
            Sign::Address(address) => Place::Known(address),
            Sign::Name(name, port) => look_up(name, port),
        };
        Some(Self { place, encrypted })
    }

    /// Whether a camera answers there; `None` while nobody knows where it is. Blocks for less than a second.
    pub(super) fn answers(&mut self) -> Option<bool> {
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
        let mut answer = [0; ANSWER.len()];
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .and_then(|()| stream.write_all(QUESTION))
            .and_then(|()| stream.read_exact(&mut answer))
            .is_ok_and(|()| answer == ANSWER)
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
        CameraSource::Rtsp { url: url.to_owned(), transport: RtspTransport::Auto, username: None, password: None }
    }

    fn sign(url: &str) -> Option<(Sign, bool)> {
        Sign::of(&source(url))
    }

    #[test]
    fn the_door_is_where_the_address_says() {
        let at = |address: &str, encrypted| Some((Sign::Address(address.parse().unwrap()), encrypted));
        let named = |name: &str, port| Some((Sign::Name(name.to_owned(), port), false));
        assert_eq!(sign("rtsp://192.0.2.7/stream?a=b"), at("192.0.2.7:554", false));
        assert_eq!(sign("rtsp://192.0.2.7:8554"), at("192.0.2.7:8554", false));
        assert_eq!(sign("rtsp://me:pass@192.0.2.7:8554/x"), at("192.0.2.7:8554", false));
        assert_eq!(sign("rtsps://[2001:db8::1]/x"), at("[2001:db8::1]:322", true));
        assert_eq!(sign("rtsp://[2001:db8::1]:8554/x"), at("[2001:db8::1]:8554", false));
        assert_eq!(sign("rtsp://camera.example.org/x"), named("camera.example.org", 554));
        assert_eq!(sign("rtsp://me:pass@camera:8554/x"), named("camera", 8554));
        assert_eq!(sign("rtsp://camera:port/x"), None);
        assert_eq!(sign("192.0.2.7"), None);
    }

    proptest! {
        #[test]
        fn any_address_is_survived(url in "(rtsps?://)?[ -~]{0,60}") {
            sign(&url);
        }
    }

    #[test]
    fn a_camera_answers_and_nothing_else_does() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let credentials = Some(("me".to_owned(), "secret".to_owned()));
        let mut camera = TestCamera::start(clip, Options { credentials, ..Options::default() }).unwrap();
        let mut door = Door::of(&source(&camera.url())).unwrap();
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
    fn a_camera_is_found_by_its_name() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let camera = TestCamera::start(clip, Options::default()).unwrap();
        let mut door = Door::of(&source(&camera.url().replace("127.0.0.1", "localhost"))).unwrap();
        let Place::Asked(answer) = &door.place else { panic!("{door:?}") };
        door.place = Place::Known(answer.recv().unwrap().unwrap());
        assert_eq!(door.answers(), Some(true));
    }
}
