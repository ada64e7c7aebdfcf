//! embed: turns the shots of tracks into points on the unit sphere, many shots in one run of the model.
//!
//! Deliberately knows nothing of people. What is not a shot passes through in its place.

mod sface;

use rollcall_pipeline::metrics::CameraMetrics;
use rollcall_pipeline::ports::Embedder;
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{EmbeddedShot, ErrorClass, Fault, TrackShot, Tracked};

pub use sface::SFaceEmbedder;

/// The stage.
pub struct EmbedStage {
    embedder: Box<dyn Embedder>,
}

impl EmbedStage {
    /// Around a model.
    pub fn new(embedder: impl Embedder + 'static) -> Self {
        Self { embedder: Box::new(embedder) }
    }
}

impl Stage for EmbedStage {
    const NAME: &'static str = "embed";
    type In = Tracked<TrackShot>;
    type Out = Tracked<EmbeddedShot>;

    fn process(&mut self, batch: Vec<Self::In>, out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        let chips: Vec<_> = batch
            .iter()
            .filter_map(|item| match item {
                Tracked::Shot(shot) => Some(&shot.chip),
                Tracked::Eyes(_) | Tracked::Ended(_) | Tracked::Tick(..) => None,
            })
            .collect();
        let wanted = chips.len();
        let embeddings = if wanted == 0 { Vec::new() } else { self.embedder.embed(&chips)? };
        if embeddings.len() != wanted {
            let message = format!("{} embeddings for {wanted} shots", embeddings.len());
            return Err(Fault::new(ErrorClass::Bug, message));
        }
        let mut embeddings = embeddings.into_iter();
        for item in batch {
            match item {
                Tracked::Shot(shot) => match embeddings.next().flatten() {
                    Some(embedding) => out.send(Tracked::Shot(EmbeddedShot { shot, embedding })),
                    // Rare enough for a look-up.
                    None => CameraMetrics::new(&shot.key.camera).face_rejected("no_embedding"),
                },
                Tracked::Eyes(eyes) => out.send(Tracked::Eyes(eyes)),
                Tracked::Ended(end) => out.send(Tracked::Ended(end)),
                Tracked::Tick(key, time) => out.send(Tracked::Tick(key, time)),
            }
        }
        Ok(())
    }
}
