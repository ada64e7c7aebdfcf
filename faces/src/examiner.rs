//! Enrolment from a folder: one thread, its own networks, everybody's faces at hand.

use std::fmt::{Debug, Display};
use std::path::Path;

use rollcall_pipeline::ports::{Embedder, FaceDetector};
use rollcall_pipeline::{Embedding, Fault, Image};
use rollcall_stages::picture::{EnrolGates, EnrolShot, MAX_BYTES, RefusedPicture, examine};

use crate::known::{Known, Refusal};
use crate::look;

/// The bytes of a picture, bounded, and what tells them from all others.
pub struct Bytes {
    bytes: Vec<u8>,
    /// sha256 of them.
    pub sha256: [u8; 32],
}

impl Bytes {
    /// Reads a file, never more than a picture may have.
    ///
    /// # Errors
    /// [`RefusedPicture::Unreadable`]; what is too large is told when it is decoded.
    pub fn read(path: &Path) -> Result<Self, RefusedPicture> {
        use std::io::Read as _;
        let unreadable = |error: std::io::Error| RefusedPicture::Unreadable { why: error.to_string() };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let sha256 = look::sha256(&bytes);
        Ok(Self { bytes, sha256 })
    }
}

/// Looks at pictures, and remembers whose faces it has seen.
pub struct Examiner<K> {
    detector: Box<dyn FaceDetector>,
    embedder: Box<dyn Embedder>,
    gates: EnrolGates,
    known: Known<K>,
}

impl<K: Ord + Clone + Debug + Display> Examiner<K> {
    /// `known` are the templates that are enrolled already.
    pub fn new(
        detector: impl FaceDetector + 'static,
        embedder: impl Embedder + 'static,
        known: impl IntoIterator<Item = (K, Embedding)>,
    ) -> Self {
        Self {
            detector: Box::new(detector),
            embedder: Box::new(embedder),
            gates: EnrolGates::default(),
            known: Known::new(known),
        }
    }

    /// Looks at one picture of `person`. What is accepted counts as theirs from now on.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub fn examine(&mut self, person: &K, picture: &Bytes) -> Result<Result<EnrolShot, Refusal<K>>, Fault> {
        let looked = self.look(picture)?;
        Ok(self.decide_one(person, looked))
    }

    /// Looks at a picture, whoever it shows; [`Examiner::decide`] tells whether it is theirs.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub fn look(&mut self, picture: &Bytes) -> Result<Result<EnrolShot, RefusedPicture>, Fault> {
        match look::decode(&picture.bytes) {
            Ok(image) => examine(&image, &mut *self.detector, &mut *self.embedder, &self.gates),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Which of all the pictures that there are of `person` count as theirs, one answer a picture; see
    /// [`decide`](crate::known::decide).
    pub fn decide(
        &mut self,
        person: &K,
        looked: Vec<Result<EnrolShot, RefusedPicture>>,
    ) -> Vec<Result<EnrolShot, Refusal<K>>> {
        let faces: Vec<Option<&Embedding>> = looked.iter().map(|l| l.as_ref().ok().map(|s| &s.embedding)).collect();
        let refusals = self.known.decide(person, &faces);
        looked.into_iter().zip(refusals).map(|(looked, refusal)| refusal.map_or_else(|| Ok(looked?), Err)).collect()
    }

    /// [`Examiner::examine`] for a picture that is decoded.
    ///
    /// # Errors
    /// The outer error is a failing model.
    pub fn examine_image(&mut self, person: &K, image: &Image) -> Result<Result<EnrolShot, Refusal<K>>, Fault> {
        let looked = examine(image, &mut *self.detector, &mut *self.embedder, &self.gates)?;
        Ok(self.decide_one(person, looked))
    }

    fn decide_one(&mut self, person: &K, looked: Result<EnrolShot, RefusedPicture>) -> Result<EnrolShot, Refusal<K>> {
        let shot = looked?;
        match self.known.decide(person, &[Some(&shot.embedding)]).pop().flatten() {
            Some(refusal) => Err(refusal),
            None => Ok(shot),
        }
    }
}
