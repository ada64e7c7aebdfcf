//! Whether the detector need look at a frame at all. Most frames of most doors show what the one before showed.
//!
//! A frame is compared with the last one that was *searched*, not with the last one that came: whoever comes slowly adds up
//! until they are seen. What is compared are means of small blocks of the luma, half as wide as the least face that is asked
//! for, so that noise of single pixels is gone and no face fits between. A shift that all of the picture shares is light, and
//! what half of the picture shows is noise; both are allowed for.
//!
//! The gate never guesses where faces are. While one is there, and for [`HOLD_S`] after, each frame is searched, so trackers,
//! shots and blinks see what they would see without it. After that no track is alive, and "no face" is what the detector would
//! say of the same picture again. Where that is wrong, it is put right within [`CameraTuning::still_interval_s`].

use std::sync::Arc;

use fast_image_resize::{PixelType, Resizer};
use rollcall_pipeline::{CameraTuning, Fault, Frame, ImageView, MediaTime, Plane, Point};

use super::resize_plane;

/// So long after the last face each frame is searched, seconds of media time: longer than a track outlives its last face.
pub const HOLD_S: f32 = 1.0;

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

/// Why a frame is searched, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The gate is off.
    Always,
    /// There is nothing to compare with: the stream began, its tuning changed, or a face was there until now.
    First,
    /// A face is there, or was a moment ago.
    Face,
    /// Something moved.
    Motion,
    /// It is time to look again.
    Interval,
    /// Nothing moved: the frame is not searched.
    Still,
}

impl Look {
    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::First => "first",
            Self::Face => "face",
            Self::Motion => "motion",
            Self::Interval => "interval",
            Self::Still => "still",
        }
    }
}

/// The gate of one stream.
#[derive(Debug, Default)]
pub struct MotionGate {
    scene: Option<Scene>,
    last_face: Option<MediaTime>,
}

/// What the last frame that was searched showed.
#[derive(Debug)]
struct Scene {
    at: MediaTime,
    tuning: Arc<CameraTuning>,
    grid: Grid,
    /// Which blocks count; empty: all.
    watched: Vec<bool>,
}

impl MotionGate {
    /// Decides about a frame; what is not [`Look::Still`] has to be searched. Times never decrease within a stream.
    ///
    /// # Errors
    /// When the planes of the picture are shorter than its size says: a bug in the decoder.
    pub fn look(&mut self, grids: &mut Grids, frame: &Frame) -> Result<Look, Fault> {
        let (now, tuning) = (frame.time.media, &frame.tuning);
        if tuning.still_interval_s.is_nan() || tuning.still_interval_s <= 0.0 {
            *self = Self::default();
            return Ok(Look::Always);
        }
        if self.last_face.is_some_and(|seen| now.since(seen).as_secs_f32() < HOLD_S) {
            // Not worth a grid: the next frame is most likely searched, too.
            self.scene = None;
            return Ok(Look::Face);
        }
        let grid = grids.make(&frame.image.view(), tuning.min_face_px)?;
        let look = match &self.scene {
            Some(scene) if scene.tuning == *tuning && scene.grid.same_shape(&grid) => {
                // Frames do not fall on the interval to the nanosecond.
                if now.since(scene.at).as_secs_f32() >= tuning.still_interval_s - 1e-3 {
                    Look::Interval
                } else if moved(&scene.grid.means, &grid.means, &scene.watched) {
                    Look::Motion
                } else {
                    Look::Still
                }
            }
            _ => Look::First,
        };
        match (look, &mut self.scene) {
            (Look::Still, _) => grids.spare = grid.means,
            (Look::First, scene) => {
                let watched = watched(&grid, tuning);
                *scene = Some(Scene { at: now, tuning: Arc::clone(tuning), grid, watched });
            }
            (_, Some(scene)) => {
                scene.at = now;
                grids.spare = std::mem::replace(&mut scene.grid, grid).means;
            }
            (_, None) => {}
        }
        Ok(look)
    }

    /// A face that counts was found in the frame.
    pub fn found(&mut self, frame: &Frame) {
        self.last_face = Some(frame.time.media);
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
    fn same_shape(&self, other: &Self) -> bool {
        (self.columns, self.rows, self.of) == (other.columns, other.rows, other.of)
    }
}

/// Makes grids; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Grids {
    resizer: Resizer,
    completed: Vec<u8>,
    /// The means of a grid that is not needed any more.
    spare: Vec<u8>,
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
        resize_plane(&mut self.resizer, &mut self.completed, &plane, from, PixelType::U8, to, &mut means)?;
        Ok(Grid { columns: to.0, rows: to.1, of: (width, height), means })
    }
}

/// Whether a block that counts changed by more than light and noise explain.
fn moved(before: &[u8], now: &[u8], watched: &[bool]) -> bool {
    const ZERO: usize = 255;
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
    let mut changed = before.iter().zip(now).map(|pair| difference(pair).abs_diff(light) > tolerance);
    if watched.is_empty() {
        changed.any(|c| c)
    } else {
        changed.zip(watched).any(|(changed, &counts)| changed && counts)
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
