//! Cameras: their sources, their mounting and their tuning.

use std::collections::HashSet;
use std::path::PathBuf;

use super::super::camera::{CameraConfig, CameraSource, Mounting, Rotation, Streams};
use super::super::raw::{RawCamera, RawDirection, RawMounting, RawPolygon};
use super::super::rtsp_address::{NoRtspAddress, RtspAddress};
use super::super::secret::Secret;
use super::super::types::{BLINK_FPS, RoomConfig};
use super::check::Checker;
use crate::frame::{CameraTuning, Direction};
use crate::geometry::{Point, Polygon};
use crate::ids::{CameraId, RoomId};

const MAX_CAMERAS: usize = 1_000;
const MAX_POLYGONS: usize = 32;
const MAX_CORNERS: usize = 64;
const MAX_URL: usize = 1_024;
const FORMS: &str = "write it as \"rtsp://host/path\", \"v4l2:///dev/video0\" or \"file:clip.mp4\"";

pub(super) fn cameras(c: &mut Checker<'_>, raw: &[RawCamera], rooms: &[RoomConfig]) -> Vec<CameraConfig> {
    if raw.len() > MAX_CAMERAS {
        c.add("cameras", format!("{} cameras are too many: at most {MAX_CAMERAS}", raw.len()));
    }
    let mut seen = HashSet::new();
    raw.iter()
        .take(MAX_CAMERAS)
        .enumerate()
        .filter_map(|(i, camera)| {
            let at = format!("cameras[{i}]");
            if let Some(id) = &camera.id
                && !seen.insert(id.clone())
            {
                c.add(format!("{at}.id"), format!("\"{id}\" is the id of an earlier camera: each needs its own"));
            }
            if let Some(room) = &camera.room
                && !rooms.iter().any(|r| r.id.as_str() == room)
            {
                c.add(format!("{at}.room"), format!("there is no room \"{room}\": add it under [[rooms]]"));
            }
            one(c, &at, camera)
        })
        .collect()
}

/// A camera by itself; `at` is where it stands. Whether its room is there is the caller's business.
pub(super) fn one(c: &mut Checker<'_>, at: &str, raw: &RawCamera) -> Option<CameraConfig> {
    let id = c.id(&format!("{at}.id"), &raw.id);
    let streams = streams(c, at, raw);
    let mounting = mounting(c, &format!("{at}.mounting"), &raw.mounting);
    let tuning = tuning(c, at, raw);
    Some(CameraConfig { id: CameraId::new(id?), streams: streams?, mounting, tuning: tuning? })
}

/// Where blinks are required, a camera must be able to see them.
pub(super) fn blinks_can_be_seen(c: &mut Checker<'_>, at: &str, raw: &RawCamera) {
    // 0 analyses every frame.
    if raw.analysis_fps > 0.0 && raw.analysis_fps < BLINK_FPS {
        c.add(
            format!("{at}.analysis_fps"),
            format!(
                "{} a second is too slow to see blinks, and liveness.blink is \"required\": set {BLINK_FPS} or more, or \
                 liveness.blink = \"off\"",
                raw.analysis_fps
            ),
        );
    }
}

fn streams(c: &mut Checker<'_>, at: &str, raw: &RawCamera) -> Option<Streams> {
    let path = format!("{at}.streams.detect");
    let password = password(c, at, raw);
    let detect = c.required(&path, &raw.streams.detect, FORMS).cloned();
    let detect = detect.and_then(|text| source(c, &path, at, &text, raw, &password));
    let path = format!("{at}.streams.main");
    let main = raw.streams.main.as_ref().and_then(|text| source(c, &path, at, text, raw, &password));
    if let Some(detect) = &detect {
        foreign_keys(c, at, raw, detect);
    }
    Some(Streams { detect: detect?, main })
}

fn password(c: &mut Checker<'_>, at: &str, raw: &RawCamera) -> Option<Secret> {
    let ways = [raw.password.is_some(), raw.password_file.is_some(), raw.password_env.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        c.add(
            format!("{at}.password"),
            "is given more than once: use one of password, password_file and password_env".to_owned(),
        );
    }
    let given = ways.contains(&true);
    if given != raw.username.is_some() {
        let (missing, told) = if given {
            ("username", "is missing: there is a password; add the user, or remove the password")
        } else {
            ("password", "is missing: there is a username; add password_file or password_env, or remove the username")
        };
        c.add(format!("{at}.{missing}"), told);
    }
    if let Some(password) = &raw.password {
        return Some(password.clone());
    }
    if let Some(file) = &raw.password_file {
        return c.secret_file(&format!("{at}.password_file"), file);
    }
    raw.password_env.as_ref().and_then(|name| c.secret_env(&format!("{at}.password_env"), name))
}

fn source(
    c: &mut Checker<'_>,
    path: &str,
    at: &str,
    text: &str,
    raw: &RawCamera,
    password: &Option<Secret>,
) -> Option<CameraSource> {
    // The text may hold a password, so no message repeats it before that is ruled out.
    if text.len() > MAX_URL || text.chars().any(|ch| ch.is_control()) {
        c.add(path, format!("is no address of a camera: {FORMS}"));
        return None;
    }
    match text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest)) {
        Some((scheme, _)) if scheme == "rtsp" || scheme == "rtsps" => Some(CameraSource::Rtsp {
            address: rtsp_address(c, path, text)?,
            transport: raw.transport.unwrap_or_default(),
            username: raw.username.clone(),
            password: password.clone(),
        }),
        Some((scheme, rest)) if scheme == "v4l2" => {
            let device = PathBuf::from(rest.trim_start_matches("//"));
            if !device.is_absolute() {
                c.add(path, format!("names no device: {FORMS}"));
            }
            let usb = raw.usb.clone().unwrap_or_default();
            let mut size = |key: &str, value: Option<i64>, max: i64, unit: &str| {
                value.map(|value| c.int(&format!("{at}.usb.{key}"), value, 1..=max, unit))
            };
            Some(CameraSource::Usb {
                device,
                width: size("width", usb.width, 7_680, "pixels"),
                height: size("height", usb.height, 4_320, "pixels"),
                fps: size("fps", usb.fps, 240, "frames a second"),
            })
        }
        Some((scheme, rest)) if scheme == "file" => {
            let file = raw.file.clone().unwrap_or_default();
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            if rest.is_empty() {
                c.add(path, format!("names no file: {FORMS}"));
            }
            let path = c.path(rest.as_ref());
            Some(CameraSource::File { path, realtime: file.realtime, repeat: file.repeat })
        }
        _ => {
            c.add(path, format!("is no address of a camera: {FORMS}"));
            None
        }
    }
}

fn rtsp_address(c: &mut Checker<'_>, path: &str, text: &str) -> Option<RtspAddress> {
    let refused = text.parse().map_err(|why| match why {
        NoRtspAddress::Unreadable => format!("is no address of a camera: {FORMS}"),
        NoRtspAddress::NoHost => format!("has no host: {FORMS}"),
        NoRtspAddress::Credentials => {
            "carries a user or a password: move them to username and password_file".to_owned()
        }
        NoRtspAddress::Fragment => {
            "has a # in it: write %23 in a path, and move user and password to username and password_file".to_owned()
        }
    });
    refused.map_err(|problem| c.add(path, problem)).ok()
}

/// Keys that mean nothing for this kind of source: nothing is ignored in silence.
fn foreign_keys(c: &mut Checker<'_>, at: &str, raw: &RawCamera, source: &CameraSource) {
    let (kind, rtsp, usb, file) = match source {
        CameraSource::Rtsp { .. } => ("an RTSP camera", true, false, false),
        CameraSource::Usb { .. } => ("a USB camera", false, true, false),
        CameraSource::File { .. } => ("a file", false, false, true),
    };
    let given = [
        ("transport", raw.transport.is_some(), rtsp),
        ("username", raw.username.is_some(), rtsp),
        ("usb", raw.usb.is_some(), usb),
        ("file", raw.file.is_some(), file),
    ];
    for (key, given, fits) in given {
        if given && !fits {
            c.add(format!("{at}.{key}"), format!("means nothing for {kind}: remove it"));
        }
    }
}

fn mounting(c: &mut Checker<'_>, at: &str, raw: &RawMounting) -> Mounting {
    let rotate = match raw.rotate {
        0 => Rotation::None,
        90 => Rotation::Quarter,
        180 => Rotation::Half,
        270 => Rotation::ThreeQuarters,
        other => {
            c.add(format!("{at}.rotate"), format!("{other} is no quarter turn: 0, 90, 180 or 270 degrees"));
            Rotation::None
        }
    };
    Mounting { rotate, mirror: raw.mirror }
}

fn tuning(c: &mut Checker<'_>, at: &str, raw: &RawCamera) -> Option<CameraTuning> {
    let room = c.required(&format!("{at}.room"), &raw.room, "the id of a room under [[rooms]]");
    let analysis_fps = c.float(&format!("{at}.analysis_fps"), raw.analysis_fps, 0.0..=60.0);
    let detect_size = c.int(&format!("{at}.detect_size"), raw.detect_size, 160..=4_096, "pixels");
    let min_face_px = c.float(&format!("{at}.min_face_px"), raw.min_face_px, 8.0..=2_000.0);
    let still_interval_s = c.float(&format!("{at}.still_interval_s"), raw.still_interval_s, 0.0..=10.0);
    let regions_of_interest = polygons(c, &format!("{at}.regions_of_interest"), &raw.regions_of_interest);
    let privacy_masks = polygons(c, &format!("{at}.privacy_masks"), &raw.privacy_masks);
    Some(CameraTuning {
        room: RoomId::new(room?.as_str()),
        direction: raw.direction.map(|direction| match direction {
            RawDirection::Entry => Direction::Entry,
            RawDirection::Exit => Direction::Exit,
        }),
        analysis_fps,
        detect_size,
        min_face_px,
        still_interval_s,
        regions_of_interest,
        privacy_masks,
    })
}

fn polygons(c: &mut Checker<'_>, at: &str, raw: &[RawPolygon]) -> Vec<Polygon> {
    if raw.len() > MAX_POLYGONS {
        c.add(at, format!("{} polygons are too many: at most {MAX_POLYGONS}", raw.len()));
    }
    let polygons = raw.iter().take(MAX_POLYGONS).enumerate().map(|(i, corners)| {
        let path = format!("{at}[{i}]");
        if !(3..=MAX_CORNERS).contains(&corners.len()) {
            c.add(&path, format!("{} corners make no area: 3 to {MAX_CORNERS}", corners.len()));
        }
        if let Some([x, y]) = corners.iter().find(|corner| !corner.iter().all(|v| (0.0..=1.0).contains(v))) {
            c.add(&path, format!("[{x}, {y}] lies outside the picture: 0 to 1 of its width and height"));
        }
        Polygon(corners.iter().take(MAX_CORNERS).map(|[x, y]| Point { x: *x as f32, y: *y as f32 }).collect())
    });
    polygons.collect()
}
