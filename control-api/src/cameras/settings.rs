//! How a camera is opened and analysed, as JSON: the keys of a `[[cameras]]` table of the configuration. Whether the values
//! make sense is looked at where the file is looked at; here only words and types are fixed.

use percent_encoding::percent_decode_str;
use rollcall_pipeline::Direction;
use rollcall_pipeline::config::{
    self, CameraConfig, CameraSource, Rotation, RtspAddress, RtspServer, RtspTransport, Secret,
};
use rollcall_pipeline::geometry::Polygon;
use rollcall_store::CameraCredentials;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{FieldError, Problem};
use crate::validate::Checks;

/// How a camera is opened and analysed. What is null or not there has the default of `configs/rollcall.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CameraSettings {
    /// Where its pictures come from.
    #[schema(nullable = false)]
    pub streams: StreamSettings,
    /// RTSP: how the media travels.
    pub transport: Option<Transport>,
    /// USB: what to ask the camera for.
    pub usb: Option<UsbSettings>,
    /// File: how it is played.
    pub file: Option<FileSettings>,
    /// Frames analysed a second; 0 analyses every frame.
    #[schema(minimum = 0, maximum = 60, example = 5.0)]
    pub analysis_fps: Option<f64>,
    /// Longest side of the picture that the detector sees, in pixels.
    #[schema(minimum = 160, maximum = 4096, example = 640)]
    pub detect_size: Option<i64>,
    /// Faces narrower than this, in pixels of the decoded frame, are left alone.
    #[schema(minimum = 8, maximum = 2000, example = 24.0)]
    pub min_face_px: Option<f64>,
    /// Where nothing moves and nobody is, faces are searched only every so many seconds; 0: everywhere in every analysed frame.
    #[schema(minimum = 0, maximum = 10, example = 2.0)]
    pub still_interval_s: Option<f64>,
    /// Only faces whose centre lies in one of these count; none: everywhere.
    #[schema(max_items = 32)]
    pub regions_of_interest: Option<Vec<Area>>,
    /// Painted over before anything else sees the picture.
    #[schema(max_items = 32)]
    pub privacy_masks: Option<Vec<Area>>,
    /// How it hangs.
    pub mounting: Option<MountingSettings>,
    /// Which way people pass; null: both.
    pub direction: Option<Way>,
}

/// Where the pictures come from: `rtsp://host/path` (also `rtsps`), `v4l2:///dev/video0`, or `file:clip.mp4` below
/// `server.media_dir`. User and password in an address are taken out of it and kept with the credentials.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSettings {
    /// The stream that is analysed.
    #[schema(max_length = 1024, example = "rtsp://192.0.2.10:554/stream2")]
    pub detect: Option<String>,
    /// A second stream of the same view in higher resolution; it is not opened yet.
    #[schema(max_length = 1024)]
    pub main: Option<String>,
}

/// How the media of an RTSP camera travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP; UDP where the camera refuses TCP.
    Auto,
    /// Inside the RTSP connection.
    Tcp,
    /// Datagrams beside it.
    Udp,
}

/// What to ask a USB camera for; null: what it offers first.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UsbSettings {
    /// Pixels.
    #[schema(minimum = 1, maximum = 7680)]
    pub width: Option<i64>,
    /// Pixels.
    #[schema(minimum = 1, maximum = 4320)]
    pub height: Option<i64>,
    /// Frames a second.
    #[schema(minimum = 1, maximum = 240)]
    pub fps: Option<i64>,
}

/// How a recording is played.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FileSettings {
    /// At the speed of its time stamps (the default), or as fast as it can be analysed.
    pub realtime: Option<bool>,
    /// Again from the start at its end.
    pub repeat: Option<bool>,
}

/// How a camera hangs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MountingSettings {
    /// Clockwise turn of the picture: 0, 90, 180 or 270 degrees.
    #[schema(minimum = 0, maximum = 270, multiple_of = 90)]
    pub rotate: Option<i64>,
    /// Left and right are exchanged, after the turn.
    pub mirror: Option<bool>,
}

/// Which way people pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Into the room.
    Entry,
    /// Out of the room.
    Exit,
}

/// The corners of an area as `[x, y]` in 0 to 1 of width and height of the picture.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Area(Vec<[f64; 2]>);

impl PartialSchema for Area {
    fn schema() -> utoipa::openapi::RefOr<Schema> {
        let share = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).maximum(Some(1));
        let corner = ArrayBuilder::new().items(share).min_items(Some(2)).max_items(Some(2));
        let text = "The corners of an area as `[x, y]` in 0 to 1 of width and height of the picture.";
        ArrayBuilder::new().items(corner).min_items(Some(3)).max_items(Some(64)).description(Some(text)).into()
    }
}

impl ToSchema for Area {}

/// User and password of a camera.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredentials {
    /// Who logs in to the camera.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) username: String,
    /// With what. It is never shown again.
    #[schema(value_type = String, min_length = 1, max_length = 200, write_only)]
    pub(crate) password: Secret,
}

impl NewCredentials {
    pub(super) fn check(&self, checks: &mut Checks) {
        for (key, text) in [("username", self.username.as_str()), ("password", self.password.expose())] {
            if !(1..=200).contains(&text.chars().count()) || text.chars().any(char::is_control) {
                checks.add(
                    &format!("/credentials/{key}"),
                    "must be 1 to 200 characters long, without control characters",
                );
            }
        }
    }
}

impl CameraSettings {
    /// Of a camera that passed the check: what is in force.
    pub(super) fn of(camera: &CameraConfig) -> Self {
        let tuning = &camera.tuning;
        let (mut transport, mut usb, mut file) = (None, None, None);
        match &camera.streams.detect {
            CameraSource::Rtsp { transport: how, .. } => {
                transport = Some(match how {
                    RtspTransport::Auto => Transport::Auto,
                    RtspTransport::Tcp => Transport::Tcp,
                    RtspTransport::Udp => Transport::Udp,
                });
            }
            CameraSource::Usb { width, height, fps, .. } => {
                let [width, height, fps] = [width, height, fps].map(|n| n.map(i64::from));
                usb = Some(UsbSettings { width, height, fps });
            }
            CameraSource::File { realtime, repeat, .. } => {
                file = Some(FileSettings { realtime: Some(*realtime), repeat: Some(*repeat) });
            }
        }
        let rotate = match camera.mounting.rotate {
            Rotation::None => 0,
            Rotation::Quarter => 90,
            Rotation::Half => 180,
            Rotation::ThreeQuarters => 270,
        };
        Self {
            streams: StreamSettings {
                detect: Some(address(&camera.streams.detect)),
                main: camera.streams.main.as_ref().map(address),
            },
            transport,
            usb,
            file,
            analysis_fps: Some(decimal(tuning.analysis_fps)),
            detect_size: Some(tuning.detect_size.into()),
            min_face_px: Some(decimal(tuning.min_face_px)),
            still_interval_s: Some(decimal(tuning.still_interval_s)),
            regions_of_interest: Some(tuning.regions_of_interest.iter().map(area).collect()),
            privacy_masks: Some(tuning.privacy_masks.iter().map(area).collect()),
            mounting: Some(MountingSettings { rotate: Some(rotate), mirror: Some(camera.mounting.mirror) }),
            direction: tuning.direction.map(|direction| match direction {
                Direction::Entry => Way::Entry,
                Direction::Exit => Way::Exit,
            }),
        }
    }

    /// As the store keeps it: what was said, and no nulls.
    pub(super) fn to_stored(&self) -> Value {
        without_nulls(serde_json::to_value(self).unwrap_or_default())
    }

    /// Of what the store keeps.
    pub(super) fn of_stored(stored: &Value) -> Self {
        serde_json::from_value(stored.clone()).unwrap_or_default()
    }

    /// What is kept, with a merge patch applied.
    pub(super) fn patched(stored: &Value, patch: Map<String, Value>) -> Result<Self, Problem> {
        let mut merged = stored.clone();
        merge(&mut merged, Value::Object(patch));
        serde_path_to_error::deserialize(merged).map_err(|error| {
            let place = error.path().to_string();
            let pointer = if place == "." { String::new() } else { pointer_of(&place) };
            Problem::invalid_field(&format!("/settings{pointer}"), error.into_inner().to_string())
        })
    }

    /// Takes user and password out of the addresses.
    fn take_credentials(&mut self) -> Result<Option<CameraCredentials>, FieldError> {
        let mut taken: Option<CameraCredentials> = None;
        let StreamSettings { detect, main } = &mut self.streams;
        for (stream, text) in [("detect", detect), ("main", main)] {
            let Some(address) = text else { continue };
            let pointer = format!("/settings/streams/{stream}");
            let Some((bare, found)) = split(address).map_err(|why| FieldError::body(&pointer, why))? else { continue };
            if taken.as_ref().is_some_and(|known| *known != found) {
                let why = "carries other credentials than the first stream: a camera has one user and one password";
                return Err(FieldError::body(&pointer, why));
            }
            (*address, taken) = (bare, Some(found));
        }
        Ok(taken)
    }
}

/// The settings as they are kept, and the credentials given with them.
pub(super) struct Given {
    pub(super) settings: Value,
    pub(super) credentials: Option<CameraCredentials>,
}

/// Separates credentials from the rest, wherever they stand.
pub(super) fn separate(
    checks: &mut Checks,
    mut settings: CameraSettings,
    credentials: Option<NewCredentials>,
) -> Result<Given, Problem> {
    let in_address = settings.take_credentials().map_err(|error| Problem::invalid(vec![error]))?;
    credentials.iter().for_each(|credentials| credentials.check(checks));
    if in_address.is_some() && credentials.is_some() {
        checks.add("/credentials", "are given in the address too: give them once");
    }
    let given = credentials.map(|given| (given.username, given.password));
    Ok(Given { settings: settings.to_stored(), credentials: given.or(in_address) })
}

/// The servers that a camera's password would be told.
pub(super) fn servers(settings: &Value) -> Vec<RtspServer> {
    let addresses = ["detect", "main"].into_iter().filter_map(|stream| settings["streams"][stream].as_str());
    addresses.filter_map(|text| Some(text.parse::<RtspAddress>().ok()?.server().clone())).collect()
}

/// Where in the body a problem of the configuration lies.
pub(super) fn field(problem: config::Problem) -> FieldError {
    let pointer = match problem.path.as_str() {
        "settings.id" => "/id".to_owned(),
        "settings.room" => "/room_id".to_owned(),
        "settings.username" => "/credentials/username".to_owned(),
        "settings.password" => "/credentials/password".to_owned(),
        path => pointer_of(path),
    };
    FieldError::body(&pointer, problem.message)
}

/// `a.b[2]` as `/a/b/2`.
fn pointer_of(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', "")).replace("//", "/")
}

/// An address without its credentials, and these; `None` if it carries none. No message repeats any of it.
fn split(address: &str) -> Result<Option<(String, CameraCredentials)>, String> {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("rtsp" | "rtsps")) {
        return Ok(None);
    }
    // One that is no address at all is told about by the check.
    let Ok(mut url) = Url::parse(address) else { return Ok(None) };
    let plain = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).unwrap_or_default();
    let (username, password) = (plain(url.username()), plain(url.password().unwrap_or_default()));
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let fits = |text: &str| (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if !fits(&username) || !fits(&password) {
        return Err("carries a user or a password alone, or one that is too long: use credentials".to_owned());
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err("is no address of a camera".to_owned());
    }
    Ok(Some((url.into(), (username, Secret::new(password)))))
}

fn address(source: &CameraSource) -> String {
    match source {
        CameraSource::Rtsp { address, .. } => address.to_string(),
        CameraSource::Usb { device, .. } => format!("v4l2://{}", device.display()),
        CameraSource::File { path, .. } => format!("file:{}", path.display()),
    }
}

/// The number as people wrote it: 0.1, not 0.10000000149.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

fn area(polygon: &Polygon) -> Area {
    Area(polygon.0.iter().map(|corner| [decimal(corner.x), decimal(corner.y)]).collect())
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_are_taken_out_of_an_address_whole() {
        let (bare, (username, password)) = split("rtsp://us%40er:p%3Ass@192.0.2.1:8554/a?b=c").unwrap().unwrap();
        assert_eq!(
            (bare.as_str(), username.as_str(), password.expose()),
            ("rtsp://192.0.2.1:8554/a?b=c", "us@er", "p:ss")
        );
        assert!(split("rtsp://192.0.2.1/a").unwrap().is_none());
        for half in ["rtsp://user@192.0.2.1/a", "rtsp://:secret@192.0.2.1/a", "RTSPS://user:@192.0.2.1/a"] {
            let told = split(half).err().unwrap();
            assert!(told.contains("use credentials") && !told.contains("secret"), "{half}: {told}");
        }
    }

    #[test]
    fn a_server_that_is_not_spoken_to_in_secret_is_another_one() {
        let at = |address: &str| servers(&json!({ "streams": { "detect": address } }));
        assert_eq!(at("rtsp://Door:554/a"), at("rtsp://door/b?c"));
        for other in ["rtsp://door:555/a", "rtsps://door:554/a", "rtsp://gate/a", "rtsp://door:554#@gate/a"] {
            assert_ne!(at("rtsp://door/a"), at(other), "{other}");
        }
        assert_eq!(at("v4l2:///dev/video0"), []);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_means_the_default() {
        let stored = json!({ "streams": { "detect": "rtsp://a/1", "main": "rtsp://a/2" }, "analysis_fps": 2.0 });
        let patch = json!({ "streams": { "main": null }, "analysis_fps": null, "detect_size": 320 });
        let patched = CameraSettings::patched(&stored, patch.as_object().unwrap().clone()).unwrap();
        assert_eq!(patched.to_stored(), json!({ "streams": { "detect": "rtsp://a/1" }, "detect_size": 320 }));
        let wrong = json!({ "usb": { "width": "wide" } });
        let told = CameraSettings::patched(&stored, wrong.as_object().unwrap().clone()).unwrap_err();
        let told = serde_json::to_value(told).unwrap();
        assert_eq!(told["errors"][0]["pointer"], "#/settings/usb/width");
    }

    #[test]
    fn the_keys_are_those_of_the_file_but_for_what_stands_elsewhere() {
        let reference = include_str!("../../../configs/rollcall.toml");
        let cameras = &reference[reference.find("\n[[cameras]]").unwrap()..];
        let key = |line: &str| Some(line.trim_start_matches("# ").split_once(" = ")?.0.to_owned());
        let elsewhere = ["id", "room", "username", "password", "password_file", "password_env"];
        let mut of_file: Vec<_> = cameras.lines().filter_map(key).filter(|k| !elsewhere.contains(&&**k)).collect();
        let full = json!({ "usb": {}, "file": {}, "mounting": {} });
        let ours = serde_json::to_value(CameraSettings::of_stored(&full)).unwrap();
        let mut keys = Vec::new();
        for (key, value) in ours.as_object().unwrap() {
            match value {
                Value::Object(inner) => keys.extend(inner.keys().map(|inner| format!("{key}.{inner}"))),
                _ => keys.push(key.clone()),
            }
        }
        of_file.sort_unstable();
        keys.sort_unstable();
        assert_eq!(of_file, keys);
    }
}
