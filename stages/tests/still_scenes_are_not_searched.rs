//! The detect and the track stage over scenes in which little happens: what the detector is spared, and that nobody is lost.

mod vision;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_pipeline::image::I420;
use rollcall_pipeline::ports::{FaceDetector, NoObserver, Observer};
use rollcall_pipeline::{
    CameraTuning, Detection, Fault, Frame, Image, Outbox, Point, Rect, Stage as _, TrackEnd, Tracked,
};
use rollcall_stages::detect::DetectStage;
use rollcall_stages::track::{ShotSettings, TrackSettings, TrackStage, TrackerSettings};

const SIZE: (usize, usize) = (640, 360);

/// Finds the bright square that [`scene`] draws, and counts how often it looked.
struct Square(Arc<AtomicU64>);

impl FaceDetector for Square {
    fn detect(&mut self, frame: &Frame) -> Result<Vec<Detection>, Fault> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let view = frame.image.view();
        let bright = |i: &usize| view.planes[0].data[*i] > 180;
        let Some(first) = (0..SIZE.0 * SIZE.1).find(bright) else { return Ok(Vec::new()) };
        let (x, y) = ((first % SIZE.0) as f32, (first / SIZE.0) as f32);
        let at = |dx: f32, dy: f32| Point { x: x + 60.0 * dx, y: y + 60.0 * dy };
        let landmarks = [at(0.3, 0.4), at(0.7, 0.4), at(0.5, 0.6), at(0.35, 0.8), at(0.65, 0.8)];
        Ok(vec![Detection { bbox: Rect { x, y, w: 60.0, h: 60.0 }, score: 0.9, landmarks }])
    }
}

/// A grey hall, with a square of 60 pixels at `face`.
fn scene(face: Option<(usize, usize)>) -> Image {
    let mut image = I420::filled(SIZE.0, SIZE.1, [90, 128, 128]);
    if let Some((left, top)) = face {
        for row in image.planes_mut()[0].chunks_exact_mut(SIZE.0).skip(top).take(60) {
            row[left..left + 60].fill(200);
        }
    }
    Image::new(image)
}

/// What became of a film of five frames a second.
struct Shown {
    searches: u64,
    still: u64,
    ends: Vec<TrackEnd>,
    ticks: usize,
}

#[derive(Default)]
struct Still(AtomicU64);

impl Observer for Still {
    fn searched(&self, _frame: &Frame, part: f32) {
        self.0.fetch_add(u64::from(part == 0.0), Ordering::Relaxed);
    }
}

fn show(tuning: &CameraTuning, film: &[Option<(usize, usize)>]) -> Shown {
    let (searches, still) = (Arc::new(AtomicU64::new(0)), Arc::new(Still::default()));
    let mut detect = DetectStage::new(Square(Arc::clone(&searches)));
    let settings = TrackSettings {
        tracker: TrackerSettings::default(),
        shots: ShotSettings::default(),
        liveness: None,
        eyes_min_face_px: None,
    };
    let watching: Vec<Arc<dyn Observer>> = vec![Arc::new(NoObserver), Arc::clone(&still) as _];
    let mut track = TrackStage::new(settings, Arc::new(watching));
    let key = vision::stream(1);
    detect.on_open(&key).expect("a detector that never fails");
    track.on_open(&key).expect("a detector that never fails");
    let (mut faces, mut tracked) = (Outbox::collecting(), Outbox::collecting());
    for (seq, face) in film.iter().enumerate() {
        detect
            .process(vec![vision::frame(seq as u64, scene(*face), tuning.clone())], &mut faces)
            .expect("a detector that never fails");
        let found = faces.take();
        assert_eq!(found.len(), 1, "each frame goes on, searched or not");
        assert_eq!(found[0].frame.seq, seq as u64);
        track.process(found, &mut tracked).expect("a detector that never fails");
    }
    track.on_close(&key, &mut tracked).expect("a detector that never fails");
    let (mut ends, mut ticks) = (Vec::new(), 0);
    for item in tracked.take() {
        match item {
            Tracked::Ended(end) => ends.push(end),
            Tracked::Tick(..) => ticks += 1,
            Tracked::Shot(_) | Tracked::Eyes(_) => {}
        }
    }
    let still = still.0.load(Ordering::Relaxed);
    Shown { searches: searches.load(Ordering::Relaxed), still, ends, ticks }
}

fn gated() -> CameraTuning {
    CameraTuning { still_interval_s: 2.0, ..vision::tuning() }
}

#[test]
fn an_empty_hall_costs_a_search_each_interval_and_its_time_goes_on() {
    let shown = show(&gated(), &[None; 101]);
    assert_eq!(shown.searches, 11, "at 0, 2, 4 … 20 s");
    assert_eq!(shown.searches + shown.still, 101, "each frame is the one or the other");
    assert_eq!(shown.ticks, 21, "one a second");
    let always = CameraTuning { still_interval_s: 0.0, ..gated() };
    assert_eq!((show(&always, &[None; 101]).searches, show(&always, &[None; 101]).still), (101, 0));
}

#[test]
fn somebody_who_stands_still_is_there_in_every_frame_until_they_leave() {
    let mut film = vec![None; 7];
    film.extend([Some((200, 100)); 50]);
    film.extend([None; 40]);
    let shown = show(&gated(), &film);
    let [end] = &shown.ends[..] else { panic!("one track, not {:?}", shown.ends) };
    assert_eq!((end.frames, end.first.media.as_millis(), end.last.media.as_millis()), (50, 1400, 11_200));
    assert!(shown.searches < 50 + 12, "{} searches", shown.searches);
}

#[test]
fn whoever_appears_is_searched_for_in_that_frame() {
    for wait in 1..10 {
        let mut film = vec![None; wait];
        film.extend([Some((20, 250)); 5]);
        let shown = show(&gated(), &film);
        assert_eq!(shown.ends.iter().map(|end| end.frames).collect::<Vec<_>>(), [5], "after {wait} frames");
    }
}

#[test]
fn the_same_tracks_come_out_with_and_without_the_gate() {
    // Somebody walks through, stands, walks on, is away, and comes back.
    let walk = |from: usize, to: usize| (from..to).map(|i| Some((20 * i, 80 + 5 * i)));
    let mut film = vec![None; 12];
    film.extend(walk(0, 8));
    film.extend([Some((160, 120)); 20]);
    film.extend(walk(9, 20));
    film.extend([None; 30]);
    film.extend(walk(3, 12));
    film.extend([None; 15]);
    let told = |shown: &Shown| shown.ends.iter().map(|e| (e.first.media, e.last.media, e.frames)).collect::<Vec<_>>();
    let (with, without) = (show(&gated(), &film), show(&CameraTuning { still_interval_s: 0.0, ..gated() }, &film));
    assert_eq!(told(&with), told(&without));
    assert!(with.searches < without.searches, "{} of {}", with.searches, without.searches);
}
