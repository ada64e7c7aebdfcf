//! Where the private cluster lies, which user runs it, and what a killed daemon may have left there.
//!
//! PostgreSQL refuses to run as root. A daemon that runs as root therefore hands the cluster to the user `postgres`, who
//! must be able to reach it: if the data directory lies where only root can go (`/root`), the cluster goes to
//! `/var/lib/rollcall` and the data directory holds a link.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sha2::{Digest, Sha256};

use crate::StoreError;

const SYSTEM_USER: &str = "postgres";
const SYSTEM_BASE: &str = "/var/lib/rollcall";
pub(super) const PORT: u16 = 5432;
/// `sun_path` holds 108 bytes with the closing zero.
const MAX_SOCKET_PATH: usize = 107;

/// Whom PostgreSQL runs as, where it is not ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Place {
    /// 0700, of the user that runs it.
    pub(super) root: PathBuf,
    /// Where the socket is: in `root`, or elsewhere if that path is too long.
    pub(super) socket_dir: PathBuf,
    pub(super) run_as: Option<RunAs>,
}

impl Place {
    /// Makes the directories.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(data_dir)
            .map_err(StoreError::io(format!("cannot make the data directory {}", data_dir.display())))?;
        let data_dir = fs::canonicalize(data_dir)
            .map_err(StoreError::io(format!("cannot use the data directory {}", data_dir.display())))?;
        let link = data_dir.join("postgres");
        let (root, run_as) = if geteuid().is_root() {
            let run_as = owner_of(&link)?.map_or_else(system_user, Ok)?;
            (root_for(&data_dir, &link, run_as)?, Some(run_as))
        } else {
            (link, None)
        };
        make_private(&root, run_as)?;
        let socket_dir = socket_dir(&root, run_as)?;
        Ok(Self { root, socket_dir, run_as })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}"))
    }

    /// The major version that made the cluster; `None` if there is none yet.
    pub(super) fn version(&self) -> Option<u32> {
        fs::read_to_string(self.data().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The postmaster that serves this cluster, and whether it takes connections.
    pub(super) fn postmaster(&self) -> Option<(Pid, bool)> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok().filter(|&pid| pid > 1)?);
        // The number may have gone to another process since: a postmaster works in its data directory.
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        (cwd == self.data()).then(|| (pid, text.lines().nth(7).is_some_and(|state| state.trim() == "ready")))
    }

    /// Removes the lock files of a postmaster that is gone. PostgreSQL does so itself unless the number of the dead
    /// process belongs to somebody else by now, which after the restart of a container it does as a rule.
    pub(super) fn remove_stale_locks(&self) {
        let socket = self.socket();
        let lock = socket.with_extension(format!("{PORT}.lock"));
        for path in [self.data().join("postmaster.pid"), socket, lock] {
            if fs::remove_file(&path).is_ok() {
                tracing::debug!(path = %path.display(), "removed what a dead PostgreSQL left");
            }
        }
    }
}

pub(super) fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill(pid, signal) {
        tracing::debug!(%pid, %error, "cannot signal PostgreSQL");
    }
}

fn owner_of(path: &Path) -> Result<Option<RunAs>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.uid() != 0 => Ok(Some(RunAs { uid: meta.uid(), gid: meta.gid() })),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StoreError::io(format!("cannot look at {}", path.display()))(e)),
    }
}

fn system_user() -> Result<RunAs, StoreError> {
    let user = User::from_name(SYSTEM_USER).ok().flatten().ok_or_else(|| {
        StoreError::Cluster(format!(
            "it does not run as root, and there is no user {SYSTEM_USER} to run it: apt-get install postgresql, or run \
             rollcall as an ordinary user"
        ))
    })?;
    Ok(RunAs { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// `link` itself, or a directory under `/var/lib` that it points to.
fn root_for(data_dir: &Path, link: &Path, run_as: RunAs) -> Result<PathBuf, StoreError> {
    if fs::symlink_metadata(link).is_ok_and(|meta| meta.is_symlink()) {
        let target = fs::read_link(link).map_err(StoreError::io(format!("cannot read the link {}", link.display())))?;
        make_base(target.parent().unwrap_or(Path::new("/")))?;
        return Ok(target);
    }
    open_to_passage(data_dir)?;
    if data_dir.ancestors().all(|dir| can_pass(dir, run_as)) {
        return Ok(link.to_path_buf());
    }
    let target = Path::new(SYSTEM_BASE).join(format!("postgres-{}", short_hash(data_dir)));
    make_base(Path::new(SYSTEM_BASE))?;
    symlink(&target, link).map_err(StoreError::io(format!("cannot make the link {}", link.display())))?;
    tracing::info!(
        database = %target.display(), data_dir = %data_dir.display(),
        "the database lies outside of the data directory, which its user cannot reach"
    );
    Ok(target)
}

fn make_base(dir: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
    made.map_err(StoreError::io(format!("cannot make {}", dir.display())))
}

/// The data directory is ours, and what is secret in it lies in directories of mode 0700.
fn open_to_passage(dir: &Path) -> Result<(), StoreError> {
    let io = || StoreError::io(format!("cannot open {} to passage", dir.display()));
    let meta = fs::metadata(dir).map_err(io())?;
    if meta.uid() == 0 && meta.mode() & 0o001 == 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(meta.mode() & 0o7777 | 0o011)).map_err(io())?;
    }
    Ok(())
}

fn can_pass(dir: &Path, user: RunAs) -> bool {
    fs::metadata(dir).is_ok_and(|meta| {
        let bit = match (meta.uid() == user.uid, meta.gid() == user.gid) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        meta.mode() & bit != 0
    })
}

/// Makes a directory that nobody else can enter. One that is there must be like that: in a shared directory somebody else
/// may have put it there.
fn make_private(dir: &Path, run_as: Option<RunAs>) -> Result<(), StoreError> {
    let io = || StoreError::io(format!("cannot make {}", dir.display()));
    let owner = run_as.map_or(geteuid().as_raw(), |user| user.uid);
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => run_as.map_or(Ok(()), |user| chown(dir, Some(user.uid), Some(user.gid)).map_err(io())),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(dir).map_err(io())?;
            // Left by a crash between the two steps above.
            if meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o077 == 0 && run_as.is_some() {
                return run_as.map_or(Ok(()), |user| chown(dir, Some(user.uid), Some(user.gid)).map_err(io()));
            }
            if meta.is_dir() && meta.uid() == owner && meta.mode() & 0o077 == 0 {
                return Ok(());
            }
            Err(StoreError::Cluster(format!(
                "{} should be a directory of user {owner} with mode 0700, but it is of user {} with mode {:o}: run \
                 rollcall as the user who made it, or remove it",
                dir.display(),
                meta.uid(),
                meta.mode() & 0o7777
            )))
        }
        Err(e) => Err(io()(e)),
    }
}

fn socket_dir(root: &Path, run_as: Option<RunAs>) -> Result<PathBuf, StoreError> {
    let near = root.join("run");
    let dir = if usable(&near) { near } else { runtime_base(run_as).join(format!("rollcall-{}", short_hash(root))) };
    if !usable(&dir) {
        return Err(StoreError::Cluster(format!("{} is too long for a Unix socket", dir.display())));
    }
    make_private(&dir, run_as)?;
    Ok(dir)
}

/// The setting is a list with commas and quotation marks, and the kernel limits the length.
fn usable(dir: &Path) -> bool {
    let text = dir.as_os_str().as_encoded_bytes();
    text.len() + format!("/.s.PGSQL.{PORT}").len() <= MAX_SOCKET_PATH
        && dir.to_str().is_some_and(|text| !text.contains(['"', ',', '\'', '\\']))
}

fn runtime_base(run_as: Option<RunAs>) -> PathBuf {
    match run_as {
        Some(_) => PathBuf::from("/run"),
        None => std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from),
    }
}

fn short_hash(path: &Path) -> String {
    Sha256::digest(path.as_os_str().as_encoded_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_has_at_most_107_bytes() {
        let longest = "x".repeat(MAX_SOCKET_PATH - "/.s.PGSQL.5432".len() - 1);
        assert!(usable(Path::new(&format!("/{longest}"))));
        assert!(!usable(Path::new(&format!("/{longest}x"))));
        assert!(!usable(Path::new("/a,b")), "a comma separates directories");
    }

    #[test]
    fn who_may_pass_a_directory() {
        let other = RunAs { uid: 4_000_000, gid: 4_000_000 };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(can_pass(Path::new("/"), other));
        assert!(!can_pass(dir.path(), other));
        let meta = fs::metadata(dir.path()).unwrap();
        assert!(can_pass(dir.path(), RunAs { uid: meta.uid(), gid: 0 }));
    }
}
