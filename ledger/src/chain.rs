//! The hash chain of an account's entries. Each entry's hash covers every stored field of the
//! entry, the consumption it charges, the terms of the credit it brings, and the hash before it, so
//! that no row can be changed, removed or reordered without breaking every later one.

use sha2::{Digest, Sha256};
use shared::api::EntryKind;
use shared::ids::UserId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::consumption::Consumption;
use crate::journal::CreditTerms;

pub(crate) type Hash = [u8; 32];

/// What an entry says, without its place in the chain.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub account_id: Uuid,
    pub entry: i64,
    pub recorded_at: OffsetDateTime,
    pub occurred_at: OffsetDateTime,
    pub kind: EntryKind,
    pub amount_nano: i64,
    pub counter_account: &'static str,
    pub balance_after_nano: i64,
    pub corrects_entry: Option<i64>,
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub consumption: Option<Consumption>,
    /// Of points that come in: how their credit may be used.
    pub terms: CreditTerms,
}

/// The account's id: the first 16 bytes of a SHA-256, so that it needs no lookup.
pub(crate) fn account_id(user: &UserId) -> Uuid {
    let digest: Hash = Sha256::new()
        .chain_update("tollgate account\0")
        .chain_update(user.as_str())
        .finalize()
        .into();
    let mut id = [0; 16];
    id.copy_from_slice(digest.split_at(16).0);
    Uuid::from_bytes(id)
}

/// Where an account's chain begins.
pub(crate) fn genesis(account_id: Uuid) -> Hash {
    Sha256::new()
        .chain_update("tollgate chain\0")
        .chain_update(account_id.as_bytes())
        .finalize()
        .into()
}

impl Entry {
    pub(crate) fn hash(&self, previous: &Hash) -> Hash {
        let mut hash = Hasher::new("tollgate entry 1");
        hash.bytes(previous);
        hash.bytes(self.account_id.as_bytes());
        hash.int(self.entry);
        hash.moment(self.recorded_at);
        hash.moment(self.occurred_at);
        hash.text(self.kind.as_str());
        hash.int(self.amount_nano);
        hash.text(self.counter_account);
        hash.int(self.balance_after_nano);
        hash.int(self.corrects_entry.unwrap_or(0));
        hash.optional(self.reason.as_deref());
        hash.optional(self.actor.as_deref());
        if let Some(consumption) = &self.consumption {
            consumption.hash_into(&mut hash);
        }
        if self.amount_nano > 0 && self.terms != CreditTerms::default() {
            hash.count(self.terms.is_bought.into());
            hash.optional_moment(self.terms.expires_at);
        }
        hash.finish()
    }
}

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

    fn optional_moment(&mut self, moment: Option<OffsetDateTime>) {
        self.0.update([u8::from(moment.is_some())]);
        self.moment(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    }

    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}
