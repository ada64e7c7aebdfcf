//! What some counters of the cameras have come to, for whoever writes it down: a recorder takes figures and gives none back.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::CameraId;

/// Of the whole process, as the recorder is; one for each camera that was ever counted for.
static TALLIES: Mutex<BTreeMap<CameraId, Shared>> = Mutex::new(BTreeMap::new());

/// One tally, for all who count for a camera.
pub(super) type Shared = Arc<Mutex<CameraTally>>;

/// What was counted of a camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraTally {
    /// Frames analysed.
    pub frames: u64,
    /// Faces found in them.
    pub faces: u64,
    /// Faces that were not used, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl CameraTally {
    /// What was counted since the same tally was `before`.
    pub fn since(&self, before: &Self) -> Self {
        let more = |now: u64, then: u64| now.saturating_sub(then);
        let rejected = self.rejected.iter().map(|(reason, n)| {
            let then = before.rejected.get(reason).copied().unwrap_or_default();
            (*reason, more(*n, then))
        });
        Self {
            frames: more(self.frames, before.frames),
            faces: more(self.faces, before.faces),
            rejected: rejected.filter(|(_, n)| *n > 0).collect(),
        }
    }
}

/// What was counted of each camera since the process began.
pub fn camera_tallies() -> BTreeMap<CameraId, CameraTally> {
    TALLIES.lock().iter().map(|(camera, tally)| (camera.clone(), tally.lock().clone())).collect()
}

pub(super) fn tally_of(camera: &CameraId) -> Shared {
    Arc::clone(TALLIES.lock().entry(camera.clone()).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::CameraMetrics;

    #[test]
    fn all_who_count_for_a_camera_have_one_tally() {
        let id = CameraId::new("tallied");
        let (mut detect, mut track, mux) = (CameraMetrics::new(&id), CameraMetrics::new(&id), CameraMetrics::new(&id));
        detect.faces_detected(3);
        detect.face_rejected("too_small");
        let before = camera_tallies()[&id].clone();
        assert_eq!((before.faces, before.rejected["too_small"]), (3, 1));
        track.face_rejected("blurred");
        mux.analysed(2);
        let since = camera_tallies()[&id].since(&before);
        assert_eq!(since, CameraTally { frames: 2, faces: 0, rejected: BTreeMap::from([("blurred", 1)]) });
    }
}
