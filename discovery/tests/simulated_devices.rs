//! Devices on loopback that answer as real ones do, as bad ones do, and not at all.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rollcall_discovery::{Device, GROUP, Search, discover};
use rollcall_pipeline::supervisor::{Supervisor, Worker};
use rollcall_pipeline::{Clock, SystemClock};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A device that answers each question with what `answers` makes of it, until it is dropped.
struct Simulated {
    port: u16,
    worker: Option<Worker>,
}

impl Simulated {
    fn start(answers: impl Fn(&str) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.join_multicast_v4(GROUP.ip(), &LOOPBACK).unwrap();
        let port = socket.local_addr().unwrap().port();
        let worker = Supervisor::new(Arc::new(SystemClock)).spawn("device", move |_| {
            let mut buffer = [0; 65_536];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                if length == 0 {
                    return Ok(());
                }
                for answer in answers(&String::from_utf8_lossy(&buffer[..length])) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { port, worker: Some(worker.unwrap()) }
    }

    /// One that is asked through the group.
    fn search(&self) -> Search {
        Search {
            interfaces: vec![LOOPBACK],
            time: Duration::from_millis(600),
            to: SocketAddrV4::new(*GROUP.ip(), self.port),
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        socket.send_to(&[], SocketAddr::from((LOOPBACK, self.port))).unwrap();
        let ended = self.worker.take().unwrap().join_within(PATIENCE);
        if !std::thread::panicking() {
            ended.expect("the device does not end");
        }
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

/// What a camera answers to a question.
fn answer(question: &str, endpoint: &str, name: &str) -> Vec<u8> {
    assert!(question.contains("http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe<"), "{question}");
    let id = between(question, "MessageID>", "<");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<SOAP-ENV:Header><wsa:MessageID>urn:uuid:0a6dc791-2be6-4991-9af1-454778a1917a</wsa:MessageID><wsa:RelatesTo>{id}</wsa:RelatesTo>
<wsa:Action SOAP-ENV:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action></SOAP-ENV:Header>
<SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>{endpoint}</wsa:Address></wsa:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/type/ptz onvif://www.onvif.org/name/{name} onvif://www.onvif.org/hardware/X1 onvif://www.onvif.org/location/hall</d:Scopes>
<d:XAddrs>http://127.0.0.1:8899/onvif/device_service</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"#
    )
    .into_bytes()
}

fn found(search: &Search) -> Vec<Device> {
    discover(search, &SystemClock, &|| false).unwrap()
}

#[test]
fn a_device_that_hears_the_group_is_found_once() {
    let device = Simulated::start(|question| vec![answer(question, "urn:uuid:cam-1", "Front%20door")]);
    let devices = found(&device.search());
    assert_eq!(devices.len(), 1, "asked several times, found once: {devices:#?}");
    let Device { endpoint, xaddrs, name, hardware, location, types, from } = &devices[0];
    assert_eq!(endpoint, "urn:uuid:cam-1");
    assert_eq!(xaddrs[0].as_str(), "http://127.0.0.1:8899/onvif/device_service");
    assert_eq!([name, hardware, location].map(Option::as_deref), [Some("Front door"), Some("X1"), Some("hall")]);
    assert_eq!((types[0].as_str(), *from), ("NetworkVideoTransmitter", IpAddr::V4(LOOPBACK)));
}

#[test]
fn one_device_can_be_asked_alone() {
    let device = Simulated::start(|question| vec![answer(question, "urn:uuid:cam-1", "a")]);
    let search = Search { to: SocketAddrV4::new(LOOPBACK, device.port), ..device.search() };
    assert_eq!(found(&search).len(), 1);
}

#[test]
fn a_device_that_knows_only_one_of_the_words_is_found() {
    for word in ["NetworkVideoTransmitter<", "tds:Device<"] {
        let device = Simulated::start(move |question| {
            question.contains(word).then(|| answer(question, "urn:uuid:cam-1", "a")).into_iter().collect()
        });
        assert_eq!(found(&device.search()).len(), 1, "{word}");
    }
}

#[test]
fn bad_answers_hide_no_good_one() {
    let device = Simulated::start(|question| {
        let good = answer(question, "urn:uuid:good", "b");
        let cut = good[..good.len() / 2].to_vec();
        let bomb = br#"<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>"#.to_vec();
        let (deep, huge) = ("<a>".repeat(20_000).into_bytes(), vec![b' '; 60_000]);
        let echo = question.as_bytes().to_vec();
        let other = answer(question, "urn:uuid:other", "a");
        vec![cut, bomb, deep, huge, echo, vec![0xff; 1_000], Vec::new(), good, other]
    });
    let endpoints: Vec<String> = found(&device.search()).into_iter().map(|d| d.endpoint).collect();
    assert_eq!(endpoints, ["urn:uuid:other", "urn:uuid:good"], "by name");
}

#[test]
fn a_flood_ends_with_the_time_and_is_bounded() {
    let device = Simulated::start(|question| {
        (0..300).map(|n| answer(question, &format!("urn:uuid:{n}"), &format!("{n:03}"))).collect()
    });
    let begun = SystemClock.mono();
    let devices = found(&device.search());
    assert!(SystemClock.mono().since(begun) < Duration::from_secs(3));
    assert!((1..=64).contains(&devices.len()), "{}", devices.len());
}

#[test]
fn silence_takes_the_time_given_and_a_stop_takes_less() {
    let device = Simulated::start(|_| Vec::new());
    assert!(found(&device.search()).is_empty());
    let search = Search { time: Duration::from_secs(3600), ..device.search() };
    let begun = SystemClock.mono();
    let stopped = || SystemClock.mono().since(begun) > Duration::from_millis(100);
    assert!(discover(&search, &SystemClock, &stopped).unwrap().is_empty());
    assert!(SystemClock.mono().since(begun) < Duration::from_secs(5));
}

#[test]
fn an_interface_that_is_not_there_is_an_error_with_advice_unless_another_is() {
    let device = Simulated::start(|question| vec![answer(question, "urn:uuid:cam-1", "a")]);
    // TEST-NET-1: an address that no machine has.
    let nowhere = Ipv4Addr::new(192, 0, 2, 77);
    let search = Search { interfaces: vec![nowhere], ..device.search() };
    let refused = discover(&search, &SystemClock, &|| false).unwrap_err();
    assert!(refused.to_string().ends_with("check routes and firewall for 239.255.255.250, UDP port 3702"), "{refused}");
    let search = Search { interfaces: vec![nowhere, LOOPBACK], ..device.search() };
    assert_eq!(found(&search).len(), 1);
}
