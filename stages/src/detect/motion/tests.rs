use std::time::Duration;

use proptest::prelude::*;
use rollcall_pipeline::image::I420;
use rollcall_pipeline::{
    CameraId, Epoch, FrameTime, Image, MonoTime, Polygon, RoomId, StreamKey, TimeSource, WallTime,
};
use uuid::Uuid;

use super::*;
use crate::track::TrackerSettings;

const SIZE: (usize, usize) = (320, 180);
const INTERVAL_S: f32 = 2.0;

fn tuning(regions_of_interest: Vec<Polygon>) -> Arc<CameraTuning> {
    Arc::new(CameraTuning {
        room: RoomId::new("hall"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: INTERVAL_S,
        regions_of_interest,
        privacy_masks: Vec::new(),
    })
}

/// A gate and the frames it gets, five a second.
struct Door {
    gate: MotionGate,
    grids: Grids,
    tuning: Arc<CameraTuning>,
    seq: u64,
}

impl Door {
    fn new() -> Self {
        Self::with(tuning(Vec::new()))
    }

    fn with(tuning: Arc<CameraTuning>) -> Self {
        Self { gate: MotionGate::default(), grids: Grids::default(), tuning, seq: 0 }
    }

    fn sees(&mut self, luma: &[u8]) -> Look {
        self.sees_face(luma, false)
    }

    fn sees_face(&mut self, luma: &[u8], face: bool) -> Look {
        let mut image = I420::filled(SIZE.0, SIZE.1, [0, 128, 128]);
        image.planes_mut()[0].copy_from_slice(luma);
        let media = MediaTime(self.seq * 200_000_000);
        let frame = Frame {
            key: StreamKey { camera: CameraId::new("door"), epoch: Epoch(Uuid::nil()) },
            seq: self.seq,
            time: FrameTime {
                media,
                received: MonoTime(Duration::ZERO),
                captured: WallTime::UNIX_EPOCH,
                source: TimeSource::File,
            },
            image: Image::new(image),
            tuning: Arc::clone(&self.tuning),
        };
        self.seq += 1;
        let look = self.gate.look(&mut self.grids, &frame).expect("the planes are whole");
        if look != Look::Still && face {
            self.gate.found(&frame);
        }
        look
    }
}

/// An empty hall: slopes and edges.
fn hall() -> Vec<u8> {
    let level = |x: usize, y: usize| 60 + (x * 80 / SIZE.0) + if (x / 37 + y / 29).is_multiple_of(2) { 30 } else { 0 };
    (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| level(x, y) as u8)).collect()
}

/// The same with a patch of `side` pixels that differs by `by` levels.
fn patched(luma: &[u8], (left, top): (usize, usize), side: usize, by: i32) -> Vec<u8> {
    let mut luma = luma.to_vec();
    for y in top..(top + side).min(SIZE.1) {
        for x in left..(left + side).min(SIZE.0) {
            let at = y * SIZE.0 + x;
            luma[at] = (i32::from(luma[at]) + by).clamp(0, 255) as u8;
        }
    }
    luma
}

/// The same with noise: each pixel differs by up to `most` levels, otherwise in each frame.
fn noisy(luma: &[u8], most: i32, seed: u32) -> Vec<u8> {
    let noise = |i: usize| {
        let n = (i as u32).wrapping_add(seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
        let n = (n ^ (n >> 13)).wrapping_mul(0xc2b2_ae35);
        ((n ^ (n >> 16)) % (2 * most as u32 + 1)) as i32 - most
    };
    luma.iter().enumerate().map(|(i, &y)| (i32::from(y) + noise(i)).clamp(0, 255) as u8).collect()
}

#[test]
fn an_empty_hall_is_searched_at_the_interval_alone() {
    let mut door = Door::new();
    let looks: Vec<Look> = (0..31).map(|_| door.sees(&hall())).collect();
    for (i, look) in looks.iter().enumerate() {
        let expected = match i {
            0 => Look::First,
            10 | 20 | 30 => Look::Interval,
            _ => Look::Still,
        };
        assert_eq!(*look, expected, "frame {i}");
    }
}

#[test]
fn a_face_that_stands_still_is_searched_in_every_frame_and_for_longer_than_its_track_lives() {
    let mut door = Door::new();
    assert_eq!(door.sees_face(&hall(), true), Look::First);
    for _ in 0..50 {
        assert_eq!(door.sees_face(&hall(), true), Look::Face);
    }
    let after: Vec<Look> = (0..7).map(|_| door.sees(&hall())).collect();
    assert_eq!(after[..4], [Look::Face; 4]);
    assert_eq!(after[4..], [Look::First, Look::Still, Look::Still]);
    assert!(HOLD_S > TrackerSettings::default().max_lost_s, "a gated frame must not end a track");
}

#[test]
fn noise_and_light_do_not_wake() {
    let mut door = Door::new();
    assert_eq!(door.sees(&noisy(&hall(), 12, 0)), Look::First);
    for i in 1..10 {
        assert_eq!(door.sees(&noisy(&hall(), 12, i)), Look::Still, "noise, frame {i}");
    }
    let mut door = Door::new();
    door.sees(&hall());
    for by in [-20, -8, 3, 15, 40] {
        assert_eq!(door.sees(&patched(&hall(), (0, 0), SIZE.0, by)), Look::Still, "light {by}");
    }
}

#[test]
fn whoever_comes_slowly_adds_up() {
    let mut door = Door::new();
    door.sees(&hall());
    // One level of contrast more in each frame: no two frames in a row differ by enough.
    let looks: Vec<Look> = (1..9).map(|by| door.sees(&patched(&hall(), (100, 60), 40, by))).collect();
    assert_eq!(looks.iter().filter(|l| **l == Look::Motion).count(), 1, "{looks:?}");
    assert_eq!(looks[0], Look::Still);
}

#[test]
fn movement_in_most_of_the_picture_does_not_pass_for_noise() {
    let mut door = Door::new();
    door.sees(&hall());
    let shifted: Vec<u8> = hall().chunks(SIZE.0).flat_map(|row| [&row[20..], &row[..20]].concat()).collect();
    assert_eq!(door.sees(&shifted), Look::Motion);
}

#[test]
fn what_moves_outside_of_the_regions_does_not_wake() {
    let corners = [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0)];
    let left = Polygon(corners.map(|(x, y)| Point { x, y }).to_vec());
    let mut door = Door::with(tuning(vec![left]));
    door.sees(&hall());
    assert_eq!(door.sees(&patched(&hall(), (200, 60), 60, 60)), Look::Still);
    assert_eq!(door.sees(&patched(&hall(), (120, 60), 30, 60)), Look::Motion, "its middle may be inside");
}

#[test]
fn a_new_tuning_or_size_begins_anew_and_no_interval_means_always() {
    let mut door = Door::new();
    door.sees(&hall());
    door.tuning = Arc::new(CameraTuning { min_face_px: 30.0, ..(*door.tuning).clone() });
    assert_eq!([door.sees(&hall()), door.sees(&hall())], [Look::First, Look::Still]);
    door.tuning = Arc::new(CameraTuning { still_interval_s: 0.0, ..(*door.tuning).clone() });
    assert_eq!([door.sees(&hall()), door.sees(&hall())], [Look::Always, Look::Always]);
}

#[test]
fn tiny_pictures_have_a_grid() {
    for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 3)] {
        let image = Image::new(I420::filled(width, height, [9, 128, 128]));
        let grid = Grids::default().make(&image.view(), 24.0).expect("the planes are whole");
        assert_eq!(grid.means, [9], "{width}x{height}");
    }
}

proptest! {
    /// The least face that is asked for wakes wherever it appears, through noise, if it differs from what was there.
    #[test]
    fn the_least_face_wakes_wherever_it_appears(
        left in 0..SIZE.0 - 24, top in 0..SIZE.1 - 24, by in prop_oneof![-90i32..-16, 16..90], most in 1i32..8, seed in any::<u32>(),
    ) {
        let mut door = Door::new();
        door.sees(&noisy(&hall(), most, seed));
        let here = patched(&hall(), (left, top), 24, by);
        prop_assert_eq!(door.sees(&noisy(&here, most, seed.wrapping_add(1))), Look::Motion);
    }

    /// Whatever is shown, no frame without a search lies further from the last search than the interval.
    #[test]
    fn a_search_is_never_further_away_than_the_interval(
        changes in prop::collection::vec((0..SIZE.0, 0..SIZE.1, 1usize..40, -60i32..60, any::<bool>()), 1..60),
    ) {
        let mut door = Door::new();
        let mut last = 0;
        for (i, (x, y, side, by, face)) in changes.into_iter().enumerate() {
            let look = door.sees_face(&patched(&hall(), (x, y), side, by), face);
            if look != Look::Still {
                last = i;
            }
            prop_assert!((i - last) as f32 * 0.2 < INTERVAL_S, "frame {i}, last search {last}");
        }
    }
}
