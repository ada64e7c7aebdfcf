//! A value that must not be seen.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// A password or an address that carries one. `Debug` hides it; it is wiped from memory when dropped.
#[derive(Clone, Deserialize)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The secret, still wrapped, for whoever takes it so.
    pub fn as_secret(&self) -> &SecretString {
        &self.0
    }

    /// The secret itself: call this where it is used, and keep the result no longer than that.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

// Both sides of the comparison come from the operator's own configuration, so it need not take constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

/// Shows that there is one, no more.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
