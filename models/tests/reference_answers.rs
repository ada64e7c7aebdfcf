//! The converted files answer what the published ones answer.
//!
//! `reference.toml` holds the answers of the networks before PRelu is rewritten, computed in Python.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::BTreeMap;

use common::{models, pattern};
use ndarray::{Axis, Slice};
use rollcall_models::{
    FACE_MESH_ID, FACE_MESH_SIDE, FR_LIVENESS_ID, FR_LIVENESS_SIDE, FaceMesh, FrLiveness, SFACE_DIMENSION, SFACE_ID,
    SFACE_SIDE, SFace, YUNET_ID, YuNet,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    len: usize,
    step: usize,
    values: Vec<f32>,
}

fn reference(model: &str, output: &str) -> Reference {
    let all: BTreeMap<String, BTreeMap<String, Reference>> = toml::from_str(include_str!("reference.toml")).unwrap();
    all.into_iter().find(|(id, _)| id == model).unwrap().1.remove(output).unwrap()
}

fn check(model: &str, output: &str, answer: &[f32], tolerance: f32) {
    let expected = reference(model, output);
    assert_eq!(answer.len(), expected.len, "{model} {output}");
    for (index, &value) in expected.values.iter().enumerate() {
        let got = answer[index * expected.step];
        assert!((got - value).abs() <= tolerance, "{model} {output}[{}]: {got}, not {value}", index * expected.step);
    }
}

#[test]
fn yunet() {
    let mut net = YuNet::load(&models(), 1).unwrap();
    let image = pattern((1, 3, 320, 320), 255.0);
    let output = net.run(image.view()).unwrap();
    for anchors in output.strides().unwrap() {
        assert_eq!((anchors.columns, anchors.rows), (320 / anchors.stride, 320 / anchors.stride));
        for (kind, values) in [("cls", anchors.cls), ("obj", anchors.obj), ("bbox", anchors.bbox), ("kps", anchors.kps)]
        {
            check(YUNET_ID, &format!("{kind}_{}", anchors.stride), values, 1e-4);
        }
    }
}

#[test]
fn yunet_takes_any_multiple_of_32_one_after_the_other() {
    let mut net = YuNet::load(&models(), 1).unwrap();
    for (height, width) in [(384, 640), (32, 32), (640, 352), (384, 640)] {
        let image = pattern((1, 3, height, width), 255.0);
        let output = net.run(image.view()).unwrap();
        let strides = output.strides().unwrap();
        assert_eq!(strides.map(|s| (s.columns * s.stride, s.rows * s.stride)), [(width, height); 3]);
    }
}

#[test]
fn sface() {
    let mut net = SFace::load(&models(), 1).unwrap();
    let answer = net.run(pattern((1, 3, SFACE_SIDE, SFACE_SIDE), 255.0).view()).unwrap();
    check(SFACE_ID, "fc1", answer.as_slice().unwrap(), 1e-4);
    assert_eq!(net.model_id(), SFACE_ID);
}

#[test]
fn sface_gives_each_face_of_a_batch_the_embedding_it_has_alone() {
    let mut net = SFace::load(&models(), 1).unwrap();
    let chips = pattern((5, 3, SFACE_SIDE, SFACE_SIDE), 255.0);
    let together = net.run(chips.view()).unwrap();
    assert_eq!(together.dim(), (5, SFACE_DIMENSION));
    for (index, embedding) in together.axis_iter(Axis(0)).enumerate() {
        let alone = net.run(chips.slice_axis(Axis(0), Slice::from(index..=index))).unwrap();
        for (a, b) in embedding.iter().zip(&alone) {
            assert!((a - b).abs() < 1e-5, "face {index}: {a}, alone {b}");
        }
    }
}

#[test]
fn fr_liveness() {
    let mut net = FrLiveness::load(&models(), 1).unwrap();
    let crops = pattern((3, 3, FR_LIVENESS_SIDE, FR_LIVENESS_SIDE), 255.0);
    let answer = net.run(crops.view()).unwrap();
    assert_eq!(answer.len(), 3);
    let logits = reference(FR_LIVENESS_ID, "output").values;
    let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
    assert!((answer[0] - logits[0].exp() / sum).abs() < 1e-4, "{answer:?} for logits {logits:?}");
}

#[test]
fn face_mesh() {
    let mut net = FaceMesh::load(&models(), 1).unwrap();
    let answer = net.run(pattern((1, 3, FACE_MESH_SIDE, FACE_MESH_SIDE), 1.0).view()).unwrap();
    // Pixels, of which the largest are about 220: this is one part in a hundred thousand.
    check(FACE_MESH_ID, "landmarks", answer.points.as_flattened(), 2e-3);
    let logit = reference(FACE_MESH_ID, "presence").values[0];
    assert!((answer.presence - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-4);
}
