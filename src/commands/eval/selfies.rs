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
    /// The person of the video has the name of its folder.
    pub(super) identified: bool,
    /// Somebody was marked present, whoever.
    pub(super) marked: bool,
    /// A track was taken for a picture.
    pub(super) spoof: bool,
    /// Somebody was named who is not in the video.
    pub(super) named_wrongly: bool,
    /// Seconds of the video until the name.
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
    let feed = Feed::open(video, tuning(fps, 640, 24.0), Arc::clone(clock))?;
    let (fed, _) = offline.run(feed, Box::new(Collect(Arc::clone(&events))), clock)?;
    fed.whole(video)?;
    let events: Vec<AttendanceEvent> = std::mem::take(&mut events.lock());
    let shown = person_of(name);
    let right = events.iter().find(|event| event.person() == Some(shown));
    Ok(Shown {
        video: video.display().to_string(),
        identified: right.is_some(),
        marked: events.iter().any(|event| event.kind.names_somebody()),
        spoof: events.iter().any(|event| matches!(event.decision.liveness, LivenessVerdict::Spoof(_))),
        named_wrongly: events.iter().any(|event| event.person().is_some_and(|person| person != shown)),
        after_s: right.map(|event| event.decision.decided.media.0 as f64 / 1e9),
    })
}
