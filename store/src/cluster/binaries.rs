//! Finding PostgreSQL's programs, in the version that made the cluster if there is one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// A directory with `initdb` and `postgres`, and their major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// The installed version that fits `cluster` (the major version of an existing cluster), or the newest.
    pub(super) fn find(cluster: Option<u32>) -> Result<Self, StoreError> {
        choose(installed(), cluster).map_err(StoreError::Cluster)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn choose(installed: Vec<Binaries>, cluster: Option<u32>) -> Result<Binaries, String> {
    let versions = || installed.iter().map(|b| b.major.to_string()).collect::<Vec<_>>().join(", ");
    match cluster {
        _ if installed.is_empty() => Err("its programs (initdb, postgres) are not installed: on Debian and Ubuntu, \
             apt-get install postgresql; or set database.url to use another server"
            .to_owned()),
        Some(major) => installed.iter().find(|b| b.major == major).cloned().ok_or_else(|| {
            format!(
                "the database was made by PostgreSQL {major}, but only version {} is installed: apt-get install \
                 postgresql-{major}, or move the data over with pg_upgrade",
                versions()
            )
        }),
        None => Ok(installed.into_iter().max_by_key(|b| b.major).expect("not empty, see above")),
    }
}

/// Where the packages of Debian, Ubuntu, the PostgreSQL project and RHEL put them, then `PATH`.
fn installed() -> Vec<Binaries> {
    let mut dirs: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr/local", "/usr"]
        .iter()
        .filter_map(|base| fs::read_dir(base).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path().join("bin")))
        .collect();
    dirs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut found: Vec<Binaries> = Vec::new();
    for dir in dirs {
        // PATH may hold links to programs that look for their neighbours beside the real file.
        let Some(dir) = real_dir(&dir) else { continue };
        if found.iter().all(|b| b.dir != dir)
            && let Some(major) = major_version(&dir)
        {
            found.push(Binaries { dir, major });
        }
    }
    found
}

fn real_dir(dir: &Path) -> Option<PathBuf> {
    let postgres = fs::canonicalize(dir.join("postgres")).ok()?;
    let dir = postgres.parent()?.to_path_buf();
    dir.join("initdb").is_file().then_some(dir)
}

/// From the directory's name where the packages put it there, else by asking the program.
fn major_version(dir: &Path) -> Option<u32> {
    let named = dir.parent().and_then(Path::file_name).and_then(OsStr::to_str).and_then(|name| name.parse().ok());
    named.or_else(|| {
        let said = std::process::Command::new(dir.join("postgres")).arg("--version").output().ok()?;
        parse_version(&String::from_utf8_lossy(&said.stdout))
    })
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian …)` or `17devel`.
fn parse_version(said: &str) -> Option<u32> {
    let version = said.split(") ").nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(major: u32) -> Binaries {
        Binaries { dir: format!("/{major}").into(), major }
    }

    #[test]
    fn the_version_that_made_the_cluster_is_taken() {
        assert_eq!(choose(vec![at(15), at(17), at(16)], None), Ok(at(17)));
        assert_eq!(choose(vec![at(15), at(17)], Some(15)), Ok(at(15)));
        let refused = choose(vec![at(16), at(17)], Some(15)).unwrap_err();
        assert!(refused.contains("made by PostgreSQL 15, but only version 16, 17"), "{refused}");
        assert!(choose(vec![], Some(15)).unwrap_err().contains("apt-get install postgresql"));
    }

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18devel\n"), Some(18));
        assert_eq!(parse_version("something else"), None);
    }
}
