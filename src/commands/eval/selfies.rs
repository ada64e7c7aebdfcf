//! People who enrolled with a selfie, before a camera: a video of each should be identified, and a replay of one on a screen
//! should never be marked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rollcall_attendance::Roster;
use rollcall_faces::Bytes;
use rollcall_pipeline::config::Config;
use rollcall_pipeline::ports::NoObserver;
use rollcall_pipeline::{AttendanceEvent, Clock, Embedding, GalleryVersion, LivenessVerdict, PersonId};
use rollcall_stages::matching::Gallery;

use super::door::Collect;
use super::liveness::{PICTURES, VIDEOS, find, has_ending};
use crate::compose::Vision;
use crate::enrolment::{examiner, person_of};
use crate::offline::{Feed, Offline, tuning};

/// Somebody with a selfie, and maybe a video.
pub(super) struct Person {
    pub(super) name: String,
    picture: PathBuf,
    pub(super) video: Option<PathBuf>,
}

/// `DIR/Name/` with a picture and a video.
pub(super) fn people(dir: &Path) -> anyhow::Result<Vec<Person>> {
    let mut files = Vec::new();
    find(dir, 0, &mut files)?;
    files.sort();
    let folder = |file: &PathBuf| file.parent().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    let pictures = files.iter().filter(|file| has_ending(file, &PICTURES));
    let person = |picture: &PathBuf| {
        let name = folder(picture)?;
        let mut own = files.iter().filter(|file| file.parent() == picture.parent());
        let video = own.find(|file| has_ending(file, &VIDEOS)).cloned();
        Some(Person { name, picture: picture.clone(), video })
    };
    let mut people: Vec<_> = pictures.filter_map(person).collect();
    people.dedup_by(|a, b| a.name == b.name);
    Ok(people)
}

/// Selfies as a gallery.
pub(super) struct Enrolled {
    templates: Vec<(PersonId, Embedding)>,
    /// Whose picture was refused, and why.
    pub(super) refused: Vec<String>,
}

pub(super) fn enrol(vision: &Vision, people: &[Person]) -> anyhow::Result<Enrolled> {
    let mut examiner = examiner(vision, [])?;
    let mut enrolled = Enrolled { templates: Vec::new(), refused: Vec::new() };
    for person in people {
        match Bytes::read(&person.picture) {
            Ok(bytes) => match examiner.examine(&person.name, &bytes)? {
                Ok(shot) => enrolled.templates.push((person_of(&person.name), shot.embedding)),
                Err(why) => enrolled.refused.push(format!("{}: {why}", person.name)),
            },
            Err(why) => enrolled.refused.push(format!("{}: {why}", person.name)),
        }
    }
    Ok(enrolled)
}

/// What became of a video.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) video: String,
    /// Somebody was marked by the name of the folder.
    pub(super) identified: bool,
    /// Somebody was marked present, whoever.
    pub(super) marked: bool,
    /// A track was taken for a picture.
    pub(super) spoof: bool,
    /// Somebody was named who is not in the video, also where that was left for review.
    pub(super) named_wrongly: bool,
    /// Seconds of the video until the mark.
    pub(super) after_s: Option<f64>,
}

/// Plays a video of `name` against the gallery.
pub(super) fn show(
    (config, vision, clock): (&Config, &Vision, &Arc<dyn Clock>),
    enrolled: &Enrolled,
    name: &str,
    video: &Path,
    fps: f32,
) -> anyhow::Result<Shown> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let offline = Offline {
        config,
        vision,
        gallery: Gallery::new(GalleryVersion(1), vision.embedding_model(), enrolled.templates.clone())?,
        roster: Roster::Everybody,
        observer: Arc::new(NoObserver),
    };
    let feed = Feed::open(video, tuning(fps), Arc::clone(clock))?;
    let (fed, _) = offline.run(feed, Box::new(Collect(Arc::clone(&events))), clock)?;
    fed.whole(video)?;
    let events: Vec<AttendanceEvent> = std::mem::take(&mut events.lock());
    Ok(Shown::of(video, person_of(name), &events))
}

impl Shown {
    fn of(video: &Path, shown: PersonId, events: &[AttendanceEvent]) -> Self {
        let marks = || events.iter().filter(|event| event.kind.names_somebody());
        // Whom a human has to decide about is named, but not identified.
        let right = marks().find(|event| event.person() == Some(shown));
        Self {
            video: video.display().to_string(),
            identified: right.is_some(),
            marked: marks().next().is_some(),
            spoof: events.iter().any(|event| matches!(event.decision.liveness, LivenessVerdict::Spoof(_))),
            named_wrongly: events.iter().any(|event| event.person().is_some_and(|person| person != shown)),
            after_s: right.map(|event| event.decision.decided.media.0 as f64 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rollcall_pipeline::{
        CameraId, Decision, Epoch, EventId, EventKind, FrameTime, Grounds, Match, MatchOutcome, MediaTime, MonoTime,
        StreamKey, TimeSource, TrackId, WallTime,
    };
    use uuid::Uuid;

    use super::*;

    fn named(who: &str, kind: EventKind, second: u64) -> AttendanceEvent {
        let media = MediaTime(second * 1_000_000_000);
        let (received, captured) = (MonoTime(Duration::ZERO), WallTime::UNIX_EPOCH);
        let time = FrameTime { media, received, captured, source: TimeSource::File };
        let person = person_of(who);
        let live = if kind == EventKind::Spoof { LivenessVerdict::Spoof(0.1) } else { LivenessVerdict::Live(0.9) };
        let decision = Decision {
            key: StreamKey { camera: CameraId::new("replay"), epoch: Epoch(Uuid::nil()) },
            track: TrackId(1),
            first_seen: time,
            first_usable: time,
            decided: time,
            tuning: Arc::new(tuning(5.0)),
            outcome: MatchOutcome::Identified(Match { person, similarity: 0.7, margin: 0.5 }),
            grounds: Grounds::default(),
            candidates: Vec::new(),
            liveness: live,
            shots: 3,
            gallery: GalleryVersion(1),
            best: None,
            face: None,
        };
        AttendanceEvent { id: EventId(Uuid::nil()), kind, mark: None, repeats: None, decision }
    }

    fn shown(events: &[AttendanceEvent]) -> Shown {
        Shown::of(Path::new("ada.mp4"), person_of("Ada"), events)
    }

    #[test]
    fn only_a_mark_identifies() {
        for kind in [EventKind::Spoof, EventKind::Ambiguous] {
            let told = shown(&[named("Ada", kind, 1)]);
            assert!(!told.identified && !told.marked && told.after_s.is_none(), "{told:?}");
        }
        let told = shown(&[named("Ada", EventKind::Ambiguous, 1), named("Ada", EventKind::Recorded, 2)]);
        assert!(told.identified && told.marked && !told.spoof && told.after_s == Some(2.0), "{told:?}");
    }

    #[test]
    fn another_name_is_wrong_also_for_review() {
        let told = shown(&[named("Bob", EventKind::Recorded, 1)]);
        assert!(told.named_wrongly && told.marked && !told.identified, "{told:?}");
        let told = shown(&[named("Bob", EventKind::Spoof, 1)]);
        assert!(told.named_wrongly && told.spoof && !told.marked, "{told:?}");
    }
}
