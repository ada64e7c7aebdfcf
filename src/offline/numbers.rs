//! One row of numbers for the tracks of all streams of a recording. Pure.

use rollcall_pipeline::{StreamKey, TrackId};

/// Each stream counts its tracks from 1; in a recording that breaks into several, each number is given once.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Counted>);

#[derive(Debug)]
struct Counted {
    stream: StreamKey,
    /// The highest number of the streams before.
    before: u64,
    /// The highest motion track of this one.
    highest: u64,
}

impl Numbers {
    /// Takes in motion tracks as they are seen: stream by stream, and before anything else is said about them.
    pub(super) fn see(&mut self, stream: &StreamKey, tracks: impl Iterator<Item = TrackId>) {
        if self.0.last().is_none_or(|last| last.stream != *stream) {
            let before = self.0.last().map_or(0, |last| last.before + last.highest);
            self.0.push(Counted { stream: stream.clone(), before, highest: 0 });
        }
        if let Some(last) = self.0.last_mut() {
            last.highest = tracks.map(|track| track.0).fold(last.highest, u64::max);
        }
    }

    /// The number of a person's track. It has the id of a motion track, or that with higher bits for what was cut off: so it is
    /// enough that no two motion tracks have the same number.
    pub(super) fn of(&self, stream: &StreamKey, track: TrackId) -> u64 {
        let known = self.0.iter().rev().find(|counted| counted.stream == *stream);
        known.map_or(0, |counted| counted.before) + track.0
    }
}
