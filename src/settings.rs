//! The settings in force: what is configured over what suits the models, and whether it goes together.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rollcall_attendance::Schedule;
use rollcall_pipeline::config::{Blink, Config, ConfigError, LivenessConfig, Problem, RecognitionConfig};
use rollcall_stages::matching::{LivenessSettings, RecognitionSettings};

use crate::rules;

/// Reads a configuration file, as [`Config::load`], and looks whether it can be put in force as a whole.
///
/// # Errors
/// As [`Config::load`].
pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    check(Config::load(path)?)
}

/// Looks whether the figures in force contradict each other, or sessions of the timetables do.
///
/// # Errors
/// With each that does.
pub(crate) fn check(config: Config) -> Result<Config, ConfigError> {
    let (recognition, liveness) = (recognition_settings(&config.recognition), liveness_settings(&config.liveness));
    let r = |key, value| (("recognition", key), value);
    let l = |key, value| (("liveness", key), value);
    let in_order = [
        [
            r("review_similarity", recognition.review_similarity),
            r("settled_similarity", recognition.settled_similarity),
        ],
        [r("settled_similarity", recognition.settled_similarity), r("early_similarity", recognition.early_similarity)],
        [l("spoof_below", liveness.spoof_below), l("live_from", liveness.live_from)],
    ];
    let figures = in_order.into_iter().filter(|[(_, low), (_, high)]| low > high).map(
        |[((section, low_key), low), ((_, high_key), high)]| Problem {
            path: format!("{section}.{low_key}"),
            message: format!("{low} is above {section}.{high_key} ({high}): it must be the same or lower"),
        },
    );
    // Who is on a roster is known later, and no reason to refuse it.
    let timetables = Schedule::new(&rules::plan(&config, &HashMap::new()).0).err().into_iter().flatten();
    let timetables = timetables.map(|wrong| Problem { path: wrong.path, message: wrong.problem.to_string() });
    let problems: Vec<_> = figures.chain(timetables).collect();
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
}

/// When a face has a name.
pub(crate) fn recognition_settings(config: &RecognitionConfig) -> RecognitionSettings {
    let d = RecognitionSettings::default();
    RecognitionSettings {
        early_similarity: config.early_similarity.unwrap_or(d.early_similarity),
        settled_similarity: config.settled_similarity.unwrap_or(d.settled_similarity),
        review_similarity: config.review_similarity.unwrap_or(d.review_similarity),
        margin: config.margin.unwrap_or(d.margin),
        min_agreeing: config.min_agreeing.unwrap_or(d.min_agreeing),
        repeat_ms: config.repeat.map_or(d.repeat_ms, millis),
        ..d
    }
}

/// When a face is alive.
pub(crate) fn liveness_settings(config: &LivenessConfig) -> LivenessSettings {
    let d = LivenessSettings::default();
    LivenessSettings {
        enabled: config.enabled,
        live_from: config.live_from.unwrap_or(d.live_from),
        spoof_below: config.spoof_below.unwrap_or(d.spoof_below),
        min_face_px: config.min_face_px.unwrap_or(d.min_face_px),
        patience_ms: config.patience.map_or(d.patience_ms, millis),
        blink_required: config.blink == Blink::Required,
        ..d
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rollcall_stages::detect::YuNetDetector;

    use super::*;

    #[track_caller]
    fn told(text: &str) -> String {
        let config = Config::parse(text, Path::new("rollcall.toml"), HashMap::new()).and_then(check);
        config.map_or_else(|error| error.problems().iter().map(ToString::to_string).collect(), |_| String::new())
    }

    #[test]
    fn figures_go_with_those_that_are_left_out() {
        assert_eq!(told("[recognition]\nearly_similarity = 0.7\n[liveness]\nlive_from = 0.5"), "");
        assert_eq!(
            told("[recognition]\nearly_similarity = 0.45"),
            "recognition.settled_similarity: 0.52 is above recognition.early_similarity (0.45): it must be the same or lower"
        );
        assert_eq!(
            told("[liveness]\nspoof_below = 0.9"),
            "liveness.spoof_below: 0.9 is above liveness.live_from (0.65): it must be the same or lower"
        );
    }

    #[test]
    fn a_timetable_that_cannot_be_used_is_refused_before_anything_starts() {
        let session = "[[rooms.sessions]]\nname = \"Maths\"\ndays = [\"mon\"]\nstart = \"08:00\"\nend = \"09:00\"\n";
        let twice = format!("[[rooms]]\nid = \"hall\"\n{session}{session}");
        assert_eq!(
            told(&twice),
            "rooms[0].sessions[1]: has the name, the start and a day of sessions[0]; give it another name"
        );
    }

    #[test]
    fn the_reference_shows_the_figures_that_suit_the_models() {
        let reference = include_str!("../configs/rollcall.toml");
        let section = |name: &str| {
            let from = reference.find(&format!("[{name}]")).expect("the section is there");
            let lines = reference[from..].lines().take_while(|line| !line.starts_with("# ---"));
            let on = lines.map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(line));
            on.collect::<Vec<_>>().join("\n")
        };
        let text = ["detection", "recognition", "liveness"].map(section).join("\n");
        let config = Config::parse(&text, Path::new("rollcall.toml"), HashMap::new()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.detection.min_score, Some(YuNetDetector::THRESHOLD));
        assert!(config.recognition.early_similarity.is_some() && config.liveness.live_from.is_some());
        assert_eq!(recognition_settings(&config.recognition), RecognitionSettings::default());
        assert_eq!(liveness_settings(&config.liveness), LivenessSettings::default());
    }
}
