//! The opened set of models: verified files and the one ONNX Runtime of the process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::manifest::Pinned;
use crate::provider::{Fallbacks, has_int8_instructions};
use crate::{Manifest, ModelEntry, ModelError, Provider, files};

/// ONNX Runtime allows one environment a process, and never a second one after it is gone: so it stays until the process ends.
static RUNTIME: Mutex<Option<Environment>> = Mutex::new(None);

/// A directory of model files, every one of them verified, and a loaded runtime.
///
/// Cheap to clone; sessions are made by the loaders.
#[derive(Clone)]
pub struct Models {
    manifest: Manifest,
    dir: PathBuf,
    operator_dir: Option<PathBuf>,
    environment: Environment,
    provider: Provider,
    fallbacks: Fallbacks,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models")
            .field("dir", &self.dir)
            .field("operator_dir", &self.operator_dir)
            .field("provider", &self.provider)
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
        Self::open_with(Manifest::pinned()?, dir, None)
    }

    /// Opens `dir` with a manifest and a runtime of the caller's. A process has one runtime: the first one that is opened.
    ///
    /// `library` is ONNX Runtime 1.17 or newer, taken as it is; `None` is the pinned one in `dir`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(manifest: Manifest, dir: impl AsRef<Path>, library: Option<&Path>) -> Result<Self, ModelError> {
        let dir = dir.as_ref().to_owned();
        let runtime = manifest.runtime()?;
        let library = match library {
            Some(own) => own.to_owned(),
            None => {
                let pinned = dir.join(&runtime.file);
                files::verify(&runtime, &pinned)?;
                pinned
            }
        };
        let default_set = manifest.models().iter().filter(|model| !model.is_operator_supplied());
        for pinned in default_set.flat_map(ModelEntry::all_pinned) {
            files::verify(&pinned, &dir.join(&pinned.file))?;
        }
        let environment = load_runtime(&runtime, &library)?;
        let (provider, fallbacks) = (Provider::default(), Fallbacks::default());
        Ok(Self { manifest, dir, operator_dir: None, environment, provider, fallbacks })
    }

    /// Runs networks that are loaded from now on with `provider`; one that cannot be is run on the processor in 32 bits, with a
    /// warning.
    #[must_use]
    pub fn with_provider(mut self, provider: Provider) -> Self {
        (self.provider, self.fallbacks) = (provider, Fallbacks::default());
        self
    }

    /// The same without 8 bits, for what becomes a template.
    #[must_use]
    pub fn in_32_bits(&self) -> Self {
        match self.provider {
            Provider::Cpu { int8: true } => self.clone().with_provider(Provider::default()),
            _ => self.clone(),
        }
    }

    /// What networks are to run on.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// What a network runs on; of one that was not loaded yet: what it will be tried on.
    pub fn provider_of(&self, id: &str) -> Provider {
        self.fallback(id).map_or_else(|| self.wanted_for(id), |_| Provider::default())
    }

    /// What a network is tried on when it is loaded: also where it could not be loaded before, but not where it broke down.
    pub(crate) fn wanted_for(&self, id: &str) -> Provider {
        if self.fallbacks.is_for_good(id) {
            return Provider::default();
        }
        let has_file = || self.manifest.model(id).is_ok_and(|model| model.int8.is_some());
        match self.provider {
            Provider::Cpu { int8 } => Provider::Cpu { int8: int8 && has_int8_instructions() && has_file() },
            other => other,
        }
    }

    /// Why a network that was loaded runs on the processor in 32 bits, if something else was asked for.
    pub fn fallback(&self, id: &str) -> Option<String> {
        self.fallbacks.get(id)
    }

    pub(crate) fn falls_back(&self, id: &str, reason: String) {
        tracing::warn!(model = id, provider = %self.provider, reason, "runs on the processor in 32 bits: what was asked for cannot be had");
        self.fallbacks.add(id, reason, false);
    }

    /// The network failed at its work: an accelerator that loads it and then fails would take the doors with it at every try.
    pub(crate) fn breaks_down(&self, id: &str, reason: String) {
        tracing::error!(model = id, provider = %self.provider, reason, "failed at work: loaded anew, it runs on the processor in 32 bits");
        self.fallbacks.add(id, reason, true);
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

    /// Where the file of `model` for `provider` is, after a check if it was not checked by `open`.
    pub(crate) fn verified_path(&self, model: &ModelEntry, provider: Provider) -> Result<PathBuf, ModelError> {
        if let (Provider::Cpu { int8: true }, Some(int8)) = (provider, &model.int8) {
            return Ok(self.dir.join(&int8.file));
        }
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
    // Whatever library this is: see [`Models::open_with`].
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let absolute = library.canonicalize().map_err(|error| failed(error.to_string()))?;
    let builder = ort::init_from(&absolute).map_err(|error| failed(error.to_string()))?;
    let environment =
        builder.with_name("rollcall").with_telemetry(false).build().map_err(|error| failed(error.to_string()))?;
    tracing::debug!(runtime = %runtime.id, path = %absolute.display(), "ONNX Runtime loaded");
    *loaded = Some(environment.clone());
    Ok(environment)
}
