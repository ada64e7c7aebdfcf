//! The manifest: every pinned file, and what its tensors are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use crate::ModelError;

const PINNED: &str = include_str!("../manifest.toml");
const SCHEMA: u32 = 1;

/// Everything that set-up provides, as `models/manifest.toml` says it.
///
/// The pinned one is part of the program: whoever can change the model files cannot change what they are checked against.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    schema: u32,
    #[serde(rename = "archives")]
    _archives: BTreeMap<String, Archive>,
    runtime: Runtime,
    models: Vec<ModelEntry>,
    #[serde(default)]
    media: Vec<Media>,
}

/// One network: its file, its licence and its tensors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Names the weights, version included; stored with every embedding.
    pub id: String,
    /// What it is for, in a few words.
    pub job: String,
    /// Who made it.
    pub origin: String,
    /// File name below the model directory.
    pub file: String,
    /// Pinned sha256 of that file, lower-case hexadecimal.
    pub sha256: String,
    /// SPDX identifier.
    pub licence: String,
    /// The licence's text, relative to `models/`.
    pub licence_text: String,
    /// The only input.
    pub input: TensorSpec,
    /// All outputs.
    pub outputs: Vec<TensorSpec>,
    /// Length of the embedding, for networks that make one.
    pub dimension: Option<usize>,
    /// The origin's own threshold on its score, a starting point for ours.
    pub threshold: Option<f32>,
    /// Side of the crop in multiples of the face box.
    pub crop_scale: Option<f32>,
    /// Index of the class `live`, for liveness networks.
    pub live_index: Option<usize>,
    /// The same weights in 8 bits, for processors that are fast at that.
    pub int8: Option<Int8File>,
    source: Option<Source>,
    #[serde(rename = "archive")]
    _archive: Option<String>,
    #[serde(rename = "member")]
    _member: Option<String>,
    #[serde(rename = "member_sha256")]
    _member_sha256: Option<String>,
    #[serde(default, rename = "steps")]
    _steps: Vec<String>,
}

/// The file of a network in 8 bits; its input and outputs are those of the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int8File {
    /// File name below the model directory.
    pub file: String,
    /// Pinned sha256 of that file, lower-case hexadecimal.
    pub sha256: String,
    #[serde(rename = "steps")]
    _steps: Vec<String>,
}

/// Name and shape of an input or output; all are float32.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Dimensions; -1 is free.
    pub shape: Vec<i64>,
    /// Order of the dimensions of an image.
    pub layout: Option<String>,
    /// Order of the channels of an image.
    pub colour: Option<String>,
    /// Smallest and largest value of a pixel.
    pub range: Option<[f32; 2]>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    #[serde(rename = "registry")]
    _registry: String,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version")]
    _version: String,
    #[serde(rename = "sha256")]
    _sha256: String,
    #[serde(rename = "platform")]
    _platform: Option<String>,
    #[serde(rename = "form")]
    _form: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runtime {
    id: String,
    file: String,
    licence: String,
    #[serde(rename = "member")]
    _member: String,
    #[serde(rename = "licence_text")]
    _licence_text: String,
    builds: BTreeMap<String, Build>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    #[serde(rename = "archive")]
    _archive: String,
    sha256: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Media {
    files: BTreeMap<String, String>,
    #[serde(rename = "archive")]
    _archive: String,
    #[serde(rename = "directory")]
    _directory: String,
    #[serde(rename = "licence")]
    _licence: String,
    #[serde(rename = "licence_text")]
    _licence_text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    File,
}

/// One pinned file, whatever it is.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) licence: String,
    pub(crate) file: String,
    pub(crate) sha256: String,
    pub(crate) operator_supplied: bool,
}

impl Manifest {
    /// Returns the manifest that this program was built with.
    ///
    /// # Errors
    ///
    /// [`ModelError::Manifest`] if it is invalid, which a test of this crate rules out.
    pub fn pinned() -> Result<Self, ModelError> {
        Self::parse(PINNED)
    }

    /// Reads a manifest and checks that it makes sense.
    ///
    /// # Errors
    ///
    /// [`ModelError::Manifest`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let manifest: Self = toml::from_str(text).map_err(|error| ModelError::Manifest(error.to_string()))?;
        manifest.validate().map_err(ModelError::Manifest)?;
        Ok(manifest)
    }

    /// Lists the networks, in the manifest's order.
    pub fn models(&self) -> &[ModelEntry] {
        &self.models
    }

    /// Finds a network by its id.
    ///
    /// # Errors
    ///
    /// [`ModelError::Manifest`] if there is none.
    pub fn model(&self, id: &str) -> Result<&ModelEntry, ModelError> {
        let found = self.models.iter().find(|model| model.id == id);
        found.ok_or_else(|| ModelError::Manifest(format!("it has no model {id}")))
    }

    /// The runtime's shared library for this processor.
    pub(crate) fn runtime(&self) -> Result<Pinned, ModelError> {
        let machine = std::env::consts::ARCH;
        let builds = &self.runtime.builds;
        let build = builds.get(machine).ok_or_else(|| {
            let pinned: Vec<&str> = builds.keys().map(String::as_str).collect();
            ModelError::UnsupportedMachine(machine, pinned.join(", "))
        })?;
        Ok(Pinned {
            id: self.runtime.id.clone(),
            job: "inference".to_owned(),
            licence: self.runtime.licence.clone(),
            file: self.runtime.file.clone(),
            sha256: build.sha256.clone(),
            operator_supplied: false,
        })
    }

    fn validate(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("schema is {}, this program reads {SCHEMA}", self.schema));
        }
        let mut ids = BTreeSet::new();
        for model in &self.models {
            for pinned in model.all_pinned() {
                if let Some(twice) = ids.replace(pinned.id) {
                    return Err(format!("two models are called {twice}"));
                }
            }
            if model.int8.is_some() && model.is_operator_supplied() {
                return Err(format!("{} comes from an operator: it cannot have a file in 8 bits as well", model.id));
            }
        }
        for (file, sha256) in self.files() {
            if !is_plain_name(file) {
                return Err(format!("`{file}` is not a plain file name"));
            }
            if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                return Err(format!("the sha256 of {file} is not 64 lower-case hexadecimal digits"));
            }
        }
        Ok(())
    }

    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let runtime = self.runtime.builds.values().map(|b| (self.runtime.file.as_str(), b.sha256.as_str()));
        let models = self.models.iter().map(|m| (m.file.as_str(), m.sha256.as_str()));
        let int8 = self.models.iter().filter_map(|m| m.int8.as_ref()).map(|i| (i.file.as_str(), i.sha256.as_str()));
        let media = self.media.iter().flat_map(|m| &m.files).map(|(f, s)| (f.as_str(), s.as_str()));
        runtime.chain(models).chain(int8).chain(media)
    }
}

impl ModelEntry {
    /// Tells whether an operator supplies the file, because no registry has it.
    pub fn is_operator_supplied(&self) -> bool {
        self.source == Some(Source::File)
    }

    /// All files of it.
    pub(crate) fn all_pinned(&self) -> impl Iterator<Item = Pinned> {
        let int8 = self.int8.as_ref().map(|int8| Pinned {
            id: format!("{}-int8", self.id),
            job: format!("{}, in 8 bits", self.job),
            file: int8.file.clone(),
            sha256: int8.sha256.clone(),
            ..self.pinned()
        });
        std::iter::once(self.pinned()).chain(int8)
    }

    pub(crate) fn pinned(&self) -> Pinned {
        Pinned {
            id: self.id.clone(),
            job: self.job.clone(),
            licence: self.licence.clone(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            operator_supplied: self.is_operator_supplied(),
        }
    }
}

fn is_plain_name(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !file.starts_with('.')
}
