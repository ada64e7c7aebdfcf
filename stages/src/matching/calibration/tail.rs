//! How likely a stranger is at least so similar to somebody enrolled, also beyond what was ever seen.
//!
//! The similarities of different people are taken as normally distributed: those of 1,156 people of LFW (667,588 pairs) are,
//! out to 5 in a million, and the normal distribution lies a little above them (1.2 times at 0.35, 2 times at 0.50). Mean and
//! variance begin as theirs and move to what the site shows as it grows: the normal distribution's conjugate prior (Gelman et
//! al., *Bayesian Data Analysis*, 2013, section 3.3). Integrated over what is left open this is Student's distribution: the
//! less is known, the heavier the tail. Pairs that share a person are not independent; the mean of part of LFW is as uncertain
//! as that of about two independent pairs a person.
//!
//! Of `n` comparisons at least one goes wrong with `1 − (1 − P)^n`: the false positive identification rate from the false
//! match rate (ISO/IEC 19795-1), for independent comparisons. What the margin, the agreement of shots and liveness refuse
//! besides is not counted.

use super::scores::StrangerScores;

/// Mean and standard deviation of the similarity of two people of LFW, most similar pictures first.
const PRIOR_MEAN: f64 = 0.113;
const PRIOR_DEVIATION: f64 = 0.092;
/// What they count for: as many independent pairs as a site of 50 people has.
const PRIOR_PAIRS: f64 = 100.0;
/// Independent pairs that a person brings.
const PAIRS_A_PERSON: f64 = 2.0;

/// How sure the bounds are.
pub const SURE: f64 = 0.95;
/// The standard normal distribution at [`SURE`], and with half of the doubt.
const SURE_ONE_SIDE: f64 = 1.644_854;
const SURELY: f64 = 1.959_964;
/// Thresholds that can be recommended, in hundredths.
const HUNDREDTHS: std::ops::RangeInclusive<u32> = 30..=95;

/// Who comes, and whom they are held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// People whose names they may be given.
    pub people: usize,
    /// Strangers a day.
    pub visitors_per_day: f64,
    /// Decisions about each stranger that are independent of each other.
    pub decisions: f64,
}

impl Traffic {
    /// Expected strangers a day who are given somebody's name, where one comparison gives it with this probability.
    fn false_names(&self, each: f64) -> f64 {
        let comparisons = self.people as f64 * self.decisions;
        // 1 − (1 − each)^comparisons, without losing what is small.
        self.visitors_per_day * -(comparisons * (-each.clamp(0.0, 1.0)).ln_1p()).exp_m1()
    }
}

/// An expectation, and what it lies below with a certainty of [`SURE`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// In the mean over what is not known.
    pub expected: f64,
    /// At most.
    pub bound: f64,
}

/// How similar strangers are to people who are enrolled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrangerModel {
    mean: f64,
    deviation: f64,
    /// Independent pairs behind it.
    known: f64,
}

impl StrangerModel {
    /// What so many people of a site say, over the prior.
    pub fn of(scores: &StrangerScores, people: usize) -> Self {
        let (pairs, mean, variance) = scores.moments();
        let own = (PAIRS_A_PERSON * people as f64).min(pairs as f64);
        let known = PRIOR_PAIRS + own;
        let shift = mean - PRIOR_MEAN;
        let squares =
            PRIOR_PAIRS * PRIOR_DEVIATION.powi(2) + own * variance + PRIOR_PAIRS * own / known * shift.powi(2);
        Self { mean: PRIOR_MEAN + own / known * shift, deviation: (squares / known).sqrt(), known }
    }

    /// Mean similarity of two people.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation of it.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// Which part of what is known is the site's own, 0 to 1; the rest is the prior.
    pub fn own_part(&self) -> f64 {
        1.0 - PRIOR_PAIRS / self.known
    }

    /// How likely one stranger is at least this similar to one person who is enrolled.
    pub fn probability(&self, similarity: f32) -> Bounded {
        let similarity = f64::from(similarity);
        let spread = self.deviation * (1.0 + 1.0 / self.known).sqrt();
        let expected = student_above((similarity - self.mean) / spread, self.known);
        // Both parameters at their worse end, each with half of the doubt.
        let mean = self.mean + SURELY * self.deviation / self.known.sqrt();
        let deviation = self.deviation * (self.known / 2.0 / gamma_quantile(self.known / 2.0, -SURELY)).sqrt();
        Bounded { expected, bound: normal_above((similarity - mean) / deviation).max(expected) }
    }

    /// Strangers a day who are given somebody's name at a threshold.
    pub fn false_names_per_day(&self, threshold: f32, traffic: &Traffic) -> Bounded {
        let each = self.probability(threshold);
        Bounded { expected: traffic.false_names(each.expected), bound: traffic.false_names(each.bound) }
    }

    /// The lowest threshold, in hundredths from 0.30 to 0.95, at which at most so many strangers a day are expected to be
    /// given a name; `None` if none is high enough.
    pub fn threshold(&self, most_per_day: f64, traffic: &Traffic) -> Option<f32> {
        let mut thresholds = HUNDREDTHS.map(|hundredth| hundredth as f32 / 100.0);
        thresholds.find(|&at| self.false_names_per_day(at, traffic).expected <= most_per_day)
    }
}

/// Without any model: with a certainty of [`SURE`] at most this part of all pairs reaches a similarity that `reached` of
/// `pairs` did (Garwood, 1936; with none, the rule of three). Pairs are taken as independent.
pub fn counted(reached: u64, pairs: u64) -> f64 {
    if pairs == 0 { 1.0 } else { (gamma_quantile(reached as f64 + 1.0, SURE_ONE_SIDE) / pairs as f64).min(1.0) }
}

/// The upper tail of the standard normal distribution.
fn normal_above(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
}

/// The upper tail of Student's distribution of so many degrees of freedom, 100 or more here (Wallace, 1959: within 1 % where
/// it is above 1e-9).
fn student_above(t: f64, freedom: f64) -> f64 {
    let z = (freedom * (t * t / freedom).ln_1p()).sqrt() * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0);
    normal_above(z.copysign(t))
}

/// The quantile of the Gamma distribution of this shape and rate 1 that the standard normal distribution has at `z` (Wilson
/// and Hilferty, 1931; within 1 % from a shape of 1 on).
fn gamma_quantile(shape: f64, z: f64) -> f64 {
    let ninth = 1.0 / (9.0 * shape);
    shape * (1.0 - ninth + z * ninth.sqrt()).max(0.0).powi(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn models() -> impl Strategy<Value = StrangerModel> {
        (prop::collection::vec(-0.4f32..0.7, 0..400), 0usize..1000)
            .prop_map(|(similarities, people)| StrangerModel::of(&scores(similarities), people))
    }

    fn scores(similarities: impl IntoIterator<Item = f32>) -> StrangerScores {
        let mut scores = StrangerScores::default();
        similarities.into_iter().for_each(|similarity| scores.add(similarity));
        scores
    }

    fn traffic() -> impl Strategy<Value = Traffic> {
        (1usize..5000, 0f64..10_000.0, 1f64..10.0).prop_map(|(people, visitors_per_day, decisions)| Traffic {
            people,
            visitors_per_day,
            decisions,
        })
    }

    proptest! {
        #[test]
        fn false_names_grow_with_people_traffic_and_decisions_and_fall_with_the_threshold(
            model in models(), traffic in traffic(), threshold in 0.3f32..0.9, more in 0f64..3.0,
        ) {
            let at = |threshold, traffic| model.false_names_per_day(threshold, &traffic);
            let base = at(threshold, traffic);
            prop_assert!(base.expected >= 0.0 && base.expected <= base.bound && base.bound <= traffic.visitors_per_day);
            let worse = [
                Traffic { people: traffic.people + (more * 1000.0) as usize, ..traffic },
                Traffic { visitors_per_day: traffic.visitors_per_day * (1.0 + more), ..traffic },
                Traffic { decisions: traffic.decisions + more, ..traffic },
            ];
            for worse in worse {
                prop_assert!(at(threshold, worse).expected >= base.expected, "{:?}", worse);
                prop_assert!(at(threshold, worse).bound >= base.bound, "{:?}", worse);
            }
            let stricter = at(threshold + more as f32 / 10.0, traffic);
            prop_assert!(stricter.expected <= base.expected && stricter.bound <= base.bound);
        }

        #[test]
        fn the_recommended_threshold_is_the_lowest_that_will_do(
            model in models(), traffic in traffic(), most in 1e-4f64..1.0,
        ) {
            let expected = |threshold| model.false_names_per_day(threshold, &traffic).expected;
            match model.threshold(most, &traffic) {
                Some(threshold) => {
                    prop_assert!(expected(threshold) <= most);
                    prop_assert!(threshold <= 0.3 || expected(threshold - 0.01) > most);
                    let stricter = model.threshold(most / 10.0, &traffic);
                    prop_assert!(stricter.is_none_or(|stricter| stricter >= threshold));
                }
                None => prop_assert!(expected(0.95) > most),
            }
        }

        #[test]
        fn strangers_who_are_more_alike_ask_for_a_higher_threshold(
            similarities in prop::collection::vec(-0.05f32..0.1, 1..100), shift in 0.02f32..0.15, people in 10usize..500,
        ) {
            let at = |shift: f32| {
                StrangerModel::of(&scores(similarities.iter().map(|s| s + shift)), people).probability(0.52)
            };
            // All sites here are above the prior's mean: nearer to it, there is less to be unsure about.
            let (near, far) = (at(0.2), at(0.2 + shift));
            prop_assert!(far.expected >= near.expected && far.bound >= near.bound, "{:?} {:?}", near, far);
        }

        #[test]
        fn counting_bounds_lie_above_what_was_counted(reached in 0u64..50, more in 1u64..10_000) {
            let pairs = reached + more;
            let bound = counted(reached, pairs);
            prop_assert!(bound > reached as f64 / pairs as f64 && bound <= 1.0);
            prop_assert!(counted(reached + 1, pairs + 1) >= bound - 1e-12);
        }
    }

    #[test]
    fn none_of_many_is_the_rule_of_three() {
        assert!((counted(0, 1000) * 1000.0 - 3.0).abs() < 0.05);
        assert_eq!(counted(0, 0), 1.0);
    }

    #[test]
    fn the_tails_are_those_of_the_tables() {
        for (z, above) in [(0.0, 0.5), (1.644_854, 0.05), (5.0, 2.866_5e-7)] {
            assert!((normal_above(z) / above - 1.0).abs() < 1e-4, "{z}");
        }
        // scipy.stats.t.sf
        for (t, freedom, above) in [(2.0, 100.0, 0.024_106), (5.0, 100.0, 1.225e-6), (6.0, 400.0, 2.211e-9)] {
            assert!((student_above(t, freedom) / above - 1.0).abs() < 0.02, "{t}: {}", student_above(t, freedom));
        }
    }

    #[test]
    fn a_large_site_speaks_for_itself_and_a_small_one_hardly() {
        // Two of three pairs at one deviation from the mean, the third at it: mean 0.2, deviation 0.1.
        let spread = 0.1 * 1.5f32.sqrt();
        let site = |people: usize| {
            let pairs = people * (people - 1) / 2;
            StrangerModel::of(&scores((0..pairs).map(|i| 0.2 + spread * (i % 3) as f32 - spread)), people)
        };
        let (small, large) = (site(6), site(1200));
        assert!(small.own_part() < 0.15 && large.own_part() > 0.95);
        let found = large.probability(0.5);
        assert!((0.8..1.25).contains(&(found.expected / normal_above(3.0))), "{found:?}");
        assert!(found.bound < 2.0 * found.expected);
        let small = small.probability(0.5);
        assert!(small.bound > 3.0 * small.expected, "{small:?}");
        let nobody = StrangerModel::of(&StrangerScores::default(), 0);
        assert_eq!((nobody.own_part(), nobody.mean()), (0.0, PRIOR_MEAN));
    }
}
