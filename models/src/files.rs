//! Files on disk against the manifest: what is there, what is altered, and taking in weights from an operator.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::manifest::Pinned;
use crate::{Manifest, ModelError};

/// Larger files are none of ours; a mistyped path must not keep the disk busy for minutes.
const MAX_WEIGHTS_BYTES: u64 = 512 << 20;

/// One pinned file and its state, as `rollcall models list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Id in the manifest.
    pub id: String,
    /// What it is for.
    pub job: String,
    /// SPDX identifier of its licence.
    pub licence: String,
    /// Where it is, or should be.
    pub path: PathBuf,
    /// Whether only an operator can supply it; such a file may be missing.
    pub operator_supplied: bool,
    /// What was found.
    pub state: FileState,
}

/// What was found where a pinned file should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// The pinned bytes.
    InPlace {
        /// Size of the file.
        bytes: u64,
    },
    /// Nothing.
    Missing,
    /// Other bytes.
    Altered {
        /// sha256 of what is there.
        found: String,
    },
    /// It cannot be read.
    Unreadable {
        /// What the system said.
        reason: String,
    },
}

impl FileReport {
    /// Tells whether nothing has to be done about this file.
    pub fn is_fine(&self) -> bool {
        matches!(self.state, FileState::InPlace { .. }) || (self.operator_supplied && self.state == FileState::Missing)
    }
}

/// Compares every file of `manifest` with what is in `dir`, and operator-supplied ones with what is in `operator_dir`.
///
/// Reads all of them, which takes a fraction of a second.
///
/// # Errors
///
/// [`ModelError::UnsupportedMachine`]; the state of each file is data, not an error.
pub fn inventory(manifest: &Manifest, dir: &Path, operator_dir: &Path) -> Result<Vec<FileReport>, ModelError> {
    let runtime = manifest.runtime()?;
    let models = manifest.models().iter().flat_map(crate::ModelEntry::all_pinned);
    let all = std::iter::once(runtime).chain(models);
    Ok(all.map(|pinned| report(pinned, dir, operator_dir)).collect())
}

/// Takes operator-supplied weights from `file` into `operator_dir` and returns their id.
///
/// The file is recognised by its sha256; its name does not matter. After an error `operator_dir` is as it was.
///
/// # Errors
///
/// [`ModelError::UnknownWeights`] if the manifest does not know these bytes, [`ModelError::Io`].
pub fn install(manifest: &Manifest, file: &Path, operator_dir: &Path) -> Result<String, ModelError> {
    let found = sha256_of(file)?;
    let installable = || manifest.models().iter().filter(|model| model.is_operator_supplied());
    let model = installable().find(|model| model.sha256 == found).ok_or_else(|| ModelError::UnknownWeights {
        path: file.to_owned(),
        found,
        known: installable().map(|m| format!("{} ({})", m.id, m.sha256)).collect::<Vec<_>>().join(", "),
    })?;
    let target = operator_dir.join(&model.file);
    let partial = operator_dir.join(format!(".{}.{}", model.file, std::process::id()));
    let copied = fs::create_dir_all(operator_dir)
        .and_then(|()| fs::copy(file, &partial))
        .map_err(|source| ModelError::Io { path: partial.clone(), source })
        // What was copied is checked, not what was there a moment before.
        .and_then(|_| verify(&model.pinned(), &partial))
        .and_then(|()| fs::rename(&partial, &target).map_err(|source| ModelError::Io { path: target, source }));
    if copied.is_err() {
        // Best effort: the first error is the one worth reporting.
        drop(fs::remove_file(&partial));
    }
    copied.map(|()| model.id.clone())
}

/// Checks that `path` holds the pinned bytes.
pub(crate) fn verify(pinned: &Pinned, path: &Path) -> Result<(), ModelError> {
    if !path.exists() {
        let id = pinned.id.clone();
        let missing = ModelError::Missing { id: id.clone(), path: path.to_owned() };
        return Err(if pinned.operator_supplied { ModelError::NotInstalled { id } } else { missing });
    }
    let found = sha256_of(path)?;
    if found == pinned.sha256 {
        return Ok(());
    }
    Err(ModelError::Altered { id: pinned.id.clone(), path: path.to_owned(), expected: pinned.sha256.clone(), found })
}

fn report(pinned: Pinned, dir: &Path, operator_dir: &Path) -> FileReport {
    let path = if pinned.operator_supplied { operator_dir } else { dir }.join(&pinned.file);
    let state = match verify(&pinned, &path) {
        Ok(()) => match fs::metadata(&path) {
            Ok(metadata) => FileState::InPlace { bytes: metadata.len() },
            Err(error) => FileState::Unreadable { reason: error.to_string() },
        },
        Err(ModelError::Missing { .. } | ModelError::NotInstalled { .. }) => FileState::Missing,
        Err(ModelError::Altered { found, .. }) => FileState::Altered { found },
        Err(error) => FileState::Unreadable { reason: error.to_string() },
    };
    let Pinned { id, job, licence, operator_supplied, .. } = pinned;
    FileReport { id, job, licence, path, operator_supplied, state }
}

fn sha256_of(path: &Path) -> Result<String, ModelError> {
    let failed = |source| ModelError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() > MAX_WEIGHTS_BYTES {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any model")));
    }
    let mut hasher = Sha256::new();
    let mut reader = file.take(MAX_WEIGHTS_BYTES);
    let mut chunk = vec![0; 64 << 10];
    loop {
        match reader.read(&mut chunk).map_err(failed)? {
            0 => break,
            read => hasher.update(&chunk[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
