//! The part of a picture that one chip needs, cut out once, and the warp that samples it.
//!
//! Pixels are packed three to a word, each in a lane of 21 bits, so that one multiplication weighs Y, U and V at once: a
//! bilinear sample is four multiplications. Chroma is taken from the nearest sample, as the usual converters do.

use rollcall_pipeline::{Chip, ImageView, PixelFormat};

use super::color::yuv_to_rgb;

/// Bits of a lane: 8 of the pixel, 12 of the weight, 1 to spare.
const LANE: u32 = 21;
const LANE_MASK: u64 = (1 << LANE) - 1;
/// Bits of the sub-pixel position, in each direction; OpenCV uses 5.
const SUB: u32 = 6;
/// Bits after the point of a source position.
const FRACTION: u32 = 16;
/// Half of the weights' sum in every lane, for rounding.
const ROUND: u64 = (1 << (2 * SUB - 1)) * (1 | 1 << LANE | 1 << (2 * LANE));
/// Below this many source pixels for one of the chip, bilinear interpolation leaves none out.
const REDUCE_FROM: f32 = 2.0;

fn pack(y: u8, u: u8, v: u8) -> u64 {
    u64::from(y) | u64::from(u) << LANE | u64::from(v) << (2 * LANE)
}

/// What lies outside of the picture is black, as in OpenCV's `warpAffine`, with which the models were trained.
const OUTSIDE: u64 = 16 | 128 << LANE | 128 << (2 * LANE);

/// Maps a position in the chip to one in the picture: `(a·x − b·y + x0, b·x + a·y + y0)`; positions count from pixel
/// centres, so 0 is the middle of the first pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Similarity {
    pub(crate) a: f32,
    pub(crate) b: f32,
    pub(crate) x0: f32,
    pub(crate) y0: f32,
}

impl Similarity {
    pub(crate) fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (self.a * x - self.b * y + self.x0, self.b * x + self.a * y + self.y0)
    }

    /// Pixels of the picture for one of the chip.
    pub(crate) fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    fn is_finite(&self) -> bool {
        [self.a, self.b, self.x0, self.y0].iter().all(|v| v.is_finite()) && self.scale() > 1e-6
    }
}

/// Samples `image` into a chip of `side` pixels. Bilinear; where the picture is more than twice as fine as the chip, blocks
/// of it are averaged first, so that nothing is skipped. A map that is not finite gives a black chip.
pub(crate) fn warp(image: &ImageView<'_>, map: &Similarity, side: usize) -> Chip {
    let mut chip = Chip { side, rgb: vec![0; side * side * 3] };
    if !map.is_finite() || side == 0 {
        return chip;
    }
    let reduce = if map.scale() >= REDUCE_FROM { map.scale().min(64.0) as usize } else { 1 };
    let Some(patch) = Patch::cut(image, map, side, reduce) else {
        return chip;
    };
    patch.sample(map, &mut chip);
    chip
}

/// A rectangle of a picture, each block of `reduce`×`reduce` pixels averaged to one.
struct Patch {
    /// Its first pixel, in the picture.
    left: usize,
    top: usize,
    reduce: usize,
    width: usize,
    height: usize,
    pixels: Vec<u64>,
}

impl Patch {
    /// Cuts what a chip of `side` pixels needs; `None` if that lies outside of the picture.
    fn cut(image: &ImageView<'_>, map: &Similarity, side: usize, reduce: usize) -> Option<Self> {
        let last = (side - 1) as f32;
        let corners = [(0.0, 0.0), (last, 0.0), (0.0, last), (last, last)].map(|(x, y)| map.apply(x, y));
        let margin = reduce as f32 + 1.0;
        let low = |of: fn(&(f32, f32)) -> f32| corners.iter().map(of).fold(f32::INFINITY, f32::min) - margin;
        let high = |of: fn(&(f32, f32)) -> f32| corners.iter().map(of).fold(f32::NEG_INFINITY, f32::max) + margin + 1.0;
        // `as usize` saturates: negative positions become 0.
        let (left, top) = (low(|c| c.0) as usize & !1, low(|c| c.1) as usize & !1);
        let (right, bottom) = ((high(|c| c.0) as usize).min(image.width), (high(|c| c.1) as usize).min(image.height));
        let (width, height) = (right.checked_sub(left)? / reduce, bottom.checked_sub(top)? / reduce);
        if width == 0 || height == 0 {
            return None;
        }
        let mut patch = Self { left, top, reduce, width, height, pixels: Vec::with_capacity(width * height) };
        if reduce == 1 {
            patch.copy(image)
        } else {
            patch.average(image)
        }
        Some(patch)
    }

    fn copy(&mut self, image: &ImageView<'_>) {
        let [luma, chroma, chroma_v] = &image.planes;
        let first = self.left / 2;
        for y in self.top..self.top + self.height {
            let ys = &luma.data[y * luma.stride + self.left..][..self.width];
            let row = y / 2 * chroma.stride;
            let pairs = self.width.div_ceil(2);
            match image.format {
                PixelFormat::I420 => {
                    let us = &chroma.data[row + first..][..pairs];
                    let vs = &chroma_v.data[y / 2 * chroma_v.stride + first..][..pairs];
                    for ((ys, &u), &v) in ys.chunks(2).zip(us).zip(vs) {
                        let uv = pack(0, u, v);
                        self.pixels.extend(ys.iter().map(|&y| u64::from(y) | uv));
                    }
                }
                PixelFormat::Nv12 => {
                    let uvs = &chroma.data[row + first * 2..][..pairs * 2];
                    for (ys, uv) in ys.chunks(2).zip(uvs.chunks_exact(2)) {
                        let uv = pack(0, uv[0], uv[1]);
                        self.pixels.extend(ys.iter().map(|&y| u64::from(y) | uv));
                    }
                }
            }
        }
    }

    fn average(&mut self, image: &ImageView<'_>) {
        let k = self.reduce;
        let [luma, chroma, chroma_v] = &image.planes;
        let mut columns = vec![0u32; self.width * k];
        let half = (k * k / 2) as u32;
        for block_y in 0..self.height {
            let top = self.top + block_y * k;
            columns.fill(0);
            for y in top..top + k {
                let row = &luma.data[y * luma.stride + self.left..][..columns.len()];
                for (sum, &value) in columns.iter_mut().zip(row) {
                    *sum += u32::from(value);
                }
            }
            // One row of chroma samples is enough: chroma is a quarter of the pixels and blurred by nature.
            let chroma_y = (top + k / 2) / 2;
            for (block_x, sums) in columns.chunks_exact(k).enumerate() {
                let y = (sums.iter().sum::<u32>() + half) / (k * k) as u32;
                let x = self.left + block_x * k;
                let (from, to) = (x / 2, (x + k - 1) / 2 + 1);
                let n = (to - from) as u32;
                let (u, v) = match image.format {
                    PixelFormat::I420 => {
                        let us = &chroma.data[chroma_y * chroma.stride..][from..to];
                        let vs = &chroma_v.data[chroma_y * chroma_v.stride..][from..to];
                        (us.iter().map(|&u| u32::from(u)).sum(), vs.iter().map(|&v| u32::from(v)).sum())
                    }
                    PixelFormat::Nv12 => {
                        let uvs = &chroma.data[chroma_y * chroma.stride..][from * 2..to * 2];
                        uvs.chunks_exact(2).fold((0, 0), |(u, v), uv| (u + u32::from(uv[0]), v + u32::from(uv[1])))
                    }
                };
                self.pixels.push(pack(y as u8, ((u + n / 2) / n) as u8, ((v + n / 2) / n) as u8));
            }
        }
    }

    fn sample(&self, map: &Similarity, chip: &mut Chip) {
        let reduce = self.reduce as f32;
        // The middle of the first block, in the picture.
        let (left, top) = (self.left as f32 + (reduce - 1.0) / 2.0, self.top as f32 + (reduce - 1.0) / 2.0);
        // 64 bits leave room for any position a finite map can name, after this clamp.
        let fixed = |v: f32| (v.clamp(-1e9, 1e9) * (1u32 << FRACTION) as f32) as i64;
        let (step_x, step_y) = (fixed(map.a / reduce), fixed(map.b / reduce));
        for (y, row) in chip.rgb.chunks_exact_mut(chip.side * 3).enumerate() {
            let (x0, y0) = map.apply(0.0, y as f32);
            let (mut sx, mut sy) = (fixed((x0 - left) / reduce), fixed((y0 - top) / reduce));
            for out in row.chunks_exact_mut(3) {
                let sum = self.bilinear(sx, sy);
                let lane = |n: u32| (sum >> (n * LANE + 2 * SUB) & (LANE_MASK >> (2 * SUB))) as i32;
                out.copy_from_slice(&yuv_to_rgb(lane(0), lane(1), lane(2)));
                sx += step_x;
                sy += step_y;
            }
        }
    }

    #[inline]
    fn bilinear(&self, sx: i64, sy: i64) -> u64 {
        let (x, y) = (sx >> FRACTION, sy >> FRACTION);
        let sub = |v: i64| (v >> (FRACTION - SUB)) as u64 & ((1 << SUB) - 1);
        let (fx, fy) = (sub(sx), sub(sy));
        let (gx, gy) = ((1 << SUB) - fx, (1 << SUB) - fy);
        let (p00, p01, p10, p11);
        if x >= 0 && y >= 0 && (x as usize) < self.width - 1 && (y as usize) < self.height - 1 {
            let at = y as usize * self.width + x as usize;
            let rows = &self.pixels[at..at + self.width + 2];
            (p00, p01, p10, p11) = (rows[0], rows[1], rows[self.width], rows[self.width + 1]);
        } else {
            let pixel = |x: i64, y: i64| {
                let inside = x >= 0 && y >= 0 && (x as usize) < self.width && (y as usize) < self.height;
                if inside { self.pixels[y as usize * self.width + x as usize] } else { OUTSIDE }
            };
            (p00, p01, p10, p11) = (pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1));
        }
        p00 * (gx * gy) + p01 * (fx * gy) + p10 * (gx * fy) + p11 * (fx * fy) + ROUND
    }
}
