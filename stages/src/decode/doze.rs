//! A camera before which nothing goes on is decoded by its key frames alone.
//!
//! Decoding is most of what a camera costs, and most doors are quiet most of the time. A compressed picture says by its size
//! how much it differs from the one before: while the search has seen nothing stir for [`QUIET`], what lies between two key
//! frames is held undecoded, until a picture is clearly larger than quiet ones are. Then what is held is decoded first, so
//! the pictures with somebody in them can be. A key frame throws away what was held before it, and is searched like any other.
//!
//! Not every camera tells by its sizes (one that fills up to a constant rate does not). So a camera is believed only once it
//! has told: it dozes if the last time that something stirred after a quiet while a larger picture came with it. One that
//! let somebody pass untold does not doze until it has told again.
//!
//! Nor does every decoder give a picture back before the next one goes in (those of hardware keep some). Such a one would show
//! a key frame when the next one comes, so its camera does not doze.

use std::collections::VecDeque;
use std::time::Duration;

use rollcall_pipeline::attention::Calls;

use super::unit::Unit;

/// Nothing stirs for so long before a camera dozes.
const QUIET: Duration = Duration::from_secs(4);
/// A larger picture belongs to what the search saw if it came so much earlier, at most (the lane takes its time) …
const TOLD_WITHIN: Duration = Duration::from_millis(1_500);
/// … or later: what begins to move moves little at first.
const TOLD_AFTER: Duration = Duration::from_millis(500);
/// Between two key frames nobody is noticed of whom the sizes do not tell: cameras that send them more seldom do not doze.
const LONGEST_KEY_GAP: Duration = Duration::from_secs(4);
/// Fewer quiet pictures say nothing about what is usual.
const FEWEST: usize = 15;
/// Pictures remembered: those of [`QUIET`] at 120 a second.
const MOST: usize = 512;
/// A decoder that kept so many key frames in a row keeps them all; a single one may have been damaged.
const KEPT: u32 = 2;
/// Bytes held undecoded, at most.
pub(super) const MOST_HELD: usize = 8 << 20;
/// Clearly larger is what exceeds the largest quiet picture by so many times what that exceeds the middle one by, and so many
/// bytes.
const SPREADS: usize = 2;
const LARGER_BYTES: usize = 64;

/// What to do with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Decode it, sooner or later; what it held before a key frame is not needed any more.
    Decode,
    /// Hold it.
    Hold,
    /// Decode what is held, then it.
    Wake,
}

/// The state of one connection. Pure.
#[derive(Debug, Default)]
pub(super) struct Doze {
    calls: Calls,
    /// Since when nothing has stirred.
    quiet_since: Duration,
    /// Since when it does not doze.
    awake_since: Duration,
    /// Pictures between key frames that came within [`QUIET`] and [`TOLD_WITHIN`], oldest first.
    recent: VecDeque<(Duration, usize)>,
    last_key: Option<Duration>,
    /// When a larger picture woke it last.
    told_at: Option<Duration>,
    /// Sizes told of what stirred last.
    is_believed: bool,
    /// Until when they may still tell of it, and by which size.
    judged: Option<(Duration, usize)>,
    /// Key frames in a row that the decoder gave back only when the next one came.
    kept: u32,
    asleep: Option<Asleep>,
}

#[derive(Clone, Copy, Debug)]
struct Asleep {
    /// A picture of more bytes wakes it.
    limit: usize,
    held: usize,
}

impl Doze {
    fn decoder_keeps(&self) -> bool {
        self.kept >= KEPT
    }

    /// What to do with the next picture, in the order of decoding.
    pub(super) fn take(&mut self, unit: Unit, calls: Calls) -> Verdict {
        let Unit { at, size, is_key, reorders, is_last_kept, .. } = unit;
        let stirred = calls.stirred != self.calls.stirred;
        let called = stirred || calls.asked != self.calls.asked;
        self.calls = calls;
        if stirred && at.saturating_sub(self.quiet_since) >= QUIET {
            let woke = self.told_at.is_some_and(|told| at.saturating_sub(told) <= QUIET);
            let limit = self.limit(at);
            self.is_believed = woke || limit.is_some_and(|limit| self.largest_lately(at) > limit);
            self.judged = limit.map(|limit| (at + TOLD_AFTER, limit));
        }
        if let Some((until, limit)) = self.judged {
            self.is_believed |= !is_key && size > limit && at <= until;
        }
        if called {
            self.quiet_since = at;
        }
        let key_gap = self.last_key.map(|last| at.saturating_sub(last));
        if is_key {
            self.last_key = Some(at);
        } else {
            self.remember(at, size);
        }
        match &mut self.asleep {
            Some(asleep) => {
                let is_told = !is_key && size > asleep.limit;
                asleep.held = if is_key { 0 } else { asleep.held + size };
                let is_too_much = asleep.held > MOST_HELD || key_gap.is_some_and(|gap| gap > LONGEST_KEY_GAP);
                if is_key {
                    self.kept = if is_last_kept { self.kept + 1 } else { 0 };
                }
                if called || reorders || is_told || is_too_much || self.decoder_keeps() {
                    self.told_at = if is_told { Some(at) } else { self.told_at };
                    self.wake(at);
                    return Verdict::Wake;
                }
                if is_key { Verdict::Decode } else { Verdict::Hold }
            }
            None => {
                // Where pictures are not shown in the order of decoding, a key frame alone gives none.
                if reorders {
                    self.awake_since = at;
                }
                if is_key && key_gap.is_some_and(|gap| gap <= LONGEST_KEY_GAP) {
                    self.asleep = self.may_sleep(at).map(|limit| Asleep { limit, held: 0 });
                }
                Verdict::Decode
            }
        }
    }

    /// Decodes everything from the next picture on; what is held is of no use any more.
    pub(super) fn wake(&mut self, at: Duration) {
        self.asleep = None;
        self.awake_since = at;
    }

    /// Whether only key frames are decoded.
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.is_some()
    }

    /// The size that wakes it, if it may doze from here on.
    fn may_sleep(&self, at: Duration) -> Option<usize> {
        let is_quiet = [self.quiet_since, self.awake_since].iter().all(|since| at.saturating_sub(*since) >= QUIET);
        let limit = self.limit(at).filter(|_| is_quiet && self.is_believed && !self.decoder_keeps())?;
        // Somebody may be coming of whom the search has not told yet.
        (self.largest_lately(at) <= limit).then_some(limit)
    }

    /// The largest size that is usual while nothing stirs; `None` while too little is known.
    fn limit(&self, at: Duration) -> Option<usize> {
        let quiet = |(came, _): &&(Duration, usize)| *came > self.quiet_since && *came + TOLD_WITHIN < at;
        let mut sizes: Vec<usize> = self.recent.iter().filter(quiet).map(|(_, size)| *size).collect();
        let largest = *sizes.iter().max().filter(|_| sizes.len() >= FEWEST)?;
        let at_middle = sizes.len() / 2;
        let (_, middle, _) = sizes.select_nth_unstable(at_middle);
        Some(largest + SPREADS * (largest - *middle) + LARGER_BYTES)
    }

    /// Of those that came within [`TOLD_WITHIN`].
    fn largest_lately(&self, at: Duration) -> usize {
        self.recent
            .iter()
            .filter(|(came, _)| *came + TOLD_WITHIN >= at)
            .map(|(_, size)| *size)
            .max()
            .unwrap_or_default()
    }

    fn remember(&mut self, at: Duration, size: usize) {
        let is_over = |came: Duration| came + QUIET + TOLD_WITHIN < at;
        while self.recent.front().is_some_and(|(came, _)| is_over(*came)) || self.recent.len() >= MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((at, size));
    }
}

#[cfg(test)]
mod tests {
    use proptest::bool::weighted;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A camera of 25 pictures a second, a key frame each second.
    #[derive(Default)]
    struct Camera {
        doze: Doze,
        calls: Calls,
        n: u64,
        key_every: u64,
        reorders: bool,
        is_last_kept: bool,
    }

    impl Camera {
        fn new() -> Self {
            Self { key_every: 25, ..Self::default() }
        }

        fn at(&self) -> Duration {
            Duration::from_millis(1_000 + self.n * 40)
        }

        fn send(&mut self, size: usize) -> Verdict {
            let (at, is_key) = (self.at(), self.n.is_multiple_of(self.key_every));
            self.n += 1;
            let size = if is_key { 60_000 } else { size };
            let unit = Unit {
                at,
                size,
                is_key,
                stands_out: is_key,
                shown: Some(at),
                reorders: self.reorders,
                is_last_kept: self.is_last_kept,
            };
            self.doze.take(unit, self.calls)
        }

        fn run(&mut self, seconds: u64, size: usize) -> Vec<Verdict> {
            (0..seconds * 25).map(|_| self.send(size)).collect()
        }

        /// Somebody passes for two seconds, of whom the search tells after five pictures.
        fn pass(&mut self, size: usize) -> Vec<Verdict> {
            let mut verdicts: Vec<_> = (0..5).map(|_| self.send(size)).collect();
            for _ in 0..45 {
                self.calls.stirred += 1;
                verdicts.push(self.send(size));
            }
            verdicts
        }

        /// One before which somebody passed whom it told of, and that dozes since.
        fn dozing() -> Self {
            let mut camera = Self::new();
            camera.run(8, 500);
            camera.pass(9_000);
            camera.run(8, 500);
            assert!(camera.doze.is_asleep());
            camera
        }
    }

    fn decoded(verdicts: &[Verdict]) -> usize {
        verdicts.iter().filter(|v| **v == Verdict::Decode).count()
    }

    #[test]
    fn a_camera_that_never_told_is_decoded_whole() {
        let mut camera = Camera::new();
        assert_eq!(decoded(&camera.run(60, 500)), 60 * 25);
    }

    #[test]
    fn a_camera_that_has_told_is_decoded_by_its_key_frames() {
        let mut camera = Camera::dozing();
        assert_eq!(decoded(&camera.run(60, 540)), 60);
    }

    #[test]
    fn whoever_comes_wakes_it_at_their_first_picture() {
        let mut camera = Camera::dozing();
        camera.run(3, 500);
        let verdicts = camera.pass(9_000);
        let first_delta = verdicts.iter().position(|v| *v != Verdict::Decode).unwrap();
        assert_eq!(verdicts[first_delta], Verdict::Wake);
        assert_eq!(decoded(&verdicts[first_delta + 1..]), verdicts.len() - first_delta - 1);
        // And it dozes again, having told.
        let after = camera.run(20, 500);
        assert!(after.contains(&Verdict::Hold));
    }

    #[test]
    fn whom_the_search_sees_without_a_larger_picture_wakes_it_and_it_is_believed_no_more() {
        let mut camera = Camera::dozing();
        camera.run(5, 500);
        let verdicts = camera.pass(550);
        assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Wake).count(), 1);
        let quiet = camera.run(60, 500);
        assert_eq!(decoded(&quiet), quiet.len(), "decoded whole");
        camera.pass(9_000);
        assert!(camera.run(10, 500).contains(&Verdict::Hold), "it told again");
    }

    #[test]
    fn what_moves_little_at_first_has_told_all_the_same() {
        let mut camera = Camera::new();
        camera.run(8, 500);
        camera.calls.stirred += 1;
        (0..5).for_each(|_| assert_eq!(camera.send(540), Verdict::Decode));
        camera.pass(9_000);
        assert!(camera.run(10, 500).contains(&Verdict::Hold));
    }

    #[test]
    fn a_larger_picture_without_anybody_wakes_it_for_a_while() {
        let mut camera = Camera::dozing();
        camera.run(5, 500);
        camera.send(500);
        assert_eq!(camera.send(5_000), Verdict::Wake);
        let after = camera.run(12, 500);
        assert!(decoded(&after[..3 * 25]) == 75 && after.contains(&Verdict::Hold));
    }

    #[test]
    fn whoever_wants_to_see_pictures_keeps_it_awake_and_costs_no_trust() {
        let mut camera = Camera::dozing();
        camera.run(2, 500);
        for _ in 0..200 {
            camera.calls.asked += 1;
            assert_ne!(camera.send(500), Verdict::Hold);
        }
        assert!(camera.run(10, 500).contains(&Verdict::Hold));
    }

    #[test]
    fn a_camera_of_rare_key_frames_is_decoded_whole() {
        let mut camera = Camera { key_every: 250, ..Camera::new() };
        camera.run(20, 500);
        camera.pass(9_000);
        assert!(!camera.run(60, 500).contains(&Verdict::Hold));
        let mut camera = Camera::dozing();
        camera.key_every = 250;
        let verdicts = camera.run(10, 500);
        assert!(verdicts.contains(&Verdict::Wake) && !camera.doze.is_asleep(), "they became rare");
    }

    #[test]
    fn pictures_that_are_shown_in_another_order_are_all_decoded() {
        let mut camera = Camera::new();
        let send = |camera: &mut Camera, size| {
            camera.reorders = camera.n % 2 == 1;
            camera.send(size)
        };
        (0..200).for_each(|_| assert_eq!(send(&mut camera, 500), Verdict::Decode));
        for _ in 0..50 {
            camera.calls.stirred += 1;
            send(&mut camera, 9_000);
        }
        (0..500).for_each(|_| assert_eq!(send(&mut camera, 500), Verdict::Decode));
    }

    #[test]
    fn a_camera_whose_decoder_keeps_key_frames_back_is_decoded_whole() {
        let mut camera = Camera::dozing();
        camera.is_last_kept = true;
        let verdicts = camera.run(4, 500);
        assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Wake).count(), 1);
        camera.is_last_kept = false;
        camera.pass(9_000);
        assert!(!camera.run(20, 500).contains(&Verdict::Hold));
    }

    #[test]
    fn one_damaged_key_frame_changes_nothing_for_long() {
        let mut camera = Camera::dozing();
        camera.is_last_kept = true;
        camera.run(1, 500);
        camera.is_last_kept = false;
        assert!(camera.run(10, 500).contains(&Verdict::Hold));
    }

    proptest! {
        /// Stamps, sizes and flags are the camera's: whatever they are, nothing is decoded without the pictures that it needs,
        /// and what is held is bounded.
        #[test]
        fn no_picture_is_decoded_before_those_it_builds_on(
            units in vec((0..400u64, 0..300_000usize, weighted(0.04), weighted(0.04), 0..20u8, any::<bool>()), 1..800),
        ) {
            let mut camera = Camera::dozing();
            let (mut at, mut held) = (camera.at(), 0);
            for (after, size, is_key, reorders, call, is_last_kept) in units {
                at += Duration::from_millis(after);
                camera.calls.stirred += u64::from(call == 0);
                camera.calls.asked += u64::from(call == 1);
                let unit = Unit { at, size, is_key, stands_out: is_key, shown: Some(at), reorders, is_last_kept };
                held = match camera.doze.take(unit, camera.calls) {
                    Verdict::Hold => held + size,
                    Verdict::Wake => 0,
                    Verdict::Decode => {
                        prop_assert!(is_key || held == 0);
                        0
                    }
                };
                prop_assert!(held <= MOST_HELD && (held == 0 || !is_key));
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut camera = Camera::new();
        for n in 0..5_000u64 {
            let at = Duration::from_micros(n * 100);
            let unit = Unit {
                at,
                size: 100,
                is_key: false,
                stands_out: false,
                shown: Some(at),
                reorders: false,
                is_last_kept: false,
            };
            camera.doze.take(unit, camera.calls);
        }
        assert!(camera.doze.recent.len() <= MOST);
    }
}
