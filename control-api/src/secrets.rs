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

impl SecretKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "rca_",
            Self::Refresh => "rcr_",
            Self::Key => "rck_",
            Self::Link => "rcl_",
            Self::Ticket => "rct_",
        }
    }

    /// Whether `text` may be one, by its form alone: the prefix, then letters of base64url.
    pub fn may_be(self, text: &str) -> bool {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let letters = text.strip_prefix(self.prefix());
        letters.is_some_and(|rest| !rest.is_empty() && text.len() <= NewSecret::LONGEST && rest.bytes().all(letter))
    }
}

/// 256 random bits in letters.
#[derive(Clone)]
pub struct NewSecret(String);

impl NewSecret {
    /// Letters that tell keys apart without telling the key.
    pub const SHOWN: usize = 10;
    /// Longest text that is looked at as one, in bytes.
    pub const LONGEST: usize = 200;

    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random(kind: SecretKind) -> Result<Self, NoRandom> {
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(|error| NoRandom(error.to_string()))?;
        Ok(Self(format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes))))
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
