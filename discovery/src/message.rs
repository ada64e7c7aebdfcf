//! The two messages of WS-Discovery that are needed: the question, and what is read of an answer.
//!
//! Answers come from anybody: everything kept of them is bounded.

use std::net::IpAddr;
use std::ops::ControlFlow;

use percent_encoding::percent_decode_str;
use url::Url;
use uuid::Uuid;

use crate::Device;
use crate::xml::{self, Node, Unreadable};

/// Devices in one answer: a recorder may answer for its cameras.
pub(crate) const MAX_MATCHES: usize = 64;
/// Characters of one text that is kept.
const MAX_TEXT: usize = 256;
/// Addresses and types that are kept of one device.
const MAX_LIST: usize = 8;

/// What is asked for. Some devices know only the one word, some only the other.
pub(crate) const TYPES: [&str; 2] = ["dn:NetworkVideoTransmitter", "tds:Device"];

/// The question for devices of a type.
pub(crate) fn probe(kind: &str, id: Uuid) -> String {
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope""#,
            r#" xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing""#,
            r#" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery""#,
            r#" xmlns:dn="http://www.onvif.org/ver10/network/wsdl""#,
            r#" xmlns:tds="http://www.onvif.org/ver10/device/wsdl"><e:Header>"#,
            r#"<w:MessageID>uuid:{id}</w:MessageID>"#,
            r#"<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"#,
            r#"<w:Action e:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action>"#,
            r#"</e:Header><e:Body><d:Probe><d:Types>{kind}</d:Types></d:Probe></e:Body></e:Envelope>"#,
        ),
        id = id,
        kind = kind
    )
}

/// The devices of an answer that `from` sent; none where it is another message.
pub(crate) fn parse(datagram: &[u8], from: IpAddr) -> Result<Vec<Device>, Unreadable> {
    let mut devices = Vec::new();
    let mut current: Option<Raw> = None;
    // Names in the encodings of their countries become question marks, not a refusal.
    xml::read(&String::from_utf8_lossy(datagram), |node| {
        match node {
            Node::Open { name: "ProbeMatch", .. } => current = Some(Raw::default()),
            Node::Open { .. } => {}
            Node::Close { name: "ProbeMatch", .. } => {
                devices.extend(current.take().and_then(|raw| raw.device(from)));
                if devices.len() >= MAX_MATCHES {
                    return ControlFlow::Break(());
                }
            }
            Node::Close { within, name, content } => {
                if let Some(raw) = &mut current {
                    raw.take(within.last().map_or("", String::as_str), name, content);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(devices)
}

/// The texts of one match.
#[derive(Default)]
struct Raw {
    endpoint: String,
    types: String,
    scopes: String,
    xaddrs: String,
}

impl Raw {
    fn take(&mut self, within: &str, name: &str, content: &str) {
        let place = match (within, name) {
            ("EndpointReference", "Address") => &mut self.endpoint,
            ("ProbeMatch", "Types") => &mut self.types,
            ("ProbeMatch", "Scopes") => &mut self.scopes,
            ("ProbeMatch", "XAddrs") => &mut self.xaddrs,
            _ => return,
        };
        content.clone_into(place);
    }

    /// `None` for one that says neither who nor where it is.
    fn device(self, from: IpAddr) -> Option<Device> {
        let xaddrs = unique(self.xaddrs.split_whitespace().filter_map(address));
        let endpoint = clean(&self.endpoint).or_else(|| xaddrs.first().map(Url::to_string))?;
        let scopes: Vec<Scope<'_>> = self.scopes.split_whitespace().filter_map(Scope::new).collect();
        let first = |category| scopes.iter().find(|s| s.category == category).and_then(Scope::text);
        let places: Vec<String> =
            scopes.iter().filter(|s| s.category == "location").filter_map(Scope::text).take(MAX_LIST).collect();
        Some(Device {
            endpoint,
            xaddrs,
            name: first("name"),
            hardware: first("hardware"),
            location: (!places.is_empty()).then(|| places.join(", ")),
            types: unique(self.types.split_whitespace().filter_map(|t| clean(t.rsplit(':').next().unwrap_or(t)))),
            from,
        })
    }
}

/// An address that may be asked later: a web address of a host, without credentials.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_TEXT)?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host();
    (plain && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// `onvif://www.onvif.org/<category>/<value>`.
struct Scope<'a> {
    category: String,
    value: &'a str,
}

impl<'a> Scope<'a> {
    fn new(text: &'a str) -> Option<Self> {
        let path =
            text.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("onvif://")).and_then(|_| text.get(8..))?;
        let (_, path) = path.split_once('/')?;
        let (category, value) = path.split_once('/')?;
        Some(Self { category: category.to_ascii_lowercase(), value })
    }

    /// The last part: locations come as `country/china` as well as `china`.
    fn text(&self) -> Option<String> {
        let last = self.value.trim_end_matches('/').rsplit('/').next()?;
        clean(&percent_decode_str(last).decode_utf8_lossy())
    }
}

/// A text made fit to be shown: one line, bounded; `None` for an empty one.
pub(crate) fn clean(text: &str) -> Option<String> {
    let shown = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text: String = text.trim().chars().filter(shown).take(MAX_TEXT).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first [`MAX_LIST`] different ones.
pub(crate) fn unique<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if kept.len() >= MAX_LIST {
            break;
        }
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::xml::MAX_ELEMENT;

    const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn answer(matches: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"><SOAP-ENV:Body>
            <d:ProbeMatches>{matches}</d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"#
        )
    }

    fn read(matches: &str) -> Vec<Device> {
        parse(answer(matches).as_bytes(), FROM).unwrap()
    }

    const GOOD: &str = "<d:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:4d454930-0000-1000-8000-bcbac2a1b2c3\
        </wsa:Address></wsa:EndpointReference><d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>\
        <d:Scopes> onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/location/country/Norge\n\
        onvif://www.onvif.org/location/city/Troms%C3%B8 onvif://www.onvif.org/hardware/DS-2CD2143G0\
        onvif://www.onvif.org/name/Front%20door &amp; hall </d:Scopes>\
        <d:XAddrs>http://192.0.2.7/onvif/device_service http://[fe80::1]/onvif/device_service</d:XAddrs>\
        <d:MetadataVersion>10</d:MetadataVersion></d:ProbeMatch>";

    #[test]
    fn an_answer_is_read() {
        let good = GOOD.replace("DS-2CD2143G0", "DS-2CD2143G0 ");
        assert_eq!(
            read(&good),
            [Device {
                endpoint: "urn:uuid:4d454930-0000-1000-8000-bcbac2a1b2c3".to_owned(),
                xaddrs: ["http://192.0.2.7/onvif/device_service", "http://[fe80::1]/onvif/device_service"]
                    .map(|u| Url::parse(u).unwrap())
                    .to_vec(),
                name: Some("Front door".to_owned()),
                hardware: Some("DS-2CD2143G0".to_owned()),
                location: Some("Norge, Tromsø".to_owned()),
                types: vec!["NetworkVideoTransmitter".to_owned(), "Device".to_owned()],
                from: FROM,
            }]
        );
    }

    #[test]
    fn what_is_left_out_is_left_out() {
        let bare = "<ProbeMatch><EndpointReference><Address>urn:uuid:1</Address></EndpointReference></ProbeMatch>";
        let device = &read(bare)[0];
        assert_eq!((device.endpoint.as_str(), &device.name, device.xaddrs.len()), ("urn:uuid:1", &None, 0));
        assert!(read("<ProbeMatch><Types>x</Types></ProbeMatch>").is_empty(), "neither who nor where");
        assert!(parse(probe(TYPES[0], Uuid::nil()).as_bytes(), FROM).unwrap().is_empty(), "somebody else's question");
    }

    #[test]
    fn only_web_addresses_without_credentials_are_kept() {
        let device = &read(
            "<ProbeMatch><XAddrs>file:///etc/passwd gopher://x/ http:// http://bob:pw@192.0.2.1/ javascript:alert(1) \
             https://cam.example/onvif HTTP://cam.example/onvif https://cam.example/onvif</XAddrs></ProbeMatch>",
        )[0];
        assert_eq!(
            device.xaddrs.iter().map(Url::as_str).collect::<Vec<_>>(),
            ["https://cam.example/onvif", "http://cam.example/onvif"]
        );
        assert_eq!(device.endpoint, "https://cam.example/onvif", "a device without a name has its address");
    }

    #[test]
    fn texts_are_one_bounded_line_and_stray_ampersands_do_no_harm() {
        let device = &read(
            "<ProbeMatch><EndpointReference><Address>urn:uuid:1</Address></EndpointReference>\
             <Scopes>onvif://www.onvif.org/name/A%0A%1B[31m%E2%80%AEB&C onvif://www.onvif.org/hardware/%FF \
             onvif://www.onvif.org/location/ onvif onvif://é</Scopes></ProbeMatch>",
        )[0];
        assert_eq!(device.name.as_deref(), Some("A[31mB&C"));
        assert_eq!((device.hardware.as_deref(), &device.location), (Some("\u{fffd}"), &None));
        let long = "x".repeat(3_000);
        let device = &read(&format!(
            "<ProbeMatch><EndpointReference><Address>{long}</Address></EndpointReference></ProbeMatch>"
        ))[0];
        assert_eq!(device.endpoint.chars().count(), MAX_TEXT);
    }

    #[track_caller]
    fn check_refused(datagram: &str, why: Unreadable) {
        assert_eq!(parse(datagram.as_bytes(), FROM), Err(why));
    }

    #[test]
    fn hostile_answers_are_refused() {
        let bomb = r#"<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]><a>&lol2;</a>"#;
        check_refused(bomb, Unreadable::DocumentType);
        check_refused(r#"<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>"#, Unreadable::DocumentType);
        check_refused(&"<a>".repeat(10_000), Unreadable::TooDeep);
        check_refused(&format!("<a>{}</a>", "x".repeat(MAX_ELEMENT + 1)), Unreadable::TooLong);
        for cut in ["<a><ProbeMatch>", "<a></b>", "<a", "<a b='"] {
            assert!(matches!(parse(cut.as_bytes(), FROM), Err(Unreadable::Xml(_))), "{cut}");
        }
        // An entity of its own is never expanded.
        let device =
            &read("<ProbeMatch><EndpointReference><Address>u&file;</Address></EndpointReference></ProbeMatch>")[0];
        assert_eq!(device.endpoint, "u\u{fffd}");
        assert_eq!(read(&GOOD.repeat(1_000)).len(), MAX_MATCHES);
        assert!(parse(b"", FROM).unwrap().is_empty());
        assert!(parse(b"\xff\xfe\x00\x00 hello", FROM).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            drop(parse(&bytes, FROM));
        }

        #[test]
        fn a_damaged_answer_is_survived(at in 0usize..1_200, with in any::<[u8; 3]>()) {
            let mut bytes = answer(GOOD).into_bytes();
            let at = at.min(bytes.len() - 3);
            bytes[at..at + 3].copy_from_slice(&with);
            drop(parse(&bytes, FROM));
        }
    }
}
