//! Draws what `make bench` measured: one SVG a comparison, from the figures that the measuring programs kept.

#![expect(clippy::print_stdout, reason = "a command that reports")]

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use plotters::coord::Shift;
use plotters::prelude::*;
use rollcall_benches::measured::{Capacity, kept};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const OURS: RGBColor = RGBColor(30, 90, 200);
const THEIRS: RGBColor = RGBColor(150, 150, 150);
const PARTS: [RGBColor; 8] = [
    RGBColor(30, 90, 200),
    RGBColor(120, 170, 240),
    RGBColor(220, 120, 40),
    RGBColor(240, 190, 120),
    RGBColor(60, 150, 90),
    RGBColor(160, 210, 170),
    RGBColor(130, 90, 160),
    RGBColor(190, 190, 190),
];
/// Height of a bar with its gap, and of all that is not bars.
const BAR: u32 = 44;
const AROUND: u32 = 64;
const WIDTH: u32 = 860;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

#[derive(Parser)]
#[command(about = "Draws the figures of make bench as SVG")]
struct Options {
    /// Where the figures are (peers.json, limit.json, gallery.json, capacity.json); what is not there is not drawn.
    from: PathBuf,
    /// Where the pictures go.
    to: PathBuf,
}

#[derive(Deserialize)]
struct Peers {
    clip: String,
    sides: Vec<Peer>,
}

#[derive(Deserialize)]
struct Peer {
    name: String,
    pace: f64,
}

#[derive(Deserialize)]
struct Limit {
    clip: String,
    decode: f64,
    detector: f64,
    /// Name and seconds of each part of the lane, in order.
    parts: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Search {
    dimension: u32,
    templates: f64,
    batch: u32,
    faiss_us: f64,
    ours_us: f64,
}

fn main() -> anyhow::Result<()> {
    let Options { from, to } = Options::parse();
    std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    draw(&from, &to, "peers", |figures, path| peers(&figures, path))?;
    draw(&from, &to, "limit", |figures: Vec<Limit>, path| limit(&figures, path))?;
    draw(&from, &to, "gallery", |figures: Vec<Search>, path| gallery(&figures, path))?;
    draw(&from, &to, "capacity", |figures: Vec<Capacity>, path| capacity(&figures, path))
}

/// Draws one picture, if there are figures for it; an old one would be of other figures, so it goes.
fn draw<T: DeserializeOwned>(
    from: &Path,
    to: &Path,
    name: &str,
    draw: impl FnOnce(T, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (figures, picture) = (from.join(format!("{name}.json")), to.join(format!("{name}.svg")));
    let Some(figures) = kept(&figures)? else {
        if picture.is_file() {
            std::fs::remove_file(&picture)?;
        }
        return Ok(());
    };
    draw(figures, &picture).with_context(|| format!("cannot draw {}", picture.display()))?;
    println!("![{name}]({name}.svg)");
    Ok(())
}

fn peers(figures: &Peers, path: &Path) -> anyhow::Result<()> {
    let title = format!("Analysed frames a CPU second, {}", figures.clip);
    let bar = |peer: &Peer| {
        let colour = if peer.name.starts_with("rollcall") { OURS } else { THEIRS };
        (format!("{}: {:.1}", peer.name, peer.pace), vec![(peer.pace, colour)])
    };
    bars(path, &title, &figures.sides.iter().map(bar).collect::<Vec<_>>(), &[])
}

fn limit(figures: &[Limit], path: &Path) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut names = Vec::new();
    for clip in figures {
        let part = |name: &str| clip.parts.get(name).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        // Decode and detect come first and in the colours of the floor.
        let mut ordered = vec!["decode", "detect"];
        ordered.extend(clip.parts.keys().map(String::as_str).filter(|name| !["decode", "detect"].contains(name)));
        let lane: Vec<_> = ordered.iter().zip(PARTS).map(|(name, colour)| (part(name), colour)).collect();
        let (floor, all) = (clip.decode + clip.detector, lane.iter().map(|(s, _)| s).sum::<f64>());
        rows.push((
            format!("{}: floor, {floor:.2} s", clip.clip),
            vec![(clip.decode, PARTS[0]), (clip.detector, PARTS[1])],
        ));
        rows.push((format!("{}: lane, {all:.2} s", clip.clip), lane));
        names = ordered.into_iter().map(str::to_owned).zip(PARTS).collect();
    }
    bars(path, "CPU seconds: decode and detector alone, and the lane", &rows, &names)
}

fn capacity(figures: &[Capacity], path: &Path) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for Capacity { shown, rows: numbers } in figures {
        for row in numbers {
            let p95 = row.p95_s.map_or("nobody named".to_owned(), |s| format!("p95 {s:.2} s"));
            let words = format!(
                "{} × {shown}: {:.2} cores, {:.1} cameras a core; {p95}",
                row.cameras, row.daemon_cores, row.cameras_per_core
            );
            rows.push((words, vec![(row.daemon_cores, OURS)]));
            rows.push((format!("decoding alone: {:.2} cores", row.bare_cores), vec![(row.bare_cores, THEIRS)]));
        }
    }
    bars(path, "Cores of the daemon with so many cameras of 1080p25, and of something that only decodes", &rows, &[])
}

/// Horizontal bars of one or more parts, each with its words above it.
fn bars(
    path: &Path,
    title: &str,
    rows: &[(String, Vec<(f64, RGBColor)>)],
    legend: &[(String, RGBColor)],
) -> anyhow::Result<()> {
    let height = AROUND + BAR * rows.len() as u32;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(title.to_owned(), (16, 12), ("sans-serif", 18)))?;
    let most = rows.iter().map(|(_, parts)| parts.iter().map(|(v, _)| v).sum::<f64>()).fold(1e-9, f64::max);
    let scale = f64::from(WIDTH - 32) / most;
    for (i, (words, parts)) in rows.iter().enumerate() {
        let top = 40 + BAR as i32 * i as i32;
        area.draw(&Text::new(words.clone(), (16, top), ("sans-serif", 13)))?;
        let mut left = 16.0;
        for (value, colour) in parts {
            let right = left + value * scale;
            area.draw(&Rectangle::new([(left as i32, top + 17), (right as i32, top + 35)], colour.filled()))?;
            left = right;
        }
    }
    let mut left = 16;
    for (words, colour) in legend {
        let top = height as i32 - 18;
        area.draw(&Rectangle::new([(left, top), (left + 12, top + 12)], colour.filled()))?;
        area.draw(&Text::new(words.clone(), (left + 16, top), ("sans-serif", 13)))?;
        left += 40 + 8 * words.len() as i32;
    }
    Ok(area.present()?)
}

fn gallery(figures: &[Search], path: &Path) -> anyhow::Result<()> {
    let mut dimensions: Vec<u32> = figures.iter().map(|f| f.dimension).collect();
    dimensions.dedup();
    let area = SVGBackend::new(path, (WIDTH, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    for (part, dimension) in area.split_evenly((1, dimensions.len().max(1))).iter().zip(dimensions) {
        searches(part, dimension, figures)?;
    }
    Ok(area.present()?)
}

/// Time a probe against templates, both logarithmic.
fn searches(area: &Area<'_>, dimension: u32, figures: &[Search]) -> anyhow::Result<()> {
    let of = |f: &&Search| f.dimension == dimension;
    let times = || figures.iter().filter(of).flat_map(|f| [f.faiss_us, f.ours_us]).map(f64::log10);
    let sizes = || figures.iter().filter(of).map(|f| f.templates.log10());
    let (low, high) = (times().fold(f64::INFINITY, f64::min).floor(), times().fold(f64::NEG_INFINITY, f64::max).ceil());
    let (least, most) =
        (sizes().fold(f64::INFINITY, f64::min).floor(), sizes().fold(f64::NEG_INFINITY, f64::max).ceil());
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{dimension} values: µs a probe"), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(least..most.max(least + 1.0), low..high)?;
    chart
        .configure_mesh()
        .x_desc("templates (10^x)")
        .x_labels((most - least) as usize + 1)
        .y_labels((high - low) as usize + 1)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("10^{y:.0}"))
        .draw()?;
    for (batch, strength) in [(1, 1.0), (32, 0.5)] {
        let mut line = |words: &str, colour: RGBColor, time: fn(&Search) -> f64| -> anyhow::Result<()> {
            let points =
                figures.iter().filter(of).filter(|f| f.batch == batch).map(|f| (f.templates.log10(), time(f).log10()));
            let style = colour.mix(strength).stroke_width(2);
            let words = if batch == 1 { format!("{words}, one probe") } else { format!("{words}, batches of {batch}") };
            chart
                .draw_series(LineSeries::new(points.collect::<Vec<_>>(), style))?
                .label(words)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            Ok(())
        };
        line("FAISS IndexFlatIP", THEIRS, |f| f.faiss_us)?;
        line("gallery", OURS, |f| f.ours_us)?;
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).draw()?;
    Ok(())
}
