//! Holds `deploy/` to what the program and its set-up really are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rollcall_pipeline::metrics::{CounterName, GaugeName, HistogramName};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The words of a text, where metric and package names are words.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-.+".contains(c))).filter(|word| !word.is_empty())
}

#[test]
fn alerts_ask_for_metrics_that_exist() {
    let mut exist: BTreeSet<String> = BTreeSet::new();
    exist.extend(CounterName::ALL.iter().map(|m| m.as_str().to_owned()));
    exist.extend(GaugeName::ALL.iter().map(|m| m.as_str().to_owned()));
    for m in HistogramName::ALL {
        exist.extend(["", "_bucket", "_count", "_sum"].map(|suffix| format!("{}{suffix}", m.as_str())));
    }
    let alerts = read("deploy/prometheus/alerts.yml");
    let used: Vec<_> =
        words(&alerts).filter(|word| word.starts_with("rollcall_")).map(|word| word.trim_end_matches('.')).collect();
    assert!(used.len() > 10, "found only {used:?}");
    for word in used {
        assert!(exist.contains(word), "alerts.yml asks for {word}, which nothing records");
    }
}

#[test]
fn the_image_installs_what_set_up_installs() {
    let setup = read("scripts/setup.sh");
    let set_up = setup.split_once("PACKAGES=(").and_then(|(_, rest)| rest.split_once(")\n")).expect("a list").0;
    let set_up: BTreeSet<_> = words(set_up).collect();
    let image = read("deploy/docker/Dockerfile");
    let stage = image.rsplit_once("\nFROM ").expect("two stages").1;
    let installed =
        stage.split_once("--no-install-recommends").and_then(|(_, rest)| rest.split_once("#")).expect("a list").0;
    let installed: BTreeSet<_> = words(installed).collect();
    for package in &installed {
        // Programs link with libfoo-0, which comes with libfoo-dev.
        let dev = package.strip_suffix("-0").map(|library| format!("{library}-dev"));
        let known = set_up.contains(package) || dev.is_some_and(|dev| set_up.contains(dev.as_str()));
        assert!(known || *package == "curl", "the image installs {package}, set-up does not");
    }
    let at_run_time = |package: &&&str| {
        package.starts_with("gstreamer1.0-plugins") || package.ends_with("libav") || **package == "postgresql"
    };
    for package in set_up.iter().filter(at_run_time) {
        assert!(installed.contains(package), "set-up installs {package}, the image does not");
    }
}
