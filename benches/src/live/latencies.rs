//! Single latencies out of a histogram: between two readings that are close together its sum and one of its buckets grow by one
//! event. Where they grow by several, each counts with the longest that they allow, so that no quantile is flattered.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::exposition::Exposition;

const LATENCY: &str = "rollcall_event_end_to_end_seconds";
const EVENTS: &str = "rollcall_attendance_events_total";
const SINK: &str = "rollcall_sink_events_total";
/// Decided as soon as there is enough evidence; the others only when nothing more can come.
const NAMED: [&str; 4] = ["recorded", "debounced", "off_roster", "off_schedule"];

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Latencies {
    sum: f64,
    /// By upper bound, as cumulative as they are told.
    buckets: BTreeMap<String, f64>,
    events: BTreeMap<String, f64>,
    /// Kinds of events that were decided and are not committed yet, in order.
    decided: VecDeque<String>,
    measured: BTreeMap<String, Vec<f64>>,
    bounds: usize,
}

impl Latencies {
    /// From here on.
    pub fn new(first: &Exposition) -> Self {
        let mut latencies = Self::default();
        latencies.advance(first);
        latencies.decided.clear();
        latencies
    }

    /// Takes a reading in.
    pub fn take(&mut self, reading: &Exposition) {
        let (sum, buckets) = self.advance(reading);
        // None is longer than its bucket, nor than what the sum leaves when all others are as short as theirs: that is the
        // latency itself where there is one event, and a bound where there are several (several cameras).
        let shortest: f64 = buckets.iter().map(|&(lower, _)| lower).sum();
        let mut longest: Vec<f64> = buckets.iter().map(|&(lower, upper)| upper.min(sum - (shortest - lower))).collect();
        longest.sort_by(|a, b| b.total_cmp(a));
        let decided = longest.iter().map(|_| self.decided.pop_front().unwrap_or_else(|| "unclear".to_owned()));
        let mut kinds: Vec<String> = decided.collect();
        // Whose is which is not told: those with a name get the longest.
        kinds.sort_by_key(|kind| !NAMED.contains(&kind.as_str()));
        if longest.len() > 1 {
            self.bounds += longest.len();
        }
        for (kind, seconds) in kinds.into_iter().zip(longest) {
            self.measured.entry(kind).or_default().push(seconds);
        }
    }

    /// What the sum has grown by, and the lower and upper bound of the bucket of each event that is new.
    fn advance(&mut self, reading: &Exposition) -> (f64, Vec<(f64, f64)>) {
        for (kind, total) in by_kind(reading) {
            let before = self.events.insert(kind.clone(), total).unwrap_or_default();
            self.decided.extend((0..(total - before) as u64).map(|_| kind.clone()));
        }
        let mut buckets = Vec::new();
        let (mut lower, mut below) = (0.0, 0.0);
        for (le, total) in reading.by(&format!("{LATENCY}_bucket"), "le") {
            let grown = total - self.buckets.insert(le.to_owned(), total).unwrap_or_default();
            let upper = le.parse().unwrap_or(f64::INFINITY);
            buckets.extend((0..(grown - below) as u64).map(|_| (lower, upper)));
            (lower, below) = (upper, grown);
        }
        let sum = reading.total(&format!("{LATENCY}_sum"));
        let grown = sum - self.sum;
        self.sum = sum;
        (grown, buckets)
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
        self.of(|kind| NAMED.contains(&kind))
    }

    /// Rows with a name, from the first face of any size: `leads` says by how much that was before the first usable one, for
    /// each decision in order.
    pub fn named_from_any_size(&self, leads: &[(String, f64)]) -> Quantiles {
        let named = self.measured.iter().filter(|(kind, _)| NAMED.contains(&kind.as_str()));
        Quantiles::new(named.flat_map(|(kind, seconds)| {
            let leads = leads.iter().filter(move |(of, _)| of == kind);
            seconds.iter().zip(leads).map(|(latency, (_, lead))| latency + lead)
        }))
    }

    /// All other rows.
    pub fn others(&self) -> Quantiles {
        self.of(|kind| !NAMED.contains(&kind))
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

/// Events that have gone through the spool so far, of whose latency nothing is told.
pub fn spooled(reading: &Exposition) -> f64 {
    reading.by(SINK, "outcome").filter(|(outcome, _)| *outcome == "spooled").map(|(_, count)| count).sum()
}

fn by_kind(reading: &Exposition) -> BTreeMap<String, f64> {
    let mut totals = BTreeMap::new();
    for (kind, value) in reading.by(EVENTS, "outcome") {
        *totals.entry(kind.to_owned()).or_default() += value;
    }
    totals
}

/// Sorted seconds.
#[derive(Clone, Debug)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    fn new(seconds: impl Iterator<Item = f64>) -> Self {
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

    /// So many events were decided, and these were committed after so many seconds.
    fn reading(recorded: u32, unknown: u32, committed: &[f64]) -> Exposition {
        let sum: f64 = committed.iter().sum();
        let mut text = format!(
            "{EVENTS}{{outcome=\"recorded\"}} {recorded}\n{EVENTS}{{outcome=\"unknown\"}} {unknown}\n{LATENCY}_sum {sum}\n"
        );
        for (le, upper) in [("0.5", 0.5), ("1", 1.0), ("5", 5.0), ("+Inf", f64::INFINITY)] {
            let count = committed.iter().filter(|seconds| **seconds <= upper).count();
            text += &format!("{LATENCY}_bucket{{le=\"{le}\"}} {count}\n");
        }
        Exposition::parse(&text)
    }

    #[test]
    fn each_event_has_its_own_latency_and_kind() {
        let mut latencies = Latencies::new(&reading(1, 0, &[0.75]));
        latencies.take(&reading(2, 0, &[0.75]));
        latencies.take(&reading(2, 0, &[0.75, 0.5]));
        latencies.take(&reading(2, 1, &[0.75, 0.5, 4.0]));
        assert_eq!((latencies.kinds().as_str(), latencies.bounds()), ("1 recorded, 1 unknown", 0));
        assert_eq!(latencies.named().to_string(), "p50 0.500 s, p95 0.500 s, largest 0.500 s (1 rows)");
        assert_eq!(latencies.others().0, [4.0]);
        let leads = [("unknown".to_owned(), 9.0), ("recorded".to_owned(), 1.25)];
        assert_eq!(latencies.named_from_any_size(&leads).0, [1.75]);
    }

    #[test]
    fn several_events_between_two_readings_flatter_no_quantile() {
        let nothing = reading(0, 0, &[]);
        let mut latencies = Latencies::new(&nothing);
        latencies.take(&reading(2, 0, &[0.25, 0.875]));
        assert_eq!((latencies.named().0, latencies.bounds()), (vec![0.5, 1.0], 2));
        // What the sum leaves is less than the bucket; who has a name may be the one who took so long.
        let mut latencies = Latencies::new(&nothing);
        latencies.take(&reading(1, 1, &[0.25, 4.0]));
        assert_eq!((latencies.named().0, latencies.others().0), (vec![4.25], vec![0.5]));
    }

    #[test]
    fn what_went_through_the_spool_is_counted() {
        let text = format!("{SINK}{{outcome=\"committed\"}} 7\n{SINK}{{outcome=\"spooled\"}} 2\n");
        assert_eq!((spooled(&Exposition::parse(&text)), spooled(&Exposition::default())), (2.0, 0.0));
    }
}
