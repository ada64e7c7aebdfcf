//! What live measurements keep for the pictures and for README.

use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One camera, from the first usable face to the committed row with a name.
#[derive(Debug, Deserialize, Serialize)]
pub struct Latency {
    /// Rows with a name.
    pub rows: usize,
    /// Half of the rows were there within so many seconds; `None` where nobody was named.
    pub p50_s: Option<f64>,
    /// Ninety-five of a hundred.
    pub p95_s: Option<f64>,
    /// CPU seconds a second.
    pub daemon_cores: f64,
    /// Memory of the daemon.
    pub resident_mb: f64,
}

/// Several numbers of cameras that show the same.
#[derive(Debug, Deserialize, Serialize)]
pub struct Capacity {
    /// What they show and how they compress it, in words.
    pub shown: String,
    /// Each number of them.
    pub rows: Vec<Carried>,
}

/// One number of cameras.
#[derive(Debug, Deserialize, Serialize)]
pub struct Carried {
    /// How many.
    pub cameras: u16,
    /// CPU seconds a second of something that only decodes them …
    pub bare_cores: f64,
    /// … and of the daemon.
    pub daemon_cores: f64,
    /// Of the daemon's.
    pub cameras_per_core: f64,
    /// Memory of the daemon, the most that it was.
    pub peak_mb: f64,
    /// From the first usable face to the committed row with a name; `None` where nobody was named.
    pub p95_s: Option<f64>,
    /// In time, and next to nothing lost.
    pub within_bounds: bool,
}

impl Capacity {
    /// The largest number within the bounds; one above a number that was not is luck, and does not count.
    #[must_use]
    pub fn most(&self) -> Option<&Carried> {
        let least_missed = self.rows.iter().filter(|row| !row.within_bounds).map(|row| row.cameras).min();
        let counts = |row: &&Carried| row.within_bounds && least_missed.is_none_or(|missed| row.cameras < missed);
        self.rows.iter().filter(counts).max_by_key(|row| row.cameras)
    }
}

/// Writes figures where they are wanted.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(path: &Path, figures: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads figures back, if there are any.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn kept<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(serde_json::from_str(&text).with_context(|| format!("{} is not ours", path.display()))?))
}
