//! Who watches which camera, and which frame is drawn next. Pure: frames and demands in, jobs out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rollcall_pipeline::{CameraId, Epoch, Frame, StreamKey, TrackObservation};

use super::PreviewLimits;
use super::watch::{Outlet, Overlay, PreviewError};
use crate::decode::Sampler;

/// All seats.
#[derive(Default)]
pub(super) struct Seats {
    cameras: HashMap<CameraId, Watched>,
    /// Cameras with a frame to draw, each once, in the order they came.
    ready: VecDeque<CameraId>,
    next: u64,
}

#[derive(Default)]
struct Watched {
    seats: Vec<Seat>,
    /// The latest frame that somebody is due to see.
    pending: Option<(Frame, Vec<TrackObservation>)>,
}

struct Seat {
    id: u64,
    overlay: Overlay,
    fps: f32,
    sampler: Sampler,
    /// The connection that the sampler counts in.
    epoch: Option<Epoch>,
    wish: Wish,
    outlet: Arc<Outlet>,
}

/// How far a viewer's wish for a picture is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    None,
    /// For the next frame that the rate allows.
    Asked,
    /// For the frame that is pending.
    Due,
    /// For the frame that is being drawn.
    InHand,
}

/// A frame and those who are to see it.
pub(super) struct Job {
    pub(super) frame: Frame,
    pub(super) tracks: Vec<TrackObservation>,
    pub(super) outlets: Vec<To>,
}

/// Where a drawn frame goes.
pub(super) struct To {
    pub(super) seat: u64,
    pub(super) overlay: Overlay,
    pub(super) to: Arc<Outlet>,
}

impl Seats {
    pub(super) fn take(
        &mut self,
        camera: &CameraId,
        fps: f32,
        overlay: Overlay,
        limits: PreviewLimits,
    ) -> Result<(u64, Arc<Outlet>), PreviewError> {
        let there = self.cameras.get(camera).map_or(0, |watched| watched.seats.len());
        if there >= limits.a_camera {
            return Err(PreviewError::TooMany(there, "this camera"));
        }
        if self.len() >= limits.in_all {
            return Err(PreviewError::TooMany(self.len(), "cameras"));
        }
        self.next += 1;
        let outlet = Arc::new(Outlet::default());
        let seat = Seat {
            id: self.next,
            overlay,
            fps,
            sampler: Sampler::default(),
            epoch: None,
            wish: Wish::None,
            outlet: Arc::clone(&outlet),
        };
        self.cameras.entry(camera.clone()).or_default().seats.push(seat);
        Ok((self.next, outlet))
    }

    pub(super) fn leave(&mut self, camera: &CameraId, seat: u64) {
        let Some(watched) = self.cameras.get_mut(camera) else { return };
        watched.seats.retain(|s| s.id != seat);
        if watched.seats.is_empty() {
            self.cameras.remove(camera);
            self.ready.retain(|ready| ready != camera);
        }
    }

    /// Empties all seats; returns who is to be told.
    pub(super) fn clear(&mut self) -> Vec<Arc<Outlet>> {
        self.ready.clear();
        self.cameras.drain().flat_map(|(_, watched)| watched.seats).map(|seat| seat.outlet).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.cameras.values().map(|watched| watched.seats.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    pub(super) fn ask(&mut self, camera: &CameraId, seat: u64) {
        if let Some(seat) = self.seat(camera, seat)
            && seat.wish == Wish::None
        {
            seat.wish = Wish::Asked;
        }
    }

    /// The picture is ready, and handed over next: whoever has it may ask for another.
    pub(super) fn served(&mut self, camera: &CameraId, seat: u64) {
        if let Some(seat) = self.seat(camera, seat) {
            seat.wish = Wish::None;
        }
    }

    fn seat(&mut self, camera: &CameraId, seat: u64) -> Option<&mut Seat> {
        self.cameras.get_mut(camera)?.seats.iter_mut().find(|s| s.id == seat)
    }

    /// An analysed frame. Keeps a handle to it where somebody is due to see it, in place of an earlier one; true when there is
    /// something to draw that was not there before.
    pub(super) fn offer(&mut self, frame: &Frame, tracks: &[TrackObservation]) -> bool {
        let camera = &frame.key.camera;
        let Some(watched) = self.cameras.get_mut(camera) else { return false };
        if !watched.seats.is_empty() {
            frame.attention.asked();
        }
        for seat in &mut watched.seats {
            if seat.epoch != Some(frame.key.epoch) {
                (seat.epoch, seat.sampler) = (Some(frame.key.epoch), Sampler::default());
            }
            if seat.wish == Wish::Asked && seat.sampler.take(frame.time.media, seat.fps) {
                seat.wish = Wish::Due;
            }
        }
        if !watched.seats.iter().any(|seat| seat.wish == Wish::Due) {
            return false;
        }
        let anew = watched.pending.replace((frame.clone(), tracks.to_vec())).is_none();
        if anew {
            self.ready.push_back(camera.clone());
        }
        anew
    }

    /// A stream is over; its last frame need not be drawn, and those who were to see it see the next.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        let Some(watched) = self.cameras.get_mut(&key.camera) else { return };
        if watched.pending.take_if(|(frame, _)| frame.key == *key).is_some() {
            watched.seats.iter_mut().filter(|s| s.wish == Wish::Due).for_each(|s| s.wish = Wish::Asked);
            self.ready.retain(|ready| *ready != key.camera);
        }
    }

    /// What to draw next: the cameras take turns.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        let camera = self.ready.pop_front()?;
        let watched = self.cameras.get_mut(&camera)?;
        let (frame, tracks) = watched.pending.take()?;
        let due = watched.seats.iter_mut().filter(|seat| seat.wish == Wish::Due);
        let outlets = due
            .map(|seat| {
                seat.wish = Wish::InHand;
                To { seat: seat.id, overlay: seat.overlay, to: Arc::clone(&seat.outlet) }
            })
            .collect();
        Some(Job { frame, tracks, outlets })
    }
}
