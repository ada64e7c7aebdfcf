//! The manifest holds together, and a wrong one is refused with a reason.

mod common;

use std::path::Path;

use common::manifest_text;
use rollcall_models::{
    FACE_MESH_ID, FR_LIVENESS_ID, MINIFAS_V1SE_ID, MINIFAS_V2_ID, Manifest, SFACE_DIMENSION, SFACE_ID, YUNET_ID,
};

fn refused(text: &str, reason: &str) {
    let said = Manifest::parse(text).expect_err("this manifest is wrong").to_string();
    assert!(said.contains(reason), "{said}");
}

#[test]
fn every_loader_has_its_entry_and_every_entry_its_licence_text() {
    let manifest = Manifest::pinned().unwrap();
    let ids: Vec<&str> = manifest.models().iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, [YUNET_ID, SFACE_ID, FR_LIVENESS_ID, FACE_MESH_ID, MINIFAS_V2_ID, MINIFAS_V1SE_ID]);
    assert_eq!(manifest.model(SFACE_ID).unwrap().dimension, Some(SFACE_DIMENSION));
    for model in manifest.models() {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(&model.licence_text);
        assert!(text.is_file(), "{} is not there", text.display());
    }
}

#[test]
fn wrong_manifests_are_refused() {
    let good = manifest_text();
    refused(&good.replace("schema = 1", "schema = 2"), "schema is 2");
    refused(&good.replace("schema = 1", "schema = 1\nsurprise = true"), "surprise");
    refused(&good.replace("sface-2021dec\"\njob", "yunet-2023mar\"\njob"), "two models are called yunet-2023mar");
    refused(&good.replace("file = \"sface-2021dec.onnx\"", "file = \"../sface.onnx\""), "not a plain file name");
    refused(&good.replace("file = \"sface-2021dec.onnx\"", "file = \"/etc/passwd\""), "not a plain file name");
    refused(&good.replace("file = \"sface-2021dec-int8.onnx\"", "file = \"a/b\""), "not a plain file name");
    let minifas = "file = \"minifas-v2-2.7.onnx\"";
    let as_well = format!("{minifas}\nint8 = {{ steps = [], file = \"a\", sha256 = \"b\" }}");
    refused(&good.replace(minifas, &as_well), "minifas-v2-2.7 comes from an operator");
    refused(&good.replace("40cba07b7ad28949", "40CBA07B"), "64 lower-case hexadecimal digits");
    refused("schema =", "invalid");
}
