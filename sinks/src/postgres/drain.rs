//! The thread `spool-drain`: what waits on the disk goes to the database, oldest first.

use std::time::Duration;

use rollcall_pipeline::supervisor::caught;
use rollcall_pipeline::{ErrorClass, Fault};
use tokio::runtime::Handle;

use super::queues::Shared;
use crate::codec::{self, CodecError};
use crate::pace::Pace;
use crate::spool::SpooledRecord;
use crate::writer::Stopped;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The database is asked so often while it is away; also how late the age of the spool may be shown.
const LAST_PAUSE: Duration = Duration::from_secs(3);

impl Shared {
    /// Drains until it is to stop, whatever happens: without it the spool would fill up, and in the end hold up the cameras.
    ///
    /// What it was at when it panicked was not acknowledged, and is tried again.
    pub(super) fn keep_draining(&self, runtime: &Handle, pace: Pace) {
        while let Err(panic) = caught(|| self.drain(runtime, pace)) {
            let mut queues = self.queues.lock();
            queues.trouble = Some(format!("the spool is not drained, by a fault of this program's: {panic}"));
            self.show(&queues);
            self.changed.wait_while_for(&mut queues, |q| !q.stopping, LAST_PAUSE);
        }
    }

    /// Writes what is in the spool, oldest first, until it is to stop.
    fn drain(&self, runtime: &Handle, mut pace: Pace) {
        let mut pause = FIRST_PAUSE;
        loop {
            let records = {
                let mut queues = self.queues.lock();
                self.changed.wait_while(&mut queues, |q| q.spool.is_empty() && !q.stopping);
                if queues.stopping {
                    return;
                }
                queues.spool.peek(pace.most)
            };
            let went_well = match records.map_err(|e| Fault::new(ErrorClass::Transient, e)) {
                Ok(records) => self.drain_batch(runtime, records, &mut pace),
                Err(fault) => Err(fault),
            };
            let mut queues = self.queues.lock();
            let went_well = went_well.unwrap_or_else(|fault| {
                if queues.note(Some(fault.to_string())) {
                    tracing::error!(%fault, "cannot drain the spool; trying until it can be");
                }
                false
            });
            self.show(&queues);
            if went_well {
                pause = FIRST_PAUSE;
            } else {
                self.changed.wait_while_for(&mut queues, |q| !q.stopping, pause);
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }

    /// Whether all of it is done.
    fn drain_batch(&self, runtime: &Handle, spooled: Vec<SpooledRecord>, pace: &mut Pace) -> Result<bool, Fault> {
        let sealer = self.writer.store.sealer();
        let mut records = Vec::with_capacity(spooled.len());
        let mut unreadable = None;
        for item in &spooled {
            match codec::decode(sealer, &item.payload) {
                Ok(record) => records.push(record),
                Err(error) => {
                    unreadable = Some((item, error));
                    break;
                }
            }
        }
        if let (true, Some((item, error))) = (records.is_empty(), unreadable.as_ref()) {
            return self.handle_unreadable(item, error);
        }
        let before = self.clock.mono();
        let today = self.clock.wall().date_naive();
        let work = async {
            self.writer.store.prepare(today).await?;
            Ok::<_, Stopped>(self.writer.write(&records, pace.patience).await)
        };
        let done = runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                // What is not acknowledged is delivered again by the next process.
                () = self.stop.notified() => None,
            }
        });
        let progress = match done {
            None => return Ok(false),
            Some(Ok(progress)) => progress,
            Some(Err(stopped)) => {
                self.remember(Some(&stopped));
                return Ok(false);
            }
        };
        match progress.stopped {
            None => pace.went_through(self.clock.mono().since(before)),
            Some(Stopped::Timeout(_)) => pace.too_slow(),
            Some(Stopped::Unreached(_)) => pace.be_patient(),
            Some(Stopped::Store(_)) => {}
        }
        let (done, stopped) = (progress.done, progress.stopped.is_some());
        self.settle(&records, progress)?;
        if let Some(item) = done.checked_sub(1).and_then(|last| spooled.get(last)) {
            self.acknowledge(item.seq);
            self.metrics.events("replayed", done);
        }
        Ok(!stopped)
    }

    fn handle_unreadable(&self, item: &SpooledRecord, error: &CodecError) -> Result<bool, Fault> {
        if !error.may_pass() {
            tracing::error!(%error, "an event in the spool cannot be read: put aside in the directory rejected");
            self.reject(item.payload.clone())?;
            self.acknowledge(item.seq);
            return Ok(true);
        }
        // With the right key, or the right version of the program, it can be read: everything waits for that.
        let mut queues = self.queues.lock();
        if queues.note(Some(error.to_string())) {
            tracing::error!(%error, "cannot read an event in the spool; nothing is written until it can be read");
            self.show(&queues);
        }
        Ok(false)
    }
}
