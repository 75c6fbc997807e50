//! The one secret of an installation, and the keys derived from it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;
use std::{fmt, process};

use anyhow::{Context, Result, bail};
use axum_extra::extract::cookie;
use hmac::{Hmac, KeyInit, Mac};
use ledger::SealingKey;
use sha2::Sha256;

const FILE: &str = "secret.key";
const BYTES: usize = 32;

/// 32 random bytes from which every key is derived.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; BYTES]);

/// Leaves the secret out.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// The key of a data folder, if it has one.
    ///
    /// # Errors
    /// When the file cannot be read, can be read by others, or does not hold a key.
    pub fn find(data_dir: &Path) -> Result<Option<Self>> {
        let path = data_dir.join(FILE);
        let describe = || described(&path);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(describe),
        };
        let metadata = fs::metadata(&path).with_context(describe)?;
        if metadata.mode() & 0o077 != 0 {
            bail!(
                "{} can be read by others; run: chmod 600 {}",
                describe(),
                path.display()
            );
        }
        text.parse()
            .map(Some)
            .map_err(anyhow::Error::msg)
            .with_context(describe)
    }

    /// The key of a data folder; made, readable by its owner only, when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or does not hold a key.
    pub fn of_data_dir(data_dir: &Path) -> Result<Self> {
        if let Some(key) = Self::find(data_dir)? {
            return Ok(key);
        }
        let path = data_dir.join(FILE);
        let describe = || described(&path);
        fs::create_dir_all(data_dir)
            .with_context(|| format!("the data folder {}", data_dir.display()))?;
        // Written in full under another name first: a link either makes the whole file or finds
        // that another process was faster, whose key then counts.
        let draft = data_dir.join(format!("{FILE}.{}", process::id()));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                writeln!(file, "{}", hex::encode(Self::random()?.0))?;
                file.sync_all()
            })
            .with_context(describe)?;
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft).with_context(describe)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(error).with_context(describe)
            }
            _ => Self::of_data_dir(data_dir),
        }
    }

    fn random() -> std::io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(bytes))
    }

    /// One key per purpose, so that what one of them protects says nothing about another.
    fn derive(&self, label: &str) -> [u8; BYTES] {
        // HMAC fills a short key with zeros up to its block itself; filled here, it has the size
        // that cannot be refused.
        let mut block = [0; 2 * BYTES];
        for (to, from) in block.iter_mut().zip(self.0) {
            *to = from;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Signs cookies.
    #[must_use]
    pub fn cookie_key(&self) -> cookie::Key {
        let halves = [
            self.derive("tollgate cookie 1"),
            self.derive("tollgate cookie 2"),
        ];
        cookie::Key::from(halves.as_flattened())
    }

    /// Seals signing secrets in the database.
    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey::from_bytes(self.derive("tollgate sealing"))
    }
}

fn described(path: &Path) -> String {
    format!("the secret key file {}", path.display())
}

/// 64 hexadecimal digits.
impl FromStr for SecretKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "must be 64 hexadecimal digits (openssl rand -hex 32 makes some)".to_owned();
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        let hex = "00ff".repeat(16);
        let key: SecretKey = hex.parse().expect("a key");
        assert_eq!(hex::encode(key.0), hex);
        for text in [
            "",
            "00ff",
            &"zz".repeat(32),
            &"+1".repeat(32),
            &"é".repeat(32),
        ] {
            assert!(text.parse::<SecretKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_for_different_purposes_differ() {
        let key = SecretKey([7; BYTES]);
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(key.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), SecretKey([8; BYTES]).derive("a"));
    }
}
