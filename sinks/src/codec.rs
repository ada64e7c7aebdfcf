//! How events lie in the spool: written down as [`EventRecord`], packed by postcard, sealed like everything biometric.

use rollcall_store::seal::Bound;
use rollcall_store::{EventRecord, RECORD_VERSION, SealError, Sealer};
use serde::Serialize;

/// Why a payload is no event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("written by another version of this program (record version {0:?})")]
    Version(Option<u8>),
    #[error("not an event: {0}")]
    Packed(#[from] postcard::Error),
}

impl CodecError {
    /// With another key, or another version of the program, it can be read.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Version(_) | Self::Seal(SealError::WrongKey { .. }))
    }
}

/// An event that the database will never take, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Rejected {
    pub(crate) reason: String,
    pub(crate) record: EventRecord,
}

pub(crate) fn encode(sealer: &Sealer, record: &EventRecord) -> Result<Vec<u8>, CodecError> {
    pack(sealer, "spool", record)
}

pub(crate) fn decode(sealer: &Sealer, payload: &[u8]) -> Result<EventRecord, CodecError> {
    match payload.split_first() {
        Some((&RECORD_VERSION, sealed)) => Ok(postcard::from_bytes(&sealer.open(&place("spool"), sealed)?)?),
        other => Err(CodecError::Version(other.map(|(version, _)| *version))),
    }
}

pub(crate) fn encode_rejected(sealer: &Sealer, rejected: &Rejected) -> Result<Vec<u8>, CodecError> {
    pack(sealer, "rejected", rejected)
}

fn pack(sealer: &Sealer, purpose: &str, value: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let mut payload = vec![RECORD_VERSION];
    payload.extend(sealer.seal(&place(purpose), &postcard::to_stdvec(value)?));
    Ok(payload)
}

fn place(purpose: &str) -> Bound {
    Bound::new(purpose, &[&[RECORD_VERSION]])
}
