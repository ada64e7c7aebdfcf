//! Single latencies out of a histogram of each kind of event: between two readings that are close together its sum and one of its
//! buckets grow by one event. Where they grow by several, each counts with the longest that they allow, so that no quantile is
//! flattered.

use std::collections::BTreeMap;
use std::fmt;

use rollcall_pipeline::EventKind;

use super::exposition::Exposition;

const LATENCY: &str = "rollcall_event_end_to_end_seconds";
const SINK: &str = "rollcall_sink_events_total";

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Latencies {
    known: BTreeMap<String, Histogram>,
    measured: BTreeMap<String, Vec<f64>>,
    bounds: usize,
}

/// As it is told: the sum, and by their upper bounds the buckets, each with those below.
#[derive(Clone, Debug, Default)]
struct Histogram {
    sum: f64,
    buckets: Vec<(f64, f64)>,
}

impl Latencies {
    /// From here on.
    pub fn new(first: &Exposition) -> Self {
        Self { known: histograms(first), ..Self::default() }
    }

    /// Takes a reading in.
    pub fn take(&mut self, reading: &Exposition) {
        for (kind, now) in histograms(reading) {
            let before = self.known.insert(kind.clone(), now.clone()).unwrap_or_default();
            let longest = now.longest_since(&before);
            if longest.len() > 1 {
                self.bounds += longest.len();
            }
            if !longest.is_empty() {
                self.measured.entry(kind).or_default().extend(longest);
            }
        }
    }

    /// Rows whose latency is only bounded: they were committed between the same two readings as another.
    pub fn bounds(&self) -> usize {
        self.bounds
    }

    /// Nobody was named.
    pub fn is_empty(&self) -> bool {
        self.named().0.is_empty()
    }

    /// Rows with a name.
    pub fn named(&self) -> Quantiles {
        self.of(names_somebody)
    }

    /// All other rows.
    pub fn others(&self) -> Quantiles {
        self.of(|kind| !names_somebody(kind))
    }

    fn of(&self, wanted: impl Fn(&str) -> bool) -> Quantiles {
        let measured = self.measured.iter().filter(|(kind, _)| wanted(kind));
        Quantiles::new(measured.flat_map(|(_, seconds)| seconds).copied())
    }

    /// How many of which kind.
    pub fn kinds(&self) -> String {
        let kinds: Vec<_> = self.measured.iter().map(|(kind, seconds)| format!("{} {kind}", seconds.len())).collect();
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
    }
}

/// Such rows are decided as soon as there is enough evidence; the others only when nothing more can come.
pub fn names_somebody(kind: &str) -> bool {
    EventKind::naming().any(|naming| naming == kind)
}

/// Events that have gone through the spool so far, of whose latency nothing is told.
pub fn spooled(reading: &Exposition) -> f64 {
    reading.by(SINK, "outcome").filter(|(outcome, _)| *outcome == "spooled").map(|(_, count)| count).sum()
}

/// That of each kind of event.
fn histograms(reading: &Exposition) -> BTreeMap<String, Histogram> {
    let mut all: BTreeMap<String, Histogram> = BTreeMap::new();
    for (kind, sum) in reading.by(&format!("{LATENCY}_sum"), "outcome") {
        all.entry(kind.to_owned()).or_default().sum = sum;
    }
    for (kind, le, total) in reading.by_both(&format!("{LATENCY}_bucket"), ("outcome", "le")) {
        all.entry(kind.to_owned()).or_default().buckets.push((le.parse().unwrap_or(f64::INFINITY), total));
    }
    all
}

impl Histogram {
    /// How long each event that is new may have taken: no longer than its bucket, nor than what the sum leaves when all others
    /// are as short as theirs. That is the latency itself where there is one event, and a bound where there are several.
    fn longest_since(&self, before: &Self) -> Vec<f64> {
        let mut new = Vec::new();
        let (mut lower, mut below) = (0.0, 0.0);
        for (at, (upper, total)) in self.buckets.iter().enumerate() {
            let grown = total - before.buckets.get(at).map_or(0.0, |(_, total)| *total);
            new.extend((0..(grown - below) as u64).map(|_| (lower, *upper)));
            (lower, below) = (*upper, grown);
        }
        let shortest: f64 = new.iter().map(|(lower, _)| lower).sum();
        let grown = self.sum - before.sum;
        new.into_iter().map(|(lower, upper): (f64, f64)| upper.min(grown - (shortest - lower))).collect()
    }
}

/// Sorted seconds.
#[derive(Clone, Debug)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// Of these times.
    pub fn new(seconds: impl Iterator<Item = f64>) -> Self {
        let mut seconds: Vec<f64> = seconds.collect();
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }
}

impl Quantiles {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that so large a part does not exceed.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        self.0.get(((self.0.len() as f64 * part).ceil() as usize).max(1) - 1).copied()
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(largest) = self.0.last() else { return f.write_str("none") };
        let quantile = |part| self.quantile(part).unwrap_or_default();
        let (p50, p95) = (quantile(0.5), quantile(0.95));
        write!(f, "p50 {p50:.3} s, p95 {p95:.3} s, largest {largest:.3} s ({} rows)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These were committed after so many seconds.
    fn reading(recorded: &[f64], unknown: &[f64]) -> Exposition {
        let mut text = String::new();
        for (kind, committed) in [("recorded", recorded), ("unknown", unknown)] {
            let sum: f64 = committed.iter().sum();
            text += &format!("{LATENCY}_sum{{outcome=\"{kind}\"}} {sum}\n");
            for (le, upper) in [("0.5", 0.5), ("1", 1.0), ("5", 5.0), ("+Inf", f64::INFINITY)] {
                let count = committed.iter().filter(|seconds| **seconds <= upper).count();
                text += &format!("{LATENCY}_bucket{{outcome=\"{kind}\",le=\"{le}\"}} {count}\n");
            }
        }
        Exposition::parse(&text)
    }

    #[test]
    fn each_event_has_its_own_latency_and_kind() {
        let mut latencies = Latencies::new(&reading(&[0.75], &[]));
        latencies.take(&reading(&[0.75], &[]));
        latencies.take(&reading(&[0.75, 0.5], &[4.0]));
        assert_eq!((latencies.kinds().as_str(), latencies.bounds()), ("1 recorded, 1 unknown", 0));
        assert_eq!(latencies.named().to_string(), "p50 0.500 s, p95 0.500 s, largest 0.500 s (1 rows)");
        assert_eq!(latencies.others().0, [4.0]);
    }

    #[test]
    fn several_events_between_two_readings_flatter_no_quantile() {
        let nothing = Exposition::default();
        let mut latencies = Latencies::new(&nothing);
        latencies.take(&reading(&[0.25, 0.875], &[]));
        assert_eq!((latencies.named().0, latencies.bounds()), (vec![0.5, 1.0], 2));
        // What the sum leaves is less than the bucket.
        let mut latencies = Latencies::new(&nothing);
        latencies.take(&reading(&[0.25, 4.0], &[]));
        assert_eq!(latencies.named().0, [0.5, 4.25]);
    }

    #[test]
    fn what_went_through_the_spool_is_counted() {
        let text = format!("{SINK}{{outcome=\"committed\"}} 7\n{SINK}{{outcome=\"spooled\"}} 2\n");
        assert_eq!((spooled(&Exposition::parse(&text)), spooled(&Exposition::default())), (2.0, 0.0));
    }
}
