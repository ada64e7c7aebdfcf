//! A picture is decoded no sooner than one that is to be analysed needs it.
//!
//! Of twenty-five pictures a second five are analysed. The others are decoded because the next of those five is told by its
//! difference from them: until it is there they are held, and then decoded in a row, which finds the one before still in the
//! caches. A key frame needs none of those before it, so what is held when it comes is not decoded at all: four of
//! twenty-five with a key frame a second, and twenty where all are key frames (MJPEG).
//!
//! Nothing is held where pictures are not shown in the order of decoding, or where the decoder keeps some: there it does not
//! give a picture back when it goes in.

use std::time::Duration;

use super::doze::MOST_HELD;
use super::unit::Unit;

/// The first picture that comes so long after the first one held is not held, however long nothing is analysed: whoever waits
/// for pictures sees that they come. The time between analysed pictures, by default.
const LONGEST: Duration = Duration::from_millis(200);
/// Pictures held at once.
const MOST: usize = 32;
/// A stream that did not show a picture in its turn is taken for one that does so for so long.
const REORDERS_FOR: Duration = Duration::from_secs(4);

/// Which pictures are not analysed; of none it is known at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// None that is shown earlier; running time of the stream.
    pub(super) until: Duration,
    /// And none for so long after the first that is shown then or later.
    pub(super) each: Duration,
}

/// The state of one connection. Pure.
#[derive(Debug, Default)]
pub(super) struct Lazy {
    held: Option<Held>,
    reordered: Option<Duration>,
    /// What was told last, and until when nothing is analysed, since one was sent on that is.
    rest: (Rest, Duration),
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since: Duration,
    pictures: usize,
    bytes: usize,
}

impl Lazy {
    /// Whether the next picture, in the order of decoding, is held; if not, it is decoded after those that are.
    pub(super) fn holds(&mut self, unit: Unit, rest: Rest) -> bool {
        let Unit { at, shown, .. } = unit;
        if unit.reorders {
            self.reordered = Some(at);
        }
        let reorders = self.reordered.is_some_and(|last| at.saturating_sub(last) < REORDERS_FOR);
        // Whoever tells it learns of a picture only some time after it was decoded.
        let due = if self.rest.0 == rest { self.rest.1 } else { rest.until };
        let is_due = shown.is_none_or(|shown| shown >= due);
        self.rest = (rest, if is_due { due.saturating_add(rest.each) } else { due });
        let Held { since, pictures, bytes } = self.held.unwrap_or(Held { since: at, pictures: 0, bytes: 0 });
        let held = Held { since, pictures: pictures + 1, bytes: bytes.saturating_add(unit.size) };
        let is_enough = at.saturating_sub(since) >= LONGEST || held.pictures > MOST || held.bytes > MOST_HELD;
        // A key frame among others may be chosen as the next one that is analysed.
        let holds = !is_due && !unit.stands_out && !reorders && !unit.is_last_kept && !is_enough;
        self.held = holds.then_some(held);
        holds
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const EACH: Duration = Duration::from_millis(40);
    const PERIOD: Duration = Duration::from_millis(200);

    fn unit(at: Duration) -> Unit {
        Unit {
            at,
            size: 1_000,
            is_key: false,
            stands_out: false,
            shown: Some(at),
            reorders: false,
            is_last_kept: false,
        }
    }

    const NEVER: Rest = Rest { until: Duration::MAX, each: Duration::ZERO };

    /// Whether each of `units` is held, if of those that are decoded one every [`PERIOD`] is analysed, as is told `late` units
    /// later.
    fn held_told_late(units: impl Iterator<Item = Unit>, late: usize) -> Vec<bool> {
        let (mut lazy, mut rests) = (Lazy::default(), vec![Rest { until: Duration::ZERO, each: PERIOD }; late + 1]);
        let mut one = |unit: Unit| {
            let holds = lazy.holds(unit, rests[rests.len() - 1 - late]);
            let last = rests[rests.len() - 1];
            let chosen = unit.shown.filter(|shown| !holds && *shown >= last.until);
            rests.push(Rest { until: chosen.map_or(last.until, |shown| shown + PERIOD), ..last });
            holds
        };
        units.map(&mut one).collect()
    }

    fn held(units: impl Iterator<Item = Unit>) -> Vec<bool> {
        held_told_late(units, 0)
    }

    #[test]
    fn pictures_wait_for_the_next_one_that_is_analysed() {
        for late in 0..4 {
            let held = held_told_late((0..51).map(|n| unit(EACH * n)), late);
            assert!(held.iter().enumerate().all(|(n, held)| *held == (n % 5 != 0)), "{late}: {held:?}");
        }
    }

    #[test]
    fn nothing_waits_where_every_picture_is_analysed() {
        let mut lazy = Lazy::default();
        assert!(
            (0..50)
                .map(|n| unit(EACH * n))
                .all(|unit| !lazy.holds(unit, Rest { until: unit.at, each: Duration::ZERO }))
        );
    }

    #[test]
    fn a_key_frame_does_not_wait_unless_all_are_key_frames() {
        let mut lazy = Lazy::default();
        let keys = [2, 27, 52];
        let held = (0..75).map(|n| {
            lazy.holds(Unit { is_key: keys.contains(&n), stands_out: keys.contains(&n), ..unit(EACH * n) }, NEVER)
        });
        let held: Vec<bool> = held.collect();
        assert!(keys.iter().all(|key| !held[*key as usize] && held[*key as usize + 1]), "{held:?}");
        assert_eq!(
            self::held((0..26).map(|n| Unit { is_key: true, ..unit(EACH * n) })).iter().filter(|h| !**h).count(),
            6
        );
    }

    #[test]
    fn nothing_waits_for_long_however_rarely_one_is_analysed() {
        let mut lazy = Lazy::default();
        let held: Vec<bool> = (0..60).map(|n| lazy.holds(unit(EACH * n), NEVER)).collect();
        assert!(held.chunks(6).all(|six| six == [true, true, true, true, true, false]), "{held:?}");
    }

    #[test]
    fn nothing_waits_where_pictures_are_shown_in_another_order() {
        let mut lazy = Lazy::default();
        let held = (0..50).map(|n| lazy.holds(Unit { reorders: n % 3 == 1, ..unit(EACH * n) }, NEVER));
        assert_eq!(held.filter(|held| *held).count(), 1, "until that was known");
    }

    #[test]
    fn nothing_waits_where_the_decoder_keeps_pictures() {
        assert!(!held((0..50).map(|n| Unit { is_last_kept: n > 0, ..unit(EACH * n) })).contains(&true));
    }

    #[test]
    fn pictures_without_a_time_do_not_wait() {
        assert!(!held((0..50).map(|n| Unit { shown: None, ..unit(EACH * n) })).contains(&true));
    }

    proptest! {
        #[test]
        fn what_is_held_is_bounded_whatever_comes(
            pictures in vec((0u64..300, 0u64..100_000, any::<bool>(), any::<bool>(), 0u64..100_000, 0u64..1_000, 0usize..3_000_000), 1..300),
        ) {
            let (mut lazy, mut at, mut held) = (Lazy::default(), Duration::ZERO, Vec::new());
            for (gap, shown, reorders, is_last_kept, until, each, size) in pictures {
                at += Duration::from_millis(gap);
                let shown = Some(Duration::from_millis(shown));
                let rest = Rest { until: Duration::from_millis(until), each: Duration::from_millis(each) };
                if lazy.holds(Unit { size, shown, reorders, is_last_kept, ..unit(at) }, rest) {
                    held.push((at, size));
                } else {
                    held.clear();
                }
                prop_assert!(held.len() <= MOST);
                prop_assert!(held.iter().map(|(_, size)| size).sum::<usize>() <= MOST_HELD);
                prop_assert!(held.first().is_none_or(|(first, _)| at - *first < LONGEST));
            }
        }
    }
}
