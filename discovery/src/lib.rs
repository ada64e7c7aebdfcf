//! Finds the cameras of the local network by WS-Discovery (a question to everybody, an answer from each that is there), and
//! their streams by ONVIF.
//!
//! [`discover`] deliberately opens nothing that it is told about: what a device answers is its own word, and whoever uses it
//! decides whether to go there, with [`stream_uris`]. Small own code, because the crates for it keep as much as anybody sends
//! them, do not say who sent it, and bring a large HTTP client with them.

mod message;
mod search;
mod streams;
mod xml;

use std::net::IpAddr;

use rollcall_pipeline::ErrorClass;
use url::Url;

pub use search::{GROUP, Interface, LONGEST, MAX_DEVICES, Search, discover, interfaces};
pub use streams::{Credentials, StreamOffer, StreamsError, stream_uris};

/// A device that answered. Everything but `from` is what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its lasting name, mostly `urn:uuid:…`; as text, since not all keep to that.
    pub endpoint: String,
    /// Where its device service can be asked, `http` or `https`.
    pub xaddrs: Vec<Url>,
    /// Its name, from its scopes.
    pub name: Option<String>,
    /// Its model, from its scopes.
    pub hardware: Option<String>,
    /// Where it hangs, from its scopes, the parts joined by `, `.
    pub location: Option<String>,
    /// What it is, such as `NetworkVideoTransmitter`; without the prefixes, which mean nothing outside of its message.
    pub types: Vec<String>,
    /// Who sent the answer.
    pub from: IpAddr,
}

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The list of interfaces cannot be read.
    #[error("the network interfaces cannot be listed: {0}")]
    Interfaces(#[source] std::io::Error),
    /// There is none that cameras could hang on.
    #[error("no network interface with an IPv4 address is up: connect this machine to the cameras' network")]
    NoInterface,
    /// No socket.
    #[error("no socket to ask from: {0}")]
    Socket(#[source] std::io::Error),
    /// The question could be sent through none of the interfaces.
    #[error("no interface takes the question: {0}; check routes and firewall for 239.255.255.250, UDP port 3702")]
    Unsent(#[source] std::io::Error),
}

impl DiscoveryError {
    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Interfaces(_) | Self::NoInterface | Self::Socket(_) | Self::Unsent(_) => ErrorClass::Transient,
        }
    }
}
