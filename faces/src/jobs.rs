//! What can be asked of the engine.

use std::sync::Arc;

use rollcall_pipeline::ports::Matcher;
use rollcall_pipeline::{Embedding, FaceChip, PersonId, Rect, ShotQuality};
use rollcall_stages::picture::GateReading;

use crate::clip;
use crate::engine::{Desk, FaceEngine};
use crate::error::FacesError;
use crate::judge::{JudgeRequest, Judged, MAX_PICTURES, Material, Sitting};
use crate::known::{self, Refusal};
use crate::live::LiveTemplate;
use crate::look::{self, Examined, FaceInfo};

/// A person's pictures.
#[derive(Clone)]
pub struct EnrolRequest {
    /// Whose.
    pub person: PersonId,
    /// Their templates so far, all of them.
    pub own: Vec<Embedding>,
    /// The gallery, for everybody else's.
    pub others: Arc<dyn Matcher>,
    /// The files.
    pub pictures: Vec<Vec<u8>>,
}

/// What became of a picture.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// sha256 of the file.
    pub sha256: [u8; 32],
    /// Every gate with what was measured; empty where there is no face to measure.
    pub report: Vec<GateReading>,
    /// Where the face is.
    pub bbox: Option<Rect>,
    /// The template, or why there is none.
    pub outcome: Result<Accepted, Refusal<PersonId>>,
}

/// A picture that makes a template.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The template.
    pub embedding: Embedding,
    /// How good the view is.
    pub quality: ShotQuality,
}

impl FaceEngine {
    /// The faces of a picture, best view first.
    ///
    /// # Errors
    /// See [`FacesError`].
    pub async fn detect(&self, picture: Vec<u8>, most: usize) -> Result<Vec<FaceInfo>, FacesError> {
        let bytes = picture.len();
        let work = move |desk: &mut Desk<'_>| {
            let image = look::decode(&picture)?;
            let (nets, settings) = desk.nets()?;
            let faces = look::faces(&image, nets, settings, most)?;
            Ok(faces.into_iter().map(|(info, _)| info).collect())
        };
        self.ask(bytes, work).await
    }

    /// The faces of a picture with their embeddings, best view first. A face to which the model gives no direction is left
    /// out.
    ///
    /// # Errors
    /// See [`FacesError`].
    pub async fn encode(&self, picture: Vec<u8>, most: usize) -> Result<Vec<(FaceInfo, Embedding)>, FacesError> {
        let bytes = picture.len();
        let work = move |desk: &mut Desk<'_>| {
            let image = look::decode(&picture)?;
            let (nets, settings) = desk.nets()?;
            let faces = look::faces(&image, nets, settings, most)?;
            let chips: Vec<_> = faces.iter().map(|(_, chip)| chip).collect();
            let embeddings = look::embed(&chips, nets)?;
            Ok(faces.into_iter().zip(embeddings).filter_map(|((info, _), e)| Some((info, e?))).collect())
        };
        self.ask(bytes, work).await
    }

    /// Whether somebody could be enrolled with a picture, and every figure that this depends on.
    ///
    /// # Errors
    /// See [`FacesError`]; a picture that will not do is an answer and no error.
    pub async fn examine(&self, picture: Vec<u8>) -> Result<Examined, FacesError> {
        self.ask(picture.len(), move |desk| examine(desk, &picture)).await
    }

    /// Which of a person's pictures make templates, decided together: neither their order nor an earlier enrolment of the
    /// same pictures changes the answers. Stores nothing. One answer a picture, in order.
    ///
    /// Two requests at the same time do not see each other's templates: whoever stores them one after the other, and asks
    /// anew when the gallery has changed in between, has no face under two names.
    ///
    /// # Errors
    /// See [`FacesError`]; pictures that will not do are answers and no errors.
    pub async fn enrol(&self, request: EnrolRequest) -> Result<Vec<Enrolled>, FacesError> {
        let count = request.pictures.len();
        if count > MAX_PICTURES {
            return Err(FacesError::TooMany { what: "pictures", most: MAX_PICTURES });
        }
        let bytes = request.pictures.iter().map(Vec::len).sum();
        let work = move |desk: &mut Desk<'_>| {
            let EnrolRequest { person, mut own, others, pictures } = request;
            let mut examined = Vec::with_capacity(pictures.len());
            for picture in pictures {
                desk.go_on()?;
                examined.push(examine(desk, &picture)?);
            }
            let faces: Vec<_> = examined.iter().map(|e| e.shot.as_ref().ok().map(|shot| &shot.embedding)).collect();
            let refusals = known::decide(&mut own, |face| known::in_gallery(&*others, person, face), &faces);
            Ok(examined.into_iter().zip(refusals).map(|(examined, refusal)| told(examined, refusal)).collect())
        };
        self.ask(bytes, work).await
    }

    /// Templates that a lane embedded, embedded again: a lane may do it less exactly, and a template stays. One to whose face the
    /// model gives no direction is left out.
    ///
    /// # Errors
    /// See [`FacesError`].
    pub async fn embed_again(&self, templates: Vec<LiveTemplate>) -> Result<Vec<LiveTemplate>, FacesError> {
        let bytes = templates.iter().map(|template| template.chip.rgb.len()).sum();
        let work = move |desk: &mut Desk<'_>| {
            let chip = |taken: &LiveTemplate| FaceChip { aligned: taken.chip.clone(), context: Vec::new() };
            let chips: Vec<_> = templates.iter().map(chip).collect();
            let embeddings = look::embed(&chips.iter().collect::<Vec<_>>(), desk.nets()?.0)?;
            let embedded = templates.into_iter().zip(embeddings);
            Ok(embedded.filter_map(|(taken, e)| Some(LiveTemplate { embedding: e?, ..taken })).collect())
        };
        self.ask(bytes, work).await
    }

    /// Who is in pictures of one moment or in a short clip, and whether they are alive, as a lane would say it: see
    /// [`crate::judge`].
    ///
    /// # Errors
    /// See [`FacesError`].
    pub async fn judge(&self, material: Material, request: JudgeRequest) -> Result<Judged, FacesError> {
        if let Material::Pictures(pictures) = &material
            && pictures.len() > MAX_PICTURES
        {
            return Err(FacesError::TooMany { what: "pictures", most: MAX_PICTURES });
        }
        let bytes = material.bytes();
        let work = move |desk: &mut Desk<'_>| {
            let settings = desk.shared_settings();
            let is_clip = matches!(material, Material::Clip(_));
            let mut sitting = Sitting::new(&settings, &request, is_clip, desk.clock().mono())?;
            match material {
                Material::Pictures(pictures) => {
                    for picture in pictures {
                        desk.go_on()?;
                        let image = sitting.fresh(&picture)?;
                        if let Some(image) = image {
                            sitting.picture(&image, desk.nets()?.0)?;
                        }
                    }
                }
                Material::Clip(bytes) => {
                    let (dir, clock) = (desk.temp_dir(), Arc::clone(desk.clock()));
                    clip::frames(&bytes, &dir, &clock, |seq, media, image| {
                        desk.go_on()?;
                        sitting.frame(seq, media, &image, desk.nets()?.0)
                    })?;
                }
            }
            sitting.judge()
        };
        self.ask(bytes, work).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, FacesError> + Send + 'static,
    ) -> Result<T, FacesError> {
        self.try_submit(bytes, work)?.answer().await
    }
}

fn examine(desk: &mut Desk<'_>, picture: &[u8]) -> Result<Examined, FacesError> {
    let sha256 = look::sha256(picture);
    let image = match look::decode(picture) {
        Ok(image) => image,
        Err(refused) => return Ok(Examined::refused(sha256, refused)),
    };
    let (nets, settings) = desk.nets()?;
    Ok(look::examine(&image, sha256, nets, settings)?)
}

fn told(examined: Examined, refusal: Option<Refusal<PersonId>>) -> Enrolled {
    let Examined { sha256, report, bbox, shot } = examined;
    let outcome = match (shot, refusal) {
        (Err(refused), _) => Err(Refusal::Picture(refused)),
        (Ok(_), Some(refusal)) => Err(refusal),
        (Ok(shot), None) => Ok(Accepted { embedding: shot.embedding, quality: shot.quality }),
    };
    Enrolled { sha256, report, bbox, outcome }
}
