//! What several tests need: the files of set-up, copies of them to break, and an image that is nobody's face.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::Array4;
use rollcall_models::{Manifest, Models};
use tempfile::TempDir;

/// The source tree.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the tree")
}

/// The directory that `make setup` fills.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cache")
}

/// Lets a command reach no package registry: nothing listens on that port.
pub(crate) fn without_registries(command: &mut Command) -> &mut Command {
    let nowhere = "http://127.0.0.1:1/";
    command
        .envs([("PIP_CONFIG_FILE", "/dev/null"), ("PIP_INDEX_URL", nowhere), ("PIP_RETRIES", "0")])
        .envs([("npm_config_registry", nowhere), ("npm_config_fetch_retries", "0")])
        .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
}

/// The real models.
pub(crate) fn models() -> Models {
    Models::open(cache()).expect("`make setup` has made the models")
}

/// The text of the pinned manifest, to be changed.
pub(crate) fn manifest_text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifest.toml");
    std::fs::read_to_string(path).expect("the manifest is in the source tree")
}

/// A directory with a link to each real file.
pub(crate) fn linked_cache() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let manifest = Manifest::pinned().expect("a valid manifest");
    let models = manifest.models().iter().filter(|m| !m.is_operator_supplied());
    let models = models.flat_map(|m| std::iter::once(m.file.as_str()).chain(m.int8.as_ref().map(|i| i.file.as_str())));
    for file in models.chain(["libonnxruntime.so"]) {
        std::os::unix::fs::symlink(cache().join(file), dir.path().join(file)).expect("a link");
    }
    dir
}

/// Puts `bytes` where the link to the real file is.
pub(crate) fn replace(dir: &TempDir, file: &str, bytes: &[u8]) {
    let path = dir.path().join(file);
    std::fs::remove_file(&path).expect("the link is there");
    std::fs::write(&path, bytes).expect("a temporary directory is writable");
}

/// Diagonal stripes, different in each channel and image; image 0 is the one of `convert/reference.py`.
pub(crate) fn pattern(shape: (usize, usize, usize, usize), largest: f32) -> Array4<f32> {
    Array4::from_shape_fn(shape, |(n, c, y, x)| {
        let value = (x * 7 + y * 13 + c * 29 + n * 53) % 256;
        value as f32 * (largest / 255.0)
    })
}
