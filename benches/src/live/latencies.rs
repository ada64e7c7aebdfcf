//! Single latencies out of a histogram: between two readings that are close together its sum and count grow by one event.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::exposition::Exposition;

const LATENCY: &str = "rollcall_event_end_to_end_seconds";
const EVENTS: &str = "rollcall_attendance_events_total";
/// Decided as soon as there is enough evidence; the others only when nothing more can come.
const NAMED: [&str; 4] = ["recorded", "debounced", "off_roster", "off_schedule"];

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Latencies {
    sum: f64,
    count: f64,
    events: BTreeMap<String, f64>,
    /// Kinds of events that were decided and are not committed yet, in order.
    decided: VecDeque<String>,
    measured: BTreeMap<String, Vec<f64>>,
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
        let (sum, count) = self.advance(reading);
        // Several events between two readings (several cameras) share their mean.
        for _ in 0..count as u64 {
            let kind = self.decided.pop_front().unwrap_or_else(|| "unclear".to_owned());
            self.measured.entry(kind).or_default().push(sum / count);
        }
    }

    /// What the sum and the count have grown by.
    fn advance(&mut self, reading: &Exposition) -> (f64, f64) {
        for (kind, total) in by_kind(reading) {
            let before = self.events.insert(kind.clone(), total).unwrap_or_default();
            self.decided.extend((0..(total - before) as u64).map(|_| kind.clone()));
        }
        let (sum, count) = (reading.total(&format!("{LATENCY}_sum")), reading.total(&format!("{LATENCY}_count")));
        let grown = (sum - self.sum, count - self.count);
        (self.sum, self.count) = (sum, count);
        grown
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

    fn reading(recorded: u32, unknown: u32, sum: f64, count: u32) -> Exposition {
        Exposition::parse(&format!(
            "{EVENTS}{{outcome=\"recorded\"}} {recorded}\n{EVENTS}{{outcome=\"unknown\"}} {unknown}\n{LATENCY}_sum {sum}\n{LATENCY}_count {count}"
        ))
    }

    #[test]
    fn each_event_has_its_own_latency_and_kind() {
        let mut latencies = Latencies::new(&reading(1, 0, 0.7, 1));
        latencies.take(&reading(2, 0, 0.7, 1));
        latencies.take(&reading(2, 0, 1.2, 2));
        latencies.take(&reading(2, 1, 5.2, 3));
        assert_eq!(latencies.kinds(), "1 recorded, 1 unknown");
        assert_eq!(latencies.named().to_string(), "p50 0.500 s, p95 0.500 s, largest 0.500 s (1 rows)");
        assert_eq!(latencies.others().0, [4.0]);
        let leads = [("unknown".to_owned(), 9.0), ("recorded".to_owned(), 1.25)];
        assert_eq!(latencies.named_from_any_size(&leads).0, [1.75]);
    }
}
