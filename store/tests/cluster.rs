//! The private cluster: made, joined, restarted when it dies, not in the way after a kill.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use rollcall_store::testing::{KEY, data_dir, supervisor};
use rollcall_store::{Cluster, Sealer, Store, StoreError};

fn start(dir: &Path) -> Cluster {
    Cluster::start(dir, &supervisor()).unwrap()
}

/// Asks until the answer is yes. Each question takes its time in the database or in a system call.
fn wait_until(what: &str, mut question: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let asked = async {
        while !question() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), asked).await }).expect(what);
}

async fn people(cluster: &Cluster) -> Result<usize, StoreError> {
    let store = Store::in_cluster(cluster, Sealer::new(KEY), 2);
    Ok(store.people().await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_stopped_and_started_again() {
    let dir = data_dir();
    let cluster = start(dir.path());
    let store = Store::in_cluster(&cluster, Sealer::new(KEY), 2);
    assert!(store.migrate().await.unwrap() > 0);
    assert_eq!(store.migrate().await.unwrap(), 0, "all are applied");
    store.upsert_person_by_name("Ada").await.unwrap();
    store.close().await;
    let pid = cluster.pid().unwrap();
    cluster.stop();
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "stopped");

    let cluster = start(dir.path());
    assert_eq!(people(&cluster).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_survives_a_killed_postmaster() {
    let dir = data_dir();
    let cluster = start(dir.path());
    let store = Store::in_cluster(&cluster, Sealer::new(KEY), 2);
    store.migrate().await.unwrap();
    let pid = cluster.pid().unwrap();
    for n in 0..20 {
        store.upsert_person_by_name(&format!("person {n}")).await.unwrap();
    }
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    tokio::task::block_in_place(|| wait_until("another postmaster", || cluster.pid().is_some_and(|now| now != pid)));
    assert_eq!(people(&cluster).await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_joins_and_takes_over() {
    let dir = data_dir();
    let owner = start(dir.path());
    let guest = start(dir.path());
    assert_eq!(guest.pid(), owner.pid(), "the same server");
    let first = owner.pid();
    owner.stop();
    tokio::task::block_in_place(|| wait_until("a server of its own", || guest.pid().is_some() && guest.pid() != first));
    let store = Store::in_cluster(&guest, Sealer::new(KEY), 2);
    tokio::task::block_in_place(|| wait_until("answers", || true));
    store.ping().await.unwrap();
}

#[test]
fn an_orphan_and_stale_lock_files_are_not_in_the_way() {
    let dir = data_dir();
    let cluster = start(dir.path());
    let pid = cluster.pid().unwrap();
    cluster.stop();
    // As after the restart of a container: the number of the dead postmaster belongs to somebody else, here to us.
    let data = dir.path().join("postgres/data");
    let text = format!("{}\n{}\n0\n5432\n\n\n\nready\n", std::process::id(), data.display());
    std::fs::write(data.join("postmaster.pid"), &text).unwrap();
    std::fs::write(dir.path().join("postgres/run/.s.PGSQL.5432.lock"), &text).unwrap();
    let cluster = start(dir.path());
    assert_ne!(cluster.pid(), Some(pid));
    assert_ne!(cluster.pid(), Some(std::process::id()));
}

/// Not a test of its own: the daemon that the next test kills.
#[test]
fn a_daemon_for_the_next_test() {
    let Some(dir) = std::env::var_os("ROLLCALL_TEST_DAEMON") else { return };
    let _cluster = start(Path::new(&dir));
    std::fs::write(Path::new(&dir).join("up"), "").unwrap();
    wait_until("killed by the test before", || false);
}

#[test]
fn a_killed_daemon_takes_its_postgres_along() {
    let dir = data_dir();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_daemon_for_the_next_test"])
        .env("ROLLCALL_TEST_DAEMON", dir.path())
        .spawn()
        .unwrap();
    wait_until("up", || dir.path().join("up").exists());
    let pid_file = std::fs::read_to_string(dir.path().join("postgres/data/postmaster.pid")).unwrap();
    let pid: u32 = pid_file.lines().next().unwrap().parse().unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // At once, while the orphan may still be on its way out.
    let cluster = start(dir.path());
    assert_ne!(cluster.pid(), Some(pid));
    // It may still be a zombie where nobody reaps orphans, but it works nowhere any more.
    assert!(std::fs::read_link(format!("/proc/{pid}/cwd")).is_err());
}

#[test]
fn a_cluster_of_another_version_is_named() {
    let dir = data_dir();
    start(dir.path()).stop();
    std::fs::write(dir.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let error = Cluster::start(dir.path(), &supervisor()).unwrap_err().to_string();
    assert!(error.contains("made by PostgreSQL 9, but only version") && error.contains("postgresql-9"), "{error}");
}

#[test]
fn a_damaged_cluster_gives_postgres_own_words() {
    let dir = data_dir();
    start(dir.path()).stop();
    std::fs::write(dir.path().join("postgres/data/postgresql.conf"), "nonsense nonsense\n").unwrap();
    let error = Cluster::start(dir.path(), &supervisor()).unwrap_err().to_string();
    assert!(error.contains("unrecognized configuration parameter"), "{error}");
}

#[test]
fn a_long_path_gets_its_socket_elsewhere() {
    let dir = data_dir();
    let long = dir.path().join("d".repeat(90));
    std::fs::create_dir(&long).unwrap();
    let cluster = start(&long);
    let socket = cluster.connect_options().get_socket().unwrap().clone();
    assert!(!socket.starts_with(&long), "{}", socket.display());
    cluster.stop();
    std::fs::remove_dir_all(socket).unwrap();
}

#[test]
fn root_hands_the_cluster_to_a_user_who_can_reach_it() {
    let dir = data_dir();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let closed = dir.path().join("data");
    let cluster = start(&closed);
    let root = std::fs::canonicalize(closed.join("postgres")).unwrap();
    assert!(cluster.pid().is_some());
    cluster.stop();
    if geteuid().is_root() {
        assert!(root.starts_with("/var/lib/rollcall"), "{}", root.display());
        std::fs::remove_dir_all(root).unwrap();
    } else {
        assert!(root.starts_with(dir.path()));
    }
}

/// The whole of this file again as an ordinary user, where we can become one.
#[test]
fn an_ordinary_user_runs_it_too() {
    if !geteuid().is_root() {
        // Then every other test of this file has just shown it.
        return;
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let home = data_dir();
    std::os::unix::fs::chown(home.path(), Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    // The binary lies where that user may not look.
    let exe = home.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let output = Command::new("setpriv")
        .args([&format!("--reuid={}", nobody.uid), &format!("--regid={}", nobody.gid), "--clear-groups", "--"])
        .arg(&exe)
        .arg("--test-threads=1")
        .args(["a_cluster_is_made", "a_killed_daemon", "a_second_process", "an_orphan"])
        .env("TMPDIR", home.path())
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir(home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("4 passed"), "{said}");
}
