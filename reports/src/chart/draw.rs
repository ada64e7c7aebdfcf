//! Charts as shapes. They share one frame: heading, horizontal rules with values at the left, a base line.

use super::{HeatMap, Histogram, Trend, Unit, label};
use crate::scene::{ACCENT, Anchor, Colour, FAINT, INK, RULE, SHADE, Scene, Style, TONES};

const HEADING: Style = Style::new(11.0, INK).bold();
const SMALL: Style = Style::new(7.5, FAINT);
/// Room for the values at the left.
const LEFT: f32 = 36.0;
const TOP: f32 = 40.0;
const PLOT: f32 = 120.0;
const BELOW: f32 = 32.0;
/// Room between two labels of the horizontal axis.
const LABEL_ROOM: f32 = 44.0;

struct Frame {
    scene: Scene,
    /// The largest value of the vertical axis.
    top: f64,
}

impl Frame {
    fn new(title: &str, width: f32, largest: f64, unit: Unit) -> Self {
        let mut scene = Scene::new(width, TOP + PLOT + BELOW);
        scene.text((0.0, 12.0), HEADING, label(title));
        let (step, steps) = match unit {
            Unit::Share if (0.5..=1.0).contains(&largest) => (0.25, 4),
            _ => round_steps(largest, unit),
        };
        let frame = Self { scene, top: step * f64::from(steps) };
        (0..=steps).fold(frame, |mut frame, n| {
            let value = step * f64::from(n);
            let y = frame.y(value);
            let colour = if n == 0 { FAINT } else { RULE };
            frame.scene.line((LEFT, y), (width, y), colour, 0.6);
            frame.scene.text((LEFT - 5.0, y + 2.6), SMALL.anchored(Anchor::End), unit.shown(value));
            frame
        })
    }

    fn y(&self, value: f64) -> f32 {
        TOP + PLOT * (1.0 - value / self.top) as f32
    }

    fn below(&mut self, x: f32, text: impl Into<String>) {
        self.scene.text((x, TOP + PLOT + 11.0), SMALL.anchored(Anchor::Middle), text);
    }

    fn caption(&mut self, text: &str) {
        let middle = (LEFT + self.scene.width) / 2.0;
        self.scene.text((middle, TOP + PLOT + 24.0), SMALL.anchored(Anchor::Middle), label(text));
    }
}

/// A step of 1, 2 or 5 times a power of ten, and how many of them reach the value: at most five.
fn round_steps(largest: f64, unit: Unit) -> (f64, u32) {
    let smallest = if unit == Unit::Count { 1.0 } else { 0.01 };
    let rough = (largest / 4.0).max(smallest);
    let ten = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * ten).into_iter().find(|step| *step >= rough).unwrap_or(10.0 * ten);
    (step, (largest / step).ceil().clamp(1.0, 5.0) as u32)
}

pub(super) fn histogram(chart: &Histogram, width: f32) -> Scene {
    let largest = chart.counts.iter().copied().max().unwrap_or(0);
    let mut frame = Frame::new(&chart.title, width, largest as f64, Unit::Count);
    frame.scene.text((LEFT, TOP - 15.0), SMALL, label(&chart.y_label));
    let bar = (width - LEFT) / chart.counts.len() as f32;
    let gap = (bar * 0.15).min(2.0);
    for (at, count) in chart.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let y = frame.y(*count as f64);
        let x = LEFT + bar * at as f32;
        frame.scene.rect(x + gap / 2.0, y, bar - gap, TOP + PLOT - y, ACCENT.tint(0.75));
    }
    let every = (LABEL_ROOM / bar).ceil().max(1.0) as usize;
    for at in (0..=chart.counts.len()).step_by(every) {
        frame.below(LEFT + bar * at as f32, (chart.first + at as i64 * i64::from(chart.width)).to_string());
    }
    for (value, name) in &chart.marks {
        let bars = (value - chart.first) as f32 / chart.width as f32;
        if (0.0..=chart.counts.len() as f32).contains(&bars) {
            let x = LEFT + bar * bars;
            frame.scene.line((x, TOP - 10.0), (x, TOP + PLOT), TONES[2], 0.8);
            // Words stand inwards of their line.
            let (anchor, aside) = if x > width * 0.8 { (Anchor::End, -3.0) } else { (Anchor::Start, 3.0) };
            let style = Style { colour: TONES[2], ..SMALL }.anchored(anchor);
            frame.scene.text((x + aside, TOP - 4.0), style, label(name));
        }
    }
    frame.caption(&chart.x_label);
    frame.scene
}

pub(super) fn trend(chart: &Trend, width: f32) -> Scene {
    let largest = chart.points.iter().map(|point| point.1).fold(0.0, f64::max);
    let mut frame = Frame::new(&chart.title, width, largest, chart.unit);
    let (Some((first, _)), Some((last, _))) = (chart.points.first(), chart.points.last()) else {
        frame.caption("no figures in this period");
        return frame.scene;
    };
    let days = (*last - *first).num_days().max(1) as f32;
    // Room for half a label at both ends.
    let (left, room) = (LEFT + 14.0, width - LEFT - 36.0);
    let places: Vec<(f32, f32)> = (chart.points.iter())
        .map(|(day, value)| (left + room * (*day - *first).num_days() as f32 / days, frame.y(value.max(0.0))))
        .collect();
    frame.scene.shapes.push(crate::scene::Shape::Line { points: places.clone(), stroke: ACCENT, width: 1.4 });
    if places.len() <= 60 {
        places.iter().for_each(|(x, y)| frame.scene.rect(x - 1.6, y - 1.6, 3.2, 3.2, ACCENT));
    }
    let mut free = f32::MIN;
    for ((day, _), (x, _)) in chart.points.iter().zip(&places) {
        if *x >= free {
            frame.below(*x, day.to_string());
            free = x + LABEL_ROOM * 1.4;
        }
    }
    frame.scene
}

pub(super) fn heat_map(chart: &HeatMap, width: f32) -> Scene {
    const NAMES: f32 = 64.0;
    const LINE: f32 = 17.0;
    let mut scene = Scene::new(width, 28.0 + LINE * (chart.rows.len() + 1) as f32 + 8.0);
    scene.text((0.0, 12.0), HEADING, label(&chart.title));
    let cell = (width - NAMES) / chart.columns.len() as f32;
    // Few columns make no carpets.
    let cell = cell.min(72.0);
    let every = (26.0 / cell).ceil().max(1.0) as usize;
    for (at, name) in chart.columns.iter().enumerate().step_by(every) {
        scene.text((NAMES + cell * (at as f32 + 0.5), 34.0), SMALL.anchored(Anchor::Middle), label(name));
    }
    let largest = match chart.unit {
        Unit::Share => 1.0,
        Unit::Count => chart.values.iter().flatten().flatten().copied().fold(1.0, f64::max),
    };
    for (line, (name, values)) in chart.rows.iter().zip(&chart.values).enumerate() {
        let y = 40.0 + LINE * line as f32;
        scene.text((NAMES - 6.0, y + LINE * 0.65), SMALL.anchored(Anchor::End), label(name));
        for (at, value) in values.iter().enumerate() {
            let x = NAMES + cell * at as f32;
            let depth = value.map(|value| (value / largest).clamp(0.0, 1.0));
            let fill = depth.map_or(SHADE, |depth| ACCENT.tint(0.08 + 0.82 * depth));
            scene.rect(x + 0.5, y + 0.5, cell - 1.0, LINE - 1.0, fill);
            if let (Some(value), Some(depth), true) = (value, depth, cell >= 26.0) {
                let colour = if depth > 0.55 { Colour(0xFFFFFF) } else { INK };
                let style = Style { colour, ..SMALL }.anchored(Anchor::Middle);
                scene.text((x + cell / 2.0, y + LINE * 0.65), style, chart.unit.shown(*value));
            }
        }
    }
    scene
}
