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
use rollcall_pipeline::ports::{EventSink, NoObserver};
use rollcall_pipeline::{AttendanceEvent, Clock, Fault, LivenessVerdict, SystemClock};
use rollcall_stages::matching::Gallery;
use rollcall_stages::picture;
use serde::Serialize;

use super::{rate, write_json};
use crate::cli::{LivenessOptions, Place};
use crate::compose::Vision;
use crate::offline::{Feed, Offline, tuning};
use crate::output;

const PICTURES: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];
const VIDEOS: [&str; 11] = ["mp4", "mov", "mkv", "avi", "3gp", "mpg", "mpeg", "webm", "m4v", "gif", "ts"];
/// Folders within folders.
const MAX_DEPTH: usize = 6;
/// A still is shown for so many frames.
const STILL_FRAMES: u64 = 12;

pub(super) fn run(place: &Place, options: &LivenessOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    if !config.liveness.enabled {
        bail!("the liveness check is off: set liveness.enabled");
    }
    let bench = Bench { vision: Vision::open(place, &config)?, config, fps: options.fps, clock: Arc::new(SystemClock) };
    let live = bench.all(&options.live)?;
    let attack = bench.all(&options.attack)?;
    let figures = Figures::new(live, attack);
    write_json(options.json.as_deref(), &figures)?;
    output::line(figures.text());
    Ok(ExitCode::SUCCESS)
}

struct Bench {
    config: Config,
    vision: Vision,
    fps: f32,
    clock: Arc<dyn Clock>,
}

/// What was said about the tracks of a file.
#[derive(Clone, Debug, Default, Serialize)]
struct FileVerdicts {
    file: String,
    live: usize,
    spoof: usize,
    undecided: usize,
    /// Scores of the tracks that have one.
    scores: Vec<f32>,
    /// Why it could not be read (to its end).
    trouble: Option<String>,
}

impl Bench {
    fn all(&self, paths: &[PathBuf]) -> anyhow::Result<Vec<FileVerdicts>> {
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
        let offline = Offline {
            config: &self.config,
            vision: &self.vision,
            // Nobody is known, so every track is judged once, when it is over.
            gallery: Gallery::empty(self.vision.embedding_model()),
            roster: Roster::Everybody,
            observer: Arc::new(NoObserver),
        };
        let (fed, _) = offline.run(feed, Box::new(Verdicts(Arc::clone(&verdicts))), &self.clock)?;
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
        let tuning = tuning(self.fps, 640, 24.0);
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
fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
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

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// One side: living people or attacks.
#[derive(Debug, Serialize)]
struct Side {
    tracks: usize,
    live: usize,
    spoof: usize,
    undecided: usize,
    files: Vec<FileVerdicts>,
}

impl Side {
    fn new(files: Vec<FileVerdicts>) -> Self {
        let sum = |of: fn(&FileVerdicts) -> usize| files.iter().map(of).sum::<usize>();
        let (live, spoof, undecided) = (sum(|f| f.live), sum(|f| f.spoof), sum(|f| f.undecided));
        Self { tracks: live + spoof + undecided, live, spoof, undecided, files }
    }
}

#[derive(Debug, Serialize)]
struct Figures {
    /// Part of the attacks taken for living.
    apcer: f64,
    /// Part of the living taken for an attack.
    bpcer: f64,
    undecided_attacks: f64,
    undecided_live: f64,
    live: Side,
    attack: Side,
}

impl Figures {
    fn new(live: Vec<FileVerdicts>, attack: Vec<FileVerdicts>) -> Self {
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
        for file in self.live.files.iter().chain(&self.attack.files) {
            let trouble = match (&file.trouble, file.live + file.spoof + file.undecided) {
                (Some(trouble), _) => trouble,
                (None, 0) => "no face",
                (None, _) => continue,
            };
            text.push_str(&format!("\n{}: {trouble}", file.file));
        }
        text
    }
}
