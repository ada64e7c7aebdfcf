//! `rollcall enroll`: pictures in a folder → people and templates in the database.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use rollcall_faces::Bytes;
use rollcall_models::{Manifest, SFACE_ID};
use rollcall_pipeline::PersonId;
use rollcall_pipeline::config::Config;
use rollcall_stages::picture::EnrolShot;
use rollcall_store::{Gallery, NewTemplate, NoConsent, PersonFields, Scope, Store, StoreError};
use serde::Serialize;

use crate::cli::Place;
use crate::compose::Vision;
use crate::enrolment::{Picture, examiner, person_of, scan};
use crate::output::counted;
use crate::{database, output};

pub(super) fn run(place: &Place, dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let report = enrol_folder(place, &config, dir)?;
    if json {
        output::json(&report)?;
    } else {
        for told in report.pictures.iter().filter(|told| told.state == State::Refused) {
            output::note(format_args!("{}: {}", told.file, told.reason.as_deref().unwrap_or("refused")));
        }
        output::line(report.text());
    }
    ensure!(report.enrolled + report.known > 0, "nobody is enrolled: {} refused", counted(report.refused, "picture"));
    Ok(ExitCode::SUCCESS)
}

/// Enrols everybody in a folder.
pub(super) fn enrol_folder(place: &Place, config: &Config, dir: &Path) -> anyhow::Result<Report> {
    let pictures = scan(dir)?;
    let vision = Vision::open(place, config)?;
    database::with_store(place, config, async |store, today| {
        store.prepare(today).await?;
        enrol(&store, &vision, &pictures, config.privacy.consent_required).await
    })
}

/// What became of a folder.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Templates that are new.
    enrolled: usize,
    /// Templates that were there.
    known: usize,
    refused: usize,
    /// People in the folder of whom no picture would do.
    people_without_template: Vec<String>,
    pictures: Vec<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Enrolled,
    Known,
    Refused,
}

/// What became of a picture.
#[derive(Debug, Serialize)]
struct Told {
    file: String,
    person: String,
    state: State,
    /// One word.
    code: Option<&'static str>,
    /// Why, and what to do.
    reason: Option<String>,
    /// 0 to 1.
    quality: Option<f32>,
}

impl Report {
    fn add(&mut self, picture: &Picture, state: State, quality: Option<f32>, refusal: Option<(&'static str, String)>) {
        match state {
            State::Enrolled => self.enrolled += 1,
            State::Known => self.known += 1,
            State::Refused => self.refused += 1,
        }
        self.pictures.push(Told {
            file: picture.path.display().to_string(),
            person: picture.person.clone(),
            state,
            code: refusal.as_ref().map(|(code, _)| *code),
            reason: refusal.map(|(_, reason)| reason),
            quality,
        });
    }

    fn finish(&mut self) {
        self.pictures.sort_by(|a, b| (&a.person, &a.file).cmp(&(&b.person, &b.file)));
        let mut people: BTreeMap<&str, bool> = BTreeMap::new();
        for told in &self.pictures {
            *people.entry(&told.person).or_default() |= told.state != State::Refused;
        }
        let without = people.into_iter().filter(|(_, has)| !has).map(|(name, _)| name.to_owned());
        self.people_without_template = without.collect();
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} enrolled, {} known already, {} refused",
            counted(self.enrolled, "template"),
            self.known,
            counted(self.refused, "picture")
        );
        if !self.people_without_template.is_empty() {
            text.push_str("\nnot enrolled, since every picture was refused: ");
            text.push_str(&self.people_without_template.join(", "));
        }
        text
    }
}

/// Whom a folder means: two people of one name are two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    person: PersonId,
    name: String,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

async fn enrol(store: &Store, vision: &Vision, pictures: &[Picture], consent_required: bool) -> anyhow::Result<Report> {
    let Gallery { templates, names, .. } = store.gallery(&vision.embedding_model()).await?;
    let who = |person| Some(Who { person, name: names.get(&person)?.clone() });
    let known = templates.into_iter().filter_map(|t| Some((who(t.person)?, t.embedding)));
    let mut examiner = examiner(vision, known.collect::<Vec<_>>())?;
    let licence = Manifest::pinned()?.model(SFACE_ID)?.licence.clone();
    let progress = output::progress(pictures.len());
    let mut report = Report::default();
    for pictures in pictures.chunk_by(|a, b| a.person == b.person) {
        let name = &pictures[0].person;
        progress.set_message(name.clone());
        let person = match store.subject(name).await {
            Ok(person) => person,
            Err(error @ StoreError::AmbiguousName { .. }) => {
                for picture in pictures {
                    report.add(picture, State::Refused, None, Some(("ambiguous_name", error.to_string())));
                    progress.inc(1);
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let somebody_new = || Who { person: person_of(name), name: name.clone() };
        let person = person.and_then(who).unwrap_or_else(somebody_new);
        let (mut looked, mut sums) = (Vec::new(), Vec::new());
        for picture in pictures {
            let (shot, sha256) = match Bytes::read(&picture.path) {
                Ok(bytes) => (examiner.look(&bytes)?, bytes.sha256),
                Err(refused) => (Err(refused), [0; 32]),
            };
            looked.push(shot);
            sums.push(sha256);
            progress.inc(1);
        }
        let mut accepted = Vec::new();
        for ((picture, decided), source_sha256) in pictures.iter().zip(examiner.decide(&person, looked)).zip(sums) {
            match decided {
                Ok(shot) => accepted.push((picture, shot, source_sha256)),
                Err(refusal) => {
                    let told = (refusal.code(), refusal.to_string());
                    report.add(picture, State::Refused, None, Some(told));
                }
            }
        }
        if !accepted.is_empty() {
            write(store, name, &accepted, &licence, consent_required, &mut report).await?;
        }
    }
    progress.finish_and_clear();
    report.finish();
    Ok(report)
}

/// A picture that will do, what was seen in it, and the digest of its file.
type Accepted<'a> = (&'a Picture, EnrolShot, [u8; 32]);

/// Writes what is accepted of one person, with the person if they are new, or nothing.
async fn write(
    store: &Store,
    name: &str,
    accepted: &[Accepted<'_>],
    licence: &str,
    consent_required: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut change = store.change(super::admin::actor()).await?;
    let person = match change.person_called(name).await? {
        Some(person) => change.lock_person(&Scope::Everywhere, person).await?,
        None => None,
    };
    if let Err(no) = NoConsent::check(person.as_ref(), consent_required) {
        for (picture, ..) in accepted {
            report.add(picture, State::Refused, None, Some(("no_consent", no.to_string())));
        }
        return Ok(());
    }
    let person = match person {
        Some(person) => person,
        None => change.add_person(&PersonFields { name: name.to_owned(), ..PersonFields::default() }).await?,
    };
    let person = PersonId(person.id);
    let templates = accepted.iter().map(|(_, shot, source_sha256)| NewTemplate {
        person,
        embedding: &shot.embedding,
        model_licence: licence,
        quality: shot.quality.weight,
        source_sha256: *source_sha256,
    });
    let new = change.add_folder(person, &templates.collect::<Vec<_>>()).await?;
    change.commit().await?;
    let mut new: HashSet<String> = new.into_iter().map(|row| row.source_sha256).collect();
    for (picture, shot, sha256) in accepted {
        // Of two copies of a picture one is new.
        let state = if new.remove(&hex(sha256)) { State::Enrolled } else { State::Known };
        report.add(picture, state, Some(shot.quality.weight), None);
    }
    Ok(())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
