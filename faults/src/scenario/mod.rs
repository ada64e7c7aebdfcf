//! Everything that goes wrong, one scenario each.

mod cameras;
mod clock;
mod daemon;
mod database;
mod spool;

use crate::trial::Trial;

/// Something that goes wrong.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    pub(crate) play: fn(&mut Trial<'_>) -> anyhow::Result<()>,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! scenarios {
    ($($name:literal, $what:literal, $play:path;)*) => {
        /// All of them.
        pub const SCENARIOS: &[Scenario] = &[$(Scenario { name: $name, what: $what, play: $play }),*];
    };
}

scenarios! {
    "camera-killed", "a camera goes away, for seconds and for longer than it is asked often, and comes back", cameras::killed;
    "camera-frozen", "a camera keeps its connection and sends nothing", cameras::frozen;
    "camera-refusing", "a camera is not there when the daemon starts, and comes later", cameras::refusing;
    "camera-silent", "the camera's port is open, and nobody answers there", cameras::silent;
    "camera-without-stream", "a camera answers and has no stream, as while it starts, for seconds and for longer", cameras::without_stream;
    "camera-wrong-password", "the configured password is wrong, and is corrected by a reload", cameras::wrong_password;
    "camera-garbage", "something else than a camera sends noise at its port", cameras::garbage;
    "camera-resolution", "a camera changes its resolution in the running connection, and back", cameras::resolution;
    "camera-pts-jump", "time stamps jump by an hour, ahead and back", cameras::pts_jump;
    "camera-flaps", "a camera comes and goes every two seconds", cameras::flaps;
    "database-stopped", "PostgreSQL is stopped in an orderly way and started again later", database::stopped;
    "database-killed", "all processes of PostgreSQL are killed; it is started again later", database::killed;
    "database-restarted", "PostgreSQL is restarted, again and again", database::restarted;
    "database-slow", "PostgreSQL stands still for seconds, again and again", database::slow;
    "database-full-of-clients", "PostgreSQL comes back and others have taken all connections", database::full_of_clients;
    "database-disk-full", "the disk of PostgreSQL is full", database::disk_full;
    "daemon-killed", "kill -9 at random moments of the daemon's life; its own PostgreSQL dies with it", daemon::killed;
    "daemon-killed-while-spooling", "kill -9 at random moments while PostgreSQL is away", daemon::killed_while_spooling;
    "daemon-sigterm", "SIGTERM under load, and a new start", daemon::terminated;
    "daemon-sighup", "SIGHUP under load, with configurations that are good and bad in turn", daemon::reloaded;
    "model-hangs", "the thread of the detector hangs, then that of the embedder; the process ends itself and is started again each time", daemon::model_hangs;
    "model-panics", "the threads of detector, embedder and liveness panic, one after the other; the lane starts anew each time", daemon::model_panics;
    "spool-disk-full", "PostgreSQL is away and the disk of the spool is full", spool::disk_full;
    "spool-torn", "the last record of the spool was written in part when the power went", spool::torn;
    "spool-corrupted", "a record in the middle of the spool rots on the disk", spool::corrupted;
    "wall-clock-stepped", "the wall clock is set an hour ahead, two back and one ahead", clock::stepped;
}

/// Half an hour of cameras that come and go: what grows, grows here.
pub const SOAK: Scenario =
    Scenario { name: "soak", what: "cameras come and go for a long time", play: crate::soak::play };

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
