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
    /// Whether a view of this weight is to be taken now.
    pub(super) fn is_due(&self, settings: &ShotSettings, now: MediaTime, weight: f32) -> bool {
        let Some(last) = self.last else { return weight >= settings.min_weight };
        let growth = settings.gap_growth.powi(self.taken.min(64) as i32 - 1);
        let gap = (settings.first_gap_s * growth).min(settings.max_gap_s);
        let wait = if weight > settings.better * self.best { gap / 2.0 } else { gap };
        // Frames do not fall on the gap to the nanosecond.
        weight >= settings.min_weight && now.since(last).as_secs_f32() >= wait - 1e-3
    }

    /// Counts a view that was taken.
    pub(super) fn took(&mut self, now: MediaTime, weight: f32) {
        self.taken += 1;
        self.last = Some(now);
        self.best = self.best.max(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shots(fps: u64, seconds: u64, weight: impl Fn(u64) -> f32) -> Vec<u64> {
        let (settings, mut schedule) = (ShotSettings::default(), ShotSchedule::default());
        let mut taken = Vec::new();
        for ms in (0..seconds * fps).map(|i| i * 1000 / fps) {
            let now = MediaTime(ms * 1_000_000);
            if schedule.is_due(&settings, now, weight(ms)) {
                schedule.took(now, weight(ms));
                taken.push(ms);
            }
        }
        taken
    }

    #[test]
    fn a_face_that_stays_costs_ever_less() {
        assert_eq!(shots(5, 1, |_| 0.5), [0, 200, 400, 800], "the first second");
        assert_eq!(shots(5, 60, |_| 0.5).len(), 65, "then one a second");
    }

    #[test]
    fn a_useless_view_is_not_taken_and_a_better_one_does_not_wait() {
        assert_eq!(shots(25, 1, |ms| if ms < 500 { 0.0 } else { 0.5 })[0], 520);
        let next = |shots: Vec<u64>| shots.into_iter().find(|&ms| ms > 280);
        assert_eq!(next(shots(25, 1, |_| 0.1)), Some(520));
        assert_eq!(next(shots(25, 1, |ms| if ms < 300 { 0.1 } else { 0.9 })), Some(400));
    }
}
