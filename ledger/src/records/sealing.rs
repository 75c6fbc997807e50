//! Secrets that must be readable again are sealed: encrypted and authenticated.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::error::{Error, Result};

const NONCE_BYTES: usize = 24;

/// The key that seals secrets at rest.
#[derive(Clone)]
pub struct SealingKey(XChaCha20Poly1305);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

impl SealingKey {
    #[must_use]
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// The nonce, then the ciphertext.
    pub(crate) fn seal(&self, secret: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = random_bytes()?;
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), secret)
            .map_err(|_| Error::Sealing)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let (nonce, ciphertext) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(Error::Sealing)?;
        self.0
            .decrypt(&XNonce::from(*nonce), ciphertext)
            .map_err(|_| Error::Sealing)
    }

    /// As [`SealingKey::open`], of a text.
    pub(crate) fn open_text(&self, sealed: &[u8]) -> Result<String> {
        String::from_utf8(self.open(sealed)?).map_err(|_| Error::Sealing)
    }
}

/// From the operating system's generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Sealing)?;
    Ok(bytes)
}
