//! A compressed picture of a live camera, as far as it is known before it is decoded. Pure.

use std::time::Duration;

use memchr::memmem;

/// What is to be shown so much earlier than a picture before it is not out of order: the clock of the camera was set.
const REORDERED: Duration = Duration::from_secs(2);

/// A compressed picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// When it came; running time of the stream.
    pub(super) at: Duration,
    /// Bytes.
    pub(super) size: usize,
    /// It, and those after it that are shown later, can be decoded without those before it.
    pub(super) is_key: bool,
    /// It is one, and the one before it is not.
    pub(super) stands_out: bool,
    /// When it is to be shown; running time of the stream.
    pub(super) shown: Option<Duration>,
    /// It is to be shown before one that came earlier.
    pub(super) reorders: bool,
    /// The decoder still keeps the picture that went in before.
    pub(super) is_last_kept: bool,
}

/// The order of showing.
#[derive(Debug, Default)]
pub(super) struct Order {
    last: Option<Duration>,
}

impl Order {
    /// Whether the next picture in the order of decoding is to be shown before an earlier one.
    pub(super) fn is_broken_by(&mut self, shown: Option<Duration>) -> bool {
        let reorders = shown.zip(self.last).is_some_and(|(shown, last)| shown < last && last - shown < REORDERED);
        self.last = if reorders { self.last } else { shown.or(self.last) };
        reorders
    }
}

/// How a stream is written, as far as it takes to find where decoding can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// NAL units behind start codes (ITU-T H.264 and H.265, annex B).
    StartCodes(Nal),
    /// NAL units behind their lengths, in so many bytes (ISO/IEC 14496-15).
    Lengths(Nal, usize),
    /// Pictures in pieces, none of which is decoded alone.
    Pieces,
    /// Anything else: whoever cut it into pictures knows the key frames.
    Pictures,
}

/// Whose NAL units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nal {
    H264,
    H265,
}

impl Nal {
    /// Whether a unit with this first byte is a part of a picture from which decoding can begin (table 7-1 of either: an IDR
    /// picture, or one of IRAP); `None` of a unit that holds no part of a picture.
    fn begins(self, first: u8) -> Option<bool> {
        match self {
            Self::H264 => Some(first & 0x1f).filter(|kind| (1..=5).contains(kind)).map(|kind| kind == 5),
            Self::H265 => Some(first >> 1 & 0x3f).filter(|kind| *kind < 32).map(|kind| (16..24).contains(&kind)),
        }
    }
}

impl Writing {
    /// Whether decoding can begin with a picture of these bytes that was marked as a key frame.
    ///
    /// The mark alone does not say so: `h264parse` sets it where parameter sets or one slice without references are found, and
    /// there are cameras that repeat the former with each picture and refresh theirs slice by slice.
    pub(super) fn begins_anew(self, picture: &[u8]) -> bool {
        let first = match self {
            Self::Pictures => return true,
            Self::Pieces => return false,
            Self::StartCodes(nal) => {
                memmem::find_iter(picture, &[0, 0, 1]).find_map(|at| nal.begins(*picture.get(at + 3)?))
            }
            Self::Lengths(nal, bytes) => Lengths { rest: picture, bytes }.find_map(|unit| nal.begins(*unit.first()?)),
        };
        first.unwrap_or(false)
    }
}

/// The units behind their lengths, as far as they are whole.
struct Lengths<'a> {
    rest: &'a [u8],
    bytes: usize,
}

impl<'a> Iterator for Lengths<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_at_checked(self.bytes)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const H264_PARAMETERS: &[u8] = &[0x67, 1, 2];
    const H264_IDR: &[u8] = &[0x65, 9, 9];
    const H264_SLICE: &[u8] = &[0x41, 9, 9];

    fn behind_start_codes(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    fn behind_lengths(units: &[&[u8]], bytes: usize) -> Vec<u8> {
        let length = |unit: &[u8]| (unit.len() as u64).to_be_bytes()[8 - bytes..].to_vec();
        units.iter().flat_map(|unit| [&length(unit), *unit].concat()).collect()
    }

    #[track_caller]
    fn check(nal: Nal, units: &[&[u8]], begins: bool) {
        assert_eq!(Writing::StartCodes(nal).begins_anew(&behind_start_codes(units)), begins);
        for bytes in [1, 2, 4] {
            assert_eq!(Writing::Lengths(nal, bytes).begins_anew(&behind_lengths(units, bytes)), begins);
        }
    }

    #[test]
    fn decoding_begins_at_idr_and_irap_pictures() {
        check(Nal::H264, &[H264_PARAMETERS, H264_IDR, H264_IDR], true);
        check(Nal::H265, &[&[0x40, 1], &[0x42, 1], &[0x26, 1, 7]], true);
        check(Nal::H265, &[&[0x2a, 1, 7]], true);
    }

    #[test]
    fn parameter_sets_before_a_picture_make_it_no_beginning() {
        check(Nal::H264, &[H264_PARAMETERS, H264_SLICE], false);
        check(Nal::H264, &[H264_PARAMETERS], false);
        check(Nal::H265, &[&[0x40, 1], &[0x02, 1, 7]], false);
        check(Nal::H264, &[], false);
    }

    #[test]
    fn what_is_shown_earlier_is_out_of_order_but_a_clock_that_was_set_is_not() {
        let mut order = Order::default();
        let shown = [0, 120, 40, 80, 240, 10_000, 10_040, 0].map(|ms| Some(Duration::from_millis(ms)));
        let broken = shown.map(|shown| order.is_broken_by(shown));
        assert_eq!(broken, [false, false, true, true, false, false, false, false]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_looked_at(bytes in vec(any::<u8>(), 0..200), length in 1usize..=4) {
            for nal in [Nal::H264, Nal::H265] {
                Writing::StartCodes(nal).begins_anew(&bytes);
                Writing::Lengths(nal, length).begins_anew(&bytes);
            }
        }
    }
}
