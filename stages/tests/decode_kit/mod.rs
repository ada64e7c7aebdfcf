//! A camera on its own thread, and what comes out of it, with a deadline on every wait.
#![allow(dead_code, reason = "each test binary uses its own part of the kit")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use gstreamer as gst;
use gstreamer::prelude::*;
use rollcall_pipeline::config::{CameraConfig, CameraSource, Mounting, RtspTransport, Secret, Streams};
use rollcall_pipeline::mux::MuxMode;
use rollcall_pipeline::stage::{BatchPolicy, Received, Source};
use rollcall_pipeline::supervisor::{Exit, Supervisor, Worker};
use rollcall_pipeline::{
    CameraId, CameraTuning, Clock, CloseReason, Frame, FrameMux, RoomId, StreamKey, SystemClock, WallTime,
};
use rollcall_stages::decode::{Camera, CameraControl, CameraSnapshot};

/// No wait in these tests takes longer on any machine that still moves.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the lane would see.
#[derive(Debug)]
pub(crate) enum Seen {
    Open(StreamKey),
    Frame(Frame),
    Close(CloseReason),
}

/// A running camera.
pub(crate) struct Rig {
    pub(crate) control: CameraControl,
    pub(crate) mux: FrameMux,
    pub(crate) seen: Receiver<Seen>,
    worker: Option<Worker>,
    reader: Option<Worker>,
}

pub(crate) fn tuning(analysis_fps: f32) -> CameraTuning {
    CameraTuning {
        room: RoomId::new("hall"),
        direction: None,
        analysis_fps,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    }
}

pub(crate) fn config(source: CameraSource) -> CameraConfig {
    CameraConfig {
        id: CameraId::new("door-1"),
        streams: Streams { detect: source, main: None },
        mounting: Mounting::default(),
        tuning: tuning(0.0),
    }
}

pub(crate) fn rtsp(url: String, transport: RtspTransport) -> CameraSource {
    CameraSource::Rtsp { address: url.parse().unwrap(), transport, username: None, password: None }
}

pub(crate) fn rtsp_as(url: String, user: &str, password: &str) -> CameraSource {
    CameraSource::Rtsp {
        address: url.parse().unwrap(),
        transport: RtspTransport::Tcp,
        username: Some(user.to_owned()),
        password: Some(Secret::new(password)),
    }
}

pub(crate) fn file(path: &Path) -> CameraSource {
    CameraSource::File { path: path.to_owned(), realtime: false, repeat: false }
}

impl Rig {
    pub(crate) fn start(config: &CameraConfig) -> Self {
        Self::start_by(config, Arc::new(SystemClock))
    }

    /// By a clock of the test's own.
    pub(crate) fn start_by(config: &CameraConfig, clock: Arc<dyn Clock>) -> Self {
        let mux = FrameMux::new(MuxMode::Block, NonZeroUsize::new(4).unwrap());
        let supervisor = Supervisor::new(Arc::clone(&clock));
        let camera = Camera::new(config, mux.clone(), clock).starting_at(WallTime::UNIX_EPOCH);
        let control = camera.control();
        let mut receiver = mux.attach();
        let (tx, seen) = unbounded();
        let policy = BatchPolicy::SINGLE;
        let reader = supervisor.spawn("reader", move |_| {
            while let Some(received) = receiver.recv(policy) {
                let events: Vec<Seen> = match received {
                    Received::Open(key) => vec![Seen::Open(key)],
                    Received::Close(_, reason) => vec![Seen::Close(reason)],
                    Received::Batch(frames) => frames.into_iter().map(Seen::Frame).collect(),
                };
                events.into_iter().for_each(|e| drop(tx.send(e)));
            }
            Ok(())
        });
        let worker = supervisor.spawn("camera", move |_| camera.run());
        Self { control, mux, seen, worker: Some(worker.unwrap()), reader: Some(reader.unwrap()) }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Seen {
        match self.seen.recv_timeout(PATIENCE) {
            Ok(seen) => seen,
            Err(error) => panic!("{error}: {:#?}", self.control.snapshot()),
        }
    }

    /// The next frame, whatever comes before it.
    #[track_caller]
    pub(crate) fn frame(&self) -> Frame {
        loop {
            if let Seen::Frame(frame) = self.next() {
                return frame;
            }
        }
    }

    /// Frames up to the next marker.
    #[track_caller]
    pub(crate) fn until_closed(&self) -> (Vec<Frame>, CloseReason) {
        let mut frames = Vec::new();
        loop {
            match self.next() {
                Seen::Open(_) => {}
                Seen::Frame(frame) => frames.push(frame),
                Seen::Close(reason) => return (frames, reason),
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait(&self, wished: impl Fn(&CameraSnapshot) -> bool) -> CameraSnapshot {
        match self.control.status().wait_until(PATIENCE, wished) {
            Some(snapshot) => snapshot,
            None => panic!("it never came to that: {:#?}", self.control.snapshot()),
        }
    }

    /// Waits for a failure and gives its one-word reason and its text.
    #[track_caller]
    pub(crate) fn wait_for_error(&self, reason: &str) -> String {
        let snapshot = self.wait(|s| s.last_error.as_ref().is_some_and(|e| e.reason == reason));
        snapshot.last_error.unwrap().text
    }

    /// Waits for the camera to end by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Exit {
        self.worker.take().unwrap().join_within(PATIENCE).expect("the camera does not end")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.control.stop();
        self.mux.close();
        for worker in [self.worker.take(), self.reader.take()].into_iter().flatten() {
            let joined = worker.join_within(PATIENCE);
            if !std::thread::panicking() {
                assert!(matches!(joined.expect("a thread hangs"), Exit::Done));
            }
        }
    }
}

/// Runs a launch line to its end.
#[track_caller]
pub(crate) fn launch(line: &str) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    match end.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        other => panic!("{line}: {other:?}"),
    }
}

/// The luma of a picture, without what pads its rows.
pub(crate) fn lumas(image: &rollcall_pipeline::Image) -> Vec<u8> {
    let view = image.view();
    let rows = view.planes[0].data.chunks(view.planes[0].stride).take(view.height);
    rows.flat_map(|row| &row[..view.width]).copied().collect()
}

/// Mean luma of a part of the picture in relative coordinates.
pub(crate) fn luma(frame: &rollcall_pipeline::Image, x: [f32; 2], y: [f32; 2]) -> f32 {
    let view = frame.view();
    let columns = (x[0] * view.width as f32) as usize..(x[1] * view.width as f32) as usize;
    let rows = (y[0] * view.height as f32) as usize..(y[1] * view.height as f32) as usize;
    let plane = view.planes[0];
    let sum: f32 = rows
        .clone()
        .map(|row| plane.data[row * plane.stride..][columns.clone()].iter().map(|&v| f32::from(v)).sum::<f32>())
        .sum();
    sum / (rows.len() * columns.len()) as f32
}
