//! Whatever stands in a file or in the environment: a configuration, or problems that are told. Never a panic, never a
//! secret in a message.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use rollcall_pipeline::config::Config;

/// Every key there is, most of them as comments.
const REFERENCE: &str = include_str!("../../configs/rollcall.toml");
const SECRET: &str = "hunter2-is-secret";

/// The reference with all keys in force.
fn everything() -> String {
    let key = |line: &&str| line.starts_with("# ") && line.contains(" = ") && !line.contains(". ");
    REFERENCE.lines().map(|line| if key(&line) { &line[2..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(text: &str, env: &[(String, String)]) -> Result<(), TestCaseError> {
    let env: HashMap<_, _> = env.iter().cloned().collect();
    if let Err(error) = Config::parse(text, Path::new("/nonexistent/rollcall.toml"), env) {
        let told = error.to_string();
        prop_assert!(!told.is_empty());
        prop_assert!(!told.contains(SECRET), "{told}");
    }
    Ok(())
}

/// What may stand for a value.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        any::<bool>().prop_map(|b| b.to_string()),
        "[ -~]{0,40}".prop_map(|text| format!("{text:?}")),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[[1, 2], [\"a\"]]".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("\"\u{202e}\u{0}é\u{1f600}\"".to_owned()),
        Just(format!("\"{}\"", "x".repeat(5_000))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in "\\PC{0,400}") {
        check(&text, &[])?;
    }

    #[test]
    fn any_value_of_any_key_is_survived(line in any::<Index>(), value in value()) {
        let all = everything();
        let lines: Vec<_> = all.lines().collect();
        let keys: Vec<_> = (0..lines.len()).filter(|at| lines[*at].contains(" = ")).collect();
        let at = keys[line.index(keys.len())];
        let changed = format!("{} = {value}", lines[at].split(" = ").next().unwrap());
        let text: Vec<_> = lines.iter().enumerate().map(|(n, line)| if n == at { changed.as_str() } else { line }).collect();
        check(&text.join("\n"), &[])?;
    }

    #[test]
    fn a_damaged_file_is_survived_and_its_secrets_stay_secret(
        at in any::<Index>(), gone in 0usize..30, put in "[ -~\n]{0,10}",
    ) {
        let text = REFERENCE.replace("# password = \"secret\"", &format!("password = \"{SECRET}\"\nusername = \"me\""));
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let rest = chars.get(at + gone..).unwrap_or_default();
        let text: String = chars[..at].iter().copied().chain(put.chars()).chain(rest.iter().copied()).collect();
        // Where the secret itself was cut, a part of it may be anywhere.
        prop_assume!(text.contains(SECRET));
        check(&text, &[])?;
    }

    #[test]
    fn any_environment_is_survived(key in "ROLLCALL__[A-Z_]{0,30}", value in "[ -~]{0,40}") {
        check(REFERENCE, &[(key, value)])?;
    }
}
