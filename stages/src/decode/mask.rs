//! Privacy masks: parts of the picture that nobody, not even the detector, may see.

use std::ops::Range;

use rollcall_pipeline::{Image, ImageView, PixelBuffer, PixelFormat, Plane, Polygon};

/// Black in limited range, as cameras send it.
const BLACK: u8 = 16;
/// No colour.
const NEUTRAL: u8 = 128;

/// The masks of a camera for one picture size: which spans of which rows are painted over.
///
/// A pixel that a mask so much as touches is painted, and so is every colour sample that belongs to such a pixel.
#[derive(Clone, Debug)]
pub struct Masks {
    width: usize,
    height: usize,
    luma: Vec<Vec<Range<usize>>>,
    chroma: Vec<Vec<Range<usize>>>,
}

impl Masks {
    /// Lays polygons (in relative coordinates) over pictures of a size; `None` when there is nothing to paint.
    pub fn new(polygons: &[Polygon], width: usize, height: usize) -> Option<Self> {
        let luma: Vec<Vec<Range<usize>>> =
            (0..height).map(|row| merge(polygons.iter().flat_map(|p| spans(p, row, width, height)))).collect();
        if luma.iter().all(Vec::is_empty) {
            return None;
        }
        let chroma =
            luma.chunks(2).map(|rows| merge(rows.iter().flatten().map(|s| s.start / 2..s.end.div_ceil(2)))).collect();
        Some(Self { width, height, luma, chroma })
    }

    /// Whether the masks were made for pictures of this size.
    pub fn fits(&self, view: &ImageView<'_>) -> bool {
        (self.width, self.height) == (view.width, view.height)
    }

    /// A copy of the picture with the masks painted over. Decoded pictures are shared with the decoder, which still needs
    /// them to predict the next ones, so they cannot be painted themselves.
    ///
    /// # Panics
    /// If the picture has another size: see [`Masks::fits`].
    pub fn paint(&self, view: &ImageView<'_>) -> Image {
        assert!(self.fits(view), "masks for another picture size");
        let (cw, ch) = (view.width.div_ceil(2), view.height.div_ceil(2));
        let planes: &[(usize, usize, u8)] = match view.format {
            PixelFormat::I420 => &[(view.width, view.height, BLACK), (cw, ch, NEUTRAL), (cw, ch, NEUTRAL)],
            PixelFormat::Nv12 => &[(view.width, view.height, BLACK), (cw * 2, ch, NEUTRAL)],
        };
        let mut data = Vec::with_capacity(planes.iter().map(|(w, h, _)| w * h).sum());
        for (plane, &(width, rows, value)) in planes.iter().enumerate() {
            let source = view.planes[plane];
            let spans = if plane == 0 { &self.luma } else { &self.chroma };
            // Interleaved colour has two bytes a sample.
            let bytes = if plane > 0 && view.format == PixelFormat::Nv12 { 2 } else { 1 };
            for (row, spans) in (0..rows).zip(spans) {
                let from = row * source.stride;
                let start = data.len();
                data.extend_from_slice(&source.data[from..from + width]);
                for span in spans {
                    data[start + span.start * bytes..start + (span.end * bytes).min(width)].fill(value);
                }
            }
        }
        Image::new(Painted { format: view.format, width: view.width, height: view.height, data })
    }
}

/// The pixels of a row that a polygon touches.
fn spans(polygon: &Polygon, row: usize, width: usize, height: usize) -> Vec<Range<usize>> {
    let (top, bottom) = (row as f32, row as f32 + 1.0);
    let points: Vec<(f32, f32)> = polygon.0.iter().map(|p| (p.x * width as f32, p.y * height as f32)).collect();
    if points.len() < 3 || points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        return Vec::new();
    }
    let to_pixels = |from: f32, to: f32| {
        let clamp = |v: f32| v.clamp(0.0, width as f32) as usize;
        clamp(from.floor())..clamp(to.ceil())
    };
    let mut found = Vec::new();
    let mut crossings = Vec::new();
    let middle = f32::midpoint(top, bottom);
    for (i, &(x1, y1)) in points.iter().enumerate() {
        let (x0, y0) = points[if i == 0 { points.len() - 1 } else { i - 1 }];
        // The part of the edge within this row: its whole width is touched.
        let (low, high) = (y0.min(y1).max(top), y0.max(y1).min(bottom));
        if low < high {
            let at = |y: f32| x0 + (x1 - x0) * ((y - y0) / (y1 - y0)).clamp(0.0, 1.0);
            found.push(to_pixels(at(low).min(at(high)), at(low).max(at(high))));
        } else if y0 == y1 && y0 > top && y0 < bottom {
            found.push(to_pixels(x0.min(x1), x0.max(x1)));
        }
        if (y0 > middle) != (y1 > middle) {
            crossings.push(x0 + (x1 - x0) * (middle - y0) / (y1 - y0));
        }
    }
    // What lies between edges: inside and away from every edge, the middle of the row speaks for all of it.
    crossings.sort_by(f32::total_cmp);
    found.extend(crossings.chunks_exact(2).map(|pair| to_pixels(pair[0], pair[1])));
    found
}

/// Sorted, without overlaps and empty ones.
fn merge(spans: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = spans.filter(|s| !s.is_empty()).collect();
    all.sort_by_key(|s| s.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(all.len());
    for span in all {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// A painted picture, rows without padding.
struct Painted {
    format: PixelFormat,
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl PixelBuffer for Painted {
    fn view(&self) -> ImageView<'_> {
        let (cw, ch) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let (y, rest) = self.data.split_at(self.width * self.height);
        let luma = Plane { data: y, stride: self.width };
        let planes = match self.format {
            PixelFormat::I420 => {
                let (u, v) = rest.split_at(cw * ch);
                [luma, Plane { data: u, stride: cw }, Plane { data: v, stride: cw }]
            }
            PixelFormat::Nv12 => [luma, Plane { data: rest, stride: cw * 2 }, Plane { data: &[], stride: 0 }],
        };
        ImageView { format: self.format, width: self.width, height: self.height, planes }
    }

    fn byte_len(&self) -> usize {
        self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::Point;

    use super::*;

    fn polygon(points: &[(f32, f32)]) -> Polygon {
        Polygon(points.iter().map(|&(x, y)| Point { x, y }).collect())
    }

    #[track_caller]
    fn check(points: &[(f32, f32)], expected: &[&str]) {
        let (width, height) = (expected[0].len(), expected.len());
        let masks = Masks::new(&[polygon(points)], width, height);
        let drawn: Vec<String> = (0..height)
            .map(|row| {
                let spans = masks.as_ref().map(|m| m.luma[row].clone()).unwrap_or_default();
                (0..width).map(|x| if spans.iter().any(|s| s.contains(&x)) { '#' } else { '.' }).collect()
            })
            .collect();
        assert_eq!(drawn, expected);
    }

    #[test]
    fn touched_pixels_are_painted() {
        check(&[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)], &["....", ".##.", ".##.", "...."]);
        // Half a pixel is a pixel.
        check(&[(0.30, 0.30), (0.70, 0.30), (0.70, 0.70), (0.30, 0.70)], &["....", ".##.", ".##.", "...."]);
        check(&[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], &["####", "###.", "##..", "#..."]);
        // Beyond the picture.
        check(&[(-9.0, 0.5), (9.0, 0.5), (9.0, 9.0), (-9.0, 9.0)], &["....", "....", "####", "####"]);
        // Nothing.
        check(&[(0.5, 0.5), (0.6, 0.6)], &["....", "...."]);
        check(&[(f32::NAN, 0.5), (0.6, 0.6), (0.1, 0.1)], &["....", "...."]);
    }

    #[test]
    fn colour_goes_with_the_pixels() {
        let view = |data: &'static [u8], format| ImageView {
            format,
            width: 4,
            height: 2,
            planes: match format {
                PixelFormat::I420 => [
                    Plane { data: &data[..8], stride: 4 },
                    Plane { data: &data[..2], stride: 2 },
                    Plane { data: &data[..2], stride: 2 },
                ],
                PixelFormat::Nv12 => [
                    Plane { data: &data[..8], stride: 4 },
                    Plane { data: &data[..4], stride: 4 },
                    Plane { data: &[], stride: 0 },
                ],
            },
        };
        let masks = Masks::new(&[polygon(&[(0.5, 0.0), (0.75, 0.0), (0.75, 0.5), (0.5, 0.5)])], 4, 2).unwrap();
        let painted = masks.paint(&view(&[77; 8], PixelFormat::I420));
        assert_eq!(painted.view().planes[0].data, [77, 77, 16, 77, 77, 77, 77, 77]);
        assert_eq!(painted.view().planes[1].data, [77, 128]);
        assert_eq!(painted.view().planes[2].data, [77, 128]);
        let painted = masks.paint(&view(&[77; 8], PixelFormat::Nv12));
        assert_eq!(painted.view().planes[1].data, [77, 77, 128, 128]);
    }

    proptest! {
        #[test]
        fn every_pixel_whose_middle_is_inside_is_painted(
            points in prop::collection::vec((-0.5f32..1.5, -0.5f32..1.5), 3..8),
            width in 1usize..40,
            height in 1usize..40,
        ) {
            let polygon = polygon(&points);
            let masks = Masks::new(std::slice::from_ref(&polygon), width, height);
            for y in 0..height {
                for x in 0..width {
                    // Three probes in each pixel, so that thin parts are met too.
                    for (dx, dy) in [(0.5, 0.5), (0.2, 0.8), (0.9, 0.1)] {
                        let probe = Point { x: (x as f32 + dx) / width as f32, y: (y as f32 + dy) / height as f32 };
                        if polygon.contains(probe) {
                            let painted = masks.as_ref().is_some_and(|m| m.luma[y].iter().any(|s| s.contains(&x)));
                            prop_assert!(painted, "pixel {x},{y} of {width}x{height}");
                        }
                    }
                }
            }
        }
    }
}
