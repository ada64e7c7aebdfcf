//! `rollcall calibrate`: what the people of a site say about strangers at its door, and which threshold keeps names from them.

mod report;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use rollcall_faces::Bytes;
use rollcall_models::SFACE_ID;
use rollcall_pipeline::config::Config;
use rollcall_pipeline::{Embedding, GalleryVersion, ModelId, PersonId};
use rollcall_stages::matching::Gallery;
use rollcall_stages::matching::calibration::Traffic;

use crate::cli::{CalibrateOptions, Place};
use crate::compose::Vision;
use crate::enrolment::{examiner, person_of, scan};
use crate::settings::recognition_settings;
use crate::{database, output};

use report::{Question, Report};

/// So many people at most are held against all others: the work grows with the square.
const PROBES: usize = 5_000;

pub(super) fn run(place: &Place, options: &CalibrateOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let People { names, templates } = match &options.people {
        Some(dir) => of_folder(place, &config, dir)?,
        None => of_database(place, &config)?,
    };
    let people = templates.iter().map(|(person, _)| person).collect::<BTreeSet<_>>().len();
    if people < 2 {
        bail!("it takes two people with a template to say how alike people are, and there are {people}: enrol more");
    }
    let gallery = Gallery::new(GalleryVersion(1), ModelId::new(SFACE_ID), templates)?;
    let progress = output::progress(people.min(PROBES));
    let left_out = gallery.leave_one_out(PROBES, || progress.inc(1));
    progress.finish_and_clear();
    let question = Question {
        settled_similarity: recognition_settings(&config.recognition).settled_similarity,
        people,
        traffic: Traffic {
            people: options.roster.map_or(people, |roster| roster as usize),
            visitors_per_day: options.visitors_per_day,
            decisions: options.decisions,
        },
        false_names_per_year: options.false_names_per_year,
    };
    let report = Report::new(&left_out, gallery.templates(), &names, &question);
    if options.json {
        output::json(&report)?;
    } else {
        output::line(report.text());
    }
    Ok(ExitCode::SUCCESS)
}

/// Who is enrolled.
struct People {
    names: HashMap<PersonId, String>,
    templates: Vec<(PersonId, Embedding)>,
}

fn of_database(place: &Place, config: &Config) -> anyhow::Result<People> {
    database::with_store(place, config, async |store, today| {
        store.prepare(today).await?;
        let gallery = store.gallery(&ModelId::new(SFACE_ID)).await?;
        let templates = gallery.templates.into_iter().map(|t| (t.person, t.embedding)).collect();
        Ok(People { names: gallery.names, templates })
    })
}

/// As `enroll` takes them, but for one thing: whoever looks like somebody else is not left out, since that is the question.
fn of_folder(place: &Place, config: &Config, dir: &Path) -> anyhow::Result<People> {
    let pictures = scan(dir)?;
    let mut examiner = examiner::<String>(&Vision::open(place, config)?, [])?;
    let progress = output::progress(pictures.len());
    let (mut names, mut templates, mut refused) = (HashMap::new(), Vec::new(), Vec::new());
    for picture in pictures {
        let looked = match Bytes::read(&picture.path) {
            Ok(bytes) => examiner.look(&bytes)?,
            Err(unreadable) => Err(unreadable),
        };
        match looked {
            Ok(shot) => {
                let id = person_of(&picture.person);
                names.insert(id, picture.person);
                templates.push((id, shot.embedding));
            }
            Err(why) => refused.push(format!("{}: {why}", picture.path.display())),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    refused.iter().for_each(output::note);
    Ok(People { names, templates })
}
