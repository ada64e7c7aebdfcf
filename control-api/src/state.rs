//! What every handler can reach.

use std::sync::Arc;

use rollcall_pipeline::Clock;
use rollcall_pipeline::config::PrivacyConfig;
use rollcall_store::Store;

use crate::Daemon;
use crate::access::Access;
use crate::live::Live;
use crate::ports::cameras::Cameras;
use crate::ports::faces::Faces;

/// The parts behind the API.
pub struct Api {
    /// What is kept.
    pub store: Store,
    /// What runs.
    pub daemon: Arc<dyn Daemon>,
    /// What runs cameras.
    pub cameras: Arc<dyn Cameras>,
    /// What looks at faces.
    pub faces: Arc<dyn Faces>,
    /// What decides who comes in.
    pub access: Access,
    /// What happens, for those who follow it.
    pub live: Live,
    /// What is kept of people.
    pub privacy: PrivacyConfig,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}
