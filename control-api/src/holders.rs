//! Who is behind a token or a key, remembered for a moment: a client that asks a hundred times a second is looked up once.
//!
//! What this process changes counts at once: every request that may change something forgets all of it before it is answered.
//! What another process changes (`rollcall admin reset-password`) counts within [`FRESH`].

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use rollcall_pipeline::MonoTime;
use rollcall_store::Holder;

/// So long an answer of the database counts.
const FRESH: Duration = Duration::from_secs(1);
/// Tokens and keys, at most.
const MAX_KNOWN: usize = 10_000;

/// The digest under which a token or key is kept.
pub(crate) type Digest = [u8; 32];

#[derive(Default)]
pub(crate) struct Holders(Mutex<Known>);

#[derive(Default)]
struct Known {
    holders: HashMap<Digest, (MonoTime, Holder)>,
    /// How often all of it was forgotten.
    changes: u64,
}

/// When a look-up began; what changed since then is not in its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: MonoTime,
    changes: u64,
}

impl Holders {
    /// Whoever is known to be behind it, or the beginning of a look-up.
    pub(crate) fn get(&self, digest: &Digest, now: MonoTime) -> Result<Holder, Asked> {
        let known = self.0.lock();
        match known.holders.get(digest) {
            Some((asked, holder)) if now.since(*asked) < FRESH => Ok(holder.clone()),
            _ => Err(Asked { at: now, changes: known.changes }),
        }
    }

    /// Remembers the answer, unless something has changed since it was asked for.
    pub(crate) fn put(&self, digest: Digest, asked: Asked, holder: &Holder) {
        let mut known = self.0.lock();
        if known.changes != asked.changes {
            return;
        }
        if known.holders.len() >= MAX_KNOWN {
            known.holders.clear();
        }
        known.holders.insert(digest, (asked.at, holder.clone()));
    }

    /// Something may have changed.
    pub(crate) fn forget(&self) {
        let mut known = self.0.lock();
        known.holders.clear();
        known.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use rollcall_store::{HolderKind, Scope};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn nobody_is_known_longer_than_it_is_true() {
        let kind = HolderKind::ApiKey { rights: Vec::new(), rate_per_minute: None };
        let holder = Holder { id: Uuid::nil(), name: "hr".to_owned(), kind, scope: Scope::Everywhere };
        let (holders, digest, now) = (Holders::default(), [7; 32], MonoTime(Duration::ZERO));
        let asked = holders.get(&digest, now).unwrap_err();
        holders.put(digest, asked, &holder);
        assert_eq!(holders.get(&digest, MonoTime(FRESH / 2)).unwrap(), holder);
        let asked = holders.get(&digest, MonoTime(FRESH)).expect_err("an old answer");
        // A key is revoked while the database is asked about it.
        holders.forget();
        holders.put(digest, asked, &holder);
        holders.get(&digest, MonoTime(FRESH)).expect_err("an answer from before the change");
    }
}
