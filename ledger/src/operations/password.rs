//! Passwords are kept as Argon2 hashes.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};

use crate::error::{Error, Result, refusal};

const CHARS_MIN: u16 = 12;
const CHARS_MAX: u16 = 1000;

/// A password that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFault {
    TooShort { chars_min: u16 },
    TooLong { chars_max: u16 },
}

refusal!(PasswordFault);

/// Verified where there is no such person, so that both refusals take as long. Its password is unknown
/// to everybody: the hash part is random.
pub(crate) const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Argon2 takes tens of milliseconds on purpose; it must not hold up the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, argon2::password_hash::Error> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Stopped)?
        .map_err(|error| Error::PasswordHash(error.to_string()))
}

pub(crate) async fn hash(password: String) -> Result<String> {
    blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
    })
    .await
}

pub(crate) async fn is_right(password: String, hash: String) -> Result<bool> {
    blocking(move || {
        let hash = PasswordHash::new(&hash)?;
        Ok(Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok())
    })
    .await
}

/// Whether it is longer than any that was ever accepted.
pub(crate) fn is_too_long(password: &str) -> bool {
    password.chars().count() > usize::from(CHARS_MAX)
}

/// # Errors
/// It is too short or too long.
pub(crate) fn check(password: &str) -> std::result::Result<(), PasswordFault> {
    if password.chars().count() < usize::from(CHARS_MIN) {
        let chars_min = CHARS_MIN;
        return Err(PasswordFault::TooShort { chars_min });
    }
    if is_too_long(password) {
        let chars_max = CHARS_MAX;
        return Err(PasswordFault::TooLong { chars_max });
    }
    Ok(())
}
