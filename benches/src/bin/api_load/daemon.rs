//! The real daemon with a data directory of its own, and a key for it.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_benches::data_dir;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::{Cluster, Sealer, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PASSWORD: &str = "correct horse battery staple";
pub(crate) const POLL: Duration = Duration::from_millis(200);
pub(crate) const START_UP: Duration = Duration::from_secs(120);
/// Connections of this process to the database.
const CONNECTIONS: u32 = 4;

/// The daemon. Dropping it ends it.
pub(crate) struct Daemon {
    program: PathBuf,
    process: Child,
    pub(crate) address: SocketAddr,
    /// May read everything.
    pub(crate) key: String,
    /// May read what belongs to some rooms.
    pub(crate) scoped_key: String,
    /// Gone with the daemon.
    dir: TempDir,
    stopped: bool,
}

impl Daemon {
    /// Starts it and waits until its database is there.
    pub(crate) fn start(program: Option<PathBuf>, clock: &dyn Clock) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program,
            None => std::env::current_exe()?.with_file_name("rollcall"),
        };
        if !program.is_file() {
            bail!("{} is not there: cargo build --release, or name it with --rollcall", program.display());
        }
        let dir = data_dir()?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let unlimited = "rate_per_minute = 0\naddress_rate_per_minute = 0\n";
        // One picture is enough to check in, whether it is known to be of somebody alive or not.
        let check_in =
            "[check_in]\nmin_agreeing = 1\nrequire_live = false\n[decisions]\nidentified_unclear = \"mark\"\n";
        let config =
            format!("[server]\nlisten = \"{address}\"\n{unlimited}{check_in}[site]\ntime_zone = \"Europe/Berlin\"\n");
        fs::write(dir.path().join("rollcall.toml"), config)?;
        let log = File::create(dir.path().join("daemon.log"))?;
        let process = command(&program, dir.path()).arg("run").stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut daemon =
            Self { program, process, address, key: String::new(), scoped_key: String::new(), dir, stopped: false };
        let began = clock.mono();
        while !ureq::get(format!("http://{address}/health/ready")).call().is_ok_and(|answer| answer.status() == 200) {
            if daemon.process.try_wait()?.is_some() || clock.mono().since(began) > START_UP {
                let log = fs::read_to_string(daemon.dir.path().join("daemon.log"))?;
                bail!("the daemon does not become ready:\n{log}");
            }
            std::thread::park_timeout(POLL);
        }
        Ok(daemon)
    }

    /// Its database, beside it.
    pub(crate) fn database(&self, runtime: &Runtime) -> anyhow::Result<(Cluster, Store)> {
        let supervisor = Supervisor::new(Arc::new(SystemClock) as Arc<dyn Clock>);
        let cluster = Cluster::start(&self.dir.path().join("data"), &supervisor)?;
        // The pool belongs to the runtime.
        let _entered = runtime.enter();
        let store = Store::in_cluster(&cluster, Sealer::new([7; 32]), CONNECTIONS);
        Ok((cluster, store))
    }

    /// Where the spool of this process may be.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes an admin, who makes keys that may read: one everything, one what belongs to these rooms.
    pub(crate) fn make_keys(&mut self, rooms: &[String]) -> anyhow::Result<()> {
        let mut command = command(&self.program, self.dir.path());
        command.args(["admin", "create", "--login", "admin", "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("no pipe")?.write_all(PASSWORD.as_bytes())?;
        ensure!(child.wait()?.success(), "no admin could be made");
        let rights = ["attendance:read", "reports:read", "places:read", "people:read"];
        let token = self.log_in()?;
        self.key = self.key(&token, "load", &rights, None)?;
        self.scoped_key = self.key(&token, "load of some rooms", &rights, Some(rooms))?;
        Ok(())
    }

    /// What the admin says in the header `authorization`, for a quarter of an hour.
    pub(crate) fn log_in(&self) -> anyhow::Result<String> {
        let told = self.post("auth/login", &[], &json!({ "login": "admin", "password": PASSWORD }))?;
        Ok(format!("Bearer {}", told["access_token"].as_str().context("no token")?))
    }

    /// Makes a key, for these rooms or for everything; the admin's token allows it.
    pub(crate) fn key(
        &self,
        token: &str,
        name: &str,
        rights: &[&str],
        rooms: Option<&[String]>,
    ) -> anyhow::Result<String> {
        let (everywhere, rooms) = (rooms.is_none(), rooms.unwrap_or_default());
        let key = json!({ "name": name, "rights": rights, "everywhere": everywhere, "rooms": rooms });
        let told = self.post("keys", &[("authorization", token)], &key)?;
        Ok(told["secret"].as_str().context("no key")?.to_owned())
    }

    /// Sends JSON, with these headers.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> anyhow::Result<Value> {
        let mut request = ureq::post(format!("http://{}/api/v1/{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.header("content-type", "application/json").send(body.to_string())?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }

    /// Asks for JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = ureq::get(format!("http://{}{path}", self.address)).header("x-api-key", &self.key);
        Ok(serde_json::from_str(&request.call()?.body_mut().read_to_string()?)?)
    }

    /// Ends it in an orderly way, so that PostgreSQL ends too.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.stopped = true;
        kill(Pid::from_raw(i32::try_from(self.process.id())?), Signal::SIGTERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = self.stop()
        {
            eprintln!("{error:#}");
        }
    }
}

fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--config").arg(dir.join("rollcall.toml")).arg("--data-dir").arg(dir.join("data"));
    command
}
