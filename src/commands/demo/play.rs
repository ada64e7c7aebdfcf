//! Shows each scene twice and watches what the database says about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use rollcall_pipeline::{Clock, MonoTime, SystemClock, WallTime};
use rollcall_store::Store;
use rollcall_test_camera::{Clip, TestCamera};

use super::board::Board;
use super::cast::Scene;
use super::report::Report;
use super::verdict::{Rows, problems, times};
use crate::daemon::Control;
use crate::output;

/// Each scene is shown so often: the second visit must not make a second mark.
const SHOWN: usize = 2;
/// How often the database is read.
const LOOK: Duration = Duration::from_millis(200);
/// What was not seen by then is missing. It takes some twenty seconds.
const PATIENCE: Duration = Duration::from_secs(75);
/// More rows than a demo makes in a week.
const LIMIT: u32 = 100_000;

/// A camera and whether its scene is over.
pub(super) struct Door {
    /// The camera.
    pub(super) camera: TestCamera,
    /// The same door when nobody comes.
    pub(super) empty: Clip,
    /// Rounds of the clip when it was last looked at.
    pub(super) rounds: u64,
    /// Nobody comes any more.
    pub(super) left: bool,
}

/// Everything that a performance needs.
pub(super) struct Play {
    /// When the demo began.
    pub(super) begun: MonoTime,
    /// Where the daemon's API is.
    pub(super) api: SocketAddr,
    /// The daemon's database.
    pub(super) store: Store,
    /// Ends the daemon.
    pub(super) ending: Sender<Control>,
    /// In the order of the scenes.
    pub(super) doors: Vec<Door>,
    pub(super) scenes: Arc<[Scene; 4]>,
    pub(super) board: Board,
    /// Go on when it is over.
    pub(super) stay: bool,
    /// Print for programs.
    pub(super) json: bool,
}

impl Play {
    /// Watches until each scene had its outcome, tells whether all is as it has to be, and ends the daemon unless it is to
    /// stay. The doors come back, since their cameras are to outlive the daemon that watches them.
    pub(super) async fn watch(mut self) -> (anyhow::Result<bool>, Vec<Door>) {
        let passed = self.perform().await;
        if self.stay && passed.is_ok() {
            output::note(format_args!(
                "it goes on: http://{0}/health/ready, http://{0}/metrics, http://{0}/api/v1/cameras; Ctrl-C ends it",
                self.api
            ));
        } else {
            // It may have ended by itself.
            drop(self.ending.send(Control::Terminate));
        }
        (passed, self.doors)
    }

    async fn perform(&mut self) -> anyhow::Result<bool> {
        let clock = SystemClock;
        // Captured times are estimates: a little before is early enough and late enough.
        let since = clock.wall() - chrono::Duration::seconds(60);
        let rows = self.until_over(since, &clock).await;
        self.board.close();
        let rows = rows?;
        let problems = problems(&*self.scenes, &rows, SHOWN);
        let seconds = clock.mono().since(self.begun).as_secs_f64();
        let report = Report::new(&*self.scenes, &rows, problems, seconds, self.api);
        if self.json {
            output::json(&report)?;
        } else {
            output::line(report.text());
        }
        Ok(report.passed)
    }

    async fn until_over(&mut self, since: WallTime, clock: &SystemClock) -> anyhow::Result<Rows> {
        let watched_from = clock.mono();
        loop {
            tokio::time::sleep(LOOK).await;
            let rows = read(&self.store, since).await?;
            self.board.show(&*self.scenes, &rows);
            for (door, scene) in self.doors.iter_mut().zip(&*self.scenes) {
                door.look(scene, &rows, self.stay);
            }
            let too_long = clock.mono().since(watched_from) >= PATIENCE;
            if too_long || self.doors.iter().all(|door| door.left) {
                return Ok(rows);
            }
        }
    }
}

impl Door {
    /// When a round ends and the scene had its outcome often enough, nobody comes any more. In the middle of a round
    /// somebody would be torn from view.
    fn look(&mut self, scene: &Scene, rows: &Rows, stay: bool) {
        let rounds = self.camera.rounds();
        if self.left || rounds == self.rounds {
            return;
        }
        self.rounds = rounds;
        if times(scene, rows) >= SHOWN {
            self.left = true;
            if !stay {
                self.camera.switch(self.empty.clone());
            }
        }
    }
}

async fn read(store: &Store, since: WallTime) -> anyhow::Result<Rows> {
    Ok(Rows {
        events: store.events_since(since, LIMIT).await?,
        marks: store.marks_since(since, LIMIT).await?,
        names: store.people().await?.into_iter().map(|person| (person.id, person.name)).collect(),
    })
}
