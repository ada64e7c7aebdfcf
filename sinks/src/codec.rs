//! How events lie in the spool: written down as [`EventRecord`], packed by postcard, sealed like everything biometric.

use rollcall_store::seal::Bound;
use rollcall_store::{EventRecord, RECORD_VERSION, SealError, Sealer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Records of this version end before the faces of strangers.
const BEFORE_STRANGERS: u8 = 1;

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
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Rejected {
    pub(crate) reason: String,
    pub(crate) record: EventRecord,
}

pub(crate) fn encode(sealer: &Sealer, record: &EventRecord) -> Result<Vec<u8>, CodecError> {
    pack(sealer, "spool", record)
}

pub(crate) fn decode(sealer: &Sealer, payload: &[u8]) -> Result<EventRecord, CodecError> {
    unpack(sealer, "spool", payload)
}

pub(crate) fn encode_rejected(sealer: &Sealer, rejected: &Rejected) -> Result<Vec<u8>, CodecError> {
    pack(sealer, "rejected", rejected)
}

pub(crate) fn decode_rejected(sealer: &Sealer, payload: &[u8]) -> Result<Rejected, CodecError> {
    unpack(sealer, "rejected", payload)
}

/// Reads a value that ends with a record.
fn unpack<T: DeserializeOwned>(sealer: &Sealer, purpose: &str, payload: &[u8]) -> Result<T, CodecError> {
    match payload.split_first() {
        Some((&RECORD_VERSION, sealed)) => {
            Ok(postcard::from_bytes(&sealer.open(&place(purpose, RECORD_VERSION), sealed)?)?)
        }
        // Without the record's last field, which is a zero where there is nothing in it.
        Some((&BEFORE_STRANGERS, sealed)) => {
            let mut packed = sealer.open(&place(purpose, BEFORE_STRANGERS), sealed)?;
            packed.push(0);
            Ok(postcard::from_bytes(&packed)?)
        }
        other => Err(CodecError::Version(other.map(|(version, _)| *version))),
    }
}

fn pack(sealer: &Sealer, purpose: &str, value: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let mut payload = vec![RECORD_VERSION];
    payload.extend(sealer.seal(&place(purpose, RECORD_VERSION), &postcard::to_stdvec(value)?));
    Ok(payload)
}

fn place(purpose: &str, version: u8) -> Bound {
    Bound::new(purpose, &[&[version]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_payload_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&Sealer::new([7; 32]), &bytes).is_err());
        }

        /// Whoever has the key could still be an older or a newer program, or mad.
        #[test]
        fn anything_that_is_sealed_is_survived(version in 0u8..4, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let sealer = Sealer::new([7; 32]);
            let mut payload = vec![version];
            payload.extend(sealer.seal(&place("spool", version), &bytes));
            if let Ok(record) = decode(&sealer, &payload) {
                prop_assert_eq!(decode(&sealer, &encode(&sealer, &record).unwrap()).unwrap(), record);
            }
        }
    }

    #[test]
    fn records_of_the_version_before_can_be_read() {
        let sealer = Sealer::new([7; 32]);
        let json = serde_json::json!({
            "id": uuid::Uuid::from_u128(1), "kind": "unknown", "person": null, "candidates": [], "room": "hall",
            "camera": "door-1", "direction": null, "epoch": uuid::Uuid::nil(), "track_id": 1, "media_ms": 40,
            "captured_at": "2026-03-02T08:00:00Z", "time_source": "ntp", "first_usable_at": "2026-03-02T08:00:00Z",
            "similarity": null, "margin": null, "shots": 3, "liveness": "live", "liveness_score": 0.5,
            "liveness_reason": null, "gallery_version": 1, "model_id": "m", "mark": null, "review": false,
            "sealed_crop": null,
        });
        let record: EventRecord = serde_json::from_value(json).expect("an event");
        let mut packed = postcard::to_stdvec(&record).expect("it packs");
        assert_eq!(packed.pop(), Some(0), "the last field is the newest");
        let mut payload = vec![BEFORE_STRANGERS];
        payload.extend(sealer.seal(&place("spool", BEFORE_STRANGERS), &packed));
        assert_eq!(decode(&sealer, &payload).expect("it is read"), record);
        assert_eq!(decode(&sealer, &encode(&sealer, &record).expect("it is written")).expect("it is read"), record);

        let rejected = Rejected { reason: "too long".to_owned(), record };
        let mut packed = postcard::to_stdvec(&rejected).expect("it packs");
        assert_eq!(packed.pop(), Some(0), "the record comes last");
        let mut payload = vec![BEFORE_STRANGERS];
        payload.extend(sealer.seal(&place("rejected", BEFORE_STRANGERS), &packed));
        let read = decode_rejected(&sealer, &payload).expect("it is read");
        assert_eq!((read.reason, read.record), (rejected.reason, rejected.record));
    }
}
