//! Cameras that fail. Those beside them must not feel it.

use std::time::Duration;

use rollcall_pipeline::{Clock, SystemClock};
use rollcall_test_camera::{TestCamera, TestCameraError};

use crate::film::USUAL;
use crate::ledger::Said;
use crate::site::Plan;
use crate::trial::Trial;
use crate::verdict::{Promise, camera_name};

/// Longer than a camera that went away is asked every second.
const LONG: Duration = Duration::from_secs(40);
const FLAP: Duration = Duration::from_secs(1);
/// What the daemon says when it goes on with a stream that is not comparable with what came before.
const NEW_EPOCH: &str = "the stream changed";

/// What comes of breaking and mending.
type Done = Result<(), TestCameraError>;

/// One more camera that is well.
fn two() -> Plan {
    Plan { more_cameras: 1, ..Plan::default() }
}

/// Breaks the first camera until the daemon says that it lost it, for a while more, and mends it.
fn broken(
    trial: &mut Trial<'_>,
    lasts: Duration,
    fail: impl Fn(&mut TestCamera) -> Done,
    mend: impl Fn(&mut TestCamera) -> Done,
) -> anyhow::Result<()> {
    let patience = trial.patience();
    trial.excuse(Some(0));
    let failed = SystemClock.mono();
    let site = trial.site()?;
    fail(&mut site.cameras[0])?;
    site.ledger.wait("a camera that is missed", patience, |said| {
        let lost = said.cameras.iter().any(|w| w.camera == camera_name(0) && w.at >= failed && w.what != "live");
        lost.then_some(())
    })?;
    site.ledger.pass(lasts);
    mend(&mut site.cameras[0])?;
    trial.back(0, SystemClock.mono())?;
    trial.until_events_of_all(2)
}

/// How long it lasts: as long as others, and long.
fn lengths(trial: &Trial<'_>) -> [Duration; 2] {
    let hold = trial.matrix.options.hold;
    [hold / 4, if hold >= LONG / 2 { hold.max(LONG) } else { hold }]
}

pub(super) fn killed(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    for lasts in lengths(trial) {
        broken(
            trial,
            lasts,
            |camera| {
                camera.kill();
                Ok(())
            },
            TestCamera::restart,
        )?;
    }
    Ok(())
}

pub(super) fn frozen(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    for lasts in lengths(trial) {
        broken(
            trial,
            lasts,
            |camera| {
                camera.freeze();
                Ok(())
            },
            |camera| {
                camera.resume();
                Ok(())
            },
        )?;
    }
    Ok(())
}

pub(super) fn silent(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    for lasts in lengths(trial) {
        broken(trial, lasts, TestCamera::silence, TestCamera::restart)?;
    }
    Ok(())
}

pub(super) fn garbage(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    for lasts in lengths(trial) {
        broken(trial, lasts, TestCamera::garbage, TestCamera::restart)?;
    }
    Ok(())
}

pub(super) fn without_stream(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    for lasts in lengths(trial) {
        broken(trial, lasts, TestCamera::without_stream, TestCamera::restart)?;
    }
    let missed = |said: &Said| said.cameras.iter().filter(|word| word.what == "not_found").count();
    let missed = trial.site()?.ledger.read(missed);
    trial.fact("not found", missed);
    if missed == 0 {
        trial.tell(Promise::Behaves, "it did not say that the stream was not found".to_owned());
    }
    Ok(())
}

pub(super) fn refusing(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.open(two())?;
    trial.excuse(Some(0));
    let patience = trial.patience();
    let site = trial.site()?;
    site.cameras[0].kill();
    site.start()?;
    site.ledger.wait("a camera that is missed", patience, |said| {
        said.cameras.iter().any(|word| word.what == "refused").then_some(())
    })?;
    let [_, lasts] = lengths(trial);
    trial.pass(lasts)?;
    trial.site()?.cameras[0].restart()?;
    trial.back(0, SystemClock.mono())
}

pub(super) fn wrong_password(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.open(Plan {
        credentials: Some(("rollcall".to_owned(), "right".to_owned())),
        first_camera: "username = \"rollcall\"\npassword_file = \"password\"\n".to_owned(),
        ..two()
    })?;
    trial.excuse(Some(0));
    let patience = trial.patience();
    let site = trial.site()?;
    let password = site.file("password");
    std::fs::write(&password, "wrong")?;
    site.start()?;
    site.ledger.wait("a refusal", patience, |said| {
        said.cameras.iter().any(|word| word.what == "unauthorized").then_some(())
    })?;
    let hold = trial.matrix.options.hold;
    trial.pass(hold)?;
    let refused = trial.site()?.ledger.read(|said| said.cameras.iter().filter(|w| w.what == "unauthorized").count());
    trial.fact("refusals", refused);
    std::fs::write(&password, "right")?;
    trial.site()?.daemon()?.signal(nix::sys::signal::Signal::SIGHUP)?;
    trial.back(0, SystemClock.mono())
}

pub(super) fn resolution(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    for other in [true, false] {
        // Whoever is in view is torn from it; the next one counts.
        trial.excuse(Some(0));
        let switched = SystemClock.mono();
        trial.switch_film(0, other)?;
        trial.until_said(NEW_EPOCH)?;
        trial.back_at(0, switched, SystemClock.mono());
        trial.until_events_of_all(7)?;
    }
    Ok(())
}

pub(super) fn pts_jump(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    let decoded = format!("rollcall_camera_frames_decoded_total{{camera=\"{}\"}}", camera_name(0));
    for seconds in [3600, -3600] {
        trial.excuse(Some(0));
        let (jumped, before) = (SystemClock.mono(), trial.metric(&decoded)?);
        trial.site()?.cameras[0].jump_clock(seconds);
        // A second of pictures: more than was on its way.
        trial.until_metric(&decoded, |frames| frames >= before + f64::from(USUAL.fps))?;
        trial.back_at(0, jumped, SystemClock.mono());
        trial.until_events_of_all(7)?;
    }
    // The receiver may level a jump out before the daemon sees it.
    let epochs = |said: &Said| said.messages.iter().filter(|message| message.starts_with(NEW_EPOCH)).count();
    let epochs = trial.site()?.ledger.read(epochs);
    trial.fact("new epochs", epochs);
    Ok(())
}

pub(super) fn flaps(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(two())?;
    trial.excuse(Some(0));
    let flaps = trial.matrix.options.flaps;
    for _ in 0..flaps {
        trial.site()?.cameras[0].kill();
        trial.pass(FLAP)?;
        trial.site()?.cameras[0].restart()?;
        trial.pass(FLAP)?;
    }
    trial.site()?.cameras[0].kill();
    trial.pass(FLAP)?;
    trial.site()?.cameras[0].restart()?;
    trial.fact("flaps", flaps + 1);
    trial.back(0, SystemClock.mono())?;
    let lost = |said: &Said| said.cameras.iter().filter(|w| w.camera == camera_name(0) && w.what != "live").count();
    let lost = trial.site()?.ledger.read(lost);
    trial.fact("connections lost or refused", lost);
    if lost == 0 {
        trial.tell(Promise::Behaves, "it did not say that a connection was lost".to_owned());
    }
    Ok(())
}
