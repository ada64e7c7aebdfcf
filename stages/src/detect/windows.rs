//! Few rectangles that cover what is to be searched. Pure.
//!
//! The unit is the cell: [`CELL`] pixels of the detector's tensor, what the network's coarsest anchor stands for. Windows begin at
//! cells, so that a window has the very anchors that the whole tensor has there.

use rollcall_pipeline::Rect;

/// Pixels of the tensor.
pub(super) const CELL: usize = 32;
/// What a window costs beside its cells, in cells.
const OVERHEAD: usize = 4;
/// From this part of the picture on windows are not worth their edges.
const WORTH: f32 = 0.8;
/// More pieces than this are not put together: so much movement is everywhere.
const MAX_PIECES: usize = 48;

/// A part of the detector's tensor, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) right: usize,
    pub(super) bottom: usize,
}

impl Window {
    /// In cells.
    pub(super) fn area(&self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }

    fn cost(&self) -> usize {
        self.area() + OVERHEAD
    }

    fn union(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// The windows of a tensor of `columns` × `rows` cells in which all of `places` (pixels of the tensor) lie, with a cell around
/// each: what the network sees beside a face is part of what it says of it. They do not overlap. `None`: search everywhere.
pub(super) fn cover(places: impl Iterator<Item = Rect>, (columns, rows): (usize, usize)) -> Option<Vec<Window>> {
    let mut asked = vec![false; columns * rows];
    for place in places {
        let cell = |pixel: f32, most: usize| ((pixel / CELL as f32).floor().max(0.0) as usize).min(most - 1);
        let (left, right) = (cell(place.x, columns).saturating_sub(1), cell(place.x + place.w, columns) + 2);
        let (top, bottom) = (cell(place.y, rows).saturating_sub(1), cell(place.y + place.h, rows) + 2);
        for row in top..bottom.min(rows) {
            asked[row * columns..][left..right.min(columns)].fill(true);
        }
    }
    let mut windows = pieces(&mut asked, columns)?;
    while let Some((i, j)) = best_pair(&windows) {
        let other = windows.swap_remove(j);
        windows[i] = windows[i].union(&other);
    }
    let cost: usize = windows.iter().map(Window::cost).sum();
    (cost as f32 <= WORTH * (columns * rows) as f32).then_some(windows)
}

/// The rectangles around what hangs together; `asked` is used up.
fn pieces(asked: &mut [bool], columns: usize) -> Option<Vec<Window>> {
    let mut pieces = Vec::new();
    let mut open = Vec::new();
    for seed in 0..asked.len() {
        if !std::mem::take(&mut asked[seed]) {
            continue;
        }
        if pieces.len() == MAX_PIECES {
            return None;
        }
        let at = |cell: usize| Window {
            left: cell % columns,
            top: cell / columns,
            right: cell % columns + 1,
            bottom: cell / columns + 1,
        };
        let mut piece = at(seed);
        open.push(seed);
        while let Some(cell) = open.pop() {
            piece = piece.union(&at(cell));
            let beside = [
                (cell % columns > 0).then(|| cell - 1),
                (cell % columns + 1 < columns).then_some(cell + 1),
                cell.checked_sub(columns),
                (cell + columns < asked.len()).then_some(cell + columns),
            ];
            for cell in beside.into_iter().flatten() {
                if std::mem::take(&mut asked[cell]) {
                    open.push(cell);
                }
            }
        }
        pieces.push(piece);
    }
    Some(pieces)
}

/// The two windows that gain most by becoming one, the lower index first: those that overlap have to.
fn best_pair(windows: &[Window]) -> Option<(usize, usize)> {
    let pairs = (0..windows.len()).flat_map(|j| (0..j).map(move |i| (i, j)));
    let gains = pairs.filter_map(|(i, j)| {
        let (a, b) = (&windows[i], &windows[j]);
        let gain = (a.cost() + b.cost()).checked_sub(a.union(b).cost());
        let overlaps = a.overlaps(b);
        (overlaps || gain.is_some()).then_some(((overlaps, gain), (i, j)))
    });
    gains.max_by_key(|(gain, _)| *gain).map(|(_, pair)| pair)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(x: f32, y: f32, side: f32) -> Rect {
        Rect { x, y, w: side, h: side }
    }

    fn window(left: usize, top: usize, right: usize, bottom: usize) -> Window {
        Window { left, top, right, bottom }
    }

    #[test]
    fn a_place_has_a_cell_around_it_and_stays_inside() {
        let windows = |x, y| cover([place(x, y, 10.0)].into_iter(), (20, 12));
        assert_eq!(windows(330.0, 200.0), Some(vec![window(9, 5, 12, 8)]));
        assert_eq!(windows(0.0, 0.0), Some(vec![window(0, 0, 2, 2)]));
        assert_eq!(windows(635.0, 380.0), Some(vec![window(18, 10, 20, 12)]));
        assert_eq!(windows(-900.0, 9000.0), Some(vec![window(0, 10, 2, 12)]), "outside is at the edge");
    }

    #[test]
    fn neighbours_share_a_window_and_distant_places_do_not() {
        let near = [place(100.0, 100.0, 20.0), place(170.0, 100.0, 20.0)];
        assert_eq!(cover(near.into_iter(), (20, 12)).unwrap().len(), 1);
        let far = [place(10.0, 10.0, 20.0), place(600.0, 350.0, 20.0)];
        assert_eq!(cover(far.into_iter(), (20, 12)).unwrap().len(), 2);
    }

    #[test]
    fn movement_everywhere_is_searched_everywhere() {
        assert_eq!(cover([place(0.0, 0.0, 600.0)].into_iter(), (20, 12)), None);
        let scattered = (0..60).flat_map(|x| (0..60).map(move |y| place(x as f32 * 128.0, y as f32 * 128.0, 1.0)));
        assert_eq!(cover(scattered, (128, 128)), None);
    }

    #[test]
    fn nothing_asked_is_nothing_searched() {
        assert_eq!(cover(std::iter::empty(), (20, 12)), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn every_place_lies_in_one_window_and_windows_never_overlap(
            places in prop::collection::vec((0.0f32..640.0, 0.0f32..384.0, 1.0f32..150.0), 0..40)
        ) {
            let (columns, rows) = (20, 12);
            let places: Vec<Rect> = places.into_iter().map(|(x, y, side)| place(x, y, side)).collect();
            if let Some(windows) = cover(places.iter().copied(), (columns, rows)) {
                for (i, a) in windows.iter().enumerate() {
                    prop_assert!(a.left < a.right && a.right <= columns && a.top < a.bottom && a.bottom <= rows);
                    prop_assert!(windows[..i].iter().all(|b| !a.overlaps(b)), "{windows:?}");
                }
                for p in &places {
                    let holds = |w: &Window| {
                        (w.left * CELL) as f32 <= p.x && (w.top * CELL) as f32 <= p.y
                            && (p.x + p.w).min(640.0) <= (w.right * CELL) as f32
                            && (p.y + p.h).min(384.0) <= (w.bottom * CELL) as f32
                    };
                    prop_assert!(windows.iter().any(holds), "{p:?} in {windows:?}");
                }
                let area: usize = windows.iter().map(Window::area).sum();
                prop_assert!(area as f32 <= WORTH * (columns * rows) as f32);
            }
        }
    }
}
