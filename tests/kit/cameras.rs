//! Cameras of patterns, and a daemon that has room for them.

use std::sync::LazyLock;

use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};
use serde_json::{Value, json};

use super::{Site, demo_media};

/// Room for sixteen cameras, and for pictures to wait while this machine is busy.
pub(crate) static SITE: LazyLock<Site> = LazyLock::new(|| {
    let media = demo_media("franck.mp4");
    let config = format!(
        "[server]\nmedia_dir = {:?}\n[lane]\nframes_per_camera = 16\nmemory_budget_mb = 850\n\
         [liveness]\nblink = \"required\"\n[decisions]\nidentified_undecided = \"review\"\n\
         [[rooms]]\nid = \"hall\"\n\
         [[cameras]]\nid = \"of-the-file\"\nroom = \"hall\"\nanalysis_fps = 0\ndetect_size = 160\n\
         streams.detect = \"rtsp://127.0.0.1:1/nobody\"\nusername = \"viewer\"\npassword = \"hunter2\"\n",
        media.parent().unwrap()
    );
    let site = Site::start(&config);
    site.post("/api/v1/sites", &json!({ "id": "annex", "name": "Annex", "time_zone": "UTC" })).expect(201);
    site.post("/api/v1/rooms", &json!({ "id": "attic", "site_id": "annex" })).expect(201);
    site
});

pub(crate) static SMALL: LazyLock<Clip> = LazyLock::new(|| clip(320, 240));

pub(crate) fn clip(width: u32, height: u32) -> Clip {
    Clip::pattern(Format { width, height, fps: 10, codec: Codec::H264 }).unwrap()
}

pub(crate) fn camera() -> TestCamera {
    TestCamera::start(SMALL.clone(), Options::default()).unwrap()
}

/// A body that makes a camera. Each picture is analysed.
pub(crate) fn new(id: &str, address: &str) -> Value {
    let settings = json!({ "streams": { "detect": address }, "analysis_fps": 0, "detect_size": 160 });
    json!({ "id": id, "room_id": "hall", "settings": settings })
}

pub(crate) fn make(id: &str, address: &str) -> Value {
    SITE.post("/api/v1/cameras", &new(id, address)).expect(201)
}

pub(crate) fn read(id: &str) -> Value {
    SITE.get(&format!("/api/v1/cameras/{id}")).expect(200)
}

pub(crate) fn is_live(id: &str) -> bool {
    read(id)["status"]["state"] == "live"
}

pub(crate) fn remove(id: &str) {
    assert_eq!(SITE.delete(&format!("/api/v1/cameras/{id}")).status, 204);
}

/// The value of a metric of a camera; all of them together where there are several.
pub(crate) fn metric(name: &str, camera: &str) -> f64 {
    metrics([name], camera)[0]
}

/// The same of several, as they are at one moment.
pub(crate) fn metrics<const N: usize>(names: [&str; N], camera: &str) -> [f64; N] {
    let text = String::from_utf8(SITE.get("/metrics").body).unwrap();
    let label = format!("camera=\"{camera}\"");
    names.map(|name| {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(&label));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    })
}

/// The brightest spot of a JPEG: the pattern has white in it.
pub(crate) fn brightness(jpeg: &[u8]) -> u8 {
    let picture = image::load_from_memory(jpeg).unwrap().to_luma8();
    picture.pixels().map(|pixel| pixel.0[0]).max().unwrap()
}
