//! Which boxes and words are drawn into a frame, and where.

use std::borrow::Cow;

use parking_lot::Mutex;
use rollcall_pipeline::{Image, PersonId, Rect, TrackId};

use super::canvas::{Area, Canvas, Colour, LINE};
use super::seats::Job;
use super::watch::Overlay;
use super::who::{Said, Who};

/// Nobody knows yet.
const AMBER: Colour = Colour([170, 48, 160]);
/// Recognised.
const GREEN: Colour = Colour([145, 72, 58]);
/// Not recognised.
const RED: Colour = Colour([90, 102, 216]);
const BLACK: Colour = Colour([16, 128, 128]);
const WHITE: Colour = Colour([235, 128, 128]);
/// Longer names are cut.
const MAX_CHARS: usize = 40;

/// A face as it is drawn.
pub(super) struct Face {
    bbox: Rect,
    colour: Colour,
    /// For those who may not see names …
    plain: String,
    /// … and for those who may.
    named: String,
}

/// What is to be said about the faces of a frame, as far as it is known now.
pub(super) fn label(job: &Job, who: &Mutex<Who>, name_of: &dyn Fn(PersonId) -> Option<String>) -> Vec<Face> {
    if job.outlets.iter().all(|o| o.overlay == Overlay::None) {
        return Vec::new();
    }
    let names_wanted = job.outlets.iter().any(|o| o.overlay == Overlay::Names);
    // Names are looked up, and drawn, without the lock that the match stage takes.
    let known: Vec<_> = {
        let who = who.lock();
        job.tracks.iter().map(|seen| (seen.bbox, who.is(&job.frame.key, seen.track))).collect()
    };
    known
        .into_iter()
        .map(|(bbox, (track, said))| {
            let id = number(track);
            let (colour, state, name) = match said {
                Said::Undecided => (AMBER, None, None),
                Said::NotRecognised => (RED, Some("not recognised"), None),
                Said::Recognised(person) => {
                    (GREEN, Some("recognised"), names_wanted.then(|| name_of(person)).flatten())
                }
            };
            let text = |word: Option<&str>| word.map_or_else(|| id.clone(), |word| format!("{id} {word}"));
            let plain = text(state);
            let named = name.map_or_else(|| plain.clone(), |name| text(Some(&cut(&name))));
            Face { bbox, colour, plain, named }
        })
        .collect()
}

/// The picture with what its viewers may see. `image` is what the boxes were measured in.
pub(super) fn overlaid<'a>(plain: &'a Canvas, image: &Image, overlay: Overlay, faces: &[Face]) -> Cow<'a, Canvas> {
    if overlay == Overlay::None || faces.is_empty() {
        return Cow::Borrowed(plain);
    }
    let mut canvas = plain.clone();
    let scale = (canvas.width() as f32 / image.width() as f32, canvas.height() as f32 / image.height() as f32);
    let thickness = if canvas.width() >= 960 { 3 } else { 2 };
    for face in faces {
        let area = area(&face.bbox, scale);
        canvas.outline(area, thickness, face.colour);
    }
    // All of them above all boxes.
    for face in faces {
        let area = area(&face.bbox, scale);
        let text = if overlay == Overlay::Names { &face.named } else { &face.plain };
        canvas.label(text, area.left, area.top - LINE as i32 - 2, WHITE, BLACK);
    }
    Cow::Owned(canvas)
}

fn area(bbox: &Rect, (x, y): (f32, f32)) -> Area {
    // A picture is at most some thousand pixels long; what lies far outside need not be told apart.
    let pixel = |v: f32| v.round().clamp(-20_000.0, 20_000.0) as i32;
    Area {
        left: pixel(bbox.x * x),
        top: pixel(bbox.y * y),
        right: pixel((bbox.x + bbox.w) * x),
        bottom: pixel((bbox.y + bbox.h) * y),
    }
}

/// A track's number; behind a cut it is that of the motion track with the number of the cut (see [`crate::matching`]).
fn number(track: TrackId) -> String {
    match (track.0 & u64::from(u32::MAX), track.0 >> 32) {
        (motion, 0) => format!("#{motion}"),
        (motion, cut) => format!("#{motion}.{cut}"),
    }
}

fn cut(name: &str) -> String {
    if name.chars().count() <= MAX_CHARS {
        return name.to_owned();
    }
    name.chars().take(MAX_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_where_a_track_was_cut() {
        assert_eq!(number(TrackId(12)), "#12");
        assert_eq!(number(TrackId(12 | 3 << 32)), "#12.3");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(cut("Zoë"), "Zoë");
        assert_eq!(cut(&"李".repeat(100)).chars().count(), MAX_CHARS);
    }
}
