//! `rollcall eval door`: a recording of people at a door, with their true boxes and identities.
//!
//! Half of the people are enrolled from three moments each of the recording itself, through the product's own enrolment;
//! the frames around these moments are left out, so that no frame is judged against itself. The other half are strangers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use parking_lot::Mutex;
use rollcall_attendance::Roster;
use rollcall_pipeline::config::Config;
use rollcall_pipeline::image::I420;
use rollcall_pipeline::ports::{EventSink, Observer};
use rollcall_pipeline::{
    AttendanceEvent, CameraTuning, Clock, ContextCrop, Embedding, EventKind, Fault, GalleryVersion, Image,
    LivenessVerdict, PersonId, Rect, SystemClock,
};
use rollcall_stages::chip;
use rollcall_stages::decode::VideoFile;
use rollcall_stages::matching::Gallery;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::boxes::{self, Labelled, Truth};
use super::mirror;
use super::mot::{MATCH_IOU, Tracking};
use super::{rate, write_json};
use crate::cli::{DoorOptions, Place};
use crate::compose::Vision;
use crate::enrolment::{examiner, person_of};
use crate::offline::{Feed, Offline, TrackRow, Tracks, sees_blinks, tuning, unreadable};
use crate::output;

/// Narrower faces are not asked for, in pixels.
const MIN_FACE_PX: f32 = 24.0;
/// Who has fewer near views is not enrolled: so many, of this width.
const NEAR_VIEWS: (usize, f32) = (15, 48.0);
/// Enrolment pictures show faces of at least this width, around the second.
const ENROL_PX: (f32, f32) = (40.0, 64.0);
/// Three moments, this many usable views apart.
const MOMENTS: (usize, usize) = (3, 4);
/// Frames to either side of a moment that are left out.
const AROUND: u64 = 3;
/// The cut around a face, in multiples of its box: as one cuts a portrait from a photograph. The closer ones are for those who
/// are too seldom alone in a wider one.
const CUTS: [f32; 3] = [2.2, 1.8, 1.5];
/// So many views give all moments.
const ENOUGH_VIEWS: usize = (MOMENTS.0 - 1) * MOMENTS.1 + 1;
/// How much a cut is enlarged.
const ENLARGED: f32 = 2.0;
/// A track belongs to whom it was on in so many frames of those that were shown before it was named.
const OWNER_FRAMES: usize = 10;

pub(super) fn run(place: &Place, options: &DoorOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let vision = Vision::open(place, &config)?;
    let figures = measure(&config, &vision, options, &(Arc::new(SystemClock) as Arc<dyn Clock>))?;
    write_json(options.json.as_deref(), &figures)?;
    output::line(figures.text());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn measure(
    config: &Config,
    vision: &Vision,
    options: &DoorOptions,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Figures> {
    sees_blinks(config, options.fps)?;
    let truth = boxes::read(&options.boxes)?;
    let moments = moments(&truth, options.seed);
    if moments.is_empty() {
        bail!("nobody in {} comes near enough to be enrolled", options.boxes.display());
    }
    let enrolled = enrol(vision, &options.video, &moments, clock)?;
    let skip: HashSet<u64> = moments.iter().flat_map(|m| m.frame.saturating_sub(AROUND)..=m.frame + AROUND).collect();

    let tracks = Arc::new(Tracks::new(true));
    let events = Arc::new(Mutex::new(Vec::new()));
    let tuning = CameraTuning { detect_size: options.detect_size, ..tuning(options.fps) };
    let feed = Feed::open(&options.video, tuning, Arc::clone(clock))?;
    let gallery = Gallery::new(GalleryVersion(1), vision.embedding_model(), enrolled.templates.clone())?;
    let offline = Offline {
        config,
        vision,
        gallery,
        roster: Roster::Everybody,
        observer: Arc::clone(&tracks) as Arc<dyn Observer>,
    };
    let feed = if options.mirrored { feed.changed(mirror::picture) } else { feed };
    let (fed, _) = offline.run(feed.without(skip.clone()), Box::new(Collect(Arc::clone(&events))), clock)?;
    let truth = if options.mirrored { mirror::boxes(truth, fed.size.0 as f32) } else { truth };
    fed.whole(&options.video)?;
    let events = events.lock();
    Ok(judge(&truth, &tracks, &events, &enrolled, skip))
}

/// Keeps all events.
pub(super) struct Collect(pub(super) Arc<Mutex<Vec<AttendanceEvent>>>);

impl EventSink for Collect {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        self.0.lock().extend_from_slice(batch);
        Ok(())
    }
}

/// A view of somebody that is cut out for enrolment.
struct Moment {
    id: String,
    frame: u64,
    bbox: Rect,
    /// Of [`CUTS`].
    cut: f32,
}

/// Half of those who come near, chosen by the seed, with three moments each, or as many as they are alone in.
fn moments(truth: &Truth, seed: u64) -> Vec<Moment> {
    let mut views: BTreeMap<&str, Vec<(u64, &Labelled)>> = BTreeMap::new();
    for (frame, faces) in truth {
        for face in faces.iter().filter(|face| face.face) {
            views.entry(&face.id).or_default().push((*frame, face));
        }
    }
    let near = |of: &[(u64, &Labelled)]| of.iter().filter(|(_, face)| face.bbox.w >= NEAR_VIEWS.1).count();
    let mut people: Vec<_> = views.iter().filter(|(_, of)| near(of) >= NEAR_VIEWS.0).map(|(id, _)| *id).collect();
    people.sort_by_key(|id| Sha256::new().chain_update(seed.to_le_bytes()).chain_update(id).finalize());
    people.truncate(people.len().div_ceil(2));
    let of_person = |id: &str| {
        let alone = |(frame, face): &(u64, &Labelled), cut: f32| {
            let cut = grown(&face.bbox, cut);
            face.bbox.w >= ENROL_PX.0
                && truth[frame].iter().all(|other| other.id == id || other.bbox.intersection(&cut) == 0.0)
        };
        let clear = |cut: f32| views[id].iter().copied().filter(|view| alone(view, cut)).collect::<Vec<_>>();
        let cut = CUTS.into_iter().find(|&cut| clear(cut).len() >= ENOUGH_VIEWS).unwrap_or(CUTS[2]);
        let mut clear = clear(cut);
        let middle =
            clear.iter().min_by(|a, b| (a.1.bbox.w - ENROL_PX.1).abs().total_cmp(&(b.1.bbox.w - ENROL_PX.1).abs()));
        let middle = middle.map_or(0, |(frame, _)| *frame);
        clear.sort_by_key(|(frame, _)| frame.abs_diff(middle));
        let chosen = clear.into_iter().step_by(MOMENTS.1).take(MOMENTS.0);
        chosen.map(|(frame, face)| Moment { id: id.to_owned(), frame, bbox: face.bbox, cut }).collect::<Vec<_>>()
    };
    people.into_iter().flat_map(of_person).collect()
}

/// A square around a box, of so many times its longer side.
fn grown(bbox: &Rect, scale: f32) -> Rect {
    let (center, side) = (bbox.center(), bbox.size() * scale);
    Rect { x: center.x - side / 2.0, y: center.y - side / 2.0, w: side, h: side }
}

struct Enrolled {
    templates: Vec<(PersonId, Embedding)>,
    /// All who were to be enrolled.
    people: BTreeMap<String, PersonId>,
    refused: Vec<String>,
}

fn enrol(vision: &Vision, video: &Path, moments: &[Moment], clock: &Arc<dyn Clock>) -> anyhow::Result<Enrolled> {
    let mut examiner = examiner(vision, [])?;
    let people = moments.iter().map(|m| (m.id.clone(), person_of(&m.id))).collect();
    let (mut templates, mut refused) = (Vec::new(), Vec::new());
    let named = |reason| unreadable(video, &reason);
    for frame in VideoFile::open(video, Default::default(), Arc::clone(clock)).map_err(named)? {
        let frame = frame.map_err(named)?;
        for moment in moments.iter().filter(|m| m.frame == frame.index) {
            match examiner.examine_image(&moment.id, &portrait(&frame.image, moment))? {
                Ok(shot) => templates.push((person_of(&moment.id), shot.embedding)),
                Err(refusal) => refused.push(format!("{} at frame {}: {refusal}", moment.id, moment.frame)),
            }
        }
    }
    Ok(Enrolled { templates, people, refused })
}

/// The picture that somebody would hand in.
fn portrait(image: &Image, Moment { bbox, cut, .. }: &Moment) -> Image {
    let side = (bbox.size() * cut * ENLARGED).round() as usize;
    let chip = chip::context(&image.view(), bbox, &ContextCrop { scale: *cut, side });
    Image::new(I420::from_rgb(chip.side, chip.side, &chip.rgb))
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    frames: usize,
    /// Of true faces of at least 24 pixels.
    pub(super) detection_recall: f64,
    detection_precision: f64,
    mota: f64,
    pub(super) idf1: f64,
    identity_switches: usize,
    pub(super) enrolled: Vec<String>,
    pictures_refused: Vec<String>,
    pub(super) marked_right: Vec<String>,
    /// Left for review with the right person first, and not marked.
    pub(super) review_right: Vec<String>,
    missed: Vec<Missed>,
    pub(super) marked_wrong: Vec<Wrong>,
    /// Tracks of people that something was said about, and those of them that were taken for pictures.
    pub(super) judged: usize,
    pub(super) rejected: usize,
}

/// Somebody who was neither marked nor left for review with the right name first.
#[derive(Debug, Serialize)]
struct Missed {
    name: String,
    /// The most similar that a decision about a track of theirs found them; null where they never were among the best two.
    nearest: Option<Nearest>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Nearest {
    /// To their best template.
    similarity: f32,
    /// That the decision was made of.
    shots: u32,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nearest {
            Some(Nearest { similarity, shots }) => {
                write!(f, "{} (nearest {similarity:.3}, of {shots} shots)", self.name)
            }
            None => write!(f, "{} (never among the best two)", self.name),
        }
    }
}

/// A mark for somebody who was not there.
#[derive(Debug, Serialize)]
pub(super) struct Wrong {
    pub(super) named: String,
    pub(super) truth: Option<String>,
    pub(super) track: u64,
}

/// Who each track was on, frame by frame.
#[derive(Default)]
struct Owners {
    of: HashMap<u64, Vec<(u64, String)>>,
    /// Frames of the recording that nobody was shown.
    cut: HashSet<u64>,
}

fn judge(
    truth: &Truth,
    tracks: &Tracks,
    events: &[AttendanceEvent],
    enrolled: &Enrolled,
    cut: HashSet<u64>,
) -> Figures {
    // What was not analysed is no mistake.
    let (frames, rows) = (tracks.frames(), tracks.rows());
    let boxes = Boxes::of(truth, &frames, &rows, cut);
    let said = Said::of(events, tracks, &rows, &boxes.owners, enrolled);
    let left = enrolled.people.keys().filter(|name| !said.right.contains(*name));
    let (review_right, missed): (Vec<_>, Vec<_>) = left.cloned().partition(|name| said.review.contains(name));
    let missed = missed.into_iter().map(|name| Missed { nearest: said.nearest.get(&name).copied(), name });
    Figures {
        frames: frames.len(),
        detection_recall: rate(boxes.found, boxes.found + boxes.missed),
        detection_precision: rate(boxes.found, boxes.found + boxes.extra),
        mota: boxes.tracking.mota(),
        idf1: boxes.tracking.idf1(),
        identity_switches: boxes.tracking.switches(),
        enrolled: enrolled.people.keys().cloned().collect(),
        pictures_refused: enrolled.refused.clone(),
        marked_right: said.right.into_iter().collect(),
        review_right,
        missed: missed.collect(),
        marked_wrong: said.wrong,
        judged: said.judged.len(),
        rejected: said.judged.values().filter(|spoof| **spoof).count(),
    }
}

/// How the boxes of tracks lie on those of people.
#[derive(Default)]
struct Boxes {
    found: usize,
    missed: usize,
    /// Boxes where no face is labelled.
    extra: usize,
    tracking: Tracking<String, u64>,
    owners: Owners,
}

impl Boxes {
    fn of(truth: &Truth, frames: &BTreeSet<u64>, rows: &[TrackRow], cut: HashSet<u64>) -> Self {
        let mut of_frame: BTreeMap<u64, Vec<&TrackRow>> = BTreeMap::new();
        for row in rows {
            of_frame.entry(row.seq).or_default().push(row);
        }
        let mut boxes = Self { owners: Owners { cut, ..Owners::default() }, ..Self::default() };
        for frame in frames {
            let faces = truth.get(frame).map_or(&[][..], Vec::as_slice);
            boxes.add(*frame, faces, of_frame.get(frame).map_or(&[][..], Vec::as_slice));
        }
        boxes
    }

    fn add(&mut self, frame: u64, faces: &[Labelled], tracks: &[&TrackRow]) {
        let (mut wanted, ignored): (Vec<_>, Vec<_>) =
            faces.iter().partition(|face| face.face && face.bbox.w >= MIN_FACE_PX);
        wanted.sort_by(|a, b| b.bbox.w.total_cmp(&a.bbox.w));
        let mut counted: Vec<&TrackRow> = Vec::new();
        for face in &wanted {
            let open = tracks.iter().filter(|track| !counted.iter().any(|c| c.id == track.id));
            let best = open.max_by(|a, b| a.bbox.iou(&face.bbox).total_cmp(&b.bbox.iou(&face.bbox)));
            match best.filter(|track| track.bbox.iou(&face.bbox) >= MATCH_IOU) {
                Some(track) => {
                    self.found += 1;
                    counted.push(track);
                    self.owners.of.entry(track.id).or_default().push((frame, face.id.clone()));
                }
                None => self.missed += 1,
            }
        }
        // A face that nobody asked for is no mistake.
        let extra: Vec<&TrackRow> = tracks
            .iter()
            .filter(|track| !counted.iter().any(|c| c.id == track.id))
            .filter(|track| track.bbox.w >= MIN_FACE_PX && ignored.iter().all(|i| i.bbox.iou(&track.bbox) <= 0.2))
            .copied()
            .collect();
        self.extra += extra.len();
        counted.extend(extra);
        let truths: Vec<_> = wanted.iter().map(|face| (face.id.clone(), face.bbox)).collect();
        self.tracking.add(&truths, &counted.iter().map(|track| (track.id, track.bbox)).collect::<Vec<_>>());
    }
}

/// What the events say of people.
#[derive(Default)]
struct Said {
    /// Marked as who they are.
    right: BTreeSet<String>,
    /// Left for review with the right name first.
    review: BTreeSet<String>,
    /// How similar they were found to themselves at most.
    nearest: HashMap<String, Nearest>,
    wrong: Vec<Wrong>,
    /// Tracks of people, and whether they were ever taken for pictures.
    judged: HashMap<u64, bool>,
}

impl Said {
    fn of(
        events: &[AttendanceEvent],
        tracks: &Tracks,
        rows: &[TrackRow],
        owners: &Owners,
        enrolled: &Enrolled,
    ) -> Self {
        let names: HashMap<PersonId, &String> = enrolled.people.iter().map(|(name, id)| (*id, name)).collect();
        let name_of = |person: PersonId| names.get(&person).map(|name| (*name).clone());
        let mut said = Self::default();
        for event in events {
            let track = tracks.number(&event.decision.key, event.decision.track);
            let of = owners.owner(rows, track, None);
            if of.is_some() {
                let spoof = matches!(event.decision.liveness, LivenessVerdict::Spoof(_));
                *said.judged.entry(track).or_default() |= spoof;
            }
            for candidate in &event.decision.candidates {
                if let Some(name) = name_of(candidate.person).filter(|name| of.as_ref() == Some(name)) {
                    let found = Nearest { similarity: candidate.similarity, shots: event.decision.shots };
                    let nearest = said.nearest.entry(name).or_insert(found);
                    if found.similarity > nearest.similarity {
                        *nearest = found;
                    }
                }
            }
            match event.person() {
                Some(person) if event.kind.names_somebody() => {
                    let named = name_of(person).unwrap_or_default();
                    let truth = owners.owner(rows, track, Some(person));
                    if truth.as_ref() == Some(&named) {
                        said.right.insert(named);
                    } else {
                        said.wrong.push(Wrong { named, truth, track });
                    }
                }
                // Also of whom it is sure, and not whether they are alive.
                _ if event.kind == EventKind::Ambiguous => {
                    let first = event.decision.candidates.first().and_then(|c| name_of(c.person));
                    said.review.extend(first.filter(|name| of.as_ref() == Some(name)));
                }
                _ => {}
            }
        }
        said
    }
}

impl Owners {
    /// Whose face a track was on in the frames before it got the name (or before it ended).
    fn owner(&self, rows: &[TrackRow], track: u64, person: Option<PersonId>) -> Option<String> {
        let of = self.of.get(&track)?;
        let named = rows.iter().filter(|row| row.id == track && row.person == person && person.is_some());
        let at = named.map(|row| row.seq).min().or_else(|| of.iter().map(|(frame, _)| *frame).max())?;
        let shown = (0..=at).rev().filter(|frame| !self.cut.contains(frame));
        let from = shown.take(OWNER_FRAMES + 1).last()?;
        // In the order of names, so that a tie comes out the same each time.
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for (frame, id) in of {
            if (from..=at).contains(frame) {
                *votes.entry(id).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, n)| *n).map(|(id, _)| id.to_owned())
    }
}

impl Figures {
    /// Marks for people who are not enrolled.
    pub(super) fn strangers_named(&self) -> usize {
        let stranger = |w: &&Wrong| w.truth.as_ref().is_none_or(|truth| !self.enrolled.contains(truth));
        self.marked_wrong.iter().filter(stranger).count()
    }

    fn text(&self) -> String {
        let list = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let wrong = self
            .marked_wrong
            .iter()
            .map(|w| format!("{} for {} (track {})", w.named, w.truth.as_deref().unwrap_or("nobody"), w.track));
        let mut text = format!(
            "{} frames: detection recall {:.2} %, precision {:.2} %, MOTA {:.3}, IDF1 {:.3}, {} identity switches\n\
             enrolled {}; marked right {}; for review with the right name first {}; missed {}; marked wrongly {}",
            self.frames,
            100.0 * self.detection_recall,
            100.0 * self.detection_precision,
            self.mota,
            self.idf1,
            self.identity_switches,
            list(&self.enrolled),
            list(&self.marked_right),
            list(&self.review_right),
            list(&self.missed.iter().map(Missed::to_string).collect::<Vec<_>>()),
            list(&wrong.collect::<Vec<_>>()),
        );
        for refused in &self.pictures_refused {
            text.push_str("\nrefused ");
            text.push_str(refused);
        }
        text
    }
}
