//! Getting the files: the same script as `make setup`, found beside the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ModelError;

const SCRIPT: &str = "scripts/setup.sh";

/// Finds the directory that holds `scripts/setup.sh` and `models/`: the source tree, or where it was installed.
///
/// Looked at, in order: every directory above the program `exe` (a build below the source tree), `../share/rollcall` beside
/// its directory (an installation), and every directory above `working_dir`.
pub fn find_root(exe: &Path, working_dir: &Path) -> Option<PathBuf> {
    let installed = exe.parent().and_then(Path::parent).map(|prefix| prefix.join("share/rollcall"));
    let above_exe = exe.ancestors().skip(1).map(Path::to_owned);
    let above_working_dir = working_dir.ancestors().map(Path::to_owned);
    above_exe
        .chain(installed)
        .chain(above_working_dir)
        .find(|dir| dir.join(SCRIPT).is_file() && dir.join("models/manifest.toml").is_file())
}

/// The directory that set-up fills below `root`.
pub fn cache_dir(root: &Path) -> PathBuf {
    root.join("models/cache")
}

/// Downloads, checks and converts what is missing in `cache`, with the script's progress on the terminal; blocks until done.
///
/// Installs no system packages: it says which are missing.
///
/// # Errors
///
/// [`ModelError::Setup`]; the script has then already said on standard error which package is to blame.
pub fn fetch(root: &Path, cache: &Path) -> Result<(), ModelError> {
    let script = root.join(SCRIPT);
    let status = Command::new("bash")
        .arg(&script)
        .arg("--models-only")
        .arg("--cache")
        .arg(cache)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| ModelError::Setup(format!("{} cannot be started: {error}", script.display())))?;
    if status.success() { Ok(()) } else { Err(ModelError::Setup(format!("{} failed ({status})", script.display()))) }
}
