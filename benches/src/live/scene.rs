//! What the cameras show, and who is known.

use std::path::Path;
use std::time::Duration;

use rollcall_test_camera::{BitRate, Clip, Format, Segment};

use crate::cache;

/// Recordings of the demo, and from which second on: two men in turn, so that each is away for longer than a broken track
/// waits for its continuation.
const VISITS: [(&str, u64); 12] = [
    ("franck.mp4", 1),
    ("cap13_edit2.mp4", 1),
    ("franck.mp4", 9),
    ("cap13_edit2.mp4", 6),
    ("franck.mp4", 18),
    ("cap13_edit2.mp4", 11),
    ("franck.mp4", 31),
    ("cap13_edit2.mp4", 16),
    ("franck.mp4", 38),
    ("cap13_edit2.mp4", 21),
    ("franck.mp4", 43),
    // He comes nearer.
    ("cap13_edit2.mp4", 25),
];
const VISIT: Duration = Duration::from_secs(3);
/// Not a multiple of the time between analysed frames, so that people come at any moment between two of them.
const PAUSE: Duration = Duration::from_millis(1480);
/// Between two visits of a quiet scene.
const QUIET: Duration = Duration::from_millis(12_480);
/// So many rounds of the visits are one film: sampling may come to lie on the film's key frames, and then each of its visits is
/// seen at the same few moments whenever it comes.
const ROUNDS: usize = 3;
/// So long nobody is in view when a recording begins again: its people have left.
const AWAY: Duration = Duration::from_secs(5);

/// A film.
#[derive(Debug)]
pub struct Scene(Vec<Segment>);

impl Scene {
    /// A recording, or the demo's men, one visit after the other.
    pub fn busy(video: Option<&Path>) -> Self {
        let away = |duration| Segment::Blank { duration };
        Self(match video {
            Some(video) => vec![whole(video), away(AWAY)],
            None => visits(ROUNDS).flat_map(|visit| [visit, away(PAUSE)]).collect(),
        })
    }

    /// The same with nobody there for most of the time, but for the noise of the camera.
    pub fn quiet(video: Option<&Path>) -> Self {
        let away = |duration| Segment::Hall { duration };
        Self(match video {
            Some(video) => vec![whole(video), away(QUIET)],
            None => visits(1).flat_map(|visit| [visit, away(QUIET)]).collect(),
        })
    }

    /// As cameras send it.
    ///
    /// # Errors
    /// When a recording cannot be read, or an encoder is missing.
    pub fn encode(&self, format: Format, rate: BitRate) -> anyhow::Result<Clip> {
        Ok(Clip::encode_at(&self.0, format, rate)?)
    }
}

fn whole(video: &Path) -> Segment {
    Segment::Video { path: video.to_owned(), from: Duration::ZERO, to: None }
}

fn visits(rounds: usize) -> impl Iterator<Item = Segment> {
    VISITS.into_iter().cycle().take(rounds * VISITS.len()).map(|(file, second)| {
        let from = Duration::from_secs(second);
        Segment::Video { path: cache().join("demo").join(file), from, to: Some(from + VISIT) }
    })
}
