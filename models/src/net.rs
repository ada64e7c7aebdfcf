//! One ONNX Runtime session, held to what the manifest says of it.

use ndarray::{ArrayView4, Axis};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use crate::{ModelEntry, ModelError, Models, Provider, TensorSpec};

/// Batches above this are a bug in the caller, and would cost memory without bound.
const MAX_BATCH: usize = 64;
/// Images that go through the network together. On a CPU more save no time (measured: 1, 2, 4 and 8 cost the same each) and
/// the arena keeps the largest batch for ever: 8 cost 100 MB in each network.
const RUN_TOGETHER: usize = 1;

/// A session with checked inputs and outputs.
#[derive(Debug)]
pub(crate) struct Net {
    id: String,
    session: Session,
    runs_on: Provider,
    models: Models,
}

impl Net {
    pub(crate) fn load(models: &Models, id: &str, threads: usize) -> Result<Self, ModelError> {
        let entry = models.manifest().model(id)?;
        let refused = |reason: String| ModelError::Session { id: id.to_owned(), reason };
        let open = |provider: Provider| -> Result<Session, ModelError> {
            let path = models.verified_path(entry, provider)?;
            let builder = session_builder(models, provider, threads.max(1));
            let session = builder.and_then(|mut builder| builder.commit_from_file(path));
            session.map_err(|error| refused(error.to_string()))
        };
        let wanted = models.wanted_for(id);
        let (session, runs_on) = match open(wanted) {
            Err(ModelError::Session { reason, .. }) if wanted != Provider::default() => {
                let session = open(Provider::default())?;
                models.falls_back(id, reason);
                (session, Provider::default())
            }
            opened => (opened?, wanted),
        };
        check_tensors(entry, &session)?;
        Ok(Self { id: id.to_owned(), session, runs_on, models: models.clone() })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Runs on `input` and returns the outputs after a check that every value is finite.
    ///
    /// A network that fails at this on an accelerator is loaded on the processor from then on.
    pub(crate) fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Outputs<'_>, ModelError> {
        let Self { id, session, runs_on, models } = self;
        let outputs = run_checked(id, session, input);
        if let (Err(error), true) = (&outputs, *runs_on != Provider::default()) {
            models.breaks_down(id, error.to_string());
        }
        Ok(Outputs { id, outputs: outputs? })
    }

    /// Runs a batch and returns one output of `each` values an image, one image after the other.
    pub(crate) fn run_batch(
        &mut self,
        input: ArrayView4<'_, f32>,
        output: &str,
        each: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let mut answers = Vec::with_capacity(input.len_of(Axis(0)) * each);
        for images in input.axis_chunks_iter(Axis(0), RUN_TOGETHER) {
            let outputs = self.run(images)?;
            answers.extend_from_slice(outputs.values(output, images.len_of(Axis(0)) * each)?);
        }
        Ok(answers)
    }

    /// Checks a batch of square images.
    pub(crate) fn check_input(
        &self,
        input: &ArrayView4<'_, f32>,
        side: usize,
        expected: &'static str,
    ) -> Result<usize, ModelError> {
        let (batch, channels, height, width) = input.dim();
        let fits = (1..=MAX_BATCH).contains(&batch) && (channels, height, width) == (3, side, side);
        if fits && input.is_standard_layout() { Ok(batch) } else { Err(self.wrong_input(input, expected)) }
    }

    pub(crate) fn wrong_input(&self, input: &ArrayView4<'_, f32>, expected: &'static str) -> ModelError {
        let order = if input.is_standard_layout() { "contiguous" } else { "not contiguous" };
        ModelError::WrongInput { id: self.id.clone(), expected, found: format!("{:?}, {order}", input.shape()) }
    }
}

fn run_checked<'s>(
    id: &str,
    session: &'s mut Session,
    input: ArrayView4<'_, f32>,
) -> Result<SessionOutputs<'s>, ModelError> {
    let refused = |error: ort::Error| ModelError::Session { id: id.to_owned(), reason: error.to_string() };
    let tensor = TensorRef::from_array_view(input).map_err(refused)?;
    let outputs = session.run(ort::inputs![tensor]).map_err(refused)?;
    for (name, value) in outputs.iter() {
        let (_, values) = value.try_extract_tensor::<f32>().map_err(refused)?;
        if !all_finite(values) {
            return Err(ModelError::NotFinite { id: id.to_owned(), tensor: name.to_owned() });
        }
    }
    Ok(outputs)
}

/// What a session answered; the values stay in ONNX Runtime's memory.
pub(crate) struct Outputs<'s> {
    id: &'s str,
    outputs: SessionOutputs<'s>,
}

impl Outputs<'_> {
    /// The values of one output, which must be `len` of them.
    pub(crate) fn values(&self, name: &str, len: usize) -> Result<&[f32], ModelError> {
        let wrong = |found: String| ModelError::WrongShape {
            id: self.id.to_owned(),
            tensor: format!("output `{name}`"),
            expected: format!("{len} values"),
            found,
        };
        let value = self.outputs.get(name).ok_or_else(|| wrong("absent".to_owned()))?;
        let (shape, values) = value.try_extract_tensor::<f32>().map_err(|error| wrong(error.to_string()))?;
        if values.len() == len { Ok(values) } else { Err(wrong(format!("{} values {shape:?}", values.len()))) }
    }
}

/// Tells whether no value is NaN or infinite, without a branch for each, and without a sum of floats, whose order would be kept:
/// those have all bits of the exponent set, so that one more carries into the sign.
fn all_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    const LEAST: u32 = 0x0080_0000;
    values.iter().fold(0, |all, value| all | ((value.to_bits() & EXPONENT) + LEAST)) >> 31 == 0
}

fn session_builder(models: &Models, provider: Provider, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(models.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // A spinning worker takes the core that the decoder or the next stage needs.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Plans memory for each input shape it has seen; off, it costs no time and 20 MB less.
        .with_memory_pattern(false)?;
    provider.add_to(builder, threads)
}

fn check_tensors(entry: &ModelEntry, session: &Session) -> Result<(), ModelError> {
    check_side(entry, "input", std::slice::from_ref(&entry.input), session.inputs())?;
    check_side(entry, "output", &entry.outputs, session.outputs())
}

fn check_side(entry: &ModelEntry, side: &str, specs: &[TensorSpec], outlets: &[Outlet]) -> Result<(), ModelError> {
    let wrong = |tensor: String, expected: String, found: String| {
        Err(ModelError::WrongShape { id: entry.id.clone(), tensor, expected, found })
    };
    if outlets.len() != specs.len() {
        return wrong(format!("number of {side}s"), specs.len().to_string(), outlets.len().to_string());
    }
    for spec in specs {
        let tensor = format!("{side} `{}`", spec.name);
        let expected = format!("float32 {:?}", spec.shape);
        let Some(outlet) = outlets.iter().find(|outlet| outlet.name() == spec.name) else {
            let names: Vec<&str> = outlets.iter().map(Outlet::name).collect();
            return wrong(tensor, expected, format!("absent; there is {}", names.join(", ")));
        };
        match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } if shape[..] == spec.shape[..] => {}
            ValueType::Tensor { ty, shape, .. } => {
                return wrong(tensor, expected, format!("{ty} {:?}", &shape[..]));
            }
            other => return wrong(tensor, expected, format!("{other:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;
    use crate::{SFACE_ID, SFACE_SIDE};

    #[test]
    fn a_provider_that_fails_at_work_is_not_tried_again() {
        // 8 bits stand for an accelerator: they are a provider of their own wherever there are instructions for them.
        let models = Models::open(concat!(env!("CARGO_MANIFEST_DIR"), "/cache")).unwrap();
        let models = models.with_provider(Provider::Cpu { int8: true });
        let accelerated = models.provider_of(SFACE_ID) != Provider::default();
        let too_small = Array4::zeros((1, 3, SFACE_SIDE - 1, SFACE_SIDE));
        let mut net = Net::load(&models, SFACE_ID, 1).unwrap();
        assert!(net.run(too_small.view()).is_err());
        assert_eq!(models.provider_of(SFACE_ID), Provider::default());
        assert_eq!(models.fallback(SFACE_ID).is_some(), accelerated);
        let mut net = Net::load(&models, SFACE_ID, 1).unwrap();
        let chip = Array4::from_elem((1, 3, SFACE_SIDE, SFACE_SIDE), 90.0);
        assert!(net.run(chip.view()).is_ok());
        assert_eq!(models.fallback(SFACE_ID).is_some(), accelerated, "and why is still known");
    }

    #[test]
    fn one_value_that_is_no_number_is_found_among_many() {
        assert!(all_finite(&[0.0, -0.0, 1.5, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45]));
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[1.0, wrong, -2.0]), "{wrong}");
        }
    }
}
