//! The gallery: all templates of one model as an immutable, versioned snapshot, searched exactly.
//!
//! A change makes a new snapshot and swaps it in; a search that has begun goes on with the one it has. Large galleries are
//! read in eight bits a value, see `codes`, and measured exactly where that matters: the answer is the same.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aligned_vec::{AVec, CACHELINE_ALIGN};
use arc_swap::ArcSwap;
use pulp::{Arch, Simd, WithSimd};
use rollcall_pipeline::ports::{Matcher, Ranking};
use rollcall_pipeline::{Candidate, Embedding, GalleryVersion, ModelId, PersonId};

use super::codes::Codes;

/// With fewer templates rounding the probe costs more than it saves.
const CODES_FROM: usize = 64;
/// Probes that share a pass: in eight bits they fill half of the nearest cache, the rows in turn the other.
const BATCH: usize = 32;

/// Why a gallery cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GalleryError {
    /// Embeddings of two models have no common measure.
    #[error("a template of {person} was made by {found}, the gallery holds {expected}: enrol this person again")]
    OtherModel {
        /// Whose template.
        person: PersonId,
        /// What it was made by.
        found: ModelId,
        /// What the gallery holds.
        expected: ModelId,
    },
    /// The templates differ in length.
    #[error("a template of {person} has {found} values instead of {expected}: enrol this person again")]
    OtherLength {
        /// Whose template.
        person: PersonId,
        /// Its length.
        found: usize,
        /// The length of the first template.
        expected: usize,
    },
}

/// A snapshot.
pub struct Gallery {
    version: GalleryVersion,
    model: ModelId,
    dimension: usize,
    /// Sorted.
    people: Vec<PersonId>,
    /// The templates of `people[i]` are the rows `first_row[i]..first_row[i + 1]`.
    first_row: Vec<usize>,
    /// Row-major, `dimension` values a row, unit length. From the beginning of a cache line on, so that vectors of dimensions
    /// that fill whole lines, as those of models do, lie in one: across two they take twice as long to come.
    rows: AVec<f32>,
    /// The same, rounded, and whose each row is (an index into `people`); for large galleries.
    codes: Option<(Codes, Vec<u32>)>,
    arch: Arch,
}

impl Gallery {
    /// Builds a snapshot from templates in any order.
    ///
    /// # Errors
    /// When a template is of another model or length.
    pub fn new(
        version: GalleryVersion,
        model: ModelId,
        templates: impl IntoIterator<Item = (PersonId, Embedding)>,
    ) -> Result<Self, GalleryError> {
        let mut templates: Vec<_> = templates.into_iter().collect();
        templates.sort_by_key(|&(person, _)| person);
        let dimension = templates.first().map_or(0, |(_, e)| e.values().len());
        let (mut people, mut first_row) = (Vec::new(), Vec::new());
        let mut rows: AVec<f32> = AVec::with_capacity(CACHELINE_ALIGN, templates.len() * dimension);
        for (row, (person, embedding)) in templates.into_iter().enumerate() {
            if embedding.model() != &model {
                return Err(GalleryError::OtherModel { person, found: embedding.model().clone(), expected: model });
            }
            let found = embedding.values().len();
            if found != dimension {
                return Err(GalleryError::OtherLength { person, found, expected: dimension });
            }
            if people.last() != Some(&person) {
                people.push(person);
                first_row.push(row);
            }
            rows.extend_from_slice(embedding.values());
        }
        let templates = rows.len() / dimension.max(1);
        first_row.push(templates);
        let codes = (templates >= CODES_FROM).then(|| {
            let of = |(i, span): (usize, &[usize])| std::iter::repeat_n(i as u32, span[1] - span[0]);
            (Codes::new(&rows, dimension), first_row.windows(2).enumerate().flat_map(of).collect())
        });
        Ok(Self { version, model, dimension, people, first_row, rows, codes, arch: Arch::new() })
    }

    /// Nobody.
    pub fn empty(model: ModelId) -> Self {
        Self {
            version: GalleryVersion(0),
            model,
            dimension: 0,
            people: Vec::new(),
            first_row: vec![0],
            rows: AVec::new(CACHELINE_ALIGN),
            codes: None,
            arch: Arch::new(),
        }
    }

    /// Which snapshot this is.
    pub fn version(&self) -> GalleryVersion {
        self.version
    }

    /// People with at least one template.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Templates of all people.
    pub fn templates(&self) -> usize {
        self.first_row.last().copied().unwrap_or(0)
    }

    /// Who they are, sorted.
    pub(super) fn ids(&self) -> &[PersonId] {
        &self.people
    }

    /// Which rows are the templates of the `person`-th.
    pub(super) fn templates_of(&self, person: usize) -> Range<usize> {
        self.first_row[person]..self.first_row[person + 1]
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.dimension..(row + 1) * self.dimension]
    }

    /// How similar a row is to a vector of the same length.
    pub(super) fn similarity(&self, row: usize, to: &[f32]) -> f32 {
        let [product] = self.arch.dispatch(Dots(self.row(row), [to]));
        product
    }

    /// The most similar people, best first, at most `n`; nobody for a probe of another model.
    pub fn nearest(&self, probe: &Embedding, n: usize) -> Vec<Candidate> {
        if !self.is_comparable(probe) {
            return Vec::new();
        }
        // Where it lies: to copy it to a line's beginning takes as long as it saves.
        self.best_of_all(&[probe.values()], n.min(self.people.len())).pop().unwrap_or_default()
    }

    /// As [`nearest`](Self::nearest), for many probes: a large gallery is read once for all of a batch.
    pub fn nearest_each(&self, probes: &[&Embedding], n: usize) -> Vec<Vec<Candidate>> {
        let n = n.min(self.people.len());
        let mut answers = vec![Vec::new(); probes.len()];
        let comparable: Vec<usize> = (0..probes.len()).filter(|&i| self.is_comparable(probes[i])).collect();
        for batch in comparable.chunks(BATCH) {
            let mut values: AVec<f32> = AVec::with_capacity(CACHELINE_ALIGN, batch.len() * self.dimension);
            batch.iter().for_each(|&i| values.extend_from_slice(probes[i].values()));
            let values: Vec<&[f32]> = values.chunks_exact(self.dimension.max(1)).collect();
            for (&i, best) in batch.iter().zip(self.best_of_all(&values, n)) {
                answers[i] = best;
            }
        }
        answers
    }

    fn is_comparable(&self, probe: &Embedding) -> bool {
        probe.model() == &self.model && probe.values().len() == self.dimension
    }

    /// The best `n` people for each probe.
    fn best_of_all(&self, probes: &[&[f32]], n: usize) -> Vec<Vec<Candidate>> {
        let Some((codes, owners)) = self.codes.as_ref().filter(|_| n > 0) else {
            return self.best(probes, n, 0..self.people.len());
        };
        let mut best_of_each = vec![Vec::<Candidate>::with_capacity(n + 1); probes.len()];
        codes.scan(self.arch, probes, |probe, row| {
            let best = &mut best_of_each[probe];
            let person = self.people[owners[row] as usize];
            let similarity = self.similarity(row, probes[probe]);
            match best.iter_mut().find(|c| c.person == person) {
                Some(known) => known.similarity = known.similarity.max(similarity),
                None => best.push(Candidate { person, similarity }),
            }
            best.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
            best.truncate(n);
            if best.len() == n { best[n - 1].similarity } else { f32::NEG_INFINITY }
        });
        best_of_each
    }

    /// The best `n` for each probe among the people with these indices.
    fn best(&self, probes: &[&[f32]], n: usize, people: impl Iterator<Item = usize> + Clone) -> Vec<Vec<Candidate>> {
        if n == 0 {
            vec![Vec::new(); probes.len()]
        } else {
            self.arch.dispatch(Best { gallery: self, probes, n, people })
        }
    }
}

impl Matcher for Gallery {
    fn rank(&self, probe: &Embedding, expected: Option<&[PersonId]>) -> Ranking {
        if !self.is_comparable(probe) {
            return Ranking { gallery: self.version, expected: Vec::new(), all: Vec::new() };
        }
        let all = self.nearest(probe, 2);
        let expected = match expected {
            None => all.clone(),
            Some(roster) => {
                let enrolled = roster.iter().filter_map(|person| self.people.binary_search(person).ok());
                self.best(&[probe.values()], 2, enrolled).pop().unwrap_or_default()
            }
        };
        Ranking { gallery: self.version, expected, all }
    }
}

impl fmt::Debug for Gallery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gallery({:?}, {}, {} people)", self.version, self.model, self.people.len())
    }
}

/// Sums that run beside each other: an addition takes as long as four vectors take to come.
const SUMS: usize = 4;
/// Probes that share a row while it is in registers, each with its own sums.
const TOGETHER: usize = 4;

/// The products of a row with vectors of its length, compiled for each kind of processor.
struct Dots<'a, const N: usize>(&'a [f32], [&'a [f32]; N]);

impl<const N: usize> WithSimd for Dots<'_, N> {
    type Output = [f32; N];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; N] {
        let (row, row_rest) = S::as_simd_f32s(self.0);
        let others = self.1.map(S::as_simd_f32s);
        let (row, row_few) = row.as_chunks::<SUMS>();
        let each = others.map(|(other, _)| other.as_chunks::<SUMS>());
        let mut sums = [[simd.splat_f32s(0.0); SUMS]; N];
        for (at, row) in row.iter().enumerate() {
            for (sums, (other, _)) in sums.iter_mut().zip(each) {
                for i in 0..SUMS {
                    sums[i] = simd.mul_add_e_f32s(row[i], other[at][i], sums[i]);
                }
            }
        }
        for (at, &row) in row_few.iter().enumerate() {
            for (sums, (_, few)) in sums.iter_mut().zip(each) {
                sums[0] = simd.mul_add_e_f32s(row, few[at], sums[0]);
            }
        }
        let mut products = [0.0; N];
        for ((product, sums), (_, rest)) in products.iter_mut().zip(sums).zip(others) {
            let pairs = [simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3])];
            let rest = row_rest.iter().zip(rest).map(|(x, y)| x * y).sum::<f32>();
            *product = simd.reduce_sum_f32s(simd.add_f32s(pairs[0], pairs[1])) + rest;
        }
        products
    }
}

/// A search among some people, row by row, for each probe.
struct Best<'a, P> {
    gallery: &'a Gallery,
    probes: &'a [&'a [f32]],
    n: usize,
    people: P,
}

impl<P: Iterator<Item = usize> + Clone> WithSimd for Best<'_, P> {
    type Output = Vec<Vec<Candidate>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<Vec<Candidate>> {
        let mut best_of_each = vec![Vec::with_capacity(self.n + 1); self.probes.len()];
        let (together, apart) = self.probes.as_chunks::<TOGETHER>();
        let (best_together, best_apart) = best_of_each.as_chunks_mut::<TOGETHER>();
        for (probes, best) in together.iter().zip(best_together) {
            self.search(simd, *probes, best);
        }
        for (&probe, best) in apart.iter().zip(best_apart) {
            self.search(simd, [probe], std::array::from_mut(best));
        }
        best_of_each
    }
}

impl<P: Iterator<Item = usize> + Clone> Best<'_, P> {
    /// With probes that share each row.
    #[inline(always)]
    fn search<S: Simd, const N: usize>(&self, simd: S, probes: [&[f32]; N], best_of_each: &mut [Vec<Candidate>; N]) {
        let Self { gallery, n, .. } = *self;
        for i in self.people.clone() {
            let mut most = [f32::NEG_INFINITY; N];
            // Loops: a closure is not always inlined, and then compiled without the processor's instructions.
            for row in gallery.templates_of(i) {
                let products = Dots(gallery.row(row), probes).with_simd(simd);
                for (most, product) in most.iter_mut().zip(products) {
                    *most = most.max(product);
                }
            }
            for (best, similarity) in best_of_each.iter_mut().zip(most) {
                if best.len() < n || similarity > best[n - 1].similarity {
                    best.push(Candidate { person: gallery.people[i], similarity });
                    best.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
                    best.truncate(n);
                }
            }
        }
    }
}

/// The gallery of the moment. Cloning shares it.
#[derive(Clone, Debug)]
pub struct GalleryHandle(Arc<ArcSwap<Gallery>>);

impl GalleryHandle {
    /// Begins with a snapshot.
    pub fn new(gallery: Gallery) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(gallery)))
    }

    /// Swaps a new snapshot in; searches that have begun go on with the old one.
    pub fn swap(&self, gallery: Gallery) {
        self.0.store(Arc::new(gallery));
    }

    /// The snapshot of the moment.
    pub fn load(&self) -> Arc<Gallery> {
        self.0.load_full()
    }
}

impl Matcher for GalleryHandle {
    fn rank(&self, probe: &Embedding, expected: Option<&[PersonId]>) -> Ranking {
        self.0.load().rank(probe, expected)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn model() -> ModelId {
        ModelId::new("test")
    }

    fn embedding(values: Vec<f32>) -> Embedding {
        Embedding::normalized(model(), values).unwrap()
    }

    fn person(n: u128) -> PersonId {
        PersonId(Uuid::from_u128(n))
    }

    #[test]
    fn a_person_counts_once_by_the_best_template() {
        let templates =
            [(2, vec![1.0, 0.1]), (1, vec![0.0, 1.0]), (2, vec![1.0, 0.0])].map(|(p, v)| (person(p), embedding(v)));
        let gallery = Gallery::new(GalleryVersion(7), model(), templates).unwrap();
        let ranking = gallery.rank(&embedding(vec![1.0, 0.0]), None);
        assert_eq!(ranking.all.iter().map(|c| c.person).collect::<Vec<_>>(), [person(2), person(1)]);
        assert_eq!((ranking.all[0].similarity, ranking.gallery), (1.0, GalleryVersion(7)));
        assert_eq!((gallery.people(), gallery.templates()), (2, 3));
    }

    #[test]
    fn the_roster_limits_only_the_expected() {
        let templates = [(1, vec![1.0, 0.0]), (2, vec![0.6, 0.8])].map(|(p, v)| (person(p), embedding(v)));
        let gallery = Gallery::new(GalleryVersion(1), model(), templates).unwrap();
        let ranking = gallery.rank(&embedding(vec![1.0, 0.0]), Some(&[person(2), person(99)]));
        assert_eq!(ranking.expected.iter().map(|c| c.person).collect::<Vec<_>>(), [person(2)]);
        assert_eq!(ranking.all[0].person, person(1));
    }

    #[test]
    fn another_model_is_refused_and_matches_nobody() {
        let other = Embedding::normalized(ModelId::new("other"), vec![1.0]).unwrap();
        assert!(matches!(
            Gallery::new(GalleryVersion(1), model(), [(person(1), other.clone())]),
            Err(GalleryError::OtherModel { .. })
        ));
        let gallery = Gallery::new(GalleryVersion(1), model(), [(person(1), embedding(vec![1.0]))]).unwrap();
        assert_eq!(gallery.rank(&other, None).all, []);
        assert_eq!(Gallery::empty(model()).rank(&embedding(vec![1.0]), None).all, []);
    }

    proptest! {
        #[test]
        fn a_large_gallery_answers_as_the_exact_scan_does(
            rows in prop::collection::vec((0u128..700, prop::collection::vec(-1.0f32..1.0, 16)), CODES_FROM..CODES_FROM + 200),
            probes in prop::collection::vec(prop::collection::vec(0.1f32..1.0, 16), 1..BATCH + 9),
        ) {
            let templates =
                rows.into_iter().filter_map(|(p, v)| Some((person(p), Embedding::normalized(model(), v)?)));
            let gallery = Gallery::new(GalleryVersion(1), model(), templates).unwrap();
            let probes: Vec<Embedding> = probes.into_iter().map(embedding).collect();
            let together = gallery.nearest_each(&probes.iter().collect::<Vec<_>>(), 2);
            for (probe, found) in probes.iter().zip(together) {
                let exact = gallery.best(&[probe.values()], 2, 0..gallery.people()).remove(0);
                prop_assert_eq!(&gallery.rank(probe, None).all, &exact);
                prop_assert_eq!(found, exact);
            }
        }

        #[test]
        fn probes_that_share_rows_are_answered_as_each_alone(
            (rows, probes) in prop::sample::select(vec![37usize, 64, 100]).prop_flat_map(|dimension| {
                let vector = || prop::collection::vec(-1.0f32..1.0, dimension);
                (prop::collection::vec((0u128..9, vector()), 1..CODES_FROM), prop::collection::vec(vector(), 1..2 * TOGETHER + 2))
            }),
        ) {
            let some = |values| Embedding::normalized(model(), values);
            let templates = rows.into_iter().filter_map(|(p, v)| Some((person(p), some(v)?)));
            let gallery = Gallery::new(GalleryVersion(1), model(), templates).unwrap();
            let probes: Vec<Embedding> = probes.into_iter().filter_map(some).collect();
            let together = gallery.nearest_each(&probes.iter().collect::<Vec<_>>(), 3);
            let alone: Vec<_> = probes.iter().map(|probe| gallery.nearest(probe, 3)).collect();
            prop_assert_eq!(together, alone);
        }

        #[test]
        fn the_scan_agrees_with_sorting_everybody(
            rows in prop::collection::vec((0u128..8, prop::collection::vec(-1.0f32..1.0, 37)), 1..40),
            probe in prop::collection::vec(-1.0f32..1.0, 37),
        ) {
            prop_assume!(probe.iter().map(|v| v * v).sum::<f32>() > 0.01);
            let templates: Vec<_> = rows
                .into_iter()
                .filter_map(|(p, v)| Some((person(p), Embedding::normalized(model(), v)?)))
                .collect();
            let probe = embedding(probe);
            let mut plain = std::collections::BTreeMap::new();
            for (p, e) in &templates {
                let s = e.similarity(&probe).unwrap();
                plain.entry(*p).and_modify(|best: &mut f32| *best = best.max(s)).or_insert(s);
            }
            let mut plain: Vec<f32> = plain.into_values().collect();
            plain.sort_by(|a, b| b.total_cmp(a));
            let found = Gallery::new(GalleryVersion(1), model(), templates).unwrap().rank(&probe, None).all;
            prop_assert_eq!(found.len(), plain.len().min(2));
            for (c, s) in found.iter().zip(plain) {
                prop_assert!((c.similarity - s).abs() < 1e-5);
            }
        }
    }
}
