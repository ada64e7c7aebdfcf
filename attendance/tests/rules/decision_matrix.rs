//! The function against the tables of `docs/decisions.md`.

use std::collections::HashMap;

use rollcall_attendance::{DecisionPolicy, Verdict, decide};
use rollcall_pipeline::config::{ReviewOrMark, SpoofOrUnknown};
use rollcall_pipeline::{LivenessVerdict, MatchOutcome, UndecidedReason};

use crate::documents::{page, table};
use crate::fixture::{named, person};

const OUTCOMES: [&str; 3] = ["identified", "ambiguous", "unknown"];
const VERDICTS: [&str; 7] = ["live", "spoof", "too_small", "too_poor", "off", "unclear", "no_blink"];

/// The matrix as documented: (outcome, liveness) to the word of its cell.
fn documented(text: &str) -> HashMap<(String, String), String> {
    let rows = table(text, "## The decision matrix");
    let (head, body) = rows.split_first().expect("a table with a head");
    let mut cells = HashMap::new();
    for row in body {
        assert_eq!(row.len(), head.len(), "row {row:?} does not fit the head");
        for (columns, cell) in head[1..].iter().zip(&row[1..]) {
            for column in columns.split(", ") {
                let twice = cells.insert((row[0].clone(), column.to_owned()), cell.clone());
                assert_eq!(twice, None, "{} × {column} is there twice", row[0]);
            }
        }
    }
    cells
}

fn outcome(word: &str) -> MatchOutcome {
    match word {
        "identified" => named(1),
        "ambiguous" => MatchOutcome::Ambiguous,
        "unknown" => MatchOutcome::Unknown,
        other => panic!("no outcome {other:?}"),
    }
}

fn liveness(word: &str) -> LivenessVerdict {
    use UndecidedReason::{NoBlink, Off, TooPoor, TooSmall, Unclear};
    match word {
        "live" => LivenessVerdict::Live(0.9),
        "spoof" => LivenessVerdict::Spoof(0.1),
        undecided => [TooSmall, TooPoor, Unclear, NoBlink, Off]
            .into_iter()
            .find(|reason| reason.as_str() == undecided)
            .map(LivenessVerdict::Undecided)
            .unwrap_or_else(|| panic!("no liveness {undecided:?}")),
    }
}

/// The default policy with one key set.
fn policy(key: &str, value: &str) -> DecisionPolicy {
    let review_or_mark = || match value {
        "review" => ReviewOrMark::Review,
        "mark" => ReviewOrMark::Mark,
        other => panic!("{key} has no value {other:?}"),
    };
    let default = DecisionPolicy::default();
    match (key, value) {
        ("identified_undecided", _) => DecisionPolicy { identified_undecided: review_or_mark(), ..default },
        ("identified_too_poor", _) => DecisionPolicy { identified_too_poor: review_or_mark(), ..default },
        ("identified_unclear", _) => DecisionPolicy { identified_unclear: review_or_mark(), ..default },
        ("unknown_spoof", "spoof") => DecisionPolicy { unknown_spoof: SpoofOrUnknown::Spoof, ..default },
        ("unknown_spoof", "unknown") => DecisionPolicy { unknown_spoof: SpoofOrUnknown::Unknown, ..default },
        other => panic!("no key and value {other:?}"),
    }
}

fn check_all(documented: &HashMap<(String, String), String>, policy: &DecisionPolicy, note: &str) {
    assert_eq!(documented.len(), OUTCOMES.len() * VERDICTS.len(), "the documented matrix is not whole");
    for who in OUTCOMES {
        for alive in VERDICTS {
            let verdict = decide(&outcome(who), &liveness(alive), policy);
            let word = &documented[&(who.to_owned(), alive.to_owned())];
            assert_eq!(verdict.as_str(), word, "{who} × {alive} {note}");
            if let Verdict::Mark(marked) = verdict {
                assert_eq!(marked, person(1));
            }
        }
    }
}

#[test]
fn documented_matrix_is_the_function() {
    check_all(&documented(&page("decisions.md")), &DecisionPolicy::default(), "by default");
}

#[test]
fn documented_settings_change_their_cells_and_no_others() {
    let text = page("decisions.md");
    let rows = table(&text, "### Settings");
    let mut settings = Vec::new();
    for row in &rows[1..] {
        let [key, who, columns, value, word] = row.as_slice() else { panic!("odd row {row:?}") };
        let (value, default) = value.strip_suffix(" (default)").map_or((value.as_str(), false), |v| (v, true));
        let policy = policy(key, value);
        assert_eq!(policy == DecisionPolicy::default(), default, "{key} = {value}: default or not");
        let mut expected = documented(&text);
        for column in columns.split(", ") {
            expected.insert((who.clone(), column.to_owned()), word.clone());
        }
        check_all(&expected, &policy, &format!("with {key} = {value}"));
        settings.push(format!("{key} = {value}"));
    }
    settings.sort();
    let all = [
        "identified_too_poor = mark",
        "identified_too_poor = review",
        "identified_unclear = mark",
        "identified_unclear = review",
        "identified_undecided = mark",
        "identified_undecided = review",
        "unknown_spoof = spoof",
        "unknown_spoof = unknown",
    ];
    assert_eq!(settings, all);
}
