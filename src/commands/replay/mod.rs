//! `rollcall replay`: the lane over a recorded file. Nothing is lost and nothing is stored.

mod counted;
mod summary;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use rollcall_attendance::Roster;
use rollcall_faces::Bytes;
use rollcall_pipeline::config::roster;
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::{CameraTuning, Clock, Embedding, GalleryVersion, PersonId, SystemClock};
use rollcall_sinks::JsonLines;
use rollcall_stages::matching::Gallery;

use crate::cli::{Place, ReplayOptions};
use crate::compose::Vision;
use crate::enrolment::{examiner, person_of, scan};
use crate::offline::{Feed, Offline, Tracks, sees_blinks, tuning};
use crate::output;

use counted::{Counted, Counts};
use summary::{Start, Summary};

pub(super) fn run(place: &Place, options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    sees_blinks(&config, options.fps.unwrap_or(0.0))?;
    let vision = Vision::open(place, &config)?;
    let People { names, templates } = people(&vision, &options.people)?;
    let roster = options.roster.as_deref().map(|path| expected(&names, path)).transpose()?;
    let tracks = Arc::new(Tracks::new(options.tracks.is_some()));
    let counts = Counts::default();
    let events = options.events.as_deref().map(create).transpose()?;
    let lines = {
        let (names, tracks) = (Arc::clone(&names), Arc::clone(&tracks));
        JsonLines::new(
            events.unwrap_or_else(|| Box::new(std::io::sink())),
            move |id| names.get(&id).cloned(),
            move |stream, track| tracks.number(stream, track),
        )
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tuning = CameraTuning {
        detect_size: options.detect_size,
        min_face_px: options.min_face_px,
        still_interval_s: options.still_interval,
        ..tuning(options.fps.unwrap_or(0.0))
    };
    let feed = Feed::open(&options.video, tuning, Arc::clone(&clock))?.realtime(options.realtime);
    let offline = Offline {
        config: &config,
        vision: &vision,
        gallery: Gallery::new(GalleryVersion(1), vision.embedding_model(), templates)?,
        roster: roster.unwrap_or_default(),
        observer: Arc::clone(&tracks) as Arc<dyn Observer>,
    };
    let start = Start::now(&*clock)?;
    let (fed, stats) = offline.run(feed, Box::new(Counted::new(lines, Arc::clone(&counts))), &clock)?;
    if let Some(path) = &options.tracks {
        tracks.write(create(path)?, &names).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let summary = Summary::new(&start, &*clock, &fed, &stats, &tracks, &counts.lock())?;
    if options.json {
        output::json(&summary)?;
    } else {
        output::note(summary.text());
    }
    fed.whole(&options.video)?;
    Ok(ExitCode::SUCCESS)
}

/// Names of people.
type Names = Arc<HashMap<PersonId, String>>;

/// Who may be recognised.
struct People {
    names: Names,
    templates: Vec<(PersonId, Embedding)>,
}

fn people(vision: &Vision, dir: &Path) -> anyhow::Result<People> {
    let mut examiner = examiner(vision, [])?;
    let (mut names, mut templates) = (HashMap::new(), Vec::new());
    for picture in scan(dir)? {
        let shot = match Bytes::read(&picture.path) {
            Ok(bytes) => examiner.examine(&picture.person, &bytes)?,
            Err(refused) => Err(refused.into()),
        };
        match shot {
            Ok(shot) => {
                let id = person_of(&picture.person);
                names.insert(id, picture.person);
                templates.push((id, shot.embedding));
            }
            Err(refusal) => output::note(format_args!("{}: {refusal}", picture.path.display())),
        }
    }
    if templates.is_empty() {
        bail!("no picture in {} will do: see the reasons above", dir.display());
    }
    Ok(People { names: Arc::new(names), templates })
}

fn expected(names: &Names, path: &Path) -> anyhow::Result<Roster> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the roster {}", path.display()))?;
    let ids: HashMap<&str, PersonId> = names.iter().map(|(id, name)| (name.as_str(), *id)).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = roster::names(&text).partition(|name| ids.contains_key(name));
    if !unknown.is_empty() {
        output::note(format_args!("on the roster, but without a picture: {}", unknown.join(", ")));
    }
    Ok(Roster::people(known.into_iter().map(|name| ids[name])))
}

fn create(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}
