//! Cameras in the network are found, and tell where their streams are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod kit;

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::LazyLock;

use kit::{PATIENCE, Site, head, pointers};
use rollcall_pipeline::{Clock, SystemClock};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(""));

#[test]
fn cameras_in_the_network_are_found() {
    let device = UdpSocket::bind("127.0.0.1:3702").unwrap();
    device.set_read_timeout(Some(PATIENCE)).unwrap();
    let answering = std::thread::Builder::new().spawn(move || {
        let mut buffer = [0; 65_536];
        let (length, from) = device.recv_from(&mut buffer).unwrap();
        let question = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let id = question.split_once("MessageID>").unwrap().1.split_once('<').unwrap().0;
        let answer = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<s:Header><wsa:RelatesTo>{id}</wsa:RelatesTo><wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action></s:Header>
<s:Body><d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:door</wsa:Address></wsa:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/name/Front%20door onvif://www.onvif.org/hardware/X1</d:Scopes>
<d:XAddrs>http://127.0.0.1:8899/onvif/device_service</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"#
        );
        // Two at a time would answer each other's questions.
        let second = SITE.get("/api/v1/cameras/discover?seconds=1&address=127.0.0.1").status;
        device.send_to(answer.as_bytes(), from).unwrap();
        second
    });
    let found = SITE.get("/api/v1/cameras/discover?seconds=3&address=127.0.0.1").expect(200);
    assert_eq!(answering.unwrap().join().unwrap(), 429);
    let device = &found["devices"][0];
    assert_eq!(
        (&device["name"], &device["hardware"], &device["from"]),
        (&json!("Front door"), &json!("X1"), &json!("127.0.0.1"))
    );
    assert_eq!(device["addresses"], json!(["http://127.0.0.1:8899/onvif/device_service"]));
    for wrong in ["seconds=0", "seconds=6", "address=localhost", "address=0.0.0.0", "address=239.1.2.3"] {
        SITE.get(&format!("/api/v1/cameras/discover?{wrong}")).expect(422);
    }
}

/// A device that tells where its streams are to whoever signs in, until it is asked `calls` times: what it was sent.
fn onvif_device(calls: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/onvif/device_service", listener.local_addr().unwrap());
    let serve = move || (0..calls).map(|_| answer_onvif(listener.accept().unwrap().0)).collect();
    (address, std::thread::Builder::new().spawn(serve).unwrap())
}

/// One call of ONVIF's device and media services.
fn answer_onvif(stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    let head = head(&mut stream).to_ascii_lowercase();
    let length = head.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0.parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let asked = String::from_utf8(body).unwrap();
    let (status, told) = if asked.contains("<GetSystemDateAndTime") {
        let now = SystemClock.wall();
        let time = now.format("<t:Time><t:Hour>%H</t:Hour><t:Minute>%M</t:Minute><t:Second>%S</t:Second></t:Time>");
        let date = now.format("<t:Date><t:Year>%Y</t:Year><t:Month>%m</t:Month><t:Day>%d</t:Day></t:Date>");
        (200, format!("<R><t:UTCDateTime>{time}{date}</t:UTCDateTime></R>"))
    } else if !asked.contains("<w:Username>viewer</w:Username>") || !asked.contains("#PasswordDigest") {
        (400, "<s:Fault><s:Value>ter:NotAuthorized</s:Value></s:Fault>".to_owned())
    } else if asked.contains("<GetCapabilities") {
        // Behind a router it believes to be elsewhere.
        (200, "<C><t:Media><t:XAddr>http://10.9.9.9/onvif/Media</t:XAddr></t:Media></C>".to_owned())
    } else if asked.contains("<GetProfiles") {
        let encoder = "<t:VideoEncoderConfiguration><t:Encoding>H264</t:Encoding><t:Resolution><t:Width>640</t:Width>\
                       <t:Height>360</t:Height></t:Resolution></t:VideoEncoderConfiguration>";
        (200, format!("<t:Profiles token=\"sub\"><t:Name>Small</t:Name>{encoder}</t:Profiles>"))
    } else {
        (200, "<M><t:Uri>rtsp://bob:pw@10.9.9.9:8554/stream2</t:Uri></M>".to_owned())
    };
    let envelope = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:t=\"x\" \
         xmlns:ter=\"y\"><s:Body>{told}</s:Body></s:Envelope>"
    );
    let length = envelope.len();
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{envelope}");
    stream.get_mut().write_all(answer.as_bytes()).unwrap();
    asked
}

#[test]
fn a_device_that_was_found_tells_its_streams() {
    let ask = |address: &str, credentials: Value| {
        SITE.post("/api/v1/cameras/discover/streams", &json!({ "address": address, "credentials": credentials }))
    };
    // Time, capabilities, profiles, one stream; then time and a refusal.
    let (address, device) = onvif_device(6);
    let told = ask(&address, json!({ "username": "viewer", "password": "0nv1f-s3cret" })).expect(200);
    let stream = json!({ "profile": "sub", "name": "Small", "codec": "H264", "width": 640, "height": 360,
        "address": "rtsp://127.0.0.1:8554/stream2" });
    assert_eq!((&told["ok"], &told["streams"]), (&json!(true), &json!([stream])), "{told}");
    let refused = ask(&address, Value::Null).expect(200);
    assert_eq!((&refused["ok"], &refused["kind"]), (&json!(false), &json!("unauthorized")), "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains("refuses user or password"), "{refused}");
    let heard = device.join().unwrap().join("\n");
    assert!(heard.contains("<GetStreamUri") && !heard.contains("0nv1f-s3cret"), "it goes as a digest");
    let audit = SITE.get("/api/v1/audit?action=camera.streams&limit=500");
    assert!(!String::from_utf8(audit.body.clone()).unwrap().contains("0nv1f-s3cret"));
    assert_eq!(audit.expect(200)["items"][0]["object_id"], address.as_str());
    assert_eq!(ask("http://127.0.0.1:1/onvif", Value::Null).expect(200)["kind"], "unreachable");
    for wrong in
        ["", "rtsp://192.0.2.1/x", "https://192.0.2.1/x", "http://", "file:///etc/passwd", "http://a:b@192.0.2.1/"]
    {
        assert_eq!(pointers(&ask(wrong, Value::Null).expect(422)), ["#/address"], "{wrong}");
    }
    let odd = ask(&address, json!({ "username": "a\n", "password": "" })).expect(422);
    assert_eq!(pointers(&odd), ["#/credentials/username", "#/credentials/password"]);
    SITE.as_role("viewer").post("/api/v1/cameras/discover/streams", &json!({ "address": address })).expect(403);
}
