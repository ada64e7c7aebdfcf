//! Passwords: Argon2id with 19 MiB and two passes (OWASP's first choice), on threads where nobody waits for it.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use tokio::sync::Semaphore;

use crate::problem::Problem;
use crate::validate::Checks;

/// Fewest characters. Length counts, kinds of characters do not (NIST SP 800-63B).
pub const MIN_PASSWORD: usize = 12;
/// Most characters.
pub const MAX_PASSWORD: usize = 200;
/// Each takes 19 MiB and a core for a while; more wait.
const AT_ONCE: usize = 2;
/// A hash that belongs to no password, for logins that nobody has: they take as long as others.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cm9sbGNhbGwtbm9ib2R5IQ$Uk9MTENBTEwtTk9CT0RZLUhBUy1USElTLVBBU1NXT1I";

/// Hashes and compares.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        self.aside(move || hash_password(&password)).await?.map_err(Problem::internal)
    }

    /// Whether it is the password; as slow for those that nobody has.
    pub(crate) async fn is_right(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        self.aside(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
            Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok() && known
        })
        .await
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Problem::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(Problem::internal)
    }
}

/// The hash of a new password, in PHC form. Takes a moment: not for threads that others wait for.
///
/// # Errors
/// When the system gives no random numbers.
pub fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

/// What is wrong with a password that somebody chose, if anything is.
pub fn password_fault(password: &str, login: &str) -> Option<String> {
    let length = password.chars().count();
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&length) {
        return Some(format!("must be {MIN_PASSWORD} to {MAX_PASSWORD} characters long"));
    }
    let letters = password.to_lowercase();
    if letters.contains(&login.to_lowercase()) && !login.is_empty() {
        return Some("must not contain the login".to_owned());
    }
    if letters.chars().all(|c| letters.starts_with(c)) {
        return Some("must not be one character many times".to_owned());
    }
    None
}

/// The same for a field of a body.
pub(crate) fn check_password(checks: &mut Checks, pointer: &str, password: &str, login: &str) {
    if let Some(fault) = password_fault(password, login) {
        checks.add(pointer, fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_costs_what_others_cost() {
        let parse = |text: &str| PasswordHash::new(text).expect("PHC");
        let ours = hash_password("correct horse battery").expect("random numbers");
        let (nobody, ours) = (parse(NOBODY), parse(&ours));
        assert_eq!((nobody.algorithm, nobody.params.to_string()), (ours.algorithm, ours.params.to_string()));
        assert_eq!(nobody.hash.map(|h| h.len()), ours.hash.map(|h| h.len()));
    }

    #[test]
    fn poor_passwords_are_refused() {
        for poor in ["short", "aaaaaaaaaaaaaaaa", "my-name-is-ADA-1815"] {
            assert!(password_fault(poor, "ada").is_some(), "{poor}");
        }
        assert_eq!(password_fault("correct horse battery", "ada"), None);
    }
}
