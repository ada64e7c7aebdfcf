//! Writes what `make bench` measured into README's table: the last cell of the rows that are about speed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Parser;
use rollcall_benches::measured::{Capacity, Carried, Latency, kept};

#[derive(Parser)]
#[command(about = "Writes the figures of make bench into README's table")]
struct Options {
    /// Where the figures are (latency.json, latency-afar.json, capacity.json)
    from: PathBuf,
    /// The file with the table
    readme: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Options { from, readme } = Options::parse();
    let near: Latency = needed(&from.join("latency.json"))?;
    let afar: Option<Latency> = kept(&from.join("latency-afar.json"))?;
    let capacity: Vec<Capacity> = needed(&from.join("capacity.json"))?;
    let text = std::fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let text = with_measured(&text, "fast", &fast(&near, afar.as_ref()))?;
    let text = with_measured(&text, "frugal", &frugal(&near, &capacity))?;
    std::fs::write(&readme, text).with_context(|| format!("cannot write {}", readme.display()))
}

fn needed<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    kept(path)?.with_context(|| format!("{} is missing", path.display()))
}

fn fast(near: &Latency, afar: Option<&Latency>) -> String {
    let told = |of: &Latency| match (of.p50_s, of.p95_s) {
        (Some(p50), Some(p95)) => format!("half of {} rows after {p50:.2} s, 95 % after {p95:.2} s", of.rows),
        _ => "nobody was named".to_owned(),
    };
    let afar = afar.map(|afar| format!("; from afar: {}", told(afar)));
    format!("near: {}{}", told(near), afar.unwrap_or_default())
}

fn frugal(near: &Latency, capacity: &[Capacity]) -> String {
    let most = |of: &Capacity| {
        let tried: Vec<String> = of.rows.iter().map(|row| row.cameras.to_string()).collect();
        let told = |row: &Carried| format!("{} ({:.1} for each core it took)", row.cameras, row.cameras_per_core);
        format!("{}: {} of {}", of.shown, of.most().map_or("none".to_owned(), told), tried.join(", "))
    };
    let carried: Vec<String> = capacity.iter().map(most).collect();
    format!(
        "one camera: {:.0} % of a core, {:.0} MB. The most within a second, of the numbers of cameras that were tried: {}",
        100.0 * near.daemon_cores,
        near.resident_mb,
        carried.join("; ")
    )
}

/// The text with another last cell in the row of the table that begins with this word in bold.
fn with_measured(text: &str, row: &str, measured: &str) -> anyhow::Result<String> {
    let start = format!("| **{row}** |");
    let Some(line) = text.lines().find(|line| line.starts_with(&start)) else {
        bail!("there is no row {start} in the table");
    };
    let cells = line.trim_end().strip_suffix('|').and_then(|line| line.rsplit_once('|'));
    let (others, _) = cells.with_context(|| format!("{start} is no row of a table"))?;
    Ok(text.replacen(line, &format!("{others}| {measured} |"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| | | measured |\n| --- | --- | --- |\n| **fast** | soon | 9 s |\n| **exact** | once | 1 |\n";

    #[test]
    fn the_last_cell_of_one_row_is_written_anew() {
        let written = with_measured(TABLE, "fast", "0.4 s").unwrap();
        assert_eq!(written, TABLE.replace("9 s", "0.4 s"));
        assert!(with_measured(TABLE, "frugal", "1").is_err());
    }

    #[test]
    fn what_readme_says_is_what_was_measured() {
        let latency = |p50, p95| Latency {
            rows: 11,
            p50_s: Some(p50),
            p95_s: Some(p95),
            daemon_cores: 0.139,
            resident_mb: 188.6,
        };
        let carried = |cameras, cameras_per_core, within_bounds| Carried {
            cameras,
            bare_cores: 0.8,
            daemon_cores: 1.0,
            cameras_per_core,
            peak_mb: 300.0,
            p95_s: Some(0.7),
            within_bounds,
        };
        assert_eq!(
            fast(&latency(0.43, 0.435), Some(&latency(1.058, 1.448))),
            "near: half of 11 rows after 0.43 s, 95 % after 0.43 s; from afar: half of 11 rows after 1.06 s, 95 % after 1.45 s"
        );
        let rows = vec![carried(4, 7.5, true), carried(8, 8.06, true), carried(12, 7.9, false)];
        let capacity = [
            Capacity { shown: "busy doors".to_owned(), rows },
            Capacity { shown: "a crowd".to_owned(), rows: vec![carried(4, 4.0, false), carried(8, 4.0, true)] },
        ];
        assert_eq!(
            frugal(&latency(0.43, 0.435), &capacity),
            "one camera: 14 % of a core, 189 MB. The most within a second, of the numbers of cameras that were tried: \
             busy doors: 8 (8.1 for each core it took) of 4, 8, 12; a crowd: none of 4, 8"
        );
    }
}
