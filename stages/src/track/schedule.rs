//! Which views of a track are worth a shot: an embedding costs three times what a detection does. Views that tell little are
//! taken now and then; from the first usable one on a track gets all it can use until they should be enough to tell who it is,
//! since somebody waits to be named, and then ever fewer. A clearly better view does not wait its turn.

use rollcall_pipeline::MediaTime;

/// When shots are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShotSettings {
    /// Least weight (0 to 1, see `chip::quality`) of a view.
    pub min_weight: f32,
    /// Time between the first two shots while none was usable (see `chip::is_usable`), seconds of media time …
    pub poor_gap_s: f32,
    /// … and each gap is longer than the last by this factor.
    pub poor_growth: f32,
    /// Time between the first usable shots …
    pub first_gap_s: f32,
    /// … until they weigh so much together …
    pub first_weight: f32,
    /// … or are so many.
    pub first_shots: u32,
    /// Then each gap is longer than the last by this factor.
    pub gap_growth: f32,
    /// No gap is longer, seconds.
    pub max_gap_s: f32,
    /// A view this many times better than the best so far waits only half the gap.
    pub better: f32,
}

impl Default for ShotSettings {
    fn default() -> Self {
        Self {
            min_weight: 0.02,
            poor_gap_s: 0.3,
            poor_growth: 1.3,
            first_gap_s: 0.15,
            first_weight: 1.3,
            first_shots: 6,
            gap_growth: 1.6,
            max_gap_s: 1.0,
            better: 1.5,
        }
    }
}

/// What a shot would be worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) weight: f32,
    pub(super) usable: bool,
}

/// The shots of one track so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShotSchedule {
    taken: u32,
    usable: u32,
    /// What the usable ones weigh together.
    weight: f32,
    /// Those that were taken when there should have been enough.
    more: u32,
    last: Option<MediaTime>,
    best: f32,
}

impl ShotSchedule {
    /// Whether this view is to be taken now.
    pub(super) fn is_due(&self, settings: &ShotSettings, now: MediaTime, view: View) -> bool {
        if view.weight < settings.min_weight {
            return false;
        }
        let Some(last) = self.last else { return true };
        if view.usable && self.usable == 0 {
            return true;
        }
        let (first, growth, longer) = match self.usable {
            0 => (settings.poor_gap_s, settings.poor_growth, self.taken - 1),
            _ => (settings.first_gap_s, settings.gap_growth, self.more),
        };
        let gap = (first * growth.powi(longer.min(64) as i32)).min(settings.max_gap_s);
        let wait = if view.weight > settings.better * self.best { gap / 2.0 } else { gap };
        // Frames do not fall on the gap to the nanosecond.
        now.since(last).as_secs_f32() >= wait - 1e-3
    }

    /// Counts a view that was taken.
    pub(super) fn took(&mut self, settings: &ShotSettings, now: MediaTime, view: View) {
        let enough = self.weight >= settings.first_weight || self.usable >= settings.first_shots;
        self.more += u32::from(enough);
        self.taken += 1;
        if view.usable {
            self.usable += 1;
            self.weight += view.weight;
        }
        self.last = Some(now);
        self.best = self.best.max(view.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poor(weight: f32) -> View {
        View { weight, usable: false }
    }

    fn usable(weight: f32) -> View {
        View { weight, usable: true }
    }

    fn shots(fps: u64, seconds: u64, view: impl Fn(u64) -> View) -> Vec<u64> {
        let (settings, mut schedule) = (ShotSettings::default(), ShotSchedule::default());
        let mut taken = Vec::new();
        for ms in (0..seconds * fps).map(|i| i * 1000 / fps) {
            let now = MediaTime(ms * 1_000_000);
            if schedule.is_due(&settings, now, view(ms)) {
                schedule.took(&settings, now, view(ms));
                taken.push(ms);
            }
        }
        taken
    }

    #[test]
    fn a_usable_face_gets_all_until_there_should_be_enough_and_costs_ever_less_if_it_stays() {
        assert_eq!(shots(5, 3, |_| usable(0.9)), [0, 200, 400, 800, 1200, 2000], "a clear one");
        assert_eq!(
            shots(5, 3, |_| usable(0.2)),
            [0, 200, 400, 600, 800, 1000, 1200, 1600, 2000, 2800],
            "a doubtful one"
        );
        assert_eq!(shots(5, 60, |_| usable(0.9)).len(), 63, "then one a second");
    }

    #[test]
    fn a_poor_face_costs_little_until_it_is_usable() {
        assert_eq!(shots(5, 60, |_| poor(0.3)).len(), 62, "soon one a second");
        let comes_near = shots(5, 4, |ms| if ms < 3000 { poor(0.3) } else { usable(0.4) });
        assert_eq!(comes_near[comes_near.len() - 5..], [3000, 3200, 3400, 3600, 3800]);
    }

    #[test]
    fn a_useless_view_is_not_taken_and_a_better_one_does_not_wait() {
        assert_eq!(shots(25, 1, |ms| poor(if ms < 500 { 0.0 } else { 0.5 }))[0], 520);
        let next = |shots: Vec<u64>| shots.into_iter().find(|&ms| ms > 320);
        assert_eq!(next(shots(25, 2, |_| poor(0.1))), Some(720));
        assert_eq!(next(shots(25, 2, |ms| poor(if ms < 400 { 0.1 } else { 0.9 }))), Some(520));
    }
}
