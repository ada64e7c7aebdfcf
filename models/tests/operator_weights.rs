//! Weights that an operator installs from a file: recognised by their hash, copied whole, checked again when loaded.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use std::fs;

use common::{cache, manifest_text, models};
use rollcall_models::{Manifest, MiniFas, ModelError, Models, install};

/// The pinned manifest, in which a file that is at hand stands for an operator's weights.
fn manifest() -> Manifest {
    let pinned = Manifest::pinned().unwrap();
    let [minifas, liveness] =
        ["minifas-v2-2.7", "fr-liveness-0.0.1"].map(|id| pinned.model(id).unwrap().sha256.clone());
    Manifest::parse(&manifest_text().replace(&minifas, &liveness)).unwrap()
}

#[test]
fn a_known_file_is_installed_under_its_own_name() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("models");
    let offered = dir.path().join("any name");
    fs::copy(cache().join("fr-liveness-0.0.1.onnx"), &offered).unwrap();
    for _ in 0..2 {
        assert_eq!(install(&manifest(), &offered, &target).unwrap(), "minifas-v2-2.7");
        let there: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(there, ["minifas-v2-2.7.onnx"]);
    }
    let models = Models::open_with(manifest(), cache(), None).unwrap();
    assert!(!models.is_installed("minifas-v2-2.7"));
    assert!(models.with_operator_dir(&target).is_installed("minifas-v2-2.7"));
}

#[test]
fn an_unknown_file_is_refused_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let offered = dir.path().join("weights.onnx");
    fs::write(&offered, b"anything").unwrap();
    let said = install(&manifest(), &offered, &dir.path().join("models")).expect_err("unknown").to_string();
    assert!(said.contains("is none of the weights") && said.contains("minifas-v1se-4.0"), "{said}");
    assert!(!dir.path().join("models").exists());
    // Weights of the default set are known, but not installed this way.
    let default = cache().join("yunet-2023mar.onnx");
    assert!(matches!(install(&manifest(), &default, dir.path()), Err(ModelError::UnknownWeights { .. })));
    let absent = install(&manifest(), &dir.path().join("absent"), dir.path());
    assert!(matches!(absent, Err(ModelError::Io { .. })));
}

#[test]
fn weights_that_are_not_there_say_how_to_install_them() {
    let dir = tempfile::tempdir().unwrap();
    for models in [models(), models().with_operator_dir(dir.path())] {
        assert!(!MiniFas::is_installed(&models));
        let said = MiniFas::load(&models, 1).expect_err("not installed").to_string();
        assert!(said.contains("minifas-v2-2.7 is not installed") && said.contains("rollcall models install"), "{said}");
    }
}

#[test]
fn altered_weights_are_refused_when_they_are_loaded() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("minifas-v2-2.7.onnx"), b"altered").unwrap();
    let models = models().with_operator_dir(dir.path());
    assert!(matches!(MiniFas::load(&models, 1), Err(ModelError::Altered { .. })));
}
