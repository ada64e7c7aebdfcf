//! Whether there is anything to look at before a camera: told by whoever sees its frames, heard by the thread that decodes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a camera's thread is told. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Attention(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    stirred: AtomicU64,
    asked: AtomicU64,
}

/// How often either was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// [`Attention::stirred`].
    pub stirred: u64,
    /// [`Attention::asked`].
    pub asked: u64,
}

impl Attention {
    /// Something moved, or somebody is there.
    pub fn stirred(&self) {
        self.0.stirred.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody wants to see pictures as they come, whatever they show.
    pub fn asked(&self) {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// How often so far.
    pub fn calls(&self) -> Calls {
        Calls { stirred: self.0.stirred.load(Ordering::Relaxed), asked: self.0.asked.load(Ordering::Relaxed) }
    }
}
