//! The opened set of models: verified files and the one ONNX Runtime of the process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::manifest::Pinned;
use crate::{Manifest, ModelEntry, ModelError, files};

/// ONNX Runtime allows one environment a process, and never a second one after it is gone: so it stays until the process ends.
static RUNTIME: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// A directory of model files, every one of them verified, and a loaded runtime.
///
/// Cheap to clone; sessions are made by the loaders.
#[derive(Clone)]
pub struct Models {
    manifest: Manifest,
    dir: PathBuf,
    operator_dir: Option<PathBuf>,
    environment: Environment,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models")
            .field("dir", &self.dir)
            .field("operator_dir", &self.operator_dir)
            .finish_non_exhaustive()
    }
}

impl Models {
    /// Opens `dir` with the pinned manifest: reads and checks every file of the default set, and loads ONNX Runtime.
    ///
    /// # Errors
    ///
    /// [`ModelError::Missing`], [`ModelError::Altered`], [`ModelError::Runtime`]: the first one found.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::open_with(Manifest::pinned()?, dir)
    }

    /// Opens `dir` with a manifest of the caller's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(manifest: Manifest, dir: impl AsRef<Path>) -> Result<Self, ModelError> {
        let dir = dir.as_ref().to_owned();
        let runtime = manifest.runtime()?;
        let library = dir.join(&runtime.file);
        files::verify(&runtime, &library)?;
        for model in manifest.models().iter().filter(|model| !model.is_operator_supplied()) {
            files::verify(&model.pinned(), &dir.join(&model.file))?;
        }
        let environment = load_runtime(&runtime, &library)?;
        Ok(Self { manifest, dir, operator_dir: None, environment })
    }

    /// Looks for operator-supplied weights in `dir`; they are verified when they are loaded.
    #[must_use]
    pub fn with_operator_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.operator_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The manifest that the files were checked against.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Tells whether operator-supplied weights are there (not whether they are intact: loading tells).
    pub fn is_installed(&self, id: &str) -> bool {
        self.manifest.model(id).is_ok_and(|model| self.path(model).is_some_and(|path| path.is_file()))
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where the file of `model` is, after a check if it was not checked by `open`.
    pub(crate) fn verified_path(&self, model: &ModelEntry) -> Result<PathBuf, ModelError> {
        let path = self.path(model).ok_or_else(|| ModelError::NotInstalled { id: model.id.clone() })?;
        if model.is_operator_supplied() {
            files::verify(&model.pinned(), &path)?;
        }
        Ok(path)
    }

    fn path(&self, model: &ModelEntry) -> Option<PathBuf> {
        let dir = if model.is_operator_supplied() { self.operator_dir.as_deref()? } else { &self.dir };
        Some(dir.join(&model.file))
    }
}

fn load_runtime(runtime: &Pinned, library: &Path) -> Result<Environment, ModelError> {
    let failed = |reason: String| ModelError::Runtime { path: library.to_owned(), reason };
    let mut loaded = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, environment)) = loaded.as_ref() {
        // A second directory in one process (tests): its library was verified to be the same bytes.
        return Ok(environment.clone());
    }
    let absolute = library.canonicalize().map_err(|error| failed(error.to_string()))?;
    let builder = ort::init_from(&absolute).map_err(|error| failed(error.to_string()))?;
    let environment =
        builder.with_name("rollcall").with_telemetry(false).build().map_err(|error| failed(error.to_string()))?;
    tracing::debug!(runtime = %runtime.id, path = %absolute.display(), "ONNX Runtime loaded");
    *loaded = Some((absolute, environment.clone()));
    Ok(environment)
}
