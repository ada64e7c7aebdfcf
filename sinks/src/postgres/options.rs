//! What is written of an event, and who is told of a mark that will never be.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::{AttendanceEvent, EventId, EventKind, ModelId, PersonId};
use rollcall_store::{EventRecord, Sealer};

/// Of a face for the review queue: good enough to enrol from, a tenth of the pixels' size.
const CROP_QUALITY: u8 = 95;

/// How [`PgSink`](super::PgSink) works.
#[derive(Clone, Debug)]
pub struct PgSinkOptions {
    /// The model whose embeddings are compared; stands in every row.
    pub model: ModelId,
    /// Strangers go to review, too, with their faces. Ambiguous faces and attacks always do.
    pub review_unknown: bool,
    /// Strangers go to review with what tells them apart, for the list of visitors.
    pub tell_strangers_apart: bool,
    /// Directory of the spool.
    pub spool_dir: PathBuf,
    /// Bytes that the spool may take, and as many again what was refused.
    pub spool_max_bytes: u64,
    /// So long a connection, and then an answer, is waited for before a batch goes to the spool.
    pub write_budget: Duration,
    /// Told of marks that will never be.
    pub refused: Refused,
}

/// Who is told that the database refused a mark for its values, by person and event: whatever they remember of it is wrong.
#[derive(Clone, Default)]
pub struct Refused(Option<Arc<dyn Fn(PersonId, EventId) + Send + Sync>>);

impl Refused {
    /// Tells `whom`, on the thread that writes.
    pub fn telling(whom: impl Fn(PersonId, EventId) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(whom)))
    }

    pub(super) fn tell(&self, record: &EventRecord) {
        if let (Some(whom), Some(mark)) = (&self.0, &record.mark) {
            whom(PersonId(mark.person), EventId(record.id));
        }
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refused").field(&self.0.is_some()).finish()
    }
}

impl PgSinkOptions {
    /// Defaults: strangers are not reviewed, 256 MiB of spool, 1.5 s a batch.
    pub fn new(model: ModelId, spool_dir: impl Into<PathBuf>) -> Self {
        Self {
            model,
            review_unknown: false,
            tell_strangers_apart: false,
            spool_dir: spool_dir.into(),
            spool_max_bytes: 256 << 20,
            write_budget: Duration::from_millis(1500),
            refused: Refused::default(),
        }
    }

    /// What is written of an event.
    pub fn record(&self, event: &AttendanceEvent, sealer: &Sealer) -> EventRecord {
        let review = match event.kind {
            EventKind::Ambiguous | EventKind::Spoof => true,
            EventKind::Unknown => self.review_unknown || self.tell_strangers_apart,
            _ => false,
        };
        // Whoever wants strangers told apart has not asked for their pictures.
        let pictured = review && (event.kind != EventKind::Unknown || self.review_unknown);
        let crop = event.decision.best.as_deref().filter(|_| pictured).and_then(|chip| chip.jpeg(CROP_QUALITY));
        EventRecord::new(event, &self.model, review, crop.as_deref(), self.tell_strangers_apart, sealer)
    }
}
