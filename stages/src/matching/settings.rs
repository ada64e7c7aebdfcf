//! The figures by which `match` decides. Where the defaults come from: `docs/decisions.md`.

/// When a face has a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecognitionSettings {
    /// Cosine similarity that two shots need to name somebody.
    pub early_similarity: f32,
    /// Cosine similarity that many shots need; between two and many the need falls from one to the other.
    pub settled_similarity: f32,
    /// From this similarity on, whoever is not named is left for review as ambiguous; below it they are unknown.
    pub review_similarity: f32,
    /// Least distance to the second-best person.
    pub margin: f32,
    /// Shots that must each have the person as their best match.
    pub min_agreeing: u32,
    /// A broken motion track goes on in a new one that begins at the same place and time if their faces are this similar, or a little
    /// less where it is more like that one than like anybody else, …
    pub rejoin_similarity: f32,
    /// … or this, where something was said of the broken one already, …
    pub rejoin_said_similarity: f32,
    /// … and in one that begins out of reach, at half the size, or just within `rejoin_ms`, if they are this similar; in between, in
    /// proportion.
    pub rejoin_far_similarity: f32,
    /// How long a track that ended waits for its continuation before it is decided for good.
    pub rejoin_ms: u64,
    /// A good shot that is less similar than this to the motion track so far is somebody else: the track is cut there.
    pub stranger_similarity: f32,
    /// Somebody who stays in view is judged again after this time, so that the next session finds them.
    pub repeat_ms: u64,
}

impl Default for RecognitionSettings {
    fn default() -> Self {
        Self {
            early_similarity: 0.62,
            settled_similarity: 0.52,
            review_similarity: 0.36,
            margin: 0.10,
            min_agreeing: 2,
            rejoin_similarity: 0.36,
            rejoin_said_similarity: 0.42,
            rejoin_far_similarity: 0.52,
            rejoin_ms: 3000,
            stranger_similarity: 0.05,
            repeat_ms: 30_000,
        }
    }
}

/// When a face is alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LivenessSettings {
    /// Whether it is checked at all.
    pub enabled: bool,
    /// Mean score from which a track is alive.
    pub live_from: f32,
    /// Mean score up to which a track is a picture or a screen.
    pub spoof_below: f32,
    /// Least width of a face that is checked, pixels of the decoded frame.
    pub min_face_px: f32,
    /// Checks that a verdict needs; when time runs out fewer are enough for alive, never for a picture.
    pub min_checks: u32,
    /// How long a name waits for a verdict, from the first usable face on.
    pub patience_ms: u64,
    /// A blink must have been seen too.
    pub blink_required: bool,
}

impl Default for LivenessSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            live_from: 0.65,
            spoof_below: 0.3,
            min_face_px: 80.0,
            min_checks: 3,
            patience_ms: 800,
            blink_required: false,
        }
    }
}
