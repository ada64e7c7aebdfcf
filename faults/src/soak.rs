//! A long time of cameras that come and go: what leaks by a little, leaks here.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use rand::RngExt;
use rollcall_pipeline::{Clock, SystemClock};

use crate::process::{Holdings, holdings};
use crate::site::Plan;
use crate::trial::Trial;
use crate::verdict::Promise;

/// Caches fill, and each code path is taken once.
const WARM_UP_SHARE: f64 = 0.2;
/// Resident memory may grow by so much a minute after that.
const MOST_MB_A_MINUTE: f64 = 1.0;
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Looks at either end of which the median counts.
const ENDS: usize = 12;
/// Connections to PostgreSQL at most: eight of the pool by default, and as many that listen.
const MOST_CONNECTIONS: usize = 16;

/// What was held when, in minutes.
type Look = (f64, Holdings);

/// In so many ways a camera fails; one of them leaves its connection open.
const WAYS: usize = 6;
const FREEZES: usize = 3;

/// Three cameras, of which two come and go in each way in turn.
pub(crate) fn play(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan { more_cameras: 2, ..Plan::default() })?;
    let clock = SystemClock;
    let (begun, lasts) = (clock.mono(), trial.matrix.options.soak);
    let mut looks: Vec<Look> = Vec::new();
    let (mut outages, mut told) = (0, 0);
    while clock.mono().since(begun) < lasts {
        let camera = outages % 2;
        outage(trial, camera, outages / 2)?;
        outages += 1;
        let due = clock.mono();
        while clock.mono().since(due) < LOOK_EVERY {
            trial.pass(LOOK_EVERY / 5)?;
        }
        let minutes = clock.mono().since(begun).as_secs_f64() / 60.0;
        let held = holdings(trial.site()?.daemon()?.pid())?;
        looks.push((minutes, held));
        if minutes as u64 > told {
            told = minutes as u64;
            progress(told, outages, &held);
        }
    }
    let warm = looks.iter().position(|(at, _)| *at >= lasts.as_secs_f64() / 60.0 * WARM_UP_SHARE).unwrap_or_default();
    judge(trial, &looks, warm, outages)
}

#[expect(clippy::print_stderr, reason = "long work shows its progress")]
fn progress(minutes: u64, outages: usize, held: &Holdings) {
    let Holdings { resident_mb, threads, files, sockets, .. } = held;
    eprintln!(
        "  {minutes} min: {outages} outages, {resident_mb:.1} MB, {threads} threads, {files} files, {sockets} sockets"
    );
}

/// One camera fails in one way, and is back.
fn outage(trial: &mut Trial<'_>, camera: usize, kind: usize) -> anyhow::Result<()> {
    trial.excuse(Some(camera));
    let (lasts, freezes) = (Duration::from_millis(trial.chance.random_range(300..4000)), kind % WAYS == FREEZES);
    let broken = &mut trial.site()?.cameras[camera];
    match kind % WAYS {
        0 | 1 => broken.kill(),
        2 => broken.garbage()?,
        FREEZES => broken.freeze(),
        4 => broken.silence()?,
        _ => broken.without_stream()?,
    }
    let stalls = if freezes { Duration::from_secs(3) } else { Duration::ZERO };
    trial.pass(lasts + stalls)?;
    let broken = &mut trial.site()?.cameras[camera];
    if freezes {
        broken.resume()
    } else {
        broken.restart()?
    }
    trial.back(camera, SystemClock.mono())
}

fn judge(trial: &mut Trial<'_>, looks: &[Look], warm: usize, outages: usize) -> anyhow::Result<()> {
    let steady = &looks[warm..];
    let slope = slope(steady);
    trial.fact("memory MB a minute", format!("{slope:+.3}"));
    trial.fact("resident MB", sparkline(looks));
    trial.fact("outages", outages);
    if slope > MOST_MB_A_MINUTE {
        trial.tell(Promise::HoldingsBack, format!("memory grows by {slope:.2} MB a minute"));
    }
    let ends = ENDS.min(steady.len() / 2);
    if ends == 0 {
        trial.tell(Promise::HoldingsBack, "too short a time to say anything".to_owned());
        return Ok(());
    }
    let (first, last) = (&steady[..ends], &steady[steady.len() - ends..]);
    for (what, of) in [
        ("threads held", (|h: &Holdings| h.threads) as fn(&Holdings) -> usize),
        ("files held", |h: &Holdings| h.files),
        ("sockets held", |h: &Holdings| h.sockets),
    ] {
        // What is held most of the time: a camera that is just being connected holds more, one that is away less.
        let (before, after) = (middle(first, of), middle(last, of));
        trial.fact(what, format!("{before} → {after}"));
        if after > before {
            trial.tell(Promise::HoldingsBack, format!("{what}: {before} at first, {after} at last"));
        }
    }
    // Connections come and go with their use: not their growth tells, but how many there are beyond those.
    let local = steady.iter().map(|(_, held)| held.local);
    let (least, most) = (local.clone().min().unwrap_or_default(), local.max().unwrap_or_default());
    trial.fact("local sockets held", format!("{least} to {most}"));
    if most > least + MOST_CONNECTIONS {
        trial.tell(Promise::HoldingsBack, format!("local sockets held: {most}, {least} at other times"));
    }
    let keep = &trial.matrix.options.keep;
    fs::create_dir_all(keep)?;
    fs::write(keep.join("soak.csv"), csv(looks))?;
    fs::write(keep.join("soak.svg"), svg(looks))?;
    Ok(())
}

/// The median.
fn middle(looks: &[Look], of: fn(&Holdings) -> usize) -> usize {
    let mut held: Vec<usize> = looks.iter().map(|(_, held)| of(held)).collect();
    held.sort_unstable();
    held.get(held.len() / 2).copied().unwrap_or_default()
}

/// Least squares: megabytes a minute.
fn slope(looks: &[Look]) -> f64 {
    let n = looks.len() as f64;
    let mean = |of: &dyn Fn(&Look) -> f64| looks.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(&|look| look.0), mean(&|look| look.1.resident_mb));
    let above: f64 = looks.iter().map(|look| (look.0 - x) * (look.1.resident_mb - y)).sum();
    let below: f64 = looks.iter().map(|look| (look.0 - x).powi(2)).sum();
    if below == 0.0 { 0.0 } else { above / below }
}

/// Lowest and highest memory.
fn range(looks: &[Look]) -> (f64, f64) {
    let all = looks.iter().map(|(_, held)| held.resident_mb);
    all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mb| (low.min(mb), high.max(mb)))
}

fn sparkline(looks: &[Look]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 40;
    let (low, high) = range(looks);
    let bar = |mb: f64| BARS[(((mb - low) / (high - low).max(0.1)) * 7.0).round().clamp(0.0, 7.0) as usize];
    let step = looks.len().div_ceil(WIDTH).max(1);
    let bars: String = looks.iter().step_by(step).map(|(_, held)| bar(held.resident_mb)).collect();
    format!("{low:.0} {bars} {high:.0}")
}

fn csv(looks: &[Look]) -> String {
    let mut text = String::from("minutes,resident_mb,threads,files,sockets,local_sockets\n");
    for (at, Holdings { resident_mb, threads, files, sockets, local }) in looks {
        // Writing to a string does not fail.
        writeln!(text, "{at:.3},{resident_mb:.2},{threads},{files},{sockets},{local}").unwrap_or_default();
    }
    text
}

fn svg(looks: &[Look]) -> String {
    const SIZE: (f64, f64) = (800.0, 240.0);
    let (low, high) = range(looks);
    let end = looks.last().map_or(1.0, |look| look.0);
    let point = |(at, held): &Look| {
        let y = SIZE.1 * (1.0 - (held.resident_mb - low) / (high - low).max(0.1));
        format!("{:.1},{y:.1}", SIZE.0 * at / end.max(0.1))
    };
    let points: Vec<_> = looks.iter().map(point).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-10 -30 {} {}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <text x=\"0\" y=\"-10\">resident memory, {low:.0} to {high:.0} MB, over {end:.0} minutes</text>\n\
         <polyline fill=\"none\" stroke=\"#06c\" points=\"{}\"/>\n</svg>\n",
        SIZE.0 + 20.0,
        SIZE.1 + 40.0,
        points.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(mb: impl Fn(f64) -> f64) -> Vec<Look> {
        let held = |at| Holdings { resident_mb: mb(at), threads: 9, files: 9, sockets: 9, local: 9 };
        (0..50).map(|n| f64::from(n) / 10.0).map(|at| (at, held(at))).collect()
    }

    #[test]
    fn the_slope_is_that_of_the_line() {
        assert!((slope(&looks(|at| 100.0 + 2.5 * at)) - 2.5).abs() < 1e-9);
        assert!(slope(&looks(|_| 100.0)).abs() < 1e-9);
    }

    #[test]
    fn a_camera_that_comes_or_goes_is_nothing_left_behind_and_one_file_that_stays_is() {
        let with = |files: &[usize]| {
            let held = |&files: &usize| Holdings { resident_mb: 1.0, threads: 9, files, sockets: 9, local: 9 };
            let looks: Vec<Look> = files.iter().map(|files| (0.0, held(files))).collect();
            middle(&looks, |held| held.files)
        };
        assert_eq!((with(&[17, 16, 17, 17, 19]), with(&[18, 16, 18, 18, 20])), (17, 18));
    }

    #[test]
    fn pictures_of_it_have_all_points() {
        let looks = looks(|at| 100.0 + at);
        assert!(
            sparkline(&looks).starts_with("100 ▁") && sparkline(&looks).ends_with("█ 105"),
            "{}",
            sparkline(&looks)
        );
        assert_eq!(csv(&looks).lines().count(), 51);
        assert!(svg(&looks).contains("800.0,0.0"), "{}", svg(&looks));
    }
}
