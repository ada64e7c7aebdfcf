//! Tracking against truth: CLEAR MOT (Bernardin and Stiefelhagen, 2008) and IDF1 (Ristani et al., 2016). Pure.

use std::collections::HashMap;
use std::hash::Hash;

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use rollcall_pipeline::Rect;

/// Boxes that overlap less are not the same face.
pub(super) const MATCH_IOU: f32 = 0.35;

/// What accumulates over frames.
#[derive(Default)]
pub(super) struct Tracking<T, H> {
    /// Whom each true face was last matched with.
    last: HashMap<T, H>,
    /// Frames in which a true face and a track overlap.
    together: HashMap<(T, H), i64>,
    truths: usize,
    hypotheses: usize,
    matches: usize,
    switches: usize,
}

impl<T: Clone + Eq + Hash, H: Copy + Eq + Hash> Tracking<T, H> {
    /// One frame.
    pub(super) fn add(&mut self, truths: &[(T, Rect)], tracks: &[(H, Rect)]) {
        self.truths += truths.len();
        self.hypotheses += tracks.len();
        let fits = |t: usize, h: usize| truths[t].1.iou(&tracks[h].1) >= MATCH_IOU;
        let mut of_truth: Vec<Option<usize>> = vec![None; truths.len()];
        let mut used = vec![false; tracks.len()];
        // Whoever was matched before stays matched while that is possible.
        for (t, (id, _)) in truths.iter().enumerate() {
            let before = self.last.get(id).and_then(|h| tracks.iter().position(|(track, _)| track == h));
            if let Some(h) = before.filter(|&h| !used[h] && fits(t, h)) {
                of_truth[t] = Some(h);
                used[h] = true;
            }
        }
        let open_truths: Vec<usize> = (0..truths.len()).filter(|&t| of_truth[t].is_none()).collect();
        let open_tracks: Vec<usize> = (0..tracks.len()).filter(|&h| !used[h]).collect();
        let weight = |i: usize, j: usize| {
            let (t, h) = (open_truths[i], open_tracks[j]);
            // As many matches as possible, and of these the closest.
            if fits(t, h) { 10_000 + (truths[t].1.iou(&tracks[h].1) * 1000.0) as i64 } else { 0 }
        };
        for (i, j) in assign(open_truths.len(), open_tracks.len(), weight) {
            of_truth[open_truths[i]] = Some(open_tracks[j]);
        }
        for (t, h) in of_truth.iter().enumerate() {
            let Some(h) = *h else { continue };
            self.matches += 1;
            let before = self.last.insert(truths[t].0.clone(), tracks[h].0);
            self.switches += usize::from(before.is_some_and(|before| before != tracks[h].0));
        }
        for (t, (id, _)) in truths.iter().enumerate() {
            for (h, (track, _)) in tracks.iter().enumerate() {
                if fits(t, h) {
                    *self.together.entry((id.clone(), *track)).or_default() += 1;
                }
            }
        }
    }

    /// 1 less the errors (missed, false, switched) a true face.
    pub(super) fn mota(&self) -> f64 {
        let errors = (self.truths - self.matches) + (self.hypotheses - self.matches) + self.switches;
        1.0 - errors as f64 / self.truths.max(1) as f64
    }

    /// How often a track's identity changed.
    pub(super) fn switches(&self) -> usize {
        self.switches
    }

    /// F1 of the frames in which each person is on the one track that is theirs.
    pub(super) fn idf1(&self) -> f64 {
        let truths = distinct(self.together.keys().map(|(t, _)| t.clone()));
        let tracks = distinct(self.together.keys().map(|(_, h)| *h));
        let weight = |i: usize, j: usize| *self.together.get(&(truths[i].clone(), tracks[j])).unwrap_or(&0);
        let together: i64 = assign(truths.len(), tracks.len(), weight).map(|(i, j)| weight(i, j)).sum();
        2.0 * together as f64 / (self.truths + self.hypotheses).max(1) as f64
    }
}

fn distinct<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> Vec<K> {
    keys.collect::<std::collections::HashSet<_>>().into_iter().collect()
}

/// The pairs of the assignment with the largest sum of weights, without those of weight 0.
fn assign(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> i64) -> impl Iterator<Item = (usize, usize)> {
    let mut pairs = Vec::new();
    if rows > 0 && columns > 0 {
        // The algorithm wants at least as many columns as rows; columns that are made up weigh nothing.
        let weight = &weight;
        let wide = columns.max(rows);
        let cell = move |i: usize, j: usize| if j < columns { weight(i, j) } else { 0 };
        let matrix = Matrix::from_fn(rows, wide, |(i, j)| cell(i, j));
        let (_, of_row) = kuhn_munkres(&matrix);
        pairs.extend(of_row.into_iter().enumerate().filter(|&(i, j)| cell(i, j) > 0));
    }
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Rect {
        Rect { x, y: 0.0, w: 10.0, h: 10.0 }
    }

    #[test]
    fn perfect_tracking_scores_one() {
        let mut tracking = Tracking::default();
        for i in 0..10 {
            let x = i as f32;
            tracking.add(&[("a", at(x)), ("b", at(x + 50.0))], &[(1, at(x + 50.0)), (2, at(x))]);
        }
        assert_eq!((tracking.mota(), tracking.idf1(), tracking.switches()), (1.0, 1.0, 0));
    }

    #[test]
    fn a_track_that_changes_its_person_in_the_middle_halves_idf1() {
        let mut tracking = Tracking::default();
        for i in 0..10 {
            let track = if i < 5 { 1 } else { 2 };
            tracking.add(&[("a", at(0.0))], &[(track, at(0.0))]);
        }
        assert_eq!((tracking.switches(), tracking.idf1()), (1, 0.5));
        assert!((tracking.mota() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn misses_and_false_tracks_count_against_it() {
        let mut tracking = Tracking::default();
        tracking.add(&[("a", at(0.0)), ("b", at(100.0))], &[(1, at(0.0)), (9, at(300.0))]);
        assert!((tracking.mota() - 0.0).abs() < 1e-9);
        assert!((tracking.idf1() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_match_stays_while_it_fits_even_if_another_fits_better() {
        let mut tracking = Tracking::default();
        tracking.add(&[("a", at(0.0))], &[(1, at(0.0))]);
        tracking.add(&[("a", at(0.0))], &[(1, at(3.0)), (2, at(0.0))]);
        assert_eq!(tracking.switches(), 0);
    }
}
