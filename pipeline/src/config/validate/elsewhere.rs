//! Cameras that do not stand in the file: the same check, and what may come from the network is less.

use std::collections::HashMap;
use std::path::{Component, Path};

use serde::Deserializer;

use super::super::camera::{CameraConfig, CameraSource};
use super::super::load::display;
use super::super::problem::Problem;
use super::super::raw::RawCamera;
use super::super::secret::Secret;
use super::super::types::{Blink, Config};
use super::cameras;
use super::check::Checker;

/// Where the keys stand, in problems.
const AT: &str = "settings";

impl Config {
    /// Checks a camera that does not stand in the file: `settings` has the keys of a `[[cameras]]` table without those that
    /// say which camera it is, which room it looks into, and who may log in to it. Those are given beside it; whether the room
    /// is there is the caller's business. It may name no files but those below `server.media_dir`, and no devices but video.
    ///
    /// # Errors
    /// Every problem, with its key behind `settings`, such as `settings.streams.detect`.
    pub fn camera<'de>(
        &self,
        id: &str,
        room: &str,
        settings: impl Deserializer<'de>,
        credentials: Option<(String, Secret)>,
    ) -> Result<CameraConfig, Vec<Problem>> {
        let mut raw: RawCamera = serde_path_to_error::deserialize(settings).map_err(|error| {
            let segments: Vec<_> = error.path().iter().cloned().collect();
            let path = format!("{AT}.{}", display(&segments)).trim_end_matches(['.', '?']).to_owned();
            // Where it came from has checked the types already, and a value may be a secret.
            vec![Problem { path, message: "has the wrong shape".to_owned() }]
        })?;
        let env = HashMap::new();
        let media_dir = self.server.media_dir.as_deref();
        let mut c = Checker::new(media_dir.unwrap_or(Path::new("")), &env, Vec::new());
        for (key, given) in [
            ("id", raw.id.is_some()),
            ("room", raw.room.is_some()),
            ("username", raw.username.is_some()),
            ("password", raw.password.is_some()),
            ("password_file", raw.password_file.is_some()),
            ("password_env", raw.password_env.is_some()),
        ] {
            if given {
                c.add(format!("{AT}.{key}"), "does not belong here: remove it");
            }
        }
        (raw.id, raw.room) = (Some(id.to_owned()), Some(room.to_owned()));
        (raw.password_file, raw.password_env) = (None, None);
        (raw.username, raw.password) = credentials.unzip();
        let camera = cameras::one(&mut c, AT, &raw);
        if self.liveness.enabled && self.liveness.blink == Blink::Required {
            cameras::blinks_can_be_seen(&mut c, AT, &raw);
        }
        if let Some(camera) = &camera {
            may_be_opened(&mut c, "detect", &camera.streams.detect, media_dir);
            camera.streams.main.iter().for_each(|main| may_be_opened(&mut c, "main", main, media_dir));
        }
        let problems = c.into_problems();
        camera.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// Whoever may make cameras may not read any file of this machine with them.
fn may_be_opened(c: &mut Checker<'_>, stream: &str, source: &CameraSource, media_dir: Option<&Path>) {
    let path = format!("{AT}.streams.{stream}");
    match (source, media_dir) {
        (CameraSource::Rtsp { .. }, _) => {}
        (CameraSource::Usb { device, .. }, _) => {
            let number = device.to_str().and_then(|device| device.strip_prefix("/dev/video"));
            if !number.is_some_and(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit())) {
                c.add(path, "is no video device: write it as \"v4l2:///dev/video0\"");
            }
        }
        (CameraSource::File { .. }, None) => {
            c.add(path, "names a file, and server.media_dir, below which files have to lie, is not configured");
        }
        (CameraSource::File { path: file, .. }, Some(dir)) => {
            if !is_below(file, dir) {
                c.add(path, "names a file outside of server.media_dir: put it there, and write its path from there on");
            }
        }
    }
}

/// Whether a file lies below a directory, also behind links. One that is not there yet is judged by its name.
fn is_below(file: &Path, dir: &Path) -> bool {
    let climbs = file.components().any(|part| matches!(part, Component::ParentDir));
    let real = match (file.canonicalize(), dir.canonicalize()) {
        (Ok(file), Ok(dir)) => file.starts_with(dir),
        _ => true,
    };
    !climbs && file.starts_with(dir) && real
}
