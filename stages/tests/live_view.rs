//! The live view: who watches sees boxes and names, nobody else pays for it, and nobody holds anything up.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};
use decode_kit::{PATIENCE, Rig, config, rtsp};
use image::RgbImage;
use rollcall_pipeline::config::RtspTransport;
use rollcall_pipeline::image::I420;
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::{
    Attention, CameraId, Epoch, Frame, FrameTime, Image, MediaTime, MonoTime, PersonId, Point, Polygon, Rect,
    StreamKey, Supervisor, SystemClock, TimeSource, TrackId, TrackObservation, WallTime,
};
use rollcall_stages::preview::{self, Overlay, Picture, PreviewError, PreviewHub, PreviewLimits, Watch};
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};
use uuid::Uuid;

const ZOE: PersonId = PersonId(Uuid::from_u128(1));
const STRANGER: PersonId = PersonId(Uuid::from_u128(2));

struct Stage {
    hub: PreviewHub,
    supervisor: Supervisor,
    key: StreamKey,
    seq: u64,
}

impl Stage {
    fn new(limits: PreviewLimits, name_of: impl Fn(PersonId) -> Option<String> + Send + Sync + 'static) -> Self {
        let supervisor = Supervisor::new(Arc::new(SystemClock));
        let hub = PreviewHub::new(limits, supervisor.clone(), name_of);
        Self { hub, supervisor, key: key("door-1"), seq: 0 }
    }

    fn camera(&self) -> &CameraId {
        &self.key.camera
    }

    fn watch(&self, overlay: Overlay) -> Watch {
        self.hub.watch(self.camera(), 5.0, overlay).unwrap()
    }

    /// One frame of 25 a second, grey, with tracks in it.
    fn pass(&mut self, tracks: &[(u64, Rect)]) -> Frame {
        let frame = frame(&self.key, self.seq, Image::new(I420::filled(640, 360, [100, 128, 128])));
        self.seq += 1;
        let seen: Vec<_> = tracks.iter().map(|&(id, bbox)| observation(id, bbox)).collect();
        self.hub.observed(&frame, &seen);
        frame
    }

    /// Frames until the watch has a picture.
    #[track_caller]
    fn shown(&mut self, watch: &mut Watch, tracks: &[(u64, Rect)]) -> Picture {
        let (tx, rx) = unbounded();
        let waker = waker(tx);
        let mut context = Context::from_waker(&waker);
        loop {
            match watch.poll_next(&mut context) {
                Poll::Ready(picture) => return picture.unwrap(),
                Poll::Pending => {
                    self.pass(tracks);
                    // Whether this frame is due or not; a lost wake-up would fail the test below.
                    rx.recv_timeout(Duration::from_millis(5)).unwrap_or_default();
                }
            }
        }
    }

    #[track_caller]
    fn no_thread_is_left(&self) {
        self.supervisor.join_all(PATIENCE).expect("the thread goes on for nobody");
    }
}

fn key(camera: &str) -> StreamKey {
    StreamKey { camera: CameraId::new(camera), epoch: Epoch(Uuid::now_v7()) }
}

fn frame(key: &StreamKey, seq: u64, image: Image) -> Frame {
    let media = Duration::from_millis(40 * seq);
    Frame {
        key: key.clone(),
        seq,
        time: FrameTime {
            media: MediaTime(media.as_nanos() as u64),
            received: MonoTime(media),
            captured: WallTime::UNIX_EPOCH + media,
            source: TimeSource::Estimate,
        },
        image,
        tuning: Arc::new(decode_kit::tuning(0.0)),
        attention: Attention::default(),
    }
}

fn observation(id: u64, bbox: Rect) -> TrackObservation {
    TrackObservation { track: TrackId(id), bbox, score: 0.9 }
}

fn waker(to: Sender<()>) -> Waker {
    struct Told(Sender<()>);
    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap_or_default();
        }
    }
    Arc::new(Told(to)).into()
}

fn named(person: PersonId) -> Option<String> {
    (person == ZOE).then(|| "Zoë Łukasz 李".to_owned())
}

fn pixels(picture: &Picture) -> RgbImage {
    let shown = image::load_from_memory(&picture.jpeg).unwrap().into_rgb8();
    assert_eq!((shown.width() as usize, shown.height() as usize), (picture.width, picture.height));
    shown
}

const FACE: Rect = Rect { x: 200.0, y: 150.0, w: 80.0, h: 100.0 };

/// The colour of the box around [`FACE`]: which of red, green and blue stand out.
fn box_colour(picture: &Picture) -> [bool; 3] {
    let pixel = pixels(picture).get_pixel(201, 200).0;
    let least = pixel.into_iter().min().unwrap();
    pixel.map(|v| v > least + 60)
}

#[test]
fn nobody_watching_costs_no_jpeg_no_thread_and_no_frame() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    let frames: Vec<_> = (0..500).map(|_| stage.pass(&[(1, FACE)])).collect();
    assert_eq!((stage.hub.drawn(), stage.hub.watchers()), (0, 0));
    assert!(stage.supervisor.threads().is_empty());
    assert!(frames.iter().all(|f| Arc::strong_count(&f.tuning) == 1), "a frame is kept");
    // Watching another camera changes nothing for this one.
    let _other = stage.hub.watch(&CameraId::new("door-2"), 5.0, Overlay::Names).unwrap();
    let frames: Vec<_> = (0..500).map(|_| stage.pass(&[(1, FACE)])).collect();
    assert_eq!(stage.hub.drawn(), 0);
    assert!(frames.iter().all(|f| Arc::strong_count(&f.tuning) == 1), "a frame is kept");
}

#[test]
fn the_work_ends_with_the_last_watch() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    let (mut one, two) = (stage.watch(Overlay::Boxes), stage.watch(Overlay::Boxes));
    stage.shown(&mut one, &[]);
    drop(one);
    assert_eq!((stage.hub.watchers(), stage.supervisor.threads().len()), (1, 1));
    drop(two);
    assert_eq!(stage.hub.watchers(), 0);
    stage.no_thread_is_left();
    let before = stage.hub.drawn();
    (0..100).for_each(|_| drop(stage.pass(&[])));
    assert_eq!(stage.hub.drawn(), before);
    // And begins again with the next.
    let mut again = stage.watch(Overlay::Boxes);
    stage.shown(&mut again, &[]);
}

#[test]
fn the_state_of_a_track_is_its_colour_and_its_name_is_drawn_for_who_may_see_it() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    let (mut plain, mut boxes, mut names) =
        (stage.watch(Overlay::None), stage.watch(Overlay::Boxes), stage.watch(Overlay::Names));
    let tracks = [(5, FACE)];
    let (red, green, amber) = ([true, false, false], [false, true, false], [true, true, false]);
    assert_eq!(box_colour(&stage.shown(&mut boxes, &tracks)), amber);
    // What is said about the person's track holds for the motion track that is linked to it.
    stage.hub.linked(&stage.key, TrackId(5), 0, TrackId(3));
    stage.hub.named(&stage.key, TrackId(3), 0, None);
    assert_eq!(box_colour(&stage.shown(&mut boxes, &tracks)), red);
    let before = stage.shown(&mut names, &tracks);
    stage.hub.named(&stage.key, TrackId(3), 0, Some(ZOE));
    let (boxed, named) = (stage.shown(&mut boxes, &tracks), stage.shown(&mut names, &tracks));
    assert_eq!((box_colour(&boxed), box_colour(&named)), (green, green));
    assert!(boxed.jpeg != named.jpeg && before.jpeg != named.jpeg, "no name was drawn");
    assert_eq!(box_colour(&stage.shown(&mut plain, &tracks)), [false; 3]);
    // A name that nobody has any more is not made up.
    stage.hub.named(&stage.key, TrackId(3), 0, Some(STRANGER));
    let (boxed, named) = (stage.shown(&mut boxes, &tracks), stage.shown(&mut names, &tracks));
    assert_eq!(pixels(&boxed), pixels(&named));
}

#[test]
fn a_name_from_before_anybody_watched_is_known_and_one_of_a_stream_that_is_over_is_not() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    stage.hub.named(&stage.key, TrackId(5), 0, Some(ZOE));
    let mut watch = stage.watch(Overlay::Names);
    assert_eq!(box_colour(&stage.shown(&mut watch, &[(5, FACE)])), [false, true, false]);
    assert_eq!(stage.hub.streams(), 1);
    stage.hub.closed(&stage.key);
    assert_eq!(stage.hub.streams(), 0);
    stage.hub.named(&stage.key, TrackId(5), 0, Some(ZOE));
    stage.key = key("door-1");
    assert_eq!(
        box_colour(&stage.shown(&mut watch, &[(5, FACE)])),
        [true, true, false],
        "another stream, another person"
    );
    stage.hub.named(&stage.key, TrackId(1), 0, Some(ZOE));
    assert_eq!(stage.hub.streams(), 1, "the new stream takes the place of the old");
}

#[test]
fn a_slow_watcher_delays_nobody_and_is_drawn_nothing() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    let (_slow, mut brisk) = (stage.watch(Overlay::Names), stage.watch(Overlay::Boxes));
    let mut pictures = 0;
    while pictures < 5 {
        stage.shown(&mut brisk, &[(1, FACE)]);
        pictures += 1;
    }
    assert_eq!(stage.hub.drawn(), pictures);
}

#[test]
fn drawing_that_hangs_does_not_hold_up_the_stages() {
    let (release, held) = bounded::<()>(0);
    let (entered, at_work) = bounded(1);
    let mut stage = Stage::new(PreviewLimits::default(), move |_| {
        entered.try_send(()).unwrap_or_default();
        held.recv().unwrap_or_default();
        None
    });
    stage.hub.named(&stage.key, TrackId(1), 0, Some(ZOE));
    let mut watch = stage.watch(Overlay::Names);
    let mut context = Context::from_waker(Waker::noop());
    assert!(watch.poll_next(&mut context).is_pending());
    let first = stage.pass(&[(1, FACE)]);
    at_work.recv_timeout(PATIENCE).unwrap();
    // A thousand frames pass meanwhile; none of them waits, and at most one is kept.
    let frames: Vec<_> = (0..1_000).map(|_| stage.pass(&[(1, FACE)])).collect();
    stage.hub.linked(&stage.key, TrackId(9), 0, TrackId(1));
    stage.hub.named(&stage.key, TrackId(9), 0, None);
    assert!(frames.iter().filter(|f| Arc::strong_count(&f.tuning) > 1).count() <= 1);
    drop(release);
    assert_eq!(watch.next(PATIENCE).unwrap().seq, first.seq);
}

#[test]
fn the_rate_is_held() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    // Asked for too much.
    let mut watch = stage.hub.watch(stage.camera(), 1e9, Overlay::None).unwrap();
    let shown: Vec<_> = (0..10).map(|_| stage.shown(&mut watch, &[]).seq).collect();
    // 25 frames a second, 5 pictures a second: every fifth frame at most.
    let span = shown[9] - shown[0];
    assert!(span >= 9 * 5 - 5, "{shown:?}");
}

#[test]
fn watchers_are_limited_by_camera_and_in_all() {
    let stage = Stage::new(PreviewLimits { a_camera: 2, in_all: 3 }, named);
    let [one, two, three] = ["door-1", "door-2", "door-3"].map(CameraId::new);
    let watch = |camera| stage.hub.watch(camera, 5.0, Overlay::None);
    let _first = watch(&one).unwrap();
    let second = watch(&one).unwrap();
    let refused = watch(&one).unwrap_err();
    assert_eq!(refused.to_string(), "2 viewers watch this camera already: end one of the previews, or try again later");
    let _third = watch(&two).unwrap();
    assert!(matches!(watch(&three), Err(PreviewError::TooMany(3, "cameras"))));
    drop(second);
    watch(&three).unwrap();
    assert_eq!(stage.hub.watchers(), 2, "the one that was not kept is gone");
}

#[test]
fn a_watch_without_frames_is_late_and_goes_on() {
    let mut stage = Stage::new(PreviewLimits::default(), named);
    let mut watch = stage.watch(Overlay::None);
    assert!(matches!(watch.next(Duration::from_millis(20)), Err(PreviewError::Late(_))));
    let frame = stage.pass(&[]);
    assert_eq!(watch.next(PATIENCE).unwrap().seq, frame.seq);
}

#[test]
fn a_panic_while_drawing_ends_the_watch_and_not_the_hub() {
    let mut stage = Stage::new(PreviewLimits::default(), |person| {
        assert_ne!(person, STRANGER, "a deliberate panic");
        named(person)
    });
    stage.hub.named(&stage.key, TrackId(1), 0, Some(STRANGER));
    let mut watch = stage.watch(Overlay::Names);
    let mut context = Context::from_waker(Waker::noop());
    assert!(watch.poll_next(&mut context).is_pending());
    stage.pass(&[(1, FACE)]);
    assert!(matches!(watch.next(PATIENCE), Err(PreviewError::Ended)));
    assert!(matches!(watch.next(PATIENCE), Err(PreviewError::Ended)));
    assert_eq!(stage.hub.watchers(), 0);
    let mut again = stage.watch(Overlay::Boxes);
    drop(watch);
    stage.shown(&mut again, &[(1, FACE)]);
}

#[test]
fn a_closed_hub_ends_all_watches() {
    let stage = Stage::new(PreviewLimits::default(), named);
    let mut watch = stage.watch(Overlay::None);
    let (tx, woken) = unbounded();
    let waker = waker(tx);
    assert!(watch.poll_next(&mut Context::from_waker(&waker)).is_pending());
    stage.hub.close();
    woken.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(watch.next(PATIENCE), Err(PreviewError::Ended)));
    assert!(matches!(stage.hub.watch(stage.camera(), 5.0, Overlay::None), Err(PreviewError::Ended)));
    stage.no_thread_is_left();
}

/// Frames of a real camera, observed as the `track` stage would, until a snapshot of them is there.
#[track_caller]
fn snapshot_of(codec: Codec, masks: Vec<Polygon>) -> (Picture, Vec<Frame>) {
    let clip = Clip::pattern(Format { width: 320, height: 240, fps: 25, codec }).unwrap();
    let camera = TestCamera::start(clip, Options::default()).unwrap();
    let mut config = config(rtsp(camera.url(), RtspTransport::Tcp));
    config.tuning.privacy_masks = masks;
    let rig = Rig::start(&config);
    let stage = Stage::new(PreviewLimits::default(), named);
    let mut watch = stage.hub.watch(&config.id, 5.0, Overlay::None).unwrap();
    let (tx, shown) = unbounded();
    let waker = waker(tx);
    let mut frames = Vec::new();
    loop {
        if let Poll::Ready(picture) = watch.poll_next(&mut Context::from_waker(&waker)) {
            return (picture.unwrap(), frames);
        }
        let frame = rig.frame();
        stage.hub.observed(&frame, &[observation(1, FACE)]);
        frames.push(frame);
        shown.recv_timeout(Duration::from_millis(40)).unwrap_or_default();
    }
}

#[test]
fn a_snapshot_of_a_real_camera_is_its_frame_with_nothing_drawn_in() {
    for codec in [Codec::H264, Codec::H265] {
        let (picture, frames) = snapshot_of(codec, Vec::new());
        let frame = frames.iter().find(|f| f.seq == picture.seq).unwrap();
        assert_eq!(picture.jpeg[..], preview::jpeg(&frame.image).unwrap()[..]);
        assert_eq!(picture.captured, frame.time.captured);
        assert!(pixels(&picture).pixels().any(|p| p.0[1] > 150), "nothing is to be seen");
    }
}

#[test]
fn what_is_masked_is_not_shown() {
    let everything = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(x, y)| Point { x, y });
    let (picture, _) = snapshot_of(Codec::H264, vec![Polygon(everything.to_vec())]);
    assert!(pixels(&picture).pixels().all(|p| p.0.iter().all(|&v| v < 8)));
}
