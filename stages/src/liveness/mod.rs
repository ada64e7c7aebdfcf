//! liveness: how likely each shot shows a living face, and whether a track blinks.
//!
//! One score a shot; what a track's scores mean together is decided in `match`. Deliberately knows no threshold but those
//! that make a blink a blink.

mod blink;
mod models;

use std::collections::HashMap;

use rollcall_pipeline::metrics::{HistogramName, histogram};
use rollcall_pipeline::ports::LivenessModel;
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{
    Chip, EmbeddedShot, ErrorClass, EyeShot, FaceChip, Fault, LiveShot, StreamKey, TrackEnd, TrackId, Tracked,
};

pub use blink::{Blinks, eye_aspect_ratio};
pub use models::{FrLivenessModel, MeshEyes, MiniFasModel, NoLiveness};

/// Looks at eyes.
pub trait EyeModel: Send {
    /// How open the eyes are (eye aspect ratio, about 0.1 closed to 0.4 wide open); `None` where no eyes are seen.
    ///
    /// # Errors
    /// When the model fails; the lane is restarted.
    fn openness(&mut self, face: &Chip) -> Result<Option<f32>, Fault>;
}

/// The stage.
pub struct LivenessStage {
    model: Box<dyn LivenessModel>,
    eyes: Option<Box<dyn EyeModel>>,
    streams: HashMap<StreamKey, HashMap<TrackId, Eyes>>,
}

/// What is kept of a track between its first look at the eyes and its end.
#[derive(Default)]
struct Eyes {
    blinks: Blinks,
    /// A blink that no shot has told yet.
    blinked: bool,
}

impl LivenessStage {
    /// Around a model, without the blink check: looks at eyes are dropped.
    pub fn new(model: impl LivenessModel + 'static) -> Self {
        Self { model: Box::new(model), eyes: None, streams: HashMap::new() }
    }

    /// With the blink check.
    #[must_use]
    pub fn with_blinks(self, eyes: impl EyeModel + 'static) -> Self {
        Self { eyes: Some(Box::new(eyes)), ..self }
    }

    /// Tracks whose eyes are followed now.
    pub fn tracks(&self) -> usize {
        self.streams.values().map(HashMap::len).sum()
    }

    /// The scores of the shots that are to be checked, in order.
    fn scores(&mut self, batch: &[Tracked<EmbeddedShot>]) -> Result<Vec<f32>, Fault> {
        let chips: Vec<&FaceChip> = batch
            .iter()
            .filter_map(|item| match item {
                Tracked::Shot(shot) if is_checked(shot) => Some(&shot.shot.chip),
                _ => None,
            })
            .collect();
        let scores = if chips.is_empty() { Vec::new() } else { self.model.score(&chips)? };
        if scores.len() != chips.len() || scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
            let message = "the liveness model gave no probability for each shot";
            return Err(Fault::new(ErrorClass::Bug, message));
        }
        Ok(scores)
    }

    fn look(&mut self, shot: EyeShot) -> Result<(), Fault> {
        let Some(model) = &mut self.eyes else {
            return Ok(());
        };
        if let Some(openness) = model.openness(&shot.face)? {
            let eyes = self.streams.entry(shot.key).or_default().entry(shot.track).or_default();
            eyes.blinked |= eyes.blinks.observe(shot.time.media, openness);
        }
        Ok(())
    }

    fn take_blink(&mut self, key: &StreamKey, track: TrackId) -> bool {
        let eyes = self.streams.get_mut(key).and_then(|tracks| tracks.get_mut(&track));
        eyes.is_some_and(|eyes| std::mem::take(&mut eyes.blinked))
    }
}

fn is_checked(shot: &EmbeddedShot) -> bool {
    !shot.shot.chip.context.is_empty()
}

impl Stage for LivenessStage {
    const NAME: &'static str = "liveness";
    type In = Tracked<EmbeddedShot>;
    type Out = Tracked<LiveShot>;

    fn process(&mut self, batch: Vec<Self::In>, out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        let mut scores = self.scores(&batch)?.into_iter();
        for item in batch {
            match item {
                Tracked::Shot(shot) => {
                    let live = if is_checked(&shot) { scores.next() } else { None };
                    if let Some(live) = live {
                        histogram(HistogramName::LivenessScore, &[]).record(f64::from(live));
                    }
                    let EmbeddedShot { mut shot, embedding } = shot;
                    // Nobody after this stage wants them, and shots wait in evidence for as long as a track lives.
                    shot.chip.context = Vec::new();
                    let blinked = self.take_blink(&shot.key, shot.track);
                    out.send(Tracked::Shot(LiveShot { shot, embedding, live, blinked }));
                }
                Tracked::Eyes(eyes) => self.look(eyes)?,
                Tracked::Tick(key, time) => out.send(Tracked::Tick(key, time)),
                Tracked::Ended(end) => {
                    let eyes = self.streams.get_mut(&end.key).and_then(|tracks| tracks.remove(&end.track));
                    let blinked = end.blinked || eyes.is_some_and(|eyes| eyes.blinked);
                    out.send(Tracked::Ended(TrackEnd { blinked, ..end }));
                }
            }
        }
        Ok(())
    }

    fn on_close(&mut self, key: &StreamKey, _out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        self.streams.remove(key);
        Ok(())
    }
}
