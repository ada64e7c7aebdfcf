//! A list of people in a file: one name a line, or the first column of a CSV file.

/// The names in a roster: the first field of each line, with or without quotes. Empty lines, lines that begin with `#`
/// and a heading `name` or `person` are skipped.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(first_field);
    lines.filter(|name| !name.is_empty() && !name.starts_with('#')).enumerate().filter_map(|(i, name)| {
        let heading = i == 0 && (name.eq_ignore_ascii_case("name") || name.eq_ignore_ascii_case("person"));
        (!heading).then_some(name)
    })
}

/// A name that contains a separator stands in quotes; quotes within quotes do not occur in names.
fn first_field(line: &str) -> &str {
    let line = line.trim();
    match line.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default().trim(),
        None => line.split([',', ';', '\t']).next().unwrap_or_default().trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(names(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn plain_lists_and_tables_are_read() {
        check("Ada\n\n  Grace Hopper \r\n# gone\n", &["Ada", "Grace Hopper"]);
        check("\u{feff}Name;class\n\"Hopper, Grace\";7b\nAda;7a\n", &["Hopper, Grace", "Ada"]);
        check("", &[]);
    }
}
