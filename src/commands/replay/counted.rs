//! A sink that counts what goes through it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{AttendanceEvent, EventKind, Fault};

/// How many events of each kind there were.
pub(super) type Counts = Arc<Mutex<HashMap<EventKind, u64>>>;

/// Counts what `to` accepted.
pub(super) struct Counted<S> {
    to: S,
    counts: Counts,
}

impl<S: EventSink> Counted<S> {
    pub(super) fn new(to: S, counts: Counts) -> Self {
        Self { to, counts }
    }
}

impl<S: EventSink> EventSink for Counted<S> {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        self.to.accept(batch)?;
        let mut counts = self.counts.lock();
        for event in batch {
            *counts.entry(event.kind).or_default() += 1;
        }
        Ok(())
    }
}
