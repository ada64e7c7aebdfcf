//! Which views of a track are worth a shot: an embedding costs three times what a detection does, so a track gets many in
//! its first second and then ever fewer, and a clearly better view does not wait its turn.

use rollcall_pipeline::MediaTime;

/// When shots are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShotSettings {
    /// Least weight (0 to 1, see `chip::quality`) of a view.
    pub min_weight: f32,
    /// Time between the first two shots, seconds of media time.
    pub first_gap_s: f32,
    /// Each gap is longer than the last by this factor …
    pub gap_growth: f32,
    /// … up to this many seconds.
    pub max_gap_s: f32,
    /// A view this many times better than the best so far waits only half the gap.
    pub better: f32,
}

impl Default for ShotSettings {
    fn default() -> Self {
        Self { min_weight: 0.02, first_gap_s: 0.12, gap_growth: 1.3, max_gap_s: 1.0, better: 1.5 }
    }
}

/// The shots of one track so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShotSchedule {
    taken: u32,
    last: Option<MediaTime>,
    best: f32,
}

impl ShotSchedule {
    /// Whether a view of this weight is to be taken now; if so, it counts as taken.
    pub(super) fn take(&mut self, settings: &ShotSettings, now: MediaTime, weight: f32) -> bool {
        if weight < settings.min_weight {
            return false;
        }
        if let Some(last) = self.last {
            let growth = settings.gap_growth.powi(self.taken.min(64) as i32 - 1);
            let gap = (settings.first_gap_s * growth).min(settings.max_gap_s);
            let wait = if weight > settings.better * self.best { gap / 2.0 } else { gap };
            // Frames do not fall on the gap to the nanosecond.
            if now.since(last).as_secs_f32() < wait - 1e-3 {
                return false;
            }
        }
        self.taken += 1;
        self.last = Some(now);
        self.best = self.best.max(weight);
        true
    }

    /// Shots taken so far.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shots(fps: u64, seconds: u64, weight: impl Fn(u64) -> f32) -> Vec<u64> {
        let (settings, mut schedule) = (ShotSettings::default(), ShotSchedule::default());
        (0..seconds * fps)
            .map(|i| i * 1000 / fps)
            .filter(|&ms| schedule.take(&settings, MediaTime(ms * 1_000_000), weight(ms)))
            .collect()
    }

    #[test]
    fn a_face_that_stays_costs_ever_less() {
        assert_eq!(shots(5, 1, |_| 0.5), [0, 200, 400, 800], "the first second");
        assert_eq!(shots(5, 60, |_| 0.5).len(), 67, "then one a second");
    }

    #[test]
    fn a_useless_view_is_not_taken_and_a_better_one_does_not_wait() {
        assert_eq!(shots(25, 1, |ms| if ms < 500 { 0.0 } else { 0.5 })[0], 520);
        let improving = shots(25, 1, |ms| if ms < 480 { 0.1 } else { 0.9 });
        let steady = shots(25, 1, |_| 0.1);
        assert!(improving.len() > steady.len(), "{improving:?} {steady:?}");
    }
}
