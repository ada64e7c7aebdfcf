//! What the cameras show: recordings and photographs → clips; and the pictures that people are enrolled with.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use image::{ImageReader, Rgb, RgbImage};
use rollcall_models::setup;
use rollcall_pipeline::image::{I420, PixelBuffer};
use rollcall_pipeline::{Image, SystemClock};
use rollcall_stages::chip::color::yuv_to_rgb;
use rollcall_stages::decode::VideoFile;
use rollcall_test_camera::{Clip, Format, Segment};

use super::cast::{Enrolled, Material, Scene, Show};
use super::picture;
use crate::paths;

/// The recordings and photographs that set-up fetched.
#[derive(Clone, Debug)]
pub(super) struct Media {
    dir: PathBuf,
}

impl Media {
    /// Finds them, all of them.
    pub(super) fn find<'a>(files: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        const ADVICE: &str = "run `make setup` in the source tree, which fetches it";
        let root = paths::source_root().with_context(|| format!("the media of the demo are not here: {ADVICE}"))?;
        let dir = setup::cache_dir(&root).join("demo");
        for file in files {
            let path = dir.join(file);
            if !path.is_file() {
                bail!("{} is missing: {ADVICE}", path.display());
            }
        }
        Ok(Self { dir })
    }

    fn photo(&self, file: &str) -> anyhow::Result<RgbImage> {
        let path = self.dir.join(file);
        let cannot = || format!("cannot read {}: run `make setup` again", path.display());
        let reader = ImageReader::open(&path).with_context(cannot)?.with_guessed_format().with_context(cannot)?;
        Ok(reader.decode().with_context(cannot)?.into_rgb8())
    }

    /// The clip of a scene: nobody, then whoever comes, then nobody. Takes a second or so.
    pub(super) fn clip(&self, scene: &Scene, work: &Path) -> anyhow::Result<Clip> {
        let Format { width, height, fps, .. } = scene.format;
        let seconds = scene.stays.as_secs_f32();
        let frames = match scene.show {
            Show::Recording { file, from } => {
                let (path, to) = (self.dir.join(file), Some(from + scene.stays));
                return encode(scene, Segment::Video { path, from, to });
            }
            Show::Photograph { file, window } => {
                picture::person(&self.photo(file)?, window, (width, height), seconds, fps)
            }
            Show::Phone { file, window } => picture::phone(&self.photo(file)?, window, (width, height), seconds, fps),
        };
        let path = work.join(format!("{}.y4m", scene.camera));
        write_y4m(&path, &frames, fps).with_context(|| format!("cannot write {}", path.display()))?;
        let clip = encode(scene, Segment::Video { path: path.clone(), from: Duration::ZERO, to: None })?;
        fs::remove_file(&path)?;
        Ok(clip)
    }

    /// Puts the pictures of people into `dir`, in the layout that `rollcall enroll` reads.
    pub(super) fn portraits(&self, people: &[Enrolled], dir: &Path) -> anyhow::Result<()> {
        for person in people {
            let own = dir.join(person.name);
            fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
            match person.from {
                Material::Pictures(files) => {
                    for file in files {
                        fs::copy(self.dir.join(file), own.join(file)).with_context(|| format!("cannot copy {file}"))?;
                    }
                }
                Material::Moments { file, seconds } => self.moments(file, seconds, &own)?,
            }
        }
        Ok(())
    }

    /// Saves single frames of a recording.
    fn moments(&self, file: &str, seconds: &[u64], to: &Path) -> anyhow::Result<()> {
        let path = self.dir.join(file);
        let video = VideoFile::open(&path, Default::default(), Arc::new(SystemClock));
        let video = video.map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
        let mut wanted = seconds.iter().copied().peekable();
        for frame in video {
            let Some(&second) = wanted.peek() else { break };
            let frame = frame.map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
            if frame.media.as_millis() >= second * 1000 {
                rgb(&frame.image).save(to.join(format!("{second}.png"))).context("cannot save a frame")?;
                wanted.next();
            }
        }
        match wanted.next() {
            Some(second) => bail!("{} ends before second {second}: run `make setup` again", path.display()),
            None => Ok(()),
        }
    }
}

/// A clip in which nobody comes.
pub(super) fn empty(format: Format) -> anyhow::Result<Clip> {
    Ok(Clip::encode(&[Segment::Blank { duration: Duration::from_secs(1) }], format)?)
}

fn encode(scene: &Scene, somebody: Segment) -> anyhow::Result<Clip> {
    let nobody = |duration| Segment::Blank { duration };
    let segments = [nobody(scene.before), somebody, nobody(scene.after)];
    Clip::encode(&segments, scene.format).with_context(|| format!("the clip of {}", scene.camera))
}

/// Uncompressed video in the simplest container there is.
fn write_y4m(path: &Path, frames: &[RgbImage], fps: u32) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let (width, height) = frames.first().map(RgbImage::dimensions).unwrap_or_default();
    writeln!(file, "YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg")?;
    for frame in frames {
        writeln!(file, "FRAME")?;
        let planar = I420::from_rgb(width as usize, height as usize, frame);
        for plane in planar.view().planes {
            file.write_all(plane.data)?;
        }
    }
    file.flush()
}

fn rgb(image: &Image) -> RgbImage {
    let view = image.view();
    let [luma, u, v] = view.channels();
    RgbImage::from_fn(view.width as u32, view.height as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let [y, u, v] = [luma.at(x, y), u.at(x / 2, y / 2), v.at(x / 2, y / 2)].map(i32::from);
        Rgb(yuv_to_rgb(y, u, v))
    })
}
