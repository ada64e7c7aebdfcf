//! Which detection continues which track: the assignment with the largest sum of overlaps.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use rollcall_pipeline::Rect;

/// The assignment works on integers; an overlap of 1 becomes this.
const SCALE: f32 = 1e6;
/// A face does not become so many times larger or smaller than it was predicted; one behind it is that much smaller.
const MAX_GROWTH: f32 = 1.5;

/// Pairs of (track, detection) of about one size, each at most once, whose overlap (IoU) is at least `gate`; the sum of overlaps is
/// the largest possible.
pub(super) fn assign(tracks: &[Rect], detections: &[Rect], gate: f32) -> Vec<(usize, usize)> {
    if tracks.is_empty() || detections.is_empty() {
        return Vec::new();
    }
    // The algorithm wants no more rows than columns.
    let transposed = tracks.len() > detections.len();
    let (rows, columns) = if transposed { (detections, tracks) } else { (tracks, detections) };
    let weights = Matrix::from_fn(rows.len(), columns.len(), |(r, c)| {
        let overlap = rows[r].iou(&columns[c]);
        if overlap >= gate && are_one_size(&rows[r], &columns[c]) { (overlap * SCALE) as i64 } else { 0 }
    });
    let (_, assignment) = kuhn_munkres(&weights);
    assignment
        .into_iter()
        .enumerate()
        .filter(|&(r, c)| weights[(r, c)] > 0)
        .map(|(r, c)| if transposed { (c, r) } else { (r, c) })
        .collect()
}

fn are_one_size(a: &Rect, b: &Rect) -> bool {
    a.size().max(b.size()) <= MAX_GROWTH * a.size().min(b.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Rect {
        Rect { x, y: 0.0, w: 10.0, h: 10.0 }
    }

    #[test]
    fn the_sum_counts_not_the_first_come() {
        // Greedy would give detection 0 to track 0 (overlap 0.82) and leave track 1 with nothing.
        let pairs = assign(&[at(1.0), at(-4.0)], &[at(0.0), at(5.0)], 0.2);
        assert_eq!(pairs, [(0, 1), (1, 0)]);
    }

    #[test]
    fn a_face_behind_another_is_not_that_face() {
        let behind = Rect { x: 2.0, y: 2.0, w: 6.0, h: 6.0 };
        assert_eq!(assign(&[at(0.0)], &[behind], 0.25), []);
        assert_eq!(assign(&[behind], &[at(0.0)], 0.25), []);
        let nearer = Rect { x: -1.0, y: -1.0, w: 12.0, h: 12.0 };
        assert_eq!(assign(&[at(0.0)], &[nearer], 0.25), [(0, 0)]);
    }

    #[test]
    fn more_tracks_than_detections() {
        assert_eq!(assign(&[at(50.0), at(100.0), at(0.0)], &[at(1.0)], 0.25), [(2, 0)]);
        assert_eq!(assign(&[at(50.0)], &[at(1.0), at(2.0)], 0.25), []);
    }
}
