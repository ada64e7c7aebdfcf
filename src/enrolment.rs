//! Pictures in a folder, and whose they are. What becomes of them is `rollcall_faces`' business; knows no database: `enroll`
//! stores what is found, `replay` and `eval` keep it in memory.

use std::fmt::{Debug, Display};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rollcall_faces::Examiner;
use rollcall_pipeline::{Embedding, Fault, PersonId};
use uuid::Uuid;

use crate::compose::Vision;

/// Endings of files that are taken for pictures; what they are is told by their content.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "gif", "bmp"];
/// Endings of pictures that cannot be read: whoever put one there is told, instead of being left out in silence.
const UNREADABLE_ENDINGS: [&str; 12] =
    ["heic", "heif", "hif", "avif", "jxl", "jp2", "tif", "tiff", "dng", "cr2", "nef", "arw"];
/// People of one folder have the same ids each time.
const PEOPLE: Uuid = Uuid::from_u128(0x3f0c_7d0e_93c1_4b7f_8a5e_56b1_0f4e_2d19);
const MAX_PICTURES: usize = 200_000;
const MAX_NAME: usize = 120;

/// A picture of a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Picture {
    /// The name of the file or of its folder: a name or an external id.
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

/// Who is meant by a name, where nobody is stored.
pub(crate) fn person_of(name: &str) -> PersonId {
    PersonId(Uuid::new_v5(&PEOPLE, name.as_bytes()))
}

/// Looks at pictures with networks of its own. `known` are the templates that are enrolled already, by whose they are.
///
/// # Errors
/// When the networks cannot be loaded.
pub(crate) fn examiner<K: Ord + Clone + Debug + Display>(
    vision: &Vision,
    known: impl IntoIterator<Item = (K, Embedding)>,
) -> Result<Examiner<K>, Fault> {
    Ok(Examiner::new(vision.detector()?, vision.picture_embedder()?, known))
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

    #[test]
    fn an_empty_folder_says_what_to_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let error = scan(dir.path()).unwrap_err().to_string();
        assert!(error.contains("Name.jpg or Name/any.jpg"), "{error}");
    }
}
