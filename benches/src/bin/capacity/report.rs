//! What was measured, as a table or as JSON.

use rollcall_benches::live::latencies::Quantiles;
use rollcall_benches::measured::{Capacity, Carried};

use crate::Options;

/// The bounds within which a number of cameras counts as carried.
const P95_S: f64 = 1.0;
const LOST: f64 = 0.01;

/// One number of cameras.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cameras: u16,
    pub(crate) seconds: f64,
    /// CPU seconds a second of something that only decodes the same cameras …
    pub(crate) bare_cores: f64,
    /// … and of the daemon.
    pub(crate) daemon_cores: f64,
    pub(crate) database_cores: f64,
    pub(crate) camera_cores: f64,
    pub(crate) resident_mb: f64,
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

impl Row {
    fn cameras_per_core(&self) -> f64 {
        f64::from(self.cameras) / self.daemon_cores.max(1e-3)
    }

    /// Of something that only decodes.
    fn cameras_per_bare_core(&self) -> f64 {
        f64::from(self.cameras) / self.bare_cores.max(1e-3)
    }

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

    fn is_carried(&self) -> bool {
        let in_time = self.named.quantile(0.95).is_some_and(|p95| p95 <= P95_S) && self.spooled == 0.0;
        in_time && self.evicted() <= LOST && self.late() <= LOST
    }
}

/// The largest number of cameras within the bounds.
fn carried(rows: &[Row]) -> Option<&Row> {
    rows.iter().filter(|row| row.is_carried()).max_by_key(|row| row.cameras)
}

/// A table and a sentence.
pub(crate) fn markdown(options: &Options, rows: &[Row]) -> String {
    let (width, height) = options.size;
    let codec = options.format().codec;
    let mut text = format!(
        "{width}x{height} at 25, {codec:?} over RTSP, {} analysed a second each: {}\n\n\
         | cameras | daemon / decoding alone, cores | cameras a core | p50 / p95 to the row, s (rows) | evicted / late | decoded / analysed / searched a second and camera | resident, MB | PostgreSQL / test cameras, cores | load |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        options.fps,
        options.shown()
    );
    for row in rows {
        let quantile = |part| row.named.quantile(part).map_or("–".to_owned(), |s| format!("{s:.2}"));
        text += &format!(
            "| {} | {:.2} / {:.2} | {:.1} / {:.1} | {} / {} ({}) | {:.1} / {:.1} % | {:.1} / {:.2} / {:.2} | {:.0} | {:.2} / {:.2} | {:.1} |\n",
            row.cameras,
            row.daemon_cores,
            row.bare_cores,
            row.cameras_per_core(),
            row.cameras_per_bare_core(),
            quantile(0.5),
            quantile(0.95),
            row.named.count(),
            100.0 * row.evicted(),
            100.0 * row.late(),
            row.a_camera(row.decoded),
            row.a_camera(row.analysed),
            row.a_camera(row.searched),
            row.resident_mb,
            row.database_cores,
            row.camera_cores,
            row.load,
        );
    }
    for row in rows.iter().filter(|row| row.bounds > 0) {
        text += &format!(
            "\n{} cameras: {} rows were committed between the same two readings as another; each counts with the longest that it may have taken\n",
            row.cameras, row.bounds
        );
    }
    for row in rows.iter().filter(|row| row.spooled > 0.0) {
        text += &format!(
            "\n{} cameras: {} rows went through the spool; what these took is not in the figures, so the number is not carried\n",
            row.cameras, row.spooled
        );
    }
    let bounds = format!("p95 ≤ {P95_S} s and at most {:.0} % evicted or late", 100.0 * LOST);
    let most = match carried(rows) {
        Some(row) => {
            let (daemon, bare) = (row.cameras_per_core(), row.cameras_per_bare_core());
            format!(
                "most cameras with {bounds}: {}, {daemon:.1} a core of the daemon's; of one that only decoded, {bare:.1}",
                row.cameras
            )
        }
        None => format!("no number of cameras had {bounds}"),
    };
    text + "\n" + &most + "\n"
}

/// The same for the pictures and README.
pub(crate) fn figures(options: &Options, rows: &[Row]) -> Capacity {
    let carried = rows.iter().map(|row| Carried {
        cameras: row.cameras,
        bare_cores: row.bare_cores,
        daemon_cores: row.daemon_cores,
        cameras_per_core: row.cameras_per_core(),
        resident_mb: row.resident_mb,
        p95_s: row.named.quantile(0.95),
        within_bounds: row.is_carried(),
    });
    Capacity { shown: options.shown(), rows: carried.collect() }
}
