//! What the daemon said, over all its lives: what it decided, what it accepted, which cameras were live.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::{Clock, MonoTime, SystemClock};
use serde_json::Value;
use uuid::Uuid;

/// Lines that are shown when something does not come to pass.
const LAST_WORDS: usize = 25;

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) event: Uuid,
    pub(crate) camera: String,
}

/// One run of the daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) decided: Vec<Decided>,
    pub(crate) accepted: HashSet<Uuid>,
    /// It was told to end and ended well.
    pub(crate) orderly: bool,
}

/// Something that was said about a camera.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) at: MonoTime,
    pub(crate) camera: String,
    /// `live`, or why the connection ended.
    pub(crate) what: String,
}

/// A line of the log that warns or complains.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    pub(crate) error: bool,
    pub(crate) text: String,
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) lives: Vec<Life>,
    pub(crate) cameras: Vec<Word>,
    pub(crate) complaints: Vec<Complaint>,
    /// Accepted events by camera.
    pub(crate) by_camera: BTreeMap<String, usize>,
    /// Where the API of the current life is.
    pub(crate) address: Option<String>,
    /// Messages of this life that nobody has waited for yet.
    pub(crate) messages: Vec<String>,
    /// The log of the current life has ended.
    pub(crate) closed: bool,
    last: VecDeque<String>,
}

impl Said {
    /// Events accepted in all lives.
    pub(crate) fn accepted(&self) -> usize {
        self.lives.iter().map(|life| life.accepted.len()).sum()
    }

    fn life(&mut self) -> &mut Life {
        if self.lives.is_empty() {
            self.lives.push(Life::default());
        }
        let last = self.lives.len() - 1;
        &mut self.lives[last]
    }

    fn hear(&mut self, at: MonoTime, line: &str) {
        if self.last.len() == LAST_WORDS {
            self.last.pop_front();
        }
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            self.last.push_back(line.to_owned());
            return;
        };
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let message = text("message");
        if message != "accepted" && message != "decided" {
            self.last.push_back(line.to_owned());
        }
        let event = value["event"].as_str().and_then(|id| id.parse().ok());
        match (message.as_str(), event) {
            ("decided", Some(event)) => {
                let camera = text("camera");
                self.life().decided.push(Decided { event, camera });
            }
            ("accepted", Some(event)) => {
                self.life().accepted.insert(event);
                *self.by_camera.entry(text("camera")).or_default() += 1;
            }
            ("live", _) => self.cameras.push(Word { at, camera: text("camera"), what: message.clone() }),
            (said, _) if said.starts_with("serving") => self.address = Some(text("address")),
            _ => {
                let reason = text("reason");
                if !reason.is_empty() && !text("camera").is_empty() {
                    self.cameras.push(Word { at, camera: text("camera"), what: reason });
                }
                self.messages.push(message.clone());
            }
        }
        let level = text("level");
        if level == "WARN" || level == "ERROR" {
            let mut text = message;
            for key in ["error", "stage", "reason"] {
                if let Some(more) = value[key].as_str() {
                    text = format!("{text}: {more}");
                }
            }
            self.complaints.push(Complaint { error: level == "ERROR", text });
        }
    }
}

/// The book in which it is written. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<(Mutex<Said>, Condvar)>);

impl Ledger {
    /// A new life begins.
    pub(crate) fn open(&self) {
        let mut said = self.0.0.lock();
        said.lives.push(Life::default());
        said.address = None;
        said.closed = false;
        said.messages.clear();
    }

    /// A line of the log.
    pub(crate) fn hear(&self, line: &str) {
        self.0.0.lock().hear(SystemClock.mono(), line);
        self.0.1.notify_all();
    }

    /// The log has ended.
    pub(crate) fn close(&self) {
        self.0.0.lock().closed = true;
        self.0.1.notify_all();
    }

    /// The current life ended well.
    pub(crate) fn ended_well(&self) {
        self.0.0.lock().life().orderly = true;
    }

    /// Looks at it.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Said) -> T) -> T {
        look(&self.0.0.lock())
    }

    /// Waits until it is as wished.
    ///
    /// # Errors
    /// When it is not within `patience`; with the daemon's last words.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut wished: impl FnMut(&mut Said) -> Option<T>,
    ) -> anyhow::Result<T> {
        let clock = SystemClock;
        let begun = clock.mono();
        let mut said = self.0.0.lock();
        loop {
            if let Some(found) = wished(&mut said) {
                return Ok(found);
            }
            let left = patience.saturating_sub(clock.mono().since(begun));
            if left.is_zero() {
                let last: Vec<_> = said.last.iter().map(String::as_str).collect();
                bail!("{what}: not within {} s; the daemon's last words:\n{}", patience.as_secs(), last.join("\n"));
            }
            self.0.1.wait_for(&mut said, left);
        }
    }

    /// Lets time pass, for a fault that is to last.
    pub(crate) fn pass(&self, time: Duration) {
        let clock = SystemClock;
        let begun = clock.mono();
        let mut said = self.0.0.lock();
        while clock.mono().since(begun) < time {
            self.0.1.wait_for(&mut said, time.saturating_sub(clock.mono().since(begun)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_logs_is_understood() {
        let ledger = Ledger::default();
        ledger.open();
        let event = Uuid::from_u128(7);
        for line in [
            format!(r#"{{"level":"INFO","message":"decided","camera":"door-0","event":"{event}","kind":"recorded"}}"#),
            format!(r#"{{"level":"DEBUG","message":"accepted","camera":"door-0","event":"{event}"}}"#),
            r#"{"level":"INFO","message":"live","camera":"door-0"}"#.to_owned(),
            r#"{"level":"WARN","message":"no connection","camera":"door-0","reason":"refused"}"#.to_owned(),
            r#"{"level":"INFO","message":"serving /docs","address":"127.0.0.1:1"}"#.to_owned(),
        ] {
            ledger.hear(&line);
        }
        ledger.read(|said| {
            assert_eq!(said.lives[0].decided, [Decided { event, camera: "door-0".to_owned() }]);
            assert_eq!(said.accepted(), 1);
            let words: Vec<_> = said.cameras.iter().map(|word| word.what.as_str()).collect();
            assert_eq!(words, ["live", "refused"]);
            assert_eq!(said.address.as_deref(), Some("127.0.0.1:1"));
            assert_eq!(said.complaints[0].text, "no connection: refused");
        });
    }
}
