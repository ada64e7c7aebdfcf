//! Identifiers. Each is its own type, so that a track cannot be passed where a person is meant.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name. Whether it is well formed is checked where names come in: in the configuration and the API.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as it stands in configuration, metrics and routes.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name_id!(
    /// A camera: a short name such as `door-1`, unique in the installation.
    CameraId
);
name_id!(
    /// A room (or door, gate, hall): what a timetable and a roster belong to.
    RoomId
);
name_id!(
    /// An embedding model with its version, such as `sface-2021dec`. Embeddings of two models are never compared.
    ModelId
);
uuid_id!(
    /// A person who is enrolled.
    PersonId
);
uuid_id!(
    /// A session: one room, from when to when, with a roster; or one local day of a room that has no timetable.
    SessionId
);
uuid_id!(
    /// An attendance event; UUIDv5 of what happened, so that a repeated delivery has the same id. See [`EventId::derive`].
    EventId
);
uuid_id!(
    /// One connection to a camera: a UUIDv7 made at connect time, never repeated, not even by a restart.
    Epoch
);

impl EventId {
    const NAMESPACE: Uuid = Uuid::from_u128(0x7a1d_3c52_5b0e_4f6c_9b1f_2e6d_c0a8_11ce);

    /// The id of an event of `kind` about `person` on a track; `occurrence` tells several of them apart.
    ///
    /// Every part is unique across restarts (the epoch is) or stable within the stream, so two different events cannot
    /// share an id and one event delivered twice cannot have two.
    pub fn derive(stream: &StreamKey, track: TrackId, person: Option<PersonId>, kind: &str, occurrence: u32) -> Self {
        let person = person.map_or_else(Uuid::nil, |p| p.0);
        let name = format!("{}/{}/{}/{person}/{kind}/{occurrence}", stream.camera, stream.epoch, track.0);
        Self(Uuid::new_v5(&Self::NAMESPACE, name.as_bytes()))
    }
}

/// One unbroken stream of one camera. Sequence numbers, media times and track ids are relative to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The camera.
    pub camera: CameraId,
    /// The connection.
    pub epoch: Epoch,
}

/// A track within its stream; counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);

/// A state of the gallery; grows with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GalleryVersion(pub u64);
