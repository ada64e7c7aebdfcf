//! Scenes onto the pages of a document.

use std::io::Write;

use chrono::{Datelike, Timelike};
use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule, Stroke};
use krilla::surface::Surface;

use super::fonts::Shaper;
use crate::error::ReportError;
use crate::report::Report;
use crate::scene::{Anchor, Colour, Scene, Shape};

pub(super) fn write(
    pages: Vec<Scene>,
    report: &Report,
    shaper: &Shaper,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let mut document = Document::new();
    document.set_metadata(metadata(report));
    for scene in pages {
        let settings = PageSettings::from_wh(scene.width, scene.height);
        let mut page =
            document.start_page_with(settings.ok_or_else(|| ReportError::Pdf("a page without area".into()))?);
        let mut surface = page.surface();
        scene.shapes.iter().for_each(|shape| draw(&mut surface, shaper, shape));
        surface.finish();
        page.finish();
    }
    out.write_all(&document.finish().map_err(|error| ReportError::Pdf(format!("{error:?}")))?)?;
    Ok(())
}

fn metadata(report: &Report) -> Metadata {
    let made = report.generated_at;
    let date = DateTime::new(made.year().clamp(0, 9999) as u16)
        .month(made.month() as u8)
        .day(made.day() as u8)
        .hour(made.hour() as u8)
        .minute(made.minute() as u8)
        .second(made.second() as u8)
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    let title = crate::text::line(&report.title, 250).into_owned();
    let author = crate::text::line(&report.site, 250).into_owned();
    Metadata::new()
        .title(title)
        .authors(vec![author])
        .creator("Rollcall".to_owned())
        .language("en".to_owned())
        .creation_date(date)
}

fn draw(surface: &mut Surface, shaper: &Shaper, shape: &Shape) {
    match shape {
        Shape::Rect { x, y, width, height, fill: colour } => {
            let mut path = PathBuilder::new();
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                path.push_rect(rect);
            }
            if let Some(path) = path.finish() {
                surface.set_stroke(None);
                surface.set_fill(Some(fill(*colour)));
                surface.draw_path(&path);
            }
        }
        Shape::Line { points, stroke, width } => {
            let mut path = PathBuilder::new();
            for (at, (x, y)) in points.iter().enumerate() {
                if at == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
            }
            if let Some(path) = path.finish() {
                surface.set_fill(None);
                surface.set_stroke(Some(Stroke { paint: paint(*stroke).into(), width: *width, ..Stroke::default() }));
                surface.draw_path(&path);
            }
        }
        Shape::Text { x, y, size, weight, anchor, colour, text } => {
            let shaped = shaper.shape(*weight, text);
            let left = match anchor {
                Anchor::Start => *x,
                Anchor::Middle => x - shaped.width * size / 2.0,
                Anchor::End => x - shaped.width * size,
            };
            surface.set_stroke(None);
            surface.set_fill(Some(fill(*colour)));
            for piece in &shaped.pieces {
                let start = Point::from_xy(left + piece.x * size, *y);
                surface.draw_glyphs(start, &piece.glyphs, piece.font.clone(), &piece.text, *size, false);
            }
        }
    }
}

fn paint(colour: Colour) -> rgb::Color {
    let [r, g, b] = colour.parts();
    rgb::Color::new(r, g, b)
}

fn fill(colour: Colour) -> Fill {
    Fill { paint: paint(colour).into(), opacity: NormalizedF32::ONE, rule: FillRule::default() }
}
