//! Whom faces are like: of the caller's own list, or of everybody who is enrolled here.

use std::collections::HashMap;
use std::sync::Arc;

use rollcall_pipeline::{Embedding, ModelId};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{DEFAULT_FACES, Labelled, MatchOptions, MatchView, MatchedFace, bounded};
use crate::caller::Caller;
use crate::ports::faces::{Certainty, FaceView, FacesTrouble, Likeness, MAX_FACES, Matched};
use crate::problem::{Answer, FieldError, Problem};
use crate::rights::Right;
use crate::state::Api;

const DEFAULT_MATCHES: u32 = 3;
const MAX_MATCHES: u32 = 50;
/// Embeddings of the caller's own list.
const MAX_CANDIDATES: usize = 10_000;
const MAX_VALUES: usize = 2_048;
const MAX_LABEL: usize = 200;

/// Whom faces are compared with.
pub(super) struct Search {
    /// `None`: everybody who is enrolled here.
    list: Option<Vec<(String, Embedding)>>,
    max_faces: usize,
    max_matches: usize,
}

/// A face and whom it is like.
pub(super) struct Found {
    face: FaceView,
    certainty: Certainty,
    /// Label or person.
    ranking: Vec<(Result<String, Uuid>, Likeness)>,
}

impl Search {
    /// Everybody is for those alone who see everybody.
    pub(super) fn new(caller: &Caller, options: MatchOptions) -> Answer<Self> {
        let mut wrong = Vec::new();
        let max_faces = bounded("max_faces", options.max_faces, DEFAULT_FACES, MAX_FACES as u32, &mut wrong);
        let max_matches = bounded("max_matches", options.max_matches, DEFAULT_MATCHES, MAX_MATCHES, &mut wrong);
        let list = options.candidates.map(|candidates| read_list(candidates, &mut wrong));
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        if list.is_none() {
            caller.need(Right::PeopleRead)?;
            // A face of any place may be among those who are enrolled.
            caller.need_everywhere()?;
        }
        Ok(Self { list, max_faces, max_matches })
    }

    /// The faces of a picture, and whom each is like.
    pub(super) async fn look(self: &Arc<Self>, api: &Arc<Api>, picture: Vec<u8>) -> Result<Vec<Found>, FacesTrouble> {
        let faces = api.faces.encode(picture, self.max_faces).await?;
        let (search, api) = (Arc::clone(self), Arc::clone(api));
        let compare = move |(face, embedding): (FaceView, Embedding)| search.compare(&api, face, &embedding);
        // Each with up to ten thousand others: everybody would wait for their answers meanwhile.
        let compared = spawn_blocking(move || faces.into_iter().map(compare).collect::<Result<Vec<_>, _>>());
        compared.await.map_err(|error| FacesTrouble::Failed(error.to_string()))?
    }

    fn compare(&self, api: &Api, face: FaceView, embedding: &Embedding) -> Result<Found, FacesTrouble> {
        let Some(list) = &self.list else {
            let Matched { certainty, ranking } = api.faces.match_gallery(embedding, self.max_matches)?;
            let ranking = ranking.into_iter().map(|(person, likeness)| (Err(person.0), likeness)).collect();
            return Ok(Found { face, certainty, ranking });
        };
        let Matched { certainty, ranking } = api.faces.match_list(embedding, list, self.max_matches)?;
        let ranking = ranking.into_iter().map(|(label, likeness)| (Ok(label), likeness)).collect();
        Ok(Found { face, certainty, ranking })
    }

    /// The names of everybody who was found.
    pub(super) async fn names(
        &self,
        api: &Api,
        found: impl IntoIterator<Item = &Found>,
    ) -> Answer<HashMap<Uuid, String>> {
        let people =
            found.into_iter().flat_map(|f| f.ranking.iter().filter_map(|(who, _)| who.as_ref().err().copied()));
        let mut people: Vec<Uuid> = people.collect();
        people.sort_unstable();
        people.dedup();
        if people.is_empty() { Ok(HashMap::new()) } else { Ok(api.store.names_of(&people).await?) }
    }
}

impl Found {
    /// As it is shown, with these names.
    pub(super) fn told(self, names: &HashMap<Uuid, String>) -> MatchedFace {
        let told = |(who, likeness): (Result<String, Uuid>, Likeness)| {
            let person_id = who.as_ref().err().copied();
            let name = person_id.and_then(|id| names.get(&id).cloned());
            MatchView { label: who.ok(), person_id, name, likeness }
        };
        let matches = self.ranking.into_iter().map(told).collect();
        MatchedFace { face: self.face, certainty: self.certainty, matches }
    }
}

fn read_list(candidates: Vec<Labelled>, wrong: &mut Vec<FieldError>) -> Vec<(String, Embedding)> {
    if candidates.len() > MAX_CANDIDATES {
        wrong.push(FieldError::body("/candidates", format!("at most {MAX_CANDIDATES}; ask in parts")));
        return Vec::new();
    }
    let mut list = Vec::with_capacity(candidates.len());
    for (i, Labelled { label, embedding }) in candidates.into_iter().enumerate() {
        let mut add = |field: &str, detail: String| {
            wrong.push(FieldError::body(&format!("/candidates/{i}/{field}"), detail));
        };
        if !(1..=MAX_LABEL).contains(&label.chars().count()) || label.chars().any(char::is_control) {
            add("label", format!("must be 1 to {MAX_LABEL} characters long, without control characters"));
        }
        let fits = (1..=MAX_VALUES).contains(&embedding.values.len()) && embedding.model.len() <= 100;
        let read = fits.then(|| Embedding::normalized(ModelId::new(embedding.model), embedding.values)).flatten();
        match read {
            Some(read) => list.push((label, read)),
            None => add("embedding", "not an embedding: take it as /faces/encode told it".to_owned()),
        }
        // The rest is likely to be as wrong.
        if wrong.len() > 20 {
            break;
        }
    }
    list
}
