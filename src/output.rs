//! What the commands say: data on stdout, everything else on stderr.

use std::io::{self, Write};

use serde::Serialize;

/// Writes a line to stdout. A reader that is gone (`| head`) ends the program quietly.
pub(crate) fn line(text: impl std::fmt::Display) {
    if writeln!(io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
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

/// Says why a command failed: the error and what caused it.
pub(crate) fn complain(error: &anyhow::Error) {
    note(format_args!("error: {error:#}"));
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
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect();
        let text = table(&[row(&["a", "käse", "x"]), row(&["bbb", "c", "long last one"])]);
        assert_eq!(text, "a    käse  x\nbbb  c     long last one");
    }
}
