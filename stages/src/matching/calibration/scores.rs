//! Everybody of a gallery against everybody else: each person is, to all others, a stranger of whom there are pictures.

use std::ops::Range;

use rollcall_pipeline::{Candidate, PersonId};

use super::super::gallery::Gallery;

/// Two people's templates are never this similar; one person's usually are. Above it somebody has two names.
pub const SAME_FACE: f32 = 0.6;

/// Steps of similarity that are told apart.
const STEP: f32 = 1e-3;
const STEPS: usize = 2000;

/// How often two different people were how similar. Of constant size, whatever the gallery's is.
#[derive(Clone, Debug, PartialEq)]
pub struct StrangerScores {
    /// From −1 to 1.
    counts: Vec<u64>,
}

impl Default for StrangerScores {
    fn default() -> Self {
        Self { counts: vec![0; STEPS + 1] }
    }
}

impl StrangerScores {
    /// Counts a pair of people.
    pub fn add(&mut self, similarity: f32) {
        self.counts[step(similarity)] += 1;
    }

    /// Pairs of people.
    pub fn pairs(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Pairs that are at least so similar.
    pub fn at_least(&self, similarity: f32) -> u64 {
        self.counts[step(similarity)..].iter().sum()
    }

    /// How many pairs, and the mean and the variance of their similarity; without those from [`SAME_FACE`] on, which are one
    /// person twice.
    pub fn moments(&self) -> (u64, f64, f64) {
        let counted = &self.counts[..step(SAME_FACE)];
        let pairs: u64 = counted.iter().sum();
        let mean = |of: &dyn Fn(f64) -> f64| {
            let sum: f64 = counted.iter().enumerate().map(|(i, n)| of(at(i)) * *n as f64).sum();
            sum / pairs.max(1) as f64
        };
        let middle = mean(&|similarity| similarity);
        (pairs, middle, mean(&|similarity| (similarity - middle).powi(2)))
    }

    /// The similarity that this part (0 to 1) of the pairs does not exceed; `None` without pairs.
    pub fn quantile(&self, part: f64) -> Option<f32> {
        let wanted = (part * self.pairs() as f64).ceil().max(1.0) as u64;
        let mut sum = 0;
        let found = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        })?;
        Some(at(found) as f32)
    }
}

/// The similarity of a step.
fn at(step: usize) -> f64 {
    step as f64 * f64::from(STEP) - 1.0
}

fn step(similarity: f32) -> usize {
    // A number that is none is at the very bottom.
    (((similarity + 1.0) / STEP).round().max(0.0) as usize).min(STEPS)
}

/// A gallery held against itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeftOut {
    /// So many people were held against all others: everybody, or a sample.
    pub probes: usize,
    /// Each two people once: the similarity of those of their templates that are most alike.
    pub strangers: StrangerScores,
    /// For each person (in the order of their ids) who of all others is most like them; `None` where they were not compared.
    pub nearest: Vec<(PersonId, Option<Candidate>)>,
    /// For each template of somebody who has several: how like it is to the most similar other one of theirs.
    pub genuine: Vec<(PersonId, f32)>,
}

impl Gallery {
    /// Holds everybody against everybody else, leaving them out of the gallery. At most `probes` people, evenly chosen, are
    /// held against all, which bounds the work. `done` hears of each of them.
    pub fn leave_one_out(&self, probes: usize, mut done: impl FnMut()) -> LeftOut {
        let count = self.people();
        let stride = count.div_ceil(probes.max(1)).max(1);
        let mut told =
            LeftOut { nearest: self.ids().iter().map(|person| (*person, None)).collect(), ..LeftOut::default() };
        for a in (0..count).step_by(stride) {
            // Who is a probe and comes before has met this one already.
            for b in (0..count).filter(|&b| b > a || (b < a && b % stride != 0)) {
                let similarity = self.most_alike(self.templates_of(a), self.templates_of(b));
                told.strangers.add(similarity);
                for (one, other) in [(a, b), (b, a)] {
                    let nearest = &mut told.nearest[one].1;
                    if nearest.is_none_or(|nearest| similarity > nearest.similarity) {
                        *nearest = Some(Candidate { person: self.ids()[other], similarity });
                    }
                }
            }
            told.probes += 1;
            done();
        }
        for (person, id) in self.ids().iter().enumerate() {
            let own = self.templates_of(person);
            if own.len() < 2 {
                continue;
            }
            for left_out in own.clone() {
                let others = [own.start..left_out, left_out + 1..own.end];
                let alike = others.map(|others| self.most_alike(left_out..left_out + 1, others));
                told.genuine.push((*id, alike[0].max(alike[1])));
            }
        }
        told
    }

    /// The similarity of the most similar rows; −∞ of none.
    fn most_alike(&self, ours: Range<usize>, theirs: Range<usize>) -> f32 {
        ours.flat_map(|a| theirs.clone().map(move |b| self.similarity(a, self.row(b))))
            .fold(f32::NEG_INFINITY, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::{Embedding, GalleryVersion, ModelId};
    use uuid::Uuid;

    use super::*;

    const DIMENSION: usize = 8;

    type Templates = Vec<(u8, Vec<f32>)>;

    fn gallery(templates: &Templates) -> Gallery {
        let model = ModelId::new("m");
        let template = |(person, values): &(u8, Vec<f32>)| {
            let embedding = Embedding::normalized(model.clone(), values.clone())?;
            Some((PersonId(Uuid::from_u128((*person).into())), embedding))
        };
        Gallery::new(GalleryVersion(1), model.clone(), templates.iter().filter_map(template)).unwrap()
    }

    fn templates() -> impl Strategy<Value = Templates> {
        prop::collection::vec((0u8..12, prop::collection::vec(-1f32..1.0, DIMENSION)), 2..40)
    }

    proptest! {
        #[test]
        fn everybody_meets_everybody_once_and_both_see_the_same(templates in templates()) {
            let gallery = gallery(&templates);
            let told = gallery.leave_one_out(usize::MAX, || ());
            let people = gallery.people() as u64;
            prop_assert_eq!(told.strangers.pairs(), people * people.saturating_sub(1) / 2);
            let of = |id: PersonId| told.nearest.iter().find(|(person, _)| *person == id).and_then(|(_, n)| *n);
            for (person, nearest) in &told.nearest {
                let Some(nearest) = nearest else {
                    prop_assert_eq!(people, 1);
                    continue;
                };
                prop_assert_ne!(nearest.person, *person);
                // The other one may have a closer neighbour, never only more distant ones.
                prop_assert!(of(nearest.person).is_some_and(|back| back.similarity >= nearest.similarity));
            }
            let closest = told.nearest.iter().filter_map(|(_, n)| Some(n.as_ref()?.similarity));
            if let Some(closest) = closest.max_by(f32::total_cmp) {
                prop_assert!(told.strangers.at_least(closest) >= 1);
                prop_assert_eq!(told.strangers.at_least(closest + 2.0 * STEP), 0);
            }
        }

        #[test]
        fn the_nearest_is_whom_the_gallery_finds_without_them(templates in templates()) {
            let full = gallery(&templates);
            for (person, nearest) in full.leave_one_out(usize::MAX, || ()).nearest {
                let others: Templates =
                    templates.iter().filter(|(id, _)| Uuid::from_u128((*id).into()) != person.0).cloned().collect();
                let own = templates.iter().filter(|(id, _)| Uuid::from_u128((*id).into()) == person.0);
                let without = gallery(&others);
                let best = own
                    .filter_map(|(_, values)| Embedding::normalized(ModelId::new("m"), values.clone()))
                    .filter_map(|probe| without.nearest(&probe, 1).first().map(|c| c.similarity))
                    .max_by(f32::total_cmp);
                prop_assert_eq!(nearest.map(|n| n.similarity), best);
            }
        }

        #[test]
        fn fewer_probes_compare_fewer_pairs_and_none_twice(templates in templates(), probes in 1usize..6) {
            let gallery = gallery(&templates);
            let people = gallery.people();
            let mut heard = 0;
            let told = gallery.leave_one_out(probes, || heard += 1);
            prop_assert!(heard <= probes.min(people));
            prop_assert_eq!(told.probes, heard);
            let expected = heard * (people - heard) + heard * heard.saturating_sub(1) / 2;
            prop_assert_eq!(told.strangers.pairs(), expected as u64);
        }
    }

    #[test]
    fn somebody_with_several_templates_is_compared_with_themselves() {
        let turned = |degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            vec![cos, sin]
        };
        let told = gallery(&vec![(1, turned(0.0)), (1, turned(60.0)), (2, turned(180.0))]).leave_one_out(9, || ());
        assert_eq!(told.genuine.len(), 2);
        assert!(told.genuine.iter().all(|(_, similarity)| (similarity - 0.5).abs() < 1e-6));
        assert!(told.strangers.quantile(0.5).is_some_and(|similarity| (similarity + 0.5).abs() < 2.0 * STEP));
    }
}
