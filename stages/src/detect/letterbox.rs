//! A frame as the detector's tensor: scaled down, padded, converted. Colour is converted at the detector's size only.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::ArrayView4;
use pulp::NullaryFnOnce;
use rollcall_pipeline::{ErrorClass, Fault, ImageView, PixelFormat, Plane};

use super::shrink::{Ratio, Shrinker};
use super::windows::{CELL, Window};

/// Bounds of the longest side, whatever the configuration says.
const LONGEST: std::ops::RangeInclusive<usize> = 64..=4096;

/// Makes tensors; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Letterbox {
    resizer: Resizer,
    shrinker: Shrinker,
    /// The planes at the detector's size; chroma as it lies in the frame: half the size, apart (I420) or interleaved (NV12).
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    /// One row of U and one of V, as wide as luma.
    row: Vec<u8>,
    /// A plane whose last row lacks its padding is completed here.
    completed: Vec<u8>,
    tensor: Vec<f32>,
    /// Width and height of picture and tensor that the padding was cleared for.
    geometry: [usize; 4],
}

/// A frame, or a window of it, as the detector sees it.
#[derive(Debug)]
pub struct Letterboxed<'a> {
    /// 1×3×H×W, planes B, G, R, 0 to 255; zero to the right of and below the picture.
    pub tensor: ArrayView4<'a, f32>,
    /// Pixels of the frame for one of the tensor, in x and in y.
    pub scale: (f32, f32),
}

/// A frame's picture at the detector's size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Size of the frame.
    from: (usize, usize),
    /// Size of the picture within the tensor.
    to: (usize, usize),
}

impl Layout {
    pub(super) fn new(image: &ImageView<'_>, longest: u32) -> Self {
        Self { from: (image.width, image.height), to: fit(image.width, image.height, longest as usize) }
    }

    /// Columns and rows of cells: the network halves its input five times.
    pub(super) fn cells(&self) -> (usize, usize) {
        (self.to.0.div_ceil(CELL), self.to.1.div_ceil(CELL))
    }

    /// Pixels of the frame for one of the tensor, in x and in y.
    pub(super) fn scale(&self) -> (f32, f32) {
        (self.from.0 as f32 / self.to.0 as f32, self.from.1 as f32 / self.to.1 as f32)
    }
}

impl Letterbox {
    /// Scales `image` so that its longest side is at most `longest` pixels; never up.
    ///
    /// # Errors
    /// When the view's planes are shorter than its size says: a bug in the decoder.
    pub fn fill(&mut self, image: &ImageView<'_>, longest: u32) -> Result<Letterboxed<'_>, Fault> {
        let layout = Layout::new(image, longest);
        let (right, bottom) = layout.cells();
        self.fill_window(image, &layout, Window { left: 0, top: 0, right, bottom })
    }

    /// The same values as [`Self::fill`], of a window alone.
    pub(super) fn fill_window(
        &mut self,
        image: &ImageView<'_>,
        layout: &Layout,
        window: Window,
    ) -> Result<Letterboxed<'_>, Fault> {
        let (columns, rows) = ((window.right - window.left) * CELL, (window.bottom - window.top) * CELL);
        let (left, top) = (window.left * CELL, window.top * CELL);
        let (width, height) = (columns.min(layout.to.0 - left), rows.min(layout.to.1 - top));
        let geometry = [width, height, columns, rows];
        if self.geometry != geometry {
            self.geometry = geometry;
            // Pixels overwrite all but the padding.
            if (width, height) != (columns, rows) {
                self.tensor.clear();
            }
            self.tensor.resize(3 * columns * rows, 0.0);
        }
        let part = Part { of: layout.to, at: (left, top), size: (width, height) };
        let from = layout.from;
        let ratio = Ratio::between(from, layout.to);
        let ratio = ratio.filter(|_| Ratio::between(halve(from), part.of_chroma().of) == ratio);
        let mut scale = |plane: &Plane<'_>, from, pixel, part: Part, out: &mut Vec<u8>| match ratio {
            Some(ratio) => shrink(&mut self.shrinker, plane, from, pixel, (ratio, part), out),
            None => resize(&mut self.resizer, &mut self.completed, plane, from, pixel, part, out),
        };
        let [luma, chroma, chroma_v] = &image.planes;
        scale(luma, from, PixelType::U8, part, &mut self.luma)?;
        let [us, vs] = &mut self.chroma;
        match image.format {
            PixelFormat::I420 => {
                scale(chroma, halve(from), PixelType::U8, part.of_chroma(), us)?;
                scale(chroma_v, halve(from), PixelType::U8, part.of_chroma(), vs)?;
            }
            PixelFormat::Nv12 => scale(chroma, halve(from), PixelType::U8x2, part.of_chroma(), us)?,
        }
        self.convert(image.format, width, columns);
        let tensor = ArrayView4::from_shape((1, 3, rows, columns), &self.tensor)
            .map_err(|error| Fault::new(ErrorClass::Bug, error))?;
        Ok(Letterboxed { tensor, scale: layout.scale() })
    }

    fn convert(&mut self, format: PixelFormat, width: usize, columns: usize) {
        let Self { luma, chroma: [us, vs], row, tensor, .. } = self;
        row.resize(4 * width.div_ceil(2), 0);
        pulp::Arch::new().dispatch(Convert { luma, chroma: [us, vs], format, width, columns, row, tensor });
    }
}

/// The loop over pixels at the detector's size, compiled for what the processor has: a type and no closure, as in [`super::shrink`].
struct Convert<'a> {
    luma: &'a [u8],
    chroma: [&'a [u8]; 2],
    format: PixelFormat,
    /// Of the picture, and of the tensor.
    width: usize,
    columns: usize,
    row: &'a mut [u8],
    tensor: &'a mut [f32],
}

impl NullaryFnOnce for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { luma, chroma: [us, vs], format, width, columns, row, tensor } = self;
        let plane = tensor.len() / 3;
        let (blue, rest) = tensor.split_at_mut(plane);
        let (green, red) = rest.split_at_mut(plane);
        let half = width.div_ceil(2);
        let (row_u, row_v) = row.split_at_mut(2 * half);
        for (y, luma) in luma.chunks_exact(width).enumerate() {
            if y.is_multiple_of(2) {
                let from = y / 2 * half;
                match format {
                    PixelFormat::I420 => {
                        double(row_u, us[from..from + half].iter());
                        double(row_v, vs[from..from + half].iter());
                    }
                    PixelFormat::Nv12 => {
                        let uvs = &us[from * 2..(from + half) * 2];
                        double(row_u, uvs.iter().step_by(2));
                        double(row_v, uvs.iter().skip(1).step_by(2));
                    }
                }
            }
            let to = y * columns;
            let out = [&mut blue[to..to + width], &mut green[to..to + width], &mut red[to..to + width]];
            convert_row(out, luma, &row_u[..width], &row_v[..width]);
        }
    }
}

/// Each value twice: chroma of two neighbours.
#[inline(always)]
fn double<'a>(row: &mut [u8], values: impl Iterator<Item = &'a u8>) {
    for (pair, &value) in row.chunks_exact_mut(2).zip(values) {
        pair.fill(value);
    }
}

#[inline(always)]
fn convert_row([blue, green, red]: [&mut [f32]; 3], luma: &[u8], us: &[u8], vs: &[u8]) {
    let n = luma.len();
    let (blue, green, red, us, vs) = (&mut blue[..n], &mut green[..n], &mut red[..n], &us[..n], &vs[..n]);
    for x in 0..n {
        (blue[x], green[x], red[x]) = bgr(luma[x], us[x], vs[x]);
    }
}

/// BT.601 limited range, as in [`crate::chip::color`], but to the floats that the network wants.
#[inline(always)]
fn bgr(y: u8, u: u8, v: u8) -> (f32, f32, f32) {
    let (y, u, v) = (1.164_383 * (f32::from(y) - 16.0), f32::from(u) - 128.0, f32::from(v) - 128.0);
    let clip = |value: f32| value.clamp(0.0, 255.0);
    (clip(y + 2.017_232 * u), clip(y - 0.391_762 * u - 0.812_968 * v), clip(y + 1.596_027 * v))
}

/// Size of the picture within the tensor.
fn fit(width: usize, height: usize, longest: usize) -> (usize, usize) {
    let longest = longest.clamp(*LONGEST.start(), *LONGEST.end()).min(width.max(height)).max(1);
    let scaled = |side: usize| ((side * longest) as f32 / width.max(height).max(1) as f32).round().max(1.0) as usize;
    (scaled(width), scaled(height))
}

fn halve((width, height): (usize, usize)) -> (usize, usize) {
    (width.div_ceil(2), height.div_ceil(2))
}

/// A part of a plane at another size, in pixels of that size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// All of the plane.
    of: (usize, usize),
    /// Left and top edge of the part; even.
    at: (usize, usize),
    size: (usize, usize),
}

impl Part {
    /// All of the plane at this size.
    pub(crate) fn whole(size: (usize, usize)) -> Self {
        Self { of: size, at: (0, 0), size }
    }

    fn of_chroma(self) -> Self {
        Self { of: halve(self.of), at: halve(self.at), size: halve(self.size) }
    }
}

/// As [`resize`], by a simple ratio.
fn shrink(
    shrinker: &mut Shrinker,
    plane: &Plane<'_>,
    from: (usize, usize),
    pixel: PixelType,
    (ratio, part): (Ratio, Part),
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    check(plane, from, pixel)?;
    out.resize(part.size.0 * part.size.1 * pixel.size(), 0);
    match pixel {
        PixelType::U8x2 => shrinker.shrink::<2>(plane, ratio, part.at, part.size, out),
        _ => shrinker.shrink::<1>(plane, ratio, part.at, part.size, out),
    }
    Ok(())
}

/// Whether all of a picture is in a plane. The last row may lack its padding.
fn check(plane: &Plane<'_>, (width, height): (usize, usize), pixel: PixelType) -> Result<(), Fault> {
    let row = width * pixel.size();
    if plane.stride >= row && plane.data.len() >= plane.stride * height.saturating_sub(1) + row {
        return Ok(());
    }
    Err(Fault::new(ErrorClass::Bug, "a plane is shorter than the size of its picture"))
}

/// A plane of `width` × `height`, or a part of it, at another size; rows may be padded, the last one may lack its padding.
pub(crate) fn resize(
    resizer: &mut Resizer,
    completed: &mut Vec<u8>,
    plane: &Plane<'_>,
    (width, height): (usize, usize),
    pixel: PixelType,
    part: Part,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let bug = |error: &dyn std::fmt::Display| Fault::new(ErrorClass::Bug, error);
    // The padding of each row counts as pixels, which the cropped view hides again.
    let row = plane.stride / pixel.size();
    let needed = plane.stride * height;
    check(plane, (width, height), pixel)?;
    if !plane.stride.is_multiple_of(pixel.size()) {
        return Err(bug(&"a row of a plane ends within a pixel"));
    }
    let data = if plane.data.len() < needed {
        completed.clear();
        completed.extend_from_slice(plane.data);
        completed.resize(needed, 0);
        &completed[..]
    } else {
        plane.data
    };
    let (to_width, to_height) = part.size;
    out.resize(to_width * to_height * pixel.size(), 0);
    let source = ImageRef::new(row as u32, height as u32, data, pixel).map_err(|e| bug(&e))?;
    let source = CroppedImage::new(&source, 0, 0, width as u32, height as u32).map_err(|e| bug(&e))?;
    let mut target = Image::from_slice_u8(to_width as u32, to_height as u32, out, pixel).map_err(|e| bug(&e))?;
    // Where the part begins and how long it is; rounding must not carry it over the edge.
    let span = |side: usize, of: usize, at: usize, size: usize| {
        let scale = side as f64 / of as f64;
        let from = at as f64 * scale;
        (from, (size as f64 * scale).min(side as f64 - from))
    };
    let (left, crop_width) = span(width, part.of.0, part.at.0, to_width);
    let (top, crop_height) = span(height, part.of.1, part.at.1, to_height);
    // The mean of what a pixel stands for has half the taps of a bilinear filter, and the detector finds the same in it; where
    // a pixel stands for less than two, means are uneven.
    let filter = if width >= 2 * part.of.0 { FilterType::Box } else { FilterType::Bilinear };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .crop(left, top, crop_width, crop_height)
        // Two channels are U and V here, not luma and alpha.
        .use_alpha(false);
    resizer.resize(&source, &mut target, &options).map_err(|e| bug(&e))
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, Slice};
    use proptest::prelude::*;
    use rollcall_pipeline::PixelBuffer as _;
    use rollcall_pipeline::image::I420;

    use super::*;

    #[test]
    fn a_frame_is_scaled_down_padded_with_zeros_and_blue_comes_first() {
        let image = I420::from_rgb(200, 100, &[250, 130, 20].repeat(200 * 100));
        let mut letterbox = Letterbox::default();
        let boxed = letterbox.fill(&image.view(), 100).unwrap();
        assert_eq!(boxed.tensor.dim(), (1, 3, 64, 128));
        assert_eq!(boxed.scale, (2.0, 2.0));
        for (channel, expected) in [20.0, 130.0, 250.0].into_iter().enumerate() {
            assert!((boxed.tensor[[0, channel, 25, 50]] - expected).abs() < 5.0);
            assert_eq!(boxed.tensor[[0, channel, 55, 50]], 0.0);
            assert_eq!(boxed.tensor[[0, channel, 25, 110]], 0.0);
        }
    }

    #[test]
    fn a_small_frame_is_not_enlarged() {
        let image = I420::filled(90, 70, [100, 128, 128]);
        let mut letterbox = Letterbox::default();
        let boxed = letterbox.fill(&image.view(), 640).unwrap();
        assert_eq!((boxed.tensor.dim(), boxed.scale), ((1, 3, 96, 96), (1.0, 1.0)));
    }

    /// The same picture in both layouts, with padded rows and a last row without its padding.
    #[test]
    fn nv12_with_padding_gives_the_same_tensor() {
        let rgb: Vec<u8> = (0..75 * 51).flat_map(|i| [(i % 251) as u8, (i % 83 * 3) as u8, 90]).collect();
        let image = I420::from_rgb(75, 51, &rgb);
        let view = image.view();
        let pad = |plane: &Plane<'_>, stride: usize| {
            let rows: Vec<_> = plane.data.chunks(plane.stride).collect();
            let mut data: Vec<u8> = rows.iter().flat_map(|r| [r, &vec![7; stride - r.len()][..]].concat()).collect();
            data.truncate(data.len() - (stride - plane.stride));
            data
        };
        let interleaved: Vec<u8> =
            view.planes[1].data.iter().zip(view.planes[2].data).flat_map(|(&u, &v)| [u, v]).collect();
        let (luma, chroma) = (pad(&view.planes[0], 80), pad(&Plane { data: &interleaved, stride: 76 }, 80));
        let nv12 = ImageView {
            format: PixelFormat::Nv12,
            planes: [
                Plane { data: &luma, stride: 80 },
                Plane { data: &chroma, stride: 80 },
                Plane { data: &[], stride: 0 },
            ],
            ..view
        };
        let (mut a, mut b) = (Letterbox::default(), Letterbox::default());
        assert_eq!(a.fill(&view, 64).unwrap().tensor, b.fill(&nv12, 64).unwrap().tensor);
    }

    #[test]
    fn a_plane_that_is_too_short_is_an_error() {
        let image = I420::filled(64, 64, [0; 3]);
        let mut view = image.view();
        view.planes[0].data = &view.planes[0].data[..1000];
        assert!(Letterbox::default().fill(&view, 64).is_err());
    }

    /// Each window of a frame holds what the whole tensor has there.
    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let sizes = [
            (300, 170, 200),
            (1000, 563, 640),
            (640, 480, 640),
            (97, 211, 160),
            (960, 540, 320),
            (480, 288, 320),
            (400, 300, 320),
        ];
        for (width, height, longest) in sizes {
            let rgb: Vec<u8> = (0..width * height)
                .flat_map(|i| [(i % 251) as u8, (i / width % 201) as u8, (i * i % 97) as u8])
                .collect();
            let image = I420::from_rgb(width, height, &rgb);
            let (mut whole, mut part) = (Letterbox::default(), Letterbox::default());
            let layout = Layout::new(&image.view(), longest);
            let (columns, rows) = layout.cells();
            let all = whole.fill(&image.view(), longest).unwrap().tensor;
            for (left, top) in (0..columns).flat_map(|x| (0..rows).map(move |y| (x, y))) {
                let window = Window { left, top, right: (left + 3).min(columns), bottom: (top + 2).min(rows) };
                let boxed = part.fill_window(&image.view(), &layout, window).unwrap();
                let span = |from: usize, to: usize| Slice::from(from * CELL..to * CELL);
                let lines = all.slice_axis(Axis(2), span(top, window.bottom));
                let expected = lines.slice_axis(Axis(3), span(left, window.right));
                let apart = boxed.tensor.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // The filter's weights are rounded: one level of luma or two of chroma.
                assert!(apart < 6.0, "{width}x{height} at {longest}, {window:?}: {apart}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_picture_fits(width in 1usize..5000, height in 1usize..5000, longest in 0usize..9000) {
            let (w, h) = fit(width, height, longest);
            prop_assert!(w >= 1 && h >= 1 && w <= width && h <= height);
            prop_assert!(w.max(h) <= longest.max(64) && w.max(h) <= 4096);
        }
    }
}
