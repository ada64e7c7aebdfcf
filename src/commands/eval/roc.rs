//! Verification: similarity against truth. Pure, but for the drawing.

use std::path::Path;

use plotters::prelude::{ChartBuilder, IntoDrawingArea, LineSeries, RGBColor, SVGBackend, WHITE};

/// A pair: how similar, and whether it is one person. No similarity: one of the two has no face.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) similarity: Option<f32>,
    pub(super) same: bool,
}

impl Score {
    fn accepted(&self, threshold: f32) -> bool {
        self.similarity.is_some_and(|s| s >= threshold)
    }

    /// Whether the answer at `threshold` is right; a pair without a similarity has none.
    pub(super) fn is_right(&self, threshold: f32) -> bool {
        self.similarity.is_some_and(|s| (s >= threshold) == self.same)
    }
}

/// The threshold with the most right answers: half-way between the two pairs that it lies between.
pub(super) fn best_threshold(scores: &[Score]) -> f32 {
    let mut sorted: Vec<(f32, bool)> = scores.iter().filter_map(|s| Some((s.similarity?, s.same))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Below all: every pair is accepted.
    let mut right = sorted.iter().filter(|(_, same)| *same).count();
    let (mut best, mut threshold) = (right, -1.0);
    for (i, (similarity, same)) in sorted.iter().enumerate() {
        right = if *same { right - 1 } else { right + 1 };
        if right > best {
            best = right;
            threshold = sorted.get(i + 1).map_or(1.0, |(next, _)| (similarity + next) / 2.0);
        }
    }
    threshold
}

/// The part of the same-person pairs that is accepted at the lowest threshold at which at most `far` of the others are.
pub(super) fn tar_at_far(scores: &[Score], far: f64) -> f64 {
    let mut impostors: Vec<f32> = scores.iter().filter(|s| !s.same).filter_map(|s| s.similarity).collect();
    impostors.sort_by(|a, b| b.total_cmp(a));
    let others = scores.iter().filter(|s| !s.same).count();
    let allowed = (far * others as f64).floor() as usize;
    // Strictly above the first one that must not be accepted.
    let above = impostors.get(allowed).copied().unwrap_or(-1.0);
    let same = scores.iter().filter(|s| s.same);
    let accepted = same.clone().filter(|s| s.similarity.is_some_and(|v| v > above)).count();
    super::rate(accepted, same.count())
}

/// Draws the curve, with a logarithmic axis for false accepts.
pub(super) fn draw(path: &Path, scores: &[Score]) -> anyhow::Result<()> {
    let others = scores.iter().filter(|s| !s.same).count();
    let least = (1.0 / others.max(1) as f64).log10().floor();
    let mut points = Vec::new();
    let mut fars: Vec<f32> = scores.iter().filter(|s| !s.same).filter_map(|s| s.similarity).collect();
    fars.sort_by(f32::total_cmp);
    for threshold in fars {
        let accepted = |same: bool| {
            let of = scores.iter().filter(|s| s.same == same);
            super::rate(of.clone().filter(|s| s.accepted(threshold)).count(), of.count())
        };
        points.push((accepted(false).log10(), accepted(true)));
    }
    let area = SVGBackend::new(path, (720, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let low = points.iter().map(|(_, tar)| *tar).fold(1.0, f64::min);
    let low = (low * 20.0).floor() / 20.0;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(least..0.0, low.min(0.95)..1.0)?;
    chart
        .configure_mesh()
        .x_desc("false accepts (10^x)")
        .y_desc("true accepts")
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.3}"))
        .draw()?;
    chart.draw_series(LineSeries::new(points, &RGBColor(30, 90, 200)))?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(same: &[f32], different: &[f32]) -> Vec<Score> {
        let score = |same| move |s: &f32| Score { similarity: Some(*s), same };
        same.iter().map(score(true)).chain(different.iter().map(score(false))).collect()
    }

    #[test]
    fn the_best_threshold_parts_what_can_be_parted() {
        let scores = scores(&[0.6, 0.7, 0.9], &[0.1, 0.2, 0.4]);
        assert!((best_threshold(&scores) - 0.5).abs() < 1e-6);
        assert!(scores.iter().all(|s| s.is_right(0.5)));
    }

    #[test]
    fn true_accepts_are_counted_where_few_others_are_accepted() {
        let others: Vec<f32> = (0..100).map(|i| i as f32 / 200.0).collect();
        let scores = scores(&[0.2, 0.494, 0.496, 0.8], &others);
        assert_eq!(tar_at_far(&scores, 1e-2), 0.75, "one of a hundred, at 0.495, may be accepted");
        assert_eq!(tar_at_far(&scores, 1e-3), 0.5);
    }

    #[test]
    fn a_pair_without_a_face_is_never_right_and_never_accepted() {
        let missing = Score { similarity: None, same: false };
        assert!(!missing.is_right(0.5) && !missing.accepted(-1.0));
    }
}
