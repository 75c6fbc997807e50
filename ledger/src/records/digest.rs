//! SHA-256 of what may be compared but must not be stored in clear.

use sha2::{Digest as _, Sha256};

pub(crate) type Digest = [u8; 32];

/// What is hashed carries 256 random bits, so a plain hash protects it as well as a slow one would.
pub(crate) fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}
