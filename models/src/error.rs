//! What can be wrong with a model, its file, its runtime or its input.

use std::path::PathBuf;

/// Why a model cannot be opened or run.
///
/// None of these goes away by trying again: either an operator has to act, which the text says how, or it is a bug.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The manifest does not parse or contradicts itself.
    #[error("the model manifest is invalid: {0}")]
    Manifest(String),
    /// No build of ONNX Runtime is pinned for this processor.
    #[error("no ONNX Runtime is pinned for this machine ({0}); the manifest has {1}")]
    UnsupportedMachine(&'static str, String),
    /// A file of the default set is not there.
    #[error("{id} is missing: {} does not exist; run `make setup` or `rollcall models fetch`", path.display())]
    Missing {
        /// Id in the manifest.
        id: String,
        /// Where the file should be.
        path: PathBuf,
    },
    /// Weights that only an operator can supply are not there.
    #[error("{id} is not installed; it is in no package registry: `rollcall models install FILE` takes it from a file")]
    NotInstalled {
        /// Id in the manifest.
        id: String,
    },
    /// A file is there, but its bytes are not the pinned ones.
    #[error(
        "{id} is altered: {} has sha256 {found}, pinned is {expected}; run `make setup` or `rollcall models fetch` to get it anew",
        path.display()
    )]
    Altered {
        /// Id in the manifest.
        id: String,
        /// The file.
        path: PathBuf,
        /// The pinned sha256.
        expected: String,
        /// The file's sha256.
        found: String,
    },
    /// A file offered for installation is none that the manifest knows.
    #[error("{}: sha256 {found} is none of the weights that can be installed from a file: {known}", path.display())]
    UnknownWeights {
        /// The offered file.
        path: PathBuf,
        /// Its sha256.
        found: String,
        /// Ids and hashes of what can be installed.
        known: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// ONNX Runtime cannot be loaded.
    #[error(
        "ONNX Runtime cannot be loaded from {}: {reason}; `ldd` says what it lacks, and the file system must allow programs \
         (no `noexec`)",
        path.display()
    )]
    Runtime {
        /// The shared library.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// ONNX Runtime refuses the model or failed while running it.
    #[error("ONNX Runtime refuses {id}: {reason}; see that there is memory left, and run `rollcall models verify`")]
    Session {
        /// Id in the manifest.
        id: String,
        /// ONNX Runtime's own words.
        reason: String,
    },
    /// A model's input or output is not what the manifest says.
    #[error(
        "{id} is not the expected network: {tensor} is {found}, the manifest says {expected}; run `rollcall models fetch`, or \
         install rollcall and its models anew, both of one version"
    )]
    WrongShape {
        /// Id in the manifest.
        id: String,
        /// The input or output.
        tensor: String,
        /// Type and shape in the manifest.
        expected: String,
        /// Type and shape in the file.
        found: String,
    },
    /// A caller passed a tensor that the model does not take: a bug.
    #[error("{id} takes {expected}, got {found}")]
    WrongInput {
        /// Id in the manifest.
        id: String,
        /// What the model takes.
        expected: &'static str,
        /// The shape that was passed.
        found: String,
    },
    /// A model answered with NaN or infinity: the answer is worth nothing.
    #[error("{id} answered with a value that is not finite in {tensor}")]
    NotFinite {
        /// Id in the manifest.
        id: String,
        /// The output.
        tensor: String,
    },
    /// The set-up script is not where it should be, or failed.
    #[error("set-up of models: {0}")]
    Setup(String),
}
