use std::time::Duration;

use proptest::prelude::*;
use rollcall_pipeline::image::I420;
use rollcall_pipeline::{
    Attention, CameraId, Epoch, FrameTime, Image, MonoTime, Polygon, RoomId, StreamKey, TimeSource, WallTime,
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

/// A face in the hall.
const FACE: [Rect; 1] = [Rect { x: 100.0, y: 60.0, w: 30.0, h: 40.0 }];

/// A gate and the frames it gets.
struct Door {
    gate: MotionGate,
    grids: Grids,
    tuning: Arc<CameraTuning>,
    seq: u64,
    fps: u64,
}

impl Door {
    fn new() -> Self {
        Self::with(tuning(Vec::new()))
    }

    fn with(tuning: Arc<CameraTuning>) -> Self {
        Self { gate: MotionGate::default(), grids: Grids::default(), tuning, seq: 0, fps: 5 }
    }

    /// Why the next frame is searched, or not.
    fn sees(&mut self, luma: &[u8]) -> &'static str {
        self.look(luma, &[]).as_str()
    }

    fn sees_face(&mut self, luma: &[u8], face: bool) -> &'static str {
        self.look(luma, if face { &FACE } else { &[] }).as_str()
    }

    /// The next frame, in which these faces are, if it is searched.
    fn look(&mut self, luma: &[u8], faces: &[Rect]) -> Look {
        let mut image = I420::filled(SIZE.0, SIZE.1, [0, 128, 128]);
        image.planes_mut()[0].copy_from_slice(luma);
        let media = MediaTime(self.seq * 1_000_000_000 / self.fps);
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
            attention: Attention::default(),
        };
        self.seq += 1;
        let look = self.gate.look(&mut self.grids, &frame).expect("the planes are whole");
        if !matches!(look, Look::Nowhere(_)) {
            let detection = |&bbox: &Rect| Detection { bbox, score: 0.9, landmarks: Default::default() };
            self.gate.found(&frame, &faces.iter().map(detection).collect::<Vec<_>>());
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
    let looks: Vec<_> = (0..31).map(|_| door.sees(&hall())).collect();
    for (i, look) in looks.iter().enumerate() {
        let expected = match i {
            0 => "first",
            10 | 20 | 30 => "interval",
            _ => "still",
        };
        assert_eq!(*look, expected, "frame {i}");
    }
}

#[test]
fn a_face_that_stands_still_is_searched_in_every_frame_and_for_longer_than_its_track_lives() {
    let mut door = Door::new();
    let looks: Vec<_> = (0..51).map(|_| door.sees_face(&hall(), true)).collect();
    for (i, look) in looks.into_iter().enumerate() {
        let expected = match i {
            0 => "first",
            10 | 20 | 30 | 40 | 50 => "interval",
            _ => "face",
        };
        assert_eq!(look, expected, "frame {i}");
    }
    let after: Vec<_> = (0..7).map(|_| door.sees(&hall())).collect();
    assert_eq!(after[..4], ["face"; 4]);
    assert_eq!(after[4..], ["still"; 3]);
    assert!(HOLD_S > TrackerSettings::default().max_lost_s, "a gated frame must not end a track");
}

fn places(look: Look) -> Vec<Rect> {
    match look {
        Look::Places(places, _) => places,
        other => panic!("{other:?} instead of places"),
    }
}

/// The least box around all of them.
fn around(places: &[Rect]) -> Rect {
    let least = |of: fn(&Rect) -> f32| places.iter().map(of).fold(f32::INFINITY, f32::min);
    let most = |of: fn(&Rect) -> f32| places.iter().map(of).fold(f32::NEG_INFINITY, f32::max);
    let (x, y) = (least(|r| r.x), least(|r| r.y));
    Rect { x, y, w: most(|r| r.x + r.w) - x, h: most(|r| r.y + r.h) - y }
}

#[test]
fn what_changed_is_searched_and_nothing_else() {
    let mut door = Door::new();
    door.sees(&hall());
    let there = patched(&hall(), (200, 60), 48, 60);
    let found = around(&places(door.look(&there, &[])));
    let patch = Rect { x: 200.0, y: 60.0, w: 48.0, h: 48.0 };
    // To the blocks at its edges.
    assert!(found.iou(&patch) > 0.5 && found.intersection(&patch) > 0.9 * patch.area(), "{found:?}");
    assert_eq!(door.sees(&there), "still", "it was searched");
}

#[test]
fn a_face_is_searched_for_where_it_was_also_if_others_move() {
    let mut door = Door::new();
    door.look(&hall(), &FACE);
    let moved = places(door.look(&patched(&hall(), (250, 10), 30, 60), &[]));
    let holds = |p: &Rect, inner: &Rect| p.intersection(inner) == inner.area();
    assert!(holds(&moved[0], &FACE[0]) && moved[0].area() < 5.0 * FACE[0].area(), "{moved:?}");
    assert!(moved[1..].iter().any(|p| p.x > 240.0) && moved[1..].iter().all(|p| p.x > 230.0), "{moved:?}");
    // It is found a little further on: one place, not two.
    let on = Rect { x: FACE[0].x + 10.0, ..FACE[0] };
    door.look(&hall(), &[on]);
    assert_eq!(door.gate.faces.len(), 1);
}

#[test]
fn between_two_looks_at_what_moves_the_faces_are_searched_for_alone() {
    let mut door = Door { fps: 30, ..Door::new() };
    door.sees(&hall());
    let walks = |i: u64| patched(&hall(), (10 * i as usize, 100), 40, 60);
    let looks: Vec<_> = (1..13).map(|i| door.sees(&walks(i))).collect();
    assert_eq!(looks, ["soon", "soon", "motion"].repeat(4));
    let mut door = Door { fps: 30, ..Door::new() };
    door.look(&hall(), &FACE);
    let counts: Vec<_> = (1..7).map(|i| places(door.look(&walks(i), &FACE)).len() > 1).collect();
    assert_eq!(counts, [false, false, true, false, false, true]);
}

#[test]
fn while_somebody_is_near_what_moves_is_looked_at_in_every_other_frame() {
    let counts = |face: Rect| {
        let mut door = Door::new();
        door.look(&hall(), &[face]);
        let walks = |i: u64| patched(&hall(), (30 * i as usize, 130), 40, 60);
        (1..7).map(|i| places(door.look(&walks(i), &[face])).len() > 1).collect::<Vec<_>>()
    };
    let near = Rect { x: 200.0, y: 10.0, w: 32.0, h: 40.0 };
    assert_eq!(counts(near), [false, true, false, true, false, true]);
    assert_eq!(counts(Rect { w: 31.0, ..near }), [true; 6]);
}

#[test]
fn noise_and_light_do_not_wake() {
    let mut door = Door::new();
    assert_eq!(door.sees(&noisy(&hall(), 12, 0)), "first");
    for i in 1..10 {
        assert_eq!(door.sees(&noisy(&hall(), 12, i)), "still", "noise, frame {i}");
    }
    let mut door = Door::new();
    door.sees(&hall());
    for by in [-20, -8, 3, 15, 40] {
        assert_eq!(door.sees(&patched(&hall(), (0, 0), SIZE.0, by)), "still", "light {by}");
    }
}

#[test]
fn whoever_comes_slowly_adds_up() {
    let mut door = Door::new();
    door.sees(&hall());
    // One level of contrast more in each frame: no two frames in a row differ by enough.
    let looks: Vec<_> = (1..9).map(|by| door.sees(&patched(&hall(), (100, 60), 40, by))).collect();
    assert_eq!(looks[..5], ["still", "still", "still", "still", "motion"]);
}

#[test]
fn movement_in_most_of_the_picture_does_not_pass_for_noise() {
    let mut door = Door::new();
    door.sees(&hall());
    let shifted: Vec<u8> = hall().chunks(SIZE.0).flat_map(|row| [&row[20..], &row[..20]].concat()).collect();
    assert_eq!(door.sees(&shifted), "motion");
}

#[test]
fn what_moves_outside_of_the_regions_does_not_wake() {
    let corners = [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0)];
    let left = Polygon(corners.map(|(x, y)| Point { x, y }).to_vec());
    let mut door = Door::with(tuning(vec![left]));
    door.sees(&hall());
    assert_eq!(door.sees(&patched(&hall(), (200, 60), 60, 60)), "still");
    assert_eq!(door.sees(&patched(&hall(), (120, 60), 30, 60)), "motion", "its middle may be inside");
}

#[test]
fn a_new_tuning_or_size_begins_anew_and_no_interval_means_always() {
    let mut door = Door::new();
    door.sees(&hall());
    door.tuning = Arc::new(CameraTuning { min_face_px: 30.0, ..(*door.tuning).clone() });
    assert_eq!([door.sees(&hall()), door.sees(&hall())], ["first", "still"]);
    door.tuning = Arc::new(CameraTuning { still_interval_s: 0.0, ..(*door.tuning).clone() });
    assert_eq!([door.sees(&hall()), door.sees(&hall())], ["always", "always"]);
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
        prop_assert_eq!(door.sees(&noisy(&here, most, seed.wrapping_add(1))), "motion");
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
            if look != "still" {
                last = i;
            }
            prop_assert!((i - last) as f32 * 0.2 < INTERVAL_S, "frame {i}, last search {last}");
        }
    }
}
