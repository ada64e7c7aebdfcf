//! The address of a network camera, read once for everybody who goes there.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Where an address without a port leads, also an encrypted one: GStreamer knows no 322.
const PORT: u16 = 554;

/// `rtsp://` or `rtsps://`, a host, and neither user nor password nor fragment.
///
/// Readers of addresses agree about no more than that: in `rtsp://door:1#@elsewhere/` the host is `door` here, and
/// `elsewhere` to GStreamer. So nobody is handed an address as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspAddress {
    url: Url,
    server: RtspServer,
}

/// Where an address leads, and whether what is said there is encrypted: to whom a password would be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspServer {
    /// `rtsps`.
    pub encrypted: bool,
    /// Its name or address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// Why a text is no address of a network camera. No word of the text is repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRtspAddress {
    /// Nothing can be made of it.
    Unreadable,
    /// It carries a user or a password.
    Credentials,
    /// It names no host.
    NoHost,
    /// There is a `#` in it.
    Fragment,
}

impl RtspAddress {
    /// As every reader of addresses understands it.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Where it leads.
    pub fn server(&self) -> &RtspServer {
        &self.server
    }
}

impl FromStr for RtspAddress {
    type Err = NoRtspAddress;

    fn from_str(text: &str) -> Result<Self, NoRtspAddress> {
        let url = Url::parse(text).map_err(|_| NoRtspAddress::Unreadable)?;
        let encrypted = match url.scheme() {
            "rtsp" => false,
            "rtsps" => true,
            _ => return Err(NoRtspAddress::Unreadable),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NoRtspAddress::Credentials);
        }
        if url.fragment().is_some() {
            return Err(NoRtspAddress::Fragment);
        }
        let host = match url.host() {
            None | Some(Host::Domain("")) => return Err(NoRtspAddress::NoHost),
            // Names and IPv4 addresses are read as such for the schemes of browsers only.
            Some(Host::Domain(name)) => {
                name.parse().map_or_else(|_| Host::Domain(name.to_ascii_lowercase()), Host::Ipv4)
            }
            Some(host) => host.to_owned(),
        };
        let port = url.port().unwrap_or(PORT);
        Ok(Self { url, server: RtspServer { encrypted, host, port } })
    }
}

impl fmt::Display for RtspAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, NoRtspAddress> {
        text.parse().map(|address: RtspAddress| address.to_string())
    }

    fn server(text: &str) -> (bool, String, u16) {
        let RtspServer { encrypted, host, port } = text.parse::<RtspAddress>().unwrap().server;
        (encrypted, host.to_string(), port)
    }

    #[test]
    fn what_readers_of_addresses_disagree_about_is_refused() {
        use NoRtspAddress::{Credentials, Fragment, NoHost, Unreadable};
        for (text, why) in [
            ("rtsp://door:554#@elsewhere:8554/x", Fragment),
            ("rtsp://door#@elsewhere/x", Fragment),
            ("rtsp://door/x#", Fragment),
            ("rtsp://door?@elsewhere/x#y", Fragment),
            ("rtsp://me:pass@door/x", Credentials),
            ("rtsp://me@door@elsewhere/x", Credentials),
            ("rtsp://:pass@door/x", Credentials),
            ("rtsp://", NoHost),
            ("rtsp:///x", NoHost),
            ("rtsp:door/x", NoHost),
            ("rtsp://door\\@elsewhere/x", Credentials),
            ("rtsp://door\\elsewhere/x", Unreadable),
            ("rtsp://do or/x", Unreadable),
            ("rtsp://door:port/x", Unreadable),
            ("rtspt://door/x", Unreadable),
            ("door/x", Unreadable),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn an_address_is_handed_on_as_it_was_understood() {
        for (text, understood) in [
            ("RTSP://192.0.2.7:8554/a?b=c&d@e", "rtsp://192.0.2.7:8554/a?b=c&d@e"),
            (" rtsp://door/a b\\@elsewhere ", "rtsp://door/a%20b\\@elsewhere"),
            ("rtsp://do\tor/a", "rtsp://door/a"),
            ("rtsp://@door:/a", "rtsp://door/a"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(understood), "{text}");
        }
    }

    #[test]
    fn the_server_is_where_the_address_leads() {
        assert_eq!(server("rtsp://192.0.2.7/stream?a=b"), (false, "192.0.2.7".to_owned(), 554));
        assert_eq!(server("rtsp://192.0.2.7:8554"), (false, "192.0.2.7".to_owned(), 8554));
        assert_eq!(server("rtsps://[2001:db8::1]/x"), (true, "[2001:db8::1]".to_owned(), 554));
        assert_eq!(server("rtsp://Camera.example.org/x"), (false, "camera.example.org".to_owned(), 554));
    }

    proptest! {
        #[test]
        fn what_was_understood_is_understood_alike_again(text in "(rtsps?://)?[ -~]{0,60}") {
            if let Ok(address) = text.parse::<RtspAddress>() {
                prop_assert_eq!(address.as_str().parse(), Ok(address));
            }
        }
    }
}
