//! A picture that is drawn on: the planes of a frame, scaled down, in the colours that cameras send.
//!
//! It stays in luma and chroma from the decoder to the JPEG, so no pixel is converted that is not drawn on. It deliberately
//! knows nothing of faces.

use std::borrow::Cow;

use fast_image_resize::{PixelType, Resizer};
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};
use rollcall_pipeline::{ErrorClass, Fault, ImageView, PixelFormat};
use unicode_bidi::{BidiInfo, Level};
use unifont::get_glyph;

use crate::detect::{Part, resize_plane};

/// Longest side of a picture that is shown, in pixels.
pub(super) const LONGEST: usize = 1280;
/// Height of a line of text, in pixels: that of the font.
pub(super) const LINE: usize = 16;
/// Enough for faces to be told apart; twice the size brings little more.
const QUALITY: u8 = 80;
/// Stands for what the font lacks.
const MISSING: char = '\u{fffd}';

/// Luma, blue and red difference; limited range, as cameras send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) [u8; 3]);

/// Pixels to draw on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    luma: Vec<u8>,
    /// Half the size, rounded up.
    chroma: [Vec<u8>; 2],
}

/// A part of a canvas, half-open, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
}

/// Makes canvases; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Scaler {
    resizer: Resizer,
    completed: Vec<u8>,
    interleaved: Vec<u8>,
}

impl Scaler {
    /// The picture, scaled so that its longest side is at most [`LONGEST`] pixels; never up.
    ///
    /// # Errors
    /// When the view's planes are shorter than its size says: a bug in the decoder.
    pub(super) fn scale(&mut self, image: &ImageView<'_>) -> Result<Canvas, Fault> {
        let (from, to) = ((image.width, image.height), fit(image.width, image.height));
        let halve = |(width, height): (usize, usize)| (width.div_ceil(2), height.div_ceil(2));
        let mut canvas = Canvas { width: to.0, height: to.1, ..Canvas::default() };
        let Self { resizer, completed, interleaved } = self;
        let [us, vs] = &mut canvas.chroma;
        resize_plane(resizer, completed, &image.planes[0], from, PixelType::U8, Part::whole(to), &mut canvas.luma)?;
        let (from, to) = (halve(from), Part::whole(halve(to)));
        match image.format {
            PixelFormat::I420 => {
                resize_plane(resizer, completed, &image.planes[1], from, PixelType::U8, to, us)?;
                resize_plane(resizer, completed, &image.planes[2], from, PixelType::U8, to, vs)?;
            }
            PixelFormat::Nv12 => {
                resize_plane(resizer, completed, &image.planes[1], from, PixelType::U8x2, to, interleaved)?;
                (*us, *vs) = interleaved.as_chunks().0.iter().map(|&[u, v]| (u, v)).unzip();
            }
        }
        Ok(canvas)
    }
}

/// Size of the picture that is shown.
fn fit(width: usize, height: usize) -> (usize, usize) {
    let longest = width.max(height).max(1);
    let scaled = |side: usize| if longest > LONGEST { (side * LONGEST).div_ceil(longest) } else { side };
    (scaled(width).max(1), scaled(height).max(1))
}

impl Canvas {
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// Paints an area over; what lies outside of the picture is left out.
    pub(super) fn fill(&mut self, area: Area, colour: Colour) {
        let columns = clip(area.left, area.right, self.width);
        let rows = clip(area.top, area.bottom, self.height);
        if columns.is_empty() {
            return;
        }
        let half = self.width.div_ceil(2);
        for row in rows.clone() {
            self.luma[row * self.width..][columns.clone()].fill(colour.0[0]);
        }
        for row in rows.start / 2..rows.end.div_ceil(2) {
            let span = columns.start / 2..columns.end.div_ceil(2);
            for (plane, value) in self.chroma.iter_mut().zip(&colour.0[1..]) {
                plane[row * half..][span.clone()].fill(*value);
            }
        }
    }

    /// Draws the edges of an area, `thickness` pixels inwards.
    pub(super) fn outline(&mut self, area: Area, thickness: i32, colour: Colour) {
        let Area { left, top, right, bottom } = area;
        self.fill(Area { bottom: top + thickness, ..area }, colour);
        self.fill(Area { top: bottom - thickness, ..area }, colour);
        self.fill(Area { right: left + thickness, ..area }, colour);
        self.fill(Area { left: right - thickness, ..area }, colour);
    }

    /// Writes a line of text on a ground of its own, its upper left corner as near to (`left`, `top`) as the picture allows.
    pub(super) fn label(&mut self, text: &str, left: i32, top: i32, ink: Colour, ground: Colour) {
        const PAD: i32 = 3;
        let glyphs: Vec<_> = in_reading_order(text).chars().filter(|c| !c.is_control()).filter_map(glyph).collect();
        let width = glyphs.iter().map(|glyph| glyph.get_width()).sum::<usize>() as i32 + 2 * PAD;
        let height = LINE as i32 + 2;
        let left = left.min(self.width as i32 - width).max(0);
        let top = top.min(self.height as i32 - height).max(0);
        self.fill(Area { left, top, right: left.saturating_add(width), bottom: top + height }, ground);
        let mut x = left as usize + PAD as usize;
        for glyph in glyphs {
            for (row, column) in (0..LINE).flat_map(|row| (0..glyph.get_width()).map(move |column| (row, column))) {
                if glyph.get_pixel(column, row) {
                    self.dot(x + column, top as usize + 1 + row, ink);
                }
            }
            x += glyph.get_width();
        }
    }

    /// Luma only: at half the size, the colour of thin strokes would smear the ground.
    fn dot(&mut self, x: usize, y: usize, ink: Colour) {
        if x < self.width && y < self.height {
            self.luma[y * self.width + x] = ink.0[0];
        }
    }

    /// The picture as a JPEG.
    ///
    /// # Errors
    /// When the encoder refuses, which it has no reason to.
    pub(super) fn jpeg(&self) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(self.luma.len() / 8);
        let mut encoder = Encoder::new(&mut out, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.encode_image(Rows(self)).map_err(|error| Fault::new(ErrorClass::Bug, error))?;
        Ok(out)
    }
}

/// The characters from left to right: names of Hebrew and Arabic run the other way. Arabic letters stay unjoined.
fn in_reading_order(text: &str) -> Cow<'_, str> {
    let info = BidiInfo::new(text, Some(Level::ltr()));
    match info.paragraphs.as_slice() {
        [line] => Cow::Owned(info.reorder_line(line, line.range.clone()).into_owned()),
        _ => Cow::Borrowed(text),
    }
}

fn glyph(c: char) -> Option<&'static unifont::Glyph> {
    get_glyph(c).or_else(|| get_glyph(MISSING))
}

fn clip(from: i32, to: i32, size: usize) -> std::ops::Range<usize> {
    let inside = |v: i32| usize::try_from(v).unwrap_or(0).min(size);
    inside(from)..inside(to).max(inside(from))
}

/// A canvas as the encoder reads it: row by row, full range.
struct Rows<'a>(&'a Canvas);

/// From 16..=235 to 0..=255.
const LUMA: [u8; 256] = stretch(16, 219);
/// From 16..=240 around 128 to 0..=255 around 128.
const CHROMA: [u8; 256] = stretch_around_middle();

/// As [`Ord::clamp`], which no constant may call.
const fn clamped(value: i32) -> u8 {
    if value < 0 {
        0
    } else if value > 255 {
        255
    } else {
        value as u8
    }
}

const fn stretch(black: i32, range: i32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = clamped(((i as i32 - black) * 255 + range / 2) / range);
        i += 1;
    }
    table
}

const fn stretch_around_middle() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = clamped(128 + (i as i32 - 128) * 255 / 224);
        i += 1;
    }
    table
}

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        // `fit` holds both sides to LONGEST.
        self.0.width as u16
    }

    fn height(&self) -> u16 {
        self.0.height as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let Canvas { width, luma, chroma, .. } = self.0;
        let (y, half) = (usize::from(y), width.div_ceil(2));
        let [luma_out, chroma_out @ .., _] = buffers;
        luma_out.extend(luma[y * width..][..*width].iter().map(|&v| LUMA[usize::from(v)]));
        for (plane, out) in chroma.iter().zip(chroma_out) {
            // Doubled here, halved again by the encoder, which takes every other sample.
            let row = plane[y / 2 * half..][..half].iter().map(|&v| CHROMA[usize::from(v)]);
            out.extend(row.flat_map(|v| [v, v]).take(*width));
        }
    }
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;
    use proptest::prelude::*;
    use rollcall_pipeline::PixelBuffer as _;
    use rollcall_pipeline::image::I420;

    use super::*;

    const RED: Colour = Colour([81, 90, 240]);
    const WHITE: Colour = Colour([235, 128, 128]);

    fn canvas(width: usize, height: usize) -> Canvas {
        Scaler::default().scale(&I420::filled(width, height, [16, 128, 128]).view()).unwrap()
    }

    fn decoded(canvas: &Canvas) -> image::RgbImage {
        image::load_from_memory_with_format(&canvas.jpeg().unwrap(), ImageFormat::Jpeg).unwrap().into_rgb8()
    }

    #[test]
    fn colours_survive_from_camera_to_jpeg() {
        for rgb in [[250, 20, 20], [20, 240, 30], [255, 255, 255], [0, 0, 0], [128, 128, 128]] {
            let frame = I420::from_rgb(64, 48, &rgb.repeat(64 * 48));
            let shown = decoded(&Scaler::default().scale(&frame.view()).unwrap());
            assert_eq!(shown.dimensions(), (64, 48));
            for (a, b) in rgb.into_iter().zip(shown.get_pixel(31, 20).0) {
                assert!(a.abs_diff(b) <= 6, "{rgb:?} is shown as {:?}", shown.get_pixel(31, 20));
            }
        }
    }

    #[test]
    fn large_pictures_are_scaled_down_and_small_ones_are_not_enlarged() {
        let size = |w, h| (canvas(w, h).width(), canvas(w, h).height());
        assert_eq!(size(1920, 1080), (1280, 720));
        assert_eq!(size(1080, 1920), (720, 1280));
        assert_eq!(size(333, 7), (333, 7));
        assert_eq!(size(4000, 1), (1280, 1));
    }

    #[test]
    fn an_outline_leaves_its_inside() {
        let mut drawn = canvas(100, 80);
        drawn.outline(Area { left: 20, top: 10, right: 60, bottom: 50 }, 2, WHITE);
        let luma = |x: usize, y: usize| drawn.luma[y * 100 + x];
        assert_eq!([luma(20, 10), luma(59, 49), luma(21, 30), luma(40, 30), luma(60, 30)], [235, 235, 235, 16, 16]);
    }

    /// How many pixels a text takes.
    fn inked(text: &str) -> usize {
        let mut drawn = canvas(400, 40);
        drawn.label(text, 0, 0, WHITE, Colour([16, 128, 128]));
        drawn.luma.iter().filter(|&&v| v == 235).count()
    }

    #[test]
    fn names_of_all_scripts_are_drawn() {
        for (with, without) in [("Zoë", "Zo"), ("Łukasz", "ukasz"), ("李小龍", "小"), ("Пётр", "П"), ("Γιώργος", "Γ")]
        {
            assert!(inked(with) > inked(without) + 5, "{with}");
        }
        assert!(inked("Zoë") != inked("Zoe") && inked("Łukasz") != inked("Lukasz"));
        // What the font lacks is a sign that something is there.
        assert!(inked("\u{1f600}") > 0);
        assert_eq!(inked("a\u{7}\n\u{0}b"), inked("ab"));
    }

    #[test]
    fn names_that_run_from_right_to_left_do() {
        assert_eq!(in_reading_order("#5 שלום"), "#5 םולש");
        assert_eq!(in_reading_order("#5 Zoë"), "#5 Zoë");
    }

    proptest! {
        #[test]
        fn drawing_anywhere_stays_inside(
            (width, height) in (1usize..300, 1usize..300),
            (left, top, right, bottom) in (any::<i16>(), any::<i16>(), any::<i16>(), any::<i16>()),
            text in "\\PC{0,60}",
        ) {
            let mut drawn = canvas(width, height);
            let area = Area { left: left.into(), top: top.into(), right: right.into(), bottom: bottom.into() };
            drawn.outline(area, 2, RED);
            drawn.fill(area, RED);
            drawn.label(&text, area.left, area.top, WHITE, RED);
            drawn.jpeg().unwrap();
        }
    }
}
