//! "Stand in front of it": the best views of whoever stands before a live camera, taken from the lane as they pass.
//!
//! [`LiveShots`] is one of the lane's observers. While nobody asks it costs one atomic load a shot; while somebody does, the
//! shots of that camera are looked at, and a few are kept. No network runs here: the lane's own work is used, and only
//! what becomes a template is embedded again, see [`crate::FaceEngine::embed_again`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::{
    CameraId, Chip, Embedding, Epoch, Frame, LiveShot, LivenessVerdict, Rect, ShotQuality, TrackId, TrackObservation,
    UndecidedReason, WallTime,
};
use rollcall_stages::picture::{EnrolGates, GateReading, RefusedPicture};

use crate::look::sha256;
use crate::nets::FaceSettings;

/// How long somebody stands there.
pub const STAND: Duration = Duration::from_secs(5);
/// Captures at the same time, at most.
pub const MAX_CAPTURES: usize = 4;
/// Motion tracks followed in one capture; more is a crowd.
const MAX_TRACKS: usize = 24;
/// Shots kept of each track.
const KEPT: usize = 6;
/// Somebody else counts from so many shots on: who walks past behind does not stay for two.
const PRESENT: u32 = 2;
/// A view that is less similar than this to the best one may be of somebody else who came into the track.
const ALIKE: f32 = 0.42;

/// A view that makes a template.
#[derive(Clone, Debug)]
pub struct LiveTemplate {
    /// The template.
    pub embedding: Embedding,
    /// How good the view is.
    pub quality: ShotQuality,
    /// Every gate with what was measured.
    pub report: Vec<GateReading>,
    /// Where the face was, in pixels of the decoded frame.
    pub bbox: Rect,
    /// When.
    pub captured: WallTime,
    /// Where it comes from: sha256 of the pixels of `chip`.
    pub sha256: [u8; 32],
    /// The aligned face. Personal data.
    pub chip: Chip,
}

/// Somebody who stood there.
#[derive(Clone, Debug)]
pub struct LiveEnrolment {
    /// The best views, best first; all of one person.
    pub templates: Vec<LiveTemplate>,
    /// Alive, or undecided because liveness is switched off.
    pub liveness: LivenessVerdict,
}

/// Why nobody can be enrolled from a camera; the text says what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LiveRefusal {
    /// Too many ask at once.
    #[error("{MAX_CAPTURES} people are being enrolled from cameras now; try again in a few seconds")]
    Busy,
    /// No frame was analysed.
    #[error("the camera shows nothing; look at its state")]
    NoPicture,
    /// No face in any frame.
    #[error("nobody was there; stand in front of the camera and look into it")]
    NobodyThere,
    /// Two people as near as each other.
    #[error("several people stood there; let one stand in front alone")]
    SeveralPeople,
    /// A picture or a screen.
    #[error("the face was taken for a picture; stand there yourself")]
    Spoof,
    /// Liveness could not be told.
    #[error("it is not certain that the face is alive ({}); come nearer, into even light, and look into the camera", .0.as_str())]
    NotAlive(UndecidedReason),
    /// No view was good enough.
    #[error(transparent)]
    Poor(#[from] RefusedPicture),
}

impl LiveRefusal {
    /// The word for it in tables and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoPicture => "no_picture",
            Self::NobodyThere => "nobody_there",
            Self::SeveralPeople => "several_people",
            Self::Spoof => "spoof",
            Self::NotAlive(_) => "not_alive",
            Self::Poor(refused) => refused.code(),
        }
    }
}

/// The observer.
#[derive(Debug, Default)]
pub struct LiveShots {
    /// How many captures there are; read before anything else is touched.
    asked: AtomicUsize,
    captures: Mutex<Vec<(u64, Taken)>>,
    next: Mutex<u64>,
}

/// What is taken for one capture.
#[derive(Debug)]
struct Taken {
    camera: CameraId,
    frames: u32,
    with_faces: u32,
    tracks: HashMap<(Epoch, TrackId), Track>,
}

/// One motion track, and later one person.
#[derive(Debug, Default)]
struct Track {
    shots: u32,
    /// Best first.
    best: Vec<LiveShot>,
    live: f32,
    checks: u32,
    blinked: bool,
    /// Area of the largest box.
    area: f32,
    face_px: f32,
}

/// A capture under way. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    shots: Arc<LiveShots>,
    id: u64,
}

impl LiveShots {
    /// Nobody asks yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the best `most` views of whoever stands before a camera during `stand`.
    ///
    /// # Errors
    /// See [`LiveRefusal`].
    pub async fn best_shots(
        self: &Arc<Self>,
        camera: &CameraId,
        stand: Duration,
        most: usize,
        settings: &FaceSettings,
    ) -> Result<LiveEnrolment, LiveRefusal> {
        let capture = self.begin(camera)?;
        tokio::time::sleep(stand).await;
        capture.finish(most, settings)
    }

    /// Begins to take shots of a camera.
    ///
    /// # Errors
    /// [`LiveRefusal::Busy`].
    pub fn begin(self: &Arc<Self>, camera: &CameraId) -> Result<Capture, LiveRefusal> {
        let mut captures = self.captures.lock();
        if captures.len() >= MAX_CAPTURES {
            return Err(LiveRefusal::Busy);
        }
        let id = {
            let mut next = self.next.lock();
            *next += 1;
            *next
        };
        let taken = Taken { camera: camera.clone(), frames: 0, with_faces: 0, tracks: HashMap::new() };
        captures.push((id, taken));
        self.asked.store(captures.len(), Ordering::Relaxed);
        Ok(Capture { shots: Arc::clone(self), id })
    }

    fn end(&self, id: u64) -> Option<Taken> {
        let mut captures = self.captures.lock();
        let at = captures.iter().position(|(known, _)| *known == id)?;
        let (_, taken) = captures.swap_remove(at);
        self.asked.store(captures.len(), Ordering::Relaxed);
        Some(taken)
    }

    fn with(&self, camera: &CameraId, take: impl Fn(&mut Taken)) {
        if self.asked.load(Ordering::Relaxed) > 0 {
            let mut captures = self.captures.lock();
            captures.iter_mut().filter(|(_, taken)| taken.camera == *camera).for_each(|(_, taken)| take(taken));
        }
    }
}

impl Observer for LiveShots {
    fn observed(&self, frame: &Frame, tracks: &[TrackObservation]) {
        self.with(&frame.key.camera, |taken| {
            frame.attention.asked();
            taken.frames += 1;
            taken.with_faces += u32::from(!tracks.is_empty());
        });
    }

    fn shot(&self, shot: &LiveShot) {
        self.with(&shot.shot.key.camera, |taken| taken.take(shot));
    }
}

impl Capture {
    /// Ends it, and says who stood there.
    ///
    /// # Errors
    /// See [`LiveRefusal`].
    pub fn finish(self, most: usize, settings: &FaceSettings) -> Result<LiveEnrolment, LiveRefusal> {
        self.shots.end(self.id).ok_or(LiveRefusal::NoPicture)?.finish(most, settings)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.shots.end(self.id));
    }
}

impl Taken {
    fn take(&mut self, shot: &LiveShot) {
        let key = (shot.shot.key.epoch, shot.shot.track);
        if self.tracks.len() >= MAX_TRACKS && !self.tracks.contains_key(&key) {
            return;
        }
        self.tracks.entry(key).or_default().take(shot);
    }

    fn finish(self, most: usize, settings: &FaceSettings) -> Result<LiveEnrolment, LiveRefusal> {
        if self.frames == 0 && self.tracks.is_empty() {
            return Err(LiveRefusal::NoPicture);
        }
        let gates = &settings.gates;
        let mut people = people(self.tracks, settings.recognition.rejoin_far_similarity);
        if people.is_empty() {
            // Faces without a single shot are far away or turned from the camera.
            let faint = RefusedPicture::TooSmall { eye_distance_px: 0.0, min: gates.min_eye_distance_px };
            return Err(if self.with_faces > 0 { faint.into() } else { LiveRefusal::NobodyThere });
        }
        let nearest = people.remove(0);
        if people.iter().any(|p| p.shots >= PRESENT && nearest.area < gates.dominance * p.area) {
            return Err(LiveRefusal::SeveralPeople);
        }
        let liveness = nearest.liveness(settings);
        match liveness {
            LivenessVerdict::Spoof(_) => return Err(LiveRefusal::Spoof),
            // A face that is too small or too poor to be checked is told so in the words of the gates, where they agree.
            LivenessVerdict::Undecided(reason) if reason != UndecidedReason::Off => {
                nearest.templates(most, gates)?;
                return Err(LiveRefusal::NotAlive(reason));
            }
            LivenessVerdict::Live(_) | LivenessVerdict::Undecided(_) => {}
        }
        let templates = nearest.templates(most, gates)?;
        Ok(LiveEnrolment { templates, liveness })
    }
}

impl Track {
    fn take(&mut self, shot: &LiveShot) {
        self.shots += 1;
        if let Some(live) = shot.live {
            self.live += live;
            self.checks += 1;
        }
        self.blinked |= shot.blinked;
        self.area = self.area.max(shot.shot.bbox.area());
        self.face_px = self.face_px.max(shot.shot.quality.face_px);
        let weight = shot.shot.quality.weight;
        let at = self.best.partition_point(|kept| kept.shot.quality.weight >= weight);
        if at < KEPT {
            self.best.insert(at, shot.clone());
            self.best.truncate(KEPT);
        }
    }

    /// Takes in a part of the same person's track.
    fn join(&mut self, other: Self) {
        self.shots += other.shots;
        self.live += other.live;
        self.checks += other.checks;
        self.blinked |= other.blinked;
        self.area = self.area.max(other.area);
        self.face_px = self.face_px.max(other.face_px);
        self.best.extend(other.best);
        self.best.sort_by(|a, b| b.shot.quality.weight.total_cmp(&a.shot.quality.weight));
        self.best.truncate(KEPT);
    }

    fn likeness(&self, other: &Self) -> f32 {
        let (Some(a), Some(b)) = (self.best.first(), other.best.first()) else { return -1.0 };
        a.embedding.similarity(&b.embedding).unwrap_or(-1.0)
    }

    /// As a lane decides it when time is up: fewer checks than usual are enough for alive, never for a picture.
    fn liveness(&self, settings: &FaceSettings) -> LivenessVerdict {
        let figures = &settings.liveness;
        let undecided = LivenessVerdict::Undecided;
        if !figures.enabled {
            return undecided(UndecidedReason::Off);
        }
        if self.checks == 0 {
            let small = self.face_px < figures.min_face_px;
            return undecided(if small { UndecidedReason::TooSmall } else { UndecidedReason::TooPoor });
        }
        match settings.verdict(self.live / self.checks as f32, self.checks, figures.min_checks) {
            LivenessVerdict::Live(_) if figures.blink_required && !self.blinked => undecided(UndecidedReason::NoBlink),
            verdict => verdict,
        }
    }

    /// The views that pass the gates and are of the person that the best one shows.
    fn templates(&self, most: usize, gates: &EnrolGates) -> Result<Vec<LiveTemplate>, RefusedPicture> {
        let best = self.best.first().ok_or(RefusedPicture::NoFace)?;
        gates.check(&best.shot.quality)?;
        if best.shot.quality.score < gates.min_score {
            return Err(RefusedPicture::NoFace);
        }
        let good = self.best.iter().filter(|shot| {
            let quality = &shot.shot.quality;
            let same = shot.embedding.similarity(&best.embedding).is_some_and(|s| s >= ALIKE);
            same && quality.score >= gates.min_score && gates.check(quality).is_ok()
        });
        Ok(good.take(most.max(1)).map(|shot| template(shot, gates)).collect())
    }
}

fn template(shot: &LiveShot, gates: &EnrolGates) -> LiveTemplate {
    let chip = shot.shot.chip.aligned.clone();
    LiveTemplate {
        embedding: shot.embedding.clone(),
        quality: shot.shot.quality,
        report: gates.readings(&shot.shot.quality).to_vec(),
        bbox: shot.shot.bbox,
        captured: shot.shot.time.captured,
        sha256: sha256(&chip.rgb),
        chip,
    }
}

/// Joins motion tracks that look alike: somebody who turned away for a moment is one person. Nearest first; of those who are
/// as near, who was seen more often, then earlier.
fn people(tracks: HashMap<(Epoch, TrackId), Track>, alike: f32) -> Vec<Track> {
    let mut tracks: Vec<_> = tracks.into_iter().collect();
    tracks.sort_by(|((_, a_id), a), ((_, b_id), b)| {
        b.area.total_cmp(&a.area).then(b.shots.cmp(&a.shots)).then(a_id.cmp(b_id))
    });
    let mut people: Vec<Track> = Vec::new();
    for (_, track) in tracks {
        match people.iter_mut().find(|person| person.likeness(&track) >= alike) {
            Some(person) => person.join(track),
            None => people.push(track),
        }
    }
    people
}
