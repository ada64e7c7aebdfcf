//! Whether, and where, the detector need look at a frame. Most of most doors shows what it showed a moment ago.
//!
//! What a frame shows is compared with what was there when it was last *searched*, not with the last frame that came: whoever
//! comes slowly adds up until they are seen. What is compared are means of small blocks of the luma, half as wide as the least
//! face that is asked for, so that noise of single pixels is gone and no face fits between. A shift that all of the picture
//! shares is light, and what half of the picture shows is noise; both are allowed for.
//!
//! Searched are the blocks that changed, and the places of the faces of the last [`HOLD_S`], whether they change or not: trackers,
//! shots and blinks see them in each frame. Elsewhere the detector would say again what it said. Where that is wrong, it is put
//! right within [`CameraTuning::still_interval_s`]: then all of the picture is searched.
//!
//! Whoever comes in is looked for ten times a second at most. At the usual five analysed frames a second that is each of them; at
//! thirty, the frames between go to the faces that are known. While somebody is so near that they fill the picture, most of what
//! moves is them, and it is looked at three times a second at most: of five analysed frames, in every other one.

use std::sync::Arc;

use fast_image_resize::{PixelType, Resizer};
use rollcall_pipeline::{CameraTuning, Detection, Fault, Frame, Image, ImageView, MediaTime, Plane, Point, Rect};

use super::{MAX_FACES, Part, resize_plane};
use crate::track::distance_in_sizes;

/// So long after it was last found the place of a face is searched, seconds of media time: longer than a track outlives its last
/// face.
pub const HOLD_S: f32 = 1.0;
/// Time between two looks at what moves, seconds of media time.
const MOTION_GAP_S: f32 = 0.1;
/// The same while somebody is near: much of the picture moves then, and it is them.
const NEAR_MOTION_GAP_S: f32 = 0.3;
/// A face of this part of the picture's width is near.
const NEAR: f32 = 0.1;
/// The place of a face is larger than the face by this part of it on each side: it may have moved.
const REACH: f32 = 0.25;
/// A face that is found nearer to where one was, in sizes, is that one.
const SAME_PLACE: f32 = 1.0;
/// Places of faces that are kept.
const MOST_FACES: usize = 2 * MAX_FACES;

/// Levels of luma by which the mean of a block may differ before something moved, and more for each level of noise …
const LEAST_LEVELS: u32 = 4;
/// … of which half of the blocks show one or more …
const LEVELS_A_NOISE: u32 = 3;
/// … but never more, so that movement in half of the picture does not pass for noise.
const MOST_LEVELS: u32 = 12;
/// A block is never narrower, in pixels.
const LEAST_BLOCK: f32 = 4.0;
/// Blocks along the longer side, at most.
const MOST_BLOCKS: usize = 240;

/// Where a frame is to be searched, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nowhere.
    Nowhere(Spared),
    /// At these places of the frame, in its pixels.
    Places(Vec<Rect>, Cause),
    /// Everywhere.
    Everywhere(Cause),
}

/// Why a frame is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The gate is off.
    Always,
    /// There is nothing to compare with: the stream began, or its tuning changed.
    First,
    /// A face is there, or was a moment ago.
    Face,
    /// Something moved.
    Motion,
    /// It is time to look at all of it again.
    Interval,
}

/// Why a frame is not searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// Nothing moved.
    Still,
    /// What moves was looked at a moment ago.
    Soon,
}

impl Look {
    /// Whether something moved or somebody is there, or might be: the gate is off.
    pub fn is_stir(&self) -> bool {
        matches!(self, Self::Places(..) | Self::Everywhere(Cause::Always))
    }

    /// The word used in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Nowhere(Spared::Still) => "still",
            Self::Nowhere(Spared::Soon) => "soon",
            Self::Places(_, cause) | Self::Everywhere(cause) => match cause {
                Cause::Always => "always",
                Cause::First => "first",
                Cause::Face => "face",
                Cause::Motion => "motion",
                Cause::Interval => "interval",
            },
        }
    }
}

/// The gate of one stream.
#[derive(Debug, Default)]
pub struct MotionGate {
    scene: Option<Scene>,
    faces: Vec<Place>,
}

/// What was shown where it was last searched.
#[derive(Debug)]
struct Scene {
    /// When all of it was searched last.
    all: MediaTime,
    /// When what moved was searched last.
    moved: MediaTime,
    tuning: Arc<CameraTuning>,
    grid: Grid,
    /// Which blocks count; empty: all.
    watched: Vec<bool>,
}

/// Where a face was found.
#[derive(Clone, Copy, Debug)]
struct Place {
    bbox: Rect,
    at: MediaTime,
}

impl Place {
    fn holds(&self, now: MediaTime) -> bool {
        now.since(self.at).as_secs_f32() < HOLD_S
    }

    fn surroundings(&self) -> Rect {
        let Rect { x, y, w, h } = self.bbox;
        Rect { x: x - REACH * w, y: y - REACH * h, w: (1.0 + 2.0 * REACH) * w, h: (1.0 + 2.0 * REACH) * h }
    }
}

impl MotionGate {
    /// Decides about a frame, and counts on it. Times never decrease within a stream.
    ///
    /// # Errors
    /// When the planes of the picture are shorter than its size says: a bug in the decoder.
    pub fn look(&mut self, grids: &mut Grids, frame: &Frame) -> Result<Look, Fault> {
        let (now, tuning) = (frame.time.media, &frame.tuning);
        if tuning.still_interval_s.is_nan() || tuning.still_interval_s <= 0.0 {
            *self = Self::default();
            return Ok(Look::Everywhere(Cause::Always));
        }
        // Frames do not fall on times to the nanosecond.
        let over = |since: MediaTime, seconds: f32| now.since(since).as_secs_f32() >= seconds - 1e-3;
        self.faces.retain(|face| face.holds(now));
        let mut places: Vec<Rect> = self.faces.iter().map(Place::surroundings).collect();
        let scene = match &mut self.scene {
            Some(scene) if scene.tuning == *tuning && scene.grid.is_of(&frame.image) => scene,
            scene => {
                let grid = grids.make(&frame.image.view(), tuning.min_face_px)?;
                let watched = watched(&grid, tuning);
                *scene = Some(Scene { all: now, moved: now, tuning: Arc::clone(tuning), grid, watched });
                return Ok(Look::Everywhere(Cause::First));
            }
        };
        if over(scene.all, tuning.still_interval_s) {
            let grid = grids.make(&frame.image.view(), tuning.min_face_px)?;
            (scene.all, scene.moved) = (now, now);
            grids.spare = std::mem::replace(&mut scene.grid, grid).means;
            return Ok(Look::Everywhere(Cause::Interval));
        }
        let faces = !places.is_empty();
        let near = NEAR * frame.image.width() as f32;
        let is_near = self.faces.iter().any(|face| face.bbox.w >= near);
        let soon = !over(scene.moved, if is_near { NEAR_MOTION_GAP_S } else { MOTION_GAP_S });
        if !soon {
            let grid = grids.make(&frame.image.view(), tuning.min_face_px)?;
            if scene.changes(&grid.means, &mut grids.changed) {
                scene.moved = now;
                scene.grid.take(&grid.means, &grids.changed);
                places.extend(scene.grid.runs(&grids.changed));
            }
            grids.spare = grid.means;
        }
        Ok(match (faces, places.is_empty()) {
            (true, _) => Look::Places(places, Cause::Face),
            (false, false) => Look::Places(places, Cause::Motion),
            (false, true) => Look::Nowhere(if soon { Spared::Soon } else { Spared::Still }),
        })
    }

    /// These faces were found in the frame.
    pub fn found(&mut self, frame: &Frame, faces: &[Detection]) {
        let is_again = |old: &Place| faces.iter().any(|face| distance_in_sizes(&old.bbox, &face.bbox) < SAME_PLACE);
        self.faces.retain(|old| !is_again(old));
        let at = frame.time.media;
        self.faces.splice(..0, faces.iter().map(|face| Place { bbox: face.bbox, at }));
        self.faces.truncate(MOST_FACES);
    }
}

impl Scene {
    /// Fills in which blocks changed by more than light and noise explain; whether one of them counts.
    fn changes(&self, now: &[u8], changed: &mut Vec<bool>) -> bool {
        const ZERO: usize = 255;
        let before = &self.grid.means;
        let difference = |(before, now): (&u8, &u8)| ZERO + usize::from(*now) - usize::from(*before);
        let mut counts = [0u32; 2 * ZERO + 1];
        before.iter().zip(now).for_each(|pair| counts[difference(pair)] += 1);
        let half = before.len() as u32 / 2;
        let light = median(counts.iter().copied(), half);
        let spread = (0..counts.len()).map(|off| match off {
            0 => counts[light],
            _ => light.checked_sub(off).map_or(0, |i| counts[i]) + counts.get(light + off).copied().unwrap_or(0),
        });
        let noise = median(spread, half) as u32;
        let tolerance = (LEAST_LEVELS + LEVELS_A_NOISE * noise).min(MOST_LEVELS) as usize;
        changed.clear();
        changed.extend(before.iter().zip(now).map(|pair| difference(pair).abs_diff(light) > tolerance));
        // A face is searched whole or not at all, so what changed outside of the regions counts as soon as anything inside does.
        if self.watched.is_empty() {
            changed.contains(&true)
        } else {
            changed.iter().zip(&self.watched).any(|(changed, counts)| *changed && *counts)
        }
    }
}

/// Block means of a picture's luma, row by row.
#[derive(Debug)]
struct Grid {
    columns: usize,
    rows: usize,
    /// Width and height of the picture.
    of: (usize, usize),
    means: Vec<u8>,
}

impl Grid {
    fn is_of(&self, image: &Image) -> bool {
        self.of == (image.width(), image.height())
    }

    /// Takes over the blocks that changed.
    fn take(&mut self, means: &[u8], changed: &[bool]) {
        for ((mine, new), _) in self.means.iter_mut().zip(means).zip(changed).filter(|(_, changed)| **changed) {
            *mine = *new;
        }
    }

    /// What of each row changed and hangs together, in pixels of the picture.
    fn runs(&self, changed: &[bool]) -> impl Iterator<Item = Rect> {
        let (w, h) = (self.of.0 as f32 / self.columns as f32, self.of.1 as f32 / self.rows as f32);
        changed.chunks_exact(self.columns).enumerate().flat_map(move |(row, changed)| {
            let runs = changed.chunk_by(|a, b| a == b).scan(0, |column, run| {
                *column += run.len();
                Some((*column - run.len(), run))
            });
            runs.filter(|(_, run)| run[0]).map(move |(column, run)| Rect {
                x: column as f32 * w,
                y: row as f32 * h,
                w: run.len() as f32 * w,
                h,
            })
        })
    }
}

/// Makes grids; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Grids {
    resizer: Resizer,
    completed: Vec<u8>,
    /// The means of a grid that is not needed any more.
    spare: Vec<u8>,
    /// Which blocks of the frame at hand changed.
    changed: Vec<bool>,
}

impl Grids {
    fn make(&mut self, image: &ImageView<'_>, min_face_px: f32) -> Result<Grid, Fault> {
        let (width, height) = (image.width, image.height);
        let block = (min_face_px / 2.0).max(LEAST_BLOCK).max(width.max(height) as f32 / MOST_BLOCKS as f32);
        let blocks = |side: usize| ((side as f32 / block) as usize).max(1);
        let (columns, rows) = (blocks(width), blocks(height));
        let mut means = std::mem::take(&mut self.spare);
        // Every second row: half the work, and a block has rows enough.
        let luma = &image.planes[0];
        let (plane, half) = match height {
            0 | 1 => (*luma, height),
            _ => (Plane { data: luma.data, stride: luma.stride * 2 }, height / 2),
        };
        let (from, to) = ((width, half), (columns, rows.min(half.max(1))));
        let part = Part::whole(to);
        resize_plane(&mut self.resizer, &mut self.completed, &plane, from, PixelType::U8, part, &mut means)?;
        Ok(Grid { columns: to.0, rows: to.1, of: (width, height), means })
    }
}

/// Index of the first count at which more than `half` are reached.
fn median(counts: impl Iterator<Item = u32>, half: u32) -> usize {
    let mut sum = 0;
    counts
        .take_while(|n| {
            sum += n;
            sum <= half
        })
        .count()
}

/// The blocks at which a face could be whose centre counts; empty where all do.
fn watched(grid: &Grid, tuning: &CameraTuning) -> Vec<bool> {
    let regions = &tuning.regions_of_interest;
    if regions.is_empty() {
        return Vec::new();
    }
    let (columns, rows) = (grid.columns as f32, grid.rows as f32);
    let reach = |side: usize| tuning.min_face_px / side.max(1) as f32;
    let (reach_x, reach_y) = (reach(grid.of.0), reach(grid.of.1));
    let near = |column: usize, row: usize| {
        let (left, right) = (column as f32 / columns - reach_x, (column + 1) as f32 / columns + reach_x);
        let (top, bottom) = (row as f32 / rows - reach_y, (row + 1) as f32 / rows + reach_y);
        let middle = Point { x: (left + right) / 2.0, y: (top + bottom) / 2.0 };
        let corners = [(left, top), (right, top), (left, bottom), (right, bottom)].map(|(x, y)| Point { x, y });
        regions.iter().any(|region| {
            region.contains(middle)
                || corners.iter().any(|&corner| region.contains(corner))
                || region.0.iter().any(|p| (left..=right).contains(&p.x) && (top..=bottom).contains(&p.y))
        })
    };
    (0..grid.rows).flat_map(|row| (0..grid.columns).map(move |column| (column, row))).map(|(c, r)| near(c, r)).collect()
}

#[cfg(test)]
mod tests;
