//! `rollcall demo`: the whole thing, on its own cameras. What runs is the daemon of `rollcall run` and the enrolment of
//! `rollcall enroll`; only the cameras are made up, and they are real RTSP cameras that send real faces.
//!
//! - [`cast`]: who comes to which door, and what has to come of it
//! - [`footage`], [`picture`]: what the cameras show
//! - [`site`]: the configuration
//! - [`play`]: shows it, and watches the database
//! - [`verdict`]: whether exactly the right rows are there
//! - [`board`], [`report`]: what is printed

mod board;
mod cast;
mod footage;
mod interrupt;
mod picture;
mod play;
mod report;
mod site;
mod verdict;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use rollcall_pipeline::config::Config;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_test_camera::{Options, TestCamera};
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::cli::Place;
use crate::commands::enroll;
use crate::daemon::Daemon;
use crate::{database, output};

use board::Board;
use cast::{PEOPLE, Scene};
use footage::Media;
use interrupt::{Interrupt, Interrupted};
use play::{Door, Play};

/// Names of the directories that are gone at the end …
const PREFIX: &str = "rollcall-demo-";
/// … and in each the process that it belongs to.
const OWNER: &str = "owner";
/// As after a signal.
const INTERRUPTED: u8 = 130;

pub(super) fn run(place: &Place, stay: bool, json: bool) -> anyhow::Result<ExitCode> {
    match perform(place, stay, json) {
        Err(error) if error.is::<Interrupted>() => {
            output::note("interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
        result => result,
    }
}

fn perform(place: &Place, stay: bool, json: bool) -> anyhow::Result<ExitCode> {
    let say = |text: &str| {
        if !json {
            output::note(text);
        }
    };
    let begun = SystemClock.mono();
    let media = Media::find(cast::files())?;
    let runtime = database::runtime()?;
    let interrupt = Interrupt::listen(&runtime);
    let home = Home::new(place.data_dir.clone())?;

    say("filming: four RTSP cameras are given something to show");
    let scenes = cast::scenes();
    let doors = runtime.block_on(doors(&scenes, media.clone(), home.work.path()))?;
    interrupt.check()?;

    let path = home.work.path().join("demo.toml");
    let addresses: Vec<_> = scenes.iter().zip(doors.iter().map(|door| door.camera.url())).collect();
    fs::write(&path, site::config(SystemClock.wall(), &addresses)).context("cannot write the configuration")?;
    // Nothing of this machine's own installation counts here, least of all its database.
    let config = Config::load_with(&path, HashMap::new())?;
    let place = Place { config: Some(path.clone()), data_dir: Some(home.data.clone()) };

    let portraits = home.work.path().join("people");
    media.portraits(&PEOPLE, &portraits)?;
    let enrolled = enroll::enrol_folder(&place, &config, &portraits)?;
    say(&enrolled.text());
    interrupt.check()?;

    let daemon = Daemon::start(place, config, Some(path))?;
    let play = Play {
        begun,
        api: daemon.address(),
        store: daemon.store(),
        ending: daemon.ending(),
        doors,
        scenes: Arc::new(scenes),
        board: Board::new(&cast::scenes(), json),
        stay,
        json,
    };
    let watching = runtime.spawn(play.watch());
    let ended = daemon.run();
    // The play has ended the daemon, unless it was a signal.
    if !watching.is_finished() {
        ended?;
        return Err(Interrupted.into());
    }
    let (passed, doors) = runtime.block_on(watching).context("the demo panicked")?;
    drop(doors);
    ended?;
    if passed.is_err() {
        // It was reading when the database went.
        interrupt.check()?;
    }
    Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes all clips at once, each on a thread of its own.
async fn doors(scenes: &[Scene], media: Media, work: &Path) -> anyhow::Result<Vec<Door>> {
    let door = |scene: Scene| -> JoinHandle<anyhow::Result<Door>> {
        let (media, work) = (media.clone(), work.to_owned());
        spawn_blocking(move || {
            let clip = media.clip(&scene, &work)?;
            let camera = TestCamera::start(clip, Options::default()).with_context(|| scene.camera.to_owned())?;
            Ok(Door { camera, empty: footage::empty(scene.format)?, rounds: 0, left: false })
        })
    };
    let doors: Vec<_> = scenes.iter().copied().map(door).collect();
    let mut open = Vec::new();
    for door in doors {
        open.push(door.await.context("filming panicked")??);
    }
    Ok(open)
}

/// Where everything is until the end: faces and rows are gone with it.
struct Home {
    work: TempDir,
    data: PathBuf,
}

impl Home {
    /// The data is kept only if its directory was asked for.
    fn new(data_dir: Option<PathBuf>) -> anyhow::Result<Self> {
        // PostgreSQL has its own user where this runs as root, and must reach its directory; what is in ours it need not see.
        let passable = fs::Permissions::from_mode(0o711);
        sweep();
        let work = tempfile::Builder::new().prefix(PREFIX).permissions(passable).tempdir();
        let work = work.context("no temporary directory: set TMPDIR to one that can be written")?;
        fs::write(work.path().join(OWNER), std::process::id().to_string()).context("cannot write there")?;
        let data = match data_dir {
            None => work.path().to_owned(),
            Some(dir) => {
                refuse_full(&dir)?;
                std::path::absolute(&dir)?
            }
        };
        Ok(Self { work, data })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Where its user could not reach our directory, the cluster lies elsewhere.
        if self.data == self.work.path()
            && let Ok(elsewhere) = fs::read_link(self.data.join("postgres"))
            && let Err(error) = fs::remove_dir_all(&elsewhere)
        {
            tracing::warn!(path = %elsewhere.display(), %error, "left behind");
        }
    }
}

/// Removes what a demo left that was killed: there are faces in it.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let owner = fs::read_to_string(entry.path().join(OWNER)).ok().filter(|pid| pid.parse::<u32>().is_ok());
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::debug!(path = %entry.path().display(), %error, "left as it is");
        }
    }
}

/// Marks of real people must not meet those of the demo.
fn refuse_full(dir: &Path) -> anyhow::Result<()> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} is in use: the demo wants a data directory of its own, so name a new one or leave out --data-dir \
             (ROLLCALL_DATA_DIR)",
            dir.display()
        );
    }
    Ok(())
}
