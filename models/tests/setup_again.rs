//! Set-up is found from the program, and a second run of it leaves everything alone.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{cache, root, without_registries};
use rollcall_models::ModelError;
use rollcall_models::setup::{cache_dir, fetch, find_root};

#[test]
fn the_root_is_found_above_the_program_beside_it_or_above_the_working_directory() {
    let (root, nowhere) = (root(), Path::new("/"));
    assert_eq!(find_root(&root.join("target/release/rollcall"), nowhere).as_deref(), Some(root));
    assert_eq!(find_root(Path::new("/usr/bin/no-such-program"), &root.join("models/src")).as_deref(), Some(root));
    assert_eq!(cache_dir(root), cache());

    let prefix = tempfile::tempdir().unwrap();
    let exe = prefix.path().join("bin/rollcall");
    assert_eq!(find_root(&exe, nowhere), None);
    let installed = prefix.path().join("share/rollcall");
    fs::create_dir_all(installed.join("scripts")).unwrap();
    fs::create_dir_all(installed.join("models")).unwrap();
    fs::write(installed.join("scripts/setup.sh"), "").unwrap();
    fs::write(installed.join("models/manifest.toml"), "").unwrap();
    assert_eq!(find_root(&exe, nowhere), Some(installed));
}

#[test]
fn fetching_again_changes_no_file() {
    let written = || fs::metadata(cache().join("sface-2021dec.onnx")).unwrap().modified().unwrap();
    let before = written();
    fetch(root(), &cache()).unwrap();
    assert_eq!(written(), before);
}

#[test]
fn all_of_it_again_finds_everything_in_place_and_asks_no_registry() {
    for scope in [&[][..], &["--service"]] {
        let mut command = Command::new(root().join("scripts/setup.sh"));
        let done = without_registries(&mut command).args(scope).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.ends_with("set-up: everything is in place\n"), "{said}");
    }
}

#[test]
fn a_script_that_fails_or_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(fetch(dir.path(), &cache()), Err(ModelError::Setup(_))));
}
