//! Encryption at rest for everything biometric: templates, face crops, the spool.
//!
//! XChaCha20-Poly1305 with a random nonce (192 bits, so chance never repeats one) and a key that lies outside the
//! database. A sealed value is `version (1) | key id (4) | nonce (24) | ciphertext and tag`; the key id tells a wrong key
//! from an altered value. It knows nothing of what it seals: callers bind the place with [`Bound`].

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + 4 + NONCE_BYTES;
const KEY_FILE: &str = "biometrics.key";
/// A key file is 64 hexadecimal digits and a line break; anything much longer is some other file.
const MAX_KEY_FILE_BYTES: u64 = 1024;

/// Why a value did not open, or there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Another key sealed it.
    #[error(
        "sealed with key {sealed}, but the configured key is {configured}: restore the key file that belongs to this database"
    )]
    WrongKey {
        /// Key id in the value.
        sealed: String,
        /// Key id of our key.
        configured: String,
    },
    /// The value is not what was sealed, or it was sealed for another row.
    #[error("a sealed value was altered or moved to another row")]
    Altered,
    /// Not something that this program sealed.
    #[error("not a sealed value: {0}")]
    Malformed(&'static str),
    /// The key is not one.
    #[error("{path}: {why}")]
    BadKey {
        /// The file, or the name of the setting.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The key file could not be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The place that a sealed value belongs to: it opens nowhere else. What it is for, then the ids of its row.
#[derive(Clone, Debug)]
pub struct Bound(Vec<u8>);

impl Bound {
    /// A place, such as `("template", [id, person, model])`.
    pub fn new(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            // With lengths, so that no two lists of parts give the same bytes.
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }
}

/// Seals and opens. Holds the key; `Debug` shows only its id.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key_id: [u8; 4],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", hex(&self.key_id))
    }
}

impl Sealer {
    /// A sealer with this key.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"rollcall key id").chain_update(key).finalize();
        let mut key_id = [0; 4];
        key_id.copy_from_slice(&digest[..4]);
        Self { cipher: XChaCha20Poly1305::new(&Key::from(key)), key_id }
    }

    /// The key that lies in `<data_dir>/keys`; made at the first start. Keep a copy apart from the database's: without it
    /// no template can be read.
    ///
    /// # Errors
    /// When the file cannot be made or read, is not a key, or can be read by others.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, SealError> {
        let dir = data_dir.join("keys");
        let path = dir.join(KEY_FILE);
        let io = |source| SealError::Io { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io)?;
        if !path.try_exists().map_err(io)? {
            create_key(&dir, &path).map_err(io)?;
        }
        Self::read(&path, 0o077, "chmod 600 it")
    }

    /// The key in a file: 64 hexadecimal digits. A group may read it: secrets that are mounted belong to one.
    ///
    /// # Errors
    /// When it cannot be read, is not a key, or can be read by everybody.
    pub fn from_file(path: &Path) -> Result<Self, SealError> {
        Self::read(path, 0o007, "chmod 640 it, or mount the secret with mode 0440 (Kubernetes: defaultMode)")
    }

    /// The key in a file whose mode has none of the bits `others`; `advice` says how they go.
    fn read(path: &Path, others: u32, advice: &str) -> Result<Self, SealError> {
        let io = |source| SealError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode();
        if mode & others != 0 {
            let why = format!("others may read this key (mode {:o}): {advice}", mode & 0o777);
            return Err(SealError::BadKey { path: path.display().to_string(), why });
        }
        let mut text = String::new();
        file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(io)?;
        Self::from_hex(&path.display().to_string(), &SecretString::from(text))
    }

    /// The key as 64 hexadecimal digits; `name` is where it comes from, for the error.
    ///
    /// # Errors
    /// When it is not a key.
    pub fn from_hex(name: &str, text: &SecretString) -> Result<Self, SealError> {
        let why = "expected 64 hexadecimal digits (make a key with: openssl rand -hex 32)".to_owned();
        unhex(text.expose_secret().trim()).map(Self::new).ok_or(SealError::BadKey { path: name.to_owned(), why })
    }

    /// Encrypts `plain` for `place`.
    pub fn seal(&self, place: &Bound, plain: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let sealed = self
            .cipher
            .encrypt(&nonce, Payload { msg: plain, aad: &place.0 })
            .expect("the cipher takes up to 256 GiB, and nothing here is near that");
        let mut out = Vec::with_capacity(HEADER_BYTES + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Decrypts what [`seal`](Self::seal) made for the same `place`.
    ///
    /// # Errors
    /// When the key is another, or the value was altered or belongs elsewhere.
    pub fn open(&self, place: &Bound, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (header, body) = sealed.split_at_checked(HEADER_BYTES).ok_or(SealError::Malformed("too short"))?;
        if header[0] != VERSION {
            return Err(SealError::Malformed("of another version"));
        }
        let (key_id, nonce) = header[1..].split_at(4);
        if key_id != self.key_id {
            return Err(SealError::WrongKey { sealed: hex(key_id), configured: hex(&self.key_id) });
        }
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError::Malformed("too short"))?;
        self.cipher.decrypt(&nonce, Payload { msg: body, aad: &place.0 }).map_err(|_| SealError::Altered)
    }
}

/// Writes a new key so that a crash leaves either none or a whole one, and two processes agree on one.
fn create_key(dir: &Path, path: &Path) -> io::Result<()> {
    let draft = dir.join(format!("{KEY_FILE}.{}", uuid::Uuid::new_v4()));
    let key = Key::generate();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", hex(&key))?;
    file.sync_all()?;
    match fs::hard_link(&draft, path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => fs::remove_file(&draft)?,
    }
    File::open(dir)?.sync_all()?;
    tracing::info!(path = %path.display(), "made the key that encrypts faces at rest: keep a copy of it apart from the database");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (char::from(pair[0]).to_digit(16)? << 4 | char::from(pair[1]).to_digit(16)?) as u8;
    }
    Some(key)
}
