//! The live view: what cameras see, with boxes, tracks and names drawn in, as JPEGs for whoever watches.
//!
//! ```text
//! track stage ─ observed ─► one frame a watched camera, the latest ─► thread "preview": scale, draw, JPEG ─► Watch
//! match stage ─ linked, named ─► who is who, by epoch and track ──────┘
//! ```
//!
//! While nobody watches, an analysed frame costs one load of a number, and there is no thread. While somebody does, stage
//! threads leave a handle to the frame and go on; whatever is slow, drawing or a viewer, is slow alone. Privacy masks are
//! painted before anything else sees a frame, so they are in these pictures too.
//!
//! It deliberately knows no HTTP and no rights: whether a viewer may see names is decided by who calls [`PreviewHub::watch`].
//!
//! - `watch`: what a viewer holds
//! - `seats`: who watches what, and which frame is drawn next
//! - `who`: what was said about tracks
//! - `draw`, `canvas`: pixels

mod canvas;
mod draw;
mod seats;
mod watch;
mod who;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::supervisor::{Progress, Supervisor};
use rollcall_pipeline::{CameraId, Fault, Frame, Image, PersonId, StreamKey, TrackId, TrackObservation};

use canvas::Scaler;
use seats::{Job, Seats};
use who::Who;

pub use watch::{Overlay, Picture, PreviewError, Watch};

/// No viewer is shown more pictures a second.
pub const MAX_FPS: f32 = 5.0;
/// Nor fewer than one in ten seconds.
const MIN_FPS: f32 = 0.1;

/// How many may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewLimits {
    /// Viewers of one camera.
    pub a_camera: usize,
    /// Viewers of all cameras together: they share one thread.
    pub in_all: usize,
}

impl Default for PreviewLimits {
    fn default() -> Self {
        Self { a_camera: 4, in_all: 16 }
    }
}

/// Finds the name of a person; `None` where nobody has that id any more. Called on the hub's thread.
pub type NameOf = dyn Fn(PersonId) -> Option<String> + Send + Sync;

/// Shows cameras to viewers. Cloning shares it.
#[derive(Clone)]
pub struct PreviewHub(Arc<Inner>);

struct Inner {
    /// Viewers; the only thing that is touched while there are none.
    watched: AtomicUsize,
    state: Mutex<State>,
    /// There is a frame to draw, or nobody left to draw for.
    work: Condvar,
    who: Mutex<Who>,
    name_of: Box<NameOf>,
    limits: PreviewLimits,
    supervisor: Supervisor,
    drawn: AtomicU64,
}

#[derive(Default)]
struct State {
    seats: Seats,
    drawing: bool,
    closed: bool,
}

impl PreviewHub {
    /// Nobody watches yet. `name_of` finds names at the moment they are drawn.
    pub fn new(
        limits: PreviewLimits,
        supervisor: Supervisor,
        name_of: impl Fn(PersonId) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            watched: AtomicUsize::new(0),
            state: Mutex::default(),
            work: Condvar::new(),
            who: Mutex::default(),
            name_of: Box::new(name_of),
            limits,
            supervisor,
            drawn: AtomicU64::new(0),
        }))
    }

    /// Lets somebody watch a camera, at most `max_fps` pictures a second ([`MAX_FPS`] bounds that), until the watch is dropped.
    ///
    /// # Errors
    /// When too many watch already, the hub was closed, or there is no room for its thread.
    pub fn watch(&self, camera: &CameraId, max_fps: f32, overlay: Overlay) -> Result<Watch, PreviewError> {
        let inner = &self.0;
        let mut state = inner.state.lock();
        if state.closed {
            return Err(PreviewError::Ended);
        }
        let fps = if max_fps.is_nan() { MIN_FPS } else { max_fps.clamp(MIN_FPS, MAX_FPS) };
        let (seat, outlet) = state.seats.take(camera, fps, overlay, inner.limits)?;
        inner.count(&state);
        if !state.drawing {
            let worker = Arc::clone(inner);
            if let Err(fault) = inner.supervisor.spawn("preview", move |progress| worker.draw_all(progress)) {
                state.seats.leave(camera, seat);
                inner.count(&state);
                return Err(PreviewError::NoThread(fault));
            }
            state.drawing = true;
        }
        drop(state);
        Ok(Watch { hub: Arc::clone(inner), camera: camera.clone(), seat, outlet, asked: false })
    }

    /// Ends all watches and lets nobody watch any more.
    pub fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        self.0.end_all(state);
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.0.watched.load(Ordering::Relaxed)
    }

    /// How many JPEGs were made since the start.
    pub fn drawn(&self) -> u64 {
        self.0.drawn.load(Ordering::Relaxed)
    }

    /// Streams about whose tracks something is known.
    pub fn streams(&self) -> usize {
        self.0.who.lock().streams()
    }
}

/// Encodes a picture as the live view does: at most 1280 pixels long, nothing drawn in. For a camera that is not configured
/// yet; the masks of one that is are the caller's business.
///
/// # Errors
/// When the picture is not as long as it says: a bug in the decoder.
pub fn jpeg(image: &Image) -> Result<Vec<u8>, Fault> {
    Scaler::default().scale(&image.view())?.jpeg()
}

impl Observer for PreviewHub {
    fn observed(&self, frame: &Frame, tracks: &[TrackObservation]) {
        // Who sits down at this very moment is shown the next frame.
        if self.0.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.0.state.lock().seats.offer(frame, tracks) {
            self.0.work.notify_one();
        }
    }

    fn linked(&self, key: &StreamKey, motion: TrackId, _from_seq: u64, track: TrackId) {
        self.0.who.lock().link(key, motion, track);
    }

    fn named(&self, key: &StreamKey, track: TrackId, _seq: u64, person: Option<PersonId>) {
        self.0.who.lock().name(key, track, person);
    }

    /// A later stream of the same camera makes forget too.
    fn closed(&self, key: &StreamKey) {
        self.0.who.lock().forget(key);
        self.0.state.lock().seats.forget(key);
    }
}

impl Inner {
    /// The body of the thread: draws while there is anybody to draw for.
    fn draw_all(&self, progress: &Progress) -> Result<(), Fault> {
        let mut broken = Broken(Some(self));
        let mut scaler = Scaler::default();
        loop {
            let job = {
                let mut state = self.state.lock();
                loop {
                    if state.seats.is_empty() {
                        // Under the lock: whoever watches from now on starts another thread.
                        state.drawing = false;
                        broken.0 = None;
                        return Ok(());
                    }
                    if let Some(job) = state.seats.next_job() {
                        break job;
                    }
                    self.work.wait(&mut state);
                }
            };
            progress.busy();
            self.draw(&mut scaler, job)?;
            progress.idle();
        }
    }

    fn draw(&self, scaler: &mut Scaler, job: Job) -> Result<(), Fault> {
        let faces = draw::label(&job, &self.who, &*self.name_of);
        let plain = scaler.scale(&job.frame.image.view())?;
        for overlay in [Overlay::None, Overlay::Boxes, Overlay::Names] {
            let outlets: Vec<_> = job.outlets.iter().filter(|o| o.overlay == overlay).collect();
            if outlets.is_empty() {
                continue;
            }
            let shown = draw::overlaid(&plain, &job.frame.image, overlay, &faces);
            let picture = Picture {
                jpeg: shown.jpeg()?.into(),
                captured: job.frame.time.captured,
                seq: job.frame.seq,
                width: shown.width(),
                height: shown.height(),
            };
            self.drawn.fetch_add(1, Ordering::Relaxed);
            for outlet in outlets {
                self.state.lock().seats.served(&job.frame.key.camera, outlet.seat);
                outlet.to.put(picture.clone());
            }
        }
        Ok(())
    }

    /// A viewer wants a picture.
    fn ask(&self, camera: &CameraId, seat: u64) {
        self.state.lock().seats.ask(camera, seat);
    }

    /// A viewer is gone.
    fn leave(&self, camera: &CameraId, seat: u64) {
        let mut state = self.state.lock();
        state.seats.leave(camera, seat);
        self.count(&state);
        drop(state);
        // The thread ends with the last of them.
        self.work.notify_one();
    }

    fn end_all(&self, mut state: MutexGuard<'_, State>) {
        let outlets = state.seats.clear();
        self.count(&state);
        // Viewers are woken without the lock that stage threads take.
        drop(state);
        self.work.notify_one();
        outlets.iter().for_each(|outlet| outlet.end());
    }

    fn count(&self, state: &State) {
        self.watched.store(state.seats.len(), Ordering::Relaxed);
    }
}

/// Ends all watches when the thread fails or panics, so that nobody waits for it; the next watch starts another one.
struct Broken<'a>(Option<&'a Inner>);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.0 {
            tracing::error!("the live view failed and ends for all who watch");
            let mut state = inner.state.lock();
            state.drawing = false;
            inner.end_all(state);
        }
    }
}
