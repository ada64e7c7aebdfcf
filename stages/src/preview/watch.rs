//! What a viewer holds.
//!
//! A viewer asks for one picture at a time, and only then is one drawn: whoever is slow, or has stopped reading, costs nothing
//! and is never shown anything old.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::{CameraId, ErrorClass, Fault, WallTime};

use super::Inner;

/// What is drawn onto the pictures: a matter of what the viewer may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overlay {
    /// Nothing.
    None,
    /// Boxes, track ids and whether somebody was recognised.
    Boxes,
    /// The names of those who were recognised too.
    Names,
}

/// A drawn picture. Personal data.
#[derive(Clone)]
pub struct Picture {
    /// The JPEG, shared by all who asked for the same.
    pub jpeg: Arc<[u8]>,
    /// When it was taken.
    pub captured: WallTime,
    /// Number of the decoded frame within its connection.
    pub seq: u64,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}x{}, frame {}, {} bytes)", self.width, self.height, self.seq, self.jpeg.len())
    }
}

/// Why there is no picture.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PreviewError {
    /// Drawing costs the time that recognition needs.
    #[error("{0} viewers watch {1} already: end one of the previews, or try again later")]
    TooMany(usize, &'static str),
    /// The camera is not live, or no picture of it is analysed.
    #[error("no picture was analysed within {:.1} s: look at the state of the camera", .0.as_secs_f32())]
    Late(Duration),
    /// Shutting down, or drawing failed (the log says how).
    #[error("the preview has ended: start it again")]
    Ended,
    /// There is no room for the thread that draws.
    #[error("{0}")]
    NoThread(Fault),
}

impl PreviewError {
    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TooMany(..) | Self::Late(_) | Self::Ended => ErrorClass::Transient,
            Self::NoThread(fault) => fault.class,
        }
    }
}

/// One viewer of one camera. Dropping it ends the work that was done for it.
pub struct Watch {
    pub(super) hub: Arc<Inner>,
    pub(super) camera: CameraId,
    pub(super) seat: u64,
    pub(super) outlet: Arc<Outlet>,
    /// For a picture that has not been taken yet: it is asked for once, however often it is looked for.
    pub(super) asked: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("camera", &self.camera).field("seat", &self.seat).finish_non_exhaustive()
    }
}

impl Watch {
    /// Asks for a picture and waits for it: the next analysed one, no sooner than the rate of this watch allows.
    ///
    /// # Errors
    /// [`PreviewError::Late`] when none came in time (asking again goes on waiting), [`PreviewError::Ended`] for good.
    pub fn next(&mut self, patience: Duration) -> Result<Picture, PreviewError> {
        self.ask();
        let mut state = self.outlet.state.lock();
        self.outlet.changed.wait_while_for(&mut state, |s| s.picture.is_none() && !s.ended, patience);
        let outcome = state.take();
        self.asked = outcome.is_none();
        outcome.unwrap_or(Err(PreviewError::Late(patience)))
    }

    /// The same for async callers, who bring their own timer. Only the last caller is woken.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Picture, PreviewError>> {
        let mut state = self.outlet.state.lock();
        if let Some(outcome) = state.take() {
            self.asked = false;
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        drop(state);
        self.ask();
        Poll::Pending
    }

    fn ask(&mut self) {
        if !std::mem::replace(&mut self.asked, true) {
            self.hub.ask(&self.camera, self.seat);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.leave(&self.camera, self.seat);
    }
}

/// Where pictures are put for one viewer: the latest, or the end.
#[derive(Default)]
pub(super) struct Outlet {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    picture: Option<Picture>,
    ended: bool,
    waker: Option<Waker>,
}

impl State {
    fn take(&mut self) -> Option<Result<Picture, PreviewError>> {
        let picture = self.picture.take().map(Ok);
        picture.or_else(|| self.ended.then_some(Err(PreviewError::Ended)))
    }
}

impl Outlet {
    pub(super) fn put(&self, picture: Picture) {
        self.change(|state| state.picture = Some(picture));
    }

    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
