//! Pictures in a folder → templates, with a reason for each picture that will not do. Knows no database: `enroll` stores
//! what this finds, `replay` and `eval` keep it in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rollcall_pipeline::{Embedding, Fault, Image};
use rollcall_stages::detect::YuNetDetector;
use rollcall_stages::embed::SFaceEmbedder;
use rollcall_stages::picture::{EnrolGates, EnrolShot, RefusedPicture, decode, examine};
use sha2::{Digest, Sha256};

use crate::compose::Vision;

/// Endings of files that are taken for pictures; what they are is told by their content.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "gif", "bmp"];
/// Endings of pictures that cannot be read: whoever put one there is told, instead of being left out in silence.
const UNREADABLE_ENDINGS: [&str; 12] =
    ["heic", "heif", "hif", "avif", "jxl", "jp2", "tif", "tiff", "dng", "cr2", "nef", "arw"];
const MAX_PICTURES: usize = 200_000;
const MAX_NAME: usize = 120;

/// Two people's templates are never this similar; one person's usually are. Above it somebody has two names.
pub(crate) const SAME_FACE: f32 = 0.6;

/// A picture of a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Picture {
    /// The name of the file or of its folder.
    pub(crate) person: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// Finds `DIR/Name.jpg` and `DIR/Name/*.jpg`, sorted by name, and what was passed over.
pub(crate) fn scan(dir: &Path) -> anyhow::Result<Vec<Picture>> {
    let mut pictures = Vec::new();
    for (name, path) in entries(dir)? {
        if path.is_dir() {
            for (_, file) in entries(&path)?.into_iter().filter(|(_, file)| is_picture(file)) {
                pictures.push(Picture { person: name.clone(), path: file });
            }
        } else if is_picture(&path) {
            let person = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            pictures.push(Picture { person, path });
        }
    }
    for picture in &mut pictures {
        picture.person = picture.person.trim().to_owned();
        let name = &picture.person;
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            bail!(
                "{}: name the file or its folder after the person, in 1 to {MAX_NAME} characters",
                picture.path.display()
            );
        }
    }
    if pictures.is_empty() {
        bail!("{} has no pictures: put them there as Name.jpg or Name/any.jpg ({})", dir.display(), ENDINGS.join(", "));
    }
    if pictures.len() > MAX_PICTURES {
        bail!("{} has {} pictures, more than {MAX_PICTURES}: enrol in parts", dir.display(), pictures.len());
    }
    pictures.sort();
    Ok(pictures)
}

fn entries(dir: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// Also a file without an ending: its content tells.
fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let is_picture = |e: String| ENDINGS.contains(&e.as_str()) || UNREADABLE_ENDINGS.contains(&e.as_str());
    ending.is_none_or(is_picture) && path.is_file()
}

/// Why a picture is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The picture itself will not do.
    #[error(transparent)]
    Picture(#[from] RefusedPicture),
    /// It shows somebody who has another name already.
    #[error("the face looks like {other} ({similarity:.2}); one of the two pictures is under the wrong name")]
    LooksLike {
        /// Whose template.
        other: String,
        /// How alike.
        similarity: f32,
    },
}

impl Refusal {
    /// The word for it in tables and JSON.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Picture(refused) => refused.code(),
            Self::LooksLike { .. } => "looks_like_another",
        }
    }
}

/// The bytes of a picture, bounded, and what tells them from all others.
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    /// sha256 of them.
    pub(crate) sha256: [u8; 32],
}

impl Bytes {
    /// Reads a file, never more than a picture may have.
    pub(crate) fn read(path: &Path) -> Result<Self, RefusedPicture> {
        use std::io::Read as _;
        let unreadable = |error: std::io::Error| RefusedPicture::Unreadable { why: error.to_string() };
        let file = fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(rollcall_stages::picture::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let sha256 = Sha256::digest(&bytes).into();
        Ok(Self { bytes, sha256 })
    }
}

/// Looks at pictures, and remembers whose faces it has seen.
pub(crate) struct Examiner {
    detector: YuNetDetector,
    embedder: SFaceEmbedder,
    gates: EnrolGates,
    known: Known,
}

/// Whose faces are known, by name.
#[derive(Default)]
struct Known(BTreeMap<String, Vec<Embedding>>);

impl Examiner {
    /// Loads the networks. `known` are the templates that are enrolled already, by name.
    pub(crate) fn new(vision: &Vision, known: impl IntoIterator<Item = (String, Embedding)>) -> Result<Self, Fault> {
        let mut examiner = Self {
            detector: vision.detector()?,
            embedder: vision.embedder()?,
            gates: EnrolGates::default(),
            known: Known::default(),
        };
        for (name, template) in known {
            examiner.known.0.entry(name).or_default().push(template);
        }
        Ok(examiner)
    }

    /// Looks at one picture of `person`. What is accepted counts as theirs from now on.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub(crate) fn examine(&mut self, person: &str, picture: &Bytes) -> Result<Result<EnrolShot, Refusal>, Fault> {
        let looked = self.look(picture)?;
        Ok(self.decide_one(person, looked))
    }

    /// Looks at a picture, whoever it shows; [`Examiner::decide`] tells whether it is theirs.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub(crate) fn look(&mut self, picture: &Bytes) -> Result<Result<EnrolShot, RefusedPicture>, Fault> {
        match decode(&picture.bytes) {
            Ok(image) => examine(&image, &mut self.detector, &mut self.embedder, &self.gates),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Which of all the pictures that there are of `person` count as theirs, one answer a picture.
    ///
    /// The answers depend neither on the order of the pictures nor on whether this was asked before: enrolling a folder
    /// again changes nothing.
    pub(crate) fn decide(
        &mut self,
        person: &str,
        looked: Vec<Result<EnrolShot, RefusedPicture>>,
    ) -> Vec<Result<EnrolShot, Refusal>> {
        let faces: Vec<Option<&Embedding>> = looked.iter().map(|l| l.as_ref().ok().map(|s| &s.embedding)).collect();
        let refusals = self.known.decide(person, &faces);
        looked.into_iter().zip(refusals).map(|(looked, refusal)| refusal.map_or_else(|| Ok(looked?), Err)).collect()
    }

    /// [`Examiner::examine`] for a picture that is decoded.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub(crate) fn examine_image(&mut self, person: &str, image: &Image) -> Result<Result<EnrolShot, Refusal>, Fault> {
        let looked = examine(image, &mut self.detector, &mut self.embedder, &self.gates)?;
        Ok(self.decide_one(person, looked))
    }

    fn decide_one(&mut self, person: &str, looked: Result<EnrolShot, RefusedPicture>) -> Result<EnrolShot, Refusal> {
        let shot = looked?;
        match self.known.decide(person, &[Some(&shot.embedding)]).pop().flatten() {
            Some(refusal) => Err(refusal),
            None => Ok(shot),
        }
    }
}

impl Known {
    /// Takes in the faces that are the person's own, and gives for each of the others why it is not.
    ///
    /// A face that is more like the person's own than like anybody else's becomes one of their own, and may so bring in
    /// another; this goes on until no more come in.
    fn decide(&mut self, person: &str, faces: &[Option<&Embedding>]) -> Vec<Option<Refusal>> {
        let mut refusals: Vec<Option<Refusal>> = vec![None; faces.len()];
        let mut open: Vec<usize> = (0..faces.len()).collect();
        loop {
            let before = open.len();
            open.retain(|&i| {
                let Some(face) = faces[i] else { return false };
                refusals[i] = self.looks_like(person, face);
                if refusals[i].is_none() {
                    self.0.entry(person.to_owned()).or_default().push(face.clone());
                }
                refusals[i].is_some()
            });
            if open.len() == before {
                return refusals;
            }
        }
    }

    /// Somebody else whose template is too similar, unless the person's own are more so.
    fn looks_like(&self, person: &str, face: &Embedding) -> Option<Refusal> {
        let most = |templates: &[Embedding]| {
            templates.iter().filter_map(|t| t.similarity(face)).fold(f32::NEG_INFINITY, f32::max)
        };
        let own = self.0.get(person).map_or(f32::NEG_INFINITY, |templates| most(templates));
        let others = self.0.iter().filter(|(name, _)| *name != person);
        let (other, similarity) = others.map(|(name, t)| (name, most(t))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (similarity >= SAME_FACE && similarity > own).then(|| Refusal::LooksLike { other: other.clone(), similarity })
    }
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::ModelId;

    use super::*;

    #[test]
    fn files_and_folders_are_people_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let touch = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        for name in [
            "Zoë.JPG",
            "Ada Lovelace/2.png",
            "Ada Lovelace/1.jpg",
            "Ada Lovelace/notes.txt",
            ".hidden.jpg",
            "list.csv",
            "Grace.HEIC",
            "Alan/1",
        ] {
            touch(name);
        }
        let found = scan(dir.path()).unwrap();
        let found: Vec<_> =
            found.iter().map(|p| (p.person.as_str(), p.path.file_name().unwrap().to_str().unwrap())).collect();
        let expected = [
            ("Ada Lovelace", "1.jpg"),
            ("Ada Lovelace", "2.png"),
            ("Alan", "1"),
            ("Grace", "Grace.HEIC"),
            ("Zoë", "Zoë.JPG"),
        ];
        assert_eq!(found, expected);
    }

    /// A face at so many degrees: faces 53° apart are as similar as [`SAME_FACE`].
    fn face(degrees: f32) -> Embedding {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Embedding::normalized(ModelId::new("m"), vec![cos, sin]).unwrap()
    }

    fn decide(known: &mut Known, person: &str, degrees: &[f32]) -> Vec<bool> {
        let faces: Vec<Embedding> = degrees.iter().copied().map(face).collect();
        known.decide(person, &faces.iter().map(Some).collect::<Vec<_>>()).iter().map(Option::is_none).collect()
    }

    #[test]
    fn whose_a_face_is_depends_on_neither_order_nor_repetition() {
        // 50° is like the other at 0° (0.64), and Ada's only through 70°, who is hers through 90°.
        for order in [[50.0, 70.0, 90.0], [90.0, 70.0, 50.0], [70.0, 50.0, 90.0]] {
            let mut known = Known::default();
            assert_eq!(decide(&mut known, "Other", &[0.0]), [true]);
            assert_eq!(decide(&mut known, "Ada", &order), [true; 3], "{order:?}");
        }
        // 20° is the other's, whatever comes first and however often it is asked.
        let mut known = Known::default();
        decide(&mut known, "Other", &[0.0]);
        for _ in 0..2 {
            assert_eq!(decide(&mut known, "Ada", &[20.0, 90.0]), [false, true]);
        }
        // A folder of nothing but somebody else's pictures stays out, however alike they are among themselves.
        assert_eq!(decide(&mut known, "Eve", &[1.0, 2.0, 3.0]), [false; 3]);
    }

    #[test]
    fn an_empty_folder_says_what_to_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let error = scan(dir.path()).unwrap_err().to_string();
        assert!(error.contains("Name.jpg or Name/any.jpg"), "{error}");
    }
}
