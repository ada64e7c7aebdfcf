//! What came of it: a table, JSON, and a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::scenario::Scenario;
use crate::verdict::{Broken, Promise};

/// What came of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What happened.
    pub what: &'static str,
    /// How long it took.
    pub seconds: f64,
    /// Whether every promise was kept.
    pub passed: bool,
    checked: BTreeSet<Promise>,
    broken: Vec<Broken>,
    figures: BTreeMap<String, String>,
}

impl Outcome {
    pub(crate) fn new(
        scenario: &Scenario,
        took: Duration,
        checked: BTreeSet<Promise>,
        broken: Vec<Broken>,
        facts: Vec<(String, String)>,
    ) -> Self {
        Self {
            name: scenario.name,
            what: scenario.what,
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            passed: broken.is_empty(),
            checked,
            broken,
            figures: facts.into_iter().collect(),
        }
    }

    /// One line, and one for each broken promise.
    pub fn text(&self) -> String {
        let mut text = format!("{} {} ({:.0} s): {}", self.mark(), self.name, self.seconds, self.figures());
        for broken in &self.broken {
            text += &format!("\n     {}: {}", broken.promise.as_str(), broken.what);
        }
        text
    }

    fn mark(&self) -> &'static str {
        if self.passed { "kept  " } else { "BROKEN" }
    }

    fn figures(&self) -> String {
        let figures: Vec<_> = self.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
        figures.join("; ")
    }

    fn kept(&self, promise: Promise) -> &'static str {
        if self.broken.iter().any(|broken| broken.promise == promise) {
            "**no**"
        } else if self.checked.contains(&promise) {
            "yes"
        } else {
            "–"
        }
    }
}

/// All outcomes of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where chance began.
    pub seed: u64,
    /// Whether every promise was kept in every scenario.
    pub passed: bool,
    /// In the order in which they were played.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Of these outcomes.
    pub fn new(seed: u64, outcomes: Vec<Outcome>) -> Self {
        Self { seed, passed: outcomes.iter().all(|outcome| outcome.passed), outcomes }
    }

    /// A page in Markdown.
    pub fn markdown(&self, command: &str, machine: &str) -> String {
        let kept = self.outcomes.iter().filter(|outcome| outcome.passed).count();
        let compared = self.outcomes.iter().filter(|outcome| outcome.checked.contains(&Promise::HoldingsBack)).count();
        let mut page = format!(
            "# Faults\n\n`{command}`, seed {}, on {machine}: {kept} of {} scenarios kept every promise (–: not put to the test).\n\
             What the daemon holds was compared in {compared} of them: not where it was started anew, which makes it another\n\
             process, nor where it began without all of its cameras.\n\n| scenario | what happened |",
            self.seed,
            self.outcomes.len()
        );
        let cell = |page: &mut String, text: &str| write!(page, " {} |", text.replace('|', "/").replace('\n', " "));
        // Writing to a string does not fail.
        Promise::ALL.iter().for_each(|promise| cell(&mut page, promise.as_str()).unwrap_or_default());
        page += " figures |\n| --- | --- |";
        page += &" --- |".repeat(Promise::ALL.len() + 1);
        for outcome in &self.outcomes {
            page += "\n|";
            cell(&mut page, outcome.name).unwrap_or_default();
            cell(&mut page, outcome.what).unwrap_or_default();
            Promise::ALL.iter().for_each(|promise| cell(&mut page, outcome.kept(*promise)).unwrap_or_default());
            cell(&mut page, &outcome.figures()).unwrap_or_default();
        }
        page += "\n";
        for outcome in self.outcomes.iter().filter(|outcome| !outcome.passed) {
            page += &format!("\n## {}\n\n", outcome.name);
            for broken in &outcome.broken {
                page += &format!("- {}: {}\n", broken.promise.as_str(), broken.what.replace('\n', "\n  "));
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    #[test]
    fn a_broken_promise_stands_in_the_table_and_below_it() {
        let broken = vec![Broken { promise: Promise::OrderKept, what: "two before one".to_owned() }];
        let checked = BTreeSet::from([Promise::OrderKept, Promise::NothingLost, Promise::HoldingsBack]);
        let figures = vec![("a".to_owned(), "b".to_owned())];
        let outcome = Outcome::new(&SCENARIOS[0], Duration::from_secs(3), checked, broken, figures);
        let other = Outcome::new(&SCENARIOS[1], Duration::ZERO, BTreeSet::new(), vec![], vec![]);
        let report = Report::new(7, vec![outcome, other]);
        let page = report.markdown("make faults", "a machine");
        assert!(!report.passed && page.contains("seed 7") && page.contains("1 of 2 scenarios"), "{page}");
        assert!(page.contains("was compared in 1 of them"), "{page}");
        assert!(page.contains("| **no** |") && page.contains("- order kept: two before one"), "{page}");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows[2].contains("| yes | – | **no** | – |"), "{page}");
        let columns: BTreeSet<_> = rows.iter().map(|row| row.matches('|').count()).collect();
        assert_eq!((rows.len(), columns.len()), (4, 1), "{page}");
    }
}
