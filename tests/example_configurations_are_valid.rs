//! The configurations that newcomers start from: the files in configs/examples, and what pages show.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with an ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|own| own == ending)).collect()
}

#[track_caller]
fn is_valid(file: &Path, shown: &Path) {
    let mut check = kit::rollcall(Path::new("/nowhere"));
    check.args(["config", "check"]).arg(file).env("DOOR_PASSWORD", "secret");
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{}: {}", shown.display(), kit::stderr(&checked));
}

#[test]
fn example_files_pass_the_check() {
    let examples = files("configs/examples", "toml");
    assert!(examples.len() >= 2, "{examples:?}");
    examples.iter().for_each(|file| is_valid(file, file));
}

#[test]
fn what_pages_show_passes_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollcall.toml");
    let pages = [files("docs", "md"), files("deploy", "md"), files("", "md")].concat();
    let mut shown = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for block in text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("toml\n")) {
            fs::write(&file, block).unwrap();
            is_valid(&file, page);
            shown += 1;
        }
    }
    assert!(shown > 0, "no page shows a configuration");
}
