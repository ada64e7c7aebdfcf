//! Holds ARCHITECTURE.md: its map against the manifests, its invariants against the sources, as far as a test can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PREFIX: &str = "rollcall-";
/// Who may name these crates. Everybody else gets at them through the packages named here.
const KNOWN_ONLY_TO: [(&str, &[&str]); 7] = [
    ("gstreamer", &["rollcall-stages", "rollcall-test-camera"]),
    ("glib", &["rollcall-stages", "rollcall-test-camera"]),
    ("ort", &["rollcall-models"]),
    ("sqlx", &["rollcall-store"]),
    ("axum", &["rollcall-control-api"]),
    ("tower", &["rollcall-control-api"]),
    ("tower-http", &["rollcall-control-api"]),
];
/// Build and test without any of these, and without a runtime.
const PURE: [&str; 2] = ["rollcall-pipeline", "rollcall-attendance"];
const RUNTIMES: [&str; 4] = ["tokio", "async-std", "smol", "futures"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A package as Cargo understands it.
struct Package {
    name: String,
    dir: PathBuf,
    /// Names, and whether only tests and benches get them.
    dependencies: Vec<(String, bool)>,
}

fn packages() -> Vec<Package> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs this test, so it is there");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("a list").iter().map(|package| Package {
        name: text(&package["name"]),
        dir: PathBuf::from(text(&package["manifest_path"])).parent().expect("a directory").to_owned(),
        dependencies: (package["dependencies"].as_array().expect("a list").iter())
            .map(|d| (text(&d["name"]), d["kind"] == "dev"))
            .collect(),
    });
    packages.collect()
}

/// The Rust files below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("a readable directory").path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.chain(dirs.iter().flat_map(|dir| sources(dir))).collect()
}

/// A line without its comment; words in comments break no rule.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Whether `text` has `word` as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// The cells of the rows of the table that begins with this heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = read("ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| !line.starts_with(heading)).skip(2).take_while(|l| l.starts_with('|'));
    let rows: Vec<_> = rows
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    assert!(rows.len() > 3, "ARCHITECTURE.md has no table {heading}");
    rows
}

/// What stands in back quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_map_shows_every_package_and_only_directories_that_exist() {
    let map = table("| directory |");
    for row in &map {
        for dir in quoted(&row[0]) {
            assert!(root().join(dir).is_dir(), "the map shows {dir}, which does not exist");
        }
    }
    for package in packages() {
        let dir = package.dir.strip_prefix(root()).expect("below the root");
        let dir = if dir == Path::new("") { "src".to_owned() } else { dir.display().to_string() };
        let row = map.iter().find(|row| quoted(&row[1]) == [package.name.as_str()]);
        let row = row.unwrap_or_else(|| panic!("{} is not on the map", package.name));
        assert_eq!(quoted(&row[0]), [format!("{dir}/")], "{}", package.name);
    }
}

#[test]
fn packages_use_of_ours_what_the_map_allows() {
    let map: BTreeMap<_, _> =
        table("| directory |").into_iter().map(|row| (row[1].replace('`', ""), row[3].clone())).collect();
    for package in packages() {
        let cell = map[&package.name].as_str();
        if cell == "all" {
            continue;
        }
        // "pipeline (vocabulary), models" names two; "–" names none.
        let allowed: BTreeSet<_> = cell.split(',').filter_map(|word| word.split_whitespace().next()).collect();
        for (name, only_tests) in &package.dependencies {
            let Some(ours) = name.strip_prefix(PREFIX) else { continue };
            let for_tests = *only_tests && (ours == "test-camera" || *name == package.name);
            assert!(allowed.contains(ours) || for_tests, "{} uses {name}; the map says: {cell}", package.name);
        }
    }
}

#[test]
fn the_world_is_known_where_the_invariants_say() {
    for package in packages() {
        let pure = PURE.contains(&package.name.as_str());
        // Tests may reach for the world to see what became of it; those of the pure packages may not.
        for (name, _) in package.dependencies.iter().filter(|(_, only_tests)| pure || !only_tests) {
            for (known, to) in KNOWN_ONLY_TO {
                let it = name == known || (known == "gstreamer" && name.starts_with("gstreamer-"));
                assert!(!it || to.contains(&package.name.as_str()), "{} depends on {name}", package.name);
            }
            assert!(!pure || !RUNTIMES.contains(&name.as_str()), "{} depends on {name}", package.name);
        }
    }
}

#[test]
fn gstreamer_is_known_to_decode_only() {
    for path in sources(&root().join("stages/src")) {
        let text = fs::read_to_string(&path).expect("readable");
        let knows = text.lines().map(code).any(|line| line.contains("gstreamer") || line.contains("gst::"));
        assert!(!knows || path.starts_with(root().join("stages/src/decode")), "{} knows GStreamer", path.display());
    }
}

#[test]
fn sql_is_known_to_the_store_only() {
    let words = ["insert into ", "select * ", "delete from ", "sqlx::"];
    for package in packages().iter().filter(|package| package.name != "rollcall-store") {
        for path in sources(&package.dir.join("src")) {
            let text = fs::read_to_string(&path).expect("readable").to_lowercase();
            let word = words.iter().find(|word| text.lines().map(code).any(|line| line.contains(*word)));
            assert!(word.is_none(), "{} has SQL: {word:?}", path.display());
        }
    }
}

/// What a function does while it has a change: from its beginning to its commit.
fn during_changes(function: &str) -> Vec<&str> {
    let Some((head, body)) = function.split_once('{') else { return Vec::new() };
    let begun: Vec<_> = match has_word(head, "Change") {
        true => vec![body],
        false => body.split(".change(").skip(1).collect(),
    };
    begun.into_iter().map(|rest| rest.split("commit()").next().unwrap_or_default()).collect()
}

#[test]
fn a_change_waits_for_no_second_connection() {
    // Asks the store itself, or whoever is given the way to it; who is given the change, too, is looked at as well.
    let asks = |part: &str| {
        let away = has_word(part, "api") && !has_word(part, "change");
        part.contains(".await") && (has_word(part, "store") || away)
    };
    let mut changes = 0;
    for path in ["control-api/src", "src"].iter().flat_map(|dir| sources(&root().join(dir))) {
        let text = fs::read_to_string(&path).expect("readable");
        let text = text.lines().map(code).collect::<Vec<_>>().join("\n");
        for held in text.split("fn ").skip(1).flat_map(during_changes) {
            let second = held.split([';', '{', '}']).find(|part| asks(part));
            assert_eq!(second, None, "{} holds a connection and asks for another", path.display());
            changes += 1;
        }
    }
    assert!(changes > 60, "only {changes} were found");
}

#[test]
fn core_types_are_not_serialisable() {
    // Configuration is read and shown; it is no core type.
    let config = root().join("pipeline/src/config");
    for dir in ["pipeline/src", "attendance/src"] {
        for path in sources(&root().join(dir)).iter().filter(|path| !path.starts_with(&config)) {
            let text = fs::read_to_string(path).expect("readable");
            let words = ["Serialize", "Deserialize"];
            let word = words.iter().find(|word| text.lines().map(code).any(|line| has_word(line, word)));
            assert!(word.is_none(), "{} mentions {word:?}", path.display());
        }
    }
}

#[test]
fn every_package_obeys_the_same_lints() {
    for package in packages() {
        let manifest = fs::read_to_string(package.dir.join("Cargo.toml")).expect("readable");
        let lines: Vec<_> = manifest.lines().map(str::trim).collect();
        let obeys = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]);
        assert!(obeys, "{} lacks [lints] workspace = true", package.name);
        let unsafe_again = sources(&package.dir.join("src")).into_iter().find(|path| {
            let text = fs::read_to_string(path).expect("readable");
            text.lines().map(code).any(|line| line.contains("allow(unsafe_code") || line.contains("allow(missing_docs"))
        });
        assert_eq!(unsafe_again, None, "switches a lint of all off");
    }
}

#[test]
fn the_words_of_the_glossary_are_the_words_of_the_code() {
    // Words that are used as they are; the others are types, below.
    let plain = ["liveness verdict", "match outcome", "attendance mark", "review item", "timetable → session"];
    let types = ["LivenessVerdict", "MatchOutcome", "struct Mark", "review_items", "struct Session"];
    let sources: String = ["pipeline/src", "attendance/src", "stages/src", "store/src", "sinks/src"]
        .iter()
        .flat_map(|dir| sources(&root().join(dir)))
        .map(|path| fs::read_to_string(path).expect("readable"))
        .collect();
    for row in table("| word |") {
        let word = row[0].as_str();
        if let Some(at) = plain.iter().position(|w| *w == word) {
            assert!(sources.contains(types[at]), "the glossary has {word}, the code has no {}", types[at]);
            continue;
        }
        for word in word.split(", ") {
            assert!(has_word(&sources.to_lowercase(), word), "the glossary has {word}, the code does not");
        }
    }
}

#[test]
fn no_edge_is_unbounded() {
    let words = ["unbounded(", "unbounded_channel(", "mpsc::channel()"];
    for dir in ["pipeline/src", "stages/src", "sinks/src"] {
        for path in sources(&root().join(dir)) {
            let text = fs::read_to_string(&path).expect("readable");
            let word = words.iter().find(|word| text.lines().map(code).any(|line| line.contains(*word)));
            assert!(word.is_none(), "{} makes a queue without a bound: {word:?}", path.display());
        }
    }
}
