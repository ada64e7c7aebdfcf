//! Who was shown where and when: a thread that looks at all cameras many times a second, whatever happens to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rollcall_pipeline::{Clock, MonoTime, SystemClock, WallTime};
use rollcall_test_camera::{Showing, Viewfinder};

use crate::film::{Film, Part};

const LOOK: Duration = Duration::from_millis(40);
/// A camera that has sent nothing for so long shows nothing.
const GAP: Duration = Duration::from_millis(600);

/// Somebody before a camera.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Visit {
    /// Which camera.
    pub(crate) camera: usize,
    /// Who.
    pub(crate) who: &'static str,
    /// From when.
    pub(crate) from: WallTime,
    /// Until when.
    pub(crate) to: WallTime,
    /// From the beginning of it to its end, without a gap.
    pub(crate) whole: bool,
}

#[derive(Debug)]
struct Camera {
    viewfinder: Viewfinder,
    film: Arc<Film>,
    last: Option<Showing>,
    advanced: MonoTime,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    part: Part,
    first_picture: usize,
    last_picture: usize,
    from: WallTime,
    to: WallTime,
}

#[derive(Debug, Default)]
struct Seen {
    cameras: Vec<Camera>,
    visits: Vec<Visit>,
}

/// The witness. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    pub(crate) fn start(cameras: Vec<Viewfinder>, film: &Arc<Film>) -> anyhow::Result<Self> {
        let clock = SystemClock;
        let camera = |viewfinder| Camera {
            viewfinder,
            film: Arc::clone(film),
            last: None,
            advanced: clock.mono(),
            current: None,
        };
        let cameras = cameras.into_iter().map(camera).collect();
        let seen = Arc::new(Mutex::new(Seen { cameras, visits: Vec::new() }));
        let over = Arc::new(AtomicBool::new(false));
        let (looking, told) = (Arc::clone(&seen), Arc::clone(&over));
        let thread = std::thread::Builder::new().name("witness".to_owned()).spawn(move || {
            while !told.load(Ordering::Relaxed) {
                looking.lock().look(clock.mono(), clock.wall());
                std::thread::park_timeout(LOOK);
            }
        })?;
        Ok(Self { seen, over, thread: Some(thread) })
    }

    /// From now on a camera shows another film.
    pub(crate) fn switched(&self, camera: usize, film: &Arc<Film>) {
        let mut seen = self.seen.lock();
        seen.close(camera);
        seen.cameras[camera].film = Arc::clone(film);
        seen.cameras[camera].last = None;
    }

    /// All visits so far; those that go on are not whole.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        let seen = self.seen.lock();
        let on = seen.cameras.iter().enumerate().filter_map(|(camera, of)| {
            let Current { part, from, to, .. } = of.current.as_ref()?;
            Some(Visit { camera, who: part.who?, from: *from, to: *to, whole: false })
        });
        seen.visits.iter().cloned().chain(on).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

impl Seen {
    fn look(&mut self, now: MonoTime, wall: WallTime) {
        for at in 0..self.cameras.len() {
            let camera = &mut self.cameras[at];
            let showing = camera.viewfinder.look();
            let advanced = camera.last.is_some_and(|last| showing.sent > last.sent);
            let stale = now.since(camera.advanced) > GAP;
            camera.last = Some(showing);
            if !advanced {
                if stale {
                    self.close(at);
                }
                continue;
            }
            camera.advanced = now;
            // The one that was sent last.
            let picture = (showing.picture + camera.film.clip.frames() - 1) % camera.film.clip.frames();
            let part = camera.film.part(picture);
            match &mut camera.current {
                Some(current) if current.part == part && current.last_picture <= picture => {
                    (current.last_picture, current.to) = (picture, wall);
                }
                _ => {
                    self.close(at);
                    self.cameras[at].current =
                        Some(Current { part, first_picture: picture, last_picture: picture, from: wall, to: wall });
                }
            }
        }
    }

    fn close(&mut self, camera: usize) {
        let Some(current) = self.cameras[camera].current.take() else { return };
        let Some(who) = current.part.who else { return };
        // A look may miss some pictures at either end.
        let missed =
            current.part.pictures - (current.last_picture - current.first_picture + 1).min(current.part.pictures);
        let whole = missed * 8 <= current.part.pictures;
        self.visits.push(Visit { camera, who, from: current.from, to: current.to, whole });
    }
}
