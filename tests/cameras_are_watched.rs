//! What is seen of cameras: by whoever watches them for as long as they may, and by the daemon where it is to look.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kit::cameras::{SITE, brightness, camera, is_live, make, remove};
use kit::{PATIENCE, demo_media, head, until};
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_test_camera::{Clip, Codec, Format, Options, Segment, TestCamera};
use serde_json::{Value, json};

/// How many faces of a camera were left out because they lie outside of its regions of interest.
fn outside(id: &str) -> f64 {
    let metrics = String::from_utf8(SITE.get("/metrics").body).unwrap();
    let line = format!("rollcall_faces_rejected_total{{camera=\"{id}\",reason=\"outside_region\"}} ");
    metrics.lines().find_map(|row| row.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

#[test]
fn regions_masks_and_direction_count_from_the_next_picture_on() {
    SITE.post("/api/v1/rooms", &json!({ "id": "looked-at" })).expect(201);
    // Somebody whom nobody knows comes, goes, and comes again.
    let (from, to) = (Duration::from_secs(12), Some(Duration::from_secs(16)));
    let stands = Segment::Video { path: demo_media("franck.mp4"), from, to };
    let gone = Segment::Blank { duration: Duration::from_secs(3) };
    let format = Format { width: 720, height: 576, fps: 10, codec: Codec::H264 };
    let camera = TestCamera::start(Clip::encode(&[stands, gone], format).unwrap(), Options::default()).unwrap();
    let settings = json!({ "streams": { "detect": camera.url() }, "analysis_fps": 10, "direction": "exit" });
    let body = json!({ "id": "look", "room_id": "looked-at", "settings": settings });
    SITE.post("/api/v1/cameras", &body).expect(201);
    let (status, lines) = SITE.follow("/api/v1/live?last_event_id=0&kinds=sighting", &[]);
    assert_eq!(status, 200);
    let mut sightings = lines.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let mut sighted = |direction: &str| {
        let ours = |told: &Value| told["room_id"] == "looked-at" && told["data"]["direction"] == direction;
        assert!(sightings.any(|told| ours(&told)), "nobody is seen on the way {direction}");
    };
    let change = |settings: Value| SITE.patch("/api/v1/cameras/look", &json!({ "settings": settings })).expect(200);
    sighted("exit");
    change(json!({ "direction": "entry" }));
    sighted("entry");

    assert_eq!(outside("look"), 0.0);
    let corner = json!([[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1]]]);
    change(json!({ "regions_of_interest": corner }));
    until("faces outside of the region are left out", || outside("look") > 0.0);
    // Painted over before anything else sees it: also before whoever looks.
    let bright = || brightness(&SITE.get("/api/v1/cameras/look/snapshot.jpg").body);
    until("somebody stands there", || bright() > 60);
    let all = json!([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]);
    let changed = change(json!({ "regions_of_interest": null, "privacy_masks": all }));
    assert_eq!(changed["settings"]["privacy_masks"], all, "{changed}");
    until("the picture is painted over", || bright() < 20);
    let darkest = (0..20).map(|_| bright()).max().unwrap();
    assert!(darkest < 20, "a picture of brightness {darkest} came through");
    remove("look");
}

/// A stream that is read as it comes.
fn open(client_token: &str, path: &str, headers: &str) -> BufReader<TcpStream> {
    let address = SITE.base().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client_token}\r\n{headers}\r\n").unwrap();
    BufReader::new(stream)
}

#[test]
fn cameras_are_watched_for_as_long_as_one_may() {
    let stage = camera();
    make("stage", &stage.url());
    until("it is live", || is_live("stage"));
    let viewer = SITE.as_role("viewer");
    let snapshot = viewer.get("/api/v1/cameras/stage/snapshot.jpg");
    assert!(brightness(&snapshot.body) > 150);
    let log = SITE.get("/api/v1/audit?action=camera.snapshot&object_id=stage").expect(200)["items"].clone();
    let who = viewer.get("/api/v1/auth/me").expect(200)["id"].clone();
    assert_eq!(
        log.as_array().unwrap().iter().map(|e| (&e["actor_id"], &e["request_id"])).collect::<Vec<_>>(),
        [(&who, &json!(snapshot.header("x-request-id")))],
        "{log}"
    );
    viewer.get("/api/v1/cameras/stage/preview?overlay=names").expect(403);
    for wrong in ["fps=0", "fps=6", "fps=NaN", "seconds=0", "seconds=9999"] {
        viewer.get(&format!("/api/v1/cameras/stage/preview?{wrong}")).expect(422);
    }
    let refused = viewer.get("/api/v1/cameras/stage/preview/ws");
    assert_eq!((refused.status, refused.header("upgrade")), (426, "websocket"));

    // Some pictures, then the end that was asked for.
    let answer = viewer.get("/api/v1/cameras/stage/preview?seconds=3&fps=5");
    assert_eq!((answer.status, answer.header("content-type")), (200, "multipart/x-mixed-replace; boundary=picture"));
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "no other origin is configured");
    let parts = answer.body.windows(9).filter(|w| w == b"--picture").count();
    assert!((2..=17).contains(&parts), "{parts} pictures in 3 s at 5 a second");
    let begin = answer.body.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let length = std::str::from_utf8(&answer.body[..begin]).unwrap().split("Content-Length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    assert!(brightness(&answer.body[begin..begin + length]) > 150);

    // Over a WebSocket: each message is a JPEG.
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = open(SITE.token(), "/api/v1/cameras/stage/preview/ws?seconds=60", upgrade);
    assert!(head(&mut socket).starts_with("HTTP/1.1 101"));
    let mut frame = [0; 2];
    socket.read_exact(&mut frame).unwrap();
    assert_eq!(frame[0], 0x82, "binary and whole");
    let mut length = [0; 8];
    let bytes = if frame[1] == 127 { &mut length[..] } else { &mut length[6..] };
    socket.read_exact(bytes).unwrap();
    let mut jpeg = vec![0; usize::try_from(u64::from_be_bytes(length)).unwrap()];
    socket.read_exact(&mut jpeg).unwrap();
    assert!(brightness(&jpeg) > 150);

    // Three more may watch, a fifth may not.
    let mut streams: Vec<_> =
        (0..3).map(|_| open(viewer.token(), "/api/v1/cameras/stage/preview", "Connection: close\r\n")).collect();
    for stream in &mut streams {
        assert!(head(stream).starts_with("HTTP/1.1 200"));
    }
    let busy = viewer.get("/api/v1/cameras/stage/preview?seconds=1");
    assert!(busy.status == 429 && !busy.header("retry-after").is_empty(), "{}", busy.status);
    // It was noted who watched.
    let noted = SITE.get("/api/v1/audit?action=camera.preview&limit=500").expect(200);
    assert!(noted["items"].as_array().unwrap().len() >= 5);

    // A viewer who logs out sees nothing more; whoever did not goes on until the camera is gone.
    viewer.post("/api/v1/auth/logout", &json!({})).expect(204);
    streams.iter_mut().for_each(to_its_end);
    remove("stage");
    to_its_end(&mut socket);
}

/// Reads what still comes. A preview that nobody ends goes on for ever.
fn to_its_end(stream: &mut BufReader<TcpStream>) {
    let (begun, mut part) = (SystemClock.mono(), [0; 65_536]);
    while stream.read(&mut part).unwrap() > 0 {
        assert!(SystemClock.mono().since(begun) < PATIENCE, "it goes on");
    }
}
