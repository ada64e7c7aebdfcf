//! What a report is called as a file.

use any_ascii::any_ascii;

use crate::Format;
use crate::report::Report;

/// Of site and title, each. Well below what file systems and headers take.
const PART: usize = 48;

/// `rollcall-site-title-20260901-20261218.pdf`: lower case Latin letters, digits and hyphens, so that it needs no quoting anywhere.
pub(crate) fn of(report: &Report, format: Format) -> String {
    let mut parts = vec![slug(&report.site), slug(&report.title)];
    match &report.period {
        Some(period) if period.from == period.until => parts.push(period.from.format("%Y%m%d").to_string()),
        Some(period) => parts.push(format!("{}-{}", period.from.format("%Y%m%d"), period.until.format("%Y%m%d"))),
        None => {}
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        parts.push("report".to_owned());
    }
    format!("rollcall-{}.{}", parts.join("-"), format.extension())
}

fn slug(text: &str) -> String {
    // The input is bounded too: one character may become several.
    let latin = any_ascii(&text.chars().take(4 * PART).collect::<String>());
    let mut slug = String::new();
    for c in latin.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(PART);
    slug.trim_end_matches('-').to_owned()
}
