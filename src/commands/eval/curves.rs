//! How the errors of the liveness check change with its threshold, shot by shot.

use std::path::Path;

use plotters::prelude::{BLACK, ChartBuilder, IntoDrawingArea, LineSeries, RGBColor, SVGBackend, WHITE};
use plotters::series::DashedLineSeries;

use super::liveness::Check;

/// A line, its colour and what it is called.
type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);

/// Draws the part of living shots at or below a score, of all and of those that may accuse, and the part of attack shots
/// above it; with the two thresholds in force.
pub(super) fn liveness(
    path: &Path,
    live: &[Check],
    attack: &[Check],
    (spoof_below, live_from): (f32, f32),
) -> anyhow::Result<()> {
    let grid = || (0..=100).map(|i| f64::from(i) / 100.0);
    let part = |of: &[Check], counts: &dyn Fn(&Check, f64) -> bool| -> Vec<(f64, f64)> {
        grid().map(|at| (at, super::rate(of.iter().filter(|c| counts(c, at)).count(), of.len()))).collect()
    };
    let rejected = |c: &Check, at: f64| f64::from(c.score) <= at;
    let accusing: Vec<Check> = live.iter().filter(|c| c.accuses).copied().collect();
    let lines: [Line<'_>; 3] = [
        ("living, all shots, at or below", RGBColor(150, 150, 150), part(live, &rejected)),
        ("living, shots that may accuse, at or below", RGBColor(30, 90, 200), part(&accusing, &rejected)),
        ("attacks, all shots, above", RGBColor(200, 50, 40), part(attack, &|c, at| f64::from(c.score) > at)),
    ];
    let area = SVGBackend::new(path, (720, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart.configure_mesh().x_desc("score").y_desc("part of the shots").draw()?;
    for (label, color, points) in lines {
        chart
            .draw_series(LineSeries::new(points, &color))?
            .label(label)
            .legend(move |(x, y)| plotters::prelude::PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    for threshold in [spoof_below, live_from].map(f64::from) {
        chart.draw_series(DashedLineSeries::new([(threshold, 0.0), (threshold, 1.0)], 4, 4, BLACK.into()))?;
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
