//! What was measured, as a table or as JSON.

use rollcall_benches::live::latencies::Quantiles;
use rollcall_benches::measured::{Capacity, Carried};

use crate::Options;

/// The bounds within which a number of cameras counts as carried.
const P95_S: f64 = 1.0;
const LOST: f64 = 0.01;

/// One number of cameras, watched once.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) cameras: u16,
    pub(crate) seconds: f64,
    /// CPU seconds a second of something that only decodes the same cameras …
    pub(crate) bare_cores: f64,
    /// … and of the daemon.
    pub(crate) daemon_cores: f64,
    pub(crate) database_cores: f64,
    pub(crate) camera_cores: f64,
    /// The most that was resident, from its start on.
    pub(crate) peak_mb: f64,
    /// From the first usable face to the committed row.
    pub(crate) named: Quantiles,
    /// Rows, also without a name, of which only a bound is known.
    pub(crate) bounds: usize,
    /// Rows that went through the spool, and are in no latency.
    pub(crate) spooled: f64,
    pub(crate) decoded: f64,
    pub(crate) received: f64,
    pub(crate) evicted: f64,
    /// Thrown away undecoded: the decoder did not keep up.
    pub(crate) late: f64,
    pub(crate) analysed: f64,
    /// Analysed frames that the detector saw.
    pub(crate) searched: f64,
    /// Of the machine, at the end.
    pub(crate) load: f64,
}

impl Watch {
    /// Of the frames that were handed to the lane.
    fn evicted(&self) -> f64 {
        self.evicted / self.received.max(1.0)
    }

    /// Of the frames that came to the decoder.
    fn late(&self) -> f64 {
        self.late / (self.decoded + self.late).max(1.0)
    }

    fn a_camera(&self, frames: f64) -> f64 {
        frames / self.seconds / f64::from(self.cameras)
    }
}

/// One number of cameras, in every round: its figures are the medians.
#[derive(Debug)]
struct Row<'a> {
    cameras: u16,
    rounds: Vec<&'a Watch>,
}

impl Row<'_> {
    fn median(&self, of: impl Fn(&Watch) -> f64) -> f64 {
        median(self.rounds.iter().copied().map(of).collect()).unwrap_or(f64::NAN)
    }

    /// Nothing where nobody was named in some round.
    fn quantile(&self, part: f64) -> Option<f64> {
        median(self.rounds.iter().map(|round| round.named.quantile(part)).collect::<Option<_>>()?)
    }

    /// The shortest and the longest of the rounds.
    fn p95s(&self) -> Option<(f64, f64)> {
        let all: Vec<f64> = self.rounds.iter().map(|round| round.named.quantile(0.95)).collect::<Option<_>>()?;
        Some((all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(0.0, f64::max)))
    }

    fn daemon_cores(&self) -> f64 {
        self.median(|round| round.daemon_cores)
    }

    fn bare_cores(&self) -> f64 {
        self.median(|round| round.bare_cores)
    }

    fn is_carried(&self) -> bool {
        let in_time = self.quantile(0.95).is_some_and(|p95| p95 <= P95_S);
        let spooled = self.rounds.iter().any(|round| round.spooled > 0.0);
        in_time && !spooled && self.median(Watch::evicted) <= LOST && self.median(Watch::late) <= LOST
    }

    fn a_core(&self, cores: f64) -> f64 {
        f64::from(self.cameras) / cores.max(1e-3)
    }

    fn told(&self) -> String {
        let seconds = |s: Option<f64>| s.map_or("–".to_owned(), |s| format!("{s:.2}"));
        let range = self.p95s().filter(|_| self.rounds.len() > 1);
        let range = range.map_or(String::new(), |(least, most)| format!(", {least:.2} to {most:.2}"));
        let rows: usize = self.rounds.iter().map(|round| round.named.count()).sum();
        format!(
            "| {} | {:.2} / {:.2} | {:.1} / {:.1} | {} / {}{range} ({rows}) | {:.1} / {:.1} % | {:.1} / {:.2} / {:.2} | {:.0} | {:.2} / {:.2} | {:.1} |\n",
            self.cameras,
            self.daemon_cores(),
            self.bare_cores(),
            self.a_core(self.daemon_cores()),
            self.a_core(self.bare_cores()),
            seconds(self.quantile(0.5)),
            seconds(self.quantile(0.95)),
            100.0 * self.median(Watch::evicted),
            100.0 * self.median(Watch::late),
            self.median(|round| round.a_camera(round.decoded)),
            self.median(|round| round.a_camera(round.analysed)),
            self.median(|round| round.a_camera(round.searched)),
            self.median(|round| round.peak_mb),
            self.median(|round| round.database_cores),
            self.median(|round| round.camera_cores),
            self.median(|round| round.load),
        )
    }
}

/// Of an even number the mean of the two in the middle.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = figures.get(figures.len() / 2)?;
    Some(f64::midpoint(figures[(figures.len() - 1) / 2], *upper))
}

/// The rounds of each number.
fn rows(watched: &[Watch]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for watch in watched {
        match rows.iter_mut().find(|row| row.cameras == watch.cameras) {
            Some(row) => row.rounds.push(watch),
            None => rows.push(Row { cameras: watch.cameras, rounds: vec![watch] }),
        }
    }
    rows
}

/// A table and a sentence.
pub(crate) fn markdown(options: &Options, watched: &[Watch]) -> String {
    let (width, height) = options.size;
    let codec = options.format().codec;
    let rounds = match options.rounds {
        1 => String::new(),
        rounds => format!(", medians of {rounds} rounds"),
    };
    let mut text = format!(
        "{width}x{height} at 25, {codec:?} over RTSP, {} analysed a second each: {}{rounds}\n\n\
         | cameras | daemon / decoding alone, cores | cameras a core | p50 / p95 to the row, s (rows) | evicted / late | decoded / analysed / searched a second and camera | most memory, MB | PostgreSQL / test cameras, cores | load |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        options.fps,
        options.shown()
    );
    text.extend(rows(watched).iter().map(Row::told));
    for watch in watched.iter().filter(|watch| watch.bounds > 0) {
        text += &format!(
            "\n{} cameras: {} rows were committed between the same two readings as another; each counts with the longest that it may have taken\n",
            watch.cameras, watch.bounds
        );
    }
    for watch in watched.iter().filter(|watch| watch.spooled > 0.0) {
        text += &format!(
            "\n{} cameras: {} rows went through the spool; what these took is not in the figures, so the number is not carried\n",
            watch.cameras, watch.spooled
        );
    }
    let bounds = format!("p95 ≤ {P95_S} s and at most {:.0} % evicted or late", 100.0 * LOST);
    let figures = figures(options, watched);
    let most = match figures.most() {
        Some(row) => format!(
            "most cameras with {bounds}, as all smaller numbers had: {}, {:.1} a core of the daemon's; of one that only decoded, {:.1}",
            row.cameras,
            row.cameras_per_core,
            f64::from(row.cameras) / row.bare_cores.max(1e-3)
        ),
        None => format!("no number of cameras had {bounds}, with all smaller numbers"),
    };
    text + "\n" + &most + "\n"
}

/// The same for the pictures and README.
pub(crate) fn figures(options: &Options, watched: &[Watch]) -> Capacity {
    let carried = rows(watched).into_iter().map(|row| Carried {
        cameras: row.cameras,
        bare_cores: row.bare_cores(),
        daemon_cores: row.daemon_cores(),
        cameras_per_core: row.a_core(row.daemon_cores()),
        peak_mb: row.median(|round| round.peak_mb),
        p95_s: row.quantile(0.95),
        within_bounds: row.is_carried(),
    });
    Capacity { shown: options.shown(), rows: carried.collect() }
}
