//! `rollcall eval liveness`: are living people taken for living, and pictures of people for pictures? By track, as ISO/IEC
//! 30107-3 counts presentations: APCER is the part of attacks taken for living, BPCER the part of living people taken for an
//! attack; undecided is told apart, since it goes to review.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use rollcall_attendance::Roster;
use rollcall_pipeline::config::Config;
use rollcall_pipeline::ports::{EventSink, Observer};
use rollcall_pipeline::{AttendanceEvent, Clock, Fault, LiveShot, LivenessVerdict, SystemClock};
use rollcall_stages::chip;
use rollcall_stages::matching::Gallery;
use rollcall_stages::picture;
use serde::Serialize;

use super::{rate, write_json};
use crate::cli::{LivenessOptions, Place};
use crate::compose::Vision;
use crate::offline::{Feed, Offline, sees_blinks, tuning};
use crate::output;

pub(super) const PICTURES: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];
pub(super) const VIDEOS: [&str; 11] = ["mp4", "mov", "mkv", "avi", "3gp", "mpg", "mpeg", "webm", "m4v", "gif", "ts"];
/// Folders within folders.
const MAX_DEPTH: usize = 6;
/// A still is shown for so many frames.
const STILL_FRAMES: u64 = 12;

pub(super) fn run(place: &Place, options: &LivenessOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let bench = Bench::new(Vision::open(place, &config)?, config, options.fps, Arc::new(SystemClock))?;
    let live = bench.all(&options.live)?;
    let attack = bench.all(&options.attack)?;
    let figures = Figures::new(live, attack);
    write_json(options.json.as_deref(), &figures)?;
    output::line(figures.text());
    Ok(ExitCode::SUCCESS)
}

pub(super) struct Bench {
    config: Config,
    vision: Vision,
    fps: f32,
    clock: Arc<dyn Clock>,
}

/// What was said about the tracks of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct FileVerdicts {
    file: String,
    pub(super) live: usize,
    pub(super) spoof: usize,
    pub(super) undecided: usize,
    /// Scores of the tracks that have one.
    scores: Vec<f32>,
    /// Every shot that the model was asked about.
    pub(super) checks: Vec<Check>,
    /// Why it could not be read (to its end).
    trouble: Option<String>,
}

impl FileVerdicts {
    /// Its name without the folder.
    pub(super) fn name(&self) -> Option<String> {
        Some(Path::new(&self.file).file_name()?.to_string_lossy().into_owned())
    }

    pub(super) fn is_video(&self) -> bool {
        has_ending(Path::new(&self.file), &VIDEOS)
    }
}

/// What the model said of a shot, and what the shot was like.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Check {
    pub(super) score: f32,
    face_px: f32,
    eye_distance_px: f32,
    sharpness: f32,
    brightness: f32,
    contrast: f32,
    yaw: f32,
    weight: f32,
    /// Whether a low score speaks against somebody.
    pub(super) accuses: bool,
}

/// Keeps all checks.
#[derive(Default)]
struct Checks(Mutex<Vec<Check>>);

impl Observer for Checks {
    fn shot(&self, shot: &LiveShot) {
        let Some(score) = shot.live else { return };
        let q = &shot.shot.quality;
        self.0.lock().push(Check {
            score,
            face_px: q.face_px,
            eye_distance_px: q.eye_distance_px,
            sharpness: q.sharpness,
            brightness: q.brightness,
            contrast: q.contrast,
            yaw: q.pose.yaw,
            weight: q.weight,
            accuses: chip::can_accuse(q),
        });
    }
}

impl Bench {
    pub(super) fn new(vision: Vision, config: Config, fps: f32, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        if !config.liveness.enabled {
            bail!("the liveness check is off: set liveness.enabled");
        }
        sees_blinks(&config, fps)?;
        Ok(Self { config, vision, fps, clock })
    }

    pub(super) fn all(&self, paths: &[PathBuf]) -> anyhow::Result<Vec<FileVerdicts>> {
        let mut files = Vec::new();
        for path in paths {
            find(path, 0, &mut files).with_context(|| format!("cannot read {}", path.display()))?;
        }
        if files.is_empty() {
            bail!(
                "no pictures or videos in {}",
                paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
            );
        }
        files.sort();
        files.iter().map(|file| self.one(file)).collect()
    }

    fn one(&self, file: &Path) -> anyhow::Result<FileVerdicts> {
        let mut told = FileVerdicts { file: file.display().to_string(), ..FileVerdicts::default() };
        let feed = match self.feed(file) {
            Ok(feed) => feed,
            Err(error) => {
                told.trouble = Some(format!("{error:#}"));
                return Ok(told);
            }
        };
        let verdicts = Arc::new(Mutex::new(Vec::new()));
        let checks = Arc::new(Checks::default());
        let offline = Offline {
            config: &self.config,
            vision: &self.vision,
            // Nobody is known, so every track is judged once, when it is over.
            gallery: Gallery::empty(self.vision.embedding_model()),
            roster: Roster::Everybody,
            observer: Arc::clone(&checks) as Arc<dyn Observer>,
        };
        let (fed, _) = offline.run(feed, Box::new(Verdicts(Arc::clone(&verdicts))), &self.clock)?;
        told.checks = std::mem::take(&mut checks.0.lock());
        told.trouble = fed.broke.map(|reason| reason.to_string());
        for verdict in verdicts.lock().iter() {
            match verdict {
                LivenessVerdict::Live(score) => {
                    told.live += 1;
                    told.scores.push(*score);
                }
                LivenessVerdict::Spoof(score) => {
                    told.spoof += 1;
                    told.scores.push(*score);
                }
                LivenessVerdict::Undecided(_) => told.undecided += 1,
            }
        }
        Ok(told)
    }

    fn feed(&self, file: &Path) -> anyhow::Result<Feed> {
        let tuning = tuning(self.fps);
        if has_ending(file, &PICTURES) {
            let image = picture::read(file)?;
            let shown = self.fps.ceil().max(1.0) as u64;
            return Ok(Feed::still(image, STILL_FRAMES, shown, tuning, Arc::clone(&self.clock)));
        }
        Feed::open(file, tuning, Arc::clone(&self.clock))
    }
}

struct Verdicts(Arc<Mutex<Vec<LivenessVerdict>>>);

impl EventSink for Verdicts {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        self.0.lock().extend(batch.iter().map(|event| event.decision.liveness));
        Ok(())
    }
}

/// A file that is named is taken as it is; in a folder only what looks like a picture or a video.
pub(super) fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        if depth == 0 || has_ending(path, &PICTURES) || has_ending(path, &VIDEOS) {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    if depth > MAX_DEPTH {
        bail!("more than {MAX_DEPTH} folders within each other");
    }
    for entry in std::fs::read_dir(path)? {
        find(&entry?.path(), depth + 1, files)?;
    }
    Ok(())
}

pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// One side: living people or attacks.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    pub(super) tracks: usize,
    pub(super) live: usize,
    pub(super) spoof: usize,
    pub(super) undecided: usize,
    pub(super) files: Vec<FileVerdicts>,
}

impl Side {
    fn new(files: Vec<FileVerdicts>) -> Self {
        let sum = |of: fn(&FileVerdicts) -> usize| files.iter().map(of).sum::<usize>();
        let (live, spoof, undecided) = (sum(|f| f.live), sum(|f| f.spoof), sum(|f| f.undecided));
        Self { tracks: live + spoof + undecided, live, spoof, undecided, files }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// Part of the attacks taken for living.
    pub(super) apcer: f64,
    /// Part of the living taken for an attack.
    pub(super) bpcer: f64,
    undecided_attacks: f64,
    undecided_live: f64,
    pub(super) live: Side,
    pub(super) attack: Side,
}

impl Figures {
    pub(super) fn new(live: Vec<FileVerdicts>, attack: Vec<FileVerdicts>) -> Self {
        let (live, attack) = (Side::new(live), Side::new(attack));
        Self {
            apcer: rate(attack.live, attack.tracks),
            bpcer: rate(live.spoof, live.tracks),
            undecided_attacks: rate(attack.undecided, attack.tracks),
            undecided_live: rate(live.undecided, live.tracks),
            live,
            attack,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "APCER {:.2} % ({} of {} attacks taken for living), {} undecided\n\
             BPCER {:.2} % ({} of {} living taken for an attack), {} undecided",
            100.0 * self.apcer,
            self.attack.live,
            self.attack.tracks,
            self.attack.undecided,
            100.0 * self.bpcer,
            self.live.spoof,
            self.live.tracks,
            self.live.undecided,
        );
        for trouble in self.trouble() {
            text.push_str(&format!("\n{trouble}"));
        }
        text
    }

    /// Files of which nothing, or not all, could be judged.
    pub(super) fn trouble(&self) -> Vec<String> {
        let told = |file: &FileVerdicts| match (&file.trouble, file.live + file.spoof + file.undecided) {
            (Some(trouble), _) => Some(format!("{}: {trouble}", file.file)),
            (None, 0) => Some(format!("{}: no face", file.file)),
            (None, _) => None,
        };
        self.live.files.iter().chain(&self.attack.files).filter_map(told).collect()
    }
}
