//! Whether an RTSP camera is there, asked for the price of a packet while the next attempt is waited for.
//!
//! An attempt builds a pipeline, so a camera that stays away is tried ever less. One that comes back is not to wait for that:
//! it is knocked at every second, and tried at once when it answers after it had not. A camera that answers all the time and
//! still gives no video (a wrong password, another codec) is left to its waits.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rollcall_pipeline::config::CameraSource;

/// How often one knocks.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// For the connection, and again for the answer: a local network needs some milliseconds, and whoever tells the camera to
/// stop waits for so long.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);
/// What every server answers, without a password (RFC 2326, section 10.1).
const QUESTION: &[u8] = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: rollcall\r\n\r\n";
const ANSWER: &[u8] = b"RTSP/";

/// Where to knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Door {
    address: SocketAddr,
    /// Nothing can be asked without a handshake: that somebody opens has to do.
    encrypted: bool,
}

impl Door {
    /// The door of a source, if it has one that can be found without asking for its name: a name server that does not answer
    /// would hold up the camera's thread.
    pub(super) fn of(source: &CameraSource) -> Option<Self> {
        let CameraSource::Rtsp { url, .. } = source else { return None };
        let (scheme, rest) = url.split_once("://")?;
        let encrypted = scheme == "rtsps";
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let usual = if encrypted { 322 } else { 554 };
        let address = match (host.parse::<SocketAddr>(), host.trim_matches(['[', ']']).parse::<IpAddr>()) {
            (Ok(address), _) => address,
            (_, Ok(ip)) => SocketAddr::new(ip, usual),
            _ => return None,
        };
        Some(Self { address, encrypted })
    }

    /// Whether a camera answers there. Blocks for less than a second.
    pub(super) fn answers(self) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&self.address, ANSWER_WITHIN) else { return false };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::config::RtspTransport;
    use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};

    use super::*;

    fn door(url: &str) -> Option<Door> {
        let url = url.to_owned();
        Door::of(&CameraSource::Rtsp { url, transport: RtspTransport::Auto, username: None, password: None })
    }

    #[test]
    fn the_door_is_where_the_address_says() {
        let at = |address: &str, encrypted| Some(Door { address: address.parse().unwrap(), encrypted });
        assert_eq!(door("rtsp://192.0.2.7/stream?a=b"), at("192.0.2.7:554", false));
        assert_eq!(door("rtsp://192.0.2.7:8554"), at("192.0.2.7:8554", false));
        assert_eq!(door("rtsp://me:pass@192.0.2.7:8554/x"), at("192.0.2.7:8554", false));
        assert_eq!(door("rtsps://[2001:db8::1]/x"), at("[2001:db8::1]:322", true));
        assert_eq!(door("rtsp://[2001:db8::1]:8554/x"), at("[2001:db8::1]:8554", false));
        assert_eq!(door("rtsp://camera.example.org/x"), None);
        assert_eq!(door("192.0.2.7"), None);
    }

    proptest! {
        #[test]
        fn any_address_is_survived(url in "(rtsps?://)?[ -~]{0,60}") {
            door(&url);
        }
    }

    #[test]
    fn a_camera_answers_and_nothing_else_does() {
        let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
        let credentials = Some(("me".to_owned(), "secret".to_owned()));
        let mut camera = TestCamera::start(clip, Options { credentials, ..Options::default() }).unwrap();
        let door = door(&camera.url()).unwrap();
        assert!(door.answers(), "without a password, too");
        camera.kill();
        assert!(!door.answers(), "refused");
        camera.garbage().unwrap();
        assert!(!door.answers(), "noise");
        camera.silence().unwrap();
        assert!(!door.answers(), "no answer");
        camera.restart().unwrap();
        assert!(door.answers());
    }
}
