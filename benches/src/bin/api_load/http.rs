//! Asks over connections that stay open, each as soon as it was answered, or at a rate.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rollcall_pipeline::{Clock, MonoTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::daemon::Daemon;

/// So long it is asked before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long answers took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Seconds, ascending.
    took: Vec<f64>,
    /// Answers a second.
    pub(crate) rate: f64,
}

impl Figures {
    pub(crate) fn new(mut took: Vec<f64>, over: Duration) -> Self {
        took.sort_by(f64::total_cmp);
        let rate = took.len() as f64 / over.as_secs_f64();
        Self { took, rate }
    }

    pub(crate) fn merge(parts: &[Self]) -> Self {
        let took = parts.iter().flat_map(|part| part.took.iter().copied()).collect();
        Self { rate: parts.iter().map(|part| part.rate).sum(), ..Self::new(took, Duration::from_secs(1)) }
    }

    /// A quantile in milliseconds.
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        let at = (self.took.len() as f64 * quantile) as usize;
        self.took.get(at.min(self.took.len().saturating_sub(1))).map_or(f64::NAN, |s| s * 1_000.0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| self.ms(quantile));
        write!(f, "{:.0} | {p50:.1} ms | {p95:.1} ms | {p99:.1} ms", self.rate)
    }
}

/// Asks `paths` in turn over so many connections, for so long, with this key.
pub(crate) async fn load(
    daemon: &Daemon,
    key: &str,
    paths: &[String],
    connections: u16,
    over: Duration,
    clock: &dyn Clock,
) -> anyhow::Result<Figures> {
    let one = async |first: u16| -> anyhow::Result<Vec<f64>> {
        let mut connection = Connection::open(daemon, key).await?;
        let (began, mut took) = (clock.mono(), Vec::new());
        for path in paths.iter().cycle().skip(usize::from(first) * 7) {
            let asked = clock.mono();
            if asked.since(began) > WARM_UP + over {
                break;
            }
            connection.get(path).await?;
            if asked.since(began) > WARM_UP {
                took.push(clock.mono().since(asked).as_secs_f64());
            }
        }
        Ok(took)
    };
    let all = futures_util::future::try_join_all((0..connections).map(one)).await?;
    Ok(Figures::new(all.concat(), over))
}

/// Asks at a rate, until it is told to stop. An answer that is late makes the next ones late: that is counted too.
pub(crate) async fn steadily(
    daemon: &Daemon,
    paths: &[String],
    every: Duration,
    over: Duration,
    clock: &dyn Clock,
) -> anyhow::Result<Figures> {
    let mut connection = Connection::open(daemon, &daemon.key).await?;
    let (began, mut took) = (clock.mono(), Vec::new());
    for (n, path) in (0..).zip(paths.iter().cycle()) {
        let due = every * n;
        if due > over {
            break;
        }
        tokio::time::sleep(due.saturating_sub(clock.mono().since(began))).await;
        connection.get(path).await?;
        took.push(clock.mono().since(began).saturating_sub(due).as_secs_f64());
    }
    Ok(Figures::new(took, over))
}

/// Holds this thread until so long after it began.
pub(crate) fn wait_until(clock: &dyn Clock, began: MonoTime, due: Duration) {
    loop {
        let wait = due.saturating_sub(clock.mono().since(began));
        if wait.is_zero() {
            return;
        }
        std::thread::park_timeout(wait);
    }
}

/// An HTTP/1.1 connection that reads no more than it has to: what is measured is the other side.
struct Connection {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(daemon: &Daemon, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(daemon.address).await?;
        stream.set_nodelay(true)?;
        let head = format!("HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\n\r\n", daemon.address, key);
        Ok(Self { stream, head, buffer: vec![0; 1 << 20] })
    }

    /// Asks, and reads the whole answer.
    async fn get(&mut self, path: &str) -> anyhow::Result<()> {
        self.stream.write_all(format!("GET {path} {}", self.head).as_bytes()).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "{path}: the connection ended");
            filled += read;
            let Some(end) = self.buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200 ") {
                bail!("{path}: {}", String::from_utf8_lossy(&self.buffer[..filled]));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let length: usize = length.context("an answer without length")?;
            let all = end + 4 + length;
            if all > self.buffer.len() {
                self.buffer.resize(all, 0);
            }
            self.stream.read_exact(&mut self.buffer[filled.min(all)..all]).await?;
            return Ok(());
        }
    }
}
