//! What the networks run on: the processor, or what a build of ONNX Runtime brings for an accelerator.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::ep::{ArbitrarilyConfigurableExecutionProvider, CUDA, CoreML, ExecutionProviderDispatch, OpenVINO, TensorRT};
use ort::session::builder::SessionBuilder;

/// An execution provider of ONNX Runtime. Only the processor is in the runtime of the default set; the others need a runtime
/// that was built with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The processor, with ONNX Runtime's own kernels.
    Cpu {
        /// In 8 bits what the manifest has in 8 bits, where the processor has instructions for it: faster, and a little less exact.
        int8: bool,
    },
    /// An NVIDIA card.
    Cuda,
    /// An NVIDIA card, with engines that are built at every start.
    TensorRt,
    /// The processor, with Intel's kernels.
    OpenVino {
        /// Counts in bfloat16 where the processor can: faster, and a little less exact.
        bf16: bool,
    },
    /// Apple's accelerators.
    CoreMl,
}

/// Whether this processor adds up products of four bytes in one instruction. Without it a network in 8 bits is no faster, and on
/// x86 wrong: there the sums of two products are cut off at 16 bits.
pub(crate) fn has_int8_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

impl Default for Provider {
    fn default() -> Self {
        Self::Cpu { int8: false }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu { int8: false } => "cpu",
            Self::Cpu { int8: true } => "cpu (int8)",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino { bf16: false } => "openvino",
            Self::OpenVino { bf16: true } => "openvino (bf16)",
            Self::CoreMl => "coreml",
        })
    }
}

impl Provider {
    /// Adds it to a session that is being made; one that cannot be had is an error, not a warning of the runtime's.
    pub(crate) fn add_to(self, session: SessionBuilder, threads: usize) -> ort::Result<SessionBuilder> {
        let dispatch: ExecutionProviderDispatch = match self {
            Self::Cpu { .. } => return Ok(session),
            Self::Cuda => CUDA::default().build(),
            Self::TensorRt => TensorRT::default().build(),
            Self::OpenVino { bf16 } => {
                let precision = if bf16 { "bf16" } else { "f32" };
                OpenVINO::default()
                    .with_device_type("CPU")
                    .with_num_threads(threads)
                    .with_arbitrary_config(
                        "load_config",
                        format!(r#"{{"CPU": {{"INFERENCE_PRECISION_HINT": "{precision}"}}}}"#),
                    )
                    .build()
            }
            Self::CoreMl => CoreML::default().build(),
        };
        Ok(session.with_execution_providers([dispatch.error_on_failure()])?)
    }
}

/// The networks that run on the processor though something else was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fallbacks(Arc<Mutex<BTreeMap<String, Fallback>>>);

/// Why, and whether what was asked for is not tried any more.
#[derive(Clone, Debug)]
struct Fallback {
    reason: String,
    for_good: bool,
}

impl Fallbacks {
    /// What is for good stays so.
    pub(crate) fn add(&self, id: &str, reason: String, for_good: bool) {
        let mut all = self.all();
        if for_good || !all.get(id).is_some_and(|before| before.for_good) {
            all.insert(id.to_owned(), Fallback { reason, for_good });
        }
    }

    /// The reason.
    pub(crate) fn get(&self, id: &str) -> Option<String> {
        self.all().get(id).map(|fallback| fallback.reason.clone())
    }

    pub(crate) fn is_for_good(&self, id: &str) -> bool {
        self.all().get(id).is_some_and(|fallback| fallback.for_good)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Fallback>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
