//! SHA-256 of what may be compared but must not be stored in clear.

use sha2::{Digest as _, Sha256};

use super::hash::Hash;

/// What is hashed carries 256 random bits, so a plain hash protects it as well as a slow one would.
pub(crate) fn digest(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}
