//! `rollcall eval lfw`: are these two pictures of one person? The project's own detector, alignment and embedding.
//!
//! A pair of which a picture has no face that the detector finds is an error whatever the pair is, and is never accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use rollcall_pipeline::ports::Embedder;
use rollcall_pipeline::{Embedding, FaceChip};
use rollcall_stages::chip;
use rollcall_stages::picture::{faces, nearest_to_center, read};
use serde::Serialize;

use super::roc::{self, Score};
use super::{rate, write_json};
use crate::cli::{LfwOptions, Place};
use crate::compose::Vision;
use crate::output;

const MAX_PAIRS: usize = 1_000_000;

pub(super) fn run(place: &Place, options: &LfwOptions) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let (figures, scores) = measure(&Vision::open(place, &config)?, &options.images, &options.pairs)?;
    write_json(options.json.as_deref(), &figures)?;
    let svg = options.roc.clone().or_else(|| options.json.as_ref().map(|path| path.with_extension("svg")));
    if let Some(svg) = svg {
        roc::draw(&svg, &scores).with_context(|| format!("cannot write {}", svg.display()))?;
    }
    output::line(figures.text());
    Ok(ExitCode::SUCCESS)
}

/// The figures, and the scores of all pairs.
pub(super) fn measure(vision: &Vision, images: &Path, pairs: &Path) -> anyhow::Result<(Figures, Vec<Score>)> {
    let text = std::fs::read_to_string(pairs).with_context(|| format!("cannot read {}", pairs.display()))?;
    let folds = parse(&text).with_context(|| format!("{} is not in the format of pairs.txt", pairs.display()))?;
    let embeddings = embed_all(vision, images, &folds)?;
    let score = |pair: &Pair| Score {
        similarity: embeddings[&pair.a].as_ref().zip(embeddings[&pair.b].as_ref()).and_then(|(a, b)| a.similarity(b)),
        same: pair.a.name == pair.b.name,
    };
    let folds: Vec<Vec<Score>> = folds.iter().map(|fold| fold.iter().map(score).collect()).collect();
    let failures = embeddings.iter().filter(|(_, found)| found.is_none());
    let failures: Vec<_> = failures.map(|(picture, _)| picture.file().display().to_string()).collect();
    let figures = Figures::new(&folds, embeddings.len(), failures);
    Ok((figures, folds.into_iter().flatten().collect()))
}

/// A picture of LFW.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Picture {
    name: String,
    number: u32,
}

impl Picture {
    fn file(&self) -> PathBuf {
        Path::new(&self.name).join(format!("{}_{:04}.jpg", self.name, self.number))
    }
}

struct Pair {
    a: Picture,
    b: Picture,
}

/// `folds count`, then for each fold `count` lines `name a b` and `count` lines `name a name b`.
fn parse(text: &str) -> anyhow::Result<Vec<Vec<Pair>>> {
    let mut lines = text.lines();
    let heading = lines.next().context("it is empty")?;
    let numbers: Vec<usize> = heading.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let (folds, count) = match numbers[..] {
        [folds, count] => (folds, count),
        [count] => (1, count),
        _ => bail!("its first line must be the number of folds and of pairs"),
    };
    if folds.saturating_mul(count).saturating_mul(2) > MAX_PAIRS || count == 0 || folds == 0 {
        bail!("{folds} folds of {count} pairs make no sense");
    }
    let mut all = Vec::new();
    for _ in 0..folds {
        let fold = lines.by_ref().take(count * 2).map(pair).collect::<anyhow::Result<Vec<_>>>()?;
        if fold.len() != count * 2 {
            bail!("it ends too early: {} of {} pairs in fold {}", fold.len(), count * 2, all.len() + 1);
        }
        all.push(fold);
    }
    Ok(all)
}

fn pair(line: &str) -> anyhow::Result<Pair> {
    let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
    let picture = |name: &str, number: &str| -> anyhow::Result<Picture> {
        // A name is one folder, nothing else.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            bail!("{name:?} is no name");
        }
        Ok(Picture {
            name: name.to_owned(),
            number: number.parse().with_context(|| format!("{number:?} is no number"))?,
        })
    };
    match fields[..] {
        [name, a, b] => Ok(Pair { a: picture(name, a)?, b: picture(name, b)? }),
        [name, a, other, b] => Ok(Pair { a: picture(name, a)?, b: picture(other, b)? }),
        _ => bail!("{line:?} is no pair"),
    }
}

fn embed_all(vision: &Vision, dir: &Path, folds: &[Vec<Pair>]) -> anyhow::Result<BTreeMap<Picture, Option<Embedding>>> {
    let pictures: BTreeSet<&Picture> = folds.iter().flatten().flat_map(|pair| [&pair.a, &pair.b]).collect();
    let (mut detector, mut embedder) = (vision.detector()?, vision.embedder()?);
    let progress = output::progress(pictures.len());
    let mut found = BTreeMap::new();
    for picture in pictures {
        let path = dir.join(picture.file());
        let image = read(&path).with_context(|| format!("{}", path.display()))?;
        let all = faces(&image, &mut detector)?;
        let embedding = match nearest_to_center(&image, &all) {
            Some(face) => {
                let aligned = chip::align(&image.view(), &face.landmarks);
                embedder.embed(&[&FaceChip { aligned, context: Vec::new() }])?.pop().flatten()
            }
            None => None,
        };
        found.insert(picture.clone(), embedding);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(found)
}

#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) pairs: usize,
    pictures: usize,
    /// Mean over the folds; each fold is judged at the threshold that is best on the others.
    pub(super) accuracy: f64,
    accuracy_of_folds: Vec<f64>,
    thresholds: Vec<f32>,
    tar_at_far_1e_2: f64,
    pub(super) tar_at_far_1e_3: f64,
    pub(super) failed_to_detect: Vec<String>,
}

impl Figures {
    fn new(folds: &[Vec<Score>], pictures: usize, failed_to_detect: Vec<String>) -> Self {
        let all: Vec<Score> = folds.iter().flatten().copied().collect();
        let judged = (0..folds.len()).map(|i| {
            let others: Vec<Score> = if folds.len() == 1 {
                all.clone()
            } else {
                folds.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, fold)| fold.iter().copied()).collect()
            };
            let threshold = roc::best_threshold(&others);
            let right = folds[i].iter().filter(|score| score.is_right(threshold)).count();
            (rate(right, folds[i].len()), threshold)
        });
        let (accuracy_of_folds, thresholds): (Vec<f64>, Vec<f32>) = judged.unzip();
        Self {
            pairs: all.len(),
            pictures,
            accuracy: accuracy_of_folds.iter().sum::<f64>() / accuracy_of_folds.len() as f64,
            accuracy_of_folds,
            thresholds,
            tar_at_far_1e_2: roc::tar_at_far(&all, 1e-2),
            tar_at_far_1e_3: roc::tar_at_far(&all, 1e-3),
            failed_to_detect,
        }
    }

    fn text(&self) -> String {
        let folds: Vec<_> = self.accuracy_of_folds.iter().map(|a| format!("{:.2} %", 100.0 * a)).collect();
        format!(
            "{} pairs of {} pictures, {} without a detected face (counted as errors)\n\
             accuracy {:.2} % (folds: {})\nTAR {:.2} % at FAR 1e-2, {:.2} % at FAR 1e-3",
            self.pairs,
            self.pictures,
            self.failed_to_detect.len(),
            100.0 * self.accuracy,
            folds.join(", "),
            100.0 * self.tar_at_far_1e_2,
            100.0 * self.tar_at_far_1e_3,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_pairs_is_read_and_lies_are_refused() {
        let folds = parse("2\t1\nAda\t1\t2\nAda\t1\tBob\t3\nBob\t1\t2\nBob\t1\tAda\t2\n").unwrap();
        assert_eq!((folds.len(), folds[0].len()), (2, 2));
        assert_eq!(folds[0][1].b.file(), Path::new("Bob/Bob_0003.jpg"));
        assert!(parse("2\t1\nAda\t1\t2\n").is_err(), "too short");
        assert!(parse("1\t1\n../Ada\t1\t2\nA\t1\tB\t1\n").is_err(), "a path for a name");
        assert!(parse("99999999\t99999999\n").is_err(), "too many");
    }
}
