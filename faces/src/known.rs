//! Whose a face is, at the time that it is enrolled. Pure.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use rollcall_pipeline::ports::Matcher;
use rollcall_pipeline::{Embedding, PersonId};
pub use rollcall_stages::matching::calibration::SAME_FACE;
use rollcall_stages::picture::RefusedPicture;

/// Two pictures of one person are at least so alike, or each is as alike to a third one of them. Single pairs of LFW are told
/// apart best at 0.32; to refuse somebody their own picture is the worse mistake here, hence a little less.
pub const ONE_PERSON: f32 = 0.3;

/// Why a picture is refused. `K` is how people are called: by name in a folder, by id elsewhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal<K: Debug + Display> {
    /// The picture itself will not do.
    #[error(transparent)]
    Picture(#[from] RefusedPicture),
    /// It shows somebody who has another name already.
    #[error("the face looks like {other} ({similarity:.2}); one of the two pictures is under the wrong name")]
    LooksLike {
        /// Whose template.
        other: K,
        /// How alike.
        similarity: f32,
    },
    /// It shows somebody else than the other pictures do, or no two of them show the same.
    #[error("the face is not that of the other pictures ({similarity:.2}); send pictures of one person")]
    AnotherPerson {
        /// How alike the most similar of the others is.
        similarity: f32,
    },
}

impl<K: Debug + Display> Refusal<K> {
    /// The word for it in tables and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Picture(refused) => refused.code(),
            Self::LooksLike { .. } => "looks_like_another",
            Self::AnotherPerson { .. } => "another_person",
        }
    }
}

/// Takes in the faces that are the person's own, and gives for each of the others why it is not.
///
/// A face that is more like the person's own than like anybody else's becomes one of their own, and may so bring in another;
/// this goes on until no more come in. So the answers depend neither on the order of the faces nor on whether this was asked
/// before. `other` is who else a face is most like.
///
/// What is left must be faces of one person: those that hang together with what is enrolled, else the most that hang together.
/// The others are refused; all of them where no group is the largest, since nobody can tell which is the person's.
pub fn decide<K: Debug + Display>(
    own: &mut Vec<Embedding>,
    other: impl Fn(&Embedding) -> Option<(K, f32)>,
    faces: &[Option<&Embedding>],
) -> Vec<Option<Refusal<K>>> {
    let mut refusals = not_somebody_elses(&mut own.clone(), &other, faces);
    let theirs: Vec<_> = faces.iter().zip(&refusals).map(|(face, no)| face.filter(|_| no.is_none())).collect();
    let odd = odd_ones_out(own, &theirs);
    if odd.iter().any(Option::is_some) {
        // What a stranger has brought in goes with them.
        let one: Vec<_> = faces.iter().zip(&odd).map(|(face, odd)| face.filter(|_| odd.is_none())).collect();
        refusals = not_somebody_elses(own, &other, &one);
    } else {
        own.extend(theirs.into_iter().flatten().cloned());
    }
    for (refusal, odd) in refusals.iter_mut().zip(odd) {
        *refusal = refusal.take().or(odd.map(|similarity| Refusal::AnotherPerson { similarity }));
    }
    refusals
}

/// Takes in the faces that are not more like somebody else.
fn not_somebody_elses<K: Debug + Display>(
    own: &mut Vec<Embedding>,
    other: impl Fn(&Embedding) -> Option<(K, f32)>,
    faces: &[Option<&Embedding>],
) -> Vec<Option<Refusal<K>>> {
    let mut refusals: Vec<Option<Refusal<K>>> = faces.iter().map(|_| None).collect();
    let mut open: Vec<usize> = (0..faces.len()).collect();
    loop {
        let before = open.len();
        open.retain(|&i| {
            let Some(face) = faces[i] else { return false };
            refusals[i] = looks_like(own, &other, face);
            if refusals[i].is_none() {
                own.push(face.clone());
            }
            refusals[i].is_some()
        });
        if open.len() == before {
            return refusals;
        }
    }
}

/// For each face that is not the others' how alike the most similar of them is.
fn odd_ones_out(own: &[Embedding], faces: &[Option<&Embedding>]) -> Vec<Option<f32>> {
    let mut left: Vec<(usize, &Embedding)> =
        faces.iter().enumerate().filter_map(|(i, face)| face.map(|face| (i, face))).collect();
    let there = left.clone();
    let enrolled = take_alike(own.iter().collect(), &mut left);
    let mut groups = Vec::new();
    while let Some((i, face)) = left.pop() {
        let mut group = take_alike(vec![face], &mut left);
        group.push(i);
        groups.push(group);
    }
    let largest = groups.iter().map(Vec::len).max().unwrap_or_default();
    let mut of_largest = groups.iter().filter(|group| group.len() == largest);
    let theirs = match (enrolled.is_empty(), of_largest.next(), of_largest.next()) {
        (true, Some(only), None) => only.clone(),
        _ => enrolled,
    };
    let mut odd = vec![None; faces.len()];
    for &(i, face) in there.iter().filter(|(i, _)| !theirs.contains(i)) {
        let others = there.iter().filter(|(j, _)| *j != i).map(|(_, other)| *other).chain(own);
        odd[i] = Some(others.filter_map(|other| other.similarity(face)).fold(f32::NEG_INFINITY, f32::max));
    }
    odd
}

/// Takes those out of `left` that hang together with `seeds`, by whatever is between them.
fn take_alike<'e>(mut seeds: Vec<&'e Embedding>, left: &mut Vec<(usize, &'e Embedding)>) -> Vec<usize> {
    let mut taken = Vec::new();
    while let Some(seed) = seeds.pop() {
        left.retain(|&(i, face)| {
            let is_alike = seed.similarity(face).is_some_and(|similarity| similarity >= ONE_PERSON);
            if is_alike {
                taken.push(i);
                seeds.push(face);
            }
            !is_alike
        });
    }
    taken
}

/// Somebody else whose template is too similar, unless the person's own are more so.
fn looks_like<K: Debug + Display>(
    own: &[Embedding],
    other: impl Fn(&Embedding) -> Option<(K, f32)>,
    face: &Embedding,
) -> Option<Refusal<K>> {
    let (other, similarity) = other(face)?;
    (similarity >= SAME_FACE && similarity > most_alike(own, face)).then_some(Refusal::LooksLike { other, similarity })
}

/// The similarity of the most similar; −∞ of none.
fn most_alike(templates: &[Embedding], face: &Embedding) -> f32 {
    templates.iter().filter_map(|t| t.similarity(face)).fold(f32::NEG_INFINITY, f32::max)
}

/// Who else in a gallery a face is most like.
pub fn in_gallery(matcher: &dyn Matcher, person: PersonId, face: &Embedding) -> Option<(PersonId, f32)> {
    // The best two are enough: at most one of them is the person.
    let all = matcher.rank(face, None).all;
    all.into_iter().find(|c| c.person != person).map(|c| (c.person, c.similarity))
}

/// Whose faces are known, where they are all at hand.
#[derive(Clone, Debug)]
pub struct Known<K>(BTreeMap<K, Vec<Embedding>>);

impl<K: Ord + Clone + Debug + Display> Known<K> {
    /// With the templates that are enrolled already.
    pub fn new(templates: impl IntoIterator<Item = (K, Embedding)>) -> Self {
        let mut known = BTreeMap::<K, Vec<_>>::new();
        for (person, template) in templates {
            known.entry(person).or_default().push(template);
        }
        Self(known)
    }

    /// [`decide`] about faces of `person`; those that are theirs are known as theirs from now on.
    pub fn decide(&mut self, person: &K, faces: &[Option<&Embedding>]) -> Vec<Option<Refusal<K>>> {
        let mut own = self.0.remove(person).unwrap_or_default();
        let other = |face: &Embedding| {
            let others = self.0.iter().map(|(name, templates)| (name, most_alike(templates, face)));
            others.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, similarity)| (name.clone(), similarity))
        };
        let refusals = decide(&mut own, other, faces);
        if !own.is_empty() {
            self.0.insert(person.clone(), own);
        }
        refusals
    }
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::{GalleryVersion, ModelId};
    use rollcall_stages::matching::Gallery;
    use uuid::Uuid;

    use super::*;

    /// A face at so many degrees: faces 53° apart are as similar as [`SAME_FACE`].
    fn face(degrees: f32) -> Embedding {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Embedding::normalized(ModelId::new("m"), vec![cos, sin]).unwrap()
    }

    fn decide_all(known: &mut Known<String>, person: &str, degrees: &[f32]) -> Vec<bool> {
        let faces: Vec<Embedding> = degrees.iter().copied().map(face).collect();
        let faces = faces.iter().map(Some).collect::<Vec<_>>();
        known.decide(&person.to_owned(), &faces).iter().map(Option::is_none).collect()
    }

    #[test]
    fn whose_a_face_is_depends_on_neither_order_nor_repetition() {
        // 50° is like the other at 0° (0.64), and Ada's only through 70°, who is hers through 90°.
        for order in [[50.0, 70.0, 90.0], [90.0, 70.0, 50.0], [70.0, 50.0, 90.0]] {
            let mut known = Known::new([]);
            assert_eq!(decide_all(&mut known, "Other", &[0.0]), [true]);
            assert_eq!(decide_all(&mut known, "Ada", &order), [true; 3], "{order:?}");
        }
        // 20° is the other's, whatever comes first and however often it is asked.
        let mut known = Known::new([("Other".to_owned(), face(0.0))]);
        for _ in 0..2 {
            assert_eq!(decide_all(&mut known, "Ada", &[20.0, 90.0]), [false, true]);
        }
        // A folder of nothing but somebody else's pictures stays out, however alike they are among themselves.
        assert_eq!(decide_all(&mut known, "Eve", &[1.0, 2.0, 3.0]), [false; 3]);
    }

    #[test]
    fn of_two_people_in_one_request_the_fewer_are_refused() {
        let check = |own: &[f32], degrees: &[f32], accepted: &[bool], templates: usize| {
            let mut own: Vec<_> = own.iter().copied().map(face).collect();
            let faces: Vec<Embedding> = degrees.iter().copied().map(face).collect();
            let faces = faces.iter().map(Some).collect::<Vec<_>>();
            let told = decide(&mut own, |_| None::<(String, f32)>, &faces);
            assert_eq!(told.iter().map(Option::is_none).collect::<Vec<_>>(), accepted, "{degrees:?}: {told:?}");
            assert!(told.iter().flatten().all(|refusal| refusal.code() == "another_person"), "{told:?}");
            assert_eq!(own.len(), templates);
        };
        // 72.5° apart is as alike as ONE_PERSON.
        check(&[], &[0.0, 20.0, 120.0], &[true, true, false], 2);
        check(&[], &[120.0, 0.0, 20.0], &[false, true, true], 2);
        // Each is like the next.
        check(&[], &[0.0, 60.0, 120.0], &[true; 3], 3);
        // Nobody can tell which of two is meant, unless one is like what is enrolled.
        check(&[], &[0.0, 120.0], &[false; 2], 0);
        check(&[130.0], &[0.0, 10.0, 120.0], &[false, false, true], 2);
        // One picture has no others; people change.
        check(&[130.0], &[0.0], &[true], 2);
    }

    #[test]
    fn a_gallery_names_whoever_else_it_is() {
        let (ada, eve) = (PersonId(Uuid::from_u128(1)), PersonId(Uuid::from_u128(2)));
        let gallery =
            Gallery::new(GalleryVersion(1), ModelId::new("m"), [(ada, face(0.0)), (eve, face(90.0))]).unwrap();
        assert_eq!(in_gallery(&gallery, ada, &face(10.0)).unwrap().0, eve);
        assert_eq!(in_gallery(&gallery, eve, &face(10.0)).unwrap().0, ada);
        let refusals = decide(&mut vec![], |f| in_gallery(&gallery, eve, f), &[Some(&face(10.0)), None]);
        assert!(matches!(refusals[..], [Some(Refusal::LooksLike { other, .. }), None] if other == ada));
    }
}
