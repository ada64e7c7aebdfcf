//! Tokens, keys and links: random, told once, kept as digests.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::caller::digest;
use crate::problem::Problem;

/// What a secret is, as its first letters tell whoever finds it in a place where it should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// `rca_`
    Access,
    /// `rcr_`
    Refresh,
    /// `rck_`
    Key,
    /// `rcl_`
    Link,
    /// `rct_`
    Ticket,
}

/// 256 random bits in letters.
#[derive(Clone)]
pub struct NewSecret(String);

impl NewSecret {
    /// Letters that tell keys apart without telling the key.
    pub const SHOWN: usize = 10;

    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random(kind: SecretKind) -> Result<Self, NoRandom> {
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(|error| NoRandom(error.to_string()))?;
        let prefix = match kind {
            SecretKind::Access => "rca_",
            SecretKind::Refresh => "rcr_",
            SecretKind::Key => "rck_",
            SecretKind::Link => "rcl_",
            SecretKind::Ticket => "rct_",
        };
        Ok(Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// To tell it once.
    pub fn told(&self) -> &str {
        &self.0
    }

    /// To keep.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.0)
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret")
    }
}

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoRandom(String);

impl From<NoRandom> for Problem {
    fn from(error: NoRandom) -> Self {
        Self::internal(error)
    }
}
