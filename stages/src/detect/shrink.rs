//! Means of whole blocks of pixels. Most pictures are shrunk by a whole factor (1920 to 640, 1280 to 640), and a sum of rows, then
//! of neighbours, takes half the time of a filter for any factor.

use pulp::NullaryFnOnce;
use rollcall_pipeline::Plane;

/// What a plane is shrunk by, in x and in y. Larger factors are rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    Two,
    Three,
    Four,
}

impl Factor {
    /// Between two sizes, if there is one.
    pub(super) fn between((width, height): (usize, usize), to: (usize, usize)) -> Option<Self> {
        let is = |factor: usize| width == factor * to.0 && height == factor * to.1;
        [(2, Self::Two), (3, Self::Three), (4, Self::Four)].into_iter().find(|(n, _)| is(*n)).map(|(_, factor)| factor)
    }
}

/// Shrinks planes; keeps its buffer from plane to plane.
#[derive(Debug, Default)]
pub(super) struct Shrinker {
    /// Sums of as many rows as become one.
    sums: Vec<u16>,
}

impl Shrinker {
    /// Fills `out` with a part of `plane`: `size` shrunk pixels of `CHANNELS` bytes from `at` on.
    ///
    /// # Panics
    /// When the plane is shorter than the part.
    pub(super) fn shrink<const CHANNELS: usize>(
        &mut self,
        plane: &Plane<'_>,
        factor: Factor,
        at: (usize, usize),
        size: (usize, usize),
        out: &mut [u8],
    ) {
        let sums = &mut self.sums;
        let arch = pulp::Arch::new();
        match factor {
            Factor::Two => arch.dispatch(Blocks::<2, CHANNELS> { plane, at, size, sums, out }),
            Factor::Three => arch.dispatch(Blocks::<3, CHANNELS> { plane, at, size, sums, out }),
            Factor::Four => arch.dispatch(Blocks::<4, CHANNELS> { plane, at, size, sums, out }),
        }
    }
}

/// The loop, compiled for what the processor has. A closure would not be: it is a function of its own, which the one with the
/// wide registers calls.
struct Blocks<'a, const FACTOR: usize, const CHANNELS: usize> {
    plane: &'a Plane<'a>,
    at: (usize, usize),
    size: (usize, usize),
    sums: &'a mut Vec<u16>,
    out: &'a mut [u8],
}

impl<const FACTOR: usize, const CHANNELS: usize> NullaryFnOnce for Blocks<'_, FACTOR, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { plane, at: (left, top), size: (width, height), sums, out } = self;
        let (skipped, used) = (left * FACTOR * CHANNELS, width * FACTOR * CHANNELS);
        let row = |y: usize| &plane.data[y * plane.stride + skipped..][..used];
        sums.resize(used, 0);
        for (y, out) in out.chunks_exact_mut(width * CHANNELS).take(height).enumerate() {
            let first = (top + y) * FACTOR;
            sums.iter_mut().zip(row(first)).for_each(|(sum, &value)| *sum = value.into());
            for y in first + 1..first + FACTOR {
                sums.iter_mut().zip(row(y)).for_each(|(sum, &value)| *sum += u16::from(value));
            }
            means::<FACTOR, CHANNELS>(sums, out);
        }
    }
}

/// The means of a row of blocks, rounded, of the sums of their columns.
#[inline(always)]
fn means<const FACTOR: usize, const CHANNELS: usize>(sums: &[u16], out: &mut [u8]) {
    let pixels = (FACTOR * FACTOR) as u32;
    // Without a division: exact for sums of so few bytes.
    let reciprocal = ((1 << 16) + pixels / 2) / pixels;
    for (pixel, sums) in out.chunks_exact_mut(CHANNELS).zip(sums.chunks_exact(FACTOR * CHANNELS)) {
        for (channel, value) in pixel.iter_mut().enumerate() {
            let sum: u32 = (0..FACTOR).map(|column| u32::from(sums[column * CHANNELS + channel])).sum();
            *value = ((sum * reciprocal + (1 << 15)) >> 16) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The same in the plainest way.
    fn mean(plane: &Plane<'_>, n: usize, channels: usize, x: usize, y: usize, channel: usize) -> u8 {
        let block =
            (0..n * n).map(|i| plane.data[(y * n + i / n) * plane.stride + (x * n + i % n) * channels + channel]);
        let sum: f64 = block.map(f64::from).sum();
        (sum / (n * n) as f64).round() as u8
    }

    fn agrees<const CHANNELS: usize>(data: &[u8], n: usize, factor: Factor, at: (usize, usize), size: (usize, usize)) {
        let plane = Plane { data, stride: n * 24 * CHANNELS + 5 };
        let mut out = vec![0; size.0 * size.1 * CHANNELS];
        Shrinker::default().shrink::<CHANNELS>(&plane, factor, at, size, &mut out);
        for (i, value) in out.into_iter().enumerate() {
            let (pixel, channel) = (i / CHANNELS, i % CHANNELS);
            let (x, y) = (at.0 + pixel % size.0, at.1 + pixel / size.0);
            assert_eq!(value, mean(&plane, n, CHANNELS, x, y, channel), "{x}, {y} by {n}");
        }
    }

    proptest! {
        #[test]
        fn each_pixel_is_the_mean_of_its_block(
            data in vec(any::<u8>(), (4 * 24 * 2 + 5) * 4 * 6),
            (left, top) in (0..12usize, 0..3usize),
            (width, height) in (1..12usize, 1..3usize),
        ) {
            for (n, factor) in [(2, Factor::Two), (3, Factor::Three), (4, Factor::Four)] {
                agrees::<1>(&data, n, factor, (left, top), (width, height));
                agrees::<2>(&data, n, factor, (left, top), (width, height));
            }
        }
    }

    #[test]
    fn a_factor_is_whole_and_the_same_both_ways() {
        assert_eq!(Factor::between((1920, 1080), (640, 360)), Some(Factor::Three));
        assert_eq!(Factor::between((1280, 720), (640, 360)), Some(Factor::Two));
        assert_eq!(Factor::between((800, 600), (640, 480)), None);
        assert_eq!(Factor::between((1280, 1081), (640, 360)), None);
    }
}
