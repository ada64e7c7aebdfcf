//! What part of the data a caller may see. Queries take it, so that no handler filters by hand.

use rollcall_pipeline::PersonId;

/// A part of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Everywhere,
    /// These sites and rooms.
    Places {
        /// Whole sites.
        sites: Vec<String>,
        /// Single rooms.
        rooms: Vec<String>,
    },
    /// One's own record, wherever it was made.
    Person(PersonId),
}

impl Scope {
    /// As the three values that queries bind: `($n::text[] is null or site_id = any($n) or room_id = any($m))` and
    /// `($k::uuid is null or person_id = $k)`.
    pub(crate) fn bounds(&self) -> (Option<&[String]>, Option<&[String]>, Option<uuid::Uuid>) {
        match self {
            Self::Everywhere => (None, None, None),
            Self::Places { sites, rooms } => (Some(sites), Some(rooms), None),
            Self::Person(person) => (None, None, Some(person.0)),
        }
    }

    /// Sites and rooms alone, for what does not belong to people: a person sees no places.
    pub(crate) fn places(&self) -> (Option<&[String]>, Option<&[String]>) {
        match self {
            Self::Everywhere => (None, None),
            Self::Places { sites, rooms } => (Some(sites), Some(rooms)),
            Self::Person(_) => (Some(&[]), Some(&[])),
        }
    }
}
