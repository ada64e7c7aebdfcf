//! A camera as it is shown.

use rollcall_pipeline::CameraId;
use rollcall_pipeline::config::{CameraConfig, CameraSource};
use rollcall_store::Camera;
use serde::Serialize;
use utoipa::ToSchema;

use super::settings::CameraSettings;
use crate::ports::cameras::{CameraStatus, Cameras};

/// A camera and how it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CameraView {
    /// Short name.
    #[schema(example = "door-1")]
    pub id: String,
    /// The room it looks into.
    pub room_id: String,
    /// Name for people.
    pub name: String,
    /// Whether it is opened.
    pub enabled: bool,
    /// `api`, or `file` for a camera of the configuration file, which is changed there.
    pub managed_by: &'static str,
    /// How it is opened and analysed. Without credentials.
    pub settings: CameraSettings,
    /// Whether user and password are kept for it.
    pub has_credentials: bool,
    /// For If-Match; null for one of the configuration file.
    pub version: Option<i64>,
    /// How it is at this moment.
    pub status: CameraStatus,
}

impl CameraView {
    pub(super) fn of_file(camera: &CameraConfig, cameras: &dyn Cameras) -> Self {
        let has_credentials = matches!(&camera.streams.detect, CameraSource::Rtsp { username: Some(_), .. });
        Self {
            id: camera.id.to_string(),
            room_id: camera.tuning.room.to_string(),
            name: camera.id.to_string(),
            enabled: true,
            managed_by: "file",
            settings: CameraSettings::of(camera),
            has_credentials,
            version: None,
            status: status(camera.id.as_str(), cameras),
        }
    }

    pub(super) fn of_row(row: Camera, cameras: &dyn Cameras) -> Self {
        // Whoever reads the settings wants to know what is in force. One that does not pass the check any more is shown as
        // it was written.
        let checked = cameras.check(&row.id, &row.room_id, row.settings.clone(), None);
        let settings = match checked {
            Ok(camera) => CameraSettings {
                streams: CameraSettings::of_stored(&row.settings).streams,
                ..CameraSettings::of(&camera)
            },
            Err(_) => CameraSettings::of_stored(&row.settings),
        };
        let status = if row.enabled { status(&row.id, cameras) } else { CameraStatus::of("disabled", None) };
        Self {
            settings,
            id: row.id,
            room_id: row.room_id,
            name: row.name,
            enabled: row.enabled,
            managed_by: "api",
            has_credentials: row.has_credentials,
            version: Some(row.version),
            status,
        }
    }
}

fn status(id: &str, cameras: &dyn Cameras) -> CameraStatus {
    cameras.status(&CameraId::new(id)).unwrap_or_else(|| CameraStatus::of("connecting", None))
}
