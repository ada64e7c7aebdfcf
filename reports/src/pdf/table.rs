//! A table on paper: how wide its columns are, and its rows over as many pages as it takes.

use chrono_tz::Tz;

use super::Flow;
use super::fonts::Shaper;
use super::wrap::wrapped;
use crate::report::{Cell, Column, Kind, Row, Tone};
use crate::scene::{Anchor, FAINT, INK, RULE, Style, TONES, Weight};
use crate::text;

const SIZE: f32 = 8.0;
const LEADING: f32 = 10.5;
/// Above and below the text of a row.
const PAD: f32 = 2.8;
const GAP: f32 = 12.0;
/// A column asks for no more than this.
const WIDEST: f32 = 220.0;
/// A word asks a column for no more than this; a longer one is broken.
const WIDEST_WORD: f32 = 96.0;
const CELL_CHARACTERS: usize = 400;
/// So that a row always fits onto a page.
const CELL_LINES: usize = 24;
const HEADING_LINES: usize = 3;

/// A table with all of its texts, measured.
pub(super) struct Table<'a> {
    columns: &'a [Column],
    headings: Vec<String>,
    rows: Vec<Vec<(String, Tone)>>,
    extents: Vec<Extent>,
}

/// How wide a column is if nothing is broken, and how wide it has to be for its words.
#[derive(Clone, Copy)]
struct Extent {
    natural: f32,
    least: f32,
}

impl<'a> Table<'a> {
    pub(super) fn new(columns: &'a [Column], shaper: &Shaper) -> Self {
        let headings: Vec<_> = columns.iter().map(|c| shaper.readable(&text::line(&c.title, 60))).collect();
        let extent = |heading: &String| {
            let mut extent = Extent { natural: 0.0, least: 0.0 };
            // Headings may take several lines, so their words count and not their length.
            extent.words(shaper, Weight::Bold, heading);
            extent.natural = extent.least;
            extent
        };
        let extents = headings.iter().map(extent).collect();
        Self { columns, headings, rows: Vec::new(), extents }
    }

    pub(super) fn push(&mut self, row: &Row, zone: Tz, shaper: &Shaper) {
        let cells = row.iter().zip(&mut self.extents).map(|(cell, extent)| {
            let text = shaper.readable(&text::line(&text::shown(cell, zone), CELL_CHARACTERS));
            let width = shaper.width(Weight::Regular, &text) * SIZE;
            extent.natural = extent.natural.max(width.min(WIDEST));
            if width > extent.least {
                match cell {
                    Cell::Text(_) => extent.words(shaper, Weight::Regular, &text),
                    // Anything else is not broken.
                    _ => extent.least = extent.least.max(width.min(WIDEST)),
                }
            }
            let tone = if let Cell::Status { tone, .. } = cell { *tone } else { Tone::Neutral };
            (text, tone)
        });
        let cells = cells.collect();
        self.rows.push(cells);
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it reads well in this width: no word broken, and few texts on two lines.
    pub(super) fn suits(&self, room: f32) -> bool {
        let room = room - GAP * (self.columns.len() - 1) as f32;
        let sum = |width: fn(&Extent) -> f32| self.extents.iter().map(width).sum::<f32>();
        sum(|extent| extent.least) <= room && sum(|extent| extent.natural) <= 1.15 * room
    }

    fn widths(&self, room: f32) -> Vec<f32> {
        let room = room - GAP * (self.columns.len() - 1) as f32;
        let natural: f32 = self.extents.iter().map(|extent| extent.natural).sum();
        let least: f32 = self.extents.iter().map(|extent| extent.least).sum();
        if natural <= room {
            // Airy, but not so much that the eye loses the line.
            let stretch = (room / natural.max(1.0)).min(1.5);
            self.extents.iter().map(|extent| extent.natural * stretch).collect()
        } else if least < room {
            let share = (room - least) / (natural - least);
            self.extents.iter().map(|extent| extent.least + (extent.natural - extent.least) * share).collect()
        } else {
            self.extents.iter().map(|extent| extent.least * room / least).collect()
        }
    }

    /// Puts the table below what is there, with its heading on each page.
    pub(super) fn lay(&self, flow: &mut Flow, shaper: &Shaper) {
        let widths = self.widths(flow.room());
        let lines = |(text, width): (&String, &f32)| wrapped(shaper, Weight::Bold, text, width / SIZE, HEADING_LINES);
        let headings: Vec<_> = self.headings.iter().zip(&widths).map(lines).collect();
        let head = height(headings.iter().map(Vec::len));
        flow.need(head + LEADING + 2.0 * PAD);
        self.head(flow, &widths, &headings);
        for row in &self.rows {
            let lines = |((text, tone), width): (&(String, Tone), &f32)| {
                (wrapped(shaper, Weight::Regular, text, width / SIZE, CELL_LINES), *tone)
            };
            let cells: Vec<_> = row.iter().zip(&widths).map(lines).collect();
            let height = height(cells.iter().map(|cell| cell.0.len()));
            if flow.need(height) {
                self.head(flow, &widths, &headings);
            }
            let top = flow.y + PAD + SIZE;
            for (at, (lines, tone)) in cells.iter().enumerate() {
                self.cell(flow, &widths, at, lines, top, Style::new(SIZE, TONES[*tone as usize]));
            }
            flow.y += height;
            flow.rule(RULE, 0.4, widths.iter().sum::<f32>() + GAP * (widths.len() - 1) as f32);
        }
        if self.rows.is_empty() {
            flow.y += LEADING + PAD;
            flow.text(Style::new(SIZE, FAINT), "No rows match these filters.");
            flow.y += PAD;
        }
    }

    fn head(&self, flow: &mut Flow, widths: &[f32], headings: &[Vec<String>]) {
        let height = height(headings.iter().map(Vec::len));
        for (at, lines) in headings.iter().enumerate() {
            // Headings stand on their rule.
            let top = flow.y + height - PAD - LEADING * lines.len() as f32 + SIZE;
            self.cell(flow, widths, at, lines, top, Style::new(SIZE, INK).bold());
        }
        flow.y += height;
        flow.rule(INK, 0.8, widths.iter().sum::<f32>() + GAP * (widths.len() - 1) as f32);
    }

    fn cell(&self, flow: &mut Flow, widths: &[f32], at: usize, lines: &[String], top: f32, style: Style) {
        let left = widths[..at].iter().map(|width| width + GAP).sum::<f32>();
        let right = matches!(self.columns[at].kind, Kind::Integer | Kind::Percent | Kind::Minutes);
        let (x, anchor) = if right { (left + widths[at], Anchor::End) } else { (left, Anchor::Start) };
        for (n, line) in lines.iter().enumerate() {
            flow.text_at((x, top + LEADING * n as f32), style.anchored(anchor), line);
        }
    }
}

impl Extent {
    fn words(&mut self, shaper: &Shaper, weight: Weight, text: &str) {
        let words = text.split_whitespace().map(|word| shaper.width(weight, word) * SIZE);
        self.least = words.fold(self.least, |least, word| least.max(word.min(WIDEST_WORD)));
    }
}

fn height(lines: impl Iterator<Item = usize>) -> f32 {
    lines.max().unwrap_or(1).max(1) as f32 * LEADING + 2.0 * PAD
}
