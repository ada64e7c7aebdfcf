//! Full queues, late callers, failing and hanging models: each is answered at once, and none costs the next caller anything.
//! All of them together cost the cameras little.

mod kit;

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use rollcall_faces::{BreakerSettings, BreakerState, EngineOptions, FaceEngine, FacesError};
use rollcall_pipeline::{Clock, ErrorClass, Fault, ManualClock, Supervisor, WallTime};
use rustix::process::getpriority_process;

/// What the detector does next.
enum Next {
    Nothing,
    Fail,
    Panic,
}

/// An engine whose detector says when it is asked, and waits to be told what to do.
struct Rig {
    engine: FaceEngine,
    clock: Arc<ManualClock>,
    supervisor: Supervisor,
    asked: Receiver<()>,
    script: Sender<Next>,
    loads: Arc<AtomicU32>,
}

fn rig(options: EngineOptions) -> Rig {
    let clock = Arc::new(ManualClock::new(WallTime::UNIX_EPOCH));
    let supervisor = Supervisor::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let ((ask, asked), (script, todo)) = (channel(), channel());
    let (ends, loads) = (Arc::new(Mutex::new((ask, todo))), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&loads);
    let load = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let ends = Arc::clone(&ends);
        Ok(kit::nets(kit::Scripted(move || {
            // A picture without a face is looked at twice, the second time with a border.
            let next = {
                let ends = ends.lock().expect("nobody panics with it");
                ends.0.send(()).expect("the test listens");
                ends.1.recv().expect("the test tells")
            };
            match next {
                Next::Nothing => Ok(Vec::new()),
                Next::Fail => Err(Fault::new(ErrorClass::Permanent, "out of order")),
                Next::Panic => panic!("told to"),
            }
        })))
    });
    let engine = FaceEngine::start(options, kit::settings(), load, &supervisor).expect("a thread");
    Rig { engine, clock, supervisor, asked, script, loads }
}

impl Rig {
    fn tell(&self, what: impl IntoIterator<Item = Next>) {
        what.into_iter().for_each(|next| self.script.send(next).expect("the detector listens"));
    }

    /// Two answers for the two looks at a picture without a face.
    fn tell_no_face(&self) {
        self.tell([Next::Nothing, Next::Nothing]);
    }

    async fn detect(&self) -> Result<usize, FacesError> {
        self.engine.detect(picture(), 8).await.map(|faces| faces.len())
    }

    /// Until the detector is asked.
    async fn begun(&self) {
        while self.asked.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    }

    fn end(self) {
        self.engine.stop();
        drop(self.script);
        self.supervisor.join_all(Duration::from_secs(30)).expect("the workers end");
    }
}

/// A picture without a face.
fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(32, 32, Rgb([90, 90, 90])).write_to(&mut bytes, ImageFormat::Png).expect("memory");
    bytes.into_inner()
}

fn options() -> EngineOptions {
    EngineOptions {
        workers: 1,
        queue: 2,
        patience: Duration::from_secs(60),
        niceness: 0,
        breaker: BreakerSettings { failures: 2, open_for: Duration::from_secs(10) },
        stuck_after: Duration::from_secs(30),
        ..EngineOptions::default()
    }
}

fn spawn(engine: &FaceEngine) -> tokio::task::JoinHandle<Result<usize, FacesError>> {
    let engine = engine.clone();
    tokio::spawn(async move { engine.detect(picture(), 8).await.map(|faces| faces.len()) })
}

/// Lets the spawned callers queue up.
async fn until(engine: &FaceEngine, queued: usize) {
    while engine.state().queued != queued {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let rig = rig(options());
    let first = spawn(&rig.engine);
    rig.begun().await;
    let (second, third) = (spawn(&rig.engine), spawn(&rig.engine));
    until(&rig.engine, 2).await;
    // The worker is held: only an answer at once is an answer at all.
    let full = rig.detect().await.unwrap_err();
    assert!(matches!(full, FacesError::Busy { .. }), "{full}");
    assert!(full.retry_after().unwrap() > Duration::ZERO && full.class() == ErrorClass::Transient);
    (0..3).for_each(|_| rig.tell_no_face());
    for job in [first, second, third] {
        assert_eq!(job.await.unwrap().unwrap(), 0);
    }
    rig.end();
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too() {
    let rig = rig(EngineOptions { queue: 100, queue_bytes: picture().len() * 3 / 2, ..options() });
    let first = spawn(&rig.engine);
    rig.begun().await;
    let second = spawn(&rig.engine);
    until(&rig.engine, 1).await;
    assert!(matches!(rig.detect().await, Err(FacesError::Busy { .. })));
    (0..2).for_each(|_| rig.tell_no_face());
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
    rig.end();
}

#[tokio::test]
async fn nobody_works_for_callers_that_are_late_or_gone() {
    let rig = rig(EngineOptions { queue: 4, ..options() });
    let first = spawn(&rig.engine);
    rig.begun().await;
    let gone = spawn(&rig.engine);
    until(&rig.engine, 1).await;
    let late = spawn(&rig.engine);
    until(&rig.engine, 2).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    rig.clock.advance(Duration::from_secs(61));
    rig.tell_no_face();
    assert!(first.await.unwrap().is_ok(), "it was begun in time");
    assert!(matches!(late.await.unwrap(), Err(FacesError::TooLate)));
    // Neither was looked at: the next question to the detector is that of a new caller.
    assert_eq!(rig.asked.try_iter().count(), 1, "the second look of the first picture");
    rig.tell_no_face();
    assert_eq!(rig.detect().await.unwrap(), 0);
    rig.end();
}

#[tokio::test]
async fn failing_models_are_left_alone_and_tried_again_with_one_job() {
    let rig = rig(options());
    rig.tell([Next::Fail, Next::Panic]);
    for _ in 0..2 {
        let failed = rig.detect().await.unwrap_err();
        assert_eq!(failed.code(), "models_failed", "{failed}");
    }
    let open = rig.detect().await.unwrap_err();
    assert!(matches!(open, FacesError::Unavailable { retry_after } if retry_after <= Duration::from_secs(10)));
    rig.clock.advance(Duration::from_secs(10));
    let probe = spawn(&rig.engine);
    rig.asked.try_iter().for_each(drop);
    rig.begun().await;
    assert_eq!(rig.engine.state().breaker, BreakerState::HalfOpen);
    assert!(matches!(rig.detect().await, Err(FacesError::Unavailable { .. })), "one probe at a time");
    rig.tell_no_face();
    assert_eq!(probe.await.unwrap().unwrap(), 0);
    assert_eq!(rig.engine.state().breaker, BreakerState::Closed);
    assert_eq!(rig.loads.load(Ordering::SeqCst), 3, "networks that failed are replaced");
    rig.end();
}

#[tokio::test]
async fn a_job_that_hangs_opens_the_breaker() {
    let rig = rig(options());
    let hangs = spawn(&rig.engine);
    rig.begun().await;
    rig.clock.advance(Duration::from_secs(31));
    assert!(rig.engine.state().stuck);
    assert!(matches!(rig.detect().await, Err(FacesError::Unavailable { .. })));
    rig.tell_no_face();
    assert!(hangs.await.unwrap().is_ok());
    while rig.engine.state().stuck {
        tokio::task::yield_now().await;
    }
    rig.clock.advance(Duration::from_secs(10));
    rig.tell_no_face();
    assert_eq!(rig.detect().await.unwrap(), 0);
    rig.end();
}

#[tokio::test]
async fn pictures_that_will_not_do_say_nothing_about_the_models() {
    let rig = rig(options());
    let mut bad: VecDeque<Vec<u8>> = VecDeque::from([Vec::new(), b"<html>".to_vec(), vec![0xff; 5000]]);
    bad.push_back(picture()[..60].to_vec());
    for bytes in bad {
        assert_eq!(rig.engine.detect(bytes, 8).await.unwrap_err().code(), "unreadable");
    }
    assert_eq!(rig.engine.state().breaker, BreakerState::Closed);
    assert_eq!(rig.asked.try_iter().count(), 0);
    rig.end();
}

#[test]
fn its_threads_give_way_to_the_cameras() {
    // A thread's own, as Linux has it.
    let niceness = || getpriority_process(None).expect("a thread may ask for its own");
    let usual = niceness();
    let supervisor = Supervisor::new(Arc::new(ManualClock::default()));
    let (tell, told) = channel();
    let load = Arc::new(move || {
        tell.send(niceness()).expect("the test listens");
        Err(Fault::new(ErrorClass::Permanent, "none are needed"))
    });
    // As the daemon has them.
    let options = EngineOptions { workers: 2, ..EngineOptions::default() };
    let engine = FaceEngine::start(options, kit::settings(), load, &supervisor).expect("a thread");
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok((usual + 10).min(19)));
    }
    assert_eq!(niceness(), usual, "everybody else's stays as it is");
    engine.stop();
    supervisor.join_all(Duration::from_secs(30)).expect("the workers end");
}

#[tokio::test]
async fn a_stopped_engine_says_so() {
    let rig = rig(options());
    let first = spawn(&rig.engine);
    rig.begun().await;
    let waits = spawn(&rig.engine);
    until(&rig.engine, 1).await;
    rig.engine.stop();
    assert!(matches!(waits.await.unwrap(), Err(FacesError::Stopped)));
    assert!(matches!(rig.detect().await, Err(FacesError::Stopped)));
    rig.tell_no_face();
    assert!(first.await.unwrap().is_ok());
    rig.end();
}
