//! SFace behind the port.

use ndarray::ArrayView4;
use rollcall_models::{SFACE_DIMENSION, SFACE_SIDE, SFace};
use rollcall_pipeline::ports::Embedder;
use rollcall_pipeline::{Embedding, ErrorClass, FaceChip, Fault, ModelId};

use crate::chip::{ChannelOrder, push_planes};
use crate::fault;

/// Faces in one run of the network: more save nothing on a CPU, and activations cost memory.
const RUN: usize = 8;

/// SFace behind the port; keeps its tensor from batch to batch.
#[derive(Debug)]
pub struct SFaceEmbedder {
    net: SFace,
    model: ModelId,
    tensor: Vec<f32>,
}

impl SFaceEmbedder {
    /// Wraps a loaded network.
    pub fn new(net: SFace) -> Self {
        let model = ModelId::new(net.model_id());
        Self { net, model, tensor: Vec::new() }
    }
}

impl Embedder for SFaceEmbedder {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn embed(&mut self, chips: &[&FaceChip]) -> Result<Vec<Option<Embedding>>, Fault> {
        let mut embeddings = Vec::with_capacity(chips.len());
        for run in chips.chunks(RUN) {
            self.tensor.clear();
            for chip in run {
                push_planes(&mut self.tensor, &chip.aligned, SFACE_SIDE, ChannelOrder::Rgb, 1.0)?;
            }
            let view = ArrayView4::from_shape((run.len(), 3, SFACE_SIDE, SFACE_SIDE), &self.tensor)
                .map_err(|error| Fault::new(ErrorClass::Bug, error))?;
            let values = self.net.run(view).map_err(fault::of_model)?;
            debug_assert_eq!(values.dim(), (run.len(), SFACE_DIMENSION));
            let rows = values.outer_iter();
            embeddings.extend(rows.map(|row| Embedding::normalized(self.model.clone(), row.to_vec())));
        }
        Ok(embeddings)
    }
}
