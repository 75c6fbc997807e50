//! Hashing of fields, and the ids that are made of it.

use sha2::{Digest, Sha256};
use shared::ids::UserId;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) type Hash = [u8; 32];

/// Hashes fields so that no two different lists of fields give the same bytes: each is preceded by
/// its length.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.text(purpose);
        hasher
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // A length always fits: it comes from memory.
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// An absent text differs from an empty one.
    pub(crate) fn optional(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }

    pub(crate) fn int(&mut self, value: i64) {
        self.0.update(value.to_be_bytes());
    }

    pub(crate) fn count(&mut self, value: u64) {
        self.0.update(value.to_be_bytes());
    }

    pub(crate) fn moment(&mut self, moment: OffsetDateTime) {
        self.0
            .update((moment.unix_timestamp_nanos() / 1000).to_be_bytes());
    }

    pub(crate) fn optional_moment(&mut self, moment: Option<OffsetDateTime>) {
        self.0.update([u8::from(moment.is_some())]);
        self.moment(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    }

    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

/// The account's id: the first 16 bytes of a SHA-256, so that it needs no lookup.
pub(crate) fn account_id(user: &UserId) -> Uuid {
    let digest = Sha256::new()
        .chain_update("tollgate account\0")
        .chain_update(user.as_str());
    first_half(digest.finalize().into())
}

/// Where an account's chain begins.
pub(crate) fn genesis(account_id: Uuid) -> Hash {
    Sha256::new()
        .chain_update("tollgate chain\0")
        .chain_update(account_id.as_bytes())
        .finalize()
        .into()
}

/// An id of a message, or of one of its runs, as it is claimed: a digest of the namespace and the id,
/// so that claims are narrow. 128 bits of SHA-256 do not collide by chance or by design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageId(pub Uuid);

impl MessageId {
    pub(crate) fn new(namespace_id: i64, id: &str) -> Self {
        let digest = Sha256::new()
            .chain_update("tollgate message\0")
            .chain_update(namespace_id.to_be_bytes())
            .chain_update(id);
        Self(first_half(digest.finalize().into()))
    }

    /// As callers know what was charged for the message.
    pub(crate) fn public(self) -> String {
        format!("cons_{}", self.0.simple())
    }

    /// Reads the public form; `None` for what is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("cons_")?.parse().ok().map(Self)
    }
}

fn first_half(hash: Hash) -> Uuid {
    let mut id = [0; 16];
    id.copy_from_slice(hash.split_at(16).0);
    Uuid::from_bytes(id)
}
