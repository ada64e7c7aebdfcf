//! A site to break: cameras, a database, a configuration, and the daemon that looks after them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail};
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{SystemClock, WallTime};
use rollcall_store::{Cluster, FeedChanges, Scope, Sealer, Store};
use rollcall_test_camera::{Options as CameraOptions, TestCamera};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::clock::WallClock;
use crate::daemon::Daemon;
use crate::film::{Film, portraits};
use crate::ledger::Ledger;
use crate::postgres::{Server, url};
use crate::verdict::{Row, Rows, camera_name};
use crate::witness::Witness;

/// More rows than any scenario makes.
const LIMIT: u32 = 1_000_000;

/// What a scenario wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Cameras beyond the first.
    pub(crate) more_cameras: usize,
    /// The daemon keeps its own PostgreSQL; otherwise we hold one.
    pub(crate) own_database: bool,
    /// Sections of the configuration.
    pub(crate) config: &'static str,
    /// Keys of the first camera.
    pub(crate) first_camera: String,
    /// What the first camera asks for.
    pub(crate) credentials: Option<(String, String)>,
    /// Its wall clock can be set, and its threads can be made to panic.
    pub(crate) wall_clock: bool,
    /// Kilobytes of the disk on which the spool lies.
    pub(crate) spool_disk_kb: Option<u32>,
    /// Kilobytes of the disk on which the database lies.
    pub(crate) database_disk_kb: Option<u32>,
}

/// A data directory in which two people are enrolled, to be copied.
#[derive(Debug)]
pub(crate) struct Template(TempDir);

impl Template {
    pub(crate) fn make(program: &Path) -> anyhow::Result<Self> {
        let dir = directory()?;
        let (people, data) = (dir.path().join("people"), dir.path().join("data"));
        portraits(&people)?;
        let config = dir.path().join("rollcall.toml");
        fs::write(&config, "")?;
        let mut enroll = Command::new(program);
        enroll.arg("--config").arg(&config).arg("--data-dir").arg(&data).arg("enroll").arg(&people);
        let done =
            enroll.env_remove("RUST_LOG").output().with_context(|| format!("cannot run {}", program.display()))?;
        if !done.status.success() {
            bail!("{} enroll: {}", program.display(), String::from_utf8_lossy(&done.stderr));
        }
        if data.join("postgres").is_symlink() {
            bail!("PostgreSQL's user cannot reach {}: set TMPDIR to a directory that all can enter", data.display());
        }
        fs::remove_dir_all(&people)?;
        Ok(Self(dir))
    }

    fn copy(&self, to: &Path) -> anyhow::Result<()> {
        copy(&self.0.path().join("data"), to)
    }
}

/// A directory that PostgreSQL's user can reach.
fn directory() -> anyhow::Result<TempDir> {
    let open = Permissions::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix("rollcall-faults").permissions(open).tempdir()?)
}

/// With owners and modes, to where nothing is.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    if !done.status.success() {
        bail!("cp: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// A disk of a given size, in memory.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, kilobytes: u32) -> anyhow::Result<Self> {
        fs::create_dir_all(at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k,mode=755"), "tmpfs"]).arg(at);
        let done = mount.output().context("cannot run mount")?;
        if !done.status.success() {
            bail!("cannot mount a small disk (that needs root): {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(Self(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        use std::io::Write;
        let mut file = fs::File::create(self.filler())?;
        for piece in [64 * 1024, 4096, 512] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.0.display());
        }
    }
}

/// The site. Its parts end in this order.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) daemon: Option<Daemon>,
    pub(crate) ledger: Ledger,
    pub(crate) server: Option<Server>,
    pub(crate) witness: Witness,
    pub(crate) cameras: Vec<TestCamera>,
    pub(crate) clock: Option<WallClock>,
    pub(crate) spool_disk: Option<Disk>,
    pub(crate) database_disk: Option<Disk>,
    program: PathBuf,
    plan: Plan,
    dir: TempDir,
}

impl Site {
    /// Everything but the daemon.
    pub(crate) fn open(program: &Path, template: &Template, film: &Arc<Film>, plan: Plan) -> anyhow::Result<Self> {
        let dir = directory()?;
        let data = dir.path().join("data");
        template.copy(&data)?;
        let spool_disk = plan.spool_disk_kb.map(|kb| Disk::mount(&data.join("spool"), kb)).transpose()?;
        let mut database_disk = None;
        let server = if plan.own_database {
            None
        } else {
            let at = dir.path().join("server");
            fs::create_dir_all(&at)?;
            database_disk = plan.database_disk_kb.map(|kb| Disk::mount(&at, kb)).transpose()?;
            copy(&data.join("postgres"), &at.join("postgres"))?;
            fs::remove_dir_all(data.join("postgres"))?;
            let mut server = Server::adopt(&at)?;
            server.start()?;
            Some(server)
        };
        let clock = plan.wall_clock.then(|| WallClock::build(dir.path())).transpose()?;
        let cameras = (0..=plan.more_cameras).map(|number| {
            let credentials = plan.credentials.clone().filter(|_| number == 0);
            TestCamera::start(film.clip.clone(), CameraOptions { credentials, ..CameraOptions::default() })
        });
        let cameras = cameras.collect::<Result<Vec<_>, _>>()?;
        let witness = Witness::start(cameras.iter().map(TestCamera::viewfinder).collect(), film)?;
        let program = program.to_owned();
        let ledger = Ledger::default();
        let site = Self {
            daemon: None,
            ledger,
            server,
            witness,
            cameras,
            clock,
            spool_disk,
            database_disk,
            program,
            plan,
            dir,
        };
        site.configure("")?;
        Ok(site)
    }

    /// Writes the configuration, with these keys for every camera.
    pub(crate) fn configure(&self, cameras: &str) -> anyhow::Result<()> {
        let mut text = String::from("[server]\nlisten = \"127.0.0.1:0\"\n[recognition]\nrepeat_s = 1\n");
        if let Some(server) = &self.server {
            text += &format!("[database]\nurl = \"{}\"\n", server.url());
        }
        text += self.plan.config;
        text += "\n[[rooms]]\nid = \"hall\"\n";
        for (number, camera) in self.cameras.iter().enumerate() {
            let id = camera_name(number);
            text += &format!("[[cameras]]\nid = \"{id}\"\nroom = \"hall\"\nstreams.detect = \"{}\"\n", camera.url());
            text += cameras;
            if number == 0 {
                text += &self.plan.first_camera;
            }
        }
        Ok(fs::write(self.dir.path().join("rollcall.toml"), text)?)
    }

    /// Writes something that is no configuration.
    pub(crate) fn misconfigure(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.dir.path().join("rollcall.toml"), "[[cameras]]\nid = \"door-0\"\ncolour = 1\n")?)
    }

    /// A file beside the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the spool lies.
    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.path().join("data/spool")
    }

    /// What the daemon has said.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("daemon.log")
    }

    /// Starts the daemon.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.file("rollcall.toml")).arg("--data-dir").arg(self.dir.path().join("data"));
        command.arg("run").env_remove("ROLLCALL_CONFIG");
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        self.daemon = Some(Daemon::start(&command, &self.ledger, &self.log())?);
        Ok(())
    }

    /// The daemon that runs.
    pub(crate) fn daemon(&self) -> anyhow::Result<&Daemon> {
        self.daemon.as_ref().context("the daemon does not run")
    }

    /// The database that is under our hand.
    pub(crate) fn server(&mut self) -> anyhow::Result<&mut Server> {
        self.server.as_mut().context("the daemon keeps its own database")
    }

    /// Everything that is in the database. The daemon has ended.
    pub(crate) fn rows(&self) -> anyhow::Result<Rows> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let supervisor = Supervisor::new(Arc::new(SystemClock));
        let own = match &self.server {
            Some(_) => None,
            None => Some(Cluster::start(&self.dir.path().join("data"), &supervisor)?),
        };
        let _entered = runtime.enter();
        // Nothing sealed is read.
        let sealer = Sealer::new([0; 32]);
        let store = match (&own, &self.server) {
            (Some(cluster), _) => Store::in_cluster(cluster, sealer, 2),
            (None, Some(server)) => Store::new(Store::parse_url(&server.url().into())?, sealer, 2),
            (None, None) => bail!("there is no database"),
        };
        let rows = runtime.block_on(read(&store));
        runtime.block_on(store.close());
        rows
    }
}

/// Other clients of a server, who have taken every connection there is.
#[derive(Debug)]
pub(crate) struct Others {
    taken: Vec<FeedChanges>,
    runtime: Runtime,
}

impl Others {
    /// Connects to the server in this directory until nobody can any more.
    ///
    /// # Errors
    /// When that comes before there are `at_least` so many.
    pub(crate) fn take(sockets: &Path, at_least: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut others = Self { taken: Vec::new(), runtime };
        loop {
            let listener = others.runtime.block_on(async {
                // One each: a store listens with a few connections at most.
                let store = Store::new(Store::parse_url(&url(sockets).into())?, Sealer::new([0; 32]), 1);
                store.feed_changes().await
            });
            match listener {
                Ok(listener) => others.taken.push(listener),
                Err(_) if others.taken.len() >= at_least => return Ok(others),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.taken.len()
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        // They say goodbye in the background.
        let _entered = self.runtime.enter();
        self.taken.clear();
    }
}

async fn read(store: &Store) -> anyhow::Result<Rows> {
    let told = store.feed_after(0, &Scope::Everywhere, &["sighting"], LIMIT).await?;
    let sightings = told.into_iter().map(|row| {
        let text = |key: &str| row.payload[key].as_str().map(str::to_owned);
        let need = |key: &str| text(key).with_context(|| format!("a sighting without {key}"));
        Ok(Row {
            event: need("event_id")?.parse()?,
            camera: need("camera")?,
            kind: need("kind")?,
            name: text("name"),
            captured: need("captured_at")?.parse()?,
        })
    });
    let sightings = sightings.collect::<anyhow::Result<Vec<_>>>()?;
    let events = store.events_since(WallTime::UNIX_EPOCH, LIMIT).await?.len();
    let marks = store.marks_since(WallTime::UNIX_EPOCH, LIMIT).await?;
    let marks = marks.into_iter().map(|mark| (mark.name, mark.session.0, mark.sightings)).collect();
    Ok(Rows { sightings, events, marks })
}
