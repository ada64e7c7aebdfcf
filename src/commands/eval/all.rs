//! `rollcall eval all`: everything that can be measured with a folder of data, beside what is aimed at.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use rollcall_pipeline::config::{Config, DETECT_SIZE};
use rollcall_pipeline::{Clock, SystemClock};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::liveness::{Bench, Check, Figures as Liveness, FileVerdicts};
use super::{curves, door, lfw, rate, roc, selfies, write_json};
use crate::cli::{AllOptions, DoorOptions, Place};
use crate::compose::Vision;
use crate::output;
use crate::settings::liveness_settings;

/// Which halves of the people at the door are enrolled.
const SEEDS: [u64; 5] = [7, 1, 3, 4, 5];
/// How fast doors are analysed: every frame, and the default of a camera.
const DOOR_FPS: [f32; 2] = [0.0, 5.0];
/// SHA-256 of the `lfw_pairs.txt` whose reference is known: folds 1 and 2.
const FOLDS_1_AND_2: &str = "7ba245fe63e7775083331eb0f752510bff190e9d9c17adb59a99c4dd8184ce3a";
/// How fast people before a camera are analysed.
const FPS: f32 = 5.0;

/// A figure.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    measured: String,
    target: Option<&'static str>,
    met: Option<bool>,
}

/// What was measured of a part, or why it was not.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    command: &'static str,
    rows: Vec<Row>,
    /// Files that could not be used, and why.
    trouble: Vec<String>,
    /// Where data is missing.
    not_measured: Option<String>,
    /// Where measuring itself failed.
    failed: Option<String>,
}

/// There is no such data in the folder.
#[derive(Debug, thiserror::Error)]
#[error("{0} is missing")]
struct Missing(&'static str);

#[derive(Debug, Serialize)]
struct Report {
    parts: Vec<Part>,
}

pub(super) fn run(place: &Place, options: &AllOptions) -> anyhow::Result<ExitCode> {
    if let Some(dir) = options.out.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    if !options.data.is_dir() {
        let told = format!(
            "nothing was measured: there is no data in {} (docs/evaluation.md says what belongs there)",
            options.data.display()
        );
        let nothing = Report { parts: Vec::new() };
        // An older report would seem to be of this run.
        if let Some(out) = &options.out {
            write(out, &format!("# Evaluation\n\n{told}\n"), &nothing)?;
        }
        if options.json {
            output::note(told);
            output::json(&nothing)?;
        } else {
            output::line(told);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (config, _) = place.load_config()?;
    let all = All {
        vision: Vision::open(place, &config)?,
        config,
        clock: Arc::new(SystemClock),
        data: options.data.clone(),
        curves: options.out.clone(),
    };
    let measure: [(&'static str, &'static str, Measure); 4] = [
        ("recognition of LFW", "rollcall eval lfw --images DATA/lfw --pairs DATA/lfw_pairs.txt", All::lfw),
        (
            "people at a door",
            "rollcall eval door --video CLIP --boxes DATA/chokepoint/boxes.csv --seed N [--mirrored]",
            All::door,
        ),
        ("selfies, then videos", "rollcall replay VIDEO --people SELFIES --fps 5", All::selfies),
        ("liveness", "rollcall eval liveness --live VIDEOS --attack VIDEOS", All::liveness),
    ];
    let progress = output::progress(measure.len());
    let mut parts = Vec::new();
    for (name, command, measure) in measure {
        progress.set_message(name);
        output::note(format_args!("measuring {name} …"));
        let mut part = Part::new(name, command);
        if let Err(why) = measure(&all, &mut part) {
            let place = if why.is::<Missing>() { &mut part.not_measured } else { &mut part.failed };
            *place = Some(format!("{why:#}"));
        }
        parts.push(part);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let report = Report { parts };
    if let Some(out) = &options.out {
        write(out, &report.markdown(), &report)?;
    }
    if options.json {
        output::json(&report)?;
    } else {
        output::line(report.markdown());
    }
    let failed: Vec<_> =
        report.parts.iter().filter_map(|p| Some(format!("{}: {}", p.name, p.failed.as_ref()?))).collect();
    failed.iter().for_each(output::note);
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report, and its figures beside it.
fn write(out: &Path, text: &str, report: &Report) -> anyhow::Result<()> {
    std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    write_json(Some(&out.with_extension("json")), report)
}

type Measure = fn(&All, &mut Part) -> anyhow::Result<()>;

struct All {
    config: Config,
    vision: Vision,
    clock: Arc<dyn Clock>,
    data: PathBuf,
    /// Beside which file the curves go.
    curves: Option<PathBuf>,
}

impl Part {
    fn new(name: &'static str, command: &'static str) -> Self {
        Self { name, command, rows: Vec::new(), trouble: Vec::new(), not_measured: None, failed: None }
    }

    fn add(&mut self, what: impl Into<String>, measured: impl Into<String>, target: Option<(&'static str, bool)>) {
        let (target, met) = target.unzip();
        self.rows.push(Row { what: what.into(), measured: measured.into(), target, met });
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n`{}`\n", self.name, self.command);
        if !self.rows.is_empty() {
            text.push_str("\n| what | measured | target | met |\n| --- | --- | --- | --- |\n");
        }
        for Row { what, measured, target, met } in &self.rows {
            let met = met.map_or("", |met| if met { "yes" } else { "**no**" });
            text.push_str(&format!("| {what} | {measured} | {} | {met} |\n", target.unwrap_or("")));
        }
        if !self.trouble.is_empty() {
            text.push_str(&format!("\n- {}\n", self.trouble.join("\n- ")));
        }
        let rest = |nothing, rest| if self.rows.is_empty() { nothing } else { rest };
        if let Some(why) = &self.not_measured {
            text.push_str(&format!("\n{}: {why}\n", rest("Not measured", "The rest was not measured")));
        }
        if let Some(why) = &self.failed {
            text.push_str(&format!("\n**{}**: {why}\n", rest("Failed", "The rest failed")));
        }
        text
    }
}

impl All {
    /// What belongs into the folder, if it is there.
    fn there(&self, name: &'static str) -> Result<PathBuf, Missing> {
        let path = self.data.join(name);
        if path.exists() { Ok(path) } else { Err(Missing(name)) }
    }

    /// Where a curve goes.
    fn curve(&self, name: &str) -> Option<PathBuf> {
        let out = self.curves.as_ref()?;
        Some(out.with_file_name(format!("{}-{name}.svg", out.file_stem()?.to_string_lossy())))
    }

    fn lfw(&self, part: &mut Part) -> anyhow::Result<()> {
        let (images, pairs) = (self.there("lfw")?, self.there("lfw_pairs.txt")?);
        let hash = Sha256::digest(std::fs::read(&pairs)?);
        let known_pairs = hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == FOLDS_1_AND_2;
        let (figures, scores) = lfw::measure(&self.vision, &images, &pairs)?;
        part.add("pairs", figures.pairs.to_string(), None);
        let within = figures.accuracy >= 0.9967 - 0.001;
        let aimed = known_pairs.then_some(("99.67 % or within 0.1 of it", within));
        part.add("accuracy", percent(figures.accuracy), aimed);
        let tar = figures.tar_at_far_1e_3;
        part.add("accepted at one false accept in a thousand", percent(tar), Some(("99 %", tar >= 0.99)));
        part.add("pictures without a face that is found", figures.failed_to_detect.len().to_string(), None);
        if let Some(path) = self.curve("lfw") {
            roc::draw(&path, &scores).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn door(&self, part: &mut Part) -> anyhow::Result<()> {
        let dir = self.there("chokepoint")?;
        let boxes = self.there("chokepoint/boxes.csv")?;
        let mut videos = Vec::new();
        super::liveness::find(&dir, 0, &mut videos)?;
        videos.sort();
        let video = videos.into_iter().next().ok_or(Missing("chokepoint/*.mp4"))?;
        for (fps, mirrored) in DOOR_FPS.into_iter().flat_map(|fps| [(fps, false), (fps, true)]) {
            let shown = format!("{}{}", rated(fps), if mirrored { ", mirrored" } else { "" });
            let mut all = Vec::new();
            for seed in SEEDS {
                let (video, boxes) = (video.clone(), boxes.clone());
                let options = DoorOptions { video, boxes, seed, fps, detect_size: DETECT_SIZE, mirrored, json: None };
                output::note(format_args!("  door, half {seed}, {shown}"));
                all.push(door::measure(&self.config, &self.vision, &options, &self.clock)?);
            }
            add_door(part, &shown, &all);
        }
        Ok(())
    }

    fn selfies(&self, part: &mut Part) -> anyhow::Result<()> {
        let people = selfies::people(&self.there("live_enrol")?)?;
        let enrolled = selfies::enrol(&self.vision, &people)?;
        part.trouble.extend(enrolled.refused.iter().cloned());
        let with = (&self.config, &self.vision, &self.clock);
        // One that cannot be played is named, and keeps none of the others from being played.
        let play = |part: &mut Part, name: &str, video: &Path| {
            let shown = selfies::show(with, &enrolled, name, video, FPS);
            shown.map_err(|why| part.trouble.push(format!("{why:#}"))).ok()
        };
        let videos: Vec<_> = people.iter().filter_map(|p| Some((&p.name, p.video.as_deref()?))).collect();
        let shown: Vec<_> = videos.iter().filter_map(|(name, video)| play(part, name, video)).collect();
        let count = |of: fn(&selfies::Shown) -> bool| shown.iter().filter(|s| of(s)).count();
        let of_all = |n: usize| format!("{n} of {}", videos.len());
        let identified = count(|s| s.identified);
        part.add("identified", of_all(identified), Some(("all", identified == videos.len() && identified > 0)));
        part.trouble.extend(shown.iter().filter(|s| !s.identified).map(|s| format!("{}: not identified", s.video)));
        let mut after: Vec<f64> = shown.iter().filter_map(|s| s.after_s).collect();
        after.sort_by(f64::total_cmp);
        part.add("after, in the median", after.get(after.len() / 2).map_or("–".into(), |s| format!("{s:.1} s")), None);
        part.add("marked present", of_all(count(|s| s.marked)), None);
        let wrong = count(|s| s.named_wrongly);
        part.add("given another's name", of_all(wrong), Some(("none", wrong == 0 && !shown.is_empty())));
        part.add("living people taken for pictures", of_all(count(|s| s.spoof)), None);
        let mut replays = Vec::new();
        super::liveness::find(&self.there("attack_replay")?, 0, &mut replays)?;
        let played: Vec<_> = replays.iter().filter_map(|video| play(part, "", video)).collect();
        let marked = played.iter().filter(|s| s.marked).count();
        let none = marked == 0 && played.len() == replays.len() && !replays.is_empty();
        part.add("replays marked present", format!("{marked} of {}", played.len()), Some(("none", none)));
        Ok(())
    }

    fn liveness(&self, part: &mut Part) -> anyhow::Result<()> {
        let bench = Bench::new(self.vision.clone(), self.config.clone(), FPS, Arc::clone(&self.clock))?;
        let some = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| self.data.join(name)).filter(|path| path.exists()).collect()
        };
        let videos = some(&["live_enrol", "selfies_video", "grid"]);
        let attacks = some(&["attack_replay"]);
        if videos.is_empty() || attacks.is_empty() {
            return Err(Missing("live_enrol, selfies_video and grid, or attack_replay").into());
        }
        let (live, stills): (Vec<_>, Vec<_>) = bench.all(&videos)?.into_iter().partition(FileVerdicts::is_video);
        let attack = bench.all(&attacks)?;
        let figures = Liveness::new(live, attack);
        part.trouble.extend(figures.trouble());
        add_liveness(part, "videos and replays", &figures, true);
        if let Some(path) = self.curve("liveness") {
            let settings = liveness_settings(&self.config.liveness);
            let in_force = (settings.spoof_below, settings.live_from);
            let checks = |files: &[FileVerdicts]| files.iter().flat_map(|f| f.checks.clone()).collect::<Vec<Check>>();
            curves::liveness(&path, &checks(&figures.live.files), &checks(&figures.attack.files), in_force)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        // Pictures of the samples are named after what they show: T for true, F for fake.
        let samples = some(&["attack_samples"]);
        if !samples.is_empty() {
            let fake = |f: &FileVerdicts| f.name().is_some_and(|name| name.contains("_F"));
            let (fakes, real): (Vec<_>, Vec<_>) = bench.all(&samples)?.into_iter().partition(fake);
            let mut living = stills;
            living.extend(real);
            add_liveness(part, "single pictures, selfies and attack_samples", &Liveness::new(living, fakes), false);
        }
        let (client, imposter) = (self.data.join("nuaa_print/ClientFace"), self.data.join("nuaa_print/ImposterFace"));
        if client.is_dir() && imposter.is_dir() {
            let nuaa = Liveness::new(bench.all(&[client])?, bench.all(&[imposter])?);
            add_liveness(part, "tight crops, nuaa_print", &nuaa, false);
        } else {
            part.trouble.push("nuaa_print is missing: crops were not measured".to_owned());
        }
        Ok(())
    }
}

fn add_door(part: &mut Part, shown: &str, all: &[door::Figures]) {
    let sum = |of: &dyn Fn(&door::Figures) -> usize| all.iter().map(of).sum::<usize>();
    let least = |of: fn(&door::Figures) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&door::Figures) -> f64| all.iter().map(of).fold(0.0, f64::max);
    let (recall, idf1) = (least(|f| f.detection_recall), least(|f| f.idf1));
    part.add(
        format!("faces of 24 px or more that are found, {shown}"),
        format!("{} to {}", percent(recall), percent(most(|f| f.detection_recall))),
        Some(("99 %", recall >= 0.99)),
    );
    part.add(format!("IDF1, {shown}"), format!("{idf1:.3} to {:.3}", most(|f| f.idf1)), Some(("0.90", idf1 >= 0.90)));
    let (enrolled, marked) = (sum(&|f| f.enrolled.len()), sum(&|f| f.marked_right.len()));
    let review = sum(&|f| f.review_right.len());
    part.add(
        format!("enrolled people marked, {shown}"),
        format!("{marked} of {enrolled}"),
        Some(("9 of 10", rate(marked, enrolled) >= 0.9)),
    );
    part.add(
        format!("the others in review with the right name first, {shown}"),
        format!("{review} of {}", enrolled - marked),
        Some(("all", marked + review == enrolled)),
    );
    let strangers = sum(&|f| f.strangers_named());
    let wrong = sum(&|f| f.marked_wrong.len()) - strangers;
    part.add(format!("given another's name, {shown}"), wrong.to_string(), Some(("none", wrong == 0)));
    part.add(format!("strangers named, {shown}"), strangers.to_string(), Some(("none", strangers == 0)));
    let (judged, rejected) = (sum(&|f| f.judged), sum(&|f| f.rejected));
    part.add(
        format!("living people taken for pictures, {shown}"),
        format!("{rejected} of {judged} tracks"),
        Some(("5 %", judged > 0 && rate(rejected, judged) <= 0.05)),
    );
}

fn add_liveness(part: &mut Part, of: &str, figures: &Liveness, aimed: bool) {
    let (live, attack) = (&figures.live, &figures.attack);
    let goal = |goal, met: bool| aimed.then_some((goal, met));
    part.add(
        format!("{of}: living people rejected"),
        format!("{} of {} tracks ({})", live.spoof, live.tracks, percent(figures.bpcer)),
        goal("5 %", live.tracks > 0 && figures.bpcer <= 0.05),
    );
    part.add(format!("{of}: living people undecided"), format!("{} of {} tracks", live.undecided, live.tracks), None);
    part.add(
        format!("{of}: attacks taken for living"),
        format!("{} of {} tracks ({})", attack.live, attack.tracks, percent(figures.apcer)),
        goal("none", attack.tracks > 0 && attack.live == 0),
    );
    part.add(format!("{of}: attacks undecided"), format!("{} of {} tracks", attack.undecided, attack.tracks), None);
}

fn rated(fps: f32) -> String {
    if fps > 0.0 { format!("{fps} frames a second") } else { "every frame".to_owned() }
}

fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

impl Report {
    fn markdown(&self) -> String {
        let rows = || self.parts.iter().flat_map(|part| &part.rows);
        let (met, aimed) = (rows().filter(|r| r.met == Some(true)).count(), rows().filter(|r| r.met.is_some()).count());
        let heading = format!("# Evaluation\n\n{met} of {aimed} targets met.\n");
        std::iter::once(heading).chain(self.parts.iter().map(Part::markdown)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_yet() -> Part {
        Part::new("selfies", "rollcall replay")
    }

    /// What the rows that miss their target are about, and how many have a target.
    fn missed(part: &Part) -> (Vec<&str>, usize) {
        let aimed = part.rows.iter().filter(|row| row.met.is_some());
        (aimed.clone().filter(|row| row.met == Some(false)).map(|row| row.what.as_str()).collect(), aimed.count())
    }

    /// At the very edge of every target.
    fn door_that_just_does() -> door::Figures {
        let names = |of: std::ops::Range<u32>| of.map(|n| n.to_string()).collect::<Vec<_>>();
        let mut figures = door::Figures::default();
        (figures.detection_recall, figures.idf1) = (0.99, 0.90);
        (figures.enrolled, figures.marked_right, figures.review_right) = (names(0..10), names(0..9), names(9..10));
        (figures.judged, figures.rejected) = (20, 1);
        figures
    }

    #[track_caller]
    fn check_door(change: impl FnOnce(&mut door::Figures), missed_by: &[&str]) {
        let mut changed = door_that_just_does();
        change(&mut changed);
        let mut part = nothing_yet();
        // A better half does not make up for one that misses what each has to reach.
        let mut better = door_that_just_does();
        (better.detection_recall, better.idf1) = (1.0, 1.0);
        add_door(&mut part, "every frame", &[better, changed]);
        let expected: Vec<String> = missed_by.iter().map(|what| format!("{what}, every frame")).collect();
        let (missed, aimed) = missed(&part);
        assert_eq!(missed, expected, "{}", part.markdown());
        assert_eq!(aimed, 7, "{}", part.markdown());
    }

    #[test]
    fn a_door_meets_its_targets_up_to_their_edge() {
        let named =
            |truth: Option<&str>| door::Wrong { named: "0".to_owned(), truth: truth.map(str::to_owned), track: 1 };
        check_door(|_| {}, &[]);
        check_door(|f| f.detection_recall = 0.9899, &["faces of 24 px or more that are found"]);
        check_door(|f| f.idf1 = 0.8999, &["IDF1"]);
        check_door(|f| f.review_right.extend(f.marked_right.pop()), &["enrolled people marked"]);
        check_door(|f| f.review_right.clear(), &["the others in review with the right name first"]);
        check_door(|f| f.marked_wrong.push(named(Some("1"))), &["given another's name"]);
        check_door(|f| f.marked_wrong.push(named(None)), &["strangers named"]);
        check_door(|f| f.rejected += 1, &["living people taken for pictures"]);
    }

    /// Tracks of living people and of attacks, of each those taken for living and those taken for pictures.
    #[track_caller]
    fn check_liveness(living: (usize, usize), attacks: (usize, usize), missed_by: &[&str]) {
        let file = |(live, spoof): (usize, usize)| {
            let mut told = FileVerdicts::default();
            (told.live, told.spoof) = (live, spoof);
            vec![told]
        };
        let figures = Liveness::new(file(living), file(attacks));
        let mut part = nothing_yet();
        add_liveness(&mut part, "videos", &figures, true);
        let (missed, aimed) = missed(&part);
        assert_eq!(missed, missed_by, "{}", part.markdown());
        assert_eq!(aimed, 2, "{}", part.markdown());
    }

    #[test]
    fn liveness_meets_its_targets_up_to_their_edge() {
        let (rejects, takes) = ("videos: living people rejected", "videos: attacks taken for living");
        check_liveness((19, 1), (0, 3), &[]);
        check_liveness((18, 1), (0, 3), &[rejects]);
        check_liveness((19, 1), (1, 2), &[takes]);
        // Of nothing nothing is known.
        check_liveness((0, 0), (0, 0), &[rejects, takes]);
    }

    #[test]
    fn table_trouble_and_what_was_not_measured_stand_apart() {
        let mut part = Part {
            trouble: vec!["Ada: no face".to_owned(), "Bob: blurred".to_owned()],
            not_measured: Some("attack_replay is missing".to_owned()),
            ..nothing_yet()
        };
        part.add("identified", "1 of 1", Some(("all", true)));
        let text = Report { parts: vec![part] }.markdown();
        let (_, after_table) = text.split_once("| identified | 1 of 1 | all | yes |\n").expect("the row");
        let apart = "\n- Ada: no face\n- Bob: blurred\n\nThe rest was not measured: attack_replay is missing\n";
        assert_eq!(after_table, apart);
    }
}
