//! The face engine as the API sees it: one for the whole daemon, beside the lane and behind it in priority.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rollcall_attendance::DecisionPolicy;
use rollcall_control_api::ports::faces::{
    BoxView, Certainty, CheckIn, CheckInOutcome, CheckInTrouble, CheckedIn, DecideAsk, EnrolAsk, FaceView, Faces,
    FacesTrouble, GalleryView, GateView, Later, Likeness, LiveShot, LivenessView, Matched, NewTemplate, NotTheirs,
    PictureOutcome, PictureReport, QualityView, Shown, Turn,
};
use rollcall_faces::live::STAND;
use rollcall_faces::{
    EngineOptions, EnrolRequest, Enrolled, Examined, FaceEngine, FaceInfo, FacesError, JudgeRequest, LiveRefusal,
    LiveShots, LiveTemplate, Material, Refusal,
};
use rollcall_pipeline::config::{CheckInConfig, ReviewOrMark};
use rollcall_pipeline::metrics::SinkMetrics;
use rollcall_pipeline::ports::Expectations as _;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{
    AttendanceEvent, CameraId, CameraTuning, Direction, Embedding, Epoch, EventKind, GalleryVersion, LivenessVerdict,
    ModelId, PersonId, Rect, RoomId, ShotQuality, StreamKey, UndecidedReason,
};
use rollcall_sinks::PgSinkOptions;
use rollcall_stages::matching::{self, GalleryHandle, RecognitionSettings};
use rollcall_stages::picture::GateReading;
use rollcall_store::{Actor, MarkRow, Store, StoreError};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::people::People;
use crate::compose::Vision;
use crate::rules::Rules;

/// What stands for the camera, before the room.
const CHECK_IN: &str = "check-in";
/// How often is looked whether the gallery has come far enough.
const GALLERY_EVERY: Duration = Duration::from_millis(20);
/// A gallery is live a second after its change; one that takes longer has lost its database.
const GALLERY_WITHIN: Duration = Duration::from_secs(5);

/// The engine, and what it is asked about.
pub(super) struct FaceDesk {
    engine: FaceEngine,
    people: Arc<People>,
    shots: Arc<LiveShots>,
    gallery: GalleryHandle,
    model: ModelId,
    enrolling: Arc<Mutex<()>>,
    rules: Rules,
    store: Store,
    /// How events are written.
    sink: PgSinkOptions,
    check_in: CheckInConfig,
    metrics: SinkMetrics,
    /// One check-in after the other is made an event of, so that the same picture twice is one.
    marking: Mutex<()>,
}

/// What the desk works with.
pub(super) struct Parts {
    pub(super) people: Arc<People>,
    pub(super) gallery: GalleryHandle,
    pub(super) shots: Arc<LiveShots>,
    pub(super) rules: Rules,
    pub(super) store: Store,
    pub(super) sink: PgSinkOptions,
    pub(super) check_in: CheckInConfig,
    /// Where clips lie while they are looked at.
    pub(super) clips: PathBuf,
}

impl FaceDesk {
    /// Starts the engine. Networks are loaded with the first picture: a site that sends none pays nothing.
    pub(super) fn start(
        vision: &Vision,
        recognition: RecognitionSettings,
        parts: Parts,
        supervisor: &Supervisor,
    ) -> anyhow::Result<Self> {
        let Parts { people, gallery, shots, rules, store, sink, check_in, clips } = parts;
        // What a crash left behind shows people.
        if let Err(error) = fs::remove_dir_all(&clips)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %clips.display(), %error, "clips of before cannot be removed: they show people");
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&clips);
        made.with_context(|| format!("cannot make {}", clips.display()))?;
        let options = EngineOptions { eager: false, temp_dir: clips, ..EngineOptions::default() };
        let (settings, load) = vision.faces(recognition);
        let engine = FaceEngine::start(options, settings, load, supervisor)?;
        let (model, enrolling, marking) = (vision.embedding_model(), Arc::default(), Mutex::default());
        let metrics = SinkMetrics::new();
        Ok(Self { engine, people, shots, gallery, model, enrolling, rules, store, sink, check_in, metrics, marking })
    }

    /// Takes no more pictures.
    pub(super) fn stop(&self) {
        self.engine.stop();
    }

    /// Until gallery and timetables were there once, everybody is nobody, and every session a day.
    fn loaded(&self) -> Result<(), FacesTrouble> {
        let loading = || FacesTrouble::Busy {
            detail: "people and timetables are being loaded; try again in a moment".to_owned(),
            retry_after: GALLERY_WITHIN,
        };
        if self.people.is_loaded() { Ok(()) } else { Err(loading()) }
    }

    async fn mark(&self, ask: CheckIn) -> Result<CheckedIn, CheckInTrouble> {
        self.loaded()?;
        if ask.session.is_some_and(|session| !self.rules.is_on(&ask.room, ask.at, session)) {
            return Err(CheckInTrouble::NotOn);
        }
        let epoch = epoch(&ask);
        let CheckIn { shown, by, room, at, .. } = ask;
        let by_camera = self.engine.settings().recognition.min_agreeing;
        let (material, min_agreeing) = match shown {
            // There is no second view to agree with a single one, if one is enough.
            Shown::Pictures(pictures) if pictures.len() == 1 => (Material::Pictures(pictures), 1),
            Shown::Pictures(pictures) => (Material::Pictures(pictures), by_camera),
            Shown::Clip(clip) => (Material::Clip(clip), by_camera),
        };
        let policy = match self.check_in.require_live {
            true => DecisionPolicy {
                identified_undecided: ReviewOrMark::Review,
                identified_too_poor: ReviewOrMark::Review,
                identified_unclear: ReviewOrMark::Review,
                ..self.rules.policy()
            },
            false => self.rules.policy(),
        };
        // With the room: whoever is seen on one camera again is not marked again, and one key may serve many rooms. Without who
        // sends: this is kept with what was seen, and the audit log says it.
        let camera = CameraId::new(format!("{CHECK_IN}@{room}"));
        let request = JudgeRequest {
            key: StreamKey { camera, epoch },
            tuning: Arc::new(CameraTuning {
                room: room.clone(),
                direction: Some(Direction::Entry),
                analysis_fps: 5.0,
                detect_size: 640,
                min_face_px: 0.0,
                still_interval_s: 0.0,
                regions_of_interest: Vec::new(),
                privacy_masks: Vec::new(),
            }),
            at,
            matcher: Arc::new(self.gallery.clone()),
            expected: self.rules.expected(&room, at),
            policy,
            min_agreeing: Some(min_agreeing.max(self.check_in.min_agreeing)),
        };
        let decision = self.engine.judge(material, request).await.map_err(trouble)?.decision;
        let _turn = self.marking.lock().await;
        let event = self.rules.propose_by(decision, &policy);
        // A camera that sees them meanwhile is not told of a mark that may never be.
        let kept = self.keep(&event, &room, by).await?;
        self.rules.keep(&event);
        Ok(kept)
    }

    /// Writes the event of a check-in, and says what came of it.
    async fn keep(&self, event: &AttendanceEvent, room: &RoomId, by: Actor) -> Result<CheckedIn, StoreError> {
        let decision = &event.decision;
        let told = |outcome, mark: Option<MarkRow>| CheckedIn {
            outcome,
            event: event.id.0,
            person: event.person().filter(|_| mark.is_some()),
            session: mark.as_ref().map(|mark| mark.session),
            status: mark.as_ref().map(|mark| mark.status.clone()),
            first_seen: mark.as_ref().map(|mark| mark.first_seen_at),
            liveness: liveness_view(decision.liveness, decision.liveness.score()),
        };
        let record = self.sink.record(event, self.store.sealer());
        let mut change = self.store.change(by).await?;
        let marked = change.check_in(&record).await?;
        change.commit().await?;
        self.say(event, marked);
        let mark = match (event.person(), &event.mark) {
            (Some(person), Some(mark)) => self.store.mark_of(person, mark.session.id).await?,
            (Some(person), None) if event.kind == EventKind::Debounced => {
                self.store.mark_near(person, room, decision.decided.captured).await?
            }
            _ => None,
        };
        Ok(match event.kind {
            EventKind::Ambiguous => told(CheckInOutcome::Review, None),
            EventKind::Spoof => told(CheckInOutcome::Spoof, None),
            EventKind::Unknown => told(CheckInOutcome::Unknown, None),
            // Somebody who was deleted a moment ago has none.
            _ if mark.is_none() => told(CheckInOutcome::Unknown, None),
            _ if marked => told(CheckInOutcome::Recorded, mark),
            _ => told(CheckInOutcome::AlreadyMarked, mark),
        })
    }

    /// As the lane and the sink say theirs, but under one name for all machines and rooms: it is a label of metrics.
    fn say(&self, event: &AttendanceEvent, marked: bool) {
        let camera = CameraId::new(CHECK_IN);
        matching::say(&camera, event);
        match &event.mark {
            Some(mark) if marked => self.metrics.marked(&camera, mark.status),
            Some(_) => self.metrics.duplicate_blocked(&camera),
            None => {}
        }
    }

    async fn gallery_at_least(&self, version: GalleryVersion) -> Result<(), FacesTrouble> {
        let come = async {
            while self.gallery.load().version() < version {
                tokio::time::sleep(GALLERY_EVERY).await;
            }
        };
        tokio::time::timeout(GALLERY_WITHIN, come).await.map_err(|_| FacesTrouble::Busy {
            detail: "the gallery does not follow the database now; try again when it does".to_owned(),
            retry_after: GALLERY_WITHIN,
        })
    }
}

impl Faces for FaceDesk {
    fn model(&self) -> ModelId {
        self.model.clone()
    }

    fn gallery(&self) -> GalleryView {
        let gallery = self.gallery.load();
        GalleryView {
            version: gallery.version().0,
            people: gallery.people(),
            templates: gallery.templates(),
            model: self.model.to_string(),
        }
    }

    fn detect(&self, picture: Vec<u8>, most: usize) -> Later<'_, Result<Vec<FaceView>, FacesTrouble>> {
        Box::pin(async move {
            let faces = self.engine.detect(picture, most).await.map_err(trouble)?;
            Ok(faces.iter().map(face_view).collect())
        })
    }

    fn encode(&self, picture: Vec<u8>, most: usize) -> Later<'_, Result<Vec<(FaceView, Embedding)>, FacesTrouble>> {
        Box::pin(async move {
            let faces = self.engine.encode(picture, most).await.map_err(trouble)?;
            Ok(faces.into_iter().map(|(info, embedding)| (face_view(&info), embedding)).collect())
        })
    }

    fn examine(&self, picture: Vec<u8>) -> Later<'_, Result<PictureReport, FacesTrouble>> {
        Box::pin(async move {
            let Examined { sha256, report, bbox, shot, .. } = self.engine.examine(picture).await.map_err(trouble)?;
            let refused = shot.err().map(|refused| (refused.code(), refused.to_string()));
            Ok(picture_report(&sha256, &report, bbox, refused))
        })
    }

    fn turn(&self) -> Later<'_, Turn> {
        Box::pin(async move { Turn(Arc::clone(&self.enrolling).lock_owned().await) })
    }

    fn enrol(&self, request: EnrolAsk) -> Later<'_, Result<Vec<PictureOutcome>, FacesTrouble>> {
        Box::pin(async move {
            let EnrolAsk { person, own, at_least, pictures } = request;
            self.gallery_at_least(at_least).await?;
            let others = self.gallery.load();
            let request = EnrolRequest { person, own, others, pictures };
            let told = self.engine.enrol(request).await.map_err(trouble)?;
            Ok(told.into_iter().map(outcome).collect())
        })
    }

    fn decide(&self, ask: DecideAsk) -> Later<'_, Result<Vec<Result<(), NotTheirs>>, FacesTrouble>> {
        Box::pin(async move {
            let DecideAsk { person, mut own, at_least, faces } = ask;
            self.gallery_at_least(at_least).await?;
            let others = self.gallery.load();
            let faces: Vec<_> = faces.iter().map(Some).collect();
            let refusals = rollcall_faces::known::decide(
                &mut own,
                |face| rollcall_faces::known::in_gallery(&*others, person, face),
                &faces,
            );
            Ok(refusals.iter().map(|refusal| refusal.as_ref().and_then(not_theirs).map_or(Ok(()), Err)).collect())
        })
    }

    fn best_shots(&self, camera: CameraId, most: usize) -> Later<'_, Result<Vec<LiveShot>, FacesTrouble>> {
        Box::pin(async move {
            let taken = self.shots.best_shots(&camera, STAND, most, self.engine.settings()).await;
            let enrolment = taken.map_err(|refusal| match refusal {
                LiveRefusal::Busy => FacesTrouble::Busy { detail: refusal.to_string(), retry_after: STAND },
                _ => FacesTrouble::Refused { code: refusal.code(), detail: refusal.to_string() },
            })?;
            let templates = self.engine.embed_again(enrolment.templates).await.map_err(trouble)?;
            Ok(templates.into_iter().map(live_shot).collect())
        })
    }

    fn match_gallery(&self, probe: &Embedding, most: usize) -> Result<Matched<PersonId>, FacesTrouble> {
        self.loaded()?;
        let settings = &self.engine.settings().recognition;
        Ok(matched(rollcall_faces::match_gallery(probe, &self.gallery.load(), settings, most)))
    }

    fn match_list(
        &self,
        probe: &Embedding,
        list: &[(String, Embedding)],
        most: usize,
    ) -> Result<Matched<String>, FacesTrouble> {
        let settings = &self.engine.settings().recognition;
        rollcall_faces::match_list(probe, list, settings, most).map(matched).map_err(trouble)
    }

    fn check_in(&self, ask: CheckIn) -> Later<'_, Result<CheckedIn, CheckInTrouble>> {
        Box::pin(self.mark(ask))
    }

    fn verify(&self, a: &Embedding, b: &Embedding) -> Result<(Certainty, Likeness), FacesTrouble> {
        let (said, alike) = rollcall_faces::verify(a, b, &self.engine.settings().recognition).map_err(trouble)?;
        Ok((certainty(said), likeness(alike)))
    }
}

/// What event ids are made of: the content and the place, so that the same picture sent twice is the same event.
fn epoch(ask: &CheckIn) -> Epoch {
    let mut digest = Sha256::new();
    match &ask.shown {
        Shown::Pictures(pictures) => pictures.iter().for_each(|picture| digest.update(Sha256::digest(picture))),
        Shown::Clip(clip) => digest.update(Sha256::digest(clip)),
    }
    match ask.session {
        Some(session) => digest.update(session.0),
        // The same picture on another day is another one.
        None => digest.update(format!("{}/{}", ask.room, ask.at.date_naive())),
    }
    Epoch(Uuid::new_v5(&Uuid::NAMESPACE_OID, &digest.finalize()))
}

fn trouble(error: FacesError) -> FacesTrouble {
    let (code, detail) = (error.code(), error.to_string());
    match error {
        FacesError::Picture(_) | FacesError::Clip(_) | FacesError::TooMany { .. } | FacesError::OtherModel { .. } => {
            FacesTrouble::Refused { code, detail }
        }
        FacesError::Busy { retry_after } | FacesError::Unavailable { retry_after } => {
            FacesTrouble::Busy { detail, retry_after }
        }
        FacesError::TooLate | FacesError::Stopped => FacesTrouble::Busy { detail, retry_after: STAND },
        FacesError::Failed(_) => FacesTrouble::Failed(detail),
    }
}

pub(super) fn box_view(r: Rect) -> BoxView {
    BoxView { x: r.x, y: r.y, w: r.w, h: r.h }
}

fn quality_view(q: &ShotQuality) -> QualityView {
    QualityView {
        overall: q.weight,
        eye_distance_px: q.eye_distance_px,
        face_px: q.face_px,
        yaw: q.pose.yaw,
        pitch: q.pose.pitch,
        roll: q.pose.roll,
        sharpness: q.sharpness,
        brightness: q.brightness,
        contrast: q.contrast,
    }
}

fn face_view(face: &FaceInfo) -> FaceView {
    FaceView {
        bbox: box_view(face.bbox),
        landmarks: face.landmarks.iter().map(|p| [p.x, p.y]).collect(),
        score: face.score,
        quality: quality_view(&face.quality),
        liveness: liveness_view(face.liveness.verdict, face.liveness.score),
    }
}

fn liveness_view(verdict: LivenessVerdict, score: Option<f32>) -> LivenessView {
    LivenessView { verdict: verdict.as_str(), score, reason: verdict.undecided().map(UndecidedReason::as_str) }
}

fn gates(report: &[GateReading]) -> Vec<GateView> {
    let view =
        |r: &GateReading| GateView { gate: r.gate, value: r.value, limit: r.limit, at_most: r.at_most, pass: r.pass };
    report.iter().map(view).collect()
}

fn picture_report(
    sha256: &[u8],
    report: &[GateReading],
    bbox: Option<Rect>,
    refused: Option<(&'static str, String)>,
) -> PictureReport {
    let accepted = refused.is_none();
    let (code, detail) = refused.unzip();
    let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    PictureReport { sha256, accepted, code, detail, bbox: bbox.map(box_view), gates: gates(report) }
}

fn outcome(enrolled: Enrolled) -> PictureOutcome {
    let Enrolled { sha256, report, bbox, outcome } = enrolled;
    let (template, refused, looks_like) = match outcome {
        Ok(accepted) => {
            let (embedding, quality) = (accepted.embedding, accepted.quality.weight);
            (Some(NewTemplate { embedding, quality }), None, None)
        }
        Err(refusal) => match not_theirs(&refusal) {
            Some(no @ NotTheirs::LooksLike(other)) => (None, Some((no.code(), no.detail().to_owned())), Some(other)),
            Some(no) => (None, Some((no.code(), no.detail().to_owned())), None),
            None => (None, Some((refusal.code(), refusal.to_string())), None),
        },
    };
    PictureOutcome { report: picture_report(&sha256, &report, bbox, refused), sha256, template, looks_like }
}

/// Whose face it is instead, if that is what is wrong.
fn not_theirs(refusal: &Refusal<PersonId>) -> Option<NotTheirs> {
    match refusal {
        Refusal::LooksLike { other, .. } => Some(NotTheirs::LooksLike(*other)),
        Refusal::AnotherPerson { .. } => Some(NotTheirs::AnotherPerson),
        Refusal::Picture(_) => None,
    }
}

fn live_shot(taken: LiveTemplate) -> LiveShot {
    LiveShot {
        gates: gates(&taken.report),
        bbox: box_view(taken.bbox),
        captured: taken.captured,
        sha256: taken.sha256,
        template: NewTemplate { embedding: taken.embedding, quality: taken.quality.weight },
    }
}

fn certainty(certainty: rollcall_faces::Certainty) -> Certainty {
    match certainty {
        rollcall_faces::Certainty::Confident => Certainty::Confident,
        rollcall_faces::Certainty::Uncertain => Certainty::Uncertain,
        rollcall_faces::Certainty::NoMatch => Certainty::NoMatch,
    }
}

fn likeness(l: rollcall_faces::Likeness) -> Likeness {
    Likeness { similarity: l.similarity, distance: l.distance, confidence: l.confidence }
}

fn matched<L>(found: rollcall_faces::Matched<L>) -> Matched<L> {
    let ranking = found.ranking.into_iter().map(|r| (r.label, likeness(r.likeness))).collect();
    Matched { certainty: certainty(found.certainty), ranking }
}
