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

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) && path.is_file()
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

/// Looks at pictures one by one, and remembers whose faces it has seen.
pub(crate) struct Examiner {
    detector: YuNetDetector,
    embedder: SFaceEmbedder,
    gates: EnrolGates,
    known: BTreeMap<String, Vec<Embedding>>,
}

impl Examiner {
    /// Loads the networks. `known` are the templates that are enrolled already, by name.
    pub(crate) fn new(vision: &Vision, known: impl IntoIterator<Item = (String, Embedding)>) -> Result<Self, Fault> {
        let mut examiner = Self {
            detector: vision.detector()?,
            embedder: vision.embedder()?,
            gates: EnrolGates::default(),
            known: BTreeMap::new(),
        };
        for (name, template) in known {
            examiner.known.entry(name).or_default().push(template);
        }
        Ok(examiner)
    }

    /// Looks at one picture of `person`. What is accepted counts as theirs from now on.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub(crate) fn examine(&mut self, person: &str, picture: &Bytes) -> Result<Result<EnrolShot, Refusal>, Fault> {
        match decode(&picture.bytes) {
            Ok(image) => self.examine_image(person, &image),
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    /// [`Examiner::examine`] for a picture that is decoded.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub(crate) fn examine_image(&mut self, person: &str, image: &Image) -> Result<Result<EnrolShot, Refusal>, Fault> {
        let shot = match examine(image, &mut self.detector, &mut self.embedder, &self.gates)? {
            Ok(shot) => shot,
            Err(refused) => return Ok(Err(refused.into())),
        };
        if let Some((other, similarity)) = self.looks_like(person, &shot.embedding) {
            return Ok(Err(Refusal::LooksLike { other, similarity }));
        }
        self.known.entry(person.to_owned()).or_default().push(shot.embedding.clone());
        Ok(Ok(shot))
    }

    /// Somebody else whose template is too similar, unless the person's own are more so.
    fn looks_like(&self, person: &str, face: &Embedding) -> Option<(String, f32)> {
        let most = |templates: &[Embedding]| {
            templates.iter().filter_map(|t| t.similarity(face)).fold(f32::NEG_INFINITY, f32::max)
        };
        let own = self.known.get(person).map_or(f32::NEG_INFINITY, |templates| most(templates));
        let others = self.known.iter().filter(|(name, _)| *name != person);
        let (other, similarity) = others.map(|(name, t)| (name, most(t))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (similarity >= SAME_FACE && similarity > own).then(|| (other.clone(), similarity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_people_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let touch = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        for name in
            ["Zoë.JPG", "Ada Lovelace/2.png", "Ada Lovelace/1.jpg", "Ada Lovelace/notes.txt", ".hidden.jpg", "list.csv"]
        {
            touch(name);
        }
        let found = scan(dir.path()).unwrap();
        let found: Vec<_> =
            found.iter().map(|p| (p.person.as_str(), p.path.file_name().unwrap().to_str().unwrap())).collect();
        assert_eq!(found, [("Ada Lovelace", "1.jpg"), ("Ada Lovelace", "2.png"), ("Zoë", "Zoë.JPG")]);
    }

    #[test]
    fn an_empty_folder_says_what_to_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let error = scan(dir.path()).unwrap_err().to_string();
        assert!(error.contains("Name.jpg or Name/any.jpg"), "{error}");
    }
}
