//! How alike two faces are, and what may be said about it: by the figures that a single view of the lane is held to.

use rollcall_pipeline::{Embedding, PersonId};
use rollcall_stages::matching::{Gallery, RecognitionSettings};

use crate::error::FacesError;

/// What may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// As similar as two shots in a lane must be to name somebody, and clearly apart from the second best.
    Confident,
    /// A human should look: what a lane leaves for review.
    Uncertain,
    /// Nobody.
    NoMatch,
}

impl Certainty {
    /// The word for it in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confident => "confident",
            Self::Uncertain => "uncertain",
            Self::NoMatch => "no_match",
        }
    }
}

/// How alike two faces are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// Cosine similarity, −1 to 1.
    pub similarity: f32,
    /// 1 − similarity, 0 to 2.
    pub distance: f32,
    /// The similarity on a scale that reads the same whatever the model: 0.5 where review begins, 0.9 where a name is
    /// given, 1 for the same picture. It ranks; it is not a probability.
    pub confidence: f32,
}

impl Likeness {
    /// On the scale of these settings.
    pub fn new(similarity: f32, settings: &RecognitionSettings) -> Self {
        let similarity = similarity.clamp(-1.0, 1.0);
        let points = [(0.0, 0.0), (settings.review_similarity, 0.5), (settings.early_similarity, 0.9), (1.0, 1.0)];
        let part = points.windows(2).find(|pair| similarity <= pair[1].0);
        let confidence = part.map_or(1.0, |pair| {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            y0 + (y1 - y0) * ((similarity - x0) / (x1 - x0).max(1e-6)).clamp(0.0, 1.0)
        });
        Self { similarity, distance: 1.0 - similarity, confidence }
    }
}

/// Somebody a face was compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked<L> {
    /// Who.
    pub label: L,
    /// How alike their best template is.
    pub likeness: Likeness,
}

/// The answer to "who is this?".
#[derive(Clone, Debug, PartialEq)]
pub struct Matched<L> {
    /// What may be said about the first of the ranking.
    pub certainty: Certainty,
    /// The most similar people, best first, each once.
    pub ranking: Vec<Ranked<L>>,
}

/// Ranks the people of a gallery.
pub fn match_gallery(
    probe: &Embedding,
    gallery: &Gallery,
    settings: &RecognitionSettings,
    most: usize,
) -> Matched<PersonId> {
    // Two at least: without a second best there is no margin.
    let near = gallery.nearest(probe, most.max(2));
    rank(near.into_iter().map(|c| (c.person, c.similarity)), settings, most)
}

/// Ranks a caller's own list. A label that comes several times is one person with several templates.
///
/// # Errors
/// [`FacesError::OtherModel`].
pub fn match_list<L: Clone + PartialEq>(
    probe: &Embedding,
    candidates: &[(L, Embedding)],
    settings: &RecognitionSettings,
    most: usize,
) -> Result<Matched<L>, FacesError> {
    let mut scored = Vec::with_capacity(candidates.len());
    for (label, template) in candidates {
        scored.push((label, similarity(probe, template)?));
    }
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut best: Vec<(L, f32)> = Vec::new();
    for (label, similarity) in scored {
        if best.len() >= most.max(2) {
            break;
        }
        if best.iter().all(|(known, _)| known != label) {
            best.push((label.clone(), similarity));
        }
    }
    Ok(rank(best, settings, most))
}

/// Whether two faces are of one person, as far as one view of each tells.
///
/// # Errors
/// [`FacesError::OtherModel`].
pub fn verify(
    a: &Embedding,
    b: &Embedding,
    settings: &RecognitionSettings,
) -> Result<(Certainty, Likeness), FacesError> {
    let likeness = Likeness::new(similarity(a, b)?, settings);
    Ok((certainty(likeness.similarity, None, settings), likeness))
}

fn similarity(a: &Embedding, b: &Embedding) -> Result<f32, FacesError> {
    let other = || FacesError::OtherModel { found: b.model().clone(), expected: a.model().clone() };
    a.similarity(b).ok_or_else(other)
}

/// `best` is sorted, best first, and has the second best where there is one.
fn rank<L>(best: impl IntoIterator<Item = (L, f32)>, settings: &RecognitionSettings, most: usize) -> Matched<L> {
    let likeness = |(label, similarity)| Ranked { label, likeness: Likeness::new(similarity, settings) };
    let mut ranking: Vec<_> = best.into_iter().map(likeness).collect();
    let at = |n: usize| ranking.get(n).map(|r: &Ranked<L>| r.likeness.similarity);
    let certainty = at(0).map_or(Certainty::NoMatch, |first| certainty(first, at(1), settings));
    ranking.truncate(most);
    Matched { certainty, ranking }
}

fn certainty(best: f32, second: Option<f32>, settings: &RecognitionSettings) -> Certainty {
    let apart = second.is_none_or(|second| best - second >= settings.margin);
    if best >= settings.early_similarity && apart {
        Certainty::Confident
    } else if best >= settings.review_similarity {
        Certainty::Uncertain
    } else {
        Certainty::NoMatch
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::ModelId;

    use super::*;

    fn face(similarity: f32) -> Embedding {
        let y = (1.0 - similarity * similarity).max(0.0).sqrt();
        Embedding::normalized(ModelId::new("m"), vec![similarity, y]).unwrap()
    }

    fn check(list: &[(&str, f32)], certainty: Certainty, first: &str) {
        let list: Vec<_> = list.iter().map(|&(label, s)| (label, face(s))).collect();
        let found = match_list(&face(1.0), &list, &RecognitionSettings::default(), 1).unwrap();
        assert_eq!(found.certainty, certainty);
        assert_eq!(found.ranking.iter().map(|r| r.label).collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn a_name_needs_similarity_and_a_margin_to_somebody_else() {
        check(&[("ada", 0.7), ("eve", 0.2)], Certainty::Confident, "ada");
        check(&[("ada", 0.7), ("ada", 0.68), ("eve", 0.2)], Certainty::Confident, "ada");
        check(&[("ada", 0.7), ("eve", 0.65)], Certainty::Uncertain, "ada");
        check(&[("eve", 0.1), ("ada", 0.5)], Certainty::Uncertain, "ada");
        check(&[("ada", 0.2)], Certainty::NoMatch, "ada");
    }

    #[test]
    fn nobody_and_other_models_are_said_so() {
        let settings = RecognitionSettings::default();
        let none = match_list::<&str>(&face(1.0), &[], &settings, 5).unwrap();
        assert_eq!(none, Matched { certainty: Certainty::NoMatch, ranking: vec![] });
        let other = Embedding::normalized(ModelId::new("other"), vec![1.0, 0.0]).unwrap();
        assert_eq!(verify(&face(1.0), &other, &settings).unwrap_err().code(), "other_model");
    }

    proptest! {
        #[test]
        fn confidence_grows_with_similarity(a in -1f32..1.0, b in -1f32..1.0) {
            let settings = RecognitionSettings::default();
            let confidence = |s| Likeness::new(s, &settings).confidence;
            prop_assert!((0.0..=1.0).contains(&confidence(a)));
            prop_assert!(a > b || confidence(a) <= confidence(b));
        }
    }
}
