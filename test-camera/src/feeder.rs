//! The thread that sends a clip's pictures at their rate into whatever media the server has open.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::{Clock, MonoTime, SystemClock};

use crate::clip::Clip;

/// Where a camera is in its clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Showing {
    /// Pictures sent since the start: does not grow while nobody is connected.
    pub sent: u64,
    /// The next picture of the clip.
    pub picture: usize,
}

/// Looks at what a camera shows, from any thread and through all its troubles.
#[derive(Clone, Debug)]
pub struct Viewfinder(pub(crate) Arc<Feed>);

impl Viewfinder {
    /// What it shows now.
    pub fn look(&self) -> Showing {
        self.0.showing()
    }
}

/// What the feeder and the camera's handle share.
#[derive(Debug)]
pub(crate) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    clip: Clip,
    /// The next unit of the clip.
    position: usize,
    outlets: Vec<Outlet>,
    frozen: bool,
    ended: bool,
    /// Pictures sent since the start, for tests that want to see the camera at work.
    sent: u64,
    /// Completed rounds of the clip.
    rounds: u64,
}

/// One open media of the server.
#[derive(Debug)]
struct Outlet {
    source: gst_app::AppSrc,
    /// Running time of its first picture and how many were sent.
    started: Option<(gst::ClockTime, u64)>,
}

impl Feed {
    pub(crate) fn new(clip: Clip) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                clip,
                position: 0,
                outlets: Vec::new(),
                frozen: false,
                ended: false,
                sent: 0,
                rounds: 0,
            }),
            changed: Condvar::new(),
        })
    }

    /// Sends into a new media too. If it is the only one, the clip goes back to its last key frame, so that there is a
    /// picture at once.
    pub(crate) fn join(&self, source: gst_app::AppSrc) {
        let mut state = self.state.lock();
        source.set_caps(Some(state.clip.caps()));
        state.outlets.retain(|o| o.source.current_state() >= gst::State::Paused);
        if state.outlets.is_empty() {
            state.position = state.clip.key_before(state.position);
        }
        state.outlets.push(Outlet { source, started: None });
        self.changed.notify_all();
    }

    /// Forgets all media.
    pub(crate) fn leave_all(&self) {
        self.state.lock().outlets.clear();
    }

    /// Another clip, from its start.
    pub(crate) fn switch(&self, clip: Clip) {
        let mut state = self.state.lock();
        for outlet in &state.outlets {
            outlet.source.set_caps(Some(clip.caps()));
        }
        state.clip = clip;
        state.position = 0;
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        let mut state = self.state.lock();
        state.frozen = frozen;
        // Behind the gap a decoder can only go on from a key frame.
        state.position = state.clip.key_before(state.position);
        self.changed.notify_all();
    }

    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.lock().sent
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.state.lock().rounds
    }

    pub(crate) fn showing(&self) -> Showing {
        let state = self.state.lock();
        Showing { sent: state.sent, picture: state.position }
    }

    pub(crate) fn clip(&self) -> Clip {
        self.state.lock().clip.clone()
    }

    /// Sends until [`Feed::end`].
    pub(crate) fn run(&self) {
        let clock = SystemClock;
        let mut due = clock.mono();
        let mut state = self.state.lock();
        while !state.ended {
            if state.outlets.is_empty() || state.frozen {
                self.changed.wait(&mut state);
                due = clock.mono();
                continue;
            }
            let wait = due.since(clock.mono());
            if !wait.is_zero() {
                self.changed.wait_for(&mut state, wait);
                continue;
            }
            state.send();
            let period = Duration::from_secs(1) / state.clip.format().fps;
            due = MonoTime(due.0 + period);
            // After a long hold-up the rate starts anew: a burst would only be dropped by the receiver.
            if clock.mono().since(due) > Duration::from_secs(1) {
                due = clock.mono();
            }
        }
    }
}

impl State {
    fn send(&mut self) {
        let period = gst::ClockTime::SECOND / u64::from(self.clip.format().fps);
        let mut sent = false;
        let unit = self.clip.unit(self.position);
        self.outlets.retain_mut(|outlet| {
            // It gets its first picture once it plays. Before that it may have a clock and no base time yet, and pictures
            // stamped by that would wait in the server for hours.
            if outlet.source.current_state() != gst::State::Playing {
                return true;
            }
            let Some(now) = outlet.source.current_running_time() else { return true };
            let (first, count) = *outlet.started.get_or_insert((now, 0));
            let mut unit = unit.copy();
            if let Some(unit) = unit.get_mut() {
                unit.set_pts(first + period * count);
                unit.set_duration(period);
            }
            outlet.started = Some((first, count + 1));
            sent = true;
            outlet.source.push_buffer(unit).is_ok()
        });
        if sent {
            self.sent += 1;
            self.position += 1;
            if self.position >= self.clip.frames() {
                self.position = 0;
                self.rounds += 1;
            }
        }
    }
}
