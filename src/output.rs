//! What the commands say: data on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Writes a line to stdout. A reader that is gone (`| head`) ends the program quietly.
pub(crate) fn line(text: impl std::fmt::Display) {
    if writeln!(io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// So many of something.
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Writes a value to stdout as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Writes a line to stderr, for people.
pub(crate) fn note(text: impl std::fmt::Display) {
    // Nobody is left to tell if stderr is gone.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Says why a command failed.
pub(crate) fn complain(error: &anyhow::Error) {
    note(format_args!("error: {}", explained(error)));
}

/// An error with what caused it, each said once: many say themselves what caused them.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(|cause| cause.to_string()) {
        if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

/// A bar on stderr, where somebody can see it.
pub(crate) fn progress(steps: usize) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)");
    ProgressBar::with_draw_target(Some(steps as u64), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Rows of text in columns, the last one as long as it likes.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{explained, table};

    #[test]
    fn a_cause_is_told_once() {
        let error = |text: &'static str| anyhow::Error::from(std::io::Error::other("the disk is full")).context(text);
        assert_eq!(explained(&error("cannot write")), "cannot write: the disk is full");
        assert_eq!(explained(&error("the disk is full: free space")), "the disk is full: free space");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect();
        let text = table(&[row(&["a", "käse", "x"]), row(&["bbb", "c", "long last one"])]);
        assert_eq!(text, "a    käse  x\nbbb  c     long last one");
    }
}
