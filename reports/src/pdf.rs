//! PDF: a title page with the facts, the key figures and the charts, then the rows, on A4; those in landscape if they are too wide
//! for portrait. All rows have to be known before the first page, for the widths of the columns and the number of pages.

use std::io::Write;

mod fonts;
mod paint;
mod table;
mod wrap;

use std::path::PathBuf;

pub(crate) use fonts::Fonts;
use fonts::Shaper;
use table::Table;
use wrap::{cut, wrapped};

use crate::error::ReportError;
use crate::report::Report;
use crate::rows::Rows;
use crate::scene::{ACCENT, Anchor, Colour, FAINT, INK, RULE, Scene, Shape, Style, Weight};
use crate::text;

/// The most rows of a PDF: some 700 pages, and some 60 MB of memory while it is made.
pub const PDF_MAX_ROWS: usize = 20_000;
/// The most columns of a PDF, of its rows and of each table of key figures.
pub const PDF_MAX_COLUMNS: usize = 16;

/// A4, in points.
const SHORT: f32 = 595.28;
const LONG: f32 = 841.89;
const SIDE: f32 = 48.0;
const TOP: f32 = 50.0;
const BOTTOM: f32 = 54.0;
const FACT_NAMES: f32 = 104.0;

/// Where to look for fonts that the program does not bring.
pub(crate) fn system_fonts() -> Vec<PathBuf> {
    fonts::SYSTEM_FONTS.iter().map(PathBuf::from).collect()
}

pub(crate) fn write(report: &Report, fonts: &Fonts, rows: &mut Rows, out: &mut dyn Write) -> Result<(), ReportError> {
    let columns = report.figures.iter().map(|figures| figures.columns.len()).chain([report.columns.len()]);
    if columns.max().unwrap_or_default() > PDF_MAX_COLUMNS {
        return Err(ReportError::TooManyColumns { limit: PDF_MAX_COLUMNS });
    }
    let shaper = Shaper::new(fonts);
    let mut table = Table::new(&report.columns, &shaper);
    while let Some(chunk) = rows.next_chunk()? {
        if table.len() + chunk.len() > PDF_MAX_ROWS {
            return Err(ReportError::TooManyRows { limit: PDF_MAX_ROWS });
        }
        chunk.iter().for_each(|row| table.push(row, report.time_zone, &shaper));
    }
    let mut flow = Flow { shaper: &shaper, width: SHORT, height: LONG, pages: vec![Scene::new(SHORT, LONG)], y: TOP };
    title_page(&mut flow, report, table.len());
    figures(&mut flow, report);
    charts(&mut flow, report);
    notes(&mut flow, report);
    if !table.suits(flow.room()) {
        (flow.width, flow.height) = (LONG, SHORT);
    }
    flow.new_page();
    table.lay(&mut flow, &shaper);
    let pages = with_footers(flow.pages, report, &shaper);
    paint::write(pages, report, &shaper, out)
}

/// Pages that are filled from top to bottom.
struct Flow<'a> {
    shaper: &'a Shaper<'a>,
    width: f32,
    height: f32,
    pages: Vec<Scene>,
    /// Where the next thing goes on the last page.
    y: f32,
}

impl Flow<'_> {
    fn page(&mut self) -> &mut Scene {
        self.pages.last_mut().expect("there is a page from the start on")
    }

    fn new_page(&mut self) {
        self.pages.push(Scene::new(self.width, self.height));
        self.y = TOP;
    }

    /// Makes sure that something of this height fits; whether that took a new page.
    fn need(&mut self, height: f32) -> bool {
        let full = self.y + height > self.height - BOTTOM && self.y > TOP;
        if full {
            self.new_page();
        }
        full
    }

    /// The width between the margins.
    fn room(&self) -> f32 {
        self.width - 2.0 * SIDE
    }

    fn rule(&mut self, colour: Colour, width: f32, length: f32) {
        let y = self.y;
        self.page().line((SIDE, y), (SIDE + length, y), colour, width);
    }

    /// A text at the left margin.
    fn text(&mut self, style: Style, text: &str) {
        let y = self.y;
        self.text_at((0.0, y), style, text);
    }

    /// A text at this distance from the left margin.
    fn text_at(&mut self, (x, y): (f32, f32), style: Style, text: &str) {
        self.page().text((SIDE + x, y), style, text);
    }

    /// Lines of text, from here on.
    fn paragraph(&mut self, x: f32, style: Style, leading: f32, text: &str) {
        let text = self.shaper.readable(&text::line(text, 2_000));
        for line in wrapped(self.shaper, style.weight, &text, (self.room() - x) / style.size, 40) {
            self.need(leading);
            self.y += leading;
            let y = self.y;
            self.text_at((x, y), style, &line);
        }
    }

    fn section(&mut self, title: &str, below: f32) {
        self.need(34.0 + below);
        self.y += 8.0;
        self.paragraph(0.0, Style::new(11.0, INK).bold(), 15.0, title);
        self.y += 4.0;
    }
}

fn title_page(flow: &mut Flow, report: &Report, rows: usize) {
    flow.y += 14.0;
    flow.paragraph(0.0, Style::new(10.0, ACCENT).bold(), 12.0, &report.site);
    flow.y += 6.0;
    flow.paragraph(0.0, Style::new(21.0, INK).bold(), 25.0, &report.title);
    if let Some(subtitle) = &report.subtitle {
        flow.paragraph(0.0, Style::new(11.0, FAINT), 17.0, subtitle);
    }
    flow.y += 12.0;
    let room = flow.room();
    flow.rule(ACCENT, 1.4, room);
    flow.y += 8.0;
    // The site stands above the title.
    let facts = text::facts(report).into_iter().skip(1).chain([("Rows".to_owned(), rows.to_string())]);
    for (name, value) in facts {
        flow.need(15.0);
        let name =
            cut(flow.shaper, Weight::Regular, &flow.shaper.readable(&text::line(&name, 60)), (FACT_NAMES - 8.0) / 9.0);
        let y = flow.y + 14.0;
        flow.text_at((0.0, y), Style::new(9.0, FAINT), &name);
        flow.paragraph(FACT_NAMES, Style::new(9.0, INK), 14.0, &value);
    }
    flow.y += 10.0;
}

fn figures(flow: &mut Flow, report: &Report) {
    for figures in &report.figures {
        let mut table = Table::new(&figures.columns, flow.shaper);
        figures.rows.iter().for_each(|row| table.push(row, report.time_zone, flow.shaper));
        flow.section(&figures.title, 40.0);
        let shaper = flow.shaper;
        table.lay(flow, shaper);
        flow.y += 10.0;
    }
}

fn charts(flow: &mut Flow, report: &Report) {
    for chart in &report.charts {
        let mut scene = chart.scene(flow.room());
        for shape in &mut scene.shapes {
            if let Shape::Text { text, .. } = shape {
                *text = flow.shaper.readable(text);
            }
        }
        // Only a heat map of very many lines is higher than a page; it is cut off rather than drawn over the margin.
        flow.need(scene.height + 16.0);
        flow.y += 16.0;
        let (place, height) = ((SIDE, flow.y), scene.height);
        flow.page().place(scene, place);
        flow.y += height;
    }
}

fn notes(flow: &mut Flow, report: &Report) {
    let transcribed = flow.shaper.transcribed().then(|| TRANSCRIBED.to_owned());
    let notes: Vec<_> = report.notes.iter().cloned().chain(transcribed).collect();
    if !notes.is_empty() {
        flow.section("Notes", 20.0);
        for note in notes {
            flow.paragraph(0.0, Style::new(8.5, INK), 12.0, &note);
            flow.y += 3.0;
        }
    }
}

const TRANSCRIBED: &str = "Some texts are in a script that no font on this server has; they are written in Latin letters here. \
                           CSV and XLSX have them as they are.";

fn with_footers(mut pages: Vec<Scene>, report: &Report, shaper: &Shaper) -> Vec<Scene> {
    const SMALL: Style = Style::new(7.5, FAINT);
    let of = pages.len();
    let left = shaper.readable(&text::line(&format!("{} · {}", report.site, report.title), 300));
    for (at, page) in (1..).zip(&mut pages) {
        let (y, right) = (page.height - 30.0, page.width - SIDE);
        let left = cut(shaper, Weight::Regular, &left, (right - SIDE - 90.0) / SMALL.size);
        page.line((SIDE, y - 12.0), (right, y - 12.0), RULE, 0.5);
        page.text((SIDE, y), SMALL, left);
        page.text((right, y), SMALL.anchored(Anchor::End), format!("Page {at} of {of}"));
    }
    pages
}
