//! The daemon as a child process, and its log as the ledger has it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_pipeline::{Clock, SystemClock};

use crate::ledger::Ledger;

const POLL: Duration = Duration::from_millis(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A daemon that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    reader: Option<JoinHandle<()>>,
    ledger: Ledger,
}

impl Daemon {
    /// Starts a command as a new life in the ledger.
    pub(crate) fn start(command: &Command, ledger: &Ledger, log: &Path) -> anyhow::Result<Self> {
        // The daemon ends with the thread that started it, and that with this process.
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
            .env("RUST_LOG", "info,sqlx=warn,rollcall_pipeline::lane=debug")
            .env("ROLLCALL__LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        ledger.open();
        let (started, child) = std::sync::mpsc::channel();
        let (book, mut copy) = (ledger.clone(), File::options().create(true).append(true).open(log)?);
        let reader = std::thread::Builder::new().name("daemon-log".to_owned()).spawn(move || {
            let spawned = wrapped.spawn().context("cannot run setpriv, of util-linux");
            let Ok(mut spawned) = spawned.map_err(|error| drop(started.send(Err(error)))) else { return };
            let lines = spawned.stderr.take().map(BufReader::new);
            if started.send(Ok(spawned)).is_err() {
                return;
            }
            for line in lines.into_iter().flat_map(|lines| lines.lines().map_while(Result::ok)) {
                book.hear(&line);
                // For whoever looks for the cause; the ledger is what counts.
                writeln!(copy, "{line}").unwrap_or_default();
            }
            book.close();
        })?;
        let child = child.recv()??;
        Ok(Self { child, reader: Some(reader), ledger: ledger.clone() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub(crate) fn ended(mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let clock = SystemClock;
        let begun = clock.mono();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if clock.mono().since(begun) > patience {
                bail!("the daemon does not end within {} s", patience.as_secs());
            }
            std::thread::park_timeout(POLL);
        };
        self.finish();
        if status.success() {
            self.ledger.ended_well();
        }
        Ok(status)
    }

    /// `kill -9`, and all that it had said is read.
    pub(crate) fn killed(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.finish();
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic there is a bug of this program; the ledger is then short, and the verdict says so.
            drop(reader.join());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.reader.is_some() {
            drop(self.child.kill());
            drop(self.child.wait());
            self.finish();
        }
    }
}

/// The sum over all series of a metric, or the one series that is named with its labels; none where there is none.
pub(crate) fn metric(address: &str, name: &str) -> anyhow::Result<Option<f64>> {
    let address: SocketAddr = address.parse()?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    // Version 1.0: the body ends with the connection.
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(total(&answer, name))
}

fn total(exposition: &str, name: &str) -> Option<f64> {
    let series = exposition.lines().filter_map(|line| line.rsplit_once(' '));
    let named = series.filter(|(series, _)| *series == name || series.split('{').next() == Some(name));
    named.filter_map(|(_, value)| value.parse::<f64>().ok()).reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_summed() {
        let text = "# HELP a x\na{camera=\"x y\"} 2\na{camera=\"z\"} 3\nab 7\n";
        assert_eq!((total(text, "a"), total(text, "ab"), total(text, "b")), (Some(5.0), Some(7.0), None));
        assert_eq!(total(text, "a{camera=\"x y\"}"), Some(2.0));
    }
}
