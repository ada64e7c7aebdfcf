//! Boxes with identities, as they come with recordings of crowds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use rollcall_pipeline::Rect;
use serde::Deserialize;

const MAX_BOXES: usize = 10_000_000;

/// A labelled face in a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Labelled {
    /// Who.
    pub(super) id: String,
    /// Where, in pixels.
    pub(super) bbox: Rect,
    /// A single face, not a group or a back of a head.
    pub(super) face: bool,
}

/// Boxes by frame (from 0).
pub(super) type Truth = BTreeMap<u64, Vec<Labelled>>;

#[derive(Deserialize)]
struct Row {
    video_frame: u64,
    id: String,
    x: f32,
    y: f32,
    w: f32,
    h: f32,
    is_single_face: u8,
}

/// Reads a file of boxes; columns that are not known are passed over.
pub(super) fn read(path: &Path) -> anyhow::Result<Truth> {
    let mut csv = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut truth = Truth::new();
    for (line, row) in csv.deserialize().enumerate() {
        let row: Row = row.with_context(|| format!("{}, line {}", path.display(), line + 2))?;
        anyhow::ensure!(line < MAX_BOXES, "{} has more than {MAX_BOXES} boxes", path.display());
        let bbox = Rect { x: row.x, y: row.y, w: row.w, h: row.h };
        anyhow::ensure!(
            [row.x, row.y, row.w, row.h].iter().all(|v| v.is_finite()) && row.w > 0.0 && row.h > 0.0,
            "{}, line {}: that is no box",
            path.display(),
            line + 2
        );
        truth.entry(row.video_frame).or_default().push(Labelled { id: row.id, bbox, face: row.is_single_face != 0 });
    }
    anyhow::ensure!(!truth.is_empty(), "{} has no boxes", path.display());
    Ok(truth)
}
