//! Asking: one socket, the question sent through each interface, answers until the time is over.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use rollcall_pipeline::{Clock, MonoTime};
use socket2::SockRef;
use uuid::Uuid;

use crate::message::{self, unique};
use crate::{Device, DiscoveryError};

/// Where WS-Discovery listens.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 3702);
/// No search takes longer, whatever is asked for.
pub const LONGEST: Duration = Duration::from_secs(30);
/// Devices that are kept, the first that answer: a school has some hundred.
pub const MAX_DEVICES: usize = 512;
/// Of them, those that one address answers for: one liar does not crowd out the rest.
const MAX_FROM_ONE: usize = 64;
/// When the question is asked again: datagrams get lost, and some devices sleep through the first.
const AGAIN: [Duration; 3] = [Duration::ZERO, Duration::from_millis(250), Duration::from_millis(1_000)];
/// One wait: the longest delay of a stop request.
const TICK: Duration = Duration::from_millis(50);
/// A longer answer is cut off, and then refused.
const MAX_DATAGRAM: usize = 32 * 1024;

/// How to search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The own addresses whose networks are searched; none for all of [`interfaces`].
    pub interfaces: Vec<Ipv4Addr>,
    /// How long to wait for answers, [`LONGEST`] at most.
    pub time: Duration,
    /// Where the question goes: [`GROUP`], or one device.
    pub to: SocketAddrV4,
}

impl Default for Search {
    fn default() -> Self {
        Self { interfaces: Vec::new(), time: Duration::from_secs(3), to: GROUP }
    }
}

/// A network that this machine is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As the system calls it.
    pub name: String,
    /// The own address there.
    pub address: Ipv4Addr,
}

/// The networks that cameras could hang on: all with an IPv4 address that are up, but for the machine's own.
///
/// # Errors
/// When the system does not tell.
pub fn interfaces() -> Result<Vec<Interface>, DiscoveryError> {
    let all = if_addrs::get_if_addrs().map_err(DiscoveryError::Interfaces)?;
    let of = |one: if_addrs::Interface| match one.ip() {
        std::net::IpAddr::V4(address) if !one.is_loopback() && one.is_oper_up() => {
            Some(Interface { name: one.name, address })
        }
        _ => None,
    };
    Ok(all.into_iter().filter_map(of).collect())
}

/// Asks who is there and waits for answers; blocks for the time given. `stopped` ends it early with what is known by then.
///
/// The devices are in the order of their names and endpoints, each once.
///
/// # Errors
/// When nobody could be asked at all.
pub fn discover(search: &Search, clock: &dyn Clock, stopped: &dyn Fn() -> bool) -> Result<Vec<Device>, DiscoveryError> {
    let mut from = search.interfaces.clone();
    if from.is_empty() {
        from = interfaces()?.into_iter().map(|interface| interface.address).collect();
    }
    if from.is_empty() {
        return Err(DiscoveryError::NoInterface);
    }
    let socket = socket().map_err(DiscoveryError::Socket)?;
    let begun = clock.mono();
    let mut found = Found::default();
    let mut rounds = AGAIN.iter().peekable();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let passed = clock.mono().since(begun);
        if stopped() || passed >= search.time.min(LONGEST) {
            return Ok(found.devices());
        }
        if rounds.next_if(|&&due| passed >= due).is_some() {
            ask(&socket, &from, search.to)?;
        }
        hear(&socket, &mut buffer, &mut found, clock, clock.mono());
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Cameras behind a router are not found that way; the question stays in this network.
    socket.set_multicast_ttl_v4(1)?;
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket)
}

/// Sends the question through every interface. One that refuses does not matter while another takes it.
fn ask(socket: &UdpSocket, from: &[Ipv4Addr], to: SocketAddrV4) -> Result<(), DiscoveryError> {
    let mut sent = false;
    let mut refused = None;
    for address in from {
        for kind in message::TYPES {
            let question = message::probe(kind, Uuid::new_v4());
            let outcome = SockRef::from(socket)
                .set_multicast_if_v4(address)
                .and_then(|()| socket.send_to(question.as_bytes(), to));
            match outcome {
                Ok(_) => sent = true,
                Err(error) => {
                    tracing::debug!(%address, %error, "an interface does not take the question");
                    refused = Some(error);
                }
            }
        }
    }
    match refused {
        Some(error) if !sent => Err(DiscoveryError::Unsent(error)),
        _ => Ok(()),
    }
}

/// Takes in what has come, for one tick at most.
fn hear(socket: &UdpSocket, buffer: &mut [u8], found: &mut Found, clock: &dyn Clock, since: MonoTime) {
    while clock.mono().since(since) < TICK {
        let (length, from) = match socket.recv_from(buffer) {
            Ok(received) => received,
            // Mostly that nothing came in time; a port that is closed shows up here too, and means nothing.
            Err(_) => return,
        };
        match message::parse(&buffer[..length], from.ip()) {
            Ok(devices) => devices.into_iter().for_each(|device| found.add(device)),
            Err(error) => tracing::debug!(%from, %error, "an answer that cannot be read"),
        }
    }
}

/// Who answered, each once.
#[derive(Default)]
struct Found(Vec<Device>);

impl Found {
    fn add(&mut self, device: Device) {
        let same = |known: &&mut Device| is_same(&known.endpoint, &device.endpoint);
        if let Some(known) = self.0.iter_mut().find(same) {
            // It answers once for each question, and may say more in one answer than in the other.
            known.xaddrs = unique(known.xaddrs.drain(..).chain(device.xaddrs));
            known.types = unique(known.types.drain(..).chain(device.types));
            known.name = known.name.take().or(device.name);
            known.hardware = known.hardware.take().or(device.hardware);
            known.location = known.location.take().or(device.location);
            return;
        }
        let by_one = self.0.iter().filter(|known| known.from == device.from).count();
        if self.0.len() < MAX_DEVICES && by_one < MAX_FROM_ONE {
            self.0.push(device);
        }
    }

    fn devices(mut self) -> Vec<Device> {
        self.0.sort_by(|a, b| (&a.name, &a.endpoint).cmp(&(&b.name, &b.endpoint)));
        self.0
    }
}

/// Some devices write their endpoint now as `uuid:…`, now as `urn:uuid:…`.
fn is_same(a: &str, b: &str) -> bool {
    let bare = |s: &str| s.rsplit("uuid:").next().unwrap_or(s).to_ascii_lowercase();
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn device(endpoint: &str, from: u8) -> Device {
        Device {
            endpoint: endpoint.to_owned(),
            xaddrs: Vec::new(),
            name: None,
            hardware: None,
            location: None,
            types: vec![from.to_string()],
            from: IpAddr::from([192, 0, 2, from]),
        }
    }

    #[test]
    fn a_device_is_there_once_and_keeps_the_address_that_answered_first() {
        let mut found = Found::default();
        found.add(device("urn:uuid:AB-1", 1));
        found.add(Device { name: Some("Hall".to_owned()), ..device("uuid:ab-1", 2) });
        let devices = found.devices();
        assert_eq!((devices.len(), devices[0].from), (1, IpAddr::from([192, 0, 2, 1])));
        assert_eq!((devices[0].name.as_deref(), devices[0].types.len()), (Some("Hall"), 2));
    }

    #[test]
    fn one_that_answers_for_thousands_does_not_crowd_out_the_rest() {
        let mut found = Found::default();
        for n in 0..5_000 {
            found.add(device(&format!("liar-{n}"), 66));
        }
        found.add(device("honest", 1));
        assert_eq!(found.devices().len(), MAX_FROM_ONE + 1);
        let mut found = Found::default();
        for n in 0..5_000 {
            found.add(device(&format!("liar-{n}"), (n % 200) as u8));
        }
        assert_eq!(found.devices().len(), MAX_DEVICES);
    }
}
