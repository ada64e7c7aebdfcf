//! Runs the program as a user does, and waits for what it says.
#![allow(dead_code, unused_imports, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod cameras;
pub(crate) mod enrolling;
pub(crate) mod register;
mod site;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use chrono::Timelike;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_pipeline::{Clock, SystemClock};

pub(crate) use site::{Answer, Client, PASSWORD, Site, make_admin};

/// Much longer than anything takes on a busy machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The media that set-up fetches.
pub(crate) fn demo_media(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cache/demo").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

/// What is in one of them.
pub(crate) fn media(name: &str) -> Vec<u8> {
    std::fs::read(demo_media(name)).unwrap()
}

/// The program, with an environment of its own.
pub(crate) fn rollcall(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_remove("ROLLCALL_CONFIG").env_remove("RUST_LOG").env("ROLLCALL_DATA_DIR", data_dir);
    command
}

/// Runs it to its end.
pub(crate) fn run(data_dir: &Path, args: &[&str]) -> Output {
    rollcall(data_dir).args(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A time zone in which it is about noon: whatever a test does there, it does on one day.
pub(crate) fn zone_at_noon() -> String {
    // What is called +1 is an hour behind.
    format!("Etc/GMT{:+}", i64::from(SystemClock.wall().hour()) - 12)
}

/// Asks until there is an answer, and not for ever.
#[track_caller]
pub(crate) fn answer<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let begun = SystemClock.mono();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(SystemClock.mono().since(begun) < PATIENCE, "not so: {what}");
    }
}

/// Asks until it is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    answer(what, || is_so().then_some(()));
}

/// A folder `people/NAME/` with pictures from the demo media.
pub(crate) fn people(dir: &Path, people: &[(&str, &[&str])]) -> PathBuf {
    let root = dir.join("people");
    for (person, pictures) in people {
        std::fs::create_dir_all(root.join(person)).unwrap();
        for picture in *pictures {
            std::fs::copy(demo_media(picture), root.join(person).join(picture)).unwrap();
        }
    }
    root
}

/// A daemon that runs; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<serde_json::Value>,
    pub(crate) address: String,
}

impl Daemon {
    /// Starts `rollcall run` and waits until it serves.
    pub(crate) fn start(data_dir: &Path, config: &Path) -> Self {
        Self::start_with(data_dir, config, &[])
    }

    /// The same with more environment.
    pub(crate) fn start_with(data_dir: &Path, config: &Path, env: &[(&str, &str)]) -> Self {
        let mut plain = rollcall(data_dir);
        plain.args(["run", "--config", config.to_str().unwrap()]);
        // Nobody drops what is static: the daemon ends with the thread that started it, and that with the process.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .env("ROLLCALL__LOG__FORMAT", "json")
            .env("ROLLCALL__SERVER__LISTEN", "127.0.0.1:0")
            // What the lane holds is not lost on a busy machine either; a test that hangs here has failed.
            .env("ROLLCALL__LANE__SHUTDOWN_S", PATIENCE.as_secs().to_string())
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        let (started, child) = channel();
        let (told, lines) = channel();
        std::thread::Builder::new()
            .spawn(move || {
                let mut child = command.spawn().expect("setpriv, of util-linux");
                let stderr = BufReader::new(child.stderr.take().unwrap());
                started.send(child).unwrap();
                for line in stderr.lines().map_while(Result::ok) {
                    let value = serde_json::from_str(&line).unwrap_or(serde_json::Value::String(line));
                    // Read on when nobody listens: a pipe that is full would stop the daemon.
                    drop(told.send(value));
                }
            })
            .unwrap();
        let child = child.recv().unwrap();
        let mut daemon = Self { child, lines, address: String::new() };
        let serving = daemon.wait_for(|line| message(line).starts_with("serving"));
        daemon.address = serving["address"].as_str().unwrap().to_owned();
        daemon
    }

    /// The next line of the log that is as wished.
    #[track_caller]
    pub(crate) fn wait_for(&self, wished: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let (mut seen, begun) = (Vec::new(), SystemClock.mono());
        loop {
            // In all: a daemon that tries something again and again has much to say.
            match self.lines.recv_timeout(PATIENCE.saturating_sub(SystemClock.mono().since(begun))) {
                Ok(line) if wished(&line) => return line,
                Ok(line) => seen.push(line.to_string()),
                Err(error) => panic!("{error}; the log before:\n{}", seen.join("\n")),
            }
        }
    }

    /// Asks a route: status code and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends it in an orderly way.
    pub(crate) fn terminate(self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn message(line: &serde_json::Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// A name that nothing else has which shares the daemon.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Where the mistakes of a refused body are.
pub(crate) fn pointers(problem: &serde_json::Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
    errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

/// The same of whoever is told of them.
#[track_caller]
pub(crate) fn told(answer: Answer) -> Vec<String> {
    pointers(&answer.expect(422)).into_iter().map(str::to_owned).collect()
}

/// Status and headers of an answer.
pub(crate) fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head
}
