//! Models: which files there are, whether they are the pinned ones, and how to run them.
//!
//! [`Manifest`] says what is pinned, [`setup`] makes it, [`Models`] opens it and checks every byte, and one loader a network
//! ([`YuNet`], [`SFace`], [`FrLiveness`], [`MiniFas`], [`FaceMesh`]) turns tensors into tensors.
//!
//! Deliberately unknown here: images, boxes, tracks and people. What a tensor means is the business of the stages.

mod error;
mod files;
mod manifest;
mod models;
mod net;
mod provider;
pub mod setup;

mod face_mesh;
mod fr_liveness;
mod minifas;
mod sface;
mod yunet;

pub use error::ModelError;
pub use face_mesh::{FACE_MESH_ID, FACE_MESH_POINTS, FACE_MESH_SIDE, FaceMesh, FaceMeshOutput};
pub use files::{FileReport, FileState, install, inventory};
pub use fr_liveness::{FR_LIVENESS_ID, FR_LIVENESS_SIDE, FrLiveness};
pub use manifest::{Int8File, Manifest, ModelEntry, TensorSpec};
pub use minifas::{MINIFAS_SIDE, MINIFAS_V1SE_ID, MINIFAS_V2_ID, MiniFas};
pub use models::Models;
pub use provider::Provider;
pub use sface::{SFACE_DIMENSION, SFACE_ID, SFACE_SIDE, SFace};
pub use yunet::{YUNET_ID, YuNet, YuNetOutput, YuNetStride};
