//! The liveness networks behind the port.

use ndarray::ArrayView4;
use rollcall_models::{FACE_MESH_SIDE, FR_LIVENESS_SIDE, FaceMesh, FrLiveness, MINIFAS_SIDE, MiniFas};
use rollcall_pipeline::ports::LivenessModel;
use rollcall_pipeline::{Chip, ContextCrop, ErrorClass, FaceChip, Fault};

use super::EyeModel;
use super::blink::eye_aspect_ratio;
use crate::chip::{ChannelOrder, push_planes};
use crate::fault;

/// Faces in one run of a network.
const RUN: usize = 8;
/// Below this the crop shows no face, and its eyes mean nothing.
const MIN_PRESENCE: f32 = 0.5;

/// The default network behind the port.
#[derive(Debug)]
pub struct FrLivenessModel {
    net: FrLiveness,
    tensor: Vec<f32>,
}

impl FrLivenessModel {
    const CROPS: [ContextCrop; 1] = [ContextCrop { scale: 2.7, side: FR_LIVENESS_SIDE }];

    /// Wraps a loaded network.
    pub fn new(net: FrLiveness) -> Self {
        Self { net, tensor: Vec::new() }
    }
}

impl LivenessModel for FrLivenessModel {
    fn crops(&self) -> &[ContextCrop] {
        &Self::CROPS
    }

    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault> {
        let mut scores = Vec::with_capacity(chips.len());
        for run in chips.chunks(RUN) {
            let crops = bgr(&mut self.tensor, run, 0, FR_LIVENESS_SIDE)?;
            scores.extend(self.net.run(crops).map_err(fault::of_model)?);
        }
        Ok(scores)
    }
}

/// The pair of networks that an operator can install, behind the port.
#[derive(Debug)]
pub struct MiniFasModel {
    net: MiniFas,
    near: Vec<f32>,
    wide: Vec<f32>,
}

impl MiniFasModel {
    const CROPS: [ContextCrop; 2] =
        [ContextCrop { scale: 2.7, side: MINIFAS_SIDE }, ContextCrop { scale: 4.0, side: MINIFAS_SIDE }];

    /// Wraps the loaded pair.
    pub fn new(net: MiniFas) -> Self {
        Self { net, near: Vec::new(), wide: Vec::new() }
    }
}

impl LivenessModel for MiniFasModel {
    fn crops(&self) -> &[ContextCrop] {
        &Self::CROPS
    }

    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault> {
        let mut scores = Vec::with_capacity(chips.len());
        for run in chips.chunks(RUN) {
            let near = bgr(&mut self.near, run, 0, MINIFAS_SIDE)?;
            let wide = bgr(&mut self.wide, run, 1, MINIFAS_SIDE)?;
            scores.extend(self.net.run(near, wide).map_err(fault::of_model)?);
        }
        Ok(scores)
    }
}

/// Takes every shot as it is: for doors where nobody would hold up a picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLiveness;

impl LivenessModel for NoLiveness {
    fn crops(&self) -> &[ContextCrop] {
        &[]
    }

    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault> {
        Ok(vec![1.0; chips.len()])
    }
}

/// The face mesh as a look at the eyes.
#[derive(Debug)]
pub struct MeshEyes {
    net: FaceMesh,
    tensor: Vec<f32>,
}

impl MeshEyes {
    /// Wraps a loaded network.
    pub fn new(net: FaceMesh) -> Self {
        Self { net, tensor: Vec::new() }
    }
}

impl EyeModel for MeshEyes {
    fn openness(&mut self, face: &Chip) -> Result<Option<f32>, Fault> {
        self.tensor.clear();
        push_planes(&mut self.tensor, face, FACE_MESH_SIDE, ChannelOrder::Rgb, 1.0 / 255.0)?;
        let mesh = self.net.run(view(&self.tensor, 1, FACE_MESH_SIDE)?).map_err(fault::of_model)?;
        Ok(if mesh.presence < MIN_PRESENCE { None } else { eye_aspect_ratio(&mesh.points) })
    }
}

/// The `n`-th context crop of each chip as one tensor, 0 to 255.
fn bgr<'a>(tensor: &'a mut Vec<f32>, chips: &[&FaceChip], n: usize, side: usize) -> Result<ArrayView4<'a, f32>, Fault> {
    tensor.clear();
    for chip in chips {
        let missing = || Fault::new(ErrorClass::Bug, "a shot lacks a context crop of the liveness model");
        push_planes(tensor, chip.context.get(n).ok_or_else(missing)?, side, ChannelOrder::Bgr, 1.0)?;
    }
    view(tensor, chips.len(), side)
}

fn view(tensor: &[f32], n: usize, side: usize) -> Result<ArrayView4<'_, f32>, Fault> {
    ArrayView4::from_shape((n, 3, side, side), tensor).map_err(|error| Fault::new(ErrorClass::Bug, error))
}
