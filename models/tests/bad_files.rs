//! A missing, altered or wrong-shaped model is named, with what to do about it.

mod common;

use common::{cache, linked_cache, manifest_text, replace};
use rollcall_models::{FileState, Manifest, ModelError, Models, SFace, inventory};

const SFACE: &str = "sface-2021dec.onnx";
const LIVENESS: &str = "fr-liveness-0.0.1.onnx";

fn message(result: Result<Models, ModelError>) -> String {
    result.expect_err("this directory is not in order").to_string()
}

#[test]
fn a_missing_model_says_how_to_get_it() {
    for (id, file) in [("sface-2021dec", SFACE), ("sface-2021dec-int8", "sface-2021dec-int8.onnx")] {
        let dir = linked_cache();
        let path = dir.path().join(file);
        std::fs::remove_file(&path).unwrap();
        let expected =
            format!("{id} is missing: {} does not exist; run `make setup` or `rollcall models fetch`", path.display());
        assert_eq!(message(Models::open(dir.path())), expected);
    }
}

#[test]
fn an_empty_directory_says_how_to_fill_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = message(Models::open(dir.path()));
    assert!(said.contains("onnxruntime-1.31.1 is missing") && said.contains("`make setup`"), "{said}");
}

#[test]
fn an_altered_model_is_named_with_both_hashes() {
    let dir = linked_cache();
    let mut bytes = std::fs::read(cache().join(LIVENESS)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    replace(&dir, LIVENESS, &bytes);
    let error = Models::open(dir.path()).expect_err("one bit is wrong");
    let ModelError::Altered { id, expected, found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(id, "fr-liveness-0.0.1");
    assert_ne!(expected, found);
    let said = error.to_string();
    assert!(said.contains(expected) && said.contains(found) && said.contains("`make setup`"), "{said}");
}

#[test]
fn a_truncated_runtime_is_not_loaded() {
    let dir = linked_cache();
    replace(&dir, "libonnxruntime.so", b"\x7fELF");
    let said = message(Models::open(dir.path()));
    assert!(said.starts_with("onnxruntime-1.31.1 is altered"), "{said}");
}

#[test]
fn a_directory_in_place_of_a_model_is_an_error() {
    let dir = linked_cache();
    std::fs::remove_file(dir.path().join(SFACE)).unwrap();
    std::fs::create_dir(dir.path().join(SFACE)).unwrap();
    let said = message(Models::open(dir.path()));
    assert!(said.ends_with("sface-2021dec.onnx: not a regular file"), "{said}");
}

#[test]
fn another_network_under_a_models_name_is_refused_by_its_tensors() {
    let pinned = Manifest::pinned().unwrap();
    let [sface, liveness] = ["sface-2021dec", "fr-liveness-0.0.1"].map(|id| pinned.model(id).unwrap().sha256.clone());
    let manifest = Manifest::parse(&manifest_text().replace(&sface, &liveness)).unwrap();
    let dir = linked_cache();
    replace(&dir, SFACE, &std::fs::read(cache().join(LIVENESS)).unwrap());
    let models = Models::open_with(manifest, dir.path(), None).unwrap();
    let said = SFace::load(&models, 1).expect_err("this is no SFace").to_string();
    assert_eq!(
        said,
        "sface-2021dec is not the expected network: input `data` is absent; there is input, the manifest says float32 [-1, 3, \
         112, 112]; run `rollcall models fetch`, or install rollcall and its models anew, both of one version"
    );
}

#[test]
fn a_network_of_another_size_is_refused_by_its_shape() {
    let manifest = Manifest::parse(&manifest_text().replace("[-1, 3, 112, 112]", "[-1, 3, 160, 160]")).unwrap();
    let models = Models::open_with(manifest, cache(), None).unwrap();
    let said = SFace::load(&models, 1).expect_err("the manifest wants 160").to_string();
    assert!(
        said.contains("input `data` is Float32 [-1, 3, 112, 112]")
            || said.contains("[-1, 3, 112, 112], the manifest says float32 [-1, 3, 160, 160]"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_no_network_is_refused_by_the_runtime() {
    let pinned = Manifest::pinned().unwrap();
    let sface = pinned.model("sface-2021dec").unwrap().sha256.clone();
    // sha256 of "not a network".
    let manifest_of = |hash: &str| Manifest::parse(&manifest_text().replace(&sface, hash)).unwrap();
    let dir = linked_cache();
    replace(&dir, SFACE, b"not a network");
    let error = Models::open_with(manifest_of(&"0".repeat(64)), dir.path(), None).expect_err("not this hash");
    let ModelError::Altered { found, .. } = error else { panic!("{error:?}") };
    let models = Models::open_with(manifest_of(&found), dir.path(), None).unwrap();
    let said = SFace::load(&models, 1).expect_err("not a network").to_string();
    assert!(said.starts_with("ONNX Runtime refuses sface-2021dec: "), "{said}");
    assert!(said.ends_with("; see that there is memory left, and run `rollcall models verify`"), "{said}");
}

#[test]
fn the_inventory_reports_every_state() {
    let dir = linked_cache();
    std::fs::remove_file(dir.path().join(SFACE)).unwrap();
    replace(&dir, LIVENESS, b"");
    let reports = inventory(&Manifest::pinned().unwrap(), dir.path(), dir.path()).unwrap();
    let state = |id: &str| &reports.iter().find(|report| report.id == id).unwrap().state;
    assert_eq!(*state("sface-2021dec"), FileState::Missing);
    assert!(matches!(state("fr-liveness-0.0.1"), FileState::Altered { found } if found.starts_with("e3b0c442")));
    assert!(matches!(state("yunet-2023mar"), FileState::InPlace { bytes: 200_000..300_000 }));
    let unfinished: Vec<&str> = reports.iter().filter(|r| !r.is_fine()).map(|r| r.id.as_str()).collect();
    assert_eq!(unfinished, ["sface-2021dec", "fr-liveness-0.0.1"]);
}

#[test]
fn the_cache_of_set_up_is_whole() {
    let reports = inventory(&Manifest::pinned().unwrap(), &cache(), &cache()).unwrap();
    assert!(reports.iter().all(rollcall_models::FileReport::is_fine), "{reports:#?}");
}
