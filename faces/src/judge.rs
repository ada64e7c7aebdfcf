//! Who is in a picture or clip, and whether they are alive: by the evidence and the decision of the lane itself.
//!
//! The shots go through the lane's own `match` stage, and what it decides goes through the decision matrix. So a face is
//! held to the same rules at a door and in a picture:
//!
//! - **One picture is one shot.** A name needs `min_agreeing` shots (two, unless configured otherwise) that each say the
//!   same, so one picture names nobody: at best it is left for review as *ambiguous*. A caller who wants more from one
//!   picture sets [`JudgeRequest::min_agreeing`] to 1; it then takes `early_similarity`, as two shots in a lane do.
//! - **Life.** One picture can be *live*; it is never called a *spoof*, which takes three checks, but *undecided (unclear)*,
//!   which the matrix sends to review. A photo of a photo that fools the model once is marked: use a clip where that counts.
//! - **A clip** of two seconds or more has all that a lane has, blinks included.
//! - The same file handed in several times is one picture.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rollcall_attendance::{DecisionPolicy, Verdict, decide};
use rollcall_pipeline::config::ReviewOrMark;
use rollcall_pipeline::ports::{Expectations, Judge, Matcher, NoObserver};
use rollcall_pipeline::{
    AttendanceEvent, CameraTuning, Decision, Detection, EventId, EventKind, FaceChip, Fault, FrameTime, Image,
    LiveShot, LivenessVerdict, MediaTime, MonoTime, Outbox, PersonId, RoomId, Stage as _, StreamKey, TimeSource,
    TrackEnd, TrackId, TrackShot, Tracked, WallTime,
};
use rollcall_stages::chip;
use rollcall_stages::liveness::Blinks;
use rollcall_stages::matching::{MatchPorts, MatchStage, RecognitionSettings};
use rollcall_stages::picture::{self, RefusedPicture};
use rollcall_stages::track::{ShotSettings, Tracker, TrackerSettings};

use crate::error::FacesError;
use crate::look;
use crate::nets::{FaceNets, FaceSettings};

/// Pictures of one request, at most.
pub const MAX_PICTURES: usize = 32;
/// Pictures without a time of their own lie so far apart.
const APART: Duration = Duration::from_millis(250);

/// What somebody hands in to be recognised.
#[derive(Clone)]
pub enum Material {
    /// One picture, or several frames of one moment in their order.
    Pictures(Vec<Vec<u8>>),
    /// A short MP4, MOV or WebM.
    Clip(Vec<u8>),
}

impl Material {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Pictures(pictures) => pictures.iter().map(Vec::len).sum(),
            Self::Clip(bytes) => bytes.len(),
        }
    }
}

/// How it is to be judged.
#[derive(Clone)]
pub struct JudgeRequest {
    /// What stands for the camera in the decision, and an epoch of its own: from both event ids are made.
    pub key: StreamKey,
    /// Room and direction.
    pub tuning: Arc<CameraTuning>,
    /// When the first picture was taken.
    pub at: WallTime,
    /// The gallery.
    pub matcher: Arc<dyn Matcher>,
    /// The roster of the session; `None` expects everybody.
    pub expected: Option<Arc<[PersonId]>>,
    /// The open cells of the decision matrix.
    pub policy: DecisionPolicy,
    /// Shots that must agree, where the caller has a setting of its own.
    pub min_agreeing: Option<u32>,
}

/// What is made of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// As a lane would say it. The rules of attendance make an event of it.
    pub decision: Decision,
    /// What the decision matrix says.
    pub verdict: Verdict,
    /// Pictures or frames that were looked at.
    pub frames: u32,
}

/// Takes pictures of one moment, one after the other, and judges them at the end.
pub(crate) struct Sitting<'a> {
    settings: &'a FaceSettings,
    request: &'a JudgeRequest,
    received: MonoTime,
    stage: MatchStage,
    out: Outbox<AttendanceEvent>,
    /// Follows the face through a clip; pictures may be of any size, and motion says nothing between them.
    tracker: Option<Tracker>,
    known: HashSet<[u8; 32]>,
    blinks: Blinks,
    blinked: bool,
    frames: u32,
    shots: u32,
    several: u32,
    refused: Option<RefusedPicture>,
    last: Option<FrameTime>,
}

impl<'a> Sitting<'a> {
    pub(crate) fn new(
        settings: &'a FaceSettings,
        request: &'a JudgeRequest,
        is_clip: bool,
        received: MonoTime,
    ) -> Result<Self, Fault> {
        let ports = MatchPorts {
            matcher: Arc::clone(&request.matcher),
            expectations: Arc::new(Roster(request.expected.clone())),
            judge: Box::new(ByMatrix(request.policy)),
            observer: Arc::new(NoObserver),
        };
        let recognition = RecognitionSettings {
            min_agreeing: request.min_agreeing.unwrap_or(settings.recognition.min_agreeing),
            ..settings.recognition
        };
        let mut stage = MatchStage::new(ports, recognition, settings.liveness);
        stage.on_open(&request.key)?;
        Ok(Self {
            settings,
            request,
            received,
            stage,
            out: Outbox::collecting(),
            tracker: is_clip.then(|| Tracker::new(TrackerSettings::default())),
            known: HashSet::new(),
            blinks: Blinks::default(),
            blinked: false,
            frames: 0,
            shots: 0,
            several: 0,
            refused: None,
            last: None,
        })
    }

    /// Decodes one of several pictures; `None` if it was there before.
    pub(crate) fn fresh(&mut self, bytes: &[u8]) -> Result<Option<Image>, FacesError> {
        if !self.known.insert(look::sha256(bytes)) {
            return Ok(None);
        }
        Ok(Some(look::decode(bytes)?))
    }

    /// Takes in one of several pictures.
    pub(crate) fn picture(&mut self, image: &Image, nets: &mut FaceNets) -> Result<(), FacesError> {
        let seq = u64::from(self.frames);
        self.frame(seq, MediaTime(APART.as_nanos() as u64 * seq), image, nets)
    }

    /// Takes in a frame of a clip.
    pub(crate) fn frame(
        &mut self,
        seq: u64,
        media: MediaTime,
        image: &Image,
        nets: &mut FaceNets,
    ) -> Result<(), FacesError> {
        let faces = picture::faces(image, &mut *nets.detector)?;
        self.look(seq, media, image, &faces, nets)?;
        Ok(())
    }

    fn look(
        &mut self,
        seq: u64,
        media: MediaTime,
        image: &Image,
        faces: &[Detection],
        nets: &mut FaceNets,
    ) -> Result<(), Fault> {
        self.frames += 1;
        let time = self.time(media);
        let face = match self.settings.gates.main_face(faces) {
            Ok(face) => *face,
            Err(refused) => {
                self.several += u32::from(matches!(refused, RefusedPicture::SeveralFaces { .. }));
                self.refused.get_or_insert(refused);
                return Ok(());
            }
        };
        let Some(track) = self.follow(time, &face)? else { return Ok(()) };
        if let Some(eyes) = &mut nets.eyes
            && face.bbox.w >= self.settings.liveness.min_face_px
            && let Some(openness) = eyes.openness(&chip::eyes(&image.view(), &face.bbox, &face.landmarks))?
        {
            self.blinked |= self.blinks.observe(media, openness);
        }
        let (aligned, quality) = look::view(image, &face);
        if quality.weight < ShotSettings::default().min_weight {
            let poor = self.settings.gates.check(&quality).err();
            self.refused = poor.or(Some(RefusedPicture::Blurred { sharpness: quality.sharpness }));
            return Ok(());
        }
        let live = match self.settings.unfair(&quality) {
            Some(_) => None,
            None => Some(look::score(image, &face, &aligned, nets)?),
        };
        let chip = FaceChip { aligned, context: Vec::new() };
        let Some(embedding) = look::embed(&[&chip], nets)?.pop().flatten() else { return Ok(()) };
        self.shots += 1;
        self.last = Some(time);
        let shot = TrackShot {
            key: self.request.key.clone(),
            track,
            seq,
            time,
            tuning: Arc::clone(&self.request.tuning),
            bbox: face.bbox,
            quality,
            chip,
        };
        let blinked = std::mem::take(&mut self.blinked);
        self.stage.process(vec![Tracked::Shot(LiveShot { shot, embedding, live, blinked })], &mut self.out)
    }

    /// The motion track of a face; `None` while it is too faint to begin one.
    fn follow(&mut self, time: FrameTime, face: &Detection) -> Result<Option<TrackId>, Fault> {
        let Some(tracker) = &mut self.tracker else { return Ok(Some(TrackId(1))) };
        let update = tracker.update(time.media, std::slice::from_ref(face));
        for ended in update.ended {
            // Another face may come next: its eyes are not these.
            self.blinks = Blinks::default();
            let blinked = std::mem::take(&mut self.blinked);
            let last = self.last.unwrap_or(time);
            let end = TrackEnd {
                key: self.request.key.clone(),
                track: ended.track,
                first: last,
                last,
                frames: 1,
                blinked,
                tuning: Arc::clone(&self.request.tuning),
            };
            self.stage.process(vec![Tracked::Ended(end)], &mut self.out)?;
        }
        Ok(update.seen.first().map(|seen| seen.track))
    }

    fn time(&self, media: MediaTime) -> FrameTime {
        FrameTime {
            media,
            received: self.received,
            captured: self.request.at + Duration::from_nanos(media.0),
            source: TimeSource::Estimate,
        }
    }

    /// What it all comes to.
    pub(crate) fn judge(mut self) -> Result<Judged, FacesError> {
        // Whoever is in view together with somebody else as near is not the one that is meant.
        if self.shots == 0 || self.several > self.shots {
            return Err(self.refused.unwrap_or(RefusedPicture::NoFace).into());
        }
        self.stage.on_close(&self.request.key, &mut self.out)?;
        // A later decision about a track corrects an earlier one.
        let mut last: Vec<Decision> = Vec::new();
        for event in self.out.take() {
            match last.iter_mut().find(|d| d.track == event.decision.track) {
                Some(known) => *known = event.decision,
                None => last.push(event.decision),
            }
        }
        // Of several people one after the other, a picture taints the clip, and else the one who was there longest counts.
        let rank = |d: &Decision| (matches!(d.liveness, LivenessVerdict::Spoof(_)), d.shots);
        let decision = last.into_iter().max_by_key(rank).ok_or(RefusedPicture::NoFace)?;
        let verdict = decide(&decision.outcome, &decision.liveness, &self.request.policy);
        Ok(Judged { decision, verdict, frames: self.frames })
    }
}

/// One roster, whatever the room and the time.
struct Roster(Option<Arc<[PersonId]>>);

impl Expectations for Roster {
    fn expected(&self, _: &RoomId, _: WallTime) -> Option<Arc<[PersonId]>> {
        self.0.clone()
    }
}

/// The decision matrix alone: sessions and debounce are asked by whoever makes an event of the answer, and says it.
struct ByMatrix(DecisionPolicy);

impl Judge for ByMatrix {
    fn judge(&mut self, decision: Decision) -> AttendanceEvent {
        let (kind, person) = match decide(&decision.outcome, &decision.liveness, &self.0) {
            Verdict::Mark(person) => (EventKind::Recorded, Some(person)),
            Verdict::Ambiguous => (EventKind::Ambiguous, None),
            Verdict::Spoof => (EventKind::Spoof, None),
            Verdict::Unknown => (EventKind::Unknown, None),
        };
        let occurrence = decision.decided.media.as_millis() as u32;
        let id = EventId::derive(&decision.key, decision.track, person, kind.as_str(), occurrence);
        AttendanceEvent { id, kind, mark: None, repeats: None, decision }
    }

    fn waits_when_small(&self) -> bool {
        self.0.identified_undecided == ReviewOrMark::Review
    }
}
