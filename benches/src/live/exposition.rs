//! What the daemon says on /metrics and /health, read with a socket: no HTTP client is worth its weight here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

const TIMEOUT: Duration = Duration::from_secs(5);

/// One reading of /metrics.
#[derive(Clone, Debug, Default)]
pub struct Exposition(Vec<(String, f64)>);

impl Exposition {
    /// Reads the text format.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        Self(series.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum over all series of a name.
    pub fn total(&self, name: &str) -> f64 {
        self.named(name).map(|(_, value)| value).sum()
    }

    /// The series of a name: what `label` is, and the value.
    pub fn by<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.named(name).filter_map(move |(labels, value)| Some((of(labels, label)?, value)))
    }

    /// The same by two labels.
    pub fn by_both<'a>(
        &'a self,
        name: &'a str,
        (first, second): (&'a str, &'a str),
    ) -> impl Iterator<Item = (&'a str, &'a str, f64)> + 'a {
        self.named(name).filter_map(move |(labels, value)| Some((of(labels, first)?, of(labels, second)?, value)))
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        let labels = move |series: &'a str| series.strip_prefix(name).filter(|l| l.is_empty() || l.starts_with('{'));
        self.0.iter().filter_map(move |(series, value)| Some((labels(series)?, *value)))
    }
}

/// What a label is.
fn of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{label}=\""))?;
    Some(rest.split_once('"')?.0)
}

/// The status and the body of an answer.
///
/// # Errors
/// When nobody answers within some seconds, or not in HTTP.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // Version 1.0: the body ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_told_apart_by_label() {
        let text = "# TYPE a counter\na{camera=\"x\",outcome=\"recorded\"} 2\na{camera=\"y\",outcome=\"unknown\"} 3\nab 7\nb 0.5\n";
        let exposition = Exposition::parse(text);
        assert_eq!(exposition.total("a"), 5.0);
        assert_eq!(exposition.total("b"), 0.5);
        assert_eq!(exposition.by("a", "outcome").collect::<Vec<_>>(), [("recorded", 2.0), ("unknown", 3.0)]);
        let both = exposition.by_both("a", ("outcome", "camera")).collect::<Vec<_>>();
        assert_eq!(both, [("recorded", "x", 2.0), ("unknown", "y", 3.0)]);
    }
}
