//! A decoded picture: a cheap handle to a pooled, immutable buffer in the decoder's own format.

use std::fmt;
use std::sync::Arc;

/// How the planes are laid out. Both are 4:2:0: chroma has half the width and height, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Three planes: Y, U, V.
    I420,
    /// Two planes: Y, then U and V interleaved.
    Nv12,
}

/// One plane: rows of `stride` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// `stride * rows` bytes or more (the last row may lack its padding).
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// Borrowed pixels.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    /// Layout.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Y, U, V for [`PixelFormat::I420`]; Y, UV and an empty plane for [`PixelFormat::Nv12`].
    pub planes: [Plane<'a>; 3],
}

/// The values of Y, U or V, apart or interleaved with others.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    data: &'a [u8],
    stride: usize,
    step: usize,
    width: usize,
    height: usize,
}

impl<'a> Channel<'a> {
    /// Row after row, each of as many values as the channel is wide.
    pub fn rows(&self) -> impl Iterator<Item = impl DoubleEndedIterator<Item = u8> + use<'a>> + use<'a> {
        let Self { data, stride, step, width, height } = *self;
        (0..height).map(move |y| {
            let row = &data[y * stride..];
            (0..width).map(move |x| row[x * step])
        })
    }

    /// The value at a place.
    ///
    /// # Panics
    /// If it lies below the channel or far right of it.
    pub fn at(&self, x: usize, y: usize) -> u8 {
        self.data[y * self.stride + x * self.step]
    }
}

impl<'a> ImageView<'a> {
    /// Y, U and V, whatever the layout; for what is not done to every frame.
    pub fn channels(&self) -> [Channel<'a>; 3] {
        let [luma, first, second] = self.planes;
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let chroma = |plane: Plane<'a>, step, offset| {
            let data = plane.data.get(offset..).unwrap_or_default();
            Channel { data, stride: plane.stride, step, width, height }
        };
        let (u, v) = match self.format {
            PixelFormat::I420 => (chroma(first, 1, 0), chroma(second, 1, 0)),
            PixelFormat::Nv12 => (chroma(first, 2, 0), chroma(first, 2, 1)),
        };
        let y = Channel { data: luma.data, stride: luma.stride, step: 1, width: self.width, height: self.height };
        [y, u, v]
    }
}

/// Who owns the pixels: a decoder's pool, or a plain buffer.
pub trait PixelBuffer: Send + Sync {
    /// The pixels. Cheap: mapping was done when the buffer was made.
    fn view(&self) -> ImageView<'_>;

    /// What the buffer costs in memory, for the budget.
    fn byte_len(&self) -> usize;
}

/// A shared, immutable picture. Cloning copies a pointer.
#[derive(Clone)]
pub struct Image(Arc<dyn PixelBuffer>);

impl Image {
    /// Wraps a buffer.
    pub fn new(buffer: impl PixelBuffer + 'static) -> Self {
        Self(Arc::new(buffer))
    }

    /// The pixels.
    pub fn view(&self) -> ImageView<'_> {
        self.0.view()
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.view().width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.view().height
    }

    /// What the buffer costs in memory.
    pub fn byte_len(&self) -> usize {
        self.0.byte_len()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.view();
        write!(f, "Image({:?} {}x{})", v.format, v.width, v.height)
    }
}

/// An I420 picture in ordinary memory, without padding: for pictures that come from files, and for tests.
#[derive(Clone)]
pub struct I420 {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl I420 {
    /// Width and height of the chroma planes.
    fn chroma(width: usize, height: usize) -> (usize, usize) {
        (width.div_ceil(2), height.div_ceil(2))
    }

    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, [y, u, v]: [u8; 3]) -> Self {
        let (cw, ch) = Self::chroma(width, height);
        let mut data = vec![y; width * height];
        data.resize(data.len() + cw * ch, u);
        data.resize(data.len() + cw * ch, v);
        Self { width, height, data }
    }

    /// The rows of Y, U and V, without padding.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let (cw, ch) = Self::chroma(self.width, self.height);
        let (y, chroma) = self.data.split_at_mut(self.width * self.height);
        let (u, v) = chroma.split_at_mut(cw * ch);
        [y, u, v]
    }

    /// Converts packed RGB rows of `width * 3` bytes (BT.601, limited range, as the decoders give it); chroma is the mean
    /// of each 2×2 block.
    ///
    /// # Panics
    /// If `rgb` is not `width * height * 3` bytes long.
    pub fn from_rgb(width: usize, height: usize, rgb: &[u8]) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "rgb buffer does not fit the size");
        let mut out = Self::filled(width, height, [0, 128, 128]);
        let (cw, ch) = Self::chroma(width, height);
        let [luma, us, vs] = out.planes_mut();
        for (px, y) in rgb.chunks_exact(3).zip(luma.iter_mut()) {
            let [r, g, b] = [i32::from(px[0]), i32::from(px[1]), i32::from(px[2])];
            *y = (((66 * r + 129 * g + 25 * b + 128) >> 8) + 16) as u8;
        }
        for cy in 0..ch {
            for cx in 0..cw {
                let (mut r, mut g, mut b, mut n) = (0i32, 0i32, 0i32, 0i32);
                for y in (cy * 2)..(cy * 2 + 2).min(height) {
                    for x in (cx * 2)..(cx * 2 + 2).min(width) {
                        let p = (y * width + x) * 3;
                        r += i32::from(rgb[p]);
                        g += i32::from(rgb[p + 1]);
                        b += i32::from(rgb[p + 2]);
                        n += 1;
                    }
                }
                (r, g, b) = (r / n, g / n, b / n);
                us[cy * cw + cx] = (((-38 * r - 74 * g + 112 * b + 128) >> 8) + 128) as u8;
                vs[cy * cw + cx] = (((112 * r - 94 * g - 18 * b + 128) >> 8) + 128) as u8;
            }
        }
        out
    }
}

impl PixelBuffer for I420 {
    fn view(&self) -> ImageView<'_> {
        let (cw, ch) = Self::chroma(self.width, self.height);
        let (y, chroma) = self.data.split_at(self.width * self.height);
        let (u, v) = chroma.split_at(cw * ch);
        ImageView {
            format: PixelFormat::I420,
            width: self.width,
            height: self.height,
            planes: [
                Plane { data: y, stride: self.width },
                Plane { data: u, stride: cw },
                Plane { data: v, stride: cw },
            ],
        }
    }

    fn byte_len(&self) -> usize {
        self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_the_same_in_either_layout_and_leave_padding_out() {
        let luma = Plane { data: &[1, 2, 3, 0, 4, 5, 6], stride: 4 };
        let [none, u, v, uv] = [&[][..], &[10, 11], &[20, 21], &[10, 20, 11, 21]].map(|data| Plane { data, stride: 4 });
        for (format, planes) in [(PixelFormat::I420, [luma, u, v]), (PixelFormat::Nv12, [luma, uv, none])] {
            let channels = ImageView { format, width: 3, height: 2, planes }.channels();
            let values = channels.map(|channel| channel.rows().flatten().collect::<Vec<_>>());
            assert_eq!(values, [vec![1, 2, 3, 4, 5, 6], vec![10, 11], vec![20, 21]], "{format:?}");
            assert_eq!((channels[0].at(2, 1), channels[2].at(1, 0)), (6, 21), "{format:?}");
        }
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        let image = I420::from_rgb(3, 3, &[255; 27]);
        let view = image.view();
        assert_eq!(view.planes.map(|p| p.data.len()), [9, 4, 4]);
        assert!(view.planes[0].data.iter().all(|&y| y == 235));
        assert!(view.planes[1].data.iter().all(|&u| u == 128));
    }
}
