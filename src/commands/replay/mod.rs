//! `rollcall replay`: the lane over a recorded file. Nothing is lost and nothing is stored.

mod counted;
mod feed;
mod summary;
mod tracks;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_attendance::{Register, RoomPlan, Roster, Schedule, SitePlan};
use rollcall_pipeline::config::{Config, roster};
use rollcall_pipeline::lane::{Lane, LaneOptions};
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{
    CameraTuning, Clock, Embedding, FrameMux, GalleryVersion, MuxMode, PersonId, RoomId, SystemClock,
};
use rollcall_sinks::JsonLines;
use rollcall_stages::matching::Gallery;
use uuid::Uuid;

use crate::cli::{Place, ReplayOptions};
use crate::compose::{Stages, Vision, recognition_settings};
use crate::enrolment::{Bytes, Examiner, scan};
use crate::output;
use crate::rules::{Rules, policy};

use counted::{Counted, Counts};
use feed::Feed;
use summary::{Start, Summary};
use tracks::Tracks;

/// The only room and the only camera.
const NAME: &str = "replay";
/// People of one folder have the same ids in each replay of it.
const PEOPLE: Uuid = Uuid::from_u128(0x3f0c_7d0e_93c1_4b7f_8a5e_56b1_0f4e_2d19);
/// Decoding goes on while the detector works, no further ahead than this.
const AHEAD: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");
/// When the last frame was handed over there is little left to do.
const DRAIN: Duration = Duration::from_secs(120);

pub(super) fn run(place: &Place, options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let vision = Vision::open(place, &config)?;
    let People { names, templates } = people(&vision, &options.people)?;
    let rules = rules(&config, &names, options.roster.as_deref())?;
    let gallery = Gallery::new(GalleryVersion(1), vision.embedding_model(), templates)?;
    let tracks = Arc::new(Tracks::new(options.tracks.is_some()));
    let counts = Counts::default();
    let events = options.events.as_deref().map(create).transpose()?;
    let lines = {
        let names = Arc::clone(&names);
        JsonLines::new(events.unwrap_or_else(|| Box::new(std::io::sink())), move |id| names.get(&id).cloned())
    };
    let sink = Counted::new(lines, Arc::clone(&counts));

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let feed = Feed::open(&options.video, NAME, tuning(options), options.realtime, Arc::clone(&clock))?;
    let mux = FrameMux::new(MuxMode::Block, AHEAD, Arc::clone(&clock));
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let stages = Stages {
        vision,
        matcher: Arc::new(gallery),
        rules,
        observer: Arc::clone(&tracks) as Arc<dyn Observer>,
        recognition: recognition_settings(&config.recognition),
    };
    let start = Start::now(&*clock)?;
    let lane = Lane::spawn(stages, Box::new(sink), &mux, &supervisor, LaneOptions::replay())?;
    let fed = feed.run(&mux);
    // A lane that failed is why the feed could not go on, so its error comes first.
    let stats = lane.shutdown(DRAIN)?;
    let fed = fed?;
    if let Some(path) = &options.tracks {
        tracks.write(create(path)?, &names).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let summary = Summary::new(&start, &*clock, &fed, &stats, tracks.faces(), &counts.lock())?;
    if options.json {
        output::json(&summary)?;
    } else {
        output::note(summary.text());
    }
    match fed.broke {
        None => Ok(ExitCode::SUCCESS),
        Some(reason) => bail!("{}: {reason}", options.video.display()),
    }
}

/// Names of people.
type Names = Arc<HashMap<PersonId, String>>;

/// Who may be recognised.
struct People {
    names: Names,
    templates: Vec<(PersonId, Embedding)>,
}

fn people(vision: &Vision, dir: &Path) -> anyhow::Result<People> {
    let mut examiner = Examiner::new(vision, [])?;
    let (mut names, mut templates) = (HashMap::new(), Vec::new());
    for picture in scan(dir)? {
        let bytes = Bytes::read(&picture.path);
        let shot = match bytes {
            Ok(bytes) => examiner.examine(&picture.person, &bytes)?,
            Err(refused) => Err(refused.into()),
        };
        match shot {
            Ok(shot) => {
                let id = PersonId(Uuid::new_v5(&PEOPLE, picture.person.as_bytes()));
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

/// One room, one mark a day; who is not on the roster is `off_roster`.
fn rules(config: &Config, names: &Names, roster_file: Option<&Path>) -> anyhow::Result<Rules> {
    let mut room = RoomPlan::new(RoomId::new(NAME));
    if let Some(path) = roster_file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the roster {}", path.display()))?;
        let ids: HashMap<&str, PersonId> = names.iter().map(|(id, name)| (name.as_str(), *id)).collect();
        let (known, unknown): (Vec<_>, Vec<_>) = roster::names(&text).partition(|name| ids.contains_key(name));
        if !unknown.is_empty() {
            output::note(format_args!("on the roster, but without a picture: {}", unknown.join(", ")));
        }
        room.expected = Roster::people(known.into_iter().map(|name| ids[name]));
    }
    let plan = SitePlan { time_zone: config.site.time_zone, rooms: vec![room] };
    let schedule = Schedule::new(&plan).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(Rules::new(schedule, policy(config), Register::new(config.attendance.debounce)))
}

fn tuning(options: &ReplayOptions) -> CameraTuning {
    CameraTuning {
        room: RoomId::new(NAME),
        direction: None,
        analysis_fps: options.fps.unwrap_or(0.0),
        detect_size: options.detect_size,
        min_face_px: options.min_face_px,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    }
}

fn create(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}
