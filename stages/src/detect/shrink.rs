//! Sums of blocks of pixels. Most pictures are shrunk by a simple ratio (1920 to 640, 1280 to 640, 800 to 640), and a sum of rows,
//! then of neighbours, takes a fraction of the time of a filter for any ratio.

use pulp::NullaryFnOnce;
use rollcall_pipeline::Plane;

/// What a plane is shrunk by, in x and in y: so many pixels become so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ratio {
    Two,
    Three,
    Four,
    Six,
    ThreeToTwo,
    FiveToTwo,
    FiveToFour,
}

impl Ratio {
    const ALL: [(usize, usize, Self); 7] = [
        (2, 1, Self::Two),
        (3, 1, Self::Three),
        (4, 1, Self::Four),
        (6, 1, Self::Six),
        (3, 2, Self::ThreeToTwo),
        (5, 2, Self::FiveToTwo),
        (5, 4, Self::FiveToFour),
    ];

    /// Between two sizes, if there is one.
    pub(super) fn between((width, height): (usize, usize), to: (usize, usize)) -> Option<Self> {
        let is = |side: usize, from: usize, to: usize, made: usize| made.is_multiple_of(to) && side == made / to * from;
        let fits = |&&(n, m, _): &&(usize, usize, Self)| is(width, n, m, to.0) && is(height, n, m, to.1);
        Self::ALL.iter().find(fits).map(|(_, _, ratio)| *ratio)
    }
}

/// Shrinks planes; keeps its buffer from plane to plane.
#[derive(Debug, Default)]
pub(super) struct Shrinker {
    /// Sums of the rows that become one.
    sums: Vec<u16>,
}

impl Shrinker {
    /// Fills `out` with a part of `plane`: `size` shrunk pixels of `CHANNELS` bytes from `at` on, whole blocks of them.
    ///
    /// # Panics
    /// When the plane is shorter than the part.
    pub(super) fn shrink<const CHANNELS: usize>(
        &mut self,
        plane: &Plane<'_>,
        ratio: Ratio,
        at: (usize, usize),
        size: (usize, usize),
        out: &mut [u8],
    ) {
        let sums = &mut self.sums;
        let arch = pulp::Arch::new();
        match ratio {
            Ratio::Two => arch.dispatch(Blocks::<2, 1, CHANNELS> { plane, at, size, sums, out }),
            Ratio::Three => arch.dispatch(Blocks::<3, 1, CHANNELS> { plane, at, size, sums, out }),
            Ratio::Four => arch.dispatch(Blocks::<4, 1, CHANNELS> { plane, at, size, sums, out }),
            Ratio::Six => arch.dispatch(Blocks::<6, 1, CHANNELS> { plane, at, size, sums, out }),
            Ratio::ThreeToTwo => arch.dispatch(Blocks::<3, 2, CHANNELS> { plane, at, size, sums, out }),
            Ratio::FiveToTwo => arch.dispatch(Blocks::<5, 2, CHANNELS> { plane, at, size, sums, out }),
            Ratio::FiveToFour => arch.dispatch(Blocks::<5, 4, CHANNELS> { plane, at, size, sums, out }),
        }
    }
}

/// The loop, compiled for what the processor has. A closure would not be: it is a function of its own, which the one with the
/// wide registers calls.
struct Blocks<'a, const FROM: usize, const TO: usize, const CHANNELS: usize> {
    plane: &'a Plane<'a>,
    at: (usize, usize),
    size: (usize, usize),
    sums: &'a mut Vec<u16>,
    out: &'a mut [u8],
}

impl<const FROM: usize, const TO: usize, const CHANNELS: usize> NullaryFnOnce for Blocks<'_, FROM, TO, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { plane, at: (left, top), size: (width, height), sums, out } = self;
        let (skipped, used) = (left / TO * FROM * CHANNELS, width / TO * FROM * CHANNELS);
        let row = |y: usize| &plane.data[y * plane.stride + skipped..][..used];
        sums.resize(used, 0);
        for (y, out) in out.chunks_exact_mut(width * CHANNELS).take(height).enumerate() {
            let (block, made) = ((top + y) / TO, (top + y) % TO);
            let mut is_first = true;
            for taken in 0..FROM {
                let share = share::<FROM, TO>(taken, made);
                if share == 0 {
                    continue;
                }
                let row = row(block * FROM + taken).iter().map(|&value| share * u16::from(value));
                match std::mem::take(&mut is_first) {
                    true => sums.iter_mut().zip(row).for_each(|(sum, value)| *sum = value),
                    false => sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value),
                }
            }
            blend::<FROM, TO, CHANNELS>(sums, out);
        }
    }
}

/// How much of pixel `taken` of a block is in pixel `made` of what becomes of it, in parts of [`whole`].
///
/// From two on a pixel is the mean of what it stands for; below, where means would be uneven, it lies between the two nearest.
#[inline(always)]
const fn share<const FROM: usize, const TO: usize>(taken: usize, made: usize) -> u16 {
    if FROM >= 2 * TO {
        let (begin, end) = (taken * TO, (taken + 1) * TO);
        let (first, last) = (made * FROM, (made + 1) * FROM);
        let begin = if begin > first { begin } else { first };
        let end = if end < last { end } else { last };
        return end.saturating_sub(begin) as u16;
    }
    // The centre, from that of the first pixel of the block on.
    let at = (2 * made + 1) * FROM - TO;
    (2 * TO).saturating_sub(at.abs_diff(2 * TO * taken)) as u16
}

/// What the shares of a pixel add up to, in x as in y.
const fn whole<const FROM: usize, const TO: usize>() -> usize {
    if FROM >= 2 * TO { FROM } else { 2 * TO }
}

/// A row of blocks, rounded, of the sums of their columns.
#[inline(always)]
fn blend<const FROM: usize, const TO: usize, const CHANNELS: usize>(sums: &[u16], out: &mut [u8]) {
    // Without a division: exact for sums of so few bytes.
    let reciprocal = (1u32 << 20) / (whole::<FROM, TO>() * whole::<FROM, TO>()) as u32 + 1;
    for (pixels, sums) in out.chunks_exact_mut(TO * CHANNELS).zip(sums.chunks_exact(FROM * CHANNELS)) {
        for (i, value) in pixels.iter_mut().enumerate() {
            let (made, channel) = (i / CHANNELS, i % CHANNELS);
            let part = |taken| u32::from(share::<FROM, TO>(taken, made)) * u32::from(sums[taken * CHANNELS + channel]);
            let sum: u32 = (0..FROM).map(part).sum();
            *value = ((sum * reciprocal + (1 << 19)) >> 20) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The same in the plainest way: means of what a pixel stands for, or what lies at its centre between the nearest.
    fn shrunk(plane: &Plane<'_>, (n, m): (usize, usize), channels: usize, x: usize, y: usize, channel: usize) -> u8 {
        let at = |x: usize, y: usize| f64::from(plane.data[y * plane.stride + x * channels + channel]);
        let value = if n >= 2 * m {
            // Each pixel is cut into m × m.
            let pieces = (0..n * n).map(|i| at((x * n + i % n) / m, (y * n + i / n) / m));
            pieces.sum::<f64>() / (n * n) as f64
        } else {
            let nearest = |made: usize| {
                let centre = (made as f64 + 0.5) * n as f64 / m as f64 - 0.5;
                (centre as usize, centre.fract())
            };
            let ((x, right), (y, below)) = (nearest(x), nearest(y));
            let row = |y| at(x, y) * (1.0 - right) + at(x + 1, y) * right;
            row(y) * (1.0 - below) + row(y + 1) * below
        };
        value.round() as u8
    }

    fn agrees<const CHANNELS: usize>(
        data: &[u8],
        (n, m, ratio): (usize, usize, Ratio),
        at: (usize, usize),
        size: (usize, usize),
    ) {
        let plane = Plane { data, stride: STRIDE };
        let mut out = vec![0; size.0 * size.1 * CHANNELS];
        Shrinker::default().shrink::<CHANNELS>(&plane, ratio, at, size, &mut out);
        for (i, value) in out.into_iter().enumerate() {
            let (pixel, channel) = (i / CHANNELS, i % CHANNELS);
            let (x, y) = (at.0 + pixel % size.0, at.1 + pixel / size.0);
            assert_eq!(value, shrunk(&plane, (n, m), CHANNELS, x, y, channel), "{x}, {y} by {n} to {m}");
        }
    }

    /// Of a plane of two channels from which 24 × 8 pixels can be made by any ratio.
    const STRIDE: usize = 6 * 24 * 2 + 5;

    proptest! {
        #[test]
        fn each_pixel_is_what_it_stands_for(
            data in vec(any::<u8>(), STRIDE * 6 * 8),
            (left, top) in (0..3usize, 0..2usize),
            (width, height) in (1..4usize, 1..5usize),
        ) {
            for ratio in Ratio::ALL {
                // Whole blocks in x, of up to four.
                agrees::<1>(&data, ratio, (4 * left, top), (4 * width, height));
                agrees::<2>(&data, ratio, (4 * left, top), (4 * width, height));
            }
        }
    }

    #[test]
    fn a_ratio_is_the_same_both_ways_and_leaves_nothing_over() {
        assert_eq!(Ratio::between((1920, 1080), (640, 360)), Some(Ratio::Three));
        assert_eq!(Ratio::between((1280, 720), (640, 360)), Some(Ratio::Two));
        assert_eq!(Ratio::between((3840, 2160), (640, 360)), Some(Ratio::Six));
        assert_eq!(Ratio::between((960, 540), (640, 360)), Some(Ratio::ThreeToTwo));
        assert_eq!(Ratio::between((1600, 1200), (640, 480)), Some(Ratio::FiveToTwo));
        assert_eq!(Ratio::between((800, 600), (640, 480)), Some(Ratio::FiveToFour));
        assert_eq!(Ratio::between((1280, 1081), (640, 360)), None);
        assert_eq!(Ratio::between((802, 600), (641, 480)), None);
        assert_eq!(Ratio::between((640, 480), (640, 480)), None);
    }
}
