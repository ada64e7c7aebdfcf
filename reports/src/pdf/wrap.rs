//! Long text in narrow columns.

use unicode_linebreak::{BreakOpportunity, linebreaks};

use super::fonts::Shaper;
use crate::scene::Weight;

/// The lines of a text in this width (in units of the font size), at most `max`, the last one with an ellipsis if more is cut off.
/// Breaks where Unicode allows it (UAX 14), and inside a word only if it is alone too long.
pub(super) fn wrapped(shaper: &Shaper, weight: Weight, text: &str, width: f32, max: usize) -> Vec<String> {
    if shaper.width(weight, text) <= width {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut start = 0;
    for (end, opportunity) in linebreaks(text) {
        for part in pieces(shaper, weight, &text[start..end], width) {
            let longer = format!("{line}{part}");
            if !line.is_empty() && shaper.width(weight, longer.trim_end()) > width {
                lines.push(line.trim_end().to_owned());
                line = part.to_owned();
            } else {
                line = longer;
            }
        }
        if opportunity == BreakOpportunity::Mandatory && end < text.len() {
            lines.push(line.trim_end().to_owned());
            line.clear();
        }
        start = end;
        if lines.len() > max {
            break;
        }
    }
    lines.push(line.trim_end().to_owned());
    if lines.len() > max {
        lines.truncate(max);
        if let Some(last) = lines.last_mut() {
            *last = cut(shaper, weight, &format!("{last} …"), width);
        }
    }
    lines
}

/// A text on one line of this width, with an ellipsis if it has to be cut off.
pub(super) fn cut(shaper: &Shaper, weight: Weight, text: &str, width: f32) -> String {
    if shaper.width(weight, text) <= width {
        return text.to_owned();
    }
    let mut kept: String = text.trim_end_matches(['…', ' ']).to_owned();
    while kept.pop().is_some() {
        let shorter = format!("{}…", kept.trim_end());
        if shaper.width(weight, &shorter) <= width {
            return shorter;
        }
    }
    String::new()
}

/// A word, or parts of it that fit where it is too long.
fn pieces<'t>(shaper: &Shaper, weight: Weight, word: &'t str, width: f32) -> Vec<&'t str> {
    if shaper.width(weight, word.trim_end()) <= width {
        return vec![word];
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, c) in word.char_indices() {
        if at > start && shaper.width(weight, &word[start..at + c.len_utf8()]) > width {
            pieces.push(&word[start..at]);
            start = at;
        }
    }
    pieces.push(&word[start..]);
    pieces
}
